"""The further candle features against TA-Lib, their definitions, and the laws that all of them keep."""

import math
import statistics
from itertools import pairwise

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.features.candle_tables import CANDLES, a_walk, impossible_candle, recorded_table, tables, windows
from tests.core.features.indicators import columns

from stakan.core.features import _further_candle_kernels as kernels

NAMES = tuple(kernels.NEUTRAL)
ICHIMOKU = tuple(name for name in NAMES if name.startswith("ichimoku"))
FOLLOWING = ("parabolic_sar", "supertrend", "supertrend_direction")
UNITLESS = ("supertrend_direction", "rogers_satchell_volatility", "yang_zhang_volatility")
NEEDED = {
    "sma_100": 100,
    "sma_200": 200,
    **dict.fromkeys(FOLLOWING, 50),
    **dict.fromkeys(ICHIMOKU, 77),
    "rogers_satchell_volatility": 20,
    "yang_zhang_volatility": 21,
}


def read(table):
    out, warm = np.full(len(NAMES), np.nan), np.ones(len(NAMES), np.bool_)
    kernels.read(table, out, warm)
    return dict(zip(NAMES, out.tolist(), strict=True)), dict(zip(NAMES, warm.tolist(), strict=True))


def defined(table):
    """TA-Lib's last values and, for what it lacks, the definitions in plain Python; only what is warm."""
    _, high, low, close, _, _ = columns(table)
    values = {}
    for period in (100, 200):
        if len(table) >= period:
            values[f"sma_{period}"] = float(talib.SMA(close, period)[-1])
    if len(table) >= 20:
        values["rogers_satchell_volatility"] = math.sqrt(rogers_satchell(table[-20:].tolist()))
    if len(table) >= 21:
        values["yang_zhang_volatility"] = math.sqrt(yang_zhang(table[-21:].tolist()))
    if len(table) >= 50:
        values["parabolic_sar"] = float(talib.SAR(high, low, 0.02, 0.2)[-1])
        values["supertrend"], values["supertrend_direction"] = super_trend(high, low, close)
    if len(table) >= 77:
        values |= dict(zip(ICHIMOKU, ichimoku(high, low, close), strict=True))
    return values


def rogers_satchell(rows):
    terms = [math.log(h / c) * math.log(h / o) + math.log(low / c) * math.log(low / o) for o, h, low, c, _, _ in rows]
    return statistics.fmean(terms)


def yang_zhang(rows):
    gaps = [math.log(now[0] / before[3]) for before, now in pairwise(rows)]
    bodies = [math.log(row[3] / row[0]) for row in rows[1:]]
    k = 0.34 / (1.34 + 21 / 19)
    return statistics.variance(gaps) + k * statistics.variance(bodies) + (1 - k) * rogers_satchell(rows[1:])


def super_trend(high, low, close):
    """Both bands over all candles first, then who is above which: TA-Lib's range, everything in arrays."""
    reach = 3 * talib.ATR(high, low, close, 10)
    middle = (high + low) / 2
    upper, lower = middle + reach, middle - reach
    for i in range(11, len(close)):
        upper[i] = upper[i] if close[i - 1] > upper[i - 1] else min(upper[i], upper[i - 1])
        lower[i] = lower[i] if close[i - 1] < lower[i - 1] else max(lower[i], lower[i - 1])
    crossings = [
        (i, 1 if close[i] > upper[i] else -1) for i in range(10, len(close)) if not lower[i] <= close[i] <= upper[i]
    ]
    side = crossings[-1][1] if crossings else (1 if close[10] >= middle[10] else -1)
    return float(lower[-1] if side > 0 else upper[-1]), side


def ichimoku(high, low, close):
    """As a chart is drawn: whole lines, the spans moved to where they are drawn."""
    lines = {period: (talib.MAX(high, period) + talib.MIN(low, period)) / 2 for period in (9, 26, 52)}
    span_a, span_b = np.full(len(close) + 25, np.nan), np.full(len(close) + 25, np.nan)
    span_a[25:], span_b[25:] = (lines[9] + lines[26]) / 2, lines[52]
    today = len(close) - 1
    return lines[9][today], lines[26][today], span_a[today], span_b[today], close[today] - close[today - 25]


def compare(table):
    values, warm = read(table)
    expected = defined(table)
    assert {name for name in NAMES if warm[name]} == set(expected)
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


@given(tables(min_size=1))
def test_they_are_ta_libs_or_their_definitions(table):
    compare(table)


@pytest.mark.recorded
@pytest.mark.parametrize("name", CANDLES)
def test_they_are_ta_libs_or_their_definitions_on_recorded_candles(recorded, name):
    _, table = recorded_table(recorded, name)
    for window in windows(len(table), 300):
        compare(table[window])


@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 49, 50, 76, 77, 99, 100, 199, 200])
def test_they_are_warm_with_the_candles_that_they_need_and_neutral_before(count):
    values, warm = read(a_walk(count).reshape(-1, 6))
    for name in NAMES:
        assert warm[name] == (count >= NEEDED[name]), name
        assert warm[name] or values[name] == kernels.NEUTRAL[name], name


@given(tables(min_size=1), st.sampled_from((2.0**-30, 0.125, 1_024.0)))
def test_another_unit_of_prices_scales_prices_alone(table, unit):
    """Powers of two round nothing: a line that turns where a price touches it turns in either unit."""
    values, _ = read(table)
    scaled, _ = read(table * [unit, unit, unit, unit, 1, unit])
    for name, value in values.items():
        factor = 1.0 if name in UNITLESS else unit
        assert scaled[name] == pytest.approx(value * factor, rel=1e-9, abs=1e-8 * factor), name


@given(tables(min_size=1), st.data())
def test_a_later_candle_changes_nothing_earlier(table, data):
    end = data.draw(st.integers(0, len(table) - 1))
    poisoned = table.copy()
    poisoned[end:] = np.nan
    assert read(poisoned[:end]) == read(table[:end].copy())


@given(tables(min_size=50))
def test_supertrend_is_on_the_other_side_of_the_close(table):
    values, _ = read(table)
    assert values["supertrend_direction"] * (table[-1, 3] - values["supertrend"]) >= 0


@settings(max_examples=200)
@given(st.lists(impossible_candle, min_size=1, max_size=10), st.integers(0, 200), st.integers(0, 2**32 - 1))
def test_they_are_finite_on_anything(rows, count, seed):
    picked = np.random.default_rng(seed).integers(0, len(rows), count)
    values, _ = read(np.array(rows)[picked])
    assert all(map(math.isfinite, values.values())), values
