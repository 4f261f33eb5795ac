"""What a store holds: coverage per instrument, day and kind; the book at a moment."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from stakan.adapters.parquet.layout import Part, visible_parts
from stakan.adapters.parquet.reader import MarketStore, group_times, open_part
from stakan.adapters.parquet.schema import StoredKind
from stakan.core.domain.batch import BatchBuilder, Kind, MarketBatch, MarketWindow, window
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import BookDelta, BookSnapshot, TradePrint
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Side
from stakan.core.market.book import Book, BookState


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of one kind of one instrument on one UTC day (by `ts_recv`)."""

    instrument: InstrumentId
    day: str
    kind: StoredKind
    parts: int
    rows: int
    levels: int
    first_ts: int
    last_ts: int
    bytes: int
    gaps: int
    """Sequence gaps of the book."""
    intervals: tuple[int, ...]
    """Of candles, in nanoseconds."""
    sources: tuple[str, ...]
    receive_times_assumed: bool


class Moment(msgspec.Struct, frozen=True):
    """The book of an instrument at a time, and the last prints before it, oldest first."""

    book: Book
    prints: tuple[TradePrint, ...]
    rules: Instrument | None


def coverage(
    root: Path, instruments: Iterable[InstrumentId] | None = None, recording: str | None = None
) -> list[Coverage]:
    """Coverage by instrument, day and kind, from the parts' own metadata; None is all.

    Raises DataError naming a damaged file.
    """
    wanted = None if instruments is None else set(instruments)
    groups: dict[tuple[InstrumentId, str, StoredKind], list[Part]] = {}
    for part in visible_parts(root):
        if (wanted is None or part.instrument in wanted) and recording in {None, part.recording}:
            groups.setdefault((part.instrument, part.day, part.kind), []).append(part)
    return [_coverage(parts) for _, parts in sorted(groups.items())]


def _coverage(parts: list[Part]) -> Coverage:
    said = []
    for part in parts:
        file, metadata = open_part(part)
        file.close()
        said.append(metadata)
    return Coverage(
        instrument=parts[0].instrument,
        day=parts[0].day,
        kind=parts[0].kind,
        parts=len(parts),
        rows=sum(one.rows for one in said),
        levels=sum(one.levels for one in said),
        first_ts=min(one.first_ts for one in said),
        last_ts=max(one.last_ts for one in said),
        bytes=sum(part.path.stat().st_size for part in parts),
        gaps=sum(one.gaps for one in said),
        intervals=tuple(sorted({interval for one in said for interval in one.intervals})),
        sources=tuple(sorted({one.source for one in said})),
        receive_times_assumed=any(one.receive_times_assumed for one in said),
    )


def moment(store: MarketStore, instrument: InstrumentId, at: int, prints: int = 10) -> Moment:
    """The market as it had been received at a time; raises DataError where no snapshot lies before it.

    Replays from the last row group before that holds a snapshot, not from the beginning of the recording.
    """
    start = _last_snapshot_group(store, instrument, at)
    if start is None:
        raise DataError(f"{store.root}: no book snapshot of {instrument} at or before {at}")
    book = Book(instrument=instrument)
    last: list[TradePrint] = []
    history = store.history([instrument], start=start, stop=at + 1, kinds=[StoredKind.BOOK, StoredKind.TRADES])
    for stretch in history.windows():
        for event in stretch.events():
            if isinstance(event, BookDelta | BookSnapshot):
                book.apply(event)
            elif isinstance(event, TradePrint):
                last.append(event)
        last = last[-prints:] if prints else []
    if book.state is BookState.EMPTY:
        raise DataError(f"{store.root}: no book snapshot of {instrument} at or before {at}")
    return Moment(book, tuple(last), store.instruments().get(instrument))


class SeededHistory:
    """A stretch of a store that begins with the book as it was known then: `MarketHistory`.

    Without it a stretch that begins after the only snapshot would have no book at all.
    """

    def __init__(self, store: MarketStore, instruments: Sequence[InstrumentId], start: int, stop: int) -> None:
        self.stretch = store.history(instruments, start=start, stop=stop)
        self._store = store
        self._instruments = instruments
        self._start = start

    def windows(self) -> Iterator[MarketWindow]:
        """First the books, as snapshots received at the start, then what the store holds."""
        seeds = [seed for key in self._instruments if (seed := self._seed(key)) is not None]
        if seeds:
            yield window(tuple(seeds))
        yield from self.stretch.windows()

    def _seed(self, instrument: InstrumentId) -> MarketBatch | None:
        if _last_snapshot_group(self._store, instrument, self._start - 1) is None:
            return None
        book = moment(self._store, instrument, self._start - 1, prints=0).book
        if not book.is_usable:
            return None
        builder = BatchBuilder(instrument)
        bids, asks = book.depth(Side.BUY), book.depth(Side.SELL)
        builder.add(
            BookSnapshot(
                instrument=instrument,
                ts_event=book.ts_event,
                ts_recv=self._start,
                sequence=book.sequence,
                previous_sequence=book.sequence - 1,
                levels=np.concatenate([bids, asks]),
                bid_count=len(bids),
            ),
            arrival=0,
        )
        return builder.build()


def _last_snapshot_group(store: MarketStore, instrument: InstrumentId, at: int) -> int | None:
    """`ts_recv` at which the newest row group at or before a time begins that surely holds a snapshot before it."""
    parts: Sequence[Part] = store.history([instrument], stop=at + 1, kinds=[StoredKind.BOOK]).parts
    starts: list[int] = []
    for part in parts:
        file, _ = open_part(part)
        with file:
            column = file.schema_arrow.names.index("kind")
            for group in range(file.num_row_groups):
                first, last = group_times(file, group)
                holds_snapshot = file.metadata.row_group(group).column(column).statistics.min == Kind.SNAPSHOT
                # In a group that reaches beyond the time, the snapshot may come too late: such a group counts only
                # where nothing before it does.
                if holds_snapshot and (last <= at or (first <= at and not starts)):
                    starts.append(first)
    return max(starts, default=None)
