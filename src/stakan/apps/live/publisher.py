"""The bot's end of the console's socket: publishes read models, takes requests (ADR 0010).

Costs nothing to speak of while nobody looks. Readers that are slow miss updates; what they send is bounded.
"""

import asyncio
import os
import socket
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec
from structlog.contextvars import bound_contextvars

from stakan.apps.live.read_model import ReadModel
from stakan.apps.logs import get_logger
from stakan.apps.projection import SOCKET_FILE, UPDATES_PER_SECOND, Answer, Ask, Frames, FromBot, Hello, framed
from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.events import AnyOperatorRequest

_log = get_logger("stakan.bot")
MAX_ASK = 1 << 16
"""Bytes of one request."""
MAX_READERS = 32
BEHIND = 1 << 20
"""A reader with more bytes than this on their way to it misses updates."""
TOO_FAR_BEHIND = 1 << 23
"""One that asks on and on and reads nothing is sent away."""
_REMEMBERED = 1_000
"""Requests that are known when they come again."""
_LONGEST_PATH = 100
"""Of a Unix socket; the system's own limit is 107 bytes."""


class Requests:
    """Takes every request once: one that comes again gets the answer that it got before."""

    def __init__(self, accept: Callable[[AnyOperatorRequest], str]) -> None:
        self._accept = accept
        self._answers: OrderedDict[str, Answer] = OrderedDict()

    def take(self, ask: Ask) -> Answer:
        """The answer to a request; `accept` says why not, or nothing where it has entered the engine."""
        name = ask.request.request_id
        if not name:
            return Answer(request_id=name, is_accepted=False, why="a request needs a request_id")
        known = self._answers.get(name)
        if known is not None:
            return known
        with bound_contextvars(correlation=name):
            why = self._accept(ask.request)
            if why:
                _log.info("request_refused", request=type(ask.request).__name__, actor=ask.request.actor, why=why)
        answer = Answer(request_id=name, is_accepted=not why, why=why)
        self._answers[name] = answer
        if len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        return answer


class Publisher:
    """Serves the socket in a bot's state folder."""

    def __init__(
        self,
        folder: Path,
        hello: Hello,
        model: ReadModel,
        accept: Callable[[AnyOperatorRequest], str],
        now: Callable[[], int],
    ) -> None:
        self.path = folder / SOCKET_FILE
        self._hello = hello
        self._model = model
        self._requests = Requests(accept)
        self._now = now
        self._encode = msgspec.msgpack.Encoder().encode
        self._readers: set[_Reader] = set()
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listen; raises ConfigError where the folder's path is too long for a socket."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Reader(self), sock=_listening(self.path))
        self._timer = loop.call_later(1 / UPDATES_PER_SECOND, self._tick)

    async def stop(self) -> None:
        """Say goodbye to all readers and take the socket away."""
        if self._server is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._server.close()
        for reader in list(self._readers):
            reader.close()
        await self._server.wait_closed()
        self._server = None
        self.path.unlink(missing_ok=True)

    @property
    def unread(self) -> int:
        """Bytes that consoles were sent and have not read."""
        return sum(reader.unread for reader in self._readers)

    # --- told by readers --------------------------------------------------------------------------------------------

    def joined(self, reader: "_Reader") -> None:
        """Greet a reader; whoever looks already gets the news first, so that none gets any twice."""
        if len(self._readers) >= MAX_READERS:
            reader.close()
            return
        self._publish()
        self._model.is_watched = True
        reader.write(self._framed(self._hello) + self._framed(self._model.backlog()))
        self._readers.add(reader)

    def left(self, reader: "_Reader") -> None:
        """A reader is gone."""
        self._readers.discard(reader)
        self._model.is_watched = bool(self._readers)

    def asked(self, ask: Ask) -> bytes:
        """The answer to a request, as it goes over the socket."""
        return self._framed(self._requests.take(ask))

    # --- updates ----------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(1 / UPDATES_PER_SECOND, self._tick)
        if self._readers:
            self._publish()
        else:
            self._model.forget_news()

    def _publish(self) -> None:
        if self._readers:
            update = self._framed(self._model.update(self._now()))
            for reader in self._readers:
                if not reader.is_behind:
                    reader.write(update)

    def _framed(self, message: FromBot) -> bytes:
        return framed(self._encode(message))


class _Reader(asyncio.Protocol):
    """One connection."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._transport: asyncio.Transport | None = None
        self._frames = Frames(MAX_ASK)
        self._decode = msgspec.msgpack.Decoder(Ask).decode

    @property
    def is_behind(self) -> bool:
        """Whether it does not read as fast as it is told."""
        return self.unread > BEHIND

    @property
    def unread(self) -> int:
        """Bytes on their way to it."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._publisher.joined(self)

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._frames.feed(data):
                self.write(self._publisher.asked(self._decode(payload)))
        except (DataError, msgspec.MsgspecError):
            # Not one of ours: nothing it says can be trusted.
            self.close()
        if self.unread > TOO_FAR_BEHIND:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._publisher.left(self)


def _listening(path: Path) -> socket.socket:
    """A socket file that only its owner can open, from the first moment; a dead bot's is taken away."""
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise ConfigError(f"trade.state: the path of {path} is too long for a Unix socket, choose a shorter folder")
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        made.bind(str(path))
    except OSError as error:
        made.close()
        raise ConfigError(f"trade.state: no socket can be made at {path}: {error.strerror}") from error
    finally:
        os.umask(before)
    return made
