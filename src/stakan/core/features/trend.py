"""The trend that density strategies follow: structure of highs and lows, and slope of a moving average; both agree."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from stakan.core.market.candles import CandleBuilder, Column

Floats = npt.NDArray[np.float64]


class Trend(IntEnum):
    """Direction; the value is the sign of the position that follows it."""

    DOWN = -1
    NONE = 0
    UP = 1


def trend(candles: CandleBuilder, average: int = 10, span: int = 5) -> Trend:
    """Direction of the last closed candles; NONE where fewer than `average + span` exist or the criteria disagree.

    Structure: highest high and lowest low of the newest `span` candles both above (below) those of the `span` before.
    Slope: the simple mean of the last `average` closes above (below) the mean `span` candles ago, with the last close
    on the same side of it.
    """
    if candles.count < max(average + span, 2 * span):
        return Trend.NONE
    high, low, close = (candles.closed(column) for column in (Column.HIGH, Column.LOW, Column.CLOSE))
    structure = _structure(high, low, span)
    return structure if structure is _slope(close, average, span) else Trend.NONE


def _structure(high: npt.NDArray[np.int64], low: npt.NDArray[np.int64], span: int) -> Trend:
    highs = int(high[-span:].max()) - int(high[-2 * span : -span].max())
    lows = int(low[-span:].min()) - int(low[-2 * span : -span].min())
    if highs > 0 and lows > 0:
        return Trend.UP
    return Trend.DOWN if highs < 0 and lows < 0 else Trend.NONE


def _slope(close: npt.NDArray[np.int64], average: int, span: int) -> Trend:
    now = float(close[-average:].mean())
    before = float(close[-average - span : -span].mean())
    last = float(close[-1])
    if now > before and last > now:
        return Trend.UP
    return Trend.DOWN if now < before and last < now else Trend.NONE
