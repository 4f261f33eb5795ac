"""A week of Bybit's BTCUSDT in published minutes, made by others from the same archive, against features of ours.

What coincides: volume and VWAP of a minute, with all features made of them, from the same prints; micro-price, mid,
spread and imbalance of the best quotes, from the sizes that the minutes give. Theirs hold the prints of their last
millisecond, ours begin with those of their first.

What does not, though the names are alike: `ofi_z_L1` to `ofi_z_L10`, `lambda_z` and `vpin_cdf` are ranks against hours
before, `vpin` is over buckets that nobody states, and all need the book of every update, of which only the first and
last of each day were published. Order-flow imbalance and Kyle's lambda are held to slow references and to regressions
on other sessions instead (`test_recorded_features.py`).
"""

from itertools import groupby

import numpy as np
import pyarrow.parquet as pq
import pytest

from stakan.core.domain.events import BookSnapshot, TradePrint
from stakan.core.domain.units import MILLISECOND, MINUTE, Side
from stakan.core.features.catalogue import FEATURE_COUNT, Feature
from stakan.core.features.pipeline import FeaturePipeline
from stakan.core.market.densities import DensityParams
from stakan.core.market.picture import MarketPicture
from tests.core.market.builders import an_instrument

pytestmark = pytest.mark.recorded
RULES = an_instrument()
TICK, LOT = float(RULES.tick_size), float(RULES.lot_size)
MINUTES = 230
"""Whole minutes that prints are there for."""


@pytest.fixture(scope="module")
def published(recorded):
    """Columns of the published tables, by name."""
    folder = recorded / "bybit-btcusdt-2025-12"

    def columns(name):
        table = pq.read_table(folder / f"{name}.parquet")
        return {column: table[column].to_numpy() for column in table.column_names}

    bars, micro = columns("bars_1m"), columns("micro_features_1m")
    for table in (bars, micro):
        table["end"] = table["timestamp"].astype("datetime64[ns]").astype(np.int64)
    return bars, micro, columns("trades_BTCUSDT_2025-12-04_part-001")


def prints(trades):
    """As events, a millisecond earlier: theirs is the minute that a print ends."""
    rows = zip(trades["ts"], trades["price"], trades["qty"], trades["is_buyer_maker"], strict=True)
    for number, (ts, price, size, is_sell) in enumerate(rows):
        at = int(ts) * MILLISECOND - MILLISECOND
        yield TradePrint(
            ts_event=at,
            ts_recv=at,
            instrument=RULES.id,
            price=round(price / TICK),
            size=round(size / LOT),
            side=Side.SELL if is_sell else Side.BUY,
            trade_id=number,
        )


def candle_features(trades):
    """The candle channel at the end of each minute, by that end, with its warmth."""
    market = MarketPicture.start(RULES, DensityParams(), MINUTE, follow_densities=False)
    pipeline = FeaturePipeline.start(RULES)
    for minute, of_it in groupby(prints(trades), lambda one: one.ts_event // MINUTE):
        for one in of_it:
            market.apply_print(one)
        end = (minute + 1) * MINUTE
        market.candles.advance(end + MINUTE // 2)
        values, warm = np.zeros(FEATURE_COUNT), np.zeros(FEATURE_COUNT, np.bool_)
        pipeline.candle.read_candle(market.candles, values, warm)
        yield end, values, warm


def test_candles_of_the_prints_and_what_is_made_of_them_are_those_of_the_published_minutes(published):
    bars, _, trades = published
    row_of = {int(end): row for row, end in enumerate(bars["end"])}
    volume, turnover = bars["volume"], bars["volume"] * bars["vwap"]
    # The first and the last minute are cut.
    minutes = list(candle_features(trades))[1:-1]
    assert len(minutes) == MINUTES
    compared = 0
    for number, (end, values, warm) in enumerate(minutes):
        row = row_of[end]
        assert values[Feature.VOLUME] == pytest.approx(volume[row], rel=1e-9)
        if number == 0:
            continue
        assert values[Feature.VOLUME_CHANGE_RATE] == pytest.approx(
            volume[row] / volume[row - 1] - 1, rel=1e-6, abs=1e-9
        )
        if number < 20:
            continue
        last = slice(row - 19, row + 1)
        expected = {
            Feature.VOLUME_MA_RATIO: volume[row] / volume[last].mean(),
            Feature.VOLUME_WEIGHTED_PRICE: turnover[last].sum() / volume[last].sum(),
        }
        for feature, value in expected.items():
            assert warm[feature]
            assert values[feature] == pytest.approx(value, rel=1e-9), (end, feature.name)
        compared += 1
    assert compared == MINUTES - 20


def test_features_of_the_best_quotes_are_those_of_the_published_minutes(published):
    bars, micro, _ = published
    rows = np.searchsorted(bars["end"], micro["end"])
    assert np.array_equal(bars["end"][rows], micro["end"])
    mid, spread = np.round(bars["mid_close"][rows] / (TICK / 2)), np.round(micro["spread"] / TICK)
    bids, asks = ((mid - spread) / 2).astype(np.int64), ((mid + spread) / 2).astype(np.int64)
    bid_lots = np.rint(micro["depth_L1"] * (1 + micro["w_obi_L1"]) / 2 / LOT).astype(np.int64)
    ask_lots = np.rint(micro["depth_L1"] * (1 - micro["w_obi_L1"]) / 2 / LOT).astype(np.int64)
    wanted = {
        Feature.MID_PRICE: bars["mid_close"][rows],
        Feature.MICRO_PRICE: bars["microprice_close"][rows],
        Feature.BID_ASK_SPREAD_ABS: micro["spread"],
        # A book of one level a side: what is in five is what is in the first.
        Feature.IMBALANCE_5: micro["w_obi_L1"],
    }
    for row in range(0, len(rows), 7):
        found = of_quotes(bids[row], bid_lots[row], asks[row], ask_lots[row])
        for feature, values in wanted.items():
            assert found.of(feature) == pytest.approx(values[row], rel=1e-9, abs=1e-6), (row, feature.name)


def of_quotes(bid, bid_lots, ask, ask_lots):
    """The vector of a book of best quotes alone."""
    market = MarketPicture.start(RULES, DensityParams(), MINUTE, follow_densities=False)
    pipeline = FeaturePipeline.start(RULES)
    snapshot = BookSnapshot(
        ts_event=MINUTE,
        ts_recv=MINUTE,
        instrument=RULES.id,
        sequence=1,
        previous_sequence=0,
        levels=np.array([[bid, bid_lots], [ask, ask_lots]], np.int64),
        bid_count=1,
    )
    market.apply_book(snapshot)
    pipeline.observe(market.book)
    return pipeline.read(market, MINUTE)
