"""Averages that indicators are made of, started as TA-Lib starts them."""

from stakan.core.features._candle_table import CLOSE, HIGH, LOW, Floats
from stakan.core.kernel import kernel


@kernel
def simple_mean(values: Floats, period: int) -> float:
    """Mean of the last `period` values."""
    total = 0.0
    for i in range(len(values) - period, len(values)):
        total += values[i]
    return total / period


@kernel
def exponential_mean(values: Floats, period: int) -> float:
    """Exponential mean with weight 2 / (period + 1), started with the simple mean of the first `period` values."""
    mean = simple_mean(values[:period], period)
    for i in range(period, len(values)):
        mean += (values[i] - mean) * (2.0 / (period + 1))
    return mean


@kernel
def true_range(before: Floats, candle: Floats) -> float:
    """The range of a candle together with the close before it (Wilder)."""
    return float(max(candle[HIGH], before[CLOSE]) - min(candle[LOW], before[CLOSE]))


@kernel
def average_true_range(table: Floats, period: int) -> float:
    """Wilder's mean (weight 1 / period) of true ranges, started with the simple mean of the first `period` of them.

    Wilder, "New Concepts in Technical Trading Systems" (1978). Needs `period` + 1 candles.
    """
    mean = 0.0
    for i in range(1, period + 1):
        mean += true_range(table[i - 1], table[i]) / period
    for i in range(period + 1, len(table)):
        mean += (true_range(table[i - 1], table[i]) - mean) / period
    return mean
