"""The whole bot through disasters in virtual time: what failed once, and the first seeds, each of which must count."""

from pathlib import Path

import msgspec
import pytest

from stakan.apps.dst import kept
from stakan.apps.dst.campaign import MOST_S, Totals, counts, judged, judged_seed, most_s, outcomes, run
from stakan.apps.dst.plan import Plan, draw

KEPT = kept.read(Path(__file__).with_name("seeds.toml"))
SEEDS = range(1, 101)


@pytest.mark.parametrize("one", KEPT, ids=lambda one: f"seed {one.plan.seed}")
def test_what_failed_once_does_not_fail_again(one):
    outcome = run(one.plan)
    assert outcome.breach is None, (outcome.breach, *outcome.story)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_breaks_no_invariant(seed):
    outcome = judged_seed(seed, 60.0)
    assert outcome.breach is None, (outcome.breach, outcome.plan, *outcome.story)
    assert counts(outcome)


def test_a_seed_that_meets_too_little_is_made_longer_and_never_counts_as_it_is():
    plan = msgspec.structs.replace(draw(3), faults=())
    assert not counts(run(plan))
    outcome = judged(plan)
    assert counts(outcome)
    assert 60.0 < outcome.plan.seconds <= MOST_S


def test_a_seed_that_was_locked_out_by_address_has_ten_minutes_more():
    outcome = run(Plan(seed=1, seconds=6.0))
    assert most_s(outcome) == MOST_S
    locked_out = msgspec.structs.replace(outcome, faults={**outcome.faults, "403": 1})
    assert most_s(locked_out) == MOST_S + 600.0


def test_totals_are_sums_and_name_what_failed():
    plan = Plan(seed=1, seconds=6.0)
    good = run(plan)
    bad = msgspec.structs.replace(good, breach=judged(msgspec.structs.replace(plan, seconds=MOST_S)).breach, kills=2)
    totals = Totals()
    for outcome in (good, good):
        totals.add(outcome)
    assert (totals.seeds, totals.passed, totals.failed) == (2, 2, [])
    assert totals.orders == 2 * good.orders
    assert totals.simulated_s == pytest.approx(2 * good.simulated_s)
    totals.add(bad)
    assert (totals.kills, totals.passed) == (2, 2)
    assert totals.failed == [bad]


def test_processes_give_what_one_gives():
    seeds = (21,)
    alone = {outcome.plan.seed: outcome.fingerprint for outcome in outcomes(seeds, 60.0, 1)}
    together = {outcome.plan.seed: outcome.fingerprint for outcome in outcomes(seeds, 60.0, 2)}
    assert alone == together
