"""Bollinger's bands and average true ranges against TA-Lib, widths and places against exact arithmetic."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.features.candle_reference import of_volatility
from tests.core.features.candle_tables import CANDLES, in_quote_currency, recorded_table, tables, windows
from tests.core.features.indicators import NEEDED, compare_with, read

from stakan.core.features._volatility_indicators import NEUTRAL


def compare(table):
    compare_with(of_volatility(table), NEUTRAL, table, absolute=1e-12)


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


@pytest.mark.parametrize("price", [1e5, 1e-6])
def test_a_deviation_small_beside_the_price_is_not_lost(price):
    """A millionth up and down; TA-Lib finds no deviation at all at a price of 1e-6."""
    close = price * (1 + 1e-6 * (np.arange(60) % 2))
    values, _ = read(np.column_stack((close, close, close, close, np.ones(60), close)))
    assert values["bollinger_width"] == pytest.approx(4 * 0.5e-6, rel=1e-5)
    assert values["bollinger_pct"] == pytest.approx(0.75, rel=1e-5)
    assert values["atr_14"] == pytest.approx(price * 1e-6, rel=1e-5)


@given(tables(min_size=NEEDED))
def test_a_market_upside_down_turns_them_over(table):
    top = table[:, 1].max() + 60
    mirrored = table.copy()
    mirrored[:, [0, 2, 1, 3]] = top - table[:, :4]
    values, turned = read(table)[0], read(mirrored)[0]
    assert turned["bollinger_pct"] == pytest.approx(1 - values["bollinger_pct"], rel=1e-9, abs=1e-9)
    assert turned["atr_14"] == pytest.approx(values["atr_14"], rel=1e-9)
    for one, other in (("bollinger_upper", "bollinger_lower"), ("keltner_upper", "keltner_lower")):
        assert turned[one] == pytest.approx(top - values[other], rel=1e-9, abs=1e-9), one


@given(tables(min_size=NEEDED))
def test_bands_are_in_order_and_a_close_is_never_far_out(table):
    values, _ = read(table)
    assert values["bollinger_lower"] <= values["bollinger_middle"] <= values["bollinger_upper"]
    assert values["keltner_lower"] <= values["keltner_upper"]
    # One of 20 is at most sqrt(19) population deviations from their mean.
    assert abs(values["bollinger_pct"] - 0.5) <= math.sqrt(19) / 4 + 1e-9


@given(st.integers(1, 10**6), st.integers(50, 200))
def test_a_market_that_stands_still_has_no_width(price, count):
    values, _ = read(np.array([(price / 7,) * 4 + (3, 3 * price)] * count))
    levels = ("bollinger_upper", "bollinger_middle", "bollinger_lower", "keltner_upper", "keltner_lower")
    assert [values[name] for name in levels] == pytest.approx([price / 7] * 5, rel=1e-12)
    assert (values["bollinger_width"], values["bollinger_pct"], values["atr_14"]) == (0, 0.5, 0)
