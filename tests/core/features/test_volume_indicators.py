"""OBV and the A/D line against TA-Lib; VWAP, CMF, VPT and NVI, which it lacks, against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.features.candle_reference import of_volume
from tests.core.features.candle_tables import CANDLES, a_walk, least_trend, recorded_table, tables, windows
from tests.core.features.indicators import DAY, MINUTE, NEEDED, minutes, read

from stakan.core.features._volume_indicators import NEUTRAL


def compare(open_ts, table):
    values, warm = read(table, open_ts)
    expected = of_volume(open_ts, table)
    # What is small because large volumes cancel out is as exact as those are.
    traded = 1e-14 * table[:, 4].sum()
    least = {"obv": traded, "ad_line": traded, "vpt": least_trend(table)}
    for name, neutral in NEUTRAL.items():
        if name != "vwap":
            assert warm[name] == (len(table) >= NEEDED), name
        value = expected[name] if warm[name] else neutral
        assert values[name] == pytest.approx(value, rel=1e-9, abs=least.get(name, 1e-14)), name


@given(tables(min_size=1), st.integers(0, 2 * 24 * 60))
def test_they_are_ta_libs_or_their_definitions(table, first):
    compare(minutes(len(table), first * MINUTE), table)


@pytest.mark.recorded
@pytest.mark.parametrize("name", CANDLES)
def test_they_are_ta_libs_or_their_definitions_on_recorded_candles(recorded, name):
    open_ts, table = recorded_table(recorded, name)
    for window in windows(len(table), 300):
        compare(open_ts[window], table[window])


@given(st.integers(-300, 300), st.integers(1, 200))
def test_vwap_is_warm_where_the_candles_reach_back_to_midnight(first, count):
    _, warm = read(a_walk(count), minutes(count, 20_000 * DAY + first * MINUTE))
    starts = [first + i for i in range(count)]
    midnight = 0 if starts[-1] >= 0 else -24 * 60
    assert warm["vwap"] == (count >= NEEDED and starts[0] <= midnight)


def test_vwap_forgets_yesterday():
    table = a_walk(100)
    yesterday = table.copy()
    yesterday[:40, 4:] *= 7
    ending_yesterday = minutes(100, 20_000 * DAY - 40 * MINUTE)
    assert read(yesterday, ending_yesterday)[0]["vwap"] == read(table, ending_yesterday)[0]["vwap"]
    yesterday[40, 4] *= 7
    assert read(yesterday, ending_yesterday)[0]["vwap"] != read(table, ending_yesterday)[0]["vwap"]


@given(tables(min_size=NEEDED))
def test_vwap_is_within_the_day_s_prices_and_cmf_within_one(table):
    values, _ = read(table)
    assert table[:, 2].min() * (1 - 1e-12) <= values["vwap"] <= table[:, 1].max() * (1 + 1e-12)
    assert -1 - 1e-12 <= values["cmf"] <= 1 + 1e-12


@given(tables(min_size=NEEDED + 1))
def test_another_candle_adds_to_what_is_cumulative(table):
    before, after = read(table[:-1])[0], read(table)[0]
    step = np.sign(table[-1, 3] - table[-2, 3])
    assert after["obv"] - before["obv"] == step * table[-1, 4]
    growth = table[-1, 3] / table[-2, 3]
    index = before["nvi"] * (growth if table[-1, 4] < table[-2, 4] else 1)
    assert after["nvi"] == pytest.approx(min(1e12, index), rel=1e-12)
    assert after["vpt"] - before["vpt"] == pytest.approx(table[-1, 4] * (growth - 1), rel=1e-9, abs=least_trend(table))


@given(st.integers(1, 10**6), st.integers(50, 200), st.integers(0, 1))
def test_a_market_that_stands_still_accumulates_nothing(price, count, volume):
    values, _ = read(np.array([(price,) * 4 + (volume, volume * price)] * count, np.float64))
    still = {"obv": volume, "vwap": price}
    assert {name: values[name] for name in NEUTRAL} == {**NEUTRAL, **still}
