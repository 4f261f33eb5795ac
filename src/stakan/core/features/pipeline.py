"""One instrument's features: observes every book message, reads a whole vector on demand."""

from typing import ClassVar

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MINUTE, SECOND
from stakan.core.features import _candle_kernels as candle_kernels
from stakan.core.features.catalogue import CANDLES, FEATURE_COUNT, Feature
from stakan.core.features.order_book import OrderBookFeatures
from stakan.core.features.trend import Trend, trend
from stakan.core.features.vector import FeatureVector
from stakan.core.market.book import Book
from stakan.core.market.candles import CandleBuilder, Column
from stakan.core.market.picture import MarketPicture
from stakan.core.market.tape import Tape

_RATIO_LIMIT = 100.0
_PRICES = (Column.OPEN, Column.HIGH, Column.LOW, Column.CLOSE)


def _values() -> npt.NDArray[np.float64]:
    return np.zeros(FEATURE_COUNT)


def _warmth() -> npt.NDArray[np.bool_]:
    return np.zeros(FEATURE_COUNT, np.bool_)


class FeaturePipeline(msgspec.Struct, eq=False):
    """State behind all features of one instrument.

    Order-book and trade features are of now, candle features of the last closed candle (computed when it closes).
    """

    RATIO_WINDOW_NS: ClassVar[int] = MINUTE
    ARRIVAL_WINDOW_NS: ClassVar[int] = 10 * SECOND

    tick: float
    lot: float
    order_book: OrderBookFeatures
    values: np.ndarray[tuple[int], np.dtype[np.float64]] = msgspec.field(default_factory=_values)
    warm: np.ndarray[tuple[int], np.dtype[np.bool_]] = msgspec.field(default_factory=_warmth)
    candle_revision: int = -1
    """Of the candles that features and trend were computed from."""
    trend: Trend = Trend.NONE
    """Of the closed candles."""
    prints: int = -1
    """Prints that the market had shown when trade features were computed last."""
    trades_until: int = 0
    """Exchange time at which trade features change even without another print."""

    @classmethod
    def start(cls, instrument: Instrument) -> "FeaturePipeline":
        """Features of an instrument that has shown nothing yet."""
        return cls(float(instrument.tick_size), float(instrument.lot_size), OrderBookFeatures())

    def observe(self, book: Book) -> None:
        """Take in a usable book after each message."""
        self.order_book.observe(book)

    def restart(self) -> None:
        """The book was interrupted."""
        self.order_book.restart()
        self.trades_until = 0

    def read(self, market: MarketPicture, now: int) -> FeatureVector:
        """The vector at exchange time `now`; the book must be usable. It is overwritten by the next reading."""
        values, warm = self.values, self.warm
        self.order_book.read(market.book, (self.tick, self.lot), now, values, warm)
        if now >= self.trades_until or market.prints != self.prints:
            self.prints = market.prints
            self.trades_until = self._read_trades(market.tape, now)
        if market.candles.revision != self.candle_revision:
            self._read_candles(market.candles)
        return FeatureVector(values, warm, now)

    def _read_trades(self, tape: Tape, now: int) -> int:
        """Trade features; returns the exchange time up to which they hold if nothing is traded."""
        values, warm = self.values, self.warm
        buys, sells, count, until = tape.recent(now, self.RATIO_WINDOW_NS, self.ARRIVAL_WINDOW_NS)
        ratio = (buys + 1.0) / (sells + 1.0)
        values[Feature.BUY_SELL_RATIO] = min(_RATIO_LIMIT, max(1 / _RATIO_LIMIT, ratio))
        values[Feature.TRADE_ARRIVAL_RATE] = count * SECOND / self.ARRIVAL_WINDOW_NS
        for feature, window in (
            (Feature.BUY_SELL_RATIO, self.RATIO_WINDOW_NS),
            (Feature.TRADE_ARRIVAL_RATE, self.ARRIVAL_WINDOW_NS),
        ):
            warm[feature] = tape.reaches(now - window)
            if not warm[feature] and tape.complete_since >= 0:
                until = min(until, tape.complete_since + window)
        return until

    def _read_candles(self, candles: CandleBuilder) -> None:
        self.candle_revision = candles.revision
        self.trend = trend(candles)
        if candles.count == 0:
            return
        last = max(0, candles.count - candle_kernels.VOLATILITY_WINDOW - 1)
        prices = np.ascontiguousarray(candles.table[list(_PRICES), last : candles.count].T, dtype=np.float64)
        candle_kernels.read(prices, self.values[CANDLES], self.warm[CANDLES])
