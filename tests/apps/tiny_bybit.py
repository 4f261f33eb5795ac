"""The smallest exchange that a market client can live on: a few public requests and one socket, in a thread."""

import asyncio
import json
import threading
import time
from typing import Self

from aiohttp import WSMsgType, web

SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
_TURNOVER = {"BTCUSDT": "9000000000", "ETHUSDT": "4000000000", "XRPUSDT": "1000"}


class TinyBybit:
    """Pushes a delta per book every few milliseconds; runs while the block does."""

    def __init__(self, *, every_s: float = 0.005) -> None:
        self.url = ""
        self.pushed = 0
        self.turnover = dict(_TURNOVER)
        self.is_breaking = False
        """Leave every tenth update out."""
        self._every_s = every_s
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._done = asyncio.Event()
        self._sockets: set[web.WebSocketResponse] = set()
        application = web.Application()
        application.router.add_get("/v5/public/linear", self._public)
        application.router.add_get("/v5/market/{name}", self._market)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._done.wait()
        for socket in list(self._sockets):
            await socket.close()
        await runner.cleanup()

    async def _market(self, request: web.Request) -> web.Response:
        result = getattr(self, "_" + request.match_info["name"].replace("-", "_"))(request.query)
        now = time.time_ns()
        return web.json_response({"retCode": 0, "retMsg": "OK", "result": result, "time": now // 1_000_000})

    def _time(self, _query) -> dict:
        now = time.time_ns()
        return {"timeSecond": str(now // 10**9), "timeNano": str(now)}

    def _instruments_info(self, query) -> dict:
        return {"category": query["category"], "nextPageCursor": "", "list": [instrument_row(name) for name in SYMBOLS]}

    def _risk_limit(self, query) -> dict:
        return {"category": "linear", "nextPageCursor": "", "list": list(tier_rows(query["symbol"]))}

    def _tickers(self, _query) -> dict:
        return {"category": "linear", "list": [ticker_row(name, self.turnover[name]) for name in SYMBOLS]}

    def _recent_trade(self, _query) -> dict:
        return {"category": "linear", "list": []}

    async def _public(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        books: dict[str, int] = {}
        pushing = asyncio.create_task(self._push(socket, books))
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    await self._answer(socket, books, json.loads(message.data))
        finally:
            pushing.cancel()
            self._sockets.discard(socket)
        return socket

    async def _answer(self, socket, books, asked) -> None:
        reply = {"success": True, "ret_msg": "", "req_id": asked.get("req_id", ""), "op": asked["op"]}
        if asked["op"] == "ping":
            reply["ret_msg"] = "pong"
        await socket.send_str(json.dumps(reply))
        for topic in asked.get("args", []):
            if asked["op"] == "unsubscribe":
                books.pop(topic, None)
            elif topic.startswith("orderbook.") and not topic.startswith("orderbook.1."):
                books[topic] = 1_000
                sides = ([["99.9", "5"], ["99.8", "6"]], [["100.1", "5"], ["100.2", "6"]])
                await socket.send_str(_book(topic, "snapshot", 1_000, *sides))

    async def _push(self, socket, books) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            for topic in list(books):
                books[topic] += 1
                update = books[topic]
                if self.is_breaking and update % 10 == 0:
                    continue
                await socket.send_str(_book(topic, "delta", update, [["99.9", str(update % 7 + 1)]], []))
                self.pushed += 1
                await socket.send_str(_trade(topic.rpartition(".")[2], update))


def _book(topic, kind, update, bids, asks) -> str:
    now = time.time_ns() // 1_000_000
    data = {"s": topic.rpartition(".")[2], "b": bids, "a": asks, "u": update, "seq": update}
    return json.dumps({"topic": topic, "type": kind, "ts": now, "data": data, "cts": now})


def _trade(symbol, number) -> str:
    now = time.time_ns() // 1_000_000
    row = {"T": now, "s": symbol, "S": "Buy", "v": "1", "p": "100.1", "i": f"{symbol}-{number}-{now}", "seq": number}
    return json.dumps({"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": now, "data": [row]})


def instrument_row(symbol: str) -> dict:
    return {
        "symbol": symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": symbol.removesuffix("USDT"),
        "quoteCoin": "USDT",
        "settleCoin": "USDT",
        "priceFilter": {"tickSize": "0.1", "minPrice": "0.1", "maxPrice": "199999"},
        "lotSizeFilter": {"minOrderQty": "1", "qtyStep": "1", "maxOrderQty": "100", "minNotionalValue": "5"},
        "leverageFilter": {"maxLeverage": "50"},
        "fundingInterval": 480,
    }


def tier_rows(symbol: str, scale: int = 1):
    """Two tiers; `scale` 100 gives percent."""
    for limit, maintenance, initial, leverage, deduction in (
        ("2000000", 0.01, 0.02, "50.00", ""),
        ("4000000", 0.02, 0.04, "25.00", "20000"),
    ):
        yield {
            "id": 1,
            "symbol": symbol,
            "riskLimitValue": limit,
            "maintenanceMargin": str(maintenance * scale),
            "initialMargin": str(initial * scale),
            "maxLeverage": leverage,
            "mmDeduction": deduction,
        }


def ticker_row(symbol: str, turnover: str, change: str = "0.01", bid: str = "99.99", ask: str = "100.00") -> dict:
    return {
        "symbol": symbol,
        "price24hPcnt": change,
        "turnover24h": turnover,
        "bid1Price": bid,
        "ask1Price": ask,
        "lastPrice": bid,
        "curPreListingPhase": "",
    }
