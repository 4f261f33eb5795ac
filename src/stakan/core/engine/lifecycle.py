"""What the exchange and the clock say about our orders and positions, and what follows from it."""

from stakan.core.detectors._aftermath import Aftermath
from stakan.core.domain.commands import RequestSnapshot
from stakan.core.domain.events import (
    CancelRejected,
    FundingCharged,
    OrderFilled,
    ProtectionChanged,
    ProtectionRejected,
    VenueEvent,
)
from stakan.core.domain.facts import (
    AnyFact,
    Discrepancy,
    ExitDecided,
    OrderTransitioned,
    PositionClosed,
    PositionTransitioned,
    ProtectionRefused,
)
from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import OrderStatus, PositionStatus
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Orphans
from stakan.core.domain.units import SECOND, Nanos, Ticks
from stakan.core.engine import account, exits, observers
from stakan.core.engine.state import InstrumentState, Plan, fresh_market
from stakan.core.engine.turn import Turn
from stakan.core.features.pipeline import FeaturePipeline
from stakan.core.portfolio.position import Position

OF_MISSING_STOPS = frozenset(("guard", "protect"))
"""Purposes of the timers that are set when it is told that a position has no stop."""
GUARD_NS = Nanos(SECOND)
"""How long a stop that is gone may be explained by executions that are told late, before it is asked for again."""
GUARD_AGAIN_NS = Nanos(SECOND // 2)
"""How long after a refusal another one, further away, is asked for: by then a newer mark is known."""


def apply(turn: Turn, state: InstrumentState, event: VenueEvent) -> None:
    """Book what the exchange says and do what follows."""
    if _changes(turn, event):
        # A reading of the account that was begun before says nothing.
        state.touched = turn.now
    facts = turn.state.portfolio.apply(event, state.market.book.mid)
    turn.note_all(facts)
    for fact in facts:
        _follow(turn, state, fact)
    match event:
        case ProtectionChanged(stop_loss=stop):
            _stop_is_told(turn, state, stop)
        case ProtectionRejected(why=why):
            turn.note(ProtectionRefused(instrument=state.rules.id, why=why))
            _stop_is_refused(turn, state)
        case CancelRejected(is_amendment=False, client_order_id=order):
            turn.wake_at(f"cancel {state.rules.id} {order}", turn.now + turn.config.close_retry_ns)
        case _:
            pass
    _take_new_grid(turn, state)


def _changes(turn: Turn, event: VenueEvent) -> bool:
    """Whether it moves what a reading of the account is compared with; a stop that is told once more does not."""
    match event:
        case OrderFilled() | FundingCharged():
            return True
        case ProtectionChanged():
            position = turn.state.portfolio.position(event.instrument)
            known = (None, None) if position is None else (position.stop_loss, position.take_profit)
            return known != (event.stop_loss, event.take_profit)
        case _:
            return False


def _follow(turn: Turn, state: InstrumentState, fact: AnyFact) -> None:
    match fact:
        case PositionTransitioned(after=PositionStatus.OPEN, before=None | PositionStatus.OPENING):
            _opened(turn, state)
        case PositionTransitioned(after=PositionStatus.CLOSED):
            _closed(turn, state)
        case PositionClosed():
            state.cool_until = turn.now + turn.config.cooldown_ns
            # The equity curve shows what a trade made at once, and the last one of a run is in it.
            account.mark_equity(turn)
        case OrderTransitioned(after=OrderStatus.REJECTED | OrderStatus.FAILED, client_order_id=order) if (
            state.plan is not None and order == state.plan.entry_order
        ):
            # Asked again at the next decision, it would be refused again.
            state.cool_until = turn.now + turn.config.cooldown_ns
        case Discrepancy(subject="opening fill"):
            _leave_what_was_not_asked_for(turn, state)
        case OrderTransitioned(after=after, client_order_id=order) if after.is_terminal and state.plan is not None:
            if order != state.plan.entry_order and state.plan.closing is not None:
                _exit_ended(turn, state, after)
        case _:
            pass


def _opened(turn: Turn, state: InstrumentState) -> None:
    """A first fill: its stop must be confirmed soon, and its time is limited."""
    plan = state.plan
    if plan is None:
        _leave_what_was_not_asked_for(turn, state)
        return
    key = f"{state.rules.id} {plan.intent}"
    turn.wake_at(f"protect {key}", turn.now + turn.config.protection_timeout_ns)
    if plan.signal is not None and plan.signal.horizon_ns is not None:
        turn.wake_at(f"horizon {key}", turn.now + plan.signal.horizon_ns)
    if plan.closing is not None:
        # The fill was in flight when the exit was decided.
        exits.push_close(turn, state)


def _stop_is_told(turn: Turn, state: InstrumentState, stop: Ticks | None) -> None:
    """Where the exchange holds none any more, e.g. because it is spent, what is left may not stay without one."""
    if state.plan is None:
        return
    state.plan.is_stop_refused = False
    if stop is None and _naked(turn, state) is not None:
        subject = f"{state.rules.id} {state.plan.intent}"
        for key, after in ((f"guard {subject}", GUARD_NS), (f"protect {subject}", turn.config.protection_timeout_ns)):
            if key not in turn.state.timers:
                turn.wake_at(key, turn.now + after)


def _stop_is_refused(turn: Turn, state: InstrumentState) -> None:
    """A wish may come again; a position without any stop gets another one, further away."""
    if state.plan is None:
        return
    state.plan.wanted_stop = None
    state.plan.is_stop_refused = True
    key = f"guard {state.rules.id} {state.plan.intent}"
    if key not in turn.state.timers and _naked(turn, state) is not None:
        turn.wake_at(key, turn.now + GUARD_AGAIN_NS)


def _naked(turn: Turn, state: InstrumentState) -> Position | None:
    """What is held there, if it has no stop."""
    position = turn.state.portfolio.position(state.rules.id)
    return position if position is not None and position.size > 0 and position.stop_loss is None else None


def _leave_what_was_not_asked_for(turn: Turn, state: InstrumentState) -> None:
    """A position without a plan, because nobody asked or its order was given up, or one larger than risk approved."""
    position = turn.state.portfolio.position(state.rules.id)
    if position is None:
        return
    is_adopted = state.plan is not None and state.plan.signal is None and state.plan.closing is None
    if is_adopted and turn.config.orphans is Orphans.ADOPT:
        return
    if state.plan is None:
        state.plan = Plan(intent=IntentId(f"orphan-{position.id}"), signal=None, entry_order=ClientOrderId(""))
        if turn.config.orphans is Orphans.ADOPT:
            turn.wake_at(f"protect {state.rules.id} {state.plan.intent}", turn.now + turn.config.protection_timeout_ns)
            return
    exits.close(turn, state, Reason.ORPHAN)


def _closed(turn: Turn, state: InstrumentState) -> None:
    if state.plan is None:
        return
    turn.cancel_entries(state.rules.id)
    state.plan = None


def _exit_ended(turn: Turn, state: InstrumentState, after: OrderStatus) -> None:
    """An exit order is over; if something is still open, try again after a pause."""
    position = turn.state.portfolio.position(state.rules.id)
    if position is None or position.size == 0 or state.plan is None:
        return
    if after is OrderStatus.FILLED:
        exits.push_close(turn, state)
    else:
        turn.wake_at(f"close {state.rules.id} {state.plan.intent}", turn.now + turn.config.close_retry_ns)


def timer_fired(turn: Turn, key: str) -> None:
    """A timer that we asked for: its key is purpose, instrument, and the intent or order that it is about."""
    if turn.state.timers.pop(key, None) is None:
        return
    purpose, instrument, subject = key.split(" ")
    state = turn.state.instruments[InstrumentId(instrument)]
    if purpose == "cancel":
        if ClientOrderId(subject) in turn.state.portfolio.orders.live:
            turn.cancel_entries(state.rules.id)
        return
    if state.plan is None or state.plan.intent != subject:
        return
    naked = _naked(turn, state)
    match purpose:
        case "entry":
            if turn.cancel_entries(state.rules.id):
                turn.note(ExitDecided(instrument=state.rules.id, reason=Reason.ENTRY_TIMED_OUT))
        case "horizon":
            exits.close(turn, state, Reason.HORIZON_REACHED)
        case "close":
            exits.push_close(turn, state)
        case "guard" if naked is not None:
            exits.put_stop_back(turn, state, naked)
        case "protect" if naked is not None:
            exits.close(turn, state, Reason.UNPROTECTED)
            # It may take as long as decision 3's proof until a close is known to be lost: the stop is asked for too.
            exits.put_stop_back(turn, state, naked)
            turn.wake_at(key, turn.now + turn.config.protection_timeout_ns)
        case _:
            pass


def change_rules(turn: Turn, state: InstrumentState, rules: Instrument) -> None:
    """Take new rules of an instrument; a new grid waits until nothing of ours is expressed in the old one."""
    old = state.rules
    if (rules.tick_size, rules.lot_size) == (old.tick_size, old.lot_size):
        state.rules, state.new_rules = rules, None
        turn.state.portfolio.set_rules(rules)
        return
    state.new_rules = rules
    state.interrupt()
    observers.restart(turn, state)
    if _take_new_grid(turn, state):
        return
    expected = f"tick {old.tick_size}, lot {old.lot_size}"
    found = f"tick {rules.tick_size}, lot {rules.lot_size}"
    turn.note(Discrepancy(instrument=old.id, subject="instrument rules", expected=expected, found=found))
    exits.close(turn, state, Reason.RULES_CHANGED)


def _take_new_grid(turn: Turn, state: InstrumentState) -> bool:
    """Begin anew on another grid, once nothing of ours is in units that no longer exist; says whether it did."""
    if state.new_rules is None or state.plan is not None or state.rules.id in turn.state.portfolio.busy_instruments():
        return False
    state.rules = state.new_rules
    state.new_rules = None
    state.market = fresh_market(turn.config, state.rules)
    state.features = FeaturePipeline.start(state.rules, turn.config.features)
    state.findings, state.aftermath = [], Aftermath()
    turn.observe_anew(state.rules)
    turn.state.portfolio.set_rules(state.rules)
    turn.ask(RequestSnapshot(instrument=state.rules.id))
    return True
