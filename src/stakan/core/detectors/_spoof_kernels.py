"""Kernels of spoofing: what speaks for and against an order, and which order before it it goes on from."""

import math

import numpy as np
import numpy.typing as npt

from stakan.core.detectors._odds import logistic_kernel
from stakan.core.detectors._order_kernels import (
    BASE,
    COLUMNS,
    COMMON,
    DISTANCE,
    DROP,
    ELSEWHERE,
    ENDED,
    GROWTH,
    LEVEL,
    MEDIAN,
    MOVED,
    OPPOSITE,
    PAIRED,
    SAME_SIZE,
    SINCE,
    TOLD,
    WHICH,
    calm,
    is_own,
    is_untraded,
    settle,
    went_whole,
)
from stakan.core.domain.units import MINUTE, SECOND
from stakan.core.kernel import kernel

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Signs = npt.NDArray[np.int8]

REMEMBERED = 8
"""Candidates of a side that another one may go on from."""

# Columns of candidates: orders that may be spoofing, with those before them that they go on from. Two that overlap may
# go on from the same one: they are of one episode. Their log odds, of all of them together, are an array beside.
CHAIN = 0
"""Ordinal of the first of them among all first ones."""
BEGAN = 1
UNTIL = 2
"""When this one went; now, while it stands."""
LOTS = 3
"""Of this one, as are the next two."""
BEHIND = 4
"""Ticks behind the touch."""
OWN = 5
TOTAL = 6
"""Lots of all of them."""
LINKS = 7
"""How many they are."""
LOW = 8
"""Lowest and highest price of all of them."""
HIGH = 9
EPISODE = 10
"""0 until it is said."""
FIELDS = 11

# The symbol's habits: exponential means over both sides.
OFTEN = 0
"""Candidates a minute and side; at first what is expected before any were seen."""
AGAIN = 1
"""Repetitions among them."""
LIFE_S = 2
"""Median life of large orders that nobody traded with."""
HABITS = 3

# Counters; the first two are exchange times of the last candidate and of the last repetition.
HELD = 2
"""Candidates of bids that are remembered; then those of asks."""
CHAINS = 4
EPISODES = 5
COUNTERS = 6

# Limits; seconds.
MIN_LIFE_S = 0
APART_S = 1
MIN_CONFIDENCE = 2

FIRST_OFTEN = 2.0
FIRST_AGAIN = 0.1
FIRST_LIFE_S = 0.1
_LEAST_OFTEN = 0.5
_LEAST_AGAIN = 0.1
_MOST_OFTEN = 20.0
"""Of both."""
_RATE_SPAN = 5 * MINUTE
_LEAST_LIFE_S = 0.05
_MOST_LIFE_S = 1.0
_LIFE_STEP = 0.03
"""Of the running median of lives, per order."""
_PAUSE = 100_000_000
"""Nanoseconds; what comes again at its place sooner is a quote that was renewed."""
_ROUND = 100
"""Lots; smaller sizes have too few digits to be called round."""
_ROUND_SIZE = -2.0
"""What a repetition of a round size lacks: many use it."""
_NEAREST = 5
"""Ticks behind the touch up to which one place speaks as much for an order as another."""
_ALONE = -4.1
"""Log odds of one candidate that neither speaks for nor against, where candidates are as frequent as expected."""
_UNENDED = -1.0
"""What an order lacks that has not gone yet."""
_VOUCHED = 3.2
"""Log odds of a candidate that another one inherits at most: what was certain does not make certain what follows."""
_NONE = -1


@kernel
def note(habits: Floats, counters: Ints, rate: int, ts: int) -> None:
    """One more candidate (OFTEN) or repetition (AGAIN) has come."""
    last = counters[rate]
    if last:
        least = _LEAST_OFTEN if rate == OFTEN else _LEAST_AGAIN
        fading = math.exp(-max(0, ts - last) / _RATE_SPAN)
        habits[rate] = min(max(habits[rate] * fading + 0.5 * MINUTE / _RATE_SPAN, least), _MOST_OFTEN)
    counters[rate] = max(last, ts)


@kernel
def note_life(habits: Floats, life_s: float) -> None:
    """Move the running median a step (stochastic approximation of a quantile)."""
    step = _LIFE_STEP if life_s > habits[LIFE_S] else -_LIFE_STEP
    habits[LIFE_S] = min(max(habits[LIFE_S] * math.exp(step), _LEAST_LIFE_S), _MOST_LIFE_S)


@kernel
def quoted(order: Ints) -> float:
    """Log likelihood ratio of what its owner seems to do besides.

    Who quotes shows a size on both sides, at many places, and moves it from one to the next.
    """
    common = -min(math.log1p(max(0, order[COMMON] - 1)), 3.0)
    elsewhere = -0.75 * math.log1p(min(order[ELSEWHERE], 8))
    if order[MOVED] == 0:
        return common + elsewhere
    return common + elsewhere - (3.9 if order[MOVED] == SAME_SIZE else 1.0)


@kernel
def shape(order: Ints) -> float:
    """What speaks for one order while it stands."""
    size = min(math.log(order[GROWTH] / order[MEDIAN] / 4), 1.1)
    place = -0.3 * max(0, order[DISTANCE] - _NEAREST) - 0.8 * min(math.log1p(order[BASE] / order[MEDIAN]), 2.0)
    answer = 1.1 if order[OPPOSITE] else 0.0
    return float(min(max(0.9 + size + place + answer + quoted(order) + 0.8 * calm(order), -6.0), 4.0))


@kernel
def ending(order: Ints, life_s: float, usual_life_s: float) -> float:
    """What speaks for one order in how it went: just as it came, and sooner rather than later."""
    exact = 0.9 if 200 * abs(order[DROP] - order[GROWTH]) <= order[GROWTH] else 0.0
    return exact - 0.1 * math.log(max(life_s, 1e-3) / usual_life_s)


@kernel
def is_same(order: Ints, one: Ints) -> bool:
    """Whether an order has the size of a candidate, to the lot, and its distance from the touch.

    Nearly the same says little: who quotes an amount of money shows it in as many lots as the price makes of it.
    """
    return bool(order[DISTANCE] == one[BEHIND] and order[GROWTH] == one[LOTS])


@kernel
def is_round(lots: int) -> bool:
    """One significant digit of three or more."""
    unit = 1
    while lots >= 10 * unit:
        unit *= 10
    return unit >= _ROUND and lots % unit == 0


@kernel
def is_plain(order: Ints) -> bool:
    """Whether nothing tells it from an order of an episode: chance is counted by such; what quotes is known by itself."""
    return is_own(order) and order[ELSEWHERE] == 0


@kernel
def repeats(order: Ints, one: Ints) -> bool:
    """Whether it is the same and came after a pause."""
    return is_same(order, one) and order[SINCE] - one[UNTIL] >= _PAUSE


@kernel
def link(order: Ints, one: Ints, again: float, apart_s: float) -> float:
    """Log likelihood ratio of repeating a candidate so soon after it; NaN where it does not.

    By chance such repetitions come as a Poisson process of the symbol's own rate, `again` a minute; those of one episode
    wait `apart_s` on average. One of both must have stood alone; of one that still stands nobody knows whether it will.
    """
    alone = one[OWN] != 0 or (is_own(order) and order[ENDED] > 0)
    gap = (order[SINCE] - one[UNTIL]) / SECOND
    if gap > 3 * apart_s or not alone or not repeats(order, one):
        return np.nan
    soon = -gap / apart_s - math.log(apart_s / 60)
    return float(soon - math.log(again) + (_ROUND_SIZE if is_round(order[GROWTH]) else 0.0))


@kernel
def goes_on_from(order: Ints, kept: Ints, odds: Floats, n: int, again: float, apart_s: float) -> tuple[int, float]:
    """The candidate among n that an order most likely goes on from, _NONE for none, and the log odds that adds.

    An order that stood at its place a moment ago was renewed: it goes on from none.
    """
    best, most = _NONE, 0.0
    for k in range(n):
        one = kept[k]
        if is_same(order, one) and order[SINCE] - one[UNTIL] < _PAUSE:
            return _NONE, 0.0
        found = min(odds[k], _VOUCHED) + link(order, one, again, apart_s)
        if not math.isnan(found) and (best == _NONE or found > most):
            best, most = k, found
    return best, most


@kernel
def first_of_chain(order: Ints, until: int, chain: int, out: Ints) -> None:
    """An order as a candidate that goes on from none."""
    out[CHAIN] = chain
    out[BEGAN] = order[SINCE]
    out[UNTIL] = until
    out[LOTS] = out[TOTAL] = order[GROWTH]
    out[BEHIND] = order[DISTANCE]
    out[OWN] = is_own(order)
    out[LINKS] = 1
    out[LOW] = out[HIGH] = order[LEVEL]
    out[EPISODE] = 0


@kernel
def go_on(order: Ints, until: int, one: Ints, out: Ints) -> None:
    """An order as a candidate that goes on from another."""
    first_of_chain(order, until, one[CHAIN], out)
    out[BEGAN] = one[BEGAN]
    out[TOTAL] += one[TOTAL]
    out[LINKS] += one[LINKS]
    out[LOW] = min(one[LOW], order[LEVEL])
    out[HIGH] = max(one[HIGH], order[LEVEL])
    out[EPISODE] = one[EPISODE]


@kernel
def keep(candidate: Ints, its_odds: float, kept: Ints, odds: Floats, n: int) -> int:
    """Put a candidate last, the first goes where there is no room; returns how many there are."""
    if n == REMEMBERED:
        n -= 1
        for k in range(n):
            kept[k] = kept[k + 1]
            odds[k] = odds[k + 1]
    kept[n] = candidate
    odds[n] = its_odds
    return n + 1


@kernel
def weigh_standing(
    order: Ints, kept: Ints, odds: Floats, n: int, again: float, apart_s: float, ts: int, out: Ints
) -> float:  # fmt: skip
    """An order that stands, as a candidate in `out`, and its log odds; NaN where it repeats none before."""
    best, inherited = goes_on_from(order, kept, odds, n, again, apart_s)
    if best == _NONE:
        return np.nan
    go_on(order, ts, kept[best], out)
    return inherited + shape(order) + _UNENDED


@kernel
def weigh_gone(
    order: Ints, kept: Ints, odds: Floats, habits: Floats, counters: Ints, limits: Floats, ts: int, out: Ints
) -> float:  # fmt: skip
    """The same of an order that went: it goes on from one before, or is the first of others. It is kept for the next.

    NaN where it is no candidate.
    """
    life_s = (order[ENDED] - order[SINCE]) * 1e-9
    usual_life_s = habits[LIFE_S]
    note_life(habits, life_s)
    if life_s < limits[MIN_LIFE_S] or order[PAIRED] or not went_whole(order):
        return np.nan
    held = HELD + order[WHICH]
    n = counters[held]
    found = shape(order) + ending(order, life_s, usual_life_s)
    alone = _ALONE - math.log(habits[OFTEN] / FIRST_OFTEN)
    best, inherited = goes_on_from(order, kept, odds, n, habits[AGAIN], limits[APART_S])
    if best != _NONE and inherited > alone:
        go_on(order, order[ENDED], kept[best], out)
        found = inherited + found
    else:
        counters[CHAINS] += 1
        first_of_chain(order, order[ENDED], counters[CHAINS], out)
        found = alone + found
    if found < 0 and is_plain(order):
        note(habits, counters, OFTEN, ts)
        for k in range(n):
            if repeats(order, kept[k]) and not is_round(order[GROWTH]):
                note(habits, counters, AGAIN, ts)
                break
    counters[held] = keep(out, found, kept, odds, n)
    return found


@kernel
def name_episode(candidate: Ints, kept: Ints, n: int, counters: Ints) -> None:
    """All of the chain of a candidate that is said are an episode from then on."""
    if candidate[EPISODE]:
        return
    counters[EPISODES] += 1
    candidate[EPISODE] = counters[EPISODES]
    for k in range(n):
        if kept[k, CHAIN] == candidate[CHAIN]:
            kept[k, EPISODE] = candidate[EPISODE]


@kernel
def weigh(  # noqa: PLR0913, PLR0917 - scalars cross into a kernel faster than an object of them
    table: Ints, meta: Ints, ts: int, times: Ints, prices: Ints, lots: Ints, signs: Signs, start: int, stop: int,
    candidates: Ints, odds: Floats, habits: Floats, counters: Ints, limits: Floats, said: Ints, confidences: Floats,
) -> int:  # fmt: skip
    """Weigh orders that are to be told of, and say which are likely enough; returns how many.

    A row of `said` is the order and then the candidate that it is.
    """
    told = np.empty((TOLD, COLUMNS), np.int64)
    out = np.empty(FIELDS, np.int64)
    count = 0
    for i in range(settle(table, meta, ts, times, prices, lots, signs, start, stop, told)):
        order = told[i]
        if not is_untraded(order):
            continue
        kept, its_odds = candidates[order[WHICH]], odds[order[WHICH]]
        if order[ENDED] == 0:
            n = counters[HELD + order[WHICH]]
            found = weigh_standing(order, kept, its_odds, n, habits[AGAIN], limits[APART_S], ts, out)
        else:
            found = weigh_gone(order, kept, its_odds, habits, counters, limits, ts, out)
        if math.isnan(found) or logistic_kernel(found) < limits[MIN_CONFIDENCE]:
            continue
        name_episode(out, kept, counters[HELD + order[WHICH]], counters)
        said[count, :COLUMNS] = order
        said[count, COLUMNS:] = out
        confidences[count] = logistic_kernel(found)
        count += 1
    return count
