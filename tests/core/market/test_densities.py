"""Densities against a naive tracker, and what must hold of each one."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.market.builders import a_delta, a_print, a_snapshot, an_instrument, bytes_of, restored

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.units import MILLISECOND, SECOND, Side
from stakan.core.market.book import Book
from stakan.core.market.densities import DensityKind, DensityParams, DensityTracker

BIDS, ASKS = range(985, 1_000), range(1_001, 1_016)
UNIT = 0.0001
PARAMS = DensityParams(
    min_notional=1.9, relative=2.0, share=0.2, reach_bps=120.0, forget=0.1, max_tracked=4, scan_ns=40 * MILLISECOND
)
CALM = ([(999, 2), (997, 2), (996, 2), (995, 2)], [(1_001, 2), (1_003, 2), (1_004, 2), (1_005, 2)])
APPEARED, ERODED, CONSUMED = DensityKind.APPEARED, DensityKind.ERODED, DensityKind.CONSUMED
CANCELLED, OUT_OF_SIGHT = DensityKind.CANCELLED, DensityKind.OUT_OF_SIGHT

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


# --- the naive tracker ----------------------------------------------------------------------------------------------


@dataclass
class Naive:
    side: Side
    price: int
    remaining: int
    appeared_ts: int
    peak: int = 0
    traded: int = 0
    cancelled: int = 0
    executed: int = 0
    withdrawn: int = 0
    added: int = 0
    worst: int = 0
    waiting: int = 0
    waiting_ts: int = 0

    def lose(self, count, *, is_traded):
        self.remaining -= count
        if is_traded:
            self.traded += count
            self.executed += count
        else:
            self.cancelled += count
            self.withdrawn += count

    def gain(self, count):
        self.remaining += count
        self.added += count
        mended = min(count, self.cancelled)
        self.cancelled -= mended
        self.traded -= min(count - mended, self.traded)

    def settle(self, size, ts):
        explained = min(self.waiting, max(self.remaining - size, 0))
        self.lose(explained, is_traded=True)
        self.waiting -= explained
        if self.remaining > size:
            self.lose(self.remaining - size, is_traded=False)
        if self.waiting_ts <= ts:
            self.lose(self.waiting, is_traded=True)
            self.waiting = 0
        self.gain(size - self.remaining)
        if size > self.peak:
            self.peak, self.worst, self.traded, self.cancelled = size, 0, 0, 0


class NaiveTracker:
    """The rules in plain words, over the book's own depth views."""

    def __init__(self, params):
        self.params = params
        self.tracked = []
        self.book_ts = self.scanned_ts = 0

    def on_print(self, event):
        resting = event.side.opposite
        for each in self.tracked:
            if (each.side, each.price) != (resting, event.price) or event.is_rpi:
                continue
            if event.ts_event > self.book_ts:
                each.waiting += event.size
                each.waiting_ts = max(each.waiting_ts, event.ts_event)
            elif event.ts_event > each.appeared_ts:
                explained = min(event.size, each.cancelled)
                each.cancelled -= explained
                each.traded += explained
                each.withdrawn -= explained
                each.executed += event.size
                each.added += event.size - explained

    def update(self, book, message):
        ts = message.ts_event
        is_new = type(message).__name__ == "BookSnapshot"
        is_whole = is_new or ts - self.scanned_ts >= self.params.scan_ns
        self.scanned_ts = ts if is_whole else self.scanned_ts
        self.book_ts = ts
        rows = [(side, price) for side, price in self.named(message)]
        gone, changed = [], []
        for each in list(self.tracked):
            due = each.waiting > 0 and each.waiting_ts <= ts
            if is_whole or due or (each.side, each.price) in rows:
                kind = self.judge(each, book, ts, is_new, is_whole)
                if kind in (CONSUMED, CANCELLED, OUT_OF_SIGHT):
                    self.tracked.remove(each)
                    gone.append((kind, each.price))
                elif kind:
                    changed.append((kind, each.price))
        if is_whole:
            rows = [(side, int(price)) for side in (Side.BUY, Side.SELL) for price, _ in book.depth(side)]
        return gone + changed + self.appear(book, rows, ts)

    def named(self, message):
        for i, (price, _) in enumerate(message.levels.tolist()):
            yield (Side.BUY if i < message.bid_count else Side.SELL), price

    def is_far(self, book, side, price):
        depth = book.depth(side)
        return len(depth) == 0 or abs(int(depth[0, 0]) - price) * 10_000 > self.params.reach_bps * int(depth[0, 0])

    def judge(self, each, book, ts, is_new, is_whole):
        size = book.size_at(each.side, each.price)
        depth = book.depth(each.side)
        if size == 0 and (is_new or len(depth) == 0 or each.side * each.price < each.side * int(depth[-1, 0])):
            return OUT_OF_SIGHT
        each.settle(size, ts)
        if size <= self.params.forget * each.peak:
            return CONSUMED if each.traded >= each.cancelled else CANCELLED
        if is_whole and self.is_far(book, each.side, each.price):
            return OUT_OF_SIGHT
        tenths = (each.peak - size) * 10 // each.peak
        if tenths > each.worst:
            each.worst = tenths
            return ERODED
        return None

    def appear(self, book, rows, ts):
        found = []
        for side, price in rows:
            size = book.size_at(side, price)
            known = any((each.side, each.price) == (side, price) for each in self.tracked)
            if not size or known or self.is_far(book, side, price) or not passes(book, side, price, self.params):
                continue
            if len(self.tracked) < self.params.max_tracked:
                self.tracked.append(Naive(side, price, size, ts, peak=size))
                found.append((APPEARED, price))
        return found

    def state(self):
        return [
            (e.side, e.price, e.remaining, e.peak, e.traded, e.cancelled, e.executed, e.withdrawn, e.added)
            for e in self.tracked
        ]


def passes(book, side, price, params):
    """The three tests."""
    size = book.size_at(side, price)
    sizes = book.depth(side)[:, 1].tolist()
    return (
        size * (price * UNIT) >= params.min_notional
        and size * len(sizes) >= params.relative * sum(sizes)
        and size >= params.share * sum(sizes)
    )


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
    assert event.kind.is_end
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
