"""Sizes of entries: under the budget, as large as the lot allows."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.engine.builders import an_instrument

from stakan.core.decision.sizing import Sizing

money = st.decimals(Decimal("0.01"), 10**9, allow_nan=False, allow_infinity=False)
shares = st.decimals(Decimal("0.0001"), 1, places=4)
sizings = st.one_of(st.builds(Sizing, notional=money), st.builds(Sizing, equity_share=shares))
ticks = st.integers(1, 10**7)
lot_sizes = st.sampled_from([Decimal(text) for text in ("0.001", "0.1", "1", "10")])


@given(sizings, lot_sizes, ticks, money, st.floats(0, 1))
def test_a_size_fits_the_budget_and_one_lot_more_would_not_fit_it_whole(sizing, lot, price_ticks, equity, strength):
    rules = an_instrument(lot_size=lot)
    price = rules.price(price_ticks)
    size = sizing.lots(rules, price, equity, strength)
    budget = Fraction(sizing.notional) if sizing.notional else Fraction(equity) * Fraction(sizing.equity_share)
    cost = Fraction(price) * Fraction(lot)
    assert 0 <= size * cost <= budget
    scale = Fraction(round(strength * 100), 100)
    assert size * cost <= budget * scale * (1 + Fraction(1, 10**20))
    assert (size + 1) * cost > budget * scale * (1 - Fraction(1, 10**20))


@given(sizings, ticks, money, st.floats(0, 1), st.floats(0, 1))
def test_a_stronger_signal_is_never_smaller(sizing, price_ticks, equity, one, other):
    rules = an_instrument()
    price = rules.price(price_ticks)
    weak, strong = (sizing.lots(rules, price, equity, strength) for strength in sorted((one, other)))
    assert weak <= strong


@pytest.mark.parametrize(
    ("price", "equity", "strength"),
    [(0, 1_000, 1.0), (-1, 1_000, 1.0), (100, 0, 1.0), (100, -5, 1.0), (100, 1_000, 0.0), (100, 1_000, -1.0)],
)
def test_nothing_fits_without_a_price_equity_or_conviction(price, equity, strength):
    sizing = Sizing(notional=Decimal(100))
    assert sizing.lots(an_instrument(), Decimal(price), Decimal(equity), strength) == 0


def test_what_is_worth_less_than_a_lot_is_nothing():
    assert Sizing(notional=Decimal(63)).lots(an_instrument(), Decimal(64_000), Decimal(1_000), 1.0) == 0
    assert Sizing(notional=Decimal(64)).lots(an_instrument(), Decimal(64_000), Decimal(1_000), 1.0) == 1


def test_a_fixed_amount_wins_over_a_share():
    sizing = Sizing(notional=Decimal(640), equity_share=Decimal("0.5"))
    assert sizing.lots(an_instrument(), Decimal(64_000), Decimal(10_000), 1.0) == 10


def test_strength_beyond_one_counts_as_one():
    sizing = Sizing(notional=Decimal(640))
    assert sizing.lots(an_instrument(), Decimal(64_000), Decimal(10_000), 7.0) == 10
