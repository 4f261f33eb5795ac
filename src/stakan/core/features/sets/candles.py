"""More of what charts show: long means, a stop, SuperTrend, Ichimoku, and two volatilities that drift does not disturb."""

from typing import ClassVar

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.instrument import Instrument
from stakan.core.features import _further_candle_kernels as kernels
from stakan.core.features.candle import rows
from stakan.core.features.definitions import Definition
from stakan.core.features.further import FeatureSet, Values, Warmth
from stakan.core.market.candles import KEPT
from stakan.core.market.picture import MarketPicture

_PRICE = "quote currency"
_CANDLES = "closed candles"
_ALL = "up to 200 candles"


def _price(formula: str, window: str) -> Definition:
    return Definition(formula, _PRICE, window, _CANDLES)


def _values() -> npt.NDArray[np.float64]:
    return np.array(tuple(kernels.NEUTRAL.values()))


def _warmth() -> npt.NDArray[np.bool_]:
    return np.zeros(len(kernels.NEUTRAL), np.bool_)


class Computed(msgspec.Struct, eq=False):
    """What the closed candles gave when they last changed."""

    tick: float
    revision: int = -1
    values: np.ndarray[tuple[int], np.dtype[np.float64]] = msgspec.field(default_factory=_values)
    warm: np.ndarray[tuple[int], np.dtype[np.bool_]] = msgspec.field(default_factory=_warmth)


class Candles(FeatureSet, frozen=True, kw_only=True):
    """SMA 100 and 200, Parabolic SAR, SuperTrend, Ichimoku, Rogers-Satchell and Yang-Zhang volatility.

    Of the closed candles of the configured interval, and computed when one closes. Markets that never close have hardly
    a gap between candles, so that Yang-Zhang says little here that Rogers-Satchell does not.
    """

    version = kernels.FEATURE_SET
    definitions: ClassVar = {
        "sma_100": _price("SMA(c, 100)", "100 candles"),
        "sma_200": _price("SMA(c, 200)", "200 candles"),
        "parabolic_sar": _price("SAR(0.02, 0.2), as TA-Lib", _ALL),
        "supertrend": _price("SuperTrend(10, 3): the band that the close has not crossed", _ALL),
        "supertrend_direction": Definition("1 above the band, -1 below", "sign", _ALL, _CANDLES),
        "ichimoku_conversion": _price("middle of the range of 9", "9 candles"),
        "ichimoku_base": _price("middle of the range of 26", "26 candles"),
        "ichimoku_span_a": _price("(conversion + base) / 2 of 25 candles ago", "51 candles"),
        "ichimoku_span_b": _price("middle of the range of 52, of 25 candles ago", "77 candles"),
        "ichimoku_lagging": _price("c - c of 25 candles ago", "26 candles"),
        "rogers_satchell_volatility": Definition(
            "√(mean(ln(h / c)·ln(h / o) + ln(l / c)·ln(l / o)))", "share", "20 candles", _CANDLES
        ),
        "yang_zhang_volatility": Definition(
            "√(V(gap) + k·V(body) + (1 - k)·V(Rogers-Satchell)), k = 0.34 / (1.34 + 21 / 19)",
            "share",
            "21 candles",
            _CANDLES,
        ),
    }

    def start(self, instrument: Instrument) -> Computed:
        """Nothing was computed."""
        return Computed(float(instrument.tick_size))

    def read(self, market: MarketPicture, now: int, state: Computed, out: Values, warm: Warmth) -> None:  # noqa: ARG002
        """What the closed candles give; they are looked at again only where they have changed."""
        candles = market.candles
        if candles.revision != state.revision:
            # Kernels see whole ticks, in which equal prices are equal.
            table = rows(candles, KEPT)
            kernels.read(table, state.values, state.warm)
            state.values[_PRICES] *= state.tick
            state.revision = candles.revision
        out[:] = state.values
        warm[:] = state.warm


_PRICES = np.array([definition.unit == _PRICE for definition in Candles.definitions.values()])
assert tuple(Candles.definitions) == tuple(kernels.NEUTRAL)
