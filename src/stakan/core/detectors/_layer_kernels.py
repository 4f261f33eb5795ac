"""Kernel of layering: which orders of a side look most like one hand's ladder, and how much so."""

import numpy as np
import numpy.typing as npt

from stakan.core.kernel import kernel

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Columns of orders: whole numbers when given, relative to the first when worked with.
PRICE = 0
"""Ticks away from the touch, from any origin."""
LOG_LOTS = 1
"""Lots when given."""
CAME = 2
"""Nanoseconds when given, then seconds."""
CALM = 3
"""Log likelihood that an order came unprovoked; in millionths when given."""
DISTANCE = 4
"""Ticks behind the touch when it came."""
FIELDS = 5

FEWEST = 3
_ROUGH = 0.1
"""Sizes that differ by less are as good as equal."""
_TOGETHER_S = 2.0
_LONGEST_S = 6.0


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
    step = (last[PRICE] - first[PRICE]) / (n - 1)
    uneven = 0.0
    calm = 0.0
    nearest = first[DISTANCE]
    came = came_last = first[CAME]
    for k in range(n):
        row = rows[chosen[k]]
        calm += row[CALM]
        nearest = min(nearest, row[DISTANCE])
        came, came_last = min(came, row[CAME]), max(came_last, row[CAME])
        if k > 0:
            uneven = max(uneven, abs(row[PRICE] - rows[chosen[k - 1], PRICE] - step))
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
def best_ladder(given: Ints, out: Ints) -> tuple[float, int]:
    """The best ladder among rows sorted by price, each price once, three at least: its score and how many rows it has.

    Rows are left out one by one, each time the one without which the rest looks best; `out` gets those of the best.
    """
    n = given.shape[0]
    rows = np.empty((n, FIELDS))
    for i in range(n):
        rows[i, PRICE] = given[i, PRICE] - given[0, PRICE]
        rows[i, LOG_LOTS] = np.log(float(given[i, LOG_LOTS]))
        rows[i, CAME] = (given[i, CAME] - given[0, CAME]) * 1e-9
        rows[i, CALM] = given[i, CALM] * 1e-6
        rows[i, DISTANCE] = given[i, DISTANCE]
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
