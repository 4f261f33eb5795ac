"""Market events as Arrow tables and back."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stakan.adapters.parquet.schema import SCHEMAS, StoredKind
from stakan.core.domain.batch import Kind
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AnyMarketEvent, Candle, FeedDown, InstrumentChanged, Levels, Ticker
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import Lots, Nanos, Ticks

Ints = npt.NDArray[np.int64]

ROW_WIDTH = 8
"""kind, ts_event, ts_recv, arrival, sequence, previous_sequence, bid_count, level_count."""
_OTHERS = msgspec.json.Decoder(Ticker | InstrumentChanged | FeedDown)


class Rows(msgspec.Struct, frozen=True, eq=False):
    """Decoded rows of one part: the columns of `MarketBatch`; `others[i]` belongs to row i where kind is OTHER."""

    kind: npt.NDArray[np.uint8]
    ts_event: Ints
    ts_recv: Ints
    arrival: Ints
    sequence: Ints
    previous_sequence: Ints
    bid_count: Ints
    level_start: Ints
    levels: Levels
    others: tuple[AnyMarketEvent, ...] = ()

    def __len__(self) -> int:
        return len(self.kind)

    def slice(self, start: int, stop: int) -> "Rows":
        """Rows start to stop as views."""
        first, last = self.level_start[start], self.level_start[stop]
        return Rows(
            kind=self.kind[start:stop],
            ts_event=self.ts_event[start:stop],
            ts_recv=self.ts_recv[start:stop],
            arrival=self.arrival[start:stop],
            sequence=self.sequence[start:stop],
            previous_sequence=self.previous_sequence[start:stop],
            bid_count=self.bid_count[start:stop],
            level_start=self.level_start[start : stop + 1] - first,
            levels=self.levels[first:last],
            others=self.others[start:stop],
        )


# --- to Arrow -------------------------------------------------------------------------------------------------------


def table_of_rows(kind: StoredKind, rows: Ints, levels: Levels) -> pa.Table:
    """A table from rows of shape (n, ROW_WIDTH) and their levels of shape (m, 2)."""
    columns: dict[str, Any] = {"ts_event": rows[:, 1], "ts_recv": rows[:, 2], "arrival": rows[:, 3]}
    match kind:
        case StoredKind.BOOK:
            offsets = np.zeros(len(rows) + 1, np.int32)
            np.cumsum(rows[:, 7], out=offsets[1:])
            columns |= {"kind": rows[:, 0].astype(np.uint8), "sequence": rows[:, 4], "previous_sequence": rows[:, 5]}
            columns |= {"bid_count": rows[:, 6]}
            for name, column in (("price", 0), ("size", 1)):
                field = SCHEMAS[kind].field(name)
                values = _plain(levels[:, column])
                columns[name] = pa.ListArray.from_arrays(_plain(offsets), values, type=field.type)
        case StoredKind.TRADES:
            columns |= {"kind": rows[:, 0].astype(np.uint8), "trade_id": rows[:, 4]}
            columns |= {"price": levels[:, 0], "size": levels[:, 1], "is_rpi": rows[:, 5].astype(np.bool_)}
        case StoredKind.QUOTES:
            quotes = levels.reshape(-1, 4)
            columns |= {"sequence": rows[:, 4], "bid_price": quotes[:, 0], "bid_size": quotes[:, 1]}
            columns |= {"ask_price": quotes[:, 2], "ask_size": quotes[:, 3]}
        case _:
            raise ValueError(f"{kind} is not stored as levels")
    schema = SCHEMAS[kind]
    arrays = [_plain(columns[field.name]) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def table_of_objects(kind: StoredKind, events: Sequence[AnyMarketEvent], arrivals: Sequence[int]) -> pa.Table:
    """A table of candles or of other events."""
    columns: dict[str, list[Any]] = {
        "ts_event": [event.ts_event for event in events],
        "ts_recv": [event.ts_recv for event in events],
        "arrival": list(arrivals),
    }
    if kind is StoredKind.CANDLES:
        candles = [event for event in events if isinstance(event, Candle)]
        for name in ("interval_ns", "open_ts", "open", "high", "low", "close", "volume", "trade_count", "is_closed"):
            columns[name] = [getattr(candle, name) for candle in candles]
        columns["turnover"] = [str(candle.turnover) for candle in candles]
    else:
        columns["type"] = [type(event).__name__ for event in events]
        columns["event"] = [msgspec.json.encode(event) for event in events]
    return pa.table(columns, schema=SCHEMAS[kind])


def _plain(values: Any) -> Any:
    return pa.array(np.ascontiguousarray(values)) if isinstance(values, np.ndarray) else values


# --- from Arrow -----------------------------------------------------------------------------------------------------


def rows_of_table(kind: StoredKind, instrument: InstrumentId, table: pa.Table) -> Rows:
    """Decoded rows; raises DataError where the columns contradict each other (the caller adds the file's name)."""
    count = table.num_rows
    zeros = np.zeros(count, np.int64)
    times: dict[str, Any] = {name: _ints(table, name) for name in ("ts_event", "ts_recv", "arrival")}
    match kind:
        case StoredKind.BOOK:
            level_start, levels = _levels(table)
            return Rows(
                **times,
                kind=_column(table, "kind"),
                sequence=_ints(table, "sequence"),
                previous_sequence=_ints(table, "previous_sequence"),
                bid_count=_ints(table, "bid_count"),
                level_start=level_start,
                levels=levels,
            )
        case StoredKind.TRADES:
            return Rows(
                **times,
                kind=_column(table, "kind"),
                sequence=_ints(table, "trade_id"),
                previous_sequence=_column(table, "is_rpi").astype(np.int64),
                bid_count=zeros,
                level_start=np.arange(count + 1),
                levels=np.column_stack([_ints(table, "price"), _ints(table, "size")]),
            )
        case StoredKind.QUOTES:
            names = ("bid_price", "bid_size", "ask_price", "ask_size")
            return Rows(
                **times,
                kind=np.full(count, Kind.QUOTE, np.uint8),
                sequence=_ints(table, "sequence"),
                previous_sequence=zeros,
                bid_count=np.ones(count, np.int64),
                level_start=np.arange(count + 1) * 2,
                levels=np.column_stack([_ints(table, name) for name in names]).reshape(-1, 2),
            )
        case _:
            objects = _candles(instrument, table) if kind is StoredKind.CANDLES else _others(table)
            return Rows(
                **times,
                kind=np.full(count, Kind.OTHER, np.uint8),
                sequence=zeros,
                previous_sequence=zeros,
                bid_count=zeros,
                level_start=np.zeros(count + 1, np.int64),
                levels=np.empty((0, 2), np.int64),
                others=objects,
            )


def _column(table: pa.Table, name: str) -> Any:
    return table.column(name).to_numpy()


def _ints(table: pa.Table, name: str) -> Ints:
    values: Ints = table.column(name).to_numpy()
    return values


def _levels(table: pa.Table) -> tuple[Ints, Levels]:
    starts: list[Ints] = []
    columns: list[Ints] = []
    for name in ("price", "size"):
        chunks: Any = table.column(name).combine_chunks()
        array: Any = chunks.chunk(0) if isinstance(chunks, pa.ChunkedArray) else chunks
        offsets = array.offsets.to_numpy().astype(np.int64)
        starts.append(offsets - offsets[0])
        columns.append(array.values.to_numpy()[offsets[0] : offsets[-1]])
    if not np.array_equal(starts[0], starts[1]):
        row = int(np.argmax(starts[0] != starts[1])) - 1 if len(starts[0]) == len(starts[1]) else 0
        raise DataError(f"row {row}: as many prices as sizes expected")
    levels = np.empty((len(columns[0]), 2), np.int64)
    levels[:, 0], levels[:, 1] = columns
    return starts[0], levels


def _candles(instrument: InstrumentId, table: pa.Table) -> tuple[AnyMarketEvent, ...]:
    return tuple(
        Candle(
            instrument=instrument,
            ts_event=row["ts_event"],
            ts_recv=row["ts_recv"],
            interval_ns=Nanos(row["interval_ns"]),
            open_ts=Nanos(row["open_ts"]),
            open=Ticks(row["open"]),
            high=Ticks(row["high"]),
            low=Ticks(row["low"]),
            close=Ticks(row["close"]),
            volume=Lots(row["volume"]),
            turnover=Decimal(row["turnover"]),
            trade_count=row["trade_count"],
            is_closed=row["is_closed"],
        )
        for row in table.to_pylist()
    )


def _others(table: pa.Table) -> tuple[AnyMarketEvent, ...]:
    events: list[AnyMarketEvent] = []
    blobs: list[Any] = table.column("event").to_pylist()
    for row, blob in enumerate(blobs):
        try:
            events.append(_OTHERS.decode(blob))
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise DataError(f"row {row}: damaged event: {error}") from error
    return tuple(events)
