"""When episodes begin and what their owners mean to do, as timed actions relative to the touch.

Shapes and tiers follow the injection harness: size as a multiple of the side's median, distance in ticks, life,
repetition, executions on the opposite side, response of the price. Each kind draws from a generator of its own.
"""

from collections.abc import Callable

import msgspec
import numpy as np

from stakan.adapters.synthetic import _flow_kernels as flow_kernels
from stakan.adapters.synthetic._flow_kernels import ACTION_FIELDS, CANCEL, CROSS, NUDGE, PLACE, TAKE
from stakan.adapters.synthetic._ladder_kernels import FLEES, REFILLS, RESISTS, STAYS, Ints
from stakan.adapters.synthetic.config import EpisodeRates
from stakan.adapters.synthetic.episodes import EpisodeKind
from stakan.adapters.synthetic.paths import stream
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND

QUIET_NS = 5 * SECOND
"""Nothing is planted in the first seconds: detectors need a baseline."""
_WALL_REACH_S = 10
"""Walls are placed where the price may come within this time."""
_WASH_PATIENCE_NS = 10 * SECOND
_HOLD_RATE = 4000
"""A wall that holds pulls the price back by 4/s of what is beyond it; one that breaks hardly does."""
_BREAK_RATE = 300


class Plan(msgspec.Struct):
    """One episode to come."""

    kind: EpisodeKind
    number: int
    side: int
    tier: int
    start: int
    end: int = 0
    """Time of the last action."""
    rows: list[tuple[int, ...]] = msgspec.field(default_factory=list)

    def place(
        self, at: int, order: int, distance: int, multiple: float, manner: int = STAYS, extra: int = 0, side: int = 0
    ) -> None:
        """An order rests at a distance from the touch; `multiple` of the median of its side."""
        self._row(at, PLACE, order, side or self.side, distance, multiple, manner, extra)

    def cancel(self, at: int, order: int) -> None:
        """What is left of an order goes."""
        self._row(at, CANCEL, order, self.side, 0, 0.0, 0, 0)

    def take(self, at: int, side: int, multiple: float) -> None:
        """A market order; `multiple` of the symbol's typical one."""
        self._row(at, TAKE, 0, side, 0, multiple, 0, 0)

    def nudge(self, at: int, side: int, distance: int) -> None:
        """The efficient price moves."""
        self._row(at, NUDGE, 0, side, distance, 0.0, 0, 0)

    def cross(self, at: int, order: int, multiple: float) -> None:
        """The owner trades with himself inside the spread, both ways, when there is room."""
        self._row(at, CROSS, order, self.side, 0, multiple, 0, at + _WASH_PATIENCE_NS)
        self.end = max(self.end, at + _WASH_PATIENCE_NS)

    def _row(self, at: int, code: int, order: int, side: int, distance: int, multiple: float, *rest: int) -> None:
        self.rows.append((at, code, self.number, order, side, distance, int(multiple * 1000), *rest))
        self.end = max(self.end, at)


def _spoofing(plan: Plan, rng: np.random.Generator, reach: int) -> None:
    del reach
    low, high, ticks, life_low, life_high = ((10, 30, 5, 0.2, 2.0), (5, 10, 10, 0.2, 5.0), (3, 5, 20, 2.0, 10.0))[
        plan.tier - 1
    ]
    at = plan.start
    for order in range(int(rng.integers(2, 5)) if plan.tier == 2 else 1):
        life = int(rng.uniform(life_low, life_high) * SECOND)
        plan.place(at, order, int(rng.integers(1, ticks + 1)), rng.uniform(low, high), FLEES)
        if plan.tier == 1 or rng.random() < 0.3:
            plan.take(at + int(life * rng.uniform(0.5, 0.9)), -plan.side, rng.uniform(1.0, 4.0))
        response = int(rng.integers(0, 4))
        if response and plan.tier < 3:
            plan.nudge(at + life // 3, plan.side, response)
            plan.nudge(at + life + 200 * MILLISECOND, -plan.side, response)
        plan.cancel(at + life, order)
        at += life + int(rng.uniform(0.1, 0.8) * SECOND)


def _layering(plan: Plan, rng: np.random.Generator, reach: int) -> None:
    del reach
    count = int(rng.integers(5, 9)) if plan.tier == 1 else int(rng.integers(3, 9))
    apart = (0, 2 * SECOND // count, int(rng.uniform(0.3, 1.0) * SECOND))[plan.tier - 1]
    first = int(rng.integers(1, 4))
    gap = int(rng.integers(1, 3))
    leave = plan.start + apart * count + int(rng.uniform(0.5, 4.0) * SECOND)
    base = rng.uniform(3.0, 8.0)
    for order in range(count):
        at = plan.start + apart * order
        plan.place(at, order, first + gap * order, base * (1.0 + 0.1 * order), FLEES)
        plan.cancel(leave + (order * 20 * MILLISECOND if plan.tier == 3 else 0), order)
    plan.take(leave - 100 * MILLISECOND, -plan.side, rng.uniform(1.0, 3.0))


def _quote_stuffing(plan: Plan, rng: np.random.Generator, reach: int) -> None:
    del reach
    rate = rng.uniform(*((800.0, 1800.0), (300.0, 800.0), (100.0, 300.0))[plan.tier - 1])
    length = rng.uniform(0.5, 2.5)
    for order in range(int(rate * length / 2)):
        at = plan.start + int(order * 2 * SECOND / rate)
        side = plan.side if order % 2 else -plan.side
        plan.place(at, order, int(rng.integers(1, 40)), rng.uniform(0.5, 1.5), FLEES, side=side)
        plan.cancel(at + int(rng.uniform(20, 120) * MILLISECOND), order)


def _wash_trades(plan: Plan, rng: np.random.Generator, reach: int) -> None:
    del reach
    size = rng.uniform(0.5, 2.0)
    at = plan.start
    for order in range(int(rng.integers(3, 7)) * (4 - plan.tier)):
        plan.cross(at, order, size)
        at += int(rng.uniform(0.3, 1.5) * SECOND)


def _large_genuine(plan: Plan, rng: np.random.Generator, reach: int) -> None:
    del reach
    plan.place(plan.start, 0, int(rng.integers(0, 3)), rng.uniform(5.0, 20.0))
    at = plan.start
    for _ in range(int(rng.integers(4, 12))):
        at += int(rng.uniform(0.1, 1.0) * SECOND)
        plan.take(at, -plan.side, rng.uniform(2.0, 8.0))
    plan.cancel(at + 60 * SECOND, 0)


def _requote(plan: Plan, rng: np.random.Generator, reach: int) -> None:
    del reach
    at = plan.start
    multiple = rng.uniform(4.0, 10.0)
    for move in range(int(rng.integers(3, 8))):
        distance = int(rng.integers(1, 5))
        life = int(rng.uniform(0.1, 1.5) * SECOND)
        for order, side in ((2 * move, 1), (2 * move + 1, -1)):
            plan.place(at, order, distance, multiple, side=side)
            plan.cancel(at + life, order)
        at += life + 10 * MILLISECOND


def _iceberg(plan: Plan, rng: np.random.Generator, reach: int) -> None:
    del reach
    plan.place(plan.start, 0, 0, rng.uniform(0.5, 2.0), REFILLS, int(rng.integers(3, 15)))
    at = plan.start
    for _ in range(int(rng.integers(4, 12))):
        at += int(rng.uniform(0.1, 0.8) * SECOND)
        plan.take(at, -plan.side, rng.uniform(1.0, 4.0))
    plan.cancel(at + 30 * SECOND, 0)


def _density(plan: Plan, rng: np.random.Generator, reach: int) -> None:
    distance = 1 + int(rng.uniform(0.1, 0.8) * reach)
    life = int((15.0 + rng.exponential(75.0)) * SECOND)
    holds = rng.random() < 0.5
    plan.place(plan.start, 0, distance, rng.uniform(25.0, 70.0), RESISTS, _HOLD_RATE if holds else _BREAK_RATE)
    plan.cancel(plan.start + life, 0)


_DRAFTS: dict[EpisodeKind, Callable[[Plan, np.random.Generator, int], None]] = {
    EpisodeKind.SPOOFING: _spoofing,
    EpisodeKind.LAYERING: _layering,
    EpisodeKind.QUOTE_STUFFING: _quote_stuffing,
    EpisodeKind.WASH_TRADES: _wash_trades,
    EpisodeKind.LARGE_GENUINE: _large_genuine,
    EpisodeKind.REQUOTE: _requote,
    EpisodeKind.ICEBERG: _iceberg,
    EpisodeKind.DENSITY: _density,
}


class _Clock:
    """Start times of one kind: a Poisson process."""

    def __init__(self, kind: EpisodeKind, per_minute: float, rng: np.random.Generator, start: int) -> None:
        self.kind = kind
        self._rate = per_minute / MINUTE
        self.rng = rng
        self.count = 0
        self.next = start + QUIET_NS
        self.wind()

    def wind(self) -> None:
        """On to the next start."""
        self.next += int(self.rng.exponential(1 / self._rate))


class Planner:
    """Draws the episodes of one symbol as time goes; `reach` is how far its price may go in ten seconds, in ticks."""

    def __init__(
        self, seed: int, instrument: InstrumentId, rates: EpisodeRates, start: int, sigma_ticks: float
    ) -> None:
        self._reach = max(3, int(sigma_ticks * _WALL_REACH_S**0.5))
        self._waiting: list[tuple[int, ...]] = []
        self._clocks = []
        for kind in EpisodeKind:
            per_minute: float = getattr(rates, kind.value)
            if per_minute > 0:
                self._clocks.append(_Clock(kind, per_minute, stream(seed, instrument, "plan", kind), start))

    def until(self, end: int) -> tuple[list[Plan], Ints]:
        """Episodes that begin before `end`, and all actions before it, shape (n, ACTION_FIELDS), by time."""
        plans = []
        for clock in self._clocks:
            while clock.next < end:
                plan = self._draft(clock)
                plans.append(plan)
                self._waiting.extend(plan.rows)
        due = sorted(row for row in self._waiting if row[flow_kernels.A_TIME] < end)
        self._waiting = [row for row in self._waiting if row[flow_kernels.A_TIME] >= end]
        return plans, np.array(due, np.int64).reshape(-1, ACTION_FIELDS)

    def _draft(self, clock: _Clock) -> Plan:
        rng = clock.rng
        number = clock.count * len(EpisodeKind) + list(EpisodeKind).index(clock.kind)
        side = 1 if rng.random() < 0.5 else -1
        plan = Plan(kind=clock.kind, number=number, side=side, tier=int(rng.integers(1, 4)), start=clock.next)
        _DRAFTS[clock.kind](plan, rng, self._reach)
        clock.count += 1
        clock.wind()
        return plan
