"""Whether the rows are what the journal says: found by projecting it once more beside them, and mended on request."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Row, String, Table, collate, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from stakan.adapters.sql import audit, schema
from stakan.adapters.sql.batch import AuditEntry, By, Key, Values, key_of
from stakan.adapters.sql.columns import POSTGRESQL, to_json
from stakan.adapters.sql.database import Database, sqlite_url
from stakan.adapters.sql.folding.state import ProjectionState, from_bytes
from stakan.adapters.sql.moments import JournalTail
from stakan.adapters.sql.projector import Projector, Until, demand_source
from stakan.adapters.sql.tables import (
    OF_MARKET,
    PROJECTED,
    audit_log,
    metadata,
    orders,
    positions,
    projection,
    pruned,
    runs,
)
from stakan.core.domain.errors import Conflict, DataError

COMPARED = tuple(table for table in PROJECTED if table not in OF_MARKET)
_CHUNK = 2_000


class Difference(msgspec.Struct, frozen=True):
    """A row that is not what the journal says."""

    table: str
    key: dict[str, Any]
    found: Values | None
    """The columns that differ; None where the row is missing."""
    expected: Values | None
    """The same columns as they should be; the whole row where it is missing, None where there should be none."""
    trace_id: str = ""

    @property
    def what(self) -> str:
        """`missing`, `unexpected` or `changed`."""
        if self.found is None:
            return "missing"
        return "unexpected" if self.expected is None else "changed"


class Comparison(msgspec.Struct, frozen=True):
    """Rows beside the journal, up to a position in it."""

    position: audit.Reached
    differences: list[Difference]


async def compare(database: Database, tail: JournalTail, source: str) -> Comparison:
    """Every row that differs from the journal, up to the position that the rows have reached; audit log included.

    Raises ConfigError where the rows are of another state folder, and DataError where the journal of a run that has
    rows is not there any more: nothing can be said then.
    """
    async with database.reading() as connection:
        kept = (await connection.execute(select(projection))).first()
        if kept is None:
            return Comparison(audit.Reached("", 0), [])
        demand_source(kept.source, source)
        await demand_all_runs(connection, tail)
        state = from_bytes(kept.state)
        until = Until(kept.run, kept.number, with_end=state.is_complete if state is not None else True)
        with tempfile.TemporaryDirectory(prefix="stakan-check-") as folder:
            scratch = Database(sqlite_url(Path(folder) / "expected.sqlite"))
            try:
                await schema.upgrade(scratch)
                if kept.run:
                    await Projector(scratch, tail, source, until=until).catch_up()
                async with scratch.reading() as expected:
                    found = [difference async for difference in _differences(connection, expected)]
            finally:
                await scratch.close()
        return Comparison(audit.Reached(kept.run, kept.number), found)


async def compare_live(connection: AsyncConnection, state: ProjectionState) -> list[Difference]:
    """The same for what is live, against what the projector remembers of it: quick, done at every start."""
    found: list[Difference] = []
    wanted = (
        (orders, [msgspec.structs.asdict(row) for row in state.orders.values()]),
        (positions, [msgspec.structs.asdict(memory.row) for memory in state.positions.values()]),
    )
    for table, rows in wanted:
        expected = {key_of(table, row): row for row in rows}
        live = await connection.execute(select(table).where(table.c.is_live))
        there = {key_of(table, row): row for row in map(_values, live)}
        for key in expected.keys() - there.keys():
            query = select(table).where(*_is(table, key))
            row = (await connection.execute(query)).first()
            if row is not None:
                there[key] = _values(row)
        found += [
            difference
            for key in sorted(expected.keys() | there.keys())
            if (difference := _difference(table, key, there.get(key), expected.get(key))) is not None
        ]
    return found


async def mend_live(
    database: Database, tail: JournalTail, source: str, state: ProjectionState, by: By
) -> list[Difference]:
    """At a start: where something live is not as it should be, compare everything and repair it; returns what was.

    Where the journals of some runs are gone, what can be said without them is repaired.
    """
    async with database.reading() as connection:
        live = await compare_live(connection, state)
    if not live:
        return []
    try:
        found = await compare(database, tail, source)
    except DataError:
        changed = [difference for difference in live if difference.what == "changed"]
        found = Comparison(audit.Reached(state.run, state.number), changed)
    return await repair(database, found, by)


async def repair(database: Database, found: Comparison, by: By) -> list[Difference]:
    """Make the rows what the journal says; each repair is in the audit log with what was there. Returns what was.

    Raises Conflict where the rows have moved on since they were compared. The audit log itself is never repaired.
    """
    mended = [difference for difference in found.differences if difference.table != audit_log.name]
    async with database.transaction() as connection:
        kept = (await connection.execute(select(projection).with_for_update())).one()
        if (kept.run, kept.number) != found.position:
            raise Conflict("the projection has moved on since the rows were compared: compare again")
        for difference in sorted(mended, key=_turn):
            await _mend(connection, difference)
        await audit.append(connection, [_entry(difference, by) for difference in mended])
    return mended


def _turn(difference: Difference) -> int:
    """Rows that should not be are deleted first, children before parents; then parents come before children."""
    order = metadata.sorted_tables.index(metadata.tables[difference.table])
    return -order - 1 if difference.expected is None else order


async def _mend(connection: AsyncConnection, difference: Difference) -> None:
    table = metadata.tables[difference.table]
    where = _is(table, tuple(difference.key.values()))
    if difference.expected is None:
        await connection.execute(delete(table).where(*where))
    elif difference.found is None:
        await connection.execute(insert(table).values(difference.expected))
    else:
        await connection.execute(update(table).where(*where).values(difference.expected))


def _entry(difference: Difference, by: By) -> AuditEntry:
    return AuditEntry(
        ts=by.now,
        trace_id=difference.trace_id or "repair",
        actor=by.actor,
        action="repair",
        entity_kind=difference.table,
        entity=to_json(difference.key),
        old=None if difference.found is None else to_json(difference.found),
        new=None if difference.expected is None else to_json(difference.expected),
        reason=f"{difference.what}: the journal says otherwise",
    )


async def demand_all_runs(connection: AsyncConnection, tail: JournalTail) -> None:
    """Raise DataError where a run has rows and its journal is gone."""
    there = set(tail.runs())
    named = (await connection.execute(select(runs.c.name).order_by(runs.c.name))).scalars()
    gone = [name for name in named if name not in there]
    if gone:
        raise DataError(
            f"the journals of {len(gone)} runs that have rows are not in the state folder (first {gone[0]}): "
            "put them back; rows cannot be compared with a part of the journal"
        )


# --- comparing two streams of rows ------------------------------------------------------------------------------------


async def _differences(found: AsyncConnection, expected: AsyncConnection) -> AsyncIterator[Difference]:
    limits = {row.table_name: row.before_ts for row in await found.execute(select(pruned))}
    for table in (*COMPARED, audit_log):
        since = limits.get(table.name)
        async for difference in _merge(table, _rows(found, table, since), _rows(expected, table, since)):
            yield difference


async def _rows(connection: AsyncConnection, table: Table, since: int | None) -> AsyncIterator[Values]:
    """Rows by their keys; of the audit log those that a journal tells."""
    keys = [table.c[name] for name in _key_names(table)]
    # Both engines must agree on the order of texts: by their bytes.
    in_bytes = connection.dialect.name == POSTGRESQL
    order = [collate(key, "C") if in_bytes and isinstance(key.type, String) else key for key in keys]
    query = select(table).order_by(*order).execution_options(yield_per=_CHUNK)
    if since is not None:
        query = query.where(table.c.ts >= since)
    if table is audit_log:
        query = query.where(table.c.run.is_not(None))
    async with connection.stream(query) as result:
        async for row in result:
            yield _values(row)


async def _merge(
    table: Table, found: AsyncIterator[Values], expected: AsyncIterator[Values]
) -> AsyncIterator[Difference]:
    names = _key_names(table)
    one, other = await anext(found, None), await anext(expected, None)
    while one is not None or other is not None:
        first = None if one is None else tuple(one[name] for name in names)
        second = None if other is None else tuple(other[name] for name in names)
        key = min(value for value in (first, second) if value is not None)
        difference = _difference(table, key, one if first == key else None, other if second == key else None)
        if difference is not None:
            yield difference
        if first == key:
            one = await anext(found, None)
        if second == key:
            other = await anext(expected, None)


def _difference(table: Table, key: Key, found: Values | None, expected: Values | None) -> Difference | None:
    trace = str((expected or found or {}).get("trace_id") or "")
    label = dict(zip(_key_names(table), key, strict=True))
    name = str(table.name)
    if found is None or expected is None:
        return Difference(name, label, found, expected, trace)
    wrong = [column for column in expected if column not in _CHAINED and found[column] != expected[column]]
    if not wrong:
        return None
    return Difference(name, label, {c: found[c] for c in wrong}, {c: expected[c] for c in wrong}, trace)


def _key_names(table: Table) -> list[str]:
    """What rows are compared by: of the audit log, whose own numbers count other records too, the place in the journal."""
    return list(_PLACE) if table is audit_log else [str(column.name) for column in table.primary_key.columns]


_PLACE = ("run", "number", "ordinal")
_CHAINED = frozenset(("id", "hash", "previous_hash"))
"""Not compared: records of operators and of repairs lie between those that the journal tells."""


def _is(table: Table, key: Key) -> list[Any]:
    return [column == value for column, value in zip(table.primary_key.columns, key, strict=True)]


def _values(row: Row[Any]) -> Values:
    return {str(name): value for name, value in row._mapping.items()}  # noqa: SLF001 - SQLAlchemy's public name for it
