"""Order flow beyond the best quotes, the queues at them, and how one-sided trading is in volume time."""

from typing import Annotated, ClassVar

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.events import TradePrint
from stakan.core.domain.instrument import Instrument
from stakan.core.features import _order_flow_kernels as kernels
from stakan.core.features._order_book_kernels import balance
from stakan.core.features._rings import grown
from stakan.core.features._window_kernels import HEAD
from stakan.core.features.definitions import Definition
from stakan.core.features.further import FeatureSet, Values, Warmth
from stakan.core.market.picture import MarketPicture

_FIRST_ROWS = 256
_TOTAL = kernels.LEVELS
_QUEUES = _TOTAL + 1
_VPIN = _QUEUES + 1


def _rows() -> npt.NDArray[np.int64]:
    return np.zeros((_FIRST_ROWS, kernels.ROW_COLUMNS), np.int64)


def _quotes() -> npt.NDArray[np.int64]:
    return np.zeros((2, kernels.LEVELS, 2), np.int64)


def _ring() -> npt.NDArray[np.int64]:
    return np.zeros(kernels.RING_FIELDS, np.int64)


def _clock() -> npt.NDArray[np.int64]:
    clock = np.zeros(kernels.CLOCK_FIELDS, np.int64)
    clock[kernels.MINUTE] = kernels.NO_MINUTE
    return clock


def _minutes() -> npt.NDArray[np.int64]:
    return np.zeros(kernels.KEPT_MINUTES, np.int64)


class FlowState(msgspec.Struct, eq=False):
    """See `_order_flow_kernels` for the arrays."""

    lot: float
    buckets: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    rows: np.ndarray[tuple[int, int], np.dtype[np.int64]] = msgspec.field(default_factory=_rows)
    quotes: np.ndarray[tuple[int, int, int], np.dtype[np.int64]] = msgspec.field(default_factory=_quotes)
    ring: np.ndarray[tuple[int], np.dtype[np.int64]] = msgspec.field(default_factory=_ring)
    clock: np.ndarray[tuple[int], np.dtype[np.int64]] = msgspec.field(default_factory=_clock)
    minutes: np.ndarray[tuple[int], np.dtype[np.int64]] = msgspec.field(default_factory=_minutes)


class OrderFlow(FeatureSet, frozen=True, kw_only=True):
    """Order flow imbalance of ten levels, queue imbalance, VPIN.

    VPIN (Easley, Lopez de Prado & O'Hara, "Flow Toxicity and Liquidity in a High-frequency World", 2012) is here over
    buckets of equal volume with prints split at their edges and their true aggressors, not bulk classification. It says
    how one-sided trading was, no more: it is no predictor of crashes, and where volume and volatility are known it was
    found to add nothing (Andersen & Bondarenko, "VPIN and the Flash Crash", 2014).

    Left out, because both are fitted to data and a plugin has no file of parameters: the integrated order flow of Cont,
    Cucuringu & Zhang (2023), whose weights are a first principal component (here all levels weigh the same), and the
    micro-price of Stoikov (2018), whose adjustments come from an estimated table.
    """

    version = "order-flow-1"
    definitions: ClassVar = {
        **{
            f"ofi_{level}": Definition(
                f"Σ of the OFI increments of price and size at rank {level} (Xu, Gould & Howison)",
                "base units",
                "10 s",
                "first 10 levels a side",
            )
            for level in range(1, kernels.LEVELS + 1)
        },
        "ofi_normalized": Definition(
            "Σ of ofi_1 to ofi_10 / mean size a level and side over the window's messages (Cont, Cucuringu & Zhang)",
            "ratio",
            "10 s",
            "first 10 levels a side",
        ),
        "queue_imbalance": Definition("(qb1 - qa1) / (qb1 + qa1) (Gould & Bonart)", "share", "now", "best quotes"),
        "vpin": Definition(
            "Σ|bought - sold| / Σ(bought + sold) over the newest `buckets` full buckets, each of `bucket_share` of the "
            "mean volume of the last 30 whole minutes with prints",
            "share",
            "volume of the buckets",
            "trade prints without RPI",
        ),
    }
    bucket_share: Annotated[float, msgspec.Meta(gt=0, le=1_000)] = 0.1
    """Volume of a bucket as a share of a mean minute's; it follows the market, because a fixed one fits one symbol."""
    buckets: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 50
    """Buckets that VPIN is the mean of, as in the paper: with shares of 0.1 about five minutes."""

    def start(self, instrument: Instrument) -> FlowState:
        """Nothing was seen."""
        return FlowState(float(instrument.lot_size), np.zeros((self.buckets, 2), np.int64))

    def on_book(self, market: MarketPicture, state: FlowState) -> None:
        """Note what came and went at each level."""
        book = market.book
        while not kernels.observe(book.sides, book.counts, book.ts_event, state.rows, state.quotes, state.ring):
            state.rows = grown(state.rows, int(state.ring[HEAD]))
            state.ring[HEAD] = 0

    def on_print(self, market: MarketPicture, event: TradePrint, state: FlowState) -> None:  # noqa: ARG002
        """Pour it into the buckets."""
        if event.is_rpi:
            return
        kernels.take_print(
            event.ts_event, event.size, int(event.side), self.bucket_share, state.clock, state.minutes, state.buckets
        )

    def restart(self, state: FlowState) -> None:
        """Changes and prints are missing: windows and buckets begin anew; how much is traded in a minute is kept."""
        state.ring[:] = 0
        for field in (
            kernels.BOUGHT,
            kernels.SOLD,
            kernels.BUCKET,
            kernels.FULL,
            kernels.NEXT_BUCKET,
            kernels.IS_WHOLE,
        ):
            state.clock[field] = 0
        state.clock[kernels.MINUTE] = kernels.NO_MINUTE

    def read(self, market: MarketPicture, now: int, state: FlowState, out: Values, warm: Warmth) -> None:
        """Order flow of ten seconds, the queues of now, and the full buckets."""
        book = market.book
        deep = int(book.counts.min()) if book.is_usable else 0
        kernels.read_levels(now, deep, state.rows, state.ring, state.lot, out[:_QUEUES], warm[:_QUEUES])
        if deep:
            out[_QUEUES] = balance(float(book.best_bid_size), float(book.best_ask_size))
            warm[_QUEUES] = True
        kernels.read_buckets(state.clock, state.buckets, out[_VPIN:], warm[_VPIN:])
