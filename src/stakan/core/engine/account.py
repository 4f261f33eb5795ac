"""Money at mark, as risk rules and the equity curve see it."""

from collections.abc import Mapping
from decimal import Decimal

from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import DAY, Nanos
from stakan.core.engine.config import EngineConfig
from stakan.core.engine.exits import halt
from stakan.core.engine.state import InstrumentState
from stakan.core.engine.turn import Turn
from stakan.core.plugins import AccountView

Marks = Mapping[InstrumentId, Decimal]


def account_for_entry(turn: Turn, state: InstrumentState) -> AccountView | None:
    """The account as a rule sees it for an intent in `state`; None where something that counts has no price now."""
    counts = dict.fromkeys((state.rules.id, *turn.state.portfolio.busy_instruments()))
    marks = turn.marks(counts)
    if len(marks) < len(counts):
        return None
    turn.state.portfolio.value(marks, Nanos(turn.now))
    return _view(turn, state, marks)


def mark_equity(turn: Turn) -> None:
    """Mark equity on its grid, end a daily-loss halt with its UTC day, and halt where a rule's limit is broken.

    Positions whose market is silent are valued at the last mark known: one dead feed must not switch limits off.
    """
    interval = turn.config.equity_interval_ns
    turn.state.next_equity_mark = (turn.now // interval + 1) * interval
    turn.marks(turn.state.instruments)
    marks = {key: value.last_mark for key, value in turn.state.instruments.items() if value.last_mark is not None}
    turn.note(turn.state.portfolio.mark(marks, Nanos(turn.now)))
    if turn.state.halted_for is Reason.DAILY_LOSS and turn.now // DAY > turn.state.halted_day:
        turn.state.halted_for = None
        turn.settle_trading(Reason.DAILY_LOSS, "a new risk day has begun")
    _check_limits(turn, marks)


def _check_limits(turn: Turn, marks: Marks) -> None:
    if turn.state.trading is TradingState.HALTED or not marks:
        return
    account = _view(turn, turn.state.instruments[next(iter(marks))], marks)
    for _, rule in turn.config.risk_rules:
        breach = rule.breach(account)
        if breach is not None:
            halt(turn, breach.reason, breach.detail)
            return


def _view(turn: Turn, state: InstrumentState, marks: Marks) -> AccountView:
    portfolio = turn.state.portfolio
    stakes = {key: portfolio.exposure_of(key, marks) for key in portfolio.busy_instruments()}
    bound = sum(
        (stake / leverage_of(turn.config, turn.state.instruments[key].rules) for key, stake in stakes.items()),
        Decimal(0),
    )
    return AccountView(
        instrument=state.rules,
        mark=marks[state.rules.id],
        equity=portfolio.ledger.equity,
        day_start_equity=portfolio.ledger.day_start_equity,
        free_balance=portfolio.ledger.equity - bound,
        exposure=sum(stakes.values(), Decimal(0)),
        instrument_exposure=stakes.get(state.rules.id, Decimal(0)),
        open_positions=len(portfolio.positions.live),
        leverage=leverage_of(turn.config, state.rules),
    )


def leverage_of(config: EngineConfig, rules: Instrument) -> Decimal:
    """Leverage in force for an instrument; spot has none."""
    return min(config.leverage, rules.max_leverage) if rules.is_linear else Decimal(1)
