"""Numeric kernels of the level-2 book.

A side is a sorted run of rows (price in ticks, size in lots) with the **best level last**, because most changes are
near the touch and then move few rows. `sides` has shape (2, capacity, 2), `counts` shape (2,); side 0 is bids
(ascending prices), side 1 asks (descending prices).
"""

import numpy as np
import numpy.typing as npt

from stakan.core.kernel import kernel

Ints = npt.NDArray[np.int64]

BIDS = 0
ASKS = 1
PRICE = 0
SIZE = 1

# Bits of an apply result.
BID_TOUCHED = 1
ASK_TOUCHED = 2
CROSSED = 4
CORRUPT = 8
NEEDS_ROOM = 16
UNKNOWN_DELETE = 32
ONE_SIDED = 64


@kernel
def locate(side: Ints, count: int, price: int, sign: int) -> int:
    """Row at which `price` stands or would be inserted; sign is +1 for bids, -1 for asks (comparison order)."""
    low = 0
    high = count
    key = sign * price
    while low < high:
        middle = (low + high) >> 1
        if sign * side[middle, PRICE] < key:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def locate_near(side: Ints, count: int, price: int, sign: int, near: int) -> int:
    """As `locate`, searching outwards from row `near` first: the levels of a message come sorted."""
    key = sign * price
    low = 0
    high = count
    step = 1
    if near < count and sign * side[near, PRICE] < key:
        low = near + 1
        while low + step < count:
            if sign * side[low + step, PRICE] >= key:
                high = low + step
                break
            low += step + 1
            step *= 2
    else:
        high = min(near, count)
        while high - step >= 0:
            if sign * side[high - step, PRICE] < key:
                low = high - step + 1
                break
            high -= step
            step *= 2
    while low < high:
        middle = (low + high) >> 1
        if sign * side[middle, PRICE] < key:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def open_row(side: Ints, count: int, row: int) -> None:
    """Move the rows from `row` on one place up.

    Flat and with unsigned indices, because the compiler turns only that into wide moves: five times faster.
    """
    flat = side.reshape(-1)
    first = np.uint64(2 * row)
    i = np.uint64(2 * count)
    while i > first:
        i -= np.uint64(1)
        flat[i + np.uint64(2)] = flat[i]


@kernel
def close_row(side: Ints, count: int, row: int) -> None:
    """Move the rows after `row` one place down, onto it."""
    flat = side.reshape(-1)
    for i in range(np.uint64(2 * row), np.uint64(2 * count - 2)):
        flat[i] = flat[i + np.uint64(2)]


@kernel
def set_row(side: Ints, count: int, row: int, price: int, size: int) -> int:
    """Insert, replace or (size 0) delete the level that `row` was found for.

    Returns the new count, or -1 - count for a delete of a level that is not there.
    """
    found = row < count and side[row, PRICE] == price
    if size > 0:
        if not found:
            open_row(side, count, row)
            side[row, PRICE] = price
            count += 1
        side[row, SIZE] = size
        return count
    if not found:
        return -1 - count
    close_row(side, count, row)
    return count - 1


@kernel
def apply_levels(sides: Ints, counts: Ints, levels: Ints, bid_count: int, reach: int, before: Ints) -> int:
    """Apply one message atomically; returns bits, and in `before` the size that each of its levels had.

    `levels` has shape (n, 2), the first `bid_count` rows bids; `before` has n rows or more. Levels farther than `reach` (share of the best
    price of their side, in 1/1000) are not kept. Nothing is changed when the result is CORRUPT or NEEDS_ROOM.
    """
    total = levels.shape[0]
    capacity = sides.shape[1]
    if counts[BIDS] + bid_count > capacity or counts[ASKS] + total - bid_count > capacity:
        return NEEDS_ROOM
    for i in range(total):
        if levels[i, PRICE] <= 0 or levels[i, SIZE] < 0:
            return CORRUPT
    bits = 0
    for which in range(2):
        sign = 1 - 2 * which
        side = sides[which]
        count = counts[which]
        first = 0 if which == BIDS else bid_count
        last = bid_count if which == BIDS else total
        row = count
        best_price = side[count - 1, PRICE] if count else 0
        best_size = side[count - 1, SIZE] if count else 0
        limit = best_price - sign * (best_price * reach // 1000) if count else -sign * np.int64(2**62)
        for i in range(first, last):
            price = levels[i, PRICE]
            size = levels[i, SIZE]
            is_far = sign * price < sign * limit
            row = locate_near(side, count, price, sign, row)
            before[i] = side[row, SIZE] if row < count and side[row, PRICE] == price else 0
            # What is out of reach is not kept, and what was kept of it must not grow stale.
            result = set_row(side, count, row, price, 0 if is_far else size)
            if result >= 0:
                count = result
            elif not is_far:
                bits |= UNKNOWN_DELETE
        counts[which] = count
        now_price = side[count - 1, PRICE] if count else 0
        now_size = side[count - 1, SIZE] if count else 0
        if now_price != best_price or now_size != best_size:
            bits |= BID_TOUCHED if which == BIDS else ASK_TOUCHED
    nbids = counts[BIDS]
    nasks = counts[ASKS]
    if nbids == 0 or nasks == 0:
        bits |= ONE_SIDED
    elif sides[BIDS, nbids - 1, PRICE] >= sides[ASKS, nasks - 1, PRICE]:
        bits |= CROSSED
    return bits


@kernel
def trim(sides: Ints, counts: Ints, reach: int) -> int:
    """Drop levels farther than `reach` (1/1000) from the best of their side; returns how many went."""
    gone = 0
    for which in range(2):
        sign = 1 - 2 * which
        count = counts[which]
        if count == 0:
            continue
        side = sides[which]
        best = side[count - 1, PRICE]
        first = locate(side, count, best - sign * (best * reach // 1000), sign)
        if first > 0:
            for i in range(first, count):
                side[i - first, PRICE] = side[i, PRICE]
                side[i - first, SIZE] = side[i, SIZE]
            counts[which] = count - first
            gone += first
    return gone


@kernel
def size_at(sides: Ints, counts: Ints, which: int, price: int) -> int:
    """Lots at a price; 0 where the level does not exist."""
    count = counts[which]
    row = locate(sides[which], count, price, 1 - 2 * which)
    if row < count and sides[which, row, PRICE] == price:
        return int(sides[which, row, SIZE])
    return 0
