"""Rate limits are what they say over every rolling window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.apps.exchange.quota import (
    ADDRESS_LIMIT,
    CONNECTION_WINDOW_MS,
    LOCKOUT_MS,
    NEW_CONNECTIONS,
    WINDOW_MS,
    AddressQuota,
    Quotas,
    RollingQuota,
)

STEPS = st.lists(st.tuples(st.integers(0, 700), st.integers(1, 15)), max_size=60)


@given(STEPS)
def test_no_second_sees_more_than_the_limit_and_nothing_is_refused_below_it(steps):
    quotas, now, spent = Quotas(), 0, []
    for wait, units in steps:
        now += wait
        recent = sum(count for at, count in spent if at > now - WINDOW_MS)
        allowance = quotas.take("order/create-batch", now, units)
        assert allowance.granted == min(units, 10 - recent)
        assert allowance.limit == 10
        assert allowance.left == 10 - recent - allowance.granted
        spent.append((now, allowance.granted))


@given(STEPS)
def test_at_the_reset_there_is_something_to_spend_again(steps):
    quotas, now = Quotas(), 0
    for wait, units in steps:
        now += wait
        allowance = quotas.take("order/create-batch", now, units)
        assert allowance.reset_ms >= now
        if not allowance.left:
            now = allowance.reset_ms
            assert quotas.take("order/create-batch", now).granted == 1


@pytest.mark.parametrize(
    ("operation", "limit"),
    [
        ("order/create", 10),
        ("order/cancel-all", 10),
        ("order/realtime", 50),
        ("position/list", 50),
        ("position/trading-stop", 10),
        ("account/transaction-log", 25),
        ("account/fee-rate", 5),
        ("user/query-api", 10),
    ],
)
def test_limits_are_those_of_the_documentation(operation, limit):
    granted = [Quotas().take(operation, 0).limit, sum(take.granted for take in _takes(operation, limit + 5))]
    assert granted == [limit, limit]


def _takes(operation, count):
    quotas = Quotas()
    return [quotas.take(operation, 0) for _ in range(count)]


def test_endpoints_have_budgets_of_their_own():
    quotas = Quotas()
    for _ in range(10):
        assert quotas.take("order/create", 0).granted
    assert not quotas.take("order/create", 0).granted
    assert quotas.take("order/create-batch", 0, 10).granted == 10
    assert quotas.take("order/cancel", 0).granted


def test_limits_are_scaled_and_switched_off():
    assert Quotas(6.0).take("order/create", 0).limit == 60
    free = Quotas(0)
    assert all(free.take("order/create", 0, 20).granted == 20 for _ in range(100))


def test_an_address_that_asks_too_often_is_locked_out_for_ten_minutes():
    quota = AddressQuota()
    assert all(quota.allows("a", 0) for _ in range(ADDRESS_LIMIT))
    assert quota.allows("b", 0)
    assert not quota.allows("a", 0)
    assert not quota.allows("a", LOCKOUT_MS - 1)
    assert quota.allows("a", LOCKOUT_MS)


def test_new_connections_are_counted_over_five_minutes():
    quota = RollingQuota(NEW_CONNECTIONS, CONNECTION_WINDOW_MS)
    assert all(quota.allows("a", at) for at in range(NEW_CONNECTIONS))
    assert not quota.allows("a", NEW_CONNECTIONS)
    assert quota.allows("b", NEW_CONNECTIONS)
    assert quota.allows("a", CONNECTION_WINDOW_MS)
