"""A day of recording end to end, import and backtest, in processes of their own whose memory is watched.

One day does not tell growth from a working set that comes and goes with the size of the windows, so the backtest
lives through the same day three times in one run, each with its times moved on.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil

from bench._rows import Measured, Options, Row
from bench._store import import_session, stored
from stakan.apps.backtest import Backtest
from stakan.apps.sections import EngineSection
from stakan.apps.settings import Settings
from stakan.apps.sources import from_store
from stakan.core.domain.batch import MarketBatch, MarketWindow
from stakan.core.domain.units import HOUR
from stakan.core.ports import MarketHistory

_BAR_MB = 1_000
_EVERY_S = 0.05
_PASSES = 3
_GROWTH_MB = 16
_DATA = "Binance NEXOUSDT spot 2024-07-23/24, every message (24.3 h without a gap)"
_FLAT = (
    f"flat: after the {_PASSES}rd pass over the day the process holds at most {_GROWTH_MB} MB more than after the first; "
    "one pass is the 24.3 h recording"
)


class Answer(msgspec.Struct):
    """What a watched process tells: events, seconds, and (hours of market, resident MB) now and then."""

    events: int
    seconds: float
    memory: list[tuple[float, float]]


def run(options: Options) -> list[Row]:
    """Rows `day.*`."""
    assert options.data is not None
    peak, answer = watched("import", options)
    imported = Row(
        name="day.import",
        what=f"24.3 h, recorded files → store, {answer.events} events in {answer.seconds:.0f} s: largest resident memory",
        unit="MB",
        event="the process, read every 50 ms; what it buffers is bounded by 2 M levels",
        data=_DATA,
        ours=Measured((peak,)),
        bar=_BAR_MB,
        lower=True,
    )
    return [imported, backtest_row(*watched("backtest", options))]


def backtest_row(peak: float, answer: Answer) -> Row:
    """The judged row."""
    hours = answer.memory[-1][0]
    ends = [_at(answer.memory, hours * (n + 1) / _PASSES) for n in range(_PASSES)]
    places = [
        f"{share} {_at(answer.memory, at * hours):.0f}" for share, at in (("1/4", 0.25), ("1/2", 0.5), ("3/4", 0.75))
    ]
    growth = ends[-1] - ends[0]
    return Row(
        name="day.backtest",
        what=f"24.3 h recording, store → engine, strategies, simulated exchange → result, {_PASSES} times in one run "
        f"({hours:.0f} h of market, {answer.events} events in {answer.seconds:.0f} s, "
        f"{hours * 3600 / answer.seconds:.0f} x real time): largest resident memory; at the start {answer.memory[0][1]:.0f}, "
        f"{', '.join(places)}, after each pass {', '.join(f'{end:.0f}' for end in ends)} MB",
        unit="MB",
        event="the process, read every 50 ms",
        data=_DATA,
        ours=Measured((peak,)),
        bar=_BAR_MB,
        lower=True,
        note=_FLAT,
        failed=f"grew by {growth:.0f} MB" if growth > _GROWTH_MB else "",
    )


def _at(memory: list[tuple[float, float]], hours: float) -> float:
    """Resident MB at a moment of market time: the last reading up to it, with a minute of grace."""
    return [megabytes for at, megabytes in memory if at <= hours + 1 / 60][-1]


def watched(stage: str, options: Options) -> tuple[float, Answer]:
    """(largest resident MB, answer) of a process of this file."""
    command = [sys.executable, "-m", "bench.day", stage, str(options.data), str(options.scratch)]
    peak = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        process = psutil.Process(child.pid)
        while child.poll() is None:
            try:
                peak = max(peak, process.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                break
            time.sleep(_EVERY_S)
        assert child.stdout
        lines = child.stdout.read().splitlines()
    if child.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} ended with code {child.returncode}")
    return peak, msgspec.json.decode(lines[-1], type=Answer)


# --- inside the watched process -------------------------------------------------------------------------------------


class Repeated:
    """A history lived through several times, each time later, as the `MarketHistory` port."""

    def __init__(self, history: MarketHistory, span: int, times: int) -> None:
        self._history = history
        self._span = span
        self._times = times

    def windows(self) -> Iterator[MarketWindow]:
        for n in range(self._times):
            for window in self._history.windows():
                batches = tuple(_later(batch, n * self._span) for batch in window.batches)
                yield msgspec.structs.replace(window, batches=batches)


def _later(batch: MarketBatch, by: int) -> MarketBatch:
    assert not batch.others, "objects are not moved in time"
    moved = {name: getattr(batch, name) + by for name in ("ts_event", "ts_recv", "ts_exchange")}
    return msgspec.structs.replace(batch, **moved)


def backtest(options: Options) -> Answer:
    """Live through the day three times."""
    source = from_store(stored("nexo", options).root)
    repeated = Repeated(source.history, source.last_ts - source.first_ts + 1, _PASSES)
    run_on = msgspec.structs.replace(source, history=repeated)
    process = psutil.Process()
    memory = [(0.0, process.memory_info().rss / 1e6)]

    def progress(ts: int, _events: int) -> None:
        memory.append(((ts - source.first_ts) / HOUR, process.memory_info().rss / 1e6))

    started = time.perf_counter()
    test = Backtest(run_on, Settings(engine=EngineSection(candle_interval="1s")))
    test.run(progress)
    result = test.result("bench")
    return Answer(result.speed.events, time.perf_counter() - started, memory)


def imports(options: Options) -> Answer:
    """Import the day anew."""
    folder = options.scratch / "store-nexo"
    shutil.rmtree(folder, ignore_errors=True)
    count, seconds = import_session("nexo", options, folder)
    return Answer(count, seconds, [])


if __name__ == "__main__":
    stage, data, scratch = sys.argv[1:]
    chosen = Options(data=Path(data), scratch=Path(scratch))
    answer = imports(chosen) if stage == "import" else backtest(chosen)
    print(json.dumps(msgspec.to_builtins(answer)))
