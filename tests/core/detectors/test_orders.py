"""Large orders: the kernels against a slow reference, and what they do at their limits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.detectors.followed import Followed
from tests.core.detectors.markets import MID, a_market
from tests.core.detectors.naive_orders import Limits, NaiveOrders, Told
from tests.core.market.builders import a_delta, a_snapshot

from stakan.core.detectors import _order_kernels as kernels
from stakan.core.detectors import _orders as orders
from stakan.core.detectors._odds import logistic
from stakan.core.domain.units import MILLISECOND, SECOND


class Orders(Followed):
    """Orders of a market, as a detector has them."""

    def __init__(self, limits, most=512):
        super().__init__(orders.Orders.start(most, *limits))

    def see(self, event):
        due = super().see(event)
        told = self.told(event.ts_event) if due else []
        assert len(told) == min(due, 32)
        return told


def both_tell(events, limits):
    kernel, naive = Orders(limits), NaiveOrders(limits)
    told = []
    for event in events:
        found = [Told(**{name: getattr(one, name) for name in Told._fields}) for one in kernel.see(event)]
        assert found == naive.see(event)
        told += found
    assert kernel.orders.meta[kernels.CROWDED] == 0
    return told


@settings(max_examples=12)
@given(
    seed=st.integers(0, 1_000),
    limits=st.builds(
        Limits,
        multiple=st.sampled_from((1.5, 2.0, 4.0)),
        reach=st.sampled_from((4, 15, 40)),
        ripe_after=st.sampled_from((50, 300)).map(lambda ms: ms * MILLISECOND),
        oldest=st.sampled_from((500, 3_000)).map(lambda ms: ms * MILLISECOND),
        at_least=st.sampled_from((0, 100)).map(lambda ms: ms * MILLISECOND),
    ),
)
def test_orders_are_those_of_the_slow_reference(seed, limits):
    both_tell(a_market(seed, seconds=6), limits)


def test_the_reference_is_told_of_many_orders_and_ends():
    told = both_tell(a_market(0, seconds=20), Limits(multiple=1.2))
    assert len(told) > 50
    for name in ("ended", "moved", "common", "traded", "opposite", "hit"):
        assert len({getattr(one, name) for one in told}) > 1, name


def a_book(depth=20):
    return [(MID - k, 100) for k in range(1, depth)], [(MID + k, 100) for k in range(1, depth)]


def test_where_there_is_no_room_the_oldest_makes_it():
    followed = Orders(Limits(reach=15, oldest=9 * SECOND), most=4)
    followed.see(a_snapshot(*a_book(), sequence=1, ts=SECOND))
    for k in range(6):
        followed.see(a_delta([(MID - 3 - k, 1_000)], sequence=2 + k, ts=SECOND + 1 + k))
    table, meta = followed.orders.table, followed.orders.meta
    assert meta[kernels.COUNT] == 4
    assert meta[kernels.CROWDED] == 2
    assert table[:, kernels.LEVEL].tolist() == [MID - 5, MID - 6, MID - 7, MID - 8]


def the_end_of(changes, lots=700, base=300):
    """Of an order on a level of `base` lots that then holds each of `changes`, a quarter of a second after the other."""
    followed = Orders(Limits(reach=15, oldest=9 * SECOND))
    bids, asks = a_book()
    followed.see(a_snapshot([*bids[:4], (MID - 5, base), *bids[5:]], asks, sequence=1, ts=SECOND))
    told = []
    for k, size in enumerate((base + lots, *changes, changes[-1])):
        ts = SECOND + (1 + k) * SECOND // 4
        told += followed.see(a_delta([(MID - 5, size), (MID - 15, 101 + k)], sequence=2 + k, ts=ts))
    return next(((one.ended - one.since, one.drop) for one in told if one.ended), None)


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ((300,), (1, 700)),
        ((900, 1_600, 900), (3, 700)),
        ((700, 0), (2, 700)),
        ((705, 5), (2, 700)),
        ((650, 475), (2, 175)),
        ((1_000, 301), (2, 699)),
    ],
    ids=["goes", "others come", "those before go", "nearly all of them", "melts", "nearly whole"],
)
def test_an_order_ends_when_it_goes_whatever_its_level_held_before(changes, end):
    found = the_end_of(changes)
    assert found == (end[0] * SECOND // 4, end[1])


def test_a_side_that_fills_up_for_a_moment_makes_no_order_small():
    followed = Orders(Limits(multiple=5.0, reach=15, oldest=9 * SECOND))
    followed.see(a_snapshot(*a_book(), sequence=1, ts=SECOND))
    followed.see(a_delta([(MID - 19, 101)], sequence=2, ts=SECOND + 1))
    fuller = [(MID - k, 400) for k in range(1, 20)]
    followed.see(a_delta(fuller, sequence=3, ts=SECOND + 300 * MILLISECOND))
    followed.see(a_delta([(MID - 6, 400 + 700)], sequence=4, ts=SECOND + 310 * MILLISECOND))
    table, meta = followed.orders.table, followed.orders.meta
    assert meta[kernels.COUNT] == 1
    assert table[0, kernels.GROWTH] == 700
    assert table[0, kernels.MEDIAN] < 140


def test_a_level_that_leaves_the_window_of_the_book_is_not_known_any_more():
    followed = Orders(Limits(reach=30, oldest=9 * SECOND))
    bids, asks = a_book(10)
    followed.see(a_snapshot(bids, asks, sequence=1, ts=SECOND))
    followed.see(a_delta([(MID - 9, 1_100)], sequence=2, ts=SECOND + 1))
    assert followed.orders.meta[kernels.COUNT] == 1
    followed.see(a_delta([(MID - 9, 0)], sequence=3, ts=2 * SECOND))
    assert followed.orders.meta[kernels.COUNT] == 0


def test_more_orders_than_fit_are_told_with_the_next_message():
    followed = Orders(Limits(reach=60, ripe_after=SECOND, oldest=9 * SECOND))
    bids, asks = a_book(60)
    followed.see(a_snapshot(bids, asks, sequence=1, ts=SECOND))
    followed.see(a_delta([(MID - 59, 101)], sequence=2, ts=SECOND))
    large = [(price, 1_000 + 7 * k * k) for k, (price, _) in enumerate(bids[1:46])]
    followed.see(a_delta(large, sequence=3, ts=SECOND))
    first = followed.see(a_delta([(MID - 59, 102)], sequence=4, ts=3 * SECOND))
    rest = followed.see(a_delta([(MID - 59, 103)], sequence=5, ts=3 * SECOND))
    assert (len(first), len(rest)) == (32, 13)
    assert len({one.price for one in first + rest}) == 45


@pytest.mark.parametrize(("odds", "probability"), [(0, 0.5), (1e9, 1), (-1e9, 0), (2, 0.8807970779778823)])
def test_log_odds_are_cut_where_nobody_can_tell(odds, probability):
    assert logistic(odds) == pytest.approx(probability, abs=1e-12)
