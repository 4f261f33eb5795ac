"""Many seeds, on all cores: each is run until it counts, a failing one is shrunk, and all are summed up."""

import gc
import time
from collections import Counter
from collections.abc import Generator, Sequence
from functools import partial

import msgspec

from stakan.apps.dst.invariants import Breach
from stakan.apps.dst.outcome import Outcome
from stakan.apps.dst.plan import BASE_S, SYMBOLS, Plan, draw, extension
from stakan.apps.dst.shrink import shrink
from stakan.apps.dst.world import World, locked_out_ns
from stakan.apps.workers import Told, each
from stakan.core.domain.units import SECOND

LEAST_ORDERS = 10
LEAST_FAULTS = 5
MORE_S = 30.0
MOST_S = 300.0
"""A seed that has not met enough by then fails; one that was locked out meanwhile has as long again as that lasts."""


def run(plan: Plan) -> Outcome:
    """Live through a plan, as it is."""
    # What a world leaves behind while it lives is little, and looking for it costs more than keeping it. All of it is
    # cycles around large arrays.
    gc.disable()
    try:
        return World(plan).run()
    finally:
        gc.enable()
        gc.collect()


def judged(plan: Plan) -> Outcome:
    """Live through a plan, and through a longer one where it has not met enough to count (decision 29).

    A plan that never does is breached: it shows nothing.
    """
    outcome = run(plan)
    while outcome.breach is None and not counts(outcome):
        if plan.seconds + MORE_S > most_s(outcome):
            what = f"{outcome.orders} orders in {outcome.traded} instruments, {outcome.fault_count} faults"
            breach = Breach(invariant=-1, at_s=outcome.simulated_s, what=f"it shows too little: {what}")
            return msgspec.structs.replace(outcome, breach=breach)
        plan = extension(plan, MORE_S)
        outcome = run(plan)
    return outcome


def most_s(outcome: Outcome) -> float:
    """Seconds that a seed may be made long for want of events."""
    return MOST_S + locked_out_ns(outcome.faults) / SECOND


def counts(outcome: Outcome) -> bool:
    """Whether a run was long and eventful enough to show anything."""
    return (
        outcome.plan.seconds >= BASE_S
        and outcome.orders >= LEAST_ORDERS
        and outcome.traded >= SYMBOLS
        and outcome.fault_count >= LEAST_FAULTS
    )


def judged_seed(seed: int, seconds: float) -> Outcome:
    """A seed's outcome; a failing one's plan is as small as it could be made."""
    try:
        return smallest(judged(draw(seed, seconds)))
    finally:
        # What is left are libraries and compiled kernels, which need not be looked through again.
        gc.freeze()


def smallest(outcome: Outcome) -> Outcome:
    """The outcome of the smallest plan that breaks the same invariant."""
    if outcome.breach is None or outcome.breach.invariant < 0:
        return outcome
    found = shrink(outcome.plan, outcome.breach, lambda plan: run(plan).breach)
    return run(found.plan)


class Totals(msgspec.Struct, kw_only=True):
    """What all seeds came to."""

    seeds: int = 0
    passed: int = 0
    simulated_s: float = 0.0
    calls: int = 0
    steps: int = 0
    frames: int = 0
    orders: int = 0
    executions: int = 0
    fault_count: int = 0
    faults: dict[str, int] = {}
    mended: dict[str, int] = {}
    kills: int = 0
    restarts: int = 0
    wall_s: float = 0.0
    failed: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        """One more seed."""
        self.seeds += 1
        self.passed += outcome.breach is None
        for name in ("simulated_s", "calls", "steps", "frames", "orders", "executions", "fault_count", "kills"):
            setattr(self, name, getattr(self, name) + getattr(outcome, name))
        self.restarts += outcome.lives - 1
        self.faults = dict(sorted((Counter(self.faults) + Counter(outcome.faults)).items()))
        self.mended = dict(sorted((Counter(self.mended) + Counter(outcome.mended)).items()))
        if outcome.breach is not None:
            self.failed.append(outcome)


def outcomes(seeds: Sequence[int], seconds: float, jobs: int) -> Generator[Outcome, None, None]:
    """The outcome of every seed, as they are done; with more than one job in processes of their own.

    Whoever stops listening waits for the seeds that are being lived through.
    """
    return each(partial(_outcome, seconds), seeds, jobs)


def _outcome(seconds: float, seed: int, _told: Told) -> Outcome:
    return judged_seed(seed, seconds)


def since(began: float) -> float:
    """Seconds that have passed."""
    return time.monotonic() - began
