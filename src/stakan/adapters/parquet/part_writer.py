"""Writes one part: buffers rows, writes row groups under a temporary name, renames when it is whole."""

import hashlib
from array import array
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stakan.adapters.parquet import _gap_kernels as kernels
from stakan.adapters.parquet.encoding import ROW_WIDTH, Ints, table_of_objects, table_of_rows
from stakan.adapters.parquet.layout import DIGEST_BYTES, TEMPORARY, PartSummary, Span, footer_checksum, sync_folder
from stakan.adapters.parquet.schema import METADATA_KEY, SCHEMAS, PartMetadata, StoredKind, encodings
from stakan.core.domain.events import AnyMarketEvent, Candle, Levels
from stakan.core.domain.units import DAY

_SORTED_BY = ("ts_event", "ts_recv", "arrival", "kind")
_ZSTD_LEVEL = 3


class _Sink:
    """The file under a Parquet writer; once dropped it swallows what the writer still has to say.

    A Parquet writer insists on writing its footer when it is closed, also after the disk was full.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._digest = hashlib.blake2b(digest_size=DIGEST_BYTES)

    @property
    def closed(self) -> bool:
        """Never for the Parquet writer, so that it can be closed after a failure."""
        return False

    def write(self, data: bytes) -> int:
        """Pass on, or swallow when dropped."""
        if self._file.closed:
            return len(data)
        self._digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Python's buffer to the system."""
        if not self._file.closed:
            self._file.flush()

    def finish(self, fsync: Callable[[int], None]) -> tuple[int, str]:
        """Everything to the disk; returns size in bytes and digest."""
        self._file.flush()
        fsync(self._file.fileno())
        size = self._file.tell()
        self._file.close()
        return size, self._digest.hexdigest()

    def drop(self) -> None:
        """Close without caring whether the last bytes fit."""
        with suppress(OSError):
            self._file.close()


class PartWriter:
    """One part of one kind of one instrument and day. `gap_state` is shared with the part before."""

    def __init__(self, path: Path, metadata: PartMetadata, gap_state: Ints, fsync: Callable[[int], None]) -> None:
        self.path = path
        self.day = -1
        self.buffered = 0
        """Levels (objects: rows) that wait for a row group."""
        self.rows = 0
        """Rows in row groups, the buffered ones excluded."""
        self._metadata = metadata
        self._gap_state = gap_state
        self._fsync = fsync
        self._ints = array("q")
        self._levels = array("q")
        self._objects: list[AnyMarketEvent] = []
        self._arrivals: list[int] = []
        self._spans: dict[int, Span] = {}
        self._level_count = 0
        self._gaps = 0
        self._sink: _Sink | None = None
        self._parquet: Any = None

    @property
    def temporary(self) -> Path:
        """Name while it is not whole."""
        return self.path.with_name(f".{self.path.name}{TEMPORARY}")

    def add_row(self, row: tuple[int, ...], levels: Levels) -> None:
        """A row of ROW_WIDTH integers (see `encoding`) and its levels."""
        self._ints.extend(row)
        self._levels.frombytes(levels.tobytes())
        self.buffered += row[7] or 1

    def add_flat(self, row: tuple[int, ...], levels: tuple[int, ...]) -> None:
        """The same with levels as plain integers: price, size, price, size."""
        self._ints.extend(row)
        self._levels.extend(levels)
        self.buffered += row[7]

    def add_rows(self, rows: Ints, levels: Levels) -> None:
        """Many rows of shape (n, ROW_WIDTH) at once."""
        self._ints.frombytes(rows.tobytes())
        self._levels.frombytes(levels.tobytes())
        self.buffered += max(len(levels), len(rows))

    def add_object(self, event: AnyMarketEvent, arrival: int) -> None:
        """A candle or another event without levels."""
        self._objects.append(event)
        self._arrivals.append(arrival)
        self.buffered += 1

    def write_row_group(self) -> None:
        """Move what is buffered to the temporary file; raises OSError."""
        if not self.buffered:
            return
        if self._objects:
            self._count_objects()
            table = table_of_objects(self._metadata.kind, self._objects, self._arrivals)
            self._objects, self._arrivals = [], []
        else:
            rows = np.frombuffer(self._ints, np.int64).reshape(-1, ROW_WIDTH)
            levels = np.frombuffer(self._levels, np.int64).reshape(-1, 2)
            self._count_rows(rows, levels)
            table = table_of_rows(self._metadata.kind, rows, levels)
            self._ints, self._levels = array("q"), array("q")
        self._open().write_table(table, row_group_size=table.num_rows)
        self.rows += table.num_rows
        self.buffered = 0

    def finish(self) -> tuple[PartSummary, list[Span]]:
        """Write the rest, flush to the disk, take the final name; raises OSError."""
        self.write_row_group()
        spans = list(self._spans.values())
        metadata = msgspec.structs.replace(
            self._metadata,
            rows=self.rows,
            levels=self._level_count,
            gaps=self._gaps,
            first_ts=min(span.first_ts for span in spans),
            last_ts=max(span.last_ts for span in spans),
            intervals=tuple(sorted(span.interval_ns for span in spans if span.interval_ns)),
        )
        writer = self._open()
        writer.add_key_value_metadata({METADATA_KEY: msgspec.json.encode(metadata)})
        writer.close()
        sink = self._sink
        assert sink is not None, "a part with rows has an open file"
        size, digest = sink.finish(self._fsync)
        footer = footer_checksum(self.temporary)
        self.temporary.replace(self.path)
        sync_folder(self.path.parent, self._fsync)
        return PartSummary(str(self.path), self.rows, size, digest, footer), spans

    def discard(self) -> None:
        """Close and delete the temporary file; nothing of the part remains."""
        if self._sink is None:
            return
        self._sink.drop()
        self._parquet.close()
        self.temporary.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def _open(self) -> Any:
        if self._sink is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._sink = _Sink(self.temporary)
            kind = self._metadata.kind
            options: Any = {
                "compression": "zstd",
                "compression_level": _ZSTD_LEVEL,
                "use_dictionary": ["type"] if kind is StoredKind.OTHERS else False,
                "column_encoding": encodings(kind),
                "write_statistics": [name for name in _SORTED_BY if name in SCHEMAS[kind].names],
                "write_page_checksum": True,
            }
            file: Any = self._sink
            sink: Any = pa.PythonFile(file, mode="w")
            self._parquet = pq.ParquetWriter(sink, SCHEMAS[kind], **options)
        return self._parquet

    def _count_rows(self, rows: Ints, levels: Levels) -> None:
        if self._metadata.kind is StoredKind.BOOK:
            kind = rows[:, 0].astype(np.uint8)
            sequence, previous = np.ascontiguousarray(rows[:, 4]), np.ascontiguousarray(rows[:, 5])
            self._gaps += kernels.count_gaps(kind, sequence, previous, self._gap_state)
        self._level_count += len(levels)
        self._extend_span(0, int(rows[0, 2]), int(rows[-1, 2]), len(rows))

    def _count_objects(self) -> None:
        for event in self._objects:
            interval = event.interval_ns if isinstance(event, Candle) else 0
            self._extend_span(interval, event.ts_recv, event.ts_recv, 1)

    def _extend_span(self, interval_ns: int, first: int, last: int, rows: int) -> None:
        span = self._spans.get(interval_ns)
        if span is not None:
            first, rows = span.first_ts, span.rows + rows
        self._spans[interval_ns] = Span(self._metadata.instrument, self._metadata.kind, interval_ns, first, last, rows)


def day_name(day: int) -> str:
    """Folder name of a day that is counted from 1970-01-01."""
    return str(np.datetime64(day, "D"))


def day_of(ts: int) -> int:
    """UTC day of a moment, counted from 1970-01-01."""
    return ts // DAY
