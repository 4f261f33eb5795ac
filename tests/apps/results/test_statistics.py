"""Statistics against hand-computed numbers and laws."""

import math
import statistics as oracle
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stakan.apps.results import statistics
from stakan.core.domain.units import DAY, HOUR

amounts = st.lists(st.decimals(min_value=-1000, max_value=1000, places=4), min_size=1, max_size=60)


def test_wilson_interval_is_the_one_of_the_textbook() -> None:
    share = statistics.wilson_interval(8, 10)
    assert share.value == 0.8
    assert share.low == pytest.approx(0.49016, abs=1e-5)
    assert share.high == pytest.approx(0.94331, abs=1e-5)


@given(wins=st.integers(0, 500), more=st.integers(0, 500))
def test_wilson_interval_holds_the_share_and_mirrors(wins: int, more: int) -> None:
    trials = wins + more
    if trials == 0:
        assert statistics.wilson_interval(0, 0).value is None
        return
    won, lost = statistics.wilson_interval(wins, trials), statistics.wilson_interval(more, trials)
    assert won.low is not None
    assert won.high is not None
    assert lost.low is not None
    assert 0 <= won.low <= wins / trials + 1e-12
    assert wins / trials - 1e-12 <= won.high <= 1
    assert won.high == pytest.approx(1 - lost.low)


def test_profit_factor_is_won_over_lost() -> None:
    nets = [Decimal(30), Decimal(-10), Decimal(-5), Decimal(0)]
    assert statistics.profit_factor(nets).value == 2.0


@pytest.mark.parametrize(("nets", "why"), [([], "no closed position"), ([Decimal(1)], "no losing position")])
def test_profit_factor_is_refused_where_it_has_no_meaning(nets: list[Decimal], why: str) -> None:
    measure = statistics.profit_factor(nets)
    assert measure.value is None
    assert measure.note == why


@given(amounts)
def test_mirrored_trades_turn_the_profit_factor_over(nets: list[Decimal]) -> None:
    factor = statistics.profit_factor(nets).value
    mirrored = statistics.profit_factor([-n for n in nets]).value
    if factor and mirrored:
        assert factor * mirrored == pytest.approx(1)


def test_returns_take_the_equity_in_force_at_each_hour() -> None:
    ts = np.array([0, HOUR // 2, HOUR + 1, 2 * HOUR, 3 * HOUR])
    returns = statistics.sampled_returns(ts, np.array([100.0, 110.0, 99.0, 121.0, 121.0]), HOUR)
    assert returns.tolist() == pytest.approx([0.1, 0.1, 0.0])


def test_sharpe_and_sortino_match_an_independent_computation() -> None:
    chance = np.random.default_rng(1)
    returns = chance.normal(0.001, 0.01, 24 * 20)
    ts = np.arange(len(returns) + 1) * HOUR
    equity = 1000 * np.concatenate([[1.0], np.cumprod(1 + returns)])
    sharpe, sortino = statistics.annualised(ts, equity)
    plain = returns.tolist()
    assert sharpe.value == pytest.approx(oracle.mean(plain) / oracle.stdev(plain) * math.sqrt(365 * 24))
    downside = math.sqrt(sum(min(r, 0) ** 2 for r in plain) / len(plain))
    assert sortino.value == pytest.approx(oracle.mean(plain) / downside * math.sqrt(365 * 24))
    assert sharpe.low is not None
    assert sharpe.high is not None
    # Lo's standard error of the annualised ratio is close to one over the root of the years.
    assert (sharpe.high - sharpe.low) / (2 * 1.96) == pytest.approx(1 / math.sqrt(20 / 365), rel=0.02)


def test_long_runs_use_daily_returns() -> None:
    ts = np.arange(100) * DAY
    sharpe, _ = statistics.annualised(ts, 1000 + np.cumsum(np.random.default_rng(2).normal(0, 5, 100)))
    assert sharpe.note.startswith("daily returns")


def test_sharpe_is_refused_below_a_week() -> None:
    ts = np.arange(24 * 6) * HOUR
    sharpe, sortino = statistics.annualised(ts, 1000.0 + np.arange(24 * 6))
    assert sharpe.value is None
    assert sortino.value is None
    assert "too short" in sharpe.note


def test_sharpe_is_refused_where_equity_does_not_vary() -> None:
    sharpe, sortino = statistics.annualised(np.arange(24 * 10) * HOUR, np.full(24 * 10, 1000.0))
    assert sharpe.value is None
    assert sortino.value is None


def test_probabilistic_sharpe_of_a_normal_sample_is_near_its_t_value() -> None:
    values = np.random.default_rng(3).normal(0.1, 1, 4000)
    t_value = float(np.mean(values) / (np.std(values, ddof=1) / math.sqrt(len(values))))
    expected = oracle.NormalDist().cdf(t_value)
    assert statistics.probabilistic_sharpe(values) == pytest.approx(expected, abs=0.002)


def test_luck_is_refused_for_a_handful_of_trades() -> None:
    luck = statistics.luck([Decimal(1)] * 9)
    assert luck.probability_no_edge is None
    assert "too few" in luck.note


def test_bootstrap_agrees_with_the_normal_theory_and_repeats() -> None:
    nets = [Decimal(f"{x:.4f}") for x in np.random.default_rng(4).normal(0.2, 1, 400)]
    luck = statistics.luck(nets)
    plain = [float(n) for n in nets]
    mean, error = oracle.mean(plain), oracle.stdev(plain) / 20
    assert luck.low == pytest.approx(mean - 1.96 * error, abs=0.01)
    assert luck.high == pytest.approx(mean + 1.96 * error, abs=0.01)
    assert luck.probability_no_edge == pytest.approx(oracle.NormalDist().cdf(-mean / error), abs=0.01)
    assert statistics.luck(nets) == luck


def test_many_trades_use_the_normal_approximation() -> None:
    nets = [Decimal(f"{x:.4f}") for x in np.random.default_rng(5).normal(0, 1, 2001)]
    assert statistics.luck(nets).method.startswith("normal")


@settings(max_examples=20)
@given(st.lists(st.decimals(min_value=-100, max_value=100, places=2), min_size=10, max_size=30))
def test_mirrored_trades_flip_the_sign_of_the_mean(nets: list[Decimal]) -> None:
    assert statistics.luck(nets).mean == pytest.approx(-(statistics.luck([-n for n in nets]).mean or 0.0))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=12))
def test_covered_time_is_the_number_of_seconds_inside_any_span(spans: list[tuple[int, int]]) -> None:
    pairs = [(start, start + length) for start, length in spans]
    assert statistics.covered(pairs) == len({s for a, b in pairs for s in range(a, b)})
