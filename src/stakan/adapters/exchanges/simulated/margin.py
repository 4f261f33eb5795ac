"""Formulas of isolated margin, liquidation and the price band of Bybit's USDT perpetuals (UTA, since 2025-09-02)."""

from decimal import Decimal

import msgspec

from stakan.core.domain.instrument import Instrument, MarginTier
from stakan.core.domain.units import Side, Ticks
from stakan.core.portfolio.money import ZERO

ONE = Decimal(1)
FALLBACK_MAINTENANCE = Decimal("0.005")
"""First tier of liquid contracts; used for instruments whose recording brought no tiers."""


class Terms(msgspec.Struct, frozen=True):
    """What a position is margined with."""

    leverage: Decimal
    taker_fee: Decimal


def margin_tier(rules: Instrument, value: Decimal) -> MarginTier:
    """The tier of a position value; the highest one above all limits, a fallback where none is known."""
    for tier in rules.margin_tiers:
        if value <= tier.notional_limit:
            return tier
    if rules.margin_tiers:
        return rules.margin_tiers[-1]
    return MarginTier(Decimal("Infinity"), FALLBACK_MAINTENANCE, Decimal(0), rules.max_leverage)


def closing_fee(entry_value: Decimal, side: Side, terms: Terms) -> Decimal:
    """Fee that a take-over at the bankruptcy price would cost: q E (1 -/+ 1/L) f."""
    return entry_value * (ONE - side / terms.leverage) * terms.taker_fee


def position_margin(entry_value: Decimal, side: Side, terms: Terms) -> Decimal:
    """Money that an isolated position can lose: q E / L + closing fee."""
    return entry_value / terms.leverage + closing_fee(entry_value, side, terms)


def order_cost(value: Decimal, side: Side, terms: Terms) -> Decimal:
    """Money that an opening order reserves: q P / L + fee to open + fee to close at bankruptcy."""
    return value / terms.leverage + value * terms.taker_fee + closing_fee(value, side, terms)


def buffer(extra: Decimal, side: Side, terms: Terms) -> Decimal:
    """Loss that extra margin X carries: X / (1 -/+ f), as the fee of the take-over falls with its price."""
    return extra / (ONE - side * terms.taker_fee)


def bankruptcy_price(entry: Decimal, side: Side, leverage: Decimal, per_unit: Decimal = ZERO) -> Decimal:
    """Where the margin is gone: E (1 - 1/L) for a long, E (1 + 1/L) for a short, less the buffer per base unit."""
    return entry * (ONE - side / leverage) - side * per_unit


def liquidation_price(
    size: Decimal, entry: Decimal, side: Side, leverage: Decimal, tier: MarginTier, extra: Decimal = ZERO
) -> Decimal:
    """Mark at which margin + unrealised P&L = maintenance margin; `size` in base units, above 0; `extra`: `buffer`.

    Long (q E (1 - 1/L) - X/(1 - f) - D) / (q (1 - R)), short (q E (1 + 1/L) + X/(1 + f) + D) / (q (1 + R)).
    """
    at_bankruptcy = size * bankruptcy_price(entry, side, leverage) - side * extra
    return (at_bankruptcy - side * tier.deduction) / (size * (ONE - side * tier.maintenance_rate))


def maintenance_margin(entry_value: Decimal, value: Decimal, side: Side, terms: Terms, tier: MarginTier) -> Decimal:
    """Money that a position must have left at a mark value: q M R - D + closing fee."""
    return value * tier.maintenance_rate - tier.deduction + closing_fee(entry_value, side, terms)


def band_edge(rules: Instrument, side: Side, mark: Decimal, index: Decimal) -> Ticks:
    """Worst price that a limit order may have: min(M (1 + Y), max(index, M (1 + X))) for buys, mirrored for sells.

    The exchange's premium term (30 s mean of mid - mark) is left out: it needs more than a recording holds.
    """
    x, y = rules.price_limit_x, rules.price_limit_y
    if side is Side.BUY:
        return rules.price_down(min(mark * (ONE + y), max(index, mark * (ONE + x))))
    return rules.price_up(max(mark * (ONE - y), min(index, mark * (ONE - x))))


def protective_price(rules: Instrument, side: Side, mark: Decimal) -> Ticks:
    """Limit that a market order carries: mark (1 +/- X), rounded towards mark."""
    price = mark * (ONE + side * rules.price_limit_x)
    return rules.price_down(price) if side is Side.BUY else rules.price_up(price)
