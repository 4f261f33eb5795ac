"""Rows that operators own: a version on each, so that nobody overwrites what he has not read.

Parameters per instrument are kept for the parts that will have some; nothing in the engine reads them yet.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Table, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from stakan.adapters.sql import audit
from stakan.adapters.sql.batch import AuditEntry, By, Values
from stakan.adapters.sql.columns import to_json
from stakan.adapters.sql.database import Database
from stakan.adapters.sql.tables import finding_labels, findings, instrument_parameters, positions, trade_notes
from stakan.core.domain.errors import Conflict, DataError
from stakan.core.domain.findings import Label
from stakan.core.domain.ids import InstrumentId

ATTEMPTS = 20
"""How often a change is tried again when others are faster."""

R = TypeVar("R")


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument's own parameters; version 0 where there are none yet."""

    instrument: InstrumentId
    parameters: Mapping[str, Any] = {}
    version: int = 0
    changed_by: str = ""
    changed_ts: int = 0


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator has to say about a trade; version 0 where nothing is said yet."""

    run: str
    position: str
    note: str = ""
    version: int = 0
    changed_by: str = ""
    changed_ts: int = 0


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What a trader says of a finding; version 0 and no label where nothing is said yet."""

    finding: str
    label: Label | None = None
    version: int = 0
    changed_by: str = ""
    changed_ts: int = 0


async def parameters_of(database: Database, instrument: InstrumentId) -> Parameters:
    """As they are now."""
    found = await _read(database, instrument_parameters, {"instrument": instrument})
    return Parameters(**found) if found else Parameters(instrument=instrument)


async def save_parameters(database: Database, read: Parameters, parameters: Mapping[str, Any], by: By) -> Parameters:
    """Write parameters over those that were read; raises Conflict where somebody else was faster."""
    key = {"instrument": read.instrument}
    values = {"parameters": dict(parameters)}
    await _save(database, instrument_parameters, key, values, read.version, by, old=to_json(read.parameters))
    return msgspec.structs.replace(
        read, parameters=dict(parameters), version=read.version + 1, changed_by=by.actor, changed_ts=by.now
    )


async def change_parameters(
    database: Database, instrument: InstrumentId, change: Callable[[Mapping[str, Any]], Mapping[str, Any]], by: By
) -> Parameters:
    """Change parameters whatever others do meanwhile: read, change, write, and again where somebody was faster."""

    async def once() -> Parameters:
        read = await parameters_of(database, instrument)
        return await save_parameters(database, read, change(read.parameters), by)

    return await _until_saved(once)


async def note_of(database: Database, run: str, position: str) -> Note:
    """As it is now; raises DataError where there is no such trade."""
    async with database.reading() as connection:
        there = select(positions.c.id).where(positions.c.run == run, positions.c.id == position)
        if (await connection.execute(there)).first() is None:
            raise DataError(f"there is no trade {position} of run {run}: `stakan db trades` lists them")
    found = await _read(database, trade_notes, {"run": run, "position": position})
    return Note(**found) if found else Note(run=run, position=position)


async def save_note(database: Database, read: Note, note: str, by: By) -> Note:
    """Write a note over the one that was read; raises Conflict where somebody else was faster."""
    key = {"run": read.run, "position": read.position}
    await _save(database, trade_notes, key, {"note": note}, read.version, by, old=read.note)
    return msgspec.structs.replace(read, note=note, version=read.version + 1, changed_by=by.actor, changed_ts=by.now)


async def label_of(database: Database, finding: str) -> Judged:
    """As it is now; raises DataError where there is no such finding."""
    async with database.reading() as connection:
        there = select(findings.c.id).where(findings.c.id == finding)
        if (await connection.execute(there)).first() is None:
            raise DataError(f"there is no finding {finding}: `stakan findings list` lists them")
    found = await _read(database, finding_labels, {"finding": finding})
    return Judged(**{**found, "label": Label(found["label"])}) if found else Judged(finding=finding)


async def save_label(database: Database, read: Judged, label: Label, by: By) -> Judged:
    """Write a label over the one that was read; raises Conflict where somebody else was faster."""
    values = {"label": label.value}
    await _save(database, finding_labels, {"finding": read.finding}, values, read.version, by, old=read.label or "")
    return msgspec.structs.replace(read, label=label, version=read.version + 1, changed_by=by.actor, changed_ts=by.now)


# --- versions ---------------------------------------------------------------------------------------------------------


async def _until_saved(once: Callable[[], Awaitable[R]]) -> R:
    for _ in range(ATTEMPTS - 1):
        try:
            return await once()
        except Conflict:
            continue
    return await once()


async def _read(database: Database, table: Table, key: Values) -> Values | None:
    async with database.reading() as connection:
        query = select(table).where(*(table.c[name] == value for name, value in key.items()))
        row = (await connection.execute(query)).first()
    return dict(row._mapping) if row is not None else None  # noqa: SLF001 - SQLAlchemy's public name for it


async def _save(
    database: Database, table: Table, key: Values, values: Values, version: int, by: By, *, old: str
) -> None:
    stamped = {**values, "version": version + 1, "changed_by": by.actor, "changed_ts": by.now}
    name = " ".join(key.values())
    async with database.transaction(durable=True) as connection:
        if not await _written(connection, table, key, stamped, version):
            raise Conflict(f"{table.name} {name} has changed since version {version} was read: read it again")
        entry = AuditEntry(
            ts=by.now,
            trace_id=f"{table.name}:{name}",
            actor=by.actor,
            action="change",
            entity_kind=table.name,
            entity=name,
            old=old,
            new=to_json(values),
            context={"version": version + 1},
        )
        await audit.append(connection, [entry])


async def _written(connection: AsyncConnection, table: Table, key: Values, values: Values, version: int) -> bool:
    if version:
        same = [table.c[name] == value for name, value in key.items()]
        done = await connection.execute(update(table).where(*same, table.c.version == version).values(values))
        return bool(done.rowcount)
    try:
        await connection.execute(insert(table).values({**key, **values}))
    except IntegrityError:
        return False
    return True
