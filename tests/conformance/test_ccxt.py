"""ccxt, as it is installed, trades on the local exchange: synchronous, asynchronous and by its streams."""

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal

import ccxt
import ccxt.async_support
import ccxt.pro
import pytest
from tests.conformance.conftest import BALANCE, eventually

MARKET = "BTC/USDT:USDT"
SIZE = 0.01
LIMIT_S = 60


def configuration(exchange, keys):
    return {
        "apiKey": keys.key,
        "secret": keys.secret,
        "enableRateLimit": False,
        "options": {"fetchMarkets": {"types": ["linear"]}},
        "urls": {
            "api": {
                "public": exchange.http,
                "private": exchange.http,
                "ws": {
                    "public": {"linear": exchange.ws + "/v5/public/linear"},
                    "private": {"contract": exchange.ws + "/v5/private", "trade": exchange.ws + "/v5/trade"},
                },
            }
        },
    }


@pytest.fixture
def client(exchange, keys):
    made = ccxt.bybit(configuration(exchange, keys))
    made.load_markets()
    yield made
    made.session.close()


def price(client, share):
    """A price a share away from the best bid, on the tick."""
    return float(client.price_to_precision(MARKET, client.fetch_order_book(MARKET, 1)["bids"][0][0] * (1 + share)))


# --- synchronous ----------------------------------------------------------------------------------------------------


def test_markets_are_what_ccxt_trades(client):
    market = client.market(MARKET)
    assert (market["type"], market["linear"], market["settle"], market["active"]) == ("swap", True, "USDT", True)
    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 0.001)
    assert {f"{base}/USDT:USDT" for base in ("BTC", "ETH", "SOL")} <= client.markets.keys()


def test_market_data(client):
    assert abs(client.fetch_time() - client.milliseconds()) < 5_000
    book = client.fetch_order_book(MARKET, 50)
    assert book["bids"][0][0] < book["asks"][0][0]
    assert client.fetch_ticker(MARKET)["last"] > 0
    assert eventually(lambda: client.fetch_trades(MARKET), "a trade")
    bars = eventually(lambda: client.fetch_ohlcv(MARKET, "1m"), "a candle")
    assert [bar[0] for bar in bars] == sorted(bar[0] for bar in bars)
    assert client.fetch_funding_rate(MARKET)["fundingRate"] is not None
    assert client.fetch_mark_ohlcv(MARKET, "1m") is not None
    asked = {"category": "linear", "symbol": "BTCUSDT", "intervalTime": "5min"}
    eventually(lambda: client.publicGetV5MarketOpenInterest(asked)["result"]["list"], "open interest")
    assert client.fetch_open_interest(MARKET)["symbol"] == MARKET
    assert client.fetch_market_leverage_tiers(MARKET)


def test_balance_fees_and_settings(client):
    assert client.fetch_balance()["USDT"]["total"] == BALANCE
    assert client.fetch_trading_fee(MARKET)["maker"] < client.fetch_trading_fee(MARKET)["taker"]
    client.set_leverage(7, MARKET)
    with pytest.raises(ccxt.BadRequest, match="110043"):
        client.set_leverage(7, MARKET)
    with pytest.raises(ccxt.NoChange):
        client.set_position_mode(False, MARKET)
    client.set_margin_mode("isolated", MARKET, {"leverage": 7})


def test_a_limit_order_s_life(client):
    placed = client.create_order(
        MARKET, "limit", "buy", SIZE, price(client, -0.005), {"postOnly": True, "clientOrderId": "from-ccxt"}
    )
    (order,) = client.fetch_open_orders(MARKET)
    assert (order["id"], order["clientOrderId"], order["status"]) == (placed["id"], "from-ccxt", "open")
    client.edit_order(placed["id"], MARKET, "limit", "buy", 2 * SIZE, price(client, -0.006))
    order = client.fetch_order(placed["id"], MARKET, {"acknowledged": True})
    assert (order["amount"], order["remaining"]) == (2 * SIZE, 2 * SIZE)
    client.cancel_order(placed["id"], MARKET)
    assert client.fetch_open_orders(MARKET) == []
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order(placed["id"], MARKET)
    (order,) = client.fetch_canceled_orders(MARKET)
    assert order["status"] == "canceled"


def test_a_position_with_its_stop(client):
    stop = price(client, -0.02)
    client.create_order(MARKET, "market", "buy", SIZE, None, {"stopLoss": {"triggerPrice": stop}})
    (position,) = client.fetch_positions([MARKET])
    assert (position["side"], position["contracts"]) == ("long", SIZE)
    assert position["stopLossPrice"] == stop
    client.create_order(MARKET, "market", "sell", SIZE, None, {"trailingAmount": "500"})
    assert float(client.fetch_positions([MARKET])[0]["info"]["trailingStop"]) == 500
    client.create_order(MARKET, "market", "sell", SIZE, None, {"reduceOnly": True})
    assert client.fetch_positions([MARKET])[0]["contracts"] in {0, None}
    trades = client.fetch_my_trades(MARKET)
    assert {trade["side"] for trade in trades} == {"buy", "sell"}
    assert all(trade["fee"]["cost"] > 0 for trade in trades)
    spent = sum(Decimal(str(trade["fee"]["cost"])) for trade in trades)
    gained = sum(Decimal(trade["info"]["execPnl"]) for trade in trades)
    assert Decimal(str(client.fetch_balance()["USDT"]["total"])) == pytest.approx(BALANCE + gained - spent)
    assert client.fetch_closed_orders(MARKET)


def test_a_stop_order_of_its_own(client):
    client.create_order(MARKET, "market", "buy", SIZE)
    placed = client.create_order(MARKET, "market", "sell", SIZE, None, {"stopLossPrice": price(client, -0.03)})
    waiting = client.fetch_open_orders(MARKET)
    assert [order["id"] for order in waiting] == [placed["id"]]
    assert waiting[0]["reduceOnly"] is True
    client.cancel_all_orders(MARKET)
    assert client.fetch_open_orders(MARKET) == []


def test_refusals_are_ccxt_s_own(exchange, keys, client):
    with pytest.raises(ccxt.InsufficientFunds):
        client.create_order(MARKET, "limit", "buy", 100, price(client, -0.005))
    stranger = ccxt.bybit(configuration(exchange, keys._replace(key="nobody")))
    with pytest.raises(ccxt.AuthenticationError):
        stranger.fetch_balance()
    stranger.session.close()


# --- asynchronous and streams ---------------------------------------------------------------------------------------


@asynccontextmanager
async def opened(kind, exchange, keys):
    client = kind(configuration(exchange, keys))
    try:
        await client.load_markets()
        yield client
    finally:
        await client.close()


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario, LIMIT_S))


async def near(client, share):
    book = await client.fetch_order_book(MARKET, 1)
    return float(client.price_to_precision(MARKET, book["bids"][0][0] * (1 + share)))


def test_asynchronous_trading(exchange, keys):
    async def scenario():
        async with opened(ccxt.async_support.bybit, exchange, keys) as client:
            far = await near(client, -0.01)
            placed = await asyncio.gather(*(client.create_order(MARKET, "limit", "buy", SIZE, far) for _ in range(5)))
            assert len({order["id"] for order in placed}) == 5
            assert len(await client.fetch_open_orders(MARKET)) == 5
            await client.cancel_all_orders(MARKET)
            assert await client.fetch_open_orders(MARKET) == []
            await client.create_order(MARKET, "market", "sell", SIZE)
            (position,) = await client.fetch_positions([MARKET])
            assert position["side"] == "short"

    run(scenario())


def test_public_streams(exchange, keys):
    async def scenario():
        async with opened(ccxt.pro.bybit, exchange, keys) as client:
            for _ in range(20):
                book = await client.watch_order_book(MARKET, 50)
                assert book["bids"][0][0] < book["asks"][0][0]
                assert len(book["bids"]) <= 50
            assert (await client.watch_ticker(MARKET))["last"] > 0
            assert await client.watch_trades(MARKET)
            assert await client.watch_ohlcv(MARKET, "1m")

    run(scenario())


def test_private_streams(exchange, keys):
    async def scenario():
        async with opened(ccxt.pro.bybit, exchange, keys) as client:
            orders = asyncio.create_task(client.watch_orders(MARKET))
            trades = asyncio.create_task(client.watch_my_trades(MARKET))
            balance = asyncio.create_task(client.watch_balance())
            await until_subscribed(client)
            placed = await client.create_order(MARKET, "market", "buy", SIZE)
            seen = await orders
            assert seen[-1]["id"] == placed["id"]
            assert (await trades)[-1]["order"] == placed["id"]
            assert (await balance)["USDT"]["total"] < BALANCE

    run(scenario())


async def until_subscribed(client):
    """Private streams give no snapshot: what happens before the subscription is not told."""
    for _ in range(500):
        if sum(len(socket.subscriptions) for socket in client.clients.values()) >= 4:  # authentication counts too
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)


def test_orders_over_the_trade_socket(exchange, keys):
    async def scenario():
        async with opened(ccxt.pro.bybit, exchange, keys) as client:
            far = await near(client, -0.01)
            placed = await client.create_order_ws(MARKET, "limit", "buy", SIZE, far)
            await client.edit_order_ws(placed["id"], MARKET, "limit", "buy", 2 * SIZE, far)
            (order,) = await client.fetch_open_orders(MARKET)
            assert order["amount"] == 2 * SIZE
            await client.cancel_order_ws(placed["id"], MARKET)
            assert await client.fetch_open_orders(MARKET) == []

    run(scenario())
