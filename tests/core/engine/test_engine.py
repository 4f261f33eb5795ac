"""The engine lives through small markets: what it does, in sentences."""

import itertools
from decimal import Decimal

import pytest

from stakan.core.domain.commands import CancelOrder, RequestSnapshot, SetProtection, SubmitOrder
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import (
    FeedDown,
    Flatten,
    Halt,
    MoveStop,
    OrderFailed,
    OrderRejected,
    PauseEntries,
    ProtectionChanged,
    ProtectionRejected,
    ReleaseHalt,
    ResumeEntries,
)
from stakan.core.domain.facts import (
    BookGap,
    EntryFeatures,
    IntentApproved,
    IntentRefused,
    PositionClosed,
    SignalProposed,
    SignalRefused,
    TradingStateChanged,
)
from stakan.core.domain.orders import Purpose, TimeInForce
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import DAY
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
    facts,
    live,
)


def quiet_market(count=10, step=100 * MS, start=0):
    """A snapshot and deltas that touch one deep level."""
    yield a_snapshot(ts=start)
    for i in range(1, count):
        yield a_delta(bids=[(639_990, 1_000 + i)], ts=start + i * step, sequence=i + 1)


def orders(steps, purpose=None):
    found = [c.order for _, step in steps for c in step.commands if isinstance(c, SubmitOrder)]
    return [order for order in found if purpose is None or order.purpose is purpose]


def test_an_entry_carries_its_stop_in_the_same_order():
    engine = an_engine(Eager())
    steps = live(engine, [a_snapshot()])
    (order,) = orders(steps, Purpose.ENTRY)
    assert order.stop_loss is not None
    assert order.stop_loss < order.price


def test_the_features_of_an_entry_are_those_it_was_decided_with_and_follow_its_order():
    """The order does not wait for 110 numbers, and what happens next does not colour them."""
    engine, alike = an_engine(Eager()), an_engine()
    alike.step(a_snapshot(ts=SECOND))
    state = alike.state.instruments[BTC]
    expected = state.features.read(state.market, SECOND).as_dict()
    first = engine.step(a_snapshot(ts=SECOND))
    assert [type(fact) for fact in first.facts].count(IntentApproved) == 1
    second = engine.step(a_delta(bids=[(640_000, 9_000)], asks=[(640_001, 1)], ts=SECOND + 1, sequence=2))
    assert second.facts[0] == EntryFeatures(
        intent=facts([(None, first)], IntentApproved)[0].intent.id, instrument=BTC, features=expected
    )
    assert engine.state.entered is None


def test_a_snapshot_between_an_entry_and_its_features_loses_none():
    engine, restored = an_engine(Eager()), an_engine(Eager())
    engine.step(a_snapshot(ts=SECOND))
    restored.restore(engine.snapshot())
    event = a_delta(bids=[(640_000, 9_000)], ts=SECOND + 1, sequence=2)
    assert restored.step(event) == engine.step(event)


def test_one_position_per_instrument_owned_by_one_intent():
    engine = an_engine(Eager())
    steps = live(engine, quiet_market(20))
    assert len(orders(steps, Purpose.ENTRY)) == 1
    refused = facts(steps, SignalRefused)
    assert refused
    assert {fact.reason for fact in refused} == {Reason.POSITION_EXISTS}


def test_contradicting_strategies_cancel_each_other():
    engine = an_engine(Eager(), Eager(side=-1))
    steps = live(engine, quiet_market(3))
    assert not orders(steps)
    assert {fact.reason for fact in facts(steps, SignalRefused)} == {Reason.CONFLICTING_SIGNALS}


def test_weak_signals_are_passed_over_with_a_reason():
    engine = an_engine(Eager(strength=0.2))
    steps = live(engine, quiet_market(3))
    assert {fact.reason for fact in facts(steps, SignalRefused)} == {Reason.TOO_WEAK}


def test_signals_carry_the_configured_name_of_their_strategy():
    engine = an_engine(Eager())
    steps = live(engine, [a_snapshot()])
    assert facts(steps, SignalProposed)[0].signal.strategy == "s0"


def test_a_stop_that_does_not_protect_is_refused():
    engine = an_engine(Eager(stop_bps=-50.0))
    steps = live(engine, quiet_market(3))
    assert not orders(steps)
    assert {fact.reason for fact in facts(steps, IntentRefused)} == {Reason.STOP_WRONG_SIDE}


def test_a_gap_invalidates_the_book_and_asks_for_a_snapshot():
    engine = an_engine(Eager())
    steps = live(engine, [a_snapshot(), a_delta(bids=[(639_990, 5)], sequence=4, previous=3, ts=MS)])
    assert facts(steps, BookGap)
    asked = [c for _, step in steps for c in step.commands if isinstance(c, RequestSnapshot)]
    assert asked == [RequestSnapshot(instrument=BTC)]


def test_nothing_is_opened_on_a_book_that_is_not_valid():
    engine = an_engine(Eager(), decision_interval_ns=SECOND)
    cut = FeedDown(instrument=BTC, ts_event=0, ts_recv=0, why="cut")
    steps = live(engine, [cut, *[a_delta(bids=[(639_990, 5)], ts=i * SECOND, sequence=i) for i in range(1, 4)]])
    assert not facts(steps, SignalProposed)


def test_a_stale_book_is_not_traded_on():
    engine = an_engine(Eager(), decision_interval_ns=SECOND, max_feed_age_ns=SECOND, min_strength=2.0)
    prints = [a_print(ts=i * SECOND // 2, number=i) for i in range(1, 9)]
    steps = live(engine, [a_snapshot(), *prints])
    decided = [step.ts for _, step in steps if any(isinstance(f, SignalProposed) for f in step.facts)]
    assert decided == [0, SECOND]


def test_a_refusal_while_cooling_down_says_how_long_it_lasts():
    engine = an_engine(Eager(), cooldown_ns=5 * SECOND)
    flatten = Flatten(ts_event=0, ts_recv=170 * MS, actor="ann", request_id="1")
    market = list(quiet_market(6))
    steps = live(engine, [*market[:2], flatten, *market[2:]])
    told = [fact.detail for fact in facts(steps, SignalRefused) if fact.reason is Reason.COOLING_DOWN]
    assert told == ["another 5.0 s", "another 4.9 s", "another 4.8 s", "another 4.7 s"]


@pytest.mark.parametrize("how", [OrderRejected, OrderFailed])
def test_a_refused_entry_is_not_asked_for_again_at_the_next_decision(how):
    engine = an_engine(Eager(), cooldown_ns=5 * SECOND)
    strict = FakeExchange()
    strict._fill = lambda order, now: strict.push(
        how(
            instrument=order.instrument,
            client_order_id=order.client_order_id,
            ts_event=now,
            ts_recv=now + MS,
            why="110007 insufficient balance",
        )
    )
    steps = live(engine, quiet_market(120), strict)
    sent = [step.ts for _, step in steps for c in step.commands if isinstance(c, SubmitOrder)]
    assert len(sent) == 3
    assert all(later - earlier >= 5 * SECOND for earlier, later in itertools.pairwise(sent))


def test_pausing_cancels_entries_and_opens_nothing_until_resumed():
    engine = an_engine(Eager(offset=5, time_in_force=TimeInForce.GTC))
    never = FakeExchange(plan=lambda order: [])
    never._fill = lambda order, now: None
    market = list(quiet_market(6))
    steps = live(
        engine,
        [
            *market[:2],
            PauseEntries(ts_event=0, ts_recv=150 * MS, actor="ann", request_id="1"),
            *market[2:4],
            ResumeEntries(ts_event=0, ts_recv=350 * MS, actor="ann", request_id="2"),
            *market[4:],
        ],
        never,
    )
    assert [c for _, s in steps for c in s.commands if isinstance(c, CancelOrder)]
    assert {f.reason for f in facts(steps, SignalRefused)} <= {Reason.ENTRIES_PAUSED, Reason.POSITION_EXISTS}
    assert Reason.ENTRIES_PAUSED in {f.reason for f in facts(steps, SignalRefused)}


def test_a_halt_flattens_and_stays_out_until_released():
    engine = an_engine(Eager())
    market = list(quiet_market(8))
    steps = live(
        engine,
        [
            *market[:3],
            Halt(ts_event=0, ts_recv=250 * MS, actor="ann", request_id="1", why="test"),
            *market[3:6],
            ReleaseHalt(ts_event=0, ts_recv=550 * MS, actor="ann", request_id="2"),
            *market[6:],
        ],
    )
    assert len(facts(steps, PositionClosed)) == 1
    assert [fact.state for fact in facts(steps, TradingStateChanged)] == [TradingState.HALTED, TradingState.ACTIVE]
    assert Reason.HALTED in {fact.reason for fact in facts(steps, SignalRefused)}
    assert len(orders(steps, Purpose.ENTRY)) == 2


def test_a_close_that_does_not_reach_zero_is_repeated():
    shares = iter([1.0, 0.5, 0.5, 1.0, 1.0])
    engine = an_engine(Eager())
    exchange = FakeExchange(plan=lambda order: [(MS, next(shares))])
    market = list(quiet_market(4))
    flatten = Flatten(ts_event=0, ts_recv=350 * MS, actor="ann", request_id="1", instrument=BTC)
    pause = PauseEntries(ts_event=0, ts_recv=340 * MS, actor="ann", request_id="0")
    steps = live(engine, [*market, pause, flatten], exchange)
    assert len(orders(steps, Purpose.EXIT)) >= 2
    assert engine.state.portfolio.position(BTC) is None
    assert len({order.client_order_id for order in orders(steps)}) == len(orders(steps))


def test_a_position_without_a_confirmed_stop_is_closed():
    engine = an_engine(Eager())
    exchange = FakeExchange(protects=False)
    steps = live(engine, [*quiet_market(3)], exchange)
    assert facts(steps, PositionClosed)[0].exit_reason == "unprotected"


@pytest.mark.parametrize("asked", [(), (Flatten(ts_event=0, ts_recv=350 * MS, actor="ann", request_id="1"),)])
def test_a_stop_that_is_gone_is_asked_for_again_also_while_a_close_has_no_answer(asked):
    """Found by `stakan dst`, seed 54: a close was lost on its way, then somebody took the stop away by hand."""
    engine = an_engine(Eager())
    exchange = FakeExchange()
    fill = exchange._fill
    exchange._fill = lambda order, now: fill(order, now) if order.purpose is Purpose.ENTRY else None
    gone = ProtectionChanged(instrument=BTC, stop_loss=None, take_profit=None, ts_event=0, ts_recv=400 * MS)
    steps = live(engine, [*quiet_market(4), *asked, gone], exchange)
    assert [close.reduce_only for close in orders(steps, Purpose.EXIT)] == [True] * len(asked)
    (entry,) = orders(steps, Purpose.ENTRY)
    again = [(step.ts, one) for _, step in steps for one in step.commands if isinstance(one, SetProtection)]
    assert [command.stop_loss for _, command in again] == [entry.stop_loss]
    assert gone.ts_recv < again[0][0] <= gone.ts_recv + 1.1 * SECOND
    assert engine.state.portfolio.position(BTC).stop_loss == entry.stop_loss


def test_a_stop_that_the_market_has_passed_is_asked_for_at_a_distance():
    engine = an_engine(Eager(stop_bps=50))
    exchange = FakeExchange()
    fill = exchange._fill
    exchange._fill = lambda order, now: fill(order, now) if order.purpose is Purpose.ENTRY else None
    gone = ProtectionChanged(instrument=BTC, stop_loss=None, take_profit=None, ts_event=0, ts_recv=400 * MS)
    flatten = Flatten(ts_event=0, ts_recv=350 * MS, actor="ann", request_id="1")
    steps = live(engine, [*quiet_market(4), flatten, gone, a_snapshot(mid=630_000, ts=SECOND, sequence=9)], exchange)
    (asked,) = (one for _, step in steps for one in step.commands if isinstance(one, SetProtection))
    assert asked.stop_loss == 630_000 - 630_000 * engine.config.orphan_stop_bps / 10_000


def test_a_stop_that_is_refused_where_it_lay_is_asked_for_further_away_before_its_time_is_over():
    """Found by `stakan dst`, seed 433: the market moved while the stop was on its way."""
    engine = an_engine(Eager())
    exchange = FakeExchange()
    asked = []

    def carry_out(command, now):
        if isinstance(command, SetProtection):
            asked.append((now, command.stop_loss))
            if len(asked) == 1:
                exchange.push(ProtectionRejected(instrument=BTC, ts_event=now, ts_recv=now, why="sl refused"))
                return
        FakeExchange.carry_out(exchange, command, now)

    exchange.carry_out = carry_out
    gone = ProtectionChanged(instrument=BTC, stop_loss=None, take_profit=None, ts_event=0, ts_recv=400 * MS)
    steps = live(engine, [*quiet_market(4), gone], exchange)
    (first, wanted), (second, distant) = asked
    assert distant < wanted
    assert first < second < gone.ts_recv + 2 * SECOND
    assert engine.state.portfolio.position(BTC).stop_loss == distant
    assert not orders(steps, Purpose.EXIT)


def test_a_stop_that_is_refused_is_asked_for_until_the_position_is_flat():
    engine = an_engine(Eager())
    exchange = FakeExchange(protects=False)
    fill, late = exchange._fill, []
    exchange._fill = lambda order, now: fill(order, now) if order.purpose is Purpose.ENTRY else late.append(order)

    def carry_out(command, now):
        if not isinstance(command, SetProtection):
            FakeExchange.carry_out(exchange, command, now)
            return
        exchange.asked.append(command)
        exchange.push(ProtectionRejected(instrument=BTC, ts_event=now, ts_recv=now, why="no"))
        if sum(isinstance(one, SetProtection) for one in exchange.asked) == 3:
            fill(late[0], now)

    exchange.carry_out = carry_out
    live(engine, quiet_market(4), exchange)
    assert sum(isinstance(one, SetProtection) for one in exchange.asked) == 3
    assert engine.state.portfolio.position(BTC) is None


def test_a_resting_entry_ends_at_its_timeout():
    engine = an_engine(Eager(offset=5, time_in_force=TimeInForce.GTC), entry_timeout_ns=SECOND)
    exchange = FakeExchange()
    exchange._fill = lambda order, now: None
    steps = live(engine, quiet_market(3), exchange)
    cancels = [s for _, s in steps for c in s.commands if isinstance(c, CancelOrder)]
    assert cancels[0].ts == SECOND
    assert engine.state.portfolio.position(BTC) is None


def test_a_horizon_ends_a_position():
    engine = an_engine(Eager(horizon_s=2.0))
    steps = live(engine, quiet_market(3))
    closed = facts(steps, PositionClosed)
    assert closed[0].exit_reason == "horizon_reached"
    assert closed[0].closed_ts >= 2 * SECOND


def test_an_operator_moves_a_stop():
    engine = an_engine(Eager())
    market = list(quiet_market(4))
    move = MoveStop(ts_event=0, ts_recv=350 * MS, actor="ann", request_id="1", instrument=BTC, stop_loss=639_000)
    steps = live(engine, [*market, move])
    assert any(getattr(command, "stop_loss", None) == 639_000 for _, s in steps for command in s.commands)


def falling_market(loss_ticks, ts):
    """The book of `a_snapshot`, moved down."""
    return a_snapshot(mid=640_000 - loss_ticks, ts=ts, sequence=1_000 + ts // SECOND)


def test_the_daily_loss_limit_flattens_and_halts_until_midnight():
    rules = (("daily_loss", DailyLoss(max_share=Decimal("0.0001"))),)
    engine = an_engine(Eager(stop_bps=190), rules=rules)
    exchange = FakeExchange()
    exchange.market_price = lambda order: 630_000
    noon = DAY // 2
    steps = live(
        engine,
        [
            a_snapshot(ts=noon),
            falling_market(10_000, noon + 2 * SECOND),
            falling_market(10_000, noon + 4 * SECOND),
            falling_market(10_000, DAY + SECOND),
            falling_market(10_000, DAY + 2 * SECOND),
        ],
        exchange,
    )
    changes = [
        (fact.state, step.ts) for _, step in steps for fact in step.facts if isinstance(fact, TradingStateChanged)
    ]
    assert changes == [(TradingState.HALTED, noon + 2 * SECOND), (TradingState.ACTIVE, DAY + SECOND)]
    entries = [
        step.ts for _, step in steps for c in step.commands if isinstance(c, SubmitOrder) and not c.order.reduce_only
    ]
    assert entries[0] == noon
    assert all(ts >= DAY for ts in entries[1:])


def test_receive_time_never_goes_back():
    engine = an_engine()
    engine.step(a_snapshot(ts=SECOND))
    with pytest.raises(DataError, match="goes back"):
        engine.step(a_delta(ts=0))


def test_an_unknown_instrument_is_named():
    engine = an_engine()
    with pytest.raises(DataError, match="test:linear:ETHUSDT"):
        engine.step(a_snapshot(key=ETH))


class Blind(Eager, frozen=True, kw_only=True):
    """Does not look at densities."""

    reads_densities = False


@pytest.mark.parametrize(("strategies", "followed"), [((Blind(),), 0), ((Blind(), Eager()), 1)])
def test_densities_are_followed_where_some_strategy_reads_them(strategies, followed):
    engine = an_engine(*strategies)
    wall = [(639_990, 90_000)]
    live(engine, [a_snapshot(depth=40, size=100), a_delta(bids=wall, ts=MS)])
    assert engine.state.instruments[BTC].market.densities.tracked == followed
