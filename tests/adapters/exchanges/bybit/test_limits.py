"""Budgets: no window of the exchange ever sees more than we may, and its own words count more than our sums."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.adapters.exchanges.bybit.limits import BAN, ORDER_GROUPS, PER_SECOND, Group, RateLimiter, Window
from stakan.core.domain.errors import RateLimited
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND

NOW = 1_000 * SECOND


@given(st.lists(st.integers(0, SECOND // 3), min_size=1, max_size=80), st.integers(1, 9))
def test_no_rolling_second_has_more_than_its_tokens(steps, most):
    window, now, used = Window(most, SECOND), NOW, []
    for step in steps:
        now += step
        at = now + window.wait(now)
        window.take(at)
        used.append(at)
    assert used == sorted(used)
    for index, first in enumerate(used):
        assert sum(first <= other < first + SECOND for other in used[index:]) <= most


@given(st.lists(st.sampled_from(list(Group)), min_size=1, max_size=700))
def test_the_address_is_never_asked_more_than_it_may(groups):
    limiter, now, used = RateLimiter(), NOW, []
    for group in groups:
        now += MILLISECOND
        used.append((now + limiter.acquire(group, now, 10**15, over_http=True), group))
    used.sort()
    for index, (first, group) in enumerate(used):
        assert sum(first <= other < first + 5 * SECOND for other, _ in used[index:]) <= 600
        same = [other for other, its in used[index:] if its is group]
        assert sum(first <= other < first + SECOND for other in same) <= PER_SECOND[group]


def naive_free(taken, most, window, at):
    """The first moment that leaves no more than `most` in any window, tried one by one."""

    def fits(moment):
        near = sorted([*taken, moment])
        return all(
            sum(first <= other < first + window for other in near) <= most
            for first in near
            if first <= moment < first + window
        )

    return next(
        moment for moment in sorted({at, *(one + window for one in taken if one + window > at)}) if fits(moment)
    )


@given(
    st.lists(st.tuples(st.sampled_from(["book", "go on", "ahead", "give back"]), st.integers(0, 30)), max_size=40),
    st.integers(1, 4),
)
def test_the_quick_search_finds_what_the_naive_one_finds(moves, most):
    """Also around gaps that places given back have left, and behind places far ahead."""
    window, now, taken = Window(most, 10), 100, []
    for move, number in moves:
        now += number if move == "go on" else 0
        asked = now + (number if move == "ahead" else 0)
        window.wait(now)
        assert window.free(asked) == naive_free(taken, most, 10, asked)
        if move in ("book", "ahead"):
            at = window.free(asked)
            window.take(at)
            taken.append(at)
        elif move == "give back" and (late := [one for one in taken if one > now]):
            at = late[number % len(late)]
            window.give_back(at)
            taken.remove(at)


def test_documented_limits_are_kept_with_a_margin():
    assert PER_SECOND[Group.CREATE] == PER_SECOND[Group.CANCEL] == 10
    limiter = RateLimiter()
    waits = [limiter.acquire(Group.CREATE, NOW, SECOND, over_http=False) for _ in range(9)]
    assert waits == [0] * 8 + [SECOND]


def test_groups_have_budgets_of_their_own():
    limiter = RateLimiter()
    for _ in range(8):
        limiter.acquire(Group.CREATE, NOW, 0, over_http=False)
    assert limiter.acquire(Group.CANCEL, NOW, 0, over_http=False) == 0


def test_no_patience_refuses_at_once_and_books_nothing():
    limiter = RateLimiter()
    for _ in range(8):
        limiter.acquire(Group.CREATE, NOW, 0, over_http=False)
    with pytest.raises(RateLimited) as refused:
        limiter.acquire(Group.CREATE, NOW, 0, over_http=False)
    assert refused.value.retry_after_ns == SECOND
    assert limiter.acquire(Group.CREATE, NOW + SECOND, 0, over_http=False) == 0


def is_allowed(limiter, group, now):
    try:
        return limiter.acquire(group, now, 0, over_http=True) == 0
    except RateLimited:
        return False


def test_queries_leave_room_for_orders_at_the_address():
    limiter = RateLimiter()
    for second in range(4):
        for group in (Group.MARKET, Group.POSITIONS, Group.ORDERS):
            for _ in range(42):
                is_allowed(limiter, group, NOW + second * SECOND)
    later = NOW + 4 * SECOND
    assert not is_allowed(limiter, Group.POSITIONS, later)
    assert is_allowed(limiter, Group.CREATE, later)


@given(
    st.lists(st.tuples(st.sampled_from([g for g in Group if g not in ORDER_GROUPS]), st.integers(0, 40)), max_size=30),
    st.lists(st.tuples(st.sampled_from(sorted(ORDER_GROUPS)), st.integers(0, 400 * MILLISECOND)), max_size=60),
)
def test_whatever_queries_are_booked_an_order_within_its_own_budget_goes_at_once(queries, orders):
    limiter, alone, now = RateLimiter(), RateLimiter(), NOW
    for group, times in queries:
        for _ in range(times):
            with suppress(RateLimited):
                limiter.acquire(group, now, 5 * SECOND, over_http=True)
    for group, step in orders:
        now += step
        with suppress(RateLimited):
            limiter.acquire(Group.ORDERS, now, 5 * SECOND, over_http=True)
        own_wait = alone.acquire(group, now, 10**15, over_http=False)
        assert limiter.acquire(group, now, 10**15, over_http=True) == own_wait


def test_a_place_that_the_address_gives_is_one_that_the_group_has():
    """Of two endpoints: one has places ahead of a gap, the other keeps the address busy until behind the gap."""
    limiter = RateLimiter({Group.FEES: 2, Group.MARKET: 1000})
    limiter.acquire(Group.FEES, NOW + 5 * SECOND, 0, over_http=True)
    while limiter.acquire(Group.MARKET, NOW, 10**15, over_http=True) == 0:
        continue
    wait = limiter.acquire(Group.FEES, NOW + SECOND // 2, 10**15, over_http=True)
    assert wait >= 5 * SECOND + SECOND // 2


def test_a_storm_of_queries_does_not_hold_up_a_stop():
    limiter, now = RateLimiter(), NOW
    for _ in range(400):
        for group in (Group.ORDERS, Group.HISTORY, Group.EXECUTIONS, Group.MARKET):
            with suppress(RateLimited):
                limiter.acquire(group, now, 5 * SECOND, over_http=True)
        now += MILLISECOND
    for second in range(6):
        for group in (*ORDER_GROUPS,) * 8:
            assert limiter.acquire(group, now + second * SECOND, 0, over_http=True) == 0


def test_a_place_far_ahead_does_not_date_those_that_go_first():
    window = Window(3, SECOND)
    window.take(NOW + 5 * SECOND)
    window.take(NOW)
    window.take(NOW)
    assert window.wait(NOW + MILLISECOND) == 0
    window.take(NOW)
    assert window.wait(NOW + MILLISECOND) == SECOND - MILLISECOND
    window.give_back(NOW)
    assert window.wait(NOW + MILLISECOND) == 0


def test_the_trade_socket_does_not_use_the_address_budget_of_http():
    limiter = RateLimiter()
    limiter.ban(NOW)
    assert limiter.acquire(Group.CREATE, NOW, 0, over_http=False) == 0


def test_headers_lower_what_we_believe_to_have():
    limiter = RateLimiter()
    limiter.acquire(Group.CREATE, NOW, 0, over_http=False)
    # Another program used six of ten: three remain at the exchange.
    limiter.learn(Group.CREATE, 10, 3, NOW + SECOND, NOW)
    assert [limiter.acquire(Group.CREATE, NOW, SECOND, over_http=False) for _ in range(4)] == [0, 0, 0, SECOND]


def test_headers_of_a_better_account_raise_it():
    limiter = RateLimiter()
    limiter.learn(Group.CREATE, 40, 39, NOW + SECOND, NOW)
    assert [limiter.acquire(Group.CREATE, NOW, 0, over_http=False) for _ in range(34)] == [0] * 34


def test_nothing_left_means_waiting_for_the_reset():
    limiter = RateLimiter()
    limiter.learn(Group.CREATE, 10, 0, NOW + SECOND // 2, NOW)
    assert limiter.acquire(Group.CREATE, NOW, SECOND, over_http=False) >= SECOND // 2


def test_a_refusal_of_the_account_blocks_its_group_alone():
    limiter = RateLimiter()
    limiter.refused(Group.CREATE, NOW + 2 * SECOND)
    assert limiter.acquire(Group.CREATE, NOW, 3 * SECOND, over_http=False) == 2 * SECOND
    assert limiter.acquire(Group.CANCEL, NOW, 0, over_http=False) == 0


def test_a_refused_address_is_silent_for_ten_minutes():
    limiter = RateLimiter()
    limiter.ban(NOW)
    with pytest.raises(RateLimited):
        limiter.acquire(Group.MARKET, NOW + BAN - SECOND, 0, over_http=True)
    assert limiter.acquire(Group.MARKET, NOW + BAN, 0, over_http=True) == 0


def test_a_place_that_is_given_back_is_free_again():
    limiter = RateLimiter()
    for _ in range(8):
        limiter.acquire(Group.CREATE, NOW, 0, over_http=False)
    for _ in range(20):
        wait = limiter.acquire(Group.CREATE, NOW, SECOND, over_http=False)
        limiter.give_back(Group.CREATE, NOW + wait)
    assert limiter.acquire(Group.CREATE, NOW, SECOND, over_http=False) == SECOND


@given(st.lists(st.integers(0, 3 * SECOND), max_size=60), st.integers(0, 3 * SECOND))
def test_what_is_left_is_what_could_be_taken_now_without_waiting(moments, later):
    limiter = RateLimiter()
    now = 0
    for moment in sorted(moments):
        now = max(now, moment)
        limiter.acquire(Group.CREATE, now, SECOND * 60, over_http=False)
    now += later
    budget = limiter.budgets(now)[Group.CREATE.value]
    assert (budget.left > 0) or budget.wait_ns > 0
    taken = 0
    while limiter.acquire(Group.CREATE, now, 60 * SECOND, over_http=False) == 0:
        taken += 1
    assert taken >= budget.left


@given(st.lists(st.tuples(st.sampled_from(sorted(Group)), st.integers(0, SECOND)), max_size=80), st.integers(0, MINUTE))
def test_what_waits_is_what_was_told_to_wait_and_has_not_left(requests, later):
    limiter = RateLimiter()
    now, leaves = 0, []
    for group, pause in requests:
        now += pause
        leaves.append(now + limiter.acquire(group, now, MINUTE, over_http=True))
        assert limiter.waiting(now) == sum(at > now for at in leaves)
    assert limiter.waiting(now + later) == sum(at > now + later for at in leaves)


def test_looking_at_budgets_changes_none():
    limiter = RateLimiter()
    limiter.acquire(Group.CREATE, 0, 0, over_http=True)
    first = limiter.budgets(1)
    assert limiter.budgets(1) == first
    assert first[Group.CREATE.value].left == first[Group.AMEND.value].left - 1
    limiter.refused(Group.CREATE, 2 * SECOND)
    blocked = limiter.budgets(1)[Group.CREATE.value]
    assert (blocked.left, blocked.wait_ns) == (0, 2 * SECOND - 1)
