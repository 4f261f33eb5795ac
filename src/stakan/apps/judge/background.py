"""A recorded session as planning needs it: the touch, what is usual, and where prints went, message by message."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stakan.core.domain.errors import DataError
from stakan.core.domain.events import BookDelta, BookSnapshot, TradePrint
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Nanos, Side
from stakan.core.market.book import Book

Ints = npt.NDArray[np.int64]
SessionEvent = BookSnapshot | BookDelta | TradePrint

REFERENCE_LEVELS = 50
"""Sizes are drawn as multiples of the median of so many nearest levels of a side, as the generator's truth has it."""
_NO_PRINT_LOW = 2**62
_NO_PRINT_HIGH = 0


class Background(NamedTuple):
    """Per book message i (the snapshot is 0), all of shape (n,); the state is the one after the message."""

    instrument: Instrument
    events: tuple[SessionEvent, ...]
    ts: Ints
    """Exchange time in nanoseconds, never going back."""
    touch: dict[Side, Ints]
    """Best price of a side, ticks."""
    reference: dict[Side, Ints]
    """Median size of the side's nearest 50 levels, lots."""
    print_low: Ints
    """Lowest and highest price printed between message i - 1 and message i, ticks; extremes where nothing was."""
    print_high: Ints
    level_updates: Ints
    """How many levels the message names."""
    print_lots: int
    """Median size of a print."""
    prints: int

    @property
    def began(self) -> Nanos:
        """Time of the first message."""
        return Nanos(int(self.ts[0]))

    @property
    def ended(self) -> Nanos:
        """Time of the last message."""
        return Nanos(int(self.ts[-1]))

    def message_at(self, ts: int) -> int:
        """The first message at or after a time; the number of messages where there is none."""
        return int(np.searchsorted(self.ts, ts))

    def stays_behind(self, side: Side, price: int, first: int, last: int) -> bool:
        """Whether a level never stands ahead of its side's recorded touch after the messages [first, last)."""
        return bool(np.all(side * (self.touch[side][first:last] - price) >= 0))

    def is_untraded(self, side: Side, price: int, first: int, last: int) -> bool:
        """Whether the market never trades at or beyond a price while a level stands there.

        It is placed with message `first` and removed with message `last`.
        """
        if not self.stays_behind(side, price, first, last):
            return False
        if side is Side.BUY:
            return bool(np.all(self.print_low[first + 1 : last + 1] > price))
        return bool(np.all(self.print_high[first + 1 : last + 1] < price))

    def move(self, side: Side, first: int, last: int) -> float:
        """How far the mid went from one message to another, in ticks; positive is up for bids and down for asks."""
        both = self.touch[Side.BUY], self.touch[Side.SELL]
        return side * sum(float(touch[last] - touch[first]) for touch in both) / 2


def scan(instrument: Instrument, events: Iterable[SessionEvent]) -> Background:
    """Read a session once; raises DataError where its book is not sound from the first message to the last."""
    book = Book(instrument.id)
    kept = tuple(events)
    rows: list[tuple[int, ...]] = []
    low, high = _NO_PRINT_LOW, _NO_PRINT_HIGH
    sizes: list[int] = []
    for event in kept:
        if isinstance(event, TradePrint):
            low, high = min(low, event.price), max(high, event.price)
            sizes.append(event.size)
            continue
        problem = book.apply(event)
        if problem is not None or not book.is_usable:
            raise DataError(f"{instrument.id}: the book of the session is not sound at {event.ts_event}: {problem}")
        medians = (int(np.median(book.depth(side, REFERENCE_LEVELS)[:, 1])) for side in (Side.BUY, Side.SELL))
        rows.append((event.ts_event, book.best_bid, book.best_ask, *medians, low, high, len(event.levels)))
        low, high = _NO_PRINT_LOW, _NO_PRINT_HIGH
    if not rows:
        raise DataError(f"{instrument.id}: the session has no book message")
    table = np.array(rows, np.int64)
    return Background(
        instrument=instrument,
        events=kept,
        ts=np.maximum.accumulate(table[:, 0]),
        touch={Side.BUY: table[:, 1], Side.SELL: table[:, 2]},
        reference={Side.BUY: np.maximum(1, table[:, 3]), Side.SELL: np.maximum(1, table[:, 4])},
        print_low=table[:, 5],
        print_high=table[:, 6],
        level_updates=table[:, 7],
        print_lots=max(1, int(np.median(sizes))) if sizes else 1,
        prints=len(sizes),
    )
