"""Numeric kernels of densities: one pass over tracked levels and over what a book message touched.

A density is a row of the table (columns below). Rows [0, tracked) live, in order of appearance; rows that went during
the last call stand at the end of the table, the first to go last. For every row

    peak - remaining = traded + cancelled        (what is missing from the peak, and why)
    first + added = remaining + executed + withdrawn        (everything since it appeared)

Size that comes back makes up for cancelled size first, then for traded size. A new peak has nothing missing.
"""

import numpy as np
import numpy.typing as npt

from stakan.core.kernel import kernel
from stakan.core.market._book_kernels import BIDS, PRICE, SIZE, size_at

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

WHICH = 0
"""0 bids, 1 asks, as in the book."""
LEVEL = 1
"""Price in ticks."""
REMAINING = 2
PEAK = 3
FIRST = 4
ADDED = 5
EXECUTED = 6
WITHDRAWN = 7
TRADED = 8
CANCELLED = 9
APPEARED = 10
CHANGED = 11
PENDING = 12
"""Printed at this price and not yet settled against a book message."""
PENDING_TS = 13
DECILE = 14
"""Tenths of the peak that were missing at worst since the peak."""
KIND = 15
COLUMNS = 16

# What happened to a row in the last call; rows from CONSUMED on are gone.
NOTHING = 0
APPEARANCE = 1
EROSION = 2
CONSUMED = 3
CANCELLATION = 4
OUT_OF_SIGHT = 5

NO_BID = -1
NO_ASK = 2**62
"""Best prices of a side without a density: no print reaches them."""

# How much of the book is looked at.
TOUCHED_LEVELS = 0
WHOLE_BOOK = 1
NEW_BOOK = 2

# Shape of the result: tracked + gone * GONE_UNIT + changed * CHANGED_UNIT, each below 2**16.
GONE_UNIT = 1 << 16
CHANGED_UNIT = 1 << 32


@kernel
def find(table: Ints, tracked: int, which: int, price: int) -> int:
    """Row of a tracked level, or -1."""
    for i in range(tracked):
        if table[i, LEVEL] == price and table[i, WHICH] == which:
            return i
    return -1


@kernel
def settle(row: Ints, size: int, ts: int) -> None:
    """Book the change to `size` at exchange time `ts`: prints explain as much of it as they can, the rest is cancelled.

    Prints at or before `ts` that the change does not show were refilled at once (traded and added).
    """
    change = size - row[REMAINING]
    lost = max(-change, 0)
    traded = min(row[PENDING], lost)
    unexplained = row[PENDING] - traded
    refilled = unexplained if row[PENDING_TS] <= ts else 0
    added = max(change, 0) + refilled
    row[PENDING] = unexplained - refilled
    row[EXECUTED] += traded + refilled
    row[WITHDRAWN] += lost - traded
    row[ADDED] += added
    row[TRADED] += traded + refilled
    row[CANCELLED] += lost - traded
    restored = min(added, row[CANCELLED])
    row[CANCELLED] -= restored
    row[TRADED] -= min(added - restored, row[TRADED])
    if change != 0:
        row[CHANGED] = ts
    row[REMAINING] = size
    if size > row[PEAK]:
        row[PEAK] = size
        row[TRADED] = row[CANCELLED] = row[DECILE] = 0


@kernel
def print_at(table: Ints, tracked: int, which: int, price: int, size: int, ts: int, book_ts: int) -> None:
    """A print against a resting side: wait for the book to show it, or explain what the book showed already."""
    i = find(table, tracked, which, price)
    if i < 0:
        return
    row = table[i]
    if ts > book_ts:
        row[PENDING] += size
        row[PENDING_TS] = max(row[PENDING_TS], ts)
    elif ts > row[APPEARED]:
        explained = min(size, row[CANCELLED])
        row[CANCELLED] -= explained
        row[TRADED] += explained
        row[WITHDRAWN] -= explained
        row[EXECUTED] += size
        row[ADDED] += size - explained


@kernel
def touches(levels: Ints, bid_count: int, which: int, price: int) -> bool:
    """Whether a message names this level."""
    first = 0 if which == BIDS else bid_count
    last = bid_count if which == BIDS else levels.shape[0]
    for i in range(first, last):  # noqa: SIM110 - the compiler has no generators
        if levels[i, PRICE] == price:
            return True
    return False


@kernel
def too_far(sides: Ints, counts: Ints, which: int, price: int, reach_bps: float) -> bool:
    """Whether a price is farther than `reach_bps` from the best of its side, or the side is empty."""
    if counts[which] == 0:
        return True
    best = sides[which, counts[which] - 1, PRICE]
    return bool(abs(best - price) * 10_000.0 > reach_bps * best)


@kernel
def judge(row: Ints, sides: Ints, counts: Ints, scope: int, ts: int, reach_bps: float, forget: float) -> int:
    """Bring one row up to date with the book; returns what happened to it.

    A level that is missing was cancelled or consumed only where the book still shows something beyond it: the last
    levels of a window of limited depth come and go with the window. In a new book anything missing is out of sight.
    """
    which = row[WHICH]
    size = size_at(sides, counts, which, row[LEVEL])
    if size == 0:
        if scope == NEW_BOOK or counts[which] == 0:
            return OUT_OF_SIGHT
        sign = 1 - 2 * which
        if sign * row[LEVEL] < sign * sides[which, 0, PRICE]:
            return OUT_OF_SIGHT
    settle(row, size, ts)
    if size <= forget * row[PEAK]:
        return CONSUMED if row[TRADED] >= row[CANCELLED] else CANCELLATION
    if scope != TOUCHED_LEVELS and too_far(sides, counts, which, row[LEVEL], reach_bps):
        return OUT_OF_SIGHT
    decile = (row[PEAK] - size) * 10 // row[PEAK]
    if decile > row[DECILE]:
        row[DECILE] = decile
        return EROSION
    return NOTHING


@kernel
def side_total(sides: Ints, counts: Ints, which: int) -> int:
    """Lots of all kept levels of a side."""
    total = 0
    for i in range(counts[which]):
        total += sides[which, i, SIZE]
    return total


@kernel
def place(table: Ints, i: int, which: int, price: int, size: int, ts: int) -> None:
    """A new row: all of it is there, nothing has happened to it."""
    row = table[i]
    row[:] = 0
    row[WHICH] = which
    row[LEVEL] = price
    row[REMAINING] = row[PEAK] = row[FIRST] = size
    row[APPEARED] = row[CHANGED] = ts
    row[KIND] = APPEARANCE


@kernel
def follow(  # noqa: PLR0913, PLR0917 - scalars cross into a kernel faster than an object of them
    sides: Ints, counts: Ints, levels: Ints, bid_count: int, table: Ints, tracked: int, scope: int, ts: int,
    reach_bps: float, forget: float,
) -> int:  # fmt: skip
    """Bring tracked rows up to date after a message: those that it touched, that have prints to settle, or all.

    Rows that go are moved to the end of the table. Returns tracked + gone * GONE_UNIT + changed * CHANGED_UNIT.
    """
    gone = 0
    changed = 0
    i = 0
    while i < tracked:
        row = table[i]
        row[KIND] = NOTHING
        if (
            scope != TOUCHED_LEVELS
            or (row[PENDING] > 0 and row[PENDING_TS] <= ts)
            or touches(levels, bid_count, row[WHICH], row[LEVEL])
        ):
            row[KIND] = judge(row, sides, counts, scope, ts, reach_bps, forget)
        if row[KIND] >= CONSUMED:
            gone += 1
            table[table.shape[0] - gone] = row
            for j in range(i, tracked - 1):
                table[j] = table[j + 1]
            tracked -= 1
            continue
        if row[KIND] != NOTHING:
            changed += 1
        i += 1
    return tracked + gone * GONE_UNIT + changed * CHANGED_UNIT


@kernel
def tell(table: Ints, tracked: int, gone: int, news: Ints) -> tuple[int, int]:
    """Copy the rows that something happened to in the last call, those that went first; `news` has that many rows.

    Returns the highest bid and the lowest ask that live; NO_BID and NO_ASK where there is none.
    """
    highest_bid, lowest_ask = NO_BID, NO_ASK
    for i in range(gone):
        news[i] = table[table.shape[0] - 1 - i]
    told = gone
    for i in range(tracked):
        row = table[i]
        if row[WHICH] == BIDS:
            highest_bid = max(highest_bid, row[LEVEL])
        else:
            lowest_ask = min(lowest_ask, row[LEVEL])
        if row[KIND] != NOTHING:
            news[told] = row
            told += 1
    return highest_bid, lowest_ask


@kernel
def update(  # noqa: PLR0913, PLR0917 - as above
    sides: Ints, counts: Ints, levels: Ints, bid_count: int, table: Ints, tracked: int, scope: int, ts: int,
    limits: Floats,
) -> int:  # fmt: skip
    """One book message, after the book took it: `follow` the tracked rows, then track new levels.

    `limits` holds value_unit, min_notional, relative, share, reach_bps and forget: unpacking one array costs less per
    call than six numbers.

    A level is new when it is touched (or the whole book is looked at), within reach, not tracked, and passes three
    tests: `size * price * value_unit >= min_notional`, `size >= relative * mean size of its side` and
    `size >= share * total of its side`, its own size included in mean and total. Returns as `follow`; bit 62 says
    that a level found no room in the table (whose first half is for living rows).
    """
    value_unit, min_notional, relative, share, reach_bps, forget = (
        limits[0], limits[1], limits[2], limits[3], limits[4], limits[5],
    )  # fmt: skip
    result = follow(sides, counts, levels, bid_count, table, tracked, scope, ts, reach_bps, forget)
    tracked = result % GONE_UNIT
    crowded = 0
    for which in range(2):
        if scope == TOUCHED_LEVELS:
            first = 0 if which == BIDS else bid_count
            last = bid_count if which == BIDS else levels.shape[0]
        else:
            first = 0
            last = counts[which]
        total = -1
        for i in range(first, last):
            if scope == TOUCHED_LEVELS:
                price = levels[i, PRICE]
                size = levels[i, SIZE]
            else:
                price = sides[which, last - 1 - i, PRICE]
                size = sides[which, last - 1 - i, SIZE]
            if size * (price * value_unit) < min_notional or size == 0:
                continue
            if find(table, tracked, which, price) >= 0 or too_far(sides, counts, which, price, reach_bps):
                continue
            if scope == TOUCHED_LEVELS:
                size = size_at(sides, counts, which, price)
            if total < 0:
                total = side_total(sides, counts, which)
            if size == 0 or size * counts[which] < relative * total or size < share * total:
                continue
            if tracked >= table.shape[0] // 2:
                crowded = 1
                continue
            place(table, tracked, which, price, size, ts)
            tracked += 1
            result += 1 + CHANGED_UNIT
    return result + (crowded << 62)
