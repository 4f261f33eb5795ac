"""Kernels that tell large orders from the changes of levels, follow them, and ask the tape what became of them.

An order is a row of a table (columns below): a level that grew within one message by a multiple of the median level of
its side. It ends when as much goes at once, or three quarters of it are gone, waits a grace for prints that come after
the book, and is then settled. Rows [0, meta[COUNT]) are in order of appearance.
"""

import math

import numpy as np
import numpy.typing as npt

from stakan.core.kernel import kernel
from stakan.core.market._book_kernels import ASKS, BIDS, PRICE, SIZE

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Signs = npt.NDArray[np.int8]

WHICH = 0
"""0 bids, 1 asks, as in the book."""
LEVEL = 1
"""Price in ticks."""
BASE = 2
"""Lots of the level before it grew; fewer where some of those went meanwhile."""
GROWTH = 3
"""Lots that came."""
MEDIAN = 4
"""Lots of the median level of its side when it came, the least of the last two to four seconds."""
SINCE = 5
DISTANCE = 6
"""Ticks behind the touch of its side when it came, at least 1."""
NOW = 7
"""Lots of the level after the last message."""
ENDED = 8
"""When it went; 0 while it stands, FORGOTTEN where it is not known any more."""
DROP = 9
"""Lots that went with the message in which it ended."""
MOVED = 10
"""Whether it came from, or went to, another level of its side: LIKE_SIZE or SAME_SIZE, 0 where it seems not."""
PAIRED = 11
"""Whether as much came to the other side at once: both sides of one quote."""
AGITATION = 12
"""How much the touch had moved lately when it came, in thousandths of what is usual."""
BREADTH = 13
"""Levels of the message that brought it, in thousandths of what is usual."""
COMMON = 14
"""Orders of its size on the other side in the last two minutes."""
ELSEWHERE = 15
"""The same on its own side, at other distances from the touch."""
MIDDLE = 16
"""Best bid + best ask when it came, ticks."""
RESPONSE = 17
"""How far they had moved its way when it went, ticks of the sum."""
TRADED = 18
"""Lots that prints took at its price while it stood."""
OPPOSITE = 19
"""Lots that were traded on the other side from its coming until it was settled."""
HIT = 20
"""Prints against its own side in the third of a second before it went."""
RIPE = 21
"""1 when it has stood long enough to be looked at while it stands, 2 when it was looked at."""
COLUMNS = 22

# Limits of what is followed. Whole numbers are exact in an array of floats, which crosses into a kernel faster than each.
MULTIPLE = 0
"""Of the median level: the least growth that counts."""
REACH = 1
"""Ticks behind the touch."""
RIPE_AFTER = 2
"""Nanoseconds, as the next two."""
OLDEST = 3
AT_LEAST = 4

# Counters of a state.
COUNT = 0
BID_MEDIAN = 1
ASK_MEDIAN = 2
MEDIAN_TS = 3
BEST_BID = 4
BEST_ASK = 5
LAST_TS = 6
MESSAGES = 7
NEXT_SIZE = 8
"""Row of the ring of sizes that is written next."""
CROWDED = 9
"""Orders that had to make room."""
SPAN_TS = 10
"""When the span of the least medians began."""
LEAST_NOW = 11
"""Of it, bids and asks; then of the span before."""
LEAST_BEFORE = 13
METAS = 15

# What is usual: decayed statistics.
PACE = 0
"""Ticks that the sum of the touches moved in the last second or so."""
USUAL_PACE = 1
USUAL_BREADTH = 2
PACES = 3

NEAREST = 50
"""Levels of a side that its median is taken of."""
MEDIAN_EVERY = 200_000_000
MEDIAN_SPAN = 2_000_000_000
"""Nanoseconds; the least median of one or two such spans is taken: a side that fills up for a moment makes no order small that is of the size of one before."""
TOLD = 32
"""Orders that are looked at with one message; the others wait for the next."""
GRACE = 150_000_000
"""How long after the book a print may come."""
MOVE = 80_000_000
"""An order that comes back elsewhere within this time has moved."""
LIKE = 35
"""Percent by which an order that moves may change: it may have been hit, or is sized anew."""
SAME = 2
"""Percent by which both halves of a quote may differ, or what went and what came elsewhere."""
BURST = 333_000_000
COMMON_SPAN = 120_000_000_000
PACE_S = 1.0
USUAL_S = 60.0
LIKE_SIZE = 1
"""As much came there as left here, to LIKE percent: it may be another's order, where much changes."""
SAME_SIZE = 2
"""To SAME percent."""
NEVER = 2**62
FORGOTTEN = -1


@kernel
def side_median(sides: Ints, counts: Ints, which: int) -> int:
    """Median lots of the nearest 50 levels of a side (the upper of two), at least 1."""
    n = min(counts[which], NEAREST)
    if n == 0:
        return 1
    sizes = np.empty(n, np.int64)
    for i in range(n):
        sizes[i] = sides[which, counts[which] - 1 - i, SIZE]
    # Counting for one after the other takes half as long as sorting so few.
    for i in range(n):
        below = 0
        up_to = 0
        for k in range(n):
            below += sizes[k] < sizes[i]
            up_to += sizes[k] <= sizes[i]
        if below <= n >> 1 < up_to:
            return max(1, int(sizes[i]))
    return 1


@kernel
def keep_medians(sides: Ints, counts: Ints, meta: Ints, ts: int) -> None:
    """Take the medians of both sides: the least of this span and the one before. It scales with the sizes, exactly."""
    is_new = meta[MESSAGES] == 0 or ts - meta[SPAN_TS] >= MEDIAN_SPAN
    for which in (BIDS, ASKS):
        median = side_median(sides, counts, which)
        least = meta[LEAST_NOW + which] if meta[MESSAGES] else median
        if is_new:
            meta[LEAST_BEFORE + which] = least
            least = median
        meta[LEAST_NOW + which] = min(least, median)
        meta[BID_MEDIAN + which] = min(meta[LEAST_NOW + which], meta[LEAST_BEFORE + which])
    if is_new:
        meta[SPAN_TS] = ts
    meta[MEDIAN_TS] = ts


@kernel
def changed_by(
    levels: Ints, bid_count: int, before: Ints, which: int, lots: int, limit: int, sign: int, percent: int
) -> bool:
    """Whether a level of a side, no farther than price `limit`, changed by `lots` in this message, to some percent.

    `sign` +1 asks for growth, -1 for a loss.
    """
    first = 0 if which == BIDS else bid_count
    last = bid_count if which == BIDS else levels.shape[0]
    side = 1 - 2 * which
    for i in range(first, last):
        change = sign * (levels[i, SIZE] - before[i])
        if 100 * abs(change - lots) <= percent * lots and side * (levels[i, PRICE] - limit) >= 0:
            return True
    return False


@kernel
def moved_to(levels: Ints, bid_count: int, before: Ints, which: int, lots: int, limit: int, sign: int) -> int:
    """Whether an order went elsewhere on its side with this message (`sign` +1), or came from there (-1), and how surely."""
    if not changed_by(levels, bid_count, before, which, lots, limit, sign, LIKE):
        return 0
    return SAME_SIZE if changed_by(levels, bid_count, before, which, lots, limit, sign, SAME) else LIKE_SIZE


@kernel
def keep_pace(meta: Ints, pace: Floats, bid: int, ask: int, breadth: int, ts: int) -> None:
    """Take a message into what is usual."""
    first = meta[MESSAGES] == 0
    seconds = 0.0 if first else max(0, ts - meta[LAST_TS]) * 1e-9
    moved = 0 if first else abs(bid + ask - meta[BEST_BID] - meta[BEST_ASK])
    pace[PACE] = pace[PACE] * np.exp(-seconds / PACE_S) + moved
    share = 1.0 - np.exp(-seconds / USUAL_S)
    pace[USUAL_PACE] += (pace[PACE] - pace[USUAL_PACE]) * share
    pace[USUAL_BREADTH] = breadth if first else pace[USUAL_BREADTH] + (breadth - pace[USUAL_BREADTH]) * share
    meta[MESSAGES] += 1
    meta[LAST_TS] = max(meta[LAST_TS], ts)
    meta[BEST_BID] = bid
    meta[BEST_ASK] = ask


@kernel
def is_told(table: Ints, i: int, ts: int) -> bool:
    """Whether an order is to be told of: it went a grace ago, or has just become ripe."""
    ended = table[i, ENDED]
    return bool(ts - ended >= GRACE) if ended > 0 else bool(table[i, RIPE] == 1)


@kernel
def size_near(sides: Ints, counts: Ints, bests: Ints, which: int, price: int) -> int:
    """Lots at a price near the touch; 0 where there is no such level.

    It stands as many rows before the best as ticks, or fewer where levels are missing: few rows, and those in use.
    """
    sign = 1 - 2 * which
    high = counts[which] - 1
    low = max(0, high - sign * (bests[which] - price))
    while low < high:
        middle = (low + high) >> 1
        if sign * sides[which, middle, PRICE] < sign * price:
            low = middle + 1
        else:
            high = middle
    return int(sides[which, low, SIZE]) if low == high and sides[which, low, PRICE] == price else 0


@kernel
def is_missing(row: Ints, size: int) -> bool:
    """Whether a level that holds `size` has lost three quarters of what an order brought."""
    return bool(4 * (size - row[BASE]) <= row[GROWTH])


@kernel
def has_gone(row: Ints, size: int) -> bool:
    """Whether an order went with the message after which its level holds `size`.

    It did where as much went as had come, or where three quarters of it are not there any more; not where the level has
    lost that much and could still hold all of it: then another order went.
    """
    growth = row[GROWTH]
    if 100 * abs(row[NOW] - size - growth) <= SAME * growth:
        return True
    return bool(is_missing(row, size) and 100 * size < (100 - SAME) * growth)


@kernel
def grow_older(
    table: Ints, i: int, sides: Ints, counts: Ints, bests: Ints, ts: int, ripe_after: int, oldest: int
) -> None:  # fmt: skip
    """Bring an order that stands up to date (see `has_gone` for its end).

    A level beyond the last one that the book shows is out of sight: its order is forgotten, as is one that is too old.
    """
    which = table[i, WHICH]
    price = table[i, LEVEL]
    age = ts - table[i, SINCE]
    size = size_near(sides, counts, bests, which, price)
    sign = 1 - 2 * which
    if (size == 0 and sign * price < sign * sides[which, 0, PRICE]) or age > oldest:
        table[i, ENDED] = FORGOTTEN
        return
    if has_gone(table[i], size):
        table[i, ENDED] = ts
        table[i, DROP] = table[i, NOW] - size
        table[i, RESPONSE] = sign * (bests[BIDS] + bests[ASKS] - table[i, MIDDLE])
    else:
        if is_missing(table[i], size):
            table[i, BASE] = max(0, size - table[i, GROWTH])
        if table[i, RIPE] == 0 and age >= ripe_after:
            table[i, RIPE] = 2 if table[i, MOVED] or table[i, PAIRED] else 1
    table[i, NOW] = size


@kernel
def review(
    sides: Ints, counts: Ints, table: Ints, meta: Ints, bests: Ints, limits: Floats, ts: int
) -> tuple[int, int]:  # fmt: skip
    """Bring all orders up to date and drop those that nobody is told of.

    Returns how many are to be told of, and how many have gone and wait.
    """
    ripe_after, oldest, at_least = int(limits[RIPE_AFTER]), int(limits[OLDEST]), int(limits[AT_LEAST])
    due = 0
    gone = 0
    kept = 0
    for i in range(meta[COUNT]):
        if table[i, ENDED] == 0:
            grow_older(table, i, sides, counts, bests, ts, ripe_after, oldest)
        ended = table[i, ENDED]
        if ended == FORGOTTEN:
            continue
        if ended > 0:
            if ts - ended >= GRACE and ended - table[i, SINCE] < at_least:
                continue
            gone += 1
        due += is_told(table, i, ts)
        if kept != i:
            table[kept] = table[i]
        kept += 1
    meta[COUNT] = kept
    return due, gone


@kernel
def note_moves(levels: Ints, bid_count: int, before: Ints, table: Ints, meta: Ints, reach: int, ts: int) -> None:
    """Orders that have just ended and whose size came back elsewhere on their side have moved."""
    for i in range(meta[COUNT]):
        row = table[i]
        if row[ENDED] > 0 and ts - row[ENDED] < MOVE and row[MOVED] < SAME_SIZE:
            limit = meta[BEST_BID + row[WHICH]] - (1 - 2 * row[WHICH]) * 2 * reach
            row[MOVED] = max(row[MOVED], moved_to(levels, bid_count, before, row[WHICH], row[GROWTH], limit, 1))


@kernel
def of_its_size(sizes: Ints, which: int, behind: int, lots: int, ts: int) -> tuple[int, int]:
    """Orders of a size (to 0.2 %) in the last two minutes: on the other side, and on its own at other distances."""
    other = 0
    elsewhere = 0
    for i in range(sizes.shape[0]):
        # What is hardly ever so is asked first.
        if abs(sizes[i, 0] - lots) * 500 > lots or sizes[i, 0] == 0 or ts - sizes[i, 1] > COMMON_SPAN:
            continue
        if sizes[i, 2] != which:
            other += 1
        elif sizes[i, 3] != behind:
            elsewhere += 1
    return other, elsewhere


@kernel
def remember_size(sizes: Ints, meta: Ints, which: int, behind: int, lots: int, ts: int) -> None:
    """An order of this size came to a side, so far behind its touch; the oldest of the ring goes."""
    written = sizes[meta[NEXT_SIZE]]
    written[0] = lots
    written[1] = ts
    written[2] = which
    written[3] = behind
    meta[NEXT_SIZE] = (meta[NEXT_SIZE] + 1) % sizes.shape[0]


@kernel
def per_mille(value: float, usual: float) -> int:
    """A value in thousandths of what is usual; small ones of either are as good as equal."""
    return int(1000.0 * (value + 0.1) / (usual + 0.1))


@kernel
def appear(  # noqa: PLR0913, PLR0917 - scalars cross into a kernel faster than an object of them
    levels: Ints, bid_count: int, before: Ints, i: int, table: Ints, meta: Ints, pace: Floats, sizes: Ints, reach: int,
    ts: int,
) -> None:  # fmt: skip
    """Row i of a message brought a large order; the oldest makes room where there is none."""
    which = 0 if i < bid_count else 1
    sign = 1 - 2 * which
    lots = levels[i, SIZE] - before[i]
    if meta[COUNT] >= table.shape[0]:
        for k in range(table.shape[0] - 1):
            table[k] = table[k + 1]
        meta[COUNT] -= 1
        meta[CROWDED] += 1
    row = table[meta[COUNT]]
    meta[COUNT] += 1
    row[:] = 0
    row[WHICH] = which
    row[LEVEL] = levels[i, PRICE]
    row[BASE] = before[i]
    row[GROWTH] = lots
    row[MEDIAN] = meta[BID_MEDIAN + which]
    row[SINCE] = ts
    row[DISTANCE] = sign * (meta[BEST_BID + which] - levels[i, PRICE])
    row[NOW] = levels[i, SIZE]
    row[MIDDLE] = meta[BEST_BID] + meta[BEST_ASK]
    other = 1 - which
    row[MOVED] = moved_to(levels, bid_count, before, which, lots, meta[BEST_BID + which] - sign * 2 * reach, -1)
    row[PAIRED] = changed_by(levels, bid_count, before, other, lots, meta[BEST_BID + other] + sign * 2 * reach, 1, SAME)
    row[AGITATION] = per_mille(pace[PACE], pace[USUAL_PACE])
    row[BREADTH] = per_mille(levels.shape[0], pace[USUAL_BREADTH])
    row[COMMON], row[ELSEWHERE] = of_its_size(sizes, which, row[DISTANCE], lots, ts)


@kernel
def follow(  # noqa: PLR0913, PLR0917 - scalars cross into a kernel faster than an object of them
    sides: Ints, counts: Ints, levels: Ints, bid_count: int, before: Ints, table: Ints, meta: Ints, pace: Floats,
    sizes: Ints, limits: Floats, ts: int,
) -> int:  # fmt: skip
    """One delta, after the book took it; returns how many orders `settle` has to tell of.

    An order is a growth of at least MULTIPLE medians, 1 to REACH ticks behind the touch: nobody pretends with what
    would be hit first. It is looked at while it stands when it is RIPE_AFTER old (unless it moved or is half of a
    quote), forgotten when it is older than OLDEST, and not told of when it stood less than AT_LEAST.
    """
    multiple = limits[MULTIPLE]
    reach = int(limits[REACH])
    if meta[MESSAGES] == 0 or ts - meta[MEDIAN_TS] >= MEDIAN_EVERY:
        keep_medians(sides, counts, meta, ts)
    bests = np.empty(2, np.int64)
    bests[BIDS] = sides[BIDS, counts[BIDS] - 1, PRICE]
    bests[ASKS] = sides[ASKS, counts[ASKS] - 1, PRICE]
    keep_pace(meta, pace, bests[BIDS], bests[ASKS], levels.shape[0], ts)
    due, gone = review(sides, counts, table, meta, bests, limits, ts)
    if gone:
        note_moves(levels, bid_count, before, table, meta, reach, ts)
    for i in range(levels.shape[0]):
        which = 0 if i < bid_count else 1
        if levels[i, SIZE] - before[i] < multiple * meta[BID_MEDIAN + which]:
            continue
        behind = (1 - 2 * which) * (bests[which] - levels[i, PRICE])
        if 1 <= behind <= reach:
            appear(levels, bid_count, before, i, table, meta, pace, sizes, reach, ts)
        if behind <= reach:
            remember_size(sizes, meta, which, behind, levels[i, SIZE] - before[i], ts)
    return due


@kernel
def is_untraded(row: Ints) -> bool:
    """Whether prints explain less than a fifth of it."""
    return bool(5 * row[TRADED] < row[GROWTH])


@kernel
def is_own(row: Ints) -> bool:
    """Whether it stood alone: neither moved nor one half of a quote on both sides."""
    return bool(row[MOVED] == 0 and row[PAIRED] == 0)


@kernel
def went_whole(row: Ints) -> bool:
    """Whether it went with one message, to a tenth."""
    return bool(10 * abs(row[DROP] - row[GROWTH]) <= row[GROWTH])


@kernel
def calm(row: Ints) -> float:
    """Log likelihood that it came unprovoked: orders that answer a moving touch come when much else changes.

    Negative where the touch had moved, or the message changed more levels, than usual.
    """
    moved = math.log1p(row[AGITATION] / 1000)
    broad = min(max(math.log(max(row[BREADTH], 1) / 1000), -1.0), 2.5)
    return -0.7 * moved - 0.6 * broad


@kernel
def ask_tape(row: Ints, times: Ints, prices: Ints, lots: Ints, signs: Signs, start: int, stop: int) -> None:
    """What prints of the tape's rows [start, stop) say of an order, from the newest back; RPI prints say nothing."""
    sign = 1 - 2 * row[WHICH]
    row[TRADED] = row[OPPOSITE] = row[HIT] = 0
    ended = row[ENDED] if row[ENDED] > 0 else NEVER
    first = min(row[SINCE], ended - BURST)
    i = stop - 1
    while i >= start and times[i] >= first:
        if signs[i] == sign:
            row[OPPOSITE] += lots[i] if times[i] >= row[SINCE] else 0
        elif signs[i] == -sign:
            if prices[i] == row[LEVEL] and row[SINCE] <= times[i] <= ended + GRACE:
                row[TRADED] += lots[i]
            row[HIT] += ended - BURST <= times[i] <= ended
        i -= 1


@kernel
def settle(  # noqa: PLR0913, PLR0917 - as above
    table: Ints, meta: Ints, ts: int, times: Ints, prices: Ints, lots: Ints, signs: Signs, start: int, stop: int,
    out: Ints,
) -> int:  # fmt: skip
    """Ask the tape about orders that are ripe or went a grace ago; the latter leave the table.

    Copies of both go to `out` in order of appearance; returns how many. What does not fit is told next time.
    """
    kept = 0
    told = 0
    for i in range(meta[COUNT]):
        row = table[i]
        stays = True
        if is_told(table, i, ts) and told < out.shape[0]:
            ask_tape(row, times, prices, lots, signs, start, stop)
            out[told] = row
            told += 1
            row[RIPE] = 2
            stays = row[ENDED] == 0 or ts - row[ENDED] < GRACE
        if stays:
            if kept != i:
                table[kept] = row
            kept += 1
    meta[COUNT] = kept
    return told
