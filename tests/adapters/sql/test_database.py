"""Failures of a database are errors of ours, say what to do, and never hold a password."""

import asyncio

import pytest
from sqlalchemy import text
from tests.adapters.sql.servers import SERVER

from stakan.adapters.sql.database import Database, database_url, sqlite_url
from stakan.core.domain.errors import ConfigError, DatabaseAway, StorageError

SECRET = "hunter2"


async def failing(database, statement="SELECT 1"):
    try:
        async with database.transaction() as connection:
            await connection.execute(text(statement))
    finally:
        await database.close()


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://olga:{SECRET}@127.0.0.1:9/stakan",
        f"postgresql://olga:{SECRET}@nowhere.invalid/stakan",
        "sqlite:////proc/nothing/here.sqlite",
    ],
)
def test_a_database_that_cannot_be_reached_is_away_and_its_password_is_not_told(address):
    database = Database(database_url(address))
    with pytest.raises(DatabaseAway) as away:
        asyncio.run(failing(database))
    assert SECRET not in str(away.value)
    assert SECRET not in repr(database.engine)
    assert SECRET not in database.name
    assert "does not answer" in str(away.value)


def test_a_database_that_nobody_has_made_is_away(postgresql):
    database = Database(database_url(SERVER).set(database="stakan_nobody_made"))
    with pytest.raises(DatabaseAway, match="does not exist"):
        asyncio.run(failing(database))


def test_what_a_database_refuses_is_not_tried_again(place):
    async def go():
        async with place.opened() as database:
            await failing(database, "SELECT * FROM nothing")

    with pytest.raises(StorageError) as refused:
        asyncio.run(go())
    assert not isinstance(refused.value, DatabaseAway)


def test_a_connection_that_is_cut_in_the_middle_is_away_and_the_next_one_works(postgresql):
    async def go():
        async with postgresql.opened() as database:
            with pytest.raises(DatabaseAway):
                async with database.transaction() as connection:
                    await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
            async with database.reading() as connection:
                assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1

    asyncio.run(go())


def test_two_writers_of_one_file_wait_for_each_other(sqlite):
    async def count(database):
        for _ in range(10):
            async with database.transaction() as connection:
                row = (await connection.execute(text("SELECT id FROM audit_head"))).scalar_one()
                await connection.execute(text("UPDATE audit_head SET id = :id"), {"id": row + 1})

    async def go():
        async with sqlite.opened() as one:
            other = Database(one.url)
            await asyncio.gather(count(one), count(other))
            async with one.reading() as connection:
                found = (await connection.execute(text("SELECT id FROM audit_head"))).scalar_one()
            await other.close()
            return found

    assert asyncio.run(go()) == 20


def test_a_reader_sees_one_moment_and_does_not_wait_for_a_writer(place):
    async def go():
        async with place.opened() as database, database.reading() as reader:
            before = (await reader.execute(text("SELECT id FROM audit_head"))).scalar_one()
            async with database.transaction() as writer:
                await writer.execute(text("UPDATE audit_head SET id = 7"))
            assert (await reader.execute(text("SELECT id FROM audit_head"))).scalar_one() == before

    asyncio.run(go())


async def half(database):
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE audit_head SET id = 7"))
        raise ZeroDivisionError


def test_what_was_begun_and_failed_leaves_nothing(place):
    async def go():
        async with place.opened() as database:
            with pytest.raises(ZeroDivisionError):
                await half(database)
            async with database.reading() as connection:
                return (await connection.execute(text("SELECT id FROM audit_head"))).scalar_one()

    assert asyncio.run(go()) == 0


def test_the_server_says_what_it_is(place):
    async def go():
        async with place.opened() as database:
            return database.is_postgresql, await database.server()

    is_postgresql, server = asyncio.run(go())
    assert server.kind == ("postgresql" if is_postgresql else "sqlite")
    assert int(server.version.split(".", maxsplit=1)[0]) >= 3


@pytest.mark.parametrize(
    "address", ["", "nonsense", "mysql://u@h/d", "postgresql://u@h", "sqlite://", "postgresql://h:port/d"]
)
def test_an_address_of_another_shape_is_refused(address):
    with pytest.raises(ConfigError, match=r"database\.url"):
        database_url(address)


@pytest.mark.parametrize(
    ("address", "driver"),
    [
        ("postgresql://u@h:1/d", "postgresql+asyncpg"),
        ("postgres://u@h/d", "postgresql+asyncpg"),
        ("sqlite:///some/file", "sqlite+aiosqlite"),
    ],
)
def test_the_driver_is_ours_to_choose(address, driver, tmp_path):
    assert database_url(address).drivername == driver
    assert sqlite_url(tmp_path / "x").database == str(tmp_path / "x")
