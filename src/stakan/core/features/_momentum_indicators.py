"""Indicators of momentum: how far and how steadily the price has gone, most of them between 0 and 100."""

from stakan.core.features._candle_table import (
    CLOSE,
    HIGH,
    LOW,
    VOLUME,
    Floats,
    change,
    quotient,
    typical,
    typical_change,
)
from stakan.core.kernel import kernel

NEUTRAL = {
    "rsi_14": 50.0,
    "rsi_28": 50.0,
    "stochastic_k": 50.0,
    "stochastic_d": 50.0,
    "williams_r": -50.0,
    "cci": 0.0,
    "momentum_10": 0.0,
    "roc": 0.0,
    "mfi": 50.0,
}
"""Names in their order, and the value of each where it is not warm, and in a market that stands still.

TA-Lib answers 0 for a market that stands still, which for these is an extreme.
"""

RANGE = 14
COMMODITY_CHANNEL = 20
BACK = 10
MONEY_FLOW = 14


@kernel
def relative_strength(table: Floats, period: int) -> float:
    """RSI in percent: Wilder's mean of rises, by that of rises and falls together. Needs `period` + 1 candles.

    Wilder, "New Concepts in Technical Trading Systems" (1978): weight 1 / period, started with simple means.
    """
    rises = falls = 0.0
    for i in range(1, len(table)):
        step = table[i, CLOSE] - table[i - 1, CLOSE]
        if i <= period:
            rises += max(step, 0.0) / period
            falls += max(-step, 0.0) / period
        else:
            rises += (max(step, 0.0) - rises) / period
            falls += (max(-step, 0.0) - falls) / period
    return quotient(100.0 * rises, rises + falls, 50.0)


@kernel
def place_in_range(window: Floats) -> float:
    """Where the last close stands between the lowest low (0) and the highest high (100) of a window of candles."""
    low, high = window[0, LOW], window[0, HIGH]
    for i in range(1, len(window)):
        low = min(low, window[i, LOW])
        high = max(high, window[i, HIGH])
    return quotient(100.0 * (window[-1, CLOSE] - low), high - low, 50.0)


@kernel
def stochastic(table: Floats, out: Floats) -> None:
    """Slow stochastic 14/3/3 (Lane), shape (2,): %K is the simple mean of the last 3 places in range, %D of 3 %K."""
    out[0] = out[1] = 0.0
    for back in range(5):
        place = place_in_range(table[len(table) - back - RANGE : len(table) - back])
        if back < 3:
            out[0] += place / 3.0
        out[1] += place * min(back + 1, 5 - back) / 9.0


@kernel
def commodity_channel(window: Floats) -> float:
    """CCI of a window: the last typical price's distance from their mean, by 0.015 mean absolute deviations.

    Lambert, "Commodity Channel Index" (1980). Prices are taken relative to the last one, so that equal ones differ by
    nothing at all.
    """
    last = window[-1]
    mean = 0.0
    for i in range(len(window)):
        mean += typical_change(last, window[i]) / len(window)
    deviation = 0.0
    for i in range(len(window)):
        deviation += abs(typical_change(last, window[i]) - mean) / len(window)
    return quotient(-mean, 0.015 * deviation, 0.0)


@kernel
def money_flow(window: Floats) -> float:
    """MFI of a window: money (typical price x volume) of candles that rose, in percent of those that rose or fell.

    Quong & Soudack, "Volume-Weighted RSI: Money Flow" (1989). The first candle is what the second is compared with.
    """
    rising = falling = 0.0
    for i in range(1, len(window)):
        step = typical_change(window[i - 1], window[i])
        if step > 0:
            rising += typical(window[i]) * window[i, VOLUME]
        elif step < 0:
            falling += typical(window[i]) * window[i, VOLUME]
    return quotient(100.0 * rising, rising + falling, 50.0)


@kernel
def read(table: Floats, out: Floats) -> None:
    """The momentum indicators into `out`, shape (9,), in the order of `NEUTRAL`; `table` has at least 29 candles."""
    last, before = table[-1, CLOSE], table[-1 - BACK, CLOSE]
    out[0] = relative_strength(table, 14)
    out[1] = relative_strength(table, 28)
    stochastic(table, out[2:4])
    out[4] = place_in_range(table[-RANGE:]) - 100.0
    out[5] = commodity_channel(table[-COMMODITY_CHANNEL:])
    out[6] = last - before
    out[7] = 100.0 * change(last, before)
    out[8] = money_flow(table[-MONEY_FLOW - 1 :])
