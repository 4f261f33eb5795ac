"""Kernels of the set `resilience`: sweeps of the first five levels, and how long half of what they took stays away.

Per side (0 bids, 1 asks), all plain arrays:

- `before`, shape (2, 3): best price, how far the fifth level is from the other side's best price, and lots of the first
  five after the last message; no lots while there are fewer levels;
- `sweeps`, shape (2, SWEEP_FIELDS): the sweep that is being watched;
- `waits`, shape (2, n): a ring of how long half was away, negative for those that were given up after so long;
- `rings`, shape (2, 2): the next row of that ring, and how many it has.

Reading changes nothing.
"""

from stakan.core.features._order_book_kernels import Bools, Floats, Ints
from stakan.core.features._trade_kernels import first_after, last_until
from stakan.core.features._window_kernels import SECOND_NS
from stakan.core.kernel import kernel
from stakan.core.market._tape_kernels import RPI, Signs

LEVELS = 5
TRADED_NS = SECOND_NS
"""Prints count for a sweep until so long before the book shows it: books come in batches."""

# Columns of `before`.
BEST = 0
REACH = 1
LOTS = 2

# Columns of `sweeps`.
SINCE = 0
WITHIN = 1  # how far the fifth level was from the other side's best price before it
LEFT = 2  # lots within that distance right after it
TAKEN = 3  # lots that were there before, less those
THERE = 4  # lots within that distance now
IS_ON = 5
SWEEP_FIELDS = 6

# Columns of `rings`.
NEXT = 0
KNOWN = 1


@kernel
def lots_up_to(side: Ints, count: int, price: int, sign: int) -> int:
    """Lots at `price` and better; sign is 1 for bids, -1 for asks."""
    total = 0
    for i in range(count - 1, -1, -1):
        if sign * side[i, 0] < sign * price:
            break
        total += side[i, 1]
    return total


@kernel
def traded(times: Ints, sizes: Ints, signs: Signs, start: int, end: int, ts: int, aggressor: int) -> int:
    """Lots that aggressors of one sign took in the second up to `ts`."""
    end = last_until(times, start, end, ts)
    total = 0
    for i in range(first_after(times, start, end, ts - TRADED_NS), end):
        if signs[i] == aggressor and abs(signs[i]) != RPI:
            total += sizes[i]
    return total


@kernel
def end_sweep(wait: int, sweep: Ints, waits: Ints, ring: Ints) -> None:
    """The watch is over."""
    sweep[IS_ON] = 0
    waits[ring[NEXT]] = wait
    ring[NEXT] = (ring[NEXT] + 1) % len(waits)
    ring[KNOWN] = min(len(waits), ring[KNOWN] + 1)


@kernel
def note_side(side: Ints, count: int, other: int, before: Ints) -> None:
    """What the next message will be compared with."""
    before[LOTS] = 0
    if count < LEVELS:
        return
    before[BEST] = side[count - 1, 0]
    before[REACH] = abs(side[count - LEVELS, 0] - other)
    for i in range(count - LEVELS, count):
        before[LOTS] += side[i, 1]


@kernel
def observe(  # noqa: PLR0913, PLR0917 - columns of a tape
    sides: Ints,
    counts: Ints,
    ts: int,
    times: Ints,
    sizes: Ints,
    signs: Signs,
    start: int,
    end: int,
    share: float,
    patience: int,
    before: Ints,
    sweeps: Ints,
    waits: Ints,
    rings: Ints,
) -> None:
    """Take one applied book message in; both sides must have a level.

    A sweep of a side: its best price is gone, `share` or more of the lots of its first five levels are no longer as near
    to the other side, and prints of the second before took at least half of what is missing (else it was withdrawn).
    While one is watched no other begins on that side.
    """
    for which in range(2):
        side, count, sign = sides[which], counts[which], 1 - 2 * which
        other = sides[1 - which, counts[1 - which] - 1, 0]
        sweep, then = sweeps[which], before[which]
        if sweep[IS_ON] == 1:
            sweep[THERE] = lots_up_to(side, count, other - sign * sweep[WITHIN], sign)
            if ts - sweep[SINCE] > patience:
                end_sweep(-patience, sweep, waits[which], rings[which])
            elif 2 * (sweep[THERE] - sweep[LEFT]) >= sweep[TAKEN]:
                end_sweep(ts - sweep[SINCE], sweep, waits[which], rings[which])
        if sweep[IS_ON] == 0 and then[LOTS] > 0 and sign * side[count - 1, 0] < sign * then[BEST]:
            left = lots_up_to(side, count, other - sign * then[REACH], sign)
            taken = then[LOTS] - left
            if taken >= share * then[LOTS] and 2 * traded(times, sizes, signs, start, end, ts, -sign) >= taken:
                sweep[SINCE], sweep[WITHIN], sweep[LEFT] = ts, then[REACH], left
                sweep[TAKEN], sweep[THERE], sweep[IS_ON] = taken, left, 1
        note_side(side, count, other, then)


@kernel
def read(enough: int, before: Ints, sweeps: Ints, waits: Ints, rings: Ints, out: Floats, warm: Bools) -> None:
    """Half-life, share that came back and what is missing now, of bids and asks in turn, shape (6,)."""
    for which in range(2):
        known = rings[which, KNOWN]
        if known >= enough:
            watched = 0
            back = 0
            for i in range(known):
                watched += abs(waits[which, i])
                back += waits[which, i] >= 0
            out[which] = watched / max(1, back) / SECOND_NS
            out[2 + which] = back / known
            warm[which] = warm[2 + which] = True
        sweep = sweeps[which]
        warm[4 + which] = before[which, LOTS] > 0
        if warm[4 + which] and sweep[IS_ON] == 1:
            out[4 + which] = min(1.0, max(0.0, 1.0 - (sweep[THERE] - sweep[LEFT]) / sweep[TAKEN]))
