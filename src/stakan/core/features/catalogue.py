"""The named features of the first set, in their order: a contract for data sets, models and the API."""

from enum import IntEnum

FEATURE_SET = "foundation-1"
"""Version of names, order and meaning; stored with everything that keeps vectors."""


class Feature(IntEnum):
    """Index into a feature vector. Prices in quote currency, sizes in base units, windows in exchange time."""

    # order book
    BID_ASK_SPREAD_ABS = 0
    BID_ASK_SPREAD_REL = 1
    MID_PRICE = 2
    MICRO_PRICE = 3
    VWAP_BID_5 = 4
    VWAP_ASK_5 = 5
    DEPTH_BID_5 = 6
    DEPTH_ASK_5 = 7
    DEPTH_BID_10 = 8
    DEPTH_ASK_10 = 9
    TOTAL_BID_VOLUME = 10
    TOTAL_ASK_VOLUME = 11
    BOOK_DEPTH_RATIO = 12
    IMBALANCE_5 = 13
    IMBALANCE_10 = 14
    IMBALANCE_TOTAL = 15
    PRICE_PRESSURE = 16
    VOLUME_DELTA_5 = 17
    ORDER_FLOW_IMBALANCE = 18
    DEPTH_IMBALANCE_RATIO = 19
    UPDATE_FREQUENCY = 20
    QUOTE_INTENSITY = 21
    # trades
    BUY_SELL_RATIO = 22
    TRADE_ARRIVAL_RATE = 23
    # candles
    RETURNS = 24
    LOG_RETURNS = 25
    HIGH_LOW_RANGE = 26
    CLOSE_OPEN_DIFF = 27
    UPPER_SHADOW = 28
    LOWER_SHADOW = 29
    BODY_SIZE = 30
    REALIZED_VOLATILITY = 31


FEATURE_COUNT = len(Feature)
FEATURE_NAMES = tuple(feature.name.lower() for feature in Feature)
ORDER_BOOK = slice(Feature.BID_ASK_SPREAD_ABS, Feature.BUY_SELL_RATIO)
TRADES = slice(Feature.BUY_SELL_RATIO, Feature.RETURNS)
CANDLES = slice(Feature.RETURNS, FEATURE_COUNT)
