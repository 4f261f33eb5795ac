"""REST of Bybit v5: requests, judged answers, procedures that consist of several of them, and the HTTP client below.

What is asked in which order is written as generators ("procedures") that yield a `Request` or a `Pause` and are given
the `Reply`. They know neither sockets nor clock, so a simulation can drive the same code in virtual time. `Line` runs
them by callbacks within the limits; `HttpTransport` is the only part that does I/O.
"""

import asyncio
import logging
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

import aiohttp
import msgspec
import numpy as np
from yarl import URL

from stakan.adapters.exchanges.bybit import auth
from stakan.adapters.exchanges.bybit.capabilities import Breakers, capability_of, new_breakers
from stakan.adapters.exchanges.bybit.errors import (
    CLOCK_OFF,
    IP_LIMIT,
    TOO_FAST,
    UID_LIMIT,
    Kind,
    Reaction,
    Rule,
    rule_of,
    rule_of_status,
)
from stakan.adapters.exchanges.bybit.limits import ORDER_GROUPS, Group, RateLimiter
from stakan.adapters.exchanges.bybit.messages import Envelope, Page, Time, read
from stakan.core.domain.errors import DataError, OutcomeUnknown, RateLimited, RequestRefused, VenueUnavailable
from stakan.core.domain.units import MILLISECOND, SECOND

T = TypeVar("T")
_log = logging.getLogger(__name__)
NO_CODE = -1
"""Of a reply that the exchange did not give."""
_MOST_PAGES = 200
_AT_ONCE = 16
"""Questions under way together: a start waits for hundreds."""
_SYNCED_WITHIN = SECOND // 2
_FRESH_FOR = 60 * SECOND
_SLEW = 2_000
"""A clock that is being set runs at most one part in so many fast or slow: 500 ppm, the limit of NTP."""
_SHORTEST_SECRET = 8
"""Shorter ones would be found in ordinary words; those of the exchange have 18 characters and more."""
_MASK = "***"
_FORBIDDEN = 403
_FINE = 200


class Keys(msgspec.Struct, frozen=True):
    """An API key; its text shows nothing of it, so that no log and no traceback does."""

    key: str
    secret: str

    def __repr__(self) -> str:
        return "Keys(hidden)"

    __str__ = __repr__

    def masked(self, text: str) -> str:
        """A text without key and secret: the exchange quotes what it was sent, e.g. with 10004."""
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return text

    def masked_bytes(self, data: bytes) -> bytes:
        """The same of an answer, before anything is read out of it."""
        for secret in self._secrets:
            data = data.replace(secret.encode(), _MASK.encode())
        return data

    @property
    def _secrets(self) -> list[str]:
        return [one for one in (self.secret, self.key) if len(one) >= _SHORTEST_SECRET]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request; `query` and `body` are the very bytes that are signed and sent."""

    kind: Kind
    group: Group
    path: str
    query: str = ""
    body: bytes = b""
    is_signed: bool = True
    max_wait: int = 5 * SECOND
    """How long it may wait for its turn."""

    @property
    def method(self) -> str:
        """GET without a body."""
        return "POST" if self.body else "GET"


class Pause(msgspec.Struct, frozen=True):
    """Nothing for so many nanoseconds, and by chance up to `spread` more."""

    ns: int
    spread: int = 0


class Answer(msgspec.Struct, frozen=True):
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent: int
    received: int


class Unanswered(msgspec.Struct, frozen=True):
    """Nothing came back; `was_sent` where it may have arrived all the same."""

    why: str
    was_sent: bool


class Reply(msgspec.Struct, frozen=True):
    """A judged answer."""

    reaction: Reaction
    code: int
    text: str
    result: msgspec.Raw = msgspec.Raw(b"{}")
    was_sent: bool = True
    reset: int = 0
    """When the budget comes back (10006), nanoseconds of the exchange's clock; 0 where it was not said."""
    received: int = 0
    is_outage: bool = False
    """Whether the exchange, or the way to it, failed: a refusal of the request itself is none."""

    @property
    def why(self) -> str:
        """For people."""
        return f"{self.code} {self.text}".strip() if self.code != NO_CODE else self.text


Transport = Callable[[Request, Callable[[Answer | Unanswered], None]], None]
Timers = Callable[[int, Callable[[], None]], Callable[[], None]]
"""Call something after so many nanoseconds; gives what calls it off."""
Procedure = Generator[Request | Pause, Reply | None, T]


def get(kind: Kind, group: Group, path: str, *, is_signed: bool = True, **parameters: str) -> Request:
    """A request with a query; empty parameters are left out."""
    query = urlencode({name: value for name, value in parameters.items() if value})
    return Request(kind=kind, group=group, path=path, query=query, is_signed=is_signed)


def post(kind: Kind, group: Group, path: str, **parameters: object) -> Request:
    """A request with a JSON body."""
    return Request(kind=kind, group=group, path=path, body=msgspec.json.encode(parameters))


def judge(kind: Kind, code: int, text: str, result: msgspec.Raw, rule: Rule | None = None) -> Reply:
    """What a `retCode` means for a request of this kind."""
    rule = rule or rule_of(code, text)
    return Reply(rule.reaction_to(kind), code, text or rule.meaning, result, is_outage=rule.is_outage)


def judge_answer(request: Request, answer: Answer | Unanswered) -> Reply:
    """What an HTTP answer, or none, means."""
    if isinstance(answer, Unanswered):
        is_safe = request.kind is Kind.QUERY or not answer.was_sent
        reaction = Reaction.RETRY if is_safe else Reaction.AMBIG
        return Reply(reaction, NO_CODE, answer.why, was_sent=answer.was_sent, is_outage=True)
    try:
        envelope = read(Envelope, answer.body, request.path)
    except DataError:
        rule = rule_of_status(answer.status)
        reply = judge(request.kind, NO_CODE, f"HTTP {answer.status}: {rule.meaning}", msgspec.Raw(b"{}"), rule)
    else:
        reply = judge(request.kind, envelope.ret_code, envelope.ret_msg, envelope.result)
        if answer.status != _FINE and envelope.ret_code == 0:
            reply = judge(
                request.kind, NO_CODE, f"HTTP {answer.status}", envelope.result, rule_of_status(answer.status)
            )
    return msgspec.structs.replace(reply, reset=_reset(answer.headers), received=answer.received)


class ServerClock:
    """The exchange's clock as we see it through ours: the offset of the quickest of the last questions."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._measured = 0
        self.offset = 0
        """Nanoseconds that the exchange is ahead."""
        self.error: int | None = None
        """Half of the round trip that gave the offset; None before the first."""

    def observe(self, sent: int, received: int, server: int) -> None:
        """A question that was sent and answered at these moments of ours was answered at `server` of theirs."""
        error = max(0, received - sent) // 2
        offset = server - (sent + received) // 2
        is_better = self.error is None or error <= self.error or received - self._measured > _FRESH_FOR
        # Two measurements that exclude each other mean that one of the clocks was set: the newer one holds.
        if is_better or abs(offset - self.offset) > error + (self.error or 0):
            self.offset, self.error, self._measured = offset, error, received

    def doubt(self) -> None:
        """The exchange finds our requests out of time: the offset is not known until it is measured again."""
        self.error = None

    @property
    def is_synced(self) -> bool:
        """Whether the offset is known to half a second."""
        return self.error is not None and self.error < _SYNCED_WITHIN

    def millis(self) -> int:
        """Their time now, in milliseconds."""
        return (self._clock() + self.offset) // MILLISECOND

    def past_millis(self) -> int:
        """A moment that is certainly past at the exchange: `millis` less all that it may be wrong by.

        0 before the first measurement.
        """
        if self.error is None:
            return 0
        now = self._clock()
        return (now + self.offset - self.error - max(0, now - self._measured) // _SLEW) // MILLISECOND


class Line:
    """Requests to one account within its limits, and procedures made of them. Answers come by callbacks.

    Every outcome is told to the breaker of its capability; whoever can do without a request asks that one first.
    """

    def __init__(
        self,
        transport: Transport,
        limiter: RateLimiter,
        server_clock: ServerClock,
        *,
        clock: Callable[[], int],
        timers: Timers,
        chance: np.random.Generator | None = None,
    ) -> None:
        """`chance` spreads pauses, so that many do not ask again at the same moment."""
        self.breakers: Breakers = new_breakers()
        self._chance = chance
        self._transport = transport
        self._limiter = limiter
        self._server_clock = server_clock
        self._clock = clock
        self._timers = timers
        self._awaited: set[asyncio.Future[Any]] = set()

    def ask(self, request: Request, done: Callable[[Reply], None]) -> None:
        """Send a request as soon as the limits allow it; `done` is given the reply, also where none was sent."""
        try:
            wait = self._limiter.acquire(request.group, self._clock(), request.max_wait, over_http=True)
        except RateLimited as error:
            reply = Reply(Reaction.RETRY, NO_CODE, f"our own limit: {error}", was_sent=False)
            self._timers(0, lambda: done(reply))
            return
        if wait:
            self._timers(wait, lambda: self._send(request, done))
        else:
            self._send(request, done)

    def run(
        self,
        procedure: Procedure[T],
        done: Callable[[T], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Carry a procedure out; `failed` is given what it raises."""
        self._advance(procedure, None, done, failed)

    async def carry_out(self, procedure: Procedure[T]) -> T:
        """The same, awaited; raises what the procedure raises."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(value: T) -> None:
            if not future.done():
                future.set_result(value)

        def failed(error: Exception) -> None:
            if not future.done():
                future.set_exception(error)

        self._awaited.add(future)
        try:
            self.run(procedure, done, failed)
            return await future
        finally:
            self._awaited.discard(future)

    async def carry_out_all(self, procedures: Iterable[Procedure[T]]) -> list[T]:
        """Many, several at a time, in their order; raises what the first one raises that does."""
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(procedure: Procedure[T]) -> T:
            async with places:
                return await self.carry_out(procedure)

        return await asyncio.gather(*map(one, procedures))

    def fail(self, error: Exception) -> None:
        """A callback was broken off by a bug of ours: whoever awaits a procedure, perhaps that one, is told."""
        for future in self._awaited:
            if not future.done():
                future.set_exception(error)

    def _send(self, request: Request, done: Callable[[Reply], None]) -> None:
        self._transport(request, lambda answer: done(self._judge(request, answer)))

    def _judge(self, request: Request, answer: Answer | Unanswered) -> Reply:
        """Judge, and learn what the answer says of limits."""
        reply = judge_answer(request, answer)
        if isinstance(answer, Answer):
            self._learn(request.group, answer)
            if answer.status == _FORBIDDEN or reply.code == IP_LIMIT:
                self._limiter.ban(answer.received)
            if answer.status in TOO_FAST or reply.code in TOO_FAST:
                self._limiter.slow_down(request.group, answer.received)
        if reply.code == CLOCK_OFF:
            self._server_clock.doubt()
        if reply.code == UID_LIMIT:
            until = reply.reset - self._server_clock.offset if reply.reset else self._clock() + SECOND
            self._limiter.refused(request.group, until)
        self._count(request, reply)
        return reply

    def _count(self, request: Request, reply: Reply) -> None:
        breaker = self.breakers[capability_of(request.group)]
        if reply.is_outage:
            breaker.failure(self._clock(), f"{request.path}: {reply.why}")
        else:
            breaker.success(self._clock())

    def _learn(self, group: Group, answer: Answer) -> None:
        limit, left = answer.headers.get("X-Bapi-Limit", ""), answer.headers.get("X-Bapi-Limit-Status", "")
        if limit.isdigit() and left.isdigit():
            reset = _reset(answer.headers) - self._server_clock.offset
            self._limiter.learn(group, int(limit), int(left), reset, answer.received)

    def _pause(self, wanted: Pause) -> int:
        if self._chance is None or not wanted.spread:
            return wanted.ns
        return wanted.ns + int(self._chance.integers(0, wanted.spread + 1))

    def _advance(
        self,
        procedure: Procedure[T],
        reply: Reply | None,
        done: Callable[[T], None],
        failed: Callable[[Exception], None],
    ) -> None:
        try:
            wanted = procedure.send(reply)
        except StopIteration as end:
            done(end.value)
            return
        except Exception as error:  # noqa: BLE001 - whoever started the procedure decides
            failed(error)
            return
        if isinstance(wanted, Pause):
            self._timers(self._pause(wanted), lambda: self._advance(procedure, None, done, failed))
        else:
            self.ask(wanted, lambda answer: self._advance(procedure, answer, done, failed))


def patiently(request: Request, attempts: int = 4, pause_ns: int = SECOND // 4) -> Procedure[Reply]:
    """Ask what may be asked twice (queries, settings) until there is an answer.

    Raises RequestRefused where the exchange says no, VenueUnavailable or OutcomeUnknown where it says nothing.
    """
    reply: Reply | None = None
    for attempt in range(attempts):
        reply = yield request
        assert reply is not None
        if reply.reaction is Reaction.OK:
            return reply
        if reply.reaction not in (Reaction.RETRY, Reaction.AMBIG):
            raise RequestRefused(f"{request.path}: {reply.why}")
        if reply.code == CLOCK_OFF:
            raise RequestRefused(f"{request.path}: {reply.why}: set this machine's clock")
        if attempt + 1 < attempts:
            pause = pause_ns << attempt
            yield Pause(pause, spread=pause // 2)
    assert reply is not None
    if reply.reaction is Reaction.AMBIG:
        raise OutcomeUnknown(f"{request.path}: {reply.why}")
    raise VenueUnavailable(f"{request.path}: {reply.why}")


def pages(request: Request, row: type[T]) -> Procedure[list[T]]:
    """All rows of a list, whatever its number of pages; raises as `patiently`, and DataError for odd rows."""
    rows: list[T] = []
    cursor = ""
    for _ in range(_MOST_PAGES):
        more = f"&{urlencode({'cursor': cursor})}" if cursor else ""
        reply = yield from patiently(msgspec.structs.replace(request, query=request.query + more))
        page = read(Page, reply.result, request.path)
        rows += [read(row, raw, request.path) for raw in page.rows]
        cursor = page.next_page_cursor
        if not cursor or not page.rows:
            return rows
    raise DataError(f"{request.path}: more than {_MOST_PAGES} pages: the cursor does not end")


def measure_clock(server_clock: ServerClock, clock: Callable[[], int], samples: int = 3) -> Procedure[None]:
    """Ask the exchange for its time a few times; raises as `patiently`."""
    for _ in range(samples):
        sent = clock()
        reply = yield from patiently(get(Kind.QUERY, Group.MARKET, "/v5/market/time", is_signed=False), attempts=2)
        time = read(Time, reply.result, "market/time")
        if time.time_nano.isdigit():
            server_clock.observe(sent, reply.received or clock(), int(time.time_nano))


class HttpTransport:
    """Signs with the exchange's time of the moment and sends; the only part that does I/O.

    `failed` is given what `done` raises: a bug of ours.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base: str,
        keys: Keys | None,
        server_clock: ServerClock,
        *,
        clock: Callable[[], int],
        failed: Callable[[Exception], None],
        receive_window_ns: int = 5 * SECOND,
        timeout_ns: int = 5 * SECOND,
    ) -> None:
        self._session = session
        self._base = base
        self._keys = keys
        self._server_clock = server_clock
        self._clock = clock
        self._failed = failed
        self._window = receive_window_ns // MILLISECOND
        self._timeout = aiohttp.ClientTimeout(total=timeout_ns / SECOND)
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, request: Request, done: Callable[[Answer | Unanswered], None]) -> None:
        """Send; `done` is called in the event loop."""
        task = asyncio.get_running_loop().create_task(self._carry(request, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, request: Request, done: Callable[[Answer | Unanswered], None]) -> None:
        try:
            answer = await self._exchange(request)
            done(answer if self._keys is None else _masked(answer, self._keys))
        except Exception as error:  # noqa: BLE001 - nobody awaits this task
            self._failed(error)

    async def _exchange(self, request: Request) -> Answer | Unanswered:
        url = URL(f"{self._base}{request.path}{'?' if request.query else ''}{request.query}", encoded=True)
        headers = {"Content-Type": "application/json"} if request.body else {}
        if request.is_signed:
            if self._keys is None:
                return Unanswered("no API key: set BYBIT_API_KEY and BYBIT_API_SECRET", was_sent=False)
            headers |= self._signature(self._keys, request)
        sent = self._clock()
        try:
            async with self._session.request(
                request.method, url, data=request.body or None, headers=headers, timeout=self._timeout
            ) as response:
                body = await response.read()
                received = self._clock()
                level = logging.INFO if request.group in ORDER_GROUPS else logging.DEBUG
                taken = (received - sent) / MILLISECOND
                _log.log(level, "%s %s: %d in %.1f ms", request.method, request.path, response.status, taken)
                return Answer(response.status, response.headers, body, sent, received)
        except aiohttp.ClientConnectorError as error:
            return Unanswered(f"no connection: {error}", was_sent=False)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Unanswered(f"no answer: {type(error).__name__} {error}".rstrip(), was_sent=True)
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it; the text may hold what was signed
            return Unanswered(f"no answer: {type(error).__name__}", was_sent=True)

    def _signature(self, keys: Keys, request: Request) -> dict[str, str]:
        content = request.body or request.query.encode()
        return auth.request_headers(keys.key, keys.secret, self._server_clock.millis(), self._window, content)


def _masked(answer: Answer | Unanswered, keys: Keys) -> Answer | Unanswered:
    if isinstance(answer, Answer):
        return msgspec.structs.replace(answer, body=keys.masked_bytes(answer.body))
    return msgspec.structs.replace(answer, why=keys.masked(answer.why))


class Sender(Protocol):
    """What can write a frame, and says whether it did."""

    def send(self, message: bytes) -> bool:
        """False where nothing was written."""
        ...


def rows_of(result: msgspec.Raw, row: type[T], what: str) -> Sequence[T]:
    """Rows of a list that has no further pages; raises DataError."""
    return [read(row, raw, what) for raw in read(Page, result, what).rows]


def _reset(headers: Mapping[str, str]) -> int:
    text = headers.get("X-Bapi-Limit-Reset-Timestamp", "")
    return int(text) * MILLISECOND if text.isdigit() else 0
