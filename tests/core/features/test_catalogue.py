"""The catalogue: names in their order as they were agreed, and a definition for each."""

from stakan.core.features import _candle_channel_kernels as candle_kernels
from stakan.core.features import _indicator_kernels as indicator_kernels
from stakan.core.features.catalogue import (
    CHANNELS,
    FEATURE_COUNT,
    FEATURE_NAMES,
    SCHEMA_HASH,
    Channel,
    Feature,
)
from stakan.core.features.definitions import DEFINITIONS, NEUTRAL, POWERS, channel_of, factors

AGREED = """
bid_ask_spread_abs bid_ask_spread_rel mid_price micro_price vwap_bid_5 vwap_ask_5 vwap_bid_10 vwap_ask_10
depth_bid_5 depth_ask_5 depth_bid_10 depth_ask_10 total_bid_volume total_ask_volume book_depth_ratio
imbalance_5 imbalance_10 imbalance_total price_pressure volume_delta_5 order_flow_imbalance bid_intensity ask_intensity
buy_sell_ratio smart_money_index
largest_bid_cluster_price largest_bid_cluster_volume largest_ask_cluster_price largest_ask_cluster_volume
num_bid_clusters num_ask_clusters support_level_1 resistance_level_1 distance_to_support distance_to_resistance
liquidity_bid_5 liquidity_ask_5 liquidity_asymmetry effective_spread kyle_lambda amihud_illiquidity roll_spread
depth_imbalance_ratio
level_ttl_avg level_ttl_std orderbook_volatility update_frequency quote_intensity trade_arrival_rate spread_volatility
open high low close volume typical_price returns log_returns high_low_range close_open_diff upper_shadow lower_shadow
body_size realized_volatility parkinson_volatility garman_klass_volatility volume_ma_ratio volume_change_rate
price_volume_trend volume_weighted_price money_flow doji_strength hammer_strength engulfing_strength gap_size
sma_10 sma_20 sma_50 ema_10 ema_20 ema_50 macd macd_signal macd_histogram adx plus_di minus_di
rsi_14 rsi_28 stochastic_k stochastic_d williams_r cci momentum_10 roc mfi
bollinger_upper bollinger_middle bollinger_lower bollinger_width bollinger_pct atr_14 keltner_upper keltner_lower
obv vwap ad_line cmf vpt nvi
"""


def test_names_and_order_are_the_contract():
    assert list(FEATURE_NAMES) == AGREED.split()
    assert [feature.value for feature in Feature] == list(range(110))


def test_the_channels_are_three_stretches_without_gaps():
    assert list(CHANNELS.items()) == [
        (Channel.ORDER_BOOK, slice(0, 50)),
        (Channel.CANDLE, slice(50, 75)),
        (Channel.INDICATOR, slice(75, FEATURE_COUNT)),
    ]
    assert (channel_of(Feature.SPREAD_VOLATILITY), channel_of(Feature.OPEN)) == (Channel.ORDER_BOOK, Channel.CANDLE)
    assert (channel_of(Feature.GAP_SIZE), channel_of(Feature.SMA_10)) == (Channel.CANDLE, Channel.INDICATOR)


def test_the_schema_hash_changes_only_with_names_and_order():
    assert SCHEMA_HASH == "8f97df8a7d9084b3"


def test_every_feature_is_defined_in_the_order_of_the_contract():
    assert list(DEFINITIONS) == list(Feature)
    assert all(one.formula and one.unit and one.window and one.source for one in DEFINITIONS.values())
    assert NEUTRAL.tolist() == [one.neutral for one in DEFINITIONS.values()]


def test_channels_agree_with_their_kernels_about_names_and_neutral_values():
    kept = {**candle_kernels.NEUTRAL, **indicator_kernels.NEUTRAL}
    stretch = [feature for feature in Feature if feature >= Feature.OPEN]
    assert list(kept) == [feature.name.lower() for feature in stretch]
    assert list(kept.values()) == [DEFINITIONS[feature].neutral for feature in stretch]


def test_units_say_how_a_feature_grows_with_prices_and_sizes():
    """That they are right is a law of each channel's own tests."""
    of = dict(zip(Feature, POWERS.tolist(), strict=True))
    assert of[Feature.MACD] == of[Feature.MID_PRICE] == [1, 0]
    assert of[Feature.OBV] == of[Feature.DEPTH_BID_5] == [0, 1]
    assert of[Feature.MONEY_FLOW] == [1, 1]
    assert of[Feature.KYLE_LAMBDA] == [1, -1]
    assert of[Feature.ROC] == of[Feature.NVI] == of[Feature.LEVEL_TTL_AVG] == [0, 0]
    assert factors(0.5, 10.0)[[Feature.MONEY_FLOW, Feature.AMIHUD_ILLIQUIDITY]].tolist() == [5.0, 0.2]


def test_a_neutral_value_that_is_not_zero_has_no_unit():
    assert not POWERS[NEUTRAL != 0].any()
