"""Takes market events of many instruments and writes them as parts that are whole or do not exist."""

import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec
import numpy as np

from stakan.adapters.parquet import _gap_kernels as kernels
from stakan.adapters.parquet.encoding import Ints
from stakan.adapters.parquet.layout import (
    RECORDINGS,
    PartSummary,
    Recording,
    Span,
    all_parts,
    instrument_folder,
    part_name,
    publish,
    record_path,
    remove,
)
from stakan.adapters.parquet.part_writer import PartWriter, day_name, day_of
from stakan.adapters.parquet.schema import LEVELS_PER_ROW_GROUP, SCHEMA_VERSION, PartMetadata, Source, StoredKind
from stakan.core.domain.batch import Kind, MarketBatch, MarketWindow
from stakan.core.domain.errors import DataError, StakanError, StorageError
from stakan.core.domain.events import (
    AnyMarketEvent,
    BestQuote,
    BookDelta,
    BookSnapshot,
    Candle,
    TradePrint,
)
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import DAY, Side

T = TypeVar("T")
_ADDS_BETWEEN_CHECKS = 1024
_LEVEL_KINDS = {
    StoredKind.BOOK: (Kind.SNAPSHOT, Kind.DELTA),
    StoredKind.TRADES: (Kind.BUY_PRINT, Kind.SELL_PRINT),
    StoredKind.QUOTES: (Kind.QUOTE,),
}


class Publish(StrEnum):
    """When readers see what is written."""

    AT_END = "at_end"
    """All at once, when the writer is closed: for imports."""
    AS_WRITTEN = "as_written"
    """Part by part: for captures, which must survive being killed."""


class Limits(msgspec.Struct, frozen=True):
    """Bounds of memory and of part size, in levels."""

    row_group: int = LEVELS_PER_ROW_GROUP
    buffered: int = 2_000_000
    """Over all instruments; above it every buffer is written out."""


class MarketWriter:
    """Writes one recording. Use as a context manager: an error inside leaves nothing of what was not published.

    Raises StorageError where writing fails and DataError where a receive time goes back.
    """

    def __init__(
        self,
        root: Path,
        source: Source,
        instruments: Mapping[InstrumentId, Instrument] | None = None,
        *,
        publish_when: Publish = Publish.AT_END,
        limits: Limits | None = None,
        fsync: Callable[[int], None] = os.fsync,
    ) -> None:
        self._root = root
        self._source = source
        self._rules = dict(instruments or {})
        self._publish = publish_when
        self._limits = limits or Limits()
        self._fsync = fsync
        self.recording = _new_recording_id(root)
        self._open: dict[tuple[InstrumentId, StoredKind], PartWriter] = {}
        self._gap_states: dict[InstrumentId, Ints] = {}
        self._last_recv: dict[InstrumentId, int] = {}
        self._arrival = 0
        self._number = 0
        self._adds = 0
        self._is_closed = False
        self._parts: list[PartSummary] = []
        self._spans: dict[tuple[InstrumentId, StoredKind, int], Span] = {}
        if publish_when is Publish.AS_WRITTEN:
            self._publish_record(is_complete=False, replaces=())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abandon()
        elif not self._is_closed:
            self.close()

    def add(self, event: AnyMarketEvent, arrival: int | None = None) -> None:
        """Append an event; `arrival` is its ordinal over all instruments, counted here when it is not given."""
        if arrival is None:
            arrival = self._arrival
        self._arrival = arrival + 1
        ts = event.ts_recv
        self._check_order(event.instrument, ts)
        match event:
            case BookDelta() | BookSnapshot():
                part = self._part(event.instrument, StoredKind.BOOK, ts)
                kind = Kind.DELTA if isinstance(event, BookDelta) else Kind.SNAPSHOT
                row = (kind, event.ts_event, ts, arrival, event.sequence, event.previous_sequence, event.bid_count)
                part.add_row((*row, len(event.levels)), event.levels)
            case TradePrint():
                part = self._part(event.instrument, StoredKind.TRADES, ts)
                kind = Kind.BUY_PRINT if event.side is Side.BUY else Kind.SELL_PRINT
                row = (kind, event.ts_event, ts, arrival, event.trade_id, int(event.is_rpi), 0)
                part.add_flat((*row, 1), (event.price, event.size))
            case BestQuote():
                part = self._part(event.instrument, StoredKind.QUOTES, ts)
                levels = (event.bid_price, event.bid_size, event.ask_price, event.ask_size)
                part.add_flat((Kind.QUOTE, event.ts_event, ts, arrival, event.sequence, 0, 1, 2), levels)
            case _:
                kind_stored = StoredKind.CANDLES if isinstance(event, Candle) else StoredKind.OTHERS
                part = self._part(event.instrument, kind_stored, ts)
                part.add_object(event, arrival)
        self._after_adding(part)

    def add_window(self, window: MarketWindow) -> None:
        """Append a stretch of the market as columns."""
        for batch in window.batches:
            self.add_batch(batch)

    def add_batch(self, batch: MarketBatch) -> None:
        """Append events of one instrument as columns, with the batch's own arrival ordinals."""
        if not len(batch):
            return
        self._check_order(batch.instrument, int(batch.ts_recv[0]))
        backwards = np.flatnonzero(np.diff(batch.ts_recv) < 0)
        if len(backwards):
            self._check_order(batch.instrument, int(batch.ts_recv[backwards[0]]))
            self._check_order(batch.instrument, int(batch.ts_recv[backwards[0] + 1]))
        self._last_recv[batch.instrument] = int(batch.ts_recv[-1])
        self._arrival = max(self._arrival, int(batch.arrival.max()) + 1)
        days = batch.ts_recv // DAY
        edges = np.flatnonzero(np.diff(days)) + 1
        for start, stop in zip([0, *edges.tolist()], [*edges.tolist(), len(batch)], strict=True):
            self._add_rows(batch, start, stop)

    def flush(self) -> None:
        """Finish every open part, so that a capture loses nothing up to here."""
        for key in list(self._open):
            self._finish(key)

    @property
    def spans(self) -> tuple[Span, ...]:
        """What the finished parts hold; complete after `flush`."""
        return tuple(self._spans.values())

    def close(self, replaces: Iterable[str] = ()) -> Recording:
        """Finish and publish; `replaces` names recordings that vanish at the same moment.

        Raises DataError where nothing was added: an empty recording is never what somebody wanted.
        """
        replaced = tuple(replaces)
        try:
            self.flush()
            if not self._parts:
                raise DataError(f"{self._source.description}: no events to store")
            record = self._publish_record(is_complete=True, replaces=replaced)
        except StakanError:
            self.abandon()
            raise
        self._is_closed = True
        self._delete_replaced(replaced)
        return record

    def abandon(self) -> None:
        """Delete everything that readers cannot see."""
        for part in self._open.values():
            part.discard()
        self._open.clear()
        if self._publish is Publish.AT_END:
            remove(self._root, [self._root / part.path for part in self._parts])
            self._parts = []

    # --- parts ------------------------------------------------------------------------------------------------------

    def _check_order(self, instrument: InstrumentId, ts: int) -> None:
        last = self._last_recv.get(instrument, ts)
        if ts < last:
            raise DataError(f"{self._source.description}: {instrument}: receive time goes back from {last} to {ts}")
        self._last_recv[instrument] = ts

    def _part(self, instrument: InstrumentId, kind: StoredKind, ts: int) -> PartWriter:
        part = self._open.get((instrument, kind))
        day = ts // DAY
        if part is not None:
            if part.day == day:
                return part
            self._finish((instrument, kind))
        path = instrument_folder(self._root, instrument) / day_name(day_of(ts))
        part = PartWriter(
            path / part_name(kind, self._number, self.recording),
            PartMetadata(
                schema_version=SCHEMA_VERSION,
                kind=kind,
                instrument=instrument,
                rules=self._rules.get(instrument),
                recording=self.recording,
                source=self._source.description,
                clock_shift_ns=self._source.clock_shift_ns,
                receive_times_assumed=self._source.receive_times_assumed,
            ),
            self._gap_states.setdefault(instrument, kernels.first_state()),
            self._fsync,
        )
        part.day = day
        self._number += 1
        self._open[instrument, kind] = part
        return part

    def _add_rows(self, batch: MarketBatch, start: int, stop: int) -> None:
        kinds = batch.kind[start:stop]
        counts = np.diff(batch.level_start)
        for where, members in _LEVEL_KINDS.items():
            rows = start + np.flatnonzero(np.isin(kinds, members))
            if not len(rows):
                continue
            names = (batch.kind, batch.ts_event, batch.ts_recv, batch.arrival, batch.sequence)
            columns = (*names, batch.previous_sequence, batch.bid_count, counts)
            table = np.column_stack([column[rows].astype(np.int64) for column in columns])
            first = np.repeat(batch.level_start[rows] - np.cumsum(counts[rows]) + counts[rows], counts[rows])
            part = self._part(batch.instrument, where, int(batch.ts_recv[start]))
            part.add_rows(table, batch.levels[first + np.arange(len(first))])
            self._after_adding(part)
        for row in (start + np.flatnonzero(kinds == Kind.OTHER)).tolist():
            event = batch.event(row)
            where = StoredKind.CANDLES if isinstance(event, Candle) else StoredKind.OTHERS
            part = self._part(batch.instrument, where, event.ts_recv)
            part.add_object(event, int(batch.arrival[row]))
            self._after_adding(part)

    def _after_adding(self, part: PartWriter) -> None:
        if part.buffered >= self._limits.row_group:
            self._guard(part.write_row_group)
        self._adds += 1
        if self._adds % _ADDS_BETWEEN_CHECKS == 0:
            self._bound_memory()

    def _bound_memory(self) -> None:
        if sum(part.buffered for part in self._open.values()) >= self._limits.buffered:
            for part in self._open.values():
                self._guard(part.write_row_group)

    def _guard(self, write: Callable[[], T]) -> T:
        try:
            return write()
        except OSError as error:
            raise StorageError(f"{self._root}: cannot write market data: {error.strerror or error}") from error

    def _finish(self, key: tuple[InstrumentId, StoredKind]) -> None:
        part = self._open[key]
        summary, spans = self._guard(part.finish)
        del self._open[key]
        relative = str(part.path.relative_to(self._root))
        self._parts.append(msgspec.structs.replace(summary, path=relative))
        for span in spans:
            series = (span.instrument, span.kind, span.interval_ns)
            old = self._spans.get(series)
            if old is not None:
                first, rows = old.first_ts, old.rows + span.rows
                self._spans[series] = msgspec.structs.replace(span, first_ts=first, rows=rows)
            else:
                self._spans[series] = span

    def _publish_record(self, *, is_complete: bool, replaces: tuple[str, ...]) -> Recording:
        record = Recording(
            id=self.recording,
            source=self._source,
            is_complete=is_complete,
            replaces=replaces,
            spans=self.spans,
            parts=tuple(self._parts),
        )
        publish(self._root, record, self._fsync)
        return record

    def _delete_replaced(self, replaced: tuple[str, ...]) -> None:
        gone = set(replaced)
        if gone:
            remove(self._root, [part.path for part in all_parts(self._root) if part.recording in gone])
            remove(self._root, [record_path(self._root, old) for old in sorted(gone)])


def _new_recording_id(root: Path) -> str:
    """Ordinal (so that ids sort by age) and a random part (so that a killed writer's parts are never adopted)."""
    taken = [int(path.name.split("-", 1)[0]) for path in (root / RECORDINGS).glob("[0-9]*-*.json")]
    return f"{max(taken, default=0) + 1:06d}-{secrets.token_hex(4)}"
