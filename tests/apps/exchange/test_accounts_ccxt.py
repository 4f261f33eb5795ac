"""An unmodified ccxt trades with an account; only its transport is replaced."""

import json
from urllib.parse import parse_qsl, urlsplit

import ccxt
import msgspec
import pytest
from tests.apps.exchange.accounts_world import MID, MS, World

from stakan.apps.exchange.accounts import OPERATIONS
from stakan.apps.exchange.listing import info
from stakan.core.domain.units import Side

MARKET = "BTC/USDT:USDT"


class Local(ccxt.bybit):
    """Answers requests from a world instead of a socket, with ccxt's own error handling."""

    def __init__(self, world):
        super().__init__({"apiKey": "k", "secret": "s", "options": {"fetchMarkets": {"types": ["linear"]}}})
        self.world = world

    def fetch(self, url, method="GET", headers=None, body=None):
        parts = urlsplit(url)
        operation = parts.path.removeprefix("/v5/")
        params = dict(parse_qsl(parts.query)) if method == "GET" else json.loads(body)
        envelope = self._markets(params) if operation == "market/instruments-info" else self._private(operation, params)
        text = msgspec.json.encode(envelope | {"time": self.world.now}).decode()
        answer = json.loads(text)
        self.handle_errors(200, "OK", url, method, {}, text, answer, headers, body)
        return answer

    def _markets(self, params):
        rows = [info(self.world.rules, 1)] if "status" not in params else []
        return {"retCode": 0, "retMsg": "OK", "result": {"category": "linear", "list": rows, "nextPageCursor": ""}}

    def _private(self, operation, params):
        assert operation in OPERATIONS
        self.world.now += 1
        reply = self.world.account.handle(operation, params, self.world.now * MS)
        return {"retCode": reply.code, "retMsg": reply.message, "result": reply.result, "retExtInfo": reply.ext}


@pytest.fixture
def client():
    client = Local(World())
    client.load_markets()
    return client


def test_start_up_calls(client):
    assert client.fetch_balance()["USDT"]["free"] == 100_000
    assert client.fetch_trading_fee(MARKET)["taker"] == 0.00055
    with pytest.raises(ccxt.BadRequest):
        client.set_leverage(10, MARKET)
    client.set_leverage(5, MARKET)
    client.set_margin_mode("isolated", MARKET, {"leverage": 5})
    with pytest.raises(ccxt.NoChange):
        client.set_position_mode(False, MARKET)


def test_an_entry_with_its_stop_becomes_a_position(client):
    params = {"postOnly": True, "stopLoss": {"triggerPrice": 59_000}, "clientOrderId": "me-1"}
    made = client.create_order(MARKET, "limit", "buy", 0.5, 59_990, params)
    (shown,) = client.fetch_open_orders(MARKET)
    assert (shown["status"], shown["stopLossPrice"], shown["postOnly"]) == ("open", 59_000, True)
    client.edit_order(made["id"], MARKET, "limit", "buy", 0.6, 59_980)
    client.world.trade(Side.SELL, MID - 300, 50_000)
    order = client.fetch_order(made["id"], MARKET, {"acknowledged": True})
    assert (order["status"], order["filled"], order["average"]) == ("closed", 0.6, 59_980)
    assert order["fee"] == {"cost": 7.1976, "currency": "USDT"}
    (position,) = client.fetch_positions([MARKET])
    assert (position["side"], position["contracts"], position["stopLossPrice"]) == ("long", 0.6, 59_000)
    assert position["leverage"] == 10
    assert 0 < position["liquidationPrice"] < position["stopLossPrice"]
    (trade,) = client.fetch_my_trades(MARKET)
    assert (trade["order"], trade["takerOrMaker"], trade["amount"]) == (made["id"], "maker", 0.6)


def test_ways_out_of_a_position(client):
    client.create_order(MARKET, "market", "buy", 0.5)
    client.create_order(MARKET, "market", "sell", 0.1, None, {"reduceOnly": True})
    stop = client.create_order(MARKET, "market", "sell", 0.1, None, {"stopLossPrice": 59_500})
    client.create_order(MARKET, "market", "sell", 0.1, None, {"trailingAmount": 100})
    kinds = {order["info"]["stopOrderType"]: order for order in client.fetch_open_orders(MARKET)}
    assert set(kinds) == {"Stop", "TrailingStop"}
    assert kinds["Stop"]["triggerPrice"] == 59_500
    client.cancel_order(stop["id"], MARKET)
    assert len(client.cancel_all_orders(MARKET)) == 1
    assert client.fetch_positions_history([MARKET])[0]["realizedPnl"] < 0
    assert len(client.fetch_ledger("USDT")) == 2
    assert len(client.fetch_closed_orders(MARKET)) == 2


def test_errors_arrive_as_the_kinds_that_ccxt_knows(client):
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order("nothing", MARKET)
    with pytest.raises(ccxt.InsufficientFunds):
        client.create_order(MARKET, "limit", "buy", 100, 59_990)
    client.create_order(MARKET, "limit", "buy", 0.01, 59_990, {"clientOrderId": "once"})
    with pytest.raises(ccxt.InvalidOrder):
        client.create_order(MARKET, "limit", "buy", 0.01, 59_990, {"clientOrderId": "once"})


def test_batches(client):
    items = [{"symbol": MARKET, "type": "limit", "side": "buy", "amount": 0.01, "price": 59_000 + n} for n in range(2)]
    made = client.create_orders(items)
    assert [order["id"] for order in client.fetch_open_orders(MARKET)] == [order["id"] for order in made][::-1]
