"""One life of the bot's process in virtual time: engine, live loop, venue, sessions and feed, as `stakan trade` composes them."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Protocol

import msgspec
import numpy as np

from stakan.adapters.exchanges.bybit import inquiry
from stakan.adapters.exchanges.bybit.endpoints import LOCAL_VENUE
from stakan.adapters.exchanges.bybit.errors import Kind, Reaction
from stakan.adapters.exchanges.bybit.feed import FeedLimits, Outside, PublicFeed
from stakan.adapters.exchanges.bybit.limits import Group, RateLimiter
from stakan.adapters.exchanges.bybit.listing import completed, listed
from stakan.adapters.exchanges.bybit.messages import amount
from stakan.adapters.exchanges.bybit.rest import (
    Keys,
    Line,
    Pause,
    Procedure,
    ServerClock,
    get,
    measure_clock,
)
from stakan.adapters.exchanges.bybit.sessions import PrivateSession, TradeSession
from stakan.adapters.exchanges.bybit.topics import Topics
from stakan.adapters.exchanges.bybit.venue import BybitVenue, Ports
from stakan.adapters.sockets import ConnectBudget, SocketHandler
from stakan.apps.config import Settings
from stakan.apps.driver import Observer
from stakan.apps.dst.network import Http, Network
from stakan.apps.dst.sockets import SimulatedSocket
from stakan.apps.dst.time import Heap, Killed, Machine, ProcessTime
from stakan.apps.live.counterparties import AtVenue
from stakan.apps.live.loop import LiveLoop, RunJournal
from stakan.apps.wiring import engine_config
from stakan.core.domain.errors import VenueUnavailable
from stakan.core.domain.events import AnyOperatorRequest, Halt, ReleaseHalt, VenueEvent
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND
from stakan.core.engine import Engine

PUBLIC, PRIVATE, TRADE = "/v5/public/linear", "/v5/private", "/v5/trade"
_READY_NS = 20 * SECOND
_POLL_NS = 20 * MILLISECOND
_SETTLE = "USDT"


class Surroundings(Protocol):
    """What a process is told to whom, and where it writes."""

    def journal(self, settings: Settings, instruments: Mapping[InstrumentId, Instrument]) -> RunJournal:
        """Where this life is written down."""
        ...

    def began(self, process: "Process") -> None:
        """It trades from now on."""
        ...

    def ended(self, process: "Process", error: BaseException | None) -> None:
        """It is gone: an error of its own, or killed."""
        ...

    def noted(self, text: str) -> None:
        """A line of its log."""
        ...

    @property
    def observe(self) -> Observer:
        """Sees every step."""
        ...


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What every life of it has in common."""

    settings: Settings
    symbols: tuple[str, ...]
    keys: Keys
    seed: int


class Process:
    """One life, from its start to its end. Bugs of ours, in whatever callback, end it as they end the real one."""

    def __init__(
        self, setup: Setup, number: int, heap: Heap, machine: Machine, network: Network, around: Surroundings
    ) -> None:
        self.setup = setup
        self.number = number
        """Of this life, from 1."""
        self.time = ProcessTime(heap, machine, self._failed)
        self.is_running = False
        """Whether it trades: connected, read, prepared."""
        self.has_begun = False
        """Whether it ever did."""
        self.venue: BybitVenue | None = None
        self.loop: LiveLoop | None = None
        self.engine: Engine | None = None
        self.feed: PublicFeed | None = None
        self.journal: RunJournal | None = None
        self.sockets: list[SimulatedSocket] = []
        self._network = network
        self._around = around
        self._chance = np.random.default_rng((setup.seed, number))
        self._clock = ServerClock(self.time.now)
        self._line = self._line_of(self._clock)
        self._budget = ConnectBudget()

    # --- its life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin: everything else happens by itself."""
        self.time.timers(0, lambda: self._line.run(self._begin(), lambda _: None, self._failed))

    def kill(self) -> None:
        """Gone at once: its connections break, nothing of it runs on."""
        self._failed(Killed())

    def accept(self, request: AnyOperatorRequest) -> None:
        """An operator asks for something, now."""
        assert self.loop is not None
        assert self.venue is not None
        if isinstance(request, ReleaseHalt):
            self.venue.release()
        now = self.time.now()
        self.loop.deliver(msgspec.structs.replace(request, ts_event=now, ts_recv=now))

    @property
    def is_over(self) -> bool:
        """Whether it is gone."""
        return self.time.is_over

    # --- its start --------------------------------------------------------------------------------------------------

    def _begin(self) -> Procedure[None]:
        """As `stakan trade` begins; raises VenueError where the exchange does not let it."""
        settings = self.setup.settings
        yield from measure_clock(self._clock, self.time.now)
        instruments = yield from self._rules()
        balance = yield from _balance()
        account = settings.account.model_copy(update={"starting_balance": balance})
        self._compose(settings.model_copy(update={"account": account}), instruments)
        self.time.timers(MINUTE, self._keep_measuring)
        venue = self.venue
        assert venue is not None
        venue.line.run(self._connect(venue, instruments), self._connected, self._failed)

    def _rules(self) -> Procedure[dict[InstrumentId, Instrument]]:
        found = yield from listed(Category.LINEAR, LOCAL_VENUE)
        wanted = [rules for rules in found.values() if rules.id.rsplit(":", 1)[-1] in self.setup.symbols]
        return {rules.id: rules for rules in (yield from completed(wanted, with_fees=True))}

    def _compose(self, settings: Settings, instruments: dict[InstrumentId, Instrument]) -> None:
        clock = ServerClock(self.time.now)
        venue = self.venue = BybitVenue(
            instruments,
            LOCAL_VENUE,
            Ports(
                clock=self.time.now,
                timers=self.time.timers,
                transport=Http(self._network, self.time, clock, self.setup.keys),
                deliver=self._deliver,
                halt=self._halt,
                note=self._around.noted,
                chance=self._chance,
            ),
            server_clock=clock,
        )
        self.engine = Engine(
            engine_config(settings, f"{self.setup.seed}-{self.number}", instruments), instruments.values()
        )
        self.journal = self._around.journal(settings, instruments)
        self.loop = LiveLoop(
            self.engine,
            AtVenue(venue),
            self.journal,
            self.time,
            resync=self._resync,
            observe=self._around.observe,
            failed=self._failed,
        )
        outside = Outside(
            deliver=self.loop.deliver,
            ask=self._ask,
            timers=self.time.timers,
            clock=self.time.now,
            offset=lambda: self._clock.offset,
        )
        topics = Topics(depth=settings.venue.depth, best_quotes=settings.venue.best_quotes)
        self.feed = PublicFeed(topics, self._public, outside, venue=LOCAL_VENUE, limits=FeedLimits())

    def _connect(self, venue: BybitVenue, instruments: Mapping[InstrumentId, Instrument]) -> Procedure[None]:
        yield from measure_clock(venue.server_clock, self.time.now)
        venue.start()
        private = PrivateSession(venue, self.setup.keys, venue.server_clock, self._halt)
        private.connection = self._socket(PRIVATE, private)
        trade = TradeSession(venue, self.setup.keys, venue.server_clock, self._halt)
        trade.connection = self._socket(TRADE, trade)
        until = self.time.now() + _READY_NS
        while not (venue.is_streaming and venue.is_caught_up and venue.trade is not None):
            if self.time.now() > until:
                raise VenueUnavailable("the account's sockets did not come up")
            yield Pause(_POLL_NS)
        for rules in instruments.values():
            yield from venue.prepare(rules, min(self.setup.settings.account.leverage, rules.max_leverage))

    def _connected(self, _: None) -> None:
        assert self.feed is not None
        assert self.engine is not None
        self.feed.follow(state.rules for state in self.engine.state.instruments.values())
        self.is_running = self.has_begun = True
        self._around.began(self)

    # --- parts ------------------------------------------------------------------------------------------------------

    def _line_of(self, clock: ServerClock) -> Line:
        transport = Http(self._network, self.time, clock, self.setup.keys)
        return Line(transport, RateLimiter(), clock, clock=self.time.now, timers=self.time.timers)

    def _public(self, _category: Category, handler: SocketHandler) -> SimulatedSocket:
        return self._socket(PUBLIC, handler, self._budget)

    def _socket(self, path: str, handler: SocketHandler, budget: ConnectBudget | None = None) -> SimulatedSocket:
        socket = SimulatedSocket(path, handler, self._network, self.time, self._chance, budget=budget)
        self.sockets.append(socket)
        socket.start()
        return socket

    def _ask(self, path: str, parameters: Mapping[str, str], done: Callable[[msgspec.Raw | None], None]) -> None:
        request = get(Kind.QUERY, Group.MARKET, path, is_signed=False, **parameters)
        self._line.ask(request, lambda reply: done(reply.result if reply.reaction is Reaction.OK else None))

    def _keep_measuring(self) -> None:
        self.time.timers(MINUTE, self._keep_measuring)
        self._line.run(measure_clock(self._clock, self.time.now), lambda _: None, self._not_measured)

    def _not_measured(self, error: Exception) -> None:
        self._around.noted(f"the exchange's clock could not be read: {error}")

    def _deliver(self, event: VenueEvent) -> None:
        assert self.loop is not None
        self.loop.deliver(event)

    def _resync(self, instrument: InstrumentId) -> None:
        assert self.feed is not None
        self.feed.resync(instrument)

    def _halt(self, why: str) -> None:
        self._around.noted(f"trading stops: {why}")
        now = self.time.now()
        assert self.loop is not None
        self.loop.deliver(Halt(ts_event=now, ts_recv=now, actor="exchange", request_id=f"halt {now}", why=why))

    def _failed(self, error: BaseException) -> None:
        """It is over, by whatever."""
        if self.is_over:
            return
        self.time.end()
        self.is_running = False
        self._network.abandon(self.time)
        if self.loop is not None and not isinstance(error, Killed):
            self.loop.abandon()
        self._around.ended(self, error)


def _balance() -> Procedure[Decimal]:
    rows = yield from inquiry.wallet()
    return sum((amount(coin.wallet_balance) for row in rows for coin in row.coin if coin.coin == _SETTLE), Decimal(0))
