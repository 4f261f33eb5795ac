"""Kernel of the candle features: the last closed candle, and the volatility of the last twenty returns."""

import numpy as np
import numpy.typing as npt

from stakan.core.kernel import kernel

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

VOLATILITY_WINDOW = 20


@kernel
def read(candles: Floats, out: Floats, warm: Bools) -> None:
    """Candle features into `out`, shape (8,), their warmth into `warm`.

    `candles` has shape (n, 4): open, high, low, close in any one unit, oldest first, n >= 1, prices positive. Shadows
    and body are shares of the range, 0 for a candle without range. Realised volatility is the standard deviation
    (n - 1) of the last 20 log returns, by two passes, not annualised.
    """
    n = len(candles)
    o, h, low, c = candles[n - 1, 0], candles[n - 1, 1], candles[n - 1, 2], candles[n - 1, 3]
    before = candles[n - 2, 3] if n > 1 else o
    span = h - low
    out[0] = c / before - 1.0
    out[1] = np.log(c / before)
    out[2] = span / c
    out[3] = (c - o) / o
    out[4] = (h - max(o, c)) / span if span > 0 else 0.0
    out[5] = (min(o, c) - low) / span if span > 0 else 0.0
    out[6] = abs(c - o) / span if span > 0 else 0.0
    count = min(VOLATILITY_WINDOW, n - 1)
    out[7] = 0.0
    if count > 1:
        mean = np.log(c / candles[n - 1 - count, 3]) / count
        total = 0.0
        for i in range(n - count, n):
            total += (np.log(candles[i, 3] / candles[i - 1, 3]) - mean) ** 2
        out[7] = np.sqrt(total / (count - 1))
    warm[2:7] = True
    warm[0] = warm[1] = n > 1
    warm[7] = count == VOLATILITY_WINDOW
