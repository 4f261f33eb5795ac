"""The audit log that the journals of all lives become: sealed and verified as in a database, and held against engines.

What must be in it follows from the facts that engines told while they ran, not from the journals: what a journal has
lost is missed too.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import insert, select

from stakan.adapters.sql import audit
from stakan.adapters.sql.batch import AuditEntry
from stakan.adapters.sql.columns import from_json
from stakan.adapters.sql.database import Database, sqlite_url
from stakan.adapters.sql.tables import audit_head, audit_log, metadata
from stakan.core.domain.errors import StorageError
from stakan.core.domain.facts import AnyFact, ExitDecided, IntentApproved, OrderTransitioned, PositionTransitioned

_COMPARED = ("order", "position", "decision")
"""Actions of entries that each stand for one fact."""


class Told(NamedTuple):
    """What an entry says of an order, a position or a decision."""

    run: str
    number: int
    """Of the step."""
    action: str
    name: str
    """Of the order, the position or the intent; of the instrument where a way out was decided."""
    old: str | None
    new: str
    why: str
    lots: int | None


def expected(run: str, number: int, facts: Iterable[AnyFact]) -> Iterator[Told]:
    """What a step must have left in the log."""
    for fact in facts:
        match fact:
            case OrderTransitioned():
                name, lots = str(fact.client_order_id), int(fact.filled)
                yield Told(run, number, "order", name, _value(fact.before), fact.after.value, fact.cause, lots)
            case PositionTransitioned():
                name, lots = str(fact.position), int(fact.size)
                yield Told(run, number, "position", name, _value(fact.before), fact.after.value, fact.cause, lots)
            case IntentApproved():
                why, lots = "; ".join(fact.intent.signal.reasons), int(fact.intent.size)
                yield Told(run, number, "decision", str(fact.intent.id), None, "approved", why, lots)
            case ExitDecided():
                yield Told(run, number, "decision", str(fact.instrument), None, "exit", fact.reason.value, None)
            case _:
                pass


def problems(entries: Iterable[AuditEntry], told: Sequence[Told]) -> list[str]:
    """Where the chain of these entries is broken, and where they are not what must be there, in that order."""
    return asyncio.run(_problems(entries, told))


async def _problems(entries: Iterable[AuditEntry], told: Sequence[Told]) -> list[str]:
    database = Database(sqlite_url(Path(":memory:")))
    try:
        await write(database, entries)
        return await read(database, told)
    except StorageError as error:
        return [f"the audit log does not take what the journals tell: {error}"]
    finally:
        await database.close()


async def write(database: Database, entries: Iterable[AuditEntry]) -> None:
    """Seal entries into an empty database."""
    async with database.transaction() as connection:
        # The log alone: a seed has no time for all tables and their migrations, which are tested where they are made.
        await connection.run_sync(metadata.create_all, tables=[audit_log, audit_head])
        await connection.execute(insert(audit_head).values(single=1, id=0, hash=audit.GENESIS, run="", number=0))
        await audit.append(connection, entries)


async def read(database: Database, told: Sequence[Told]) -> list[str]:
    """What is wrong with a log: the first broken link of its chain, and how it differs from what must be in it."""
    chain = await audit.verify(database)
    broken = [] if chain.broken is None else [f"record {chain.broken.id} of the audit log: {chain.broken.why}"]
    query = select(audit_log).where(audit_log.c.action.in_(_COMPARED)).order_by(audit_log.c.id)
    async with database.reading() as connection:
        found = [_found(row) for row in await connection.execute(query)]
    return broken + list(differences(found, told))


def differences(found: Sequence[Told], told: Sequence[Told]) -> Iterator[str]:
    """Entries that are missing, that nothing stands behind, and the first one that is in another place."""
    if found == told:
        return
    missing, more = Counter(told) - Counter(found), Counter(found) - Counter(told)
    yield from (f"the audit log lacks {entry}" for entry in missing.elements())
    yield from (f"the audit log has {entry}, behind which nothing stands" for entry in more.elements())
    if not (missing or more):
        at, other = next(pair for pair in zip_longest(found, told) if pair[0] != pair[1])
        yield f"the audit log has {at} in the place of {other}"


def _found(row: Any) -> Told:
    context = from_json(row.context)
    is_exit = row.action == "decision" and row.new == "exit"
    return Told(
        run=row.run,
        number=row.number,
        action=row.action,
        # By a position's name the projection says more than the decision itself.
        name=context["instrument"] if is_exit else row.entity,
        old=row.old,
        new=row.new,
        why=row.reason,
        lots=context.get("filled_lots", context.get("size_lots")),
    )


def _value(status: Any) -> str | None:
    return None if status is None else str(status.value)
