"""Files of feature vectors: one instrument and day each, a float32 column for each feature, what they are of inside.

Columns: `ts_event` (exchange time, ns UTC), the features by name, and the warm mask as two words of bits, `warm_low` of
the first 64 features, `warm_high` of the others.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from stakan.adapters.whole_files import written_whole
from stakan.core.domain.errors import DataError
from stakan.core.domain.ids import InstrumentId
from stakan.core.features.catalogue import FEATURE_COUNT, FEATURE_NAMES, FEATURE_SET, SCHEMA_HASH, Feature
from stakan.core.features.scaling import demand

METADATA_KEY = b"stakan.features"
_FORMAT = 1
_ZSTD_LEVEL = 3
_WORD = 64
_WARM = ("warm_low", "warm_high")
_FIELDS: list["pa.Field[Any]"] = [
    pa.field("ts_event", pa.int64(), nullable=False),
    *(pa.field(name, pa.float32(), nullable=False) for name in FEATURE_NAMES),
    *(pa.field(name, pa.uint64(), nullable=False) for name in _WARM),
]
_SCHEMA = pa.schema(_FIELDS)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever builds may choose."""

    grid_ns: int
    candle_interval_ns: int
    params: dict[str, Any] = {}
    """What the definitions of some features leave open."""
    densities: dict[str, Any] | None = None
    """Thresholds of densities, as long-lived ones are levels; None where they were not followed."""


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself, as JSON in its metadata."""

    instrument: InstrumentId
    day: str
    """UTC, by receive time as in the store."""
    options: Options
    lead_in_ns: int
    """How long before the day the market was followed."""
    data: str
    """Digest of the recorded parts that it was made from."""
    feature_set: str = FEATURE_SET
    schema_hash: str = SCHEMA_HASH
    format: int = _FORMAT


class Chunk(NamedTuple):
    """Rows in the order of exchange time."""

    ts_event: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]
    warm: npt.NDArray[np.bool_]
    """Shape (n, FEATURE_COUNT) both."""


def write(path: Path, contents: Contents, chunks: Iterable[Chunk]) -> int:
    """Write a file, whole or not at all, a chunk at a time; returns its rows. Raises StorageError."""
    rows = 0
    schema = _SCHEMA.with_metadata({METADATA_KEY: msgspec.json.encode(contents)})
    options: Any = {
        "compression": "zstd",
        "compression_level": _ZSTD_LEVEL,
        "use_dictionary": list(_WARM),
        "column_encoding": {"ts_event": "DELTA_BINARY_PACKED"} | dict.fromkeys(FEATURE_NAMES, "BYTE_STREAM_SPLIT"),
        "write_page_checksum": True,
    }
    with written_whole(path) as place, pq.ParquetWriter(place, schema, **options) as file:
        for chunk in chunks:
            file.write_table(_table(chunk).cast(schema))
            rows += len(chunk.ts_event)
    return rows


def contents_of(path: Path) -> Contents:
    """What a file says of itself; raises DataError where it is none of ours or cannot be read."""
    try:
        raw = (pq.read_schema(path).metadata or {}).get(METADATA_KEY)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if raw is None:
        raise DataError(f"{path}: is no file of feature vectors; `stakan features build` makes them")
    try:
        return msgspec.json.decode(raw, type=Contents)
    except msgspec.MsgspecError as error:
        raise DataError(f"{path}: damaged or of another release: {error}; build it anew") from error


class FeatureFile:
    """One file, of which columns are read as they are asked for; as `scaling.Rows`.

    Raises DataError where it is damaged, or of other features than this release's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents = contents_of(path)
        demand(self.contents.feature_set, self.contents.schema_hash, f"{path}: it")

    @cached_property
    def ts_event(self) -> npt.NDArray[np.int64]:
        """Exchange times, shape (n,)."""
        return self._column("ts_event")

    def values(self, feature: Feature) -> npt.NDArray[np.float32]:
        """Of all rows, shape (n,)."""
        return self._column(FEATURE_NAMES[feature])

    def warm(self, feature: Feature) -> npt.NDArray[np.bool_]:
        """Whether it rests on enough history, shape (n,)."""
        word, bit = divmod(int(feature), _WORD)
        return (self._words[word] >> np.uint64(bit) & np.uint64(1)).astype(np.bool_)

    def warm_values(self, feature: Feature, stop: int) -> npt.NDArray[np.float64]:
        """As `scaling.Rows`."""
        return self.values(feature)[:stop][self.warm(feature)[:stop]].astype(np.float64)

    def chunks(self) -> Iterator[Chunk]:
        """All rows, in bounded memory."""
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                for group in range(file.num_row_groups):
                    yield _chunk(file.read_row_group(group))
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path}: cannot be read: {error}") from error

    @cached_property
    def _words(self) -> list[npt.NDArray[np.uint64]]:
        return [self._column(name) for name in _WARM]

    def _column(self, name: str) -> npt.NDArray[Any]:
        try:
            table = pq.read_table(self.path, columns=[name], page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path}: cannot be read: {error}") from error
        column: npt.NDArray[Any] = table[name].to_numpy()
        return column


def _table(chunk: Chunk) -> pa.Table:
    bits = np.zeros((len(chunk.warm), 2 * _WORD), np.bool_)
    bits[:, :FEATURE_COUNT] = chunk.warm
    words = np.packbits(bits, axis=1, bitorder="little").view("<u8")
    columns = [chunk.ts_event, *np.ascontiguousarray(chunk.values.T), *np.ascontiguousarray(words.T)]
    return pa.table([pa.array(column) for column in columns], names=_SCHEMA.names)


def _chunk(table: pa.Table) -> Chunk:
    words = np.column_stack([table[name].to_numpy() for name in _WARM]).astype("<u8")
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1, bitorder="little")
    return Chunk(
        table["ts_event"].to_numpy(),
        np.column_stack([table[name].to_numpy() for name in FEATURE_NAMES]),
        bits[:, :FEATURE_COUNT].astype(np.bool_),
    )
