"""Densities against a naive tracker, and what must hold of each one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.market.builders import a_delta, a_print, a_snapshot, an_instrument, bytes_of, restored
from tests.core.market.naive_densities import (
    APPEARED,
    CANCELLED,
    CONSUMED,
    ERODED,
    OUT_OF_SIGHT,
    UNIT,
    NaiveTracker,
    passes,
)

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.units import MILLISECOND, SECOND, Side
from stakan.core.market.book import Book
from stakan.core.market.densities import DensityParams, DensityTracker

BIDS, ASKS = range(985, 1_000), range(1_001, 1_016)
PARAMS = DensityParams(
    min_notional=1.9, relative=2.0, share=0.2, reach_bps=120.0, forget=0.1, max_tracked=4, scan_ns=40 * MILLISECOND
)
CALM = ([(999, 2), (997, 2), (996, 2), (995, 2)], [(1_001, 2), (1_003, 2), (1_004, 2), (1_005, 2)])

lots = st.sampled_from([0, 1, 2, 5, 20, 40, 60, 100])
bid_rows = st.dictionaries(st.sampled_from(BIDS), lots, max_size=5).map(lambda rows: list(rows.items()))
ask_rows = st.dictionaries(st.sampled_from(ASKS), lots, max_size=5).map(lambda rows: list(rows.items()))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("delta"), bid_rows, ask_rows),
        st.tuples(st.just("snapshot"), bid_rows, ask_rows),
        st.tuples(st.just("print"), st.sampled_from([*BIDS, *ASKS]), st.integers(1, 60), st.integers(-30, 5)),
        st.tuples(st.just("print"), st.sampled_from([*BIDS, *ASKS]), st.integers(1, 60), st.integers(1, 30)),
    ),
    max_size=40,
)


class Market:
    """A book and its tracker, fed in few words; time moves 10 ms a message."""

    def __init__(self, params=PARAMS, bids=CALM[0], asks=CALM[1]):
        self.book = Book(instrument="bybit:linear:BTCUSDT")
        self.tracker = DensityTracker.start(an_instrument(), params)
        self.sequence = 0
        self.ts = SECOND
        self.snapshot(bids, asks)

    def delta(self, bids=(), asks=(), after_ms=10):
        return self._send(a_delta, bids, asks, after_ms)

    def snapshot(self, bids=(), asks=()):
        rows = [[row for row in side if row[1]] for side in (bids, asks)]
        return self._send(a_snapshot, *rows, 10)

    def print(self, price, size, late_ms=5, is_rpi=False):
        """A print against the side on which the price rests, `late_ms` after the last book message (negative: before)."""
        side = Side.SELL if price < 1_000 else Side.BUY
        event = a_print(self.ts + late_ms * MILLISECOND, price, size, side, is_rpi=is_rpi)
        self.tracker.on_print(event)
        return event

    def at(self, price):
        return self.tracker.at(price)

    def _send(self, make, bids, asks, after_ms):
        self.sequence += 1
        self.ts += after_ms * MILLISECOND
        message = make(bids, asks, sequence=self.sequence, ts=self.ts)
        self.book.apply(message)
        return self.tracker.update(self.book, message)


def kinds(events):
    return [(event.kind, event.density.price) for event in events]


def state(tracker):
    found = {d.price: d for side in Side for d in tracker.on(side)}
    return [
        (d.side, d.price, d.remaining, d.peak, d.traded, d.cancelled, d.executed, d.withdrawn, d.added)
        for d in (found[price] for price in tracker.table[: tracker.tracked, 1].tolist())
    ]


def play(market, story):
    """Feed a story; yields the kind of step and what came of it."""
    for what, *rest in story:
        if what == "print":
            price, size, late_ms = rest
            yield what, market.print(price, size, late_ms)
        else:
            yield what, getattr(market, what)(*rest)


# --- laws -----------------------------------------------------------------------------------------------------------


@settings(max_examples=250)
@given(steps)
def test_the_tracker_does_what_the_naive_one_does(story):
    market, naive = Market(), NaiveTracker(PARAMS)
    naive.update(market.book, a_snapshot(*CALM, ts=market.ts))
    for (what, outcome), (_, *rest) in zip(play(market, story), story, strict=True):
        if what == "print":
            naive.on_print(outcome)
        else:
            rows = [[row for row in side if row[1]] for side in rest] if what == "snapshot" else rest
            make = a_snapshot if what == "snapshot" else a_delta
            expected = naive.update(market.book, make(*rows, ts=market.ts))
            assert kinds(outcome) == expected
        assert state(market.tracker) == naive.state()


@given(steps)
def test_both_accounts_of_every_density_are_exact(story):
    market = Market()
    for what, outcome in play(market, story):
        densities = [d for side in Side for d in market.tracker.on(side)]
        if what != "print":
            densities += [event.density for event in outcome]
        for density in densities:
            assert density.peak - density.remaining == density.traded + density.cancelled
            assert density.first + density.added == density.remaining + density.executed + density.withdrawn
            assert min(density.traded, density.cancelled, density.executed, density.withdrawn, density.added) >= 0
            assert density.peak >= density.first > 0
            assert 0 <= density.erosion <= 1
            assert density.erosion == pytest.approx(density.erosion_traded + density.erosion_cancelled)


@given(steps)
def test_whatever_appears_passes_all_three_tests(story):
    market = Market()
    for what, outcome in play(market, story):
        if what != "print":
            for event in outcome:
                if event.kind is APPEARED:
                    assert passes(market.book, event.density.side, event.density.price, PARAMS)


@given(steps)
def test_what_is_followed_is_in_the_book_with_its_size_after_a_whole_look(story):
    market = Market()
    for _ in play(market, story):
        market.delta(after_ms=50)
        for side in Side:
            for density in market.tracker.on(side):
                assert density.remaining == market.book.size_at(side, density.price)
        assert market.tracker.tracked <= PARAMS.max_tracked


@given(steps, steps)
def test_a_tracker_survives_the_trip_through_bytes_and_goes_on_alike(before, after):
    market = Market()
    for _ in play(market, before):
        continue
    original, twin = market.tracker, restored(market.tracker)
    for what, *rest in after:
        if what == "print":
            twin.on_print(market.print(*rest))
        else:
            market.tracker = original
            outcome = getattr(market, what)(*rest)
            rows = [[row for row in side if row[1]] for side in rest] if what == "snapshot" else rest
            make = a_snapshot if what == "snapshot" else a_delta
            assert twin.update(market.book, make(*rows, sequence=market.sequence, ts=market.ts)) == outcome
    assert bytes_of(twin) == bytes_of(original)


@given(steps)
def test_bids_and_asks_are_treated_alike(story):
    """The mirrored story has the mirrored densities, as far as the price does not weigh in."""
    params = DensityParams(
        min_notional=0.0, relative=2.0, share=0.2, reach_bps=9_000.0, max_tracked=64, scan_ns=40 * MILLISECOND
    )

    def mirror(rows):
        return [(2_000 - price, size) for price, size in rows]

    one, other = Market(params), Market(params, mirror(CALM[1]), mirror(CALM[0]))
    for what, *rest in story:
        if what == "print":
            one.print(*rest)
            other.print(2_000 - rest[0], *rest[1:])
        else:
            getattr(one, what)(*rest)
            getattr(other, what)(mirror(rest[1]), mirror(rest[0]))
    mirrored = sorted((side.opposite, 2_000 - price, *rest) for side, price, *rest in state(other.tracker))
    assert sorted(state(one.tracker)) == mirrored


# --- single stories -------------------------------------------------------------------------------------------------


def test_prints_explain_what_the_book_lost_and_the_rest_was_cancelled():
    market = Market()
    assert kinds(market.delta([(998, 100)])) == [(APPEARED, 998)]
    market.print(998, 30)
    (event,) = market.delta([(998, 60)])
    assert event.kind is ERODED
    density = event.density
    assert (density.traded, density.cancelled, density.erosion) == (30, 10, pytest.approx(0.4))
    assert (density.erosion_traded, density.erosion_cancelled) == (pytest.approx(0.3), pytest.approx(0.1))


def test_what_comes_back_mends_cancelled_size_first():
    market = Market()
    market.delta([(998, 100)])
    market.print(998, 30)
    market.delta([(998, 60)])
    market.delta([(998, 75)])
    density = market.at(998)
    assert (density.traded, density.cancelled, density.added) == (25, 0, 15)


def test_a_refill_at_once_is_seen_as_traded_and_added():
    market = Market()
    market.delta([(998, 100)])
    market.print(998, 30)
    assert market.delta([(999, 3)]) == ()
    density = market.at(998)
    assert (density.remaining, density.executed, density.added, density.erosion) == (100, 30, 30, 0.0)


def test_a_print_that_comes_after_the_book_showed_it_still_explains_it():
    market = Market()
    market.delta([(998, 100)])
    market.delta([(998, 70)])
    assert market.at(998).cancelled == 30
    market.print(998, 30, late_ms=-5)
    assert (market.at(998).traded, market.at(998).cancelled) == (30, 0)


def test_a_print_later_than_the_book_waits_until_the_book_shows_it():
    market = Market()
    market.delta([(998, 100)])
    market.print(998, 30, late_ms=15)
    market.delta([(998, 100)])
    assert market.at(998).executed == 0
    market.delta([(998, 70)])
    assert (market.at(998).traded, market.at(998).cancelled) == (30, 0)


def test_a_print_from_before_it_appeared_is_not_about_it():
    market = Market()
    market.delta([(998, 100)])
    market.print(998, 30, late_ms=0)
    assert (market.at(998).executed, market.at(998).added) == (0, 0)


@pytest.mark.parametrize(("size", "expected"), [(10, None), (11, 11)])
@pytest.mark.parametrize(
    "tests",
    [{"min_notional": 11 * 1_002 * UNIT}, {"relative": 11 * 5 / 19}, {"share": 11 / 19}],
    ids=["notional", "relative", "share"],
)
def test_each_of_the_three_tests_is_passed_exactly_at_its_threshold(tests, size, expected):
    """Eleven lots among four levels of two are 11/19 of the side and 55/19 times its mean."""
    market = Market(DensityParams(**({"min_notional": 1.0, "relative": 1.0, "share": 0.1} | tests)))
    market.delta([], [(1_002, size)])
    found = market.at(1_002)
    assert (found and found.remaining) == expected


def test_rpi_prints_explain_nothing():
    market = Market()
    market.delta([(998, 100)])
    market.print(998, 30, is_rpi=True)
    market.delta([(998, 70)])
    assert market.at(998).cancelled == 30


@pytest.mark.parametrize(("traded", "kind"), [(100, CONSUMED), (50, CONSUMED), (49, CANCELLED), (0, CANCELLED)])
def test_the_end_is_named_by_what_took_most(traded, kind):
    market = Market()
    market.delta([(998, 100)])
    if traded:
        market.print(998, traded)
    (event,) = market.delta([(998, 0)])
    assert (event.kind, event.density.traded, event.density.cancelled) == (kind, traded, 100 - traded)
    assert event.ts_event == market.ts
    assert market.at(998) is None


def test_it_is_gone_at_a_tenth_of_its_peak():
    market = Market()
    market.delta([(998, 100)])
    assert kinds(market.delta([(998, 11)])) == [(ERODED, 998)]
    assert kinds(market.delta([(998, 10)])) == [(CANCELLED, 998)]


def test_every_tenth_is_told_once_until_there_is_a_new_peak():
    market = Market()
    market.delta([(998, 100)])
    told = [kinds(market.delta([(998, size)])) for size in (95, 90, 95, 90, 75, 100, 75, 101, 90)]
    eroded = [(ERODED, 998)]
    assert told == [[], eroded, [], [], eroded, [], [], [], eroded]


def test_the_last_visible_levels_go_out_of_sight_not_away():
    market = Market()
    market.delta([(994, 100)])
    assert kinds(market.delta([(994, 0), (998, 5)])) == [(OUT_OF_SIGHT, 994)]


def test_what_a_new_book_does_not_show_is_out_of_sight():
    market = Market()
    market.delta([(998, 100)], [(1_002, 100)])
    assert kinds(market.snapshot([*CALM[0], (998, 80)], CALM[1])) == [(OUT_OF_SIGHT, 1_002), (ERODED, 998)]


def test_what_price_moved_away_from_is_out_of_sight():
    market = Market(DensityParams(min_notional=1.0, relative=2.0, share=0.2, reach_bps=50.0))
    market.delta([(996, 100)])
    market.delta([], [(1_001, 0), (1_003, 0)])
    assert kinds(market.delta([(1_002, 1)], after_ms=2_000)) == [(OUT_OF_SIGHT, 996)]


def test_an_untouched_level_comes_to_stand_out_when_others_go():
    market = Market(bids=[(999, 25), (998, 25), (997, 25), (996, 10)])
    assert market.at(997) is None
    market.delta([(999, 1), (998, 1)])
    assert market.at(997) is None
    assert kinds(market.delta(after_ms=40)) == [(APPEARED, 997)]


def test_a_message_that_the_book_did_not_take_changes_nothing():
    market = Market()
    market.delta([(998, 100)])
    before = bytes_of(market.tracker)
    assert market.tracker.update(market.book, a_delta([(998, 1)], sequence=1, ts=market.ts)) == ()
    market.book.invalidate()
    assert market.delta([(998, 1)]) == ()
    assert bytes_of(market.tracker) == before


def test_readers_go_from_the_touch_outwards():
    market = Market(DensityParams(min_notional=1.0, relative=1.0, share=0.05))
    market.delta([(998, 40), (994, 40), (996, 60)], [(1_002, 30)])
    assert [d.price for d in market.tracker.on(Side.BUY)] == [998, 996, 994]
    assert market.tracker.largest(Side.BUY).price == 996
    assert market.at(1_002).side is Side.SELL
    assert market.at(1_002).distance(market.book.mid) == 2.0
    assert market.tracker.notional(market.at(998)) == pytest.approx(998 * 40 * UNIT)


def test_three_close_together_are_a_cluster_and_two_are_not():
    market = Market(DensityParams(min_notional=1.0, relative=1.0, share=0.05, cluster_bps=25.0))
    market.delta([(998, 40), (997, 40), (996, 60), (992, 50), (991, 50)])
    (cluster,) = market.tracker.clusters(Side.BUY)
    assert (cluster.low, cluster.high, cluster.count, cluster.size) == (996, 998, 3, 140)
    assert market.tracker.clusters(Side.SELL) == []


def test_what_finds_no_room_is_counted():
    market = Market(DensityParams(min_notional=1.0, relative=1.0, share=0.05, max_tracked=2))
    market.delta([(998, 40), (997, 40), (996, 60)])
    assert (market.tracker.tracked, market.tracker.crowded) == (2, 1)


@pytest.mark.parametrize("wrong", [{"forget": 1.0}, {"share": 1.5}, {"max_tracked": 0}])
def test_impossible_parameters_are_named(wrong):
    with pytest.raises(ConfigError, match=f"densities.{next(iter(wrong))}"):
        DensityParams(**wrong)
