"""pybit, as it is installed, trades on the local exchange."""

from contextlib import contextmanager
from copy import deepcopy
from decimal import Decimal

import pybit._websocket_trading as trading
import pybit.unified_trading as unified
import pytest
from pybit.exceptions import InvalidRequestError
from tests.conformance.conftest import BALANCE, SYMBOL, Keys, eventually

LINEAR = {"category": "linear", "symbol": SYMBOL}
SIZE = "0.010"


@pytest.fixture
def client(exchange, keys):
    return a_client(exchange, keys)


def a_client(exchange, keys):
    http = unified.HTTP(api_key=keys.key, api_secret=keys.secret, max_retries=1)
    http.endpoint = exchange.http
    return http


def result(reply):
    assert reply["retCode"] == 0, reply
    return reply["result"]


def touch(client):
    """Best bid and best ask."""
    book = result(client.get_orderbook(**LINEAR, limit=1))
    return Decimal(book["b"][0][0]), Decimal(book["a"][0][0])


def away(price, share):
    """A price moved by a share, on the tick."""
    return str((price * (1 + Decimal(share))).quantize(Decimal("0.1")))


def position(client):
    (row,) = result(client.get_positions(**LINEAR))["list"]
    return row


def refusal(call, **parameters):
    with pytest.raises(InvalidRequestError) as refused:
        call(**parameters)
    return refused.value.status_code


# --- market data ----------------------------------------------------------------------------------------------------


def test_time_instruments_and_rules(client):
    assert int(result(client.get_server_time())["timeNano"]) > 10**18
    rows = result(client.get_instruments_info(category="linear"))["list"]
    rules = next(row for row in rows if row["symbol"] == SYMBOL)
    assert rules["status"] == "Trading"
    assert rules["settleCoin"] == "USDT"
    assert Decimal(rules["priceFilter"]["tickSize"]) == Decimal("0.1")
    tiers = result(client.get_risk_limit(**LINEAR))["list"]
    assert [Decimal(t["riskLimitValue"]) for t in tiers] == sorted(Decimal(t["riskLimitValue"]) for t in tiers)
    assert result(client.get_instruments_info(category="spot"))["list"] == []


@pytest.mark.parametrize("limit", [1, 50, 200])
def test_the_book_is_sorted_and_not_crossed(client, limit):
    book = result(client.get_orderbook(**LINEAR, limit=limit))
    bids, asks = ([Decimal(price) for price, _ in book[side]] for side in "ba")
    assert 0 < len(bids) <= limit
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]


def test_tickers_trades_candles_and_limits(client):
    (ticker,) = result(client.get_tickers(**LINEAR))["list"]
    assert Decimal(ticker["bid1Price"]) < Decimal(ticker["ask1Price"])
    assert Decimal(ticker["markPrice"]) > 0
    trades = eventually(lambda: result(client.get_public_trade_history(**LINEAR, limit=10))["list"], "a public trade")
    assert [int(row["time"]) for row in trades] == sorted((int(row["time"]) for row in trades), reverse=True)
    candles = eventually(lambda: result(client.get_kline(**LINEAR, interval=1))["list"], "a candle")
    start, open_, high, low, close, *_ = candles[0]
    assert int(start) % 60_000 == 0
    assert Decimal(low) <= min(Decimal(open_), Decimal(close)) <= max(Decimal(open_), Decimal(close)) <= Decimal(high)
    limits = result(client.get_price_limit(**LINEAR))
    assert Decimal(limits["sellLmt"]) < Decimal(ticker["markPrice"]) < Decimal(limits["buyLmt"])
    assert result(client.get_open_interest(**LINEAR, intervalTime="5min"))["symbol"] == SYMBOL
    assert isinstance(result(client.get_funding_rate_history(**LINEAR))["list"], list)
    for read in (client.get_mark_price_kline, client.get_index_price_kline, client.get_premium_index_price_kline):
        assert isinstance(result(read(**LINEAR, interval=1))["list"], list)


# --- orders ---------------------------------------------------------------------------------------------------------


def test_a_resting_order_lives_is_amended_and_is_cancelled(client):
    bid, _ = touch(client)
    placed = result(
        client.place_order(
            **LINEAR, side="Buy", orderType="Limit", qty=SIZE, price=away(bid, "-0.005"), timeInForce="PostOnly",
            orderLinkId="rests-1",
        )
    )  # fmt: skip
    assert placed["orderLinkId"] == "rests-1"
    (order,) = result(client.get_open_orders(**LINEAR))["list"]
    assert (order["orderId"], order["orderStatus"], order["qty"]) == (placed["orderId"], "New", SIZE)
    lower = away(bid, "-0.006")
    result(client.amend_order(**LINEAR, orderLinkId="rests-1", price=lower, qty="0.020"))
    (order,) = result(client.get_open_orders(**LINEAR, orderId=placed["orderId"]))["list"]
    assert (Decimal(order["price"]), order["qty"]) == (Decimal(lower), "0.020")
    result(client.cancel_order(**LINEAR, orderId=placed["orderId"]))
    assert result(client.get_open_orders(**LINEAR))["list"] == []
    (order,) = result(client.get_order_history(**LINEAR))["list"]
    assert (order["orderStatus"], order["cancelType"]) == ("Cancelled", "CancelByUser")


def test_a_market_entry_carries_its_stop_and_the_books_agree(client):
    bid, _ = touch(client)
    stop, target = away(bid, "-0.02"), away(bid, "0.02")
    result(
        client.place_order(
            **LINEAR, side="Buy", orderType="Market", qty=SIZE, stopLoss=stop, takeProfit=target, tpslMode="Full",
            slTriggerBy="MarkPrice", tpTriggerBy="MarkPrice", positionIdx=0,
        )
    )  # fmt: skip
    row = position(client)
    assert (row["side"], row["size"]) == ("Buy", SIZE)
    assert (Decimal(row["stopLoss"]), Decimal(row["takeProfit"])) == (Decimal(stop), Decimal(target))
    legs = {order["stopOrderType"]: order for order in result(client.get_open_orders(**LINEAR))["list"]}
    assert legs.keys() == {"StopLoss", "TakeProfit"}
    assert legs["StopLoss"]["orderStatus"] == "Untriggered"
    assert legs["StopLoss"]["side"] == "Sell"
    assert legs["StopLoss"]["reduceOnly"] is True

    moved = away(bid, "-0.01")
    result(client.set_trading_stop(**LINEAR, tpslMode="Full", positionIdx=0, stopLoss=moved, slTriggerBy="MarkPrice"))
    assert Decimal(position(client)["stopLoss"]) == Decimal(moved)
    assert refusal(client.set_trading_stop, **LINEAR, tpslMode="Full", positionIdx=0, stopLoss=moved) == 34040

    result(client.place_order(**LINEAR, side="Sell", orderType="Market", qty=SIZE, reduceOnly=True))
    assert position(client)["size"] == "0"
    assert result(client.get_open_orders(**LINEAR))["list"] == []
    executions = result(client.get_executions(**LINEAR))["list"]
    fees = sum(Decimal(row["execFee"]) for row in executions)
    gains = sum(Decimal(row["execPnl"]) for row in executions)
    assert sum(Decimal(row["execQty"]) * (1 if row["side"] == "Buy" else -1) for row in executions) == 0
    (account,) = result(client.get_wallet_balance(accountType="UNIFIED", coin="USDT"))["list"]
    (coin,) = account["coin"]
    assert Decimal(coin["walletBalance"]) == BALANCE + gains - fees
    closed = result(client.get_closed_pnl(**LINEAR))["list"]
    assert sum(Decimal(row["closedPnl"]) for row in closed) == gains - fees
    log = result(client.get_transaction_log(accountType="UNIFIED", category="linear"))["list"]
    assert sum(Decimal(row["change"]) for row in log) == gains - fees


def test_a_stop_that_is_reached_closes_the_position(client):
    result(client.place_order(**LINEAR, side="Buy", orderType="Market", qty=SIZE))
    bid, _ = touch(client)
    # Just under the market: a few ticks of movement reach it.
    result(
        client.set_trading_stop(
            **LINEAR, tpslMode="Full", positionIdx=0, stopLoss=away(bid, "-0.00005"), slTriggerBy="LastPrice"
        )
    )
    eventually(lambda: position(client)["size"] == "0", "the stop", within=60)
    last = result(client.get_executions(**LINEAR, limit=1))["list"][0]
    assert (last["side"], last["stopOrderType"], last["createType"]) == ("Sell", "StopLoss", "CreateByStopLoss")


def test_a_conditional_order_waits_and_goes(client):
    bid, _ = touch(client)
    result(
        client.place_order(
            **LINEAR, side="Sell", orderType="Market", qty=SIZE, triggerPrice=away(bid, "-0.03"), triggerDirection=2,
            triggerBy="MarkPrice",
        )
    )  # fmt: skip
    (order,) = result(client.get_open_orders(**LINEAR, orderFilter="StopOrder"))["list"]
    assert (order["orderStatus"], order["stopOrderType"]) == ("Untriggered", "Stop")
    result(client.cancel_order(**LINEAR, orderId=order["orderId"]))
    (order,) = result(client.get_order_history(**LINEAR))["list"]
    assert order["orderStatus"] == "Deactivated"


def test_cancelling_entries_leaves_the_stop(client):
    bid, _ = touch(client)
    result(client.place_order(**LINEAR, side="Buy", orderType="Market", qty=SIZE, stopLoss=away(bid, "-0.02")))
    result(client.place_order(**LINEAR, side="Buy", orderType="Limit", qty=SIZE, price=away(bid, "-0.005")))
    gone = result(client.cancel_all_orders(**LINEAR, orderFilter="Order"))["list"]
    assert len(gone) == 1
    assert Decimal(position(client)["stopLoss"]) > 0
    result(client.cancel_all_orders(**LINEAR))
    assert Decimal(position(client)["stopLoss"] or 0) == 0


def test_batches(client):
    bid, _ = touch(client)
    request = [
        {"symbol": SYMBOL, "side": "Buy", "orderType": "Limit", "qty": SIZE, "price": away(bid, share)}
        for share in ("-0.004", "-0.005", "-0.006")
    ]
    placed = result(client.place_batch_order(category="linear", request=request))["list"]
    ids = [{"symbol": SYMBOL, "orderId": row["orderId"]} for row in placed]
    assert len(ids) == 3
    result(client.amend_batch_order(category="linear", request=[{**row, "qty": "0.020"} for row in ids]))
    assert {row["qty"] for row in result(client.get_open_orders(**LINEAR))["list"]} == {"0.020"}
    result(client.cancel_batch_order(category="linear", request=ids))
    assert result(client.get_open_orders(**LINEAR))["list"] == []


# --- account and refusals -------------------------------------------------------------------------------------------


def test_account_settings(client):
    assert result(client.get_account_info())["marginMode"] == "ISOLATED_MARGIN"
    assert result(client.get_api_key_information())["readOnly"] == 0
    (fees,) = result(client.get_fee_rates(**LINEAR))["list"]
    assert Decimal(fees["makerFeeRate"]) < Decimal(fees["takerFeeRate"])
    result(client.set_leverage(**LINEAR, buyLeverage="5", sellLeverage="5"))
    assert position(client)["leverage"] == "5"
    assert refusal(client.set_leverage, **LINEAR, buyLeverage="5", sellLeverage="5") == 110043
    assert refusal(client.switch_position_mode, **LINEAR, mode=0) == 110025


def test_refusals_have_their_codes(exchange, client):
    bid, _ = touch(client)
    order = {**LINEAR, "side": "Buy", "orderType": "Limit", "qty": SIZE, "price": away(bid, "-0.005")}
    result(client.place_order(**order, orderLinkId="once"))
    assert refusal(client.place_order, **order, orderLinkId="once") == 110072
    assert refusal(client.cancel_order, **LINEAR, orderId="0b1c") == 110001
    assert refusal(client.amend_order, **LINEAR, orderLinkId="never", qty="0.02") == 110001
    assert refusal(client.place_order, **{**order, "qty": "100"}) == 110007
    assert refusal(client.place_order, **{**order, "qty": "0.00001"}) == 10001
    assert refusal(client.place_order, **{**order, "symbol": "NOSUCHUSDT"}) == 10001
    assert refusal(client.place_order, **order, reduceOnly=True) == 110017
    assert refusal(client.place_order, **order, stopLoss=away(bid, "0.02")) == 10001
    stranger = a_client(exchange, Keys("nobody", "nothing"))
    with pytest.raises(Exception, match=r"10003|401"):
        stranger.get_positions(**LINEAR)
    forger = a_client(exchange, Keys(client.api_key, "wrong"))
    assert refusal(forger.get_positions, **LINEAR) == 10004


# --- sockets --------------------------------------------------------------------------------------------------------


@contextmanager
def sockets(exchange, monkeypatch, make):
    monkeypatch.setattr(unified, "PUBLIC_WSS", exchange.ws + "/v5/public/{CHANNEL_TYPE}")
    monkeypatch.setattr(unified, "PRIVATE_WSS", exchange.ws + "/v5/private")
    monkeypatch.setattr(trading, "TRADE_WSS", exchange.ws + "/v5/trade")
    socket = make()
    try:
        yield socket
    finally:
        socket.exit()


def test_public_streams(delayed, monkeypatch):
    books, trades, tickers, candles = [], [], [], []
    with sockets(delayed, monkeypatch, lambda: unified.WebSocket(testnet=False, channel_type="linear")) as socket:
        socket.orderbook_stream(50, SYMBOL, lambda message: books.append(deepcopy(message)))
        socket.trade_stream(SYMBOL, trades.append)
        socket.ticker_stream(SYMBOL, tickers.append)
        socket.kline_stream(1, SYMBOL, candles.append)
        eventually(lambda: len(books) > 20 and trades and tickers and candles, "frames of all topics", within=30)
    for message in books:
        bids, asks = ([Decimal(price) for price, _ in message["data"][side]] for side in "ba")
        assert max(bids) < min(asks)
    assert [message["data"]["u"] for message in books] == sorted({message["data"]["u"] for message in books})
    assert {row["s"] for message in trades for row in message["data"]} == {SYMBOL}


def test_private_streams_tell_of_an_order_s_whole_life(delayed, monkeypatch):
    keys = next(delayed.accounts)
    client = a_client(delayed, keys)
    orders, executions, positions, wallets = [], [], [], []

    def make():
        return unified.WebSocket(testnet=False, channel_type="private", api_key=keys.key, api_secret=keys.secret)

    with sockets(delayed, monkeypatch, make) as socket:
        socket.order_stream(orders.append)
        socket.execution_stream(executions.append)
        socket.position_stream(positions.append)
        socket.wallet_stream(wallets.append)
        bid, _ = touch(client)
        placed = result(
            client.place_order(
                **LINEAR, side="Buy", orderType="Market", qty=SIZE, stopLoss=away(bid, "-0.02"), orderLinkId="seen"
            )
        )
        eventually(lambda: positions and wallets, "position and wallet")
    rows = [row for message in orders for row in message["data"]]
    mine = [row for row in rows if row["orderId"] == placed["orderId"]]
    assert mine[-1]["orderStatus"] == "Filled"
    assert {row["orderLinkId"] for row in mine} == {"seen"}
    assert any(row["stopOrderType"] == "StopLoss" and row["orderStatus"] == "Untriggered" for row in rows)
    filled = [row for message in executions for row in message["data"]]
    assert sum(Decimal(row["execQty"]) for row in filled) == Decimal(SIZE)
    assert positions[-1]["data"][0]["size"] == SIZE
    (coin,) = wallets[-1]["data"][0]["coin"]
    assert Decimal(coin["walletBalance"]) < BALANCE


def test_orders_go_over_the_trade_socket(delayed, monkeypatch):
    keys = next(delayed.accounts)
    client = a_client(delayed, keys)
    bid, _ = touch(client)
    answers, complaints = [], []

    def make():
        return unified.WebSocketTrading(testnet=False, api_key=keys.key, api_secret=keys.secret)

    order = {**LINEAR, "side": "Buy", "orderType": "Limit", "qty": SIZE, "price": away(bid, "-0.005")}
    with sockets(delayed, monkeypatch, make) as socket:
        socket.place_order(answers.append, complaints.append, **order, orderLinkId="over-a-socket")
        eventually(lambda: answers, "the acknowledgement")
        socket.amend_order(answers.append, complaints.append, **LINEAR, orderLinkId="over-a-socket", qty="0.02")
        eventually(lambda: len(answers) == 2, "the amendment")
        assert result(client.get_open_orders(**LINEAR))["list"][0]["qty"] == "0.020"
        socket.cancel_order(answers.append, complaints.append, **LINEAR, orderLinkId="over-a-socket")
        eventually(lambda: len(answers) == 3, "the cancel")
        socket.cancel_order(answers.append, complaints.append, **LINEAR, orderLinkId="over-a-socket")
        eventually(lambda: complaints, "the refusal")
    assert not [answer for answer in answers if answer["retCode"]]
    assert complaints[0]["retCode"] == 110001
