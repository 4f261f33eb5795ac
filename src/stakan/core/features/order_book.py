"""Order-book features: what the book looks like now, and how it flowed over the last ten seconds."""

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.features import _order_book_kernels as kernels
from stakan.core.market.book import Book

_FIRST_CAPACITY = 1024

Grid = tuple[float, float]
"""Tick size and lot size as floats: statistics, not money."""


def _ring() -> npt.NDArray[np.int64]:
    return np.zeros((_FIRST_CAPACITY, 4), np.int64)


def _flow() -> npt.NDArray[np.int64]:
    return np.zeros(kernels.FLOW_FIELDS, np.int64)


class OrderBookFeatures(msgspec.Struct, eq=False):
    """State behind the order-book features of one instrument."""

    ring: np.ndarray[tuple[int, int], np.dtype[np.int64]] = msgspec.field(default_factory=_ring)
    flow: np.ndarray[tuple[int], np.dtype[np.int64]] = msgspec.field(default_factory=_flow)

    def observe(self, book: Book) -> None:
        """Take in a book after a message; the book must be usable."""
        while kernels.observe(book.sides, book.counts, book.ts_event, self.ring, self.flow) == kernels.FULL:
            self._grow()

    def restart(self) -> None:
        """Forget the flow: the book was interrupted and its changes were not all seen."""
        self.flow[:] = 0

    def read(
        self,
        book: Book,
        grid: Grid,
        now: int,
        out: npt.NDArray[np.float64],
        warm: npt.NDArray[np.bool_],
    ) -> None:
        """Write the features at exchange time `now` into `out` and their warmth into `warm`."""
        tick, lot = grid
        kernels.read(book.sides, book.counts, tick, lot, now, self.ring, self.flow, out, warm)

    def _grow(self) -> None:
        head = int(self.flow[kernels.HEAD])
        capacity = len(self.ring)
        grown = np.zeros((2 * capacity, 4), np.int64)
        grown[:capacity] = np.roll(self.ring, -head, axis=0)
        self.ring = grown
        self.flow[kernels.HEAD] = 0
