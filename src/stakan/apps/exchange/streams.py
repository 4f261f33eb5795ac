"""Connections of the local exchange's sockets, without the sockets: frames in, frames out.

Texts and shapes are those of Bybit v5, "Connect" and "WebSocket Trade Guideline". A connection sends in the order of
its causes; a frame that a fault has delayed may be overtaken.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar

import msgspec

from stakan.apps.exchange.accounts import OPERATIONS
from stakan.apps.exchange.board import Board
from stakan.apps.exchange.faults import LATE_ANSWER_NS, Chaos, Stream, Trouble
from stakan.apps.exchange.gate import DEFAULT_WINDOW_MS, Caller, check_time
from stakan.apps.exchange.gateway import Gateway, Outcome, limit_headers
from stakan.apps.exchange.numbers import whole
from stakan.apps.exchange.refusal import PARAMETER_ERROR, Refused
from stakan.apps.exchange.replies import Push
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND

MAX_ARGS_CHARACTERS = 21_000
"""Of all topics of one public connection."""
IDLE_NS = 10 * MINUTE
KEPT_REQUEST_IDS = 1_000
PRIVATE_TOPICS = ("order", "execution", "execution.fast", "position", "wallet", "greeks", "dcp")
STATUS_TOPIC = "system.status"
_CATEGORIES = ("linear", "inverse", "spot", "option")
_DUPLICATE_ID = 20_006
_UNKNOWN_OP = 10_404
_LOGGED_IN = 20_001
_NOT_LOGGED_IN = 10_003
_MAX_ID = 36
_SHORTEST_WAIT = MILLISECOND // 10

_encode = msgspec.json.Encoder().encode


class Exchange:
    """What connections share; the composition fills it in."""

    def __init__(
        self,
        *,
        now: Callable[[], int],
        steady: Callable[[], int],
        later: Callable[[int, Callable[[], None]], object],
        board: Board,
        gateway: Gateway,
        chaos: Chaos,
        reply_delay: Callable[[], int],
        push_delay: int = 0,
    ) -> None:
        """`now` is the exchange's time, which faults may bend; `steady` the time of the timers, which they do not.

        `later(ns, do)` is a timer, `reply_delay` draws how long an answer takes, `push_delay` is how long private
        streams take to tell; nanoseconds.
        """
        self.now = now
        self.steady = steady
        self.push_delay = push_delay
        self.later = later
        self.board = board
        self.gateway = gateway
        self.chaos = chaos
        self.reply_delay = reply_delay
        self.topics: dict[str, dict[int, PublicConnection]] = {}
        self.private: dict[int, dict[int, PrivateConnection]] = {}
        self.open: dict[int, Connection] = {}
        self.frames_out = 0

    def emit(self, topic: str, frame: bytes) -> None:
        """A public frame, encoded once, to whoever has the topic open."""
        for connection in list(self.topics.get(topic, {}).values()):
            connection.data(frame)

    def push(self, uid: int, pushes: Iterable[Push]) -> None:
        """What an account's private streams tell."""
        connections = list(self.private.get(uid, {}).values())
        if connections:
            for push in pushes:
                for connection in connections:
                    connection.tell_of(push)


class Connection(ABC):
    """One socket: `receive` what the client sends; `send` and `cut` reach it."""

    stream: ClassVar[Stream]

    def __init__(
        self,
        exchange: Exchange,
        number: int,
        send: Callable[[bytes], None],
        cut: Callable[[], None],
        address: str = "",
        idle_ns: int = IDLE_NS,
    ) -> None:
        self.number = number
        self.id = f"stakan-{number}"
        self.exchange = exchange
        self.address = address
        self.idle_ns = idle_ns
        self.active = exchange.steady()
        """When something last came from the client or went to it, in the time of the timers."""
        self._send = send
        self._cut = cut
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._is_closed = False
        exchange.open[number] = self

    def receive(self, text: bytes | str) -> None:
        """A text frame of the client; never raises for what it sends."""
        self.active = self.exchange.steady()
        try:
            message = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self.answer({"success": False, "ret_msg": "error:not a JSON object", "conn_id": self.id, "op": ""})
            return
        self._take(message)

    def close(self) -> None:
        """The socket is gone."""
        self._is_closed = True
        self._waiting.clear()
        self.exchange.open.pop(self.number, None)

    def cut(self) -> None:
        """Throw the client out."""
        if not self._is_closed:
            self._cut()

    def data(self, frame: bytes, delay: int = 0) -> None:
        """A frame with data: it may meet a fault."""
        fate = self.exchange.chaos.fate(self.stream)
        for late in fate.deliveries:
            if late and fate.overtaken:
                self.exchange.later(late, partial(self._now, frame))
            else:
                self._in_order(frame, delay + late)

    def answer(self, message: Mapping[str, Any], delay: int | None = None) -> None:
        """An answer, after the delay that answers take."""
        self._in_order(_encode(message), self.exchange.reply_delay() if delay is None else delay)

    @abstractmethod
    def _take(self, message: dict[str, Any]) -> None:
        """A request of the client."""

    def _in_order(self, frame: bytes, delay: int) -> None:
        if not self._waiting and delay <= 0:
            self._now(frame)
            return
        if not self._waiting:
            self.exchange.later(delay, self._release)
        self._waiting.append((self.exchange.steady() + delay, frame))

    def _release(self) -> None:
        now = self.exchange.steady()
        while self._waiting and self._waiting[0][0] <= now:
            self._now(self._waiting.popleft()[1])
        if self._waiting:
            self.exchange.later(max(self._waiting[0][0] - now, _SHORTEST_WAIT), self._release)

    def _now(self, frame: bytes) -> None:
        if not self._is_closed:
            self.active = self.exchange.steady()
            self.exchange.frames_out += 1
            self._send(frame)


class PublicConnection(Connection):
    """`/v5/public/linear`: subscriptions and pings."""

    stream = Stream.PUBLIC

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._topics: set[str] = set()

    def close(self) -> None:
        """The socket is gone, and with it its subscriptions."""
        for topic in list(self._topics):
            self._drop(topic)
        super().close()

    def _take(self, message: dict[str, Any]) -> None:
        match message.get("op"):
            case "ping":
                self.answer(_said(message, self.id, "ping", "pong"))
            case "subscribe":
                self._subscribe(message)
            case "unsubscribe":
                for topic in _topics(message):
                    self._drop(topic)
                self.answer(_said(message, self.id, "unsubscribe"))
            case op:
                self.answer(_said(message, self.id, str(op or ""), "error:op not found", is_good=False))

    def _subscribe(self, message: dict[str, Any]) -> None:
        topics = list(dict.fromkeys(_topics(message)))
        complaint = self._complaint(topics)
        if complaint:
            self.answer(_said(message, self.id, "subscribe", complaint, is_good=False))
            return
        self.answer(_said(message, self.id, "subscribe"))
        for topic in topics:
            self._topics.add(topic)
            self._open(topic)

    def _complaint(self, topics: list[str]) -> str:
        if not topics:
            return "error:no topics"
        if sum(map(len, self._topics)) + sum(map(len, topics)) > MAX_ARGS_CHARACTERS:
            return f"error:args of a connection are limited to {MAX_ARGS_CHARACTERS} characters"
        for topic in topics:
            try:
                self._check(topic)
            except Refused as refused:
                return refused.message
            if topic in self._topics:
                return f"error:already subscribed,topic:{topic}"
        return ""

    def _drop(self, topic: str) -> None:
        if topic in self._topics:
            self._topics.discard(topic)
            self._shut(topic)

    def _check(self, topic: str) -> None:
        """Raises Refused with the protocol's text where there is no such topic."""
        self.exchange.board.check(topic)

    def _open(self, topic: str) -> None:
        self.exchange.topics.setdefault(topic, {})[self.number] = self
        for frame in self.exchange.board.open(topic):
            self.data(frame)

    def _shut(self, topic: str) -> None:
        self.exchange.board.close(topic)
        subscribers = self.exchange.topics[topic]
        del subscribers[self.number]
        if not subscribers:
            del self.exchange.topics[topic]


class StatusConnection(PublicConnection):
    """`/v5/public/misc/status`: maintenance, of which there is none; interruptions under 10 s are not announced."""

    def _check(self, topic: str) -> None:
        if topic != STATUS_TOPIC:
            raise Refused(PARAMETER_ERROR, f"error:handler not found,topic:{topic}")

    def _open(self, topic: str) -> None:
        """Nothing is told before there is something to tell."""

    def _shut(self, topic: str) -> None:
        """Nobody is told anything."""


class PrivateConnection(Connection):
    """`/v5/private`: login, then topics of the account."""

    stream = Stream.PRIVATE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._caller: Caller | None = None
        self._topics: dict[str, list[str]] = {}
        """Subscribed names by plain topic: `order` and `order.linear` are told the same rows."""
        self._pushed = 0

    def close(self) -> None:
        """The socket is gone."""
        self._leave()
        super().close()

    def tell_of(self, push: Push) -> None:
        """Rows of a topic under the names that were subscribed."""
        for name in self._topics.get(push.topic, ()):
            self._pushed += 1
            envelope = {"topic": name, "creationTime": self.exchange.now() // MILLISECOND, "data": push.rows}
            if push.topic != "execution.fast":
                envelope = {"id": f"{self.id}-{self._pushed}", **envelope}
            self.data(_encode(envelope), self.exchange.push_delay)

    def _take(self, message: dict[str, Any]) -> None:
        match message.get("op"):
            case "ping":
                now_ms = str(self.exchange.now() // MILLISECOND)
                self.answer({**_id_of(message), "op": "pong", "args": [now_ms], "conn_id": self.id})
            case "auth":
                self._login(message)
            case "subscribe" | "unsubscribe" if self._caller is None:
                self.answer(_said(message, self.id, message["op"], "Request not authorized", is_good=False))
            case "subscribe":
                self._subscribe(message)
            case "unsubscribe":
                for topic in _topics(message):
                    names = self._topics.get(_plain(topic), [])
                    if topic in names:
                        names.remove(topic)
                self.answer(_said(message, self.id, "unsubscribe"))
            case op:
                self.answer(_said(message, self.id, str(op or ""), "error:op not found", is_good=False))

    def _login(self, message: dict[str, Any]) -> None:
        now = self.exchange.now()
        try:
            caller = self.exchange.gateway.gate.login(_list(message.get("args")), now // MILLISECOND, self.address)
        except Refused as refused:
            self.answer(_said(message, self.id, "auth", refused.message, is_good=False))
            return
        self._leave()
        self._caller = caller
        self.exchange.private.setdefault(caller[0].uid, {})[self.number] = self
        self.answer(_said(message, self.id, "auth"))

    def _leave(self) -> None:
        if self._caller is not None:
            self.exchange.private[self._caller[0].uid].pop(self.number, None)

    def _subscribe(self, message: dict[str, Any]) -> None:
        topics = _topics(message)
        unknown = [topic for topic in topics if _plain(topic) not in PRIVATE_TOPICS]
        plain = {topic for topic in topics if topic == _plain(topic)}
        mixed = [topic for topic in topics if topic not in plain and _plain(topic) in plain]
        if unknown or not topics:
            complaint = f"error:handler not found,topic:{unknown[0]}" if unknown else "error:no topics"
            self.answer(_said(message, self.id, "subscribe", complaint, is_good=False))
            return
        if mixed:
            complaint = f"error:all-in-one and categorised topics in one request,topic:{mixed[0]}"
            self.answer(_said(message, self.id, "subscribe", complaint, is_good=False))
            return
        for topic in topics:
            category = topic.removeprefix(_plain(topic)).removeprefix(".")
            names = self._topics.setdefault(_plain(topic), [])
            if topic not in names and category in {"", "linear", "future"}:
                names.append(topic)
        self.answer(_said(message, self.id, "subscribe"))


class TradeConnection(Connection):
    """`/v5/trade`: login, then orders; an answer means accepted for processing."""

    stream = Stream.TRADE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._caller: Caller | None = None
        self._ids: dict[str, None] = {}

    def _take(self, message: dict[str, Any]) -> None:
        op = str(message.get("op") or "")
        match op:
            case "ping":
                now_ms = str(self.exchange.now() // MILLISECOND)
                self.answer(
                    {**_id_of(message), "retCode": 0, "retMsg": "OK", "op": "pong", "data": [now_ms]} | self._conn
                )
            case "auth":
                self._login(message)
            case _:
                self._order(op, message)

    @property
    def _conn(self) -> dict[str, str]:
        return {"connId": self.id}

    def _login(self, message: dict[str, Any]) -> None:
        code, text = 0, "OK"
        if self._caller is not None:
            code, text = _LOGGED_IN, "Repeat auth"
        else:
            now_ms = self.exchange.now() // MILLISECOND
            try:
                self._caller = self.exchange.gateway.gate.login(_list(message.get("args")), now_ms, self.address)
            except Refused as refused:
                code, text = refused.code, refused.message
        self.answer({**_id_of(message), "retCode": code, "retMsg": text, "op": "auth"} | self._conn)

    def _order(self, op: str, message: dict[str, Any]) -> None:
        request_id = message.get("reqId")
        try:
            outcome = self._carry_out(op, message, str(request_id or ""))
        except Refused as refused:
            self.answer(self._said(op, request_id, refused.code, refused.message, {}, {}, {}))
            return
        if outcome.trouble is Trouble.LOST_ANSWER:
            self.cut()
            return
        reply = outcome.reply
        said = self._said(
            op, request_id, reply.code, reply.message, reply.result, reply.ext, limit_headers(outcome.allowance)
        )
        if outcome.trouble is Trouble.PARTIAL_CANCEL:
            self.exchange.later(LATE_ANSWER_NS, partial(self.answer, said))
            return
        for _ in range(2 if outcome.trouble is Trouble.TWICE else 1):
            self.answer(said)

    def _carry_out(self, op: str, message: dict[str, Any], request_id: str) -> Outcome:
        operation = op.replace(".", "/")
        if self._caller is None:
            raise Refused(_NOT_LOGGED_IN, "Request not authorized")
        if not op.startswith("order.") or OPERATIONS.get(operation) != "POST":
            raise Refused(_UNKNOWN_OP, f"op {op!r} not found")
        if len(request_id) > _MAX_ID:
            raise Refused(_UNKNOWN_OP, f"reqId is longer than {_MAX_ID}")
        if request_id:
            if request_id in self._ids:
                raise Refused(_DUPLICATE_ID, "Duplicate reqId")
            self._ids[request_id] = None
            if len(self._ids) > KEPT_REQUEST_IDS:
                del self._ids[next(iter(self._ids))]
        headers = message.get("header")
        headers = headers if isinstance(headers, dict) else {}
        window = headers.get("X-BAPI-RECV-WINDOW") or DEFAULT_WINDOW_MS
        check_time(str(headers.get("X-BAPI-TIMESTAMP", "")), str(window), self.exchange.now() // MILLISECOND)
        args = _list(message.get("args"))
        if len(args) != 1 or not isinstance(args[0], dict):
            raise Refused(_UNKNOWN_OP, "args should hold exactly one object")
        return self.exchange.gateway.over_socket(self._caller, operation, args[0], self.address)

    def _said(
        self, op: str, request_id: object, code: int, text: str, data: Any, ext: Any, limits: dict[str, str]
    ) -> dict[str, Any]:
        now_ms = str(self.exchange.now() // MILLISECOND)
        said = {
            "retCode": code,
            "retMsg": text,
            "op": op,
            "data": data,
            "retExtInfo": ext,
            "header": {**limits, "Traceid": self.exchange.gateway.trace(), "Timenow": now_ms},
            "connId": self.id,
        }
        return said if request_id is None else {"reqId": request_id, **said}


def idle_of(text: str) -> int:
    """Nanoseconds of `max_active_time` (30s to 600s, or 1m to 10m); the default for anything else."""
    number, unit = whole(text[:-1], 3), text[-1:]
    if number is None or unit not in {"s", "m"}:
        return IDLE_NS
    asked = number * (SECOND if unit == "s" else MINUTE)
    return asked if 30 * SECOND <= asked <= IDLE_NS else IDLE_NS


def _id_of(message: Mapping[str, Any]) -> dict[str, str]:
    """The request's id as text, where it has one."""
    found = message.get("req_id")
    return {} if found is None else {"req_id": str(found)}


def _said(
    message: Mapping[str, Any], connection: str, op: str, text: str = "", *, is_good: bool = True
) -> dict[str, Any]:
    return {"success": is_good, "ret_msg": text, "conn_id": connection, **_id_of(message), "op": op}


def _list(args: object) -> list[Any]:
    return args if isinstance(args, list) else []


def _topics(message: Mapping[str, Any]) -> list[str]:
    return [str(topic) for topic in _list(message.get("args"))]


def _plain(topic: str) -> str:
    """A private topic without its category."""
    head, _, tail = topic.rpartition(".")
    return head if tail in _CATEGORIES or topic == "dcp.future" else topic
