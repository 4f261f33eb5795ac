"""A database: its engine, its transactions, and its failures as errors of ours that never hold a password."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import aiosqlite
import asyncpg
import msgspec
from sqlalchemy import URL, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from stakan.adapters.sql.columns import POSTGRESQL, SQLITE, from_json, to_json
from stakan.core.domain.errors import ConfigError, DatabaseAway, StorageError

BUSY_TIMEOUT_MS = 5_000
"""How long SQLite waits for another writer."""
CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 120.0
"""Migrations and checks of a large database take their time; a server that is gone is noticed all the same."""
_READ_ONLY = "stakan_read_only"
_DRIVERS = {SQLITE: "sqlite+aiosqlite", POSTGRESQL: "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_AWAY_STATES = ("08", "53", "57P", "28", "3D000", "55P03", "40")
"""SQLSTATEs of a server that cannot be reached, is full or shutting down, lets nobody in, or wants it tried again."""
_AWAY_SQLITE = ("locked", "unable to open", "full", "disk i/o", "busy", "readonly")


class Server(msgspec.Struct, frozen=True):
    """What a database can do."""

    kind: str
    """sqlite or postgresql."""
    version: str
    timescaledb: str = ""
    """Version of the extension in this database; empty where it is not installed."""
    timescaledb_available: bool = False
    """Whether it could be installed."""


class Database:
    """One database and its connections; to be closed."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.engine = _engine(url)

    @property
    def is_postgresql(self) -> bool:
        """Else it is SQLite."""
        return self.url.get_backend_name() == POSTGRESQL

    @property
    def name(self) -> str:
        """For people: without user and password."""
        if not self.is_postgresql:
            return f"SQLite {self.url.database}"
        return f"PostgreSQL {self.url.host}:{self.url.port or 5432}/{self.url.database}"

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """All or nothing. Raises DatabaseAway where the database does not answer, StorageError where it refuses."""
        with _translated(self.name):
            async with self.engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view; does not wait for writers. Raises as `transaction` does."""
        with _translated(self.name):
            async with self.engine.connect() as plain:
                options: dict[str, Any] = {_READ_ONLY: True}
                if self.is_postgresql:
                    options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
                connection = await plain.execution_options(**options)
                async with connection.begin():
                    yield connection

    async def server(self) -> Server:
        """What it is, and whether TimescaleDB is there."""
        async with self.reading() as connection:
            return await server_of(connection)

    async def close(self) -> None:
        """Let go of all connections."""
        await self.engine.dispose()


async def server_of(connection: AsyncConnection) -> Server:
    """What is at the other end of a connection."""
    if connection.dialect.name != POSTGRESQL:
        return Server(SQLITE, sqlite3.sqlite_version)
    version = str((await connection.execute(text("SHOW server_version"))).scalar_one())
    found = await connection.execute(
        text("SELECT installed_version FROM pg_available_extensions WHERE name = 'timescaledb'")
    )
    row = found.first()
    return Server(POSTGRESQL, version, (row and row[0]) or "", row is not None)


def database_url(given: str) -> URL:
    """The address of a database: `sqlite:///file` or `postgresql://user@host:port/name`; raises ConfigError."""
    try:
        url = make_url(given)
        driver = _DRIVERS.get(url.get_backend_name())
    except (ArgumentError, ValueError):
        raise ConfigError("database.url should be postgresql://user@host:port/name or sqlite:///file") from None
    if driver is None or not url.database:
        raise ConfigError(
            f"database.url: {url.get_backend_name()!r} should be postgresql://user@host:port/name or sqlite:///file"
        )
    return url.set(drivername=driver)


def sqlite_url(file: Path) -> URL:
    """The address of a file."""
    return URL.create(_DRIVERS[SQLITE], database=str(file))


def _engine(url: URL) -> AsyncEngine:
    options: dict[str, Any] = {"json_serializer": to_json, "json_deserializer": from_json, "hide_parameters": True}
    if url.get_backend_name() == POSTGRESQL:
        return create_async_engine(
            url,
            pool_size=4,
            pool_pre_ping=True,
            connect_args={
                "timeout": CONNECT_TIMEOUT_S,
                "command_timeout": COMMAND_TIMEOUT_S,
                "server_settings": {"application_name": "stakan"},
            },
            **options,
        )
    engine = create_async_engine(url, async_creator=lambda: _opened(url.database or ""), **options)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


async def _opened(file: str) -> aiosqlite.Connection:
    # Tried without a thread first: that of a connection which cannot be opened may outlive its event loop.
    sqlite3.connect(file).close()
    connection = aiosqlite.connect(file)
    connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does: nobody waits for it at the end
    return await connection


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # We begin transactions ourselves: the driver would begin them late, and never around a change of the schema.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    # A writer that begins as a reader cannot wait for another writer: it fails at once.
    is_reader = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if is_reader else "BEGIN IMMEDIATE")


class _translated:  # noqa: N801 - used as a statement
    """Turns what drivers and SQLAlchemy raise into errors of ours."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, DBAPIError):
            cause = error.orig if error.orig is not None else error
            if error.connection_invalidated or _is_away(cause):
                raise DatabaseAway(f"{self._name} does not answer: {_short(cause)}") from error
            raise StorageError(f"{self._name} refuses: {_short(cause)}") from error
        if isinstance(error, sqlite3.Error):
            raise DatabaseAway(f"{self._name} does not answer: {_short(error)}") from error
        if isinstance(error, PoolTimeout | OSError | TimeoutError | asyncio.TimeoutError | asyncpg.PostgresError):
            raise DatabaseAway(f"{self._name} does not answer: {_short(error)}") from error
        if isinstance(error, SQLAlchemyError):
            raise StorageError(f"{self._name} refuses: {_short(error)}") from error


def _is_away(error: BaseException) -> bool:
    state = getattr(error, "sqlstate", None)
    if state:
        return str(state).startswith(_AWAY_STATES)
    if isinstance(error, sqlite3.Error):
        return isinstance(error, sqlite3.OperationalError) and any(word in str(error).lower() for word in _AWAY_SQLITE)
    inner = error.__cause__
    return isinstance(error, OSError | TimeoutError) or (inner is not None and _is_away(inner))


def _short(error: BaseException) -> str:
    """The first line of what it says; drivers put the name of their class before it."""
    lines = str(error).strip().splitlines()
    first = lines[0] if lines else type(error).__name__
    return first.rpartition("'>: ")[2]
