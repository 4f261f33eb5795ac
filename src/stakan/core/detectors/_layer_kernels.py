"""Kernel of layering: which orders of a side look most like one hand's ladder, and how much so."""

import numpy as np
import numpy.typing as npt

from stakan.core.kernel import kernel

Floats = npt.NDArray[np.float64]

PRICE = 0
"""Ticks behind the touch."""
LOG_LOTS = 1
CAME = 2
"""Seconds, from any origin."""
WENT = 3
CALM = 4
"""Log likelihood that an order came unprovoked."""
FIELDS = 5

FEWEST = 3
_AT_ONCE_S = 0.06
"""Within one message or two."""
_TOGETHER_S = 2.0
_LONGEST_S = 6.0


@kernel
def roughness(rows: Floats, first: int, last: int) -> float:
    """Root mean square residual of log lots against their rank by price: 0 for equal and for evenly rising sizes."""
    n = last - first + 1
    middle = (n - 1) / 2.0
    mean = 0.0
    for k in range(first, last + 1):
        mean += rows[k, LOG_LOTS]
    mean /= n
    across = 0.0
    along = 0.0
    for k in range(first, last + 1):
        across += (k - first - middle) * (rows[k, LOG_LOTS] - mean)
        along += (k - first - middle) ** 2
    slope = across / along
    squares = 0.0
    for k in range(first, last + 1):
        squares += (rows[k, LOG_LOTS] - mean - slope * (k - first - middle)) ** 2
    return float(np.sqrt(squares / (n - 1)))


@kernel
def ladder(rows: Floats, first: int, last: int, is_standing: bool) -> float:
    """How much rows [first, last], sorted by price, look like one ladder: a sum of weights, 0 for neither."""
    n = last - first + 1
    step = (rows[last, PRICE] - rows[first, PRICE]) / (n - 1)
    uneven = 0.0
    calm = 0.0
    came = rows[first, CAME]
    came_last = came
    went = went_last = rows[first, WENT]
    for k in range(first, last + 1):
        calm += rows[k, CALM]
        came, came_last = min(came, rows[k, CAME]), max(came_last, rows[k, CAME])
        went, went_last = min(went, rows[k, WENT]), max(went_last, rows[k, WENT])
        if k > first:
            uneven = max(uneven, abs(rows[k, PRICE] - rows[k - 1, PRICE] - step))
    score = 1.2 * min(n - FEWEST, 4) - 0.7 * np.log(step) - 0.5 * min(uneven, 6.0)
    score += calm / n - 5.0 * min(roughness(rows, first, last), 0.6)
    spread = came_last - came
    if spread <= _AT_ONCE_S:
        score += 1.5
    elif spread <= _TOGETHER_S:
        score += 0.7
    elif spread > _LONGEST_S:
        score -= spread - _LONGEST_S
    if not is_standing and went_last - went <= _AT_ONCE_S:
        score += 1.0
    return float(score)


@kernel
def best_ladder(rows: Floats, is_standing: bool) -> tuple[float, int, int]:
    """The best run of three or more rows (sorted by price, each price once): its score, first and last row."""
    best = -1e9
    found = 0
    found_last = -1
    for first in range(rows.shape[0] - FEWEST + 1):
        for last in range(first + FEWEST - 1, rows.shape[0]):
            score = ladder(rows, first, last, is_standing)
            if score > best:
                best, found, found_last = score, first, last
    return best, found, found_last
