"""What is to be done when: callables by time, in order, ties in the order in which they were noted."""

import heapq
from collections.abc import Callable
from itertools import count

Job = Callable[[int], None]
"""Is given the time at which it is done."""
NEVER = 2**63 - 1


class Agenda:
    """A heap of jobs; one that wants to be done again notes itself again."""

    def __init__(self) -> None:
        self._jobs: list[tuple[int, int, Job]] = []
        self._ordinals = count()

    @property
    def next_due(self) -> int:
        """Time of the next job; NEVER where there is none."""
        return self._jobs[0][0] if self._jobs else NEVER

    def note(self, at: int, job: Job) -> None:
        """Do `job` at the first `run` that reaches `at`."""
        heapq.heappush(self._jobs, (at, next(self._ordinals), job))

    def every(self, interval: int, job: Job, now: int, phase: int = 0) -> None:
        """Do `job` at all multiples of `interval`, and `phase` later, after `now`; what a long pause skips is done once."""

        def again(at: int) -> None:
            job(at)
            self.note(after(at), again)

        def after(at: int) -> int:
            return ((at - phase) // interval + 1) * interval + phase

        self.note(after(now), again)

    def run(self, now: int) -> None:
        """Do what is due, each job at `now`."""
        while self._jobs and self._jobs[0][0] <= now:
            heapq.heappop(self._jobs)[2](now)
