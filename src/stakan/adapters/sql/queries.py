"""What people ask the database. Sums of money are made from exact values here, as SQLite would add them as floats."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Numeric, Row, Select, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from stakan.adapters.sql.batch import Values
from stakan.adapters.sql.columns import from_json
from stakan.adapters.sql.database import Database
from stakan.adapters.sql.tables import (
    audit_log,
    decisions,
    fills,
    findings,
    funding_payments,
    instruments,
    level_tests,
    order_transitions,
    orders,
    position_transitions,
    positions,
    system_events,
    trade_notes,
)
from stakan.core.portfolio.money import per_unit, total


class Span(msgspec.Struct, frozen=True):
    """From a moment on, up to another; nanoseconds."""

    start: int = 0
    stop: int = 2**62


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """An order that may still be filled."""

    client_order_id: str
    instrument: str
    intent: str
    strategy: str
    purpose: str
    side: str
    type: str
    price: Decimal | None
    size: Decimal
    filled: Decimal
    status: str
    outcome_unknown: bool
    submitted_ts: int


class TradeLine(msgspec.Struct, frozen=True, kw_only=True):
    """A closed position."""

    run: str
    id: str
    instrument: str
    intent: str
    strategy: str
    side: str
    max_size: Decimal
    entry_price: Decimal | None
    exit_price: Decimal | None
    realised_pnl: Decimal
    fees: Decimal
    funding: Decimal
    net_pnl: Decimal
    entry_reason: str
    exit_reason: str | None
    opened_ts: int
    closed_ts: int
    note: str | None


class GroupLine(msgspec.Struct, frozen=True, kw_only=True):
    """Closed positions that have something in common."""

    name: str
    trades: int
    wins: int
    net_pnl: Decimal
    mean_pnl: Decimal
    best: Decimal
    worst: Decimal

    @property
    def win_rate(self) -> float:
        """0 to 1."""
        return self.wins / self.trades


class SignalLine(msgspec.Struct, frozen=True, kw_only=True):
    """How far a strategy's signals get, and what they earn."""

    strategy: str
    proposed: int
    passed_over: int
    refused: int
    approved: int
    filled: int
    """Positions that opened."""
    closed: int
    wins: int
    net_pnl: Decimal
    refusals: dict[str, int]
    """Why not, most frequent first."""


class LevelLine(msgspec.Struct, frozen=True, kw_only=True):
    """A touch of a level of support or resistance that has ended."""

    ts: int
    trace_id: str
    instrument: str
    side: str
    """buy for support, which price came to from above."""
    price: float
    is_held: bool
    strength: float
    touches: int
    holds: int
    breaks: int
    began_ts: int
    touched_ts: int


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the audit log."""

    id: int
    run: str | None
    number: int | None
    ts: int
    trace_id: str
    actor: str
    action: str
    entity_kind: str
    entity: str
    old: str | None
    new: str | None
    reason: str
    context: Any
    success: bool


class TraceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One row of whatever table that belongs to a trace."""

    ts: int
    table: str
    row: dict[str, Any]


async def open_orders(database: Database) -> list[OrderLine]:
    """Orders that may still be filled, oldest first."""
    query = select(*_columns(orders, OrderLine)).where(orders.c.is_live).order_by(orders.c.submitted_ts)
    return [OrderLine(**_values(row)) for row in await _all(database, query)]


async def trades(database: Database, span: Span, limit: int) -> list[TradeLine]:
    """Positions that closed in a span of time, the newest first."""
    return await _trades(database, _closed(span).order_by(positions.c.closed_ts.desc()).limit(limit))


async def ranked_trades(database: Database, span: Span, limit: int, *, best: bool) -> list[TradeLine]:
    """The most profitable trades of a span, or those that lost most."""
    # As numbers: on SQLite money is text. Equal to 15 digits there, then exact.
    profit = cast(positions.c.net_pnl, Numeric)
    query = _closed(span).order_by(profit.desc() if best else profit.asc(), positions.c.closed_ts).limit(limit)
    found = await _trades(database, query)
    return sorted(found, key=lambda trade: trade.net_pnl, reverse=best)


async def exits_by_reason(database: Database, span: Span) -> list[GroupLine]:
    """Closed positions by why they were left, the most frequent first."""
    return _groups((trade.exit_reason or "", trade.net_pnl) for trade in await _trades(database, _closed(span)))


async def signal_efficiency(database: Database, span: Span) -> list[SignalLine]:
    """Per strategy: signals proposed, passed over, refused, approved, filled; what came of them."""
    async with database.reading() as connection:
        verdicts = await _verdicts(connection, span)
        results = await connection.execute(
            select(positions.c.strategy, positions.c.net_pnl, positions.c.is_live).where(
                positions.c.opened_ts.is_not(None),
                positions.c.created_ts >= span.start,
                positions.c.created_ts < span.stop,
            )
        )
        opened: dict[str, list[Any]] = defaultdict(list)
        for row in results:
            opened[row.strategy].append(row)
    names = sorted({name for name, _, _ in verdicts} | opened.keys())
    return [_signal_line(name, verdicts, opened[name]) for name in names]


async def levels_tested(database: Database, span: Span, instrument: str | None, limit: int) -> list[LevelLine]:
    """Touches of levels that ended in a span of time, the newest first; of one instrument, or of all."""
    query = (
        select(*_columns(level_tests, LevelLine), level_tests.c.price_ticks, instruments.c.tick_size)
        .join(instruments, instruments.c.id == level_tests.c.instrument)
        .where(level_tests.c.ts >= span.start, level_tests.c.ts < span.stop)
        .order_by(level_tests.c.ts.desc(), level_tests.c.number.desc(), level_tests.c.ordinal.desc())
        .limit(limit)
    )
    if instrument is not None:
        query = query.where(level_tests.c.instrument == instrument)
    lines = []
    for row in await _all(database, query):
        values = _values(row)
        price = values.pop("price_ticks") * float(values.pop("tick_size"))
        lines.append(LevelLine(**values, price=price))
    return lines


async def failures(database: Database, since: int, limit: int = 1_000) -> list[AuditLine]:
    """Operations that failed since a moment: orders rejected or failed, requests refused, discrepancies; newest first."""
    query = select(audit_log).where(~audit_log.c.success, audit_log.c.ts >= since)
    return await _audit(database, query.order_by(audit_log.c.id.desc()).limit(limit))


async def audit_of(database: Database, entity: str, limit: int = 1_000) -> list[AuditLine]:
    """Everything that happened to an order, a position, an instrument, a row; oldest first."""
    query = select(audit_log).where(audit_log.c.entity == entity)
    return await _audit(database, query.order_by(audit_log.c.id).limit(limit))


_TRACED = (
    findings,
    level_tests,
    decisions,
    orders,
    order_transitions,
    positions,
    position_transitions,
    fills,
    funding_payments,
    system_events,
)


async def trace(database: Database, trace_id: str) -> list[TraceLine]:
    """Everything of one trace, from the signal to the last audit record, in its order."""
    found: list[TraceLine] = []
    async with database.reading() as connection:
        for table in (*_TRACED, audit_log):
            query = select(table).where(table.c.trace_id == trace_id)
            for row in await connection.execute(query):
                values = _values(row)
                ts = values.get("ts") or values.get("submitted_ts") or values.get("created_ts") or 0
                found.append(TraceLine(ts=ts, table=str(table.name), row=values))
    order = {str(table.name): place for place, table in enumerate((*_TRACED, audit_log))}
    return sorted(found, key=lambda line: (line.ts, line.row.get("number") or 0, order[line.table]))


# --- parts ------------------------------------------------------------------------------------------------------------


def _closed(span: Span) -> Select[Any]:
    """Positions that were opened and closed, with their notes."""
    columns = [column for column in _columns(positions, TradeLine) if column.name != "note"]
    return (
        select(*columns, trade_notes.c.note)
        .outerjoin(trade_notes, (trade_notes.c.run == positions.c.run) & (trade_notes.c.position == positions.c.id))
        .where(
            positions.c.closed_ts >= span.start, positions.c.closed_ts < span.stop, positions.c.opened_ts.is_not(None)
        )
    )


async def _trades(database: Database, query: Select[Any]) -> list[TradeLine]:
    return [TradeLine(**_values(row)) for row in await _all(database, query)]


async def _audit(database: Database, query: Select[Any]) -> list[AuditLine]:
    lines = []
    for row in await _all(database, query):
        values = {name: value for name, value in _values(row).items() if name in AuditLine.__struct_fields__}
        lines.append(AuditLine(**{**values, "context": from_json(values["context"])}))
    return lines


async def _all(database: Database, query: Select[Any]) -> list[Any]:
    async with database.reading() as connection:
        return list((await connection.execute(query)).all())


def _columns(table: Any, kind: type[msgspec.Struct]) -> list[Any]:
    return [table.c[name] for name in kind.__struct_fields__ if name in table.c]


def _values(row: Row[Any]) -> Values:
    return {str(name): value for name, value in row._mapping.items()}  # noqa: SLF001 - SQLAlchemy's public name for it


def _groups(results: Iterable[tuple[str, Decimal]]) -> list[GroupLine]:
    groups: dict[str, list[Decimal]] = defaultdict(list)
    for name, pnl in results:
        groups[name].append(pnl)
    lines = [
        GroupLine(
            name=name,
            trades=len(pnls),
            wins=sum(pnl > 0 for pnl in pnls),
            net_pnl=total(pnls),
            mean_pnl=per_unit(total(pnls), Decimal(len(pnls))),
            best=max(pnls),
            worst=min(pnls),
        )
        for name, pnls in groups.items()
    ]
    return sorted(lines, key=lambda line: (-line.trades, line.name))


Verdicts = Mapping[tuple[str, str, str], int]
"""Decisions by strategy, verdict and reason."""


async def _verdicts(connection: AsyncConnection, span: Span) -> Verdicts:
    keys = (decisions.c.strategy, decisions.c.verdict, decisions.c.reason)
    query = (
        select(*keys, func.count())
        .where(decisions.c.ts >= span.start, decisions.c.ts < span.stop, decisions.c.verdict != "exit")
        .group_by(*keys)
    )
    return {(row[0], row[1], row[2]): int(row[3]) for row in await connection.execute(query)}


def _signal_line(strategy: str, verdicts: Verdicts, opened: list[Any]) -> SignalLine:
    own = {(verdict, reason): count for (name, verdict, reason), count in verdicts.items() if name == strategy}
    refusals: dict[str, int] = defaultdict(int)
    for (verdict, reason), count in own.items():
        if verdict in {"passed_over", "refused"}:
            refusals[reason] += count
    closed = [row.net_pnl for row in opened if not row.is_live]

    def counted(wanted: str) -> int:
        return sum(count for (verdict, _), count in own.items() if verdict == wanted)

    return SignalLine(
        strategy=strategy,
        proposed=counted("proposed"),
        passed_over=counted("passed_over"),
        refused=counted("refused"),
        approved=counted("approved"),
        filled=len(opened),
        closed=len(closed),
        wins=sum(pnl > 0 for pnl in closed),
        net_pnl=total(closed),
        refusals=dict(sorted(refusals.items(), key=lambda item: (-item[1], item[0]))),
    )
