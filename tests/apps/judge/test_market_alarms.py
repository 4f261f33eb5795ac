"""The tail of what recordings alarm by themselves."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.apps.judge.market_alarms import FLOOR, Tail

CONFIDENCES = st.lists(st.floats(0.0, 1.0), max_size=30)


def confidence(excess):
    odds = math.log(FLOOR / (1 - FLOOR)) + excess
    return 1 / (1 + math.exp(-odds))


@given(CONFIDENCES, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_higher_threshold_never_lets_more_pass_and_none_lets_more_pass_than_there_were(seen, one, other):
    tail = Tail.fit(seen)
    low, high = sorted((one, other))
    assert 0.0 <= tail.above(high) <= tail.above(low) <= len(seen)


@given(CONFIDENCES)
def test_at_the_floor_it_is_the_number_that_was_seen(seen):
    assert Tail.fit(seen).above(FLOOR) == sum(one >= FLOOR for one in seen)


def test_the_tail_of_exponential_excesses_is_theirs():
    excesses = np.random.default_rng(7).exponential(0.8, 4_000)
    tail = Tail.fit([confidence(excess) for excess in excesses])
    for threshold in (0.5, 1.0, 3.0):
        assert tail.above(confidence(threshold)) == pytest.approx(4_000 * math.exp(-threshold / 0.8), rel=0.1)


def test_a_tail_of_few_alarms_falls_more_slowly_and_as_the_mean_over_the_rates_that_explain_them():
    excesses = [0.4, 1.2, 0.9]
    few, many = (Tail.fit([confidence(excess) for excess in excesses] * times) for times in (1, 100))
    assert few.above(confidence(5.0)) / 3 > 5 * many.above(confidence(5.0)) / 300
    # Rates of an exponential distribution, given three excesses and no knowledge before: gamma-distributed.
    rates = np.random.default_rng(7).gamma(3, 1 / sum(excesses), 200_000)
    assert few.above(confidence(5.0)) / 3 == pytest.approx(np.exp(-5.0 * rates).mean(), rel=0.05)


def test_one_alarm_that_was_seen_says_that_a_surer_one_is_possible():
    assert 0.1 < Tail.fit([0.35]).above(0.5) < 1.0
    assert Tail.fit([]).above(0.5) == 0.0
