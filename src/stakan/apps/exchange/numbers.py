"""Numbers as the protocol writes them: decimals in text, exact."""

from decimal import Decimal

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.instrument import Instrument


class Format(msgspec.Struct, frozen=True):
    """How whole units of a granularity are written: with all its decimals, `0.10` with two."""

    decimals: int
    unit: int
    """Units of the last decimal in one granule."""

    def text(self, count: int) -> str:
        """So many granules (not negative) as a decimal."""
        value = count * self.unit
        if not self.decimals:
            return str(value)
        whole, part = divmod(value, 10**self.decimals)
        return f"{whole}.{part:0{self.decimals}d}"


def format_of(granularity: Decimal) -> Format:
    """Format of a tick or lot size."""
    _, digits, exponent = granularity.as_tuple()
    power = int(exponent)
    mantissa = int("".join(map(str, digits)))
    return Format(decimals=max(0, -power), unit=mantissa * 10 ** max(0, power))


class Formats(msgspec.Struct, frozen=True):
    """Formats of an instrument's numbers."""

    price: Format
    size: Format
    value: Format
    """Of ticks x lots."""

    @property
    def scales(self) -> npt.NDArray[np.int64]:
        """As the frame kernels want them."""
        return np.array([self.price.decimals, self.price.unit, self.size.decimals, self.size.unit], np.int64)


def formats_of(rules: Instrument) -> Formats:
    """Formats of one instrument."""
    price, size = format_of(rules.tick_size), format_of(rules.lot_size)
    value = Format(decimals=price.decimals + size.decimals, unit=price.unit * size.unit)
    return Formats(price=price, size=size, value=value)


def whole(text: str, digits: int) -> int | None:
    """A number of so many ASCII digits at most; None for any other text."""
    return int(text) if len(text) <= digits and text.isascii() and text.isdigit() else None


def plain(value: Decimal | None) -> str:
    """A decimal without exponent; `""` where there is none."""
    return "" if value is None else format(value, "f")
