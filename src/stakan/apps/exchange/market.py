"""The market that the exchange shows: a source's rows, moved to the exchange's time."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.apps.exchange.agenda import NEVER
from stakan.core.domain.batch import Ints, Kind, MarketBatch, MarketWindow
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import AnyMarketEvent, FeedDown, Levels, Ticker
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MILLISECOND, SECOND
from stakan.core.ports import MarketHistory

AHEAD_NS = 5 * SECOND
"""How far the source is read ahead: what was received later is not older by more than this, at the exchange."""
SEAM_NS = 1 * SECOND
"""Exchange time between the last row of a lap and the first of the next one."""
PREFETCH_NS = 2 * SECOND
"""Exchange time for which several sources are read in advance, one at a time."""
_IDS_PER_MILLISECOND = 100_000
_OTHER = int(Kind.OTHER)


class Feed(Protocol):
    """A market in exchange time."""

    def take(self, until: int) -> list[MarketBatch]:
        """Rows due up to and including `until`; those of one instrument in order, in one batch or several."""
        ...

    def next_due(self) -> int | None:
        """Time of the next row; None where there will be none."""
        ...


class Markets:
    """Several markets as one. Each `take` reads one of them in advance, so that no call has to read them all."""

    def __init__(self, markets: Sequence["LiveMarket"]) -> None:
        self._markets = tuple(markets)
        self._due = [_due(market) for market in self._markets]
        """Of each market; most have nothing to give at any one time."""

    def take(self, until: int) -> list[MarketBatch]:
        """See `Feed`."""
        laggard = min(self._markets, key=lambda market: market.known)
        if laggard.known < until + PREFETCH_NS:
            laggard.read_on()
        taken: list[MarketBatch] = []
        for number, due in enumerate(self._due):
            if due <= until:
                taken += self._markets[number].take(until)
                self._due[number] = _due(self._markets[number])
        return taken

    def next_due(self) -> int | None:
        """See `Feed`."""
        due = min(self._due, default=NEVER)
        return due if due < NEVER else None


def _due(market: "LiveMarket") -> int:
    due = market.next_due()
    return NEVER if due is None else due


class LiveMarket:
    """Reads a source lazily. Batches have `ts_event = ts_exchange = ts_recv` = whole milliseconds of exchange time.

    The source's first row is at `start`; a row that was dt later follows after dt / speed. Books, prints, tickers and
    interruptions are passed on; quotes, candles and changes of rules are not, since the exchange makes its own. Trade
    ids are given anew (time and ordinal), so that no two laps or runs have the same ones.

    With `loop` the source is walked again after its end; each instrument then has a FeedDown first (the seam), and its
    book is unknown until the source's snapshot.
    """

    def __init__(
        self,
        history: MarketHistory,
        listed: Mapping[InstrumentId, Instrument],
        start: int,
        *,
        speed: float = 1.0,
        loop: bool = False,
    ) -> None:
        """`listed`: by the *source's* id, the rules under which it is listed (their id is the batches')."""
        if not speed > 0:
            raise ConfigError(f"speed must be above 0, got {speed}")
        self._history = history
        self._speed = speed
        self._is_loop = loop
        self._lanes = {source: _Lane(rules.id) for source, rules in listed.items()}
        self._windows: Iterator[MarketWindow] = history.windows()
        self._start = start
        self._origin: int | None = None
        """Source time that is shown at `_start`."""
        self.known = 0
        """Exchange time up to which all rows have been read; NEVER at the source's end."""
        self._latest = start
        """Exchange time of the last row that has been read."""
        self._is_over = False
        self.laps = 0
        """How often the source has begun again, as far as it has been read."""

    def take(self, until: int) -> list[MarketBatch]:
        """Rows due up to and including `until`; those of one instrument in order, in one batch or several."""
        self._read(until)
        found: list[MarketBatch] = []
        for lane in self._lanes.values():
            if lane.next_due <= until:
                lane.take(until, found)
        return found

    def next_due(self) -> int | None:
        """Time of the next row; None at the source's end."""
        while True:
            due = min((lane.next_due for lane in self._lanes.values()), default=NEVER)
            if due < self.known or self._is_over:
                return due if due < NEVER else None
            self._read_window()

    def read_on(self) -> None:
        """Read another stretch of the source now, where there is one."""
        if not self._is_over:
            self._read_window()

    def _read(self, until: int) -> None:
        while self.known <= until and not self._is_over:
            self._read_window()

    def _read_window(self) -> None:
        window = next(self._windows, None)
        if window is None:
            self._finish()
            return
        if not len(window):
            return
        if self._origin is None:
            self._origin = min(int(batch.ts_exchange[0]) for batch in window.batches if len(batch))
        for batch in window.batches:
            lane = self._lanes.get(batch.instrument)
            if lane is not None and len(batch):
                lane.add(batch, self._moved(batch.ts_exchange))
                self._latest = max(self._latest, lane.latest)
        newest = max(int(batch.ts_exchange[-1]) for batch in window.batches if len(batch))
        self.known = max(self.known, self._move(newest - AHEAD_NS))

    def _finish(self) -> None:
        """The end of a lap: everything has been read; on with the next one, behind a seam."""
        if not self._is_loop or self._origin is None:
            self._is_over = True
            self.known = NEVER
            return
        self.laps += 1
        self._origin = None
        for lane in self._lanes.values():
            lane.interrupt(self._latest + MILLISECOND)
        self._start = self._latest = self._latest + SEAM_NS
        self._windows = self._history.windows()
        self.known = max(self.known, self._start - MILLISECOND)

    def _move(self, ts: int) -> int:
        return self._start + int((ts - (self._origin or 0)) / self._speed)

    def _moved(self, ts: Ints) -> Ints:
        since = ts - (self._origin or 0)
        moved = self._start + (since if self._speed == 1.0 else (since / self._speed).astype(np.int64))
        return moved // MILLISECOND * MILLISECOND


class _Lane:
    """Rows of one instrument that have been read and are not due yet."""

    def __init__(self, instrument: InstrumentId) -> None:
        self._instrument = instrument
        self._pieces: deque[tuple[MarketBatch, list[int]]] = deque()
        """Rows and their times, these as plain integers: most of them are taken one by one."""
        self._taken = 0
        """Rows of the first piece that are gone."""
        self.next_due = NEVER
        """Time of the next row; NEVER where none has been read."""
        self._prints = 0
        self.latest = 0
        """Time of the last row that was added."""

    def add(self, batch: MarketBatch, ts: Ints) -> None:
        """Rows of the source, `ts` their exchange times; these never go back."""
        ts = np.maximum.accumulate(np.maximum(ts, self.latest))
        shown = np.flatnonzero((batch.kind != Kind.QUOTE) & _of_others(batch, (Ticker, FeedDown)))
        if not len(shown):
            return
        piece = rows(batch, shown, ts[shown], self._instrument)
        self._number(piece)
        self._append(piece)
        self.latest = int(ts[-1])

    def interrupt(self, at: int) -> None:
        """The source ends here and begins again."""
        at = max(at, self.latest)
        down = FeedDown(instrument=self._instrument, ts_event=at, ts_recv=at, why="the recording begins again")
        self._append(single(down))
        self.latest = at

    def take(self, until: int, found: list[MarketBatch]) -> None:
        """Move what is due to `found`; a piece that is due in part is cut."""
        while self.next_due <= until:
            piece, times = self._pieces[0]
            first, last = self._taken, bisect_right(times, until, self._taken)
            found.append(cut(piece, first, last) if last - first < len(times) else piece)
            if last == len(times):
                self._pieces.popleft()
                last = 0
            self._taken = last
            self.next_due = self._pieces[0][1][last] if self._pieces else NEVER

    def _append(self, piece: MarketBatch) -> None:
        times = piece.ts_exchange.tolist()
        if not self._pieces:
            self.next_due = times[0]
        self._pieces.append((piece, times))

    def _number(self, piece: MarketBatch) -> None:
        prints = (piece.kind == Kind.BUY_PRINT) | (piece.kind == Kind.SELL_PRINT)
        count = int(prints.sum())
        ordinals = (self._prints + np.arange(count)) % _IDS_PER_MILLISECOND
        piece.sequence[prints] = piece.ts_exchange[prints] // MILLISECOND * _IDS_PER_MILLISECOND + ordinals
        self._prints += count


def for_accounts(batch: MarketBatch) -> MarketBatch:
    """Rows that decide about orders: books, prints, interruptions; mark and index come from `Board.take_tickers`."""
    if not batch.others:
        return batch
    kept = _of_others(batch, (FeedDown,))
    return batch if kept.all() else rows(batch, np.flatnonzero(kept), batch.ts_exchange[kept], batch.instrument)


def rows(batch: MarketBatch, kept: Ints, ts: Ints, instrument: InstrumentId) -> MarketBatch:
    """Some rows of a batch, at other times and under another name."""
    counts = np.diff(batch.level_start)[kept]
    starts = np.zeros(len(kept) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    taken = np.repeat(batch.level_start[:-1][kept] - starts[:-1], counts) + np.arange(starts[-1])
    sequence = batch.sequence[kept]
    is_other = batch.kind[kept] == _OTHER
    others = tuple(
        _moved_event(batch.others[index], at, instrument)
        for index, at in zip(sequence[is_other].tolist(), ts[is_other].tolist(), strict=True)
    )
    sequence[is_other] = np.arange(len(others))
    return _batch(batch, kept, ts, starts, batch.levels[taken], sequence, others, instrument)


def cut(batch: MarketBatch, first: int, last: int) -> MarketBatch:
    """Rows [first, last) as views."""
    span = slice(first, last)
    levels = batch.levels[batch.level_start[first] : batch.level_start[last]]
    starts = batch.level_start[first : last + 1] - batch.level_start[first]
    kind = batch.kind[span]
    sequence = batch.sequence[span]
    # Looked for in bytes: of a few rows a comparison of arrays costs more than all the rest.
    if batch.others and _OTHER in kind.tobytes():
        is_other = kind == _OTHER
        sequence = sequence.copy()
        others = tuple(batch.others[index] for index in sequence[is_other].tolist())
        sequence[is_other] = np.arange(len(others))
    else:
        others = ()
    return _batch(batch, span, batch.ts_exchange[span], starts, levels, sequence, others, batch.instrument)


def _batch(
    batch: MarketBatch,
    span: Ints | slice,
    ts: Ints,
    starts: Ints,
    levels: Levels,
    sequence: Ints,
    others: tuple[AnyMarketEvent, ...],
    instrument: InstrumentId,
) -> MarketBatch:
    return MarketBatch(
        instrument=instrument,
        kind=batch.kind[span],
        ts_event=ts,
        ts_recv=ts,
        ts_exchange=ts,
        arrival=batch.arrival[span],
        sequence=sequence,
        previous_sequence=batch.previous_sequence[span],
        level_start=starts,
        bid_count=batch.bid_count[span],
        levels=levels,
        others=others,
    )


def _of_others(batch: MarketBatch, kinds: tuple[type, ...]) -> npt.NDArray[np.bool_]:
    """Which rows are books, quotes or prints, or one of these kinds of event."""
    kept: npt.NDArray[np.bool_] = batch.kind != _OTHER
    for row in np.flatnonzero(~kept).tolist():
        kept[row] = isinstance(batch.others[batch.sequence[row]], kinds)
    return kept


def _moved_event(event: AnyMarketEvent, ts: int, instrument: InstrumentId) -> AnyMarketEvent:
    return msgspec.structs.replace(event, instrument=instrument, ts_event=ts, ts_recv=ts)


def single(event: FeedDown | Ticker) -> MarketBatch:
    """One event, alone."""
    ts = np.array([event.ts_event], np.int64)
    zero = np.zeros(1, np.int64)
    return MarketBatch(
        instrument=event.instrument,
        kind=np.array([_OTHER], np.uint8),
        ts_event=ts,
        ts_recv=ts,
        ts_exchange=ts,
        arrival=zero,
        sequence=zero,
        previous_sequence=zero,
        level_start=np.zeros(2, np.int64),
        bid_count=zero,
        levels=np.empty((0, 2), np.int64),
        others=(event,),
    )
