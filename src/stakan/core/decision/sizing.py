"""How large an entry may be before the limits speak: a fixed notional or a share of equity, rounded down to the lot."""

from decimal import Decimal

import msgspec

from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Lots


class Sizing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exactly one of the two decides; `notional` wins where it is given."""

    notional: Decimal | None = None
    """Settlement currency per entry."""
    equity_share: Decimal = Decimal("0.02")
    """Share of equity per entry."""

    def lots(self, instrument: Instrument, price: Decimal, equity: Decimal, strength: float) -> Lots:
        """Lots for an entry at `price`; scaled by the signal's strength, 0 where nothing fits or equity is gone."""
        if equity <= 0 or price <= 0:
            return Lots(0)
        budget = self.notional if self.notional is not None else equity * self.equity_share
        # Strength is a statistic; a hundredth is as fine as it means anything.
        scale = Decimal(round(min(1.0, max(0.0, strength)) * 100)) / 100
        return instrument.size_floor(budget * scale / price)
