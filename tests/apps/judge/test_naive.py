"""The naive rule against cases made by hand."""

import pytest
from tests.apps.judge.builders import RULES, START, a_delta, a_snapshot

from stakan.apps.judge.naive import NaiveRule
from stakan.apps.judge.watching import watch
from stakan.core.domain.findings import Pattern
from stakan.core.domain.units import MILLISECOND, SECOND, Side

BIDS, ASKS = [(99, 5)], [(101, 5)]


def after(milliseconds):
    return START + 5 * SECOND + milliseconds * MILLISECOND


def watched(*changes, usual=10):
    """Bids of a usual size for a while, then changes (milliseconds, bids); the findings."""
    events = [a_snapshot(BIDS, ASKS)]
    # Ten updates of the usual size from 1 to 10 lots: the 90th percentile lies just above 9.
    for number in range(1, 11):
        ts = START + number * 400 * MILLISECOND
        events.append(a_delta([(90, max(1, number * usual // 10))], ts=ts, sequence=len(events) + 1))
    events += [a_delta(bids, ts=after(ms), sequence=len(events) + 1 + k) for k, (ms, bids) in enumerate(changes)]
    alarms = watch(RULES, events, {"naive": NaiveRule()}).alarms["naive"]
    return [alarm.findings[0] for alarm in alarms]


def test_a_large_level_that_lived_shortly_is_found_with_the_confidence_of_the_rule():
    (found,) = watched((0, [(98, 40)]), (50, [(98, 0)]))
    assert found.pattern is Pattern.SPOOFING
    assert (found.side, found.low, found.high, found.size) == (Side.BUY, 98, 98, 40)
    assert (found.began, found.ts_event) == (after(0), after(50))
    p90 = found.evidence["p90_lots"]
    assert found.confidence == pytest.approx(0.7 * 150 / 200 + 0.3 * min(1, 40 / (2 * p90)))


def test_a_smaller_one_of_the_percentile_weighs_its_size():
    (found,) = watched((0, [(98, 12)]), (100, [(98, 0)]))
    assert found.confidence == pytest.approx(0.7 * 0.5 + 0.3 * 12 / (2 * found.evidence["p90_lots"]))
    assert 12 / (2 * found.evidence["p90_lots"]) < 1


@pytest.mark.parametrize(
    "changes",
    [
        [(0, [(98, 40)]), (200, [(98, 0)])],
        [(0, [(98, 3)]), (50, [(98, 0)])],
        [(0, [(98, 40)]), (50, [(98, 2)])],
        # What stood before never appeared.
        [(0, [(99, 40)]), (50, [(99, 0), (98, 1)])],
    ],
    ids=["too long", "too small", "still there", "was there before"],
)
def test_nothing_else_is_found(changes):
    assert watched(*changes) == []


def test_the_peak_of_its_life_counts():
    (found,) = watched((0, [(98, 2)]), (50, [(98, 40)]), (100, [(98, 1)]), (150, [(98, 0)]))
    assert found.size == 40
