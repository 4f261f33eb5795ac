"""The parts that trading relies on, and whether they are there: disk, clock, projector. Changes become events."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from stakan.core.domain.events import AnyPartEvent, Impaired, Restored
from stakan.core.domain.units import SECOND

DISK, CLOCK, DATABASE = "disk", "clock", "database"
MOST_SKEW_NS = 5 * SECOND
"""Further off, this machine's clock is wrong: days, candles and timers would be."""
_BACK = 1.2
"""Of the room that is demanded, before a full disk counts as mended: no flutter at the limit."""
_MB = 10**6


class Parts:
    """Remembers what is away, and tells of changes alone."""

    def __init__(self, tell: Callable[[AnyPartEvent], None], clock: Callable[[], int]) -> None:
        self._tell = tell
        self._clock = clock
        self._away: dict[str, str] = {}

    @property
    def away(self) -> Mapping[str, str]:
        """Parts that are away, and why."""
        return self._away

    def report(self, part: str, why: str | None) -> None:
        """A part is away for a reason, or there (None)."""
        if (why is None) == (part not in self._away):
            return
        now = self._clock()
        if why is None:
            del self._away[part]
            self._tell(Restored(ts_event=now, ts_recv=now, part=part))
        else:
            self._away[part] = why
            self._tell(Impaired(ts_event=now, ts_recv=now, part=part, why=why))


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def lack_of_room(
    folder: Path, least_mb: int, *, was_full: bool, free_bytes: Callable[[Path], int] = _free_bytes
) -> str | None:
    """Why a disk counts as full; None where there is room, for one that was full some more."""
    free = free_bytes(folder) // _MB
    if free >= least_mb * (_BACK if was_full else 1):
        return None
    return f"{free} MB are free of {folder}'s disk, {least_mb} are demanded (trade.min_free_mb)"


def wrong_clock(offset_ns: int) -> str | None:
    """Why this machine's clock cannot be right; None where it may be."""
    if abs(offset_ns) <= MOST_SKEW_NS:
        return None
    return f"this machine's clock is {-offset_ns / SECOND:+.1f} s off the exchange's: set it (NTP)"
