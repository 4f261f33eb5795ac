"""A running bot without its connections: engine, journal, records and read models around one live loop."""

import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from stakan import __version__
from stakan.adapters.exchanges.simulated.exchange import SimulatedExchange
from stakan.adapters.journal.records import Header
from stakan.adapters.journal.writing import FileJournal
from stakan.apps.config import to_toml
from stakan.apps.driver import Observer
from stakan.apps.durations import duration_ns
from stakan.apps.identity import assumed_rules, run_identity, simulation_assumptions
from stakan.apps.live.clock import LiveTime
from stakan.apps.live.counterparties import Paper
from stakan.apps.live.durable import BallastedJournal, Durable
from stakan.apps.live.latency import DECIDE, Latencies
from stakan.apps.live.loop import LiveCounterparty, LiveLoop
from stakan.apps.live.parts import DISK, Parts
from stakan.apps.live.past import Past
from stakan.apps.live.read_model import ReadModel, Surroundings
from stakan.apps.projection import Hello
from stakan.apps.recorded_run import JOURNAL_FOLDER
from stakan.apps.report import render_report
from stakan.apps.results import DataIdentity, Labelled, RunResult, assemble
from stakan.apps.results.files import complete_run
from stakan.apps.settings import Settings
from stakan.apps.watching import RunWatch
from stakan.apps.wiring import config_hash, engine_config, paper_config
from stakan.core.domain.commands import CancelOrder, RefreshCommand
from stakan.core.domain.events import (
    AccountUnread,
    AnyEvent,
    AnyOperatorRequest,
    AnyPartEvent,
    Flatten,
    Halt,
    InstrumentChanged,
    MoveStop,
    StopTrading,
)
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import Purpose
from stakan.core.domain.step import Step
from stakan.core.domain.units import Nanos
from stakan.core.engine import Engine
from stakan.core.features.catalogue import FEATURE_SET

OpenJournal = Callable[[Path, Header, tuple[int, bytes] | None], BallastedJournal]
"""Begins the journal of a run: its folder, its header, and the number and state that it is carried on from."""


class BotPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is made of; `settings` with the balance that it starts with."""

    mode: str
    """paper, shadow, testnet, live."""
    settings: Settings
    instruments: dict[InstrumentId, Instrument]
    run_folder: Path
    epoch: str
    venue_account: str = ""
    """Environment and number of the account, where orders reach an exchange."""
    gone: frozenset[InstrumentId] = frozenset()
    """Instruments of the last run that the exchange lists no more: kept until the account has nothing in them."""
    changed: tuple[Instrument, ...] = ()
    """New rules of instruments that begin with those of the last run, because something is expressed in them."""
    past: Past | None = None
    """The run that this one carries on; None for the first of a state folder."""
    market: str
    """For people: where the market comes from."""
    is_synthetic: bool = False


class Bot:
    """One run, from its first event to its report.

    Raises ConfigError where the configuration cannot work, StorageError where the journal cannot be written.
    """

    def __init__(
        self,
        plan: BotPlan,
        counterparty: LiveCounterparty,
        time_: LiveTime,
        refresh: Callable[[RefreshCommand], None],
        failed: Callable[[Exception], None] = lambda _error: None,
        open_journal: OpenJournal | None = None,
    ) -> None:
        """`open_journal` makes files of the machine where it is not given."""
        self.plan = plan
        self.started_ts = Nanos(time_.now())
        config = engine_config(plan.settings, plan.epoch, plan.instruments)
        self.engine = Engine(config, plan.instruments.values())
        if plan.past is not None:
            self.engine.carry(plan.past.engine)
        self._first_number = self.engine.state.number
        self.latencies = Latencies()
        self.around = Surroundings()
        self.witnesses: list[Observer] = []
        """See every event with its step before anything of it leaves: what they take, orders wait for."""
        self.observers: list[Observer] = []
        """See it after the bot's own observers, once the orders have left."""
        self._time = time_
        self._counterparty = counterparty
        self._watch = RunWatch(self.engine, plan.instruments)
        self._began = time.perf_counter()
        written = (open_journal or _on_disk)(plan.run_folder / JOURNAL_FOLDER, _header(plan), self._carried())
        self.parts = Parts(self._tell_of_part, time_.now)
        self.journal = Durable(written, lambda why: self.parts.report(DISK, why))
        self.loop = LiveLoop(
            self.engine,
            counterparty,
            self.journal,
            time_,
            flush_ns=duration_ns(plan.settings.trade.journal_interval),
            refresh=refresh,
            observe=self._observe,
            witness=self._witness,
            decided=self._decided,
            failed=failed,
        )
        self.around.take_lag_ns = self.loop.take_lag
        self.loop.synced = self.latencies.syncs.add
        self.model = ReadModel(self.engine, self.latencies, self.around)

    @property
    def hello(self) -> Hello:
        """Who this is, for consoles."""
        plan = self.plan
        return Hello(
            version=__version__,
            mode=plan.mode,
            market=plan.market,
            is_synthetic=plan.is_synthetic,
            account=plan.settings.account.name,
            started_ts=self.started_ts,
            instruments=tuple(plan.instruments.values()),
            strategies=tuple(name for name, _ in self.engine.config.strategies),
            candle_interval_ns=self.engine.config.candle_interval_ns,
            run_folder=str(plan.run_folder.absolute()),
        )

    # --- what is asked of it ----------------------------------------------------------------------------------------

    def accept(self, request: AnyOperatorRequest) -> str:
        """Let an operator's request enter now; returns why not where it cannot."""
        if self.loop.is_over:
            return "the bot has stopped"
        if isinstance(request, Flatten | MoveStop):
            known = self.engine.state.instruments
            if request.instrument is not None and request.instrument not in known:
                return f"this bot does not trade {request.instrument}"
        if isinstance(request, MoveStop):
            position = self.engine.state.portfolio.position(request.instrument)
            if position is None or position.size == 0:
                return f"there is no position in {request.instrument}"
            if request.stop_loss <= 0:
                return "a stop is a price above 0"
        now = self._time.now()
        self.loop.deliver(msgspec.structs.replace(request, ts_event=now, ts_recv=now))
        return f"the bot has failed: {self.loop.failure}" if self.loop.failure is not None else ""

    def halt(self, why: str) -> None:
        """The exchange's side cannot go on: flatten what can be, open nothing until a person releases it."""
        now = self._time.now()
        self.loop.deliver(Halt(ts_event=now, ts_recv=now, actor="exchange", request_id=f"halt {now}", why=why))

    def _tell_of_part(self, event: AnyPartEvent) -> None:
        self.loop.deliver(event)

    def begin_recovery(self) -> None:
        """Nothing opens until a reading of the account agrees with the books."""
        now = self._time.now()
        self.loop.deliver(AccountUnread(ts_event=now, ts_recv=now, why="start", is_start=True))

    def tell_of_rules(self, changed: Iterable[Instrument]) -> None:
        """What changed while no bot ran: positions in a grid that is no more are closed."""
        for rules in changed:
            now = self._time.now()
            self.loop.deliver(InstrumentChanged(ts_event=now, ts_recv=now, instrument=rules.id, rules=rules))

    def cancel_entries(self, why: str) -> None:
        """The first half of a graceful stop: nothing opens any more; positions and their stops stay."""
        now = self._time.now()
        self.loop.deliver(StopTrading(ts_event=now, ts_recv=now, actor=why, request_id=f"stop {now}"))

    @property
    def live_entries(self) -> tuple[CancelOrder, ...]:
        """Cancels of all entries that may still be filled."""
        return tuple(
            CancelOrder(instrument=order.request.instrument, client_order_id=order.id)
            for order in self.engine.state.portfolio.orders.live.values()
            if order.request.purpose is Purpose.ENTRY
        )

    @property
    def is_settled(self) -> bool:
        """Whether no order is on its way, and every position has a stop: what a stop in order leaves behind."""
        portfolio = self.engine.state.portfolio
        bare = (one for one in portfolio.positions.live.values() if one.size and one.stop_loss is None)
        return not portfolio.orders.live and next(bare, None) is None

    # --- its end ----------------------------------------------------------------------------------------------------

    def finish(self) -> RunResult:
        """End the run, and write its report beside its journal; raises StorageError."""
        self.loop.close()
        result = self.result()
        complete_run(result, self.plan.run_folder, render_report(result))
        return result

    def discard(self) -> None:
        """Let go of a run that has not ended in order: its journal stays, unless nothing has happened yet."""
        self.loop.abandon()
        if self.engine.state.number == self._first_number:
            shutil.rmtree(self.plan.run_folder, ignore_errors=True)

    def result(self) -> RunResult:
        """What came of it so far."""
        plan, recorder = self.plan, self._watch.recorder
        run = run_identity(plan.settings, plan.run_folder.name, f"trade {plan.mode}", self._assumptions())
        data = DataIdentity(
            source=plan.market,
            instruments=tuple(plan.instruments),
            first_ts=recorder.start_ts,
            last_ts=recorder.end_ts,
            is_synthetic=plan.is_synthetic,
        )
        fingerprint = self._watch.fingerprint.hexdigest()
        return assemble(recorder, run, data, fingerprint, time.perf_counter() - self._began)

    def _carried(self) -> tuple[int, bytes] | None:
        return None if self.plan.past is None else (self.engine.state.number, self.engine.snapshot())

    def _assumptions(self) -> tuple[Labelled, ...]:
        rules = assumed_rules(self.plan.instruments)
        if self.plan.mode != "paper":
            return rules
        return (*simulation_assumptions(paper_config(self.plan.settings)), *rules)

    def _witness(self, event: AnyEvent, step: Step) -> None:
        for witness in self.witnesses:
            witness(event, step)

    def _observe(self, event: AnyEvent, step: Step) -> None:
        self._watch.observe(event, step)
        self.latencies.observe(event, step)
        self.model.observe(event, step)
        for observe in self.observers:
            observe(event, step)

    def _decided(self, taken: int) -> None:
        self.latencies.add(DECIDE, self.engine.state.now, taken)


def paper_exchange(settings: Settings, instruments: dict[InstrumentId, Instrument]) -> Paper:
    """Who takes the orders of a paper run."""
    return Paper(SimulatedExchange(instruments, paper_config(settings)), list(instruments))


def _on_disk(folder: Path, header: Header, carried: tuple[int, bytes] | None) -> FileJournal:
    return FileJournal(folder, header, carried=carried)


def _header(plan: BotPlan) -> Header:
    return Header(
        stakan=__version__,
        account=plan.settings.account.name,
        run_epoch=plan.epoch,
        config_hash=config_hash(plan.settings),
        config=to_toml(plan.settings),
        instruments=tuple(plan.instruments.values()),
        feature_set=FEATURE_SET,
        mode=plan.mode,
        is_synthetic=plan.is_synthetic,
        venue_account=plan.venue_account,
        carried_from=plan.past.run if plan.past is not None else "",
    )
