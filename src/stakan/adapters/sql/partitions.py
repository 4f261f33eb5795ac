"""Where the rows of a month lie: native partitions on PostgreSQL, hypertables where TimescaleDB is, nothing on SQLite."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from stakan.adapters.sql.columns import POSTGRESQL
from stakan.adapters.sql.tables import COMPRESS_AFTER_NS, RETENTION_NS
from stakan.core.domain.units import DAY, SECOND

PARTITION = re.compile(r"^(?P<table>\w+)_p(?P<year>\d{4})(?P<month>\d{2})$")
"""Name of a partition."""
_CHUNK_NS = 7 * DAY


class Month(NamedTuple):
    """A month, UTC."""

    year: int
    month: int

    @property
    def first_ts(self) -> int:
        """Its first nanosecond."""
        return int(datetime(self.year, self.month, 1, tzinfo=UTC).timestamp()) * SECOND

    @property
    def next(self) -> "Month":
        """The month after it."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)


def month_of(ts: int) -> Month:
    """The month that a moment lies in."""
    moment = datetime.fromtimestamp(ts // SECOND, UTC)
    return Month(moment.year, moment.month)


def partition_name(table: str, month: Month) -> str:
    """`equity_marks_p202407`."""
    return f"{table}_p{month.year:04}{month.month:02}"


async def make_partitions(connection: AsyncConnection, wanted: Iterable[tuple[str, Month]]) -> None:
    """Make room for months of tables that are partitioned; those that are there stay."""
    for table, month in wanted:
        bounds = f"FROM ({month.first_ts}) TO ({month.next.first_ts})"
        await connection.execute(
            text(f"CREATE TABLE IF NOT EXISTS {partition_name(table, month)} PARTITION OF {table} FOR VALUES {bounds}")
        )


async def drop_partitions(connection: AsyncConnection, table: str, before_ts: int) -> list[str]:
    """Drop the partitions of a table that end before a moment; returns their names."""
    rows = await connection.execute(
        text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = CAST(:parent AS regclass)"),
        {"parent": table},
    )
    dropped = []
    for (name,) in rows.all():
        found = PARTITION.match(name)
        if found is None:
            continue
        if Month(int(found["year"]), int(found["month"])).next.first_ts <= before_ts:
            await connection.execute(text(f"DROP TABLE {name}"))
            dropped.append(str(name))
    return sorted(dropped)


async def is_partitioned(connection: AsyncConnection) -> bool:
    """Whether series need their partitions made: on PostgreSQL without TimescaleDB."""
    if connection.dialect.name != POSTGRESQL:
        return False
    found = await connection.execute(
        text("SELECT 1 FROM pg_partitioned_table WHERE partrelid = to_regclass('equity_marks')")
    )
    return found.first() is not None


# --- TimescaleDB ------------------------------------------------------------------------------------------------------


def has_timescaledb(connection: Connection) -> bool:
    """Whether the extension is installed in this database."""
    if connection.dialect.name != POSTGRESQL:
        return False
    found = connection.execute(text("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"))
    return found.first() is not None


def make_hypertable(connection: Connection, table: str) -> None:
    """Chunks of a week, compressed after a week, dropped when their retention is over.

    Not covered by tests: the extension cannot be installed where they run. Its functions are used as TimescaleDB 2
    documents them for integer time: `create_hypertable`, `set_integer_now_func`, `add_compression_policy`,
    `add_retention_policy`.
    """
    connection.execute(
        text(
            "CREATE OR REPLACE FUNCTION stakan_now() RETURNS BIGINT LANGUAGE SQL STABLE AS "
            "$$ SELECT CAST(extract(epoch FROM now()) * 1000000000 AS BIGINT) $$"
        )
    )
    connection.execute(text(f"SELECT create_hypertable('{table}', 'ts', chunk_time_interval => {_CHUNK_NS}::bigint)"))
    connection.execute(text(f"SELECT set_integer_now_func('{table}', 'stakan_now')"))
    connection.execute(text(f"ALTER TABLE {table} SET (timescaledb.compress)"))
    connection.execute(text(f"SELECT add_compression_policy('{table}', {COMPRESS_AFTER_NS}::bigint)"))
    if table in RETENTION_NS:
        connection.execute(text(f"SELECT add_retention_policy('{table}', {RETENTION_NS[table]}::bigint)"))
