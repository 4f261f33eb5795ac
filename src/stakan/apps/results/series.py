"""Time series in bounded memory: when full, the sampling interval doubles and neighbours merge."""

from array import array
from decimal import Decimal
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from stakan.apps.results.model import Drawdown, EquityCurve

MAX_POINTS = 20_000

T = TypeVar("T", int, float)


class MidSeries:
    """The last mid of each interval, at most `max_points` of them."""

    def __init__(self, interval_ns: int, max_points: int = MAX_POINTS) -> None:
        self.interval_ns = interval_ns
        self.last = 0.0
        self.last_ts = 0
        self._max = max_points
        self._bucket = -1
        self.ts = array("q")
        self.mid = array("d")

    def add(self, ts: int, mid: float) -> None:
        """Take a sample; times do not go back."""
        self.last, self.last_ts = mid, ts
        bucket = ts // self.interval_ns
        if bucket == self._bucket:
            self.ts[-1], self.mid[-1] = ts, mid
            return
        self._bucket = bucket
        self.ts.append(ts)
        self.mid.append(mid)
        if len(self.ts) > self._max:
            self._thin()

    def _thin(self) -> None:
        while len(self.ts) > self._max:
            self.interval_ns *= 2
            keep = last_of_buckets(self.ts, self.interval_ns)
            self.ts = _taken(self.ts, keep)
            self.mid = _taken(self.mid, keep)
        self._bucket = self.last_ts // self.interval_ns


def last_of_buckets(ts: "array[int]", interval_ns: int) -> npt.NDArray[np.intp]:
    """Index of the last sample of every interval that has one; `ts` is not empty.

    In a running bot the series of all instruments are thinned at one moment, between two market messages.
    """
    ends = np.diff(np.frombuffer(ts, dtype=np.int64) // interval_ns) != 0
    return np.flatnonzero(np.append(ends, True))


def _taken(values: "array[T]", keep: npt.NDArray[np.intp]) -> "array[T]":
    return array(values.typecode, np.array(values)[keep].tobytes())


class EquitySeries:
    """Equity marks: the drawdown exactly over all of them, the curve thinned."""

    def __init__(self, start_ts: int, initial: Decimal, max_points: int = MAX_POINTS) -> None:
        self.last = initial
        self._max = max_points
        self._interval = 1
        self._peak, self._peak_ts = initial, start_ts
        self._worst, self._worst_amount = 0.0, Decimal(0)
        self._was_under = False
        self._longest = 0
        self._ts = array("q", [start_ts])
        self._columns = (array("d", [float(initial)]), array("d", [0.0]), array("d", [0.0]))

    def add(self, ts: int, equity: Decimal, exposure: Decimal) -> None:
        """Take a mark; times do not go back."""
        self.last = equity
        below = self._fall(ts, equity)
        equities, exposures, drawdowns = self._columns
        if self._ts[-1] // self._interval == ts // self._interval:
            self._ts[-1], equities[-1], exposures[-1] = ts, float(equity), float(exposure)
            drawdowns[-1] = min(drawdowns[-1], -below)
            return
        self._ts.append(ts)
        equities.append(float(equity))
        exposures.append(float(exposure))
        drawdowns.append(-below)
        if len(self._ts) > self._max:
            self._thin()

    def drawdown(self, end_ts: int) -> Drawdown:
        """The deepest fall and the longest time under water until `end_ts`."""
        under_water = self.last < self._peak
        longest = max(self._longest, end_ts - self._peak_ts) if under_water else self._longest
        return Drawdown(fraction=self._worst, amount=self._worst_amount, longest_ns=longest)

    def curve(self) -> EquityCurve:
        """The thinned columns."""
        equities, exposures, drawdowns = self._columns
        return EquityCurve(
            ts=tuple(self._ts), equity=tuple(equities), exposure=tuple(exposures), drawdown=tuple(drawdowns)
        )

    def _fall(self, ts: int, equity: Decimal) -> float:
        """Fraction below the peak, which is at or above zero."""
        if equity >= self._peak:
            if self._was_under:
                self._longest = max(self._longest, ts - self._peak_ts)
            self._peak, self._peak_ts, self._was_under = equity, ts, False
            return 0.0
        self._was_under = True
        amount = self._peak - equity
        fraction = float(amount / self._peak) if self._peak > 0 else 0.0
        self._worst = max(self._worst, fraction)
        self._worst_amount = max(self._worst_amount, amount)
        return fraction

    def _thin(self) -> None:
        while len(self._ts) > self._max:
            span = max(self._ts[-1] - self._ts[0], 1)
            self._interval = max(self._interval * 2, span // self._max)
            keep = last_of_buckets(self._ts, self._interval)
            equities, exposures, drawdowns = self._columns
            worst = np.minimum.reduceat(np.array(drawdowns), np.append(0, keep[:-1] + 1))
            self._ts = _taken(self._ts, keep)
            self._columns = (_taken(equities, keep), _taken(exposures, keep), array("d", worst.tobytes()))
