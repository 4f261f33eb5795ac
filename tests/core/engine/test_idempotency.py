"""A repeat in time gets the first result; what has expired is forgotten and never returned."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from stakan.core.domain.units import HOUR, MINUTE
from stakan.core.engine.idempotency import TTL, ResultCache

NOW = 10**18
TTLS = {"flatten": TTL, "halt": 10 * MINUTE, "move stop": 3 * HOUR}
OPERATIONS = st.sampled_from(sorted(TTLS))
IDS = st.sampled_from([f"r{number}" for number in range(6)])


class Laws(RuleBasedStateMachine):
    """Any history of requests and time, against a plain list of what was carried out."""

    def __init__(self):
        super().__init__()
        self.cache, self.now, self.number, self.carried_out = ResultCache(), NOW, 0, []

    def expected(self, operation, request_id):
        for name, its, at, number in reversed(self.carried_out):
            if (name, its) == (operation, request_id) and self.now < at + TTLS[operation]:
                return number
        return None

    @rule(step=st.one_of(st.integers(0, MINUTE), st.integers(0, 4 * HOUR), st.just(TTL)))
    def time_passes(self, step):
        self.now += step

    @rule(operation=OPERATIONS, request_id=IDS)
    def a_request_comes(self, operation, request_id):
        expected = self.expected(operation, request_id)
        found = self.cache.find(operation, request_id, self.now)
        assert (found.number if found else None) == expected
        self.number += 1
        result = self.cache.keep(
            operation, request_id, self.now, number=self.number, outcome=f"of {self.number}", ttl=TTLS[operation]
        )
        if expected is None:
            self.carried_out.append((operation, request_id, self.now, self.number))
            expected = self.number
        assert (result.number, result.outcome) == (expected, f"of {expected}")

    @rule()
    def somebody_prunes(self):
        before = len(self.cache)
        assert before - self.cache.prune(self.now) == len(self.cache)

    @rule()
    def it_is_restored_from_a_snapshot(self):
        self.cache = msgspec.msgpack.decode(msgspec.msgpack.encode(self.cache), type=ResultCache)

    @invariant()
    def nothing_is_kept_much_longer_than_its_time(self):
        alive = {(name, its) for name, its, at, _ in self.carried_out if self.now < at + TTLS[name]}
        held = {(name, its) for name, kept in self.cache.rows.items() for its in kept}
        assert alive <= held

    def teardown(self):
        self.cache.prune(self.now + max(TTLS.values()))
        assert self.cache.rows == {}


TestLaws = Laws.TestCase


def test_the_same_id_of_another_operation_is_another_request():
    cache = ResultCache()
    cache.keep("halt", "r", NOW, number=1)
    assert cache.find("flatten", "r", NOW) is None


def test_a_result_counts_to_the_nanosecond():
    cache = ResultCache()
    cache.keep("halt", "r", NOW, number=1)
    assert cache.find("halt", "r", NOW + TTL - 1).number == 1
    assert cache.find("halt", "r", NOW + TTL) is None
    assert cache.keep("halt", "r", NOW + TTL, number=2).number == 2


@given(st.integers(1, 500))
def test_what_expires_is_cleaned_up_by_what_comes_after(count):
    cache = ResultCache()
    for number in range(count):
        cache.keep("halt", f"r{number}", NOW + number, number=number)
    assert len(cache) == count
    cache.keep("halt", "late", NOW + TTL + count, number=count)
    assert len(cache) == 1
