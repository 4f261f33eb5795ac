"""Kernel of the further candle features: a set of its own, beside the 110 and not part of them."""

import numpy as np

from stakan.core.features._candle_table import CLOSE, HIGH, LOW, OPEN, Bools, Floats, log_ratio
from stakan.core.features._smoothing_kernels import simple_mean, true_range
from stakan.core.kernel import kernel

FEATURE_SET = "further-candles-1"
"""Version of names, order and meaning; stored with everything that keeps these features."""

NEUTRAL = {
    "sma_100": 0.0,
    "sma_200": 0.0,
    "parabolic_sar": 0.0,
    "supertrend": 0.0,
    "supertrend_direction": 0.0,
    "ichimoku_conversion": 0.0,
    "ichimoku_base": 0.0,
    "ichimoku_span_a": 0.0,
    "ichimoku_span_b": 0.0,
    "ichimoku_lagging": 0.0,
    "rogers_satchell_volatility": 0.0,
    "yang_zhang_volatility": 0.0,
}
"""Names in their order, and the value of each where it is not warm."""

FOLLOWED = 50
"""Candles from which on a line that follows the market from the first one has forgotten where it began."""
ACCELERATION = 0.02
FASTEST = 0.2
REACH_PERIOD = 10
REACH = 3.0
CONVERSION = 9
BASE = 26
SPAN = 52
VOLATILITY = 20

_NEUTRAL = np.array(tuple(NEUTRAL.values()))


@kernel
def parabolic(table: Floats) -> float:
    """Wilder's stop and reverse 0.02/0.2 for the last candle ("New Concepts in Technical Trading Systems", 1978).

    As in TA-Lib the position is short from the second candle on where its low fell by more than its high rose, else
    long. Prices are taken times the position's sign, so that a stop is always below. Needs 2 candles.
    """
    side = -1.0 if table[0, LOW] - table[1, LOW] > max(0.0, table[1, HIGH] - table[0, HIGH]) else 1.0
    near, far = (LOW, HIGH) if side > 0 else (HIGH, LOW)
    stop = side * table[0, near]
    extreme = side * table[1, far]
    speed = ACCELERATION
    shown = stop
    for i in range(1, len(table)):
        before = table[max(1, i - 1)]
        if side * table[i, near] <= stop:
            side = -side
            near, far = far, near
            stop = shown = min(-extreme, side * before[near], side * table[i, near])
            extreme = side * table[i, far]
            speed = ACCELERATION
        else:
            shown = stop
            if side * table[i, far] > extreme:
                extreme = side * table[i, far]
                speed = min(FASTEST, speed + ACCELERATION)
        stop = min(stop + speed * (extreme - stop), side * before[near], side * table[i, near])
    return float(side * shown)


@kernel
def super_trend(table: Floats, out: Floats) -> None:
    """SuperTrend 10/3 (Seban), shape (2,): the band that the close has not crossed, and 1 above it, -1 below.

    Bands stand 3 average true ranges from the middle of the range. The upper one only falls until a close is above it,
    the lower one only rises until a close is below it. It begins with the side of the middle that the close is on, at
    the first average of 10 true ranges. Needs 11 candles.
    """
    reach = upper = lower = 0.0
    side = 1.0
    for i in range(1, len(table)):
        span = true_range(table[i - 1], table[i])
        reach += span / REACH_PERIOD if i <= REACH_PERIOD else (span - reach) / REACH_PERIOD
        if i < REACH_PERIOD:
            continue
        middle = (table[i, HIGH] + table[i, LOW]) / 2.0
        close, before = table[i, CLOSE], table[i - 1, CLOSE]
        if i == REACH_PERIOD:
            side = 1.0 if close >= middle else -1.0
        if i == REACH_PERIOD or middle + REACH * reach < upper or before > upper:
            upper = middle + REACH * reach
        if i == REACH_PERIOD or middle - REACH * reach > lower or before < lower:
            lower = middle - REACH * reach
        if close > upper:
            side = 1.0
        elif close < lower:
            side = -1.0
    out[0] = lower if side > 0 else upper
    out[1] = side


@kernel
def middle_of_range(window: Floats) -> float:
    """Half-way between the highest high and the lowest low of a window of candles."""
    low, high = window[0, LOW], window[0, HIGH]
    for i in range(1, len(window)):
        low = min(low, window[i, LOW])
        high = max(high, window[i, HIGH])
    return float((high + low) / 2.0)


@kernel
def cloud(table: Floats, out: Floats) -> None:
    """Ichimoku 9/26/52 (Hosoda), shape (5,): conversion, base, spans A and B, lagging line. Needs 77 candles.

    Spans are drawn 26 candles ahead, today's counted as the first: those of today come from 25 candles ago. The lagging
    line is drawn as many candles back: given is its last point less the close that it stands over.
    """
    then = len(table) - BASE + 1
    out[0] = middle_of_range(table[-CONVERSION:])
    out[1] = middle_of_range(table[-BASE:])
    out[2] = (middle_of_range(table[then - CONVERSION : then]) + middle_of_range(table[then - BASE : then])) / 2.0
    out[3] = middle_of_range(table[then - SPAN : then])
    out[4] = table[-1, CLOSE] - table[then - 1, CLOSE]


@kernel
def rogers_satchell(window: Floats) -> float:
    """Variance of a window: the mean of ln(h/c) ln(h/o) + ln(l/c) ln(l/o), which no drift disturbs.

    Rogers & Satchell, "Estimating Variance from High, Low and Closing Prices" (1991).
    """
    total = 0.0
    for i in range(len(window)):
        opened, high, low, close = window[i, OPEN], window[i, HIGH], window[i, LOW], window[i, CLOSE]
        total += log_ratio(high, close) * log_ratio(high, opened) + log_ratio(low, close) * log_ratio(low, opened)
    return max(0.0, total / len(window))


@kernel
def yang_zhang(window: Floats) -> float:
    """Variance of all but the first candle, which gives the close before: gaps and drift are accounted for.

    Yang & Zhang, "Drift-Independent Volatility Estimation Based on High, Low, Open, and Close Prices" (2000):
    V(gap) + k V(body) + (1 - k) V(Rogers-Satchell), k = 0.34 / (1.34 + (n + 1) / (n - 1)).
    """
    count = len(window) - 1
    gap = body = 0.0
    for i in range(1, count + 1):
        gap += log_ratio(window[i, OPEN], window[i - 1, CLOSE]) / count
        body += log_ratio(window[i, CLOSE], window[i, OPEN]) / count
    gaps = bodies = 0.0
    for i in range(1, count + 1):
        gaps += (log_ratio(window[i, OPEN], window[i - 1, CLOSE]) - gap) ** 2 / (count - 1)
        bodies += (log_ratio(window[i, CLOSE], window[i, OPEN]) - body) ** 2 / (count - 1)
    weight = 0.34 / (1.34 + (count + 1) / (count - 1))
    return gaps + weight * bodies + (1.0 - weight) * rogers_satchell(window[1:])


@kernel
def read(table: Floats, out: Floats, warm: Bools) -> None:
    """The further candle features into `out`, their warmth into `warm`, both of shape (12,) in the order of `NEUTRAL`.

    `table` has shape (n, 6) as `_candle_table` says, n >= 0. What is not warm has its neutral value: means want all
    their candles, the lines of Ichimoku 77, volatilities (of 20 candles, not annualised) 20 and 21; the stop and
    SuperTrend, which follow the market from the first candle on, want 50.
    """
    out[:] = _NEUTRAL
    warm[:] = False
    n = len(table)
    if n >= VOLATILITY:
        warm[10] = True
        out[10] = np.sqrt(rogers_satchell(table[-VOLATILITY:]))
    if n > VOLATILITY:
        warm[11] = True
        out[11] = np.sqrt(yang_zhang(table[-VOLATILITY - 1 :]))
    if n >= FOLLOWED:
        warm[2:5] = True
        out[2] = parabolic(table)
        super_trend(table, out[3:5])
    if n >= SPAN + BASE - 1:
        warm[5:10] = True
        cloud(table, out[5:10])
    if n >= 100:
        warm[0] = True
        out[0] = simple_mean(table[:, CLOSE], 100)
    if n >= 200:
        warm[1] = True
        out[1] = simple_mean(table[:, CLOSE], 200)
