"""Indicators of volatility: Bollinger's bands, average true range, Keltner's channel."""

import numpy as np

from stakan.core.features._candle_table import CLOSE, Floats, quotient
from stakan.core.features._smoothing_kernels import average_true_range, exponential_mean
from stakan.core.kernel import kernel

NEUTRAL = {
    "bollinger_upper": 0.0,
    "bollinger_middle": 0.0,
    "bollinger_lower": 0.0,
    "bollinger_width": 0.0,
    "bollinger_pct": 0.5,
    "atr_14": 0.0,
    "keltner_upper": 0.0,
    "keltner_lower": 0.0,
}
"""Names in their order, and the value of each where it is not warm."""

BANDS = 20
BAND_WIDTH = 2.0
CHANNEL = 20
CHANNEL_RANGE = 10
CHANNEL_WIDTH = 2.0


@kernel
def bands(close: Floats, out: Floats) -> None:
    """Bollinger's bands of a window, shape (5,): upper, middle, lower, width, and where the last close is in them.

    Bollinger, "Bollinger on Bollinger Bands" (2001): the simple mean -+ 2 population standard deviations; width is the
    distance of the bands by their middle, the place (close - lower) / (upper - lower), 0.5 where they coincide. Two
    passes over distances from the last close: sums of squares lose a deviation that is small beside the price.
    """
    count = len(close)
    last = close[-1]
    above = 0.0
    for i in range(count):
        above += (close[i] - last) / count
    square = 0.0
    for i in range(count):
        square += (close[i] - last - above) ** 2 / count
    reach = BAND_WIDTH * np.sqrt(square)
    middle = last + above
    out[0] = middle + reach
    out[1] = middle
    out[2] = middle - reach
    out[3] = quotient(2.0 * reach, middle, 0.0)
    out[4] = quotient(reach - above, 2.0 * reach, 0.5)


@kernel
def read(table: Floats, out: Floats) -> None:
    """The volatility indicators into `out`, shape (8,), in the order of `NEUTRAL`; `table` has at least 20 candles.

    Keltner's channel in Raschke's form: the exponential mean of 20 closes -+ 2 average true ranges of 10.
    """
    close = table[:, CLOSE]
    bands(close[-BANDS:], out[0:5])
    out[5] = average_true_range(table, 14)
    middle = exponential_mean(close, CHANNEL)
    reach = CHANNEL_WIDTH * average_true_range(table, CHANNEL_RANGE)
    out[6] = middle + reach
    out[7] = middle - reach
