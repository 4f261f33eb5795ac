"""Rows of the account as a whole: equity, trading state, and what operators asked for."""

from collections import Counter

from stakan.adapters.sql.folding.draft import Draft, builtins, plain
from stakan.adapters.sql.tables import equity_marks, operator_requests, risk_state
from stakan.core.domain.events import OperatorRequest, PauseEntries, ReleaseHalt, ResumeEntries
from stakan.core.domain.facts import (
    BalanceCorrected,
    EquityMarked,
    PartChanged,
    PositionClosed,
    RequestRepeated,
    TradingStateChanged,
)
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import DAY, MINUTE
from stakan.core.portfolio.money import minus, plus

_HALT_WORDS = {TradingState.HALTED: "halt", TradingState.REDUCING: "pause", TradingState.ACTIVE: "release"}


def marked(draft: Draft, fact: EquityMarked) -> None:
    """Equity at mark. The curve has a row a minute, and one for every closed position; the risk row has them all."""
    equity = plus(fact.balance, fact.unrealised_pnl)
    minute = draft.ts // MINUTE
    if minute != draft.state.account.marked_minute or any(isinstance(other, PositionClosed) for other in draft.facts):
        draft.state.account.marked_minute = minute
        draft.insert(
            equity_marks,
            balance=fact.balance,
            unrealised_pnl=fact.unrealised_pnl,
            equity=equity,
            exposure=fact.exposure,
        )
    memory = draft.state.account
    if memory.equity is None or draft.ts // DAY > memory.day:
        memory.day_start_equity = equity if memory.equity is None else memory.equity
        memory.day = draft.ts // DAY
    memory.peak_equity = equity if memory.equity is None else max(memory.peak_equity, equity)
    memory.equity = equity
    values = {"balance": fact.balance, "equity": equity, "exposure": fact.exposure}
    values |= {"peak_equity": memory.peak_equity, "day_start_equity": memory.day_start_equity}
    _write(draft, **values, day=memory.day)


def trading_changed(draft: Draft, fact: TradingStateChanged) -> None:
    """Active, reducing, halted."""
    memory = draft.state.account
    before = memory.trading
    if isinstance(draft.event, ReleaseHalt) and memory.reason == Reason.DAILY_LOSS and memory.equity is not None:
        # Acknowledged: the day's loss counts anew from here.
        memory.day_start_equity = memory.equity
    memory.trading, memory.reason = fact.state.value, fact.reason.value
    memory.detail, memory.since_ts = plain(fact.detail), draft.ts
    draft.note(type(fact).__name__, None, fact, draft.trace())
    draft.audit(
        _HALT_WORDS[fact.state],
        ("account", memory.name),
        trace=draft.trace(),
        change=(before, fact.state.value),
        reason=f"{fact.reason.value}: {fact.detail}",
    )
    if memory.equity is not None:
        _write(draft, day_start_equity=memory.day_start_equity)


def corrected(draft: Draft, fact: BalanceCorrected) -> None:
    """The exchange's balance was taken over; money that was moved in or out is no result of the day."""
    memory = draft.state.account
    change = minus(fact.after, fact.before)
    if memory.equity is not None:
        memory.equity = plus(memory.equity, change)
        if fact.is_transfer:
            memory.day_start_equity = plus(memory.day_start_equity, change)
            memory.peak_equity = plus(memory.peak_equity, change)
    draft.note(type(fact).__name__, None, fact, draft.trace())
    draft.audit(
        "repair",
        ("account", memory.name),
        trace=draft.trace(),
        change=(f"{fact.before:f}", f"{fact.after:f}"),
        reason="money was moved in or out" if fact.is_transfer else "a result that was never told",
    )


def part_changed(draft: Draft, fact: PartChanged) -> None:
    """Something that trading relies on went away, or came back."""
    draft.note(type(fact).__name__, None, fact, draft.trace())
    action = "impaired" if fact.why is not None else "restored"
    draft.audit(action, ("part", plain(fact.part)), trace=draft.trace(), reason=fact.why or "")


def carry_on(draft: Draft) -> None:
    """A run begins with what another left: a halt and a pause outlive it, what else had reduced trading does not."""
    memory = draft.state.account
    if memory.trading == TradingState.REDUCING and not memory.is_paused:
        memory.trading, memory.reason, memory.detail = TradingState.ACTIVE.value, "", "a run has begun"


def requested(draft: Draft, event: OperatorRequest) -> None:
    """What a person asked for, and what the step made of it."""
    if not any(isinstance(fact, RequestRepeated) for fact in draft.facts):
        _remember_pause(draft, event)
    outcome = {
        "facts": dict(Counter(type(fact).__name__ for fact in draft.facts)),
        "commands": dict(Counter(type(command).__name__ for command in draft.commands)),
    }
    kind = type(event).__name__
    draft.insert(
        operator_requests,
        request_id=plain(event.request_id),
        actor=plain(event.actor),
        kind=kind,
        request=builtins(event),
        outcome=outcome,
    )
    draft.audit(
        "request",
        ("request", plain(event.request_id)),
        trace=draft.trace(),
        change=(None, kind),
        context={"request": builtins(event), **outcome},
    )


def _remember_pause(draft: Draft, event: OperatorRequest) -> None:
    match event:
        case PauseEntries():
            draft.state.account.is_paused = True
        case ResumeEntries():
            draft.state.account.is_paused = False
        case _:
            pass


def _write(draft: Draft, **values: object) -> None:
    memory = draft.state.account
    state = {
        "run": draft.state.run,
        "number": draft.state.number,
        "ts": draft.ts,
        "trading": memory.trading,
        "reason": memory.reason,
        "detail": memory.detail,
        "trading_since_ts": memory.since_ts,
    }
    if memory.name in draft.state.known_accounts:
        draft.change(risk_state, (memory.name,), **state, **values)
    else:
        draft.state.known_accounts.add(memory.name)
        draft.batch.insert(risk_state, {"account": memory.name, **state, **values})
