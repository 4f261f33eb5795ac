"""What a market-data part holds: one Arrow schema per kind, one row per message, integer ticks and lots."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec
import pyarrow as pa

from stakan.core.domain.errors import DataError
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument

SCHEMA_VERSION = 1
METADATA_KEY = b"stakan"
LEVELS_PER_ROW_GROUP = 100_000
"""Small groups cost disk (4.8 instead of 2.9 bytes a level at 1,700 rows), large ones memory."""


class StoredKind(StrEnum):
    """Which messages a part holds; also the first word of its file name."""

    BOOK = "book"
    TRADES = "trades"
    QUOTES = "quotes"
    CANDLES = "candles"
    OTHERS = "others"
    """Tickers, rule changes and interruptions, as JSON with their type's name."""


class SourceFile(msgspec.Struct, frozen=True):
    """A file that was imported; `digest` is BLAKE2b-128 of its bytes."""

    name: str
    bytes: int
    digest: str


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where market data came from."""

    description: str
    """For people: format and file, or the feed's address."""
    format: str = ""
    files: tuple[SourceFile, ...] = ()
    selection: tuple[str, ...] = ()
    """Instruments that were picked from the files; empty for all."""
    clock_shift_ns: int = 0
    receive_times_assumed: bool = False


class PartMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a part says about itself, as JSON in the file's metadata."""

    schema_version: int
    kind: StoredKind
    instrument: InstrumentId
    rules: Instrument | None
    """Instrument rules that its ticks and lots were made with; None where the source gave none."""
    recording: str
    source: str
    clock_shift_ns: int
    """Was added to the recorder's clock so that no latency is negative."""
    receive_times_assumed: bool
    """Whether `ts_recv` was made up from `ts_event` because the source has none."""
    rows: int = 0
    levels: int = 0
    first_ts: int = 0
    last_ts: int = 0
    """`ts_recv` of the first and the last row."""
    gaps: int = 0
    """Sequence gaps of the book, those at the boundary to the part before included."""
    intervals: tuple[int, ...] = ()
    """Of candles, in nanoseconds."""


class SchemaProbe(msgspec.Struct, frozen=True):
    """The one field that must be read before the others can be trusted."""

    schema_version: int


_TIMES: list["pa.Field[Any]"] = [
    pa.field("ts_event", pa.int64(), nullable=False),
    pa.field("ts_recv", pa.int64(), nullable=False),
    pa.field("arrival", pa.int64(), nullable=False),
]
_LIST = pa.list_(pa.field("element", pa.int64(), nullable=False))


def _ints(*names: str) -> list["pa.Field[Any]"]:
    return [pa.field(name, pa.int64(), nullable=False) for name in names]


SCHEMAS: dict[StoredKind, pa.Schema] = {
    StoredKind.BOOK: pa.schema(
        [
            pa.field("kind", pa.uint8(), nullable=False),
            *_TIMES,
            *_ints("sequence", "previous_sequence", "bid_count"),
            pa.field("price", _LIST, nullable=False),
            pa.field("size", _LIST, nullable=False),
        ]
    ),
    StoredKind.TRADES: pa.schema(
        [
            pa.field("kind", pa.uint8(), nullable=False),
            *_TIMES,
            *_ints("trade_id", "price", "size"),
            pa.field("is_rpi", pa.bool_(), nullable=False),
        ]
    ),
    StoredKind.QUOTES: pa.schema([*_TIMES, *_ints("sequence", "bid_price", "bid_size", "ask_price", "ask_size")]),
    StoredKind.CANDLES: pa.schema(
        [
            *_TIMES,
            *_ints("interval_ns", "open_ts", "open", "high", "low", "close", "volume"),
            pa.field("turnover", pa.string(), nullable=False),
            *_ints("trade_count"),
            pa.field("is_closed", pa.bool_(), nullable=False),
        ]
    ),
    StoredKind.OTHERS: pa.schema(
        [
            *_TIMES,
            pa.field("type", pa.string(), nullable=False),
            pa.field("event", pa.binary(), nullable=False),
        ]
    ),
}


def encodings(kind: StoredKind) -> dict[str, str]:
    """Encodings of a kind's integer columns, for pyarrow's `column_encoding`.

    Levels, in bytes each with zstd on 325,310 levels of a BTC session: bytes split into streams 2.95, dictionary
    3.65, delta-packed 4.45.
    """
    flat = [field.name for field in SCHEMAS[kind] if field.type == pa.int64()]
    nested = [f"{field.name}.list.element" for field in SCHEMAS[kind] if pa.types.is_list(field.type)]
    return dict.fromkeys(flat, "DELTA_BINARY_PACKED") | dict.fromkeys(nested, "BYTE_STREAM_SPLIT")


def read_metadata(raw_metadata: Mapping[bytes, bytes] | None, where: object) -> PartMetadata:
    """The part's own words; raises DataError where they are missing, damaged or of another version."""
    raw = (raw_metadata or {}).get(METADATA_KEY)
    if raw is None:
        raise DataError(f"{where}: not a market-data part of stakan (no {METADATA_KEY.decode()!r} metadata)")
    try:
        version = msgspec.json.decode(raw, type=SchemaProbe).schema_version
        if version != SCHEMA_VERSION:
            raise DataError(f"{where}: schema version {version}, this release reads {SCHEMA_VERSION}: import it anew")
        return msgspec.json.decode(raw, type=PartMetadata)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise DataError(f"{where}: damaged metadata: {error}") from error
