"""Bybit's public market on an event loop: HTTP session, sockets, the exchange's clock; and account fees with keys."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Self, TypeVar

import aiohttp
import msgspec
import numpy as np

from stakan.adapters.exchanges.bybit.capabilities import Breakers, Capability
from stakan.adapters.exchanges.bybit.client import Faults, Shared
from stakan.adapters.exchanges.bybit.endpoints import Environment
from stakan.adapters.exchanges.bybit.errors import Kind, Reaction
from stakan.adapters.exchanges.bybit.feed import Deliver, FeedLimits, Outside, PublicFeed, Raw
from stakan.adapters.exchanges.bybit.limits import Group
from stakan.adapters.exchanges.bybit.rest import (
    HttpTransport,
    Keys,
    Line,
    Procedure,
    ServerClock,
    get,
    measure_clock,
)
from stakan.adapters.exchanges.bybit.topics import Topics
from stakan.adapters.sockets import Socket, SocketHandler, SocketLimits
from stakan.core.domain.errors import VenueError
from stakan.core.domain.instrument import Category
from stakan.core.domain.units import MINUTE, SECOND

T = TypeVar("T")
_MEASURE_EVERY = MINUTE
_LOOK_EVERY_S = 0.5


class MarketClient:
    """Public data of one environment; use it as an asynchronous context. `sockets` run while it is open.

    `clock` gives strictly increasing nanoseconds, `chance` draws the jitter of reconnects, `shared` is given to
    whatever else of this process talks to the same exchange.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        clock: Callable[[], int],
        chance: np.random.Generator,
        keys: Keys | None = None,
        limits: SocketLimits | None = None,
        shared: Shared | None = None,
    ) -> None:
        self.environment = environment
        self.keys = keys
        self.server_clock = ServerClock(clock)
        self.sockets: list[Socket] = []
        self.clock = clock
        self.shared = shared or Shared()
        """Limits and connects, to be shared with whoever talks to the same exchange."""
        self._chance = chance
        self._limits = limits
        self._tasks: list[asyncio.Task[None]] = []
        self._faults = Faults()
        self._measuring: asyncio.Task[None] | None = None
        self._http: HttpTransport | None = None
        self._line = self._faults.line = Line(
            self._transport,
            self.shared.limiter,
            self.server_clock,
            clock=clock,
            timers=self._faults.timers,
            chance=chance,
        )
        self.breakers: Breakers = self._line.breakers
        """By capability."""

    async def __aenter__(self) -> Self:
        """Measure the exchange's clock; raises VenueError where it cannot be reached."""
        self._session = aiohttp.ClientSession()
        self._http = HttpTransport(
            self._session,
            self.environment.rest,
            self.keys,
            self.server_clock,
            clock=self.clock,
            failed=self._faults.add,
        )
        try:
            await self.carry_out(measure_clock(self.server_clock, self.clock))
        except BaseException:
            await self._close()
            raise
        self._measuring = asyncio.create_task(self._keep_measuring())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._close()

    def release(self) -> None:
        """An operator has looked into it: what breakers hold back may be asked again."""
        for breaker in self.breakers.values():
            breaker.reset(self.clock())

    async def carry_out(self, procedure: Procedure[T]) -> T:
        """Run a procedure (see `listing`); raises what it raises."""
        return await self._line.carry_out(procedure)

    async def carry_out_all(self, procedures: Iterable[Procedure[T]]) -> list[T]:
        """Run many, several at a time; raises what the first one raises that does."""
        return await self._line.carry_out_all(procedures)

    def feed(
        self, topics: Topics, deliver: Deliver, *, limits: FeedLimits | None = None, raw: Raw | None = None
    ) -> PublicFeed:
        """A feed whose connections are made, and run, as it follows instruments."""
        outside = Outside(
            deliver=deliver,
            ask=self._ask,
            timers=self._faults.timers,
            clock=self.clock,
            offset=lambda: self.server_clock.offset,
            raw=raw,
        )
        return PublicFeed(topics, self._connect, outside, venue=self.environment.venue, limits=limits)

    async def until_failed(self) -> None:
        """Never returns; raises what ended a socket or a callback: a bug of ours, or what `deliver` raised."""
        while True:
            self._faults.check()
            if self._tasks:
                # Once in a while anew, because following more instruments makes more sockets.
                await asyncio.wait(self._tasks, timeout=_LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(_LOOK_EVERY_S)
            for task in self._tasks:
                if task.done():
                    task.result()

    def _connect(self, category: Category, handler: SocketHandler) -> Socket:
        socket = Socket(
            self.environment.public_socket(category),
            handler,
            clock=self.clock,
            chance=self._chance,
            limits=self._limits,
            budget=self.shared.connects,
        )
        self.sockets.append(socket)
        self._tasks.append(asyncio.create_task(socket.run()))
        return socket

    def _transport(self, *arguments: object) -> None:
        assert self._http is not None, "the market is asked before it was entered"
        self._http(*arguments)  # type: ignore[arg-type]

    def _ask(self, path: str, parameters: Mapping[str, str], done: Callable[[msgspec.Raw | None], None]) -> None:
        if not self.breakers[Capability.MARKET].allow(self.clock()):
            # Checks of books and prints of an interruption: a feed lives without them.
            self._faults.timers(0, lambda: done(None))
            return
        request = get(Kind.QUERY, Group.MARKET, path, is_signed=False, **parameters)
        self._line.ask(request, lambda reply: done(reply.result if reply.reaction is Reaction.OK else None))

    async def _keep_measuring(self) -> None:
        while True:
            await asyncio.sleep(_MEASURE_EVERY / SECOND)
            try:
                await self.carry_out(measure_clock(self.server_clock, self.clock))
            except VenueError:
                # The sockets say more about an exchange that cannot be reached; the old offset stays.
                continue

    async def _close(self) -> None:
        for socket in self.sockets:
            socket.stop()
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.gather(self._measuring, return_exceptions=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()
        await self._session.close()
