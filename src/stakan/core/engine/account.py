"""Money at mark, as risk rules and the equity curve see it."""

from decimal import Decimal

from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import Nanos
from stakan.core.engine.exits import halt
from stakan.core.engine.state import InstrumentState
from stakan.core.engine.turn import Turn
from stakan.core.plugins import AccountView


def account_view(turn: Turn, state: InstrumentState) -> AccountView | None:
    """The account as a rule sees it for an intent in `state`; None where something that counts has no price."""
    marks = turn.marks()
    mark = marks.get(state.rules.id)
    if mark is None or not _all_marked(turn, marks):
        return None
    portfolio = turn.state.portfolio
    exposure = portfolio.mark(marks, Nanos(turn.now)).exposure
    equity = portfolio.ledger.equity
    return AccountView(
        instrument=state.rules,
        mark=mark,
        equity=equity,
        day_start_equity=portfolio.ledger.day_start_equity,
        free_balance=equity - exposure / turn.config.leverage,
        exposure=exposure,
        instrument_exposure=portfolio.exposure_of(state.rules.id, marks),
        open_positions=len(portfolio.positions.live),
        leverage=turn.config.leverage,
    )


def mark_equity(turn: Turn) -> None:
    """Mark equity on its grid, begin a new risk day at midnight UTC, and halt where a rule's limit is broken."""
    interval = turn.config.equity_interval_ns
    turn.state.next_equity_mark = (turn.now // interval + 1) * interval
    marks = turn.marks()
    if not _all_marked(turn, marks):
        return
    ledger = turn.state.portfolio.ledger
    day = ledger.day
    turn.note(turn.state.portfolio.mark(marks, Nanos(turn.now)))
    if ledger.day != day and turn.state.halted_for is Reason.DAILY_LOSS:
        turn.change_trading(TradingState.ACTIVE, Reason.DAILY_LOSS, "a new risk day has begun")
    _check_limits(turn)


def _all_marked(turn: Turn, marks: dict[InstrumentId, Decimal]) -> bool:
    return all(key in marks for key in turn.state.portfolio.busy_instruments())


def _check_limits(turn: Turn) -> None:
    if turn.state.trading is TradingState.HALTED:
        return
    state = next((value for value in turn.state.instruments.values() if value.market.mark() is not None), None)
    account = account_view(turn, state) if state is not None else None
    if account is None:
        return
    for _, rule in turn.config.risk_rules:
        breach = rule.breach(account)
        if breach is not None:
            halt(turn, breach.reason, breach.detail)
            return
