"""What a row of the bench is, how samples are taken, and when a row has reached what it must reach.

Every row module has one function `run(options: Options) -> list[Row]`.
"""

import gc
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

Sample = Callable[[], float]
"""Does the work once and returns a rate or a size (higher is better, unless the row says `lower`)."""


class Options(msgspec.Struct, frozen=True):
    """How large and how often; the smoke test makes everything tiny."""

    data: Path | None = None
    """Folder of recorded market data (STAKAN_DATA); rows that need it are skipped by name without it."""
    scratch: Path = Path(".bench")
    """Where frames and stores that a row makes for itself are kept."""
    scale: float = 1.0
    """Share of the full amount of work."""
    repetitions: int = 7
    peers: bool = True

    def count(self, full: int) -> int:
        """`full` scaled down, at least 20."""
        return max(20, round(full * self.scale))


class Measured(msgspec.Struct, frozen=True):
    """Samples in the order in which they were taken."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def low(self) -> float:
        return min(self.samples)

    @property
    def high(self) -> float:
        return max(self.samples)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    name: str
    """Short and stable, e.g. `book.kernel`; `--only book` selects by prefix."""
    what: str
    unit: str
    """Of `ours` and `peer`, e.g. `messages/s`."""
    event: str
    """What one counted thing is."""
    data: str
    """What it ran on."""
    ours: Measured | None = None
    peer: Measured | None = None
    peer_name: str = ""
    """With its version."""
    bar: float | None = None
    """Absolute value that `ours` must reach."""
    bar_ratio: float | None = None
    """Ours / peer that must be reached."""
    aim_ratio: float | None = None
    lower: bool = False
    """Whether less is better (memory, time)."""
    note: str = ""
    failed: str = ""
    """A requirement that is not a number and was not met (e.g. memory not flat)."""
    skipped: str = ""
    """Why it could not be measured; everything above is then empty."""

    @property
    def ratio(self) -> Measured | None:
        """Ours / peer, sample by sample: neighbours in time share the machine's mood."""
        if self.ours is None or self.peer is None:
            return None
        pairs = zip(self.ours.samples, self.peer.samples, strict=True)
        return Measured(tuple(ours / peer for ours, peer in pairs))

    @property
    def verdict(self) -> str:
        """`pass`, `miss`, `info` (no bar) or `skipped`."""
        if self.skipped:
            return "skipped"
        if self.failed:
            return "miss"
        reached = []
        if self.bar is not None and self.ours is not None:
            reached.append(self.ours.median <= self.bar if self.lower else self.ours.median >= self.bar)
        if self.bar_ratio is not None and self.ratio is not None:
            reached.append(self.ratio.median >= self.bar_ratio)
        if not reached:
            return "info"
        return "pass" if all(reached) else "miss"


def interleaved(repetitions: int, *sides: Sample) -> tuple[Measured, ...]:
    """A, B, A, B …: one unmeasured round first, then `repetitions` rounds; garbage is collected before each sample."""
    taken: list[list[float]] = [[] for _ in sides]
    for round_number in range(repetitions + 1):
        for side, samples in zip(sides, taken, strict=True):
            gc.collect()
            value = side()
            if round_number:
                samples.append(value)
    return tuple(Measured(tuple(samples)) for samples in taken)


def rate(count: int, work: Callable[[], object]) -> float:
    """Counted things per second of processor time of `work`: others on the machine are left out, memory is not."""
    started = time.process_time_ns()
    work()
    return count * 1e9 / (time.process_time_ns() - started)


def pin(core: int | None = None) -> int:
    """Keep this process (and children started from now on) on one core: by default the last one; returns it."""
    if not hasattr(os, "sched_setaffinity"):
        return -1
    core = max(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {core})
    return core


def unpin(pid: int) -> None:
    """Keep another process off this one's core where there are others: an exchange is another machine."""
    if hasattr(os, "sched_setaffinity"):
        others = set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0)
        if others:
            os.sched_setaffinity(pid, others)
