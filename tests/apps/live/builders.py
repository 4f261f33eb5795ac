"""A live loop in virtual time: a clock that runs as fast as the test, and calls that come late by a drawn amount."""

import heapq
import itertools

import msgspec

from stakan.adapters.exchanges.simulated.exchange import SimulatedExchange
from stakan.adapters.journal.records import Header
from stakan.adapters.journal.writing import FileJournal, JournalLimits
from stakan.apps.config import load_settings, to_toml
from stakan.apps.live.counterparties import Paper
from stakan.apps.live.loop import LiveLoop
from stakan.apps.results import Fingerprint
from stakan.apps.wiring import config_hash, engine_config, paper_config
from stakan.core.domain.units import MILLISECOND
from stakan.core.engine import Engine
from stakan.core.features.catalogue import FEATURE_SET

STRATEGIES = """strategies=[
  {name="imbalance", parameters={buy_threshold=0.6, sell_threshold=0.4, horizon_s=3.0, clear_bps=0.0}},
  {name="density_bounce", parameters={max_erosion=0.5, min_life_s=0.2, horizon_s=5.0}},
]"""
SETTINGS = (
    "engine.candle_interval=1s",
    "engine.min_strength=0.0",
    "engine.cooldown=1s",
    "engine.decision_interval=100ms",
    "densities.min_notional=50000",
    STRATEGIES,
)
"""Trades within seconds on a synthetic market."""


class Called:
    def __init__(self, call):
        self.call = call

    def cancel(self):
        self.call = None


class TestTime:
    """A `LiveTime` that a test moves; calls come `late` nanoseconds after their time."""

    __test__ = False

    def __init__(self, now=0, late=lambda: 0):
        self._now = now
        self._late = late
        self._calls = []
        self._ordinals = itertools.count()

    def now(self):
        self._now += 1
        return self._now

    def call_at(self, at, call):
        called = Called(call)
        heapq.heappush(self._calls, (max(at, self._now + 1) + self._late(), next(self._ordinals), called))
        return called

    def run_until(self, moment):
        while self._calls and self._calls[0][0] <= moment:
            at, _, called = heapq.heappop(self._calls)
            self._now = max(self._now, at)
            if called.call is not None:
                called.call()
        self._now = max(self._now, moment)


class NoJournal:
    """Keeps what was written in memory, and in which order it was synced."""

    def __init__(self):
        self.written = []

    def event(self, number, event):
        self.written.append(("event", number, event))

    def append(self, step):
        self.written.append(("step", step.number, step))

    def snapshot(self, number, state):
        self.written.append(("snapshot", number, state))

    def sync(self):
        self.written.append(("sync", 0, None))

    def flush(self):
        self.written.append(("flush", 0, None))

    def close(self):
        self.written.append(("close", 0, None))

    def abandon(self):
        self.written.append(("abandon", 0, None))

    def words(self, *kinds):
        return [word for word, _, _ in self.written if not kinds or word in kinds]


def some_settings(*overrides):
    return load_settings(None, [*SETTINGS, *overrides], {})


class PaperRun:
    """A whole paper run in virtual time, on any market, written to a folder."""

    def __init__(self, folder, settings, instruments, time, mode="paper", carried=None):
        self.folder = folder
        self.time = time
        self.fingerprint = Fingerprint()
        self.steps = []
        header = Header(
            stakan="test",
            account=settings.account.name,
            run_epoch="epoch-of-a-test",
            config_hash=config_hash(settings),
            config=to_toml(settings),
            instruments=tuple(instruments.values()),
            feature_set=FEATURE_SET,
            mode=mode,
        )
        engine = Engine(engine_config(settings, header.run_epoch, instruments), instruments.values())
        if carried is not None:
            engine.restore(carried[1])
        self.exchange = SimulatedExchange(instruments, paper_config(settings))
        self.resyncs = []
        self.loop = LiveLoop(
            engine,
            Paper(self.exchange, list(instruments)),
            FileJournal(folder / "journal", header, limits=JournalLimits(ballast_bytes=0), carried=carried),
            time,
            flush_ns=50 * MILLISECOND,
            refresh=self.resyncs.append,
            observe=self._observe,
        )

    def _observe(self, event, step):
        self.fingerprint.update(step)
        self.steps.append((event, step))

    def receive(self, event, at):
        """An event that the adapter stamps at `at`, or as soon as the clock allows."""
        self.time.run_until(at)
        self.loop.deliver(msgspec.structs.replace(event, ts_recv=self.time.now()))
