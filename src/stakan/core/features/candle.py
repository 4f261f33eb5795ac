"""Features of the candles: what the last one shows, and the indicators over all that are kept."""

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.features import _candle_channel_kernels as candle_kernels
from stakan.core.features import _indicator_kernels as indicator_kernels
from stakan.core.features.catalogue import CANDLE, INDICATOR
from stakan.core.features.definitions import factors
from stakan.core.market.candles import KEPT, CandleBuilder, Column

_TABLE = slice(Column.OPEN, Column.TURNOVER + 1)
"""What kernels read of a candle, in their order."""

Values = npt.NDArray[np.float64]
Warmth = npt.NDArray[np.bool_]


class CandleFeatures(msgspec.Struct, frozen=True):
    """How the candles of one instrument become features; remembers nothing.

    The reading methods write into a whole vector and its warmth, each the features of one channel. Kernels see whole
    ticks and lots, in which equal moves are equal; what is a price, a size or money is scaled afterwards.
    """

    tick: float
    lot: float
    """Tick and lot size as floats: statistics, not money."""
    include_open: bool = False
    """Whether the open candle counts as the last one."""

    def read_candle(self, candles: CandleBuilder, out: Values, warm: Warmth) -> None:
        """The last candle, and the twenty before it."""
        table = rows(candles, candle_kernels.WINDOW + 1, include_open=self.include_open)
        candle_kernels.read(table, out[CANDLE], warm[CANDLE])
        out[CANDLE] *= factors(self.tick, self.lot)[CANDLE]

    def read_indicators(self, candles: CandleBuilder, out: Values, warm: Warmth) -> None:
        """Indicators over the last 200 candles, and VWAP over the day's."""
        table = rows(candles, KEPT, include_open=self.include_open)
        day = candles.day(include_open=self.include_open)
        indicator_kernels.read(
            table, float(day.turnover), float(day.volume), day.is_whole, out[INDICATOR], warm[INDICATOR]
        )
        out[INDICATOR] *= factors(self.tick, self.lot)[INDICATOR]


def rows(candles: CandleBuilder, most: int, *, include_open: bool = False) -> Values:
    """The table of the newest candles, shape (n, 6), contiguous as kernels want it."""
    return np.ascontiguousarray(candles.newest(most, include_open=include_open)[_TABLE].T, np.float64)
