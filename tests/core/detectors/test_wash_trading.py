"""Wash trading by hand: matched prints beyond chance, and those that chance makes."""

import numpy as np
import pytest
from tests.core.detectors.markets import MID, MS, Stand
from tests.core.market.builders import a_print

from stakan.core.detectors import _wash_kernels as kernels
from stakan.core.detectors.wash_trading import WashTrading
from stakan.core.domain.findings import Pattern, Stage
from stakan.core.domain.units import SECOND, Side


def a_stand(prints=300, sizes=None, **parameters):
    """A tape of ordinary prints at the touches, of many sizes or of those given."""
    stand = Stand(WashTrading(**parameters))
    rng = np.random.default_rng(1)
    for _ in range(prints):
        stand.wait(80)
        side = int(rng.choice((1, -1)))
        stand.trade(MID + side, int(rng.choice(sizes) if sizes else rng.integers(1, 100)), Side(side))
    stand.wait(4_000)
    assert stand.findings == []
    return stand


def wash(stand, pairs=3, lots=777, price=MID - 1, apart=300):
    for k in range(pairs):
        one = Side.BUY if k % 2 else Side.SELL
        stand.trade(price, lots + k, one)
        stand.now += 5 * MS
        stand.trade(price, lots + k, one.opposite)
        stand.wait(apart)


def test_pairs_of_rare_sizes_at_one_price_are_found():
    stand = a_stand()
    began = stand.now
    wash(stand, pairs=4)
    last = stand.findings[-1]
    assert last.pattern is Pattern.WASH_TRADING
    assert last.stage is Stage.CONFIRMED
    assert stand.findings[0].stage is Stage.SUSPECTED
    assert (last.low, last.high, last.side) == (MID - 1, MID - 1, None)
    assert last.count == 8
    assert last.size == 2 * sum(777 + k for k in range(4))
    assert last.began == began
    assert {one.episode for one in stand.findings} == {1}


def test_one_pair_is_chance():
    stand = a_stand()
    wash(stand, pairs=1)
    assert stand.findings == []


def test_sizes_that_everybody_trades_are_chance():
    stand = a_stand(sizes=[1, 10, 777])
    for _ in range(6):
        stand.trade(MID - 1, 777, Side.SELL)
        stand.trade(MID - 1, 777, Side.BUY)
        stand.wait(300)
    assert stand.findings == []


@pytest.mark.parametrize("apart", ["price", "size", "side", "time"])
def test_prints_that_do_not_match_are_no_pair(apart):
    stand = a_stand(min_confidence=0.01)
    for _ in range(5):
        stand.trade(MID - 1, 777, Side.SELL)
        stand.now += (2 * SECOND) if apart == "time" else 5 * MS
        price = MID + 1 if apart == "price" else MID - 1
        side = Side.SELL if apart == "side" else Side.BUY
        stand.trade(price, 778 if apart == "size" else 777, side)
        stand.wait(2_000)
    assert all(one.count <= 2 for one in stand.findings)
    assert max((one.confidence for one in stand.findings), default=0) < 0.5


def test_a_price_that_moves_ends_the_run():
    stand = a_stand()
    for k in range(4):
        wash(stand, pairs=1, price=MID - 1 - k)
    assert stand.findings == []


def test_a_print_that_was_matched_is_matched_once():
    stand = a_stand(min_confidence=0.001)
    stand.trade(MID - 1, 777, Side.SELL)
    for _ in range(5):
        stand.now += MS
        stand.trade(MID - 1, 777, Side.BUY)
    assert [one.count for one in stand.findings] == [2]


def test_prints_that_come_late_are_matched_where_they_belong():
    stand = a_stand()
    wash(stand, pairs=2)
    late = stand.now - 40 * MS
    stand.trade(MID - 1, 888, Side.SELL, late - MS)
    stand.trade(MID, 5, Side.BUY)
    stand.trade(MID - 1, 888, Side.BUY, late)
    assert stand.findings[-1].count == 6


def test_rpi_prints_say_nothing():
    stand = a_stand()
    for k in range(4):
        for half, side in enumerate((Side.BUY, Side.SELL)):
            stand.watcher.see(a_print(stand.now + half, MID - 1, 777, side, 9_000 + 2 * k + half, is_rpi=True))
        stand.wait(300)
    assert stand.findings == []


def test_chance_is_the_share_of_a_size_times_its_rivals():
    sizes = np.array([5, 5, 7, 9, 5, 5], np.int64)
    signs = np.array([1, -1, 1, -2, 1, -1], np.int8)
    # Before row 5: four ordinary prints, three of the size, the pair's other half among them.
    assert kernels.chance(sizes, signs, 0, 5, 2) == pytest.approx(2 * 2.5 / 4)
    assert kernels.chance(sizes, signs, 0, 2, 1) == pytest.approx(0.5 / 2)
