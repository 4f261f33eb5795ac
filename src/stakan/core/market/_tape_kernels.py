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
def recent(
    times: Ints, sizes: Ints, signs: Signs, start: int, end: int, now: int, long_ns: int, short_ns: int
) -> tuple[int, int, int, int]:
    """Buy lots and sell lots of ordinary prints younger than `long_ns`, and how many are younger than `short_ns`.

    The same windows as `flow`, for rows [start, end) of whole columns. The fourth is the first moment after `now` at
    which one of the three can change without another print.
    """
    buy_lots = sell_lots = count = 0
    until = NEVER
    i = end - 1
    while i >= start and times[i] > now - long_ns:
        if times[i] > now:
            until = min(until, times[i])
        elif abs(signs[i]) != RPI:
            if signs[i] > 0:
                buy_lots += sizes[i]
            else:
                sell_lots += sizes[i]
            until = min(until, times[i] + long_ns)
            if times[i] > now - short_ns:
                count += 1
                until = min(until, times[i] + short_ns)
        i -= 1
    return buy_lots, sell_lots, count, until


@kernel
def size_percentile(sizes: Ints, signs: Signs, count: int, share: float) -> float:
    """The `share` quantile (0 to 1, linear between neighbours) of the newest `count` ordinary sizes; 0.0 for none."""
    picked = np.empty(min(count, sizes.shape[0]), np.int64)
    n = 0
    i = sizes.shape[0] - 1
    while i >= 0 and n < picked.shape[0]:
        if abs(signs[i]) != RPI:
            picked[n] = sizes[i]
            n += 1
        i -= 1
    if n == 0:
        return 0.0
    ordered = np.sort(picked[:n])
    rank = share * (n - 1)
    low = int(np.floor(rank))
    high = min(low + 1, n - 1)
    return float(ordered[low] + (ordered[high] - ordered[low]) * (rank - low))
