"""Layering by hand: ladders of one hand, and what only looks like them."""

import pytest
from tests.core.detectors.markets import MID, Stand

from stakan.core.detectors.layering import Layering
from stakan.core.domain.findings import Pattern, Stage
from stakan.core.domain.units import Side


def a_stand(**parameters):
    stand = Stand(Layering(**parameters))
    stand.wait(2_000)
    return stand


def rungs(side, count, lots=500, growth=0, first=3, step=1):
    return {MID - side * (first + step * k): 100 + lots + growth * k for k in range(count)}


def ladder(stand, side=1, count=5, apart=0, stands=1_000, leaving=0, **shape):
    """Come together or one after the other, stand, and leave."""
    levels = rungs(side, count, **shape)
    if apart:
        for price, lots in levels.items():
            stand.change({side: {price: lots}})
            stand.wait(apart)
    else:
        stand.change({side: levels})
    stand.wait(stands)
    if leaving:
        for price in levels:
            stand.change({side: {price: 100}})
            stand.wait(leaving)
    else:
        stand.change({side: dict.fromkeys(levels, 100)})
    stand.wait(400)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("leaving", [0, 120])
@pytest.mark.parametrize("apart", [0, 300], ids=["at once", "staircase"])
@pytest.mark.parametrize("growth", [0, 60], ids=["equal", "rising"])
def test_a_ladder_that_leaves_untraded_is_confirmed(side, leaving, apart, growth):
    stand = a_stand()
    began = stand.now
    ladder(stand, side, apart=apart, leaving=leaving, growth=growth)
    last = stand.findings[-1]
    assert last.pattern is Pattern.LAYERING
    assert last.stage is Stage.CONFIRMED
    assert last.side is Side(side)
    assert (last.low, last.high) == tuple(sorted((MID - side * 3, MID - side * 7)))
    assert last.count == 5
    assert last.size == 5 * 500 + growth * 10
    assert last.began == began
    assert {one.episode for one in stand.findings} == {1}


def test_a_ladder_is_suspected_while_it_stands():
    stand = a_stand()
    stand.change({1: rungs(1, 6)})
    stand.wait(600)
    (found,) = stand.findings
    assert found.stage is Stage.SUSPECTED
    assert found.count == 6


def test_three_layers_are_the_fewest():
    stand = a_stand(min_confidence=0.2)
    ladder(stand, count=2)
    assert stand.findings == []
    ladder(stand, count=3)
    assert stand.findings[-1].count == 3
    more = a_stand(min_confidence=0.2, min_layers=4)
    ladder(more, count=3)
    assert more.findings == []


def test_a_stranger_between_the_layers_does_not_hide_them():
    stand = a_stand()
    levels = rungs(1, 5, step=2)
    stand.change({1: levels})
    stand.wait(80)
    stand.change({1: {MID - 6: 5_000}})
    stand.wait(900)
    stand.change({1: {**dict.fromkeys(levels, 100), MID - 6: 100}})
    stand.wait(400)
    assert stand.findings[-1].count == 5
    assert stand.findings[-1].size == 2_500


def test_layers_that_are_eaten_by_trades_are_none():
    stand = a_stand()
    levels = rungs(1, 5)
    stand.change({1: levels})
    stand.wait(100)
    for price, lots in levels.items():
        stand.trade(price, lots - 100, Side.SELL)
        stand.change({1: {price: 100}})
        stand.wait(80)
    stand.wait(800)
    assert stand.findings == []


def test_depth_of_both_sides_that_leaves_at_once_is_pulled():
    stand = a_stand()
    both = {side: rungs(side, 3, lots=500) for side in (1, -1)}
    stand.change(both)
    stand.wait(1_000)
    stand.change({side: dict.fromkeys(levels, 100) for side, levels in both.items()})
    stand.wait(400)
    assert stand.findings == []


@pytest.mark.parametrize("ms", [240, 320, 1_000])
@pytest.mark.parametrize("by", [1, 2])
def test_a_ladder_that_moves_is_a_maker_s(ms, by):
    stand = a_stand()
    here, there = rungs(1, 3, first=3, step=3), rungs(1, 3, first=3 + by, step=3)
    stand.change({1: here})
    for k in range(6):
        stand.wait(ms)
        old, new = (here, there) if k % 2 == 0 else (there, here)
        stand.change({1: {**dict.fromkeys(old, 100), **new}})
    stand.wait(400)
    assert stand.findings == []


def test_unlike_sizes_at_unlike_steps_are_nobody_s_ladder():
    stand = a_stand()
    levels = {MID - 3: 400, MID - 5: 3_000, MID - 12: 350, MID - 14: 1_100}
    for price, lots in levels.items():
        stand.change({1: {price: lots}})
        stand.wait(700)
    stand.wait(800)
    stand.change({1: dict.fromkeys(levels, 100)})
    stand.wait(400)
    assert stand.findings == []


def test_levels_that_a_burst_of_trades_runs_towards_are_pulled_in_fear():
    calm, fear = a_stand(min_confidence=0.01), a_stand(min_confidence=0.01)
    for stand in (calm, fear):
        levels = rungs(1, 4)
        for price, lots in levels.items():
            stand.change({1: {price: lots}})
            stand.wait(500)
        if stand is fear:
            for _ in range(40):
                stand.trade(MID - 1, 20, Side.SELL)
        stand.change({1: dict.fromkeys(levels, 100)})
        stand.wait(400)
    assert fear.findings[-1].confidence < calm.findings[-1].confidence
