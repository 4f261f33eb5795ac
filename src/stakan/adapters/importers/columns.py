"""Any Parquet or CSV with named columns, by a mapping that says which column is what (decision 17)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stakan.adapters.importers.clock import ReceiveClock
from stakan.adapters.importers.text import csv_tables
from stakan.adapters.importers.values import Ints, counts, nanoseconds
from stakan.adapters.wire import Scale, grid_of
from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.events import AnyMarketEvent, BookDelta, BookSnapshot, Candle, TradePrint
from stakan.core.domain.ids import InstrumentId, trade_id_number
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Lots, Nanos, Side, Ticks

_BATCH_ROWS = 1 << 16
_PARQUET = b"PAR1"

T = TypeVar("T")


class _Mapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Columns that all kinds have; times may be timestamps, ISO text or numbers in s, ms, µs or ns."""

    time: str
    received: str | None = None
    """The recorder's receive time; without it the receive time is the event's."""


class TradeColumns(_Mapping, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="trades"):
    """One trade print per row; exactly one of `side` (the aggressor's) and `buyer_is_maker` is needed."""

    price: str
    size: str
    side: str | None = None
    buyer_is_maker: str | None = None
    trade_id: str | None = None


class CandleColumns(_Mapping, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="candles"):
    """One closed bar per row; a bar happens at its end."""

    open: str
    high: str
    low: str
    close: str
    volume: str
    interval_ns: Nanos
    turnover: str | None = None
    """Without it: volume at the mean of high, low and close."""
    labelled_by: Literal["start", "end"] = "start"

    def __post_init__(self) -> None:
        if self.interval_ns <= 0:
            raise ConfigError(f"the interval of candles must be above 0, got {self.interval_ns} ns")


class LevelColumns(_Mapping, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="levels"):
    """One book level per row; neighbouring rows of equal times (and sequence) are one message."""

    side: str
    price: str
    size: str
    is_snapshot: str | None = None
    """Without it every message is a snapshot."""
    sequence: str | None = None
    """The venue's number of the message, rising by one; without it messages are counted."""


ColumnMapping = TradeColumns | CandleColumns | LevelColumns


def events(path: Path, instrument: Instrument, mapping: ColumnMapping, *, shift: int = 0) -> Iterator[AnyMarketEvent]:
    """Events of one file of one instrument, in the file's order, which must be that of time.

    Raises DataError naming file and row (from 0, the header not counted).
    """
    batches = _parquet(path) if is_parquet(path) else (batch for _, batch in csv_tables(path))
    match mapping:
        case TradeColumns():
            return trades(path, batches, instrument, mapping, shift)
        case CandleColumns():
            return candles(path, batches, instrument, mapping, shift)
        case LevelColumns():
            return levels(path, batches, instrument, mapping, shift)


def is_parquet(path: Path) -> bool:
    """Whether a file begins like Parquet."""
    try:
        with path.open("rb") as file:
            return file.read(len(_PARQUET)) == _PARQUET
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def trades(
    path: Path, batches: Iterable[pa.RecordBatch], instrument: Instrument, mapping: TradeColumns, shift: int = 0
) -> Iterator[AnyMarketEvent]:
    """Trade prints of a table; without a trade id they are numbered from 0."""
    grid = grid_of(instrument)
    clock = ReceiveClock(shift)
    for table in _blocks(path, batches):
        with table:
            times, received = table.times(mapping)
            prices = table.counts(mapping.price, grid.price, least=1).tolist()
            sizes = table.counts(mapping.size, grid.size, least=1).tolist()
            sides = _sides(table, mapping)
            ids = _trade_ids(table, mapping)
            stamps = table.stamps(clock, received)
        for time, stamp, price, size, side, trade_id in zip(times, stamps, prices, sizes, sides, ids, strict=True):
            yield TradePrint(
                ts_event=time,
                ts_recv=stamp,
                instrument=instrument.id,
                price=Ticks(price),
                size=Lots(size),
                side=side,
                trade_id=trade_id,
            )


def candles(
    path: Path, batches: Iterable[pa.RecordBatch], instrument: Instrument, mapping: CandleColumns, shift: int = 0
) -> Iterator[AnyMarketEvent]:
    """Bars of a table."""
    grid = grid_of(instrument)
    clock = ReceiveClock(shift)
    offset = mapping.interval_ns if mapping.labelled_by == "start" else 0
    for table in _blocks(path, batches):
        with table:
            times, received = table.times(mapping)
            prices = [
                table.counts(name, grid.price, least=1)
                for name in (mapping.open, mapping.high, mapping.low, mapping.close)
            ]
            _check_bars(table.first, *prices)
            volumes = table.counts(mapping.volume, grid.size).tolist()
            turnovers = _turnovers(table, mapping, instrument, prices, volumes)
            ends = [time + offset for time in times]
            stamps = table.stamps(clock, ends if mapping.received is None else received)
        bars = zip(ends, stamps, *(price.tolist() for price in prices), volumes, turnovers, strict=True)
        for end, stamp, open_, high, low, close, volume, turnover in bars:
            yield Candle(
                ts_event=end,
                ts_recv=stamp,
                instrument=instrument.id,
                interval_ns=mapping.interval_ns,
                open_ts=Nanos(end - mapping.interval_ns),
                open=Ticks(open_),
                high=Ticks(high),
                low=Ticks(low),
                close=Ticks(close),
                volume=Lots(volume),
                turnover=turnover,
            )


def levels(
    path: Path, batches: Iterable[pa.RecordBatch], instrument: Instrument, mapping: LevelColumns, shift: int = 0
) -> Iterator[AnyMarketEvent]:
    """Book messages of a table; a message may go on in the next block."""
    grid = grid_of(instrument)
    clock = ReceiveClock(shift)
    collector = _Collector(instrument.id)
    for table in _blocks(path, batches):
        with table:
            times, received = table.times(mapping)
            prices = table.counts(mapping.price, grid.price, least=1).tolist()
            sizes = table.counts(mapping.size, grid.size).tolist()
            bids = [side is Side.BUY for side in _named_sides(table, mapping.side)]
            snapshots = table.flags(mapping.is_snapshot, otherwise=True)
            sequences = _sequences(table, mapping)
            stamps = table.stamps(clock, received)
        for key, is_bid, price, size in zip(
            zip(times, stamps, snapshots, sequences, strict=True), bids, prices, sizes, strict=True
        ):
            if key != collector.key:
                yield from collector.finish()
                collector.key = key
            (collector.bids if is_bid else collector.asks).append((price, size))
    yield from collector.finish()


def _sequences(table: "_Block", mapping: LevelColumns) -> Sequence[int | None]:
    return [None] * len(table) if mapping.sequence is None else table.whole(mapping.sequence)


class _Collector:
    """The book message that is being collected; its key is (time, receive time, is snapshot, sequence)."""

    def __init__(self, instrument: InstrumentId) -> None:
        self.key: tuple[int, int, bool, int | None] | None = None
        self.bids: list[tuple[int, int]] = []
        self.asks: list[tuple[int, int]] = []
        self._instrument = instrument
        self._counted = 0

    def finish(self) -> Iterator[AnyMarketEvent]:
        """The message, where there is one."""
        if self.key is None:
            return
        time, stamp, is_snapshot, given = self.key
        self._counted += 1
        sequence = self._counted if given is None else given
        make = BookSnapshot if is_snapshot else BookDelta
        yield make(
            ts_event=time,
            ts_recv=stamp,
            instrument=self._instrument,
            sequence=sequence,
            previous_sequence=sequence - 1,
            levels=np.array(self.bids + self.asks, np.int64).reshape(-1, 2),
            bid_count=len(self.bids),
        )
        self.bids, self.asks = [], []


class _Block:
    """Consecutive rows of a table; as a context it names the file in what goes wrong inside."""

    def __init__(self, path: Path, first: int, batch: pa.RecordBatch) -> None:
        self.first = first
        self._path = path
        self._batch = batch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DataError):
            raise DataError(f"{self._path}, {error}") from error

    def column(self, name: str) -> "pa.Array[Any]":
        names = self._batch.schema.names
        if name not in names:
            raise DataError(f"column {name} is missing; the file has {', '.join(names)}")
        return self._batch.column(name)

    def counts(self, name: str, scale: Scale, least: int = 0) -> Ints:
        return counts(name, self.column(name), scale, self.first, least)

    def times(self, mapping: _Mapping) -> tuple[list[int], list[int]]:
        times = nanoseconds(mapping.time, self.column(mapping.time)).tolist()
        if mapping.received is None:
            return times, times
        return times, nanoseconds(mapping.received, self.column(mapping.received)).tolist()

    def stamps(self, clock: ReceiveClock, received: list[int]) -> list[int]:
        return [clock.stamp(time) for time in received]

    def flags(self, name: str | None, *, otherwise: bool) -> list[bool]:
        if name is None:
            return [otherwise] * self._batch.num_rows
        column = self.column(name)
        if pa.types.is_string(column.type):
            column = pc.utf8_lower(column)
        try:
            found = column.cast(pa.bool_()).to_pylist()
        except pa.ArrowInvalid as error:
            raise DataError(f"{name} should be true or false: {error}") from error
        return self._complete(name, found)

    def whole(self, name: str) -> list[int]:
        try:
            found = self.column(name).cast(pa.int64()).to_pylist()
        except pa.ArrowInvalid as error:
            raise DataError(f"{name} should be whole numbers: {error}") from error
        return self._complete(name, found)

    def _complete(self, name: str, found: list[T | None]) -> list[T]:
        if None in found:
            raise DataError(f"row {self.first + found.index(None)}: {name} is missing")
        return [value for value in found if value is not None]

    def __len__(self) -> int:
        return int(self._batch.num_rows)


def _blocks(path: Path, batches: Iterable[pa.RecordBatch]) -> Iterator[_Block]:
    first = 0
    for batch in batches:
        if batch.num_rows:
            yield _Block(path, first, batch)
            first += batch.num_rows


def _parquet(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=_BATCH_ROWS)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: cannot be read as Parquet, fetch it again: {error}") from error


def _sides(table: _Block, mapping: TradeColumns) -> list[Side]:
    match mapping.side, mapping.buyer_is_maker:
        case str(name), None:
            return _named_sides(table, name)
        case None, str(name):
            return [Side.SELL if flag else Side.BUY for flag in table.flags(name, otherwise=False)]
        case _:
            raise DataError("the mapping of trades needs exactly one of side and buyer_is_maker")


_SIDES: Mapping[str, Side] = {
    "buy": Side.BUY, "b": Side.BUY, "bid": Side.BUY, "1": Side.BUY,
    "sell": Side.SELL, "s": Side.SELL, "a": Side.SELL, "ask": Side.SELL, "-1": Side.SELL,
}  # fmt: skip


def _named_sides(table: _Block, name: str) -> list[Side]:
    found = []
    for row, value in enumerate(table.column(name).to_pylist(), table.first):
        side = _SIDES.get(str(value).lower())
        if side is None:
            raise DataError(f"row {row}: {name} should be one of {', '.join(_SIDES)}, got {value!r}")
        found.append(side)
    return found


def _trade_ids(table: _Block, mapping: TradeColumns) -> list[int]:
    if mapping.trade_id is None:
        return list(range(table.first, table.first + len(table)))
    column = table.column(mapping.trade_id)
    if pa.types.is_integer(column.type):
        return table.whole(mapping.trade_id)
    return [trade_id_number(str(value)) for value in column.to_pylist()]


def _check_bars(first: int, open_: Ints, high: Ints, low: Ints, close: Ints) -> None:
    bad = np.flatnonzero((high < np.maximum(open_, close)) | (low > np.minimum(open_, close)))
    if len(bad):
        raise DataError(f"row {first + bad[0]}: open and close do not lie between low and high")


def _turnovers(
    table: _Block, mapping: CandleColumns, instrument: Instrument, prices: list[Ints], volumes: list[int]
) -> list[Decimal]:
    if mapping.turnover is not None:
        values = table.column(mapping.turnover).to_pylist()
        return [_money(row, mapping.turnover, value) for row, value in enumerate(values, table.first)]
    typical = (prices[1] + prices[2] + prices[3]).tolist()
    return [instrument.notional(price, volume) / 3 for price, volume in zip(typical, volumes, strict=True)]


def _money(row: int, name: str, value: object) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise DataError(f"row {row}: {name} should be a number, got {value!r}")
    return amount
