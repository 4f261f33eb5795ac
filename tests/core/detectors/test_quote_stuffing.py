"""Quote stuffing by hand: bursts that take themselves back, and busy markets that do not."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.core.detectors.markets import MID, MS, START, Stand

from stakan.core.detectors import _stuffing_kernels as kernels
from stakan.core.detectors.quote_stuffing import QuoteStuffing
from stakan.core.domain.findings import Pattern, Stage


def a_stand(**parameters):
    stand = Stand(QuoteStuffing(**parameters))
    stand.wait(12_000)
    return stand


def stuff(stand, messages=100, levels=6, every_ms=10):
    """Levels of both sides flip on and off."""
    for k in range(messages):
        stand.now += every_ms * MS
        lots = 150 if k % 2 else 100
        stand.change({side: {MID - side * (3 + j): lots for j in range(levels)} for side in (1, -1)})


def test_a_burst_that_takes_itself_back_is_suspected_and_confirmed_when_it_is_over():
    stand = a_stand()
    began = stand.now
    stuff(stand)
    assert stand.findings[0].stage is Stage.SUSPECTED
    assert stand.findings[0].ts_event - began < 400 * MS
    assert all(one.stage is Stage.SUSPECTED for one in stand.findings)
    stand.wait(1_000)
    last = stand.findings[-1]
    assert last.pattern is Pattern.QUOTE_STUFFING
    assert last.stage is Stage.CONFIRMED
    assert last.side is None
    assert last.low is None
    assert abs(last.began - began) <= 100 * MS
    assert {one.episode for one in stand.findings} == {1}
    assert 800 < last.evidence["updates_per_s"] < 1_300
    assert last.evidence["cancel_ratio"] > 0.9


def test_the_next_burst_is_another_episode():
    stand = a_stand()
    for _ in range(2):
        stuff(stand)
        stand.wait(3_000)
    assert [one.episode for one in stand.findings if one.stage is Stage.CONFIRMED] == [1, 2]


def test_as_many_updates_that_leave_something_are_a_busy_market():
    stand = a_stand()
    for k in range(100):
        stand.now += 10 * MS
        stand.change({side: {MID - side * (3 + j): 100 + 7 * k + j for j in range(6)} for side in (1, -1)})
    stand.wait(1_000)
    assert stand.findings == []


def test_a_touch_that_moves_speaks_against_it():
    said = []
    for moves in (0, 1):
        stand = a_stand(min_confidence=0.001)
        for k in range(60):
            stand.now += 20 * MS
            levels = {MID - 3 - j: 150 if k % 2 else 100 for j in range(2)}
            stand.change({1: levels, -1: {MID + 1: 0 if moves and k % 2 else 100}})
        stand.wait(1_000)
        said.append(max((one.confidence for one in stand.findings), default=0))
    assert said[0] > 0.9 > said[1]


def test_what_a_symbol_always_does_is_usual():
    stand = Stand(QuoteStuffing())
    stuff(stand, messages=6_000, every_ms=50)
    stand.watcher.findings.clear()
    stand.wait(400)
    stuff(stand, messages=300, every_ms=50)
    stand.wait(1_000)
    assert stand.findings == []


def test_changes_far_from_the_touch_are_not_counted():
    stand = a_stand(reach_ticks=1)
    stuff(stand)
    stand.wait(1_000)
    assert stand.findings == []


def test_nothing_is_said_before_the_market_is_known():
    stand = Stand(QuoteStuffing())
    stand.wait(2_000)
    stuff(stand)
    stand.wait(1_000)
    assert stand.findings == []


@given(
    st.lists(st.tuples(st.integers(0, 800), st.integers(1, 12), st.sampled_from((0, 100, 105, 200, 300))), max_size=60)
)
def test_updates_and_flips_are_those_of_a_slow_count(changes):
    """One bid level a message: a flip takes back the last change of its level within half a second, to a tenth."""
    slots = np.zeros((2, 16, kernels.CHANGES), np.int64)
    bests = np.array([MID, MID + 1])
    ts, sizes, last = START, {}, {}
    for wait, behind, lots in changes:
        ts += wait * MS
        price = MID - behind
        was = sizes.get(price, 0)
        sizes[price] = lots
        rows = np.array([[price, lots]])
        counted = kernels.count(rows, 1, np.array([was]), slots, bests, 9, ts)
        change, (before, at) = lots - was, last.get(price, (0, 0))
        is_counted = change != 0 and behind <= 9
        flips = is_counted and before != 0 and ts - at <= 500 * MS and abs(before + change) * 10 <= abs(before)
        if is_counted:
            last[price] = (0, at) if flips else (change, ts)
        assert counted == (is_counted, flips)
