"""A run that goes on where another one ended: what is carried, what begins anew, what is refused."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.core.domain.commands import CancelOrder, SetTimer, SubmitOrder
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import (
    AccountUnread,
    Halt,
    PauseEntries,
    ProtectionChanged,
    ReleaseHalt,
    StopTrading,
    TimerFired,
)
from stakan.core.domain.facts import FillBooked, OrderTransitioned, PositionClosed
from stakan.core.domain.orders import OrderStatus, Purpose, TimeInForce
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import DAY
from stakan.core.features.catalogue import Feature
from tests.core.engine.builders import (
    BTC,
    ETH,
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


def goes_on(engine, *strategies, **changes):
    """Another engine that carries on; of the same configuration unless said."""
    other = an_engine(*(strategies or (Eager(),)), **{"run_epoch": "1", **changes})
    other.carry(engine)
    return other


def moving(count, start=SECOND, key=BTC):
    yield a_snapshot(ts=start, key=key)
    for i in range(count):
        at = start + (i + 1) * SECOND // 4
        yield a_print(ts=at, number=i, key=key)
        yield a_delta(bids=[(639_990, 5 + i % 7)], ts=at, sequence=2 + i, key=key)


@given(count=st.integers(0, 40), delay=st.integers(0, 3 * SECOND), share=st.sampled_from([0.0, 0.4, 1.0]))
def test_orders_positions_money_plans_and_timers_are_what_they_were(count, delay, share):
    engine = an_engine(Eager(horizon_s=2.0))
    exchange = FakeExchange(lambda order: [(delay, share)])
    end = 0
    for event in moving(count):
        for news in exchange.due(event.ts_recv):
            for command in engine.step(news).commands:
                exchange.carry_out(command, news.ts_recv)
        for command in engine.step(event).commands:
            exchange.carry_out(command, event.ts_recv)
        end = event.ts_recv
    before = engine.state
    portfolio, plan = before.portfolio, before.instruments[BTC].plan
    timers = {key: at for key, at in before.timers.items() if not key.startswith(("guard", "protect"))}
    kept = (dict(portfolio.orders.live), dict(portfolio.positions.live), portfolio.ledger, timers)
    other = goes_on(engine, Eager(horizon_s=2.0)).state
    assert (other.portfolio.orders.live, other.portfolio.positions.live, other.portfolio.ledger, other.timers) == kept
    assert other.instruments[BTC].plan == plan
    assert (other.number, other.now, other.intents) == (before.number, before.now, before.intents)
    assert other.now == max(end, other.now)


def test_a_stop_that_was_missing_before_is_looked_after_from_the_moment_it_is_told_again():
    """Timers of the run before wait until the account was compared: that is too long for a missing stop."""
    engine = an_engine(Eager())
    live(engine, [a_snapshot(ts=SECOND)])
    now = engine.state.now
    gone = ProtectionChanged(instrument=BTC, ts_event=now, ts_recv=now, stop_loss=None, take_profit=None)
    engine.step(gone)
    assert any(key.startswith("guard") for key in engine.state.timers)
    other = goes_on(engine)
    again = msgspec.structs.replace(gone, ts_recv=now + 2 * SECOND)
    other.step(AccountUnread(ts_event=now, ts_recv=now + SECOND, why="start", is_start=True))
    timers = [one for one in other.step(again).commands if isinstance(one, SetTimer)]
    assert [(one.key.split(" ")[0], one.at) for one in timers] == [
        ("guard", again.ts_recv + SECOND),
        ("protect", again.ts_recv + 3 * SECOND),
    ]


def test_a_fill_of_an_order_of_the_run_before_is_booked_as_its_entry():
    engine = an_engine(Eager())
    exchange = FakeExchange(lambda order: [(5 * SECOND, 1.0)])
    for command in engine.step(a_snapshot(ts=SECOND)).commands:
        exchange.carry_out(command, SECOND)
    other = goes_on(engine)
    steps = [(news, other.step(news)) for news in exchange.due(2**62) if not isinstance(news, TimerFired)]
    assert facts(steps, FillBooked)
    assert facts(steps, OrderTransitioned)[-1].after is OrderStatus.FILLED
    assert other.state.portfolio.position(BTC).owner.strategy == "s0"


def test_entries_of_the_run_before_are_cancelled_at_the_start_also_those_whose_cancel_may_be_lost():
    resting = Eager(time_in_force=TimeInForce.GTC, offset=50)
    engine = an_engine(resting)
    (sent,) = [one.order for one in engine.step(a_snapshot(ts=SECOND)).commands if isinstance(one, SubmitOrder)]
    engine.step(PauseEntries(ts_event=0, ts_recv=2 * SECOND, actor="me", request_id="1"))
    assert engine.state.portfolio.orders.live[sent.client_order_id].cancel_requested
    other = goes_on(engine, resting)
    step = other.step(AccountUnread(ts_event=0, ts_recv=3 * SECOND, why="start", is_start=True))
    assert step.commands == (CancelOrder(instrument=BTC, client_order_id=sent.client_order_id),)


def test_a_carried_position_is_closed_by_its_horizon():
    engine = an_engine(Eager(horizon_s=60.0))
    live_one = FakeExchange()
    for command in engine.step(a_snapshot(ts=SECOND)).commands:
        live_one.carry_out(command, SECOND)
    for news in live_one.due(SECOND):
        engine.step(news)
    other = goes_on(engine, Eager(horizon_s=60.0))
    (timer,) = [one for one in other.pending_timers if one.key.startswith("horizon")]
    step = other.step(TimerFired(ts_event=timer.at, ts_recv=timer.at, key=timer.key))
    (sent,) = [one.order for one in step.commands if isinstance(one, SubmitOrder)]
    assert sent.purpose is Purpose.EXIT


def test_intents_of_the_next_run_have_ids_of_their_own():
    engine = an_engine(Eager())
    first = live(engine, [a_snapshot(ts=SECOND)], FakeExchange(lambda order: []))
    other = goes_on(engine)
    second = live(other, [a_snapshot(ts=2 * SECOND)], FakeExchange(lambda order: []))
    ids = [f.client_order_id for f in facts([*first, *second], OrderTransitioned) if f.before is None]
    assert len(ids) == len(set(ids)) == 2


def test_halts_and_pauses_outlive_a_run_and_a_stop_does_not():
    engine = an_engine(Eager())
    for kind in (PauseEntries, StopTrading):
        engine.step(kind(ts_event=0, ts_recv=1, actor="me", request_id="1"))
    other = goes_on(engine)
    assert (other.state.trading, other.state.paused, other.state.stopping) == (TradingState.REDUCING, True, False)
    engine = an_engine(Eager())
    engine.step(Halt(ts_event=0, ts_recv=1, actor="me", request_id="1", why="enough"))
    other = goes_on(engine)
    assert (other.state.trading, other.state.halted_for) == (TradingState.HALTED, Reason.OPERATOR)
    assert not [
        s for _, s in live(other, [a_snapshot(ts=SECOND)]) if s.commands and isinstance(s.commands[0], SubmitOrder)
    ]
    other.step(ReleaseHalt(ts_event=0, ts_recv=2 * SECOND, actor="me", request_id="2"))
    assert other.state.trading is TradingState.ACTIVE


def test_a_halt_for_the_day_s_loss_lasts_until_the_day_is_over_whoever_runs():
    noon = 20_000 * DAY + DAY // 2
    engine = an_engine(Eager())
    engine.step(a_snapshot(ts=noon))
    engine.state.portfolio.ledger.book_fill(Decimal(-300), Decimal(0), noon)
    engine.step(a_snapshot(ts=noon + 2 * SECOND))
    assert (engine.state.trading, engine.state.halted_for) == (TradingState.HALTED, Reason.DAILY_LOSS)
    other = goes_on(engine)
    # The loss is made good; the halt stays.
    other.state.portfolio.ledger.book_fill(Decimal(300), Decimal(0), noon + 3 * SECOND)
    for ts in (noon + 4 * SECOND, noon + 6 * SECOND, 20_001 * DAY - SECOND):
        other.step(a_snapshot(ts=ts))
        assert (other.state.trading, other.state.halted_for) == (TradingState.HALTED, Reason.DAILY_LOSS)
    other.step(a_snapshot(ts=20_001 * DAY + SECOND))
    assert other.state.trading is TradingState.ACTIVE


def test_a_day_s_loss_is_still_the_day_s_loss():
    engine = an_engine()
    engine.state.portfolio.ledger.book_fill(Decimal(-150), Decimal(0), SECOND)
    other = goes_on(engine)
    assert other.state.portfolio.ledger.day_pnl == -150
    assert other.state.portfolio.ledger.peak_equity == 10_000


def test_a_cool_down_goes_on():
    engine = an_engine(Eager(), cooldown_ns=60 * SECOND)
    steps = live(engine, [a_snapshot(ts=SECOND)])
    assert not facts(steps, PositionClosed)
    engine.state.instruments[BTC].cool_until = 100 * SECOND
    other = goes_on(engine, cooldown_ns=60 * SECOND)
    assert other.state.instruments[BTC].cool_until == 100 * SECOND


def test_candles_are_carried_and_the_book_is_not_trusted_until_its_next_snapshot():
    engine = an_engine(Eager(strength=0.0))
    live(engine, moving(40))
    closed = engine.state.instruments[BTC].market.candles.revision
    assert closed > 5
    other = goes_on(engine, Eager(strength=0.0)).state.instruments[BTC].market
    assert other.candles.revision == closed
    assert not other.book.is_usable


def test_levels_of_support_and_resistance_outlive_the_process_and_the_run():
    engine = an_engine(Eager(strength=0.0))
    path = [0, 0, 0, 900, 0, 0, 0, -900, 0, 0, 0, 900, 0, 0, 0, 0]
    prints = (a_print(640_000 + away, ts=(i + 1) * SECOND, number=i) for i, away in enumerate(path))
    live(engine, [a_snapshot(ts=SECOND), *prints])
    again = an_engine(Eager(strength=0.0))
    again.restore(engine.snapshot())
    known = again.state.instruments[BTC].market.levels.all()
    assert [(level.price, round(level.swings, 2)) for level in known] == [(639_100, 1.0), (640_900, 2.0)]
    other = goes_on(again, Eager(strength=0.0))
    assert other.state.instruments[BTC].market.levels.all() == known
    other.step(a_snapshot(ts=60 * SECOND, sequence=9))
    state = other.state.instruments[BTC]
    vector = state.features.read(state.market, 60 * SECOND)
    assert vector.of(Feature.RESISTANCE_LEVEL_1) == pytest.approx(64_090.0)
    assert vector.of(Feature.SUPPORT_LEVEL_1) == pytest.approx(63_998.5)


def test_another_candle_interval_begins_a_market_anew_and_keeps_the_money():
    engine = an_engine(Eager(strength=0.0))
    live(engine, moving(40))
    other = goes_on(engine, Eager(strength=0.0), candle_interval_ns=5 * SECOND).state
    assert other.instruments[BTC].market.candles.revision == 0
    assert other.number == engine.state.number


def test_an_instrument_that_holds_something_must_be_traded_on():
    engine = an_engine(Eager())
    live(engine, [a_snapshot(ts=SECOND)])
    with pytest.raises(DataError, match=r"test:linear:BTCUSDT holds a position"):
        goes_on(engine, instruments=[an_instrument(ETH)])
    with pytest.raises(DataError, match="ticks of"):
        goes_on(engine, instruments=[an_instrument(tick_size=Decimal("0.5"))])


def test_an_instrument_without_anything_of_ours_may_be_dropped_and_another_joined():
    engine = an_engine(Eager())
    live(engine, [a_snapshot(ts=SECOND)], FakeExchange(lambda order: []))
    other = goes_on(engine, instruments=[an_instrument(ETH)])
    assert list(other.state.instruments) == [ETH]
    assert [s for _, s in live(other, [a_snapshot(ts=2 * SECOND, key=ETH)]) if s.commands]


def test_a_carried_engine_is_snapshot_and_restored_like_any_other():
    engine = an_engine(Eager())
    live(engine, moving(8))
    other = goes_on(engine)
    again = an_engine(Eager(), run_epoch="1")
    again.restore(other.snapshot())
    events = list(moving(4, 60 * SECOND))
    assert [again.step(event) for event in events] == [other.step(event) for event in events]
