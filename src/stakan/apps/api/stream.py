"""`/ws`: topics as JSON, and `/ws/book/{symbol}`: one market as binary frames (`book_frames` describes them).

A client of `/ws` sends `{"subscribe": [topics], "unsubscribe": [topics]}`. It gets `{"topic", "kind", "epoch", "data"}`:
first a snapshot, then deltas. `status`, `books`, `positions` and `orders` are whole states, so each is a snapshot;
`equity`, `decisions`, `fills`, `trades` and `candles:SYMBOL` are series, and a delta is what came since (of candles: the
ones that changed). A new `epoch` begins with snapshots. A `heartbeat` with the state of the link comes every second.

Nothing queues: a connection keeps its place in each series and looks what is new when its last message is on its way,
so a slow reader gets fewer and newer messages and delays nobody. One that takes nothing for ten seconds is dropped.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import msgspec
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from stakan.apps.api import shown
from stakan.apps.api.access import Context, Identity, context_of, identify
from stakan.apps.api.link import Link
from stakan.apps.api.model import ReadModel, Ring
from stakan.apps.api.problems import Problem
from stakan.apps.projection import CandleView
from stakan.core.domain.ids import InstrumentId

router = APIRouter()

HEARTBEAT_S = 1.0
_SEND_S = 10.0
_MOST_TOPICS = 64
_MOST_BEHIND = 5
"""Frames; a reader that is further behind gets the newest only."""
_ENDED = 4401
_UNKNOWN = 4404


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client may say."""

    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What it gets."""

    topic: str
    kind: str
    epoch: int
    data: Any


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="heartbeat", tag_field="topic"):
    """Every second."""

    ts: float
    link: str
    problem: str
    update_age_ms: float | None


class State:
    """A topic that is told whole, when it has changed."""

    def __init__(self, interval_s: float, look: Callable[[Link], Any]) -> None:
        self.interval_s = interval_s
        self._look = look
        self._told = b""

    def begin(self) -> None:
        """Tell it again whatever was told."""
        self._told = b""

    def news(self, link: Link) -> tuple[str, Any] | None:
        """What to tell now."""
        data = self._look(link)
        encoded = msgspec.json.encode(data)
        if encoded == self._told:
            return None
        self._told = encoded
        return "snapshot", msgspec.Raw(encoded)


class Series:
    """A topic of which each reader gets what is new to it."""

    def __init__(
        self,
        interval_s: float,
        ring: Callable[[ReadModel], Ring[Any]],
        show: Callable[[ReadModel, list[Any]], list[Any]],
        snapshot: Callable[[ReadModel], list[Any]],
    ) -> None:
        self.interval_s = interval_s
        self._ring = ring
        self._show = show
        self._snapshot = snapshot
        self._place: int | None = None

    def begin(self) -> None:
        """Start with a snapshot."""
        self._place = None

    def news(self, link: Link) -> tuple[str, list[Any]] | None:
        """A snapshot first, or where something was missed; then what is new."""
        ring = self._ring(link.model)
        place, self._place = self._place, ring.count
        if place is None or ring.is_gone(place):
            return "snapshot", self._show(link.model, self._snapshot(link.model))
        fresh = ring.since(place)
        return ("delta", self._show(link.model, fresh)) if fresh else None


Topic = State | Series
_SNAPSHOT = 500


def make_topic(name: str, context: Context) -> Topic:
    """The topic of a name; raises Problem 404 where there is none."""
    word, _, symbol = name.partition(":")
    if word == "candles" and symbol:
        return _candles(context.instrument(symbol).id)
    if name in _STATES:
        return State(*_STATES[name])
    if name in _SERIES:
        interval, ring, show = _SERIES[name]
        return Series(interval, ring, show, lambda model: ring(model).newest(_SNAPSHOT))
    known = ", ".join([*_STATES, *_SERIES, "candles:SYMBOL"])
    raise Problem(404, "unknown-topic", f"{name!r} is no topic; there are {known}")


def _candles(instrument: InstrumentId) -> Series:
    def show(model: ReadModel, views: list[CandleView]) -> list[Any]:
        rules = model.instruments.get(instrument)
        newest = {view.open_ts: view for view in views}
        return [shown.candle(view, rules) for view in newest.values()] if rules else []

    return Series(
        0.5,
        lambda model: model.candle_changes.setdefault(instrument, Ring(1)),
        show,
        lambda model: model.candles(instrument, _SNAPSHOT),
    )


def _each(show: Callable[[Any, Any], Any]) -> Callable[[ReadModel, list[Any]], list[Any]]:
    """What shows views of instruments that are known."""
    return lambda model, views: [
        show(view, model.instruments[view.instrument]) for view in views if view.instrument in model.instruments
    ]


_SHOW_POSITIONS, _SHOW_ORDERS, _SHOW_BOOKS = _each(shown.position), _each(shown.order), _each(shown.metrics)

_STATES: dict[str, tuple[float, Callable[[Link], Any]]] = {
    "status": (0.25, shown.status),
    "pairs": (1.0, lambda link: [shown.pair(one) for one in link.model.instruments.values()]),
    "books": (0.5, lambda link: _SHOW_BOOKS(link.model, list(link.model.books.values()))),
    "positions": (0.25, lambda link: _SHOW_POSITIONS(link.model, list(link.model.positions))),
    "orders": (0.25, lambda link: _SHOW_ORDERS(link.model, list(link.model.orders))),
}

_SERIES: dict[str, tuple[float, Callable[[ReadModel], Ring[Any]], Callable[[ReadModel, list[Any]], list[Any]]]] = {
    "equity": (0.5, lambda model: model.equity, lambda _, views: [shown.equity(view) for view in views]),
    "decisions": (0.25, lambda model: model.decisions, lambda _, views: [shown.decision(view) for view in views]),
    "fills": (0.25, lambda model: model.fills, _each(shown.fill)),
    "trades": (0.25, lambda model: model.trades, _each(shown.trade)),
}


class _Reader:
    """One connection to `/ws`."""

    def __init__(self, socket: WebSocket, context: Context, identity: Identity) -> None:
        self._socket = socket
        self._context = context
        self._identity = identity
        self._topics: dict[str, tuple[Topic, float]] = {}
        """Each with the moment from which it may be told again."""
        self._epoch = context.link.model.epoch

    async def listen(self) -> None:
        """Take subscriptions until the client goes."""
        while True:
            text = await self._socket.receive_text()
            try:
                ask = msgspec.json.decode(text, type=Ask)
                for name in ask.unsubscribe:
                    self._topics.pop(name, None)
                for name in ask.subscribe[:_MOST_TOPICS]:
                    if len(self._topics) < _MOST_TOPICS:
                        self._topics[name] = (make_topic(name, self._context), 0.0)
            except (msgspec.MsgspecError, Problem) as error:
                await _send(self._socket, msgspec.json.encode({"topic": "error", "detail": str(error)}))

    async def tell(self) -> None:
        """Send what is new until the session ends."""
        loop = asyncio.get_running_loop()
        heartbeat = 0.0
        while True:
            now = loop.time()
            if now >= heartbeat:
                if not self._context.sessions.is_alive(self._identity.session):
                    await self._socket.close(_ENDED, "the session has ended")
                    return
                await _send(self._socket, msgspec.json.encode(self._heartbeat()))
                heartbeat = now + HEARTBEAT_S
            await self._tell_topics(now)
            await self._context.link.next_update(min(HEARTBEAT_S, heartbeat - loop.time()))
            # A subscription that came meanwhile waits for the next update at most.

    async def _tell_topics(self, now: float) -> None:
        link = self._context.link
        if link.model.epoch != self._epoch:
            self._epoch = link.model.epoch
            for topic, _ in self._topics.values():
                topic.begin()
        for name, (topic, due) in list(self._topics.items()):
            if now < due:
                continue
            news = topic.news(link)
            if news is not None:
                kind, data = news
                message = Message(topic=name, kind=kind, epoch=self._epoch, data=data)
                await _send(self._socket, msgspec.json.encode(message))
            if name in self._topics:
                self._topics[name] = (topic, now + topic.interval_s - 0.02)

    def _heartbeat(self) -> Heartbeat:
        link = self._context.link
        age = link.age_ns()
        return Heartbeat(
            ts=shown.milliseconds(self._context.clock()),
            link=link.state(),
            problem=link.problem,
            update_age_ms=None if age is None else shown.milliseconds(age),
        )


@router.websocket("/ws")
async def topics(socket: WebSocket) -> None:
    """Subscriptions by topic."""
    context = context_of(socket)
    identity = await _accepted(socket, context)
    if identity is not None:
        reader = _Reader(socket, context, identity)
        await _either(reader.listen, reader.tell)


@router.websocket("/ws/book/{symbol}")
async def book(socket: WebSocket, symbol: str) -> None:
    """One instrument's market: a text with its units, what is remembered, then a frame per update."""
    context = context_of(socket)
    identity = await _accepted(socket, context)
    if identity is not None:
        await _either(partial(_until_gone, socket), partial(_tell_book, socket, symbol, context, identity))


async def _tell_book(socket: WebSocket, symbol: str, context: Context, identity: Identity) -> None:
    ring: Ring[bytes] | None = None
    place = 0
    while context.sessions.is_alive(identity.session):
        try:
            instrument = context.instrument(symbol)
        except Problem as problem:
            await socket.close(_UNKNOWN, problem.detail[:100])
            return
        current = context.link.model.frames[instrument.id]
        if current is not ring:
            ring, place = current, 0
            await _send(socket, msgspec.json.encode(shown.pair(instrument)))
            frames = ring.since(place)
        else:
            frames = ring.since(place)
            frames = frames[-1:] if len(frames) > _MOST_BEHIND else frames
        place = ring.count
        for frame in frames:
            async with asyncio.timeout(_SEND_S):
                await socket.send_bytes(frame)
        await context.link.next_update(HEARTBEAT_S)
    await socket.close(_ENDED, "the session has ended")


async def _accepted(socket: WebSocket, context: Context) -> Identity | None:
    """Who has connected; a stranger is told so by a close code, which a page can read only after an accept."""
    try:
        identity = identify(socket, context)
    except Problem as problem:
        await socket.accept()
        await socket.close(_ENDED, problem.detail[:100])
        return None
    await socket.accept()
    return identity


async def _until_gone(socket: WebSocket) -> None:
    while True:
        await socket.receive_text()


async def _send(socket: WebSocket, data: bytes) -> None:
    async with asyncio.timeout(_SEND_S):
        await socket.send_text(data.decode())


async def _either(*parts: Callable[[], Awaitable[None]]) -> None:
    """Run until one of them ends; a reader that went away or takes nothing is no error."""
    async with anyio.create_task_group() as group:

        async def run(part: Callable[[], Awaitable[None]]) -> None:
            with contextlib.suppress(WebSocketDisconnect, TimeoutError):
                await part()
            group.cancel_scope.cancel()

        for part in parts:
            group.start_soon(run, part)
