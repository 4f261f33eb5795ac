"""Formulas of margin, liquidation and price band, by hand."""

from decimal import Decimal

import pytest
from tests.adapters.exchanges.simulated.builders import rules

from stakan.adapters.exchanges.simulated import margin
from stakan.core.domain.instrument import MarginTier
from stakan.core.domain.units import Side

TERMS = margin.Terms(Decimal(10), Decimal("0.0006"))
FIRST = MarginTier(Decimal(2_000_000), Decimal("0.005"), Decimal(0), Decimal(100))


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, "54271.36"), (Side.SELL, "65671.64")])
def test_a_position_of_60000_at_ten_times_is_liquidated_where_the_exchange_says(side, price):
    found = margin.liquidation_price(Decimal("0.7"), Decimal(60_000), side, Decimal(10), FIRST)
    assert found.quantize(Decimal("0.01")) == Decimal(price)


def test_the_published_example_at_fifty_times():
    found = margin.liquidation_price(Decimal(1), Decimal(20_000), Side.BUY, Decimal(50), FIRST)
    assert found.quantize(Decimal("0.01")) == Decimal("19698.49")


@pytest.mark.parametrize("side", Side)
def test_at_the_liquidation_price_margin_and_loss_equal_the_maintenance_margin(side):
    """IM + unrealised = q M R - D + closing fee, also with a deduction."""
    tier = MarginTier(Decimal(9_000_000), Decimal("0.01"), Decimal(10_000), Decimal(50))
    size, entry = Decimal(50), Decimal(60_000)
    mark = margin.liquidation_price(size, entry, side, TERMS.leverage, tier)
    left = margin.position_margin(size * entry, side, TERMS) + side * size * (mark - entry)
    needed = size * mark * tier.maintenance_rate - tier.deduction + margin.closing_fee(size * entry, side, TERMS)
    assert abs(left - needed) < Decimal("1e-15")


@pytest.mark.parametrize("side", Side)
def test_taking_over_at_bankruptcy_costs_exactly_the_margin(side):
    size, entry = Decimal(2), Decimal(60_000)
    price = margin.bankruptcy_price(entry, side, TERMS.leverage)
    loss = side * size * (entry - price) + size * price * TERMS.taker_fee
    assert loss == margin.position_margin(size * entry, side, TERMS)


def test_an_order_binds_margin_and_both_fees():
    value = Decimal(60_000)
    assert margin.order_cost(value, Side.BUY, TERMS) == 6_000 + 36 + Decimal("32.4")
    assert margin.order_cost(value, Side.SELL, TERMS) == 6_000 + 36 + Decimal("39.6")


def test_the_documented_market_sell_is_priced_one_percent_under_mark():
    """Mark 95901.48, order price 94942.5 (rounded towards mark)."""
    instrument = rules(tick_size=Decimal("0.1"), price_limit_x=Decimal("0.01"))
    assert margin.protective_price(instrument, Side.SELL, Decimal("95901.48")) == 949425


def test_the_band_follows_the_index_up_to_its_outer_limit():
    instrument = rules(price_limit_x=Decimal("0.01"), price_limit_y=Decimal("0.02"))
    mark = Decimal(10_000)
    assert margin.band_edge(instrument, Side.BUY, mark, mark) == 10_100
    assert margin.band_edge(instrument, Side.BUY, mark, Decimal(10_150)) == 10_150
    assert margin.band_edge(instrument, Side.BUY, mark, Decimal(10_900)) == 10_200
    assert margin.band_edge(instrument, Side.SELL, mark, Decimal(9_000)) == 9_800


def test_without_tiers_a_fallback_holds_and_above_all_tiers_the_last():
    assert margin.margin_tier(rules(margin_tiers=()), Decimal(5)).maintenance_rate == margin.FALLBACK_MAINTENANCE
    assert margin.margin_tier(rules(margin_tiers=(FIRST,)), Decimal(10**12)) is FIRST
