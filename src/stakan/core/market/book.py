"""The level-2 book of one instrument: snapshots, deltas, sequence, and whether it can be trusted right now."""

from enum import StrEnum

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.events import BookDelta, BookEvent, BookSnapshot, Levels
from stakan.core.domain.facts import AnyFact, BookCorrupt, BookCrossed, BookGap, BookRecovered
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import Lots, Side, Ticks
from stakan.core.market import _book_kernels as kernels
from stakan.core.market._book_kernels import (
    ASK_TOUCHED,
    ASKS,
    BID_TOUCHED,
    BIDS,
    CORRUPT,
    CROSSED,
    NEEDS_ROOM,
    ONE_SIDED,
    PRICE,
    SIZE,
    UNKNOWN_DELETE,
)

REACH_PER_MILLE = 100
"""Levels farther than 10 % from the touch are not kept (decision 16)."""
_FIRST_CAPACITY = 512


class BookState(StrEnum):
    """Whether the book can be used."""

    EMPTY = "empty"
    """No snapshot yet."""
    LIVE = "live"
    INVALID = "invalid"
    """A gap, a crossed book or a corrupt level; waits for a snapshot."""


_LIVE = BookState.LIVE  # looked up on every message; a member of an enum class is slow to reach


def _sides() -> npt.NDArray[np.int64]:
    return np.zeros((2, _FIRST_CAPACITY, 2), np.int64)


def _sizes() -> npt.NDArray[np.int64]:
    return np.zeros(_FIRST_CAPACITY, np.int64)


def _counts() -> npt.NDArray[np.int64]:
    return np.zeros(2, np.int64)


class Book(msgspec.Struct, eq=False):
    """Sorted levels of both sides, best level last (see `_book_kernels` for the layout)."""

    instrument: InstrumentId
    state: BookState = BookState.EMPTY
    sequence: int = 0
    ts_event: int = 0
    ts_recv: int = 0
    is_fresh: bool = False
    """Whether the last message was taken in; a stale one, or one that met a book without a snapshot, is not."""
    is_two_sided: bool = False
    """Whether both sides had a level after the last message."""
    sides: np.ndarray[tuple[int, int, int], np.dtype[np.int64]] = msgspec.field(default_factory=_sides)
    counts: np.ndarray[tuple[int], np.dtype[np.int64]] = msgspec.field(default_factory=_counts)
    before: np.ndarray[tuple[int], np.dtype[np.int64]] = msgspec.field(default_factory=_sizes)
    """Lots that each level of the last delta had before it, in the order of its rows; more rows than it has."""
    stale: int = 0
    """Messages dropped because they were older than the book."""
    unknown_deletes: int = 0
    """Messages that deleted a level which was not there."""
    gaps: int = 0
    crossings: int = 0
    crossed_ts: int = 0
    """Receive time of the last crossing."""

    def apply(self, event: BookEvent) -> AnyFact | None:
        """Take a message in; returns what went wrong or was mended, or None for the ordinary case."""
        self.is_fresh = False
        if type(event) is BookDelta:
            if self.state is not _LIVE:
                return None
            last = self.sequence
            if event.previous_sequence != last:
                if event.sequence <= last:
                    self.stale += 1
                    return None
                if event.previous_sequence > last:
                    self.gaps += 1
                    self.state = BookState.INVALID
                    return BookGap(instrument=self.instrument, expected=last, got=event.previous_sequence)
            return self._merge(event)
        if type(event) is BookSnapshot:
            was = self.state
            self.counts[:] = 0
            self.state = BookState.LIVE
            problem = self._merge(event)
            if problem is None and was is BookState.INVALID:
                return BookRecovered(instrument=self.instrument, sequence=event.sequence)
            return problem
        raise TypeError(f"{type(event).__name__} is not a book message")

    def invalidate(self) -> None:
        """The feed is interrupted: nothing can be said until the next snapshot."""
        if self.state is BookState.LIVE:
            self.state = BookState.INVALID

    def _merge(self, event: BookEvent) -> AnyFact | None:
        levels = event.levels
        if len(levels) > len(self.before):
            self.before = np.zeros(2 * len(levels), np.int64)
        bits = kernels.apply_levels(self.sides, self.counts, levels, event.bid_count, REACH_PER_MILLE, self.before)
        self.is_two_sided = True
        if bits & ~(BID_TOUCHED | ASK_TOUCHED):
            if bits & NEEDS_ROOM:
                self._make_room(len(levels))
                return self._merge(event)
            if bits & CORRUPT:
                self.state = BookState.INVALID
                return BookCorrupt(instrument=self.instrument, why="a level has no positive price or a negative size")
            if bits & UNKNOWN_DELETE:
                self.unknown_deletes += 1
            self.is_two_sided = not bits & ONE_SIDED
        self.sequence = event.sequence
        self.ts_event = event.ts_event
        self.ts_recv = event.ts_recv
        self.is_fresh = True
        if bits & CROSSED:
            self.crossings += 1
            self.crossed_ts = event.ts_recv
            self.state = BookState.INVALID
            return BookCrossed(instrument=self.instrument, bid=self.best_bid, ask=self.best_ask)
        return None

    def _make_room(self, more: int) -> None:
        kernels.trim(self.sides, self.counts, REACH_PER_MILLE)
        needed = int(self.counts.max()) + more
        capacity = self.sides.shape[1]
        if needed > capacity:
            grown = np.zeros((2, max(2 * capacity, needed), 2), np.int64)
            grown[:, :capacity] = self.sides
            self.sides = grown

    # --- reading ----------------------------------------------------------------------------------------------------

    @property
    def is_usable(self) -> bool:
        """Whether it is live and has both sides."""
        return self.is_two_sided and self.state is _LIVE

    @property
    def best_bid(self) -> Ticks:
        """Highest bid; 0 where there is none."""
        count = self.counts[BIDS]
        return Ticks(int(self.sides[BIDS, count - 1, PRICE])) if count else Ticks(0)

    @property
    def best_ask(self) -> Ticks:
        """Lowest ask; 0 where there is none."""
        count = self.counts[ASKS]
        return Ticks(int(self.sides[ASKS, count - 1, PRICE])) if count else Ticks(0)

    @property
    def best_bid_size(self) -> Lots:
        """Lots at the best bid; 0 where there is none."""
        count = self.counts[BIDS]
        return Lots(int(self.sides[BIDS, count - 1, SIZE])) if count else Lots(0)

    @property
    def best_ask_size(self) -> Lots:
        """Lots at the best ask; 0 where there is none."""
        count = self.counts[ASKS]
        return Lots(int(self.sides[ASKS, count - 1, SIZE])) if count else Lots(0)

    @property
    def mid(self) -> float:
        """Middle of the touch in ticks; 0.0 where a side is empty."""
        if not (self.counts[BIDS] and self.counts[ASKS]):
            return 0.0
        return (self.best_bid + self.best_ask) / 2

    def depth(self, side: Side, levels: int | None = None) -> Levels:
        """Up to `levels` rows (price, size) from the best outwards, as a view."""
        which = BIDS if side is Side.BUY else ASKS
        count = int(self.counts[which])
        first = 0 if levels is None else max(0, count - levels)
        return self.sides[which, first:count][::-1]

    def size_at(self, side: Side, price: int) -> Lots:
        """Lots at a price of a side; 0 where there is no such level."""
        which = BIDS if side is Side.BUY else ASKS
        return Lots(int(kernels.size_at(self.sides, self.counts, which, price)))
