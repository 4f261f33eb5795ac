"""`stakan trade`: one bot on a venue's market, from its pre-flight to its report."""

import asyncio
import logging
import math
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import aiohttp
import msgspec
import numpy as np

from stakan.adapters.exchanges.bybit import inquiry
from stakan.adapters.exchanges.bybit.client import BybitAccount, Told
from stakan.adapters.exchanges.bybit.endpoints import Environment
from stakan.adapters.exchanges.bybit.feed import FeedLimits, PublicFeed
from stakan.adapters.exchanges.bybit.market_client import MarketClient
from stakan.adapters.exchanges.bybit.messages import amount
from stakan.adapters.exchanges.bybit.preflight import Check, Verdict, Wanted, is_fit, preflight, reachable
from stakan.adapters.exchanges.bybit.rest import Keys
from stakan.adapters.exchanges.bybit.topics import Topics
from stakan.adapters.exchanges.bybit.venue import Patience
from stakan.adapters.journal.reading import secure
from stakan.apps.config import Settings, duration_ns
from stakan.apps.doctor import venue_of
from stakan.apps.garbage import long_lived
from stakan.apps.live.bot import Bot, BotPlan, paper_exchange
from stakan.apps.live.clock import LoopTime, WallClock
from stakan.apps.live.counterparties import AtVenue, Shadow
from stakan.apps.live.heartbeat import Beat, Heart
from stakan.apps.live.loop import LiveCounterparty
from stakan.apps.live.observation import Observation, Traced
from stakan.apps.live.parts import CLOCK, DATABASE, DISK, lack_of_room, wrong_clock
from stakan.apps.live.past import Past, recall
from stakan.apps.live.projecting import ProjectorProcess
from stakan.apps.live.publisher import Publisher
from stakan.apps.live.sign_of_life import beat_of
from stakan.apps.live.state_folder import RUNS, StateFolder
from stakan.apps.live.stuck import StuckLimits, StuckWatch
from stakan.apps.logs import Logs
from stakan.apps.projection import Latency
from stakan.apps.recorded_run import JOURNAL_FOLDER
from stakan.apps.results import RunResult
from stakan.apps.secrets import bybit_keys
from stakan.apps.shared_budget import shared_budget
from stakan.apps.universe import Universe
from stakan.core.domain.commands import ReadAccount, RefreshCommand, RequestSnapshot
from stakan.core.domain.errors import ConfigError, StakanError, VenueError, VenueUnavailable
from stakan.core.domain.events import AnyOperatorRequest, ReleaseHalt, VenueNews
from stakan.core.domain.ids import InstrumentId, split_instrument_id
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND, Nanos

LOCAL, MAINNET, TESTNET = "local", "mainnet", "testnet"
SETTLE = "USDT"
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

Say = Callable[[str], None]
_log = logging.getLogger(__name__)


class Mode(StrEnum):
    """Where orders go."""

    PAPER = "paper"
    SHADOW = "shadow"
    TESTNET = "testnet"
    LIVE = "live"

    @property
    def is_at_exchange(self) -> bool:
        """Whether orders reach an exchange."""
        return self in (Mode.TESTNET, Mode.LIVE)


class BotFailed(StakanError):
    """The bot ended by itself; the message says what became of orders, and where the evidence is."""


class NotFit(StakanError):
    """Pre-flight speaks against trading."""


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


def settled(settings: Settings, mode: Mode, *, confirmed: bool) -> Settings:
    """The settings as the mode allows them; raises ConfigError where it does not.

    Testnet never means mainnet, live means nothing else.
    """
    name = settings.venue.environment
    if mode is Mode.TESTNET and name == MAINNET:
        venue = settings.venue.model_copy(update={"environment": TESTNET})
        return settings.model_copy(update={"venue": venue})
    if mode is Mode.LIVE and name != MAINNET:
        raise ConfigError(f"--mode live trades real money on mainnet; venue.environment is {name}: use --mode testnet")
    if mode is Mode.LIVE and not confirmed:
        raise ConfigError("--mode live trades real money: add --i-understand-this-is-real-money")
    return settings


async def trade(
    settings: Settings,
    mode: Mode,
    state: StateFolder,
    stopping: Stopping,
    say: Say,
    logs: Logs | None = None,
    *,
    take_over: bool = False,
) -> Ended:
    """Run a bot until it is asked to stop; at an exchange it carries on the last run of the state folder.

    `take_over` lets the first run of a state folder begin on an account that holds something. Raises DataError where
    the last run cannot be carried on, ConfigError, NotFit or VenueError where it cannot begin, BotFailed where it ended
    by itself, StorageError.
    """
    clock = WallClock()
    venue = venue_of(settings)
    keys = bybit_keys()
    if mode.is_at_exchange and keys is None:
        raise ConfigError(f"--mode {mode} needs BYBIT_API_KEY and BYBIT_API_SECRET in the environment or in .env")
    past = recall(state.runs(), mode, settings.account.name) if mode.is_at_exchange else None
    if past is not None:
        secure(state.folder / RUNS / past.run / JOURNAL_FOLDER)
        clock.not_before(past.engine.state.now)
        say(f"carrying on {past.run}: {past.folded} steps after its last snapshot")
    chance = np.random.default_rng()
    async with (
        MarketClient(venue, clock=clock.now, chance=chance, keys=keys) as market,
        shared_budget(settings, market.shared.limiter, keys, clock.now, say),
    ):
        chosen = await instruments_of(market, settings, past)
        instruments = chosen.instruments
        say(f"{mode} on {venue.name}: {', '.join(split_instrument_id(key)[2] for key in instruments)}")
        whose = ""
        if mode.is_at_exchange:
            whose = await account_of(market, past)
            listed = {key: rules for key, rules in instruments.items() if key not in chosen.gone}
            is_taken_over = take_over or past is not None
            settings = await fit(market, settings, listed, say, is_taken_over=is_taken_over, lead_ns=clock.lead)
        origin = await origin_of(venue)
        run = state.new_run(mode)
        plan = BotPlan(
            mode=mode,
            settings=settings,
            instruments=instruments,
            run_folder=run,
            epoch=state.epoch_of(run),
            past=past,
            venue_account=whose,
            gone=chosen.gone,
            changed=chosen.changed,
            market=origin.market,
            is_synthetic=origin.is_synthetic,
        )
        session = Session(plan, market, venue, keys, clock, chance, logs)
        return await session.live(state.folder, stopping, say)


class Origin(msgspec.Struct, frozen=True):
    """Where a market comes from, for people, and whether it is generated."""

    market: str
    is_synthetic: bool = False


async def origin_of(venue: Environment) -> Origin:
    """Bybit's own, or what a local exchange says of itself; raises VenueUnavailable where it does not say."""
    if venue.name != LOCAL:
        return Origin(f"Bybit {venue.name}")
    url = f"{venue.rest}/local/v1/status"
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            about = msgspec.json.decode(await reply.read(), type=Origin)
    except (aiohttp.ClientError, msgspec.MsgspecError, OSError) as error:
        raise VenueUnavailable(f"{url} does not say what its market is: {error}") from error
    return msgspec.structs.replace(about, market=f"local exchange: {about.market}")


class Chosen(msgspec.Struct, frozen=True):
    """What is traded; see `BotPlan` for `gone` and `changed`."""

    instruments: dict[InstrumentId, Instrument]
    gone: frozenset[InstrumentId] = frozenset()
    changed: tuple[Instrument, ...] = ()


async def instruments_of(market: MarketClient, settings: Settings, past: Past | None = None) -> Chosen:
    """Named instruments, or the best of a ranking, with their rules; and those in which the last run holds something.

    Raises ConfigError, VenueError, and DataError where a ranking leaves nothing.
    """
    universe = Universe(settings, market, lambda rules: rules.is_linear and rules.settle == SETTLE)
    await universe.load()
    wanted = await universe.choose()
    known = past.engine.state.portfolio if past is not None else None
    held = {key: known.instruments[key] for key in known.busy_instruments()} if known is not None else {}
    asked = dict.fromkeys([*wanted, *(key for key in held if key in universe.listed)])
    found = {one.id: one for one in await universe.rules(tuple(asked))}
    # Orders and positions are in units of the old rules until they are over.
    changed = {key: old for key, old in held.items() if key in found and _grid(old) != _grid(found[key])}
    return Chosen(
        {**found, **changed, **{key: old for key, old in held.items() if key not in found}},
        frozenset(key for key in held if key not in found),
        tuple(found[key] for key in changed),
    )


def _grid(rules: Instrument) -> tuple[Decimal, Decimal]:
    return rules.tick_size, rules.lot_size


async def account_of(market: MarketClient, past: Past | None) -> str:
    """Environment and number of the account; raises NotFit where the last run of the state folder had another one."""
    whose = f"{market.environment.name}:{await market.carry_out(inquiry.account_id())}"
    if past is not None and past.venue_account not in ("", whose):
        raise NotFit(
            f"the last run of this state folder traded on account {past.venue_account}, these keys belong to {whose}: "
            "give each account a state folder of its own (trade.state)"
        )
    return whose


async def fit(
    market: MarketClient,
    settings: Settings,
    instruments: dict[InstrumentId, Instrument],
    say: Say,
    *,
    is_taken_over: bool = False,
    lead_ns: int = 0,
) -> Settings:
    """Pre-flight, the machine's clock included; the settings with the wallet's balance.

    Raises NotFit where a check failed, or where the account holds what this run does not know and nobody said that it
    is to take it over.
    """
    symbols = [split_instrument_id(key)[2] for key in instruments]
    wanted = Wanted(symbols=symbols, leverage=settings.account.leverage)
    checks = await market.carry_out(reachable(market.server_clock, market.clock, lead_ns))
    checks += await market.carry_out(preflight(wanted, lambda: datetime.now(UTC)))
    for check in checks:
        if check.verdict is not Verdict.OK:
            say(f"{check.verdict}: {check.name}: {check.finding}. {check.mend}".rstrip(". "))
    if not is_fit(checks):
        raise NotFit(f"pre-flight failed: {_failed(checks)}; `stakan doctor` shows all of it")
    held = await _held(market, [] if not is_taken_over else symbols)
    if held and not is_taken_over:
        raise NotFit(
            f"the account holds what this state folder knows nothing of: {', '.join(held)}. Close and cancel it at the "
            f"exchange, or start with --take-over: then positions are handled by recovery.orphans "
            f"({settings.recovery.orphans}) and orders that could open are cancelled"
        )
    if held:
        say(f"not of this bot, and left alone: {', '.join(held)}")
    balance = await _balance(market)
    return settings.model_copy(update={"account": settings.account.model_copy(update={"starting_balance": balance})})


async def _held(market: MarketClient, except_in: list[str]) -> list[str]:
    """Positions and open orders in instruments other than those, for people."""
    positions = [row for row in await market.carry_out(inquiry.positions()) if amount(row.size)]
    orders = await market.carry_out(inquiry.open_orders())
    return [
        *(f"{row.symbol} {row.side} {row.size}" for row in positions if row.symbol not in except_in),
        *(f"order {row.order_id} in {row.symbol}" for row in orders if row.symbol not in except_in),
    ]


async def _balance(market: MarketClient) -> Decimal:
    rows = await market.carry_out(inquiry.wallet())
    found = sum((amount(coin.wallet_balance) for row in rows for coin in row.coin if coin.coin == SETTLE), Decimal(0))
    if found <= 0:
        raise NotFit(f"the account has no {SETTLE}")
    return found


def _failed(checks: Sequence[Check]) -> str:
    return "; ".join(f"{check.name}: {check.finding}" for check in checks if check.verdict is Verdict.FAIL)


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

    def accept(self, request: AnyOperatorRequest) -> str:
        """As the bot does; what releases it also lets orders leave again that the exchange's side held back."""
        if isinstance(request, ReleaseHalt) and self.account is not None:
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
                bot.tell_of_rules()
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
                    await self._prepare(self.account, rules)
                except VenueError as error:
                    self._note(f"{rules.id} is not traded: {error}")
                    continue
            self._feed.follow([rules])
        await asyncio.Event().wait()

    async def _follow(self, connections: AsyncExitStack) -> None:
        """Start the projector; it ends after the bot, with all rows written."""
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
        for rules in self._urgent:
            await self._prepare(account, rules)
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

    async def _prepare(self, account: BybitAccount, rules: Instrument) -> None:
        await account.prepare(rules, min(self._settings.account.leverage, rules.max_leverage))

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

        return Heart(folder, describe, StuckWatch(self._plan.run_folder, limits))

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
