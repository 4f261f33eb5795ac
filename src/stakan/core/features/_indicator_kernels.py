"""Kernel of the indicator channel: trend, momentum, volatility and volume over the closed candles that are kept."""

import numpy as np

from stakan.core.features._candle_table import Bools, Floats
from stakan.core.features._momentum_indicators import NEUTRAL as _MOMENTUM
from stakan.core.features._momentum_indicators import read as read_momentum
from stakan.core.features._trend_indicators import NEUTRAL as _TREND
from stakan.core.features._trend_indicators import read as read_trend
from stakan.core.features._volatility_indicators import NEUTRAL as _VOLATILITY
from stakan.core.features._volatility_indicators import read as read_volatility
from stakan.core.features._volume_indicators import NEUTRAL as _VOLUME
from stakan.core.features._volume_indicators import read as read_volume
from stakan.core.kernel import kernel

NEUTRAL = {**_TREND, **_MOMENTUM, **_VOLATILITY, **_VOLUME}
"""Names in their order, and the value of each where it is not warm."""

NEEDED = 50
"""Candles without which no indicator speaks."""

_NEUTRAL = np.array(tuple(NEUTRAL.values()))
_VWAP = tuple(NEUTRAL).index("vwap")


@kernel
def read(
    table: Floats, day_turnover: float, day_volume: float, is_whole_day: bool, out: Floats, warm: Bools
) -> None:  # fmt: skip
    """The indicator channel into `out`, its warmth into `warm`, both of shape (35,) in the order of `NEUTRAL`.

    `table`, shape (n, 6), n >= 0, is as `_candle_table` says; turnover and volume of the day are in its units. What
    TA-Lib has equals TA-Lib over the same n candles, except where it divides by nothing and says 0; what is cumulative
    starts with the first candle.

    All are neutral and not warm below 50 candles, although TA-Lib needs fewer for all but two. From there on all are
    warm but VWAP, which is of the day and neutral where that is not whole.
    """
    out[:] = _NEUTRAL
    warm[:] = False
    if len(table) < NEEDED:
        return
    warm[:] = True
    read_trend(table, out[0:12])
    read_momentum(table, out[12:21])
    read_volatility(table, out[21:29])
    read_volume(table, day_turnover, day_volume, out[29:35])
    if not is_whole_day:
        warm[_VWAP] = False
        out[_VWAP] = _NEUTRAL[_VWAP]
