"""Scoring against cases made by hand: what hits, what is false, what is neither, and what counts once."""

import pytest
from tests.apps.judge.builders import START, a_finding

from stakan.apps.judge.episodes import Episode, Family
from stakan.apps.judge.schedule import Stretch
from stakan.apps.judge.scoring import GRACE_NS, Scene, alarm_times, is_about, tally, windows
from stakan.apps.judge.watching import Alarm
from stakan.core.domain.findings import Pattern
from stakan.core.domain.units import SECOND, Side

STRETCH = Stretch(START, START + 60 * SECOND)


def at(seconds):
    return START + round(seconds * SECOND)


def an_episode(family=Family.SPOOFING, side=Side.BUY, began=10.0, ended=12.0, low=98, high=100):
    return Episode(
        family=family, tier=2, side=side, low=low, high=high, began=at(began), cancelled=at(ended), ended=at(ended)
    )


def scored(truth, alarms, pattern=Pattern.SPOOFING, threshold=0.5):
    return tally([Scene(STRETCH, tuple(truth), tuple(alarms))], pattern, threshold)


def one_alarm(*findings):
    return Alarm(findings)


@pytest.mark.parametrize(
    ("finding", "hits"),
    [
        (a_finding(at(11)), True),
        (a_finding(at(9), began=at(8)), False),
        (a_finding(at(10), began=at(8)), True),
        (a_finding(at(13), began=at(11)), True),
        (a_finding(at(13), began=at(12.1)), False),
        (a_finding(at(12) + GRACE_NS, began=at(11)), True),
        (a_finding(at(12) + GRACE_NS + 1, began=at(11)), False),
        (a_finding(at(11), side=Side.SELL), False),
        (a_finding(at(11), side=None), False),
        (a_finding(at(11), low=101, high=105), False),
        (a_finding(at(11), low=90, high=98), True),
        (a_finding(at(11), low=None, high=None), True),
    ],
)
def test_a_hit_shares_time_side_and_price(finding, hits):
    assert is_about(finding, an_episode()) is hits


def test_an_episode_of_no_side_is_met_from_either():
    stuffing = an_episode(Family.QUOTE_STUFFING, side=None)
    assert is_about(a_finding(at(11), side=None), stuffing)
    assert is_about(a_finding(at(11), side=Side.SELL), stuffing)


def test_a_suspicion_and_its_confirmation_count_once():
    alarm = one_alarm(a_finding(at(11)), a_finding(at(12.5), began=at(10)))
    counts = scored([an_episode()], [alarm])
    assert (counts.episodes, counts.hits, counts.true_alarms, counts.false_alarms) == (1, 1, 1, 0)
    assert counts.delays_s == [1.0]
    assert counts.before_cancel == 1


def test_two_alarms_on_one_episode_are_one_hit_and_none_is_false():
    counts = scored([an_episode()], [one_alarm(a_finding(at(12.5), began=at(11))), one_alarm(a_finding(at(11.5)))])
    assert (counts.hits, counts.true_alarms, counts.false_alarms) == (1, 2, 0)
    assert counts.delays_s == [1.5]


def test_what_is_said_too_quietly_is_not_said():
    quiet = one_alarm(a_finding(at(11), confidence=0.4), a_finding(at(12.5), began=at(10), confidence=0.6))
    counts = scored([an_episode()], [quiet])
    assert counts.hits == 1
    assert counts.before_cancel == 0
    assert counts.delays_s == [2.5]
    assert scored([an_episode()], [quiet], threshold=0.7).hits == 0


def test_an_alarm_on_nothing_is_false():
    counts = scored([an_episode()], [one_alarm(a_finding(at(30)))])
    assert (counts.hits, counts.false_alarms, counts.market_alarms) == (0, 1, 1)


def test_an_alarm_on_a_hard_negative_is_false_and_counted_there():
    iceberg, requote = an_episode(Family.ICEBERG), an_episode(Family.REQUOTE, began=20, ended=22)
    counts = scored([iceberg, requote], [one_alarm(a_finding(at(11))), one_alarm(a_finding(at(11.5)))])
    assert (counts.false_alarms, counts.hard_negatives, counts.alarmed_negatives) == (2, 2, 1)
    assert counts.market_alarms == 0
    assert counts.by_kind == {"iceberg": [1, 1], "requote": [0, 1]}


def test_spoofing_and_layering_are_kin_but_wash_trades_are_not():
    layering = an_episode(Family.LAYERING)
    kin = scored([layering], [one_alarm(a_finding(at(11)))])
    assert (kin.episodes, kin.set_aside, kin.false_alarms) == (0, 1, 0)
    wash = an_episode(Family.WASH_TRADING, side=None)
    other = scored([wash], [one_alarm(a_finding(at(11)))])
    assert (other.set_aside, other.false_alarms) == (0, 1)


def test_alarms_outside_the_stretch_do_not_count():
    outside = [one_alarm(a_finding(START - 1)), one_alarm(a_finding(STRETCH.stop))]
    counts = scored([an_episode()], outside)
    assert counts.false_alarms == 0
    assert alarm_times([*outside, one_alarm(a_finding(at(3)))], STRETCH, 0.5) == [at(3)]


def test_an_episode_long_before_the_last_is_still_met():
    """Candidates are looked up by their begin; a long one must not be lost."""
    long = an_episode(began=5, ended=40)
    short = an_episode(began=30, ended=31, low=200, high=200)
    assert scored([long, short], [one_alarm(a_finding(at(39)))]).hits == 1


def test_windows_are_positive_in_an_episode_and_of_neither_kind_in_its_grace():
    alarm = one_alarm(a_finding(at(11.5), began=at(10.5), confidence=0.7), a_finding(at(30), confidence=0.2))
    scene = Scene(STRETCH, (an_episode(began=10.2, ended=12.2),), (alarm,))
    blocks = windows(scene, Family.SPOOFING)
    labels = [label for block in blocks for label in block[0]]
    scores = [score for block in blocks for score in block[1]]
    # Seconds 10, 11, 12 are in it; 13 and 14 are its grace.
    assert len(labels) == 58
    assert [k for k, label in enumerate(labels) if label] == [10, 11, 12]
    assert scores[10:13] == [0.7, 0.7, 0.0]
    assert scores[28] == 0.2
    assert sum(score > 0 for score in scores) == 3
