"""A failing plan made smaller: shorter, with fewer faults, as long as the same invariant does not hold."""

from collections.abc import Callable

import msgspec

from stakan.apps.dst.invariants import Breach
from stakan.apps.dst.plan import AnyFault, Plan

MOST_RUNS = 60
_SHORTEST_S = 5.0
_A_LITTLE_S = 0.01

Run = Callable[[Plan], Breach | None]


class Shrunk(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest plan that was found."""

    plan: Plan
    breach: Breach
    runs: int


def shrink(plan: Plan, breach: Breach, run: Run, most: int = MOST_RUNS) -> Shrunk:
    """Shorten, then drop faults by halves, quarters and so on to single ones, until `most` runs are used up."""
    search = _Search(plan, breach, run, most)
    search.shorten()
    search.drop()
    search.shorten()
    return Shrunk(plan=search.plan, breach=search.breach, runs=search.runs)


class _Search:
    def __init__(self, plan: Plan, breach: Breach, run: Run, most: int) -> None:
        self.plan = plan
        self.breach = breach
        self.runs = 0
        self._run = run
        self._most = most

    def shorten(self) -> None:
        """End right after the breach; where it shows at the end only, halve while that goes."""
        if self.breach.at_s < self.plan.seconds:
            self._try(self.breach.at_s + _A_LITTLE_S)
        seconds = self.plan.seconds / 2
        while seconds >= _SHORTEST_S and self._try(seconds):
            seconds = self.plan.seconds / 2

    def drop(self) -> None:
        """Leave out as many faults as possible (ddmin: Zeller and Hildebrandt 2002, complements only)."""
        size = max(1, len(self.plan.faults) // 2)
        while True:
            at = 0
            while at < len(self.plan.faults):
                kept = self.plan.faults[:at] + self.plan.faults[at + size :]
                if not self._try(self.plan.seconds, kept):
                    at += size
            if size == 1:
                return
            size //= 2

    def _try(self, seconds: float, faults: tuple[AnyFault, ...] | None = None) -> bool:
        """Whether a smaller plan breaks the same invariant; it is taken where it does."""
        if self.runs >= self._most:
            return False
        kept = self.plan.faults if faults is None else faults
        within = tuple(fault for fault in kept if fault.at_s < seconds)
        smaller = msgspec.structs.replace(self.plan, seconds=round(seconds, 6), faults=within)
        if smaller == self.plan:
            return False
        self.runs += 1
        found = self._run(smaller)
        if found is None or found.invariant != self.breach.invariant:
            return False
        self.plan, self.breach = smaller, found
        return True
