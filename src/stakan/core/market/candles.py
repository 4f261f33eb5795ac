"""Candles of one instrument and interval, built from prints in exchange time and mended by the exchange's own."""

from collections.abc import Sequence
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.errors import DataError
from stakan.core.domain.events import Candle, TradePrint
from stakan.core.domain.facts import AnyFact, CandleClosed, LatePrint
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import DAY, MILLISECOND, SECOND, Lots, Nanos, Ticks

KEPT = 200
"""Closed candles that are remembered; indicators look no further back (decision 20)."""
GRACE_NS = Nanos(100 * MILLISECOND)
"""How much later than a candle's end a clock other than prints must be to close it: prints arrive after book messages."""
_NOT_STARTED = -1
_LACKING = 20
"""A day in which more than one candle in so many lacks prints is not whole: a reconnection may pass, an outage not."""


class Column(IntEnum):
    """Rows of the candle table."""

    OPEN_TS = 0
    OPEN = 1
    HIGH = 2
    LOW = 3
    CLOSE = 4
    VOLUME = 5
    TURNOVER = 6
    """Ticks x lots."""
    TRADE_COUNT = 7
    ORIGIN = 8


class Origin(IntEnum):
    """Where a closed candle comes from."""

    PRINTS = 0
    PARTIAL = 1
    """From prints that do not cover the whole interval: the first one, and those with an interruption of the feed."""
    EMPTY = 2
    """Nothing traded: all prices are the previous close, volume 0."""
    EXCHANGE = 3


class Bar(NamedTuple):
    """One column of the table, by the names of `Column`."""

    open_ts: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    turnover: int
    trade_count: int
    origin: int


class Day(NamedTuple):
    """What was traded since the start of a UTC day."""

    turnover: int
    """Ticks x lots."""
    volume: int
    is_whole: bool
    """Whether candles, also those that are not kept any more, reach back to its start, and hardly any lacks prints."""


def _table() -> npt.NDArray[np.int64]:
    return np.zeros((len(Column), KEPT), np.int64)


class CandleBuilder(msgspec.Struct, eq=False):
    """The last 200 closed candles without holes between them, and the open one.

    A built candle opens with its first print and closes with its last, both by exchange time (ties by arrival).
    Bybit's own candles open at the previous close instead, so `open` differs between built and accepted candles, and
    high or low may too where the price jumped between two candles. An interval without prints gives a candle at the
    previous close with volume 0, so that rows are evenly spaced. After a pause longer than all that is kept, only the
    last 200 of these are made.
    """

    instrument: InstrumentId
    interval_ns: int
    value_unit: Decimal
    """Quote currency per tick x lot."""
    table: np.ndarray[tuple[int, int], np.dtype[np.int64]] = msgspec.field(default_factory=_table)
    """Shape (9, 200): one row per `Column`; the first `count` columns are closed candles, oldest first."""
    count: int = 0
    open_ts: int = _NOT_STARTED
    """Start of the open candle; -1 before anything is known."""
    open: int = 0
    high: int = 0
    low: int = 0
    close: int = 0
    volume: int = 0
    turnover: int = 0
    trade_count: int = 0
    first_ts: int = 0
    last_ts: int = 0
    is_partial: bool = True
    """The open candle does not hold all prints of its interval."""
    is_down: bool = True
    """No print since the start or the last interruption."""
    revision: int = 0
    """Changes of the closed candles: one closed, replaced or put before."""
    late: int = 0
    late_volume: int = 0
    forgotten_since: int = _NOT_STARTED
    """Start of the first candle that is not kept any more; -1 where there is none."""
    forgotten_day: int = 0
    """Start of the UTC day of the last of them."""
    forgotten_turnover: int = 0
    """Of those of that day, as are the next two."""
    forgotten_volume: int = 0
    forgotten_partial: int = 0
    """How many of them lack prints."""

    @classmethod
    def start(cls, instrument: Instrument, interval_ns: int) -> "CandleBuilder":
        """An empty builder; raises DataError where the interval is not a divisor of the day of 1 s or more."""
        if interval_ns < SECOND or DAY % interval_ns:
            raise DataError(f"{instrument.id}: candle interval {interval_ns} ns must divide a day and be at least 1 s")
        return cls(
            instrument=instrument.id,
            interval_ns=interval_ns,
            value_unit=instrument.tick_size * instrument.lot_size,
        )

    # --- what happens -----------------------------------------------------------------------------------------------

    def update(self, event: TradePrint) -> Sequence[AnyFact]:
        """Take a print in; returns candles that it closed, or that it came too late for its own."""
        ts = event.ts_event
        facts: Sequence[AnyFact] = ()
        if ts < self.open_ts:
            self.late += 1
            self.late_volume += event.size
            return (LatePrint(instrument=self.instrument, ts_event=Nanos(ts)),)
        if self.open_ts == _NOT_STARTED:
            self.open_ts = ts - ts % self.interval_ns
        elif ts >= self.open_ts + self.interval_ns:
            facts = self._close_until(ts)
        self.is_down = False
        price = event.price
        if self.trade_count == 0:
            self.open = self.high = self.low = self.close = price
            self.first_ts = self.last_ts = ts
        else:
            self._widen(price, ts)
        self.volume += event.size
        self.turnover += price * event.size
        self.trade_count += 1
        return facts

    def advance(self, now: int) -> Sequence[AnyFact]:
        """Exchange time is at least `now` (any stream's `ts_event`): close what ended 100 ms or more before it."""
        if self.open_ts == _NOT_STARTED or now < self.open_ts + self.interval_ns + GRACE_NS:
            return ()
        return self._close_until(now - GRACE_NS)

    def interrupt(self) -> None:
        """The feed was interrupted: the open candle lacks prints, and so does every one until the next print."""
        self.is_partial = self.is_down = True

    def accept(self, candle: Candle) -> Sequence[AnyFact]:
        """Take the exchange's word for a closed candle.

        It replaces a closed candle of ours, closes the open one, or extends the kept ones at either end (holes become
        empty candles until they are accepted too). One that is still open is ignored, because prints that it holds
        may be on their way; so is one older than what is kept. Raises DataError for another interval or alignment.
        """
        self._check(candle)
        if not candle.is_closed:
            return ()
        ts = candle.open_ts
        first = self._first_ts()
        if self.open_ts == _NOT_STARTED:
            self.open_ts = ts
            self.close = candle.close
        elif ts < first:
            self.revision += 1
            self._prepend(candle, first)
            return ()
        elif ts < self.open_ts:
            self.revision += 1
            self.table[:, (ts - first) // self.interval_ns] = self._accepted(candle)
            self._follow_flat(candle)
            return ()
        facts = list(self._close_until(ts))
        facts.append(self._push(self._accepted(candle)))
        self._open_next(ts + self.interval_ns, candle.close)
        return facts

    # --- reading ----------------------------------------------------------------------------------------------------

    @property
    def has_begun(self) -> bool:
        """Whether there is an open candle: from the first print, or candle of the exchange, on."""
        return self.open_ts != _NOT_STARTED

    def closed(self, column: Column) -> npt.NDArray[np.int64]:
        """One column of the closed candles, oldest first, shape (count,), as a view."""
        return self.table[column, : self.count]

    def newest(self, most: int, *, include_open: bool = False) -> npt.NDArray[np.int64]:
        """The newest candles, at most `most`, oldest first, shape (9, n): one row per `Column`; a view where it can be.

        With `include_open` the open candle, where there is one, is the last of them.
        """
        if not (include_open and self.has_begun):
            return self.table[:, max(0, self.count - most) : self.count]
        closed = self.table[:, max(0, self.count + 1 - most) : self.count]
        return np.column_stack((closed, np.array(self._built(), np.int64)))

    def day(self, *, include_open: bool = False) -> Day:
        """The UTC day of the last closed candle so far; with `include_open` that of the open one, which counts too."""
        first, counts_open = self._first_ts(), include_open and self.has_begun
        end = self.open_ts + (self.interval_ns if counts_open else 0)
        midnight = _day_of(end - self.interval_ns)
        today = self.table[:, max(0, (midnight - first) // self.interval_ns) : self.count]
        turnover, volume = int(today[Column.TURNOVER].sum()), int(today[Column.VOLUME].sum())
        partial = int((today[Column.ORIGIN] == Origin.PARTIAL).sum())
        if counts_open:
            turnover, volume, partial = turnover + self.turnover, volume + self.volume, partial + self.is_partial
        if self.forgotten_day == midnight:
            turnover, volume = turnover + self.forgotten_turnover, volume + self.forgotten_volume
            partial += self.forgotten_partial
        since = first if self.forgotten_since == _NOT_STARTED else self.forgotten_since
        return Day(turnover, volume, since <= midnight and _LACKING * partial <= (end - midnight) // self.interval_ns)

    def last_closed(self) -> Candle | None:
        """The newest closed candle."""
        if self.count == 0:
            return None
        return self._candle(Bar(*self.table[:, self.count - 1].tolist()), is_closed=True)

    def open_candle(self) -> Candle | None:
        """The candle that is still being built, marked as open; flat at the previous close before its first print."""
        if self.open_ts == _NOT_STARTED:
            return None
        return self._candle(self._built(), is_closed=False)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _widen(self, price: int, ts: int) -> None:
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        if ts < self.first_ts:
            self.first_ts, self.open = ts, price
        if ts >= self.last_ts:
            self.last_ts, self.close = ts, price

    def _close_until(self, now: int) -> list[AnyFact]:
        """Close every candle that ended at or before `now`."""
        facts: list[AnyFact] = []
        while now >= self.open_ts + self.interval_ns:
            facts.append(self._push(self._built()))
            following = self.open_ts + self.interval_ns
            oldest_kept = now - now % self.interval_ns - KEPT * self.interval_ns
            if following < oldest_kept:
                self._forget(self.count)
                self._pass_over(following, oldest_kept)
                self.count = 0
                following = oldest_kept
            self._open_next(following, self.close)
        return facts

    def _open_next(self, open_ts: int, close: int) -> None:
        self.open_ts = open_ts
        self.open = self.high = self.low = self.close = close
        self.volume = self.turnover = self.trade_count = 0
        self.is_partial = self.is_down

    def _built(self) -> Bar:
        origin = Origin.PRINTS if self.trade_count else Origin.EMPTY
        if self.is_partial:
            origin = Origin.PARTIAL
        prices = (self.open, self.high, self.low, self.close)
        return Bar(self.open_ts, *prices, self.volume, self.turnover, self.trade_count, origin)

    def _push(self, bar: Bar) -> CandleClosed:
        self.revision += 1
        if self.count == KEPT:
            self._forget(1)
            self.table[:, :-1] = self.table[:, 1:].copy()
            self.count -= 1
        self.table[:, self.count] = bar
        self.count += 1
        return CandleClosed(
            instrument=self.instrument,
            open_ts=Nanos(bar.open_ts),
            interval_ns=Nanos(self.interval_ns),
            close=Ticks(bar.close),
            volume=Lots(bar.volume),
        )

    def _forget(self, most: int) -> None:
        """The oldest candles will not be kept any more: note what they held of their day."""
        for bar in map(Bar._make, self.table[:, :most].T.tolist()):
            if self.forgotten_since == _NOT_STARTED:
                self.forgotten_since = bar.open_ts
            self._forget_until(_day_of(bar.open_ts))
            self.forgotten_turnover += bar.turnover
            self.forgotten_volume += bar.volume
            self.forgotten_partial += bar.origin == Origin.PARTIAL

    def _pass_over(self, start: int, stop: int) -> None:
        """Candles of a pause are not even made: nothing traded in them, or nobody saw it."""
        day = _day_of(stop - self.interval_ns)
        self._forget_until(day)
        if self.is_down:
            self.forgotten_partial += (stop - max(start, day)) // self.interval_ns

    def _forget_until(self, day: int) -> None:
        """What is noted is of that day."""
        if day != self.forgotten_day:
            self.forgotten_day = day
            self.forgotten_turnover = self.forgotten_volume = self.forgotten_partial = 0

    def _prepend(self, candle: Candle, first: int) -> None:
        more = (first - candle.open_ts) // self.interval_ns
        if self.count + more > KEPT:
            return
        self.table[:, more : self.count + more] = self.table[:, : self.count].copy()
        self.count += more
        self.table[:, 0] = self._accepted(candle)
        for i in range(1, more):
            ts = candle.open_ts + i * self.interval_ns
            self.table[:, i] = _empty_bar(ts, candle.close)

    def _follow_flat(self, candle: Candle) -> None:
        """Empty candles right after a replaced one stand at its close."""
        ts = candle.open_ts + self.interval_ns
        first = self._first_ts()
        while ts < self.open_ts:
            row = (ts - first) // self.interval_ns
            if self.table[Column.TRADE_COUNT, row] or self.table[Column.ORIGIN, row] == Origin.EXCHANGE:
                return
            self.table[Column.OPEN : Column.VOLUME, row] = candle.close
            ts += self.interval_ns
        if self.trade_count == 0:
            self.open = self.high = self.low = self.close = candle.close

    def _first_ts(self) -> int:
        return self.open_ts - self.count * self.interval_ns

    def _accepted(self, candle: Candle) -> Bar:
        """Its turnover is rounded to ticks x lots, as some venues round what they report."""
        turnover = int((candle.turnover / self.value_unit).to_integral_value())
        prices = (candle.open, candle.high, candle.low, candle.close)
        return Bar(candle.open_ts, *prices, candle.volume, turnover, candle.trade_count, Origin.EXCHANGE)

    def _check(self, candle: Candle) -> None:
        if candle.interval_ns != self.interval_ns or candle.open_ts % self.interval_ns:
            raise DataError(
                f"{self.instrument}: candle of {candle.interval_ns} ns at {candle.open_ts} does not fit into "
                f"candles of {self.interval_ns} ns; give it to the builder of its own interval"
            )

    def _candle(self, bar: Bar, *, is_closed: bool) -> Candle:
        end = bar.open_ts + self.interval_ns
        return Candle(
            instrument=self.instrument,
            ts_event=end,
            ts_recv=end,
            interval_ns=Nanos(self.interval_ns),
            open_ts=Nanos(bar.open_ts),
            open=Ticks(bar.open),
            high=Ticks(bar.high),
            low=Ticks(bar.low),
            close=Ticks(bar.close),
            volume=Lots(bar.volume),
            turnover=self.value_unit * bar.turnover,
            trade_count=bar.trade_count,
            is_closed=is_closed,
        )


def _day_of(ts: int) -> int:
    """Start of the UTC day."""
    return ts - ts % DAY


def _empty_bar(open_ts: int, close: int) -> Bar:
    return Bar(open_ts, close, close, close, close, 0, 0, 0, Origin.EMPTY)
