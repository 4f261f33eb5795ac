"""Kernel of the candle channel: shape, volume and pattern of the last closed candle, and three volatilities."""

import numpy as np

from stakan.core.features._candle_table import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    TURNOVER,
    VOLUME,
    Bools,
    Floats,
    change,
    log_ratio,
    quotient,
    typical,
    typical_change,
)
from stakan.core.kernel import kernel

NEUTRAL = {
    "open": 0.0,
    "high": 0.0,
    "low": 0.0,
    "close": 0.0,
    "volume": 0.0,
    "typical_price": 0.0,
    "returns": 0.0,
    "log_returns": 0.0,
    "high_low_range": 0.0,
    "close_open_diff": 0.0,
    "upper_shadow": 0.0,
    "lower_shadow": 0.0,
    "body_size": 0.0,
    "realized_volatility": 0.0,
    "parkinson_volatility": 0.0,
    "garman_klass_volatility": 0.0,
    "volume_ma_ratio": 1.0,
    "volume_change_rate": 0.0,
    "price_volume_trend": 0.0,
    "volume_weighted_price": 0.0,
    "money_flow": 0.0,
    "doji_strength": 0.0,
    "hammer_strength": 0.0,
    "engulfing_strength": 0.0,
    "gap_size": 0.0,
}
"""Names in their order, and the value of each where it is not warm."""

WINDOW = 20
"""Candles, or changes between candles, behind volatilities and averages of volume."""
CHANGE_LIMIT = 10.0
"""Bound of the volume's change rate, which is unbounded after a candle with hardly any trade."""

_NEUTRAL = np.array(tuple(NEUTRAL.values()))
_GARMAN_KLASS = 2.0 * np.log(2.0) - 1.0


@kernel
def own(last: Floats, out: Floats) -> None:
    """What one candle says of itself: 0..5, 8..12 and the patterns 21 and 22.

    Doji: 1 - body. Hammer: clip(lower - 2 body, 0, 1) (1 - upper). All three are shares of the range; both strengths
    are 0 for a candle without range, which is a market that stands still rather than a pattern.
    """
    opened, high, low, close = last[OPEN], last[HIGH], last[LOW], last[CLOSE]
    span = high - low
    out[0:5] = last[0:5]
    out[5] = typical(last)
    out[8] = quotient(span, close, 0.0)
    out[9] = change(close, opened)
    out[10] = quotient(high - max(opened, close), span, 0.0)
    out[11] = quotient(min(opened, close) - low, span, 0.0)
    out[12] = quotient(abs(close - opened), span, 0.0)
    if span > 0:
        out[21] = 1.0 - out[12]
        out[22] = min(1.0, max(0.0, out[11] - 2.0 * out[12])) * (1.0 - out[10])


@kernel
def engulfing(before: Floats, last: Floats) -> float:
    """+-min(1, body / (2 previous body)) where a body of the other colour covers the previous one and more, else 0.

    Nison, "Japanese Candlestick Charting Techniques" (1991): one end may be shared, so the gapless candles of an
    exchange can engulf. A candle without body has no colour.
    """
    body = last[CLOSE] - last[OPEN]
    previous = before[CLOSE] - before[OPEN]
    if body * previous >= 0 or abs(body) <= abs(previous):
        return 0.0
    if min(last[OPEN], last[CLOSE]) > min(before[OPEN], before[CLOSE]):
        return 0.0
    if max(last[OPEN], last[CLOSE]) < max(before[OPEN], before[CLOSE]):
        return 0.0
    return float(np.sign(body) * min(1.0, abs(body) / (2.0 * abs(previous))))


@kernel
def changes(before: Floats, last: Floats, out: Floats) -> None:
    """What two candles say: returns 6 and 7, change of volume 17, money flow 20, engulfing 23, gap 24.

    The change of volume is clipped to +-10, which any volume after none is too. Money flow is typical price x volume
    with the sign of the typical price's change.
    """
    out[6] = change(last[CLOSE], before[CLOSE])
    out[7] = log_ratio(last[CLOSE], before[CLOSE])
    rate = quotient(last[VOLUME] - before[VOLUME], before[VOLUME], CHANGE_LIMIT if last[VOLUME] > 0 else 0.0)
    out[17] = min(CHANGE_LIMIT, rate)
    out[20] = np.sign(typical_change(before, last)) * typical(last) * last[VOLUME]
    out[23] = engulfing(before, last)
    out[24] = change(last[OPEN], before[CLOSE])


@kernel
def over_candles(window: Floats, out: Floats) -> None:
    """What 20 candles say: range volatilities 14 and 15, volume against its mean 16, their VWAP 19; none is annualised.

    Parkinson, "The Extreme Value Method for Estimating the Variance of the Rate of Return" (1980):
    sqrt(mean(ln(h/l)^2) / (4 ln 2)). Garman & Klass, "On the Estimation of Security Price Volatilities from Historical
    Data" (1980), the practical estimator: sqrt(mean(ln(h/l)^2 / 2 - (2 ln 2 - 1) ln(c/o)^2)). The VWAP is the turnover
    divided by the volume, the last close where nothing was traded.
    """
    ranges = bodies = volume = turnover = 0.0
    for i in range(len(window)):
        ranges += log_ratio(window[i, HIGH], window[i, LOW]) ** 2
        bodies += log_ratio(window[i, CLOSE], window[i, OPEN]) ** 2
        volume += window[i, VOLUME]
        turnover += window[i, TURNOVER]
    out[14] = np.sqrt(ranges / len(window) / (4.0 * np.log(2.0)))
    out[15] = np.sqrt(max(0.0, ranges / 2.0 - _GARMAN_KLASS * bodies) / len(window))
    out[16] = quotient(window[-1, VOLUME] * len(window), volume, 1.0)
    out[19] = quotient(turnover, volume, window[-1, CLOSE])


@kernel
def over_changes(window: Floats, out: Floats) -> None:
    """What 20 changes between 21 candles say: realised volatility 13 (n - 1, not annualised), price-volume trend 18.

    The trend is the sum of volume x return.
    """
    count = len(window) - 1
    mean = trend = 0.0
    for i in range(1, len(window)):
        mean += log_ratio(window[i, CLOSE], window[i - 1, CLOSE]) / count
        trend += window[i, VOLUME] * change(window[i, CLOSE], window[i - 1, CLOSE])
    total = 0.0
    for i in range(1, len(window)):
        total += (log_ratio(window[i, CLOSE], window[i - 1, CLOSE]) - mean) ** 2
    out[13] = np.sqrt(total / (count - 1))
    out[18] = trend


@kernel
def read(table: Floats, out: Floats, warm: Bools) -> None:
    """The candle channel into `out`, its warmth into `warm`, both of shape (25,) in the order of `NEUTRAL`.

    `table` has shape (n, 6) as `_candle_table` says, n >= 0; the last row is the candle that is described. What is not
    warm has its neutral value. One candle is enough for what describes it alone, two for changes; windows want 20
    candles, or 21 where they hold 20 changes. Shares of the range are 0 for a candle without range.
    """
    out[:] = _NEUTRAL
    warm[:] = False
    n = len(table)
    if n > 0:
        warm[0:6] = warm[8:13] = warm[21:23] = True
        own(table[n - 1], out)
    if n > 1:
        warm[6:8] = warm[17] = warm[20] = warm[23:25] = True
        changes(table[n - 2], table[n - 1], out)
    if n >= WINDOW:
        warm[14:17] = warm[19] = True
        over_candles(table[n - WINDOW :], out)
    if n > WINDOW:
        warm[13] = warm[18] = True
        over_changes(table[n - WINDOW - 1 :], out)
