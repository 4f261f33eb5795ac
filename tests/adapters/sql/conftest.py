"""One place per engine, made once: tests say which they need, most take both."""

import asyncio

import pytest
from tests.adapters.sql.servers import (
    ENGINES,
    Place,
    administer,
    emptied,
    need_postgresql,
    postgresql_name,
    postgresql_url,
    sqlite_place,
)

from stakan.adapters.sql import schema
from stakan.adapters.sql.database import Database


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory):
    return sqlite_place(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgresql():
    need_postgresql()
    name = postgresql_name()
    asyncio.run(administer(f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}"))
    place = Place(postgresql_url(name), emptied)

    async def migrate():
        database = Database(place.url)
        await schema.upgrade(database)
        await database.close()

    asyncio.run(migrate())
    yield place
    asyncio.run(administer(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(params=ENGINES)
def place(request):
    return request.getfixturevalue(request.param)
