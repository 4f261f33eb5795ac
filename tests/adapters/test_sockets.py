"""A socket against real servers on the loopback that die, fall silent, talk nonsense and come back."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from stakan.adapters.sockets import Backoff, ConnectBudget, Socket, SocketLimits
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND, Nanos

GUARD_S = 20.0
QUICK = SocketLimits(
    ping_every_ns=Nanos(50 * MILLISECOND),
    idle_after_ns=Nanos(300 * MILLISECOND),
    connect_within_ns=Nanos(300 * MILLISECOND),
    first_wait_ns=Nanos(2 * MILLISECOND),
    longest_wait_ns=Nanos(20 * MILLISECOND),
)


def increasing_clock() -> Callable[[], int]:
    last = 0

    def now() -> int:
        nonlocal last
        last = max(last + 1, time.monotonic_ns())
        return last

    return now


class Log:
    """Keeps what a socket tells."""

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []
        self.changed = asyncio.Event()

    def on_open(self) -> None:
        self._note("open", None)

    def on_frame(self, data: bytes, ts_recv: int) -> None:
        self._note("frame", (data, ts_recv))

    def on_close(self, why: str) -> None:
        self._note("close", why)

    def _note(self, kind: str, what: object) -> None:
        self.events.append((kind, what))
        self.changed.set()

    def of(self, kind: str) -> list:
        return [what for name, what in self.events if name == kind]

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()


class Peer(WSListener):
    """The server's end: answers JSON pings, and does to its n-th connection what `script` says."""

    def __init__(self, server: "Server", number: int) -> None:
        self.server, self.number = server, number

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.server.peers.append(transport)
        self.server.script(transport, self.number)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            self.server.received.append(frame.get_payload_as_bytes())
            if self.server.answers:
                transport.send(WSMsgType.TEXT, b'{"op":"ping","ret_msg":"pong"}')


class Server:
    def __init__(
        self, script: Callable[[WSTransport, int], None] = lambda _t, _n: None, *, answers: bool = True
    ) -> None:
        self.script, self.answers = script, answers
        self.received: list[bytes] = []
        self.peers: list[WSTransport] = []
        self.count = itertools.count(1)
        self.url = ""

    async def __aenter__(self) -> Self:
        def make(_request: WSUpgradeRequest) -> WSListener:
            return Peer(self, next(self.count))

        self._server = await ws_create_server(make, "127.0.0.1", 0)
        self.url = "ws://{}:{}/v5/public/linear".format(*self._server.sockets[0].getsockname())
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        for peer in self.peers:
            peer.disconnect(graceful=False)
        await self._server.wait_closed()
        await asyncio.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def guarded() -> None:
        async with asyncio.timeout(GUARD_S):
            await scenario()

    asyncio.run(guarded())


class Running:
    """A socket that runs while the block does."""

    def __init__(self, url: str, log: Log, limits: SocketLimits = QUICK) -> None:
        self.socket = Socket(
            url, log, clock=increasing_clock(), chance=np.random.default_rng(1), limits=limits, budget=ConnectBudget()
        )

    async def __aenter__(self) -> Socket:
        self.task = asyncio.create_task(self.socket.run())
        return self.socket

    async def __aexit__(self, *_error: object) -> None:
        self.socket.stop()
        await self.task


def test_opens_pings_delivers_and_stops():
    async def scenario() -> None:
        log = Log()
        async with Server() as server, Running(server.url, log) as socket:
            await log.until(lambda: len(log.of("frame")) >= 3)
            assert server.received[0] == b'{"op":"ping"}'
            assert socket.send(b"hello")
            await log.until(lambda: b"hello" in server.received)
            socket.stop()
            assert not socket.send(b"too late")
        times = [ts for _, ts in log.of("frame")]
        assert times == sorted(set(times))
        assert [kind for kind, _ in log.events if kind != "frame"] == ["open", "close"]
        assert log.events[0][0] == "open"
        assert log.events[-1] == ("close", "stopped")

    run(scenario)


def test_reconnects_when_the_server_drops_the_connection():
    def drop(peer: WSTransport, number: int) -> None:
        if number < 4:
            peer.disconnect(graceful=False)

    async def scenario() -> None:
        log = Log()
        async with Server(drop) as server, Running(server.url, log) as socket:
            await log.until(lambda: len(log.of("open")) == 4 and len(log.of("frame")) > 0)
            assert socket.is_open
            assert log.of("close") == ["connection lost"] * 3

    run(scenario)


def test_a_close_frame_is_named():
    def close(peer: WSTransport, number: int) -> None:
        if number == 1:
            peer.send_close(WSCloseCode.SERVICE_RESTART, b"restart")
            peer.disconnect()

    async def scenario() -> None:
        log = Log()
        async with Server(close) as server, Running(server.url, log):
            await log.until(lambda: len(log.of("open")) == 2)
        assert "restart" in log.of("close")[0]

    run(scenario)


def test_silence_counts_as_death():
    async def scenario() -> None:
        log = Log()
        async with Server(answers=False) as server, Running(server.url, log):
            await log.until(lambda: len(log.of("open")) == 2)
        assert log.of("close")[0].startswith("silent for 0.3")

    run(scenario)


def test_a_server_that_never_answers_the_upgrade_is_left():
    async def scenario() -> None:
        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        log = Log()
        url = "ws://{}:{}/".format(*server.sockets[0].getsockname())
        async with Running(url, log) as socket:
            await until(lambda: socket.failed >= 2)
            assert "TimeoutError" in socket.problem
        assert log.events == []
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.05)

    run(scenario)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", b"\x00\xff nonsense\r\n\r\n", b""]
)
def test_a_refused_upgrade_is_tried_again(answer: bytes):
    async def scenario() -> None:
        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        log = Log()
        async with Running("ws://{}:{}/".format(*server.sockets[0].getsockname()), log) as socket:
            await until(lambda: socket.failed >= 3)
            assert socket.problem
        assert log.events == []
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.05)

    run(scenario)


@pytest.mark.parametrize(
    "bytes_on_the_wire",
    [
        b"\x81\x05he",  # ends inside a frame
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",  # reserved bits and an opcode that does not exist
        b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",  # a frame larger than memory
    ],
)
def test_garbage_and_half_a_frame_end_the_connection_only(bytes_on_the_wire: bytes):
    def spoil(peer: WSTransport, number: int) -> None:
        if number == 1:
            peer.underlying_transport.write(bytes_on_the_wire)
            peer.underlying_transport.close()

    async def scenario() -> None:
        log = Log()
        async with Server(spoil) as server, Running(server.url, log):
            await log.until(lambda: len(log.of("open")) == 2 and len(log.of("frame")) > 0)
        assert len(log.of("close")) == 2
        assert {data for data, _ in log.of("frame")} == {b'{"op":"ping","ret_msg":"pong"}'}

    run(scenario)


def test_a_message_in_pieces_is_one_message():
    def pieces(peer: WSTransport, _number: int) -> None:
        peer.send(WSMsgType.TEXT, b"abc", False)
        peer.send(WSMsgType.CONTINUATION, b"def", False)
        peer.send(WSMsgType.CONTINUATION, b"g", True)

    async def scenario() -> None:
        log = Log()
        async with Server(pieces, answers=False) as server, Running(server.url, log):
            await log.until(lambda: len(log.of("frame")) == 1)
        assert log.of("frame")[0][0] == b"abcdefg"

    run(scenario)


def test_reconnect_tells_the_handler_at_once():
    async def scenario() -> None:
        log = Log()
        async with Server() as server, Running(server.url, log) as socket:
            await log.until(lambda: len(log.of("open")) == 1)
            socket.reconnect("three resyncs")
            assert log.events[-1] == ("close", "three resyncs")
            assert not socket.is_open
            await log.until(lambda: len(log.of("open")) == 2)

    run(scenario)


def test_a_failing_handler_ends_the_run_with_its_error():
    class Broken(Log):
        def on_frame(self, data: bytes, ts_recv: int) -> None:
            raise ZeroDivisionError

    async def scenario() -> None:
        async with Server() as server:
            socket = Socket(
                server.url, Broken(), clock=increasing_clock(), chance=np.random.default_rng(1), limits=QUICK
            )
            with pytest.raises(ZeroDivisionError):
                await socket.run()
            assert not socket.is_open

    run(scenario)


def test_nobody_listens_then_somebody_does():
    async def scenario() -> None:
        log = Log()
        async with Server() as server:
            url = server.url
        async with Running(url, log) as socket:
            await until(lambda: socket.failed >= 2)
            assert not socket.send(b"x")
            port = int(url.rsplit(":", 1)[1].split("/")[0])
            listener = await ws_create_server(lambda _request: WSListener(), "127.0.0.1", port)
            await log.until(lambda: len(log.of("open")) == 1)
        listener.close()
        await listener.wait_closed()
        await asyncio.sleep(0.01)

    run(scenario)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20 * SECOND)), max_size=200), st.integers(1, 50))
def test_never_more_connects_than_the_budget(lives: list[tuple[bool, int]], most: int):
    backoff = Backoff(SocketLimits(), np.random.default_rng(0), ConnectBudget(most))
    now, begun = 0, []
    for does_open, life in lives:
        now += backoff.wait(now)
        backoff.begun(now)
        begun.append(now)
        if does_open:
            backoff.opened(now)
            now += life
            backoff.closed(now)
        else:
            backoff.failed()
    for i in range(most, len(begun)):
        assert begun[i] - begun[i - most] >= 5 * MINUTE


def test_waits_double_and_are_jittered_up_to_the_longest():
    limits = SocketLimits()
    backoff = Backoff(limits, np.random.default_rng(0))
    assert backoff.wait(0) == 0
    backoff.begun(0)
    for failures in range(1, 12):
        backoff.failed()
        ceiling = min(limits.longest_wait_ns, limits.first_wait_ns * 2**failures)
        waits = {backoff.wait(0) for _ in range(50)}
        assert len(waits) > 1
        assert all(ceiling // 2 <= wait <= ceiling for wait in waits)
    backoff.opened(0)
    backoff.closed(limits.stable_after_ns)
    assert backoff.wait(0) <= limits.first_wait_ns


@given(st.integers(1, 12), st.integers(1, 20), st.lists(st.integers(0, 20 * SECOND), min_size=1, max_size=40))
def test_many_sockets_behind_one_budget_never_connect_more_often_than_it_allows(
    sockets: int, most: int, lives: list[int]
):
    """They all lose their connections at once, again and again, and wait for the same moment."""
    budget, begun = ConnectBudget(most), []
    backoffs = [Backoff(SocketLimits(), np.random.default_rng(seed), budget) for seed in range(sockets)]
    coming = [(backoff.wait(0), number) for number, backoff in enumerate(backoffs)]
    heapq.heapify(coming)
    for life in lives * 3:
        at, number = heapq.heappop(coming)
        backoff = backoffs[number]
        if more := backoff.held_back(at):
            heapq.heappush(coming, (at + more, number))
            continue
        left = budget.left(at)
        assert (left > 0) == (budget.wait(at) == 0)
        backoff.begun(at)
        begun.append(at)
        assert budget.left(at) == left - 1 == most - sum(one > at - 5 * MINUTE for one in begun)
        backoff.opened(at)
        backoff.closed(at + life)
        heapq.heappush(coming, (at + life + backoff.wait(at + life), number))
    assert begun
    for i in range(most, len(begun)):
        assert begun[i] - begun[i - most] >= 5 * MINUTE


def test_a_connection_that_dies_right_after_opening_is_one_more_failure():
    limits = SocketLimits()
    backoff, now = Backoff(limits, np.random.default_rng(0)), 0
    waits = []
    for _ in range(10):
        waits.append(backoff.wait(now))
        now += waits[-1]
        backoff.begun(now)
        backoff.opened(now)
        now += limits.stable_after_ns - 1
        backoff.closed(now)
    assert waits[0] == 0
    assert all(limits.first_wait_ns * 2**number // 2 <= wait for number, wait in enumerate(waits[1:8], start=1))
    assert waits[-1] >= limits.longest_wait_ns // 2


def test_a_server_that_lets_everybody_in_and_out_again_is_asked_less_and_less_often():
    async def scenario() -> None:
        log = Log()
        slow = SocketLimits(first_wait_ns=Nanos(40 * MILLISECOND), longest_wait_ns=Nanos(2 * SECOND))
        async with (
            Server(lambda transport, _: transport.disconnect(graceful=False)) as server,
            Running(server.url, log, slow) as socket,
        ):
            await asyncio.sleep(1)
            # After 40, 80, 160, 320 and 640 ms, or half of each: without back-off there would be hundreds.
            assert 1 <= socket.opened <= 6

    run(scenario)


def test_sockets_that_wait_for_the_same_budget_connect_one_after_the_other():
    async def scenario() -> None:
        async with Server() as server:
            budget = ConnectBudget(1, 100 * MILLISECOND)
            common = {"clock": increasing_clock(), "limits": QUICK, "budget": budget}
            sockets = [Socket(server.url, Log(), chance=np.random.default_rng(n), **common) for n in range(4)]
            began = time.monotonic()
            tasks = [asyncio.create_task(socket.run()) for socket in sockets]
            await until(lambda: all(socket.opened for socket in sockets))
            assert time.monotonic() - began >= 0.3
            for socket in sockets:
                socket.stop()
            await asyncio.gather(*tasks)

    run(scenario)
