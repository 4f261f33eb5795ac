"""Rounds: one session shown once, untouched or with a fresh planting, and what every contender said of it.

All that a round draws comes from its name and the seed, so rounds are the same in any order and in any process.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from enum import IntEnum
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stakan.apps.judge.background import Background, SessionEvent
from stakan.apps.judge.contenders import Contender
from stakan.apps.judge.episodes import MANIPULATIONS, TIERS, Episode, Family, tuning_tiers
from stakan.apps.judge.injection import inject
from stakan.apps.judge.schedule import EVERYTHING, Density, Stretch, plan, planted_share
from stakan.apps.judge.sessions import SESSIONS, load, parts
from stakan.apps.judge.watching import Alarm, Watched, watch
from stakan.apps.workers import Told, each

MIXED = Density(gap_s=3.0)
"""All families and hard negatives: at most 0.1 % of a stretch's events are planted."""
ANOMALY_SHARE = 0.05
MULTILEVEL = Density(gap_s=10.0, max_share=1.0, max_time=ANOMALY_SHARE)
"""One family alone, inside whose episodes 5 % of the time lies: for the precision-recall curve."""
EPISODES_A_ROUND = 4
"""About so many of each family are planted in the test parts of the liquid sessions by one mixed round of each."""
_EPISODES_A_CURVE_ROUND = 8
"""As many curves are drawn as if one round of each planted so many."""
_WARM_EVENTS = 3_000
_HEED_EVERY = 5_000
"""Events; whoever interrupts does not want to wait for the end of a round."""


class Kind(IntEnum):
    """What is planted in a round."""

    UNTOUCHED = 0
    MIXED = 1
    CURVE = 2
    """One family at 5 % of the time."""


class Round(NamedTuple):
    """The name of a round."""

    kind: Kind
    session: int
    tier: int = 0
    family: Family | None = None
    number: int = 0


class Seen(NamedTuple):
    """What came of a round."""

    round: Round
    calibration: Stretch | None
    test: Stretch | None
    truth: tuple[Episode, ...]
    alarms: dict[str, tuple[Alarm, ...]]
    share: float
    """Largest share of a stretch's events that was planted, quote stuffing apart."""
    costs: dict[str, list[int]]
    print_costs: dict[str, list[int]]


class Course(NamedTuple):
    """What all rounds of a judgement share."""

    data: Path
    cache: Path | None
    seed: int
    contenders: tuple[Contender, ...]


def rounds(episodes: int, tiers: Sequence[int] = TIERS) -> list[Round]:
    """The rounds that plant about so many episodes of each family and tier in the test parts."""
    liquid = [k for k, session in enumerate(SESSIONS) if session.is_liquid]
    tested = [k for k in liquid if SESSIONS[k].calibration < 1]
    found = [Round(Kind.UNTOUCHED, k) for k in range(len(SESSIONS))]
    for number in range(-(-episodes // EPISODES_A_ROUND)):
        # A session without a test part serves only where thresholds are chosen.
        for tier in tiers:
            shown = liquid if tier in tuning_tiers(tiers) else tested
            found += [Round(Kind.MIXED, k, tier, None, number) for k in shown]
    for number in range(-(-episodes // _EPISODES_A_CURVE_ROUND)):
        found += [
            Round(Kind.CURVE, k, tier, family, number) for tier in tiers for family in MANIPULATIONS for k in tested
        ]
    return found


def play(course: Course, one: Round, told: Told = lambda _more: None) -> Seen:
    """Play one round; `told` may end it early by an exception."""
    ground = _ground(course.data, course.cache, one.session)
    both = parts(SESSIONS[one.session], ground)
    calibration = both.calibration if both.calibration.stop > both.calibration.start else None
    detectors = {contender.name: contender.detector for contender in course.contenders if _attends(contender, one)}
    if one.kind is Kind.UNTOUCHED:
        # Compiled kernels and caches are warm before anything is measured.
        watch(ground.instrument, ground.events[:_WARM_EVENTS], detectors)
        watched = watch(ground.instrument, _heeding(ground.events, told), detectors, measures=True)
        return _seen(one, calibration, both.test, (), watched, 0.0)
    families = EVERYTHING if one.family is None else (one.family,)
    planted = MIXED if one.kind is Kind.MIXED else MULTILEVEL
    rng = np.random.default_rng([course.seed, *_key(one)])
    scripts, share = [], 0.0
    for stretch in (calibration, both.test):
        if stretch is not None:
            of_stretch = plan(ground, rng, stretch, families, one.tier, planted)
            share = max(share, planted_share(ground, stretch, of_stretch))
            scripts += of_stretch
    watched = watch(ground.instrument, _heeding(inject(ground, scripts), told), detectors)
    return _seen(one, calibration, both.test, tuple(script.truth for script in scripts), watched, share)


def play_all(course: Course, wanted: Sequence[Round], jobs: int = 1) -> Generator[Seen, None, None]:
    """Play rounds, as they are done; with more than one job in processes of their own."""
    return each(partial(play, course), wanted, jobs)


def instead(seen: Sequence[Seen], anew: Sequence[Seen]) -> list[Seen]:
    """Rounds that were played `anew`, with those contenders beside that took part only before."""
    before = {one.round: one for one in seen}
    return [
        one._replace(
            alarms={**before[one.round].alarms, **one.alarms},
            costs={**before[one.round].costs, **one.costs},
            print_costs={**before[one.round].print_costs, **one.print_costs},
        )
        for one in anew
    ]


def _heeding(events: Iterable[SessionEvent], told: Told) -> Iterator[SessionEvent]:
    for number, event in enumerate(events):
        if number % _HEED_EVERY == 0:
            told(0)
        yield event


@cache
def _ground(data: Path, kept: Path | None, session: int) -> Background:
    return load(SESSIONS[session], data, kept)


def _attends(contender: Contender, one: Round) -> bool:
    """A curve is drawn for those whose family it is."""
    return one.family is None or one.family.pattern is contender.pattern


def _key(one: Round) -> list[int]:
    family = 0 if one.family is None else 1 + MANIPULATIONS.index(one.family)
    return [one.kind, one.session, one.tier, family, one.number]


def _seen(
    one: Round,
    calibration: Stretch | None,
    test: Stretch | None,
    truth: tuple[Episode, ...],
    watched: Watched,
    share: float,
) -> Seen:
    return Seen(one, calibration, test, truth, watched.alarms, share, watched.costs, watched.print_costs)
