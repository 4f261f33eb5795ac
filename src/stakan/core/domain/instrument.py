"""What is traded: granularity, limits, fees, margin tiers; the only converter between ticks, lots and money."""

from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from enum import StrEnum

import msgspec

from stakan.core.domain.errors import DataError
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import HOUR, Lots, Nanos, Ticks


class Category(StrEnum):
    """Kind of contract. Spot has no margin and no short."""

    LINEAR = "linear"
    SPOT = "spot"


class MarginTier(msgspec.Struct, frozen=True):
    """One step of the risk limit (Bybit `/v5/market/risk-limit`)."""

    notional_limit: Decimal
    """Position value up to which this tier holds, in settlement currency."""
    maintenance_rate: Decimal
    """Share of the position's value, e.g. 0.005."""
    deduction: Decimal
    """Maintenance deduction that makes the tiers continuous, in settlement currency."""
    max_leverage: Decimal


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """Rules of one contract. Prices in quote currency, sizes in base currency."""

    id: InstrumentId
    category: Category
    base: str
    quote: str
    settle: str
    tick_size: Decimal
    lot_size: Decimal
    min_size: Lots = Lots(1)
    max_limit_size: Lots = Lots(2**62)
    max_market_size: Lots = Lots(2**62)
    min_notional: Decimal = Decimal(5)
    min_price: Ticks = Ticks(1)
    max_price: Ticks = Ticks(2**62)
    maker_fee: Decimal = Decimal("0.0002")
    taker_fee: Decimal = Decimal("0.00055")
    max_leverage: Decimal = Decimal(100)
    margin_tiers: tuple[MarginTier, ...] = ()
    funding_interval_ns: Nanos = Nanos(8 * HOUR)
    price_limit_x: Decimal = Decimal("0.01")
    price_limit_y: Decimal = Decimal("0.02")
    """`riskParameters.priceLimitRatioX/Y`: how far from mark an order may be priced."""
    assumed: tuple[str, ...] = ()
    """Fields that no source gives and that were assumed."""

    def __post_init__(self) -> None:
        for name in ("tick_size", "lot_size"):
            value: Decimal = getattr(self, name)
            if not value.is_finite() or value <= 0:
                raise DataError(f"{self.id}: {name} must be a positive number, got {value}")

    @property
    def is_linear(self) -> bool:
        """Whether it has margin, funding and shorts."""
        return self.category is Category.LINEAR

    def price(self, ticks: int) -> Decimal:
        """Exact price of a number of ticks, in quote currency."""
        return self.tick_size * ticks

    def size(self, lots: int) -> Decimal:
        """Exact size of a number of lots, in base currency."""
        return self.lot_size * lots

    def notional(self, ticks: int, lots: int) -> Decimal:
        """Exact value of `lots` at `ticks`, in quote currency; negative for negative lots."""
        return self.tick_size * self.lot_size * (ticks * lots)

    def value_at(self, price: Decimal, lots: int) -> Decimal:
        """Exact value of `lots` at a price that need not be on a tick (mark, average)."""
        return price * self.lot_size * lots

    def ticks(self, price: Decimal) -> Ticks:
        """The tick of a price that lies on one; raises DataError where it does not."""
        return Ticks(self._whole(price, self.tick_size, "price", "tick"))

    def lots(self, size: Decimal) -> Lots:
        """The lots of a size that is a multiple of one; raises DataError where it is not."""
        return Lots(self._whole(size, self.lot_size, "size", "lot"))

    def price_down(self, price: Decimal) -> Ticks:
        """Nearest tick at or below."""
        return Ticks(_floor(price, self.tick_size))

    def price_up(self, price: Decimal) -> Ticks:
        """Nearest tick at or above."""
        return Ticks(-_floor(price.copy_negate(), self.tick_size))

    def price_nearest(self, price: Decimal) -> Ticks:
        """Nearest tick, halves to even: for display and statistics, not for orders."""
        return Ticks(int((price / self.tick_size).to_integral_value(ROUND_HALF_EVEN)))

    def size_floor(self, size: Decimal) -> Lots:
        """Whole lots that fit into a size."""
        return Lots(_floor(size, self.lot_size))

    def tier(self, value: Decimal) -> MarginTier:
        """Margin tier of a position value; raises DataError where no tier is known or the value is above all."""
        for tier in self.margin_tiers:
            if value <= tier.notional_limit:
                return tier
        raise DataError(f"{self.id}: no margin tier for a position of {value} {self.settle}")

    def _whole(self, value: Decimal, unit: Decimal, what: str, name: str) -> int:
        if not value.is_finite():
            raise DataError(f"{self.id}: {what} {value} is not a number")
        whole = int(value / unit)
        # The quotient is rounded to 28 digits, the comparison is exact.
        if unit * whole != value:
            raise DataError(f"{self.id}: {what} {value} is not a multiple of the {name} size {unit}")
        return whole


def _floor(value: Decimal, unit: Decimal) -> int:
    """Whole units in a value; a quotient that was rounded up to a whole number is taken back."""
    count = int((value / unit).to_integral_value(ROUND_FLOOR))
    return count - 1 if unit * count > value else count
