"""One instrument's features: observes every book message, reads a vector on demand."""

from functools import partial

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.errors import DataError
from stakan.core.domain.instrument import Instrument
from stakan.core.features.candle import CandleFeatures
from stakan.core.features.catalogue import FEATURE_COUNT, INDICATOR, ORDER_BOOK, Feature
from stakan.core.features.definitions import NEUTRAL
from stakan.core.features.order_book import OrderBookFeatures
from stakan.core.features.params import FeatureParams
from stakan.core.features.trend import Trend, trend
from stakan.core.features.vector import FeatureVector
from stakan.core.market.book import Book, BookState
from stakan.core.market.health import HealthReason
from stakan.core.market.picture import MarketPicture

_SHAPE, _LIQUIDITY, _CLUSTERS, _SHORT, _LONG, _TRADES, _CANDLE, _INDICATORS = (1 << bit for bit in range(8))
_OF_CANDLES = _CANDLE | _INDICATORS
_ALL = _SHAPE | _LIQUIDITY | _CLUSTERS | _SHORT | _LONG | _TRADES | _OF_CANDLES
_GROUPS = {
    _LIQUIDITY: (
        Feature.LIQUIDITY_BID_5,
        Feature.LIQUIDITY_ASK_5,
        Feature.LIQUIDITY_ASYMMETRY,
        Feature.EFFECTIVE_SPREAD,
        Feature.DEPTH_IMBALANCE_RATIO,
    ),
    _CLUSTERS: tuple(Feature(index) for index in range(Feature.LARGEST_BID_CLUSTER_PRICE, Feature.LIQUIDITY_BID_5)),
    _SHORT: (
        Feature.VOLUME_DELTA_5,
        Feature.ORDER_FLOW_IMBALANCE,
        Feature.UPDATE_FREQUENCY,
        Feature.QUOTE_INTENSITY,
    ),
    _LONG: (
        Feature.LEVEL_TTL_AVG,
        Feature.LEVEL_TTL_STD,
        Feature.ORDERBOOK_VOLATILITY,
        Feature.SPREAD_VOLATILITY,
    ),
    _TRADES: (
        Feature.BUY_SELL_RATIO,
        Feature.SMART_MONEY_INDEX,
        Feature.KYLE_LAMBDA,
        Feature.AMIHUD_ILLIQUIDITY,
        Feature.ROLL_SPREAD,
        Feature.TRADE_ARRIVAL_RATE,
    ),
}
"""Order-book features that are computed together; all others of the channel are of the book's shape."""


def _group_of(feature: Feature) -> int:
    if feature >= ORDER_BOOK.stop:
        return _INDICATORS if feature >= INDICATOR.start else _CANDLE
    return next((group for group, members in _GROUPS.items() if feature in members), _SHAPE)


_GROUP_OF = tuple(_group_of(feature) for feature in Feature)


def _values() -> npt.NDArray[np.float64]:
    return NEUTRAL.copy()


def _warmth() -> npt.NDArray[np.bool_]:
    return np.zeros(FEATURE_COUNT, np.bool_)


def obstacle(book: Book) -> HealthReason | None:
    """Why a book gives no vector: empty (also on one side only), or invalid (crossed, with a gap, interrupted)."""
    if book.is_usable:
        return None
    return HealthReason.INVALID if book.state is BookState.INVALID else HealthReason.EMPTY


class FeaturePipeline(msgspec.Struct, eq=False):
    """State behind all features of one instrument.

    A group of features is computed when the vector is first asked for one of it. Those of the order book are of now;
    those of the candles are kept until a candle closes, or with the open one until the next reading.
    """

    order_book: OrderBookFeatures
    candle: CandleFeatures
    values: np.ndarray[tuple[int], np.dtype[np.float64]] = msgspec.field(default_factory=_values)
    warm: np.ndarray[tuple[int], np.dtype[np.bool_]] = msgspec.field(default_factory=_warmth)
    computed: int = 0
    """Bits of the groups that are as of the last reading."""
    candle_revision: int = -1
    """Of the candles that features and trend were computed from."""
    trend: Trend = Trend.NONE
    """Of the closed candles."""

    @classmethod
    def start(cls, instrument: Instrument, params: FeatureParams | None = None) -> "FeaturePipeline":
        """Features of an instrument that has shown nothing yet."""
        params = FeatureParams() if params is None else params
        tick, lot = float(instrument.tick_size), float(instrument.lot_size)
        return cls(OrderBookFeatures(tick, lot, params), CandleFeatures(tick, lot, params.include_open))

    def observe(self, book: Book) -> None:
        """Take in a usable book after each message."""
        self.order_book.observe(book)

    def restart(self) -> None:
        """The book was interrupted."""
        self.order_book.restart()

    def read(self, market: MarketPicture, now: int) -> FeatureVector:
        """The vector at exchange time `now`; it is overwritten by the next reading.

        Raises DataError, which says why, where the book has none to give: see `obstacle`.
        """
        if (why := obstacle(market.book)) is not None:
            raise DataError(f"{market.book.instrument}: no features, the book is {why.value}")
        candles, include_open = market.candles, self.candle.include_open
        self.computed = 0 if include_open else self.computed & _OF_CANDLES
        if candles.revision != self.candle_revision:
            self.candle_revision = candles.revision
            self.trend = trend(candles)
            self.computed = 0
        has_open_candle = include_open and candles.has_begun
        return FeatureVector(self.values, self.warm, now, has_open_candle, partial(self._compute, market, now))

    def _compute(self, market: MarketPicture, now: int, feature: Feature | None) -> None:
        missing = (_ALL if feature is None else _GROUP_OF[feature]) & ~self.computed
        if not missing:
            return
        self.computed |= missing
        features, book, out = self.order_book, market.book, (self.values, self.warm)
        if missing & _SHAPE:
            features.read_shape(book, *out)
        if missing & _LIQUIDITY:
            features.read_liquidity(book, *out)
        if missing & _CLUSTERS:
            features.read_clusters(book, market.levels, *out)
        if missing & _SHORT:
            features.read_short(now, *out)
        if missing & _LONG:
            features.read_long(now, *out)
        if missing & _TRADES:
            features.read_trades(market.tape, now, *out)
        if missing & _CANDLE:
            self.candle.read_candle(market.candles, *out)
        if missing & _INDICATORS:
            self.candle.read_indicators(market.candles, *out)
