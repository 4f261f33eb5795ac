"""Laws of planting: the book stays one book, what was planted is what the truth says, nothing is left behind."""

from collections import Counter
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.apps.judge.builders import a_ground
from tests.apps.judge.laws import assert_minus_plants_is_the_recording

from stakan.apps.judge.episodes import HARD_NEGATIVES, MANIPULATIONS, TIERS, Family
from stakan.apps.judge.injection import inject
from stakan.apps.judge.manipulations import SPOOFS
from stakan.apps.judge.schedule import EVERYTHING, PLANNERS, Density, Stretch, plan, planted_share
from stakan.apps.judge.scripts import LevelChange, Script
from stakan.core.domain.errors import InvariantViolated
from stakan.core.domain.events import TradePrint
from stakan.core.domain.units import SECOND, Side

OFTEN = Density(gap_s=1.0, max_share=1.0)


@pytest.fixture(scope="module")
def ground():
    return a_ground()


def everything(ground, seed, tier=2, families=EVERYTHING, density=OFTEN):
    stretch = Stretch(ground.began + SECOND, ground.ended)
    return plan(ground, np.random.default_rng(seed), stretch, families, tier, density)


def printed(ground, first, last):
    """Prices of the recording's prints between two book messages."""
    message = -1
    for event in ground.events:
        if not isinstance(event, TradePrint):
            message += 1
        elif first <= message < last:
            yield event.price


def test_without_scripts_the_stream_is_the_recording_itself(ground):
    assert all(mine is theirs for mine, theirs in zip(inject(ground, []), ground.events, strict=True))


@pytest.mark.parametrize("family", EVERYTHING)
def test_the_book_less_what_is_planted_is_the_recorded_book_at_every_moment(ground, family):
    scripts = everything(ground, seed=3, families=(family,))
    assert scripts
    assert {script.truth.family for script in scripts} == {family}
    assert_minus_plants_is_the_recording(ground, scripts)


@given(seed=st.integers(0, 2**32), market=st.integers(0, 9), tier=st.sampled_from(TIERS))
@settings(max_examples=12)
def test_so_it_is_in_any_market_on_any_seed_and_tier(seed, market, tier):
    ground = a_ground(market, messages=600, stay=0.9)
    assert_minus_plants_is_the_recording(ground, everything(ground, seed, tier))


def test_the_same_seed_gives_the_same_stream_and_another_another(ground):
    first, again, other = (
        [
            (type(e), e.ts_event, getattr(e, "sequence", 0), e.levels.tolist() if hasattr(e, "levels") else e.price)
            for e in inject(ground, everything(ground, seed))
        ]
        for seed in (5, 5, 6)
    )
    assert first == again
    assert first != other


def test_planted_prints_are_the_only_new_ones_and_have_ids_of_their_own(ground):
    scripts = everything(ground, seed=2)
    prints = [event for event in inject(ground, scripts) if isinstance(event, TradePrint)]
    recorded = [event for event in ground.events if isinstance(event, TradePrint)]
    assert len(prints) == len(recorded) + sum(len(script.prints) for script in scripts)
    assert len({one.trade_id for one in prints}) == len(prints)
    planted = Counter((one.ts, one.price, one.lots, one.aggressor) for script in scripts for one in script.prints)
    known = {one.trade_id for one in recorded}
    new = Counter((one.ts_event, one.price, one.size, one.side) for one in prints if one.trade_id not in known)
    assert new == planted


@pytest.mark.parametrize("family", EVERYTHING)
@pytest.mark.parametrize("tier", TIERS)
def test_truth_is_what_is_written(ground, family, tier):
    for script in everything(ground, seed=4, tier=tier, families=(family,)):
        truth = script.truth
        assert (truth.family, truth.tier) == (family, tier)
        assert truth.began <= truth.cancelled <= truth.ended
        when = [change.ts or int(ground.ts[change.message]) for change in script.changes]
        when += [one.ts for one in script.prints]
        # A cascade's trades need something to hit, which may be there a moment before the first level is.
        assert truth.began <= min(when)
        assert max(when) <= truth.ended
        if truth.side is not None:
            pretended = {change.price for change in script.changes if change.side is truth.side}
            assert {truth.low, truth.high} <= pretended
        assert not sum(change.lots for change in script.changes)


@pytest.mark.parametrize("tier", TIERS)
def test_spoofs_are_of_their_tier_and_are_never_traded(tier):
    ranges, ground = SPOOFS[tier], a_ground(2, stay=0.95)
    several = [everything(ground, seed, tier, families=(Family.SPOOFING,)) for seed in range(8)]
    for script in chain.from_iterable(several):
        side = script.truth.side
        stands = [change for change in script.changes if change.side is side]
        placed = [change for change in stands if change.lots > 0]
        assert ranges.repeats[0] <= len(placed) <= ranges.repeats[1]
        for one in placed:
            gone = next(other for other in stands if other.lots < 0 and other.message > one.message)
            life = (ground.ts[gone.message] - ground.ts[one.message]) / SECOND
            # The withdrawal waits for the feed's next message.
            assert ranges.life[0] <= life <= ranges.life[1] + 0.1
            distance = side * (ground.touch[side][one.message] - one.price)
            assert 1 <= distance <= ranges.distance
            low, high = ranges.multiple
            reference = ground.reference[side][placed[0].message]
            assert low * reference - 1 <= one.lots <= high * reference + 1
            assert not any(side * (price - one.price) <= 0 for price in printed(ground, one.message, gone.message))
        assert not any(one.price in {change.price for change in stands} for one in script.prints)


def test_layers_are_three_to_eight_prices_of_one_side(ground):
    for script in everything(ground, seed=1, tier=2, families=(Family.LAYERING,)):
        prices = {change.price for change in script.changes if change.side is script.truth.side}
        assert 3 <= len(prices) <= 8


def test_wash_trades_come_in_pairs_of_equal_size_at_one_price(ground):
    for script in everything(ground, seed=1, families=(Family.WASH_TRADING,)):
        assert len({one.price for one in script.prints}) == 1
        assert not script.changes
        pairs = Counter((one.message, one.lots) for one in script.prints)
        assert all(count % 2 == 0 for count in pairs.values())
        assert sum(one.lots * one.aggressor for one in script.prints) == 0


def test_a_large_genuine_order_is_filled_to_the_last_lot(ground):
    for script in everything(ground, seed=1, families=(Family.LARGE_GENUINE,)):
        placed = sum(change.lots for change in script.changes if change.lots > 0)
        assert placed == sum(one.lots for one in script.prints)


def test_stuffing_brings_its_updates_a_second_in_messages_of_its_own(ground):
    scripts = everything(ground, seed=1, tier=1, families=(Family.QUOTE_STUFFING,))
    for script in scripts:
        own = [change for change in script.changes if change.ts]
        seconds = (script.truth.ended - script.truth.began) / SECOND
        assert len(own) / seconds == pytest.approx(script.truth.parameters["updates_per_s"], rel=0.1)
    assert len({event.sequence for event in inject(ground, scripts) if not isinstance(event, TradePrint)}) == len(
        [event for event in inject(ground, scripts) if not isinstance(event, TradePrint)]
    )


def test_episodes_are_apart_and_keep_to_their_share(ground):
    stretch = Stretch(ground.began + SECOND, ground.ended)
    density = Density(gap_s=1.0, max_share=0.02)
    scripts = plan(ground, np.random.default_rng(1), stretch, EVERYTHING, 2, density)
    assert 0 < planted_share(ground, stretch, scripts) <= 0.02
    for one, other in pairwise(scripts):
        assert other.truth.began - one.truth.ended >= 2.9 * SECOND


def test_every_family_has_its_planner():
    assert set(PLANNERS) == set(MANIPULATIONS) | set(HARD_NEGATIVES) == set(Family)


def test_a_script_that_withdraws_what_nobody_planted_is_refused(ground):
    truth = everything(ground, seed=1)[0].truth
    with pytest.raises(InvariantViolated, match="nobody planted"):
        list(inject(ground, [Script(truth, (LevelChange(5, Side.BUY, 9_990, -1),), ())]))
