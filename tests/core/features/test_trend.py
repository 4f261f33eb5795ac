"""The trend: structure and slope, both or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.market.builders import a_print, an_instrument

from stakan.core.domain.units import SECOND
from stakan.core.features.trend import Trend, trend
from stakan.core.market.candles import CandleBuilder

MIRROR = 2_000


def candles_of(closes):
    """One candle per close, flat, and the open one after them."""
    builder = CandleBuilder.start(an_instrument(), SECOND)
    for second, price in enumerate([*closes, closes[-1]] if closes else [], 1):
        builder.update(a_print(ts=second * SECOND, price=price, trade_id=second))
    assert builder.count == len(closes)
    return builder


walks = st.lists(st.integers(900, 1_100), max_size=40)


def defined(closes, average=10, span=5):
    """The same from the words of the definition; candles are flat, so highs and lows are closes."""
    if len(closes) < max(average + span, 2 * span):
        return Trend.NONE
    new, old = closes[-span:], closes[-2 * span : -span]
    now, before = sum(closes[-average:]) / average, sum(closes[-average - span : -span]) / average
    if max(new) > max(old) and min(new) > min(old) and closes[-1] > now > before:
        return Trend.UP
    if max(new) < max(old) and min(new) < min(old) and closes[-1] < now < before:
        return Trend.DOWN
    return Trend.NONE


@given(walks, st.integers(2, 12), st.integers(1, 6))
def test_it_is_what_its_definition_says(closes, average, span):
    assert trend(candles_of(closes), average, span) is defined(closes, average, span)


@given(walks)
def test_turning_the_market_upside_down_turns_the_trend(closes):
    assert trend(candles_of([MIRROR - close for close in closes])) == -trend(candles_of(closes))


@pytest.mark.parametrize(("step", "expected"), [(3, Trend.UP), (0, Trend.NONE), (-3, Trend.DOWN)])
def test_a_straight_line_is_a_trend_and_a_flat_one_is_none(step, expected):
    assert trend(candles_of([1_000 + step * i for i in range(15)])) is expected
    assert trend(candles_of([1_000 + step * i for i in range(200)])) is expected


def test_too_few_candles_are_no_trend():
    assert trend(candles_of([1_000 + 3 * i for i in range(14)])) is Trend.NONE


def test_a_new_high_with_a_new_low_is_no_trend():
    assert trend(candles_of([1_000 + 3 * i for i in range(14)] + [900])) is Trend.NONE


def test_the_open_candle_does_not_count():
    candles = candles_of([1_000 + 3 * i for i in range(15)])
    candles.update(a_print(ts=16 * SECOND + 1, price=1))
    assert trend(candles) is Trend.UP
