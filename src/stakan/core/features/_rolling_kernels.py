"""Kernels of the set `rolling`: ten key features on a grid of exchange time, and their moments over windows of it.

`samples` has shape (SLOTS, KEYS): row `slot % SLOTS` is of the moment `slot * GRID_NS`, NaN where a feature was not known
then. A book's features of a moment are those after the last message until then, so they are held until the next one.
"""

from math import nan, sqrt

import numpy as np

from stakan.core.features._order_book_kernels import (
    DEEP,
    TRACKED_DEPTH,
    Bools,
    Floats,
    Ints,
    balance,
    decayed,
    depth,
    ratio,
)
from stakan.core.features._trade_kernels import first_after, last_until, sums
from stakan.core.features._window_kernels import LONG_NS, SECOND_NS, SHORT_NS
from stakan.core.kernel import kernel
from stakan.core.market._tape_kernels import RPI, Signs

GRID_NS = 500_000_000
SLOTS = LONG_NS // GRID_NS
WINDOWS_S = (10, 30, 60)
MOMENTS = 3
_SLOTS_OF = tuple(seconds * SECOND_NS // GRID_NS for seconds in WINDOWS_S)
_SHORT_S = SHORT_NS / SECOND_NS

# Columns of `samples`.
SPREAD = 0
MICRO = 1
DEPTH_RATIO = 2
IMBALANCE_5 = 3
IMBALANCE_10 = 4
IMBALANCE_TOTAL = 5
PRESSURE = 6
DECAYED = 7
BOOK_KEYS = 8
BUY_SELL = 8
ARRIVALS = 9
KEYS = 10


@kernel
def read_book(sides: Ints, counts: Ints, held: Floats) -> None:
    """Key features of a book with both sides into `held`, shape (BOOK_KEYS,); NaN where it is too thin for one."""
    bids, asks = counts[0], counts[1]
    pb, qb = float(sides[0, bids - 1, 0]), float(sides[0, bids - 1, 1])
    pa, qa = float(sides[1, asks - 1, 0]), float(sides[1, asks - 1, 1])
    mid = (pb + pa) / 2.0
    held[:] = nan
    held[SPREAD] = (pa - pb) / mid
    held[MICRO] = (pa - pb) * (qb / (qb + qa) - 0.5) / mid
    thinner = min(bids, asks)
    if thinner >= 5:
        b5, a5 = float(depth(sides[0], bids, 5)), float(depth(sides[1], asks, 5))
        held[IMBALANCE_5] = balance(b5, a5)
        held[PRESSURE] = (b5 * pa - a5 * pb) / (b5 + a5) / mid
    if thinner >= DEEP:
        b50, a50 = float(depth(sides[0], bids, TRACKED_DEPTH)), float(depth(sides[1], asks, TRACKED_DEPTH))
        held[DEPTH_RATIO] = ratio(b50, a50, 1.0)
        held[IMBALANCE_10] = balance(float(depth(sides[0], bids, 10)), float(depth(sides[1], asks, 10)))
        held[IMBALANCE_TOTAL] = balance(b50, a50)
        held[DECAYED] = balance(decayed(sides[0], bids), decayed(sides[1], asks))


@kernel
def fill(  # noqa: PLR0913, PLR0917 - columns of a tape
    first: int,
    last: int,
    samples: Floats,
    held: Floats,
    times: Ints,
    prices: Ints,
    sizes: Ints,
    signs: Signs,
    start: int,
    end: int,
    since: int,
) -> None:
    """Write the slots `first` to `last` of a book that stood still and a tape complete from `since` on."""
    for slot in range(max(first, last - SLOTS + 1), last + 1):
        row = samples[slot % SLOTS]
        moment = slot * GRID_NS
        row[:BOOK_KEYS] = held
        row[BUY_SELL] = row[ARRIVALS] = nan
        until = last_until(times, start, end, moment)
        if 0 <= since <= moment - SHORT_NS:
            recent = 0
            for i in range(first_after(times, start, until, moment - SHORT_NS), until):
                recent += abs(signs[i]) != RPI
            row[ARRIVALS] = recent / _SHORT_S
        if 0 <= since <= moment - LONG_NS:
            oldest = first_after(times, start, until, moment - LONG_NS)
            buys, sells, _, _ = sums(prices, sizes, signs, oldest, until, 0.0)
            row[BUY_SELL] = ratio(float(buys), float(sells), 1.0)


@kernel
def moments(samples: Floats, key: int, last: int, count: int, out: Floats) -> bool:
    """Mean, standard deviation (n - 1) and skewness of the `count` slots up to `last`; False where one is not known.

    Two passes over differences from the first sample, so that a constant has exactly no deviation. Skewness is the third
    central moment by the 3/2 power of the second (both by n), 0 where nothing deviates.
    """
    begin = samples[(last - count + 1) % SLOTS, key]
    total = 0.0
    for slot in range(last - count + 1, last + 1):
        total += samples[slot % SLOTS, key] - begin
    if np.isnan(total):
        return False
    mean = total / count
    squares = cubes = 0.0
    for slot in range(last - count + 1, last + 1):
        away = samples[slot % SLOTS, key] - begin - mean
        squares += away * away
        cubes += away * away * away
    out[0] = begin + mean
    out[1] = sqrt(squares / (count - 1))
    spread = (squares / count) ** 1.5
    out[2] = cubes / count / spread if spread > 0.0 else 0.0
    return True


@kernel
def read(samples: Floats, last: int, out: Floats, warm: Bools) -> None:
    """Moments of every key over every window up to slot `last`, shape (KEYS * 3 * MOMENTS,), in that order."""
    at = 0
    for key in range(KEYS):
        for count in _SLOTS_OF:
            if moments(samples, key, last, count, out[at : at + MOMENTS]):
                warm[at : at + MOMENTS] = True
            at += MOMENTS
