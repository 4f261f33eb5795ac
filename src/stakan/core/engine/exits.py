"""Out of positions: by the strategy that owns them, by time, by the operator, by a halt; repeated until flat."""

from decimal import Decimal

from stakan.core.decision.checks import objection
from stakan.core.domain.commands import SetProtection
from stakan.core.domain.facts import ExitDecided
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import NewOrder, OrderType, PositionStatus, Purpose, TimeInForce
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import ExitSignal, Signal
from stakan.core.domain.units import DAY, Side, Ticks
from stakan.core.engine.state import InstrumentState
from stakan.core.engine.turn import Turn
from stakan.core.plugins import Holding, Refusal, Strategy, View
from stakan.core.portfolio.position import Position

EXIT_LEG = 1
_BPS = 10_000
RESTING = frozenset((TimeInForce.GTC, TimeInForce.POST_ONLY))
"""Orders that may wait in the book."""


def manage(turn: Turn, state: InstrumentState, view: View) -> None:
    """Ask the strategy that owns the position what it wants."""
    plan = state.plan
    position = turn.state.portfolio.position(state.rules.id)
    if plan is None or plan.closing is not None or position is None or position.status is not PositionStatus.OPEN:
        return
    signal = plan.signal
    if signal is None:
        return
    for name, spec, memory in turn.strategies(state.rules.id):
        if name != signal.strategy or type(spec).manage is Strategy.manage:
            # Another's, or one that leaves its exits to stop and take-profit: it need not be told what it holds.
            continue
        wish = spec.manage(view, memory, _holding(signal, position, state.rules))
        if wish is not None:
            _grant(turn, state, position, wish)


def watch_entry(turn: Turn, state: InstrumentState) -> Refusal | None:
    """Cancel a resting entry whose idea no longer stands; returns why, the first time."""
    plan = state.plan
    position = turn.state.portfolio.position(state.rules.id)
    if plan is None or plan.signal is None or position is None or position.status is not PositionStatus.OPENING:
        return None
    if plan.signal.time_in_force not in RESTING:
        return None
    refusal = objection(plan.signal, state.rules, state.market, plan.signal.ts_event)
    return refusal if refusal is not None and turn.cancel_entries(state.rules.id) else None


def close(turn: Turn, state: InstrumentState, reason: Reason, wish: ExitSignal | None = None) -> None:
    """Begin to leave an instrument: entries are cancelled, the position closed at market; stops stay until flat."""
    plan = state.plan
    if plan is None or plan.closing is not None:
        return
    plan.closing = reason
    turn.note(ExitDecided(instrument=state.rules.id, reason=reason, exit=wish))
    turn.cancel_entries(state.rules.id)
    push_close(turn, state)


def push_close(turn: Turn, state: InstrumentState) -> None:
    """Send a reduce-only market order for what is open, unless one is under way."""
    plan = state.plan
    position = turn.state.portfolio.position(state.rules.id)
    if plan is None or plan.closing is None or position is None or position.size == 0:
        return
    if turn.state.portfolio.orders.of(state.rules.id, Purpose.EXIT):
        return
    attempt = plan.exits
    plan.exits += 1
    turn.submit(
        NewOrder(
            client_order_id=turn.order_id(plan.intent, EXIT_LEG, attempt),
            instrument=state.rules.id,
            intent=plan.intent,
            purpose=Purpose.EXIT,
            side=position.side.opposite,
            size=min(position.size, state.rules.max_market_size),
            type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            reduce_only=state.rules.is_linear,
        ),
        why=plan.closing.value,
    )


def flatten(turn: Turn, reason: Reason, instrument: InstrumentId | None = None) -> None:
    """Close one instrument, or all; an entry that outlived its plan is cancelled too."""
    for key, state in turn.state.instruments.items():
        if instrument is None or key == instrument:
            turn.cancel_entries(key)
            close(turn, state, reason)


def halt(turn: Turn, reason: Reason, detail: str) -> None:
    """Flatten all and open nothing until released; an operator's halt outlives the day, whatever halted before."""
    state = turn.state
    if state.halted_for is None or reason is Reason.OPERATOR:
        state.halted_for = reason
        state.halted_day = turn.now // DAY
    turn.settle_trading(reason, detail)
    flatten(turn, reason)


def move_stop(turn: Turn, state: InstrumentState, position: Position, stop: Ticks) -> None:
    """Ask the exchange for another stop; the take-profit stays."""
    turn.ask(SetProtection(instrument=state.rules.id, stop_loss=stop, take_profit=position.take_profit))


def put_stop_back(turn: Turn, state: InstrumentState, position: Position) -> None:
    """Ask for the stop that a position should have: the last one wanted, else the signal's.

    A distance of mark where there is none, where it was refused, or where the market has passed it, so that it would be.
    """
    plan = state.plan
    signal = plan.signal if plan is not None else None
    stop = plan.wanted_stop if plan is not None else None
    if stop is None:
        stop = position.stop_loss
    if stop is None and signal is not None:
        stop = signal.stop_loss
    mark = state.last_mark or position.mark
    is_refused = plan is not None and plan.is_stop_refused
    if stop is None or is_refused or (mark is not None and (mark - state.rules.price(stop)) * position.side <= 0):
        stop = distant_stop(turn, state, position.side, mark)
    if stop is not None:
        move_stop(turn, state, position, stop)


def distant_stop(turn: Turn, state: InstrumentState, side: Side, price: Decimal | None) -> Ticks | None:
    """The configured distance away from a price; None where no price is known."""
    if not price:
        return None
    distance = price * Decimal(str(turn.config.orphan_stop_bps)) / _BPS
    return max(Ticks(1), state.rules.price_nearest(price - side * distance))


def _grant(turn: Turn, state: InstrumentState, position: Position, wish: ExitSignal) -> None:
    if wish.close:
        close(turn, state, Reason.EXIT_CONDITION, wish)
    elif wish.stop_loss is not None and _is_closer(position, wish.stop_loss):
        plan = state.plan
        assert plan is not None
        if plan.wanted_stop == wish.stop_loss:
            return
        plan.wanted_stop = wish.stop_loss
        turn.note(ExitDecided(instrument=state.rules.id, reason=Reason.EXIT_CONDITION, exit=wish))
        move_stop(turn, state, position, wish.stop_loss)


def _is_closer(position: Position, stop: Ticks) -> bool:
    """A strategy may only tighten a stop."""
    return position.stop_loss is None or (stop - position.stop_loss) * position.side > 0


def _holding(signal: Signal, position: Position, rules: Instrument) -> Holding:
    return Holding(
        side=position.side,
        size=position.size,
        entry=float(position.entry_price(rules) / rules.tick_size),
        stop_loss=position.stop_loss,
        take_profit=position.take_profit,
        opened_ts=position.opened_ts or position.created_ts,
        signal=signal,
    )
