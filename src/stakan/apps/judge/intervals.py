"""Exact intervals of shares and of rates, and average precision; each by its definition."""

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

LEVEL = 0.95
"""Of all intervals."""
_HALVINGS = 60


class Share(msgspec.Struct, frozen=True):
    """So many of so many, with its Clopper-Pearson interval; NaN where there were none."""

    value: float
    low: float
    high: float
    hits: int
    of: int


class Rate(msgspec.Struct, frozen=True):
    """Events per hour, with their exact Poisson interval."""

    value: float
    low: float
    high: float
    count: int
    hours: float


class Estimate(msgspec.Struct, frozen=True):
    """A number with a bootstrap interval; NaN where it cannot be said."""

    value: float
    low: float
    high: float


def share(hits: int, of: int) -> Share:
    """A binomial share with the interval of Clopper and Pearson (1934): the shares for which neither tail is rare."""
    if not of:
        return Share(math.nan, 0.0, 1.0, 0, 0)
    tail = (1 - LEVEL) / 2
    low = 0.0 if hits == 0 else _root(lambda p: 1 - _binomial_cdf(hits - 1, of, p) - tail, 0.0, 1.0)
    high = 1.0 if hits == of else _root(lambda p: tail - _binomial_cdf(hits, of, p), 0.0, 1.0)
    return Share(hits / of, low, high, hits, of)


def rate(count: int, hours: float) -> Rate:
    """A Poisson rate with the interval of Garwood (1936): the means for which neither tail is rare."""
    if hours <= 0:
        return Rate(math.nan, 0.0, math.inf, count, 0.0)
    tail, most = (1 - LEVEL) / 2, 10.0 + 2 * count + 10 * math.sqrt(count)
    low = 0.0 if count == 0 else _root(lambda mean: 1 - _poisson_cdf(count - 1, mean) - tail, 0.0, most)
    high = _root(lambda mean: tail - _poisson_cdf(count, mean), 0.0, most)
    return Rate(count / hours, low / hours, high / hours, count, hours)


def average_precision(labels: Sequence[bool], scores: Sequence[float]) -> float:
    """Area under the precision-recall steps, sum of (R_n - R_n-1) P_n over falling scores; equal scores are one step.

    NaN where nothing is positive.
    """
    truth, order = np.asarray(labels, bool), np.argsort(-np.asarray(scores, float), kind="stable")
    if not truth.any():
        return math.nan
    ranked = np.asarray(scores, float)[order]
    hits = np.cumsum(truth[order])
    last_of_step = np.append(ranked[1:] != ranked[:-1], True)
    hits, seen = hits[last_of_step], np.flatnonzero(last_of_step) + 1
    recall = hits / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * hits / seen))


def bootstrapped(blocks: Sequence[tuple[Sequence[bool], Sequence[float]]], seed: int, times: int = 200) -> Estimate:
    """Average precision of all blocks, with the percentiles of what it is when blocks are drawn with replacement."""
    rng = np.random.default_rng(seed)
    whole = _of_blocks(blocks, range(len(blocks)))
    if math.isnan(whole):
        return Estimate(math.nan, math.nan, math.nan)
    drawn = [_of_blocks(blocks, rng.integers(0, len(blocks), len(blocks)).tolist()) for _ in range(times)]
    low, high = np.nanpercentile(drawn, [50 * (1 - LEVEL), 100 - 50 * (1 - LEVEL)])
    return Estimate(whole, float(low), float(high))


def _of_blocks(blocks: Sequence[tuple[Sequence[bool], Sequence[float]]], which: Sequence[int]) -> float:
    labels = [label for k in which for label in blocks[k][0]]
    scores = [score for k in which for score in blocks[k][1]]
    return average_precision(labels, scores) if labels else math.nan


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function passes zero, by halving."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _binomial_cdf(hits: int, of: int, p: float) -> float:
    if p <= 0 or p >= 1:
        return 1.0 if p <= 0 or hits >= of else 0.0
    k = np.arange(hits + 1)
    logs = _log_factorial(of)
    ways = logs[of] - logs[k] - logs[of - k]
    return float(np.exp(ways + k * math.log(p) + (of - k) * math.log1p(-p)).sum())


def _poisson_cdf(count: int, mean: float) -> float:
    if mean <= 0:
        return 1.0
    k = np.arange(count + 1)
    return float(np.exp(k * math.log(mean) - mean - _log_factorial(count)).sum())


def _log_factorial(most: int) -> npt.NDArray[np.float64]:
    """Logarithms of 0! to `most`!."""
    return np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, most + 1)))))
