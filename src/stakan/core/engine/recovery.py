"""Agreement with the exchange: readings of the account are compared with our books, and what is wrong for sure is mended.

Run twice, the second reading finds nothing (ADR 0013).
"""

import hashlib
from collections.abc import Collection
from decimal import Decimal
from typing import assert_never

from stakan.core.domain.commands import CancelOrder, ReadAccount, SetProtection
from stakan.core.domain.events import AccountRead, AccountUnread, FillOrigin, OrderFilled, ProtectionChanged
from stakan.core.domain.facts import AccountCompared, BalanceCorrected, Discrepancy, Repaired
from stakan.core.domain.ids import ClientOrderId, ExecutionId, InstrumentId
from stakan.core.domain.reasons import Reason
from stakan.core.domain.units import SECOND, Lots, Side, Ticks
from stakan.core.engine import exits, lifecycle
from stakan.core.engine.state import InstrumentState, Suspect
from stakan.core.engine.turn import Turn
from stakan.core.portfolio.position import Position
from stakan.core.portfolio.reconcile import (
    BalanceDiffers,
    Difference,
    OrderUnknown,
    PositionDiffers,
    ProtectionDiffers,
    reconcile,
)

PATIENCE_NS = 15 * SECOND
"""How long another position, or another balance while orders live, must last: executions may be told ten seconds late,
those of a stop or a liquidation too, and what is booked for them would be booked twice."""
_ACCOUNT = InstrumentId("")
"""In facts that are about no instrument."""
_DIGEST_BYTES = 10


def unread(turn: Turn, event: AccountUnread) -> None:
    """Open nothing until a reading agrees."""
    turn.state.unread = event.why
    turn.settle_trading(Reason.RECOVERING, event.why)
    if event.is_start:
        for key in turn.state.instruments:
            turn.cancel_entries(key)


def compare(turn: Turn, event: AccountRead) -> None:
    """Compare a reading with our books; mend what the reading before it has shown too."""
    state = turn.state
    moved = frozenset(key for key, one in state.instruments.items() if one.touched >= event.asked_ts)
    found = reconcile(state.portfolio, event, moved)
    certain = [difference for difference in found if _is_certain(turn, difference)]
    fresh = {
        difference.subject: Suspect(difference, _since(turn, difference))
        for difference in found
        if difference not in certain
    }
    # A reading says nothing of what moved meanwhile: neither that it differs nor that it does not.
    kept = {key: one for key, one in state.suspected.items() if _is_about(one.difference, moved)}
    guarded = [one for one in fresh.values() if one.since < turn.now]
    state.suspected = kept | fresh
    for difference in certain:
        _mend(turn, event, difference)
    for suspect in guarded:
        _guard(turn, suspect.difference)
    is_agreed = not found and not moved and not state.suspected and event.is_streaming
    turn.note(AccountCompared(differences=len(found), repaired=len(certain), is_agreed=is_agreed))
    if is_agreed:
        _agreed(turn)
    elif found or state.unread is not None:
        turn.ask(ReadAccount(why=", ".join(one.subject for one in found) or f"{len(moved)} instruments moved"))


def _is_about(difference: Difference, moved: Collection[InstrumentId]) -> bool:
    return bool(moved) if isinstance(difference, BalanceDiffers) else difference.instrument in moved


def _guard(turn: Turn, difference: Difference) -> None:
    """A position that is there for sure, whoever made it, does not wait for its booking without a stop."""
    if not isinstance(difference, PositionDiffers) or not difference.theirs or difference.protection[0] is not None:
        return
    state = turn.state.instruments[difference.instrument]
    side = Side.BUY if difference.theirs > 0 else Side.SELL
    stop = exits.distant_stop(turn, state, side, difference.entry or state.last_mark)
    if stop is not None:
        turn.ask(SetProtection(instrument=difference.instrument, stop_loss=stop, take_profit=difference.protection[1]))
        _repaired(turn, difference.instrument, "protection", f"asked for a stop at {stop} ticks")


def _agreed(turn: Turn) -> None:
    state = turn.state
    state.agreed_ts = turn.now
    state.is_mended = False
    if state.unread is not None:
        state.unread = None
        turn.settle_trading(Reason.RECOVERING, "books and exchange agree")


def _since(turn: Turn, difference: Difference) -> int:
    known = turn.state.suspected.get(difference.subject)
    return known.since if known is not None and known.difference == difference else turn.now


def _is_certain(turn: Turn, difference: Difference) -> bool:
    """Whether the reading before showed the same; for longer where executions may still explain it."""
    known = turn.state.suspected.get(difference.subject)
    if known is None or known.difference != difference:
        return False
    portfolio = turn.state.portfolio
    match difference:
        case PositionDiffers():
            is_busy = True
        case BalanceDiffers():
            is_busy = bool(portfolio.orders.live) or len(turn.state.suspected) > 1
        case _:
            is_busy = False
    return not is_busy or turn.now - known.since >= PATIENCE_NS


def _mend(turn: Turn, event: AccountRead, difference: Difference) -> None:
    match difference:
        case PositionDiffers():
            _mend_position(turn, event, difference)
        case ProtectionDiffers():
            _mend_protection(turn, event, difference)
        case OrderUnknown():
            _cancel(turn, difference)
        case BalanceDiffers():
            _correct(turn, difference)
        case _:
            assert_never(difference)


def _mend_position(turn: Turn, event: AccountRead, found: PositionDiffers) -> None:
    """A fill that nobody told of makes our position theirs; what it was worth shows in the balance."""
    state = turn.state.instruments[found.instrument]
    turn.state.is_mended = True
    _note(turn, found.instrument, "position", f"{found.ours} lots", f"{found.theirs} lots")
    change = found.theirs - found.ours
    fill = OrderFilled(
        ts_event=event.ts_event,
        ts_recv=turn.now,
        instrument=found.instrument,
        client_order_id=ClientOrderId(""),
        execution_id=_execution_id(found, event.asked_ts),
        side=Side.BUY if change > 0 else Side.SELL,
        price=_price(state, found),
        size=Lots(abs(change)),
        fee=Decimal(0),
        is_maker=False,
        origin=FillOrigin.REPAIR,
    )
    lifecycle.apply(turn, state, fill)
    # Should the execution be told after all, it must not meet a position that has nothing to do with it.
    state.cool_until = max(state.cool_until, turn.now + PATIENCE_NS)
    _repaired(turn, found.instrument, "position", f"booked {fill.execution_id}: {fill.side.name} {fill.size} lots")
    position = turn.state.portfolio.position(found.instrument)
    if position is None:
        return
    _take_over(turn, state, event, found.protection)
    if found.protection[0] is None:
        _put_stop_back(turn, state, position)


def _execution_id(found: PositionDiffers, asked_ts: int) -> ExecutionId:
    """Derived from what it mends: a replay makes the same one."""
    key = f"{found.instrument}|{found.ours}|{found.theirs}|{asked_ts}"
    return ExecutionId("repair-" + hashlib.blake2b(key.encode(), digest_size=_DIGEST_BYTES).hexdigest())


def _price(state: InstrumentState, found: PositionDiffers) -> Ticks:
    """Their entry where something was opened, the last mark where something was closed."""
    is_opening = abs(found.theirs) > abs(found.ours) and found.ours * found.theirs >= 0
    known = [found.entry, state.last_mark] if is_opening else [state.last_mark, found.entry]
    price = next((one for one in known if one), None)
    if price is not None:
        return max(Ticks(1), state.rules.price_nearest(price))
    return max(Ticks(1), Ticks(round(state.market.book.mid)))


def _mend_protection(turn: Turn, event: AccountRead, found: ProtectionDiffers) -> None:
    state = turn.state.instruments[found.instrument]
    _note(turn, found.instrument, "protection", _text(found.ours), _text(found.theirs))
    position = turn.state.portfolio.position(found.instrument)
    if position is None:
        return
    if found.theirs[0] is None:
        _put_stop_back(turn, state, position)
    _take_over(turn, state, event, found.theirs)


def _put_stop_back(turn: Turn, state: InstrumentState, position: Position) -> None:
    if state.plan is None:
        return
    # Also while it is closed: a close without an answer may take as long as decision 3's proof.
    exits.put_stop_back(turn, state, position)
    _repaired(turn, state.rules.id, "protection", "asked for the stop again")


def _take_over(
    turn: Turn, state: InstrumentState, event: AccountRead, protection: tuple[Ticks | None, Ticks | None]
) -> None:
    told = ProtectionChanged(
        ts_event=event.ts_event,
        ts_recv=turn.now,
        instrument=state.rules.id,
        stop_loss=protection[0],
        take_profit=protection[1],
        why="as read",
    )
    lifecycle.apply(turn, state, told)


def _cancel(turn: Turn, found: OrderUnknown) -> None:
    order = found.order
    expected = "an order of ours that lives"
    _note(turn, order.instrument, "open order", expected, f"{order.client_order_id or order.venue_order_id}")
    turn.ask(
        CancelOrder(
            instrument=order.instrument,
            client_order_id=order.client_order_id,
            venue_order_id=order.venue_order_id,
        )
    )
    _repaired(turn, order.instrument, "open order", f"cancelled {order.venue_order_id}")


def _correct(turn: Turn, found: BalanceDiffers) -> None:
    _note(turn, _ACCOUNT, "balance", str(found.ours), str(found.theirs))
    is_transfer = not turn.state.is_mended
    turn.state.portfolio.ledger.correct(found.theirs, turn.now, is_transfer=is_transfer)
    turn.note(BalanceCorrected(before=found.ours, after=found.theirs, is_transfer=is_transfer))


def _note(turn: Turn, instrument: InstrumentId, subject: str, expected: str, found: str) -> None:
    turn.note(Discrepancy(instrument=instrument, subject=subject, expected=expected, found=found))


def _repaired(turn: Turn, instrument: InstrumentId, subject: str, action: str) -> None:
    turn.note(Repaired(instrument=instrument, subject=subject, action=action))


def _text(protection: tuple[Ticks | None, Ticks | None]) -> str:
    return f"stop {protection[0]}, target {protection[1]} (ticks)"
