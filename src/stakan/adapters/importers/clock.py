"""Receive times that never go back and never precede the exchange's (decision 10)."""

from collections.abc import Iterable
from pathlib import Path

from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AnyMarketEvent
from stakan.core.domain.units import SECOND

_DIGITS = {10: 1_000_000_000, 13: 1_000_000, 16: 1_000, 19: 1}
"""Nanoseconds per unit, by how many digits a moment between 2001 and 2286 has in it."""
_TOLERANCE = SECOND
"""How far a clock may step back before the file counts as unordered."""


class ReceiveClock:
    """Turns a recorder's receive times into ours: shifted, and at least the one before."""

    def __init__(self, shift: int = 0) -> None:
        self._shift = shift
        self._last = 0

    def stamp(self, recorded: int) -> int:
        """Receive time in nanoseconds of a recorder's time in nanoseconds.

        Raises DataError where it lies more than a second before the latest one.
        """
        moment = recorded + self._shift
        if moment < self._last - _TOLERANCE:
            raise DataError(f"time goes back by {(self._last - moment) / SECOND:.3f} s: put the rows in order of time")
        self._last = max(self._last, moment)
        return self._last


def clock_shift(unshifted: Iterable[AnyMarketEvent]) -> int:
    """Nanoseconds by which a recorder's clock must go forward so that no latency is negative; 0 where none is."""
    shift = 0
    for event in unshifted:
        shift = max(shift, event.ts_event - event.ts_recv)
    return shift


class UnitOfTime:
    """Nanoseconds per unit of a session's receive times, found by magnitude and held to."""

    def __init__(self) -> None:
        self._factor = 0

    def nanoseconds(self, text: bytes) -> int:
        """A whole number of some unit as nanoseconds; raises DataError where the unit is another than before."""
        factor = _DIGITS.get(len(text), 0) if text.isdigit() else 0
        if not factor:
            raise DataError(f"{text[:40]!r} is no time in s, ms, µs or ns since 1970")
        if self._factor and factor != self._factor:
            raise DataError(f"the session mixes units of time: {text!r} is not in the unit of its beginning")
        self._factor = factor
        return int(text) * factor


def at_line(path: Path, number: int, error: DataError) -> DataError:
    """The same complaint, with file and line."""
    return DataError(f"{path}, line {number}: {error}")
