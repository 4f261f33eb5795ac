"""Databases for tests: an empty, migrated one at a time, on SQLite and on a real PostgreSQL."""

import asyncio
import os
import shutil
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy import text

from stakan.adapters.sql import schema
from stakan.adapters.sql.database import Database, database_url, sqlite_url
from stakan.adapters.sql.tables import audit_head, metadata

ENGINES = ("sqlite", "postgresql")
SERVER = os.environ.get("STAKAN_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres")
"""A PostgreSQL on which databases may be made."""


class Place:
    """Where the databases of a worker are; `opened` gives an empty one, and takes it back."""

    def __init__(self, url, renew):
        self.url = url
        self._renew = renew

    @asynccontextmanager
    async def opened(self):
        await self._renew(self)
        database = Database(self.url)
        try:
            yield database
        finally:
            await database.close()


def sqlite_place(folder):
    template = folder / "template.sqlite"

    async def migrate():
        database = Database(sqlite_url(template))
        await schema.upgrade(database)
        # One file: what is in the write-ahead log would not be copied.
        async with database.engine.connect() as connection:
            plain = await connection.get_raw_connection()
            await plain.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        await database.close()

    asyncio.run(migrate())
    numbers = iter(range(10**9))

    async def renew(place):
        file = folder / f"{next(numbers)}.sqlite"
        shutil.copy(template, file)
        place.url = sqlite_url(file)

    return Place(None, renew)


def postgresql_name():
    return f"stakan_test_{os.getpid()}_{os.environ.get('PYTEST_XDIST_WORKER', 'only')}"


async def administer(*statements):
    connection = await asyncpg.connect(SERVER, timeout=3)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def need_postgresql():
    """Skip without a server; fail where there must be one."""
    try:
        asyncio.run(administer("SELECT 1"))
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        why = f"no PostgreSQL at {SERVER.rpartition('@')[2]}: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(f"{why}; STAKAN_TEST_POSTGRESQL names another")


def postgresql_url(name):
    return database_url(SERVER).set(database=name)


async def emptied(place):
    """All rows go, those that the audit log guards too: only a superuser can switch its triggers off."""
    database = Database(place.url)
    async with database.transaction() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        for table in reversed(metadata.sorted_tables):
            if table is not audit_head:
                await connection.execute(table.delete())
        await connection.execute(audit_head.update().values(id=0, hash="0" * 64, run="", number=0))
    await database.close()
