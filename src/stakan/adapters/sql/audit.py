"""The audit log as a chain: each record holds the hash of the one before it, so that none can be changed or taken out."""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from stakan.adapters.sql.batch import AuditEntry
from stakan.adapters.sql.columns import to_json
from stakan.adapters.sql.database import Database
from stakan.adapters.sql.tables import audit_head, audit_log

GENESIS = "0" * 64
"""What stands for the predecessor of the first record."""
_CHUNK = 5_000
_SEALED = (
    "id",
    "run",
    "number",
    "ordinal",
    "ts",
    "trace_id",
    "actor",
    "action",
    "entity_kind",
    "entity",
    "old",
    "new",
    "reason",
    "context",
    "success",
    "previous_hash",
)
"""The fields that a hash covers, in this order."""


class Reached(NamedTuple):
    """A place in the journal; later runs have greater names."""

    run: str
    number: int


class Link(NamedTuple):
    """A record of the chain."""

    id: int
    hash: str


BEGINNING = Link(0, GENESIS)


class Broken(msgspec.Struct, frozen=True):
    """The first record that is not what it was."""

    id: int
    why: str


class Chain(msgspec.Struct, frozen=True):
    """What a walk along the chain found."""

    records: int
    """Sound ones, from the first on."""
    broken: Broken | None


class Walk(NamedTuple):
    """How far a part of the chain is sound."""

    last: Link
    """The last sound record."""
    broken: Broken | None


def seal(record: dict[str, Any]) -> str:
    """The hash of a record: BLAKE2b, 256 bits, over the canonical JSON of its fields in their order."""
    content = to_json([record[name] for name in _SEALED])
    return hashlib.blake2b(content.encode(), digest_size=32).hexdigest()


async def append(connection: AsyncConnection, entries: Iterable[AuditEntry], reached: Reached | None = None) -> int:
    """Add entries to the end of the chain; returns how many.

    With `reached` the entries follow from the journal up to there: those that the log has already are left out, so
    that a journal can be projected again without telling everything twice. Whoever appends holds the end of the chain
    until the transaction ends.
    """
    head = (await connection.execute(select(audit_head).with_for_update())).one()
    told = Reached(head.run, head.number)
    records: list[dict[str, Any]] = []
    number, previous = head.id, head.hash
    for entry in entries:
        if entry.run is not None and entry.number is not None and Reached(entry.run, entry.number) <= told:
            continue
        number += 1
        record = msgspec.structs.asdict(entry)
        record |= {"id": number, "context": to_json(entry.context), "previous_hash": previous}
        previous = record["hash"] = seal(record)
        records.append(record)
    told = max(told, reached) if reached is not None else told
    if records:
        await connection.execute(insert(audit_log), records)
    await connection.execute(update(audit_head).values(id=number, hash=previous, run=told.run, number=told.number))
    return len(records)


async def verify(database: Database) -> Chain:
    """Walk the whole chain; the first broken link is named."""
    found = await walk(database, BEGINNING)
    return Chain(found.last.id, found.broken)


async def walk(database: Database, after: Link) -> Walk:
    """Walk the chain from behind a record to its end, or to the first broken link."""
    async with database.reading() as connection:
        head = (await connection.execute(select(audit_head))).one()
        last = after
        while True:
            query = select(audit_log).where(audit_log.c.id > last.id).order_by(audit_log.c.id).limit(_CHUNK)
            rows = (await connection.execute(query)).all()
            for row in rows:
                why = _fault(row, last)
                if why:
                    return Walk(last, Broken(min(row.id, last.id + 1), why))
                last = Link(row.id, row.hash)
            if len(rows) < _CHUNK:
                break
    if last != Link(head.id, head.hash):
        return Walk(last, Broken(last.id + 1, f"the log ends here, and should end with record {head.id}"))
    return Walk(last, None)


def _fault(row: Row[Any], last: Link) -> str:
    if row.id != last.id + 1:
        return f"the record is missing; the next one is {row.id}"
    if row.previous_hash != last.hash:
        return "it does not follow the record before it"
    if seal(dict(row._mapping)) != row.hash:  # noqa: SLF001 - SQLAlchemy's public name for it
        return "its content is not what was sealed"
    return ""
