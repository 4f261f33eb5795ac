"""The network between bot and exchange: connections and requests with delays, which may slow down, go dark and break.

What TCP promises holds: bytes of one connection arrive once and in order, or the connection breaks. Requests over HTTP
have connections of their own, so they overtake each other.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Protocol

from stakan.adapters.exchanges.bybit import auth
from stakan.adapters.exchanges.bybit.rest import Answer, Keys, Request, ServerClock, Unanswered
from stakan.apps.dst.plan import Broken
from stakan.apps.dst.time import Heap, Planned, ProcessTime
from stakan.apps.exchange import gateway
from stakan.apps.exchange.streams import Connection
from stakan.core.domain.units import MICROSECOND, MILLISECOND, SECOND

FLOOR_NS = 300 * MICROSECOND
MEAN_NS = MILLISECOND
"""What comes on top of the floor, exponentially distributed."""
TIMEOUT_NS = 5 * SECOND
ADDRESS = "127.0.0.1"
_CREATES = b'"op":"order.create"'
_CREATE_PATH = "/v5/order/create"


class Exchange(Protocol):
    """The exchange's end of the network."""

    def connect(
        self, path: str, query: dict[str, str], send: Callable[[bytes], None], cut: Callable[[], None], address: str
    ) -> Connection | None:
        """A socket opens; None where nobody answers."""
        ...

    def handle(self, request: gateway.Request) -> gateway.Response:
        """A request over HTTP."""
        ...

    def reply_delay(self) -> int:
        """How long an answer over HTTP takes, nanoseconds."""
        ...


class Peer(Protocol):
    """The bot's end of a connection."""

    def connected(self) -> None:
        """The connection is open."""
        ...

    def heard(self, frame: bytes) -> None:
        """A frame came."""
        ...

    def lost(self, why: str) -> None:
        """There is no connection (any more)."""
        ...


class Network:
    """How long everything takes, and what breaks."""

    def __init__(self, heap: Heap, exchange: Exchange, seed: int, counts: Counter[str]) -> None:
        self.heap = heap
        self.exchange = exchange
        self.counts = counts
        """Faults that happened."""
        self.mean_ns: int = MEAN_NS
        """Mean delay beyond the floor; a fault may raise it."""
        self.dark_until = 0
        """Until then nothing passes; it arrives afterwards, unless somebody has given it up."""
        self.refuses_until = 0
        """Until then no connection is made."""
        self.orders = 0
        """Requests for new orders so far."""
        self.breaks: deque[Broken] = deque()
        """What the next requests for new orders meet."""
        self.wires: list[Wire] = []
        """Those that the bot has, in the order in which they were made."""
        self._chance = random.Random(f"{seed}/network")  # noqa: S311 - a delay, not a secret

    @property
    def is_well(self) -> bool:
        """Whether what is sent arrives soon."""
        now = self.heap.now
        return now >= self.dark_until and now >= self.refuses_until and self.mean_ns <= MEAN_NS

    def hurry(self) -> None:
        """As quick as in the beginning."""
        self.mean_ns = MEAN_NS

    def calm(self) -> None:
        """No more faults."""
        self.hurry()
        self.dark_until = self.refuses_until = 0
        self.breaks.clear()

    def arrival(self, sent: int = 0) -> int:
        """When something arrives that is sent now, or at a later moment."""
        return max(self.heap.now, sent, self.dark_until) + FLOOR_NS + int(self._chance.expovariate(1 / self.mean_ns))

    def reset(self, stream: str | None = None) -> int:
        """Break connections of a kind (`public`, `private`, `trade`), or all; returns how many."""
        found = [wire for wire in self.wires if stream is None or stream in wire.path]
        for wire in found:
            wire.reset("connection reset by peer")
        return len(found)

    def abandon(self, time: ProcessTime) -> None:
        """A process is gone, and its connections with it."""
        for wire in [wire for wire in self.wires if wire.time is time]:
            wire.close()

    def fate_of_order(self) -> Broken | None:
        """What becomes of the connection over which an order is sent now."""
        self.orders += 1
        if not self.breaks:
            return None
        fate = self.breaks.popleft()
        self.counts[f"net: {fate.value}"] += 1
        return fate


class Wire:
    """One connection of a socket."""

    def __init__(self, network: Network, path: str, peer: Peer, time: ProcessTime, patience_ns: int) -> None:
        """Connects; the peer is told of the connection or of its failure, `patience_ns` from now at the latest."""
        self.path = path
        self.time = time
        self._network = network
        self._heap = network.heap
        self._peer = peer
        self._theirs: Connection | None = None
        self._is_over = False
        """Whether the peer is told nothing any more."""
        self._is_broken = False
        """Whether nothing passes any more, known or not."""
        self._up_at = 0
        self._down_at = 0
        self._give_up = self._heap.later(patience_ns, lambda: self._failed("TimeoutError"), time)
        network.wires.append(self)
        if self._heap.now < network.refuses_until:
            self._heap.later(FLOOR_NS, lambda: self._failed("connection refused"), time)
        else:
            self._heap.at(network.arrival(time.present), self._arrive)

    # --- the bot's end ----------------------------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        """Send a frame; what is sent over a connection that has broken is lost."""
        fate = self._network.fate_of_order() if self.path == "/v5/trade" and _CREATES in frame else None
        if fate is Broken.BEFORE:
            self.reset("connection reset by peer")
            return
        self._up_at = max(self._up_at, self._network.arrival(self.time.present))
        self._heap.at(self._up_at, lambda: self._deliver(frame, fate))

    def close(self) -> None:
        """The bot ends the connection; what it sent before still arrives."""
        if self._is_over:
            return
        self._forget()
        self._heap.at(max(self._up_at, self._network.arrival(self.time.present)), self._leave)

    # --- the exchange's end -----------------------------------------------------------------------------------------

    def _arrive(self) -> None:
        if self._is_over or self._is_broken:
            return
        self._theirs = self._network.exchange.connect(self.path, {}, self._send_down, self._cut, ADDRESS)
        if self._theirs is None:
            self._heap.at(self._network.arrival(), lambda: self._failed("no answer"), self.time)
            return
        self._down(self._opened)

    def _deliver(self, frame: bytes, fate: Broken | None) -> None:
        if self._theirs is None:
            return
        # The answer must not be on its way before the connection breaks.
        self._is_broken = fate is Broken.AFTER
        self._theirs.receive(frame)
        if self._is_broken:
            self.reset("connection reset by peer")

    def _send_down(self, frame: bytes) -> None:
        if not self._is_broken:
            self._down(lambda: self._peer.heard(frame))

    def _cut(self) -> None:
        """The exchange cuts it; what it sent before still arrives."""
        self._leave()
        self._down(lambda: self._lost("connection lost"))

    def _leave(self) -> None:
        theirs, self._theirs = self._theirs, None
        if theirs is not None:
            theirs.close()

    # --- both -------------------------------------------------------------------------------------------------------

    def reset(self, why: str) -> None:
        """It breaks: what is on its way is lost, and both ends hear of it."""
        self._is_broken = True
        self._leave()
        if not self._is_over:
            self._heap.later(FLOOR_NS, lambda: self._lost(why), self.time)

    def _down(self, call: Callable[[], None]) -> Planned:
        self._down_at = max(self._down_at, self._network.arrival())
        return self._heap.at(self._down_at, lambda: None if self._is_over else call(), self.time)

    def _opened(self) -> None:
        self._give_up.cancel()
        self._peer.connected()

    def _failed(self, why: str) -> None:
        if not self._is_over:
            self._lost(why)
            self._leave()

    def _lost(self, why: str) -> None:
        if not self._is_over:
            self._forget()
            self._peer.lost(why)

    def _forget(self) -> None:
        self._is_over = True
        self._give_up.cancel()
        if self in self._network.wires:
            self._network.wires.remove(self)


class Http:
    """The venue's `Transport`: signs as the real one does, and waits for an answer for some seconds."""

    def __init__(
        self,
        network: Network,
        time: ProcessTime,
        server_clock: ServerClock,
        keys: Keys,
        receive_window_ns: int = 5 * SECOND,
    ) -> None:
        self._network = network
        self._time = time
        self._server_clock = server_clock
        self._keys = keys
        self._window = receive_window_ns // MILLISECOND

    def __call__(self, request: Request, done: Callable[[Answer | Unanswered], None]) -> None:
        """Send; `done` is called once."""
        call = _Call(self._network, self._time, done)
        network = self._network
        fate = network.fate_of_order() if request.path == _CREATE_PATH else None
        if network.heap.now < network.refuses_until or fate is Broken.BEFORE:
            call.end(Unanswered("no connection: connection refused", was_sent=False))
            return
        asked = gateway.Request(
            method=request.method,
            path=request.path,
            query=request.query,
            headers=self._headers(request),
            body=request.body,
            address=ADDRESS,
        )
        network.heap.at(network.arrival(self._time.present), lambda: call.arrive(asked, fate))

    def _headers(self, request: Request) -> Mapping[str, str]:
        if not request.is_signed:
            return {}
        content = request.body or request.query.encode()
        millis = self._server_clock.millis()
        headers = auth.request_headers(self._keys.key, self._keys.secret, millis, self._window, content)
        return {name.lower(): value for name, value in headers.items()}


class _Call:
    """One request over HTTP and its answer."""

    def __init__(self, network: Network, time: ProcessTime, done: Callable[[Answer | Unanswered], None]) -> None:
        self._network = network
        self._heap = network.heap
        self._time = time
        self._done: Callable[[Answer | Unanswered], None] | None = done
        self._sent = time.now()
        late = Unanswered("no answer: TimeoutError", was_sent=True)
        self._give_up = self._heap.later(TIMEOUT_NS, lambda: self._finish(late), time)

    def arrive(self, asked: gateway.Request, fate: Broken | None) -> None:
        """The request is at the exchange, whoever still waits for it."""
        response = self._network.exchange.handle(asked)
        if response.is_lost or fate is Broken.AFTER:
            self.end(Unanswered("no answer: ServerDisconnectedError", was_sent=True))
            return
        at = self._network.arrival() + self._network.exchange.reply_delay()
        self._heap.at(at, lambda: self._answered(response), self._time)

    def end(self, answer: Unanswered) -> None:
        """There will be no answer, and the bot hears of it."""
        self._heap.at(self._network.arrival(), lambda: self._finish(answer), self._time)

    def _answered(self, response: gateway.Response) -> None:
        self._finish(Answer(response.status, response.headers, response.body, self._sent, self._time.now()))

    def _finish(self, answer: Answer | Unanswered) -> None:
        done, self._done = self._done, None
        if done is not None:
            self._give_up.cancel()
            done(answer)
