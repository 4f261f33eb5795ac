"""Kernel of clusters, runs of adjacent levels that stand out, and of the nearest prices that may hold price."""

from stakan.core.features._order_book_kernels import DEEP, TRACKED_DEPTH, Bools, Floats, Ints
from stakan.core.features.catalogue import Feature
from stakan.core.kernel import kernel

_LARGEST = (int(Feature.LARGEST_BID_CLUSTER_PRICE), int(Feature.LARGEST_ASK_CLUSTER_PRICE))
_NUMBER = int(Feature.NUM_BID_CLUSTERS)
_LEVEL = int(Feature.SUPPORT_LEVEL_1)
_DISTANCE = int(Feature.DISTANCE_TO_SUPPORT)


@kernel
def kth_size(side: Ints, first: int, last: int, k: int) -> int:
    """The size that has rank `k` (0 smallest) among rows [first, last).

    By counting, which needs no room for a sorted copy; at most 50 rows.
    """
    for i in range(first, last):
        smaller = 0
        equal = 0
        for j in range(first, last):
            smaller += side[j, 1] < side[i, 1]
            equal += side[j, 1] == side[i, 1]
        if smaller <= k < smaller + equal:
            return int(side[i, 1])
    return 0


@kernel
def double_median(side: Ints, first: int, last: int) -> int:
    """Twice the median size of rows [first, last), which is whole."""
    n = last - first
    middle = kth_size(side, first, last, n // 2)
    return 2 * middle if n % 2 else middle + kth_size(side, first, last, n // 2 - 1)


@kernel
def clusters(side: Ints, count: int, multiple: float, least: float) -> tuple[int, float, float, float]:
    """Clusters of one side: how many, price and lots of the largest, and price of the nearest.

    A cluster is a maximal run of neighbours, each at least `multiple` times the median size of the first 50 levels, that
    holds at least `least` (ticks x lots). Prices are volume-weighted, in ticks, 0 without a cluster; of equally large
    ones the nearest counts.
    """
    first = max(0, count - TRACKED_DEPTH)
    limit = multiple * double_median(side, first, count)
    found = 0
    largest_price = largest_lots = nearest = 0.0
    anchor = 0
    lots = away = 0.0
    for i in range(count - 1, first - 2, -1):
        if i >= first and 2 * side[i, 1] >= limit:
            if lots == 0.0:
                anchor = side[i, 0]
            lots += side[i, 1]
            away += float(side[i, 0] - anchor) * side[i, 1]
            continue
        if lots > 0.0:
            price = anchor + away / lots
            if price * lots >= least:
                found += 1
                if found == 1:
                    nearest = price
                if lots > largest_lots:
                    largest_price, largest_lots = price, lots
            lots = away = 0.0
    return found, largest_price, largest_lots, nearest


@kernel
def read(  # noqa: PLR0913, PLR0917 - scalars cross into a kernel faster than an object of them
    sides: Ints, counts: Ints, tick: float, lot: float, multiple: float, least: float, support: float,
    resistance: float, out: Floats, warm: Bools,
) -> None:  # fmt: skip
    """Clusters, and support and resistance: the nearest significant level, else cluster, else the far edge.

    `least` is the notional of a cluster in USDT, 0 for any; `support` and `resistance` are those of the tracker of
    levels in ticks, 0 where it knows none.
    """
    mid = (sides[0, counts[0] - 1, 0] + sides[1, counts[1] - 1, 0]) / 2
    for which in range(2):
        count = counts[which]
        found, price, lots, level = clusters(sides[which], count, multiple, least / (tick * lot))
        if found == 0:
            price = mid
            level = float(sides[which, max(0, count - TRACKED_DEPTH), 0])
        known = support if which == 0 else resistance
        if known > 0.0:
            level = known
        largest = _LARGEST[which]
        out[largest] = price * tick
        out[largest + 1] = lots * lot
        out[_NUMBER + which] = found
        out[_LEVEL + which] = level * tick
        out[_DISTANCE + which] = abs(level - mid) / mid
        warm[largest] = warm[largest + 1] = warm[_NUMBER + which] = count >= DEEP
        warm[_LEVEL + which] = warm[_DISTANCE + which] = known > 0.0 or count >= DEEP
