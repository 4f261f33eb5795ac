"""Kernels of the set `order_flow`: what came and went at ten levels, and who took how much of each bucket of volume.

State of the levels, all plain arrays:

- `rows`, shape (capacity, 12): a ring of one row per book message, columns below; all but the time are sums since the
  watch began, so that a window is the difference of two rows: exact, as they are whole numbers;
- `quotes`, shape (2, 10, 2): price and lots of the first ten levels of each side after the last message;
- `ring`, shape (RING_FIELDS,): where the ring begins, how many rows it has, and the time of the last.

State of the buckets:

- `clock`, shape (CLOCK_FIELDS,): the open bucket and the open minute;
- `minutes`, shape (30,): a ring of lots of the newest whole minutes with prints;
- `buckets`, shape (n, 2): a ring of |bought - sold| and lots of full buckets.

Reading changes nothing.
"""

from stakan.core.features._flow_kernels import before
from stakan.core.features._order_book_kernels import Bools, Floats, Ints
from stakan.core.features._window_kernels import COUNT, HEAD, SHORT_NS, ofi_increment
from stakan.core.kernel import kernel

LEVELS = 10
MINUTE_NS = 60_000_000_000
KEPT_MINUTES = 30
MOST_ROWS = 16_384
"""The ring does not grow beyond this; a busier market loses its oldest rows, and `warm` says so."""

# Columns of `rows`.
TS = 0
RESTING = 1  # lots of ten levels of both sides, summed over messages
OFI = 2  # and the nine after it: one for each level
ROW_COLUMNS = OFI + LEVELS

# Columns of `quotes`: a level that is not there has no lots, at a price behind all others.
PRICE = 0
SIZE = 1
BEHIND = 2**62

# Fields of `ring`; the first two as in `_window_kernels`.
LAST_TS = 2
RING_FIELDS = 3

# Fields of `clock`.
BOUGHT = 0
SOLD = 1
BUCKET = 2  # lots of the open bucket, 0 while none is open
FULL = 3  # full buckets that are kept
NEXT_BUCKET = 4
MINUTE = 5  # of the newest print; NO_MINUTE before the first one
TRADED = 6  # lots in that minute
IS_WHOLE = 7  # whether all of that minute was seen
MINUTES = 8  # whole minutes that are kept
NEXT_MINUTE = 9
CLOCK_FIELDS = 10
NO_MINUTE = -1


@kernel
def note_level(side: Ints, count: int, rank: int, nothing: int, quote: Ints) -> None:
    """Price and lots of one level, ranks from 0, into `quote`."""
    if rank < count:
        quote[PRICE] = side[count - 1 - rank, 0]
        quote[SIZE] = side[count - 1 - rank, 1]
    else:
        quote[PRICE] = nothing
        quote[SIZE] = 0


@kernel
def observe(sides: Ints, counts: Ints, ts: int, rows: Ints, quotes: Ints, ring: Ints) -> bool:
    """Take one applied book message in; False where the ring must grow first, and nothing was taken.

    Order flow of a level is that of the best quotes by Cont, Kukanov & Stoikov with the price and size of its rank:
    Xu, Gould & Howison, "Multi-Level Order-Flow Imbalance in a Limit Order Book" (2019), eq. 6-8. Exchange time that
    goes back counts as standing still.
    """
    is_first = ring[COUNT] == 0
    ts = ts if is_first else max(ts, ring[LAST_TS])
    mask = rows.shape[0] - 1
    while ring[COUNT] > 1 and rows[(ring[HEAD] + 1) & mask, TS] <= ts - SHORT_NS:
        ring[HEAD] = (ring[HEAD] + 1) & mask
        ring[COUNT] -= 1
    if ring[COUNT] == rows.shape[0]:
        if rows.shape[0] < MOST_ROWS:
            return False
        ring[HEAD] = (ring[HEAD] + 1) & mask
        ring[COUNT] -= 1
    row = rows[(ring[HEAD] + ring[COUNT]) & mask]
    if is_first:
        row[:] = 0
    else:
        row[:] = rows[(ring[HEAD] + ring[COUNT] - 1) & mask]
    row[TS] = ts
    for rank in range(LEVELS):
        bid, ask = quotes[0, rank], quotes[1, rank]
        pb, qb, pa, qa = bid[PRICE], bid[SIZE], ask[PRICE], ask[SIZE]
        note_level(sides[0], counts[0], rank, -BEHIND, bid)
        note_level(sides[1], counts[1], rank, BEHIND, ask)
        row[RESTING] += bid[SIZE] + ask[SIZE]
        if not is_first:
            row[OFI + rank] += ofi_increment(bid[PRICE], bid[SIZE], ask[PRICE], ask[SIZE], pb, qb, pa, qa)
    ring[COUNT] += 1
    ring[LAST_TS] = ts
    return True


@kernel
def read_levels(now: int, deep: int, rows: Ints, ring: Ints, lot: float, out: Floats, warm: Bools) -> None:
    """Order flow of each level over the ten seconds up to `now`, and of all by their mean depth, shape (11,).

    Neutral until the book was watched for so long, and a level where a side lacks it now (of `deep` levels). The mean
    depth is that of Cont, Cucuringu & Zhang, "Cross-impact of order flow imbalance in equity markets" (2023),
    eq. 3: lots a level and side, over the levels and messages of the window.
    """
    first = before(rows, ring, now - SHORT_NS)
    if first == 0:
        return
    mask = rows.shape[0] - 1
    newest = rows[(ring[HEAD] + ring[COUNT] - 1) & mask]
    then = rows[(ring[HEAD] + first - 1) & mask]
    total = 0
    for rank in range(LEVELS):
        flow = newest[OFI + rank] - then[OFI + rank]
        total += flow
        if rank < deep:
            out[rank] = flow * lot
            warm[rank] = True
    warm[LEVELS] = deep >= LEVELS
    messages = ring[COUNT] - first
    if warm[LEVELS] and messages > 0:
        out[LEVELS] = float(total) * (2 * LEVELS * messages) / float(newest[RESTING] - then[RESTING])


@kernel
def pass_minutes(ts: int, clock: Ints, minutes: Ints) -> None:
    """Begin the minute of a print where it is another one; the one before it is kept where all of it was seen."""
    minute = ts // MINUTE_NS
    if minute <= clock[MINUTE]:
        return
    if clock[IS_WHOLE] == 1:
        minutes[clock[NEXT_MINUTE]] = clock[TRADED]
        clock[NEXT_MINUTE] = (clock[NEXT_MINUTE] + 1) % KEPT_MINUTES
        clock[MINUTES] = min(KEPT_MINUTES, clock[MINUTES] + 1)
    clock[IS_WHOLE] = clock[MINUTE] != NO_MINUTE
    clock[MINUTE] = minute
    clock[TRADED] = 0


@kernel
def bucket_lots(share: float, clock: Ints, minutes: Ints) -> int:
    """Lots of a bucket that begins now: a share of the mean of the kept minutes, 1 at least; 0 where none is kept."""
    if clock[MINUTES] == 0:
        return 0
    total = 0.0
    for i in range(clock[MINUTES]):
        total += minutes[i]
    return max(1, int(share * (total / clock[MINUTES]) + 0.5))


@kernel
def take_print(ts: int, lots: int, sign: int, share: float, clock: Ints, minutes: Ints, buckets: Ints) -> None:
    """Pour a print into buckets: what does not fit into the open one goes into the next.

    A bucket keeps the size that it began with.
    """
    pass_minutes(ts, clock, minutes)
    clock[TRADED] += lots
    kept = buckets.shape[0]
    own = BOUGHT if sign > 0 else SOLD
    while lots > 0:
        if clock[BUCKET] == 0:
            clock[BUCKET] = bucket_lots(share, clock, minutes)
            if clock[BUCKET] == 0:
                return
            # Of more buckets than are kept only the last ones matter.
            lots -= max(0, lots // clock[BUCKET] - kept) * clock[BUCKET]
        part = min(lots, clock[BUCKET] - clock[BOUGHT] - clock[SOLD])
        clock[own] += part
        lots -= part
        if clock[BOUGHT] + clock[SOLD] == clock[BUCKET]:
            buckets[clock[NEXT_BUCKET], 0] = abs(clock[BOUGHT] - clock[SOLD])
            buckets[clock[NEXT_BUCKET], 1] = clock[BUCKET]
            clock[NEXT_BUCKET] = (clock[NEXT_BUCKET] + 1) % kept
            clock[FULL] = min(kept, clock[FULL] + 1)
            clock[BUCKET] = clock[BOUGHT] = clock[SOLD] = 0


@kernel
def read_buckets(clock: Ints, buckets: Ints, out: Floats, warm: Bools) -> None:
    """VPIN, shape (1,): the sum of |bought - sold| over all buckets by the sum of their lots, once all are full."""
    if clock[FULL] < len(buckets):
        return
    uneven = lots = 0.0
    for i in range(len(buckets)):
        uneven += buckets[i, 0]
        lots += buckets[i, 1]
    out[0] = uneven / lots
    warm[0] = True
