"""Tardis CSVs: rows of equal times are one message."""

import gzip

import pytest

from stakan.adapters.importers import tardis
from stakan.adapters.instruments import recorded
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import BookDelta, BookSnapshot, TradePrint
from stakan.core.domain.units import Side
from stakan.core.market.book import Book, BookState

HEADER = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
TRADES = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
START = 1_680_652_700_000_000


def a_row(after=0, side="bid", price="100.0", amount="1", snapshot="false", exchange="bybit", symbol="BTCUSDT"):
    return f"{exchange},{symbol},{START + after},{START + after + 50},{snapshot},{side},{price},{amount}"


def a_trade(after=0, side="buy", trade_id="7"):
    return f"binance-futures,BTCUSDT,{START + after},{START + after + 50},{trade_id},{side},100.1,0.5"


BOOK = [
    a_row(0, "bid", "100.0", "1", "true"),
    a_row(0, "ask", "100.1", "2", "true"),
    a_row(10, "ask", "100.1", "0"),
    a_row(10, "bid", "99.9", "0.004"),
    a_row(10, "ask", "100.2", "1"),
    a_row(20, "bid", "99.9", "0"),
]


def written(folder, name, *rows):
    path = folder / name
    path.write_bytes(gzip.compress(("\n".join(rows) + "\n").encode()))
    return path


def read(*files, shift=0):
    return list(tardis.events(files, recorded(), shift=shift))


def test_rows_of_equal_times_are_one_message(tmp_path):
    events = read(written(tmp_path, "book.csv.gz", HEADER, *BOOK))
    assert [type(event) for event in events] == [BookSnapshot, BookDelta, BookDelta]
    assert [(event.sequence, event.previous_sequence) for event in events] == [(1, 0), (2, 1), (3, 2)]
    assert events[1].levels.tolist() == [[999, 4], [1001, 0], [1002, 1000]]
    assert events[1].bid_count == 1
    assert (events[1].ts_event, events[1].ts_recv) == ((START + 10) * 1000, (START + 60) * 1000)
    book = Book(instrument=events[0].instrument)
    assert [book.apply(event) for event in events] == [None] * 3
    assert (book.state, book.best_bid, book.best_ask) == (BookState.LIVE, 1000, 1002)


def test_books_and_trades_are_merged_and_shifted(tmp_path):
    book = written(tmp_path, "book.csv.gz", HEADER, *BOOK)
    prints = written(tmp_path, "trades.csv.gz", TRADES, a_trade(5), a_trade(15, "sell", "abc"))
    events = read(book, prints, shift=1000)
    assert [type(event).__name__[0] for event in events] == ["B", "T", "B", "T", "B"]
    first, second = (event for event in events if type(event) is TradePrint)
    assert (first.instrument, first.price, first.size) == ("binance:linear:BTCUSDT", 1001, 500)
    assert (first.side, second.side, first.trade_id) == (Side.BUY, Side.SELL, 7)
    assert first.ts_recv == (START + 55) * 1000 + 1000


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([HEADER.replace("amount", "size"), a_row()], "bad: column amount is missing"),
        ([HEADER, a_row(price="-5")], r"bad, line 2: .*'-5' is negative"),
        ([HEADER, a_row(), a_row(price="nan")], r"bad, line 3: .*'nan' is not a plain decimal"),
        ([HEADER, a_row(side="left")], "bad, line 2: side should be bid or ask, got 'left'"),
        ([HEADER, a_row(snapshot="maybe")], "bad, line 2: is_snapshot should be true or false, got 'maybe'"),
        ([HEADER, a_row(exchange="mtgox")], "bad, line 2: exchange 'mtgox' is not known"),
        ([HEADER, a_row(symbol="PEPEUSDT")], "bad, line 2: bybit:linear:PEPEUSDT is not among"),
        ([HEADER, a_row(), a_row(5).replace(f"{START + 5}", "17")], "bad, line 3: b'17' is no time"),
        ([HEADER, a_row(), a_row(5).replace(f"{START + 5}", f"{START}000")], "bad, line 3: the session mixes units"),
        ([HEADER, a_row(9_000_000), a_row(0), a_row(1)], "bad, line .: time goes back"),
        ([HEADER, a_row()[:20]], "bad, at or after line 2: .*Expected 8 columns"),
        ([TRADES, a_trade(side="unknown")], "bad, line 2: side should be buy or sell, got 'unknown'"),
    ],
)
def test_what_cannot_be_is_refused_by_file_and_line(tmp_path, rows, complaint):
    with pytest.raises(DataError, match=complaint):
        read(written(tmp_path, "bad", *rows))
