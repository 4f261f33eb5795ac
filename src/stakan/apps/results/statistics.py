"""Performance statistics over trades and equity: each formula with its source, each refused where it would mean nothing."""

import math
import statistics
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from stakan.apps.results.model import Luck, Measure
from stakan.core.domain.units import DAY, HOUR

Floats = npt.NDArray[np.float64]

YEAR = 365 * DAY
"""These markets never close."""
Z95 = 1.959963984540054
"""97.5 % quantile of the normal distribution."""
MIN_SPAN = 7 * DAY
"""Below a week the standard error of an annualised Sharpe ratio is above 7: the number says nothing."""
DAILY_FROM = 60 * DAY
MIN_TRADES = 10
RESAMPLES = 5_000
SEED = 20_240_229
_BOOTSTRAP_UP_TO = 2_000
"""Trades; above, the normal approximation of the mean is as good and takes no memory."""
_NORMAL = statistics.NormalDist()


def wilson_interval(wins: int, trials: int) -> Measure:
    """Share of successes with its 95 % score interval (Wilson 1927, JASA 22, 209-212)."""
    if trials == 0:
        return Measure(value=None, note="no closed position")
    share, z2 = wins / trials, Z95 * Z95
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials)) / (1 + z2 / trials)
    return Measure(value=share, low=max(0.0, centre - half), high=min(1.0, centre + half), note="95 % Wilson interval")


def profit_factor(nets: list[Decimal]) -> Measure:
    """Sum of winning nets over the absolute sum of losing ones."""
    won = sum((n for n in nets if n > 0), Decimal(0))
    lost = -sum((n for n in nets if n < 0), Decimal(0))
    if not nets:
        return Measure(value=None, note="no closed position")
    if lost == 0:
        return Measure(value=None, note="no losing position")
    return Measure(value=float(won / lost))


def mean_or_none(values: list[Decimal]) -> float | None:
    """Arithmetic mean; None of nothing."""
    return float(sum(values, Decimal(0)) / len(values)) if values else None


def sampled_returns(ts: npt.NDArray[np.int64], equity: Floats, interval_ns: int) -> Floats:
    """Simple returns of the equity in force at the multiples of an interval, from the first multiple within the span.

    Args:
        ts: Times of the marks, ascending, shape (n,).
        equity: Equity at those times, shape (n,).
        interval_ns: Length of one return.
    """
    first = -(-int(ts[0]) // interval_ns) * interval_ns
    grid = np.arange(first, int(ts[-1]) + 1, interval_ns)
    if len(grid) < 2:
        return np.empty(0)
    at = equity[np.searchsorted(ts, grid, side="right") - 1]
    if np.any(at[:-1] <= 0):
        return np.empty(0)
    return np.asarray(np.diff(at) / at[:-1], dtype=np.float64)


def annualised(ts: npt.NDArray[np.int64], equity: Floats) -> tuple[Measure, Measure]:
    """Sharpe and Sortino ratios of sampled equity, risk-free rate 0, hourly below 60 days, else daily.

    Sharpe (1994, Journal of Portfolio Management 21): mean over standard deviation (n - 1), times sqrt(intervals a
    year); its interval from the standard error sqrt((1 + s²/2) / n) of Lo (2002, Financial Analysts Journal 58).
    Sortino and Price (1994): mean over the root of the mean squared negative return, target 0.
    """
    span = int(ts[-1] - ts[0]) if len(ts) else 0
    if span < MIN_SPAN:
        note = f"not stated: {span / HOUR:.1f} hours are too short to annualise (a week at least)"
        return Measure(value=None, note=note), Measure(value=None, note=note)
    interval = HOUR if span < DAILY_FROM else DAY
    returns = sampled_returns(ts, equity, interval)
    deviation = float(np.std(returns, ddof=1)) if len(returns) > 1 else 0.0
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2))) if len(returns) else 0.0
    mean, root = (float(np.mean(returns)) if len(returns) else 0.0), math.sqrt(YEAR / interval)
    note = f"{'hourly' if interval == HOUR else 'daily'} returns, x {root:.1f}, {len(returns)} of them"
    flat = Measure(value=None, note="not stated: equity does not vary")
    sharpe = _with_error(mean / deviation, len(returns), root, note) if deviation > 0 else flat
    sortino = Measure(value=mean / downside * root, note=note) if downside > 0 else flat
    return sharpe, sortino


def _with_error(ratio: float, count: int, root: float, note: str) -> Measure:
    error = math.sqrt((1 + ratio * ratio / 2) / count)
    low, high = ratio - Z95 * error, ratio + Z95 * error
    return Measure(value=ratio * root, low=low * root, high=high * root, note=note + "; 95 % interval after Lo")


def probabilistic_sharpe(values: Floats) -> float | None:
    """Probability that the true Sharpe ratio per observation is above 0 (Bailey and López de Prado 2012, eq. 9)."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    if deviation == 0.0:
        return None
    centred = values - np.mean(values)
    scale = float(np.mean(centred**2))
    skew = float(np.mean(centred**3)) / scale**1.5
    kurtosis = float(np.mean(centred**4)) / scale**2
    ratio = float(np.mean(values)) / deviation
    variance = 1 - skew * ratio + (kurtosis - 1) / 4 * ratio * ratio
    return _NORMAL.cdf(ratio * math.sqrt((len(values) - 1) / variance)) if variance > 0 else None


def luck(nets: list[Decimal]) -> Luck:
    """How likely the mean net trade is chance: seeded percentile bootstrap (Efron 1979), normal above 2,000 trades."""
    if len(nets) < MIN_TRADES:
        note = f"not stated: {len(nets)} closed positions are too few ({MIN_TRADES} at least)"
        return Luck(
            method="none",
            mean=mean_or_none(nets),
            low=None,
            high=None,
            probability_no_edge=None,
            probabilistic_sharpe=None,
            note=note,
        )
    values = np.array([float(n) for n in nets])
    low, high, no_edge, method = _bootstrap(values) if len(nets) <= _BOOTSTRAP_UP_TO else _normal(values)
    return Luck(
        method=method,
        mean=float(np.mean(values)),
        low=low,
        high=high,
        probability_no_edge=no_edge,
        probabilistic_sharpe=probabilistic_sharpe(values),
        note="trades taken as independent, one run: choosing the best of several runs makes luck likelier than this",
    )


def _bootstrap(values: Floats) -> tuple[float, float, float, str]:
    chance = np.random.default_rng(SEED)
    means = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, 100):
        means[start : start + 100] = np.mean(values[chance.integers(0, len(values), (100, len(values)))], axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high), float(np.mean(means <= 0)), f"bootstrap, {RESAMPLES:,} resamples, seed {SEED}"


def _normal(values: Floats) -> tuple[float, float, float, str]:
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    no_edge = _NORMAL.cdf(-mean / error) if error > 0 else float(mean <= 0)
    return mean - Z95 * error, mean + Z95 * error, no_edge, "normal approximation of the mean"


def covered(spans: list[tuple[int, int]]) -> int:
    """Length of the union of intervals (start, end)."""
    total, reach = 0, -(2**63)
    for start, end in sorted(spans):
        total += max(0, end - max(start, reach))
        reach = max(reach, end)
    return total
