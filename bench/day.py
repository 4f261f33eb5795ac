"""A day of recording end to end, import and backtest, in a process of its own whose memory is watched."""

import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil

from bench._rows import Measured, Options, Row
from bench._store import import_session, stored
from bench.session import replay
from stakan.apps.sources import from_store

_BAR_MB = 1_000
_EVERY_S = 0.05
_GROWTH_MB = 32
_DATA = "Binance NEXOUSDT spot 2024-07-23/24, every message (24.3 h without a gap)"

Memory = list[tuple[float, float]]
"""(seconds since the start, resident MB)."""


def run(options: Options) -> list[Row]:
    """Rows `day.*`."""
    return [_row(options, "import", "recorded files → store"), _row(options, "backtest", "store → backtest → result")]


def _row(options: Options, stage: str, what: str) -> Row:
    assert options.data is not None
    memory, answer = watch([sys.executable, "-m", "bench.day", stage, str(options.data), str(options.scratch)])
    sizes = [megabytes for _, megabytes in memory]
    warm = sizes[len(sizes) // 4 :]
    third = max(1, len(warm) // 3)
    growth = statistics.median(warm[-third:]) - statistics.median(warm[:third])
    at = {name: sizes[round(share * (len(sizes) - 1))] for name, share in _PLACES}
    return Row(
        name=f"day.{stage}",
        what=f"24.3 h, {what}: resident memory; "
        + ", ".join(f"{name} {megabytes:.0f}" for name, megabytes in at.items())
        + f" MB; {memory[-1][0]:.0f} s, {answer}",
        unit="MB",
        event="the largest resident size of the process, read every 50 ms",
        data=_DATA,
        ours=Measured((max(sizes),)),
        bar=_BAR_MB,
        lower=True,
        note=f"flat: after the first quarter, the median of the last third is at most {_GROWTH_MB} MB above that of the first",
        failed=f"memory grew by {growth:.0f} MB after warm-up" if growth > _GROWTH_MB else "",
    )


_PLACES = (("at the start", 0.02), ("quarter", 0.25), ("half", 0.5), ("three quarters", 0.75), ("end", 0.98))


def watch(command: list[str]) -> tuple[Memory, str]:
    """Run a command to its end; its memory over time and the last line it printed."""
    started = time.monotonic()
    memory: Memory = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        watched = psutil.Process(child.pid)
        while child.poll() is None:
            try:
                memory.append((time.monotonic() - started, watched.memory_info().rss / 1e6))
            except psutil.NoSuchProcess:
                break
            time.sleep(_EVERY_S)
        assert child.stdout
        lines = child.stdout.read().splitlines()
    if child.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} ended with code {child.returncode}")
    return memory, json.loads(lines[-1])


def main(stage: str, data: str, scratch: str) -> str:
    """What the watched process does."""
    options = Options(data=Path(data), scratch=Path(scratch))
    if stage == "import":
        folder = options.scratch / "store-nexo"
        shutil.rmtree(folder, ignore_errors=True)
        count, _ = import_session("nexo", options, folder)
        return f"{count} events"
    speed, backtest = replay(from_store(stored("nexo", options).root), "500ms")
    result = backtest.result("bench")
    return f"{result.speed.events} events, {len(result.fills)} fills, {speed:.0f} x real time"


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
