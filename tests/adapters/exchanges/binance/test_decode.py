"""Binance's rules of sequence are reduced to the one that the book knows."""

import json
from decimal import Decimal

import pytest

from stakan.adapters.exchanges.binance.decode import BinanceDecoder
from stakan.adapters.instruments import recorded
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import BestQuote, BookDelta, BookSnapshot, Ticker, TradePrint
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Category
from stakan.core.domain.units import Side
from stakan.core.market.book import Book, BookState

MS = 1_000_000
BTC = InstrumentId("binance:linear:BTCUSDT")
NEXO = InstrumentId("binance:spot:NEXOUSDT")


def futures():
    return BinanceDecoder(recorded(), Category.LINEAR, snapshot_of=BTC)


def spot():
    return BinanceDecoder(recorded(), Category.SPOT, snapshot_of=NEXO)


def send(decoder, frame, ts_recv=5):
    return list(decoder.decode(json.dumps(frame).encode(), ts_recv))


def stream(**data):
    return {"stream": "btcusdt@x", "data": data}


def a_snapshot(last=100):
    return {"lastUpdateId": last, "E": 20, "T": 10, "bids": [["100.00", "1.0"]], "asks": [["100.10", "2.0"]]}


def a_delta(first, last, previous=None, **more):
    pu = {} if previous is None else {"pu": previous, "T": 30}
    return stream(e="depthUpdate", E=31, s=more.get("s", "BTCUSDT"), U=first, u=last, b=[["100.00", "3.0"]], a=[], **pu)


def test_a_futures_delta_follows_pu_and_a_spot_delta_the_id_before_its_first():
    decoder = futures()
    send(decoder, a_snapshot())
    (delta,) = send(decoder, a_delta(95, 105, previous=94))
    assert (delta.previous_sequence, delta.sequence, delta.ts_event) == (94, 105, 30 * MS)
    decoder = spot()
    send(decoder, {"lastUpdateId": 7, "bids": [["1.000", "1"]], "asks": []})
    (delta,) = send(decoder, a_delta(8, 9, s="NEXOUSDT") | {"stream": "x"})
    assert (delta.previous_sequence, delta.sequence, delta.ts_event) == (7, 9, 31 * MS)


def test_deltas_wait_for_the_snapshot_and_the_later_ones_follow_it():
    """The stream is faster than the request: what covers the snapshot's id has come before it."""
    decoder = futures()
    assert send(decoder, a_delta(80, 90, previous=79), 1) == []
    assert send(decoder, a_delta(91, 105, previous=90), 2) == []
    assert send(decoder, a_delta(106, 110, previous=105), 3) == []
    assert decoder.waiting == [BTC]
    events = send(decoder, a_snapshot(100), 4)
    assert [type(event) for event in events] == [BookSnapshot, BookDelta, BookDelta]
    assert [event.ts_recv for event in events] == [4, 4, 4]
    assert decoder.waiting == []
    book = Book(instrument=BTC)
    events += send(decoder, a_delta(111, 120, previous=110), 5)
    assert [book.apply(event) for event in events] == [None] * 4
    assert (book.state, book.sequence) == (BookState.LIVE, 120)


def test_a_first_spot_delta_may_overlap_the_snapshot():
    decoder = spot()
    snapshot = {"lastUpdateId": 100, "bids": [["1.000", "1"]], "asks": [["1.100", "1"]]}
    deltas = [
        stream(e="depthUpdate", E=1, s="NEXOUSDT", U=first, u=last, b=[], a=[["1.100", "2"]])
        for first, last in ((90, 99), (98, 103), (104, 104))
    ]
    book = Book(instrument=NEXO)
    for frame in (snapshot, *deltas):
        for event in send(decoder, frame):
            assert book.apply(event) is None
    assert (book.sequence, book.stale, book.gaps) == (104, 1, 0)


def test_a_session_that_never_gets_its_snapshot_is_refused_in_time():
    decoder = futures()
    frame = json.dumps(a_delta(1, 2, previous=0)).encode()
    for _ in range(10_000):
        decoder.decode(frame, 1)
    with pytest.raises(DataError, match="no depth snapshot among 10000 depth messages"):
        decoder.decode(frame, 1)


def test_a_quote_without_a_time_has_the_latest_exchange_time():
    decoder = spot()
    quote = stream(u=5, s="NEXOUSDT", b="1.21400000", B="63.38", a="1.21600000", A="62.53")
    (event,) = send(decoder, quote, ts_recv=77)
    assert type(event) is BestQuote
    assert (event.bid_price, event.bid_size, event.ask_price, event.sequence) == (1214, 6338, 1216, 5)
    assert event.ts_event == 77
    send(decoder, stream(e="trade", E=9, T=8, s="NEXOUSDT", t=1, p="1.2", q="1", m=True))
    (event,) = send(decoder, quote, ts_recv=78)
    assert event.ts_event == 8 * MS


def test_prints_have_the_takers_side_and_only_those_of_the_book_count():
    decoder = futures()
    trade = {"e": "trade", "E": 9, "T": 8, "s": "BTCUSDT", "t": 42, "p": "100.10", "q": "0.5", "m": True}
    (event,) = send(decoder, stream(**trade, X="MARKET"))
    assert type(event) is TradePrint
    assert (event.side, event.price, event.size, event.trade_id) == (Side.SELL, 1001, 500, 42)
    assert send(decoder, stream(**trade, X="INSURANCE_FUND")) == []


def test_the_mark_price_is_of_now_and_its_funding_of_later():
    mark = stream(e="markPriceUpdate", E=9, s="BTCUSDT", p="100.12345678", i="", r="0.0001", T=28800000)
    (event,) = send(futures(), mark)
    assert type(event) is Ticker
    assert (event.ts_event, event.next_funding_ts) == (9 * MS, 28800000 * MS)
    assert (event.mark, event.index, event.funding_rate) == (Decimal("100.12345678"), None, Decimal("0.0001"))


def test_other_streams_are_nothing_and_bare_payloads_are_read():
    assert send(futures(), stream(e="aggTrade", E=1, s="BTCUSDT", a=1, p="1", q="1")) == []
    assert send(futures(), {"result": None, "id": 1}) == []
    assert len(send(futures(), a_delta(1, 2, previous=0)["data"])) == 0
    bare = {"e": "bookTicker", "u": 1, "s": "BTCUSDT", "b": "1.0", "B": "1", "a": "1.1", "A": "1", "T": 3, "E": 4}
    assert [event.ts_event for event in send(futures(), bare)] == [3 * MS]


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (b"nonsense", "not a Binance frame"),
        (b'{"data":{"e":"trade","s":"BTCUSDT","t":1,"p":"1.05","q":"1","m":true}}', "price '1.05' is not a multiple"),
        (b'{"data":{"e":"trade","s":"ABCUSDT","t":1,"p":"1","q":"1","m":true}}', "binance:linear:ABCUSDT is not among"),
        (b'{"data":{"e":"depthUpdate","s":"BTCUSDT","b":[],"a":[]}}', "missing required field `U`"),
        (b'{"data":{"e":"markPriceUpdate","s":"BTCUSDT","p":"Infinity"}}', "not a finite number"),
    ],
)
def test_what_cannot_be_is_refused(frame, complaint):
    with pytest.raises(DataError, match=complaint):
        futures().decode(frame, 1)


def test_a_snapshot_needs_to_know_whose_it_is():
    with pytest.raises(DataError, match="say which instrument"):
        send(BinanceDecoder(recorded(), Category.LINEAR), a_snapshot())
    alone = BinanceDecoder({BTC: recorded()[BTC]}, Category.LINEAR)
    (event,) = send(alone, a_snapshot())
    assert (event.instrument, event.sequence, event.ts_event) == (BTC, 100, 10 * MS)
