"""Bybit v5 public frames to market events: one decoder per connection, live and recorded alike.

Frames that carry nothing for the engine (acknowledgements, pongs, liquidations, price limits, RPI books) decode to
an empty list.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TypeVar

import msgspec

from stakan.adapters.wire import NOT_JSON, Grid, LevelReader, Millis, exact_number, grid_of
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import (
    AnyMarketEvent,
    BestQuote,
    BookDelta,
    BookSnapshot,
    Candle,
    Ticker,
    TradePrint,
)
from stakan.core.domain.ids import InstrumentId, instrument_id, trade_id_number
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import MILLISECOND, Lots, Nanos, Side, Ticks

VENUE = "bybit"
_NOTHING: tuple[AnyMarketEvent, ...] = ()
_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
_MILLIS_DIGITS = 13
_RESTART = 1
"""`u` of the snapshot that follows a restart of the service; it may call itself a delta."""

T = TypeVar("T")


class _Frame(msgspec.Struct, gc=False):
    topic: str = ""
    type: str = ""
    ts: Millis = 0
    cts: Millis = 0
    data: msgspec.Raw = msgspec.Raw(b"")


class _Trade(msgspec.Struct, gc=False):
    T: Millis
    S: str
    v: str
    p: str
    i: str
    RPI: bool = False
    BT: bool = False


class _Kline(msgspec.Struct, gc=False):
    start: Millis
    end: Millis
    open: str
    high: str
    low: str
    close: str
    volume: str
    turnover: str
    confirm: bool
    timestamp: Millis = 0


class _TickerData(msgspec.Struct, gc=False, rename="camel"):
    mark_price: str = ""
    index_price: str = ""
    last_price: str = ""
    funding_rate: str = ""
    next_funding_time: str = ""
    open_interest: str = ""


_decode_frame = msgspec.json.Decoder(_Frame).decode
_decode_trades = msgspec.json.Decoder(list[_Trade]).decode
_decode_klines = msgspec.json.Decoder(list[_Kline]).decode
_decode_ticker = msgspec.json.Decoder(_TickerData).decode

_Route = Callable[[bytes, _Frame, int], Sequence[AnyMarketEvent]]


class BybitDecoder:
    """Decodes the frames of one connection; the category is the connection's, since frames do not say it.

    One instrument may have one deep book stream (50, 200, 500 or 1000 levels); `orderbook.1` becomes best quotes.
    """

    def __init__(self, instruments: Mapping[InstrumentId, Instrument], category: Category, venue: str = VENUE) -> None:
        self._instruments = instruments
        self._category = category
        self._venue = venue
        self._routes: dict[str, _Route] = {}
        self._book_topics: dict[InstrumentId, str] = {}

    def decode(self, frame: bytes, ts_recv: int) -> Sequence[AnyMarketEvent]:
        """Events of one frame, in the venue's order.

        Raises DataError where it is no JSON, its numbers are not exact on the instrument's grid, or the instrument
        is not among those given.
        """
        try:
            envelope = _decode_frame(frame)
        except NOT_JSON as error:
            raise DataError(f"not a Bybit v5 frame ({error}): {_shorten(frame)}") from error
        route = self._routes.get(envelope.topic)
        if route is None:
            route = self._routes[envelope.topic] = self._route(envelope.topic)
        return route(frame, envelope, ts_recv)

    def _route(self, topic: str) -> _Route:
        parts = topic.split(".")
        match parts[0]:
            case "orderbook" if len(parts) == 3 and parts[1].isdigit():
                grid = self._grid(parts[2])
                if parts[1] == "1":
                    return _quotes(grid)
                other = self._book_topics.setdefault(grid.instrument, topic)
                if other != topic:
                    raise DataError(f"{topic} and {other} are two books of one instrument: subscribe to one depth")
                return _books(grid)
            case "publicTrade" if len(parts) == 2:
                return _trades(self._grid(parts[1]))
            case "kline" if len(parts) == 3:
                return _candles(self._grid(parts[2]))
            case "tickers" if len(parts) == 2:
                return _tickers(self._grid(parts[1]).instrument)
            case _:
                return _nothing

    def _grid(self, symbol: str) -> Grid:
        wanted = instrument_id(self._venue, self._category, symbol)
        instrument = self._instruments.get(wanted)
        if instrument is None:
            raise DataError(f"{wanted} is not among the instruments given: add it to the instruments file")
        return grid_of(instrument)


def _nothing(_frame: bytes, _envelope: _Frame, _ts_recv: int) -> Sequence[AnyMarketEvent]:
    return _NOTHING


def _books(grid: Grid) -> _Route:
    """Deltas and snapshots; the state is of `cts`, the matching engine's time."""
    read = LevelReader(grid).read
    instrument = grid.instrument

    def route(frame: bytes, envelope: _Frame, ts_recv: int) -> Sequence[AnyMarketEvent]:
        levels, bid_count, update_id = read(frame)
        if update_id < 0:
            raise _without_id(instrument, frame)
        is_delta = envelope.type == "delta" and update_id != _RESTART
        make = BookDelta if is_delta else BookSnapshot
        return (
            make(
                ts_event=(envelope.cts or envelope.ts) * MILLISECOND,
                ts_recv=ts_recv,
                instrument=instrument,
                sequence=update_id,
                previous_sequence=update_id - 1,
                levels=levels,
                bid_count=bid_count,
            ),
        )

    return route


def _quotes(grid: Grid) -> _Route:
    """`orderbook.1`: a side that is empty has price and size 0."""
    read = LevelReader(grid).read

    def route(frame: bytes, envelope: _Frame, ts_recv: int) -> Sequence[AnyMarketEvent]:
        levels, bid_count, update_id = read(frame)
        if update_id < 0:
            raise _without_id(grid.instrument, frame)
        bid = levels[0].tolist() if bid_count else (0, 0)
        ask = levels[bid_count].tolist() if len(levels) > bid_count else (0, 0)
        return (
            BestQuote(
                ts_event=(envelope.cts or envelope.ts) * MILLISECOND,
                ts_recv=ts_recv,
                instrument=grid.instrument,
                sequence=update_id,
                bid_price=Ticks(bid[0]),
                bid_size=Lots(bid[1]),
                ask_price=Ticks(ask[0]),
                ask_size=Lots(ask[1]),
            ),
        )

    return route


def _trades(grid: Grid) -> _Route:
    """Trade prints; block trades are marked like RPI ones, because neither takes from the visible book."""

    def route(_frame: bytes, envelope: _Frame, ts_recv: int) -> Sequence[AnyMarketEvent]:
        return [
            TradePrint(
                ts_event=row.T * MILLISECOND,
                ts_recv=ts_recv,
                instrument=grid.instrument,
                price=grid.ticks(row.p),
                size=grid.traded(row.v),
                side=_side(row.S, grid.instrument),
                trade_id=trade_id_number(row.i),
                is_rpi=row.RPI or row.BT,
            )
            for row in _data(_decode_trades, envelope)
        ]

    return route


def _candles(grid: Grid) -> _Route:
    """Bars of the venue. An open one has the time of its last match, so that no event lies in the future."""

    def candle(row: _Kline, envelope: _Frame, ts_recv: int) -> Candle:
        end = (row.end + 1) * MILLISECOND
        return Candle(
            ts_event=end if row.confirm else min(end, (row.timestamp or envelope.ts) * MILLISECOND),
            ts_recv=ts_recv,
            instrument=grid.instrument,
            interval_ns=Nanos(end - row.start * MILLISECOND),
            open_ts=Nanos(row.start * MILLISECOND),
            open=grid.ticks(row.open),
            high=grid.ticks(row.high),
            low=grid.ticks(row.low),
            close=grid.ticks(row.close),
            volume=grid.lots(row.volume),
            turnover=exact_number(row.turnover) or Decimal(0),
            is_closed=row.confirm,
        )

    def route(_frame: bytes, envelope: _Frame, ts_recv: int) -> Sequence[AnyMarketEvent]:
        return [candle(row, envelope, ts_recv) for row in _data(_decode_klines, envelope)]

    return route


def _tickers(instrument: InstrumentId) -> _Route:
    """Changed fields only; a message that changes none that we keep (best prices, day statistics) is nothing."""

    def route(_frame: bytes, envelope: _Frame, ts_recv: int) -> Sequence[AnyMarketEvent]:
        data = _data(_decode_ticker, envelope)
        if not (
            data.mark_price
            or data.index_price
            or data.last_price
            or data.funding_rate
            or data.next_funding_time
            or data.open_interest
        ):
            return _NOTHING
        return (
            Ticker(
                ts_event=envelope.ts * MILLISECOND,
                ts_recv=ts_recv,
                instrument=instrument,
                mark=exact_number(data.mark_price),
                index=exact_number(data.index_price),
                last=exact_number(data.last_price),
                funding_rate=exact_number(data.funding_rate),
                next_funding_ts=_funding_time(data.next_funding_time),
                open_interest=exact_number(data.open_interest),
            ),
        )

    return route


def _data(decode: Callable[[msgspec.Raw], T], envelope: _Frame) -> T:
    try:
        return decode(envelope.data)
    except NOT_JSON as error:
        raise DataError(f"{envelope.topic}: {error}") from error


def _funding_time(text: str) -> Nanos | None:
    if not text:
        return None
    if not text.isdigit() or len(text) > _MILLIS_DIGITS:
        raise DataError(f"nextFundingTime should be milliseconds, got {text!r}")
    return Nanos(int(text) * MILLISECOND)


def _side(text: str, instrument: InstrumentId) -> Side:
    side = _SIDES.get(text)
    if side is None:
        raise DataError(f"{instrument}: side should be Buy or Sell, got {text!r}")
    return side


def _without_id(instrument: InstrumentId, frame: bytes) -> DataError:
    return DataError(f"{instrument}: a book message without u: {_shorten(frame)}")


def _shorten(frame: bytes) -> str:
    return repr(frame[:120].decode(errors="replace"))
