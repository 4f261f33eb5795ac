"""Support and resistance against a naive tracker; what a touch, a hold and a break are; what must hold of every level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.market.builders import (
    NAME,
    a_delta,
    a_print,
    a_snapshot,
    an_instrument,
    bytes_of,
    restored,
)
from tests.core.market.naive_levels import NaiveLevels

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import Candle
from stakan.core.domain.units import MILLISECOND, SECOND, Lots, Nanos, Side, Ticks
from stakan.core.market._level_kernels import swings
from stakan.core.market.book import Book
from stakan.core.market.candles import CandleBuilder, Column
from stakan.core.market.densities import Density, DensityEvent, DensityKind, DensityParams, DensityTracker
from stakan.core.market.levels import LevelOutcome, LevelParams, LevelTracker
from stakan.core.market.picture import MarketPicture

MIDDLE = 10_000
PARAMS = LevelParams(
    wing=2,
    swing_ranges=0.43,
    volume_candles=8,
    merge_bps=6.3,
    touch_bps=2.3,
    leave_bps=7.7,
    break_ns=Nanos(2 * SECOND),
    half_life_ns=Nanos(60 * SECOND),
    max_tracked=6,
)


class Watched:
    """A tracker and the market it looks at, told in few words; prices are given from `MIDDLE`."""

    def __init__(self, params=PARAMS, sign=1):
        self.params, self.sign = params, sign
        self.tracker = LevelTracker.start(params)
        self.candles = CandleBuilder.start(an_instrument(), SECOND)
        self.densities = DensityTracker.start(an_instrument(), DensityParams(), is_followed=False)
        self.naive = NaiveLevels(params)
        self.book = Book(NAME)
        self.sequence = 0
        self.ts = 1_000 * SECOND

    def candle(self, high, low, volume=10):
        """The candle that ends with the next whole second."""
        high, low = (MIDDLE + self.sign * price for price in (high, low))
        high, low = max(high, low), min(high, low)
        self.ts += SECOND - self.ts % SECOND
        event = Candle(
            instrument=NAME, ts_event=self.ts, ts_recv=self.ts, interval_ns=SECOND, open_ts=Nanos(self.ts - SECOND),
            open=Ticks(low), high=Ticks(high), low=Ticks(low), close=Ticks((high + low) // 2), volume=Lots(volume),
            turnover=0, trade_count=1, is_closed=True,
        )  # fmt: skip
        self.candles.accept(event)
        self.tracker.on_candles(self.candles, self.densities)
        rows = (Column.OPEN_TS, Column.HIGH, Column.LOW, Column.VOLUME)
        bars = list(zip(*(self.candles.closed(column).tolist() for column in rows), strict=True))
        self.naive.on_candles(bars, SECOND)

    def price(self, away, half_spread=1, after_ms=100):
        """Mid is `away` half ticks from the middle."""
        double = 2 * MIDDLE + self.sign * away
        self.ts += after_ms * SECOND // 1_000
        self.sequence += 1
        bid = (double - half_spread) // 2
        self.book.apply(a_snapshot([(bid, 1)], [(double - bid, 1)], sequence=self.sequence, ts=self.ts))
        self.told = self.tracker.on_book(self.book)
        self.naive.on_book(double / 2, self.ts)

    def density(self, away, seconds):
        """A density that stood so long has been consumed."""
        price = MIDDLE + self.sign * away
        event = DensityEvent(
            kind=DensityKind.CONSUMED,
            density=a_density(price, self.ts - seconds * SECOND),
            ts_event=Nanos(self.ts),
        )
        self.tracker.on_densities((event,))
        self.naive.stands(price, self.ts - seconds * SECOND, self.ts)

    def interrupt(self):
        self.tracker.interrupt()
        self.naive.interrupt()


def a_density(price, appeared):
    sizes = dict.fromkeys(("remaining", "traded", "cancelled", "executed", "withdrawn", "added"), Lots(0))
    return Density(
        side=Side.BUY,
        price=Ticks(price),
        peak=Lots(9),
        first=Lots(9),
        appeared_ts=appeared,
        changed_ts=appeared,
        **sizes,
    )


def levels_of(watched):
    return [
        (
            level.price, level.swings, level.volume, level.density, level.held, level.began_ts, level.touched_ts or 0,
            level.touches, level.holds, level.breaks, int(level.outcome), level.is_tested,
        )
        for level in watched.tracker.all()
    ]  # fmt: skip


def naive_levels(watched):
    return [
        (
            level.place, *level.weights.values(), level.began, level.touched, level.touches, level.holds, level.breaks,
            level.outcome, level.at,
        )
        for level in sorted(watched.naive.levels, key=lambda level: level.place)
    ]  # fmt: skip


def play(watched, story):
    for what, *rest in story:
        getattr(watched, what)(*rest)
        yield what


away = st.integers(-60, 60)
candle = st.tuples(st.just("candle"), st.integers(-30, 30), st.integers(-30, 30), st.sampled_from((0, 1, 10, 200)))
steps = st.lists(
    st.one_of(
        candle,
        st.tuples(st.just("price"), away, st.integers(1, 4), st.sampled_from((100, 1_000, 5_000))),
        st.tuples(st.just("price"), away),
        st.tuples(st.just("density"), st.integers(-30, 30), st.sampled_from((29, 30, 90))),
        st.tuples(st.just("interrupt")),
    ),
    max_size=40,
)

# --- laws -----------------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(st.lists(candle, max_size=20), steps)
def test_the_tracker_does_what_the_naive_one_does(before, story):
    watched = Watched()
    for _ in play(watched, [*before, *story]):
        found, expected = levels_of(watched), naive_levels(watched)
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-9)


@given(st.lists(candle, max_size=20), steps)
def test_levels_are_few_apart_and_say_how_they_came_about(before, story):
    watched = Watched()
    for what in play(watched, [*before, *story]):
        levels = watched.tracker.all()
        assert len(levels) <= PARAMS.max_tracked
        for level in levels:
            assert level.holds + level.breaks <= level.touches
            assert (level.touched_ts is None) == (level.touches == 0)
            assert (level.outcome is LevelOutcome.NONE) == (level.holds + level.breaks == 0)
            assert level.began_ts <= watched.ts
            assert level.strength == pytest.approx(level.swings + level.volume + level.density + level.held)
        if what == "candle":
            assert all(level.strength >= PARAMS.forget for level in levels)


@given(st.lists(candle, max_size=20), steps, away)
def test_the_nearest_are_the_nearest_of_those_that_are_strong_enough(before, story, half_ticks):
    watched = Watched()
    for _ in play(watched, [*before, *story]):
        continue
    mid = MIDDLE + half_ticks / 2
    strong = [level.price for level in watched.tracker.all() if level.strength >= PARAMS.significant]
    under = max((price for price in strong if price < mid), default=0.0)
    over = min((price for price in strong if price > mid), default=0.0)
    assert watched.tracker.around(mid) == (under, over)
    support, resistance = (watched.tracker.nearest(side, mid) for side in (Side.BUY, Side.SELL))
    assert ((support and support.price) or 0.0, (resistance and resistance.price) or 0.0) == (under, over)


@given(st.lists(candle, max_size=20), steps, steps)
def test_a_tracker_survives_the_trip_through_bytes_and_goes_on_alike(first, before, after):
    watched, twin = Watched(), Watched()
    for one in (watched, twin):
        for _ in play(one, [*first, *before]):
            continue
    twin.tracker = restored(twin.tracker)
    for one in (watched, twin):
        for _ in play(one, after):
            continue
    assert bytes_of(twin.tracker) == bytes_of(watched.tracker)


@given(st.lists(candle.filter(lambda told: told[3] == 0), min_size=5, max_size=30), steps)
def test_a_mirrored_market_has_mirrored_levels(before, story):
    """As far as distances in basis points are the same on both sides: near the middle, without volume."""
    story = [told for told in story if told[0] != "candle"]
    params = LevelParams(
        wing=2, swing_ranges=0.43, touch_bps=0.01, leave_bps=0.02, merge_bps=0.01, half_life_ns=Nanos(60 * SECOND)
    )
    one, other = Watched(params), Watched(params, sign=-1)
    for watched in (one, other):
        for _ in play(watched, [*before, *story]):
            continue
    mirrored = sorted((2 * MIDDLE - price, *rest) for price, *rest in levels_of(other))
    for ours, theirs in zip(levels_of(one), mirrored, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9)


# --- swings ---------------------------------------------------------------------------------------------------------


def is_swing(highs, lows, least=1.0):
    high, low = np.array(highs, np.int64), np.array(lows, np.int64)
    return swings(high, low, len(highs) // 2, len(highs) // 2, least)


@pytest.mark.parametrize(
    ("highs", "expected"),
    [
        ((5, 6, 9, 6, 5), True),
        ((5, 9, 9, 6, 5), False),
        ((5, 6, 9, 9, 5), True),
        ((5, 6, 9, 10, 5), False),
        ((9, 9, 9, 9, 9), False),
    ],
    ids=["peak", "second of two", "first of two", "overtopped", "flat"],
)
def test_a_swing_is_the_first_of_equal_extremes_that_stand_out(highs, expected):
    lows = [high - 1 for high in highs]
    assert is_swing(highs, lows, 1.0)[0] == expected
    mirrored_lows, mirrored_highs = [20 - high for high in highs], [20 - low for low in lows]
    assert is_swing(mirrored_highs, mirrored_lows, 1.0)[1] == expected


def test_a_swing_is_as_deep_as_its_shallower_side():
    highs, lows = (9_990, 9_995, 10_000, 9_990, 9_980), (9_985, 9_990, 9_995, 9_985, 9_975)
    assert is_swing(highs, lows, 15.0)[0]
    assert not is_swing(highs, lows, 15.1)[0]


# --- stories --------------------------------------------------------------------------------------------------------

STORY = LevelParams(touch_bps=2.0, leave_bps=8.0, break_ns=Nanos(5 * SECOND), density_ns=Nanos(SECOND))


def at_a_level(*path, after_ms=100):
    """A level at 10,000 ticks, price 20 ticks above it, then along a path given in ticks from it."""
    watched = Watched(STORY)
    watched.density(0, 30)
    watched.price(40)
    for step in path:
        watched.price(2 * step, after_ms=after_ms)
    (level,) = watched.tracker.all()
    return level


@pytest.mark.parametrize(
    ("path", "touches", "holds", "breaks", "outcome"),
    [
        ((3,), 0, 0, 0, LevelOutcome.NONE),
        ((2,), 1, 0, 0, LevelOutcome.NONE),
        ((2, 7, 0, 7), 1, 0, 0, LevelOutcome.NONE),
        ((2, 8), 1, 1, 0, LevelOutcome.HELD),
        ((2, 8, 2, 8), 2, 2, 0, LevelOutcome.HELD),
        ((0, -7), 1, 0, 0, LevelOutcome.NONE),
        ((0, -8), 1, 0, 0, LevelOutcome.NONE),
        ((0, -8, -2, 8), 1, 1, 0, LevelOutcome.HELD),
        ((-30, 30), 1, 1, 0, LevelOutcome.HELD),
    ],
)
def test_touch_and_hold(path, touches, holds, breaks, outcome):
    level = at_a_level(*path)
    assert (level.touches, level.holds, level.breaks, level.outcome) == (touches, holds, breaks, outcome)


def test_a_break_is_one_when_price_stays_away_for_its_time_and_halves_what_speaks_for_the_level():
    assert at_a_level(0, -8, -9, after_ms=4_999).breaks == 0
    level = at_a_level(0, -8, -9, after_ms=5_000)
    assert (level.breaks, level.holds, level.outcome, level.strength) == (1, 0, LevelOutcome.BROKEN, 0.5)
    assert at_a_level(0, -8, -2, -8, after_ms=3_000).breaks == 0


def test_every_touch_that_ends_is_told_once():
    told = []
    watched = Watched(STORY)
    watched.density(0, 30)
    watched.price(40)
    for step, after_ms in (
        (0, 100),
        (8, 100),
        (9, 100),
        (0, 100),
        (-8, 100),
        (-9, 5_000),
        (-9, 100),
        (0, 100),
        (-8, 1),
    ):
        watched.price(2 * step, after_ms=after_ms)
        told += watched.told
    seen = [(one.side, one.held, one.touches, one.holds, one.breaks) for one in told]
    assert seen == [(Side.BUY, True, 1, 1, 0), (Side.BUY, False, 2, 1, 1), (Side.SELL, True, 3, 2, 1)]
    assert all(one.price == MIDDLE and one.began_ts == 970 * SECOND for one in told)
    assert told[1].ts_event - told[1].touched_ts == 5_100 * MILLISECOND
    assert told[0].strength == 2.0


def test_after_a_break_the_level_waits_for_price_from_the_other_side():
    level = at_a_level(0, -8, -9, -2, -8, after_ms=5_000)
    assert (level.touches, level.breaks, level.holds, level.outcome) == (2, 1, 1, LevelOutcome.HELD)


def test_a_level_that_comes_where_price_is_was_not_touched():
    watched = Watched(STORY)
    watched.price(0)
    watched.density(0, 30)
    for half_ticks in (0, 6, -6, 15, 15):
        watched.price(half_ticks)
    assert watched.tracker.all()[0].touches == 0
    watched.price(16)
    watched.price(4)
    assert watched.tracker.all()[0].touches == 1


def test_an_interruption_forgets_from_where_price_came():
    watched = Watched(STORY)
    watched.density(0, 30)
    watched.price(40)
    watched.interrupt()
    watched.price(0)
    watched.price(-40)
    assert watched.tracker.all()[0].touches == 0


def test_evidence_halves_and_is_forgotten_in_the_end():
    watched = Watched(LevelParams(half_life_ns=Nanos(10 * SECOND), density_ns=Nanos(SECOND), volume_candles=100))
    watched.candle(0, 0)
    watched.density(20, 30)
    for _ in range(10):
        watched.candle(0, 0)
    assert [level.density for level in watched.tracker.all()] == [pytest.approx(0.5)]
    for _ in range(10):
        watched.candle(0, 0)
    assert [level.density for level in watched.tracker.all()] == [pytest.approx(0.25)]
    watched.candle(0, 0)
    assert watched.tracker.all() == []


def test_history_that_comes_late_is_looked_at_once_and_weighs_by_its_age():
    """Older candles are put before those that are known: their swings count, known ones do not count twice."""
    params = LevelParams(wing=1, swing_ranges=0.1, volume_candles=100, half_life_ns=Nanos(10 * SECOND))
    path = [0, 40, 0, 0, 0, -40, 0, 0]

    def told(order):
        tracker, candles = LevelTracker.start(params), CandleBuilder.start(an_instrument(), SECOND)
        densities = DensityTracker.start(an_instrument(), DensityParams(), is_followed=False)
        for number in order:
            price = Ticks(MIDDLE + path[number])
            ts = Nanos(number * SECOND + 100 * SECOND)
            event = Candle(
                instrument=NAME, ts_event=ts, ts_recv=ts, interval_ns=SECOND, open_ts=ts, open=price, high=price,
                low=price, close=price, volume=Lots(1), turnover=0, trade_count=1, is_closed=True,
            )  # fmt: skip
            candles.accept(event)
            tracker.on_candles(candles, densities)
        return [(level.price, level.swings) for level in tracker.all()]

    forwards = told(range(8))
    assert [price for price, _ in forwards] == [MIDDLE - 40, MIDDLE + 40]
    assert told((4, 5, 6, 7, 3, 2, 1, 0)) == [(price, pytest.approx(weight)) for price, weight in forwards]


def test_withdrawn_and_young_densities_speak_for_nothing():
    watched = Watched(STORY)
    for kind in (DensityKind.CANCELLED, DensityKind.ERODED, DensityKind.APPEARED):
        density = a_density(MIDDLE, watched.ts - 60 * SECOND)
        watched.tracker.on_densities((DensityEvent(kind=kind, density=density, ts_event=Nanos(watched.ts)),))
    watched.density(0, 0)
    assert watched.tracker.all() == []


# --- in the market's picture -----------------------------------------------------------------------------------------


def test_the_picture_feeds_it_with_candles_densities_and_the_book():
    params = DensityParams(min_notional=0.0, relative=2.0, share=0.2, reach_bps=9_000.0)
    levels = LevelParams(wing=1, swing_ranges=0.1, density_ns=Nanos(2 * SECOND), volume_candles=100)
    market = MarketPicture.start(an_instrument(), params, SECOND, levels=levels)
    bids = [(9_990, 100), *((9_999 - i, 1) for i in range(5))]
    market.apply_book(a_snapshot(bids, [(10_001 + i, 1) for i in range(5)], ts=SECOND))
    for second, price in enumerate((10_000, 10_050, 10_000, 10_000, 10_000), 1):
        market.apply_print(a_print(second * SECOND, price, trade_id=second))
    found = {level.price: level for level in market.levels.all()}
    assert sorted(found) == [10_050.0]
    market.apply_book(a_delta([(9_999, 2)], ts=6 * SECOND))
    market.advance(7 * SECOND)
    found = {level.price: level for level in market.levels.all()}
    assert (found[9_990.0].density, found[10_050.0].swings) == (1.0, pytest.approx(1.0, abs=0.01))
    assert found[9_990.0].began_ts == SECOND
    asks = [*((10_001 + i, 0) for i in range(5)), (10_049, 1)]
    market.apply_book(a_delta(bids=[(10_048, 1)], asks=asks, sequence=3, ts=8 * SECOND))
    assert {level.price: level.touches for level in market.levels.all()} == {9_990.0: 0, 10_050.0: 1}
    assert market.tested == ()
    market.apply_book(a_snapshot([(10_020, 1)], [(10_022, 1)], sequence=4, ts=9 * SECOND))
    assert [(one.side, one.held, one.price) for one in market.tested] == [(Side.SELL, True, 10_050.0)]
    market.interrupt()
    assert not any(level.is_tested for level in market.levels.all())


@pytest.mark.parametrize(
    "wrong",
    [
        {"wing": 0},
        {"max_tracked": 0},
        {"touch_bps": 8.0},
        {"touch_bps": 0.0},
        {"merge_bps": 0.0},
        {"swing_ranges": -1.0},
        {"volume_multiple": 0.0},
        {"half_life_ns": 0},
        {"break_ns": -1},
    ],
)
def test_parameters_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ConfigError):
        LevelParams(**wrong)
