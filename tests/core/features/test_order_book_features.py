"""Order-book features against definitions written out by hand, and the laws that all of them keep."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.features.order_book_reference import History, Print, vector
from tests.core.market.builders import a_delta, a_print, a_snapshot, an_instrument, bytes_of, restored

from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.units import MINUTE, SECOND, Side
from stakan.core.features import _window_kernels as kernels
from stakan.core.features.catalogue import FEATURE_NAMES, ORDER_BOOK, Feature
from stakan.core.features.definitions import NEUTRAL, POWERS, factors
from stakan.core.features.params import FeatureParams
from stakan.core.features.pipeline import FeaturePipeline, obstacle
from stakan.core.market.densities import DensityParams
from stakan.core.market.picture import MarketPicture

NAMES = FEATURE_NAMES[ORDER_BOOK]
START = 1_000 * SECOND
ANY_CLUSTER = FeatureParams(min_cluster_volume=0.0, reference_notional=3.0)


class BookTold(NamedTuple):
    """Levels as (offset from the middle, lots), offset 0 the nearest to it."""

    passed: int
    bids: tuple
    asks: tuple
    is_snapshot: bool = False


class Traded(NamedTuple):
    passed: int
    price: int
    """Ticks from the middle."""
    size: int
    sign: int
    is_rpi: bool = False
    late: int = 0


class Interrupted(NamedTuple):
    passed: int


def side(least, most, **changes):
    sizes = st.one_of(st.integers(least, 9), st.integers(max(least, 1), 10**4))
    return st.dictionaries(st.integers(0, 60), sizes, max_size=most, **changes).map(lambda d: tuple(d.items()))


whole = side(1, 60, min_size=1)
steps = st.one_of(st.just(0), st.integers(0, SECOND), st.integers(0, 40 * SECOND))
snapshots = st.builds(BookTold, steps, whole, whole, st.just(True))
deltas = st.builds(BookTold, steps, side(0, 6), side(0, 6), st.just(False))
prices, signs = st.integers(-9, 9), st.sampled_from((1, -1))
prints = st.builds(
    Traded, steps, prices, st.integers(1, 99), signs, st.booleans(), st.sampled_from((0, 0, SECOND // 2, SECOND))
)
sizes = st.integers(1, 99)
bursts = st.lists(
    st.builds(Traded, st.integers(0, SECOND), prices, sizes, signs, st.just(False), st.just(0)),
    min_size=15,
    max_size=30,
)
happenings = st.one_of(deltas, deltas, snapshots, prints, bursts, st.builds(Interrupted, steps))
histories = st.tuples(snapshots, st.lists(happenings, max_size=25)).map(
    lambda parts: [parts[0], *(one for part in parts[1] for one in (part if type(part) is list else [part]))]
)


class Watched:
    """A market and its features beside the slow history, all told the same; `flip` swaps sides, `shift` moves prices."""

    def __init__(self, tick="0.5", lot="0.01", middle=10_000, params=None, *, flip=False, shift=0, scale=1):
        rules = an_instrument(tick, lot)
        self.tick, self.lot = rules.tick_size, rules.lot_size
        self.params = FeatureParams() if params is None else params
        self.market = MarketPicture.start(rules, DensityParams(), MINUTE, follow_densities=False)
        self.pipeline = FeaturePipeline.start(rules, self.params)
        self.history = History()
        self.middle, self.sign, self.scale = middle + shift, -1 if flip else 1, scale
        self.now = START
        self.number = 0

    def price(self, offset):
        return self.middle + self.sign * offset

    def tell(self, happening):
        self.now += happening.passed
        self.number += 1
        match happening:
            case BookTold():
                self._tell_book(happening)
            case Traded():
                self._tell_print(happening)
            case Interrupted():
                self.market.interrupt()
                self.pipeline.restart()
                self.history.interrupt()

    def _tell_book(self, told):
        # A level far away keeps both sides populated.
        bids = [(self.price(-1 - away), size * self.scale) for away, size in (*told.bids, (70, 5))]
        asks = [(self.price(1 + away), size * self.scale) for away, size in (*told.asks, (70, 5))]
        if self.sign < 0:
            bids, asks = asks, bids
        is_snapshot = told.is_snapshot or not self.history.states
        make = a_snapshot if is_snapshot else a_delta
        self.market.apply_book(make(bids, asks, sequence=self.number, ts=self.now, **self._follows(is_snapshot)))
        self.pipeline.observe(self.market.book)
        self.history.book(self.now, bids, asks, is_snapshot=is_snapshot)

    def _follows(self, is_snapshot):
        return {} if is_snapshot else {"previous": self.market.book.sequence}

    def _tell_print(self, told):
        ts, price, size = self.now - told.late, self.price(told.price), told.size * self.scale
        sign = self.sign * told.sign
        self.market.apply_print(
            a_print(ts=ts, price=price, size=size, side=Side(sign), is_rpi=told.is_rpi, trade_id=self.number)
        )
        self.history.trade(Print(ts, price, size, sign, told.is_rpi))

    @property
    def is_readable(self):
        return bool(self.history.states)

    def read(self):
        """Copies of values and warmth of the order-book features."""
        found = self.pipeline.read(self.market, self.now)
        return found.values[ORDER_BOOK].copy(), found.warm[ORDER_BOOK].copy()

    def expected(self):
        told = vector(self.history, self.now, self.tick, self.lot, self.params)
        return np.array([float(told[name][0]) for name in NAMES]), np.array([told[name][1] for name in NAMES])


def played(happenings, **changes):
    watched = Watched(**changes)
    for happening in happenings:
        watched.tell(happening)
    return watched


def assert_equal(found, expected, tolerance=1e-9):
    for name, ours, theirs in zip(NAMES, found, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=tolerance, abs=1e-15), name


def busy(seed, messages=900, mean_gap=SECOND // 4):
    """A long market with prints, whose touch moves and whose large levels come and go."""
    draw = np.random.default_rng(seed)
    yield BookTold(0, *(tuple((int(i), int(draw.integers(1, 400))) for i in range(60)) for _ in range(2)), True)
    for _ in range(messages):
        gap = int(draw.exponential(mean_gap))
        if draw.random() < 0.4:
            size = int(draw.pareto(1.2) * 10) + 1
            yield Traded(gap, int(draw.integers(-4, 5)), size, int(draw.choice((-1, 1))), bool(draw.random() < 0.1))
            continue
        sides = []
        for _ in range(2):
            offsets = np.minimum(draw.geometric(0.15, draw.integers(0, 5)) - 1, 69)
            sizes = np.where(draw.random(len(offsets)) < 0.4, 0, draw.pareto(1.0, len(offsets)) * 50 + 1)
            sides.append(tuple({int(o): int(q) for o, q in zip(offsets, sizes, strict=True)}.items()))
        yield BookTold(gap, *sides)


# --- values -----------------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(histories, st.sampled_from((("0.1", "0.001", 1_000_000), ("0.0000000001", "1000", 10_000), ("0.5", "1", 1_000))))
def test_features_equal_their_definitions_and_know_when_they_are_warm(happenings, grid):
    """At prices near 100,000, near 0.000001, and where levels lie on both sides of half a percent from mid."""
    tick, lot, middle = grid
    watched = played(happenings, tick=tick, lot=lot, middle=middle, params=ANY_CLUSTER)
    if watched.is_readable:
        (found, warm), (expected, expected_warm) = watched.read(), watched.expected()
        assert_equal(found, expected)
        assert dict(zip(NAMES, warm, strict=True)) == dict(zip(NAMES, expected_warm, strict=True))


@pytest.mark.parametrize(("tick", "lot", "middle"), [("0.1", "0.001", 1_000_000), ("0.0000000001", "1000", 10_000)])
def test_features_of_a_long_market_equal_their_definitions(tick, lot, middle):
    notional = 400 * middle * float(tick) * float(lot)
    params = FeatureParams(min_cluster_volume=notional, reference_notional=notional)
    watched = Watched(tick, lot, middle, params)
    seen = np.zeros(len(NAMES), np.bool_)
    for number, happening in enumerate(busy(seed=7)):
        watched.tell(happening)
        if number % 60 == 59:
            (found, warm), (expected, expected_warm) = watched.read(), watched.expected()
            assert_equal(found, expected)
            assert (warm == expected_warm).all()
            seen |= warm
    assert [name for name, was in zip(NAMES, seen, strict=True) if not was] == []


def test_a_bookful_of_known_numbers():
    """Levels of 1, 1, 4, 4, 1 and then 1 lots on both sides, one tick apart around 100.0, tick 0.1, lot 1."""
    sizes = tuple(enumerate((1, 1, 4, 4, 1, 1, 1, 1, 1, 1)))
    watched = Watched("0.1", "1", 1_000, FeatureParams(min_cluster_volume=0.0, reference_notional=199.7))
    watched.tell(BookTold(0, sizes, sizes, True))
    found, _ = watched.read()
    of = dict(zip(NAMES, found.tolist(), strict=True))
    # The far level of 5 lots is one, too.
    assert of["num_bid_clusters"] == of["num_ask_clusters"] == 2
    assert of["largest_bid_cluster_price"] == pytest.approx(99.65)
    assert of["support_level_1"] == pytest.approx(99.65)
    assert of["largest_ask_cluster_volume"] == 8
    assert of["distance_to_resistance"] == pytest.approx(0.0035)
    # Selling 1 at 99.9 and 1 at 99.8 brings 199.7; buying for 199.7 takes less than 1 at 100.2.
    bought = 1 + (199.7 - 100.1) / 100.2
    assert of["effective_spread"] == pytest.approx((199.7 / bought - 99.85) / 100)


# --- laws -------------------------------------------------------------------------------------------------------------


@given(histories)
def test_they_are_finite_and_neutral_where_history_is_short(happenings):
    watched = played(happenings)
    if watched.is_readable:
        found, warm = watched.read()
        assert np.isfinite(found).all()
        cold = [int(f) for f in WITH_A_WINDOW if not warm[f]]
        assert found[cold].tolist() == NEUTRAL[cold].tolist()


WITH_A_WINDOW = [
    Feature.VOLUME_DELTA_5,
    Feature.ORDER_FLOW_IMBALANCE,
    Feature.BUY_SELL_RATIO,
    Feature.SMART_MONEY_INDEX,
    Feature.KYLE_LAMBDA,
    Feature.AMIHUD_ILLIQUIDITY,
    Feature.ROLL_SPREAD,
    Feature.LEVEL_TTL_AVG,
    Feature.LEVEL_TTL_STD,
    Feature.ORDERBOOK_VOLATILITY,
    Feature.UPDATE_FREQUENCY,
    Feature.QUOTE_INTENSITY,
    Feature.TRADE_ARRIVAL_RATE,
    Feature.SPREAD_VOLATILITY,
]
NEGATED = [
    Feature.IMBALANCE_5,
    Feature.IMBALANCE_10,
    Feature.IMBALANCE_TOTAL,
    Feature.VOLUME_DELTA_5,
    Feature.ORDER_FLOW_IMBALANCE,
    Feature.DEPTH_IMBALANCE_RATIO,
]
INVERTED = [Feature.BOOK_DEPTH_RATIO, Feature.BUY_SELL_RATIO]
SWAPPED = [
    (Feature.DEPTH_BID_5, Feature.DEPTH_ASK_5),
    (Feature.DEPTH_BID_10, Feature.DEPTH_ASK_10),
    (Feature.TOTAL_BID_VOLUME, Feature.TOTAL_ASK_VOLUME),
    (Feature.LARGEST_BID_CLUSTER_VOLUME, Feature.LARGEST_ASK_CLUSTER_VOLUME),
    (Feature.NUM_BID_CLUSTERS, Feature.NUM_ASK_CLUSTERS),
]
REFLECTED = [
    (Feature.MID_PRICE, Feature.MID_PRICE),
    (Feature.MICRO_PRICE, Feature.MICRO_PRICE),
    (Feature.VWAP_BID_5, Feature.VWAP_ASK_5),
    (Feature.VWAP_BID_10, Feature.VWAP_ASK_10),
    (Feature.LARGEST_BID_CLUSTER_PRICE, Feature.LARGEST_ASK_CLUSTER_PRICE),
    (Feature.SUPPORT_LEVEL_1, Feature.RESISTANCE_LEVEL_1),
]
"""Prices: in a book whose prices run the other way round the middle, they lie as far on its other side."""
UNTOUCHED = [
    Feature.BID_ASK_SPREAD_ABS,
    Feature.KYLE_LAMBDA,
    Feature.ROLL_SPREAD,
    Feature.LEVEL_TTL_AVG,
    Feature.LEVEL_TTL_STD,
    Feature.ORDERBOOK_VOLATILITY,
    Feature.UPDATE_FREQUENCY,
    Feature.QUOTE_INTENSITY,
    Feature.TRADE_ARRIVAL_RATE,
]


@given(histories)
def test_a_mirrored_market_has_mirrored_features(happenings):
    watched = played(happenings, params=ANY_CLUSTER)
    if not watched.is_readable:
        return
    plain, warm = watched.read()
    mirrored, mirrored_warm = played(happenings, params=ANY_CLUSTER, flip=True).read()
    np.testing.assert_allclose(mirrored[NEGATED], -plain[NEGATED], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mirrored[INVERTED], 1 / plain[INVERTED], rtol=1e-9)
    np.testing.assert_allclose(mirrored[UNTOUCHED], plain[UNTOUCHED], rtol=1e-9, atol=1e-12)
    for bid, ask in SWAPPED:
        assert (mirrored[bid], mirrored[ask]) == (plain[ask], plain[bid])
        assert (mirrored_warm[bid], mirrored_warm[ask]) == (warm[ask], warm[bid])
    middle = watched.middle * float(watched.tick)
    for bid, ask in REFLECTED:
        assert mirrored[bid] - middle == pytest.approx(middle - plain[ask], abs=1e-6)
        assert mirrored[ask] - middle == pytest.approx(middle - plain[bid], abs=1e-6)


PRICES = sorted({feature for pair in REFLECTED for feature in pair})
LEFT_ALONE_BY_PRICE = [*NEGATED, *INVERTED, *UNTOUCHED, *(feature for pair in SWAPPED for feature in pair)]


@given(histories, st.integers(1, 10**6))
def test_a_shift_of_all_prices_shifts_prices_and_nothing_that_is_a_size_a_difference_or_a_count(happenings, shift):
    watched = played(happenings, params=ANY_CLUSTER)
    if not watched.is_readable:
        return
    plain, _ = watched.read()
    shifted, _ = played(happenings, params=ANY_CLUSTER, shift=shift).read()
    np.testing.assert_allclose(shifted[PRICES] - shift * float(watched.tick), plain[PRICES], atol=1e-6)
    np.testing.assert_allclose(shifted[LEFT_ALONE_BY_PRICE], plain[LEFT_ALONE_BY_PRICE], rtol=1e-9, atol=1e-12)


WITH_A_LOT_ADDED = [Feature.BOOK_DEPTH_RATIO, Feature.BUY_SELL_RATIO, Feature.LIQUIDITY_ASYMMETRY]


@given(histories, st.sampled_from((2, 10, 1_000)))
def test_larger_sizes_scale_what_is_a_size_and_leave_shares_alone(happenings, scale):
    watched = played(happenings, params=ANY_CLUSTER)
    if not watched.is_readable:
        return
    plain, _ = watched.read()
    params = FeatureParams(min_cluster_volume=0.0, reference_notional=3.0 * scale)
    grown, _ = played(happenings, params=params, scale=scale).read()
    expected = plain * factors(1.0, scale)[ORDER_BOOK]
    is_size = POWERS[ORDER_BOOK, 1] != 0
    is_share = ~is_size
    is_share[WITH_A_LOT_ADDED] = False
    np.testing.assert_allclose(grown[is_size], expected[is_size], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(grown[is_share], expected[is_share], rtol=1e-9, atol=1e-12)


@given(histories)
def test_reading_on_the_way_changes_nothing_and_nothing_comes_from_later(happenings):
    """What was read after each happening is what a market that ended there reads."""
    watched = Watched()
    for number, happening in enumerate(happenings, 1):
        watched.tell(happening)
        if watched.is_readable and number % 3 == 0:
            values, warm = watched.read()
            fresh_values, fresh_warm = played(happenings[:number]).read()
            assert (values == fresh_values).all()
            assert (warm == fresh_warm).all()


@given(histories, st.integers(0, 30))
def test_a_restored_state_goes_on_with_the_same_numbers(happenings, cut):
    watched, twin = Watched(), Watched()
    for number, happening in enumerate(happenings):
        watched.tell(happening)
        twin.tell(happening)
        if number == cut:
            twin.market, twin.pipeline = restored(twin.market), restored(twin.pipeline)
    if watched.is_readable:
        assert [column.tolist() for column in watched.read()] == [column.tolist() for column in twin.read()]
        assert bytes_of(twin.pipeline) == bytes_of(watched.pipeline)


@given(histories, st.sampled_from([feature for feature in Feature if feature < ORDER_BOOK.stop]))
def test_one_feature_asked_for_alone_is_what_the_whole_vector_has(happenings, feature):
    watched = played(happenings)
    if watched.is_readable:
        values, warm = watched.read()
        alone = watched.pipeline.read(watched.market, watched.now)
        assert alone.is_warm(feature) == warm[feature]
        assert alone.of(feature) == values[feature]


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_rings_grow_under_a_burst_and_nothing_is_lost():
    watched = Watched()
    watched.tell(BookTold(0, ((0, 1),), ((0, 1),), True))
    for i in range(3_000):
        watched.tell(BookTold(30_000_000, ((0, 1 + i % 7), (i % 9 + 1, i % 2)), ((0, 1 + i % 5), (i % 8 + 1, i % 2))))
    assert_equal(watched.read()[0], watched.expected()[0])
    assert len(watched.pipeline.order_book.changes) > 1_024
    assert len(watched.pipeline.order_book.lives) > 1_024


def test_memory_is_bounded_in_the_busiest_market_and_warmth_says_what_is_lost():
    """Two messages a millisecond for 70 seconds: what is kept reaches back half as far."""
    watched = Watched()
    watched.tell(BookTold(0, ((0, 1),), ((0, 1),), True))
    book, features = watched.market.book, watched.pipeline.order_book
    row = int(book.counts[0]) - 1
    for i in range(140_000):
        book.ts_event += SECOND // 2_000
        book.sides[0, row, 0] += 1 if i % 2 else -1
        features.observe(book)
    watched.now = book.ts_event
    assert len(features.changes) == len(features.shapes) == len(features.lives) == kernels.MOST_ROWS
    found, warm = watched.read()
    assert warm[Feature.UPDATE_FREQUENCY]
    assert found[Feature.UPDATE_FREQUENCY] == 2_000
    assert not warm[[Feature.SPREAD_VOLATILITY, Feature.LEVEL_TTL_AVG, Feature.KYLE_LAMBDA]].any()


def test_windows_are_young_for_their_length():
    watched = Watched()
    watched.tell(BookTold(0, ((0, 1),), ((0, 1),), True))
    watched.now += 10 * SECOND - 1
    assert not watched.read()[1][Feature.ORDER_FLOW_IMBALANCE]
    watched.now += 1
    assert watched.read()[1][Feature.ORDER_FLOW_IMBALANCE]
    watched.now += 50 * SECOND - 1
    assert not watched.read()[1][Feature.SPREAD_VOLATILITY]
    watched.now += 1
    assert watched.read()[1][Feature.SPREAD_VOLATILITY]


def one_sided(market):
    market.apply_book(a_delta(asks=[(1_001, 0)], sequence=2))


def crossed(market):
    market.apply_book(a_delta(bids=[(1_001, 3)], sequence=2))


def gapped(market):
    market.apply_book(a_delta(sequence=9, previous=8))


@pytest.mark.parametrize(
    ("happens", "why"),
    [(one_sided, "empty"), (crossed, "invalid"), (gapped, "invalid"), (MarketPicture.interrupt, "invalid")],
)
def test_a_book_that_cannot_be_used_gives_no_vector_and_says_why(happens, why):
    market = MarketPicture.start(an_instrument(), DensityParams(), MINUTE)
    pipeline = FeaturePipeline.start(an_instrument())
    with pytest.raises(DataError, match="the book is empty"):
        pipeline.read(market, START)
    market.apply_book(a_snapshot([(999, 5)], [(1_001, 5)]))
    assert pipeline.read(market, START).of(Feature.MID_PRICE) == 100.0
    happens(market)
    with pytest.raises(DataError, match=f"the book is {why}"):
        pipeline.read(market, START)
    assert obstacle(market.book) == why


@pytest.mark.parametrize(
    "wrong",
    [
        {"cluster_multiple": 0},
        {"min_cluster_volume": -1},
        {"reference_notional": 0},
        {"reference_notional": float("nan")},
    ],
)
def test_parameters_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ConfigError):
        FeatureParams(**wrong)
