"""A batch on its way into the tables."""

from typing import Any

from sqlalchemy import Insert, Table, bindparam, insert, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from stakan.adapters.sql.batch import Batch, Key, Values
from stakan.adapters.sql.columns import POSTGRESQL
from stakan.adapters.sql.partitions import Month, is_partitioned, make_partitions, month_of
from stakan.adapters.sql.tables import OF_MARKET, SERIES


class Writer:
    """Writes batches; knows which partitions are there."""

    def __init__(self) -> None:
        self._is_partitioned: bool | None = None
        self._made: set[tuple[str, Month]] = set()

    async def write(self, connection: AsyncConnection, batch: Batch) -> None:
        """All rows of a batch, in the order that foreign keys want."""
        await self._make_room(connection, batch)
        for table, rows in batch.new_rows():
            await connection.execute(_insert(table, connection), rows)
        for table, changes in batch.changed_rows():
            await _change(connection, table, changes)

    def forget(self) -> None:
        """A transaction did not end well: what it made may be gone."""
        self._made.clear()

    async def _make_room(self, connection: AsyncConnection, batch: Batch) -> None:
        if self._is_partitioned is None:
            self._is_partitioned = await is_partitioned(connection)
        if not self._is_partitioned:
            return
        wanted = {
            (table.name, month_of(row["ts"])) for table in SERIES for row in batch.inserts.get(table, {}).values()
        }
        missing = sorted(wanted - self._made)
        await make_partitions(connection, missing)
        self._made.update(missing)


def _insert(table: Table, connection: AsyncConnection) -> Insert:
    if table not in OF_MARKET:
        return insert(table)
    # Rows that no journal can give again survive a rebuild: what is there is as good as what comes.
    if connection.dialect.name == POSTGRESQL:
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


async def _change(connection: AsyncConnection, table: Table, changes: list[tuple[Key, Values]]) -> None:
    keys = list(table.primary_key.columns)
    statement = update(table).values({name: bindparam(f"new_{name}") for name in changes[0][1]})
    for column in keys:
        statement = statement.where(column == bindparam(f"key_{column.name}"))
    rows: list[dict[str, Any]] = [
        {
            **{f"key_{column.name}": value for column, value in zip(keys, key, strict=True)},
            **{f"new_{name}": value for name, value in values.items()},
        }
        for key, values in changes
    ]
    await connection.execute(statement, rows)
