"""Bybit's archive and captures of its sockets."""

import gzip
import json

import pytest

from stakan.adapters.importers import bybit_archive, bybit_capture
from stakan.adapters.instruments import recorded
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import BookDelta, BookSnapshot, TradePrint
from stakan.core.domain.units import Side

MS = 1_000_000
HEADER = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"
ROW = "1764878935.6490,BTCUSDT,Sell,0.014,91778.30,ZeroMinusTick,6d0f7e0e-0000-5000-8000-000000000001,1,1,1"


def a_book(u, kind="delta", ts=1_000, **more):
    data = {"s": "BTCUSDT", "b": [["100.0", "1"]], "a": [["100.1", "1"]], "u": u, "seq": u}
    return {"topic": "orderbook.500.BTCUSDT", "type": kind, "ts": ts, "data": data, **more}


def written(folder, name, rows):
    path = folder / name
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    return path


def archive(*files):
    return list(bybit_archive.events(files, recorded()))


def capture(*files):
    return list(bybit_capture.events(files, recorded()))


def test_books_of_the_archive_are_received_when_they_were_pushed(tmp_path):
    rows = [a_book(1, "snapshot", cts=990), a_book(2, ts=1100, cts=1090), a_book(3, ts=1200)]
    events = archive(written(tmp_path, "day.data", rows))
    assert [type(event) for event in events] == [BookSnapshot, BookDelta, BookDelta]
    assert [event.ts_event for event in events] == [990 * MS, 1090 * MS, 1200 * MS]
    assert [event.ts_recv for event in events] == [1000 * MS, 1100 * MS, 1200 * MS]


def test_trades_of_the_archive_are_read_exactly(tmp_path):
    path = written(tmp_path, "trades.csv.gz", [HEADER, ROW, ROW.replace("Sell", "Buy")])
    first, second = archive(path)
    assert type(first) is TradePrint
    assert (first.ts_event, first.ts_recv) == (1764878935649000000, 1764878935649000000)
    assert (first.price, first.size, first.side, second.side) == (917783, 14, Side.SELL, Side.BUY)
    assert not first.is_rpi


def test_the_rpi_column_is_read_where_there_is_one(tmp_path):
    path = written(tmp_path, "trades.csv", [HEADER + ",RPI", ROW + ",1", ROW + ",0"])
    assert [event.is_rpi for event in archive(path)] == [True, False]


def test_books_and_trades_are_merged_in_order_of_arrival(tmp_path):
    books = written(tmp_path, "day.data", [a_book(u, "snapshot", ts=1764878935000 + u * 300) for u in (1, 2, 3)])
    trades = written(tmp_path, "trades.csv", [HEADER, ROW])
    events = archive(trades, books)
    assert [type(event).__name__ for event in events] == ["BookSnapshot", "BookSnapshot", "TradePrint", "BookSnapshot"]
    assert [event.ts_recv for event in events] == sorted(event.ts_recv for event in events)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([a_book(1), '{"topic":"orderb'], r"bad, line 2: not a book message of the archive"),
        ([a_book(1), "nonsense"], r"bad, line 2: not a book message"),
        ([a_book(1, topic="orderbook.500.PEPEUSDT")], r"bad, line 1: bybit:linear:PEPEUSDT is not among"),
        ([a_book(1, ts=9000), a_book(2, ts=1000)], r"bad, line 2: time goes back by 8\.000 s"),
        ([HEADER.replace("price", "cost"), ROW], r"bad: column price is missing; the file has timestamp, symbol"),
        ([HEADER, ROW, ROW.replace("91778.30", "91778.35")], r"bad, line 3: .*'91778.35' is not a multiple of 0\.1"),
        ([HEADER, ROW.replace("91778.30", "-1")], r"bad, line 2: .*'-1' is negative"),
        ([HEADER, ROW.replace("91778.30", "NaN")], r"bad, line 2: .*'NaN' is not a plain decimal"),
        ([HEADER, ROW.replace("Sell", "Short")], r"bad, line 2: side should be Buy or Sell, got 'Short'"),
        ([HEADER, ROW.replace("BTCUSDT", "PEPEUSDT")], r"bad, line 2: bybit:linear:PEPEUSDT is not among"),
        ([HEADER, ROW, ROW.replace("1764878935", "1764878930")], r"bad, line 3: time goes back"),
        ([HEADER, ROW, ROW[:30]], r"bad, at or after line 2: .*Expected 10 columns, got"),
    ],
)
def test_what_cannot_be_is_refused_by_file_and_line(tmp_path, rows, complaint):
    with pytest.raises(DataError, match=complaint):
        archive(written(tmp_path, "bad", rows))


def a_line(kind="recv", conn="a", ts="1.0", **more):
    return {"t": kind, "conn": conn, "ts": float(ts), **more}


def connect(conn, category, ts="0.5"):
    return a_line("connect", conn, ts, addr=f"wss://stream.bybit.com/v5/public/{category}")


def received(conn, ts, frame):
    return a_line("recv", conn, ts, data=json.dumps(frame))


def test_connections_tell_categories_apart_and_are_merged(tmp_path):
    topic = "orderbook.200.BTCUSDT"
    rows = [
        {"t": "header", "format": 2},
        a_line("http", url="https://x", data="{}"),
        connect("a", "linear"),
        received("a", "1786310819.526357", a_book(1, "snapshot", topic=topic)),
        received("a", "1786310821.5", a_book(2, topic=topic)),
        connect("b", "spot"),
        a_line("send", "b", data="{}"),
        received("b", "1786310820.25", a_book(1, "snapshot", topic=topic)),
        received("b", "1786310820.5", {"success": True, "op": "subscribe"}),
    ]
    events = capture(written(tmp_path, "session.jsonl", rows))
    assert [event.instrument for event in events] == [
        "bybit:linear:BTCUSDT",
        "bybit:spot:BTCUSDT",
        "bybit:linear:BTCUSDT",
    ]
    assert events[0].ts_recv == 1786310819526357000


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([connect("a", "linear"), received("a", "1", a_book(1)), "{torn"], "bad, line 3: not a line of a capture"),
        ([received("z", "1", a_book(1))], "bad, line 1: a frame of connection 'z', which no line before has opened"),
        ([connect("a", "option"), received("a", "1", a_book(1))], "bad, line 1: connection to .*linear or spot"),
        ([connect("a", "linear"), a_line(data="garbage")], "bad, line 2: not a Bybit v5 frame"),
    ],
)
def test_a_capture_that_cannot_be_is_refused_by_file_and_line(tmp_path, rows, complaint):
    with pytest.raises(DataError, match=complaint):
        capture(written(tmp_path, "bad", rows))
