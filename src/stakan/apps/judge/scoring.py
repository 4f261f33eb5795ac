"""Score alarms against what was planted. The unit is the episode.

An alarm hits an episode where it is of its pattern and side, shares time with it (it began before the episode ended, and
was said after the episode began and at most two seconds after it ended: what confirms an episode follows it), and, where
both name prices, shares a price. All alarms that hit one episode count as one hit. What hits nothing is a false alarm;
but spoofing at several prices *is* layering, so a spoofing alarm on a planted layering, and the reverse, is neither.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from stakan.apps.judge.episodes import Episode, Family
from stakan.apps.judge.schedule import Stretch
from stakan.apps.judge.watching import Alarm
from stakan.core.domain.findings import Finding, Pattern
from stakan.core.domain.units import SECOND

GRACE_NS = 2 * SECOND
"""How long after an episode a finding may still be about it."""
WINDOW_NS = SECOND
"""The sample of the precision-recall curve is a window of so long."""
BLOCK_WINDOWS = 30
"""Windows that are drawn together when its interval is estimated: neighbours are not independent."""
_KIN = {Family.SPOOFING: Pattern.LAYERING, Family.LAYERING: Pattern.SPOOFING}


class Scene(NamedTuple):
    """One stretch of one session as a detector saw it."""

    stretch: Stretch
    truth: tuple[Episode, ...]
    """In order of begin."""
    alarms: tuple[Alarm, ...]


class Tally(msgspec.Struct):
    """Counts over scenes."""

    episodes: int = 0
    hits: int = 0
    before_cancel: int = 0
    """Hits while there was still something to withdraw."""
    delays_s: list[float] = []
    """From the episode's begin to the alarm, of the hits."""
    false_alarms: int = 0
    """On hard negatives, on other families, and on the recording itself."""
    market_alarms: int = 0
    """Of these, those of the recording itself: about nothing that was planted."""
    true_alarms: int = 0
    """Alarms that hit; several may hit one episode."""
    set_aside: int = 0
    """Alarms of spoofing on layering and the reverse."""
    hard_negatives: int = 0
    alarmed_negatives: int = 0
    by_kind: dict[str, list[int]] = {}
    """Alarmed and all, of each kind of hard negative."""


def tally(scenes: Iterable[Scene], pattern: Pattern, threshold: float) -> Tally:
    """Count at a confidence threshold."""
    counts = Tally()
    for scene in scenes:
        _count(counts, scene, pattern, threshold)
    return counts


def is_about(finding: Finding, episode: Episode) -> bool:
    """Whether a finding and an episode share time, side and price; of its pattern nothing is asked."""
    in_time = finding.began <= episode.ended and episode.began <= finding.ts_event <= episode.ended + GRACE_NS
    on_side = episode.side is None or finding.side is episode.side
    return in_time and on_side and _shares_price(finding, episode)


def alarm_times(alarms: Iterable[Alarm], stretch: Stretch, threshold: float) -> list[int]:
    """When each alarm was first confident enough, of those that were within a stretch."""
    said = (alarm.since(threshold) for alarm in alarms)
    return [found[0].ts_event for found in said if found and stretch.start <= found[0].ts_event < stretch.stop]


def windows(scene: Scene, family: Family) -> list[tuple[list[bool], list[float]]]:
    """Labels and scores of a scene's windows of one second, in blocks.

    A window is positive where an episode of the family touches it; its score is the highest confidence of a finding that
    covers it, from the finding's begin to its saying. Windows in the grace after an episode are of neither kind.
    """
    count = (scene.stretch.stop - scene.stretch.start) // WINDOW_NS
    labels: list[bool | None] = [False] * count
    scores = [0.0] * count
    wanted = [episode for episode in scene.truth if episode.family is family]
    for episode in wanted:
        for k in _covered(scene.stretch, episode.ended, episode.ended + GRACE_NS, count):
            labels[k] = None
    for episode in wanted:
        for k in _covered(scene.stretch, episode.began, episode.ended, count):
            labels[k] = True
    for alarm in scene.alarms:
        for finding in alarm.findings:
            for k in _covered(scene.stretch, finding.began, finding.ts_event, count):
                scores[k] = max(scores[k], finding.confidence)
    kept = [(label, score) for label, score in zip(labels, scores, strict=True) if label is not None]
    blocks = [kept[first : first + BLOCK_WINDOWS] for first in range(0, len(kept), BLOCK_WINDOWS)]
    return [([label for label, _ in block], [score for _, score in block]) for block in blocks]


def _count(counts: Tally, scene: Scene, pattern: Pattern, threshold: float) -> None:
    hit_at: dict[int, int] = {}
    alarmed: set[int] = set()
    begins = [episode.began for episode in scene.truth]
    longest = max((episode.ended - episode.began for episode in scene.truth), default=0) + GRACE_NS
    for alarm in scene.alarms:
        said = alarm.since(threshold)
        if not said or not scene.stretch.start <= said[0].ts_event < scene.stretch.stop:
            continue
        last = max(finding.ts_event for finding in said)
        near = range(bisect_left(begins, said[0].ts_event - longest), bisect_right(begins, last))
        touched = {k: said_at for k in near if (said_at := _about(said, scene.truth[k]))}
        hits = [k for k in touched if scene.truth[k].family.pattern is pattern]
        for k in hits:
            hit_at[k] = min(hit_at.get(k, touched[k]), touched[k])
        alarmed |= {k for k in touched if scene.truth[k].family.pattern is None}
        counts.true_alarms += bool(hits)
        if not hits:
            is_kin = any(_KIN.get(scene.truth[k].family) is pattern for k in touched)
            counts.set_aside += is_kin
            counts.false_alarms += not is_kin
            counts.market_alarms += not touched
    for k, episode in enumerate(scene.truth):
        if episode.family.pattern is pattern:
            counts.episodes += 1
            if k in hit_at:
                counts.hits += 1
                counts.before_cancel += hit_at[k] < episode.cancelled
                counts.delays_s.append((hit_at[k] - episode.began) / SECOND)
        elif episode.family.pattern is None:
            counts.hard_negatives += 1
            counts.alarmed_negatives += k in alarmed
            kind = counts.by_kind.setdefault(episode.family.value, [0, 0])
            kind[0] += k in alarmed
            kind[1] += 1


def _about(said: Sequence[Finding], episode: Episode) -> int:
    """When it was first said of an episode; 0 where never."""
    return next((finding.ts_event for finding in said if is_about(finding, episode)), 0)


def _shares_price(finding: Finding, episode: Episode) -> bool:
    if finding.low is None or finding.high is None:
        return True
    return finding.low <= episode.high and finding.high >= episode.low


def _covered(stretch: Stretch, first: int, last: int, count: int) -> range:
    start = max(0, (first - stretch.start) // WINDOW_NS)
    return range(start, min(count, (last - stretch.start) // WINDOW_NS + 1))
