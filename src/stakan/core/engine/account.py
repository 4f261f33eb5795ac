"""Money at mark, as risk rules and the equity curve see it."""

from decimal import Decimal

from stakan.core.domain.facts import EquityMarked
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import TradingState
from stakan.core.engine.exits import halt
from stakan.core.engine.state import InstrumentState
from stakan.core.engine.turn import Turn
from stakan.core.plugins import AccountView


def account_view(turn: Turn, state: InstrumentState) -> AccountView | None:
    """The account as a rule sees it for an intent in `state`; None where something open has no price."""
    mark = state.market.mark()
    marks = turn.marks()
    portfolio = turn.state.portfolio
    if mark is None or any(key not in marks for key in portfolio.busy_instruments()):
        return None
    equity = portfolio.equity(marks)
    exposure = portfolio.exposure(marks)
    by_instrument = exposure.get(state.rules.id, Decimal(0))
    total = sum(exposure.values(), Decimal(0))
    return AccountView(
        instrument=state.rules,
        mark=mark,
        equity=equity,
        day_start_equity=portfolio.ledger.day_start_equity,
        free_balance=equity - total / turn.config.leverage,
        exposure=total,
        instrument_exposure=by_instrument,
        open_positions=sum(1 for value in turn.state.instruments.values() if value.plan is not None),
        leverage=turn.config.leverage,
    )


def mark_equity(turn: Turn) -> None:
    """Mark equity on its grid, begin a new risk day at midnight UTC, and halt where a rule's limit is broken."""
    interval = turn.config.equity_interval_ns
    turn.state.next_equity_mark = (turn.now // interval + 1) * interval
    marks = turn.marks()
    portfolio = turn.state.portfolio
    if any(key not in marks for key in portfolio.busy_instruments()):
        return
    equity = portfolio.equity(marks)
    if portfolio.ledger.begin_day(turn.now, equity) and turn.state.halted_for is Reason.DAILY_LOSS:
        turn.change_trading(TradingState.ACTIVE, Reason.DAILY_LOSS, "a new risk day has begun")
    turn.note(
        EquityMarked(
            balance=portfolio.ledger.balance,
            unrealised_pnl=equity - portfolio.ledger.balance,
            exposure=sum(portfolio.exposure(marks).values(), Decimal(0)),
        ),
    )
    _check_limits(turn)


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
