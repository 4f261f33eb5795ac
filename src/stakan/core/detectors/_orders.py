"""Large orders of one instrument, as detectors of spoofing and layering follow them (kernels in `_order_kernels`)."""

import msgspec
import numpy as np

from stakan.core.detectors import _order_kernels as kernels
from stakan.core.domain.events import BookDelta
from stakan.core.domain.units import Side
from stakan.core.market.picture import MarketPicture

_SIZES = 256
_SIDES = (Side.BUY, Side.SELL)


class Order(msgspec.Struct, frozen=True, gc=False):
    """One row of `_order_kernels`, with names."""

    which: int
    price: int
    base: int
    lots: int
    """That came."""
    median: int
    since: int
    distance: int
    now: int
    ended: int
    """When it went; 0 while it stands."""
    drop: int
    moved: int
    paired: int
    agitation: int
    breadth: int
    common: int
    elsewhere: int
    middle: int
    response: int
    traded: int
    opposite: int
    hit: int
    ripe: int

    @property
    def side(self) -> Side:
        return _SIDES[self.which]

    @property
    def multiple(self) -> float:
        """Of the median level of its side."""
        return self.lots / self.median


def _paces() -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.zeros(kernels.PACES)


def _meta() -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.zeros(kernels.METAS, np.int64)


def _sizes() -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    return np.zeros((_SIZES, 4), np.int64)


class Orders(msgspec.Struct, eq=False):
    """The table, what is followed in it, and what is usual."""

    table: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    limits: np.ndarray[tuple[int], np.dtype[np.float64]]
    meta: np.ndarray[tuple[int], np.dtype[np.int64]] = msgspec.field(default_factory=_meta)
    pace: np.ndarray[tuple[int], np.dtype[np.float64]] = msgspec.field(default_factory=_paces)
    sizes: np.ndarray[tuple[int, int], np.dtype[np.int64]] = msgspec.field(default_factory=_sizes)

    @classmethod
    def start(cls, most: int, multiple: float, reach: int, ripe_after: int, oldest: int, at_least: int = 0) -> "Orders":
        """Room for so many at once (see `_order_kernels.follow` for the limits)."""
        limits = np.array((multiple, reach, ripe_after, oldest, at_least), np.float64)
        return cls(np.zeros((most, kernels.COLUMNS), np.int64), limits)

    def forget(self) -> None:
        """What stood may have gone unseen."""
        self.meta[kernels.COUNT] = 0

    def follow(self, market: MarketPicture, event: BookDelta) -> int:
        """Take a delta in; returns how many orders are to be told of by `_order_kernels.settle`."""
        book = market.book
        return kernels.follow(
            book.sides,
            book.counts,
            event.levels,
            event.bid_count,
            book.before,
            self.table,
            self.meta,
            self.pace,
            self.sizes,
            self.limits,
            event.ts_event,
        )
