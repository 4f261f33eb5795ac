"""Kernels of quote stuffing: how many level changes near the touch, how many of them undo the one before.

Sums fade exponentially with exchange time, so that a burst stands out whatever the messages' spacing.
"""

import numpy as np
import numpy.typing as npt

from stakan.core.kernel import kernel
from stakan.core.market._book_kernels import ASKS, BIDS, PRICE, SIZE

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Columns of the last change of a level; a side's slot is the price modulo the number of slots.
LEVEL = 0
CHANGE = 1
"""Lots, signed."""
CHANGED = 2
CHANGES = 3

# Counters.
LAST_TS = 0
MESSAGES = 1
BEST_BID = 2
BEST_ASK = 3
FIRST_TS = 4
METAS = 5

# Fading sums.
UPDATES = 0
"""Level changes near the touch in the last SPAN_S or so."""
FLIPS = 1
"""Those of them that undid the change of the same level before."""
MOVES = 2
"""Messages that moved a touch."""
USUAL = 3
"""Mean of log(1 + flips) over the last minute."""
EXCESS = 4
"""log(1 + flips) above that, after the last message."""
PACES = 5

SPAN_S = 0.3
USUAL_S = 60.0
FEWEST_FLIPS = 8.0
"""Fewer in a span, about 50 level updates a second, are no burst whatever is usual."""
NONE = -30.0
_UNDONE_WITHIN = 500_000_000
_TEACHES = 1.5
"""An excess teaches what is usual no more than this."""
_EXCESS_WEIGHT = 3.5
_EXCESS_EVEN = 2.15
_SHARE_WEIGHT = 6.0
_SHARE_EVEN = 0.35
"""Share of flips among updates that speaks neither for nor against."""
_MOVES_WEIGHT = 1.5


@kernel
def undoes(slot: Ints, price: int, change: int, ts: int) -> bool:
    """Whether a change of a level takes back its last one, to a tenth; the slot then holds nothing."""
    last = slot[CHANGE]
    if slot[LEVEL] == price and ts - slot[CHANGED] <= _UNDONE_WITHIN and 10 * abs(last + change) <= abs(last):
        slot[CHANGE] = 0
        return bool(last != 0)
    slot[LEVEL] = price
    slot[CHANGE] = change
    slot[CHANGED] = ts
    return False


@kernel
def count(levels: Ints, bid_count: int, before: Ints, slots: Ints, bests: Ints, reach: int, ts: int) -> tuple[int, int]:
    """Changes of levels within `reach` ticks of their touch, and how many undo the one before."""
    updates = 0
    flips = 0
    for i in range(levels.shape[0]):
        which = BIDS if i < bid_count else ASKS
        price = levels[i, PRICE]
        change = levels[i, SIZE] - before[i]
        if change == 0 or (1 - 2 * which) * (bests[which] - price) > reach:
            continue
        updates += 1
        flips += undoes(slots[which, price % slots.shape[1]], price, change, ts)
    return updates, flips


@kernel
def follow(  # noqa: PLR0913, PLR0917 - scalars cross into a kernel faster than an object of them
    sides: Ints, counts: Ints, levels: Ints, bid_count: int, before: Ints, slots: Ints, meta: Ints, pace: Floats,
    ts: int, reach: int,
) -> float:  # fmt: skip
    """One delta, after the book took it; returns the log odds that what goes on is stuffing.

    For it speak flips beyond what is usual and a large share of them; against it, a touch that moves: then everybody
    quotes anew.
    """
    bests = np.empty(2, np.int64)
    bests[BIDS] = sides[BIDS, counts[BIDS] - 1, PRICE]
    bests[ASKS] = sides[ASKS, counts[ASKS] - 1, PRICE]
    updates, flips = count(levels, bid_count, before, slots, bests, reach, ts)
    is_first = meta[MESSAGES] == 0
    seconds = 0.0 if is_first else max(0, ts - meta[LAST_TS]) * 1e-9
    fading = np.exp(-seconds / SPAN_S)
    pace[UPDATES] = pace[UPDATES] * fading + updates
    pace[FLIPS] = pace[FLIPS] * fading + flips
    has_moved = not is_first and (bests[BIDS] != meta[BEST_BID] or bests[ASKS] != meta[BEST_ASK])
    pace[MOVES] = pace[MOVES] * fading + has_moved
    level = np.log(1.0 + pace[FLIPS])
    if is_first:
        pace[USUAL] = level
        meta[FIRST_TS] = ts
    pace[EXCESS] = level - pace[USUAL]
    pace[USUAL] += min(pace[EXCESS], _TEACHES) * (1.0 - np.exp(-seconds / USUAL_S))
    meta[MESSAGES] += 1
    meta[LAST_TS] = max(meta[LAST_TS], ts)
    meta[BEST_BID] = bests[BIDS]
    meta[BEST_ASK] = bests[ASKS]
    if pace[FLIPS] < FEWEST_FLIPS:
        return NONE
    share = pace[FLIPS] / pace[UPDATES]
    moves = np.log(1.0 + 2.0 * pace[MOVES])
    return float(
        _EXCESS_WEIGHT * (pace[EXCESS] - _EXCESS_EVEN) + _SHARE_WEIGHT * (share - _SHARE_EVEN) - _MOVES_WEIGHT * moves
    )
