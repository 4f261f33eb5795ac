"""A captured Bybit v5 session: JSON lines of what was sent and received on every connection."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from heapq import merge
from operator import itemgetter
from pathlib import Path

import msgspec

from stakan.adapters.exchanges.bybit.decode import BybitDecoder
from stakan.adapters.importers.clock import ReceiveClock, at_line
from stakan.adapters.importers.text import lines
from stakan.adapters.wire import NOT_JSON
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AnyMarketEvent
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import SECOND


class _Line(msgspec.Struct, gc=False):
    """`t` is header, http, connect, send or recv; `ts` seconds, read exactly."""

    t: str
    conn: str = ""
    ts: Decimal = Decimal(0)
    addr: str = ""
    data: str = ""


_decode_line = msgspec.json.Decoder(_Line).decode


def events(
    files: Sequence[Path], instruments: Mapping[InstrumentId, Instrument], *, shift: int = 0
) -> Iterator[AnyMarketEvent]:
    """Events of all connections in order of arrival; the category is that of the connection's address.

    A file may hold one connection after the other: each is in order, and they are merged by receive time (the file is
    read once per connection). `shift` is the session's clock shift in nanoseconds. Raises DataError naming file and
    line where a line is not of that form, a connection was never opened, or a frame cannot be decoded.
    """
    clock = ReceiveClock(shift)
    decoders: dict[str, BybitDecoder] = {}
    for path in files:
        connections = dict.fromkeys(line.conn for _, line in _lines(path) if line.t == "recv")
        streams = [_of_connection(path, connection) for connection in connections]
        for recorded, number, line in merge(*streams, key=itemgetter(0)):
            try:
                if line.t == "connect":
                    decoders[line.conn] = BybitDecoder(instruments, _category(line.addr))
                else:
                    yield from _decoder(decoders, line).decode(line.data.encode(), clock.stamp(recorded))
            except DataError as error:
                raise at_line(path, number, error) from error


def _of_connection(path: Path, connection: str) -> Iterator[tuple[int, int, _Line]]:
    """(receive time, line number, line) of what opens a connection and of what came over it."""
    for number, line in _lines(path):
        if line.conn == connection and line.t in ("connect", "recv"):
            yield int(line.ts * SECOND), number, line


def _lines(path: Path) -> Iterator[tuple[int, _Line]]:
    for number, text in lines(path):
        try:
            yield number, _decode_line(text)
        except NOT_JSON as error:
            raise DataError(f"{path}, line {number}: not a line of a capture: {error}") from error


def _decoder(decoders: dict[str, BybitDecoder], line: _Line) -> BybitDecoder:
    decoder = decoders.get(line.conn)
    if decoder is None:
        raise DataError(f"a frame of connection {line.conn!r}, which no line before has opened")
    return decoder


def _category(address: str) -> Category:
    """`wss://stream.bybit.com/v5/public/linear` is linear."""
    try:
        return Category(address.rpartition("/")[2])
    except ValueError:
        known = " or ".join(Category)
        raise DataError(f"connection to {address!r}: its address should end with {known}") from None
