"""Candle features against their definitions, and the candles from which they are read."""

import math
import statistics
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.market.builders import NAME, a_print, a_snapshot, an_instrument, restored

from stakan.core.domain.events import Candle
from stakan.core.domain.units import SECOND
from stakan.core.features import _candle_kernels as kernels
from stakan.core.features.catalogue import FEATURE_COUNT, Feature
from stakan.core.features.pipeline import FeaturePipeline
from stakan.core.market.densities import DensityParams
from stakan.core.market.picture import MarketPicture

CANDLES = slice(Feature.RETURNS, Feature.REALIZED_VOLATILITY + 1)
COUNT = CANDLES.stop - CANDLES.start


@st.composite
def candles(draw):
    """Open, high, low, close; a third of them flat."""
    if draw(st.integers(0, 2)) == 0:
        return (draw(st.integers(1, 10**6)),) * 4
    low, *inner, high = sorted(draw(st.lists(st.integers(1, 10**6), min_size=4, max_size=4)))
    opened, closed = draw(st.permutations(inner))
    return opened, high, low, closed


histories = st.lists(candles(), min_size=1, max_size=30)


def read(history):
    out, warm = np.full(COUNT, np.nan), np.zeros(COUNT, np.bool_)
    kernels.read(np.array(history, np.float64), out, warm)
    return out, warm


def defined(history):
    """The features as a textbook writes them."""
    opened, high, low, close = history[-1]
    before = history[-2][3] if len(history) > 1 else opened
    span = high - low
    closes = [candle[3] for candle in history[-21:]]
    returns = [math.log(b / a) for a, b in pairwise(closes)]
    return [
        close / before - 1,
        math.log(close / before),
        span / close,
        (close - opened) / opened,
        (high - max(opened, close)) / span if span else 0,
        (min(opened, close) - low) / span if span else 0,
        abs(close - opened) / span if span else 0,
        statistics.stdev(returns) if len(returns) > 1 else 0,
    ]


@given(histories)
def test_they_are_what_their_definitions_say(history):
    assert read(history)[0] == pytest.approx(defined(history), rel=1e-9, abs=1e-12)


@given(histories)
def test_shadows_and_body_make_up_the_whole_range(history):
    out, _ = read(history)
    opened, high, low, _ = history[-1]
    assert (out[4:7] >= 0).all()
    assert out[4:7].sum() == pytest.approx(1.0 if high > low else 0.0)
    assert opened == high == low or out[2] >= 0


@given(histories, st.integers(2, 1_000))
def test_the_unit_of_prices_does_not_matter(history, factor):
    scaled = [tuple(price * factor for price in candle) for candle in history]
    assert read(scaled)[0] == pytest.approx(read(history)[0], rel=1e-9, abs=1e-12)


@given(histories)
def test_they_are_warm_with_the_candles_that_they_need(history):
    _, warm = read(history)
    assert warm[2:7].all()
    assert warm[0] == warm[1] == (len(history) > 1)
    assert warm[7] == (len(history) > 20)


@given(st.integers(1, 10**6), st.integers(1, 30))
def test_a_flat_market_has_no_returns_no_range_and_no_volatility(price, count):
    assert read([(price,) * 4] * count)[0].tolist() == [0.0] * COUNT


# --- in the pipeline --------------------------------------------------------------------------------------------------


def a_market():
    market = MarketPicture.start(an_instrument(), DensityParams(), SECOND)
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


def live(moments, each):
    """Play moments at half-second steps; `each` sees the market and the exchange time after every one."""
    market = a_market()
    now = 100 * SECOND
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


@settings(max_examples=150)
@given(moments)
def test_what_is_kept_between_candles_equals_what_is_read_anew(moments):
    kept = FeaturePipeline.start(an_instrument())

    def compare(market, now):
        fresh = FeaturePipeline.start(an_instrument()).read(market, now)
        found = kept.read(market, now)
        assert np.array_equal(found.values[CANDLES], fresh.values[CANDLES])
        assert np.array_equal(found.warm[CANDLES], fresh.warm[CANDLES])

    live(moments, compare)


@settings(max_examples=60)
@given(moments)
def test_every_vector_is_finite_and_cold_before_the_first_closed_candle(moments):
    kept = FeaturePipeline.start(an_instrument())

    def look(market, now):
        vector = kept.read(market, now)
        assert np.isfinite(vector.values).all()
        assert vector.values.shape == vector.warm.shape == (FEATURE_COUNT,)
        if market.candles.count == 0:
            assert not vector.warm[CANDLES].any()

    live(moments, look)


def test_candle_features_change_only_when_a_candle_closes():
    market, features = a_market(), FeaturePipeline.start(an_instrument())
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
    market, features = a_market(), FeaturePipeline.start(an_instrument())
    for second, price in ((1, 1_000), (2, 1_000), (3, 1_000)):
        trade(market, second * SECOND, price)
    assert features.read(market, 3 * SECOND).of(Feature.RETURNS) == 0.0
    market.apply_candle(a_candle(2 * SECOND, 1_050))
    assert features.read(market, 3 * SECOND).of(Feature.RETURNS) == pytest.approx(0.05)


def test_a_restored_pipeline_reads_on_as_the_old_one():
    market, features = a_market(), FeaturePipeline.start(an_instrument())
    for second in range(1, 5):
        trade(market, second * SECOND, 1_000 + second)
        features.read(market, second * SECOND)
    again = restored(features)
    trade(market, 5 * SECOND, 1_020)
    old, new = features.read(market, 5 * SECOND), again.read(market, 5 * SECOND)
    assert np.array_equal(old.values, new.values)
    assert np.array_equal(old.warm, new.warm)


def test_a_vector_is_read_by_name():
    market, features = a_market(), FeaturePipeline.start(an_instrument())
    vector = features.read(market, SECOND)
    assert vector.of(Feature.MID_PRICE) == 100.0
    assert list(vector.as_dict()) == [feature.name.lower() for feature in Feature]
    assert vector.as_dict()["mid_price"] == 100.0
