"""How ten key features of the order book behaved of late: their mean, deviation and skew over windows."""

from typing import ClassVar, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.instrument import Instrument
from stakan.core.features import _rolling_kernels as kernels
from stakan.core.features.definitions import Definition
from stakan.core.features.further import FeatureSet, Values, Warmth
from stakan.core.market.picture import MarketPicture

_BOOK = "first 50 levels a side"
_PRINTS = "trade prints without RPI"


class _Key(NamedTuple):
    name: str
    unit: str
    source: str
    formula: str = ""
    """Of those that are not among the 110."""
    neutral: float = 0.0


_KEYS = (
    _Key("bid_ask_spread_rel", "share", "best quotes"),
    _Key("micro_price_gap", "share", "best quotes", "(micro_price - mid_price) / mid_price"),
    _Key("book_depth_ratio", "ratio", _BOOK, neutral=1.0),
    _Key("imbalance_5", "share", _BOOK),
    _Key("imbalance_10", "share", _BOOK),
    _Key("imbalance_total", "share", _BOOK),
    _Key("price_pressure", "share", _BOOK),
    _Key("depth_imbalance_ratio", "share", _BOOK),
    _Key("buy_sell_ratio", "ratio", _PRINTS, neutral=1.0),
    _Key("trade_arrival_rate", "1/s", _PRINTS),
)
"""In the order of the columns of samples; the definitions of those without a formula are those of the 110."""


def _definitions() -> dict[str, Definition]:
    found = {}
    for key in _KEYS:
        what = key.formula or key.name
        for seconds in kernels.WINDOWS_S:
            tail, window = f"{seconds}s", f"{seconds} s"
            found[f"{key.name}_mean_{tail}"] = Definition(f"mean of {what}", key.unit, window, key.source, key.neutral)
            found[f"{key.name}_std_{tail}"] = Definition(
                f"standard deviation (n - 1) of {what}", key.unit, window, key.source
            )
            found[f"{key.name}_skew_{tail}"] = Definition(
                f"m3 / m2^1.5 of {what}, 0 where it is constant", "ratio", window, key.source
            )
    return found


def _samples() -> npt.NDArray[np.float64]:
    return np.full((kernels.SLOTS, kernels.KEYS), np.nan)


def _held() -> npt.NDArray[np.float64]:
    return np.full(kernels.BOOK_KEYS, np.nan)


class Samples(msgspec.Struct, eq=False):
    """The last minute on the grid (see `_rolling_kernels`), and the book's features since the newest message."""

    samples: np.ndarray[tuple[int, int], np.dtype[np.float64]] = msgspec.field(default_factory=_samples)
    held: np.ndarray[tuple[int], np.dtype[np.float64]] = msgspec.field(default_factory=_held)
    next: int = 0
    """The first slot that is not written yet; 0 before the first message."""
    ts: int = 0
    """Exchange time of the newest message."""


class Rolling(FeatureSet, frozen=True, kw_only=True):
    """Mean, standard deviation and skewness over 10, 30 and 60 s of features sampled twice a second of exchange time.

    A sample is what was known at its moment: the book after the last message until then, the prints until then. All
    samples of a window must be known for it to be warm.
    """

    version = "rolling-1"
    definitions: ClassVar = _definitions()

    def start(self, instrument: Instrument) -> Samples:  # noqa: ARG002 - it needs no units
        """Nothing was seen."""
        return Samples()

    def on_book(self, market: MarketPicture, state: Samples) -> None:
        """Write the moments that have passed, and hold what the book has become."""
        book = market.book
        state.ts = max(state.ts, book.ts_event)
        last = (state.ts - 1) // kernels.GRID_NS
        if state.next == 0:
            state.next = last + 1
        if last >= state.next:
            _fill(market, state, last, state.samples)
            state.next = last + 1
        kernels.read_book(book.sides, book.counts, state.held)

    def restart(self, state: Samples) -> None:
        """What happened meanwhile is not known."""
        state.samples[:] = np.nan
        state.held[:] = np.nan
        state.next = 0

    def read(self, market: MarketPicture, now: int, state: Samples, out: Values, warm: Warmth) -> None:
        """Moments over the windows up to the last moment of the grid."""
        if state.next == 0:
            return
        last = now // kernels.GRID_NS
        samples = state.samples
        if last >= state.next:
            samples = samples.copy()
            _fill(market, state, last, samples)
        kernels.read(samples, last, out, warm)


def _fill(market: MarketPicture, state: Samples, last: int, samples: npt.NDArray[np.float64]) -> None:
    tape = market.tape
    kernels.fill(
        state.next,
        last,
        samples,
        state.held,
        tape.times,
        tape.prices,
        tape.sizes,
        tape.signs,
        tape.start,
        tape.end,
        tape.complete_since,
    )
