"""The schema of a database and its migrations, run from within the program."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from stakan.adapters.sql.columns import POSTGRESQL
from stakan.adapters.sql.database import Database
from stakan.core.domain.errors import ConfigError, StorageError

BASE = "base"
_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 7_310_112
"""Names the advisory lock of migrations."""


def newest_revision() -> str:
    """The revision that this release needs."""
    return _script().get_current_head() or BASE


async def revision_of(database: Database) -> str:
    """The revision that a database has; `base` where it has no tables of ours."""
    async with database.reading() as connection:
        return await connection.run_sync(_current)


async def upgrade(database: Database) -> tuple[str, str]:
    """Bring a database to the newest revision; returns the one that it had and the one that it has.

    Raises StorageError where a newer release made it.
    """
    async with database.transaction() as connection:
        await connection.run_sync(_lock)
        before = await connection.run_sync(_current)
        _known(before)
        head = newest_revision()
        if before != head:
            await connection.run_sync(_migrate, _upgrade_steps)
    return before, head


async def downgrade(database: Database, revision: str = BASE) -> None:
    """Take a database back to an older revision; with `base` all tables of ours are dropped, with all that is in them."""
    async with database.transaction() as connection:
        await connection.run_sync(_lock)
        await connection.run_sync(_migrate, lambda rev, _context: _script()._downgrade_revs(revision, rev))  # noqa: SLF001


async def demand_newest(database: Database) -> None:
    """Raise ConfigError where a database is not migrated."""
    found = await revision_of(database)
    _known(found)
    if found != newest_revision():
        raise ConfigError(
            f"{database.name} has schema {found}, this release needs {newest_revision()}: run `stakan db migrate`"
        )


def _known(revision: str) -> None:
    if revision != BASE and revision not in {entry.revision for entry in _script().walk_revisions()}:
        raise StorageError(f"the database has schema {revision}, which this release does not know: use a newer release")


def _upgrade_steps(revision: Any, _context: Any) -> Any:
    # As Alembic's own documentation of EnvironmentContext does it.
    return _script()._upgrade_revs("head", revision)  # noqa: SLF001


def _script() -> ScriptDirectory:
    return ScriptDirectory(str(_FOLDER))


def _current(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or BASE


def _lock(connection: Connection) -> None:
    """One migration at a time; SQLite has taken the write lock with the transaction."""
    if connection.dialect.name == POSTGRESQL:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _migrate(connection: Connection, steps: Callable[[Any, Any], Any]) -> None:
    with EnvironmentContext(Config(), _script(), fn=steps) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()
