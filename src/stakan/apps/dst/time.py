"""Time of a simulation: one heap of calls for the whole world, and clocks of machines that may be wrong."""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Protocol

from stakan.apps.live.clock import WallClock

_MILLIONTH = 1_000_000


class Killed(BaseException):
    """The process is killed in the middle of what it does: not even its handlers of errors run on."""


class Owner(Protocol):
    """Whose calls they are: it may be gone, asleep, or fail."""

    @property
    def awake_at(self) -> int:
        """True time before which it does nothing."""
        ...

    def make(self, call: Callable[[], None]) -> None:
        """Make a call, unless it is gone."""
        ...


class Planned:
    """A call that is planned; a `Timer`."""

    __slots__ = ("call", "owner")

    def __init__(self, call: Callable[[], None], owner: Owner | None) -> None:
        self.call: Callable[[], None] | None = call
        self.owner = owner

    def cancel(self) -> None:
        """It shall not be made."""
        self.call = None


class Heap:
    """True time, and every call that will be made in it: in order of time, ties in the order of their planning.

    `after` is called after each call.
    """

    def __init__(self, start: int, after: Callable[[], None] = lambda: None) -> None:
        self.now = start
        self.calls = 0
        """Made so far."""
        self.after = after
        self._coming: list[tuple[int, int, Planned]] = []
        self._ordinals = count()

    def at(self, at: int, call: Callable[[], None], owner: Owner | None = None) -> Planned:
        """Plan a call; a time that is past means now."""
        planned = Planned(call, owner)
        heapq.heappush(self._coming, (max(at, self.now), next(self._ordinals), planned))
        return planned

    def later(self, delay: int, call: Callable[[], None], owner: Owner | None = None) -> Planned:
        """Plan a call in so many nanoseconds."""
        return self.at(self.now + delay, call, owner)

    def run(self, until: int) -> None:
        """Let time pass."""
        coming = self._coming
        while coming and coming[0][0] <= until:
            at, _, planned = heapq.heappop(coming)
            if planned.call is None:
                continue
            self.now = at
            owner = planned.owner
            if owner is None:
                planned.call()
            elif owner.awake_at > at:
                heapq.heappush(coming, (owner.awake_at, next(self._ordinals), planned))
                continue
            else:
                owner.make(planned.call)
            self.calls += 1
            self.after()
        self.now = max(self.now, until)


class Machine:
    """One computer: a clock that may run fast, slow, and jump, and a processor that may stand still."""

    def __init__(self, heap: Heap) -> None:
        self._heap = heap
        self._offset = 0
        self._rate = 0
        self._since = heap.now
        self.awake_at = 0
        """True time before which none of its processes does anything more."""

    @property
    def present(self) -> int:
        """True time as whoever runs on it lives it: later than the heap's after something that took long."""
        return max(self._heap.now, self.awake_at)

    def wall(self) -> int:
        """What its clock shows."""
        now = self.present
        return now + self._offset + (now - self._since) * self._rate // _MILLIONTH

    def set_back(self, by: int) -> None:
        """The clock is set back by so many nanoseconds; forward where negative."""
        self._offset -= by

    def drift(self, rate: int) -> None:
        """From now on the clock gains so many millionths."""
        self._offset = self.wall() - self.present
        self._since = self.present
        self._rate = rate

    def right(self) -> None:
        """The clock is set right and goes right."""
        self.drift(0)
        self._offset = 0

    def stall(self, duration: int) -> None:
        """Nothing runs for so long; within a call: what is done there takes so long."""
        self.awake_at = self.present + duration


class ProcessTime:
    """The time of one process: a `LiveTime`, the `Timers` of adapters, and the owner of all that it does.

    After `end` none of its calls is made. What a call raises goes to `failed`.
    """

    def __init__(self, heap: Heap, machine: Machine, failed: Callable[[BaseException], None]) -> None:
        self.heap = heap
        self.is_over = False
        self.doomed_in: int | None = None
        """Calls that it makes before it is killed."""
        self._machine = machine
        self._failed = failed
        self._clock = WallClock(machine.wall, lambda: machine.present)
        self.now, self.not_before = self._clock.now, self._clock.not_before

    @property
    def lead(self) -> int:
        """How far its clock is ahead of the machine's, because that was set back."""
        return self._clock.lead

    @property
    def present(self) -> int:
        """True time as it lives it."""
        return self._machine.present

    @property
    def awake_at(self) -> int:
        """See `Owner`."""
        return self._machine.awake_at

    def make(self, call: Callable[[], None]) -> None:
        """See `Owner`."""
        if self.is_over:
            return
        if self.doomed_in is not None:
            self.doomed_in -= 1
            if self.doomed_in < 0:
                self._failed(Killed())
                return
        try:
            call()
        except (Exception, Killed) as error:  # noqa: BLE001 - the process ends by it, not the simulation
            self._failed(error)

    def call_at(self, at: int, call: Callable[[], None]) -> Planned:
        """See `LiveTime`."""
        return self.heap.at(self.present + max(0, at - self.now()), call, self)

    def timers(self, delay: int, call: Callable[[], None]) -> Callable[[], None]:
        """Call something after so many nanoseconds; gives what calls it off."""
        return self.heap.at(self.present + delay, call, self).cancel

    def end(self) -> None:
        """It does nothing any more."""
        self.is_over = True
