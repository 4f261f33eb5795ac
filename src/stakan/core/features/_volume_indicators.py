"""Indicators of volume: cumulative ones from the first candle of the table, one of the day, one over twenty candles."""

from stakan.core.features._candle_table import (
    CLOSE,
    HIGH,
    LOW,
    VOLUME,
    Floats,
    change,
    quotient,
)
from stakan.core.kernel import kernel

NEUTRAL = {
    "obv": 0.0,
    "vwap": 0.0,
    "ad_line": 0.0,
    "cmf": 0.0,
    "vpt": 0.0,
    "nvi": 1_000.0,
}
"""Names in their order, and the value of each where it is not warm."""

MONEY_FLOW = 20
NVI_START = 1_000.0
NVI_LIMIT = 1e12
"""No market gets here; without it prices made up of jumps would multiply to infinity."""


@kernel
def accumulated(candle: Floats) -> float:
    """Volume by where the close is in the range: from -1 (low) to 1 (high), nothing without range (Chaikin)."""
    low, high, close = candle[LOW], candle[HIGH], candle[CLOSE]
    return float(quotient((close - low) - (high - close), high - low, 0.0) * candle[VOLUME])


@kernel
def chaikin_money_flow(window: Floats) -> float:
    """CMF of a window: accumulated volume by all volume, in [-1, 1], 0 where nothing was traded."""
    flow = volume = 0.0
    for i in range(len(window)):
        flow += accumulated(window[i])
        volume += window[i, VOLUME]
    return quotient(flow, volume, 0.0)


@kernel
def read(table: Floats, day_turnover: float, day_volume: float, out: Floats) -> None:
    """The volume indicators into `out`, shape (6,), in the order of `NEUTRAL`.

    OBV (Granville, 1963): volume by the sign of the close's change, on top of the first candle's volume as in TA-Lib.
    A/D line: the sum of accumulated volume. VPT: the sum of volume x return. NVI (Fosback, "Stock Market Logic", 1976):
    from 1,000, changed by the return of every candle with less volume than the one before. VWAP: turnover by volume of
    the day, the last close where nothing was traded.
    """
    balance = table[0, VOLUME]
    line = accumulated(table[0])
    trend = 0.0
    index = NVI_START
    for i in range(1, len(table)):
        volume = table[i, VOLUME]
        close, before = table[i, CLOSE], table[i - 1, CLOSE]
        if close > before:
            balance += volume
        elif close < before:
            balance -= volume
        line += accumulated(table[i])
        trend += volume * change(close, before)
        if volume < table[i - 1, VOLUME]:
            index = min(NVI_LIMIT, index + index * change(close, before))
    out[0] = balance
    out[1] = quotient(day_turnover, day_volume, table[-1, CLOSE])
    out[2] = line
    out[3] = chaikin_money_flow(table[-MONEY_FLOW:])
    out[4] = trend
    out[5] = index
