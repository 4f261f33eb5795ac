from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stakan.core.domain.errors import InvariantViolated
from stakan.core.domain.facts import Discrepancy, OrderTransitioned, OrderUpdateIgnored
from stakan.core.domain.orders import OrderStatus, PositionStatus
from stakan.core.domain.units import Side
from stakan.core.portfolio.lifecycle import CORRECTIONS, ORDER_TRANSITIONS, POSITION_TRANSITIONS

DECISION_4 = {
    OrderStatus.PENDING: set(OrderStatus) - {OrderStatus.PENDING},
    OrderStatus.PLACED: {
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.FILLED,
        OrderStatus.CANCELLED,
        OrderStatus.REJECTED,
    },
    OrderStatus.PARTIALLY_FILLED: {OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED, OrderStatus.CANCELLED},
}


def test_the_order_table_is_that_of_decision_4():
    found: dict[OrderStatus, set[OrderStatus]] = {}
    for (before, _), after in ORDER_TRANSITIONS.items():
        # A placed order that is amended or triggered stays what it is.
        if (before, after) != (OrderStatus.PLACED, OrderStatus.PLACED):
            found.setdefault(before, set()).add(after)
    assert found == DECISION_4


def test_no_transition_leaves_a_terminal_status_and_corrections_stay_terminal():
    assert not any(before.is_terminal for before, _ in ORDER_TRANSITIONS)
    assert all(before.is_terminal and after.is_terminal for (before, _), after in CORRECTIONS.items())
    assert POSITION_TRANSITIONS[PositionStatus.CLOSED] == frozenset()


@st.composite
def histories(draw, make):
    """A true history of one order of 10 lots (5 or 15 after an amendment), and a scrambling of its messages."""
    amended_to = draw(st.sampled_from([None, None, 5, 15]))
    size = amended_to or 10
    end = draw(st.sampled_from(["filled", "cancelled", "rejected"]))
    total = size if end == "filled" else draw(st.integers(0, size - 1))
    messages = [make.accepted()] if draw(st.booleans()) else []
    if amended_to:
        messages.append(make.amended(amended_to))
    left, number = total, 0
    while left:
        lots = draw(st.integers(1, left))
        number += 1
        left -= lots
        messages.append(make.fill(f"e{number}", lots))
    if end == "cancelled":
        messages.append(make.cancelled())
    if end == "rejected":
        messages.append(make.rejected())
    extra = draw(st.lists(st.sampled_from(messages), max_size=4)) if messages else []
    return amended_to, total, end, messages, draw(st.permutations(messages + extra))


@given(st.data())
@settings(max_examples=200)
def test_any_interleaving_of_late_duplicate_and_reordered_messages_ends_the_same(make, data):
    amended_to, total, end, straight, scrambled = data.draw(histories(make))
    ends = []
    for messages in (straight, scrambled):
        portfolio = make.portfolio()
        portfolio.submit(make.order(), 1)
        if amended_to:
            portfolio.orders.ask_amendment("a", 1000, amended_to)
        statuses = [OrderStatus.PENDING]
        for message in messages:
            portfolio.apply(message)
            statuses.append(portfolio.orders.find("a", "").status)
        assert not any(a.is_terminal and not b.is_terminal for a, b in pairwise(statuses))
        order = portfolio.orders.find("a", "")
        position = portfolio.position(make.BTC)
        ends.append((order.status, order.filled, order.filled_value, position.size if position else 0))
        assert not portfolio.live_orders(make.BTC)
    assert ends[0] == ends[1]
    status = OrderStatus.FILLED if end == "filled" else OrderStatus.CANCELLED if total or end == "cancelled" else None
    assert ends[0][0] == (status or OrderStatus.REJECTED)
    assert ends[0][1] == ends[0][3] == total


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_more_is_filled_than_asked_only_with_a_discrepancy(make, sizes):
    portfolio = make.portfolio()
    portfolio.submit(make.order(size=10), 1)
    facts = [fact for i, size in enumerate(sizes) for fact in portfolio.apply(make.fill(f"e{i}", size))]
    overfilled = any(isinstance(fact, Discrepancy) and "filled size" in fact.subject for fact in facts)
    assert overfilled == (sum(sizes) > 10)
    assert portfolio.position(make.BTC).size == sum(sizes)


def test_a_duplicate_answer_is_ignored_and_kept_as_a_fact(make):
    portfolio = make.portfolio()
    portfolio.submit(make.order(), 1)
    assert isinstance(portfolio.apply(make.accepted())[0], OrderTransitioned)
    assert isinstance(portfolio.apply(make.accepted())[0], OrderUpdateIgnored)


def test_a_message_about_an_unknown_order_is_ignored_with_no_status(make):
    (fact,) = make.portfolio().apply(make.accepted("nobody"))
    assert isinstance(fact, OrderUpdateIgnored)
    assert fact.status is None


def test_a_late_fill_of_a_cancelled_order_is_booked_and_audited(make):
    portfolio = make.portfolio()
    portfolio.submit(make.order(), 1)
    portfolio.apply(make.cancelled())
    facts = portfolio.apply(make.fill("e1", 4))
    assert any(isinstance(fact, Discrepancy) for fact in facts)
    assert portfolio.orders.find("a", "").filled == portfolio.position(make.BTC).size == 4


def test_a_refused_amendment_frees_the_larger_size(make):
    portfolio = make.portfolio()
    portfolio.submit(make.order(size=10), 1)
    portfolio.orders.ask_amendment("a", 1001, 25)
    assert portfolio.worst_lots(make.BTC) == 25
    portfolio.apply(make.cancel_rejected(is_amendment=True))
    assert portfolio.worst_lots(make.BTC) == 10


def test_an_older_amendment_does_not_replace_a_newer_one(make):
    portfolio = make.portfolio()
    portfolio.submit(make.order(), 1)
    portfolio.apply(make.amended(20, t=8))
    portfolio.apply(make.amended(15, t=7))
    assert portfolio.orders.find("a", "").size == 20


def test_an_id_is_never_used_twice(make):
    portfolio = make.portfolio()
    portfolio.submit(make.order(), 1)
    portfolio.apply(make.cancelled())
    with pytest.raises(InvariantViolated, match="twice"):
        portfolio.submit(make.order(), 2)


def test_finished_orders_are_bounded_and_a_fill_of_a_forgotten_one_is_booked_with_a_discrepancy(make):
    portfolio = make.portfolio()
    portfolio.orders.finished_kept = 2
    for number in range(9):
        portfolio.submit(make.order(str(number), intent=str(number)), 1)
        portfolio.apply(make.cancelled(str(number)))
    assert len(portfolio.orders.finished) + len(portfolio.orders.older) <= 4
    facts = portfolio.apply(make.fill("late", 3, order_id="0"))
    assert any(isinstance(fact, Discrepancy) and fact.subject == "order" for fact in facts)
    assert portfolio.position(make.BTC).signed_size == 3 * Side.BUY
