"""Kernels of the order-book features: one observes each book message, one reads the features out.

`ring` has shape (capacity, 4): exchange time, OFI increment in lots, B5 - A5 in lots, 1 where the touch changed; it
holds the last ten seconds. `flow` is int64 of shape (FLOW_FIELDS,). Sums are integers, so they carry no rounding.
"""

import numpy as np
import numpy.typing as npt

from stakan.core.kernel import kernel

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

WINDOW_NS = 10_000_000_000

# Fields of `flow`.
HEAD = 0
COUNT = 1
OFI_SUM = 2
TOUCHES = 3
BID_PRICE = 4
BID_SIZE = 5
ASK_PRICE = 6
ASK_SIZE = 7
FIRST_TS = 8  # 0: nothing seen
LAST_TS = 9
DELTA_BEFORE = 10  # B5 - A5 as it stood when the window began
FLOW_FIELDS = 11

FULL = 1

TRACKED_DEPTH = 50
_DECAY = np.exp(-np.arange(20) / 5.0)


@kernel
def depth(side: Ints, count: int, levels: int) -> int:
    """Lots in the first `levels` levels of one side; `side` has shape (capacity, 2), best last."""
    total = 0
    for i in range(max(0, count - levels), count):
        total += side[i, 1]
    return total


@kernel
def expire(now: int, ring: Ints, flow: Ints) -> None:
    """Drop what is older than the window."""
    capacity = ring.shape[0]
    while flow[COUNT] > 0:
        row = flow[HEAD]
        if ring[row, 0] > now - WINDOW_NS:
            break
        flow[OFI_SUM] -= ring[row, 1]
        flow[TOUCHES] -= ring[row, 3]
        flow[DELTA_BEFORE] = ring[row, 2]
        flow[HEAD] = (row + 1) % capacity
        flow[COUNT] -= 1


@kernel
def observe(sides: Ints, counts: Ints, ts: int, ring: Ints, flow: Ints) -> int:
    """Take one applied book message into the ten-second window; returns FULL where the ring must grow first.

    OFI increment of Cont, Kukanov & Stoikov, "The price impact of order book events" (2014), eq. 4:
    e = 1{Pb >= Pb'} qb - 1{Pb <= Pb'} qb' - 1{Pa <= Pa'} qa + 1{Pa >= Pa'} qa'.
    """
    capacity = ring.shape[0]
    if flow[COUNT] == capacity and ring[flow[HEAD], 0] > ts - WINDOW_NS:
        return FULL
    nb = counts[0]
    na = counts[1]
    pb = sides[0, nb - 1, 0]
    qb = sides[0, nb - 1, 1]
    pa = sides[1, na - 1, 0]
    qa = sides[1, na - 1, 1]
    increment = 0
    touched = 0
    if flow[FIRST_TS] == 0:
        flow[FIRST_TS] = ts
        flow[DELTA_BEFORE] = depth(sides[0], nb, 5) - depth(sides[1], na, 5)
    else:
        ts = max(ts, flow[LAST_TS])
        if pb >= flow[BID_PRICE]:
            increment += qb
        if pb <= flow[BID_PRICE]:
            increment -= flow[BID_SIZE]
        if pa <= flow[ASK_PRICE]:
            increment -= qa
        if pa >= flow[ASK_PRICE]:
            increment += flow[ASK_SIZE]
        if pb != flow[BID_PRICE] or pa != flow[ASK_PRICE] or qb != flow[BID_SIZE] or qa != flow[ASK_SIZE]:
            touched = 1
    flow[BID_PRICE] = pb
    flow[BID_SIZE] = qb
    flow[ASK_PRICE] = pa
    flow[ASK_SIZE] = qa
    flow[LAST_TS] = ts
    expire(ts, ring, flow)
    row = (flow[HEAD] + flow[COUNT]) % capacity
    ring[row, 0] = ts
    ring[row, 1] = increment
    ring[row, 2] = depth(sides[0], nb, 5) - depth(sides[1], na, 5)
    ring[row, 3] = touched
    flow[COUNT] += 1
    flow[OFI_SUM] += increment
    flow[TOUCHES] += touched
    return 0


@kernel
def side_sums(side: Ints, count: int, out: Floats) -> None:
    """Sums of one side: 0 lots of 5, 1 lots of 10, 2 lots of tracked depth, 3 tick-lots of 5, 4 decayed lots of 20."""
    out[:] = 0.0
    for rank in range(min(count, TRACKED_DEPTH)):
        price = side[count - 1 - rank, 0]
        size = float(side[count - 1 - rank, 1])
        if rank < 5:
            out[0] += size
            out[3] += price * size
        if rank < 10:
            out[1] += size
        out[2] += size
        if rank < 20:
            out[4] += _DECAY[rank] * size


@kernel
def balance(a: float, b: float) -> float:
    """(a - b) / (a + b), 0 where both are empty."""
    return (a - b) / (a + b) if a + b > 0 else 0.0


@kernel
def ratio(a: float, b: float) -> float:
    """(a + 1) / (b + 1) clipped to [0.01, 100]: one lot on each side, so one-sided flow does not read as balance."""
    return min(100.0, max(0.01, (a + 1.0) / (b + 1.0)))


@kernel
def read(  # noqa: PLR0913, PLR0917 - the state of a book is several arrays
    sides: Ints, counts: Ints, tick: float, lot: float, now: int, ring: Ints, flow: Ints, out: Floats, warm: Bools
) -> None:
    """Order-book features 0..21 into `out`, their warmth into `warm`; both sides must be non-empty."""
    expire(now, ring, flow)
    bid = np.empty(5)
    ask = np.empty(5)
    side_sums(sides[0], counts[0], bid)
    side_sums(sides[1], counts[1], ask)
    pb = float(sides[0, counts[0] - 1, 0])
    qb = float(sides[0, counts[0] - 1, 1])
    pa = float(sides[1, counts[1] - 1, 0])
    qa = float(sides[1, counts[1] - 1, 1])
    mid = (pb + pa) / 2
    out[0] = (pa - pb) * tick
    out[1] = (pa - pb) / mid
    out[2] = mid * tick
    out[3] = (pb * qa + pa * qb) / (qa + qb) * tick
    out[4] = bid[3] / bid[0] * tick
    out[5] = ask[3] / ask[0] * tick
    out[6] = bid[0] * lot
    out[7] = ask[0] * lot
    out[8] = bid[1] * lot
    out[9] = ask[1] * lot
    out[10] = bid[2] * lot
    out[11] = ask[2] * lot
    out[12] = ratio(bid[2], ask[2])
    out[13] = balance(bid[0], ask[0])
    out[14] = balance(bid[1], ask[1])
    out[15] = balance(bid[2], ask[2])
    out[16] = (bid[0] * pa - ask[0] * pb) / (bid[0] + ask[0]) / mid
    out[17] = (bid[0] - ask[0] - flow[DELTA_BEFORE]) * lot
    out[18] = flow[OFI_SUM] * lot
    out[19] = balance(bid[4], ask[4])
    out[20] = flow[COUNT] / 10.0
    out[21] = flow[TOUCHES] / 10.0
    deep = counts[0] >= 10 and counts[1] >= 10
    warm[:22] = True
    warm[8] = warm[9] = warm[14] = deep
    full_window = flow[FIRST_TS] > 0 and now - flow[FIRST_TS] >= WINDOW_NS
    warm[17] = warm[18] = warm[20] = warm[21] = full_window
