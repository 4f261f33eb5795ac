"""What must hold when something goes wrong: refused cancels, dead feeds, late fills, restarts, silly configurations."""

from decimal import Decimal

import msgspec
import pytest

from stakan.core.domain.commands import CancelOrder, RequestSnapshot, SetProtection, SubmitOrder
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import (
    CancelRejected,
    FeedDown,
    FillOrigin,
    Halt,
    InstrumentChanged,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    PauseEntries,
    ProtectionChanged,
    ProtectionRejected,
    ReleaseHalt,
    Ticker,
    TimerFired,
)
from stakan.core.domain.facts import EquityMarked, ExitDecided, IntentRefused, ProtectionRefused, TradingStateChanged
from stakan.core.domain.ids import ExecutionId
from stakan.core.domain.instrument import Category
from stakan.core.domain.orders import OrderType, Purpose, TimeInForce
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import ExitSignal, TradingState
from stakan.core.domain.units import DAY, Side
from stakan.core.engine.account import account_for_entry
from stakan.core.engine.state import SNAPSHOT_VERSION
from stakan.core.risk.daily_loss import DailyLoss
from tests.core.engine.builders import (
    BTC,
    ETH,
    MS,
    SECOND,
    Eager,
    FakeExchange,
    a_delta,
    a_print,
    a_snapshot,
    an_engine,
    an_instrument,
    facts,
    live,
)


def sent(steps, kind):
    return [command for step in steps for command in step.commands if isinstance(command, kind)]


def an_event(kind, order, ts, **fields):
    ids = {"instrument": order.instrument, "client_order_id": order.client_order_id}
    return kind(**ids, ts_event=ts, ts_recv=ts, **fields)


def a_fill(order, ts, size, number=1, price=640_001):
    return an_event(
        OrderFilled,
        order,
        ts,
        execution_id=ExecutionId(f"x{number}"),
        side=order.side,
        price=price,
        size=size,
        fee=Decimal(0),
        is_maker=True,
    )


def protected(order, ts, stop=None):
    stop = order.stop_loss if stop is None else stop
    return ProtectionChanged(instrument=order.instrument, stop_loss=stop, take_profit=None, ts_event=ts, ts_recv=ts)


def a_timer(key, ts):
    return TimerFired(ts_event=ts, ts_recv=ts, key=key)


def an_entry(engine, ts=0):
    """Lets the engine send its first entry; returns the order."""
    return sent([engine.step(a_snapshot(ts=ts))], SubmitOrder)[0].order


RESTING = Eager(offset=5, time_in_force=TimeInForce.GTC)


def test_a_refused_cancel_is_repeated_until_the_order_is_gone():
    engine = an_engine(RESTING)
    order = an_entry(engine)
    engine.step(an_event(OrderAccepted, order, MS))
    timeout = next(timer for timer in engine.pending_timers if timer.key.startswith("entry"))
    step = engine.step(a_timer(timeout.key, timeout.at))
    assert sent([step], CancelOrder)
    assert Reason.ENTRY_TIMED_OUT in {fact.reason for fact in step.facts if isinstance(fact, ExitDecided)}
    engine.step(an_event(CancelRejected, order, timeout.at + 1, why="10006"))
    again = next(timer for timer in engine.pending_timers if timer.key.startswith("cancel"))
    assert sent([engine.step(a_timer(again.key, again.at))], CancelOrder)


def test_a_halt_cancels_an_entry_that_outlived_its_plan():
    engine = an_engine(RESTING)
    order = an_entry(engine)
    engine.step(an_event(OrderAccepted, order, MS))
    engine.step(a_fill(order, 2 * MS, size=1))
    stop = msgspec.structs.replace(
        a_fill(order, 3 * MS, size=1, number=2), client_order_id="", side=Side.SELL, origin=FillOrigin.STOP_LOSS
    )
    closing = engine.step(stop)
    assert sent([closing], CancelOrder)
    engine.step(an_event(CancelRejected, order, 4 * MS, why="10006"))
    halted = engine.step(Halt(ts_event=0, ts_recv=5 * MS, actor="ann", request_id="1", why="test"))
    assert sent([halted], CancelOrder)


def test_timers_survive_a_snapshot():
    engine = an_engine(Eager(horizon_s=5.0))
    order = an_entry(engine)
    engine.step(a_fill(order, MS, size=order.size))
    restored = an_engine(Eager(horizon_s=5.0))
    restored.restore(engine.snapshot())
    keys = {timer.key.split(" ")[0] for timer in restored.pending_timers}
    assert keys == {"protect", "horizon"}
    protect = next(timer for timer in restored.pending_timers if timer.key.startswith("protect"))
    assert sent([restored.step(a_timer(protect.key, protect.at))], SubmitOrder)[0].order.purpose is Purpose.EXIT


def test_one_silent_market_does_not_switch_the_daily_loss_limit_off():
    rules = (("daily_loss", DailyLoss(max_share=Decimal("0.0001"))),)
    engine = an_engine(Eager(stop_bps=190), instruments=[an_instrument(), an_instrument(ETH)], rules=rules)
    events = [
        a_snapshot(ts=0),
        a_snapshot(ts=0, key=ETH),
        FeedDown(instrument=ETH, ts_event=SECOND, ts_recv=SECOND, why="cut"),
        a_snapshot(mid=630_000, ts=3 * SECOND, sequence=9),
    ]
    exchange = FakeExchange()
    exchange.market_price = lambda order: 630_000
    steps = live(engine, events, exchange)
    assert facts(steps, EquityMarked)[-1].balance < 10_000
    assert [fact.state for fact in facts(steps, TradingStateChanged)] == [TradingState.HALTED]


def a_daily_loss(engine, ts):
    """Halts the engine by a loss on an open position; returns the exchange that closes it."""
    exchange = FakeExchange()
    exchange.market_price = lambda order: 630_000
    steps = live(engine, [a_snapshot(ts=ts), a_snapshot(mid=630_000, ts=ts + 2 * SECOND, sequence=9)], exchange)
    assert engine.state.trading is TradingState.HALTED
    return steps


def a_losing_engine():
    return an_engine(Eager(stop_bps=190), rules=(("daily_loss", DailyLoss(max_share=Decimal("0.0001"))),))


def test_an_operator_s_release_of_a_daily_loss_halt_lasts():
    engine = a_losing_engine()
    a_daily_loss(engine, DAY // 2)
    now = engine.state.now
    engine.step(ReleaseHalt(ts_event=now, ts_recv=now, actor="ann", request_id="1"))
    for i in range(1, 4):
        engine.step(a_snapshot(mid=630_000, ts=now + i * SECOND, sequence=10 + i))
    assert engine.state.trading is TradingState.ACTIVE


def test_a_daily_loss_halt_ends_at_midnight_even_when_a_fill_comes_first():
    engine = a_losing_engine()
    late = DAY - 3 * SECOND
    order = an_entry(engine, late)
    engine.step(a_fill(order, late, size=order.size))
    engine.step(protected(order, late))
    exits = sent([engine.step(a_snapshot(mid=630_000, ts=DAY - SECOND // 2, sequence=9))], SubmitOrder)
    assert engine.state.trading is TradingState.HALTED
    engine.step(a_fill(exits[0].order, DAY + MS, size=order.size, number=2, price=630_000))
    engine.step(a_snapshot(mid=630_000, ts=DAY + 2 * SECOND, sequence=11))
    assert engine.state.trading is TradingState.ACTIVE


def test_a_pause_outlives_a_daily_loss_halt():
    engine = a_losing_engine()
    a_daily_loss(engine, DAY // 2)
    now = engine.state.now
    engine.step(PauseEntries(ts_event=now, ts_recv=now, actor="ann", request_id="1"))
    engine.step(a_snapshot(mid=630_000, ts=DAY + SECOND, sequence=20))
    assert engine.state.trading is TradingState.REDUCING


def test_a_close_larger_than_a_market_order_may_be_goes_in_pieces():
    engine = an_engine(Eager(), instruments=[an_instrument(max_market_size=1)])
    market = [a_snapshot(), PauseEntries(ts_event=0, ts_recv=MS, actor="ann", request_id="0")]
    halt = Halt(ts_event=0, ts_recv=SECOND, actor="ann", request_id="1", why="test")
    steps = live(engine, [*market, halt])
    exits = [c.order for _, step in steps for c in step.commands if isinstance(c, SubmitOrder)][1:]
    assert len(exits) > 1
    assert {order.size for order in exits} == {1}
    assert engine.state.portfolio.position(BTC) is None


@pytest.mark.parametrize(("stop_bps", "reason"), [(-50.0, Reason.STOP_WRONG_SIDE), (10_000.0, Reason.NO_STOP)])
def test_a_stop_is_demanded_whatever_rules_are_configured(stop_bps, reason):
    steps = live(an_engine(Eager(stop_bps=stop_bps), rules=()), [a_snapshot()])
    assert [fact.reason for fact in facts(steps, IntentRefused)] == [reason]


def test_a_size_of_nothing_is_refused_whatever_rules_are_configured():
    engine = an_engine(Eager(), rules=(), starting_balance=Decimal(1))
    steps = live(engine, [a_snapshot()])
    assert [fact.reason for fact in facts(steps, IntentRefused)] == [Reason.ORDER_TOO_SMALL]


class Tightening(Eager, frozen=True, kw_only=True):
    """Asks for one tighter stop again and again."""

    def manage(self, view, state, holding):
        return ExitSignal(stop_loss=639_900, reasons=("tighter",))


def test_a_refused_stop_is_told_and_asked_for_again():
    engine = an_engine(Tightening())
    order = an_entry(engine)
    engine.step(a_fill(order, MS, size=order.size))
    engine.step(protected(order, MS))
    assert sent([engine.step(a_delta(bids=[(639_990, 1)], ts=2 * MS))], SetProtection)
    assert not sent([engine.step(a_delta(bids=[(639_990, 2)], ts=3 * MS, sequence=3))], SetProtection)
    refused = engine.step(ProtectionRejected(instrument=BTC, ts_event=4 * MS, ts_recv=4 * MS, why="no"))
    assert [fact.why for fact in refused.facts if isinstance(fact, ProtectionRefused)] == ["no"]
    assert sent([engine.step(a_delta(bids=[(639_990, 3)], ts=5 * MS, sequence=4))], SetProtection)


def test_a_new_grid_waits_for_every_order_of_the_old_one():
    engine = an_engine(RESTING)
    order = an_entry(engine)
    engine.step(an_event(OrderAccepted, order, MS))
    coarse = an_instrument(tick_size=Decimal("0.5"))
    engine.step(InstrumentChanged(instrument=BTC, ts_event=2 * MS, ts_recv=2 * MS, rules=coarse))
    engine.step(a_snapshot(mid=128_000, ts=3 * MS, sequence=2))
    assert engine.state.instruments[BTC].rules.tick_size == Decimal("0.1")
    fill = engine.step(a_fill(order, 4 * MS, size=order.size))
    close = sent([fill], SubmitOrder)[0].order
    engine.step(a_fill(close, 5 * MS, size=close.size, number=2))
    assert engine.state.instruments[BTC].rules.tick_size == Decimal("0.5")
    engine.step(a_snapshot(mid=128_000, ts=6 * MS, sequence=3))
    assert engine.state.instruments[BTC].market.book.mid == 128_000


def test_a_fill_for_another_intent_s_position_closes_it():
    engine = an_engine(RESTING)
    old = an_entry(engine)
    engine.step(an_event(OrderAccepted, old, MS))
    timeout = engine.pending_timers[0]
    engine.step(a_timer(timeout.key, timeout.at))
    engine.step(an_event(OrderCancelled, old, timeout.at + 1, why="asked"))
    later = timeout.at + SECOND
    new = sent([engine.step(a_snapshot(ts=later, sequence=5))], SubmitOrder)[0].order
    engine.step(a_fill(new, later + 1, size=new.size, number=1))
    late = engine.step(a_fill(old, later + 2, size=old.size, number=2))
    assert [o.order.purpose for o in sent([late], SubmitOrder)] == [Purpose.EXIT]
    assert sent([late], SubmitOrder)[0].order.size == new.size + old.size


class Straying(Eager, frozen=True, kw_only=True):
    """Speaks of an instrument that it was not asked about."""

    def decide(self, view, state):
        return msgspec.structs.replace(super().decide(view, state), instrument=ETH)


def test_a_strategy_speaks_only_of_the_instrument_that_it_was_asked_about():
    engine = an_engine(Straying(), instruments=[an_instrument(), an_instrument(ETH)])
    assert an_entry(engine).instrument == BTC


def test_a_market_entry_has_no_price():
    assert an_entry(an_engine(Eager(type=OrderType.MARKET))).price is None


def test_a_repeated_print_counts_once_everywhere():
    engine = an_engine()
    for _ in range(3):
        engine.step(a_print(size=10, ts=SECOND, number=7))
    market = engine.state.instruments[BTC].market
    assert (len(market.tape), market.candles.volume, market.prints) == (1, 10, 1)


def test_a_mark_that_nobody_repeats_gives_way_to_the_mid():
    engine = an_engine(max_feed_age_ns=SECOND)
    engine.step(Ticker(instrument=BTC, ts_event=0, ts_recv=0, mark=Decimal(50_000)))
    engine.step(a_snapshot(ts=0))
    market = engine.state.instruments[BTC].market
    assert market.mark(SECOND, SECOND) == 50_000
    assert market.mark(SECOND + 1, SECOND) == 64_000


def test_a_ticker_from_the_future_does_not_move_the_decision_grid():
    engine = an_engine(Eager(strength=0.1), decision_interval_ns=SECOND)
    engine.step(Ticker(instrument=BTC, ts_event=3_600 * SECOND, ts_recv=0, mark=Decimal(64_000)))
    engine.step(a_snapshot(ts=0))
    steps = [engine.step(a_delta(bids=[(639_990, i)], ts=i * SECOND, sequence=i + 1)) for i in range(1, 4)]
    assert all(step.facts for step in steps)


def test_a_dead_feed_cancels_resting_entries_and_asks_for_the_book_again():
    engine = an_engine(RESTING)
    order = an_entry(engine)
    engine.step(an_event(OrderAccepted, order, MS))
    assert sent([engine.step(FeedDown(instrument=BTC, ts_event=0, ts_recv=2 * MS, why="cut"))], CancelOrder)
    steps = [engine.step(a_delta(ts=i * SECOND, sequence=i + 5)) for i in range(1, 12)]
    assert [step.ts for step in steps if sent([step], RequestSnapshot)] == [SECOND, 6 * SECOND, 11 * SECOND]


def test_a_snapshot_of_another_engine_is_refused():
    data = an_engine(Eager()).snapshot()
    with pytest.raises(DataError, match="another configuration"):
        an_engine(Eager(stop_bps=51.0)).restore(data)
    with pytest.raises(DataError, match="ETHUSDT"):
        an_engine(Eager(), instruments=[an_instrument(ETH)]).restore(data)


@pytest.mark.parametrize("version", [0, SNAPSHOT_VERSION - 1, SNAPSHOT_VERSION + 1])
def test_a_snapshot_of_another_release_is_refused_by_its_version_whatever_its_shape(version):
    of_another = msgspec.msgpack.encode({"version": version, "state": {"shape": "of then"}})
    with pytest.raises(DataError, match=f"snapshot version {version}, this release reads {SNAPSHOT_VERSION}"):
        an_engine().restore(of_another)


def test_spot_binds_its_whole_value():
    spot = an_instrument(category=Category.SPOT, margin_tiers=(), max_leverage=Decimal(1))
    engine = an_engine(Eager(), instruments=[spot], rules=())
    order = an_entry(engine)
    engine.step(a_fill(order, MS, size=order.size))
    account = account_for_entry(engine._turn, engine.state.instruments[BTC])
    assert account.leverage == 1
    assert account.free_balance == account.equity - account.exposure
