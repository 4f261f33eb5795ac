"""Cheap questions between the winning signal and its intent."""

import msgspec
import pytest
from tests.core.engine.builders import BTC, SECOND, a_snapshot, an_instrument

from stakan.core.decision.checks import MAX_ENTRY_DISTANCE, MAX_SIGNAL_AGE_NS, objection
from stakan.core.domain.instrument import Category
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Signal
from stakan.core.domain.units import Side
from stakan.core.market.densities import DensityParams
from stakan.core.market.picture import MarketPicture

MID = 640_000
NOW = 1_000 * SECOND
WALL = MID - 5


def a_market(wall=0):
    """A book around `MID`; with a wall of so many lots among its bids."""
    market = MarketPicture.start(an_instrument(), DensityParams(min_notional=1.0), SECOND)
    event = a_snapshot(MID, ts=NOW)
    if wall:
        event.levels[event.levels[:, 0] == WALL, 1] = wall
    assert market.apply_book(event) is None
    return market


def a_signal(**changes):
    signal = Signal(instrument=BTC, side=Side.BUY, strength=1.0, ts_event=NOW, entry=MID, stop_loss=MID - 100)
    return msgspec.structs.replace(signal, **changes)


def reason(signal, market=None, **rules):
    refusal = objection(signal, an_instrument(**rules), market or a_market(), NOW)
    assert refusal is None or refusal.detail
    return refusal and refusal.reason


@pytest.mark.parametrize("side", Side)
def test_a_fresh_signal_near_the_mid_passes(side):
    assert reason(a_signal(side=side)) is None


def test_spot_is_bought_and_never_sold_short():
    assert reason(a_signal(), category=Category.SPOT) is None
    assert reason(a_signal(side=Side.SELL), category=Category.SPOT) is Reason.SHORT_NOT_POSSIBLE


@pytest.mark.parametrize(("over", "expected"), [(0, None), (1, Reason.SIGNAL_STALE)])
def test_an_old_signal_is_stale(over, expected):
    assert reason(a_signal(ts_event=NOW - MAX_SIGNAL_AGE_NS - over)) is expected


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(("over", "expected"), [(0, None), (1, Reason.ENTRY_TOO_FAR)])
def test_an_entry_may_stand_so_far_from_the_mid_on_either_side(direction, over, expected):
    reach = round(MID * MAX_ENTRY_DISTANCE)
    assert reason(a_signal(entry=MID + direction * (reach + over))) is expected


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(
    ("ticks", "expected"), [(1, None), (0, Reason.TARGET_WRONG_SIDE), (-5, Reason.TARGET_WRONG_SIDE)]
)
def test_a_target_stands_ahead_of_the_entry(side, ticks, expected):
    assert reason(a_signal(side=side, take_profit=MID + side * ticks)) is expected


def test_what_leans_on_a_density_needs_it_to_stand():
    assert reason(a_signal(leans_on=WALL), a_market(wall=100_000)) is None
    assert reason(a_signal(leans_on=WALL), a_market()) is Reason.DENSITY_GONE
    assert reason(a_signal(leans_on=WALL + 1), a_market(wall=100_000)) is Reason.DENSITY_GONE
