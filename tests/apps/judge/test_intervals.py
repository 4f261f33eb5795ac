"""Intervals against published values, average precision against its definition."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.apps.judge.intervals import average_precision, bootstrapped, rate, share


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        # Clopper-Pearson as R's binom.test gives them.
        (0, 10, 0.0, 0.3084971),
        (10, 10, 0.6915029, 1.0),
        (7, 10, 0.3475471, 0.9332605),
        (5, 100, 0.0164319, 0.1128349),
        (1, 1, 0.025, 1.0),
    ],
)
def test_shares_have_the_interval_of_clopper_and_pearson(hits, of, low, high):
    found = share(hits, of)
    assert found.value == hits / of
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # Garwood's table for a mean, 95 %.
    [(0, 0.0, 3.688879), (1, 0.025318, 5.571643), (10, 4.795389, 18.390356), (100, 81.363971, 121.627384)],
)
def test_rates_have_garwoods_exact_poisson_interval(count, low, high):
    found = rate(count, 2.0)
    assert found.value == count / 2
    assert (found.low, found.high) == pytest.approx((low / 2, high / 2), rel=1e-5)


def test_of_nothing_nothing_is_known():
    assert math.isnan(share(0, 0).value)
    assert (share(0, 0).low, share(0, 0).high) == (0.0, 1.0)
    assert rate(0, 0.0).high == math.inf
    assert math.isnan(average_precision([False, False], [1.0, 0.5]))
    assert math.isnan(bootstrapped([], 1).value)


def by_definition(labels, scores):
    """Threshold by threshold: what recall it adds, times its precision."""
    total, area, recall = sum(labels), 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = [label for label, score in zip(labels, scores, strict=True) if score >= threshold]
        now = sum(chosen) / total
        area += (now - recall) * sum(chosen) / len(chosen)
        recall = now
    return area


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.2, 0.5, 0.9])), min_size=1, max_size=40))
def test_average_precision_is_its_definition(samples):
    labels, scores = zip(*samples, strict=True)
    if any(labels):
        assert average_precision(labels, scores) == pytest.approx(by_definition(labels, scores))


def test_average_precision_of_a_known_ranking():
    # Positives at ranks 1, 3 and 4: (1/1 + 2/3 + 3/4) / 3.
    assert average_precision([True, False, True, True], [0.9, 0.8, 0.7, 0.6]) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_a_bootstrap_brackets_the_whole():
    blocks = [([True, False, False], [0.9, 0.1, 0.95]), ([False, True, False], [0.2, 0.8, 0.3])] * 10
    found = bootstrapped(blocks, 1)
    assert found.low <= found.value <= found.high
    assert found == bootstrapped(blocks, 1)
