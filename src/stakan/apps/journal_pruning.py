"""Retention of a state folder's journals: market data of old segments goes, decisions stay for good (ADR 0011)."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from stakan.adapters.journal.disk import LOCAL
from stakan.adapters.journal.layout import segments, snapshot_numbers, snapshot_path
from stakan.adapters.journal.reading import first_replayable, has_begun, read_header
from stakan.adapters.journal.retention import distil
from stakan.apps.locking import lock
from stakan.apps.processes import Child
from stakan.apps.recorded_run import journals_of
from stakan.core.domain.errors import DataError, StakanError, StorageError
from stakan.core.domain.units import HOUR, MINUTE

KEEP = "24h"
KEEP_SIZE = "20GB"
FIRST_NS = MINUTE
"""After the start of a bot, which has enough to do."""
EVERY_NS = HOUR
NICENESS = 19
"""It waits for whoever trades."""
_STOP_S = 10.0

Advance = Callable[[int], None]


class Pruned(msgspec.Struct, frozen=True):
    """What became of one journal."""

    journal: str
    segments: tuple[str, ...]
    bytes_freed: int
    replayable_after: int | None


def _raised(error: StakanError) -> None:
    raise error


def pruned(
    folder: Path,
    keep_after_ts: int,
    keep_bytes: int,
    advance_of: Callable[[Path], Advance] = lambda _journal: lambda _bytes: None,
    failed: Callable[[StakanError], None] = _raised,
) -> Iterator[Pruned]:
    """Distil journals, the newest first: what is older than a receive time, and what all of them have beyond a size.

    A journal that is damaged, cannot be written, or is pruned by somebody else stays as it is; `failed` is told of it,
    with a DataError or StorageError, and the others are gone on with.
    """
    carried_from = _carried_from(folder, failed)
    carried_on = set(carried_from.values())
    left = keep_bytes
    for journal in reversed(carried_from):
        try:
            with _alone(journal):
                done = distil(
                    journal,
                    keep_after_ts=keep_after_ts,
                    keep_bytes=left,
                    is_carried_on=journal.parent.name in carried_on,
                    advance=advance_of(journal),
                )
            yield Pruned(str(journal), done.segments, done.bytes_freed, first_replayable(journal))
        except (DataError, StorageError) as error:
            failed(error)
        left = max(0, left - bytes_of(journal))


def _carried_from(folder: Path, failed: Callable[[StakanError], None]) -> dict[Path, str]:
    """The journals that can be read, in their order, each with the run that it carries on from."""
    found = {}
    for journal in journals_of(folder):
        try:
            if has_begun(journal):
                found[journal] = read_header(journal).carried_from
        except DataError as error:
            failed(error)
    return found


def bytes_of(journal: Path) -> int:
    """How much a journal takes."""
    states = (snapshot_path(journal, number) for number in snapshot_numbers(journal, LOCAL))
    # A running bot removes states of its own.
    return sum(LOCAL.size(path) for path in (*segments(journal, LOCAL), *states) if LOCAL.exists(path))


@contextmanager
def _alone(journal: Path) -> Iterator[None]:
    """Two that distil a segment would write into one file, and put that in the segment's place."""
    handle = os.open(journal, os.O_RDONLY)
    try:
        lock(handle, journal, StorageError(f"{journal} is being pruned by another process"))
        yield
    finally:
        os.close(handle)


# --- beside a running bot -------------------------------------------------------------------------------------------


class Process(Protocol):
    """A program that prunes."""

    log: Path

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        ...

    def stop(self, within: float) -> int:
        """Ask it to end, insist after so many seconds."""
        ...


def prune(folder: Path) -> Child:
    """Begin to prune the journals of a state folder; raises OSError where this machine does not let it."""
    words = ("journal", "prune", str(folder), "--keep", KEEP, "--keep-size", KEEP_SIZE, "--quiet")
    child = Child("pruning", words, folder)
    os.setpriority(os.PRIO_PROCESS, child.pid, NICENESS)
    return child


class Pruning:
    """Retention of a running bot's journals: once an hour a process that takes only time that nobody else wants.

    It knows no database, so the limits hold with one, while it is away, and where there is none. What nobody has
    projected yet goes with the rest, because that is market data alone: rows of decisions, orders, fills and the audit
    log are made from what stays, and candles, levels and densities, too. Of the minutes that no projector has read
    within a day there are no market pictures.
    """

    def __init__(self, folder: Path, now: int, begin: Callable[[Path], Process] = prune) -> None:
        self._folder = folder
        self._begin = begin
        self._due = now + FIRST_NS
        self._process: Process | None = None

    def look(self, now: int) -> str | None:
        """Begin where it is time; what went wrong, once."""
        process = self._process
        if process is not None and process.code is not None:
            self._process = None
            if process.code:
                return f"old market data stays in the journals: pruning ended with {process.code}, see {process.log}"
        if self._process is None and now >= self._due:
            self._due = now + EVERY_NS
            try:
                self._process = self._begin(self._folder)
            except OSError as error:
                return f"old market data stays in the journals: {error}"
        return None

    def stop(self) -> None:
        """It may be cut short at any moment: the next one makes good what it left."""
        if self._process is not None:
            self._process.stop(_STOP_S)
