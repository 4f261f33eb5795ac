"""When what is planted: episodes one after the other over a stretch of a session, manipulations and hard negatives."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from numpy.random import Generator

from stakan.apps.judge import hard_negatives, manipulations
from stakan.apps.judge.background import Background
from stakan.apps.judge.episodes import HARD_NEGATIVES, MANIPULATIONS, Family
from stakan.apps.judge.scripts import Script
from stakan.core.domain.units import SECOND

Planner = Callable[[Background, Generator, int, int], Script | None]

PLANNERS: dict[Family, Planner] = {
    Family.SPOOFING: manipulations.spoofing,
    Family.LAYERING: manipulations.layering,
    Family.QUOTE_STUFFING: manipulations.quote_stuffing,
    Family.WASH_TRADING: manipulations.wash_trading,
    Family.REQUOTE: hard_negatives.requote,
    Family.ICEBERG: hard_negatives.iceberg,
    Family.STOP_CASCADE: hard_negatives.stop_cascade,
    Family.FUNDING_PULL: hard_negatives.funding_pull,
    Family.LARGE_GENUINE: hard_negatives.large_genuine,
}
EVERYTHING = (*MANIPULATIONS, *HARD_NEGATIVES)

_TRIES = 200
_WITHIN_NS = 10 * SECOND
"""An episode that the recording does not allow at its time may come up to so much later."""
_APART_NS = 3 * SECOND
"""Between episodes, so that an alarm belongs to one of them."""
_UNSHARED = frozenset({Family.QUOTE_STUFFING})
"""Left out of the share of planted events: one burst of it is more than all else together."""


class Stretch(NamedTuple):
    """Part of a session in which episodes begin and end; exchange times."""

    start: int
    stop: int


class Density(NamedTuple):
    """How much is planted."""

    gap_s: float
    """Mean of the time between episodes beyond the three seconds that are always there."""
    max_share: float = 0.001
    """At most this share of a stretch's level updates and prints is planted (stuffing apart, which is nothing but)."""
    max_time: float = 1.0
    """At most about this share of a stretch's seconds is touched by episodes."""


def plan(
    ground: Background, rng: Generator, stretch: Stretch, families: Sequence[Family], tier: int, density: Density
) -> list[Script]:
    """Scripts for a stretch, in order of time; every family comes once before any comes again."""
    scripts: list[Script] = []
    room = density.max_share * _events(ground, stretch)
    time_left = density.max_time * (stretch.stop - stretch.start)
    now = stretch.start
    deck: list[Family] = []
    while True:
        now += _APART_NS + round(rng.exponential(density.gap_s) * SECOND)
        if now >= stretch.stop:
            return scripts
        deck = deck or [families[k] for k in rng.permutation(len(families))]
        family = deck.pop()
        script = _fitting(ground, rng, Stretch(now, stretch.stop), family, tier)
        if script is None:
            continue
        truth = script.truth
        cost = 0 if family in _UNSHARED else script.updates
        # In windows of one second, of which an episode touches one more than it lasts, on average.
        length = truth.ended - truth.began + SECOND
        if cost > room:
            return scripts
        if length > time_left:
            continue
        room -= cost
        time_left -= length
        scripts.append(script)
        now = truth.ended


def planted_share(ground: Background, stretch: Stretch, scripts: Sequence[Script]) -> float:
    """Planted level updates and prints over the recording's, without quote stuffing."""
    planted = sum(script.updates for script in scripts if script.truth.family not in _UNSHARED)
    return planted / max(1, _events(ground, stretch))


def _fitting(ground: Background, rng: Generator, stretch: Stretch, family: Family, tier: int) -> Script | None:
    first = max(1, ground.message_at(stretch.start))
    last = ground.message_at(min(stretch.stop, stretch.start + _WITHIN_NS))
    if first >= last:
        return None
    for _ in range(_TRIES):
        script = PLANNERS[family](ground, rng, tier, int(rng.integers(first, last)))
        if script is not None and script.truth.ended < stretch.stop:
            return script
    return None


def _events(ground: Background, stretch: Stretch) -> int:
    first, last = ground.message_at(stretch.start), ground.message_at(stretch.stop)
    span = (stretch.stop - stretch.start) / max(1, ground.ended - ground.began)
    return int(ground.level_updates[first:last].sum()) + round(ground.prints * span)
