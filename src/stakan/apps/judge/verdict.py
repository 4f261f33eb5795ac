"""From rounds to a verdict: thresholds chosen on calibration parts, figures of test parts, and whether bars hold."""

from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np

from stakan.apps.judge.background import Ints
from stakan.apps.judge.contenders import NAIVE, Contender
from stakan.apps.judge.episodes import JUDGED_TIER, TIERS, Family, tuning_tiers
from stakan.apps.judge.intervals import Estimate, Rate, Share, bootstrapped, rate, share
from stakan.apps.judge.market_alarms import Tail
from stakan.apps.judge.rounds import Kind, Seen
from stakan.apps.judge.schedule import Stretch
from stakan.apps.judge.scoring import Scene, Tally, alarm_times, tally, windows
from stakan.apps.judge.sessions import SESSIONS
from stakan.core.domain.findings import Pattern
from stakan.core.domain.units import HOUR

RECALL, PRECISION, NEGATIVES, AREA, ALERTS, COST_US = 0.70, 0.80, 0.10, 0.675, 20.0, 1_000.0
"""What must be reached (detection.md): the negatives below, alerts per symbol-hour at most, cost below."""
_CANDIDATES = 60
"""Thresholds that are tried at most."""


Thresholds = dict[str, tuple[float, bool]]
"""By name of the contender, each with whether it keeps the bars on the calibration part."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One contender on one tier, test part."""

    detector: str
    tier: int
    recall: Share
    precision: Share
    """Hits over hits and false alarms."""
    false_alarms: int
    market_alarms: int
    """Of these, those about nothing that was planted. What a recording alarms by itself comes again in every round."""
    set_aside: int
    """Alarms of spoofing on layering and the reverse: neither."""
    hard_negative_rate: Share
    false_alerts_per_symbol_hour: Rate
    """Of untouched recordings (see `Standing`), so the same in every tier."""
    by_hard_negative: dict[str, Share]
    auc_pr: Estimate
    """Of windows of one second, the detector's own family planted alone."""
    anomaly_share: float
    """Share of those windows that an episode touches."""
    median_delay_s: float | None
    before_cancel: Share
    """Of all episodes."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a contender whatever the tier."""

    detector: str
    pattern: Pattern
    threshold: float
    """Confidence from which on it counts, chosen on the calibration part."""
    is_feasible: bool
    """Whether some threshold kept the bars of recall, precision and alerts there."""
    false_alerts_per_symbol_hour: Rate
    """Test part of the long quiet recording, untouched."""
    liquid_alerts_per_symbol_hour: Rate
    """Test parts of the liquid sessions, untouched: minutes, so indicative."""
    cost_us_p50: float
    cost_us_p99: float
    """Per book message of the liquid sessions, microseconds."""
    print_cost_us_p99: float


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A family at the threshold that serves the other families best."""

    family: Family
    threshold: float
    recall: Share
    precision: Share


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must hold on the judged tier."""

    detector: str
    what: str
    must: float
    found: float
    holds: bool


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """All that is printed."""

    holds: bool
    seed: int
    rows: tuple[Row, ...]
    standings: tuple[Standing, ...]
    all_cost_us_p50: float
    all_cost_us_p99: float
    """All judged detectors together, per book message."""
    left_out: tuple[LeftOut, ...]
    bars: tuple[Bar, ...]
    planted_share: float
    """Largest share of any stretch's events that was planted in mixed rounds."""
    episodes: int
    """Planted in all test parts of mixed rounds, hard negatives among them."""


def thresholds(seen: Sequence[Seen], contenders: Sequence[Contender], tiers: Sequence[int] = TIERS) -> Thresholds:
    """The confidence from which on each contender counts, by name, chosen on the calibration parts."""
    return {contender.name: _threshold(seen, contender, tiers) for contender in contenders}


def verdict(
    seen: Sequence[Seen],
    as_run: Sequence[Seen],
    contenders: Sequence[Contender],
    chosen: Thresholds,
    seed: int,
    tiers: Sequence[int] = TIERS,
) -> Verdict:
    """Judge what contenders said.

    Curves are of all that they say (`seen`), the rest is of what they say `at` the chosen thresholds (`as_run`, in which
    the rounds of curves need not be).
    """
    judged = [contender for contender in contenders if contender.is_judged]
    standings = tuple(_standing(as_run, contender, *chosen[contender.name]) for contender in contenders)
    rows = tuple(
        _row(seen, as_run, contender, tier, standing, seed)
        for contender, standing in zip(contenders, standings, strict=True)
        for tier in tiers
    )
    together = _together(as_run, [contender.name for contender in judged])
    bars = tuple(_bars(rows, standings, {contender.name for contender in judged}, together))
    mixed = [one for one in seen if one.round.kind is Kind.MIXED]
    return Verdict(
        holds=bool(bars) and all(bar.holds for bar in bars),
        seed=seed,
        rows=rows,
        standings=standings,
        all_cost_us_p50=_microseconds(together, 50),
        all_cost_us_p99=_microseconds(together, 99),
        left_out=tuple(_left_out(seen, judged, tiers)),
        bars=bars,
        planted_share=max((one.share for one in mixed), default=0.0),
        episodes=sum(len(scene.truth) for scene in _scenes(mixed, "", is_test=True)),
    )


def _scenes(seen: Iterable[Seen], name: str, *, is_test: bool) -> list[Scene]:
    """What a contender saw of one part, with the episodes that lie in it."""
    found = []
    for one in seen:
        stretch = one.test if is_test else one.calibration
        if stretch is not None:
            truth = tuple(episode for episode in one.truth if stretch.start <= episode.began < stretch.stop)
            found.append(Scene(stretch, truth, one.alarms.get(name, ())))
    return found


def _mixed(seen: Iterable[Seen], name: str, tiers: Sequence[int], *, is_test: bool) -> list[Scene]:
    chosen = (one for one in seen if one.round.kind is Kind.MIXED and one.round.tier in tiers)
    return _scenes(chosen, name, is_test=is_test)


def _untouched(seen: Iterable[Seen], *, is_liquid: bool) -> list[Seen]:
    return [
        one for one in seen if one.round.kind is Kind.UNTOUCHED and SESSIONS[one.round.session].is_liquid is is_liquid
    ]


def _alert_rate(seen: Iterable[Seen], name: str, threshold: float, *, is_test: bool) -> Rate:
    count, span = 0, 0
    for scene in _scenes(seen, name, is_test=is_test):
        count += len(alarm_times(scene.alarms, scene.stretch, threshold))
        span += _length(scene.stretch)
    return rate(count, span / HOUR)


def _length(stretch: Stretch) -> int:
    return stretch.stop - stretch.start


def _candidates(scenes: Iterable[Scene]) -> list[float]:
    """Confidences that occur, thinned, rising."""
    values = np.unique([finding.confidence for scene in scenes for alarm in scene.alarms for finding in alarm.findings])
    if len(values) > _CANDIDATES:
        values = np.unique(np.quantile(values, np.linspace(0, 1, _CANDIDATES), method="nearest"))
    return [float(value) for value in values]


def _recall(counts: Tally) -> float:
    return counts.hits / counts.episodes if counts.episodes else 0.0


def _precision(counts: Tally, least: float) -> float:
    """With at least so many false alarms by the market itself."""
    said = counts.hits + counts.false_alarms - counts.market_alarms + max(counts.market_alarms, least)
    return counts.hits / said if said else 0.0


def _f1(counts: Tally) -> float:
    wanted = counts.episodes + counts.hits + counts.false_alarms
    return 2 * counts.hits / wanted if wanted else 0.0


def _threshold(seen: Sequence[Seen], contender: Contender, tiers: Sequence[int]) -> tuple[float, bool]:
    """The threshold that is farthest above the bars of recall and precision and keeps that of alerts, and whether it is.

    On the calibration part, by the bar that it is nearer to, or least below, in shares of what there is above a bar: what
    just keeps a bar where it is chosen misses it elsewhere half of the time, and nothing is above 1. The market's own
    alarms count for at least as many as are to be expected. Of equals the middle one, which has most room to both sides.
    Where none keeps the bar of alerts, that of the best F1.
    """
    scenes = _mixed(seen, contender.name, tuning_tiers(tiers), is_test=False)
    quiet = _untouched(seen, is_liquid=False)
    expected = _market_alarms(seen, contender.name, len(scenes))
    margins, f1s = dict[float, float](), dict[float, float]()
    for threshold in _candidates(scenes):
        counts = tally(scenes, contender.pattern, threshold)
        f1s[threshold] = _f1(counts)
        if not _alert_rate(quiet, contender.name, threshold, is_test=False).value > ALERTS:
            precision = _precision(counts, expected(threshold))
            margins[threshold] = min(_room(_recall(counts), RECALL), _room(precision, PRECISION))
    return _middle(margins or f1s), max(margins.values(), default=-1.0) >= 0


def _room(found: float, bar: float) -> float:
    """How far above a bar, of what is possible: 1 is perfect, 0 the bar."""
    return (found - bar) / (1 - bar)


def _market_alarms(seen: Sequence[Seen], name: str, rounds: int) -> Callable[[float], float]:
    """False alarms at a threshold that so many rounds would have, did the market do in each what it does on average."""
    scenes = _scenes(_untouched(seen, is_liquid=True), name, is_test=False)
    # By session: what is usual in one market is not in another.
    tails = [Tail.fit(_surest(scene)) for scene in scenes]
    times = rounds / max(1, len(scenes))
    return lambda threshold: times * sum(tail.above(threshold) for tail in tails)


def _surest(scene: Scene) -> list[float]:
    """The highest confidence of each alarm within the stretch."""
    start, stop = scene.stretch
    said = ([one.confidence for one in alarm.findings if start <= one.ts_event < stop] for alarm in scene.alarms)
    return [max(confidences) for confidences in said if confidences]


def _middle(values: dict[float, float]) -> float:
    """Of the keys with the highest value the middle one; 1 where there are none."""
    best = max(values.values(), default=0.0)
    equals = sorted(key for key, value in values.items() if value == best)
    return equals[len(equals) // 2] if equals else 1.0


def _row(
    seen: Sequence[Seen], as_run: Sequence[Seen], contender: Contender, tier: int, standing: Standing, seed: int
) -> Row:
    counts = tally(_mixed(as_run, contender.name, (tier,), is_test=True), contender.pattern, standing.threshold)
    family = Family(contender.pattern)
    curve = [
        one for one in seen if one.round.kind is Kind.CURVE and one.round.tier == tier and one.round.family is family
    ]
    blocks = [block for scene in _scenes(curve, contender.name, is_test=True) for block in windows(scene, family)]
    labels = [label for block in blocks for label in block[0]]
    return Row(
        detector=contender.name,
        tier=tier,
        recall=share(counts.hits, counts.episodes),
        precision=share(counts.hits, counts.hits + counts.false_alarms),
        false_alarms=counts.false_alarms,
        market_alarms=counts.market_alarms,
        set_aside=counts.set_aside,
        hard_negative_rate=share(counts.alarmed_negatives, counts.hard_negatives),
        false_alerts_per_symbol_hour=standing.false_alerts_per_symbol_hour,
        by_hard_negative={kind: share(*both) for kind, both in sorted(counts.by_kind.items())},
        auc_pr=bootstrapped(blocks, seed),
        anomaly_share=float(np.mean(labels)) if labels else 0.0,
        median_delay_s=float(np.median(counts.delays_s)) if counts.delays_s else None,
        before_cancel=share(counts.before_cancel, counts.episodes),
    )


def _standing(seen: Sequence[Seen], contender: Contender, threshold: float, is_feasible: bool) -> Standing:
    liquid, quiet = _untouched(seen, is_liquid=True), _untouched(seen, is_liquid=False)
    costs = _together(seen, [contender.name])
    prints = [ns for one in liquid for ns in one.print_costs.get(contender.name, ())]
    return Standing(
        detector=contender.name,
        pattern=contender.pattern,
        threshold=threshold,
        is_feasible=is_feasible,
        false_alerts_per_symbol_hour=_alert_rate(quiet, contender.name, threshold, is_test=True),
        liquid_alerts_per_symbol_hour=_alert_rate(liquid, contender.name, threshold, is_test=True),
        cost_us_p50=_microseconds(costs, 50),
        cost_us_p99=_microseconds(costs, 99),
        print_cost_us_p99=_microseconds(np.array(prints), 99),
    )


def _together(seen: Iterable[Seen], names: Sequence[str]) -> Ints:
    """Nanoseconds of some contenders per book message of the liquid sessions."""
    sums = [np.sum([one.costs[name] for name in names], axis=0) for one in _untouched(seen, is_liquid=True) if names]
    return np.concatenate(sums).astype(np.int64) if sums else np.zeros(0, np.int64)


def _microseconds(nanoseconds: Ints, percentile: float) -> float:
    return float(np.percentile(nanoseconds, percentile)) / 1_000 if len(nanoseconds) else 0.0


def _left_out(seen: Sequence[Seen], judged: Sequence[Contender], tiers: Sequence[int]) -> Iterable[LeftOut]:
    """Leave one family out: a common threshold for all detectors but its own, then used for it."""
    tuned = tuning_tiers(tiers)
    for one in judged:
        others = [contender for contender in judged if contender.pattern is not one.pattern]
        scenes = {contender: _mixed(seen, contender.name, tuned, is_test=False) for contender in others}
        best = (-1.0, 1.0)
        for threshold in _candidates(scene for found in scenes.values() for scene in found):
            counts = [tally(found, contender.pattern, threshold) for contender, found in scenes.items()]
            together = Tally(
                episodes=sum(count.episodes for count in counts),
                hits=sum(count.hits for count in counts),
                false_alarms=sum(count.false_alarms for count in counts),
            )
            best = max(best, (_f1(together), threshold))
        if best[0] < 0:
            continue
        counts_of_it = tally(_mixed(seen, one.name, tuned, is_test=True), one.pattern, best[1])
        yield LeftOut(
            family=Family(one.pattern),
            threshold=best[1],
            recall=share(counts_of_it.hits, counts_of_it.episodes),
            precision=share(counts_of_it.hits, counts_of_it.hits + counts_of_it.false_alarms),
        )


def _bars(
    rows: Sequence[Row],
    standings: Iterable[Standing],
    judged: set[str],
    together: Ints,
) -> Iterable[Bar]:
    naive = {row.tier: row.auc_pr.value for row in rows if row.detector == NAIVE}
    for row in rows:
        if row.detector == Pattern.SPOOFING and row.tier in naive:
            yield _above(row.detector, f"AUC-PR, tier {row.tier}, naive rule's", naive[row.tier], row.auc_pr.value)
        if row.detector in judged and row.tier == JUDGED_TIER:
            yield _at_least(row.detector, "recall", RECALL, row.recall.value)
            yield _at_least(row.detector, "precision", PRECISION, row.precision.value)
            yield _below(row.detector, "hard negatives", NEGATIVES, row.hard_negative_rate.value)
            if row.detector == Pattern.LAYERING:
                yield _at_least(row.detector, "AUC-PR, multilevel at 5 %", AREA, row.auc_pr.value)
    for standing in standings:
        if standing.detector in judged:
            found = standing.false_alerts_per_symbol_hour.value
            yield Bar(
                detector=standing.detector,
                what="alerts per symbol-hour",
                must=ALERTS,
                found=found,
                holds=found <= ALERTS,
            )
    if judged:
        yield _below("all together", "cost per update, p99, us", COST_US, _microseconds(together, 99))


def _at_least(detector: str, what: str, must: float, found: float) -> Bar:
    return Bar(detector=detector, what=what, must=must, found=found, holds=found >= must)


def _above(detector: str, what: str, must: float, found: float) -> Bar:
    return Bar(detector=detector, what=what, must=must, found=found, holds=found > must)


def _below(detector: str, what: str, must: float, found: float) -> Bar:
    return Bar(detector=detector, what=what, must=must, found=found, holds=found < must)
