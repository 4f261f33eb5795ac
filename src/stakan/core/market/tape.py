"""The trades tape of one instrument: recent prints in exchange time, each once, with sums over any recent window."""

import bisect

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.events import TradePrint
from stakan.core.domain.units import MINUTE, Lots, Nanos, Side, Ticks
from stakan.core.market import _tape_kernels as kernels

_FIRST_CAPACITY = 1_024
_MAX_CAPACITY = 65_536
KEEP_NS = Nanos(2 * MINUTE)
"""Prints younger than this are kept as long as there is room; features look back one minute."""
LARGE_SAMPLE = 1_000
"""Sizes that the percentile of large prints is taken from."""


class Flow(msgspec.Struct, frozen=True, gc=False):
    """Prints of one window. Notionals are in ticks x lots; RPI prints are in the last two fields only."""

    buy_lots: int
    sell_lots: int
    buy_notional: float
    sell_notional: float
    buy_count: int
    sell_count: int
    rpi_lots: int
    rpi_count: int

    @property
    def count(self) -> int:
        """Ordinary prints."""
        return self.buy_count + self.sell_count


def _column() -> npt.NDArray[np.int64]:
    return np.zeros(2 * _FIRST_CAPACITY, np.int64)


def _signs() -> npt.NDArray[np.int8]:
    return np.zeros(2 * _FIRST_CAPACITY, np.int8)


class Tape(msgspec.Struct, eq=False):
    """Columns of prints ordered by exchange time, ties by arrival; rows [start, end) are kept.

    The columns are twice as long as what may be kept, so that the kept rows always lie in one piece and are moved to
    the front only once in `capacity` prints. Capacity doubles from 1,024 up to 65,536 while the print that would have
    to go is younger than two minutes; a busier market loses its oldest prints, and `reaches` says so.
    """

    times: np.ndarray[tuple[int], np.dtype[np.int64]] = msgspec.field(default_factory=_column)
    prices: np.ndarray[tuple[int], np.dtype[np.int64]] = msgspec.field(default_factory=_column)
    sizes: np.ndarray[tuple[int], np.dtype[np.int64]] = msgspec.field(default_factory=_column)
    ids: np.ndarray[tuple[int], np.dtype[np.int64]] = msgspec.field(default_factory=_column)
    signs: np.ndarray[tuple[int], np.dtype[np.int8]] = msgspec.field(default_factory=_signs)
    """+1 aggressive buy, -1 aggressive sell, +2 and -2 the same against RPI liquidity."""
    start: int = 0
    end: int = 0
    last_ts: int = 0
    """Exchange time of the newest print."""
    known: dict[int, bool] = {}
    """Ids of the kept prints."""
    complete_since: int = -1
    """No print from this moment on is missing; -1 until the first print after a start or an interruption."""
    duplicates: int = 0
    out_of_order: int = 0

    def __len__(self) -> int:
        return self.end - self.start

    def update(self, event: TradePrint) -> bool:
        """Take a print in and say whether it was new; one with the id of a kept print is counted and dropped."""
        trade_id, known = event.trade_id, self.known
        if trade_id in known:
            self.duplicates += 1
            return False
        known[trade_id] = True
        ts = event.ts_event
        if self.complete_since < 0:
            self.complete_since = ts
        row = self.end
        if ts >= self.last_ts:
            self.last_ts = ts
        else:
            row = self._open_row(ts)
        self.times[row] = ts
        self.prices[row] = event.price
        self.sizes[row] = event.size
        self.ids[row] = trade_id
        self.signs[row] = event.side * kernels.RPI if event.is_rpi else event.side
        end = self.end = self.end + 1
        if 2 * (end - self.start) > len(self.times):
            self._drop_oldest()
        if end == len(self.times):
            self._move_to_front()
        return True

    def interrupt(self) -> None:
        """The feed was interrupted: prints may be missing before the next one."""
        self.complete_since = -1

    def _open_row(self, ts: int) -> int:
        """Shift newer rows up by one; the free row keeps the columns in order of exchange time."""
        self.out_of_order += 1
        end = self.end
        row = bisect.bisect_right(self.times, ts, self.start, end)
        for column in (self.times, self.prices, self.sizes, self.ids, self.signs):
            column[row + 1 : end + 1] = column[row:end]
        return row

    def _drop_oldest(self) -> None:
        oldest = int(self.times[self.start])
        if self.last_ts - oldest < KEEP_NS and len(self.times) < 2 * _MAX_CAPACITY:
            self._grow()
            return
        del self.known[int(self.ids[self.start])]
        self.start += 1
        if 0 <= self.complete_since <= oldest:
            self.complete_since = oldest + 1

    def _move_to_front(self) -> None:
        kept = self.end - self.start
        for column in (self.times, self.prices, self.sizes, self.ids, self.signs):
            column[:kept] = column[self.start : self.end].copy()
        self.start, self.end = 0, kept

    def _grow(self) -> None:
        more = len(self.times)
        self.times = np.concatenate((self.times, np.zeros(more, np.int64)))
        self.prices = np.concatenate((self.prices, np.zeros(more, np.int64)))
        self.sizes = np.concatenate((self.sizes, np.zeros(more, np.int64)))
        self.ids = np.concatenate((self.ids, np.zeros(more, np.int64)))
        self.signs = np.concatenate((self.signs, np.zeros(more, np.int8)))

    # --- reading ----------------------------------------------------------------------------------------------------

    def window(self, now: int, span_ns: int, at_least: float = 0.0) -> Flow:
        """Sums over prints with `now - span_ns < ts_event <= now` that have at least so many lots."""
        kept = slice(self.start, self.end)
        return Flow(
            *kernels.flow(
                self.times[kept],
                self.prices[kept],
                self.sizes[kept],
                self.signs[kept],
                now - span_ns,
                now,
                at_least,
            )
        )

    def reaches(self, ts: int) -> bool:
        """Whether every print since `ts` is here: it was seen and has not had to make room."""
        return 0 <= self.complete_since <= ts

    def large_size(self, share: float = 0.95, count: int = LARGE_SAMPLE) -> float:
        """The quantile of the newest `count` sizes in lots, RPI prints left out; 0.0 without prints."""
        kept = slice(self.start, self.end)
        return float(kernels.size_percentile(self.sizes[kept], self.signs[kept], count, share))

    @property
    def last(self) -> tuple[Ticks, Lots, Side] | None:
        """Price, size and aggressor of the newest print."""
        if self.end == self.start:
            return None
        row = self.end - 1
        side = Side.BUY if self.signs[row] > 0 else Side.SELL
        return Ticks(int(self.prices[row])), Lots(int(self.sizes[row])), side

    def since(self, ts: int) -> slice:
        """Rows of the columns with `ts_event > ts`, oldest first."""
        return slice(bisect.bisect_right(self.times, ts, self.start, self.end), self.end)
