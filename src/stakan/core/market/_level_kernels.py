"""Numeric kernels of support and resistance: what speaks for a level, and what price does at it.

A level is a row of two tables: `weights` (float64: where it is, and what speaks for it, columns below) and `story`
(int64: what happened at it). Rows [0, tracked) live, in no order. Prices are in ticks. Price is taken as the mid, as
the whole number bid + ask, so that every comparison is exact.

    touch    mid comes within `touch_bps` of the level (at least one tick)
    hold     after a touch, mid gets `leave_bps` away (at least three ticks) on the side that it came from
    break    after a touch, mid gets as far on the other side and has not come back to the level for `break_ns`

After a break the level waits for price from the other side. Where a row has just come, or the feed was interrupted,
nobody knows from where price came: it is watched from the moment at which mid is `leave_bps` away.
"""

import numpy as np
import numpy.typing as npt

from stakan.core.kernel import kernel

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Columns of `weights`. Each but the price halves with every half-life; their sum is the strength of the level.
PLACE = 0
SWINGS = 1
"""One for each swing of closed candles."""
VOLUME = 2
"""One while it is a price of high volume."""
DENSITY = 3
"""One while a long-lived density stands there."""
HELD = 4
"""One for each hold; a break halves all."""
WEIGHTS = 5

# Columns of `story`.
BEGAN = 0
"""When the oldest evidence for it was seen."""
TOUCHED = 1
"""Its last touch, 0 without."""
TOUCHES = 2
HOLDS = 3
BREAKS = 4
OUTCOME = 5
"""Of the last touch that has one: NO_OUTCOME, HOLD or BREAK."""
PHASE = 6
SINCE = 7
"""When price went through it."""
NEWS = 8
"""The outcome of a touch that ended in the last look, NO_OUTCOME for none."""
STORY = 9

NO_OUTCOME = 0
HOLD = 1
BREAK = 2

UNPLACED = 0
ABOVE = 1
"""Price is above."""
BELOW = 2
FROM_ABOVE = 3
"""Price came to it from above and is about it."""
FROM_BELOW = 4
THROUGH_DOWN = 5
"""Price came from above and has gone through; a break, if it stays there."""
THROUGH_UP = 6

# The guard: as long as LOW < bid + ask < HIGH before DEADLINE nothing happens at any level.
LOW = 0
HIGH = 1
DEADLINE = 2
GUARD = 3
NEVER = 2**62

_LEAST_TOUCH = 1.0
_LEAST_LEAVE = 3.0
_MOST_BINS = 256
_ROUNDING = 1e-9
"""Of the mean bin: bins with equal volume differ by less."""


@kernel
def strength(row: Floats) -> float:
    """All that speaks for a level."""
    return float(row[SWINGS] + row[VOLUME] + row[DENSITY] + row[HELD])


@kernel
def is_quiet(sides: Ints, counts: Ints, guard: Ints, ts: int) -> bool:
    """Whether a usable book cannot have changed anything at any level."""
    price = sides[0, counts[0] - 1, 0] + sides[1, counts[1] - 1, 0]
    return bool(guard[LOW] < price < guard[HIGH] and ts < guard[DEADLINE])


@kernel
def edges(place: float, touch_bps: float, leave_bps: float) -> tuple[int, int, int, int]:
    """Where things happen, in ticks of bid + ask: at the level from above, from below; away above, away below."""
    touch = max(_LEAST_TOUCH, place * touch_bps / 10_000.0)
    leave = max(_LEAST_LEAVE, place * leave_bps / 10_000.0)
    return (
        int(np.floor(2 * (place + touch))),
        int(np.ceil(2 * (place - touch))),
        int(np.ceil(2 * (place + leave))),
        int(np.floor(2 * (place - leave))),
    )


@kernel
def move(  # noqa: PLR0911 - one answer for each way out of a phase
    phase: int, since: int, price: int, ts: int, at: tuple[int, int, int, int], break_ns: int
) -> int:
    """The next phase of a level, or the same; `at` as `edges` gives it."""
    from_above, from_below, away_above, away_below = at
    if phase == UNPLACED:
        if price >= away_above:
            return ABOVE
        return BELOW if price <= away_below else UNPLACED
    if phase == ABOVE:
        return FROM_ABOVE if price <= from_above else ABOVE
    if phase == BELOW:
        return FROM_BELOW if price >= from_below else BELOW
    if phase in (FROM_ABOVE, FROM_BELOW):
        if price >= away_above:
            return ABOVE if phase == FROM_ABOVE else THROUGH_UP
        if price <= away_below:
            return BELOW if phase == FROM_BELOW else THROUGH_DOWN
        return phase
    if phase == THROUGH_DOWN:
        if price >= from_below:
            return FROM_ABOVE
        return BELOW if ts - since >= break_ns else THROUGH_DOWN
    if price <= from_above:
        return FROM_BELOW
    return ABOVE if ts - since >= break_ns else THROUGH_UP


@kernel
def enter(weights: Floats, story: Ints, phase: int, ts: int) -> None:
    """Book what it means that one level goes into another phase."""
    before = story[PHASE]
    story[PHASE] = phase
    if (phase in (FROM_ABOVE, FROM_BELOW)) and (before in (ABOVE, BELOW)):
        story[TOUCHES] += 1
        story[TOUCHED] = ts
    elif phase in (THROUGH_DOWN, THROUGH_UP):
        story[SINCE] = ts
    elif before in (FROM_ABOVE, FROM_BELOW):
        story[HOLDS] += 1
        story[OUTCOME] = story[NEWS] = HOLD
        weights[HELD] += 1.0
    elif before in (THROUGH_DOWN, THROUGH_UP) and phase in (ABOVE, BELOW):
        story[BREAKS] += 1
        story[OUTCOME] = story[NEWS] = BREAK
        weights[SWINGS:] *= 0.5


@kernel
def narrow(guard: Ints, phase: int, since: int, at: tuple[int, int, int, int], break_ns: int) -> None:
    """Keep the guard within what means nothing to one level."""
    from_above, from_below, away_above, away_below = at
    if phase in (UNPLACED, FROM_ABOVE, FROM_BELOW):
        guard[LOW] = max(guard[LOW], away_below)
        guard[HIGH] = min(guard[HIGH], away_above)
    elif phase in (ABOVE, THROUGH_UP):
        guard[LOW] = max(guard[LOW], from_above)
    else:
        guard[HIGH] = min(guard[HIGH], from_below)
    if phase in (THROUGH_DOWN, THROUGH_UP):
        guard[DEADLINE] = min(guard[DEADLINE], since + break_ns)


@kernel
def watch(  # noqa: PLR0913, PLR0917 - scalars cross into a kernel faster than an object of them
    sides: Ints, counts: Ints, weights: Floats, story: Ints, tracked: int, guard: Ints, ts: int,
    touch_bps: float, leave_bps: float, break_ns: int,
) -> int:  # fmt: skip
    """Bring all levels up to date with a usable book, and set the guard; returns how many touches have ended."""
    price = sides[0, counts[0] - 1, 0] + sides[1, counts[1] - 1, 0]
    guard[LOW], guard[HIGH], guard[DEADLINE] = -NEVER, NEVER, NEVER
    ended = 0
    for i in range(tracked):
        story[i, NEWS] = NO_OUTCOME
        at = edges(weights[i, PLACE], touch_bps, leave_bps)
        phase = move(story[i, PHASE], story[i, SINCE], price, ts, at, break_ns)
        while phase != story[i, PHASE]:
            enter(weights[i], story[i], phase, ts)
            phase = move(phase, story[i, SINCE], price, ts, at, break_ns)
        narrow(guard, phase, story[i, SINCE], at, break_ns)
        ended += story[i, NEWS] != NO_OUTCOME
    return ended


# --- evidence -------------------------------------------------------------------------------------------------------


@kernel
def closest(weights: Floats, tracked: int, place: float, within_bps: float) -> int:
    """Row of the level nearest to a price, not farther than `within_bps` of it (at least a tick); -1 without."""
    found = -1
    least = max(1.0, place * within_bps / 10_000.0)
    for i in range(tracked):
        away = abs(weights[i, PLACE] - place)
        if away <= least and (found < 0 or away < abs(weights[found, PLACE] - place)):
            found = i
    return found


@kernel
def weakest(weights: Floats, tracked: int) -> int:
    """Row of the level with the least strength, the first of equals."""
    found = 0
    for i in range(1, tracked):
        if strength(weights[i]) < strength(weights[found]):
            found = i
    return found


@kernel
def support(
    weights: Floats, story: Ints, tracked: int, kind: int, place: float, weight: float, began: int, merge_bps: float
) -> int:  # fmt: skip
    """Something speaks for a price: for the level that is there, else for a new one; returns how many there are.

    A swing adds to what speaks for it; volume and density are there or not. The level moves to the mean of its
    evidence, by weight. In a full table the weakest level makes room for a stronger one.
    """
    i = closest(weights, tracked, place, merge_bps)
    if i >= 0:
        row = weights[i]
        added = weight if kind == SWINGS else max(0.0, weight - row[kind])
        if added > 0.0:
            row[PLACE] += (place - row[PLACE]) * added / (strength(row) + added)
            row[kind] += added
            story[i, BEGAN] = min(story[i, BEGAN], began)
        return tracked
    i = tracked
    if tracked == weights.shape[0]:
        i = weakest(weights, tracked)
        if strength(weights[i]) >= weight:
            return tracked
    else:
        tracked += 1
    weights[i] = 0.0
    story[i] = 0
    weights[i, PLACE] = place
    weights[i, kind] = weight
    story[i, BEGAN] = began
    return tracked


@kernel
def remove(weights: Floats, story: Ints, tracked: int, i: int) -> int:
    """Take a row away; the last one takes its place. Returns how many are left."""
    tracked -= 1
    weights[i] = weights[tracked]
    story[i] = story[tracked]
    return tracked


@kernel
def unite(weights: Floats, story: Ints, kept: int, other: int) -> None:
    """Put what is known of two levels that have come together into one row; price touched both at once."""
    mine, theirs = strength(weights[kept]), strength(weights[other])
    place = weights[kept, PLACE] + (weights[other, PLACE] - weights[kept, PLACE]) * theirs / (mine + theirs)
    if theirs > mine:
        story[kept, OUTCOME : SINCE + 1] = story[other, OUTCOME : SINCE + 1]
    weights[kept, SWINGS] += weights[other, SWINGS]
    for kind in (VOLUME, DENSITY, HELD):
        weights[kept, kind] = max(weights[kept, kind], weights[other, kind])
    weights[kept, PLACE] = place
    story[kept, BEGAN] = min(story[kept, BEGAN], story[other, BEGAN])
    for column in (TOUCHED, TOUCHES, HOLDS, BREAKS):
        story[kept, column] = max(story[kept, column], story[other, column])


@kernel
def age(weights: Floats, story: Ints, tracked: int, share: float, forget: float, merge_bps: float) -> int:
    """Time has passed: `share` of every weight is left, what is too weak is forgotten, what has met becomes one level."""
    i = 0
    while i < tracked:
        weights[i, SWINGS:] *= share
        if strength(weights[i]) < forget:
            tracked = remove(weights, story, tracked, i)
        else:
            i += 1
    i = 0
    while i < tracked:
        j = i + 1
        while j < tracked:
            limit = max(1.0, weights[i, PLACE] * merge_bps / 10_000.0)
            if abs(weights[i, PLACE] - weights[j, PLACE]) <= limit:
                unite(weights, story, i, j)
                tracked = remove(weights, story, tracked, j)
            else:
                j += 1
        i += 1
    return tracked


@kernel
def swings(high: Ints, low: Ints, i: int, wing: int, least: float) -> tuple[bool, bool]:
    """Whether candle `i` is a swing high, a swing low; `wing` candles must stand on each side of it.

    A swing high is above the highs of the `wing` candles before it and not below those after it, and on both sides a
    low among them lies `least` ticks or more under it. A swing low is its mirror image.
    """
    top, bottom = high[i], low[i]
    is_high = is_low = True
    before_low = after_low = bottom
    before_high = after_high = top
    for k in range(1, wing + 1):
        is_high = is_high and top > high[i - k] and top >= high[i + k]
        is_low = is_low and bottom < low[i - k] and bottom <= low[i + k]
        before_low = low[i - k] if k == 1 else min(before_low, low[i - k])
        after_low = low[i + k] if k == 1 else min(after_low, low[i + k])
        before_high = high[i - k] if k == 1 else max(before_high, high[i - k])
        after_high = high[i + k] if k == 1 else max(after_high, high[i + k])
    fall = top - max(before_low, after_low)
    rise = min(before_high, after_high) - bottom
    return bool(is_high and fall >= least), bool(is_low and rise >= least)


@kernel
def support_swings(  # noqa: PLR0913, PLR0917 - scalars cross into a kernel faster than an object of them
    weights: Floats, story: Ints, tracked: int, times: Ints, high: Ints, low: Ints, interval_ns: int, first: int,
    last: int, wing: int, ranges: float, merge_bps: float, half_life_ns: int,
) -> int:  # fmt: skip
    """Swings of closed candles that were not examined yet: those that begin before `first` or after `last`.

    They are at least `ranges` times the mean range of a candle deep, and a tick. Each weighs 2^(-age / half-life), its
    age counted from its candle's end to that of the newest candle.
    """
    count = times.shape[0]
    least = max(1.0, ranges * (high - low).mean())
    for i in range(wing, count - wing):
        if first <= times[i] <= last:
            continue
        is_high, is_low = swings(high, low, i, wing, least)
        weight = 2.0 ** (-(times[count - 1] - times[i]) / half_life_ns)
        ts = times[i] + interval_ns
        if is_high:
            tracked = support(weights, story, tracked, SWINGS, float(high[i]), weight, ts, merge_bps)
        if is_low:
            tracked = support(weights, story, tracked, SWINGS, float(low[i]), weight, ts, merge_bps)
    return tracked


@kernel
def profile(high: Ints, low: Ints, volume: Ints, width: float, out: Floats) -> tuple[float, float, int]:
    """Volume by price: each candle's volume spread evenly over its range, in bins about `width` ticks wide.

    Bins lie evenly about the middle of all prices, and are wider where `out` would not hold them. Writes lots into
    `out`; returns the lower edge of the first bin, the width of one, and how many there are.
    """
    bottom, top = low.min() - 0.5, high.max() + 0.5
    bins = int(np.ceil((top - bottom) / width))
    if bins > out.shape[0]:
        bins = out.shape[0]
        width = (top - bottom) / bins
    start = (bottom + top - bins * width) / 2
    out[:bins] = 0.0
    for i in range(high.shape[0]):
        if volume[i] == 0:
            continue
        under, over = low[i] - 0.5, high[i] + 0.5
        density = volume[i] / (over - under)
        first = max(0, int((under - start) / width))
        last = min(bins - 1, int((over - start) / width))
        for b in range(first, last + 1):
            edge = start + b * width
            out[b] += density * max(0.0, min(over, edge + width) - max(under, edge))
    return start, width, bins


@kernel
def support_volume(  # noqa: PLR0913, PLR0917 - scalars cross into a kernel faster than an object of them
    weights: Floats, story: Ints, tracked: int, times: Ints, high: Ints, low: Ints, volume: Ints, multiple: float,
    merge_bps: float,
) -> int:  # fmt: skip
    """Prices of high volume: bins of the profile not below their neighbours, with `multiple` times the mean bin."""
    masses = np.zeros(_MOST_BINS)
    place = high[high.shape[0] - 1]
    start, width, bins = profile(high, low, volume, max(1.0, place * merge_bps / 10_000.0), masses)
    filled = 0
    for b in range(bins):
        filled += masses[b] > 0.0
    if filled == 0:
        return tracked
    mean = masses.sum() / filled
    for b in range(bins):
        left = masses[b - 1] if b > 0 else 0.0
        right = masses[b + 1] if b + 1 < bins else 0.0
        if masses[b] >= max(multiple * mean, left, right) - _ROUNDING * mean:
            middle = start + (b + 0.5) * width
            tracked = support(weights, story, tracked, VOLUME, middle, 1.0, times[0], merge_bps)
    return tracked


@kernel
def around(weights: Floats, tracked: int, mid: float, least: float) -> tuple[float, float]:
    """Prices of the nearest levels below and above `mid` that have at least this strength; 0.0 without."""
    under = over = 0.0
    for i in range(tracked):
        if strength(weights[i]) < least:
            continue
        place = weights[i, PLACE]
        if place < mid and place > under:
            under = place
        elif place > mid and (over == 0.0 or place < over):
            over = place
    return under, over
