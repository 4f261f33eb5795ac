"""RSI, stochastic, Williams %R, CCI, momentum, ROC and MFI against TA-Lib and their bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.features.candle_reference import of_momentum, slow_stochastic
from tests.core.features.candle_tables import CANDLES, a_walk, in_quote_currency, recorded_table, tables, windows
from tests.core.features.indicators import NEEDED, compare_with, read

from stakan.core.features._momentum_indicators import NEUTRAL


def compare(table):
    compare_with(of_momentum(table), NEUTRAL, table)


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


def test_the_stochastic_s_definition_is_ta_libs_where_all_windows_have_a_range():
    table = a_walk(100)
    assert {name: of_momentum(table)[name] for name in ("stochastic_k", "stochastic_d")} == pytest.approx(
        slow_stochastic(table)
    )


@given(tables(min_size=NEEDED))
def test_they_keep_their_bounds(table):
    values, _ = read(table)
    for name in ("rsi_14", "rsi_28", "stochastic_k", "stochastic_d", "mfi"):
        assert -1e-9 <= values[name] <= 100 + 1e-9, name
    assert -100 <= values["williams_r"] <= 0
    # The last of 20 prices is farthest, in mean deviations, where the other 19 are equal: 10 of them.
    assert abs(values["cci"]) <= 10 / 0.015 + 1e-6


@given(tables(min_size=NEEDED))
def test_a_market_upside_down_turns_them_over(table):
    top = table[:, 1].max() + 60
    mirrored = table.copy()
    mirrored[:, [0, 2, 1, 3]] = top - table[:, :4]
    values, turned = read(table)[0], read(mirrored)[0]
    for name in ("rsi_14", "rsi_28", "stochastic_k", "stochastic_d"):
        assert turned[name] == pytest.approx(100 - values[name], rel=1e-9, abs=1e-9), name
    assert turned["williams_r"] == pytest.approx(-100 - values["williams_r"], rel=1e-9, abs=1e-9)
    for name in ("cci", "momentum_10"):
        assert turned[name] == pytest.approx(-values[name], rel=1e-9, abs=1e-9), name


@given(st.integers(1, 10**6), st.integers(1, 200))
def test_a_market_that_stands_still_leans_to_no_side(price, count):
    values, _ = read(np.array([(price / 7,) * 4 + (3, 3 * price)] * count))
    assert {name: values[name] for name in NEUTRAL} == NEUTRAL
