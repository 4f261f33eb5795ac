"""Thresholds come from the calibration part, figures from the test part, and bars decide."""

import math

import msgspec
import pytest
from tests.apps.judge.builders import START, a_finding

from stakan.apps.judge.contenders import NAIVE, Contender, contenders
from stakan.apps.judge.episodes import Episode, Family
from stakan.apps.judge.naive import NaiveRule
from stakan.apps.judge.rounds import Kind, Round, Seen, rounds
from stakan.apps.judge.schedule import Stretch
from stakan.apps.judge.sessions import SESSIONS
from stakan.apps.judge.verdict import thresholds, verdict
from stakan.apps.judge.watching import Alarm
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.findings import Pattern
from stakan.core.domain.units import HOUR, SECOND, Side
from stakan.core.plugins import Detector

CALIBRATION, TEST = Stretch(START, START + HOUR), Stretch(START + HOUR, START + 2 * HOUR)
MADE = Contender("spoofing", Detector(), Pattern.SPOOFING)
LIQUID, QUIET = 1, next(k for k, session in enumerate(SESSIONS) if not session.is_liquid)


def an_episode(ts):
    return Episode(
        family=Family.SPOOFING,
        tier=2,
        side=Side.BUY,
        low=100,
        high=100,
        began=ts,
        cancelled=ts + SECOND,
        ended=ts + SECOND,
    )


def seen(kind, session, truth=(), findings=()):
    alarms = tuple(Alarm((finding,)) for finding in findings)
    family = Family.SPOOFING if kind is Kind.CURVE else None
    one = Round(kind, session, 0 if kind is Kind.UNTOUCHED else 2, family)
    costs = {"spoofing": [10_000, 20_000] if kind is Kind.UNTOUCHED else []}
    return Seen(one, CALIBRATION, TEST, tuple(truth), {"spoofing": alarms}, 0.0005, costs, costs)


def minutes(*numbers):
    return [START + number * 60 * SECOND for number in numbers]


def judged(mixed_truth, mixed, quiet=(), curve=(), liquid=()):
    rounds_seen = [
        seen(Kind.UNTOUCHED, LIQUID, (), liquid),
        seen(Kind.UNTOUCHED, QUIET, (), quiet),
        seen(Kind.MIXED, LIQUID, mixed_truth, mixed),
        seen(Kind.CURVE, LIQUID, mixed_truth, curve),
    ]
    return verdict(rounds_seen, rounds_seen, [MADE], thresholds(rounds_seen, [MADE], (2,)), 1, (2,))


def test_a_threshold_that_keeps_both_bars_on_the_calibration_part_is_taken():
    truth = [an_episode(ts) for ts in minutes(*range(1, 11), *range(61, 71))]
    sure = [a_finding(ts, confidence=0.9) for ts in minutes(*range(1, 6), *range(61, 65))]
    likely = [a_finding(ts, confidence=0.7) for ts in minutes(6, 7, 8, 65)]
    wrong = [a_finding(ts, confidence=0.6) for ts in minutes(*range(20, 40))]
    late_wrong = [a_finding(ts, confidence=0.8) for ts in minutes(90, 91, 92)]
    found = judged(truth, [*sure, *likely, *wrong, *late_wrong])
    assert found.standings[0].threshold == 0.7
    assert found.standings[0].is_feasible
    # Of the test part: ten episodes, five of them hit, three alarms on nothing.
    assert (found.rows[0].recall.hits, found.rows[0].recall.of) == (5, 10)
    assert (found.rows[0].precision.hits, found.rows[0].precision.of) == (5, 8)
    assert not found.holds
    assert {bar.what for bar in found.bars if not bar.holds} == {"recall", "precision", "hard negatives"}


def test_too_many_alerts_on_the_quiet_recording_raise_the_threshold():
    truth = [an_episode(ts) for ts in minutes(*range(1, 11))]
    findings = [a_finding(ts, confidence=0.9) for ts in minutes(*range(1, 9))]
    findings += [a_finding(ts, confidence=0.7) for ts in minutes(9, 10)]
    noisy = [a_finding(START + k * 60 * SECOND, confidence=0.7) for k in range(21)]
    assert judged(truth, findings).standings[0].threshold == 0.7
    assert judged(truth, findings, noisy).standings[0].threshold == 0.9


def test_the_threshold_is_farthest_from_the_bar_that_it_is_nearest_to():
    truth = [an_episode(ts) for ts in minutes(*range(1, 11))]
    sure = [a_finding(ts, confidence=0.9) for ts in minutes(*range(1, 9))]
    likely = [a_finding(ts, confidence=0.7) for ts in minutes(9, 30, 31)]
    # All together 9 of 11 are right, 82 %; the sure ones alone 8 of 8.
    assert judged(truth, [*sure, *likely]).standings[0].threshold == 0.9
    surest = [a_finding(ts, confidence=0.95) for ts in minutes(*range(1, 8))]
    # They alone would be 7 of 10.
    assert judged(truth, [*surest, a_finding(minutes(8)[0], confidence=0.9), *likely]).standings[0].threshold == 0.9


def test_a_distance_from_a_bar_is_a_share_of_what_is_possible():
    truth = [an_episode(ts) for ts in minutes(*range(1, 41))]
    sure = [a_finding(ts, confidence=0.9) for ts in minutes(*range(1, 34))]
    likely = [a_finding(ts, confidence=0.7) for ts in minutes(34, 35, 36, 45, 46, 47, 48)]
    # 36 of 40 are found, 36 of 40 alarms right: half of the way from a precision of 80 % to 100 %. The sure ones alone
    # are all right, but 33 of 40 are less than half of the way from a recall of 70 %.
    assert judged(truth, [*sure, *likely]).standings[0].threshold == 0.7


def test_of_thresholds_that_serve_equally_the_middle_one_is_taken():
    truth = [an_episode(ts) for ts in minutes(*range(1, 4))]
    both = [Alarm((a_finding(ts, confidence=c),)) for ts in minutes(1, 2, 3) for c in (0.2, 0.5, 0.95)]
    findings = [one.findings[0] for one in both]
    assert judged(truth, findings).standings[0].threshold == 0.5


def test_alarms_of_the_market_itself_that_may_yet_come_raise_the_threshold():
    truth = [an_episode(ts) for ts in minutes(*range(1, 11))]
    likely = [a_finding(ts, confidence=0.4) for ts in minutes(9)]
    findings = [*(a_finding(ts, confidence=0.9) for ts in minutes(*range(1, 9))), *likely]
    assert judged(truth, findings).standings[0].threshold == 0.4
    market = [a_finding(ts, confidence=0.39) for ts in minutes(*range(30, 35))]
    assert judged(truth, findings, liquid=market).standings[0].threshold == 0.9


def test_they_come_on_top_of_alarms_on_what_was_planted():
    """A threshold at which both are many is not better than one at which only one kind is."""
    truth = [an_episode(ts) for ts in minutes(*range(1, 11))]
    negatives = [msgspec.structs.replace(an_episode(ts), family=Family.ICEBERG) for ts in minutes(*range(20, 24))]
    sure = [a_finding(ts, confidence=0.9) for ts in minutes(*range(1, 9))]
    likely = [a_finding(ts, confidence=0.6) for ts in minutes(9, 10, 20)]
    everything = [*truth, *negatives]
    # 10 of 11 are right, and half a tail of the market's more.
    assert judged(everything, [*sure, *likely]).standings[0].threshold == 0.6
    market = [a_finding(ts, confidence=0.5) for ts in minutes(*range(30, 32))]
    assert judged(everything, [*sure, *likely], liquid=market).standings[0].threshold == 0.9


def test_every_row_names_the_five_figures():
    found = msgspec.to_builtins(judged([an_episode(ts) for ts in minutes(1, 61)], [a_finding(minutes(61)[0])]))
    names = {"recall", "precision", "hard_negative_rate", "false_alerts_per_symbol_hour", "auc_pr"}
    assert found["rows"]
    assert all(names <= set(row) for row in found["rows"])


@pytest.mark.parametrize(("confidence", "holds"), [(0.9, True), (0.2, False)])
def test_spoofing_must_beat_the_naive_rule(confidence, holds):
    truth = [an_episode(ts) for ts in minutes(61, 65)]
    naive = Contender(NAIVE, NaiveRule(), Pattern.SPOOFING)

    def said(kind, session, truth, ours, theirs):
        one = seen(kind, session, truth, ours)
        alarms = {**one.alarms, NAIVE: tuple(Alarm((finding,)) for finding in theirs)}
        costs = {**one.costs, NAIVE: one.costs["spoofing"]}
        return one._replace(alarms=alarms, costs=costs, print_costs=costs)

    right = [a_finding(ts, confidence=confidence) for ts in minutes(61, 65)]
    wrong = [a_finding(ts, confidence=0.5) for ts in minutes(70, 71)]
    theirs = [a_finding(ts, confidence=0.5) for ts in minutes(61, 65, 72)]
    shown = [said(Kind.UNTOUCHED, LIQUID, (), (), ()), said(Kind.UNTOUCHED, QUIET, (), (), ())]
    shown += [said(kind, LIQUID, truth, [*right, *wrong], theirs) for kind in (Kind.MIXED, Kind.CURVE)]
    both = [MADE, naive]
    bars = verdict(shown, shown, both, thresholds(shown, both, (2,)), 1, (2,)).bars
    assert [bar.holds for bar in bars if "naive" in bar.what] == [holds]


def test_where_no_threshold_serves_it_is_said_so():
    truth = [an_episode(ts) for ts in minutes(1)]
    found = judged(truth, [a_finding(ts, confidence=0.5) for ts in minutes(1, 30, 31, 32)])
    assert not found.standings[0].is_feasible
    assert found.standings[0].threshold == 0.5


def test_untouched_alerts_are_counted_in_the_test_part_only():
    truth = [an_episode(ts) for ts in minutes(1, 61)]
    hits = [a_finding(ts) for ts in minutes(1, 61)]
    found = judged(truth, hits, quiet=[a_finding(ts) for ts in minutes(5, 6, 70)])
    alerts = found.standings[0].false_alerts_per_symbol_hour
    assert (alerts.count, alerts.hours) == (1, pytest.approx(1.0))
    assert found.all_cost_us_p50 == 15.0


def test_nobody_who_says_nothing_passes():
    found = judged([an_episode(ts) for ts in minutes(1, 61)], [])
    assert found.rows[0].recall.value == 0
    assert math.isnan(found.rows[0].precision.value)
    assert not found.holds


def test_rounds_serve_only_what_they_are_for():
    wanted = rounds(4)
    assert len(set(wanted)) == len(wanted)
    untested = {k for k, session in enumerate(SESSIONS) if session.calibration == 1}
    assert {one.tier for one in wanted if one.session in untested and one.kind is Kind.MIXED} == {2}
    assert all(SESSIONS[one.session].is_liquid for one in wanted if one.kind is not Kind.UNTOUCHED)


def test_the_naive_rule_stands_beside_and_unknown_names_are_refused():
    assert contenders()[-1] == Contender(NAIVE, NaiveRule(), Pattern.SPOOFING)
    assert not contenders()[-1].is_judged
    with pytest.raises(ConfigError, match="no detector named 'spoofyng'"):
        contenders(["spoofyng"])
