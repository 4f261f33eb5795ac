"""Reads a store: the market of any instruments, kinds and time range, in order of arrival and bounded memory."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stakan.adapters.parquet.encoding import Rows, rows_of_table
from stakan.adapters.parquet.layout import NOT_KNOWN, Part, footer_checksum, visible_parts
from stakan.adapters.parquet.schema import SCHEMAS, PartMetadata, StoredKind, read_metadata
from stakan.core.domain.batch import Ints, Kind, MarketBatch, MarketWindow, columns, window
from stakan.core.domain.errors import DataError
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import DAY

BEGINNING = 0
END = 2**63 - 1
ALL_KINDS = frozenset(StoredKind)


class Selection(msgspec.Struct, frozen=True):
    """What to read: rows with start <= ts_recv < stop."""

    instruments: frozenset[InstrumentId] | None = None
    """None for all."""
    kinds: frozenset[StoredKind] = ALL_KINDS
    start: int = BEGINNING
    stop: int = END

    def wants(self, part: Part) -> bool:
        """Whether a part may hold wanted rows, by its path alone."""
        if part.kind not in self.kinds or (self.instruments is not None and part.instrument not in self.instruments):
            return False
        first = first_moment(part.day)
        return first < self.stop and first + DAY > self.start


def first_moment(day: str) -> int:
    """Nanoseconds at which a day of the store begins."""
    return int(np.datetime64(day, "D").astype(np.int64)) * DAY


class StoredHistory:
    """A selection of a store, as the `MarketHistory` port; can be walked any number of times.

    `ts_exchange` runs from the first row of the selection; rows in a window come from about one row group per stream.
    """

    def __init__(self, parts: Iterable[Part], selection: Selection) -> None:
        self.parts = tuple(part for part in parts if selection.wants(part))
        self._selection = selection

    def windows(self) -> Iterator[MarketWindow]:
        """Consecutive stretches of the market; raises DataError naming the file that is damaged."""
        floors: dict[InstrumentId, int] = {}
        for taken in self._stretches():
            batches = []
            for instrument, rows in sorted(taken.items()):
                batch = _merge(instrument, rows, floors.get(instrument, 0))
                floors[instrument] = int(batch.ts_exchange[-1])
                batches.append(batch)
            yield window(tuple(batches))

    def _stretches(self) -> Iterator[dict[InstrumentId, list[Rows]]]:
        """Rows of all streams up to a common bound, over and over.

        A stream is opened only when the bound reaches its first day: a year of daily imports is many streams, of
        which few are open at a time.
        """
        grouped = groupby(self.parts, lambda part: (part.recording, part.instrument, part.kind))
        streams = [_Stream(place, list(parts), self._selection) for place, (_, parts) in enumerate(grouped)]
        waiting = sorted(streams, key=lambda stream: stream.not_before, reverse=True)
        active: list[_Stream] = []
        while True:
            active = [stream for stream in active if stream.load()]
            bound = min((stream.last_key for stream in active), default=None)
            while waiting and (bound is None or waiting[-1].not_before <= bound[0]):
                stream = waiting.pop()
                if stream.load():
                    active.append(stream)
                    bound = min(bound or stream.last_key, stream.last_key)
            if bound is None:
                return
            taken: dict[InstrumentId, list[Rows]] = {}
            for stream in sorted(active, key=lambda stream: stream.place):
                rows = stream.take(bound)
                if len(rows):
                    taken.setdefault(stream.instrument, []).append(rows)
            yield taken


class MarketStore:
    """A folder of market-data files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def history(
        self,
        instruments: Iterable[InstrumentId] | None = None,
        *,
        start: int = BEGINNING,
        stop: int = END,
        kinds: Iterable[StoredKind] = ALL_KINDS,
    ) -> StoredHistory:
        """What was received from `start` (inclusive) to `stop` (exclusive), in nanoseconds UTC.

        Raises DataError where the store has no such instrument.
        """
        parts = visible_parts(self.root)
        wanted = None if instruments is None else frozenset(instruments)
        for missing in sorted((wanted or frozenset()) - {part.instrument for part in parts}):
            raise DataError(f"{self.root}: no market data of {missing}; `stakan data list` shows what there is")
        return StoredHistory(parts, Selection(wanted, frozenset(kinds), start, stop))

    def instruments(self) -> dict[InstrumentId, Instrument]:
        """Rules of the instruments, as the newest part that knows them has them."""
        found: dict[InstrumentId, Instrument] = {}
        for part in reversed(visible_parts(self.root)):
            if part.instrument not in found:
                rules = open_part(part)[1].rules
                if rules is not None:
                    found[part.instrument] = rules
        return dict(sorted(found.items()))


def open_part(part: Part) -> tuple[Any, PartMetadata]:
    """An open Parquet file and what it says about itself; raises DataError naming the file."""
    path = part.path
    if not path.exists():
        raise DataError(f"{path}: is missing; import recording {part.recording} again, see `stakan data check`")
    try:
        if footer_checksum(path) != part.footer != NOT_KNOWN:
            raise DataError(f"{path}: its footer is damaged")
        file: Any = pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    metadata = read_metadata(file.metadata.metadata, path)
    if not file.schema_arrow.equals(SCHEMAS[metadata.kind], check_metadata=False):
        raise DataError(f"{path}: its columns are not those of kind {metadata.kind.value!r}")
    return file, metadata


def read_row_group(path: Path, file: Any, metadata: PartMetadata, group: int) -> Rows:
    """Decoded rows of one row group; raises DataError naming the file."""
    try:
        return rows_of_table(metadata.kind, metadata.instrument, file.read_row_group(group, use_threads=False))
    except (pa.ArrowException, OSError, ValueError, DataError) as error:
        raise DataError(f"{path}: row group {group} cannot be read: {error}") from error


def group_times(file: Any, group: int) -> tuple[int, int]:
    """First and last `ts_recv` of a row group, from the footer's statistics."""
    statistics = file.metadata.row_group(group).column(file.schema_arrow.names.index("ts_recv")).statistics
    return int(statistics.min), int(statistics.max)


class _Stream:
    """One kind of one instrument of one recording: sorted by (ts_recv, arrival)."""

    def __init__(self, place: int, parts: list[Part], selection: Selection) -> None:
        self.place = place
        """Decides ties between streams."""
        self.instrument = parts[0].instrument
        self.not_before = first_moment(parts[0].day)
        """No row of it has an earlier `ts_recv`."""
        self._groups = _row_groups(parts, selection)
        self._rows: Rows | None = None

    def load(self) -> bool:
        """Make sure that rows are at hand; False at the end."""
        if self._rows is None:
            self._rows = next(self._groups, None)
        return self._rows is not None

    @property
    def last_key(self) -> tuple[int, int]:
        """(ts_recv, arrival) of the last row at hand: nothing that comes later is before it."""
        rows = self._rows
        assert rows is not None, "load() was true"
        return int(rows.ts_recv[-1]), int(rows.arrival[-1])

    def take(self, bound: tuple[int, int]) -> Rows:
        """Rows up to and including the bound."""
        rows = self._rows
        assert rows is not None, "load() was true"
        ts, arrival = bound
        first = int(np.searchsorted(rows.ts_recv, ts, "left"))
        last = int(np.searchsorted(rows.ts_recv, ts, "right"))
        stop = first + int(np.searchsorted(rows.arrival[first:last], arrival, "right"))
        self._rows = rows.slice(stop, len(rows)) if stop < len(rows) else None
        return rows if stop == len(rows) else rows.slice(0, stop)


def _row_groups(parts: list[Part], selection: Selection) -> Iterator[Rows]:
    for part in parts:
        file, metadata = open_part(part)
        with file:
            for group in range(file.num_row_groups):
                first, last = group_times(file, group)
                if last < selection.start or first >= selection.stop:
                    continue
                rows = read_row_group(part.path, file, metadata, group)
                if first < selection.start or last >= selection.stop:
                    start, stop = np.searchsorted(rows.ts_recv, [selection.start, selection.stop])
                    rows = rows.slice(int(start), int(stop))
                if len(rows):
                    yield rows


def _merge(instrument: InstrumentId, pieces: list[Rows], exchange_floor: int) -> MarketBatch:
    rows = pieces[0] if len(pieces) == 1 else _in_order(pieces)
    sequence = rows.sequence
    others = rows.others
    if others:
        places = np.flatnonzero(rows.kind == Kind.OTHER)
        sequence = sequence.copy()
        sequence[places] = np.arange(len(places))
    return columns(
        instrument,
        kind=rows.kind,
        ts_event=rows.ts_event,
        ts_recv=rows.ts_recv,
        arrival=rows.arrival,
        sequence=sequence,
        previous_sequence=rows.previous_sequence,
        bid_count=rows.bid_count,
        level_count=np.diff(rows.level_start),
        levels=rows.levels,
        others=others,
        exchange_floor=exchange_floor,
    )


def _in_order(pieces: list[Rows]) -> Rows:
    """Rows of several streams by (ts_recv, arrival), ties by the streams' order."""
    arrival = np.concatenate([piece.arrival for piece in pieces])
    ts_recv = np.concatenate([piece.ts_recv for piece in pieces])
    order = np.lexsort((arrival, ts_recv))
    counts = np.concatenate([np.diff(piece.level_start) for piece in pieces])
    starts = np.cumsum(counts) - counts
    levels = np.concatenate([piece.levels for piece in pieces])
    counts = counts[order]
    level_start = np.zeros(len(order) + 1, np.int64)
    np.cumsum(counts, out=level_start[1:])
    from_where = np.repeat(starts[order] - level_start[:-1], counts) + np.arange(len(levels))
    return Rows(
        kind=np.concatenate([piece.kind for piece in pieces])[order],
        ts_event=np.concatenate([piece.ts_event for piece in pieces])[order],
        ts_recv=ts_recv[order],
        arrival=arrival[order],
        sequence=np.concatenate([piece.sequence for piece in pieces])[order],
        previous_sequence=np.concatenate([piece.previous_sequence for piece in pieces])[order],
        bid_count=np.concatenate([piece.bid_count for piece in pieces])[order],
        level_start=level_start,
        levels=np.take(levels, from_where, axis=0),
        others=_others_in_order(pieces, order),
    )


def _others_in_order(pieces: list[Rows], order: Ints) -> tuple[Any, ...]:
    """The objects of OTHER rows in the merged order; pieces of other kinds have none."""
    if not any(piece.others for piece in pieces):
        return ()
    objects: list[Any] = []
    for piece in pieces:
        objects.extend(piece.others or (None,) * len(piece))
    return tuple(objects[row] for row in order.tolist() if objects[row] is not None)
