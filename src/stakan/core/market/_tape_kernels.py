"""Numeric kernels of the trades tape: sums and order statistics over its time-ordered columns."""

import numpy as np
import numpy.typing as npt

from stakan.core.kernel import kernel

Ints = npt.NDArray[np.int64]
Signs = npt.NDArray[np.int8]

NEVER = 2**62
RPI = 2
"""Magnitude of the sign of a print against Retail Price Improvement liquidity; ordinary prints have 1."""


@kernel
def flow(
    times: Ints, prices: Ints, sizes: Ints, signs: Signs, first: int, last: int, at_least: float
) -> tuple[int, int, float, float, int, int, int, int]:
    """Sums over rows with `first < time <= last`, read from the newest backwards.

    Returns buy lots, sell lots, buy notional, sell notional (ticks x lots), buy count, sell count, RPI lots and RPI
    count; prints of fewer than `at_least` lots are left out.
    """
    buy_lots = sell_lots = buys = sells = rpi_lots = rpis = 0
    buy_notional = sell_notional = 0.0
    i = times.shape[0] - 1
    while i >= 0 and times[i] > first:
        if times[i] <= last and sizes[i] >= at_least:
            notional = float(prices[i]) * float(sizes[i])
            if signs[i] == 1:
                buy_lots += sizes[i]
                buy_notional += notional
                buys += 1
            elif signs[i] == -1:
                sell_lots += sizes[i]
                sell_notional += notional
                sells += 1
            else:
                rpi_lots += sizes[i]
                rpis += 1
        i -= 1
    return buy_lots, sell_lots, buy_notional, sell_notional, buys, sells, rpi_lots, rpis


@kernel
def at_most(sizes: Ints, signs: Signs, first: int, limit: int) -> int:
    """Ordinary prints from row `first` on of at most `limit` lots."""
    found = 0
    for i in range(first, sizes.shape[0]):
        found += (sizes[i] <= limit) and (abs(signs[i]) != RPI)
    return found


@kernel
def least_above(sizes: Ints, signs: Signs, first: int, limit: int) -> int:
    """The smallest ordinary size above `limit` from row `first` on; `limit` where there is none."""
    least = NEVER
    for i in range(first, sizes.shape[0]):
        if sizes[i] > limit and abs(signs[i]) != RPI:
            least = min(least, sizes[i])
    return least if least != NEVER else limit


@kernel
def size_percentile(sizes: Ints, signs: Signs, count: int, share: float) -> float:
    """The `share` quantile (0 to 1, linear between neighbours) of the newest `count` ordinary sizes; 0.0 for none.

    Found by halving the range of sizes: a few passes over the prints, and no sorted copy.
    """
    n = 0
    first = sizes.shape[0]
    low = NEVER
    high = 0
    while first > 0 and n < count:
        first -= 1
        if abs(signs[first]) != RPI:
            n += 1
            low = min(low, int(sizes[first]))
            high = max(high, int(sizes[first]))
    if n == 0:
        return 0.0
    rank = share * (n - 1)
    whole = int(np.floor(rank))
    while low < high:
        middle = (low + high) >> 1
        if at_most(sizes, signs, first, middle) > whole:
            high = middle
        else:
            low = middle + 1
    above = low
    if at_most(sizes, signs, first, low) == whole + 1:
        above = least_above(sizes, signs, first, low)
    return float(low + (above - low) * (rank - whole))
