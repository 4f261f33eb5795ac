"""Public topics of Bybit v5: which ones an instrument needs, requests that fit the limits, and their answers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from stakan.core.domain.ids import InstrumentId, split_instrument_id
from stakan.core.domain.instrument import Instrument

MOST_CHARACTERS = 21_000
"""Of all `args` on one public connection (docs of Bybit v5, `ws/connect`)."""
_MOST_ARGUMENTS = 10
"""Of one request: the limit of spot; linear has none, and single requests fail singly."""
_ALREADY = "already subscribed"


class Topics(msgspec.Struct, frozen=True, kw_only=True):
    """What is subscribed to for every instrument."""

    depth: int = 200
    """Levels of the deep book: 50, 200 or 1000."""
    depths: Mapping[str, int] = {}
    """The same for single symbols or instrument ids."""
    best_quotes: bool = True
    """`orderbook.1`."""
    trades: bool = True
    tickers: bool = True
    candles: tuple[str, ...] = ()
    """Intervals of `kline`, e.g. `1` for a minute."""

    def depth_of(self, instrument: InstrumentId) -> int:
        """Levels of the deep book of an instrument."""
        symbol = split_instrument_id(instrument)[2]
        return self.depths.get(instrument, self.depths.get(symbol, self.depth))

    def of(self, instrument: InstrumentId) -> tuple[str, ...]:
        """All topics of an instrument; prints come before the book, so that a book never lives without them."""
        symbol = split_instrument_id(instrument)[2]
        topics = [f"publicTrade.{symbol}"] * self.trades + [f"tickers.{symbol}"] * self.tickers
        topics += [f"orderbook.1.{symbol}"] * self.best_quotes
        topics += [f"kline.{interval}.{symbol}" for interval in self.candles]
        return (*topics, self.book_of(instrument))

    def book_of(self, instrument: InstrumentId) -> str:
        """The topic of the deep book."""
        return f"orderbook.{self.depth_of(instrument)}.{split_instrument_id(instrument)[2]}"


def characters(topics: Iterable[str]) -> int:
    """What topics cost of `MOST_CHARACTERS`: quotes and commas included, brackets not."""
    return sum(len(topic) + 3 for topic in topics)


def parted(instruments: Sequence[Instrument], topics: Topics, most: int) -> Iterator[list[Instrument]]:
    """Instruments as groups of one category, each at most `most` and within the characters of a connection."""
    for category in dict.fromkeys(instrument.category for instrument in instruments):
        group: list[Instrument] = []
        used = 0
        for instrument in instruments:
            if instrument.category is not category:
                continue
            cost = characters(topics.of(instrument.id))
            if group and (len(group) == most or used + cost >= MOST_CHARACTERS):
                yield group
                group, used = [], 0
            group.append(instrument)
            used += cost
        if group:
            yield group


def batches(topics: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Topics in the portions of a request."""
    for start in range(0, len(topics), _MOST_ARGUMENTS):
        yield tuple(topics[start : start + _MOST_ARGUMENTS])


def request(operation: str, req_id: str, topics: Sequence[str]) -> bytes:
    """A `subscribe` or `unsubscribe`."""
    return msgspec.json.encode({"req_id": req_id, "op": operation, "args": topics})


class Answer(msgspec.Struct, frozen=True):
    """A frame that is no data: the answer to a request, or a pong."""

    op: str = ""
    success: bool = True
    ret_msg: str = ""
    req_id: str = ""
    topic: str = ""

    @property
    def is_fine(self) -> bool:
        """Whether what was asked for is so now; what was subscribed already, is."""
        return self.success or _ALREADY in self.ret_msg

    @property
    def is_pong(self) -> bool:
        """Public pongs say op `ping`, private ones `pong`."""
        return self.op == "pong" or self.ret_msg == "pong"


decode_answer = msgspec.json.Decoder(Answer).decode
