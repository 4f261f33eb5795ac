"""Units of the market: integer ticks and lots, nanoseconds, sides. Only `Instrument` converts to money."""

from enum import IntEnum
from typing import NewType

Ticks = NewType("Ticks", int)
"""A price as a whole number of tick sizes."""
Lots = NewType("Lots", int)
"""A size as a whole number of lot sizes."""
Nanos = NewType("Nanos", int)
"""A moment (since 1970-01-01 UTC) or a duration, in nanoseconds."""

MICROSECOND = Nanos(1_000)
MILLISECOND = Nanos(1_000_000)
SECOND = Nanos(1_000_000_000)
MINUTE = Nanos(60 * SECOND)
HOUR = Nanos(60 * MINUTE)
DAY = Nanos(24 * HOUR)


class Side(IntEnum):
    """Direction of an order, a fill or an aggressor; the value is the sign of the position it makes."""

    BUY = 1
    SELL = -1

    @property
    def opposite(self) -> "Side":
        """The side that closes what this side opened."""
        return Side.SELL if self is Side.BUY else Side.BUY
