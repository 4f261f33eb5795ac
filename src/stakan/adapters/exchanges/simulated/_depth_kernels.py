"""Numeric kernels of the simulated exchange's copy of the book: a hash table per side and the best price.

The bot's book keeps levels sorted, as features read them by rank. Matching asks for sizes by price and walks from the
touch, and lives through whole days: here every level costs the same, wherever it is.

`depth` has shape (2, capacity, 2), capacity a power of two: rows (price in ticks or 0, size in lots); a level that is
gone keeps its row with size 0 until the table is rebuilt. Side 0 is bids. `state` begins with best bid, best ask (0:
none), live levels of both sides, used rows of both sides.
"""

import numpy as np
import numpy.typing as npt

from stakan.core.kernel import kernel
from stakan.core.market._book_kernels import ASKS, BIDS, CORRUPT, CROSSED, NEEDS_ROOM, PRICE, SIZE

Ints = npt.NDArray[np.int64]

BEST = 0
LEVELS = 2
USED = 4
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: neighbours spread evenly
_TOP_BITS = np.uint64(33)


@kernel
def row_of(table: Ints, price: int) -> int:
    """Row of a price, or the free row where it would go; at least half of the table is free."""
    mask = len(table) - 1
    row = np.int64((np.uint64(price) * _GOLDEN) >> _TOP_BITS) & mask
    while table[row, PRICE] != price and table[row, PRICE] != 0:
        row = (row + 1) & mask
    return int(row)


@kernel
def size_at(depth: Ints, which: int, price: int) -> int:
    """Lots at a price; 0 where the level does not exist."""
    return int(depth[which, row_of(depth[which], price), SIZE])


@kernel
def next_level(depth: Ints, which: int, price: int) -> int:
    """Nearest level worse than a price; the caller knows that there is one."""
    table = depth[which]
    step = 2 * which - 1
    price += step
    while table[row_of(table, price), SIZE] == 0:
        price += step
    return price


@kernel
def drop_best(depth: Ints, state: Ints, which: int) -> None:
    """The best level has become empty: find the next one."""
    state[LEVELS + which] -= 1
    state[BEST + which] = next_level(depth, which, state[BEST + which]) if state[LEVELS + which] else 0


@kernel
def clear(depth: Ints, state: Ints) -> None:
    """Nothing is known any more."""
    depth[:] = 0
    state[: USED + 2] = 0


@kernel
def put(depth: Ints, state: Ints, which: int, price: int, size: int) -> None:
    """Set the size of a level above zero."""
    table = depth[which]
    row = row_of(table, price)
    if table[row, PRICE] == 0:
        table[row, PRICE] = price
        state[USED + which] += 1
    if table[row, SIZE] == 0:
        state[LEVELS + which] += 1
    table[row, SIZE] = size


@kernel
def apply_side(depth: Ints, state: Ints, levels: Ints, which: int, reach: int) -> None:
    """Apply the levels of one side."""
    sign = 1 - 2 * which
    table = depth[which]
    best = state[BEST + which]
    limit = best - sign * (best * reach // 1000) if best else -sign * np.int64(2**62)
    for i in range(len(levels)):
        price = levels[i, PRICE]
        size = levels[i, SIZE]
        if size > 0 and sign * price >= sign * limit:
            put(depth, state, which, price, size)
            if best == 0 or sign * price > sign * best:
                best = price
        else:
            # What is out of reach is not kept, and what was kept of it must not grow stale.
            row = row_of(table, price)
            if table[row, SIZE] > 0:
                table[row, SIZE] = 0
                state[LEVELS + which] -= 1
    if state[LEVELS + which] == 0:
        best = 0
    elif table[row_of(table, best), SIZE] == 0:
        best = next_level(depth, which, best)
    state[BEST + which] = best


@kernel
def apply_levels(depth: Ints, state: Ints, levels: Ints, bid_count: int, reach: int) -> int:
    """Apply one message; returns CROSSED, CORRUPT, NEEDS_ROOM (both: nothing was changed) or 0.

    `levels` has shape (n, 2), the first `bid_count` rows bids. New levels farther than `reach` (share of the best
    price of their side, in 1/1000) are not kept.
    """
    total = len(levels)
    half = depth.shape[1] // 2
    if state[USED + BIDS] + bid_count > half or state[USED + ASKS] + total - bid_count > half:
        return NEEDS_ROOM
    for i in range(total):
        if levels[i, PRICE] <= 0 or levels[i, SIZE] < 0:
            return CORRUPT
    apply_side(depth, state, levels[:bid_count], BIDS, reach)
    apply_side(depth, state, levels[bid_count:], ASKS, reach)
    bid, ask = state[BEST + BIDS], state[BEST + ASKS]
    return CROSSED if bid and ask and bid >= ask else 0


@kernel
def is_beyond(depth: Ints, state: Ints, which: int, price: int) -> bool:
    """Whether a price is worse than every level that is known of its side."""
    best = state[BEST + which]
    sign = 1 - 2 * which
    if best == 0:
        return True
    if sign * price >= sign * best or size_at(depth, which, price) > 0:
        return False
    table = depth[which]
    for row in range(len(table)):  # noqa: SIM110 - kernels know no generators
        if table[row, SIZE] > 0 and sign * table[row, PRICE] <= sign * price:
            return False
    return True


@kernel
def rebuild(depth: Ints, state: Ints, old: Ints, reach: int) -> None:
    """Fill an empty table with the live levels of another, less those out of reach."""
    for which in range(2):
        sign = 1 - 2 * which
        best = state[BEST + which]
        limit = best - sign * (best * reach // 1000)
        state[LEVELS + which] = 0
        state[USED + which] = 0
        for row in range(old.shape[1]):
            if old[which, row, SIZE] > 0 and sign * old[which, row, PRICE] >= sign * limit:
                put(depth, state, which, old[which, row, PRICE], old[which, row, SIZE])
