"""How fast the book refills after a sweep: the decay of price impact that is not there to stay."""

from typing import Annotated, ClassVar

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import SECOND
from stakan.core.features import _resilience_kernels as kernels
from stakan.core.features.definitions import Definition
from stakan.core.features.further import FeatureSet, Values, Warmth
from stakan.core.market.picture import MarketPicture

_SOURCE = "first 5 levels a side and trade prints without RPI"


def _half_life(side: str) -> Definition:
    formula = f"Σ time watched / sweeps (1 at least) of {side} of which half was back, over the newest `sweeps` ended"
    return Definition(formula, "s", "the newest sweeps", _SOURCE)


def _share(side: str) -> Definition:
    formula = f"share of the newest `sweeps` of {side} of which half was back within `patience_s`"
    return Definition(formula, "share", "the newest sweeps", _SOURCE)


def _missing(side: str) -> Definition:
    formula = f"share of what the watched sweep took of the {side} that is not back, 0 while none is watched"
    return Definition(formula, "share", "up to `patience_s`", _SOURCE)


def _before() -> npt.NDArray[np.int64]:
    return np.zeros((2, 3), np.int64)


def _sweeps() -> npt.NDArray[np.int64]:
    return np.zeros((2, kernels.SWEEP_FIELDS), np.int64)


def _rings() -> npt.NDArray[np.int64]:
    return np.zeros((2, 2), np.int64)


class Refilling(msgspec.Struct, eq=False):
    """See `_resilience_kernels` for the arrays."""

    waits: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    before: np.ndarray[tuple[int, int], np.dtype[np.int64]] = msgspec.field(default_factory=_before)
    sweeps: np.ndarray[tuple[int, int], np.dtype[np.int64]] = msgspec.field(default_factory=_sweeps)
    rings: np.ndarray[tuple[int, int], np.dtype[np.int64]] = msgspec.field(default_factory=_rings)


class Resilience(FeatureSet, frozen=True, kw_only=True):
    """Half-life of the hole that a sweep leaves in the first five levels, seen from the other side.

    The book's resilience as in Obizhaeva & Wang, "Optimal trading strategy and supply/demand dynamics" (2013): what is
    missing after a trade decays like e^(-rt), with half-life ln 2 / r, around a price that part of the impact has moved
    for good. So the lots of a side are counted up to a distance from the other side's best price, that of the fifth level
    before the sweep: they come back by new orders as by a price that follows. Measured is when half is back, at the pace
    of book messages; a sweep whose half is not back within `patience_s` counts as watched for so long, so that the mean
    is the maximum-likelihood one of censored exponential times. Levels that were withdrawn and not traded are no sweep.
    """

    version = "resilience-1"
    definitions: ClassVar = {
        "bid_refill_half_life": _half_life("bids"),
        "ask_refill_half_life": _half_life("asks"),
        "bid_refill_share": _share("bids"),
        "ask_refill_share": _share("asks"),
        "bid_unrefilled": _missing("bids"),
        "ask_unrefilled": _missing("asks"),
    }
    swept_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    """Of the lots of five levels: less is no sweep."""
    patience_s: Annotated[float, msgspec.Meta(gt=0, le=3_600)] = 10.0
    sweeps: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    """How many of a side are remembered."""
    enough: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 5
    """Ended sweeps of a side from which on its half-life is warm; more than `sweeps` is never."""

    def start(self, instrument: Instrument) -> Refilling:  # noqa: ARG002 - it needs no units
        """Nothing was seen."""
        return Refilling(np.zeros((2, self.sweeps), np.int64))

    def on_book(self, market: MarketPicture, state: Refilling) -> None:
        """Look for sweeps, and for what comes back."""
        book, tape = market.book, market.tape
        kernels.observe(
            book.sides,
            book.counts,
            book.ts_event,
            tape.times,
            tape.sizes,
            tape.signs,
            tape.start,
            tape.end,
            self.swept_share,
            int(self.patience_s * SECOND),
            state.before,
            state.sweeps,
            state.waits,
            state.rings,
        )

    def restart(self, state: Refilling) -> None:
        """What came back meanwhile is not known: sweeps are counted anew."""
        for array in (state.waits, state.before, state.sweeps, state.rings):
            array[:] = 0

    def read(self, market: MarketPicture, now: int, state: Refilling, out: Values, warm: Warmth) -> None:  # noqa: ARG002
        """Of the sweeps that ended, and of the one that is watched."""
        kernels.read(self.enough, state.before, state.sweeps, state.waits, state.rings, out, warm)
