"""Kernels that read windows of book messages out; the state is that of `_window_kernels`, and reading changes nothing."""

from math import sqrt

from stakan.core.features._order_book_kernels import Bools, Floats, Ints
from stakan.core.features._window_kernels import (
    COUNT,
    DELTA_5,
    DEPTH_CHANGE,
    HEAD,
    LEFT,
    LIFE,
    LIVES_COUNT,
    LIVES_HEAD,
    LIVES_SINCE,
    LONG_NS,
    OFI,
    SECOND_NS,
    SHORT_NS,
    SPREAD,
    TOUCHED,
    TS,
)
from stakan.core.features.catalogue import Feature
from stakan.core.kernel import kernel

_DELTA = int(Feature.VOLUME_DELTA_5)
_OFI = int(Feature.ORDER_FLOW_IMBALANCE)
_UPDATES = int(Feature.UPDATE_FREQUENCY)
_QUOTES = int(Feature.QUOTE_INTENSITY)
_LIFE_MEAN = int(Feature.LEVEL_TTL_AVG)
_LIFE_STD = int(Feature.LEVEL_TTL_STD)
_DEPTH_STD = int(Feature.ORDERBOOK_VOLATILITY)
_SPREAD_STD = int(Feature.SPREAD_VOLATILITY)
_SHORT_S = SHORT_NS / SECOND_NS


@kernel
def before(changes: Ints, flow: Ints, start: int) -> int:
    """How many rows of the ring, from its oldest, are of `start` or earlier: the last of them held when `start` was."""
    mask = changes.shape[0] - 1
    low, high = 0, flow[COUNT]
    while low < high:
        middle = (low + high) >> 1
        if changes[(flow[HEAD] + middle) & mask, TS] <= start:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def read_short(now: int, changes: Ints, flow: Ints, lot: float, out: Floats, warm: Bools) -> None:
    """Features of the ten seconds up to `now`; neutral and not warm until the book was watched for so long."""
    count = flow[COUNT]
    first = before(changes, flow, now - SHORT_NS)
    is_warm = first > 0
    warm[_DELTA] = warm[_OFI] = warm[_UPDATES] = warm[_QUOTES] = is_warm
    out[_DELTA] = out[_OFI] = out[_UPDATES] = out[_QUOTES] = 0.0
    if not is_warm:
        return
    mask = changes.shape[0] - 1
    ofi = 0
    touched = 0
    for i in range(first, count):
        row = (flow[HEAD] + i) & mask
        ofi += changes[row, OFI]
        touched += changes[row, TOUCHED]
    newest = (flow[HEAD] + count - 1) & mask
    then = (flow[HEAD] + first - 1) & mask
    out[_DELTA] = (changes[newest, DELTA_5] - changes[then, DELTA_5]) * lot
    out[_OFI] = ofi * lot
    out[_UPDATES] = (count - first) / _SHORT_S
    out[_QUOTES] = touched / _SHORT_S


@kernel
def depth_deviation(first: int, count: int, shapes: Floats, flow: Ints) -> float:
    """Standard deviation (n - 1) of the depth change over rows [first, count) of the ring, by two passes."""
    mask = shapes.shape[0] - 1
    n = count - first
    total = 0.0
    for i in range(first, count):
        total += shapes[(flow[HEAD] + i) & mask, DEPTH_CHANGE]
    mean = total / n
    squares = 0.0
    for i in range(first, count):
        squares += (shapes[(flow[HEAD] + i) & mask, DEPTH_CHANGE] - mean) ** 2
    return sqrt(squares / (n - 1))


@kernel
def spread_deviation(now: int, first: int, changes: Ints, shapes: Floats, flow: Ints) -> float:
    """Standard deviation of the relative spread over the last minute, each weighted with how long it stood.

    Row `first` is the first of the window; the one before it held when the window began.
    """
    mask = changes.shape[0] - 1
    mean = 0.0
    squares = 0.0
    weight = 0.0
    until = now
    for i in range(flow[COUNT] - 1, first - 2, -1):
        row = (flow[HEAD] + i) & mask
        since = changes[row, TS] if i >= first else now - LONG_NS
        if until > since:
            # West's update of weighted mean and sum of squares (1979): one pass, and as stable as two.
            seconds = float(until - since)
            weight += seconds
            away = shapes[row, SPREAD] - mean
            mean += away * seconds / weight
            squares += seconds * away * (shapes[row, SPREAD] - mean)
            until = since
    return sqrt(max(squares, 0.0) / weight)


@kernel
def read_lives(now: int, lives: Ints, flow: Ints, out: Floats, warm: Bools) -> None:
    """Mean and standard deviation (n - 1) of the lives that ended in the last minute; warm where there are any."""
    warm[_LIFE_MEAN] = warm[_LIFE_STD] = False
    out[_LIFE_MEAN] = out[_LIFE_STD] = 0.0
    if flow[LIVES_SINCE] > now - LONG_NS:
        return
    mask = lives.shape[0] - 1
    total = 0
    n = 0
    i = flow[LIVES_COUNT] - 1
    while i >= 0 and lives[(flow[LIVES_HEAD] + i) & mask, LEFT] > now - LONG_NS:
        total += lives[(flow[LIVES_HEAD] + i) & mask, LIFE]
        n += 1
        i -= 1
    if n == 0:
        return
    mean = total / n
    out[_LIFE_MEAN] = mean / SECOND_NS
    warm[_LIFE_MEAN] = True
    if n == 1:
        return
    squares = 0.0
    for k in range(i + 1, flow[LIVES_COUNT]):
        squares += (lives[(flow[LIVES_HEAD] + k) & mask, LIFE] - mean) ** 2
    out[_LIFE_STD] = sqrt(squares / (n - 1)) / SECOND_NS
    warm[_LIFE_STD] = True


@kernel
def read_long(now: int, changes: Ints, shapes: Floats, lives: Ints, flow: Ints, out: Floats, warm: Bools) -> None:
    """Features of the minute up to `now`; neutral and not warm until the book was watched for so long."""
    first = before(changes, flow, now - LONG_NS)
    warm[_DEPTH_STD] = warm[_SPREAD_STD] = False
    out[_DEPTH_STD] = out[_SPREAD_STD] = 0.0
    read_lives(now, lives, flow, out, warm)
    if first == 0:
        return
    count = flow[COUNT]
    out[_SPREAD_STD] = spread_deviation(now, first, changes, shapes, flow)
    warm[_SPREAD_STD] = True
    if count - first > 1:
        out[_DEPTH_STD] = depth_deviation(first, count, shapes, flow)
        warm[_DEPTH_STD] = True
