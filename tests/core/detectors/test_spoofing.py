"""Spoofing by hand: what must be found, and what only looks like it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.detectors.followed import Followed, agreed
from tests.core.detectors.markets import MID, MS, RULES, START, Stand, a_market
from tests.core.detectors.naive_spoofing import NaiveSpoofing, Said

from stakan.core.detectors import _spoof_kernels as kernels
from stakan.core.detectors._order_kernels import COLUMNS, ENDED, TOLD
from stakan.core.detectors.spoofing import Candidate, Spoofing
from stakan.core.domain.findings import Pattern, Stage
from stakan.core.domain.units import SECOND, Side


def a_stand(**parameters):
    stand = Stand(Spoofing(**parameters))
    stand.wait(2_000)
    return stand


def repeat(stand, side=1, lots=730, times=3, life=600, distance=5):
    for _ in range(times):
        stand.spoof(side, MID - side * (1 + distance), lots, life)
        stand.wait(400)


@pytest.mark.parametrize("side", [1, -1])
def test_a_large_order_that_comes_again_and_goes_untraded_is_found_on_its_side(side):
    stand = a_stand()
    began = stand.now
    repeat(stand, side)
    stand.wait(400)
    last = stand.findings[-1]
    assert last.pattern is Pattern.SPOOFING
    assert last.stage is Stage.CONFIRMED
    assert last.side is Side(side)
    assert (last.low, last.high) == (MID - side * 6, MID - side * 6)
    assert (last.count, last.size) == (3, 2_190)
    assert last.began == began
    assert {one.episode for one in stand.findings} == {1}
    assert last.evidence["times_median"] == pytest.approx(7.3, abs=0.1)
    assert last.evidence["distance_ticks"] == 5
    assert last.evidence["life_s"] == pytest.approx(0.6)


def test_a_repetition_is_suspected_while_it_still_stands():
    stand = a_stand()
    repeat(stand, times=2)
    stand.add(1, MID - 6, 730)
    stand.wait(300)
    assert stand.findings[-1].stage is Stage.SUSPECTED
    assert stand.findings[-1].ts_event < stand.now
    assert stand.watcher.market.book.size_at(Side.BUY, MID - 6) == 830


def odds(confidence):
    """In logarithms."""
    return math.log(confidence / (1 - confidence))


def test_a_round_size_says_less_than_one_that_nobody_else_has():
    said = []
    for lots in (730, 700):
        stand = a_stand(min_confidence=0.0)
        repeat(stand, lots=lots)
        said.append(odds(stand.findings[-1].confidence))
    assert said[0] > said[1] + 1


def test_confidence_rises_with_every_repetition():
    stand = a_stand(min_confidence=0.01)
    repeat(stand, times=4)
    said = [one.confidence for one in stand.findings if one.stage is Stage.CONFIRMED]
    assert said == sorted(said)
    assert said[0] < 0.25
    assert said[-1] > 0.9


def test_an_order_on_top_of_a_level_counts_with_what_it_added():
    stand = a_stand()
    stand.change({1: {MID - 6: 400}})
    stand.wait(400)
    repeat(stand, lots=600)
    stand.wait(400)
    assert stand.findings[-1].size == 1_800


def test_one_order_alone_is_not_spoofing():
    stand = a_stand()
    repeat(stand, times=1, lots=2_000)
    stand.wait(2_000)
    assert stand.findings == []


@pytest.mark.parametrize("late_ms", [-20, 0, 100], ids=["print first", "together", "print late"])
def test_an_order_that_is_eaten_by_trades_is_never_spoofing(late_ms):
    stand = a_stand(min_confidence=0.01)
    for _ in range(4):
        stand.add(1, MID - 6, 730)
        stand.wait(600)
        if late_ms <= 0:
            stand.trade(MID - 6, 730, Side.SELL, stand.now + late_ms * MS)
        went = stand.now
        stand.add(1, MID - 6, -730)
        if late_ms > 0:
            stand.wait(late_ms)
            stand.trade(MID - 6, 730, Side.SELL, went)
        stand.wait(400)
    assert stand.findings == []


def test_prints_on_the_other_side_or_elsewhere_do_not_excuse_it():
    stand = a_stand()
    for _ in range(3):
        stand.add(1, MID - 6, 730)
        stand.wait(600)
        stand.trade(MID - 1, 730, Side.SELL)
        stand.trade(MID + 1, 50, Side.BUY)
        stand.add(1, MID - 6, -730)
        stand.wait(400)
    stand.wait(400)
    assert stand.findings
    assert stand.findings[-1].evidence["opposite_lots"] == 50


def test_a_quote_that_moves_after_each_trade_is_not_spoofing():
    stand = a_stand()
    place = 5
    stand.add(1, MID - 1 - place, 730)
    for k in range(6):
        stand.wait(600)
        stand.trade(MID - 1, 30, Side.SELL)
        old, place = MID - 1 - place, 3 + k % 4
        stand.change({1: {old: 100, MID - 1 - place: 100 + 660 - 10 * k}} if old != MID - 1 - place else {})
    stand.wait(1_000)
    assert stand.findings == []


def test_a_maker_who_quotes_both_sides_is_not_spoofing():
    stand = a_stand()
    for _ in range(5):
        stand.change({1: {MID - 6: 800}, -1: {MID + 6: 800}})
        stand.wait(600)
        stand.change({1: {MID - 6: 100}, -1: {MID + 6: 100}})
        stand.wait(400)
    assert stand.findings == []


def test_an_iceberg_is_not_spoofing():
    stand = a_stand()
    for _ in range(6):
        stand.change({1: {MID - 2: 800}})
        stand.wait(200)
        stand.trade(MID - 2, 800, Side.SELL)
        stand.change({1: {MID - 2: 0}})
        stand.wait(40)
    stand.wait(400)
    assert stand.findings == []


def test_an_order_at_the_touch_is_not_spoofing():
    stand = a_stand()
    repeat(stand, distance=0)
    stand.wait(400)
    assert stand.findings == []


def test_an_order_that_melts_away_is_not_spoofing():
    stand = a_stand()
    for _ in range(3):
        stand.add(1, MID - 6, 730)
        for _ in range(7):
            stand.wait(100)
            stand.add(1, MID - 6, -100)
        stand.wait(400)
    assert stand.findings == []


def odds_after_another(distance=5, lots=730, *, meanwhile=False):
    stand = a_stand(min_confidence=0.01)
    stand.spoof(1, MID - 6, 730, 600)
    stand.wait(400)
    if meanwhile:
        stand.spoof(1, MID - 12, 430, 200)
        stand.wait(200)
    stand.spoof(1, MID - 1 - distance, lots, 600)
    stand.wait(400)
    return odds(stand.findings[-1].confidence)


def test_only_the_same_size_at_the_same_place_is_a_repetition():
    same = odds_after_another()
    assert same > odds_after_another(distance=4) + 1
    assert same > odds_after_another(lots=731) + 1


def test_who_shows_a_size_at_many_places_quotes():
    said = []
    for places in ((), (8, 9, 10, 11)):
        stand = a_stand(min_confidence=0.0)
        for distance in places:
            repeat(stand, times=1, distance=distance)
        repeat(stand, times=2)
        said.append(odds(stand.findings[-1].confidence))
    assert said[0] > said[1] + 2


def test_another_order_in_between_does_not_hide_a_repetition():
    assert odds_after_another(meanwhile=True) > 1


def test_where_the_same_comes_again_all_the_time_it_says_less():
    stand = a_stand()
    for k in range(40):
        side = 1 if k % 2 else -1
        for _ in range(2):
            stand.spoof(side, MID - side * 18, 410, 160)
            stand.wait(3_000)
    usual = stand.watcher.state.habits[kernels.AGAIN]
    assert usual > 3 * kernels.FIRST_AGAIN
    said = []
    for rate in (kernels.FIRST_AGAIN, usual):
        fresh = a_stand(min_confidence=0.01)
        fresh.watcher.state.habits[kernels.AGAIN] = rate
        repeat(fresh, times=2)
        fresh.wait(400)
        said.append(fresh.findings[-1].confidence)
    assert said[0] > said[1] + 0.1


@pytest.mark.parametrize("ms", [200, 400, 600, 1_000])
def test_a_quote_that_moves_to_and_fro_is_not_spoofing(ms):
    stand = a_stand()
    here, there = MID - 6, MID - 7
    stand.add(1, here, 730)
    for _ in range(12):
        stand.wait(ms)
        stand.change({1: {here: 100, there: 800}})
        here, there = there, here
    stand.wait(1_000)
    assert stand.findings == []


@pytest.mark.parametrize("hole_ms", [40, 80])
@pytest.mark.parametrize("life_ms", [600, 900])
def test_a_quote_that_is_renewed_after_a_moment_is_not_spoofing(life_ms, hole_ms):
    stand = a_stand()
    for _ in range(12):
        stand.spoof(1, MID - 6, 730, life_ms)
        stand.wait(hole_ms)
    stand.wait(1_000)
    assert stand.findings == []


def test_an_order_elsewhere_does_not_hide_that_another_is_repeated():
    stand = a_stand()
    repeat(stand, times=2)
    repeat(stand, times=1, distance=8)
    stand.add(1, MID - 6, 730)
    stand.wait(300)
    assert stand.findings[-1].stage is Stage.SUSPECTED


def test_what_was_certain_does_not_vouch_for_what_comes_after_it():
    stand = a_stand()
    repeat(stand, times=8)
    stand.wait(400)
    before = len([one for one in stand.findings if one.stage is Stage.CONFIRMED])
    for k in range(12):
        stand.spoof(1, MID - 14 - k % 3, 330 + 61 * (k % 5), 300)
        stand.wait(2_500)
    after = len([one for one in stand.findings if one.stage is Stage.CONFIRMED])
    assert after - before <= 3


def test_episodes_are_numbered_as_they_are_said():
    stand = a_stand()
    stand.spoof(1, MID - 6, 730, 600)
    stand.wait(400)
    repeat(stand, side=-1, times=3)
    stand.wait(400)
    repeat(stand, side=1, lots=900, times=3)
    stand.wait(400)
    numbers = [(one.side, one.episode) for one in stand.findings]
    assert list(dict.fromkeys(numbers)) == [(Side.SELL, 1), (Side.BUY, 2)]


def test_an_order_that_comes_and_goes_at_one_time_is_weighed_all_the_same():
    stand = a_stand(min_life_s=0.0)
    stand.add(1, MID - 6, 730)
    stand.add(1, MID - 6, -730)
    stand.wait(1_000)
    assert all(0 < one.confidence < 1 for one in stand.findings)


def test_a_rate_outlives_a_clock_that_goes_back():
    habits, counters = np.array((2.0, 0.3, 0.1)), np.zeros(kernels.COUNTERS, np.int64)
    for k in range(50):
        kernels.note(habits, counters, kernels.OFTEN, START + k * 10 * SECOND)
    often = habits[kernels.OFTEN]
    kernels.note(habits, counters, kernels.OFTEN, START - 3_600 * SECOND)
    kernels.note(habits, counters, kernels.OFTEN, START + 500 * SECOND)
    assert habits[kernels.OFTEN] > often / 2


def test_repetitions_far_apart_are_no_episode():
    stand = a_stand()
    for _ in range(3):
        repeat(stand, times=1)
        stand.wait(8_000)
    assert stand.findings == []


def test_a_symbol_in_which_such_orders_are_usual_needs_more_of_them():
    usual = a_stand(min_confidence=0.01)
    for k in range(60):
        side = 1 if k % 2 else -1
        usual.spoof(side, MID - side * 6, 500 + 40 * (k % 7), 300)
        usual.wait(7_000)
    rare = a_stand(min_confidence=0.01)
    rare.wait(2_000)
    for stand in (usual, rare):
        repeat(stand, times=2)
        stand.wait(400)
    often = [stand.watcher.state.habits[kernels.OFTEN] for stand in (usual, rare)]
    assert often[0] > often[1]
    assert usual.findings[-1].confidence < rare.findings[-1].confidence


def test_the_detector_remembers_no_order_longer_than_it_may():
    stand = a_stand(max_life_s=1.0)
    stand.add(1, MID - 6, 730)
    stand.wait(3_000)
    assert stand.watcher.state.orders.meta[0] == 0
    assert stand.now - stand.watcher.market.ts_event < SECOND


class Spoofs(Followed):
    """A market whose orders are told of, and what the detector's kernels say of them."""

    def __init__(self, detector):
        self.state = detector.start(RULES)
        super().__init__(self.state.orders)

    def see(self, event):
        """Orders that are told of with this event, and what is said."""
        if not super().see(event):
            return [], []
        state = self.state
        told = self.told(event.ts_event, again=True)
        said, confidences = np.empty((TOLD, COLUMNS + kernels.FIELDS), np.int64), np.empty(TOLD)
        memory = (state.candidates, state.odds, state.habits, state.counters, state.limits)
        count = kernels.weigh(*self.table, event.ts_event, *self.prints, *memory, said, confidences)
        return told, [*map(_said, said[:count].tolist(), confidences[:count].tolist())]


def _said(row, confidence):
    one = Candidate(*row[COLUMNS:])
    confidence = pytest.approx(confidence, abs=1e-9)
    ended = row[ENDED]
    return Said(ended > 0, one.episode, one.links, one.low, one.high, one.total, one.began, confidence)


def both_say(events, detector):
    return agreed(Spoofs(detector), NaiveSpoofing(detector), events)


@settings(max_examples=10)
@given(
    seed=st.integers(0, 1_000),
    min_confidence=st.sampled_from((0.0, 0.2)),
    multiple=st.sampled_from((1.2, 2.0, 3.0)),
    apart_s=st.sampled_from((0.5, 2.0)),
)
def test_orders_are_weighed_as_by_the_slow_reference(seed, min_confidence, multiple, apart_s):
    detector = Spoofing(min_confidence=min_confidence, multiple=multiple, apart_s=apart_s)
    both_say(a_market(seed, seconds=10), detector)


def test_the_reference_says_a_lot():
    said = both_say(a_market(0, seconds=25), Spoofing(min_confidence=0.0, multiple=1.2))
    assert len(said) > 30
    assert {one.is_gone for one in said} == {False, True}
    assert max(one.count for one in said) > 2
