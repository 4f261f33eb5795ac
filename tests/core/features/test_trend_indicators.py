"""Moving averages, MACD and directional movement against TA-Lib, and what they do in markets with a known answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.features.candle_reference import of_trend
from tests.core.features.candle_tables import CANDLES, in_quote_currency, recorded_table, tables, windows
from tests.core.features.indicators import NEEDED, compare_with, read

from stakan.core.features._trend_indicators import NEUTRAL


def compare(table):
    compare_with(of_trend(table), NEUTRAL, table)


@given(tables(min_size=1))
def test_they_are_ta_libs(table):
    compare(table)


@pytest.mark.recorded
@pytest.mark.parametrize("name", CANDLES)
def test_they_are_ta_libs_on_recorded_candles(recorded, name):
    _, table = recorded_table(recorded, name)
    for window in windows(len(table), 300):
        compare(table[window])
        compare(in_quote_currency(table[window], name))


@given(tables(min_size=NEEDED))
def test_a_market_upside_down_swaps_directions(table):
    top = table[:, 1].max() + 60
    mirrored = table.copy()
    mirrored[:, [0, 2, 1, 3]] = top - table[:, :4]
    values, turned = read(table)[0], read(mirrored)[0]
    assert turned["plus_di"] == pytest.approx(values["minus_di"], rel=1e-9, abs=1e-9)
    assert turned["adx"] == pytest.approx(values["adx"], rel=1e-9, abs=1e-9)
    for name in ("macd", "macd_signal", "macd_histogram"):
        assert turned[name] == pytest.approx(-values[name], rel=1e-9, abs=1e-9), name
    for name in ("sma_10", "sma_50", "ema_10", "ema_50"):
        assert turned[name] == pytest.approx(top - values[name], rel=1e-9), name


@given(st.integers(50, 200), st.integers(1, 100))
def test_a_steady_rise_has_one_direction_and_averages_that_lag(count, step):
    close = 1_000.0 + step * np.arange(count)
    table = np.column_stack((close - step, close, close - step, close, np.ones(count), close))
    values, _ = read(table)
    assert (values["adx"], values["plus_di"], values["minus_di"]) == (pytest.approx(100), pytest.approx(100), 0)
    for period in (10, 20, 50):
        # Either mean of a line lags it by (period - 1) / 2 steps.
        lagging = close[-1] - step * (period - 1) / 2
        assert values[f"sma_{period}"] == pytest.approx(lagging)
        assert values[f"ema_{period}"] == pytest.approx(lagging)
    assert values["macd"] == pytest.approx(step * (26 - 12) / 2)
    assert values["macd_histogram"] == pytest.approx(0, abs=1e-6)
