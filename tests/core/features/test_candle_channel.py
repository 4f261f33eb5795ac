"""The candle channel against its definitions, TA-Lib's pattern, and the laws that all of it keeps."""

import math

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.features.candle_reference import of_candle
from tests.core.features.candle_tables import (
    CANDLES,
    a_walk,
    impossible_candle,
    least_trend,
    recorded_table,
    tables,
    windows,
)

from stakan.core.features import _candle_channel_kernels as kernels
from stakan.core.features.catalogue import CANDLE
from stakan.core.features.definitions import factors

NAMES = tuple(kernels.NEUTRAL)
NEEDED = {
    **dict.fromkeys(NAMES, 1),
    **dict.fromkeys(
        ("returns", "log_returns", "volume_change_rate", "money_flow", "gap_size", "engulfing_strength"), 2
    ),
    **dict.fromkeys(("parkinson_volatility", "garman_klass_volatility", "volume_ma_ratio"), 20),
    "volume_weighted_price": 20,
    "realized_volatility": 21,
    "price_volume_trend": 21,
}


def read(table):
    out, warm = np.full(25, np.nan), np.ones(25, np.bool_)
    kernels.read(table, out, warm)
    return dict(zip(NAMES, out.tolist(), strict=True)), dict(zip(NAMES, warm.tolist(), strict=True))


def least(name, table):
    """Absolute difference that rounding may make."""
    return max(1e-12, least_trend(table)) if name == "price_volume_trend" else 1e-12


def test_names_and_order_are_the_contract_s():
    assert (
        *("open", "high", "low", "close", "volume", "typical_price"),
        *("returns", "log_returns", "high_low_range", "close_open_diff", "upper_shadow", "lower_shadow", "body_size"),
        *("realized_volatility", "parkinson_volatility", "garman_klass_volatility"),
        *("volume_ma_ratio", "volume_change_rate", "price_volume_trend", "volume_weighted_price", "money_flow"),
        *("doji_strength", "hammer_strength", "engulfing_strength", "gap_size"),
    ) == NAMES


@given(tables(min_size=1, max_size=60))
def test_it_is_what_its_definitions_say(table):
    values, warm = read(table)
    expected = of_candle(table)
    assert {name for name in NAMES if warm[name]} == set(expected)
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, rel=1e-9, abs=least(name, table)), name


@pytest.mark.recorded
@pytest.mark.parametrize("name", CANDLES)
def test_it_is_what_its_definitions_say_on_recorded_candles(recorded, name):
    _, table = recorded_table(recorded, name)
    for window in windows(len(table), 300):
        values, _ = read(table[window])
        for feature, value in of_candle(table[window]).items():
            assert values[feature] == pytest.approx(value, rel=1e-9, abs=least(feature, table[window])), feature


@given(tables(max_size=40))
def test_it_is_warm_with_the_candles_that_it_needs_and_neutral_before(table):
    values, warm = read(table)
    for name in NAMES:
        assert warm[name] == (len(table) >= NEEDED[name]), name
        assert warm[name] or values[name] == kernels.NEUTRAL[name], name


@given(st.lists(st.tuples(*[st.integers(1, 8)] * 4), min_size=11, max_size=40))
def test_it_engulfs_where_ta_lib_says_so(prices):
    """TA-Lib takes a candle without body for a white one; ours has no colour."""
    rows = [(o, max(row), min(row), c, 1, 1) for row in prices for o, c in [row[:2]]]
    table = np.array(rows, np.float64)
    o, h, low, c = (np.ascontiguousarray(column) for column in table.T[:4])
    theirs = talib.CDLENGULFING(o, h, low, c)
    for i in range(3, len(rows)):
        found, _ = read(table[: i + 1])
        coloured = o[i] != c[i] and o[i - 1] != c[i - 1]
        assert np.sign(found["engulfing_strength"]) == (np.sign(theirs[i]) if coloured else 0)


@given(tables(min_size=1, max_size=40), st.sampled_from((1e-9, 1e-3, 7.0, 1e3)))
def test_another_unit_of_prices_scales_prices_alone(table, unit):
    values, warm = read(table)
    scaled, warm_scaled = read(table * [unit, unit, unit, unit, 1, unit])
    assert warm == warm_scaled
    for (name, value), factor in zip(values.items(), factors(unit, 1.0)[CANDLE], strict=True):
        assert scaled[name] == pytest.approx(value * factor, rel=1e-9, abs=least(name, table) * factor), name


@given(tables(min_size=1, max_size=40), st.sampled_from((1e-6, 3.0, 1e9)))
def test_another_unit_of_volumes_scales_volumes_alone(table, unit):
    values, _ = read(table)
    scaled, _ = read(table * [1, 1, 1, 1, unit, unit])
    for (name, value), factor in zip(values.items(), factors(1.0, unit)[CANDLE], strict=True):
        assert scaled[name] == pytest.approx(value * factor, rel=1e-9, abs=least(name, table) * factor), name


@given(tables(min_size=2, max_size=60), st.data())
def test_a_later_candle_changes_nothing_earlier(table, data):
    end = data.draw(st.integers(1, len(table) - 1))
    poisoned = table.copy()
    poisoned[end:] = np.nan
    assert read(poisoned[:end]) == read(table[:end].copy())


def test_nothing_older_than_21_candles_counts():
    table = a_walk(200)
    assert read(table) == read(table[-21:])


@settings(max_examples=300)
@given(st.lists(impossible_candle, max_size=40))
def test_it_is_finite_on_anything(rows):
    values, _ = read(np.array(rows, np.float64).reshape(-1, 6))
    assert all(map(math.isfinite, values.values())), values
    assert np.isfinite(np.array(list(values.values())).astype(np.float32)).all(), values
    assert -10 <= values["volume_change_rate"] <= 10
    assert -1 <= values["engulfing_strength"] <= 1


@given(tables(min_size=1, max_size=40))
def test_shares_and_strengths_keep_their_bounds(table):
    values, _ = read(table)
    span = table[-1, 1] - table[-1, 2]
    shares = [values[name] for name in ("upper_shadow", "lower_shadow", "body_size")]
    assert min(shares) >= 0
    assert sum(shares) == pytest.approx(1 if span else 0)
    assert 0 <= values["doji_strength"] <= 1
    assert 0 <= values["hammer_strength"] <= 1
    assert 0 <= values["volume_ma_ratio"] <= 20


@given(tables(min_size=21, max_size=60))
def test_turning_prices_upside_down_turns_returns_and_shadows(table):
    """In logarithms: volatilities stay, log returns change their sign."""
    mirrored = table.copy()
    mirrored[:, [0, 2, 1, 3]] = 1 / table[:, :4]
    values, turned = read(table)[0], read(mirrored)[0]
    assert turned["log_returns"] == pytest.approx(-values["log_returns"], rel=1e-9, abs=1e-12)
    for name in ("realized_volatility", "parkinson_volatility", "garman_klass_volatility"):
        assert turned[name] == pytest.approx(values[name], rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize("price", [1e5, 1e-6])
def test_small_moves_are_exact_at_any_price(price):
    """One part in ten million up and down: the volatility is that of the exact moves."""
    closes = price * (1 + 1e-7 * (np.arange(30) % 2))
    table = np.column_stack((closes, closes, closes, closes, np.ones(30), closes))
    values, _ = read(table)
    assert values["realized_volatility"] == pytest.approx(1e-7 * math.sqrt(20 / 19), rel=1e-6)


@given(st.integers(1, 10**6), st.integers(1, 60))
def test_a_market_that_stands_still_shows_nothing_but_its_price(price, count):
    values, _ = read(np.array([(price,) * 4 + (0, 0)] * count, np.float64))
    still = dict.fromkeys(("open", "high", "low", "close", "typical_price"), price)
    if count >= 20:
        still["volume_weighted_price"] = price
    assert values == {**kernels.NEUTRAL, **still}
