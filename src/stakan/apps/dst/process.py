"""One life of the bot's process in virtual time: recovery, engine, live loop, venue, sessions and feed.

Composed as `apps.live.session.Session` does, by callbacks instead of tasks; everything that is composed is the real thing.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from stakan.adapters.exchanges.bybit import inquiry
from stakan.adapters.exchanges.bybit.client import Shared
from stakan.adapters.exchanges.bybit.context import Ports
from stakan.adapters.exchanges.bybit.endpoints import LOCAL_VENUE
from stakan.adapters.exchanges.bybit.errors import Kind, Reaction
from stakan.adapters.exchanges.bybit.feed import FeedLimits, Outside, PublicFeed
from stakan.adapters.exchanges.bybit.limits import Group
from stakan.adapters.exchanges.bybit.listing import all_completed, listed
from stakan.adapters.exchanges.bybit.messages import amount
from stakan.adapters.exchanges.bybit.preflight import Verdict, Wanted, preflight, reachable
from stakan.adapters.exchanges.bybit.rest import Keys, Line, Pause, Procedure, ServerClock, get, measure_clock
from stakan.adapters.exchanges.bybit.sessions import PrivateSession, TradeSession
from stakan.adapters.exchanges.bybit.topics import Topics
from stakan.adapters.exchanges.bybit.venue import BybitVenue
from stakan.adapters.journal.disk import Disk
from stakan.adapters.journal.reading import secure
from stakan.adapters.journal.records import Header
from stakan.adapters.sockets import SocketHandler
from stakan.apps.driver import Observer
from stakan.apps.dst.network import Http, Network
from stakan.apps.dst.sockets import SimulatedSocket
from stakan.apps.dst.time import Heap, Killed, Machine, ProcessTime
from stakan.apps.live.bot import Bot, BotPlan
from stakan.apps.live.counterparties import AtVenue
from stakan.apps.live.durable import BallastedJournal
from stakan.apps.live.invariants import Around, Breach, Invariants
from stakan.apps.live.parts import CLOCK, DISK, lack_of_room, wrong_clock
from stakan.apps.live.past import Past, recall
from stakan.apps.recorded_run import JOURNAL_FOLDER
from stakan.apps.settings import Settings
from stakan.core.domain.commands import ReadAccount, RefreshCommand, RequestSnapshot
from stakan.core.domain.errors import StakanError, StorageError, VenueUnavailable
from stakan.core.domain.events import AnyOperatorRequest, ReleaseHalt, VenueNews
from stakan.core.domain.ids import InstrumentId, split_instrument_id
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND

MODE = "testnet"
PUBLIC, PRIVATE, TRADE = "/v5/public/linear", "/v5/private", "/v5/trade"
_READY_NS = 20 * SECOND
_AGREE_NS = 20 * SECOND
_POLL_NS = 20 * MILLISECOND
_WATCH_NS = SECOND // 4
_LAST_CANCELS_NS = 2 * SECOND
_SETTLE = "USDT"


def run_name(number: int) -> str:
    """Of the run of a life."""
    return f"{number:04d}-{MODE}"


class NotFit(StakanError):
    """Pre-flight speaks against trading."""


class Surroundings(Protocol):
    """What a process is given of the world, and whom it tells."""

    def runs(self) -> Sequence[Path]:
        """Folders of runs, oldest first."""
        ...

    def recalled(self, process: "Process", past: Past | None) -> None:
        """What it found of the lives before it."""
        ...

    def open_journal(
        self, process: "Process", folder: Path, header: Header, carried: tuple[int, bytes] | None
    ) -> BallastedJournal:
        """Where this life is written down."""
        ...

    def observer(self, process: "Process") -> Observer:
        """Sees every step."""
        ...

    def broken(self, breach: Breach) -> None:
        """The bot itself sees that an invariant does not hold."""
        ...

    def began(self, process: "Process") -> None:
        """It trades from now on."""
        ...

    def ended(self, process: "Process", error: BaseException) -> None:
        """It is gone: an error of its own, or killed."""
        ...

    def noted(self, text: str) -> None:
        """A line of its log."""
        ...


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What every life of it has in common."""

    settings: Settings
    symbols: tuple[str, ...]
    keys: Keys
    seed: int
    state: Path
    """Its state folder on the simulated disk."""


class Process:
    """One life, from its start to its end. Bugs of ours, in whatever callback, end it as they end the real one."""

    def __init__(
        self,
        setup: Setup,
        number: int,
        heap: Heap,
        machine: Machine,
        network: Network,
        disk: Disk,
        around: Surroundings,
    ) -> None:
        self.setup = setup
        self.number = number
        """Of this life, from 1."""
        self.time = ProcessTime(heap, machine, self._failed)
        self.is_up = False
        """Whether it is connected to its account."""
        self.is_running = False
        """Whether it trades: connected, agreed, prepared."""
        self.has_begun = False
        """Whether it ever did."""
        self.bot: Bot | None = None
        self.venue: BybitVenue | None = None
        self.run = setup.state / "runs" / run_name(number)
        self._network = network
        self._disk = disk
        self._around = around
        self._past: Past | None = None
        self._feed: PublicFeed | None = None
        self._watch: Invariants | None = None
        self._is_failing = False
        self._chance = np.random.default_rng((setup.seed, number))
        self._clock = ServerClock(self.time.now)
        self._shared = Shared()
        self._line = Line(
            Http(network, self.time, self._clock, setup.keys),
            self._shared.limiter,
            self._clock,
            clock=self.time.now,
            timers=self.time.timers,
            chance=self._chance,
        )

    # --- its life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin: everything else happens by itself."""
        self.time.timers(0, self._wake_up)

    def accept(self, request: AnyOperatorRequest) -> str:
        """An operator asks for something, now; why not, where it cannot be."""
        assert self.bot is not None
        assert self.venue is not None
        if isinstance(request, ReleaseHalt):
            self.venue.release()
        return self.bot.accept(request)

    def stop(self) -> None:
        """An orderly end, once nothing is on its way; raises StorageError."""
        assert self.bot is not None
        self.bot.loop.close()
        self.time.end()
        self.is_up = self.is_running = False
        self._network.abandon(self.time)

    @property
    def is_over(self) -> bool:
        """Whether it is gone."""
        return self.time.is_over

    # --- its start --------------------------------------------------------------------------------------------------

    def _wake_up(self) -> None:
        past = self._past = recall(self._around.runs(), MODE, self.setup.settings.account.name, disk=self._disk)
        if past is not None:
            secure(self.setup.state / "runs" / past.run / JOURNAL_FOLDER, disk=self._disk)
            self.time.not_before(past.engine.state.now)
        self._around.recalled(self, past)
        self._line.run(self._begin(), lambda _: None, self._failed)

    def _begin(self) -> Procedure[None]:
        """As `stakan trade` begins; raises VenueError or NotFit where the exchange does not let it."""
        yield from measure_clock(self._clock, self.time.now)
        instruments = yield from self._rules()
        settings = yield from self._fit()
        bot, venue = self._compose(settings, instruments)
        self.time.timers(MINUTE, self._keep_measuring)
        self.time.timers(_WATCH_NS, self._look)
        venue.line.run(self._recover(bot, venue), lambda _: self._go(bot), self._failed)

    def _rules(self) -> Procedure[dict[InstrumentId, Instrument]]:
        found = yield from listed(Category.LINEAR, LOCAL_VENUE)
        wanted = [rules for rules in found.values() if split_instrument_id(rules.id)[2] in self.setup.symbols]
        return {rules.id: rules for rules in (yield from all_completed(wanted, with_fees=True))}

    def _fit(self) -> Procedure[Settings]:
        """Pre-flight, and the settings with the wallet's balance."""
        settings = self.setup.settings
        wanted = Wanted(symbols=self.setup.symbols, leverage=settings.account.leverage, asks_of_flat=False)
        checks = yield from reachable(self._clock, self.time.now, self.time.lead)
        checks += yield from preflight(wanted, lambda: datetime.fromtimestamp(self.time.now() / SECOND, UTC))
        failed = [f"{check.name}: {check.finding}" for check in checks if check.verdict is Verdict.FAIL]
        if failed:
            raise NotFit("; ".join(failed))
        rows = yield from inquiry.wallet()
        balance = sum(amount(coin.wallet_balance) for row in rows for coin in row.coin if coin.coin == _SETTLE)
        account = settings.account.model_copy(update={"starting_balance": balance})
        return settings.model_copy(update={"account": account})

    def _compose(self, settings: Settings, instruments: dict[InstrumentId, Instrument]) -> tuple[Bot, BybitVenue]:
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
            limiter=self._shared.limiter,
            server_clock=clock,
        )
        plan = BotPlan(
            mode=MODE,
            settings=settings,
            instruments=instruments,
            run_folder=self.run,
            epoch=f"dst-{self.setup.seed}-{self.run.name}",
            past=self._past,
            market="simulated",
            is_synthetic=True,
        )
        bot = self.bot = Bot(
            plan,
            AtVenue(venue),
            self.time,
            refresh=self._refresh,
            failed=self._failed,
            open_journal=lambda *what: self._around.open_journal(self, *what),
        )
        watch = Around(is_connected=lambda: venue.is_streaming, is_margin_asserted=venue.is_prepared)
        self._watch = Invariants(bot.engine, self._around.broken, watch)
        bot.witnesses += [self._around.observer(self), self._watch.observe]
        self._feed = self._public_feed(settings, bot)
        return bot, venue

    def _recover(self, bot: Bot, venue: BybitVenue) -> Procedure[None]:
        """Connect, learn what became of earlier orders, and wait until books and account agree."""
        yield from measure_clock(venue.server_clock, self.time.now)
        venue.start()
        if self._past is not None:
            venue.resume((self._past.unknown_since + venue.server_clock.offset) // MILLISECOND)
        private = PrivateSession(venue, self.setup.keys, venue.server_clock, self._halt)
        private.connection = self._socket(PRIVATE, private)
        trade = TradeSession(venue, self.setup.keys, venue.server_clock, self._halt)
        trade.connection = self._socket(TRADE, trade)
        # Before anything is heard of the account: its sockets connect from the next call on.
        for order in list(bot.engine.state.portfolio.orders.live.values()):
            venue.adopt(order)
        bot.begin_recovery()
        until = self.time.now() + _READY_NS
        while not (venue.is_streaming and venue.is_caught_up and venue.trade is not None):
            if self.time.now() > until:
                raise VenueUnavailable("the account's sockets did not come up")
            yield Pause(_POLL_NS)
        self.is_up = True
        for rules in bot.plan.instruments.values():
            yield from venue.prepare(rules, min(self.setup.settings.account.leverage, rules.max_leverage))
        until = self.time.now() + _AGREE_NS
        while bot.engine.state.unread is not None and self.time.now() < until:
            yield Pause(_POLL_NS)

    def _go(self, bot: Bot) -> None:
        assert self._feed is not None
        bot.loop.begin()
        self._feed.follow(bot.plan.instruments.values())
        self.is_running = self.has_begun = True
        self._around.began(self)

    # --- parts ------------------------------------------------------------------------------------------------------

    def _public_feed(self, settings: Settings, bot: Bot) -> PublicFeed:
        outside = Outside(
            deliver=bot.loop.deliver,
            ask=self._ask,
            timers=self.time.timers,
            clock=self.time.now,
            offset=lambda: self._clock.offset,
        )
        topics = Topics(depth=settings.venue.depth, best_quotes=settings.venue.best_quotes)
        return PublicFeed(topics, self._public, outside, venue=LOCAL_VENUE, limits=FeedLimits())

    def _public(self, _category: Category, handler: SocketHandler) -> SimulatedSocket:
        return self._socket(PUBLIC, handler)

    def _socket(self, path: str, handler: SocketHandler) -> SimulatedSocket:
        budget = self._shared.connects
        socket = SimulatedSocket(path, handler, self._network, self.time, self._chance, budget=budget)
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

    def _look(self) -> None:
        """What trading relies on, every now and then."""
        bot, watch = self.bot, self._watch
        assert bot is not None
        assert watch is not None
        self.time.timers(_WATCH_NS, self._look)
        if bot.loop.is_over:
            return
        least = self.setup.settings.trade.min_free_mb
        was_full = DISK in bot.parts.away
        why = lack_of_room(self.run, least, was_full=was_full, free_bytes=self._disk.free)
        if why is not None or bot.journal.has_room():
            bot.parts.report(DISK, why)
        bot.parts.report(CLOCK, wrong_clock(self._clock.offset))
        if watch.bare:
            watch.check(self.time.now())

    def _deliver(self, event: VenueNews) -> None:
        assert self.bot is not None
        self.bot.loop.deliver(event)

    def _refresh(self, command: RefreshCommand) -> None:
        match command:
            case RequestSnapshot():
                assert self._feed is not None
                self._feed.resync(command.instrument)
            case ReadAccount():
                assert self.venue is not None
                self.venue.read_again()

    def _halt(self, why: str) -> None:
        self._around.noted(f"trading stops: {why}")
        assert self.bot is not None
        self.bot.halt(why)

    # --- its end ----------------------------------------------------------------------------------------------------

    def _failed(self, error: BaseException) -> None:
        """It ends, by whatever. Where the disk lets it down, what it knew of its entries is cancelled first."""
        if self.is_over:
            return
        if isinstance(error, StorageError) and self.venue is not None and self.bot is not None:
            if not self._is_failing:
                self._is_failing = True
                self.bot.loop.abandon()
                for cancel in self.bot.live_entries:
                    self.venue.send(cancel)
                self.time.timers(_LAST_CANCELS_NS, lambda: self._end(error))
            return
        self._end(error)

    def _end(self, error: BaseException) -> None:
        self.time.end()
        self.is_up = self.is_running = False
        self._network.abandon(self.time)
        if self.bot is not None and not isinstance(error, Killed):
            self.bot.loop.abandon()
        self._around.ended(self, error)
