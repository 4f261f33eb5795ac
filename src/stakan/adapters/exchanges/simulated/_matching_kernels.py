"""Numeric kernels of the matching core: replay of market rows over a book and the resting orders in it.

The book is that of `_depth_kernels`. It is our copy: what simulated takers consume is missing from it until a message
names the level again.

Resting orders are rows of `orders` (int64: key, side, price, left) in order of time, beside them `queue` (float64:
lots ahead, lots traded at the price since the level last changed). `inf` ahead means: the price lies outside the
recorded depth, nothing is known about the queue there.
"""

import math

import numpy as np
import numpy.typing as npt

from stakan.adapters.exchanges.simulated._depth_kernels import (
    BEST,
    LEVELS,
    USED,
    apply_levels,
    clear,
    drop_best,
    is_beyond,
    next_level,
    row_of,
    size_at,
)
from stakan.core.kernel import kernel
from stakan.core.market._book_kernels import ASKS, BIDS, CORRUPT, CROSSED, NEEDS_ROOM, PRICE, SIZE

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Columns of a packed market row.
TS, KIND, SEQUENCE, PREVIOUS, FIRST, END, BID_COUNT = range(7)
# Values of KIND, as in `core.domain.batch.Kind`.
SNAPSHOT, DELTA, BUY_PRINT, SELL_PRINT, QUOTE, OTHER = range(6)
# Columns of a resting order.
KEY, SIDE, AT, LEFT = range(4)
# Columns of its queue.
AHEAD, TRADED = range(2)
# Columns of a fill: key (or 0 for a taker), price, size.
FILL_COLUMNS = 3

# Cells of `state`; the first six belong to the book.
CURSOR = 6
NEXT_TS = 7
NOW = 8
BOOK_SEQUENCE = 9
BOOK_LIVE = 10
ORDER_COUNT = 11
TOP_BUY = 12
LOW_BUY = 13
TOP_SELL = 14
HIGH_SELL = 15
FILL_COUNT = 16
LAST = 17
LAST_LOW = 18
LAST_HIGH = 19
MID_LOW = 20
MID_HIGH = 21
OTHER_INDEX = 22
GAPS = 23
LAST_MID = 24  # twice the mid when the book was forgotten; 0: it never was
STATE_CELLS = 25

NEVER = 2**62

# Bits of an advance result.
FILLED = 1
WATCHED = 2
"""The last price or the mid has reached a watched bound."""
HAS_OTHER = 4
FULL = 8
"""The book has no room for the next row."""

# Queue models, as in `models.Queue`.
RISK_AVERSE, LOGARITHMIC, POWER, OPTIMISTIC = range(4)


@kernel
def share_behind(ahead: float, behind: float, model: int, exponent: float, unit: float) -> float:
    """Share of cancelled lots that stood behind us: f(behind) / (f(behind) + f(ahead))."""
    if model == LOGARITHMIC:
        at_back = math.log(1.0 + behind * unit)
        at_front = math.log(1.0 + ahead * unit)
    else:
        at_back = behind**exponent
        at_front = ahead**exponent
    total = at_back + at_front
    return at_back / total if total > 0.0 else 1.0


@kernel
def requeue(queue: Floats, row: int, before: int, after: int, model: int, exponent: float, unit: float) -> None:
    """A level went from `before` to `after` lots: move the order at it forward as the queue model says."""
    ahead = queue[row, AHEAD]
    cancelled = before - after - queue[row, TRADED]
    queue[row, TRADED] = 0.0
    if ahead < math.inf and cancelled > 0.0 and model != RISK_AVERSE:
        if model == OPTIMISTIC:
            ahead -= cancelled
        else:
            behind = max(0.0, before - ahead)
            from_behind = share_behind(ahead, behind, model, exponent, unit) * cancelled
            ahead -= cancelled - min(from_behind, behind)
    queue[row, AHEAD] = max(0.0, min(ahead, float(after)))


@kernel
def bounds(state: Ints, orders: Ints) -> None:
    """Recompute the range of prices at which orders rest."""
    state[TOP_BUY] = 0
    state[LOW_BUY] = NEVER
    state[TOP_SELL] = NEVER
    state[HIGH_SELL] = 0
    for row in range(state[ORDER_COUNT]):
        price = orders[row, AT]
        if orders[row, SIDE] > 0:
            state[TOP_BUY] = max(state[TOP_BUY], price)
            state[LOW_BUY] = min(state[LOW_BUY], price)
        else:
            state[TOP_SELL] = min(state[TOP_SELL], price)
            state[HIGH_SELL] = max(state[HIGH_SELL], price)


@kernel
def drop_filled(state: Ints, orders: Ints, queue: Floats) -> None:
    """Close the gaps that filled or removed orders (nothing left) leave in the table."""
    kept = 0
    for row in range(state[ORDER_COUNT]):
        if orders[row, LEFT] > 0:
            if kept != row:
                orders[kept] = orders[row]
                queue[kept] = queue[row]
            kept += 1
    state[ORDER_COUNT] = kept
    bounds(state, orders)


@kernel
def find(state: Ints, orders: Ints, key: int) -> int:
    """Row of a resting order; -1 where it does not rest."""
    for row in range(state[ORDER_COUNT]):
        if orders[row, KEY] == key:
            return row
    return -1


@kernel
def resize(state: Ints, orders: Ints, queue: Floats, key: int, left: int) -> None:
    """Shrink an order in its place; with 0 it is gone. Orders that do not rest are passed over."""
    row = find(state, orders, key)
    if row >= 0:
        orders[row, LEFT] = left
        if left == 0:
            drop_filled(state, orders, queue)


@kernel
def shorten(state: Ints, orders: Ints, queue: Floats, side: int, price: int, size: int) -> None:
    """Market lots at a level went to a simulated order: nobody at it has more ahead than is left."""
    for row in range(state[ORDER_COUNT]):
        if orders[row, SIDE] == side and orders[row, AT] == price:
            queue[row, AHEAD] = min(queue[row, AHEAD], float(size))


@kernel
def consume(depth: Ints, state: Ints, orders: Ints, queue: Floats, which: int, wanted: int) -> int:
    """Take up to `wanted` lots from the best level of a side of our copy; returns how many it gave."""
    price = state[BEST + which]
    row = row_of(depth[which], price)
    given = min(wanted, depth[which, row, SIZE])
    left = depth[which, row, SIZE] - given
    depth[which, row, SIZE] = left
    if left == 0:
        drop_best(depth, state, which)
    shorten(state, orders, queue, 1 - 2 * which, price, left)
    return int(given)


@kernel
def add_fill(state: Ints, fills: Ints, key: int, price: int, size: int) -> None:
    """Append a fill; the table has a row for every resting order."""
    row = state[FILL_COUNT]
    fills[row, 0] = key
    fills[row, 1] = price
    fills[row, 2] = size
    state[FILL_COUNT] = row + 1


@kernel
def next_price(state: Ints, orders: Ints, side: int, after: int) -> int:
    """Best price of a side at which orders rest and which is worse than `after`; 0 where there is none."""
    best = 0
    for row in range(state[ORDER_COUNT]):
        price = orders[row, AT]
        if orders[row, SIDE] == side and side * price < side * after and (best == 0 or side * price > side * best):
            best = price
    return int(best)


@kernel
def trade(state: Ints, orders: Ints, queue: Floats, fills: Ints, side: int, price: int, size: int) -> None:
    """A print of `size` at `price` meets our orders of `side`, best price first, then in order of time.

    Orders better than the print would have been hit first: they get what the print had. Orders at its price let the
    queue pass. All of them together never get more than the print's size.
    """
    used = 0
    at = state[TOP_BUY] if side > 0 else state[TOP_SELL]
    while at != 0 and side * at >= side * price and used < size:
        for row in range(state[ORDER_COUNT]):
            if orders[row, SIDE] != side or orders[row, AT] != at:
                continue
            arriving = size - used
            if at == price:
                queue[row, TRADED] += arriving
                queue[row, AHEAD] -= arriving
                arriving = round(-queue[row, AHEAD]) if queue[row, AHEAD] < 0.0 else 0
            got = min(arriving, orders[row, LEFT])
            queue[row, AHEAD] = max(0.0, queue[row, AHEAD]) if at == price else 0.0
            if got > 0:
                orders[row, LEFT] -= got
                used += got
                add_fill(state, fills, orders[row, KEY], at, got)
        at = next_price(state, orders, side, at)
    if state[FILL_COUNT]:
        drop_filled(state, orders, queue)


@kernel
def cross(depth: Ints, state: Ints, orders: Ints, queue: Floats, fills: Ints, side: int) -> None:
    """The market's opposite side has reached our orders of `side`: they take it at their own prices, as makers."""
    which = ASKS if side > 0 else BIDS
    at = state[TOP_BUY] if side > 0 else state[TOP_SELL]
    while at != 0 and state[which] and side * at >= side * state[which]:
        for row in range(state[ORDER_COUNT]):
            if orders[row, SIDE] != side or orders[row, AT] != at:
                continue
            got = 0
            queue[row, AHEAD] = 0.0
            while got < orders[row, LEFT] and state[which] and side * at >= side * state[which]:
                got += consume(depth, state, orders, queue, which, orders[row, LEFT] - got)
            if got > 0:
                orders[row, LEFT] -= got
                add_fill(state, fills, orders[row, KEY], at, got)
        at = next_price(state, orders, side, at)
    if state[FILL_COUNT]:
        drop_filled(state, orders, queue)


@kernel
def requeue_delta(  # noqa: PLR0913, PLR0917 - arrays and parameters of one kernel
    levels: Ints,
    bid_count: int,
    depth: Ints,
    state: Ints,
    orders: Ints,
    queue: Floats,
    model: int,
    exponent: float,
    unit: float,
) -> None:
    """Before a delta is applied: move the orders at the levels that it names."""
    for i in range(levels.shape[0]):
        price = levels[i, PRICE]
        which = BIDS if i < bid_count else ASKS
        if which == BIDS:
            if price > state[TOP_BUY] or price < state[LOW_BUY]:
                continue
        elif price < state[TOP_SELL] or price > state[HIGH_SELL]:
            continue
        sign = 1 - 2 * which
        before = -1
        for row in range(state[ORDER_COUNT]):
            if orders[row, SIDE] == sign and orders[row, AT] == price:
                if before < 0:
                    before = size_at(depth, which, price)
                requeue(queue, row, before, levels[i, SIZE], model, exponent, unit)


@kernel
def requeue_snapshot(
    before: Ints, depth: Ints, state: Ints, orders: Ints, queue: Floats, model: int, exponent: float, unit: float
) -> None:
    """After a snapshot: move orders by the difference to the book before; far ones stay as they are."""
    for row in range(state[ORDER_COUNT]):
        which = BIDS if orders[row, SIDE] > 0 else ASKS
        price = orders[row, AT]
        if is_beyond(depth, state, which, price):
            continue
        after = size_at(depth, which, price)
        if before[row] < 0:
            queue[row, TRADED] = 0.0
            queue[row, AHEAD] = min(queue[row, AHEAD], float(after))
        else:
            requeue(queue, row, before[row], after, model, exponent, unit)


@kernel
def sizes_at_orders(depth: Ints, state: Ints, orders: Ints) -> Ints:
    """Lots at each order's price; -1 where the book does not reach."""
    sizes = np.empty(state[ORDER_COUNT], np.int64)
    for row in range(state[ORDER_COUNT]):
        which = BIDS if orders[row, SIDE] > 0 else ASKS
        far = is_beyond(depth, state, which, orders[row, AT])
        sizes[row] = -1 if far else size_at(depth, which, orders[row, AT])
    return sizes


@kernel
def forget_book(depth: Ints, state: Ints) -> None:
    """The recorded book cannot be trusted: nothing can be taken from it until the next snapshot."""
    if state[LEVELS + BIDS] > 0 and state[LEVELS + ASKS] > 0:
        state[LAST_MID] = state[BEST + BIDS] + state[BEST + ASKS]
    clear(depth, state)
    state[BOOK_LIVE] = 0


@kernel
def replay_book(  # noqa: PLR0913, PLR0917 - arrays and parameters of one kernel
    market: Ints,
    levels: Ints,
    depth: Ints,
    state: Ints,
    orders: Ints,
    queue: Floats,
    model: int,
    exponent: float,
    unit: float,
    reach: int,
) -> int:
    """Apply one snapshot or delta to the book and the queues; returns the bits of `apply_levels`."""
    bid_count = market[BID_COUNT]
    if market[KIND] == SNAPSHOT:
        if 2 * max(bid_count, len(levels) - bid_count) > depth.shape[1]:
            return NEEDS_ROOM
        before = sizes_at_orders(depth, state, orders)
        clear(depth, state)
        bits = apply_levels(depth, state, levels, bid_count, reach)
        state[BOOK_LIVE] = 1
        requeue_snapshot(before, depth, state, orders, queue, model, exponent, unit)
    else:
        if state[BOOK_LIVE] == 0:
            return 0
        if market[PREVIOUS] != state[BOOK_SEQUENCE]:
            if market[SEQUENCE] <= state[BOOK_SEQUENCE]:
                return 0
            if market[PREVIOUS] > state[BOOK_SEQUENCE]:
                state[GAPS] += 1
                forget_book(depth, state)
                return 0
        room = depth.shape[1] // 2
        if state[USED + BIDS] + bid_count > room or state[USED + ASKS] + len(levels) - bid_count > room:
            return NEEDS_ROOM
        if state[ORDER_COUNT]:
            requeue_delta(levels, bid_count, depth, state, orders, queue, model, exponent, unit)
        bits = apply_levels(depth, state, levels, bid_count, reach)
    state[BOOK_SEQUENCE] = market[SEQUENCE]
    if bits & (CROSSED | CORRUPT):
        forget_book(depth, state)
    return int(bits)


@kernel
def watch_mid(state: Ints) -> int:
    """WATCHED where twice the mid (in ticks) has reached a bound."""
    if state[BIDS] == 0 or state[ASKS] == 0:
        return 0
    double = state[BIDS] + state[ASKS]
    return WATCHED if double <= state[MID_LOW] or double >= state[MID_HIGH] else 0


@kernel
def advance(  # noqa: PLR0913, PLR0917 - arrays and parameters of one kernel
    rows: Ints,
    levels: Ints,
    depth: Ints,
    state: Ints,
    orders: Ints,
    queue: Floats,
    fills: Ints,
    until: int,
    model: int,
    exponent: float,
    unit: float,
    reach: int,
) -> int:
    """Live through market rows with a time up to `until`; stops after a row that somebody must look at.

    Returns bits: FILLED (`fills` has state[FILL_COUNT] rows), WATCHED, HAS_OTHER (state[OTHER_INDEX]), FULL (the row
    is not yet done); 0 when all rows up to `until` are done.
    """
    row = state[CURSOR]
    total = rows.shape[0]
    state[FILL_COUNT] = 0
    bits = 0
    while row < total and rows[row, TS] <= until:
        market = rows[row]
        kind = market[KIND]
        if kind <= DELTA:
            inside = levels[market[FIRST] : market[END]]
            applied = replay_book(market, inside, depth, state, orders, queue, model, exponent, unit, reach)
            if applied & NEEDS_ROOM:
                bits = FULL
                break
            if state[TOP_BUY] and state[ASKS] and state[TOP_BUY] >= state[ASKS]:
                cross(depth, state, orders, queue, fills, 1)
            if state[TOP_SELL] < NEVER and state[BIDS] and state[TOP_SELL] <= state[BIDS]:
                cross(depth, state, orders, queue, fills, -1)
            bits = watch_mid(state)
        elif kind <= SELL_PRINT:
            price = levels[market[FIRST], PRICE]
            is_rpi = market[PREVIOUS] != 0
            if kind == SELL_PRINT:
                if state[TOP_BUY] >= price and not is_rpi:
                    trade(state, orders, queue, fills, 1, price, levels[market[FIRST], SIZE])
            elif state[TOP_SELL] <= price and not is_rpi:
                trade(state, orders, queue, fills, -1, price, levels[market[FIRST], SIZE])
            state[LAST] = price
            if price <= state[LAST_LOW] or price >= state[LAST_HIGH]:
                bits = WATCHED
        elif kind == OTHER:
            state[OTHER_INDEX] = market[SEQUENCE]
            bits = HAS_OTHER
        if state[FILL_COUNT]:
            bits |= FILLED
        state[NOW] = market[TS]
        row += 1
        if bits:
            break
    state[CURSOR] = row
    state[NEXT_TS] = rows[row, TS] if row < total else NEVER
    return bits


@kernel
def take(depth: Ints, state: Ints, orders: Ints, queue: Floats, fills: Ints, side: int, limit: int, size: int) -> int:
    """Walk the book up to a limit price and consume it; fills have key 0; returns lots left.

    Stops early when `fills` is full (then state[FILL_COUNT] is its length and the caller calls again).
    """
    which = ASKS if side > 0 else BIDS
    state[FILL_COUNT] = 0
    while size > 0 and state[which] and state[FILL_COUNT] < len(fills):
        price = state[BEST + which]
        if side * price > side * limit:
            break
        got = consume(depth, state, orders, queue, which, size)
        add_fill(state, fills, 0, price, got)
        size -= got
    return size


@kernel
def available(depth: Ints, state: Ints, side: int, limit: int) -> int:
    """Lots that a taker of `side` could get up to a limit price."""
    which = ASKS if side > 0 else BIDS
    lots = 0
    price = state[BEST + which]
    for level in range(state[LEVELS + which]):
        if level:
            price = next_level(depth, which, price)
        if side * price > side * limit:
            break
        lots += size_at(depth, which, price)
    return int(lots)


@kernel
def rest(depth: Ints, state: Ints, orders: Ints, queue: Floats, key: int, side: int, price: int, size: int) -> None:
    """Append a resting order behind all that the level shows; the caller has made room."""
    row = state[ORDER_COUNT]
    which = BIDS if side > 0 else ASKS
    orders[row, KEY] = key
    orders[row, SIDE] = side
    orders[row, AT] = price
    orders[row, LEFT] = size
    queue[row, TRADED] = 0.0
    if is_beyond(depth, state, which, price):
        queue[row, AHEAD] = math.inf
    else:
        queue[row, AHEAD] = size_at(depth, which, price)
    state[ORDER_COUNT] = row + 1
    bounds(state, orders)
