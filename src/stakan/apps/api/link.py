"""The console's end of the bot's socket: connects again for as long as it runs, and knows how old its picture is."""

import asyncio
import contextlib
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec

from stakan.apps.api.model import ReadModel
from stakan.apps.projection import SOCKET_FILE, Answer, Ask, Backlog, Frames, FromBot, Hello, Update, framed
from stakan.core.domain.errors import DataError, OutcomeUnknown, VenueUnavailable
from stakan.core.domain.events import AnyOperatorRequest
from stakan.core.domain.units import SECOND, Nanos

LATE_AFTER = Nanos(2 * SECOND)
"""Ten updates a second are due; without one for this long the picture is old."""
_SILENT_AFTER_S = 10.0
"""A connection that says nothing for this long is closed and made anew."""
_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0)
_ANSWER_S = 5.0
_READ = 1 << 18


class LinkState(StrEnum):
    """How far what is shown can be trusted."""

    LIVE = "live"
    LATE = "late"
    DOWN = "down"


class Link:
    """One bot, seen through the socket in its state folder. `clock` gives nanoseconds UTC."""

    def __init__(self, folder: Path, model: ReadModel, clock: Callable[[], int]) -> None:
        self.path = folder / SOCKET_FILE
        self.model = model
        self._clock = clock
        self._decoder = msgspec.msgpack.Decoder(FromBot)
        self._encoder = msgspec.msgpack.Encoder()
        self._writer: asyncio.StreamWriter | None = None
        self._answers: dict[str, asyncio.Future[Answer]] = {}
        self._news = asyncio.Event()
        self.updated = Nanos(0)
        """When the newest update came; 0 before the first."""
        self.problem = "not connected yet"
        """Why there is no connection, for people; empty where there is one."""

    @property
    def is_connected(self) -> bool:
        """Whether the socket is open."""
        return self._writer is not None

    def age_ns(self) -> int | None:
        """How old the newest update is, None before the first."""
        return self._clock() - self.updated if self.updated else None

    def state(self) -> LinkState:
        """Whether the picture is of now."""
        age = self.age_ns()
        if not self.is_connected or age is None:
            return LinkState.DOWN
        return LinkState.LATE if age > LATE_AFTER else LinkState.LIVE

    async def run(self) -> None:
        """Connect, read, connect again; ends only by being cancelled."""
        failures = 0
        while True:
            before = self.updated
            await self._connection()
            failures = 0 if self.updated != before else failures + 1
            await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])

    async def next_update(self, timeout_s: float) -> None:
        """Wait for news of the bot or of the connection, at most so long."""
        news = self._news
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await news.wait()

    async def ask(self, request: AnyOperatorRequest) -> Answer:
        """Hand a request to the bot and wait for its answer.

        Raises VenueUnavailable where there is no bot to ask, OutcomeUnknown where it did not answer.
        """
        if self._writer is None:
            raise VenueUnavailable(f"the bot cannot be reached: {self.problem}")
        waiting = self._answers.setdefault(request.request_id, asyncio.get_running_loop().create_future())
        self._writer.write(framed(self._encoder.encode(Ask(request=request))))
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await asyncio.shield(waiting)
        except TimeoutError:
            raise OutcomeUnknown("the bot has not answered; it may still do what was asked") from None
        finally:
            if self._answers.get(request.request_id) is waiting:
                del self._answers[request.request_id]

    async def _connection(self) -> None:
        try:
            reader, self._writer = await asyncio.open_unix_connection(self.path, limit=_READ)
        except (FileNotFoundError, ConnectionRefusedError):
            self._is_down("no bot runs on this state folder")
            return
        except OSError as error:
            self._is_down(error.strerror or str(error))
            return
        self.problem = ""
        try:
            await self._read(reader)
        except (OSError, DataError, msgspec.MsgspecError) as error:
            self._close(str(error))
        finally:
            self._close("the bot has closed the connection")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        frames = Frames()
        while True:
            try:
                async with asyncio.timeout(_SILENT_AFTER_S):
                    data = await reader.read(_READ)
            except TimeoutError:
                self._close("the bot is silent")
                return
            if not data:
                return
            for payload in frames.feed(data):
                self._take(self._decoder.decode(payload))

    def _take(self, message: FromBot) -> None:
        match message:
            case Hello():
                self.model.greet(message)
            case Backlog():
                self.model.recall(message)
            case Update():
                self.model.apply(message)
                self.updated = Nanos(self._clock())
            case Answer():
                waiting = self._answers.get(message.request_id)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
        self._wake()

    def _close(self, why: str) -> None:
        """End a connection; the first reason given counts."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._is_down(why)

    def _is_down(self, why: str) -> None:
        self.problem = why
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(OutcomeUnknown(f"the connection to the bot broke: {why}"))
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
