"""Conversions between ticks, lots and money, against exact fractions."""

from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.engine.builders import an_instrument

from stakan.core.domain.errors import DataError
from stakan.core.domain.instrument import Category, MarginTier

units = st.builds(
    lambda coefficient, exponent: Decimal(coefficient).scaleb(exponent),
    st.sampled_from((1, 2, 5, 25)),
    st.integers(-10, 1),
)
instruments = st.builds(lambda tick, lot: an_instrument(tick_size=tick, lot_size=lot), units, units)
counts = st.integers(-(10**9), 10**9)
decimals = st.decimals(min_value=-(10**9), max_value=10**9, allow_nan=False, allow_infinity=False)
# What divisions leave: as many digits as the ambient context keeps, and more.
long_decimals = st.builds(lambda whole, rest: Decimal(f"{whole}.{rest:040d}"), st.integers(0, 10**7), st.integers(0, 9))


@given(instruments, counts, counts)
def test_ticks_and_lots_are_worth_exactly_what_they_stand_for(rules, ticks, lots):
    tick, lot = Fraction(rules.tick_size), Fraction(rules.lot_size)
    assert Fraction(rules.price(ticks)) == ticks * tick
    assert Fraction(rules.size(lots)) == lots * lot
    assert Fraction(rules.notional(ticks, lots)) == ticks * tick * lots * lot
    assert rules.value_at(rules.price(ticks), lots) == rules.notional(ticks, lots)


@given(instruments, counts, counts)
def test_a_price_on_the_grid_comes_back_as_its_tick(rules, ticks, lots):
    assert rules.ticks(rules.price(ticks)) == ticks
    assert rules.lots(rules.size(lots)) == lots
    assert rules.price_down(rules.price(ticks)) == rules.price_up(rules.price(ticks)) == ticks
    assert rules.price_nearest(rules.price(ticks)) == ticks
    assert rules.size_floor(rules.size(lots)) == lots


@given(instruments, decimals)
def test_what_lies_on_no_tick_is_refused(rules, price):
    is_whole = (Fraction(price) / Fraction(rules.tick_size)).denominator == 1
    if is_whole:
        assert rules.price(rules.ticks(price)) == price
    else:
        with pytest.raises(DataError, match="not a multiple of the tick size"):
            rules.ticks(price)


@given(instruments, st.one_of(decimals, long_decimals))
def test_rounding_goes_where_its_name_says(rules, value):
    exact = Fraction(value) / Fraction(rules.tick_size)
    assert rules.price_down(value) == floor(exact)
    assert rules.price_up(value) == ceil(exact)
    assert abs(rules.price_nearest(value) - exact) <= Fraction(1, 2) + Fraction(1, 10**9)
    assert rules.size_floor(value) == floor(Fraction(value) / Fraction(rules.lot_size))


def test_a_hair_off_the_grid_is_off_the_grid():
    rules = an_instrument(tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))
    below, above = Decimal("99.9" + "9" * 40), Decimal("100.0" + "0" * 40 + "1")
    assert (rules.price_down(below), rules.price_up(above), rules.size_floor(below)) == (999, 1001, 99_999)
    for price in (below, above):
        with pytest.raises(DataError, match="not a multiple"):
            rules.ticks(price)


def test_nearest_goes_to_even_from_the_middle():
    rules = an_instrument(tick_size=Decimal(1))
    assert [rules.price_nearest(Decimal(f"{n}.5")) for n in range(4)] == [0, 2, 2, 4]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(DataError, match="is not a number"):
        an_instrument().ticks(Decimal(value))
    with pytest.raises(DataError, match="is not a number"):
        an_instrument().lots(Decimal(value))


@pytest.mark.parametrize("field", ["tick_size", "lot_size"])
@pytest.mark.parametrize("value", ["0", "-0.1", "NaN", "Infinity"])
def test_granularity_is_a_positive_number(field, value):
    with pytest.raises(DataError, match=f"{field} must be a positive number"):
        an_instrument(**{field: Decimal(value)})


def test_a_position_belongs_to_the_first_tier_that_holds_it():
    tiers = tuple(MarginTier(Decimal(10**n), Decimal(n) / 100, Decimal(0), Decimal(10)) for n in (3, 4))
    rules = an_instrument(margin_tiers=tiers)
    assert rules.tier(Decimal(0)) is tiers[0]
    assert rules.tier(Decimal(1_000)) is tiers[0]
    assert rules.tier(Decimal("1000.01")) is tiers[1]
    with pytest.raises(DataError, match="no margin tier for a position of 10001"):
        rules.tier(Decimal(10_001))


def test_only_linear_contracts_are_linear():
    assert an_instrument().is_linear
    assert not an_instrument(category=Category.SPOT).is_linear
