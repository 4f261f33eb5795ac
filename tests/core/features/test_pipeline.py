"""The pipeline: both channels of the candles as it computes, keeps and scales them, and the vector that it gives."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.features.candle_reference import of_candles
from tests.core.features.indicators import day_of
from tests.core.market.builders import NAME, a_print, a_snapshot, an_instrument, restored

from stakan.core.domain.events import Candle
from stakan.core.domain.units import DAY, SECOND
from stakan.core.features import _candle_channel_kernels as candle_kernels
from stakan.core.features import _indicator_kernels as indicator_kernels
from stakan.core.features.catalogue import CANDLE, FEATURE_COUNT, FEATURE_NAMES, INDICATOR, Feature
from stakan.core.features.definitions import NEUTRAL, factors
from stakan.core.features.params import FeatureParams
from stakan.core.features.pipeline import FeaturePipeline
from stakan.core.market.candles import GRACE_NS, KEPT, Column
from stakan.core.market.densities import DensityParams
from stakan.core.market.picture import MarketPicture

CANDLES = slice(CANDLE.start, INDICATOR.stop)
START = 20_000 * DAY - 20 * SECOND
"""Histories run over midnight."""
TICK, LOT = "0.1", "0.001"


def a_market(rules=None):
    market = MarketPicture.start(an_instrument(TICK, LOT) if rules is None else rules, DensityParams(), SECOND)
    assert market.apply_book(a_snapshot(bids=[(999, 5)], asks=[(1_001, 5)])) is None
    return market


def trade(market, ts, price):
    return market.apply_print(a_print(ts=ts, price=price, trade_id=ts))


def a_candle(start, close, *, is_closed=True):
    return Candle(
        instrument=NAME,
        ts_event=start + SECOND,
        ts_recv=start + SECOND,
        interval_ns=SECOND,
        open_ts=start,
        open=close - 1,
        high=close + 2,
        low=close - 3,
        close=close,
        volume=7,
        turnover=Decimal("0.7"),
        is_closed=is_closed,
    )


moments = st.lists(
    st.tuples(
        st.sampled_from(("print", "candle", "advance", "interrupt")), st.integers(-3, 3), st.integers(900, 1_100)
    ),
    max_size=30,
)


pasts = st.sampled_from((0, 18, 48, 70, 230))
"""Candles before the moments: none, and about as many as windows want."""


def live(past, moments, each):
    """Play moments at half-second steps; `each` sees the market and the exchange time after every one."""
    market = a_market()
    draw = np.random.default_rng(past)
    now = START
    for number in range(past):
        now += SECOND
        price, size = 1_000 + int(draw.integers(-9, 10)), int(draw.integers(1, 50))
        market.apply_print(a_print(ts=now, price=price, size=size, trade_id=-1 - number))
    for number, (what, offset, price) in enumerate(moments):
        now += SECOND // 2 * max(0, offset)
        match what:
            case "print":
                market.apply_print(a_print(ts=now, price=price, trade_id=number))
            case "candle":
                market.apply_candle(a_candle((now // SECOND + offset - 1) * SECOND, price))
            case "advance":
                market.advance(now)
            case _:
                market.interrupt()
                assert market.apply_book(a_snapshot(bids=[(999, 5)], asks=[(1_001, 5)])) is not None
        each(market, now)


def a_pipeline(*, include_open=False):
    return FeaturePipeline.start(an_instrument(TICK, LOT), FeatureParams(include_open=include_open))


def table_of(market, *, include_open):
    """Start times and rows in ticks and lots of all candles that count, by way of the candles' own records."""
    builder = market.candles
    rows = builder.table[: Column.TURNOVER + 1, : builder.count].T.tolist()
    if include_open and (candle := builder.open_candle()) is not None:
        turnover = int(candle.turnover / builder.value_unit)
        prices = (candle.open, candle.high, candle.low, candle.close)
        rows = [*rows, [candle.open_ts, *prices, candle.volume, turnover]]
    rows = np.array(rows[-KEPT:], np.int64).reshape(-1, 7)
    return rows[:, 0].copy(), rows[:, 1:].astype(np.float64)


@settings(max_examples=60)
@given(pasts, moments, st.booleans())
def test_what_is_kept_between_candles_equals_what_is_read_anew(past, moments, include_open):
    kept = a_pipeline(include_open=include_open)

    def compare(market, now):
        fresh = a_pipeline(include_open=include_open).read(market, now)
        found = kept.read(market, now)
        assert np.array_equal(found.values[CANDLES], fresh.values[CANDLES])
        assert np.array_equal(found.warm[CANDLES], fresh.warm[CANDLES])

    live(past, moments, compare)


@settings(max_examples=60)
@given(pasts, moments, st.booleans())
def test_they_are_the_definitions_in_quote_currency_and_base_units(past, moments, include_open):
    """Against TA-Lib and plain Python over the same candles, which know nothing of windows, groups or kernels."""
    pipeline = a_pipeline(include_open=include_open)
    unit = dict(zip(FEATURE_NAMES, factors(float(TICK), float(LOT)).tolist(), strict=True))

    def compare(market, now):
        found = pipeline.read(market, now)
        warm = {FEATURE_NAMES[i] for i in range(CANDLES.start, CANDLES.stop) if found.warm[i]}
        open_ts, table = table_of(market, include_open=include_open)
        expected = of_candles(open_ts, table) if len(table) else {}
        if market.candles.forgotten_since >= 0:
            # The day's candles are not all there any more (`tests/core/market/test_candles.py` has them).
            warm.discard("vwap")
            expected.pop("vwap", None)
        assert warm == set(expected)
        values = found.as_dict()
        for name, (value, least) in expected.items():
            assert values[name] == pytest.approx(value * unit[name], rel=1e-9, abs=least * unit[name]), name
        cold = ~found.warm[CANDLES]
        assert found.values[CANDLES][cold].tolist() == NEUTRAL[CANDLES][cold].tolist()

    live(past, moments[-3:], compare)


DIRECTION = {"adx", "plus_di", "minus_di"}
"""They tell equal moves from unequal ones: only whole ticks are exact."""


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from((("0.1", "0.001"), ("0.0000001", "100"), ("0.25", "1"))))
def test_what_was_computed_in_ticks_is_what_kernels_make_of_quote_currency(seed, grid):
    """Every price, volume and sum of money has the unit that it says."""
    rules = an_instrument(*grid)
    tick, lot = float(rules.tick_size), float(rules.lot_size)
    market, draw = a_market(rules), np.random.default_rng(seed)
    for second in range(80):
        ts, price, size = START + second * SECOND, int(draw.integers(900, 1_100)), int(draw.integers(1, 99))
        market.apply_print(a_print(ts=ts, price=price, size=size, trade_id=second))
        market.apply_print(a_print(ts=ts + 1, price=price + int(draw.integers(-5, 6)), trade_id=100 + second))
    found = FeaturePipeline.start(rules).read(market, START + 80 * SECOND).values[CANDLES]
    open_ts, table = table_of(market, include_open=False)
    in_money = table * [tick, tick, tick, tick, lot, tick * lot]
    expected, warm = np.empty(CANDLES.stop - CANDLES.start), np.empty(CANDLES.stop - CANDLES.start, np.bool_)
    candle_kernels.read(in_money, expected[:25], warm[:25])
    indicator_kernels.read(in_money, *day_of(open_ts, in_money), expected[25:], warm[25:])
    assert warm.all()
    least = 1e-9 * np.abs(expected) + 1e-6 * factors(tick, lot)[CANDLES]
    differs = np.abs(found - expected) > least
    assert {FEATURE_NAMES[CANDLES.start + i] for i in np.flatnonzero(differs)} <= DIRECTION


@settings(max_examples=60)
@given(pasts, moments, st.booleans())
def test_every_vector_is_finite_and_cold_before_the_first_candle(past, moments, include_open):
    kept = a_pipeline(include_open=include_open)

    def look(market, now):
        vector = kept.read(market, now)
        assert np.isfinite(vector.values).all()
        assert vector.values.shape == vector.warm.shape == (FEATURE_COUNT,)
        assert vector.has_open_candle == (include_open and market.candles.open_candle() is not None)
        if market.candles.count + vector.has_open_candle == 0:
            assert not vector.warm[CANDLES].any()

    live(past, moments, look)


@settings(max_examples=60)
@given(pasts, moments, st.sampled_from([feature for feature in Feature if feature >= CANDLES.start]))
def test_one_feature_asked_for_alone_is_what_the_whole_vector_has(past, moments, feature):
    alone, whole = a_pipeline(), a_pipeline()

    def compare(market, now):
        expected = whole.read(market, now)
        found = alone.read(market, now)
        assert found.of(feature) == expected.values[feature]
        assert found.is_warm(feature) == expected.warm[feature]

    live(past, moments, compare)


@settings(max_examples=40)
@given(st.sampled_from((1, 20, 49, 50, 199, 200, 201)), st.integers(0, 2**32 - 1))
def test_what_the_open_candle_says_with_its_last_print_is_what_it_says_closed(count, seed):
    market, draw = a_market(), np.random.default_rng(seed)
    for second in range(count):
        trade(market, START + second * SECOND, int(draw.integers(900, 1_100)))
    now = START + count * SECOND
    opened, closed = a_pipeline(include_open=True), a_pipeline()
    before = opened.read(market, now)
    assert before.has_open_candle
    values, warm = before.values[CANDLES].copy(), before.warm[CANDLES].copy()
    market.advance(now + GRACE_NS)
    after = closed.read(market, now)
    assert not after.has_open_candle
    assert market.candles.count == min(count, KEPT)
    assert np.array_equal(after.values[CANDLES], values)
    assert np.array_equal(after.warm[CANDLES], warm)


def test_with_the_open_candle_every_print_counts_at_once():
    market, features = a_market(), a_pipeline(include_open=True)
    trade(market, SECOND, 1_000)
    trade(market, 2 * SECOND, 1_010)
    assert features.read(market, 2 * SECOND).of(Feature.RETURNS) == pytest.approx(0.01)
    trade(market, 2 * SECOND + 1, 1_100)
    vector = features.read(market, 2 * SECOND + 1)
    assert vector.of(Feature.RETURNS) == pytest.approx(0.1)
    assert (vector.of(Feature.CLOSE), vector.of(Feature.OPEN)) == (110.0, 101.0)


def test_candle_features_change_only_when_a_candle_closes():
    market, features = a_market(), a_pipeline()
    trade(market, SECOND, 1_000)
    trade(market, 2 * SECOND, 1_010)
    before = features.read(market, 2 * SECOND).values[CANDLES].tolist()
    trade(market, 2 * SECOND + 1, 1_100)
    assert features.read(market, 2 * SECOND + 1).values[CANDLES].tolist() == before
    trade(market, 3 * SECOND, 1_100)
    after = features.read(market, 3 * SECOND)
    assert after.of(Feature.RETURNS) == pytest.approx(0.1)
    assert after.is_warm(Feature.RETURNS, Feature.BODY_SIZE)
    assert not after.is_warm(Feature.RETURNS, Feature.REALIZED_VOLATILITY)


def test_the_exchange_s_correction_of_a_closed_candle_counts_at_once():
    market, features = a_market(), a_pipeline()
    for second, price in ((1, 1_000), (2, 1_000), (3, 1_000)):
        trade(market, second * SECOND, price)
    assert features.read(market, 3 * SECOND).of(Feature.RETURNS) == 0.0
    market.apply_candle(a_candle(2 * SECOND, 1_050))
    assert features.read(market, 3 * SECOND).of(Feature.RETURNS) == pytest.approx(0.05)


def test_a_restored_pipeline_reads_on_as_the_old_one():
    market, features = a_market(), a_pipeline()
    for second in range(1, 5):
        trade(market, second * SECOND, 1_000 + second)
        features.read(market, second * SECOND)
    again = restored(features)
    trade(market, 5 * SECOND, 1_020)
    old, new = features.read(market, 5 * SECOND), again.read(market, 5 * SECOND)
    assert np.array_equal(old.values, new.values)
    assert np.array_equal(old.warm, new.warm)


def test_a_vector_is_read_by_name():
    market, features = a_market(), a_pipeline()
    vector = features.read(market, SECOND)
    assert vector.of(Feature.MID_PRICE) == 100.0
    assert list(vector.as_dict()) == [feature.name.lower() for feature in Feature]
    assert vector.as_dict()["mid_price"] == 100.0
