"""Freqtrade's feather files: candles, mark candles and funding rates; what they hold is in their names."""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path

import msgspec
import pyarrow as pa

from stakan.adapters.importers.columns import CandleColumns, candles
from stakan.adapters.importers.merging import merged
from stakan.adapters.importers.values import nanoseconds
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AnyMarketEvent, Ticker
from stakan.core.domain.ids import InstrumentId, instrument_id
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import DAY, HOUR, MINUTE, Nanos

_NAME = re.compile(
    r"(?:(?P<venue>[a-z]+)_(?:futures_|spot_)?)?(?P<base>[A-Z0-9]+)_(?P<quote>[A-Z]+)(?:_(?P<settle>[A-Z]+))?"
    r"-(?P<count>\d+)(?P<unit>[mhdw])(?:-(?P<kind>futures|spot|mark|funding_rate))?\.feather"
)
_UNITS = {"m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_COLUMNS = ("date", "open", "high", "low", "close", "volume")


class _Name(msgspec.Struct, frozen=True):
    instrument: InstrumentId
    interval_ns: Nanos
    kind: str


def events(files: Sequence[Path], instruments: Mapping[InstrumentId, Instrument]) -> Iterator[AnyMarketEvent]:
    """Events of all files, merged by time.

    A candle happens at its end. A mark candle becomes tickers: its open at its start and, where no other follows at
    once, its close at its end. A funding row becomes a ticker at the settlement, with that moment as
    `next_funding_ts` (the interval in the name of a funding file says nothing about how often it was). Raises
    DataError naming file and row.
    """
    return merged([partial(_events, path, instruments) for path in files])


def _events(path: Path, instruments: Mapping[InstrumentId, Instrument]) -> Iterator[AnyMarketEvent]:
    name = _read_name(path)
    instrument = instruments.get(name.instrument)
    if instrument is None:
        raise DataError(f"{path}: {name.instrument} is not among the instruments given: add it to the instruments file")
    match name.kind:
        case "funding_rate":
            yield from _funding(path, name)
        case "mark":
            yield from _marks(path, name)
        case _:
            columns = CandleColumns(
                time="date", open="open", high="high", low="low", close="close", volume="volume",
                interval_ns=name.interval_ns,
            )  # fmt: skip
            yield from candles(path, _batches(path), instrument, columns)


def _read_name(path: Path) -> _Name:
    found = _NAME.fullmatch(path.name)
    if not found:
        raise DataError(
            f"{path}: the name should be like bybit_futures_BTC_USDT_USDT-5m-futures.feather: "
            "venue, pair, interval and kind are read from it"
        )
    venue = found["venue"] or _venue_of_folder(path)
    category = Category.LINEAR if found["settle"] else Category.SPOT
    return _Name(
        instrument=instrument_id(venue, category, found["base"] + found["quote"]),
        interval_ns=Nanos(int(found["count"]) * _UNITS[found["unit"]]),
        kind=found["kind"] or "spot",
    )


def _venue_of_folder(path: Path) -> str:
    """Freqtrade's own layout is data/<exchange>/[futures/]<file>."""
    parents = [part.name for part in path.resolve().parents]
    venue = parents[1] if parents[0] == "futures" else parents[0]
    if not venue.isidentifier():
        raise DataError(f"{path}: no exchange in its name and none as its folder")
    return venue


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            missing = [name for name in _COLUMNS if name not in reader.schema.names]
            if missing:
                raise DataError(
                    f"{path}: column {', '.join(missing)} is missing; the file has {', '.join(reader.schema.names)}"
                )
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: cannot be read as feather, fetch it again: {error}") from error


def _rows(path: Path, name: str) -> Iterator[tuple[int, float, float]]:
    """(time, open, close) of all rows, in strict order of time."""
    last = 0
    done = 0
    for batch in _batches(path):
        times = nanoseconds("date", batch.column("date")).tolist()
        opens, closes = batch.column("open").to_pylist(), batch.column("close").to_pylist()
        for offset, (time, first, end) in enumerate(zip(times, opens, closes, strict=True)):
            if time <= last:
                raise DataError(f"{path}, row {done + offset}: date is not after the row before: sort by date")
            if first is None or end is None or not abs(first) < float("inf") or not abs(end) < float("inf"):
                raise DataError(f"{path}, row {done + offset}: {name} is not a number")
            last = time
            yield time, first, end
        done += batch.num_rows


def _funding(path: Path, name: _Name) -> Iterator[AnyMarketEvent]:
    for time, rate, _ in _rows(path, "funding rate"):
        yield Ticker(
            ts_event=time,
            ts_recv=time,
            instrument=name.instrument,
            funding_rate=Decimal(repr(rate)),
            next_funding_ts=Nanos(time),
        )


def _marks(path: Path, name: _Name) -> Iterator[AnyMarketEvent]:
    pending: tuple[int, float] | None = None
    for time, first, close in _rows(path, "mark price"):
        if first <= 0 or close <= 0:
            raise DataError(f"{path}: mark price at {time} is not above zero")
        if pending is not None and pending[0] != time:
            yield _mark(name.instrument, *pending)
        yield _mark(name.instrument, time, first)
        pending = time + name.interval_ns, close
    if pending is not None:
        yield _mark(name.instrument, *pending)


def _mark(instrument: InstrumentId, time: int, price: float) -> Ticker:
    return Ticker(ts_event=time, ts_recv=time, instrument=instrument, mark=Decimal(repr(price)))
