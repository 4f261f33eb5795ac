"""Time series in bounded memory: when full, the sampling interval doubles and neighbours merge."""

from array import array
from decimal import Decimal

from stakan.apps.results.model import Drawdown, EquityCurve

MAX_POINTS = 20_000


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
            self.ts = array("q", (self.ts[i] for i in keep))
            self.mid = array("d", (self.mid[i] for i in keep))
        self._bucket = self.last_ts // self.interval_ns


def last_of_buckets(ts: "array[int]", interval_ns: int) -> list[int]:
    """Index of the last sample of every interval that has one."""
    last = len(ts) - 1
    return [i for i, at in enumerate(ts) if i == last or at // interval_ns != ts[i + 1] // interval_ns]


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
            worst = [
                min(drawdowns[a:b]) for a, b in zip([0, *(k + 1 for k in keep)], (k + 1 for k in keep), strict=False)
            ]
            self._ts = array("q", (self._ts[i] for i in keep))
            self._columns = (
                array("d", (equities[i] for i in keep)),
                array("d", (exposures[i] for i in keep)),
                array("d", worst),
            )
