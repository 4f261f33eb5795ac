"""Bybit's public archive: daily books (`ob200`, `ob500`: JSON lines) and trades (CSV)."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from stakan.adapters.exchanges.bybit.decode import VENUE, BybitDecoder
from stakan.adapters.importers.clock import ReceiveClock, at_line
from stakan.adapters.importers.merging import merged
from stakan.adapters.importers.text import csv_tables, first_line, lines, wanted
from stakan.adapters.wire import NOT_JSON, Grid, Millis, Scale, grid_of
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AnyMarketEvent, TradePrint
from stakan.core.domain.ids import InstrumentId, instrument_id, trade_id_number
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import MILLISECOND, Side

_SECONDS = Scale(digits=9, unit=1)
_TRADE_COLUMNS = ("timestamp", "symbol", "side", "size", "price", "trdMatchID")
_RPI_COLUMN = "RPI"
_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
_TRUE = frozenset(("1", "true", "True"))


class _Times(msgspec.Struct, gc=False):
    ts: Millis
    cts: Millis = 0


_decode_times = msgspec.json.Decoder(_Times).decode


def events(
    files: Sequence[Path], instruments: Mapping[InstrumentId, Instrument], *, category: Category = Category.LINEAR
) -> Iterator[AnyMarketEvent]:
    """Events of all files, merged by receive time.

    The archive has no receive times: those of books are assumed to be `ts` (when the push system built the message),
    those of trades their match time. Days of one instrument may end and begin with the same snapshot. Raises
    DataError naming file and line.
    """
    return merged([partial(_books if is_book(path) else _trades, path, instruments, category) for path in files])


def is_book(path: Path) -> bool:
    """Whether a file holds books (JSON) rather than trades."""
    return first_line(path).lstrip().startswith(b"{")


def _books(path: Path, instruments: Mapping[InstrumentId, Instrument], category: Category) -> Iterator[AnyMarketEvent]:
    decoder = BybitDecoder(instruments, category)
    clock = ReceiveClock()
    for number, line in lines(path):
        try:
            times = _decode_times(line)
            yield from decoder.decode(line, clock.stamp(max(times.ts, times.cts) * MILLISECOND))
        except NOT_JSON as error:
            raise DataError(f"{path}, line {number}: not a book message of the archive: {error}") from error
        except DataError as error:
            raise at_line(path, number, error) from error


def _trades(path: Path, instruments: Mapping[InstrumentId, Instrument], category: Category) -> Iterator[AnyMarketEvent]:
    clock = ReceiveClock()
    grids: dict[str, Grid] = {}
    for first, batch in csv_tables(path):
        columns = wanted(path, batch, _TRADE_COLUMNS)
        has_rpi = _RPI_COLUMN in batch.schema.names
        rpi = batch.column(_RPI_COLUMN).to_pylist() if has_rpi else [""] * batch.num_rows
        for offset, (time, symbol, side, size, price, trade_id, is_rpi) in enumerate(zip(*columns, rpi, strict=True)):
            try:
                grid = grids.get(symbol) or grids.setdefault(symbol, _grid(symbol, instruments, category))
                ts_event = _time(time)
                yield TradePrint(
                    ts_event=ts_event,
                    ts_recv=clock.stamp(ts_event),
                    instrument=grid.instrument,
                    price=grid.ticks(price),
                    size=grid.traded(size),
                    side=_side(side),
                    trade_id=trade_id_number(trade_id),
                    is_rpi=is_rpi in _TRUE,
                )
            except DataError as error:
                raise at_line(path, first + offset, error) from error


def _time(text: str) -> int:
    try:
        return _SECONDS.count(text)
    except DataError as error:
        raise DataError(f"timestamp should be seconds since 1970 with a fraction: {error}") from None


def _side(text: str) -> Side:
    side = _SIDES.get(text)
    if side is None:
        raise DataError(f"side should be Buy or Sell, got {text!r}")
    return side


def _grid(symbol: str, instruments: Mapping[InstrumentId, Instrument], category: Category) -> Grid:
    known = instrument_id(VENUE, category, symbol)
    if known not in instruments:
        raise DataError(f"{known} is not among the instruments given: add it to the instruments file")
    return grid_of(instruments[known])
