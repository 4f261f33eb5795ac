"""Kaplan-Meier against a published example and its definition; lives of densities as events tell them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.market.builders import a_delta, a_print, a_snapshot, an_instrument, bytes_of, restored

from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.units import MILLISECOND, SECOND, Lots, Nanos, Side, Ticks
from stakan.core.market.densities import Density, DensityEvent, DensityKind, DensityParams
from stakan.core.market.picture import MarketPicture
from stakan.core.market.survival import DensityLives, kaplan_meier

# --- the estimate -----------------------------------------------------------------------------------------------------

REMISSION = [
    6, 6, 6, 7, 10, 13, 16, 22, 23,
    -6, -9, -10, -11, -17, -19, -20, -25, -32, -32, -34, -35,
]  # fmt: skip
"""Weeks in remission of 21 patients under 6-mercaptopurine, negative where censored (Freireich et al. 1963)."""
PUBLISHED = [
    # week, at risk, relapses, share in remission, standard error (Klein & Moeschberger, Survival Analysis, table 4.1A)
    (6, 21, 3, 0.857, 0.0764),
    (7, 17, 1, 0.807, 0.0869),
    (10, 15, 1, 0.753, 0.0963),
    (13, 12, 1, 0.690, 0.1068),
    (16, 11, 1, 0.627, 0.1141),
    (22, 7, 1, 0.538, 0.1282),
    (23, 6, 1, 0.448, 0.1346),
]


def curve(seen):
    """Of lives told as numbers, negative where censored."""
    lives = np.array([abs(one) for one in seen], np.float64)
    return kaplan_meier(lives, np.array([one > 0 for one in seen], np.bool_))


def test_it_gives_the_published_table():
    found = curve(REMISSION)
    rows = zip(found.times, found.at_risk, found.deaths, found.surviving, found.error, strict=True)
    assert [(t, n, d, round(s, 3), round(e, 4)) for t, n, d, s, e in rows] == PUBLISHED
    assert found.median == 23


def test_bounds_are_those_of_the_log_log_scale():
    """At week 10: share 0.7529, error 0.0963; -ln share = 0.2838, width 1.96·0.0963/(0.7529·0.2838) = 0.883."""
    low, high = curve(REMISSION).bounds(10)
    assert (low, high) == (pytest.approx(0.5032, abs=2e-4), pytest.approx(0.8894, abs=2e-4))
    assert curve(REMISSION).bounds(5) == (1.0, 1.0)


weeks = st.lists(st.integers(1, 30).flatmap(lambda week: st.sampled_from((week, -week))), max_size=40)


@given(weeks)
def test_it_is_the_product_of_the_shares_that_outlive_each_death(seen):
    found = curve(seen)
    share = 1.0
    for row, time in enumerate(sorted({one for one in seen if one > 0})):
        there = sum(abs(one) >= time for one in seen)
        dead = sum(one == time for one in seen)
        share *= (there - dead) / there
        assert (found.times[row], found.at_risk[row], found.deaths[row]) == (time, there, dead)
        assert found.surviving[row] == pytest.approx(share)
    assert len(found.times) == len({one for one in seen if one > 0})


@given(weeks)
def test_a_curve_falls_from_one_and_never_rises(seen):
    found = curve(seen)
    assert (np.diff(np.concatenate(([1.0], found.surviving))) < 1e-12).all()
    assert ((found.surviving >= 0) & (found.surviving <= 1 + 1e-12)).all()
    assert np.isfinite(found.error).all()
    for time in range(32):
        low, high = found.bounds(time)
        assert 0 <= low <= found.at(time) + 1e-12
        assert found.at(time) <= high + 1e-12 <= 1 + 2e-12


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_without_censoring_it_is_the_share_that_lives_longer(seen):
    found = curve(seen)
    for time in range(32):
        assert found.at(time) == pytest.approx(sum(one > time for one in seen) / len(seen))
    assert found.median == sorted(seen)[(len(seen) - 1) // 2]


@given(weeks, st.randoms())
def test_the_order_of_lives_does_not_matter_and_those_lost_before_all_deaths_do_not_either(seen, random):
    shuffled = [-0.5, *seen]
    random.shuffle(shuffled)
    for ours, theirs in zip(curve(seen), curve(shuffled), strict=True):
        np.testing.assert_allclose(ours, theirs)


def test_nothing_seen_is_a_curve_without_steps():
    found = curve([])
    assert (len(found.times), found.at(5), found.median) == (0, 1.0, None)


@pytest.mark.parametrize("lives", [[-1.0, 1.0], [float("nan"), 1.0], [1.0]])
def test_what_cannot_be_a_life_is_refused(lives):
    with pytest.raises(DataError):
        kaplan_meier(np.array(lives), np.array([True, True]))


# --- lives of densities -----------------------------------------------------------------------------------------------

PARAMS = DensityParams(min_notional=1_000.0, relative=0.0, share=0.0)
MID = 10_000.0


def happened(kind, price, ts, appeared=0, first=1, side=Side.BUY):
    sizes = dict.fromkeys(("remaining", "traded", "cancelled", "executed", "withdrawn", "added"), Lots(0))
    density = Density(
        side=side, price=Ticks(price), peak=Lots(9), first=Lots(first), appeared_ts=Nanos(appeared),
        changed_ts=Nanos(ts), **sizes,
    )  # fmt: skip
    return DensityEvent(kind=kind, density=density, ts_event=Nanos(ts))


def lived(lives, price, start, end, kind, first=1, side=Side.BUY):
    lives.update((happened(DensityKind.APPEARED, price, start, start, first, side),), MID)
    lives.update((happened(kind, price, end, start, first, side),), MID)


ENDS = (DensityKind.CONSUMED, DensityKind.CANCELLED, DensityKind.OUT_OF_SIGHT)
ends = st.sampled_from(ENDS)
told = st.lists(st.tuples(st.integers(9_800, 10_200), st.integers(0, 50), ends, st.integers(1, 30)), max_size=30)


@given(told, st.integers(1, 40))
def test_groups_split_the_newest_ends_without_losing_or_doubling_any(stories, kept):
    lives = DensityLives.start(0.1, PARAMS, kept=kept)
    for number, (price, seconds, kind, first) in enumerate(stories):
        lived(lives, price, number * SECOND, (number + seconds) * SECOND, kind, first)
    newest = stories[-kept:]
    everything, *others = lives.groups(100 * SECOND)
    assert everything.count == len(newest)
    counted = (everything.consumed, everything.cancelled, everything.out_of_sight)
    assert counted == tuple(sum(story[2] is kind for story in newest) for kind in ENDS)
    by_size = [group for group in others if group.distance_from_bps is None and group.distance_to_bps is None]
    by_distance = [group for group in others if group.size_from is None and group.size_to is None]
    both = [group for group in others if group not in by_size and group not in by_distance]
    for split in (by_size, by_distance, both):
        assert sum(group.count for group in split) == len(newest)
        assert all(group.count > 0 for group in split)
    for group in by_size:
        fits = [
            price * first * 0.1
            for price, _, _, first in newest
            if (group.size_from or 0) <= price * first * 0.1 < (group.size_to or 1e99)
        ]
        assert group.count == len(fits)


@given(told, told)
def test_lives_survive_the_trip_through_bytes_and_go_on_alike(before, after):
    lives = DensityLives.start(0.1, PARAMS, kept=8)
    for price, seconds, kind, first in before:
        lived(lives, price, 0, seconds * SECOND, kind, first)
    lives.update((happened(DensityKind.APPEARED, 9_000, SECOND),), MID)
    twin = restored(lives)
    for one in (lives, twin):
        for price, seconds, kind, first in after:
            lived(one, price, 0, seconds * SECOND, kind, first)
    assert bytes_of(twin) == bytes_of(lives)


def test_ends_are_deaths_but_those_out_of_sight_and_those_that_still_live_are_censored():
    lives = DensityLives.start(0.1, PARAMS)
    lived(lives, 9_990, 0, 6 * SECOND, DensityKind.CONSUMED)
    lived(lives, 9_991, 0, 7 * SECOND, DensityKind.OUT_OF_SIGHT)
    lived(lives, 9_992, 0, 8 * SECOND, DensityKind.CANCELLED)
    lives.update((happened(DensityKind.APPEARED, 9_993, 0),), MID)
    (everything, *_) = lives.groups(9 * SECOND)
    found = (everything.consumed, everything.cancelled, everything.out_of_sight, everything.living)
    assert found == (1, 1, 1, 1)
    assert everything.median_s == 8.0
    assert everything.surviving["10"][0] == pytest.approx(3 / 4 * 1 / 2)
    assert everything.surviving["1"] == (1.0, 1.0, 1.0)


def test_classes_are_by_size_and_distance_when_it_appeared():
    lives = DensityLives.start(0.1, PARAMS)
    lived(lives, 9_990, 0, SECOND, DensityKind.CONSUMED, first=2)
    lived(lives, 10_040, 0, SECOND, DensityKind.CANCELLED, first=11, side=Side.SELL)
    groups = {
        (group.size_from, group.size_to, group.distance_from_bps, group.distance_to_bps): group.count
        for group in lives.groups(SECOND)
    }
    assert groups[None, 2_000.0, 5.0, 25.0] == 1
    assert groups[10_000.0, None, 25.0, 100.0] == 1
    assert groups[None, None, None, None] == 2


def test_what_a_snapshot_brings_is_of_unknown_age_and_counts_in_nothing():
    lives = DensityLives.start(0.1, PARAMS)
    lives.update((happened(DensityKind.APPEARED, 9_990, 0),), MID, is_new_book=True)
    lives.update((happened(DensityKind.CONSUMED, 9_990, SECOND),), MID)
    assert lives.groups(SECOND)[0].count == 0


def test_an_interruption_censors_those_that_live():
    lives = DensityLives.start(0.1, PARAMS)
    lives.update((happened(DensityKind.APPEARED, 9_990, SECOND, SECOND),), MID)
    lives.interrupt(4 * SECOND)
    lives.update((happened(DensityKind.CONSUMED, 9_990, 9 * SECOND, SECOND),), MID)
    assert lives.table(9 * SECOND).tolist() == [[3 * SECOND], [0], [0], [1]]


def test_the_picture_of_a_market_tells_it():
    params = DensityParams(min_notional=0.0, relative=2.0, share=0.2, reach_bps=9_000.0)
    market = MarketPicture.start(an_instrument(), params, SECOND)
    asks = [(1_001 + i, 1) for i in range(5)]
    market.apply_book(a_snapshot([(999 - i, 1) for i in range(5)] + [(990, 100)], asks, ts=SECOND))
    market.apply_book(a_delta([(998, 80)], ts=2 * SECOND))
    market.apply_print(a_print(2_500 * MILLISECOND, 998, 80, Side.SELL))
    market.apply_book(a_delta([(998, 0)], sequence=3, ts=3 * SECOND))
    market.apply_book(a_delta([(990, 0)], sequence=4, ts=4 * SECOND))
    (everything, *_) = market.lives.groups(4 * SECOND)
    assert (everything.count, everything.consumed, everything.median_s) == (1, 1, 1.0)


def test_nothing_kept_is_refused():
    with pytest.raises(ConfigError):
        DensityLives.start(0.1, PARAMS, kept=0)
