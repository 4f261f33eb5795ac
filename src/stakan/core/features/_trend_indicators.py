"""Indicators of trend: moving averages, MACD, Wilder's directional movement."""

from stakan.core.features._candle_table import CLOSE, HIGH, LOW, Floats, quotient
from stakan.core.features._smoothing_kernels import exponential_mean, simple_mean, true_range
from stakan.core.kernel import kernel

NEUTRAL = {
    "sma_10": 0.0,
    "sma_20": 0.0,
    "sma_50": 0.0,
    "ema_10": 0.0,
    "ema_20": 0.0,
    "ema_50": 0.0,
    "macd": 0.0,
    "macd_signal": 0.0,
    "macd_histogram": 0.0,
    "adx": 0.0,
    "plus_di": 0.0,
    "minus_di": 0.0,
}
"""Names in their order, and the value of each where it is not warm."""

FAST = 12
SLOW = 26
SIGNAL = 9
DIRECTION = 14


@kernel
def convergence(close: Floats, out: Floats) -> None:
    """MACD 12/26/9 (Appel), shape (3,): fast minus slow exponential mean, its own exponential mean, their difference.

    As in TA-Lib both means begin with the same close: the fast one's first value is the simple mean of the 12 closes
    that end the slow one's first 26. The signal begins with the simple mean of the first 9 differences. Needs 34.
    """
    slow = simple_mean(close[:SLOW], SLOW)
    fast = simple_mean(close[SLOW - FAST : SLOW], FAST)
    signal = (fast - slow) / SIGNAL
    for i in range(SLOW, len(close)):
        slow += (close[i] - slow) * (2.0 / (SLOW + 1))
        fast += (close[i] - fast) * (2.0 / (FAST + 1))
        if i < SLOW + SIGNAL - 1:
            signal += (fast - slow) / SIGNAL
        else:
            signal += (fast - slow - signal) * (2.0 / (SIGNAL + 1))
    out[0] = fast - slow
    out[1] = signal
    out[2] = out[0] - signal


@kernel
def direction(table: Floats, out: Floats) -> None:
    """ADX, +DI and -DI 14, shape (3,), in percent. Wilder, "New Concepts in Technical Trading Systems" (1978).

    As in TA-Lib the sums of movements and true ranges begin with 13 candles and decay by a 14th from the next on; ADX
    begins with the mean of the first 14 DX, and stays as it is while nothing moves. A candle that rose as far as it
    fell is neither, which TA-Lib tells without tolerance: prices in whole ticks make it so. Needs 28 candles.
    """
    up = down = span = strength = 0.0
    for i in range(1, len(table)):
        rise = table[i, HIGH] - table[i - 1, HIGH]
        fall = table[i - 1, LOW] - table[i, LOW]
        if i >= DIRECTION:
            up -= up / DIRECTION
            down -= down / DIRECTION
            span -= span / DIRECTION
        span += true_range(table[i - 1], table[i])
        if rise > 0 and rise > fall:
            up += rise
        elif fall > 0 and fall > rise:
            down += fall
        if i < DIRECTION or up + down <= 0:
            continue
        imbalance = 100.0 * abs(up - down) / (up + down)
        if i < 2 * DIRECTION:
            strength += imbalance / DIRECTION
        else:
            strength += (imbalance - strength) / DIRECTION
    out[0] = strength
    out[1] = quotient(100.0 * up, span, 0.0)
    out[2] = quotient(100.0 * down, span, 0.0)


@kernel
def read(table: Floats, out: Floats) -> None:
    """The trend indicators into `out`, shape (12,), in the order of `NEUTRAL`; `table` has at least 50 candles."""
    close = table[:, CLOSE]
    out[0] = simple_mean(close, 10)
    out[1] = simple_mean(close, 20)
    out[2] = simple_mean(close, 50)
    out[3] = exponential_mean(close, 10)
    out[4] = exponential_mean(close, 20)
    out[5] = exponential_mean(close, 50)
    convergence(close, out[6:9])
    direction(table, out[9:12])
