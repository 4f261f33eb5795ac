"""What each feature of the catalogue is: formula, unit, window, and the value that stands where nothing can be said."""

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stakan.core.features.catalogue import CHANNELS, Channel, Feature

# Units.
_PRICE = "quote currency"
_SIZE = "base units"
_MONEY = "USDT"
_SHARE = "share"
_COUNT = "count"
_RATE = "1/s"
_POINTS = "points"
_SLOPE = "quote currency per base unit"
_DENSITY = "levels per base unit"
_IMPACT = "1/USDT"

# Windows.
_NOW = "now"
_SHORT = "10 s"
_LONG = "60 s"
_CANDLE = "1 candle"
_CHANGE = "2 candles"
_KEPT = "up to 200 candles"

# Sources.
_BOOK = "first 50 levels a side"
_LEVELS = "tracker of levels, first 50 levels a side"
_TOUCH = "best quotes"
_TAPE = "trade prints without RPI"
_BOOK_AND_TAPE = "book and trade prints without RPI"
_CANDLES = "closed candles"
_TALIB = "closed candles, as TA-Lib"


class Definition(NamedTuple):
    """One row of the catalogue."""

    formula: str
    unit: str
    window: str
    source: str
    neutral: float = 0.0
    """The value where history is too short or a denominator is zero."""


_F = Feature
_D = Definition
DEFINITIONS: dict[Feature, Definition] = {
    # the order book's micro-structure
    _F.BID_ASK_SPREAD_ABS: _D("pa1 - pb1", _PRICE, _NOW, _TOUCH),
    _F.BID_ASK_SPREAD_REL: _D("(pa1 - pb1) / mid", _SHARE, _NOW, _TOUCH),
    _F.MID_PRICE: _D("(pb1 + pa1) / 2", _PRICE, _NOW, _TOUCH),
    _F.MICRO_PRICE: _D("(pb1·qa1 + pa1·qb1) / (qa1 + qb1)", _PRICE, _NOW, _TOUCH),
    _F.VWAP_BID_5: _D("Σpq / Σq over 5 bids", _PRICE, _NOW, _BOOK),
    _F.VWAP_ASK_5: _D("Σpq / Σq over 5 asks", _PRICE, _NOW, _BOOK),
    _F.VWAP_BID_10: _D("Σpq / Σq over 10 bids", _PRICE, _NOW, _BOOK),
    _F.VWAP_ASK_10: _D("Σpq / Σq over 10 asks", _PRICE, _NOW, _BOOK),
    _F.DEPTH_BID_5: _D("Σq over 5 bids", _SIZE, _NOW, _BOOK),
    _F.DEPTH_ASK_5: _D("Σq over 5 asks", _SIZE, _NOW, _BOOK),
    _F.DEPTH_BID_10: _D("Σq over 10 bids", _SIZE, _NOW, _BOOK),
    _F.DEPTH_ASK_10: _D("Σq over 10 asks", _SIZE, _NOW, _BOOK),
    _F.TOTAL_BID_VOLUME: _D("B: Σq over 50 bids", _SIZE, _NOW, _BOOK),
    _F.TOTAL_ASK_VOLUME: _D("A: Σq over 50 asks", _SIZE, _NOW, _BOOK),
    _F.BOOK_DEPTH_RATIO: _D("(B + 1 lot) / (A + 1 lot), clipped to [0.01, 100]", "ratio", _NOW, _BOOK, 1.0),
    # the order book's imbalance and pressure
    _F.IMBALANCE_5: _D("(B - A) / (B + A) over 5 levels", _SHARE, _NOW, _BOOK),
    _F.IMBALANCE_10: _D("(B - A) / (B + A) over 10 levels", _SHARE, _NOW, _BOOK),
    _F.IMBALANCE_TOTAL: _D("(B - A) / (B + A) over 50 levels", _SHARE, _NOW, _BOOK),
    _F.PRICE_PRESSURE: _D("(B5·pa1 - A5·pb1) / (B5 + A5) / mid", _SHARE, _NOW, _BOOK),
    _F.VOLUME_DELTA_5: _D("(B5 - A5) now minus (B5 - A5) ten seconds ago", _SIZE, _SHORT, _BOOK),
    _F.ORDER_FLOW_IMBALANCE: _D("Σ of the OFI increments of Cont, Kukanov & Stoikov", _SIZE, _SHORT, _TOUCH),
    _F.BID_INTENSITY: _D("bids within 0.5 % of mid / their mean size", _DENSITY, _NOW, _BOOK),
    _F.ASK_INTENSITY: _D("asks within 0.5 % of mid / their mean size", _DENSITY, _NOW, _BOOK),
    _F.BUY_SELL_RATIO: _D("(buys + 1 lot) / (sells + 1 lot), clipped to [0.01, 100]", "ratio", _LONG, _TAPE, 1.0),
    _F.SMART_MONEY_INDEX: _D(
        "signed notional of prints at or above the 95th percentile of the last 1,000 sizes / all notional",
        _SHARE,
        _LONG,
        _TAPE,
    ),
    # the order book's clusters and levels
    _F.LARGEST_BID_CLUSTER_PRICE: _D("Σpq / Σq of the largest bid cluster; mid without one", _PRICE, _NOW, _BOOK),
    _F.LARGEST_BID_CLUSTER_VOLUME: _D("Σq of the largest bid cluster", _SIZE, _NOW, _BOOK),
    _F.LARGEST_ASK_CLUSTER_PRICE: _D("Σpq / Σq of the largest ask cluster; mid without one", _PRICE, _NOW, _BOOK),
    _F.LARGEST_ASK_CLUSTER_VOLUME: _D("Σq of the largest ask cluster", _SIZE, _NOW, _BOOK),
    _F.NUM_BID_CLUSTERS: _D("bid clusters", _COUNT, _NOW, _BOOK),
    _F.NUM_ASK_CLUSTERS: _D("ask clusters", _COUNT, _NOW, _BOOK),
    _F.SUPPORT_LEVEL_1: _D(
        "price of the nearest significant level below mid, else of the nearest bid cluster, else of the 50th bid",
        _PRICE,
        _NOW,
        _LEVELS,
    ),
    _F.RESISTANCE_LEVEL_1: _D(
        "price of the nearest significant level above mid, else of the nearest ask cluster, else of the 50th ask",
        _PRICE,
        _NOW,
        _LEVELS,
    ),
    _F.DISTANCE_TO_SUPPORT: _D("(mid - support_level_1) / mid", _SHARE, _NOW, _LEVELS),
    _F.DISTANCE_TO_RESISTANCE: _D("(resistance_level_1 - mid) / mid", _SHARE, _NOW, _LEVELS),
    # the order book's liquidity
    _F.LIQUIDITY_BID_5: _D("Lb: Σpq over 5 bids", _MONEY, _NOW, _BOOK),
    _F.LIQUIDITY_ASK_5: _D("La: Σpq over 5 asks", _MONEY, _NOW, _BOOK),
    _F.LIQUIDITY_ASYMMETRY: _D(
        "(Lb + 1 lot at mid) / (La + 1 lot at mid), clipped to [0.01, 100]", "ratio", _NOW, _BOOK, 1.0
    ),
    _F.EFFECTIVE_SPREAD: _D(
        "(mean price of buying - of selling the reference notional at market) / mid", _SHARE, _NOW, _BOOK
    ),
    _F.KYLE_LAMBDA: _D(
        "slope of mid change on signed volume over the last 60 whole seconds",
        _SLOPE,
        _LONG,
        _BOOK_AND_TAPE,
    ),
    _F.AMIHUD_ILLIQUIDITY: _D(
        "mean of |mid return| / notional over those of the last 60 whole seconds that have prints",
        _IMPACT,
        _LONG,
        _BOOK_AND_TAPE,
    ),
    _F.ROLL_SPREAD: _D("2·√(-cov(Δp_t, Δp_t-1)) of print prices, 0 for cov >= 0", _PRICE, _LONG, _TAPE),
    _F.DEPTH_IMBALANCE_RATIO: _D("Σw(qb - qa) / Σw(qb + qa) over 20 levels, w = e^(-(i-1)/5)", _SHARE, _NOW, _BOOK),
    # the order book's time
    _F.LEVEL_TTL_AVG: _D("mean life of levels that left the first 20 of a side", "s", _LONG, _BOOK),
    _F.LEVEL_TTL_STD: _D("standard deviation (n - 1) of those lives", "s", _LONG, _BOOK),
    _F.ORDERBOOK_VOLATILITY: _D(
        "standard deviation (n - 1) of the relative change of the size of 2 x 10 levels per update",
        _SHARE,
        _LONG,
        _BOOK,
    ),
    _F.UPDATE_FREQUENCY: _D("book messages / 10 s", _RATE, _SHORT, _BOOK),
    _F.QUOTE_INTENSITY: _D("book messages that changed a best price or size / 10 s", _RATE, _SHORT, _TOUCH),
    _F.TRADE_ARRIVAL_RATE: _D("prints / 10 s", _RATE, _SHORT, _TAPE),
    _F.SPREAD_VOLATILITY: _D("time-weighted standard deviation of the relative spread", _SHARE, _LONG, _TOUCH),
    # the last closed candle
    _F.OPEN: _D("o", _PRICE, _CANDLE, _CANDLES),
    _F.HIGH: _D("h", _PRICE, _CANDLE, _CANDLES),
    _F.LOW: _D("l", _PRICE, _CANDLE, _CANDLES),
    _F.CLOSE: _D("c", _PRICE, _CANDLE, _CANDLES),
    _F.VOLUME: _D("v", _SIZE, _CANDLE, _CANDLES),
    _F.TYPICAL_PRICE: _D("(h + l + c) / 3", _PRICE, _CANDLE, _CANDLES),
    _F.RETURNS: _D("c / c' - 1", _SHARE, _CHANGE, _CANDLES),
    _F.LOG_RETURNS: _D("ln(c / c')", _SHARE, _CHANGE, _CANDLES),
    _F.HIGH_LOW_RANGE: _D("(h - l) / c", _SHARE, _CANDLE, _CANDLES),
    _F.CLOSE_OPEN_DIFF: _D("(c - o) / o", _SHARE, _CANDLE, _CANDLES),
    _F.UPPER_SHADOW: _D("(h - max(o, c)) / (h - l)", _SHARE, _CANDLE, _CANDLES),
    _F.LOWER_SHADOW: _D("(min(o, c) - l) / (h - l)", _SHARE, _CANDLE, _CANDLES),
    _F.BODY_SIZE: _D("|c - o| / (h - l)", _SHARE, _CANDLE, _CANDLES),
    _F.REALIZED_VOLATILITY: _D("standard deviation (n - 1) of log returns", _SHARE, "20 returns", _CANDLES),
    _F.PARKINSON_VOLATILITY: _D("√(mean ln²(h / l) / (4 ln 2))", _SHARE, "20 candles", _CANDLES),
    _F.GARMAN_KLASS_VOLATILITY: _D("√(mean(½ ln²(h / l) - (2 ln 2 - 1) ln²(c / o)))", _SHARE, "20 candles", _CANDLES),
    _F.VOLUME_MA_RATIO: _D("v / SMA20(v)", "ratio", "20 candles", _CANDLES, 1.0),
    _F.VOLUME_CHANGE_RATE: _D("v / v' - 1, clipped to ±10", _SHARE, _CHANGE, _CANDLES),
    _F.PRICE_VOLUME_TREND: _D("Σ v·(c / c' - 1)", _SIZE, "20 candles", _CANDLES),
    _F.VOLUME_WEIGHTED_PRICE: _D("turnover / volume", _PRICE, "20 candles", _CANDLES),
    _F.MONEY_FLOW: _D("typical price x v, signed by the change of the typical price", _MONEY, _CHANGE, _CANDLES),
    _F.DOJI_STRENGTH: _D("1 - body_size", _SHARE, _CANDLE, _CANDLES),
    _F.HAMMER_STRENGTH: _D("clip(lower - 2·body, 0, 1)·(1 - upper)", _SHARE, _CANDLE, _CANDLES),
    _F.ENGULFING_STRENGTH: _D("±min(1, body / (2·previous body)) where it engulfs", _SHARE, _CHANGE, _CANDLES),
    _F.GAP_SIZE: _D("(o - c') / c'", _SHARE, _CHANGE, _CANDLES),
    # the indicators of trend
    _F.SMA_10: _D("SMA(c, 10)", _PRICE, _KEPT, _TALIB),
    _F.SMA_20: _D("SMA(c, 20)", _PRICE, _KEPT, _TALIB),
    _F.SMA_50: _D("SMA(c, 50)", _PRICE, _KEPT, _TALIB),
    _F.EMA_10: _D("EMA(c, 10)", _PRICE, _KEPT, _TALIB),
    _F.EMA_20: _D("EMA(c, 20)", _PRICE, _KEPT, _TALIB),
    _F.EMA_50: _D("EMA(c, 50)", _PRICE, _KEPT, _TALIB),
    _F.MACD: _D("MACD(12, 26, 9)", _PRICE, _KEPT, _TALIB),
    _F.MACD_SIGNAL: _D("signal of MACD(12, 26, 9)", _PRICE, _KEPT, _TALIB),
    _F.MACD_HISTOGRAM: _D("macd - macd_signal", _PRICE, _KEPT, _TALIB),
    _F.ADX: _D("ADX(14)", _POINTS, _KEPT, _TALIB),
    _F.PLUS_DI: _D("PLUS_DI(14)", _POINTS, _KEPT, _TALIB),
    _F.MINUS_DI: _D("MINUS_DI(14)", _POINTS, _KEPT, _TALIB),
    # the indicators of momentum
    _F.RSI_14: _D("RSI(14)", _POINTS, _KEPT, _TALIB, 50.0),
    _F.RSI_28: _D("RSI(28)", _POINTS, _KEPT, _TALIB, 50.0),
    _F.STOCHASTIC_K: _D("slow K of STOCH(14, 3, 3)", _POINTS, _KEPT, _TALIB, 50.0),
    _F.STOCHASTIC_D: _D("slow D of STOCH(14, 3, 3)", _POINTS, _KEPT, _TALIB, 50.0),
    _F.WILLIAMS_R: _D("WILLR(14)", _POINTS, _KEPT, _TALIB, -50.0),
    _F.CCI: _D("CCI(20)", _POINTS, _KEPT, _TALIB),
    _F.MOMENTUM_10: _D("MOM(c, 10)", _PRICE, _KEPT, _TALIB),
    _F.ROC: _D("ROC(c, 10)", "percent", _KEPT, _TALIB),
    _F.MFI: _D("MFI(14)", _POINTS, _KEPT, _TALIB, 50.0),
    # the indicators of volatility
    _F.BOLLINGER_UPPER: _D("u of BBANDS(c, 20, 2)", _PRICE, _KEPT, _TALIB),
    _F.BOLLINGER_MIDDLE: _D("m of BBANDS(c, 20, 2)", _PRICE, _KEPT, _TALIB),
    _F.BOLLINGER_LOWER: _D("l of BBANDS(c, 20, 2)", _PRICE, _KEPT, _TALIB),
    _F.BOLLINGER_WIDTH: _D("(u - l) / m", _SHARE, _KEPT, _TALIB),
    _F.BOLLINGER_PCT: _D("(c - l) / (u - l)", _SHARE, _KEPT, _TALIB, 0.5),
    _F.ATR_14: _D("ATR(14)", _PRICE, _KEPT, _TALIB),
    _F.KELTNER_UPPER: _D("EMA(c, 20) + 2·ATR(10)", _PRICE, _KEPT, _TALIB),
    _F.KELTNER_LOWER: _D("EMA(c, 20) - 2·ATR(10)", _PRICE, _KEPT, _TALIB),
    # the indicators of volume
    _F.OBV: _D("OBV", _SIZE, _KEPT, _TALIB),
    _F.VWAP: _D("turnover / volume since the start of the UTC day", _PRICE, "the UTC day", _CANDLES),
    _F.AD_LINE: _D("AD", _SIZE, _KEPT, _TALIB),
    _F.CMF: _D("Chaikin money flow over 20", _SHARE, _KEPT, _CANDLES),
    _F.VPT: _D("Σ v·(c / c' - 1)", _SIZE, _KEPT, _CANDLES),
    _F.NVI: _D("negative volume index from 1,000", "index", _KEPT, _CANDLES, 1_000.0),
}

_POWERS = {_PRICE: (1, 0), _SIZE: (0, 1), _MONEY: (1, 1), _SLOPE: (1, -1), _DENSITY: (0, -1), _IMPACT: (-1, -1)}
"""Powers of price and of size in a unit; all others are pure numbers, or of time."""

NEUTRAL = np.array([DEFINITIONS[feature].neutral for feature in Feature])

POWERS = np.array([_POWERS.get(DEFINITIONS[feature].unit, (0, 0)) for feature in Feature])
"""Powers of price and of size in the unit of each feature, shape (FEATURE_COUNT, 2)."""


@cache
def factors(price: float, size: float) -> npt.NDArray[np.float64]:
    """What each feature is multiplied by where a price of 1 becomes `price` and a size of 1 `size`.

    Shape (FEATURE_COUNT,), not to be written to. With tick and lot size: from ticks and lots to the feature's unit.
    """
    found: npt.NDArray[np.float64] = price ** POWERS[:, 0].astype(np.float64) * size ** POWERS[:, 1].astype(np.float64)
    found.setflags(write=False)
    return found


def channel_of(feature: Feature) -> Channel:
    """The channel that a feature belongs to."""
    return next(channel for channel, stretch in CHANNELS.items() if stretch.start <= feature < stretch.stop)
