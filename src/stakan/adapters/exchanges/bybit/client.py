"""An account of Bybit on an event loop: the venue with its two sockets and its HTTP session."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Self, TypeVar

import aiohttp
import msgspec
import numpy as np

from stakan.adapters.exchanges.bybit.context import Patience, Ports
from stakan.adapters.exchanges.bybit.endpoints import Environment
from stakan.adapters.exchanges.bybit.limits import RateLimiter
from stakan.adapters.exchanges.bybit.rest import HttpTransport, Keys, Line, Procedure, ServerClock, measure_clock
from stakan.adapters.exchanges.bybit.sessions import PrivateSession, TradeSession
from stakan.adapters.exchanges.bybit.venue import BybitVenue
from stakan.adapters.sockets import ConnectBudget, Socket, SocketLimits
from stakan.core.domain.events import VenueNews
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import SECOND

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Faults:
    """Bugs of ours in callbacks of the event loop, which would only log them: timers and answers over HTTP."""

    def __init__(self) -> None:
        self.line: Line | None = None
        """Whoever awaits something of it is told too."""
        self._first: Exception | None = None

    def add(self, error: Exception) -> None:
        """A callback raised this."""
        _log.error("a callback failed", exc_info=error)
        self._first = self._first or error
        if self.line is not None:
            self.line.fail(error)

    def check(self) -> None:
        """Raises the first of them."""
        if self._first is not None:
            raise self._first

    def timers(self, delay_ns: int, call: Callable[[], None]) -> Callable[[], None]:
        """Timers of the running event loop."""
        return asyncio.get_running_loop().call_later(delay_ns / SECOND, self._guarded, call).cancel

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - nobody awaits a timer
            self.add(error)


class Shared(msgspec.Struct, frozen=True):
    """What all that talks to one exchange from one process has in common: its limits are the address's."""

    limiter: RateLimiter = msgspec.field(default_factory=RateLimiter)
    connects: ConnectBudget = msgspec.field(default_factory=ConnectBudget)


class Told(msgspec.Struct, frozen=True):
    """Who is told what, in the event loop."""

    deliver: Callable[[VenueNews], None]
    """Every event; never inside `venue.send`."""
    halt: Callable[[str], None]
    """Why trading must stop."""
    note: Callable[[str], None] = _log.warning
    """For the log."""


class BybitAccount:
    """The venue of one account and all that keeps it connected; use it as an asynchronous context.

    A bug of ours in the handling of a frame, an answer or a timer is raised out of `failed`. Whatever else of this
    process talks to the same exchange is to be given the same `shared`.
    """

    def __init__(  # noqa: PLR0913 - the seams of its outside, each of which a test replaces
        self,
        environment: Environment,
        keys: Keys,
        instruments: Mapping[InstrumentId, Instrument],
        *,
        told: Told,
        clock: Callable[[], int],
        chance: np.random.Generator,
        patience: Patience | None = None,
        limits: SocketLimits | None = None,
        shared: Shared | None = None,
    ) -> None:
        shared = shared or Shared()
        self._environment = environment
        self._keys = keys
        self._clock = clock
        self._patience = patience or Patience()
        self._server_clock = ServerClock(clock)
        self._session: aiohttp.ClientSession | None = None
        self._http: HttpTransport | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._faults = Faults()
        self.venue = BybitVenue(
            instruments,
            environment.venue,
            Ports(
                clock=clock,
                timers=self._faults.timers,
                transport=self._transport,
                deliver=told.deliver,
                halt=told.halt,
                note=told.note,
                chance=chance,
            ),
            patience=self._patience,
            limiter=shared.limiter,
            server_clock=self._server_clock,
        )
        self._faults.line = self.venue.line
        private = PrivateSession(self.venue, keys, self._server_clock, told.halt)
        private.connection = self.private = Socket(
            environment.private, private, clock=clock, chance=chance, limits=limits, budget=shared.connects
        )
        self.trade: Socket | None = None
        if environment.trade is not None:
            trade = TradeSession(self.venue, keys, self._server_clock, told.halt)
            trade.connection = self.trade = Socket(
                environment.trade, trade, clock=clock, chance=chance, limits=limits, budget=shared.connects
            )

    async def __aenter__(self) -> Self:
        """Open HTTP, measure the clock, connect; raises VenueError where the exchange cannot be reached."""
        self._session = aiohttp.ClientSession()
        self._http = HttpTransport(
            self._session,
            self._environment.rest,
            self._keys,
            self._server_clock,
            clock=self._clock,
            failed=self._faults.add,
            receive_window_ns=self._patience.receive_window,
            timeout_ns=max(5 * SECOND, self._patience.answer),
        )
        try:
            await self.carry_out(measure_clock(self._server_clock, self._clock))
        except BaseException:
            await self._close()
            raise
        self.venue.start()
        sockets = [self.private] if self.trade is None else [self.private, self.trade]
        self._tasks = [asyncio.create_task(socket.run()) for socket in sockets]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect; what is in flight stays what it is at the exchange."""
        await self._close()

    async def ready(self, within_ns: int = 10 * SECOND) -> None:
        """Until the private stream is up, the account was read and orders can leave; raises TimeoutError."""
        async with asyncio.timeout(within_ns / SECOND):
            while not (self.venue.is_streaming and self.venue.is_caught_up and self._can_trade()):
                self.failed()
                await asyncio.sleep(0.005)

    def failed(self) -> None:
        """Raises what ended a socket, or what a callback raised, if anything did."""
        self._faults.check()
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    def problem(self, socket: Socket) -> str:
        """Why a socket is not there, without the key that the exchange may quote; empty where nothing is known."""
        return self._keys.masked(socket.problem)

    async def prepare(self, rules: Instrument, leverage: Decimal) -> None:
        """Assert isolated margin, one-way mode and leverage of an instrument, before its first order.

        Raises RequestRefused, VenueUnavailable or OutcomeUnknown.
        """
        await self.carry_out(self.venue.prepare(rules, leverage))

    async def prepare_all(self, wanted: Iterable[tuple[Instrument, Decimal]]) -> None:
        """Many of them with their leverages, several at a time; raises as `prepare`."""
        await self.carry_out(self.venue.isolate())
        await self.venue.line.carry_out_all(self.venue.prepare(rules, leverage) for rules, leverage in wanted)

    async def carry_out(self, procedure: Procedure[T]) -> T:
        """Run a procedure (see `inquiry`, `preflight`); raises what it raises."""
        return await self.venue.line.carry_out(procedure)

    def _can_trade(self) -> bool:
        return self.trade is None or self.venue.trade is not None

    def _transport(self, *arguments: object) -> None:
        assert self._http is not None, "the account is used before it was entered"
        self._http(*arguments)  # type: ignore[arg-type]

    async def _close(self) -> None:
        self.venue.stop()
        self.private.stop()
        if self.trade is not None:
            self.trade.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()
        if self._session is not None:
            await self._session.close()


async def ask_once(
    environment: Environment,
    keys: Keys | None,
    procedure: Callable[[Line, ServerClock], Procedure[T]],
    clock: Callable[[], int],
) -> T:
    """Run one procedure over HTTP alone: what `stakan doctor` needs."""
    server_clock, faults = ServerClock(clock), Faults()
    async with aiohttp.ClientSession() as session:
        transport = HttpTransport(session, environment.rest, keys, server_clock, clock=clock, failed=faults.add)
        line = Line(transport, RateLimiter(), server_clock, clock=clock, timers=faults.timers)
        faults.line = line
        try:
            return await line.carry_out(procedure(line, server_clock))
        finally:
            await transport.close()
