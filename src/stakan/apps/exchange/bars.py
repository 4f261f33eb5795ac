"""Bars of one series of numbers at all of Bybit's intervals, built from minutes; bounded."""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice

import msgspec

from stakan.core.domain.units import DAY, MINUTE, SECOND

INTERVALS = ("1", "3", "5", "15", "30", "60", "120", "240", "360", "720", "D", "W", "M")
KEPT = 1_500
"""Bars of an interval that are remembered: more than a day of minutes and more than a request may ask for."""
_FIRST_MONDAY = 4 * DAY
"""1970-01-05; weeks begin on Mondays at 00:00 UTC."""
_LENGTHS = {name: int(name) * MINUTE for name in INTERVALS if name.isdigit()} | {"D": DAY}

Number = int | Decimal


def period(interval: str, ts: int) -> tuple[int, int]:
    """Start and end (exclusive) of the bar of an interval that a time falls into, nanoseconds UTC."""
    if interval == "M":
        at = datetime.fromtimestamp(ts // SECOND, UTC)
        first = datetime(at.year, at.month, 1, tzinfo=UTC)
        after = datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)
        return int(first.timestamp()) * SECOND, int(after.timestamp()) * SECOND
    length, origin = (7 * DAY, _FIRST_MONDAY) if interval == "W" else (_LENGTHS[interval], 0)
    start = (ts - origin) // length * length + origin
    return start, start + length


class Bar(msgspec.Struct, gc=False):
    """One bar; all numbers in the series' unit, `value` is the sum of number x size."""

    start: int
    end: int
    open: Number
    high: Number
    low: Number
    close: Number
    size: int = 0
    value: int = 0

    def join(self, later: "Bar") -> None:
        """Take in what came after it."""
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.size += later.size
        self.value += later.value


class BarSeries:
    """Bars open at the previous close, as Bybit's do; an interval in which nothing happened has a flat one."""

    def __init__(self, kept: int = KEPT) -> None:
        """`kept` is the number of closed bars of each interval that are remembered."""
        self._open: dict[str, Bar] = {}
        """The open bar of each interval; those above a minute without the minute that is open."""
        self._closed: dict[str, deque[Bar]] = {name: deque(maxlen=kept) for name in INTERVALS}

    def add(self, ts: int, number: Number, size: int = 0, value: int = 0) -> None:
        """Something happened; `ts` never goes back."""
        self.roll(ts)
        minute = self._open.get("1")
        if minute is None:
            minute = self._begin("1", ts, number)
        minute.high = max(minute.high, number)
        minute.low = min(minute.low, number)
        minute.close = number
        minute.size += size
        minute.value += value

    def roll(self, now: int) -> None:
        """Close every bar that is over at `now`."""
        while (minute := self._open.get("1")) is not None and minute.end <= now:
            self._closed["1"].append(minute)
            for name in INTERVALS[1:]:
                longer = self._open.get(name)
                if longer is None:
                    longer = self._begin(name, minute.start, minute.open)
                longer.join(minute)
                if longer.end <= minute.end:
                    self._closed[name].append(longer)
                    del self._open[name]
            self._begin("1", minute.end, minute.close)

    def current(self, interval: str) -> Bar | None:
        """The bar that is open, with everything up to now; None before anything happened."""
        minute = self._open.get("1")
        if minute is None or interval == "1":
            return minute
        longer = self._open.get(interval)
        start, end = period(interval, minute.start)
        bar = Bar(start, end, minute.open, minute.high, minute.low, minute.close)
        if longer is not None:
            bar = Bar(start, end, longer.open, longer.high, longer.low, longer.close, longer.size, longer.value)
        bar.join(minute)
        return bar

    def last_closed(self, interval: str) -> Bar | None:
        """The newest bar that is final."""
        closed = self._closed[interval]
        return closed[-1] if closed else None

    def newest(self, interval: str) -> Iterator[Bar]:
        """All bars that are remembered, newest first, the open one included."""
        current = self.current(interval)
        if current is not None:
            yield current
        yield from reversed(self._closed[interval])

    def latest_minutes(self, count: int) -> list[Bar]:
        """Closed minutes, newest first."""
        return list(islice(reversed(self._closed["1"]), count))

    def _begin(self, interval: str, ts: int, number: Number) -> Bar:
        start, end = period(interval, ts)
        bar = self._open[interval] = Bar(start, end, number, number, number, number)
        return bar
