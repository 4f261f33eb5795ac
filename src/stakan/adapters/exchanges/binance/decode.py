"""Binance streams and REST snapshots of one connection to market events.

Sequence rules of ADR 0002: a USD-M delta follows `pu`, a spot delta follows `U - 1`. Frames that the engine has no use
for (aggregate trades, klines, forced orders) decode to nothing; prints that are no trade in the book (insurance fund,
auto-deleveraging) are left out. A REST snapshot may be older than deltas that came before it, so deltas wait for the
first snapshot and follow it where they go beyond it.
"""

from collections.abc import Mapping, Sequence

import msgspec

from stakan.adapters.wire import NOT_JSON, Id, LevelReader, Millis, exact_number, grid_of
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AnyMarketEvent, BestQuote, BookDelta, BookSnapshot, Ticker, TradePrint
from stakan.core.domain.ids import InstrumentId, instrument_id
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import MILLISECOND, Nanos, Side

VENUE = "binance"
_NOTHING: tuple[AnyMarketEvent, ...] = ()
_IN_THE_BOOK = "MARKET"
_MAX_WAITING = 10_000
"""Deltas that may wait for a snapshot; at a message every 100 ms that is 17 minutes."""


class _Payload(msgspec.Struct, gc=False):
    """The `e`, `s` and times that most streams share; spot's bookTicker has neither `e` nor a time."""

    e: str = ""
    s: str = ""
    E: Millis = 0
    T: Millis = 0


class _Combined(msgspec.Struct, gc=False):
    """A frame of a combined stream, a bare payload, or a REST depth snapshot: told apart by what is there."""

    data: msgspec.Raw = msgspec.Raw(b"")
    lastUpdateId: Id = 0  # noqa: N815 - the venue's name
    E: Millis = 0
    T: Millis = 0


class _Depth(msgspec.Struct, gc=False):
    U: Id
    u: Id
    pu: Id | None = None


class _Trade(msgspec.Struct, gc=False):
    t: Id
    p: str
    q: str
    m: bool
    X: str = _IN_THE_BOOK


class _BookTicker(msgspec.Struct, gc=False):
    u: Id
    b: str
    B: str
    a: str
    A: str


class _MarkPrice(msgspec.Struct, gc=False):
    p: str
    i: str = ""
    r: str = ""
    T: Millis = 0


_decode_combined = msgspec.json.Decoder(_Combined).decode
_decode_payload = msgspec.json.Decoder(_Payload).decode
_decode_depth = msgspec.json.Decoder(_Depth).decode
_decode_trade = msgspec.json.Decoder(_Trade).decode
_decode_book_ticker = msgspec.json.Decoder(_BookTicker).decode
_decode_mark_price = msgspec.json.Decoder(_MarkPrice).decode


class BinanceDecoder:
    """Decodes frames of one connection; the category is the connection's.

    `snapshot_of` is the instrument of REST depth snapshots, which do not name it; where it is None, the one
    instrument given is meant. An event without an exchange time (spot's bookTicker, spot's snapshot) gets the latest
    exchange time seen so far, or its receive time before the first. After a reconnection take a new decoder.
    """

    def __init__(
        self,
        instruments: Mapping[InstrumentId, Instrument],
        category: Category,
        snapshot_of: InstrumentId | None = None,
    ) -> None:
        self._instruments = instruments
        self._category = category
        self._snapshot_of = snapshot_of
        self._readers: dict[str, LevelReader] = {}
        self._latest = 0
        self._waiting: dict[InstrumentId, list[BookDelta]] = {}
        self._has_snapshot: set[InstrumentId] = set()

    @property
    def waiting(self) -> list[InstrumentId]:
        """Instruments whose deltas still wait for their first snapshot."""
        return sorted(self._waiting)

    def decode(self, frame: bytes, ts_recv: int) -> Sequence[AnyMarketEvent]:
        """Events of one frame; raises DataError where it is no JSON or its numbers are not exact on the grid."""
        try:
            outer = _decode_combined(frame)
            if outer.lastUpdateId:
                return self._with_waiting(self._snapshot(frame, outer, ts_recv))
            raw = outer.data or frame
            return self._event(frame, raw, _decode_payload(raw), ts_recv)
        except NOT_JSON as error:
            raise DataError(f"not a Binance frame ({error}): {frame[:120].decode(errors='replace')!r}") from error

    def _event(
        self, frame: bytes, raw: msgspec.Raw | bytes, payload: _Payload, ts_recv: int
    ) -> Sequence[AnyMarketEvent]:
        match payload.e:
            case "depthUpdate":
                return self._unless_waiting(self._delta(frame, raw, payload, ts_recv))
            case "trade":
                return self._print(raw, payload, ts_recv)
            case "bookTicker" | "" if payload.s:
                return (self._quote(raw, payload, ts_recv),)
            case "markPriceUpdate":
                return (self._ticker(raw, payload, ts_recv),)
            case _:
                return _NOTHING

    def _snapshot(self, frame: bytes, outer: _Combined, ts_recv: int) -> BookSnapshot:
        reader = self._reader(self._snapshot_symbol())
        levels, bid_count, _ = reader.read(frame)
        return BookSnapshot(
            ts_event=self._time(outer.T or outer.E, ts_recv),
            ts_recv=ts_recv,
            instrument=reader.grid.instrument,
            sequence=outer.lastUpdateId,
            previous_sequence=0,
            levels=levels,
            bid_count=bid_count,
        )

    def _with_waiting(self, snapshot: BookSnapshot) -> Sequence[AnyMarketEvent]:
        """A snapshot and the deltas that waited for it, as of now."""
        self._has_snapshot.add(snapshot.instrument)
        waited = self._waiting.pop(snapshot.instrument, [])
        later = [delta for delta in waited if delta.sequence > snapshot.sequence]
        return [snapshot, *(msgspec.structs.replace(delta, ts_recv=snapshot.ts_recv) for delta in later)]

    def _unless_waiting(self, delta: BookDelta) -> Sequence[AnyMarketEvent]:
        if delta.instrument in self._has_snapshot:
            return (delta,)
        waiting = self._waiting.setdefault(delta.instrument, [])
        if len(waiting) >= _MAX_WAITING:
            raise DataError(f"{delta.instrument}: no depth snapshot among {_MAX_WAITING} depth messages: record one")
        waiting.append(delta)
        return _NOTHING

    def _delta(self, frame: bytes, raw: msgspec.Raw | bytes, payload: _Payload, ts_recv: int) -> BookDelta:
        depth = _decode_depth(raw)
        reader = self._reader(payload.s)
        levels, bid_count, _ = reader.read(frame)
        return BookDelta(
            ts_event=self._time(payload.T or payload.E, ts_recv),
            ts_recv=ts_recv,
            instrument=reader.grid.instrument,
            sequence=depth.u,
            previous_sequence=depth.U - 1 if depth.pu is None else depth.pu,
            levels=levels,
            bid_count=bid_count,
        )

    def _print(self, raw: msgspec.Raw | bytes, payload: _Payload, ts_recv: int) -> Sequence[AnyMarketEvent]:
        trade = _decode_trade(raw)
        if trade.X != _IN_THE_BOOK:
            return _NOTHING
        grid = self._reader(payload.s).grid
        return (
            TradePrint(
                ts_event=self._time(payload.T or payload.E, ts_recv),
                ts_recv=ts_recv,
                instrument=grid.instrument,
                price=grid.ticks(trade.p),
                size=grid.traded(trade.q),
                side=Side.SELL if trade.m else Side.BUY,
                trade_id=trade.t,
            ),
        )

    def _quote(self, raw: msgspec.Raw | bytes, payload: _Payload, ts_recv: int) -> BestQuote:
        quote = _decode_book_ticker(raw)
        grid = self._reader(payload.s).grid
        return BestQuote(
            ts_event=self._time(payload.T or payload.E, ts_recv),
            ts_recv=ts_recv,
            instrument=grid.instrument,
            sequence=quote.u,
            bid_price=grid.ticks(quote.b),
            bid_size=grid.lots(quote.B),
            ask_price=grid.ticks(quote.a),
            ask_size=grid.lots(quote.A),
        )

    def _ticker(self, raw: msgspec.Raw | bytes, payload: _Payload, ts_recv: int) -> Ticker:
        """Here `T` is the next funding, not the time of the event."""
        mark = _decode_mark_price(raw)
        return Ticker(
            ts_event=self._time(payload.E, ts_recv),
            ts_recv=ts_recv,
            instrument=self._reader(payload.s).grid.instrument,
            mark=exact_number(mark.p),
            index=exact_number(mark.i),
            funding_rate=exact_number(mark.r),
            next_funding_ts=Nanos(mark.T * MILLISECOND) if mark.T else None,
        )

    def _time(self, milliseconds: int, ts_recv: int) -> int:
        if milliseconds:
            ts_event = milliseconds * MILLISECOND
            self._latest = max(self._latest, ts_event)
            return ts_event
        return self._latest or ts_recv

    def _snapshot_symbol(self) -> str:
        if self._snapshot_of is not None:
            return self._snapshot_of.rpartition(":")[2]
        if len(self._instruments) != 1:
            raise DataError("a depth snapshot names no symbol: say which instrument it is of")
        return next(iter(self._instruments)).rpartition(":")[2]

    def _reader(self, symbol: str) -> LevelReader:
        reader = self._readers.get(symbol)
        if reader is None:
            wanted = instrument_id(VENUE, self._category, symbol)
            instrument = self._instruments.get(wanted)
            if instrument is None:
                raise DataError(f"{wanted} is not among the instruments given: add it to the instruments file")
            reader = self._readers[symbol] = LevelReader(grid_of(instrument))
        return reader
