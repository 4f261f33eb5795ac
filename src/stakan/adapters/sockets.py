"""A WebSocket that stays connected: pings, a watchdog, reconnects that back off; what it carries is the handler's.

The handler is a state machine without I/O: it is told of an open and a closed connection and of every frame, and
writes with `Socket.send`. All of it runs in one call stack on the event loop, without queues.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec
import numpy as np
from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from picows.picows import WSCloseHandshake

from stakan.core.domain.units import MINUTE, SECOND, Nanos

JSON_PING = b'{"op":"ping"}'
_MAX_FRAME = 64 * 1024 * 1024
_GRACE_S = 1.0
"""How long a stop waits for a handshake that is under way."""
# picows tells of every broken connection in the log; the handler is told instead.
_SILENT = logging.getLogger("stakan.sockets.silent")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class SocketHandler(Protocol):
    """What a socket tells. An exception out of a handler is a bug: it ends `Socket.run`, which raises it."""

    def on_open(self) -> None:
        """Connected: log in, subscribe. `Socket.send` works from here on."""
        ...

    def on_frame(self, data: bytes, ts_recv: int) -> None:
        """A whole text or binary message, pongs of the JSON ping included."""
        ...

    def on_close(self, why: str) -> None:
        """The connection is gone; once for every `on_open`. The socket connects again by itself."""
        ...


class SocketLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Patience of a socket."""

    ping: bytes = JSON_PING
    ping_every_ns: Nanos = Nanos(20 * SECOND)
    idle_after_ns: Nanos = Nanos(30 * SECOND)
    """Silence this long, pongs included, means that the connection is dead. More than `ping_every_ns`."""
    connect_within_ns: Nanos = Nanos(5 * SECOND)
    """For the connection, and once more for the upgrade."""
    first_wait_ns: Nanos = Nanos(SECOND // 4)
    longest_wait_ns: Nanos = Nanos(30 * SECOND)
    stable_after_ns: Nanos = Nanos(10 * SECOND)
    """A connection that lived this long ends a row of failures."""


class ConnectBudget:
    """At most `most` connects in any `window_ns`; one budget is shared by all sockets to a host.

    Whoever has waited asks again before it connects: others have waited for the same moment.
    """

    def __init__(self, most: int = 200, window_ns: int = 5 * MINUTE) -> None:
        self._window = window_ns
        self._taken: deque[int] = deque(maxlen=most)

    def wait(self, now: int) -> int:
        """Nanoseconds until another connect is allowed; 0 is now."""
        taken = self._taken
        return max(0, taken[0] + self._window - now) if len(taken) == taken.maxlen else 0

    def left(self, now: int) -> int:
        """How many connects may begin now."""
        assert self._taken.maxlen is not None
        return self._taken.maxlen - sum(1 for at in self._taken if at + self._window > now)

    def take(self, now: int) -> None:
        """A connect was begun."""
        self._taken.append(now)


class Backoff:
    """How long to wait before the next connect: doubled with every failure in a row, jittered, within the budget."""

    def __init__(self, limits: SocketLimits, chance: np.random.Generator, budget: ConnectBudget | None = None) -> None:
        self._limits = limits
        self._chance = chance
        self._budget = budget or ConnectBudget()
        self._failures = 0
        self._opened = 0
        self._is_first = True

    def wait(self, now: int) -> int:
        """Nanoseconds to wait from `now`; the first connect of all needs none."""
        limits = self._limits
        wait = 0
        if not self._is_first:
            ceiling = min(limits.longest_wait_ns, limits.first_wait_ns << min(self._failures, 30))
            # Half of it is fixed, so that a server that comes back is not met by everybody at once, nor hammered.
            wait = ceiling // 2 + int(self._chance.integers(0, ceiling // 2 + 1))
        return max(wait, self._budget.wait(now))

    def held_back(self, now: int) -> int:
        """Nanoseconds that the budget alone still asks for, after the wait."""
        return self._budget.wait(now)

    def begun(self, now: int) -> None:
        """A connect was begun."""
        self._is_first = False
        self._budget.take(now)

    def opened(self, now: int) -> None:
        """It succeeded."""
        self._opened = now

    def failed(self) -> None:
        """It failed."""
        self._failures += 1

    def closed(self, now: int) -> None:
        """The connection ended: one more failure in the row, unless it had lived for a while."""
        self._failures = 0 if now - self._opened >= self._limits.stable_after_ns else self._failures + 1


class Socket:
    """One connection to one address, for as long as `run` runs.

    `clock` gives strictly increasing nanoseconds and stamps frames; `chance` draws the jitter.
    """

    def __init__(
        self,
        url: str,
        handler: SocketHandler,
        *,
        clock: Callable[[], int],
        chance: np.random.Generator,
        limits: SocketLimits | None = None,
        budget: ConnectBudget | None = None,
    ) -> None:
        self.url = url
        self.opened = 0
        """How often it has connected."""
        self.failed = 0
        """How often a connect has failed; `problem` says why the last one did, or why the last connection ended."""
        self.problem = ""
        self._handler = handler
        self._clock = clock
        self._limits = limits or SocketLimits()
        self._backoff = Backoff(self._limits, chance, budget)
        self._connection: _Connection | None = None
        self._is_stopping = False
        self._stopped = asyncio.Event()
        self._error: BaseException | None = None

    @property
    def is_open(self) -> bool:
        """Whether `send` can work."""
        return self._connection is not None

    def send(self, message: bytes) -> bool:
        """Write a text message; False where nothing was written: not connected, or the peer does not read."""
        connection = self._connection
        return connection is not None and connection.send(message)

    def reconnect(self, why: str) -> None:
        """Give this connection up and make another one; `on_close` is called before this returns."""
        if self._connection is not None:
            self._connection.end(why)

    def stop(self) -> None:
        """End `run`; an open connection is closed, and `on_close` called, before this returns."""
        self._is_stopping = True
        self._stopped.set()
        self.reconnect("stopped")

    async def run(self) -> None:
        """Connect, and connect again, until `stop`; raises what a handler raised."""
        try:
            while not self._is_stopping:
                await self._pause_for_turn()
                if not self._is_stopping:
                    await self._live_once()
                if self._error is not None:
                    raise self._error
        finally:
            self.stop()

    async def _pause_for_turn(self) -> None:
        await self._pause(self._backoff.wait(self._clock()))
        while not self._is_stopping and (more := self._backoff.held_back(self._clock())):
            await self._pause(more)

    async def _pause(self, wait_ns: int) -> None:
        if wait_ns > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), wait_ns / SECOND)

    async def _live_once(self) -> None:
        self._backoff.begun(self._clock())
        connection = _Connection(self, self._handler, self._clock, self._limits)
        # Cancelling picows in its handshake would leave the transport open, so an attempt that is no longer wanted
        # ends by itself, and `connection` refuses what comes of it.
        attempt = asyncio.ensure_future(self._connect(connection))
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait((attempt, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if self._is_stopping:
            connection.end("stopped")
            await asyncio.wait((attempt,), timeout=_GRACE_S)
        elif attempt.result():
            await connection.gone.wait()
            self._backoff.closed(self._clock())
        else:
            self.failed += 1
            self._backoff.failed()

    async def _connect(self, connection: "_Connection") -> bool:
        patience_s = self._limits.connect_within_ns / SECOND
        try:
            # picows' own time-out, which closes the transport, has to come first once there is one.
            async with asyncio.timeout(2 * patience_s + 1):
                await ws_connect(
                    lambda: connection,
                    self.url,
                    logger_name=_SILENT,
                    websocket_handshake_timeout=patience_s,
                    max_frame_size=_MAX_FRAME,
                )
        except (OSError, WSError, TimeoutError) as error:
            problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        else:
            problem = "closed in the handshake"
        if not connection.was_open:
            self.problem = problem
        return connection.was_open

    # --- told by the connection -------------------------------------------------------------------------------------

    def connected(self, connection: "_Connection") -> None:
        """A connection is open."""
        self._connection = connection
        self.opened += 1
        self._backoff.opened(self._clock())

    def ended(self, why: str) -> None:
        """The connection is no longer to be used."""
        self._connection = None
        self.problem = why

    def broke(self, error: BaseException) -> None:
        """A handler raised."""
        if self._error is None:
            self._error = error


class _Connection(WSListener):
    """One connection from upgrade to end. After `end` nothing more of it reaches the handler."""

    def __init__(self, socket: Socket, handler: SocketHandler, clock: Callable[[], int], limits: SocketLimits) -> None:
        self.gone = asyncio.Event()
        self.ended: str | None = None
        self.was_open = False
        self._socket = socket
        self._handler = handler
        self._clock = clock
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._transport: WSTransport | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._last_frame = 0
        self._parts: list[bytes] = []
        self._is_full = False

    def send(self, message: bytes) -> bool:
        if self._transport is None or self.ended is not None or self._is_full:
            return False
        self._transport.send(WSMsgType.TEXT, message)
        return True

    def end(self, why: str) -> None:
        if self.ended is not None:
            return
        self.ended = why
        for timer in self._timers:
            timer.cancel()
        transport = self._transport
        if transport is not None:
            if not transport.is_disconnected:
                transport.send_close(WSCloseCode.OK)
                # A peer that does not read must not keep us waiting.
                transport.disconnect(graceful=False)
            self._socket.ended(why)
            try:
                self._handler.on_close(why)
            except Exception as error:  # noqa: BLE001 - see `_guarded`
                self._socket.broke(error)

    # --- told by picows ---------------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        if self.ended is not None:
            transport.disconnect(graceful=False)
            return
        self.was_open = True
        self._last_frame = self._clock()
        self._socket.connected(self)
        self._guarded(self._handler.on_open)
        self._ping()
        self._watch()

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        ts_recv = self._last_frame = self._clock()
        if self.ended is not None:
            return
        kind = frame.msg_type
        if kind == WSMsgType.TEXT and frame.fin:
            # The common case first, and without a closure.
            try:
                self._handler.on_frame(frame.get_payload_as_bytes(), ts_recv)
            except Exception as error:  # noqa: BLE001 - a bug of the handler surfaces where `run` is awaited
                self._break(error)
        elif kind == WSMsgType.CLOSE:
            self.end(f"closed by the exchange: {frame.get_close_code()} {frame.get_close_reason()}".rstrip())
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._parts.append(frame.get_payload_as_bytes())
            if frame.fin:
                message, self._parts = b"".join(self._parts), []
                self._guarded(lambda: self._handler.on_frame(message, ts_recv))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.gone.set()
        # None where no close frame went either way, whatever picows' stubs say.
        handshake: WSCloseHandshake | None = transport.close_handshake
        sent = handshake.sent if handshake is not None else None
        self.end(f"connection lost: {sent.reason}" if sent is not None and sent.reason else "connection lost")

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False

    # --- time -------------------------------------------------------------------------------------------------------

    def _ping(self) -> None:
        if self.ended is None:
            self.send(self._limits.ping)
            self._later(self._limits.ping_every_ns, self._ping)

    def _watch(self) -> None:
        if self.ended is None:
            silent = self._clock() - self._last_frame
            if silent >= self._limits.idle_after_ns:
                self.end(f"silent for {silent / SECOND:.1f} s")
            else:
                self._later(self._limits.idle_after_ns - silent, self._watch)

    def _later(self, delay_ns: int, call: Callable[[], None]) -> None:
        now = self._loop.time()
        self._timers = [timer for timer in self._timers if timer.when() > now]
        self._timers.append(self._loop.call_later(delay_ns / SECOND, call))

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - a bug of the handler surfaces where `run` is awaited
            self._break(error)

    def _break(self, error: Exception) -> None:
        self._socket.broke(error)
        self.end(f"our handler failed: {error}")
