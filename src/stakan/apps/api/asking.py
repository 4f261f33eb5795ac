"""What people ask of the bot, through API or console: once per key, and with their name on it."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable

import msgspec
from structlog.contextvars import bound_contextvars

from stakan.apps.api.link import Link
from stakan.apps.logs import get_logger
from stakan.apps.projection import Answer
from stakan.core.domain.errors import StakanError
from stakan.core.domain.events import (
    AnyOperatorRequest,
    Flatten,
    Halt,
    PauseEntries,
    ReleaseHalt,
    ResumeEntries,
)
from stakan.core.domain.ids import InstrumentId

_KEPT = 1_000
_log = get_logger("stakan.console")


class KeyReused(Exception):
    """One key was used for two different requests."""


class _Asked(msgspec.Struct, frozen=True):
    what: tuple[str, str]
    answer: asyncio.Task[Answer]


class Asking:
    """The operator's requests to one bot. `clock` gives nanoseconds UTC.

    A key that comes again, while the first request is on its way or after its answer, gets that answer; only where no
    answer came is the bot asked again, with the same id, which it takes for the same request.
    """

    def __init__(self, link: Link, clock: Callable[[], int]) -> None:
        self._link = link
        self._clock = clock
        self._asked: OrderedDict[str, _Asked] = OrderedDict()

    async def pause(self, user: str, key: str | None = None) -> Answer:
        """Open nothing new. Like all of these raises VenueUnavailable, OutcomeUnknown or KeyReused."""
        return await self._once(user, key, ("pause", ""), self._maker(PauseEntries))

    async def resume(self, user: str, key: str | None = None) -> Answer:
        """End a pause."""
        return await self._once(user, key, ("resume", ""), self._maker(ResumeEntries))

    async def flatten(self, user: str, instrument: InstrumentId | None, key: str | None = None) -> Answer:
        """Close the position of one instrument, or all."""
        return await self._once(user, key, ("flatten", instrument or ""), self._maker(Flatten, instrument=instrument))

    async def halt(self, user: str, why: str, key: str | None = None) -> Answer:
        """Flatten all and stay out."""
        return await self._once(user, key, ("halt", why), self._maker(Halt, why=why))

    async def release(self, user: str, key: str | None = None) -> Answer:
        """End a halt."""
        return await self._once(user, key, ("release", ""), self._maker(ReleaseHalt))

    def _maker(self, kind: Callable[..., AnyOperatorRequest], **fields: object) -> Callable[..., AnyOperatorRequest]:
        def make(user: str, request_id: str) -> AnyOperatorRequest:
            now = self._clock()
            return kind(ts_event=now, ts_recv=now, actor=user, request_id=request_id, **fields)

        return make

    async def _once(
        self, user: str, key: str | None, what: tuple[str, str], make: Callable[..., AnyOperatorRequest]
    ) -> Answer:
        request_id = f"{user}:{key or secrets.token_hex(8)}"
        known = self._asked.get(request_id)
        if known is not None and known.what != what:
            raise KeyReused("this key was used for another request")
        if known is None or _has_failed(known.answer):
            request = make(user, request_id)
            known = _Asked(what, asyncio.create_task(self._ask(request)))
            self._asked[request_id] = known
            while len(self._asked) > _KEPT:
                self._asked.popitem(last=False)
        return await asyncio.shield(known.answer)

    async def _ask(self, request: AnyOperatorRequest) -> Answer:
        """Logged with the id under which the bot logs what it makes of it."""
        with bound_contextvars(request_id=request.request_id):
            _log.info("asked", request=type(request).__name__, actor=request.actor)
            try:
                answer = await self._link.ask(request)
            except StakanError as error:
                _log.warning("not_answered", why=str(error))
                raise
            _log.info("answered", is_accepted=answer.is_accepted, why=answer.why)
            return answer


def _has_failed(answer: asyncio.Task[Answer]) -> bool:
    return answer.done() and (answer.cancelled() or answer.exception() is not None)
