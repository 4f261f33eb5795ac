"""Bybit v5 frames decode to events, whatever the order of their keys."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stakan.adapters.exchanges.bybit.decode import BybitDecoder
from stakan.adapters.exchanges.bybit.instruments import decode_instruments
from stakan.adapters.instruments import recorded
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import BestQuote, BookDelta, BookSnapshot, Candle, Ticker, TradePrint
from stakan.core.domain.instrument import Category
from stakan.core.domain.units import MINUTE, Side

MS = 1_000_000


def a_decoder(category=Category.LINEAR):
    return BybitDecoder(recorded(), category)


def a_book(kind="delta", u=12, topic="orderbook.200.BTCUSDT", **more):
    return {
        "topic": topic,
        "type": kind,
        "ts": 1790000000120,
        "data": {"s": "BTCUSDT", "b": [["63999.90", "0.31"]], "a": [["64000.00", "0"]], "u": u, "seq": 9},
        "cts": 1790000000118,
        **more,
    }


def decode(frame, category=Category.LINEAR, ts_recv=5):
    return list(a_decoder(category).decode(json.dumps(frame).encode(), ts_recv))


def test_a_delta_carries_ticks_lots_sequence_and_both_times():
    (event,) = decode(a_book())
    assert type(event) is BookDelta
    assert event.instrument == "bybit:linear:BTCUSDT"
    assert (event.sequence, event.previous_sequence, event.bid_count) == (12, 11, 1)
    assert event.levels.tolist() == [[639999, 310], [640000, 0]]
    assert (event.ts_event, event.ts_recv) == (1790000000118 * MS, 5)


def test_book_time_falls_back_to_ts():
    frame = a_book()
    del frame["cts"]
    (event,) = decode(frame)
    assert event.ts_event == 1790000000120 * MS


@pytest.mark.parametrize("kind", ["snapshot", "delta"])
def test_update_id_1_is_a_snapshot_whatever_it_calls_itself(kind):
    (event,) = decode(a_book(kind, u=1))
    assert type(event) is BookSnapshot


def test_the_category_is_the_connections():
    (event,) = decode(a_book(), Category.SPOT)
    assert event.instrument == "bybit:spot:BTCUSDT"
    assert event.levels.tolist() == [[639999, 310000], [640000, 0]]


@given(data=st.data())
@settings(max_examples=40)
def test_the_order_of_keys_means_nothing(data):
    frame = a_book()
    inner = data.draw(st.permutations(list(frame["data"])))
    outer = data.draw(st.permutations(list(frame)))
    frame["data"] = {key: frame["data"][key] for key in inner}
    (plain,) = decode(a_book())
    (event,) = decode({key: frame[key] for key in outer})
    assert event.levels.tolist() == plain.levels.tolist()
    assert (event.sequence, event.bid_count, event.ts_event) == (plain.sequence, plain.bid_count, plain.ts_event)


def test_the_first_level_is_a_quote_and_an_empty_side_is_zero():
    frame = a_book("snapshot", topic="orderbook.1.BTCUSDT")
    (event,) = decode(frame)
    assert type(event) is BestQuote
    assert (event.bid_price, event.bid_size, event.ask_price, event.ask_size) == (639999, 310, 640000, 0)
    frame["data"]["b"] = []
    (event,) = decode(frame)
    assert (event.bid_price, event.bid_size, event.ask_price) == (0, 0, 640000)


def test_two_deep_books_of_one_instrument_are_refused():
    decoder = a_decoder()
    decoder.decode(json.dumps(a_book()).encode(), 1)
    with pytest.raises(DataError, match="two books of one instrument"):
        decoder.decode(json.dumps(a_book(topic="orderbook.50.BTCUSDT")).encode(), 1)


def test_trades_have_the_takers_side_and_hidden_liquidity_is_marked():
    row = {"T": 1, "s": "BTCUSDT", "S": "Sell", "v": "0.010", "p": "64000.00", "i": "77", "BT": False, "seq": 3}
    rows = [row, {**row, "S": "Buy", "RPI": True}, {**row, "BT": True, "i": "6d0f7e0e-0000-5000-8000-000000000001"}]
    events = decode({"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 2, "data": rows})
    assert all(type(event) is TradePrint for event in events)
    assert [event.side for event in events] == [Side.SELL, Side.BUY, Side.SELL]
    assert [event.is_rpi for event in events] == [False, True, True]
    assert (events[0].price, events[0].size, events[0].trade_id, events[0].ts_event) == (640000, 10, 77, MS)


def test_a_closed_candle_happens_at_its_end_and_an_open_one_at_its_last_match():
    row = {
        "start": 1790000040000, "end": 1790000099999, "interval": "1", "open": "64010", "close": "64000",
        "high": "64021.5", "low": "63990", "volume": "31.2", "turnover": "1996900.1", "confirm": True,
        "timestamp": 1790000071000,
    }  # fmt: skip
    frame = {"topic": "kline.1.BTCUSDT", "data": [row, {**row, "confirm": False}], "ts": 1790000100100}
    closed, still_open = decode(frame)
    assert type(closed) is Candle
    assert (closed.ts_event, closed.interval_ns) == (1790000100000 * MS, MINUTE)
    assert (closed.high, closed.volume, closed.turnover) == (640215, 31200, Decimal("1996900.1"))
    assert (still_open.ts_event, still_open.is_closed) == (1790000071000 * MS, False)


def test_a_ticker_carries_what_changed_and_empty_strings_are_nothing():
    data = {"symbol": "BTCUSDT", "markPrice": "64003.11", "fundingRate": "", "nextFundingTime": "1790006400000"}
    (event,) = decode({"topic": "tickers.BTCUSDT", "type": "delta", "data": data, "cs": 1, "ts": 7})
    assert type(event) is Ticker
    assert (event.mark, event.funding_rate, event.index) == (Decimal("64003.11"), None, None)
    assert event.next_funding_ts == 1790006400000 * MS


@pytest.mark.parametrize(
    "frame",
    [
        {"success": True, "ret_msg": "", "conn_id": "3cd84cb1", "req_id": "a1", "op": "subscribe"},
        {"success": True, "ret_msg": "pong", "op": "ping"},
        {"req_id": "test", "op": "pong", "args": ["1675418560633"], "conn_id": "x"},
        {"topic": "tickers.BTCUSDT", "type": "delta", "data": {"bid1Price": "1", "bid1Size": "2"}, "ts": 1},
        {"topic": "allLiquidation.BTCUSDT", "type": "snapshot", "ts": 1, "data": [{"T": 1, "s": "BTCUSDT"}]},
        {"topic": "orderbook.rpi.BTCUSDT", "type": "delta", "ts": 1, "data": {"b": [["1", "0", "2"]], "a": []}},
    ],
)
def test_what_the_engine_has_no_use_for_decodes_to_nothing(frame):
    assert decode(frame) == []


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (b"{torn", "not a Bybit v5 frame"),
        (json.dumps(a_book(topic="orderbook.200.PEPEUSDT")).encode(), "bybit:linear:PEPEUSDT is not among"),
        (b'{"topic":"orderbook.200.BTCUSDT","type":"delta","data":{"b":[],"a":[]}}', "without u"),
        (b'{"topic":"orderbook.1.BTCUSDT","type":"snapshot","data":{"b":[],"a":[]}}', "without u"),
        (b'{"topic":"publicTrade.BTCUSDT","data":[{"T":1}]}', r"publicTrade\.BTCUSDT: .*missing required field"),
        (b'{"topic":"publicTrade.BTCUSDT","data":[{"T":1,"S":"Up","v":"1","p":"1","i":"1"}]}', "Buy or Sell"),
        (b'{"topic":"tickers.BTCUSDT","data":{"markPrice":"NaN"}}', "not a finite number"),
        (b'{"topic":"tickers.BTCUSDT","data":{"markPrice":"x"}}', "not a number"),
    ],
)
def test_what_cannot_be_is_refused(frame, complaint):
    with pytest.raises(DataError, match=complaint):
        a_decoder().decode(frame, 1)


def test_a_refused_instruments_reply_is_an_error():
    with pytest.raises(DataError, match="10001 bad"):
        decode_instruments(b'{"retCode":10001,"retMsg":"bad","result":{}}')
    with pytest.raises(DataError, match="only linear, spot are known"):
        decode_instruments(b'{"retCode":0,"result":{"category":"option","list":[]}}')
    with pytest.raises(DataError, match=r"row 0: .*symbol"):
        decode_instruments(b'{"retCode":0,"result":{"category":"spot","list":[{}]}}')


@pytest.mark.recorded
def test_recorded_payloads_of_the_public_topics_decode(recorded):
    kinds = set()
    for name in ("orderbook__1", "trade__1", "kline__1", "ticker__2", "orderbook-rpi__3", "all-liquidation__1"):
        text = (recorded / "bybit-vectors" / "bybit-docs" / f"websocket__public__{name}.json").read_bytes()
        # The documented trade is on the spot grid only, the kline of 2022 on the linear one.
        kinds |= {type(event) for event in a_decoder().decode(text, 1)}
    assert kinds == {BookDelta, TradePrint, Candle, Ticker}


@pytest.mark.recorded
def test_the_spot_reply_of_the_recorded_vectors_decodes(recorded):
    text = (recorded / "bybit-vectors" / "hirokisan" / "v5-market-get-instruments-info-spot.json").read_text()
    result = json.loads(text)["Spot"]
    found = decode_instruments(json.dumps({"retCode": 0, "retMsg": "OK", "result": result}).encode())
    assert len(found) == len(result["list"])
    assert all(instrument.category is Category.SPOT for instrument in found)


@given(data=st.data())
@settings(max_examples=200)
def test_a_damaged_frame_is_refused_as_bad_data_or_read(data):
    trade = b'{"topic":"publicTrade.BTCUSDT","ts":2,"data":[{"T":1,"S":"Buy","v":"1","p":"1.0","i":"7"}]}'
    ticker = b'{"topic":"tickers.BTCUSDT","type":"delta","data":{"markPrice":"1.5","nextFundingTime":"5"},"ts":7}'
    frame = data.draw(st.sampled_from([json.dumps(a_book()).encode(), trade, ticker]))
    at = data.draw(st.integers(0, len(frame)))
    gone = data.draw(st.integers(0, 5))
    junk = data.draw(st.binary(max_size=3) | st.text('"[]{},:0123456789.-', max_size=4).map(str.encode))
    try:
        events = a_decoder().decode(frame[:at] + junk + frame[at + gone :], 1)
    except DataError:
        return
    assert all(0 <= event.ts_event < 2**63 for event in events)
