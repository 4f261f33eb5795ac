"""The public board: what everybody sees of the market, as frames of Bybit's public topics.

Synchronous: it is given batches of the market, `now`, and an `emit` that takes a finished frame to whoever has the
topic open.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec

from stakan.core.domain.batch import MarketBatch
from stakan.core.domain.events import Ticker
from stakan.core.domain.instrument import Instrument

Emit = Callable[[str, bytes], None]
"""(topic, compact JSON frame); called only for topics that are open."""


class Intervals(StrEnum):
    """How often book topics are pushed."""

    DOCUMENTED = "documented"
    """At most once per Bybit's interval of the depth: 10, 20, 100, 200 ms."""
    SOURCE = "source"
    """A frame per change of the source's book, which is what agreement to the last fill needs."""


class BoardConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the market is shown."""

    intervals: Intervals = Intervals.DOCUMENTED


class Board:
    """Public topics of all listed symbols. Times are nanoseconds in whole milliseconds, as the exchange's clock says."""

    def __init__(
        self, listed: Mapping[str, Instrument], emit: Emit, start: int, config: BoardConfig | None = None
    ) -> None:
        """`listed`: rules by symbol, see `listing.listed`; `start`: the exchange's time."""
        raise NotImplementedError

    def apply(self, batch: MarketBatch) -> None:
        """Rows of the market that are due, as `LiveMarket.take` gives them."""
        raise NotImplementedError

    def tick(self, now: int) -> None:
        """Time passes: push what is due by interval (books, tickers, klines, price limits). Any time, often."""
        raise NotImplementedError

    def next_due(self) -> int:
        """When `tick` has something to do next, if no market comes before."""
        raise NotImplementedError

    def take_tickers(self) -> list[Ticker]:
        """Tickers published since the last call, for the accounts; mark and index are in force from their time on."""
        raise NotImplementedError

    def check(self, topic: str) -> None:
        """Raises Refused with the protocol's text where the topic does not exist; opens nothing."""
        raise NotImplementedError

    def open(self, topic: str) -> list[bytes]:
        """One more subscriber; returns what it gets first (snapshot), nothing where the first frame comes later.

        Raises Refused with the protocol's text for unknown topics.
        """
        raise NotImplementedError

    def close(self, topic: str) -> None:
        """One subscriber less."""
        raise NotImplementedError

    def liquidated(self, symbol: str, side: str, size: int, price: int, at: int) -> None:
        """A position was liquidated (`Buy`: a long) at its bankruptcy price; goes out on `allLiquidation`."""
        raise NotImplementedError

    # Faults, each on one topic that is open (else nothing happens).

    def skip(self, topic: str) -> None:
        """Lose one book message: the next delta leaves a gap in `u`."""
        raise NotImplementedError

    def restart(self, topic: str) -> None:
        """The service of a book topic restarts: snapshot with `u` 1."""
        raise NotImplementedError

    def cross(self, topic: str) -> None:
        """Send a book delta whose best bid is above its best ask; the next one mends it."""
        raise NotImplementedError

    def repeat(self, topic: str) -> None:
        """Send the last frame again."""
        raise NotImplementedError

    def go_back(self, topic: str) -> None:
        """Send the frame before the last again (stale)."""
        raise NotImplementedError
