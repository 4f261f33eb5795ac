"""The laws that all 35 indicators keep."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.features.candle_tables import (
    CANDLES,
    a_walk,
    impossible_candle,
    least_trend,
    recorded_table,
    tables,
    windows,
)
from tests.core.features.indicators import NAMES, NEEDED, minutes, read

from stakan.core.features import _indicator_kernels as kernels
from stakan.core.features.catalogue import INDICATOR
from stakan.core.features.definitions import POWERS, factors

DIRECTION = ("adx", "plus_di", "minus_di")
LEAST = {
    (1, 0): lambda table: 1e-13 * table[:, 1].max(),
    (0, 1): lambda table: 1e-13 * table[:, 4].sum() + least_trend(table),
    (0, 0): lambda _table: 1e-8,
}
"""What rounding may make of a price, of a volume and of a pure number."""


def test_names_and_order_are_the_contract_s():
    assert (
        *("sma_10", "sma_20", "sma_50", "ema_10", "ema_20", "ema_50", "macd", "macd_signal", "macd_histogram"),
        *("adx", "plus_di", "minus_di"),
        *("rsi_14", "rsi_28", "stochastic_k", "stochastic_d", "williams_r", "cci", "momentum_10", "roc", "mfi"),
        *("bollinger_upper", "bollinger_middle", "bollinger_lower", "bollinger_width", "bollinger_pct"),
        *("atr_14", "keltner_upper", "keltner_lower"),
        *("obv", "vwap", "ad_line", "cmf", "vpt", "nvi"),
    ) == NAMES


@pytest.mark.parametrize("count", [0, 1, 2, NEEDED - 1])
def test_fewer_than_fifty_candles_give_neutral_values(count):
    values, warm = read(a_walk(count).reshape(-1, 6))
    assert values == kernels.NEUTRAL
    assert not any(warm.values())


@given(st.integers(NEEDED, 200))
def test_fifty_candles_since_midnight_are_enough_for_all(count):
    _, warm = read(a_walk(count))
    assert all(warm.values())


@given(tables(min_size=1), st.data())
def test_a_later_candle_changes_nothing_earlier(table, data):
    end = data.draw(st.integers(0, len(table) - 1))
    poisoned, open_ts = table.copy(), minutes(len(table))
    poisoned[end:] = np.nan
    assert read(poisoned[:end], open_ts[:end]) == read(table[:end].copy())


def test_what_is_read_is_left_as_it_is():
    table, open_ts = a_walk(200), minutes(200)
    before = table.copy(), open_ts.copy()
    assert read(table, open_ts) == read(table, open_ts)
    assert np.array_equal(table, before[0])
    assert np.array_equal(open_ts, before[1])


def compare_units(table, price, volume, open_ts=None):
    """Prices in another unit, and volumes in another."""
    values, warm = read(table, open_ts)
    scaled, warm_scaled = read(table * [price, price, price, price, volume, price * volume], open_ts)
    assert warm == warm_scaled
    # A candle that rose as far as it fell is told from others without tolerance, as in TA-Lib: rounding shows there.
    is_exact = np.frexp(price)[0] == 0.5
    grown = factors(price, volume)[INDICATOR]
    for name, factor, powers in zip(NAMES, grown, POWERS[INDICATOR].tolist(), strict=True):
        if is_exact or name not in DIRECTION:
            least = LEAST[tuple(powers)](table) * factor
            assert scaled[name] == pytest.approx(values[name] * factor, rel=1e-9, abs=least), name


@given(
    tables(min_size=NEEDED),
    st.sampled_from((1e-9, 1e-3, 0.1, 2.0**-30, 1_024.0)),
    st.sampled_from((1e-6, 1.0, 3.0, 1e9)),
)
def test_another_unit_scales_prices_and_volumes_and_nothing_else(table, price, volume):
    compare_units(table, price, volume)


@pytest.mark.recorded
@pytest.mark.parametrize("name", CANDLES)
def test_in_quote_currency_or_in_ticks_recorded_candles_say_the_same(recorded, name):
    open_ts, table = recorded_table(recorded, name)
    for window in windows(len(table), 300):
        compare_units(table[window], CANDLES[name][2], 1.0, open_ts[window])


anything = st.lists(impossible_candle, min_size=1, max_size=10)


@settings(max_examples=300)
@given(anything, st.integers(NEEDED, 200), st.integers(0, 2**32 - 1))
def test_they_are_finite_on_anything(rows, count, seed):
    picked = np.random.default_rng(seed).integers(0, len(rows), count)
    values, _ = read(np.array(rows)[picked])
    assert all(map(math.isfinite, values.values())), values
    assert np.isfinite(np.array(list(values.values())).astype(np.float32)).all(), values
