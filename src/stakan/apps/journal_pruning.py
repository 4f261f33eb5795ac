"""Retention of a state folder's journals: market data of old segments goes, decisions stay for good (ADR 0011)."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from stakan.adapters.journal.disk import LOCAL
from stakan.adapters.journal.layout import segments, snapshot_numbers, snapshot_path
from stakan.adapters.journal.reading import first_replayable, read_header
from stakan.adapters.journal.retention import distil
from stakan.apps.recorded_run import journals_of
from stakan.core.domain.units import HOUR

KEEP_NS = 24 * HOUR
KEEP_BYTES = 20 * 10**9

Advance = Callable[[int], None]


class Pruned(msgspec.Struct, frozen=True):
    """What became of one journal."""

    journal: str
    segments: tuple[str, ...]
    bytes_freed: int
    replayable_after: int | None


def pruned(
    folder: Path,
    keep_after_ts: int,
    keep_bytes: int,
    advance_of: Callable[[Path], Advance] = lambda _journal: lambda _bytes: None,
) -> Iterator[Pruned]:
    """Distil journals, the newest first: what is older than a receive time, and what all of them have beyond a size.

    Raises DataError where a journal is damaged, StorageError where one cannot be written.
    """
    journals = journals_of(folder)
    carried_on = {read_header(journal).carried_from for journal in journals}
    left = keep_bytes
    for journal in reversed(journals):
        done = distil(
            journal,
            keep_after_ts=keep_after_ts,
            keep_bytes=left,
            is_carried_on=journal.parent.name in carried_on,
            advance=advance_of(journal),
        )
        left = max(0, left - bytes_of(journal))
        yield Pruned(str(journal), done.segments, done.bytes_freed, first_replayable(journal))


def bytes_of(journal: Path) -> int:
    """How much a journal takes."""
    states = (snapshot_path(journal, number) for number in snapshot_numbers(journal, LOCAL))
    return sum(LOCAL.size(path) for path in (*segments(journal, LOCAL), *states))
