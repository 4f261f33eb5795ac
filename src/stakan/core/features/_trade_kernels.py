"""Kernels of the order-book channel's features that prints drive.

Prints are the columns of a tape, rows [start, end) in order of exchange time (see `market.tape`); RPI prints are left
out. Book rows are those of `_window_kernels`. Reading changes nothing.
"""

from math import sqrt

from stakan.core.features._flow_kernels import before
from stakan.core.features._order_book_kernels import Bools, Floats, Ints, ratio
from stakan.core.features._window_kernels import COUNT, DOUBLE_MID, HEAD, LONG_NS, SECOND_NS, SHORT_NS, TS
from stakan.core.features.catalogue import Feature
from stakan.core.kernel import kernel
from stakan.core.market._tape_kernels import RPI, Signs, size_percentile

LARGE_SHARE = 0.95
LARGE_SAMPLE = 1_000
LEAST_SAMPLE = 20
"""Sizes without which a 95th percentile says nothing: one in twenty is above it."""
SECONDS = LONG_NS // SECOND_NS

_RATIO = int(Feature.BUY_SELL_RATIO)
_SMART = int(Feature.SMART_MONEY_INDEX)
_LAMBDA = int(Feature.KYLE_LAMBDA)
_AMIHUD = int(Feature.AMIHUD_ILLIQUIDITY)
_ROLL = int(Feature.ROLL_SPREAD)
_ARRIVALS = int(Feature.TRADE_ARRIVAL_RATE)
_SHORT_S = SHORT_NS / SECOND_NS


@kernel
def has(signs: Signs, start: int, end: int, wanted: int) -> bool:
    """Whether rows [start, end) hold `wanted` ordinary prints."""
    found = 0
    i = end - 1
    while i >= start and found < wanted:
        found += abs(signs[i]) != RPI
        i -= 1
    return found == wanted


@kernel
def last_until(times: Ints, start: int, end: int, now: int) -> int:
    """One past the last row that is not later than `now`."""
    while end > start and times[end - 1] > now:
        end -= 1
    return end


@kernel
def first_after(times: Ints, start: int, end: int, moment: int) -> int:
    """The first row later than `moment`."""
    low, high = start, end
    while low < high:
        middle = (low + high) >> 1
        if times[middle] <= moment:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def bounce(prices: Ints, signs: Signs, first: int, end: int) -> tuple[int, float]:
    """Roll's covariance: pairs of successive price changes (ticks) in rows [first, end), and their covariance (n - 1).

    Sums are whole numbers, so they carry no rounding.
    """
    pairs = 0
    products = sum_now = sum_before = 0
    price = change = 0
    seen = 0
    for i in range(first, end):
        if abs(signs[i]) == RPI:
            continue
        step = prices[i] - price
        if seen >= 2:
            pairs += 1
            products += step * change
            sum_now += step
            sum_before += change
        price = prices[i]
        change = step
        seen += 1
    if pairs < 2:
        return pairs, 0.0
    return pairs, (products - sum_now * (sum_before / pairs)) / (pairs - 1)


@kernel
def sums(prices: Ints, sizes: Ints, signs: Signs, first: int, end: int, large: float) -> tuple[int, int, float, float]:
    """Lots bought and sold in rows [first, end), all notional (ticks x lots), and signed that of `large` sizes."""
    buys = sells = 0
    notional = signed_large = 0.0
    for i in range(first, end):
        if abs(signs[i]) == RPI:
            continue
        paid = float(prices[i]) * float(sizes[i])
        notional += paid
        if signs[i] > 0:
            buys += sizes[i]
        else:
            sells += sizes[i]
        if sizes[i] >= large:
            signed_large += paid if signs[i] > 0 else -paid
    return buys, sells, notional, signed_large


@kernel
def read_prints(  # noqa: PLR0913, PLR0917 - columns of a tape
    times: Ints,
    prices: Ints,
    sizes: Ints,
    signs: Signs,
    start: int,
    end: int,
    since: int,
    now: int,
    tick: float,
    out: Floats,
    warm: Bools,
) -> None:
    """Features of prints alone, up to `now`; the tape is complete from `since` on, nowhere where that is negative."""
    end = last_until(times, start, end, now)
    out[_RATIO] = 1.0
    out[_SMART] = out[_ROLL] = out[_ARRIVALS] = 0.0
    is_long = 0 <= since <= now - LONG_NS
    warm[_ARRIVALS] = 0 <= since <= now - SHORT_NS
    warm[_RATIO] = is_long
    warm[_SMART] = warm[_ROLL] = False
    if warm[_ARRIVALS]:
        recent = 0
        for i in range(first_after(times, start, end, now - SHORT_NS), end):
            recent += abs(signs[i]) != RPI
        out[_ARRIVALS] = recent / _SHORT_S
    if not is_long:
        return
    first = first_after(times, start, end, now - LONG_NS)
    has_sample = has(signs, start, end, LEAST_SAMPLE)
    large = size_percentile(sizes[start:end], signs[start:end], LARGE_SAMPLE, LARGE_SHARE) if has_sample else 0.0
    buys, sells, notional, signed_large = sums(prices, sizes, signs, first, end, large)
    out[_RATIO] = ratio(float(buys), float(sells), 1.0)
    warm[_SMART] = has_sample
    if has_sample and notional > 0.0:
        out[_SMART] = signed_large / notional
    pairs, covariance = bounce(prices, signs, first, end)
    warm[_ROLL] = pairs > 1
    out[_ROLL] = 2.0 * sqrt(max(-covariance, 0.0)) * tick


@kernel
def read_impact(  # noqa: PLR0913, PLR0917 - columns of a tape, and a ring of book rows
    times: Ints,
    prices: Ints,
    sizes: Ints,
    signs: Signs,
    start: int,
    end: int,
    since: int,
    now: int,
    changes: Ints,
    flow: Ints,
    tick: float,
    lot: float,
    out: Floats,
    warm: Bools,
) -> None:
    """Price impact over the last 60 whole seconds of exchange time, each from its beginning up to, not with, its end.

    Kyle's lambda is the least-squares slope (with intercept) of the change of mid on signed volume over all of them, 0
    where volume never changed; Amihud's ratio is the mean of |return of mid| / notional over those with prints.
    """
    out[_LAMBDA] = out[_AMIHUD] = 0.0
    warm[_LAMBDA] = warm[_AMIHUD] = False
    until = now // SECOND_NS * SECOND_NS
    oldest = before(changes, flow, until - LONG_NS - 1)
    if oldest == 0 or not 0 <= since <= until - LONG_NS:
        return
    mask = changes.shape[0] - 1
    row = oldest - 1
    trade = first_after(times, start, end, until - LONG_NS - 1)
    mid = changes[(flow[HEAD] + row) & mask, DOUBLE_MID]
    mean_volume = mean_change = co_moments = moments = ratios = 0.0
    traded = 0
    for second in range(1, SECONDS + 1):
        edge = until - LONG_NS + second * SECOND_NS
        before_edge = trade
        trade = first_after(times, trade, end, edge - 1)
        buys, sells, notional, _ = sums(prices, sizes, signs, before_edge, trade, 0.0)
        while row + 1 < flow[COUNT] and changes[(flow[HEAD] + row + 1) & mask, TS] < edge:
            row += 1
        mid_before = mid
        mid = changes[(flow[HEAD] + row) & mask, DOUBLE_MID]
        change = float(mid - mid_before)
        # Welford's update of means and of sums of products about them.
        away = buys - sells - mean_volume
        mean_volume += away / second
        mean_change += (change - mean_change) / second
        co_moments += away * (change - mean_change)
        moments += away * (buys - sells - mean_volume)
        if notional > 0.0:
            traded += 1
            ratios += abs(change) / mid_before / notional
    if moments > 0.0:
        out[_LAMBDA] = co_moments / moments * (tick / 2.0) / lot
        warm[_LAMBDA] = True
    if traded > 0:
        out[_AMIHUD] = ratios / traded / (tick * lot)
        warm[_AMIHUD] = True
