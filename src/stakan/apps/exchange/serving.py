"""The local exchange on a port: aiohttp around `LocalExchange`, one port for REST and all sockets."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import WSCloseCode, WSMsgType, web

from stakan.apps.exchange.control import Control
from stakan.apps.exchange.gateway import Request, Response
from stakan.apps.exchange.local import PATHS, LocalExchange
from stakan.core.domain.units import MILLISECOND, SECOND

MAX_WAITING = 16 << 20
"""Bytes that a client may leave unread, beyond what sockets hold, before it is cut off."""
_LONGEST_SLEEP_NS = 20 * MILLISECOND
_SHORTEST_SLEEP_NS = MILLISECOND // 2


class _Client:
    """The sending side of one socket: frames wait here, and a client that does not read them is cut off."""

    def __init__(self, socket: web.WebSocketResponse, max_waiting: int) -> None:
        self._socket = socket
        self._max_waiting = max_waiting
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self.is_over = asyncio.Event()
        """It is to be cut off, whatever it is doing."""

    def send(self, frame: bytes) -> None:
        """Put a frame behind those that wait."""
        if self.is_over.is_set():
            return
        self._waiting.append(frame)
        self._bytes += len(frame)
        self._wake.set()
        if self._bytes > self._max_waiting:
            self.cut()

    def cut(self) -> None:
        """End the connection without waiting for the client."""
        self._waiting.clear()
        self.is_over.set()

    async def write(self) -> None:
        """Write what there is to write, as fast as the client reads."""
        socket, waiting = self._socket, self._waiting
        while True:
            await self._wake.wait()
            self._wake.clear()
            while waiting:
                frame = waiting.popleft()
                self._bytes -= len(frame)
                await socket.send_frame(frame, WSMsgType.TEXT)


class Server:
    """Serves one exchange; `start` it, then let it `run`."""

    def __init__(self, local: LocalExchange, control: Control, max_waiting: int = MAX_WAITING) -> None:
        self._local = local
        self._max_waiting = max_waiting
        self._control = control
        self._runner: web.AppRunner | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """The pump; it ends by itself only with a bug of ours."""
        self.late_ns = 0
        """How late the pump was at worst."""

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises OSError where it is taken."""
        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/{path:.*}", self._request)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1024)
        await site.start()
        self.ended = asyncio.create_task(self._pump())
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Cut everybody off and stop listening."""
        self.ended.cancel()
        await asyncio.gather(self.ended, return_exceptions=True)
        self._local.cut()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _pump(self) -> None:
        while True:
            self._local.pump()
            sleep = min(max(self._local.wait(), _SHORTEST_SLEEP_NS), _LONGEST_SLEEP_NS)
            began = time.monotonic_ns()
            await asyncio.sleep(sleep / SECOND)
            self.late_ns = max(self.late_ns, time.monotonic_ns() - began - sleep)

    async def _request(self, request: web.Request) -> web.StreamResponse:
        if request.path in PATHS:
            return await self._socket(request)
        asked = Request(
            method=request.method,
            path=request.path,
            query=request.rel_url.raw_query_string,
            headers={name.lower(): value.encode(errors="replace").decode() for name, value in request.headers.items()},
            body=await request.read(),
            address=request.remote or "",
        )
        if self._control.answers(asked.path):
            answer = self._control.handle(asked)
            return _response(answer)
        answer = self._local.handle(asked)
        if answer.is_lost:
            return _lost(request)
        delay = self._local.reply_delay()
        if delay:
            await asyncio.sleep(delay / SECOND)
        return _response(answer)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=1 << 20)
        if not socket.can_prepare(request):
            return web.Response(status=400, text="this is a path of sockets")
        client = _Client(socket, self._max_waiting)
        connection = self._local.connect(
            request.path, dict(request.query), client.send, client.cut, request.remote or ""
        )
        if connection is None:
            return _lost(request)
        try:
            await socket.prepare(request)
            works = (client.write(), _read(socket, connection.receive), client.is_over.wait())
            tasks = [asyncio.ensure_future(work) for work in works]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                for result in await asyncio.gather(*tasks, return_exceptions=True):
                    if isinstance(result, Exception) and not isinstance(result, ConnectionError):
                        raise result
        finally:
            connection.close()
            if request.transport is not None:
                # Whoever is cut gets no farewell: that is what a cut connection is.
                request.transport.abort()
        return socket


async def _read(socket: web.WebSocketResponse, receive: Callable[[str], None]) -> None:
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            receive(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.close(code=WSCloseCode.UNSUPPORTED_DATA)


def _lost(request: web.Request) -> web.StreamResponse:
    """No answer: the connection breaks."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _response(answer: Response) -> web.Response:
    is_json = answer.body[:1] == b"{"
    return web.Response(
        status=answer.status,
        body=answer.body,
        headers=answer.headers,
        content_type="application/json" if is_json else "text/plain",
    )


@asynccontextmanager
async def serving(
    local: LocalExchange, control: Control, host: str, port: int, max_waiting: int = MAX_WAITING
) -> AsyncIterator[tuple[Server, int]]:
    """A server that listens while the block runs, and its port; `max_waiting` see `MAX_WAITING`."""
    server = Server(local, control, max_waiting)
    bound = await server.start(host, port)
    try:
        yield server, bound
    finally:
        await server.stop()
