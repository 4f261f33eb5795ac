"""The journal: steps appended and computed again, what a commit costs before an order leaves, and what a start reads."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from bench._rows import Options, Row, interleaved, rate
from stakan.adapters.journal.reading import read_events, records_after
from stakan.adapters.journal.records import Header
from stakan.adapters.journal.snapshots import latest_state
from stakan.adapters.journal.writing import FileJournal, JournalLimits
from stakan.adapters.synthetic.config import demo_config
from stakan.apps.backtest import Backtest, header_of
from stakan.apps.config import load_settings
from stakan.apps.durations import duration_ns
from stakan.apps.settings import Settings
from stakan.apps.sources import from_generator
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import AnyEvent
from stakan.core.domain.step import Step
from stakan.core.domain.units import MILLISECOND, MINUTE, Nanos
from stakan.core.engine import Engine

MINUTES = 10
GROUP = 16
"""Intents that share a commit at load."""
_LIMITS = JournalLimits(ballast_bytes=0)
_INTERVAL = duration_ns(Settings().trade.journal_interval)
_DATA = "synthetic market of 3 symbols with the simulated exchange: {mix}"


class Lived(msgspec.Struct, frozen=True):
    """A run as a journal gets it."""

    header: Header
    steps: list[tuple[AnyEvent, Step]]
    states: dict[int, bytes]
    """The engine's, once a minute of market time."""

    @property
    def mix(self) -> str:
        """What it consists of."""
        kinds = [type(event).__name__ for event, _ in self.steps]
        common = sorted(set(kinds), key=kinds.count, reverse=True)[:4]
        return ", ".join(f"{kinds.count(kind) / len(kinds):.0%} {kind}" for kind in common)


def run(options: Options) -> list[Row]:
    """Rows `journal.*`."""
    # Not a temporary folder: those may be in memory, where syncing costs nothing.
    scratch = options.scratch / "journal"
    shutil.rmtree(scratch, ignore_errors=True)
    lived = _lived(options)
    try:
        return [
            *_streams(options, lived, scratch),
            *_commits(options, lived, scratch),
            _recovery(options, lived, scratch),
        ]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class _Noted:
    """Stands where a journal stands: keeps what it is given, and the engine's state now and then."""

    def __init__(self, every: int) -> None:
        self.steps: list[tuple[AnyEvent, Step]] = []
        self.states: dict[int, bytes] = {}
        self.engine: Engine | None = None
        self._event: AnyEvent | None = None
        self._every = every
        self._due = 0

    def event(self, _number: int, event: AnyEvent) -> None:
        self._event = event

    def append(self, step: Step) -> None:
        self.steps.append((self._event, step))
        self._due = self._due or step.ts + self._every
        if step.ts >= self._due:
            self._due += self._every
            self.states[step.number] = self.engine.snapshot()


def _lived(options: Options) -> Lived:
    """Of the default configuration; a state a minute."""
    # In less there may be no order.
    minutes = max(1.0, MINUTES * options.scale)
    source = from_generator(demo_config(duration_ns=Nanos(round(minutes * MINUTE))))
    settings = load_settings(None, (), {})
    noted = _Noted(round(min(1.0, minutes / 2) * MINUTE))
    backtest = Backtest(source, settings, noted)
    noted.engine = backtest.engine
    backtest.run()
    return Lived(header_of(source, settings), noted.steps, noted.states)


def write(folder: Path, lived: Lived, states: Collection[int] = ()) -> None:
    """As the live loop does: what there is goes to the system as often in market time; with some of its states."""
    limits = msgspec.structs.replace(_LIMITS, snapshots=len(states))
    with FileJournal(folder, lived.header, limits=limits) as journal:
        due = 0
        for event, step in lived.steps:
            journal.event(step.number, event)
            journal.append(step)
            if step.ts >= due:
                due = step.ts + _INTERVAL
                journal.flush()
            if step.number in states:
                journal.snapshot(step.number, lived.states[step.number])


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    shutil.rmtree(folder, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _streams(options: Options, lived: Lived, scratch: Path) -> list[Row]:
    count = len(lived.steps)
    whole, parted = scratch / "whole", scratch / "parted"
    write(whole, lived, list(lived.states)[-2:])
    cores = os.cpu_count() or 1
    write(parted, lived, _joints(lived, cores))

    def append() -> float:
        with _fresh(scratch / "append") as folder:
            return rate(count, lambda: write(folder, lived))

    def decode() -> float:
        return rate(count, lambda: [None for _ in read_events(whole)])

    appended, decoded, one_core, all_cores = interleaved(
        options.repetitions,
        append,
        decode,
        lambda: _replayed(parted, count, 1),
        lambda: _replayed(parted, count, cores),
    )
    stored = sum(path.stat().st_size for path in whole.glob("*.journal")) / count
    common = {"unit": "steps/s", "event": "one event with its step", "data": _DATA.format(mix=lived.mix)}
    return [
        Row(
            name="journal.append",
            what=f"event and step → block, compressed, to the disk every {_INTERVAL // MILLISECOND} ms of the market "
            f"({stored:.0f} B each on disk), to the orderly end",
            ours=appended,
            bar=50_000,
            **common,
        ),
        Row(name="journal.read", what="journal → events in their order", ours=decoded, **common),
        Row(
            name="journal.replay_one",
            what="journal → events → a new engine of the default configuration (book, densities, features, strategies, "
            "risk), every step and state compared with the recorded one, in one process",
            ours=one_core,
            **common,
        ),
        Row(
            name="journal.replay",
            what=f"the same as the command does it: on all cores, here {cores}, each with a part of the journal",
            ours=all_cores,
            bar=100_000,
            note="by processor time of the process that had most to do, its start aside",
            **common,
        ),
    ]


def _joints(lived: Lived, parts: int) -> list[int]:
    """The states that divide a run into parts of like length."""
    known = np.array(list(lived.states))
    wanted = np.arange(1, parts) * len(lived.steps) / parts
    return sorted({int(known[np.abs(known - number).argmin()]) for number in wanted})


_REPLAY = """
import os, sys, time
from pathlib import Path
from stakan.apps.replay import parts_of, play

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
share, of = map(int, sys.argv[2:])
mine = parts_of(Path(sys.argv[1]), 0)[share::of]
for turn in range(2):
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.process_time_ns()
    played = [play(part, lambda _steps: None) for part in mine]
    took = time.process_time_ns() - began
steps = sum(one.found.steps for one in played)
flaws = sum(one.found.differences + (not one.ends_alike) for one in played)
print(steps, flaws, took)
"""
"""One of the processes of the command; the first turn loads compiled kernels and is not measured."""


def _replayed(folder: Path, count: int, processes: int) -> float:
    """Steps a second of processes that have nothing else in their memory and compute at the same time."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _REPLAY, str(folder), str(share), str(processes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for share in range(processes)
    ]
    for _ in range(2):
        for one in running:
            assert one.stdout.readline() == "ready\n"
        for one in running:
            one.stdin.write("\n")
            one.stdin.flush()
    told = [tuple(map(int, one.communicate()[0].split())) for one in running]
    assert (sum(steps for steps, _, _ in told), sum(flaws for _, flaws, _ in told)) == (count, 0)
    return count * 1e9 / max(took for _, _, took in told)


def _commits(options: Options, lived: Lived, scratch: Path) -> list[Row]:
    """By wall time: the order waits for the disk."""
    orders = [pair for pair in lived.steps if any(isinstance(command, SubmitOrder) for command in pair[1].commands)]
    quiet = [pair for pair in lived.steps if not pair[1].commands][1000:1008]
    assert orders, "a market without an order shows nothing"
    times = options.count(200)

    def commits(group: int) -> float:
        taken = []
        with _fresh(scratch / "commit") as folder, FileJournal(folder, lived.header, limits=_LIMITS) as journal:
            number = 0
            for turn in range(times):
                for event, step in quiet:
                    number = _put(journal, number, event, step)
                began = time.perf_counter_ns()
                for place in range(group):
                    number = _put(journal, number, *orders[(turn * group + place) % len(orders)])
                journal.sync()
                taken.append((time.perf_counter_ns() - began) / group / 1e6)
        return statistics.median(taken)

    one, many = interleaved(options.repetitions, lambda: commits(1), lambda: commits(GROUP))
    common = {
        "unit": "ms",
        "lower": True,
        "data": f"order steps of the same run, {len(quiet)} events of the market before each commit, on the local disk",
    }
    return [
        Row(
            name="journal.intent",
            what="intent durable: event and step with its order → block, write, fdatasync",
            event=f"one intent; a sample is the median of {times}",
            ours=one,
            bar=0.5,
            **common,
        ),
        Row(
            name="journal.intent_load",
            what=f"intent durable at load: {GROUP} intents of one callback share a commit",
            event=f"one intent of {GROUP}; a sample is the median of {times}",
            ours=many,
            bar=0.1,
            **common,
        ),
    ]


def _put(journal: FileJournal, number: int, event: AnyEvent, step: Step) -> int:
    journal.event(number + 1, event)
    journal.append(msgspec.structs.replace(step, number=number + 1))
    return number + 1


def _recovery(options: Options, lived: Lived, scratch: Path) -> Row:
    folder = scratch / "whole"
    newest = max(lived.states, default=0)
    tail = len(lived.steps) - newest

    def read() -> float:
        began = time.perf_counter_ns()
        found = latest_state(folder)
        number = found[0] if found is not None else 0
        count = sum(1 for _ in records_after(folder, number))
        assert count >= tail
        return (time.perf_counter_ns() - began) / 1e6

    (ours,) = interleaved(options.repetitions, read)
    size = len(lived.states.get(newest, b"")) / 1024
    return Row(
        name="journal.recovery",
        what=f"newest state ({size:.0f} KiB) and the records of the {tail} steps behind it, a minute of the market; the "
        f"{newest} steps before are skipped by the heads of their blocks",
        unit="ms",
        event="one start",
        data=_DATA.format(mix=lived.mix),
        ours=ours,
        lower=True,
    )
