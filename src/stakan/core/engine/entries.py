"""From the market to an entry order: features, opinions, choice, checks, size, risk."""

import msgspec

from stakan.core.decision.checks import objection
from stakan.core.decision.choose import choose
from stakan.core.decision.suspicion import weigh
from stakan.core.domain.facts import EntryFeatures, IntentApproved, IntentRefused, SignalProposed, SignalRefused
from stakan.core.domain.ids import IntentId
from stakan.core.domain.orders import NewOrder, OrderType, Purpose
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Intent, Signal, TradingState
from stakan.core.domain.units import SECOND, Nanos, Ticks
from stakan.core.engine.account import account_for_entry
from stakan.core.engine.exits import RESTING
from stakan.core.engine.state import Entered, InstrumentState, Plan
from stakan.core.engine.turn import Turn
from stakan.core.features.further import Further
from stakan.core.features.vector import FeatureVector
from stakan.core.market.health import book_health
from stakan.core.plugins import Refusal, View
from stakan.core.risk._protection import too_small, unprotected

ENTRY_LEG = 0


def consider(turn: Turn, state: InstrumentState, view: View) -> None:
    """Ask every strategy, and act on at most one answer."""
    signals: list[Signal] = []
    for name, spec, memory in turn.strategies(state.rules.id):
        opinion = spec.decide(view, memory)
        if opinion is not None:
            # Whatever it says, a strategy speaks for itself and of the instrument that it was asked about.
            own = msgspec.structs.replace(opinion, strategy=name, instrument=state.rules.id)
            signal, veto = weigh(own, state.findings, state.rules, turn.config.suspicion, view.now)
            turn.note(SignalProposed(signal=signal))
            if veto is None:
                signals.append(signal)
            else:
                refuse(turn, signal, Refusal(Reason.MANIPULATION, veto))
    if not signals:
        return
    choice = choose(signals, turn.config.min_strength)
    for signal, reason, detail in choice.passed:
        refuse(turn, signal, Refusal(reason, detail))
    if choice.winner is None:
        return
    refusal = _closed_door(turn, state) or objection(choice.winner, state.rules, state.market, view.now)
    if refusal is not None:
        refuse(turn, choice.winner, refusal)
        return
    _enter(turn, state, choice.winner, view.features)


def record(turn: Turn, entered: Entered) -> None:
    """Note the features of the last step's entry: nothing has changed since, and its order did not wait for it."""
    state = turn.state.instruments[entered.instrument]
    features = state.features.read(state.market, entered.ts_event)
    further = Further(turn.feature_sets(entered.instrument), state.market, entered.ts_event)
    numbers = {**features.as_dict(), **further.as_dict()}
    turn.note(EntryFeatures(intent=entered.intent, instrument=entered.instrument, features=numbers))
    turn.state.entered = None


def refuse(turn: Turn, signal: Signal, refusal: Refusal) -> None:
    """Record that a signal did not become an intent."""
    turn.note(
        SignalRefused(
            instrument=signal.instrument,
            strategy=signal.strategy,
            side=signal.side,
            reason=refusal.reason,
            detail=refusal.detail,
        ),
    )


def _closed_door(turn: Turn, state: InstrumentState) -> Refusal | None:
    """Why nothing may be opened in this instrument now, whatever the signal."""
    if turn.state.trading is TradingState.HALTED:
        return Refusal(Reason.HALTED, f"halted: {turn.state.halted_for}")
    if turn.state.trading is TradingState.REDUCING:
        return _why_reducing(turn)
    if any(one.difference.instrument == state.rules.id for one in turn.state.suspected.values()):
        return Refusal(Reason.RECOVERING, "a reading of the account shows something else in it")
    portfolio = turn.state.portfolio
    if state.plan is not None or portfolio.position(state.rules.id) is not None:
        owner = state.plan.signal.strategy if state.plan is not None and state.plan.signal is not None else "nobody"
        return Refusal(Reason.POSITION_EXISTS, f"owned by {owner}")
    if portfolio.orders.of(state.rules.id):
        return Refusal(Reason.ENTRY_IN_FLIGHT, "an order is still on its way")
    if turn.now < state.cool_until:
        return Refusal(Reason.COOLING_DOWN, f"another {(state.cool_until - turn.now) / SECOND:.1f} s")
    health = book_health(state.market.book, turn.now)
    if health.score < turn.config.min_book_health:
        return Refusal(Reason.BOOK_UNHEALTHY, f"{health.score:.2f}: {', '.join(health.reasons)}")
    return None


def _why_reducing(turn: Turn) -> Refusal:
    state = turn.state
    if state.stopping:
        return Refusal(Reason.STOPPING, "the run is about to end")
    if state.unread is not None:
        return Refusal(Reason.RECOVERING, f"the account was not compared yet: {state.unread}")
    if state.impaired:
        return Refusal(Reason.IMPAIRED, "; ".join(f"{part}: {why}" for part, why in state.impaired.items()))
    return Refusal(Reason.ENTRIES_PAUSED, "entries are paused")


def _enter(turn: Turn, state: InstrumentState, signal: Signal, features: FeatureVector) -> None:
    """Size an intent, ask risk, and send the order that carries its stop."""
    account = account_for_entry(turn, state)
    if account is None:
        refuse(turn, signal, Refusal(Reason.BOOK_UNHEALTHY, "something that counts has no mark price now"))
        return
    price = state.rules.price(signal.entry)
    size = turn.config.sizing.lots(state.rules, price, account.equity, signal.strength)
    intent = Intent(
        id=IntentId(f"{turn.config.run_epoch}-{turn.state.intents + 1}"),
        signal=signal,
        size=size,
        ts_recv=Nanos(turn.now),
    )
    turn.state.intents += 1
    # What makes an order possible and a position protected is not a matter of configuration.
    rules = (("protection", unprotected), ("size", too_small), *((n, r.refusal) for n, r in turn.config.risk_rules))
    for name, ask in rules:
        refusal = ask(intent, account)
        if refusal is not None:
            turn.note(IntentRefused(intent=intent, rule=name, reason=refusal.reason, detail=refusal.detail))
            return
    turn.note(IntentApproved(intent=intent))
    turn.state.entered = Entered(intent.id, signal.instrument, features.ts_event)
    _send(turn, state, intent)


def _send(turn: Turn, state: InstrumentState, intent: Intent) -> None:
    signal = intent.signal
    plan = Plan(intent=intent.id, signal=signal, entry_order=turn.order_id(intent.id, ENTRY_LEG, 0))
    state.plan = plan
    turn.submit(
        NewOrder(
            client_order_id=plan.entry_order,
            instrument=signal.instrument,
            intent=intent.id,
            purpose=Purpose.ENTRY,
            side=signal.side,
            size=intent.size,
            type=signal.type,
            price=Ticks(signal.entry) if signal.type is OrderType.LIMIT else None,
            time_in_force=signal.time_in_force,
            stop_loss=signal.stop_loss,
            take_profit=signal.take_profit,
        ),
        intent,
    )
    if signal.time_in_force in RESTING:
        turn.wake_at(f"entry {signal.instrument} {plan.intent}", turn.now + turn.config.entry_timeout_ns)
