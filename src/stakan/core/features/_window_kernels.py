"""Kernels that keep what windows of exchange time need of a book: one row per message, and lives of levels.

State of one instrument, all plain arrays:

- `changes`, shape (capacity, 5): a ring of one row per message, columns below;
- `shapes`, shape (capacity, 2): beside it, relative change of the ten-level depth and relative spread;
- `lives`, shape (capacity, 2): a ring of when a level left the first 20 of its side, and after how long;
- `top`, shape (2, 40, 2): price of the first 20 levels of each side and when they came there, and room to work;
- `flow`, shape (FLOW_FIELDS,): where the rings begin, and what the last message left.

Capacities are powers of two. Rings hold a little more than the last minute: as much as its whole seconds need, and one
row before, which says how things stood when a window began. Reading changes nothing.
"""

from stakan.core.features._order_book_kernels import Floats, Ints, depth
from stakan.core.kernel import kernel

SECOND_NS = 1_000_000_000
SHORT_NS = 10 * SECOND_NS
LONG_NS = 60 * SECOND_NS
KEEP_NS = LONG_NS + SECOND_NS

# Columns of `changes`.
TS = 0
OFI = 1  # lots
DELTA_5 = 2  # B5 - A5 in lots
TOUCHED = 3  # 1 where a best price or size changed
DOUBLE_MID = 4  # pb1 + pa1 in ticks
CHANGE_COLUMNS = 5

# Columns of `shapes`.
DEPTH_CHANGE = 0
SPREAD = 1
SHAPE_COLUMNS = 2

# Columns of `lives`.
LEFT = 0
LIFE = 1
LIFE_COLUMNS = 2

# Columns of `top`.
TOP_LEVELS = 20
PRICE = 0
SINCE = 1  # UNKNOWN for levels that were there when the watch began
UNKNOWN = -1

# Fields of `flow`.
HEAD = 0
COUNT = 1
LIVES_HEAD = 2
LIVES_COUNT = 3
LIVES_SINCE = 4  # from then on every life that ended is in the ring
LAST_TS = 5
BID_PRICE = 6
BID_SIZE = 7
ASK_PRICE = 8
ASK_SIZE = 9
DEPTH_10 = 10
TOP_BIDS = 11
TOP_ASKS = 12
FLOW_FIELDS = 13

# Answers of `observe`.
TAKEN = 0
CHANGES_FULL = 1
LIVES_FULL = 2

MOST_ROWS = 65_536
"""Rings do not grow beyond this; a busier market loses its oldest rows, and `warm` says so."""


@kernel
def drop_old(ts: int, changes: Ints, lives: Ints, flow: Ints) -> None:
    """Drop rows that no window from `ts` on needs."""
    mask = changes.shape[0] - 1
    while flow[COUNT] > 1 and changes[(flow[HEAD] + 1) & mask, TS] <= ts - KEEP_NS:
        flow[HEAD] = (flow[HEAD] + 1) & mask
        flow[COUNT] -= 1
    mask = lives.shape[0] - 1
    while flow[LIVES_COUNT] > 0 and lives[flow[LIVES_HEAD], LEFT] <= ts - LONG_NS:
        flow[LIVES_HEAD] = (flow[LIVES_HEAD] + 1) & mask
        flow[LIVES_COUNT] -= 1


@kernel
def make_room(changes: Ints, lives: Ints, flow: Ints) -> int:
    """Answer of `observe` where a ring must grow first; drops the oldest row of one that must not."""
    if flow[COUNT] == changes.shape[0]:
        if changes.shape[0] < MOST_ROWS:
            return CHANGES_FULL
        flow[HEAD] = (flow[HEAD] + 1) & (changes.shape[0] - 1)
        flow[COUNT] -= 1
    while flow[LIVES_COUNT] + 2 * TOP_LEVELS > lives.shape[0]:
        if lives.shape[0] < MOST_ROWS:
            return LIVES_FULL
        flow[LIVES_SINCE] = lives[flow[LIVES_HEAD], LEFT]
        flow[LIVES_HEAD] = (flow[LIVES_HEAD] + 1) & (lives.shape[0] - 1)
        flow[LIVES_COUNT] -= 1
    return TAKEN


@kernel
def end_life(since: int, ts: int, lives: Ints, flow: Ints) -> None:
    """A level has left the first 20; one whose beginning was not seen is not counted."""
    if since == UNKNOWN:
        return
    row = (flow[LIVES_HEAD] + flow[LIVES_COUNT]) & (lives.shape[0] - 1)
    lives[row, LEFT] = ts
    lives[row, LIFE] = ts - since
    flow[LIVES_COUNT] += 1


@kernel
def follow_top(side: Ints, count: int, which: int, ts: int, top: Ints, lives: Ints, flow: Ints) -> None:
    """Carry the first 20 levels of one side on: who is still there, who has come, who has left.

    Both lists run from the best outwards, so one walk over both finds them; levels that stay in their rank cost a
    comparison. Rows after the first 20 of the table are room to move the others out of the way.
    """
    sign = 1 - 2 * which
    kept = top[which]
    old = flow[TOP_BIDS + which]
    new = min(count, TOP_LEVELS)
    same = 0
    while same < old and same < new and kept[same, PRICE] == side[count - 1 - same, 0]:
        same += 1
    if same == old and same == new:
        return
    i = TOP_LEVELS + same
    end = TOP_LEVELS + old
    for row in range(same, old):
        kept[TOP_LEVELS + row] = kept[row]
    for rank in range(same, new):
        price = side[count - 1 - rank, 0]
        while i < end and sign * kept[i, PRICE] > sign * price:
            end_life(kept[i, SINCE], ts, lives, flow)
            i += 1
        since = ts
        if i < end and kept[i, PRICE] == price:
            since = kept[i, SINCE]
            i += 1
        kept[rank, PRICE] = price
        kept[rank, SINCE] = since
    while i < end:
        end_life(kept[i, SINCE], ts, lives, flow)
        i += 1
    flow[TOP_BIDS + which] = new


@kernel
def begin(sides: Ints, counts: Ints, ts: int, top: Ints, flow: Ints) -> None:
    """The first message: its levels have been there for nobody knows how long."""
    flow[LIVES_SINCE] = ts
    for which in range(2):
        count = counts[which]
        new = min(count, TOP_LEVELS)
        for rank in range(new):
            top[which, rank, PRICE] = sides[which, count - 1 - rank, 0]
            top[which, rank, SINCE] = UNKNOWN
        flow[TOP_BIDS + which] = new


@kernel
def ofi_increment(pb: int, qb: int, pa: int, qa: int, pb0: int, qb0: int, pa0: int, qa0: int) -> int:
    """What one change of the best quotes adds to order flow imbalance; prices and sizes now, then before.

    Cont, Kukanov & Stoikov, "The price impact of order book events" (2014), eq. 4:
    e = 1{Pb >= Pb'} qb - 1{Pb <= Pb'} qb' - 1{Pa <= Pa'} qa + 1{Pa >= Pa'} qa'.
    """
    increment = 0
    if pb >= pb0:
        increment += qb
    if pb <= pb0:
        increment -= qb0
    if pa <= pa0:
        increment -= qa
    if pa >= pa0:
        increment += qa0
    return increment


@kernel
def observe(
    sides: Ints, counts: Ints, ts: int, changes: Ints, shapes: Floats, lives: Ints, top: Ints, flow: Ints
) -> int:
    """Take one applied book message in; where the answer is not TAKEN, a ring must grow first and nothing was taken.

    Both sides must have a level. Exchange time that goes back counts as standing still.
    """
    is_first = flow[COUNT] == 0
    ts = ts if is_first else max(ts, flow[LAST_TS])
    drop_old(ts, changes, lives, flow)
    answer = make_room(changes, lives, flow)
    if answer != TAKEN:
        return answer
    bids, asks = counts[0], counts[1]
    pb, qb = sides[0, bids - 1, 0], sides[0, bids - 1, 1]
    pa, qa = sides[1, asks - 1, 0], sides[1, asks - 1, 1]
    pb0, qb0, pa0, qa0 = flow[BID_PRICE], flow[BID_SIZE], flow[ASK_PRICE], flow[ASK_SIZE]
    depth_10 = depth(sides[0], bids, 10) + depth(sides[1], asks, 10)
    row = (flow[HEAD] + flow[COUNT]) & (changes.shape[0] - 1)
    changes[row, TS] = ts
    changes[row, DELTA_5] = depth(sides[0], bids, 5) - depth(sides[1], asks, 5)
    changes[row, DOUBLE_MID] = pb + pa
    shapes[row, SPREAD] = 2.0 * (pa - pb) / (pa + pb)
    if is_first:
        changes[row, OFI] = changes[row, TOUCHED] = 0
        shapes[row, DEPTH_CHANGE] = 0.0
        begin(sides, counts, ts, top, flow)
    else:
        changes[row, OFI] = ofi_increment(pb, qb, pa, qa, pb0, qb0, pa0, qa0)
        changes[row, TOUCHED] = pb != pb0 or pa != pa0 or qb != qb0 or qa != qa0
        shapes[row, DEPTH_CHANGE] = float(depth_10 - flow[DEPTH_10]) / float(flow[DEPTH_10])
        follow_top(sides[0], bids, 0, ts, top, lives, flow)
        follow_top(sides[1], asks, 1, ts, top, lives, flow)
    flow[COUNT] += 1
    flow[LAST_TS] = ts
    flow[DEPTH_10] = depth_10
    flow[BID_PRICE], flow[BID_SIZE], flow[ASK_PRICE], flow[ASK_SIZE] = pb, qb, pa, qa
    return TAKEN
