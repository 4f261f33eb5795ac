"""Upkeep of a database: rows whose time is over are taken away; projected rows are dropped to be built again."""

import msgspec
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from stakan.adapters.sql import audit
from stakan.adapters.sql.batch import AuditEntry, By
from stakan.adapters.sql.check import COMPARED, demand_all_runs
from stakan.adapters.sql.database import Database
from stakan.adapters.sql.folding.state import ProjectionState, to_bytes
from stakan.adapters.sql.moments import JournalTail
from stakan.adapters.sql.partitions import drop_partitions, is_partitioned
from stakan.adapters.sql.tables import RETENTION_NS, metadata, projection, pruned


class Pruned(msgspec.Struct, frozen=True):
    """What was taken from one table, or would be."""

    table: str
    before_ts: int
    rows: int
    partitions: tuple[str, ...] = ()
    """Of these the rows are counted, too."""


async def prune(database: Database, now: int, *, dry_run: bool = False) -> list[Pruned]:
    """Take away what is older than its retention; the journal still has what it tells.

    Where TimescaleDB is installed its own policies do it as well; running both does no harm.
    """
    done = []
    async with database.transaction() as connection:
        native = await is_partitioned(connection)
        for name, kept_ns in RETENTION_NS.items():
            done.append(await _prune(connection, name, now - kept_ns, native=native, dry_run=dry_run))
    return done


async def _prune(connection: AsyncConnection, name: str, before: int, *, native: bool, dry_run: bool) -> Pruned:
    table = metadata.tables[name]
    old = table.c.ts < before
    count = int((await connection.execute(select(func.count()).select_from(table).where(old))).scalar_one())
    if dry_run:
        return Pruned(name, before, count)
    partitions = await drop_partitions(connection, name, before) if native else []
    await connection.execute(delete(table).where(old))
    known = await connection.execute(update(pruned).where(pruned.c.table_name == name).values(before_ts=before))
    if not known.rowcount:
        await connection.execute(insert(pruned).values(table_name=name, before_ts=before))
    return Pruned(name, before, count, tuple(partitions))


async def forget_rows(database: Database, tail: JournalTail, by: By) -> None:
    """Drop every projected row, to be projected again from the first run on; the audit log stays and says so.

    Raises DataError where the journal of a run that has rows is gone: what is dropped must come back.
    """
    async with database.transaction() as connection:
        await demand_all_runs(connection, tail)
        for table in reversed(COMPARED):
            await connection.execute(delete(table))
        await connection.execute(update(projection).values(run="", number=0, ts=0, state=to_bytes(ProjectionState())))
        await audit.append(
            connection,
            [
                AuditEntry(
                    ts=by.now,
                    trace_id="rebuild",
                    actor=by.actor,
                    action="rebuild",
                    entity_kind="database",
                    entity="projection",
                    reason="all projected rows are built again from the journal",
                )
            ],
        )
