"""One run of the engine over a market history in virtual time, recorded and reported."""

import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from stakan import __version__
from stakan.adapters.compiling import forget_others
from stakan.adapters.exchanges.simulated.exchange import SimulatedExchange, SimulationConfig
from stakan.adapters.journal.records import Header
from stakan.adapters.journal.writing import FileJournal, JournalLimits
from stakan.adapters.synthetic.config import demo_config
from stakan.apps.config import to_toml
from stakan.apps.driver import VirtualTime
from stakan.apps.exchange import warm_up as exchange
from stakan.apps.identity import assumed_rules, run_identity, simulation_assumptions
from stakan.apps.recorded_arrivals import arrivals_of
from stakan.apps.recorded_run import JOURNAL_FOLDER, RecordedRun
from stakan.apps.report import render_report
from stakan.apps.results import (
    DataIdentity,
    Fingerprint,
    Labelled,
    RunResult,
    assemble,
    write_run,
)
from stakan.apps.results.files import refuse_existing
from stakan.apps.settings import Settings
from stakan.apps.sources import Source, from_generator
from stakan.apps.watching import RunWatch
from stakan.apps.wiring import config_hash, engine_config, paper_config, simulation_config
from stakan.core.domain.errors import InvariantViolated
from stakan.core.domain.events import AnyEvent
from stakan.core.domain.step import Step
from stakan.core.domain.units import SECOND, Nanos, Side
from stakan.core.engine import Engine
from stakan.core.features.catalogue import FEATURE_SET
from stakan.core.market.book import BookState

RUN_EPOCH = "backtest"
"""Fixed, so that equal runs make equal client order ids; nothing of a backtest reaches an exchange."""
WARM_UP_NS = Nanos(30 * SECOND)

Progress = Callable[[int, int], None]
"""Gets the receive time reached and the number of market events since the last call."""


class Backtest:
    """A run on a source with settings; `run` it once, then take its `result`.

    On the journal of a run, with that run's settings, it is that run computed again: its client order ids, the state
    that it carried on from, what its operator asked for, and its end. With other settings it is what they would have done on the same market.
    """

    def __init__(self, source: Source, settings: Settings, journal: FileJournal | None = None) -> None:
        self._source = source
        self._settings = settings
        self._journal = journal
        run = source.run
        epoch = run.header.run_epoch if run is not None else RUN_EPOCH
        self._config = engine_config(settings, epoch, source.instruments)
        is_the_run = run is not None and run.header.config_hash == config_hash(settings)
        self._script = run.script if run is not None and is_the_run else None
        self._simulation = _simulation(settings, run, is_the_run=is_the_run)
        self.engine = Engine(self._config, source.instruments.values())
        carried = run.carried_state if run is not None and is_the_run else None
        if carried is not None:
            self.engine.restore(carried)
        self.exchange = SimulatedExchange(source.instruments, self._simulation)
        self._watch = RunWatch(self.engine, source.instruments)
        self._wall_seconds = 0.0

    def run(self, progress: Progress = lambda _ts, _events: None) -> None:
        """Live through the whole source."""
        began = time.perf_counter()
        driver = VirtualTime(self.engine, self.exchange, self._observe)
        for ts, events in driver.run(self._source.history, self._script):
            progress(ts, events)
        self._wall_seconds = time.perf_counter() - began

    def result(self, run_id: str) -> RunResult:
        """What came of it."""
        recorder = self._watch.recorder
        run = run_identity(self._settings, run_id, "backtest", self._assumptions())
        data = DataIdentity(
            source=self._source.name,
            instruments=tuple(self._source.instruments),
            first_ts=recorder.start_ts,
            last_ts=recorder.end_ts,
            digest=self._source.digest,
            is_synthetic=self._source.is_synthetic,
            receive_times_assumed=self._source.receive_times_assumed,
            mark_is_mid=bool(self.exchange.uses_mid_as_mark),
        )
        return assemble(recorder, run, data, self.fingerprint.hexdigest(), self._wall_seconds)

    @property
    def fingerprint(self) -> Fingerprint:
        """Over all steps so far."""
        return self._watch.fingerprint

    def _observe(self, event: AnyEvent, step: Step) -> None:
        if self._journal is not None:
            self._journal.event(step.number, event)
            self._journal.append(step)
        self._watch.observe(event, step)

    def _assumptions(self) -> tuple[Labelled, ...]:
        blind = [
            key for key, value in self.engine.state.instruments.items() if value.market.book.state is BookState.EMPTY
        ]
        return (
            *simulation_assumptions(self._simulation),
            *(
                Labelled(name="nothing could be traded, no snapshot of the book in this stretch", value=key)
                for key in blind
            ),
            *assumed_rules(self._source.instruments),
        )


def _simulation(settings: Settings, run: RecordedRun | None, *, is_the_run: bool) -> SimulationConfig:
    """The exchange of a backtest; of a run at an exchange that is computed again, with the very times of that run."""
    if run is None:
        return simulation_config(settings)
    if run.is_paper:
        return paper_config(settings)
    config = simulation_config(settings)
    if not (is_the_run and run.is_at_exchange):
        return config
    commands, answers = arrivals_of(run.folder)
    return msgspec.structs.replace(config, entry_latency=commands, response_latency=answers)


def warm_up(settings: Settings) -> None:
    """Compile the numeric kernels that a run can need, live or not, so that nothing waits for their compilation later.

    About a minute on a fresh machine, a second or two when they are cached.
    """
    exchange.warm_up()
    backtest = Backtest(from_generator(demo_config(duration_ns=WARM_UP_NS)), _of_any_market(settings))
    backtest.run()
    for one in backtest.engine.state.instruments.values():
        # What strategies may ask of a market, whether or not these do.
        one.market.book.size_at(Side.BUY, one.market.book.best_bid)
        one.market.tape.window(backtest.engine.state.now, SECOND)
        if one.market.book.is_usable:
            one.features.read(one.market, one.market.ts_event).to_array()
            backtest.engine.further(one.rules.id).as_dict()
    forget_others()


def _of_any_market(settings: Settings) -> Settings:
    """For the warm-up, whose market has other instruments and is so short that only short candles close in it."""
    densities = {key: value for key, value in settings.densities.items() if key != "instruments"}
    engine = settings.engine.model_copy(update={"candle_interval": "1s"})
    return settings.model_copy(update={"densities": densities, "engine": engine})


def header_of(source: Source, settings: Settings) -> Header:
    """What the journal of a backtest begins with."""
    return Header(
        stakan=__version__,
        account=settings.account.name,
        run_epoch=RUN_EPOCH,
        config_hash=config_hash(settings),
        config=to_toml(settings),
        instruments=tuple(source.instruments.values()),
        feature_set=FEATURE_SET,
    )


class JournalOf:
    """The journal of a run, written beside its folder until the folder exists; does nothing where it is not wanted.

    A run that ends early leaves none, except where a bug of ours ended it: then the journal is the evidence.
    """

    def __init__(self, folder: Path, source: Source, settings: Settings, *, wanted: bool) -> None:
        self._final = folder / JOURNAL_FOLDER
        self._partial = folder.with_name(f".{folder.name}.{os.getpid()}.journal")
        self.journal: FileJournal | None = None
        if wanted:
            self.journal = FileJournal(
                self._partial, header_of(source, settings), limits=JournalLimits(ballast_bytes=0)
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or self.journal is None:
            return
        self.journal.abandon()
        if not issubclass(kind, InvariantViolated):
            shutil.rmtree(self._partial, ignore_errors=True)

    def settle(self) -> None:
        """Move it into the run's folder."""
        if self.journal is not None:
            self._partial.rename(self._final)


def run_backtest(
    source: Source,
    settings: Settings,
    folder: Path,
    *,
    journal: bool = False,
    progress: Progress = lambda _ts, _n: None,
) -> RunResult:
    """Run, and write the run's folder: result, report, tables and, where wanted, the journal.

    Raises StorageError, before anything runs, where the folder exists.
    """
    refuse_existing(folder)
    with JournalOf(folder, source, settings, wanted=journal) as writing:
        backtest = Backtest(source, settings, writing.journal)
        backtest.run(progress)
        if writing.journal is not None:
            writing.journal.close()
        result = backtest.result(folder.name)
        write_run(result, folder, render_report(result))
        writing.settle()
    return result


def new_run_name(settings: Settings) -> str:
    """Name of a run's folder: time and configuration."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{config_hash(settings)}"
