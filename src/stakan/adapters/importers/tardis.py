"""Tardis.dev CSVs: `incremental_book_L2` and `trades`."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from stakan.adapters.importers.clock import ReceiveClock, UnitOfTime, at_line
from stakan.adapters.importers.merging import merged
from stakan.adapters.importers.text import csv_tables, first_line, wanted
from stakan.adapters.wire import Grid, grid_of
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AnyMarketEvent, BookDelta, BookSnapshot, TradePrint
from stakan.core.domain.ids import InstrumentId, instrument_id, trade_id_number
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Side

BOOK_COLUMNS = ("exchange", "symbol", "timestamp", "local_timestamp", "is_snapshot", "side", "price", "amount")
TRADE_COLUMNS = ("exchange", "symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount")
_VENUES = {
    "bybit": ("bybit", "linear"),
    "bybit-spot": ("bybit", "spot"),
    "binance-futures": ("binance", "linear"),
    "binance": ("binance", "spot"),
}
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_IS_SNAPSHOT = {"true": True, "false": False}
_IS_BID = {"bid": True, "ask": False}


def events(
    files: Sequence[Path], instruments: Mapping[InstrumentId, Instrument], *, shift: int = 0
) -> Iterator[AnyMarketEvent]:
    """Events of all files, merged by receive time.

    Rows with equal `local_timestamp` and `timestamp` are one book message. The format has no sequence numbers: they
    are counted per file, so that a message left out here would show as a gap while one that the recorder missed does
    not. `shift` is the clock shift in nanoseconds. Raises DataError naming file and line.
    """
    return merged(
        [partial(_books if b"is_snapshot" in first_line(path) else _trades, path, instruments, shift) for path in files]
    )


class _Message:
    """The book message that is being collected; `key` is what its rows have in common."""

    def __init__(self, key: tuple[str, ...], grid: Grid, line: int) -> None:
        self.key = key
        self.grid = grid
        self.line = line
        self._bids: list[tuple[int, int]] = []
        self._asks: list[tuple[int, int]] = []

    def add(self, side: str, price: str, amount: str) -> None:
        if side not in _IS_BID:
            raise DataError(f"side should be bid or ask, got {side!r}")
        rows = self._bids if _IS_BID[side] else self._asks
        rows.append((self.grid.ticks(price), self.grid.lots(amount)))

    def event(self, clock: ReceiveClock, unit: UnitOfTime, sequence: int) -> AnyMarketEvent:
        _, _, event_time, local_time, is_snapshot = self.key
        if is_snapshot not in _IS_SNAPSHOT:
            raise DataError(f"is_snapshot should be true or false, got {is_snapshot!r}")
        make = BookSnapshot if _IS_SNAPSHOT[is_snapshot] else BookDelta
        return make(
            ts_event=unit.nanoseconds(event_time.encode()),
            ts_recv=clock.stamp(unit.nanoseconds(local_time.encode())),
            instrument=self.grid.instrument,
            sequence=sequence,
            previous_sequence=sequence - 1,
            levels=np.array(self._bids + self._asks, np.int64).reshape(-1, 2),
            bid_count=len(self._bids),
        )


def _books(path: Path, instruments: Mapping[InstrumentId, Instrument], shift: int) -> Iterator[AnyMarketEvent]:
    clock, unit = ReceiveClock(shift), UnitOfTime()
    sequences: dict[InstrumentId, int] = {}
    for message in _messages(path, _Lookup(instruments)):
        instrument = message.grid.instrument
        sequences[instrument] = sequences.get(instrument, 0) + 1
        try:
            yield message.event(clock, unit, sequences[instrument])
        except DataError as error:
            raise at_line(path, message.line, error) from error


def _messages(path: Path, lookup: "_Lookup") -> Iterator[_Message]:
    message: _Message | None = None
    for first, batch in csv_tables(path):
        rows = zip(*wanted(path, batch, BOOK_COLUMNS), strict=True)
        for line, (*parts, side, price, amount) in enumerate(rows, first):
            key = tuple(parts)
            if message is not None and key != message.key:
                yield message
                message = None
            try:
                if message is None:
                    message = _Message(key, lookup.grid(key[0], key[1]), line)
                message.add(side, price, amount)
            except DataError as error:
                raise at_line(path, line, error) from error
    if message is not None:
        yield message


def _trades(path: Path, instruments: Mapping[InstrumentId, Instrument], shift: int) -> Iterator[AnyMarketEvent]:
    clock, unit, lookup = ReceiveClock(shift), UnitOfTime(), _Lookup(instruments)
    for first, batch in csv_tables(path):
        rows = zip(*wanted(path, batch, TRADE_COLUMNS), strict=True)
        for line, (exchange, symbol, time, local_time, trade_id, side, price, amount) in enumerate(rows, first):
            try:
                grid = lookup.grid(exchange, symbol)
                yield TradePrint(
                    ts_event=unit.nanoseconds(time.encode()),
                    ts_recv=clock.stamp(unit.nanoseconds(local_time.encode())),
                    instrument=grid.instrument,
                    price=grid.ticks(price),
                    size=grid.traded(amount),
                    side=_side(side),
                    trade_id=trade_id_number(trade_id),
                )
            except DataError as error:
                raise at_line(path, line, error) from error


class _Lookup:
    """Grids by the format's own names of exchange and symbol."""

    def __init__(self, instruments: Mapping[InstrumentId, Instrument]) -> None:
        self._instruments = instruments
        self._grids: dict[tuple[str, str], Grid] = {}

    def grid(self, exchange: str, symbol: str) -> Grid:
        grid = self._grids.get((exchange, symbol))
        if grid is None:
            if exchange not in _VENUES:
                raise DataError(f"exchange {exchange!r} is not known; known are {', '.join(_VENUES)}")
            known = instrument_id(*_VENUES[exchange], symbol.upper())
            if known not in self._instruments:
                raise DataError(f"{known} is not among the instruments given: add it to the instruments file")
            grid = self._grids[exchange, symbol] = grid_of(self._instruments[known])
        return grid


def _side(text: str) -> Side:
    side = _SIDES.get(text)
    if side is None:
        raise DataError(f"side should be buy or sell, got {text!r}")
    return side
