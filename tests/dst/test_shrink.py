"""A failing plan is made as small as it can be, and kept so that it can be read and run again."""

import tomllib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.apps.dst import kept
from stakan.apps.dst.invariants import Breach
from stakan.apps.dst.plan import Plan, Stall, draw, extension
from stakan.apps.dst.shrink import shrink
from stakan.core.domain.errors import DataError


def a_plan(count):
    return Plan(seed=1, faults=tuple(Stall(at_s=1.0 + number, ms=float(number)) for number in range(count)))


def fails_with(*needed, at_s=59.0, invariant=3):
    """A world in which these stalls together break an invariant."""

    def run(plan):
        present = {fault.ms for fault in plan.faults}
        if set(needed) <= present and plan.seconds >= at_s:
            return Breach(invariant=invariant, at_s=at_s, what="it broke")
        return None

    return run


@given(st.sets(st.integers(0, 19), max_size=4))
def test_only_the_faults_that_it_takes_are_left(needed):
    plan = a_plan(20)
    run = fails_with(*map(float, needed), at_s=25.0)
    found = shrink(plan, run(plan), run, most=1_000)
    assert {fault.ms for fault in found.plan.faults} == set(map(float, needed))
    assert 25.0 <= found.plan.seconds < 25.1
    assert run(found.plan) == found.breach


def test_it_ends_when_it_has_tried_enough():
    plan = a_plan(40)
    calls = []
    run = fails_with(3.0, 17.0)
    found = shrink(plan, run(plan), lambda smaller: calls.append(1) or run(smaller), most=7)
    assert len(calls) == found.runs == 7
    assert run(found.plan) is not None


def test_another_invariant_is_another_failure():
    plan = a_plan(4)
    first = Breach(invariant=1, at_s=60.0, what="")
    found = shrink(plan, first, lambda _: Breach(invariant=2, at_s=1.0, what=""))
    assert found.plan == plan


def test_a_breach_that_shows_only_at_the_end_is_shortened_by_halves():
    plan = a_plan(0)

    def run(plan):
        # Books are compared some seconds after the bad weather.
        return Breach(invariant=5, at_s=plan.seconds + 22, what="") if plan.seconds > 13 else None

    found = shrink(plan, run(plan), run)
    assert found.plan.seconds == 15.0


@given(st.integers(0, 10_000))
def test_a_kept_plan_is_read_as_it_was_written(seed):
    plan = extension(draw(seed), 30.0)
    one = kept.KeptPlan(invariant=3, what='"odd" text', plan=plan)
    (read,) = msgspec.convert(tomllib.loads(kept.text(one))["kept"], list[kept.KeptPlan], strict=False)
    assert read == one


def test_plans_are_added_to_a_file(tmp_path):
    path = tmp_path / "seeds.toml"
    assert kept.read(path) == ()
    plans = tuple(kept.KeptPlan(invariant=n, what="w", plan=draw(n)) for n in (1, 2))
    for one in plans:
        kept.add(path, one)
    assert kept.read(path) == plans
    path.write_text("[[kept]]\ninvariant = 1\n")
    with pytest.raises(DataError, match=r"seeds\.toml"):
        kept.read(path)
