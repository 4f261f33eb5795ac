"""A bot with its connections: how it recovers, lives and ends."""

import asyncio
import logging
import math
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np

from stakan.adapters.exchanges.bybit.client import BybitAccount, Told
from stakan.adapters.exchanges.bybit.context import Patience
from stakan.adapters.exchanges.bybit.endpoints import Environment
from stakan.adapters.exchanges.bybit.feed import FeedLimits, PublicFeed
from stakan.adapters.exchanges.bybit.listing import completed
from stakan.adapters.exchanges.bybit.market_client import MarketClient
from stakan.adapters.exchanges.bybit.rest import Keys
from stakan.adapters.exchanges.bybit.topics import Topics
from stakan.apps.durations import duration_ns
from stakan.apps.garbage import long_lived
from stakan.apps.journal_pruning import Pruning
from stakan.apps.live.bot import Bot, BotPlan, paper_exchange
from stakan.apps.live.clock import LoopTime, WallClock
from stakan.apps.live.counterparties import AtVenue, Shadow
from stakan.apps.live.fitness import Say
from stakan.apps.live.heartbeat import Beat, Heart
from stakan.apps.live.loop import LiveCounterparty
from stakan.apps.live.mode import Mode
from stakan.apps.live.observation import Observation, Traced
from stakan.apps.live.parts import CLOCK, DATABASE, DISK, lack_of_room, wrong_clock
from stakan.apps.live.projecting import ProjectorProcess
from stakan.apps.live.publisher import Publisher
from stakan.apps.live.sign_of_life import beat_of
from stakan.apps.live.stuck import StuckLimits, StuckWatch
from stakan.apps.logs import Logs
from stakan.apps.projection import Latency
from stakan.apps.results import RunResult
from stakan.core.domain.commands import ReadAccount, RefreshCommand, RequestSnapshot
from stakan.core.domain.errors import StakanError, VenueError, VenueUnavailable
from stakan.core.domain.events import AnyOperatorRequest, ReleaseHalt, VenueNews
from stakan.core.domain.ids import InstrumentId, split_instrument_id
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND, Nanos

_READY_NS = Nanos(20 * SECOND)
_AGREE_NS = 20 * SECOND
"""How long a start waits until books and account agree; it goes on without entries after that."""
_POLL_S = 0.02
_WATCH_S = 0.25
_NOTES_SHOWN = 5
_NOTE_NS = 10 * MINUTE
"""How long a note counts among the problems of the moment."""
_LAST_CANCELS_S = 2.0
"""How long cancels of a bot that has failed get to reach the exchange."""


_log = logging.getLogger(__name__)


class BotFailed(StakanError):
    """The bot ended by itself; the message says what became of orders, and where the evidence is."""


class Stopping:
    """Who wants the bot to end: the first signal gracefully, the second at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()
        self.why = ""

    def ask(self, why: str) -> None:
        """End; when asked again, at once."""
        if self.asked.is_set():
            self.at_once.set()
            return
        self.why = why
        self.asked.set()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM ask."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self.ask, number.name)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


class Ended(msgspec.Struct, frozen=True):
    """What is left of a run."""

    result: RunResult
    folder: Path
    left_open: tuple[str, ...]
    """Positions that stay at the exchange under their stops, and entries whose cancel was not confirmed."""
    latencies: tuple[Latency, ...]
    """Of the last minutes."""


class Session:
    """A bot with its connections."""

    def __init__(
        self,
        plan: BotPlan,
        market: MarketClient,
        venue: Environment,
        keys: Keys | None,
        clock: WallClock,
        chance: np.random.Generator,
        logs: Logs | None = None,
    ) -> None:
        self._plan = plan
        self._settings = plan.settings
        self._market = market
        self._broke = asyncio.Event()
        self._notes: deque[tuple[int, str]] = deque(maxlen=_NOTES_SHOWN)
        self._now = clock.now
        self.account: BybitAccount | None = None
        self._projector: ProjectorProcess | None = None
        self._traced: Traced | None = None
        self._pruning = Pruning(self._settings.trade.state, clock.now())
        mode = Mode(plan.mode)
        if mode.is_at_exchange:
            assert keys is not None
            told = Told(deliver=self._deliver, halt=self._halt, note=self._note)
            window = Patience(receive_window=duration_ns(self._settings.venue.receive_window))
            self.account = BybitAccount(
                venue,
                keys,
                plan.instruments,
                told=told,
                clock=clock.now,
                chance=chance,
                patience=window,
                shared=market.shared,
            )
        self.bot = Bot(
            plan,
            self._counterparty(mode),
            LoopTime(clock),
            refresh=self._refresh,
            failed=lambda _error: self._broke.set(),
        )
        self._feed = self._public_feed()
        self._urgent = self._with_positions() or self._listed
        around = self.bot.around
        around.is_connected = lambda: not self._down()
        around.problems = self._problems
        around.resyncs = lambda key: self._feed.counters(key).resyncs if key in self._feed.instruments else 0
        self.observation = Observation(self.bot, self._settings.metrics, clock.now, logs)
        self.observation.attach(market, self.account, self._traced)
        around.features = self.observation.features.latest

    def accept(self, request: AnyOperatorRequest) -> str:
        """As the bot does; what releases it also closes breakers, and lets orders leave that the venue held back."""
        if isinstance(request, ReleaseHalt):
            self._market.release()
            if self.account is not None:
                self.account.venue.release()
        return self.bot.accept(request)

    async def live(self, folder: Path, stopping: Stopping, say: Say) -> Ended:
        """Connect, trade until something ends it, stop in order, report."""
        bot = self.bot
        try:
            async with AsyncExitStack() as connections:
                await connections.enter_async_context(self.observation)
                heart = connections.enter_context(self._heart(folder))
                if self.account is not None:
                    await self._recover(self.account, connections, say)
                bot.loop.begin()
                bot.tell_of_rules(self._plan.changed)
                self._feed.follow(self._urgent)
                await self._follow(connections)
                publisher = Publisher(folder, bot.hello, bot.model, self.accept, self._now)
                await publisher.start()
                connections.push_async_callback(publisher.stop)
                self.observation.sources.queues["consoles"] = lambda: publisher.unread
                say(f"running, {folder / 'bot.sock'} serves the console; Ctrl-C stops")
                with stopping.on_signals(), long_lived():
                    error = await self._until_ended(stopping)
                    await self._stop(stopping, error, say)
                left, latencies = self._left_open(), bot.latencies.summary(self._now())
                result = bot.finish() if bot.loop.failure is None else bot.result()
                if error is None and bot.loop.failure is not None:
                    error = self._broken(bot.loop.failure)
                if error is not None:
                    raise error
                heart.rest()
                return Ended(result, self._plan.run_folder, left, latencies)
        finally:
            bot.discard()

    async def _follow_rest(self) -> None:
        """Follow what was not urgent as the account is prepared for it, so that nothing is decided there before.

        Never returns.
        """
        for rules in self._listed:
            if self.account is not None and not self.account.venue.is_prepared(rules.id):
                try:
                    await self.account.prepare(rules, self._leverage(rules))
                except VenueError as error:
                    self._note(f"{rules.id} is not traded: {error}")
                    continue
            self._feed.follow([rules])
        await self._look_at_tiers()
        await asyncio.Event().wait()

    async def _look_at_tiers(self) -> None:
        """Margin tiers were taken from the run before, because asking for hundreds holds up a start."""
        if self._plan.past is None:
            return
        instruments = self.bot.engine.state.instruments
        unread: dict[InstrumentId, VenueError] = {}
        for key in (rules.id for rules in self._listed):
            before = instruments[key].rules
            try:
                fresh = await self._market.carry_out(completed(before, {}))
            except VenueError as error:
                unread[key] = error
                continue
            if fresh.margin_tiers != before.margin_tiers:
                rules = msgspec.structs.replace(instruments[key].rules, margin_tiers=fresh.margin_tiers)
                self.bot.tell_of_rules([rules])
        if unread:
            last, why = list(unread.items())[-1]
            self._note(f"margin tiers of {len(unread)} instruments stay those of the run before: {last}: {why}")

    async def _follow(self, connections: AsyncExitStack) -> None:
        """Start the projector; it ends after the bot, with all rows written. Journals are pruned until then."""
        connections.push_async_callback(asyncio.to_thread, self._pruning.stop)
        if self._settings.database.follow:
            projector = self._projector = ProjectorProcess(self._settings, self._plan.run_folder)
            connections.push_async_callback(asyncio.to_thread, projector.stop)

    async def _recover(self, account: BybitAccount, connections: AsyncExitStack, say: Say) -> None:
        """Connect, learn what became of the orders of the last run, and wait until books and account agree."""
        past = self._plan.past
        await connections.enter_async_context(account)
        if past is not None:
            since = past.unknown_since + account.venue.server_clock.offset
            account.venue.resume(since // MILLISECOND)
        # Before anything is heard of the account: its sockets connect from the next await on.
        for order in self.bot.engine.state.portfolio.orders.live.values():
            account.venue.adopt(order)
        self.bot.begin_recovery()
        await self._until_up(account)
        await account.prepare_all((rules, self._leverage(rules)) for rules in self._urgent)
        for _ in range(math.ceil(_AGREE_NS / SECOND / _POLL_S)):
            if self.bot.engine.state.unread is None or self.bot.loop.is_over:
                return
            account.failed()
            await asyncio.sleep(_POLL_S)
        say("books and account do not agree yet: nothing opens until they do")

    @property
    def _listed(self) -> list[Instrument]:
        """What the exchange still lists."""
        return [rules for key, rules in self._plan.instruments.items() if key not in self._plan.gone]

    def _with_positions(self) -> list[Instrument]:
        """What must not wait until two hundred other instruments are prepared."""
        live = self.bot.engine.state.portfolio.positions.live
        return [rules for rules in self._listed if rules.id in live and live[rules.id].size]

    async def _until_up(self, account: BybitAccount) -> None:
        try:
            await account.ready(_READY_NS)
        except TimeoutError:
            raise VenueUnavailable(
                f"the account's sockets did not come up: {account.problem(account.private)}"
            ) from None

    def _leverage(self, rules: Instrument) -> Decimal:
        return min(self._settings.account.leverage, rules.max_leverage)

    async def _until_ended(self, stopping: Stopping) -> Exception | None:
        """Wait; what ended it, or nothing where it was asked to end."""
        tasks = [
            asyncio.create_task(stopping.asked.wait()),
            asyncio.create_task(self._broke.wait()),
            asyncio.create_task(self._market.until_failed()),
            asyncio.create_task(self._watch()),
            asyncio.create_task(self._follow_rest()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        errors = [error for task in done if (error := task.exception()) is not None]
        failure = self.bot.loop.failure or next((e for e in errors if isinstance(e, Exception)), None)
        return None if failure is None else self._broken(failure)

    def _broken(self, failure: Exception) -> BotFailed:
        left = "; ".join(self._left_open()) or "nothing"
        broken = BotFailed(
            f"the bot has failed: {type(failure).__name__}: {failure}. Its entries are cancelled, stops stay at the "
            f"exchange, where it knew of: {left}; the evidence is in {self._plan.run_folder}"
        )
        broken.__cause__ = failure
        return broken

    async def _watch(self) -> None:
        """Raises what ended a socket of the account, or a callback; keeps the clock's offset and looks at the parts."""
        while True:
            self.bot.latencies.offset_ns = self._market.server_clock.offset
            self._look_at_parts()
            if self.account is not None:
                self.account.failed()
            await asyncio.sleep(_WATCH_S)

    def _look_at_parts(self) -> None:
        parts = self.bot.parts
        why = lack_of_room(self._plan.run_folder, self._settings.trade.min_free_mb, was_full=DISK in parts.away)
        if why is not None or self.bot.journal.has_room():
            parts.report(DISK, why)
        if self._projector is not None:
            parts.report(DATABASE, self._projector.trouble())
        parts.report(CLOCK, wrong_clock(self._market.server_clock.offset))
        unpruned = self._pruning.look(self._now())
        if unpruned is not None:
            self._note(unpruned)

    async def _stop(self, stopping: Stopping, error: Exception | None, say: Say) -> None:
        """Cancel entries, wait until nothing is on its way; positions keep their stops, or are closed for lack of one."""
        bot = self.bot
        if not bot.loop.is_over:
            why = f"graceful stop ({stopping.why})" if error is None else "stop after a failure"
            say(f"{why}: cancelling entries, stops stay; once more stops at once")
            bot.cancel_entries(why)
        for _ in range(math.ceil(duration_ns(self._settings.trade.stop_timeout) / SECOND / _POLL_S)):
            if bot.loop.is_over or bot.is_settled or stopping.at_once.is_set():
                break
            await asyncio.sleep(_POLL_S)
        if bot.loop.is_over:
            await self._cancel_directly()

    async def _cancel_directly(self) -> None:
        """The engine is broken: what it knew of its entries is cancelled without it."""
        if self.account is None or not self.bot.live_entries:
            return
        for cancel in self.bot.live_entries:
            self.account.venue.send(cancel)
        await asyncio.sleep(_LAST_CANCELS_S)

    def _left_open(self) -> tuple[str, ...]:
        portfolio = self.bot.engine.state.portfolio
        held = [
            f"{split_instrument_id(key)[2]} {position.side.name} {self._plan.instruments[key].size(position.size)}, "
            + ("no stop" if position.stop_loss is None else "under its stop")
            for key, position in portfolio.positions.live.items()
            if position.size
        ]
        return (*held, *(f"cancel of {one.client_order_id} not confirmed" for one in self.bot.live_entries))

    # --- parts ------------------------------------------------------------------------------------------------------

    def _counterparty(self, mode: Mode) -> LiveCounterparty:
        if self.account is not None:
            self._traced = Traced(self.account.venue)
            return AtVenue(self._traced)
        if mode is Mode.SHADOW:
            return Shadow()
        return paper_exchange(self._settings, self._plan.instruments)

    def _public_feed(self) -> PublicFeed:
        venue = self._settings.venue
        topics = Topics(depth=venue.depth, depths=dict(venue.depths), best_quotes=venue.best_quotes)
        limits = FeedLimits(check_every_ns=Nanos(duration_ns(venue.check_interval)))
        return self._market.feed(topics, self.bot.loop.deliver, limits=limits)

    def _heart(self, folder: Path) -> Heart:
        settings = self._settings.trade
        limits = StuckLimits(stuck_after=duration_ns(settings.stuck_after), end_after=duration_ns(settings.stuck_end))

        def describe() -> Beat:
            return beat_of(self.bot, self._now())

        watch = StuckWatch(self._plan.run_folder, limits)
        self.observation.sources.stuck = lambda: watch.episodes
        return Heart(folder, describe, watch)

    def _deliver(self, event: VenueNews) -> None:
        self.bot.loop.deliver(event)

    def _refresh(self, command: RefreshCommand) -> None:
        match command:
            case RequestSnapshot():
                self._feed.resync(command.instrument)
            case ReadAccount() if self.account is not None:
                self.account.venue.read_again()

    def _note(self, text: str) -> None:
        self._notes.append((self._now(), text))
        if self.bot.loop.failure is not None or not self.bot.loop.is_over:
            _log.warning(text)

    def _halt(self, why: str) -> None:
        self._note(f"trading stops: {why}")
        self.bot.halt(why)

    def _down(self) -> list[str]:
        """Connections that are not there."""
        sockets = [(f"public feed {i + 1}", one) for i, one in enumerate(self._market.sockets)]
        found = [f"{name}: {one.problem or 'connecting'}" for name, one in sockets if not one.is_open]
        account = self.account
        if account is not None:
            if not account.venue.is_streaming:
                found.append(f"private stream: {account.problem(account.private) or 'connecting'}")
            if account.trade is not None and account.venue.trade is None:
                found.append(f"trade socket: {account.problem(account.trade) or 'connecting'}; orders go over REST")
        return found

    def _problems(self) -> tuple[str, ...]:
        stopped_for = self.account.venue.stopped_for if self.account is not None else None
        stopped = [] if stopped_for is None else [f"no entries until released: {stopped_for}"]
        notes = [text for ts, text in self._notes if self._now() - ts <= _NOTE_NS]
        refused = [f"{topic}: {why}" for topic, why in self._feed.refused.items()]
        away = [f"nothing opens: {part}: {why}" for part, why in self.bot.parts.away.items()]
        return (*self.observation.problems, *stopped, *away, *notes, *refused[:5], *self._down())
