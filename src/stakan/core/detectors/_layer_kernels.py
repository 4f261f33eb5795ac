"""Kernels of layering: which orders of a side look most like one hand's ladder, and how much so."""

import math

import numpy as np
import numpy.typing as npt

from stakan.core.detectors._order_kernels import (
    COLUMNS,
    COMMON,
    DISTANCE,
    ENDED,
    GROWTH,
    LEVEL,
    MOVED,
    PAIRED,
    SAME_SIZE,
    SINCE,
    TOLD,
    WHICH,
    calm,
    is_own,
    is_untraded,
    settle,
    went_whole,
)
from stakan.core.kernel import kernel

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Signs = npt.NDArray[np.int8]

KEPT = 12
"""Orders of a side that are looked at together."""

# Which orders: rows of `_order_kernels` in the order in which they were told of.
STANDING = 0
GONE = 1

# Bits of what is new: a side that has another order which stands, or went, and enough of them.
STANDING_BIT = 1
GONE_BIT = 4
"""Of bids; of asks twice as much."""

# Columns of orders that may be a ladder; places and times are relative to the first of them.
PLACE = 0
"""Ticks outwards."""
LOG_LOTS = 1
CAME = 2
"""Seconds."""
CALM = 3
"""Log likelihood that an order came unprovoked."""
BEHIND = 4
"""Ticks behind the touch when it came."""
FIELDS = 5

FEWEST = 3
ANY = -1
"""Whenever it came."""
_ROUGH = 0.1
"""Sizes that differ by less are as good as equal."""
_TOGETHER_S = 2.0
_LONGEST_S = 6.0
_APART_NS = 2_600_000_000
"""A ladder's orders come at most so long after each other."""
_LEAVING_NS = 1_200_000_000
"""It is gone within so long."""
_AT_ONCE_NS = 200_000_000
_ALONE = -3.1
"""Log odds of any three orders that neither speak for nor against."""
_UNENDED = 1.25
"""What a ladder lacks that has not gone yet."""
_OTHER_SIDE, _OTHERS = 0.6, 4
"""What each order of the other side takes away that left, or came, at the same time; so many of them at most."""
_MOVED = -2.0
"""In the calm of an order that seems to have moved: by chance others of its size come and go at the same moment."""


@kernel
def roughness(rows: Floats, chosen: Ints, n: int) -> float:
    """Root mean square residual of log lots against their rank by price: 0 for equal and for evenly rising sizes."""
    middle = (n - 1) / 2.0
    mean = 0.0
    for k in range(n):
        mean += rows[chosen[k], LOG_LOTS]
    mean /= n
    across = 0.0
    along = 0.0
    for k in range(n):
        across += (k - middle) * (rows[chosen[k], LOG_LOTS] - mean)
        along += (k - middle) ** 2
    slope = across / along
    squares = 0.0
    for k in range(n):
        squares += (rows[chosen[k], LOG_LOTS] - mean - slope * (k - middle)) ** 2
    return float(np.sqrt(squares / (n - 1)))


@kernel
def ladder(rows: Floats, chosen: Ints, n: int) -> float:
    """How much the first n `chosen` rows, sorted by price, look like one ladder: a sum of weights."""
    first = rows[chosen[0]]
    last = rows[chosen[n - 1]]
    step = (last[PLACE] - first[PLACE]) / (n - 1)
    uneven = 0.0
    calm = 0.0
    nearest = first[BEHIND]
    came = came_last = first[CAME]
    for k in range(n):
        row = rows[chosen[k]]
        calm += row[CALM]
        nearest = min(nearest, row[BEHIND])
        came, came_last = min(came, row[CAME]), max(came_last, row[CAME])
        if k > 0:
            uneven = max(uneven, abs(row[PLACE] - rows[chosen[k - 1], PLACE] - step))
    spread = came_last - came
    score = 0.6 * min(n - FEWEST, 4) - 0.5 * np.log(step) - 0.15 * min(uneven, 6.0) + 0.25 * calm / n
    score -= 1.85 * np.log(min(roughness(rows, chosen, n), 0.5) + _ROUGH)
    score -= 0.3 * min(max(nearest - 5.0, 0.0), 20.0)
    score += 0.4 if spread <= _TOGETHER_S else -0.35 * max(spread - _LONGEST_S, 0.0)
    return float(score)


@kernel
def without(chosen: Ints, n: int, k: int, out: Ints) -> None:
    """The first n of `chosen` but the k-th."""
    for i in range(n - 1):
        out[i] = chosen[i] if i < k else chosen[i + 1]


@kernel
def best_ladder(rows: Floats, out: Ints) -> tuple[float, int]:
    """The best ladder among rows sorted by price, each price once, three at least: its score and how many rows it has.

    Rows are left out one by one, each time the one without which the rest looks best; `out` gets those of the best.
    """
    n = rows.shape[0]
    chosen = np.arange(n)
    trial = np.empty(n, np.int64)
    best = ladder(rows, chosen, n)
    found = n
    out[:n] = chosen
    while n > FEWEST:
        worst = 0
        rest = -1e9
        for k in range(n):
            without(chosen, n, k, trial)
            score = ladder(rows, trial, n - 1)
            if score > rest:
                worst, rest = k, score
        without(chosen, n, worst, trial)
        n -= 1
        chosen[:n] = trial[:n]
        if rest > best:
            best, found = rest, n
            out[:n] = chosen[:n]
    return best, found


@kernel
def sort_by(column: int, sign: int, orders: Ints, chosen: Ints, n: int) -> None:
    """Put the first n `chosen` orders into the order of a column, those that are equal as they were."""
    for i in range(1, n):
        one = chosen[i]
        k = i
        while k > 0 and sign * orders[chosen[k - 1], column] > sign * orders[one, column]:
            chosen[k] = chosen[k - 1]
            k -= 1
        chosen[k] = one


@kernel
def as_rows(orders: Ints, chosen: Ints, n: int) -> Floats:
    """The first n `chosen` orders as a ladder is judged by."""
    rows = np.empty((n, FIELDS))
    first = orders[chosen[0]]
    for i in range(n):
        order = orders[chosen[i]]
        rows[i, PLACE] = abs(order[LEVEL] - first[LEVEL])
        rows[i, LOG_LOTS] = np.log(float(order[GROWTH]))
        rows[i, CAME] = (order[SINCE] - first[SINCE]) * 1e-9
        common = -0.5 * math.log1p(max(0, order[COMMON] - 1))
        rows[i, CALM] = calm(order) + common + (_MOVED if order[MOVED] else 0.0)
        rows[i, BEHIND] = order[DISTANCE]
    return rows


@kernel
def ladder_of(orders: Ints, run: Ints, fewest: int, out: Ints) -> tuple[float, int]:
    """How good the best ladder among the orders of a run is, and of how many it is, 0 for none; `out` gets them."""
    n = run.shape[0]
    if n < max(fewest, FEWEST):
        return 0.0, 0
    first = orders[run[0]]
    outwards = run.copy()
    sort_by(LEVEL, 2 * first[WHICH] - 1, orders, outwards, n)
    score, count = best_ladder(as_rows(orders, outwards, n), out)
    if count < fewest:
        return 0.0, 0
    moved = 0
    for k in range(count):
        out[k] = outwards[out[k]]
        moved += orders[out[k], MOVED] == SAME_SIZE
    # Most of them moved: a maker's ladder that was priced anew.
    if 2 * moved > count:
        return 0.0, 0
    sort_by(SINCE, 1, orders, out, count)
    return score, count


@kernel
def run_before(orders: Ints, chosen: Ints, last: int) -> int:
    """Where the run begins that ends with row `last` of `chosen`: orders that came one soon after the other."""
    first = last
    while first > 0 and orders[chosen[first], SINCE] - orders[chosen[first - 1], SINCE] <= _APART_NS:
        first -= 1
    return first


@kernel
def at_once(orders: Ints, n: int, column: int, first: int, last: int) -> int:
    """How many of the first n orders came, or went, in a time or at its edges."""
    found = 0
    for i in range(n):
        found += first - _AT_ONCE_NS <= orders[i, column] <= last + _AT_ONCE_NS
    return found


@kernel
def leaving(orders: Ints, n: int, out: Ints) -> int:
    """Of n orders that went, those that went soon before the last one or after it; `out` gets them as they came."""
    found = 0
    for i in range(n):
        if orders[n - 1, ENDED] - orders[i, ENDED] <= _LEAVING_NS:
            out[found] = i
            found += 1
    sort_by(SINCE, 1, orders, out, found)
    return found


@kernel
def standing(layers: Ints, held: Ints, which: int, fewest: int, out: Ints) -> tuple[float, int]:
    """The log odds of a ladder of a side that stands, the newest order in its run, and of how many it is, 0 for none.

    `out` gets its orders as they came.
    """
    orders = layers[STANDING, which]
    n = held[STANDING, which]
    newest = np.arange(n)
    chosen = np.empty(n, np.int64)
    score, count = ladder_of(orders, newest[run_before(orders, newest, n - 1) :], fewest, chosen)
    if count == 0:
        return 0.0, 0
    for k in range(count):
        out[k] = orders[chosen[k]]
    others = at_once(
        layers[STANDING, 1 - which], held[STANDING, 1 - which], SINCE, out[0, SINCE], out[count - 1, SINCE]
    )
    return _ALONE + score - _UNENDED - _OTHER_SIDE * min(others, _OTHERS), count


@kernel
def gone(layers: Ints, held: Ints, which: int, fewest: int, out: Ints) -> tuple[float, int]:
    """The same of the best ladder that went lately; but for the trades that may be why it went."""
    orders = layers[GONE, which]
    chosen = np.empty(KEPT, np.int64)
    trial = np.empty(KEPT, np.int64)
    left = leaving(orders, held[GONE, which], chosen)
    best, found = 0.0, 0
    while left > 0:
        first = run_before(orders, chosen, left - 1)
        score, count = ladder_of(orders, chosen[first:left], fewest, trial)
        if count > 0 and (found == 0 or score > best):
            best, found = score, count
            for k in range(count):
                out[k] = orders[trial[k]]
        left = first
    if found == 0:
        return 0.0, 0
    went = out[:found, ENDED]
    others = at_once(layers[GONE, 1 - which], held[GONE, 1 - which], ENDED, went.min(), went.max())
    return _ALONE + best - _OTHER_SIDE * min(others, _OTHERS), found


@kernel
def leave_out(orders: Ints, n: int, price: int, since: int) -> int:
    """Drop the order of a price that came at a time, or at any where it is ANY; returns how many are left of n."""
    left = 0
    for i in range(n):
        if orders[i, LEVEL] == price and since in (ANY, orders[i, SINCE]):
            continue
        if left != i:
            orders[left] = orders[i]
        left += 1
    return left


@kernel
def drop_first(orders: Ints, n: int) -> int:
    """Drop the first of n orders; returns how many are left."""
    for i in range(1, n):
        orders[i - 1] = orders[i]
    return n - 1


@kernel
def keep(orders: Ints, n: int, order: Ints) -> int:
    """Put an order last; it replaces that of its price, and the first goes where there is no room; returns how many."""
    n = leave_out(orders, n, order[LEVEL], ANY)
    if n == orders.shape[0]:
        n = drop_first(orders, n)
    orders[n] = order
    return n + 1


@kernel
def take(  # noqa: PLR0913, PLR0917 - scalars cross into a kernel faster than an object of them
    table: Ints, meta: Ints, ts: int, times: Ints, prices: Ints, lots: Ints, signs: Signs, start: int, stop: int,
    layers: Ints, held: Ints, oldest: int, fewest: int,
) -> int:  # fmt: skip
    """Sort orders that are to be told of into those that stand and that went.

    Returns bits of what is new, where there are enough for a ladder. Those that came before `oldest` do not stand any more.
    """
    told = np.empty((TOLD, COLUMNS), np.int64)
    scratch = np.empty(KEPT, np.int64)
    bits = 0
    for i in range(settle(table, meta, ts, times, prices, lots, signs, start, stop, told)):
        order = told[i]
        which = order[WHICH]
        orders = layers[STANDING, which]
        if order[ENDED] == 0 and is_untraded(order) and is_own(order):
            held[STANDING, which] = keep(orders, held[STANDING, which], order)
            bits |= STANDING_BIT << which
            continue
        held[STANDING, which] = leave_out(orders, held[STANDING, which], order[LEVEL], order[SINCE])
        if is_untraded(order) and order[PAIRED] == 0 and went_whole(order):
            held[GONE, which] = keep(layers[GONE, which], held[GONE, which], order)
            bits |= GONE_BIT << which
    for which in range(2):
        if bits & (STANDING_BIT | STANDING_BIT << 1):
            while held[STANDING, which] > 0 and layers[STANDING, which, 0, SINCE] < oldest:
                held[STANDING, which] = drop_first(layers[STANDING, which], held[STANDING, which])
        if held[STANDING, which] < fewest:
            bits &= ~(STANDING_BIT << which)
        if bits & GONE_BIT << which and leaving(layers[GONE, which], held[GONE, which], scratch) < fewest:
            bits &= ~(GONE_BIT << which)
    return bits
