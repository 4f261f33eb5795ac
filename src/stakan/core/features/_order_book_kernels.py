"""Kernels of what the book looks like now: micro-structure, imbalance, liquidity.

`sides` and `counts` are a book's (see `market._book_kernels`: rows of price in ticks and size in lots, best last). `out`
and `warm` are a whole vector's; each kernel writes its own features. Both sides must have a level.
"""

import numpy as np
import numpy.typing as npt

from stakan.core.features.catalogue import Feature
from stakan.core.kernel import kernel

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TRACKED_DEPTH = 50
DEEP = 10
"""Features that look deeper than five levels are warm with so many on each side that they read."""
_DECAY = np.exp(-np.arange(20) / 5.0)
_RATIO_LIMIT = 100.0

_SPREAD_ABS = int(Feature.BID_ASK_SPREAD_ABS)
_SPREAD_REL = int(Feature.BID_ASK_SPREAD_REL)
_MID = int(Feature.MID_PRICE)
_MICRO = int(Feature.MICRO_PRICE)
_VWAP_5 = int(Feature.VWAP_BID_5)
_VWAP_10 = int(Feature.VWAP_BID_10)
_DEPTH_5 = int(Feature.DEPTH_BID_5)
_DEPTH_10 = int(Feature.DEPTH_BID_10)
_TOTAL = int(Feature.TOTAL_BID_VOLUME)
_DEPTH_RATIO = int(Feature.BOOK_DEPTH_RATIO)
_IMBALANCE_5 = int(Feature.IMBALANCE_5)
_IMBALANCE_10 = int(Feature.IMBALANCE_10)
_IMBALANCE_TOTAL = int(Feature.IMBALANCE_TOTAL)
_PRESSURE = int(Feature.PRICE_PRESSURE)
_INTENSITY = int(Feature.BID_INTENSITY)
_LIQUIDITY = int(Feature.LIQUIDITY_BID_5)
_ASYMMETRY = int(Feature.LIQUIDITY_ASYMMETRY)
_EFFECTIVE_SPREAD = int(Feature.EFFECTIVE_SPREAD)
_DECAYED_IMBALANCE = int(Feature.DEPTH_IMBALANCE_RATIO)


@kernel
def depth(side: Ints, count: int, levels: int) -> int:
    """Lots in the first `levels` levels of one side."""
    total = 0
    for i in range(max(0, count - levels), count):
        total += side[i, 1]
    return total


@kernel
def value(side: Ints, count: int, levels: int) -> float:
    """Ticks x lots in the first `levels` levels of one side."""
    total = 0.0
    for i in range(max(0, count - levels), count):
        total += float(side[i, 0]) * float(side[i, 1])
    return total


@kernel
def mean_price(side: Ints, count: int, levels: int) -> float:
    """Volume-weighted price of the first `levels` levels in ticks: the best price and the mean distance from it."""
    best = side[count - 1, 0]
    lots = 0.0
    away = 0.0
    for i in range(max(0, count - levels), count):
        size = float(side[i, 1])
        lots += size
        away += float(side[i, 0] - best) * size
    return float(best + away / lots)


@kernel
def decayed(side: Ints, count: int) -> float:
    """Lots of the first 20 levels, weighted with e^(-(i-1)/5)."""
    total = 0.0
    for rank in range(min(count, 20)):
        total += _DECAY[rank] * side[count - 1 - rank, 1]
    return total


@kernel
def intensity(side: Ints, count: int, double_mid: int) -> float:
    """Levels within 0.5 % of mid, in the first 50, divided by their mean lots; 0 where there are none.

    `double_mid` is the sum of the best prices, so the comparison is exact: |p - mid| <= mid / 200.
    """
    levels = 0
    lots = 0.0
    for i in range(count - 1, max(0, count - TRACKED_DEPTH) - 1, -1):
        if abs(2 * side[i, 0] - double_mid) * 200 > double_mid:
            break
        levels += 1
        lots += side[i, 1]
    return levels * levels / lots if levels > 0 else 0.0


@kernel
def sweep(side: Ints, count: int, notional: float) -> tuple[float, float]:
    """Taking `notional` (ticks x lots) from one side: mean ticks away from its best price, and what was not filled."""
    best = side[count - 1, 0]
    left = notional
    lots = 0.0
    away = 0.0
    for i in range(count - 1, max(0, count - TRACKED_DEPTH) - 1, -1):
        taken = min(float(side[i, 1]), left / side[i, 0])
        lots += taken
        away += taken * abs(side[i, 0] - best)
        left -= taken * side[i, 0]
        if taken < side[i, 1]:
            left = 0.0
            break
    return (away / lots if lots > 0 else 0.0), left


@kernel
def balance(a: float, b: float) -> float:
    """(a - b) / (a + b), 0 where both are empty."""
    return (a - b) / (a + b) if a + b > 0 else 0.0


@kernel
def ratio(a: float, b: float, lot: float) -> float:
    """(a + lot) / (b + lot) clipped to [0.01, 100]: one lot each, so that one-sided flow does not read as balance."""
    return min(_RATIO_LIMIT, max(1.0 / _RATIO_LIMIT, (a + lot) / (b + lot)))


@kernel
def read_shape(sides: Ints, counts: Ints, tick: float, lot: float, out: Floats, warm: Bools) -> None:
    """Micro-structure, and imbalance and pressure as far as the book alone tells them."""
    bids, asks = counts[0], counts[1]
    pb, qb = float(sides[0, bids - 1, 0]), float(sides[0, bids - 1, 1])
    pa, qa = float(sides[1, asks - 1, 0]), float(sides[1, asks - 1, 1])
    mid = (pb + pa) / 2
    out[_SPREAD_ABS] = (pa - pb) * tick
    out[_SPREAD_REL] = (pa - pb) / mid
    out[_MID] = mid * tick
    out[_MICRO] = (pb + (pa - pb) * (qb / (qa + qb))) * tick
    warm[_SPREAD_ABS : _MICRO + 1] = True
    for which in range(2):
        count = counts[which]
        side = sides[which]
        out[_VWAP_5 + which] = mean_price(side, count, 5) * tick
        out[_VWAP_10 + which] = mean_price(side, count, 10) * tick
        out[_DEPTH_5 + which] = depth(side, count, 5) * lot
        out[_DEPTH_10 + which] = depth(side, count, 10) * lot
        out[_TOTAL + which] = depth(side, count, TRACKED_DEPTH) * lot
        out[_INTENSITY + which] = intensity(side, count, sides[0, bids - 1, 0] + sides[1, asks - 1, 0]) / lot
        warm[_VWAP_5 + which] = warm[_DEPTH_5 + which] = count >= 5
        warm[_VWAP_10 + which] = warm[_DEPTH_10 + which] = count >= DEEP
        warm[_TOTAL + which] = warm[_INTENSITY + which] = count >= DEEP
    b5, a5 = float(depth(sides[0], bids, 5)), float(depth(sides[1], asks, 5))
    b50, a50 = float(depth(sides[0], bids, TRACKED_DEPTH)), float(depth(sides[1], asks, TRACKED_DEPTH))
    out[_DEPTH_RATIO] = ratio(b50, a50, 1.0)
    out[_IMBALANCE_5] = balance(b5, a5)
    out[_IMBALANCE_10] = balance(float(depth(sides[0], bids, 10)), float(depth(sides[1], asks, 10)))
    out[_IMBALANCE_TOTAL] = balance(b50, a50)
    out[_PRESSURE] = (b5 * pa - a5 * pb) / (b5 + a5) / mid
    thinner = min(bids, asks)
    warm[_IMBALANCE_5] = warm[_PRESSURE] = thinner >= 5
    warm[_DEPTH_RATIO] = warm[_IMBALANCE_10] = warm[_IMBALANCE_TOTAL] = thinner >= DEEP


@kernel
def read_liquidity(
    sides: Ints, counts: Ints, tick: float, lot: float, reference: float, out: Floats, warm: Bools
) -> None:
    """Liquidity as far as the book alone tells it; `reference` is the notional of `effective_spread` in USDT.

    Where the first 50 levels hold less, its cost is that of what they hold, and it is not warm.
    """
    bids, asks = counts[0], counts[1]
    bid_price = sides[0, bids - 1, 0]
    ask_price = sides[1, asks - 1, 0]
    mid = (bid_price + ask_price) / 2
    money = tick * lot
    bid_value = value(sides[0], bids, 5)
    ask_value = value(sides[1], asks, 5)
    out[_LIQUIDITY] = bid_value * money
    out[_LIQUIDITY + 1] = ask_value * money
    out[_ASYMMETRY] = ratio(bid_value, ask_value, mid)
    down, unsold = sweep(sides[0], bids, reference / money)
    up, unbought = sweep(sides[1], asks, reference / money)
    out[_EFFECTIVE_SPREAD] = (ask_price - bid_price + up + down) / mid
    out[_DECAYED_IMBALANCE] = balance(decayed(sides[0], bids), decayed(sides[1], asks))
    thinner = min(bids, asks)
    warm[_LIQUIDITY] = bids >= 5
    warm[_LIQUIDITY + 1] = asks >= 5
    warm[_ASYMMETRY] = thinner >= 5
    warm[_EFFECTIVE_SPREAD] = unsold == 0.0 and unbought == 0.0
    warm[_DECAYED_IMBALANCE] = thinner >= DEEP
