"""Rows of positions, fills and funding: every amount as the ledger booked it."""

from decimal import Decimal

from stakan.adapters.sql.folding.draft import EXCHANGE, Draft, builtins, plain, side_name
from stakan.adapters.sql.folding.state import PositionMemory, PositionRow
from stakan.adapters.sql.tables import fills, funding_payments, position_transitions, positions
from stakan.core.domain.events import AccountRead, FundingCharged, ProtectionChanged
from stakan.core.domain.facts import (
    Discrepancy,
    ExitDecided,
    FillBooked,
    FundingBooked,
    PositionClosed,
    PositionTransitioned,
)
from stakan.core.domain.orders import PositionStatus
from stakan.core.domain.reasons import Reason
from stakan.core.domain.units import Ticks
from stakan.core.portfolio.money import minus, per_unit, plus


def transitioned(draft: Draft, fact: PositionTransitioned) -> None:
    """A position came into being, or changed its status."""
    memory = draft.state.positions.get(fact.position)
    if fact.before is None:
        if memory is not None:
            _release(draft, memory)
        memory = _begun(draft, fact)
    trace = draft.trace(fact)
    if memory is not None:
        draft.insert(
            position_transitions,
            trace_id=trace,
            position_run=memory.row.run,
            position=fact.position,
            before_status=fact.before.value if fact.before is not None else None,
            after_status=fact.after.value,
            side=side_name(fact.side),
            size_lots=fact.size,
            cause=plain(fact.cause),
        )
        _advance(draft, memory, fact)
    else:
        draft.note(type(fact).__name__, fact.instrument, fact, trace)
    draft.audit(
        "position",
        ("position", fact.position),
        trace=trace,
        actor=draft.teller,
        change=(fact.before.value if fact.before is not None else None, fact.after.value),
        reason=fact.cause,
        context={"side": side_name(fact.side), "size_lots": fact.size, "strategy": fact.strategy},
    )


def _begun(draft: Draft, fact: PositionTransitioned) -> PositionMemory:
    approved = draft.approved.get(fact.intent)
    row = PositionRow(
        run=draft.state.run,
        id=fact.position,
        number=draft.state.number,
        instrument=fact.instrument,
        intent=fact.intent,
        trace_id=draft.trace(fact),
        strategy=fact.strategy,
        side=side_name(fact.side),
        status=fact.after.value,
        size_lots=fact.size,
        max_size_lots=fact.size,
        max_size=draft.rules(fact.instrument).size(fact.size),
        entry_reason="; ".join(approved.intent.signal.reasons) if approved is not None else plain(fact.cause),
        created_ts=draft.ts,
    )
    at_entry = None
    if approved is not None:
        intent = approved.intent
        at_entry = {"signal": builtins(intent.signal), "size_lots": intent.size}
    memory = PositionMemory(row=row)
    draft.state.positions[fact.position] = memory
    draft.insert_row(positions, row, at_entry=at_entry, at_exit=None)
    return memory


def _advance(draft: Draft, memory: PositionMemory, fact: PositionTransitioned) -> None:
    row = memory.row
    _set(draft, row, status=fact.after.value, side=side_name(fact.side), size_lots=int(fact.size))
    if fact.after is PositionStatus.OPEN and row.opened_ts is None:
        _set(draft, row, opened_ts=draft.ts)
    if fact.after is PositionStatus.CLOSING:
        _set(draft, row, exit_reason=plain(fact.cause))
    if fact.after is PositionStatus.CLOSED:
        _set(draft, row, is_live=False, closed_ts=draft.ts, exit_reason=plain(fact.cause))


def filled(draft: Draft, fact: FillBooked) -> None:
    """An execution entered position and ledger."""
    rules = draft.rules(fact.instrument)
    memory = draft.state.positions.get(fact.position)
    value = rules.notional(fact.price, fact.size)
    draft.insert(
        fills,
        trace_id=draft.trace(fact),
        execution_id=plain(fact.execution_id),
        instrument=fact.instrument,
        client_order_id=fact.client_order_id or None,
        position_run=memory.row.run if memory is not None else None,
        position=fact.position,
        side=side_name(fact.side),
        price_ticks=fact.price,
        price=rules.price(fact.price),
        size_lots=fact.size,
        size=rules.size(fact.size),
        notional=value,
        fee=fact.fee,
        realised_pnl=fact.realised_pnl,
        is_maker=fact.is_maker,
        origin=fact.origin.value,
        ts_event=fact.ts_event,
        mid_ticks=fact.mid_ticks,
    )
    if memory is not None:
        _book(draft, memory, fact, value)


def _book(draft: Draft, memory: PositionMemory, fact: FillBooked, value: Decimal) -> None:
    row, rules = memory.row, draft.rules(fact.instrument)
    # Of an empty position the first fill decides the side.
    opens = row.size_lots == 0 or row.side == side_name(fact.side)
    if opens:
        memory.entered_lots += fact.size
        memory.entry_value = plus(memory.entry_value, value)
        price = per_unit(memory.entry_value, rules.size(memory.entered_lots))
        largest = max(row.max_size_lots, row.size_lots + fact.size)
        _set(draft, row, side=side_name(fact.side), size_lots=row.size_lots + fact.size, entry_price=price)
        _set(draft, row, max_size_lots=largest, max_size=rules.size(largest))
    else:
        memory.exited_lots += fact.size
        memory.exit_value = plus(memory.exit_value, value)
        price = per_unit(memory.exit_value, rules.size(memory.exited_lots))
        _set(draft, row, size_lots=row.size_lots - fact.size, exit_price=price)
        _picture_of_exit(draft, memory, fact)
    _pay(draft, row, realised=fact.realised_pnl, fee=fact.fee)


def _picture_of_exit(draft: Draft, memory: PositionMemory, fact: FillBooked) -> None:
    picture = {
        "decided": memory.leaving,
        "signal": memory.wish,
        "origin": fact.origin.value,
        "price_ticks": fact.price,
        "mid_ticks": fact.mid_ticks,
    }
    draft.change(positions, _key(memory.row), at_exit=picture)


def _pay(
    draft: Draft,
    row: PositionRow,
    realised: Decimal = Decimal(0),
    fee: Decimal = Decimal(0),
    funding: Decimal = Decimal(0),
) -> None:
    gross, fees, paid = plus(row.realised_pnl, realised), plus(row.fees, fee), plus(row.funding, funding)
    net = minus(gross, plus(fees, paid))
    _set(draft, row, realised_pnl=gross, fees=fees, funding=paid, net_pnl=net)


def closed(draft: Draft, fact: PositionClosed) -> None:
    """The whole story, as the engine tells it."""
    memory = draft.state.positions.get(fact.position)
    if memory is None:
        draft.note(type(fact).__name__, fact.instrument, fact, draft.trace(fact))
        return
    row = memory.row
    _set(draft, row, entry_price=fact.entry_price, exit_price=fact.exit_price, exit_reason=plain(fact.exit_reason))
    net = minus(fact.gross_pnl, plus(fact.fees, fact.funding))
    _set(draft, row, realised_pnl=fact.gross_pnl, fees=fact.fees, funding=fact.funding, net_pnl=net)
    size = draft.rules(fact.instrument).size(fact.size)
    _set(draft, row, max_size_lots=int(fact.size), max_size=size, opened_ts=int(fact.opened_ts))
    _set(draft, row, closed_ts=int(fact.closed_ts))


def funded(draft: Draft, fact: FundingBooked) -> None:
    """A funding payment; of the position that is open in the instrument, where there is one."""
    memory = draft.state.position_in(fact.instrument)
    told = draft.event if isinstance(draft.event, FundingCharged) else None
    draft.insert(
        funding_payments,
        trace_id=draft.trace(fact),
        execution_id=plain(fact.execution_id),
        instrument=fact.instrument,
        position_run=memory.row.run if memory is not None else None,
        position=memory.row.id if memory is not None else None,
        amount=fact.amount,
        rate=told.rate if told is not None else None,
        mark=told.mark if told is not None else None,
        position_lots=told.position if told is not None else None,
    )
    if memory is not None:
        _pay(draft, memory.row, funding=fact.amount)


def protected(draft: Draft, event: ProtectionChanged) -> None:
    """The exchange's stop and target; an older message does not replace a newer one."""
    memory = draft.state.position_in(event.instrument)
    if memory is not None and event.ts_event >= memory.protection_ts:
        memory.protection_ts = event.ts_event
        _protect(draft, memory, event.stop_loss, event.take_profit, event.why)


def take_over(draft: Draft) -> None:
    """At the end of a moment: what a reading of the account told of stops, where our books were mended by it."""
    reading = draft.event
    if not isinstance(reading, AccountRead):
        return
    mended = {fact.instrument for fact in draft.facts if isinstance(fact, Discrepancy) and fact.subject in _MENDED}
    for told in reading.positions:
        memory = draft.state.position_in(told.instrument)
        if told.instrument in mended and memory is not None and reading.ts_event >= memory.protection_ts:
            memory.protection_ts = reading.ts_event
            _protect(draft, memory, told.stop_loss, told.take_profit, "as read")


_MENDED = ("position", "protection")


def _protect(draft: Draft, memory: PositionMemory, stop: Ticks | None, target: Ticks | None, why: str) -> None:
    rules = draft.rules(memory.row.instrument)
    price = None if stop is None else rules.price(stop)
    before = memory.row.stop_loss
    _set(draft, memory.row, stop_loss=price, take_profit=None if target is None else rules.price(target))
    if price != before:
        draft.audit(
            "stop",
            ("position", memory.row.id),
            trace=memory.row.trace_id,
            actor=EXCHANGE,
            change=(None if before is None else f"{before:f}", None if price is None else f"{price:f}"),
            reason=why,
        )


def leaving(draft: Draft, fact: ExitDecided) -> None:
    """Remember why a position is being closed, for its exit order and its story."""
    memory = draft.state.position_in(fact.instrument)
    closes = fact.reason is not Reason.ENTRY_TIMED_OUT and (fact.exit is None or fact.exit.close)
    if memory is not None and closes:
        memory.leaving = fact.reason.value
        memory.wish = builtins(fact.exit) if fact.exit is not None else None


def forget_closed(draft: Draft) -> None:
    """At the end of a moment: closed positions are not followed any more."""
    done = [key for key, memory in draft.state.positions.items() if not memory.row.is_live]
    for key in done:
        del draft.state.positions[key]


def give_up(draft: Draft) -> None:
    """A run that carries nothing on has begun: what was live is followed no more, its last known status stays."""
    for memory in list(draft.state.positions.values()):
        _release(draft, memory)


def _release(draft: Draft, memory: PositionMemory) -> None:
    _set(draft, memory.row, is_live=False)
    del draft.state.positions[memory.row.id]


def _set(draft: Draft, row: PositionRow, **values: object) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    draft.change(positions, _key(row), **values)


def _key(row: PositionRow) -> tuple[str, str]:
    return row.run, row.id
