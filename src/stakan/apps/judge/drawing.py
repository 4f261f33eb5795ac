"""Small draws that all planners share."""

import math

from numpy.random import Generator

from stakan.apps.judge.background import Background
from stakan.core.domain.units import SECOND, Side


def side(rng: Generator) -> Side:
    """Either, with equal chances."""
    return Side.BUY if rng.random() < 0.5 else Side.SELL


def whole(rng: Generator, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both included."""
    return int(rng.integers(low, high + 1))


def log_uniform(rng: Generator, low: float, high: float) -> float:
    """As likely in [x, 2x] as in [2x, 4x]: what spans orders of magnitude."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def lots(multiple: float, reference: int) -> int:
    """Whole lots of a multiple, one at least."""
    return max(1, round(multiple * reference))


def pieces(total: int, count: int) -> list[int]:
    """So many equal parts of lots; what does not divide goes with the first."""
    return [total // count + total % count, *[total // count] * (count - 1)]


def message_after(ground: Background, first: int, seconds: float) -> int | None:
    """The first message so long after another one, and at least the next; None where the session ends before."""
    found = max(first + 1, ground.message_at(int(ground.ts[first]) + round(seconds * SECOND)))
    return found if found < len(ground.ts) else None
