"""Trade features against a reading that remembers nothing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.market.builders import a_print, a_snapshot, an_instrument

from stakan.core.domain.units import MINUTE, SECOND, Side
from stakan.core.features.catalogue import TRADES
from stakan.core.features.pipeline import FeaturePipeline
from stakan.core.market.densities import DensityParams
from stakan.core.market.picture import MarketPicture

moments = st.lists(
    st.tuples(st.integers(0, 20), st.integers(-5, 0), st.sampled_from(Side), st.booleans(), st.integers(0, 2)),
    max_size=40,
)


@settings(max_examples=60)
@given(moments)
def test_features_that_are_kept_between_prints_equal_features_read_anew(moments):
    market = MarketPicture.start(an_instrument(), DensityParams(), MINUTE)
    market.apply_book(a_snapshot(bids=[(999, 5)], asks=[(1_001, 5)]))
    kept = FeaturePipeline.start(an_instrument())
    now = 0
    for trade_id, (passed, late, side, is_rpi, what) in enumerate(moments):
        now += passed * SECOND
        if what == 1:
            ts = max(1, now + late * SECOND)
            market.apply_print(a_print(ts=ts, side=side, is_rpi=is_rpi, trade_id=trade_id))
        elif what == 2:
            market.tape.interrupt()
            kept.restart()
        fresh = FeaturePipeline.start(an_instrument()).read(market, now)
        read = kept.read(market, now)
        assert np.array_equal(read.values[TRADES], fresh.values[TRADES])
        assert np.array_equal(read.warm[TRADES], fresh.warm[TRADES])
