"""The local exchange in a process of its own: orders over one trade socket, and public frames to ten clients."""

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

from bench._rows import Measured, Options, Row
from stakan.adapters.exchanges.bybit.auth import sign_login
from stakan.core.domain.units import MILLISECOND

_KEY, _SECRET = "stakan-key", "stakan-secret"
_IN_FLIGHT = 32
_RESTING = 10
"""Orders that rest at a time; then every new one is followed by a cancel."""
_CLIENTS = 10
_SYMBOLS = 20
_SPEED = 4
_START_S = 300
_SETTLE_S = 1.0
_TOPICS = ("orderbook.50", "orderbook.200", "publicTrade", "tickers")

Load = Callable[[str], Awaitable[int]]
"""Loads the server at an address; returns how much it did."""


def run(options: Options) -> list[Row]:
    """Rows `exchange_server.*`."""
    if not Path("/proc/self/schedstat").exists():
        why = "the processor time of another process is not told here"
        return [Row(name="exchange_server", what=__doc__ or "", unit="", event="", data="", skipped=why)]
    return [_orders(options), _frames(options)]


def _orders(options: Options) -> Row:
    count = options.count(10_000)
    numbers = itertools.count()
    with _serving("--symbols", "3") as (url, processor_ns):
        ours = _rates(options, url, processor_ns, lambda at: _trade(at, count, numbers))
    return Row(
        name="exchange_server.orders",
        what="order.create and order.cancel over one trade socket, market of 3 symbols going on",
        unit="requests/s",
        event=f"one request, accepted and answered; {_IN_FLIGHT} in flight, {_RESTING} orders rest; "
        "per second of the server's processor time",
        data="synthetic market, seed 7",
        ours=ours,
        bar=5_000,
    )


def _frames(options: Options) -> Row:
    seconds = max(0.5, 6 * options.scale)
    with _serving("--symbols", str(_SYMBOLS), "--speed", str(_SPEED), "--intervals", "source") as (url, processor_ns):
        ours = _rates(options, url, processor_ns, lambda at: _listen(at, seconds))
    return Row(
        name="exchange_server.frames",
        what=f"public frames of {_SYMBOLS} symbols (books of 50 and 200, prints, tickers) to {_CLIENTS} clients",
        unit="frames/s",
        event="one frame at one client; per second of the server's processor time, market and books included",
        data=f"synthetic market, seed 7, {_SPEED} times as fast",
        ours=ours,
        bar=20_000,
    )


def _rates(options: Options, url: str, processor_ns: Callable[[], int], load: Load) -> Measured:
    """Samples after a round that is not measured."""
    samples = []
    for _ in range(options.repetitions + 1):
        began = processor_ns()
        done = asyncio.run(_load(load, url))
        samples.append(done * 1e9 / (processor_ns() - began))
    return Measured(tuple(samples[1:]))


async def _load(load: Load, url: str) -> int:
    return await load(url)


@contextmanager
def _serving(*options: str) -> Iterator[tuple[str, Callable[[], int]]]:
    """A running exchange without limits and delays: its address and its processor time."""
    with TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        start = [sys.executable, "-c", "from stakan.apps.cli.main import main; main()", "exchange", "--port", "0"]
        limits = ["--rate-factor", "0", "--reply-delay", "0ms", "--json", "--ready-file", str(ready)]
        process = subprocess.Popen([*start, *limits, *options], stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + _START_S
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the local exchange did not start")
                time.sleep(0.05)
            used = Path(f"/proc/{process.pid}/schedstat")
            yield f"http://127.0.0.1:{json.loads(ready.read_text())['port']}", lambda: int(used.read_text().split()[0])
        finally:
            process.terminate()
            process.wait(_START_S)


async def _trade(url: str, count: int, numbers: Iterator[int]) -> int:
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/v5/trade") as socket:
        moment = _now_ms() + 5_000
        await socket.send_json({"op": "auth", "args": [_KEY, moment, sign_login(_SECRET, moment)]})
        _accepted(await socket.receive_json())
        resting: list[str] = []
        sent = answered = 0
        while answered < count:
            while sent < count and sent - answered < _IN_FLIGHT:
                await socket.send_json(_request(resting, next(numbers)))
                sent += 1
            answer = _accepted(await socket.receive_json())
            answered += 1
            if answer["op"] == "order.create":
                resting.append(answer["data"]["orderId"])
        for order_id in resting:
            await socket.send_json(_cancel(order_id))
            _accepted(await socket.receive_json())
        return count + len(resting)


def _request(resting: list[str], number: int) -> dict[str, Any]:
    if len(resting) > _RESTING:
        return _cancel(resting.pop(0))
    terms = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "timeInForce": "PostOnly"}
    order = terms | {"qty": "0.001", "price": "30000", "orderLinkId": f"bench-{number}"}
    return {"op": "order.create", "header": {"X-BAPI-TIMESTAMP": _now_ms()}, "args": [order]}


def _cancel(order_id: str) -> dict[str, Any]:
    name = {"category": "linear", "symbol": "BTCUSDT", "orderId": order_id}
    return {"op": "order.cancel", "header": {"X-BAPI-TIMESTAMP": _now_ms()}, "args": [name]}


def _accepted(answer: dict[str, Any]) -> dict[str, Any]:
    if answer["retCode"]:
        raise RuntimeError(f"not accepted: {answer}")
    return answer


async def _listen(url: str, seconds: float) -> int:
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{url}/v5/market/instruments-info?category=linear") as reply:
            symbols = [row["symbol"] for row in (await reply.json())["result"]["list"]]
        topics = [f"{topic}.{symbol}" for symbol in symbols for topic in _TOPICS]
        until = time.monotonic() + _SETTLE_S + seconds
        return sum(await asyncio.gather(*(_count(http, url, topics, until) for _ in range(_CLIENTS))))


async def _count(http: aiohttp.ClientSession, url: str, topics: list[str], until: float) -> int:
    frames = 0
    async with http.ws_connect(f"{url}/v5/public/linear") as socket:
        await socket.send_json({"op": "subscribe", "args": topics})
        while time.monotonic() < until:
            await socket.receive()
            frames += 1
    return frames


def _now_ms() -> int:
    return time.time_ns() // MILLISECOND
