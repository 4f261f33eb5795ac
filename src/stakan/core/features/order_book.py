"""Features of the order book and of the prints against it: what it looks like now, and how it flowed."""

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.features import _cluster_kernels as cluster_kernels
from stakan.core.features import _flow_kernels as flow_kernels
from stakan.core.features import _order_book_kernels as book_kernels
from stakan.core.features import _trade_kernels as trade_kernels
from stakan.core.features import _window_kernels as kernels
from stakan.core.features._rings import grown
from stakan.core.features.params import FeatureParams
from stakan.core.market.book import Book
from stakan.core.market.levels import LevelTracker
from stakan.core.market.tape import Tape

_FIRST_ROWS = 256

Values = npt.NDArray[np.float64]
Warmth = npt.NDArray[np.bool_]


def _changes() -> npt.NDArray[np.int64]:
    return np.zeros((_FIRST_ROWS, kernels.CHANGE_COLUMNS), np.int64)


def _shapes() -> npt.NDArray[np.float64]:
    return np.zeros((_FIRST_ROWS, kernels.SHAPE_COLUMNS))


def _lives() -> npt.NDArray[np.int64]:
    return np.zeros((_FIRST_ROWS, kernels.LIFE_COLUMNS), np.int64)


def _top() -> npt.NDArray[np.int64]:
    return np.zeros((2, 2 * kernels.TOP_LEVELS, 2), np.int64)


def _flow() -> npt.NDArray[np.int64]:
    return np.zeros(kernels.FLOW_FIELDS, np.int64)


class OrderBookFeatures(msgspec.Struct, eq=False):
    """State behind the order-book features of one instrument (see `_window_kernels` for its arrays).

    The reading methods write into a whole vector and its warmth, each the features of one group; `now` is exchange
    time, not before that of the newest message. They change nothing.
    """

    tick: float
    lot: float
    """Tick and lot size as floats: statistics, not money."""
    params: FeatureParams = FeatureParams()
    changes: np.ndarray[tuple[int, int], np.dtype[np.int64]] = msgspec.field(default_factory=_changes)
    shapes: np.ndarray[tuple[int, int], np.dtype[np.float64]] = msgspec.field(default_factory=_shapes)
    lives: np.ndarray[tuple[int, int], np.dtype[np.int64]] = msgspec.field(default_factory=_lives)
    top: np.ndarray[tuple[int, int, int], np.dtype[np.int64]] = msgspec.field(default_factory=_top)
    flow: np.ndarray[tuple[int], np.dtype[np.int64]] = msgspec.field(default_factory=_flow)

    def observe(self, book: Book) -> None:
        """Take in a book after a message; the book must be usable."""
        while answer := kernels.observe(
            book.sides, book.counts, book.ts_event, self.changes, self.shapes, self.lives, self.top, self.flow
        ):
            self._grow(answer)

    def restart(self) -> None:
        """Forget the flow: the book was interrupted and its changes were not all seen."""
        self.flow[:] = 0

    def read_shape(self, book: Book, out: Values, warm: Warmth) -> None:
        """Micro-structure, imbalance and pressure of now."""
        book_kernels.read_shape(book.sides, book.counts, self.tick, self.lot, out, warm)

    def read_liquidity(self, book: Book, out: Values, warm: Warmth) -> None:
        """Liquidity of now."""
        reference = self.params.reference_notional
        book_kernels.read_liquidity(book.sides, book.counts, self.tick, self.lot, reference, out, warm)

    def read_clusters(self, book: Book, levels: LevelTracker, out: Values, warm: Warmth) -> None:
        """Clusters and levels of now."""
        params = self.params
        support, resistance = levels.around(book.mid)
        cluster_kernels.read(
            book.sides,
            book.counts,
            self.tick,
            self.lot,
            params.cluster_multiple,
            params.min_cluster_volume,
            support,
            resistance,
            out,
            warm,
        )

    def read_short(self, now: int, out: Values, warm: Warmth) -> None:
        """What the book did in ten seconds."""
        flow_kernels.read_short(now, self.changes, self.flow, self.lot, out, warm)

    def read_long(self, now: int, out: Values, warm: Warmth) -> None:
        """What the book did in a minute."""
        flow_kernels.read_long(now, self.changes, self.shapes, self.lives, self.flow, out, warm)

    def read_trades(self, tape: Tape, now: int, out: Values, warm: Warmth) -> None:
        """What was traded, and how mid moved with it."""
        prints = (tape.times, tape.prices, tape.sizes, tape.signs, tape.start, tape.end, tape.complete_since)
        trade_kernels.read_prints(*prints, now, self.tick, out, warm)
        trade_kernels.read_impact(*prints, now, self.changes, self.flow, self.tick, self.lot, out, warm)

    def _grow(self, answer: int) -> None:
        """Double the ring that is full, its oldest row first."""
        flow = self.flow
        if answer == kernels.LIVES_FULL:
            self.lives = grown(self.lives, int(flow[kernels.LIVES_HEAD]))
            flow[kernels.LIVES_HEAD] = 0
            return
        head = int(flow[kernels.HEAD])
        self.changes, self.shapes = grown(self.changes, head), grown(self.shapes, head)
        flow[kernels.HEAD] = 0
