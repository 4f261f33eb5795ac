"""Compares our book with a REST snapshot of the same moment (decision 16), level by level.

REST's `u` belongs to another stream; `seq` is the engine's own and comparable. Streams are conflated, so REST may show
a state between two of our messages: a level that changed from one to the other then says nothing.
"""

import re
from collections import deque

import msgspec

from stakan.adapters.wire import Grid, LevelReader
from stakan.core.domain.events import Levels
from stakan.core.domain.units import Side
from stakan.core.market._book_kernels import ASKS, BIDS
from stakan.core.market.book import REACH_PER_MILLE, Book

LEVELS = 50
"""Compared per side."""
_KEPT = 500
_SEQUENCE = re.compile(rb'"seq"\s*:\s*(\d{1,18})\b')

Sides = tuple[dict[int, int], dict[int, int]]
"""Size by price, bids and asks."""


class Verdict(msgspec.Struct, frozen=True):
    """How many levels differ without an explanation; `levels` were compared."""

    different: int
    levels: int


def sequence_of(message: bytes) -> int | None:
    """The member `seq` of a book message; None where there is none."""
    found = _SEQUENCE.search(message)
    return int(found[1]) if found else None


class Comparison:
    """Notes states of our book while a REST snapshot is on its way, then says what differs.

    `answer` takes the snapshot, `note` the book after each message; `verdict` is None until a message after the
    snapshot's moment has come.
    """

    def __init__(self, grid: Grid, now: int) -> None:
        self.started = now
        self._read = LevelReader(grid).read
        self._states: deque[tuple[int, Sides]] = deque(maxlen=_KEPT)
        self._snapshot: tuple[int, Sides] | None = None

    def note(self, message: bytes, book: Book) -> None:
        """Our book after a message."""
        sequence = sequence_of(message)
        if sequence is not None:
            self._states.append((sequence, _sides(book.depth(Side.BUY, 2 * LEVELS), book.depth(Side.SELL, 2 * LEVELS))))

    def answer(self, result: bytes) -> None:
        """The `result` of `/v5/market/orderbook`; raises DataError where it cannot be read."""
        levels, bid_count, _ = self._read(result)
        sequence = sequence_of(result)
        if sequence is not None:
            self._snapshot = sequence, _sides(levels[:bid_count], levels[bid_count:])

    @property
    def is_answered(self) -> bool:
        """Whether the snapshot is here."""
        return self._snapshot is not None

    def verdict(self) -> Verdict | None:
        """What differs; None as long as our stream has not passed the snapshot, or where it began after it."""
        if self._snapshot is None:
            return None
        sequence, theirs = self._snapshot
        before = next((state for seq, state in reversed(self._states) if seq <= sequence), None)
        after = next((state for seq, state in self._states if seq >= sequence), None)
        if before is None or after is None:
            return None
        return _compare(theirs, before, after)


def _compare(theirs: Sides, before: Sides, after: Sides) -> Verdict:
    different = levels = 0
    for which in (BIDS, ASKS):
        shown = _within_reach(theirs[which], which)
        levels += len(shown)
        if not shown:
            continue
        worst = min(shown) if which == BIDS else max(shown)
        # A level that we have inside the range that REST shows, and REST has not, differs as well.
        ours = {price for price in before[which] if _is_inside(price, worst, which)}
        for price in shown.keys() | ours:
            was, became = before[which].get(price, 0), after[which].get(price, 0)
            # A level that moved between the two may have been anything in the meantime.
            if was == became != shown.get(price, 0):
                different += 1
    return Verdict(different, levels)


def _within_reach(levels: dict[int, int], which: int) -> dict[int, int]:
    """The first levels of a side, without those that our book does not keep."""
    ordered = sorted(levels, reverse=which == BIDS)[:LEVELS]
    if not ordered:
        return {}
    reach = ordered[0] * REACH_PER_MILLE // 1000
    return {price: levels[price] for price in ordered if abs(price - ordered[0]) < reach}


def _is_inside(price: int, worst: int, which: int) -> bool:
    return price >= worst if which == BIDS else price <= worst


def _sides(bids: Levels, asks: Levels) -> Sides:
    return dict(bids.tolist()), dict(asks.tolist())
