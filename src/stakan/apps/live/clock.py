"""Time for a running bot: stamps that only rise, and calls at a moment."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from stakan.core.domain.units import SECOND
from stakan.core.ports import Clock


class Timer(Protocol):
    """A call that is planned."""

    def cancel(self) -> None:
        """It shall not be made."""
        ...


class LiveTime(Protocol):
    """A clock that also makes calls."""

    def now(self) -> int:
        """Nanoseconds UTC, above every stamp so far."""
        ...

    def call_at(self, at: int, call: Callable[[], None]) -> Timer:
        """Call at `at` or a little later, never before this returns."""
        ...


class WallClock:
    """UTC as the machine knows it, every stamp above the one before.

    Where the machine's clock is set back, this one runs at half speed until it is caught up: timers neither stop nor
    fire again.
    """

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._last = 0
        self._ticks = monotonic()

    def not_before(self, moment: int) -> None:
        """Every stamp from now on lies above this one, e.g. the last of the run before."""
        self._last = max(self._last, moment)

    @property
    def lead(self) -> int:
        """How far it is ahead of the machine's own clock, because that was set back."""
        return max(0, self._last - self._wall())

    def now(self) -> int:
        """Nanoseconds UTC, above every stamp so far."""
        wall, ticks = self._wall(), self._monotonic()
        if wall <= self._last:
            wall = self._last + max(1, (ticks - self._ticks) // 2)
        self._last, self._ticks = wall, ticks
        return wall


class LoopTime:
    """A clock whose calls the running asyncio loop makes."""

    def __init__(self, clock: Clock) -> None:
        self.now = clock.now
        self._loop = asyncio.get_running_loop()

    def call_at(self, at: int, call: Callable[[], None]) -> Timer:
        """Call at `at`, to the resolution of the loop (a millisecond)."""
        return self._loop.call_later(max(0, at - self.now()) / SECOND, call)
