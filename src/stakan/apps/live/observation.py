"""All that looks at a running bot without taking part: narrator, invariants, metrics, and the trace of what leaves.

Nothing that goes wrong here reaches the trading loop, and what can wait until orders have left does.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextvars import Context, copy_context
from types import TracebackType
from typing import Self

from structlog.contextvars import bind_contextvars, reset_contextvars

from stakan import __version__
from stakan.adapters.exchanges.bybit.client import BybitAccount
from stakan.adapters.exchanges.bybit.limits import Budget
from stakan.adapters.exchanges.bybit.market_client import MarketClient
from stakan.adapters.feature_store import MemoryFeatureStore
from stakan.adapters.redis.budget import SharedBudget
from stakan.adapters.redis.features import RedisFeatureStore
from stakan.adapters.tracing.spans import SpanSink
from stakan.apps.durations import duration_ns
from stakan.apps.live.bot import Bot
from stakan.apps.live.features import Features
from stakan.apps.live.invariants import ABOUT, AUDIT, Around, Breach, Invariants, disagreement
from stakan.apps.live.narrator import TOLD_EVENTS, Narrator
from stakan.apps.live.order_spans import OrderSpans
from stakan.apps.logs import Logs, get_logger
from stakan.apps.metrics import Capability, Metrics, MetricsServer, Sources
from stakan.apps.projector_status import STATUS_FILE, read_status
from stakan.apps.recorded_run import JOURNAL_FOLDER
from stakan.apps.sections import MetricsSection
from stakan.core.domain.commands import SubmitOrder, VenueCommand
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AnyEvent
from stakan.core.domain.ids import ClientOrderId, InstrumentId
from stakan.core.domain.step import Step
from stakan.core.domain.trace import Traces, trace_of
from stakan.core.domain.units import SECOND, Nanos
from stakan.core.portfolio.portfolio import Portfolio
from stakan.core.ports import Venue

_LOOK_S = 0.25
_AUDIT_NS = 5 * SECOND
"""Between two looks at what the projector says of the audit log."""
_SHOWN = 3
"""Breaches of each invariant that are among the problems, the newest."""


class Observation:
    """Of one bot whose surroundings are set: `attach` it, then use it as an asynchronous context while the bot runs."""

    def __init__(self, bot: Bot, section: MetricsSection, now: Callable[[], int], logs: Logs | None = None) -> None:
        state = bot.engine.state
        self._bot = bot
        self._now = now
        self._logs = logs
        self._log = get_logger("stakan.bot")
        run = bot.plan.run_folder.name
        self._traces = traces_of(state.portfolio, run)
        rules = bot.plan.instruments
        self._narrator = Narrator(traces_of(state.portfolio, run), rules.get, self._log)
        self._later: deque[tuple[Context, AnyEvent, Step]] = deque()
        self._step = Step(state.number, Nanos(state.now))
        self._unwritten: list[ClientOrderId] = []
        """Orders that are not on the disk yet, where none leaves."""
        self._is_traced = False
        self._spans: OrderSpans | None = None
        self._breaches: dict[int, deque[str]] = {}
        self._state_folder = bot.plan.run_folder.parent.parent
        self._next_audit = 0
        self._began_ts = now()
        self._audit_break = ""
        self._failures = 0
        self._timer: asyncio.TimerHandle | None = None
        self._market: MarketClient | None = None
        self._account: BybitAccount | None = None
        self.sources = Sources(
            now=now,
            about={"version": __version__, "mode": bot.plan.mode, "run": run},
            queues={
                "engine": lambda: bot.loop.waiting,
                "timers": lambda: len(bot.engine.pending_timers),
                "journal": lambda: bot.journal.backlog,
                "narration": lambda: len(self._later),
            },
            resyncs=bot.around.resyncs,
            problems=bot.around.problems,
            journal=bot.plan.run_folder / JOURNAL_FOLDER,
            projector=self._state_folder / STATUS_FILE,
        )
        self.metrics = Metrics(bot.engine, bot.latencies, self.sources)
        self.features = Features(bot.engine, now, duration_ns(bot.plan.settings.feature_store.interval))
        self.sources.features = self.features
        self._feature_store: RedisFeatureStore | None = None
        self.shared_budget: SharedBudget | None = None
        """Where rate limits are shared with other processes; whoever connects to Redis sets it."""
        self._events = self.metrics.events
        self.invariants = Invariants(
            bot.engine,
            self._broken,
            Around(is_connected=self._is_answered, is_margin_asserted=self._is_margin_asserted),
        )
        self.server = MetricsServer(section, self.metrics)
        bot.witnesses.append(self.witness)
        bot.observers += (self.observe, self.features.observe)
        if logs is not None:
            logs.fields["run"] = run
            logs.trace_of_order = self._traces.orders.get
            self.sources.queues["logs"] = lambda: logs.waiting
            self.sources.dropped_lines = lambda: logs.dropped

    def attach(self, market: MarketClient, account: BybitAccount | None, traced: "Traced | None") -> None:
        """The connections of the bot, and the door through which its commands leave."""
        self._market, self._account = market, account
        self.sources.connections = self._connections
        self.sources.breakers = self._breakers
        self.sources.budgets = self._budgets
        self.sources.queues["requests"] = lambda: market.shared.limiter.waiting(self._now())
        if traced is not None:
            self._is_traced = True
            traced.trace, traced.sent = self._trace, self._sent
        else:
            self._bot.loop.synced = self._synced
        if account is not None:
            venue = account.venue
            self.sources.account_read_ts = lambda: venue.account_read_ts

    def keep_features_in(self, store: MemoryFeatureStore | RedisFeatureStore) -> None:
        """Another place for feature vectors than this process alone."""
        self.features.store = store
        if isinstance(store, RedisFeatureStore):
            self._feature_store = store
            self.sources.queues["features"] = lambda: store.waiting
            self.sources.dropped_vectors = lambda: store.dropped

    def tell_of_orders(self, sink: SpanSink) -> None:
        """Let a collector of traces see what becomes of orders."""
        bot, plan = self._bot, self._bot.plan
        self._spans = OrderSpans(sink, bot.engine, bot.latencies, run=plan.run_folder.name, mode=plan.mode)
        self.sources.queues["spans"] = lambda: sink.waiting
        self.sources.dropped_spans = lambda: sink.dropped

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong now, for people."""
        logs = self._logs.problem if self._logs is not None else ""
        broken = (text for texts in self._breaches.values() for text in texts)
        return tuple(text for text in (*broken, logs, self.server.problem) if text)

    async def __aenter__(self) -> Self:
        """Serve metrics, and look at the clock every now and then."""
        await self.server.start()
        self._look_in(asyncio.get_running_loop())
        self.features.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say what was not said yet, and serve no more."""
        if self._timer is not None:
            self._timer.cancel()
        self.features.end()
        self._narrate()
        if self._spans is not None:
            self._spans.close(Nanos(self._bot.engine.state.now))
        await self.server.stop()

    # --- steps ------------------------------------------------------------------------------------------------------

    def witness(self, _event: AnyEvent, step: Step) -> None:
        """Learn whose the orders of a step are, so that they leave with their traces, and when they were decided."""
        if not step.commands:
            return
        if self._is_traced:
            self._step = step
            self._traces.note(step)
        now = self._now()
        for command in step.commands:
            if type(command) is SubmitOrder:
                order = command.order.client_order_id
                self._bot.latencies.decided(order, step.ts, now)
                if not self._is_traced:
                    self._unwritten.append(order)

    def observe(self, event: AnyEvent, step: Step) -> None:
        """Take an event and what the engine made of it; next to nothing where it made nothing."""
        kind = type(event)
        self._events[kind] += 1
        if step.facts or step.commands or self.invariants.bare or kind in TOLD_EVENTS:
            try:
                self._look_at(event, step)
            except Exception as error:  # noqa: BLE001 - a bug in looking must not end what is looked at
                self._failed(error)

    def _look_at(self, event: AnyEvent, step: Step) -> None:
        self.metrics.count(step)
        self._traces.note(step)
        self.invariants.observe(event, step)
        breach = disagreement(self._bot.engine, step)
        if breach is not None:
            self._broken(breach)
        if step.facts or step.commands or type(event) in TOLD_EVENTS:
            if not self._later:
                asyncio.get_running_loop().call_soon(self._narrate)
            self._later.append((copy_context(), event, step))

    def _narrate(self) -> None:
        """Say what has piled up; by now the orders have left."""
        while self._later:
            context, event, step = self._later.popleft()
            try:
                context.run(self._narrator.observe, event, step)
                if self._spans is not None:
                    self._spans.observe(event, step)
            except Exception as error:  # noqa: BLE001 - as in observe
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Said once, counted ever after."""
        self._failures += 1
        if self._failures == 1:
            self._log.error("looking at the bot failed; it trades on", exc_info=error)

    # --- invariants -------------------------------------------------------------------------------------------------

    def _broken(self, breach: Breach) -> None:
        self.metrics.breach(breach.number)
        about = ABOUT[breach.number]
        shown = self._breaches.setdefault(breach.number, deque(maxlen=_SHOWN))
        shown.append(f"invariant {breach.number} did not hold ({about}): {breach.detail}")
        self._log.error(
            "invariant_broken",
            number=breach.number,
            about=about,
            instrument=breach.instrument,
            detail=breach.detail,
            step=self._bot.engine.state.number,
        )

    def _is_answered(self) -> bool:
        return self._account is None or self._account.venue.is_streaming

    def _is_margin_asserted(self, instrument: InstrumentId) -> bool:
        return self._account is None or self._account.venue.is_prepared(instrument)

    def _look_in(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + _LOOK_S
        self._timer = loop.call_at(due, self._look, loop, due)

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self.metrics.loop_lag.add(round(max(0.0, loop.time() - due) * SECOND))
        if self.invariants.bare and not self._bot.loop.is_over:
            self.invariants.check(self._now())
        self.look_at_audit()
        self._look_in(loop)

    def look_at_audit(self) -> None:
        """Tell of a break that the projector has found in the chain of audit records, once."""
        now = self._now()
        if now < self._next_audit:
            return
        self._next_audit = now + _AUDIT_NS
        try:
            status = read_status(self._state_folder)
        except DataError:
            # Whoever started the projector tells of it.
            return
        # What was left lying by a projector of earlier days says nothing of this bot, and may never be written again.
        if status is not None and status.updated_ts < self._began_ts:
            return
        found = status.audit_break if status is not None else ""
        if found and found != self._audit_break:
            self._broken(Breach(number=AUDIT, ts=Nanos(now), instrument=None, detail=found))
        self._audit_break = found

    # --- connections ------------------------------------------------------------------------------------------------

    def _trace(self, command: VenueCommand) -> str:
        return trace_of(command, self._step, self._traces)

    def _sent(self, command: VenueCommand) -> None:
        if isinstance(command, SubmitOrder):
            self._bot.latencies.sent(command.order.client_order_id, self._now())

    def _synced(self, taken: int) -> None:
        self._bot.latencies.syncs.add(taken)
        now, unwritten = self._now(), self._unwritten
        self._unwritten = []
        for order in unwritten:
            self._bot.latencies.sent(order, now)

    def _connections(self) -> Mapping[str, bool]:
        assert self._market is not None
        found = {f"public_{number}": one.is_open for number, one in enumerate(self._market.sockets, start=1)}
        if self._account is not None:
            found["private"] = self._account.venue.is_streaming
            if self._account.trade is not None:
                found["trade"] = self._account.venue.trade is not None
        if self.shared_budget is not None:
            found["shared_budget"] = bool(self.shared_budget.is_connected)
        if self._feature_store is not None:
            found["feature_store"] = bool(self._feature_store.is_connected)
        return found

    def _breakers(self) -> Mapping[str, Iterable[Capability]]:
        assert self._market is not None
        found = {"market": self._market.breakers.values()}
        if self._account is not None:
            found["account"] = self._account.venue.breakers.values()
        return found

    def _budgets(self) -> Mapping[str, Budget]:
        """Of market and account, which share them."""
        assert self._market is not None
        now, shared = self._now(), self._market.shared
        connects = Budget(shared.connects.left(now), shared.connects.wait(now))
        return {**shared.limiter.budgets(now), "connects": connects}


class Traced:
    """A venue whose requests are logged with the trace of what they are about.

    It is bound while a command is sent: tasks and timers that begin there inherit it.
    """

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self.trace: Callable[[VenueCommand], str] = lambda _command: ""
        self.sent: Callable[[VenueCommand], None] = lambda _command: None

    def send(self, command: VenueCommand) -> None:
        """As `Venue.send`."""
        tokens = bind_contextvars(trace=self.trace(command))
        try:
            self._venue.send(command)
        finally:
            reset_contextvars(**tokens)
        self.sent(command)


def traces_of(portfolio: Portfolio, run: str) -> Traces:
    """What is known of orders and positions at the start, carried from an earlier run."""
    known = Traces(run=run)
    orders = portfolio.orders
    for order in (*orders.older.values(), *orders.finished.values(), *orders.live.values()):
        known.note_order(order.id, order.request.intent, order.request.instrument)
    for position in portfolio.positions.live.values():
        known.note_position(position.id, position.owner.intent, position.instrument)
    return known
