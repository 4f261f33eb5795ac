"""The named features in their order: a contract for data sets, models and the API."""

import hashlib
from collections.abc import Iterable
from enum import IntEnum, StrEnum

FEATURE_SET = "stakan-110-2"
"""Version of names, order and meaning; stored with everything that keeps vectors. A change of meaning changes it."""


class Channel(StrEnum):
    """Where a feature comes from: the three stretches that models take apart."""

    ORDER_BOOK = "orderbook"
    CANDLE = "candle"
    INDICATOR = "indicator"


class Feature(IntEnum):
    """Index into a feature vector; `definitions` says what each one is."""

    # order book, micro-structure
    BID_ASK_SPREAD_ABS = 0
    BID_ASK_SPREAD_REL = 1
    MID_PRICE = 2
    MICRO_PRICE = 3
    VWAP_BID_5 = 4
    VWAP_ASK_5 = 5
    VWAP_BID_10 = 6
    VWAP_ASK_10 = 7
    DEPTH_BID_5 = 8
    DEPTH_ASK_5 = 9
    DEPTH_BID_10 = 10
    DEPTH_ASK_10 = 11
    TOTAL_BID_VOLUME = 12
    TOTAL_ASK_VOLUME = 13
    BOOK_DEPTH_RATIO = 14

    # order book, imbalance and pressure
    IMBALANCE_5 = 15
    IMBALANCE_10 = 16
    IMBALANCE_TOTAL = 17
    PRICE_PRESSURE = 18
    VOLUME_DELTA_5 = 19
    ORDER_FLOW_IMBALANCE = 20
    BID_INTENSITY = 21
    ASK_INTENSITY = 22
    BUY_SELL_RATIO = 23
    SMART_MONEY_INDEX = 24

    # order book, clusters and levels
    LARGEST_BID_CLUSTER_PRICE = 25
    LARGEST_BID_CLUSTER_VOLUME = 26
    LARGEST_ASK_CLUSTER_PRICE = 27
    LARGEST_ASK_CLUSTER_VOLUME = 28
    NUM_BID_CLUSTERS = 29
    NUM_ASK_CLUSTERS = 30
    SUPPORT_LEVEL_1 = 31
    RESISTANCE_LEVEL_1 = 32
    DISTANCE_TO_SUPPORT = 33
    DISTANCE_TO_RESISTANCE = 34

    # order book, liquidity
    LIQUIDITY_BID_5 = 35
    LIQUIDITY_ASK_5 = 36
    LIQUIDITY_ASYMMETRY = 37
    EFFECTIVE_SPREAD = 38
    KYLE_LAMBDA = 39
    AMIHUD_ILLIQUIDITY = 40
    ROLL_SPREAD = 41
    DEPTH_IMBALANCE_RATIO = 42

    # order book, time
    LEVEL_TTL_AVG = 43
    LEVEL_TTL_STD = 44
    ORDERBOOK_VOLATILITY = 45
    UPDATE_FREQUENCY = 46
    QUOTE_INTENSITY = 47
    TRADE_ARRIVAL_RATE = 48
    SPREAD_VOLATILITY = 49

    # candle, prices
    OPEN = 50
    HIGH = 51
    LOW = 52
    CLOSE = 53
    VOLUME = 54
    TYPICAL_PRICE = 55

    # candle, shape
    RETURNS = 56
    LOG_RETURNS = 57
    HIGH_LOW_RANGE = 58
    CLOSE_OPEN_DIFF = 59
    UPPER_SHADOW = 60
    LOWER_SHADOW = 61
    BODY_SIZE = 62

    # candle, volatility
    REALIZED_VOLATILITY = 63
    PARKINSON_VOLATILITY = 64
    GARMAN_KLASS_VOLATILITY = 65

    # candle, volume
    VOLUME_MA_RATIO = 66
    VOLUME_CHANGE_RATE = 67
    PRICE_VOLUME_TREND = 68
    VOLUME_WEIGHTED_PRICE = 69
    MONEY_FLOW = 70

    # candle, patterns
    DOJI_STRENGTH = 71
    HAMMER_STRENGTH = 72
    ENGULFING_STRENGTH = 73
    GAP_SIZE = 74

    # indicator, trend
    SMA_10 = 75
    SMA_20 = 76
    SMA_50 = 77
    EMA_10 = 78
    EMA_20 = 79
    EMA_50 = 80
    MACD = 81
    MACD_SIGNAL = 82
    MACD_HISTOGRAM = 83
    ADX = 84
    PLUS_DI = 85
    MINUS_DI = 86

    # indicator, momentum
    RSI_14 = 87
    RSI_28 = 88
    STOCHASTIC_K = 89
    STOCHASTIC_D = 90
    WILLIAMS_R = 91
    CCI = 92
    MOMENTUM_10 = 93
    ROC = 94
    MFI = 95

    # indicator, volatility
    BOLLINGER_UPPER = 96
    BOLLINGER_MIDDLE = 97
    BOLLINGER_LOWER = 98
    BOLLINGER_WIDTH = 99
    BOLLINGER_PCT = 100
    ATR_14 = 101
    KELTNER_UPPER = 102
    KELTNER_LOWER = 103

    # indicator, volume
    OBV = 104
    VWAP = 105
    AD_LINE = 106
    CMF = 107
    VPT = 108
    NVI = 109


def schema_hash(names: Iterable[str]) -> str:
    """Of names in their order: equal hashes mean that one column stands where the other does."""
    return hashlib.blake2b("\n".join(names).encode(), digest_size=8).hexdigest()


FEATURE_COUNT = len(Feature)
FEATURE_NAMES = tuple(feature.name.lower() for feature in Feature)
CHANNELS = {
    Channel.ORDER_BOOK: slice(Feature.BID_ASK_SPREAD_ABS, Feature.OPEN),
    Channel.CANDLE: slice(Feature.OPEN, Feature.SMA_10),
    Channel.INDICATOR: slice(Feature.SMA_10, FEATURE_COUNT),
}
ORDER_BOOK, CANDLE, INDICATOR = CHANNELS.values()
SCHEMA_HASH = schema_hash(FEATURE_NAMES)
"""Of the 110."""
