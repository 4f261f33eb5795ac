"""The exchange on a port: real sockets on loopback."""

import asyncio
import json
import socket
import time

import aiohttp
import pytest
from yarl import URL

from stakan.adapters.exchanges.bybit.auth import request_headers, sign_login
from stakan.adapters.synthetic.config import SyntheticConfig, demo_symbols
from stakan.apps.exchange.accounts import AccountConfig, ApiKey
from stakan.apps.exchange.control import About, Control
from stakan.apps.exchange.faults import Trouble
from stakan.apps.exchange.feeds import generated
from stakan.apps.exchange.local import LocalConfig, LocalExchange
from stakan.apps.exchange.serving import serving
from stakan.core.domain.units import MILLISECOND, SECOND

pytestmark = pytest.mark.usefixtures("compiled")

BTC = "BTCUSDT"
KEYS = [ApiKey(f"key{number}", f"secret{number}") for number in range(8)]
HERE = "127.0.0.1"


class Running:
    """A running server and one account's view of it."""

    def __init__(self, local, server, port, http):
        self.local = local
        self.server = server
        self.port = port
        self.http = http
        self.url = f"http://{HERE}:{port}"

    async def get(self, path, key=None, query=""):
        headers = {} if key is None else request_headers(key.key, key.secret, now_ms(), 5000, query.encode())
        async with self.http.get(URL(f"{self.url}{path}?{query}", encoded=True), headers=headers) as reply:
            return reply.status, reply.headers, await reply.read()

    async def post(self, path, key=None, **params):
        body = json.dumps(params).encode()
        headers = {} if key is None else request_headers(key.key, key.secret, now_ms(), 5000, body)
        headers = headers | {"Content-Type": "application/json"}
        async with self.http.post(f"{self.url}{path}", data=body, headers=headers) as reply:
            return reply.status, reply.headers, await reply.read()

    async def order(self, key, **changes):
        status, _, body = await self.post("/v5/order/create", key, **(order() | changes))
        assert status == 200
        return json.loads(body)

    async def live(self, key):
        _, _, body = await self.get("/v5/order/realtime", key, f"category=linear&symbol={BTC}&limit=50")
        return json.loads(body)["result"]["list"]

    def connect(self, path):
        return self.http.ws_connect(f"{self.url}{path}")


def now_ms():
    return time.time_ns() // MILLISECOND


def order():
    return {
        "category": "linear",
        "symbol": BTC,
        "side": "Buy",
        "orderType": "Limit",
        "qty": "0.001",
        "price": "30000",
        "timeInForce": "PostOnly",
    }


async def until(is_so):
    while not is_so():  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0.01)


async def login(connection, key):
    expires = now_ms() + 1000
    await connection.send_json({"op": "auth", "args": [key.key, expires, sign_login(key.secret, expires)]})
    return json.loads(await connection.receive_str())


def served(use, max_waiting=1 << 20, **config):
    """Run `use(running)` against a server, both in one loop; all is over in half a minute."""

    async def program():
        loop = asyncio.get_running_loop()
        values = {"accounts": tuple(AccountConfig(uid=n + 1, keys=(key,)) for n, key in enumerate(KEYS))} | config
        local = LocalExchange(
            LocalConfig(**values),
            lambda at: generated(SyntheticConfig(symbols=demo_symbols()[:1], seed=5), at),
            time.time_ns,
            lambda ns, do: loop.call_later(ns / SECOND, do),
        )
        control = Control(local, About(market="test", is_synthetic=True, seed=5, symbols=(BTC,), started_ms=now_ms()))
        async with (
            serving(local, control, HERE, 0, max_waiting) as (server, port),
            aiohttp.ClientSession() as http,
        ):
            await use(Running(local, server, port, http))

    asyncio.run(asyncio.wait_for(program(), 30))


def test_one_port_answers_requests_and_sockets():
    async def use(running):
        private = await running.connect("/v5/private")
        assert (await login(private, KEYS[0]))["success"]
        await private.send_json({"op": "subscribe", "args": ["order"], "req_id": 7})
        assert json.loads(await private.receive_str())["req_id"] == "7"
        order_id = (await running.order(KEYS[0]))["result"]["orderId"]
        assert json.loads(await private.receive_str())["data"][0]["orderId"] == order_id

        public = await running.connect("/v5/public/linear")
        await public.send_json({"op": "subscribe", "args": [f"orderbook.50.{BTC}"]})
        assert json.loads(await public.receive_str())["success"]
        assert json.loads(await public.receive_str())["type"] == "snapshot"

        status = await running.connect("/v5/public/misc/status")
        await status.send_json({"op": "subscribe", "args": ["system.status"]})
        assert json.loads(await status.receive_str())["success"]

        trade = await running.connect("/v5/trade")
        assert (await login(trade, KEYS[0]))["retCode"] == 0
        name = {"category": "linear", "symbol": BTC, "orderId": order_id}
        await trade.send_json({"op": "order.cancel", "header": {"X-BAPI-TIMESTAMP": now_ms()}, "args": [name]})
        assert json.loads(await trade.receive_str())["retCode"] == 0
        assert await running.live(KEYS[0]) == []
        for connection in (private, public, status, trade):
            await connection.close()

    served(use)


def test_what_http_says():
    async def use(running):
        status, headers, body = await running.get("/v5/market/time")
        assert (status, headers["Content-Type"].split(";")[0]) == (200, "application/json")
        assert abs(json.loads(body)["time"] - now_ms()) < 5_000
        assert (await running.get("/v5/nothing"))[0] == 404
        assert (await running.get("/v5/private"))[0] == 400
        _, headers, body = await running.get("/v5/account/info", KEYS[0])
        assert json.loads(body)["retCode"] == 0
        assert {"X-Bapi-Limit", "X-Bapi-Limit-Status", "X-Bapi-Limit-Reset-Timestamp", "Traceid", "Timenow"} <= set(
            headers
        )
        status, _, body = await running.get("/local/v1/status")
        assert (status, json.loads(body)["connections"]) == (200, 0)

    served(use)


def test_headers_of_any_bytes_are_answered():
    async def use(running):
        for name in ("X-BAPI-API-KEY", "X-BAPI-SIGN", "X-BAPI-TIMESTAMP", "X-BAPI-RECV-WINDOW"):
            headers = {"X-BAPI-API-KEY": "key0", "X-BAPI-TIMESTAMP": str(now_ms()), "X-BAPI-SIGN": "s", name: "\xff"}
            lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
            reader, writer = await asyncio.open_connection(HERE, running.port)
            writer.write(f"GET /v5/account/info HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode("latin-1"))
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()

    served(use)


def test_a_query_is_signed_as_it_travels():
    async def use(running):
        for query in ("symbol=BTC%55SDT&category=linear&orderLinkId=%41b-1", "category=linear&symbol=BTCUSDT&limit=5"):
            _, _, body = await running.get("/v5/order/realtime", KEYS[0], query)
            assert json.loads(body)["retCode"] == 0

    served(use)


def test_accounts_trade_at_the_same_time_and_do_not_meet():
    orders = 8

    async def trader(running, key):
        private, trade = await running.connect("/v5/private"), await running.connect("/v5/trade")
        for connection in (private, trade):
            await login(connection, key)
        await private.send_json({"op": "subscribe", "args": ["order.linear"]})
        await private.receive_str()
        placed = set()
        for number in range(orders):
            link = f"{key.key}-{number}"
            if number % 2:
                placed.add((await running.order(key, orderLinkId=link))["result"]["orderId"])
            else:
                await trade.send_json(
                    {
                        "op": "order.create",
                        "reqId": link,
                        "header": {"X-BAPI-TIMESTAMP": now_ms()},
                        "args": [order() | {"orderLinkId": link}],
                    }
                )
                answer = json.loads(await trade.receive_str())
                assert (answer["reqId"], answer["retCode"]) == (link, 0)
                placed.add(answer["data"]["orderId"])
        told = [json.loads(await private.receive_str())["data"][0]["orderId"] for _ in range(orders)]
        assert set(told) == placed == {row["orderId"] for row in await running.live(key)}
        await private.close()
        await trade.close()
        return placed

    async def use(running):
        placed = await asyncio.gather(*(trader(running, key) for key in KEYS))
        assert len(set().union(*placed)) == orders * len(KEYS)

    served(use)


def test_an_answer_that_is_lost_ends_the_connection():
    async def use(running):
        running.local.chaos.script("order/create", Trouble.LOST_ANSWER, 2)
        with pytest.raises(aiohttp.ClientConnectionError):
            await running.order(KEYS[0])
        trade = await running.connect("/v5/trade")
        await login(trade, KEYS[0])
        await trade.send_json({"op": "order.create", "header": {"X-BAPI-TIMESTAMP": now_ms()}, "args": [order()]})
        assert (await trade.receive()).type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
        assert len(await running.live(KEYS[0])) == 2

    served(use)


def test_who_does_not_read_is_cut_off_and_slows_nobody():
    topic, size, count = f"publicTrade.{BTC}", 100_000, 300

    async def use(running):
        lazy = socket.create_connection((HERE, running.port))
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        quick = await running.connect("/v5/public/linear")
        await quick.send_json({"op": "subscribe", "args": [f"tickers.{BTC}"]})
        assert json.loads(await quick.receive_str())["success"]
        upgrade = (
            f"GET /v5/public/linear HTTP/1.1\r\nHost: {HERE}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        lazy.sendall(upgrade.encode())
        await until(lambda: len(running.local.exchange.open) == 2)
        for connection in running.local.exchange.open.values():
            connection.exchange.topics.setdefault(topic, {})[connection.number] = connection
        frame = b'"' + b"x" * size + b'"'
        for _ in range(count):
            running.local.exchange.emit(topic, frame)
            while len(await quick.receive_str()) < size:
                pass
        await until(lambda: len(running.local.exchange.open) == 1)
        lazy.close()
        running.local.exchange.topics.pop(topic)
        await quick.close()

    served(use)


def test_a_server_stops_while_clients_are_there():
    async def use(running):
        connection = await running.connect("/v5/public/linear")
        await running.server.stop()
        assert (await connection.receive()).type in {
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.CLOSE,
            aiohttp.WSMsgType.ERROR,
        }
        assert running.local.exchange.open == {}

    served(use)


def test_a_port_that_is_taken_is_said():
    async def use(running):
        taken = serving(running.local, None, HERE, running.port)
        with pytest.raises(OSError, match="address already in use"):
            await taken.__aenter__()

    served(use)


def test_a_bug_in_the_market_ends_the_server_instead_of_hiding():
    async def use(running):
        def broken():
            raise ZeroDivisionError

        running.local.pump = broken
        with pytest.raises(ZeroDivisionError):
            await running.server.ended

    served(use)
