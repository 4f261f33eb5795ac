"""A breaker opens after failures in a row, probes one at a time, and closes with the first success."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stakan.adapters.breaker import Breaker, BreakerState
from stakan.core.domain.units import SECOND

COOL = 3 * SECOND
NOW = 1_000 * SECOND


def broken(failures=5, at=NOW, **more):
    breaker = Breaker(name="orders", cool_down=COOL, **more)
    for number in range(failures):
        breaker.failure(at, f"failure {number}")
    return breaker


class Laws(RuleBasedStateMachine):
    """Any history of calls, answers, operators and time."""

    def __init__(self):
        super().__init__()
        self.breaker = Breaker(name="orders", cool_down=COOL)
        self.now = NOW
        self.in_row = 0
        self.opened_at = None
        """When it last opened; None while it is closed."""
        self.probes = []
        """When probes were let through, since it last opened or closed."""
        self.told = {"passed": 0, "refused": 0, "succeeded": 0, "failed": 0}

    @rule(step=st.one_of(st.integers(0, COOL // 2), st.just(COOL), st.integers(0, 3 * COOL)))
    def time_passes(self, step):
        self.now += step

    @rule()
    def a_call_asks(self):
        is_allowed = self.breaker.allow(self.now)
        self.told["passed" if is_allowed else "refused"] += 1
        if self.opened_at is None:
            assert is_allowed, "a closed breaker lets everything through"
            return
        is_cooling = self.now < self.opened_at + COOL
        is_probed = any(self.now < at + COOL for at in self.probes)
        assert is_allowed == (not is_cooling and not is_probed)
        if is_allowed:
            self.probes.append(self.now)
            assert self.breaker.state is BreakerState.HALF_OPEN

    @rule()
    def a_call_succeeds(self):
        self.breaker.success(self.now)
        self.told["succeeded"] += 1
        self.in_row, self.opened_at, self.probes = 0, None, []
        assert self.breaker.is_closed

    @rule()
    def a_call_fails(self):
        was_probing = self.breaker.state is BreakerState.HALF_OPEN
        self.breaker.failure(self.now, f"at {self.now}")
        self.told["failed"] += 1
        self.in_row += 1
        if was_probing or (self.opened_at is None and self.in_row >= self.breaker.threshold):
            self.opened_at, self.probes = self.now, []
        assert self.breaker.cause == f"at {self.now}"

    @precondition(lambda self: self.opened_at is not None)
    @rule()
    def an_operator_resets(self):
        self.breaker.reset(self.now)
        self.in_row, self.opened_at, self.probes = 0, None, []

    @invariant()
    def is_open_exactly_after_failures(self):
        assert self.breaker.is_closed == (self.opened_at is None)
        assert self.breaker.in_row == self.in_row

    @invariant()
    def counts_are_right(self):
        assert {name: getattr(self.breaker, name) for name in self.told} == self.told


TestLaws = Laws.TestCase


@given(st.integers(1, 9), st.lists(st.booleans(), max_size=60))
def test_opens_with_the_failure_that_completes_a_row(threshold, outcomes):
    breaker, row = Breaker(name="x", threshold=threshold), 0
    for is_success in outcomes:
        if is_success:
            breaker.success(NOW)
            row = 0
        else:
            breaker.failure(NOW, "down")
            row += 1
        assert breaker.is_closed == (row < threshold)


def test_five_failures_open_it_by_default():
    assert broken(4).is_closed
    assert not broken(5).is_closed


def test_says_why_it_refuses_and_when_it_will_not():
    breaker = broken()
    assert breaker.why(NOW + SECOND) == "orders: 5 failures in a row, the last: failure 4; next try in 2.0 s"


def test_a_failed_probe_opens_it_for_another_cool_down():
    breaker = broken()
    assert breaker.allow(NOW + COOL)
    breaker.failure(NOW + COOL + 1, "still down")
    assert not breaker.allow(NOW + 2 * COOL)
    assert breaker.allow(NOW + 2 * COOL + 1)
    assert breaker.opened == 2


def test_failures_of_calls_that_do_not_ask_never_put_the_probe_off():
    breaker = broken()
    for step in range(10):
        breaker.failure(NOW + step * COOL // 10, "a look-up failed")
    assert breaker.allow(NOW + COOL)
    assert breaker.opened == 1


def test_a_success_of_a_call_that_did_not_ask_closes_it():
    breaker = broken()
    breaker.success(NOW + 1)
    assert breaker.allow(NOW + 1)


def test_a_reset_keeps_counts_and_cause():
    breaker = broken()
    breaker.reset(NOW + 1)
    assert (breaker.state, breaker.since) == (BreakerState.CLOSED, NOW + 1)
    assert (breaker.failed, breaker.opened, breaker.cause) == (5, 1, "failure 4")


@pytest.mark.parametrize("breaker", [Breaker(name="x"), broken()])
def test_is_plain_data(breaker):
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(breaker), type=Breaker) == breaker
