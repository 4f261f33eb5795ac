"""Queues, prints, crossings and takers in one replayed book."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.adapters.exchanges.simulated.builders import MS, START, Market, a_book, a_matching

from stakan.adapters.exchanges.simulated.matching import FILLED, NEVER
from stakan.adapters.exchanges.simulated.models import Queue, QueueModel
from stakan.core.domain.units import Side


def live(matching, until=10**6):
    """All fills up to a millisecond."""
    found = []
    while bits := matching.advance(START + until * MS):
        if bits & FILLED:
            found += matching.fills()
    return found


def test_the_volume_ahead_must_trade_before_we_fill():
    market = a_book().sell(10, 100, 6).sell(20, 100, 3).sell(30, 100, 2).sell(40, 100, 9)
    matching = a_matching(market)
    live(matching, 5)
    matching.rest(1, Side.BUY, 100, 5)
    assert live(matching, 25) == []
    assert matching.ahead(1) == 1
    assert live(matching, 35) == [(1, 100, 1)]
    assert live(matching) == [(1, 100, 4)]


def test_a_level_that_shrinks_below_us_moves_us_forward():
    matching = a_matching(a_book().delta(10, bids=[(100, 4)]))
    live(matching, 5)
    matching.rest(1, Side.BUY, 100, 5)
    live(matching)
    assert matching.ahead(1) == 4


@pytest.mark.parametrize(
    ("model", "ahead"),
    [
        (QueueModel(Queue.RISK_AVERSE), 10),
        (QueueModel(Queue.OPTIMISTIC), 4),
        (QueueModel(Queue.POWER, 1.0), 7),
        (QueueModel(Queue.LOGARITHMIC), 7),
    ],
)
def test_a_cancel_moves_us_forward_as_the_model_says(model, ahead):
    """10 lots ahead, 10 behind, 6 are cancelled: an even chance for each is 3 ahead of us."""
    market = a_book().delta(10, bids=[(100, 20)]).delta(20, bids=[(100, 14)])
    matching = a_matching(market, model)
    live(matching, 5)
    matching.rest(1, Side.BUY, 100, 5)
    live(matching)
    assert matching.ahead(1) == pytest.approx(ahead)


def test_a_print_and_the_shrinking_that_it_causes_count_once():
    market = a_book().delta(5, bids=[(100, 20)]).sell(10, 100, 4).delta(11, bids=[(100, 16)])
    matching = a_matching(market, QueueModel(Queue.OPTIMISTIC))
    live(matching, 2)
    matching.rest(1, Side.BUY, 100, 5)
    live(matching)
    assert matching.ahead(1) == 6


def test_a_print_below_our_bid_gives_us_what_it_had_and_no_more():
    matching = a_matching(a_book().sell(10, 99, 3).sell(20, 99, 30))
    live(matching, 5)
    matching.rest(1, Side.BUY, 100, 5)
    assert live(matching, 15) == [(1, 100, 3)]
    assert live(matching) == [(1, 100, 2)]


def test_orders_share_a_print_by_price_then_time():
    matching = a_matching(a_book().sell(10, 98, 7))
    live(matching, 5)
    matching.rest(1, Side.BUY, 99, 3)
    matching.rest(2, Side.BUY, 100, 3)
    matching.rest(3, Side.BUY, 99, 3)
    assert live(matching) == [(2, 100, 3), (1, 99, 3), (3, 99, 1)]


def test_an_ask_that_comes_down_to_our_bid_gives_us_its_size_at_our_price():
    matching = a_matching(a_book().delta(10, bids=[(100, 0)], asks=[(100, 4)]))
    live(matching, 5)
    matching.rest(1, Side.BUY, 100, 6)
    assert live(matching) == [(1, 100, 4)]
    assert matching.left(1) == 2
    assert matching.size_at(Side.SELL, 100) == 0


def test_hidden_retail_prints_do_not_fill_us():
    matching = a_matching(a_book().sell(10, 90, 100, is_rpi=True))
    live(matching, 5)
    matching.rest(1, Side.BUY, 100, 6)
    assert live(matching) == []


def test_two_takers_cannot_take_the_same_lots_until_the_level_is_refreshed():
    matching = a_matching(a_book().delta(10, asks=[(101, 8)]))
    live(matching, 5)
    assert matching.take(Side.BUY, 102, 15) == [(0, 101, 10), (0, 102, 5)]
    assert matching.available(Side.BUY, 102) == 15
    assert matching.take(Side.BUY, 101, 5) == []
    live(matching)
    assert matching.take(Side.BUY, 101, 50) == [(0, 101, 8)]


def test_a_taker_through_more_levels_than_the_table_has_rows_gets_all_of_them():
    market = Market().snapshot(0, bids=[(50, 1)], asks=[(100 + i, 1) for i in range(40)])
    matching = a_matching(market)
    live(matching, 5)
    assert matching.take(Side.BUY, 500, 35) == [(0, 100 + i, 1) for i in range(35)]


def test_a_taker_shortens_the_queue_of_simulated_orders_behind_what_it_took():
    matching = a_matching(a_book())
    live(matching, 5)
    matching.rest(1, Side.BUY, 100, 5)
    matching.take(Side.SELL, 100, 4)
    assert matching.ahead(1) == 6


def test_outside_the_recorded_depth_the_queue_is_unknown_until_the_level_is_named():
    matching = a_matching(a_book().sell(10, 97, 5).delta(20, bids=[(97, 12)]))
    live(matching, 5)
    matching.rest(1, Side.BUY, 97, 1)
    assert matching.ahead(1) == math.inf
    assert live(matching, 15) == []
    live(matching)
    assert matching.ahead(1) == 12


def test_inside_the_spread_nobody_is_ahead():
    matching = a_matching(Market().snapshot(0, bids=[(100, 5)], asks=[(105, 5)]))
    live(matching, 5)
    matching.rest(1, Side.BUY, 102, 1)
    assert matching.ahead(1) == 0


@pytest.mark.parametrize("interrupt", ["gap", "down"])
def test_after_an_interruption_there_is_nothing_to_take_until_a_snapshot(interrupt):
    market = a_book()
    getattr(market, interrupt)(10)
    market.delta(20, asks=[(101, 5)])
    a_book(market, 30)
    matching = a_matching(market)
    live(matching, 5)
    if interrupt == "down":
        matching.forget_book()
    live(matching, 25)
    assert not matching.is_live
    assert matching.take(Side.BUY, 200, 5) == []
    live(matching)
    assert matching.take(Side.BUY, 101, 5) == [(0, 101, 5)]


def test_a_book_with_more_levels_than_there_is_room_for_makes_room():
    bids = [(10_000 - i, 1) for i in range(900)]
    market = Market().snapshot(0, bids=bids, asks=[(10_001, 1)])
    for at in range(1, 8):
        market.delta(at, asks=[(10_001 + 400 * at + i, 1) for i in range(400)])
    matching = a_matching(market)
    live(matching)
    assert matching.available(Side.SELL, 9_101) == 900


def test_a_side_larger_than_the_table_at_once_is_kept():
    matching = a_matching(Market().snapshot(0, bids=[(50_000 - i, 1) for i in range(3_000)], asks=[(50_001, 1)]))
    live(matching)
    assert matching.available(Side.SELL, 1) == 3_000


steps = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "bid", "ask", "rest buy", "rest sell", "take buy", "take sell"]),
        st.integers(-4, 4),
        st.integers(0, 12),
    ),
    min_size=1,
    max_size=60,
)


@given(steps, st.sampled_from(list(Queue)))
def test_no_order_gets_more_than_its_size_nor_a_price_beyond_its_limit(script, queue):
    """Resting orders fill at their own price, takers at their limit or better; never more than was asked."""
    market = a_book()
    for at, (what, offset, size) in enumerate(script, 1):
        if what in ("buy", "sell"):
            getattr(market, what)(at, 100 + offset, size + 1)
        elif what == "bid":
            market.delta(at, bids=[(100 + min(offset, 0), size)])
        elif what == "ask":
            market.delta(at, asks=[(101 + max(offset, 0), size)])
    matching = a_matching(market, QueueModel(queue))
    asked, got = {}, {}
    for at, (what, offset, size) in enumerate(script, 1):
        for key, price, lots in live(matching, at):
            assert price == asked[key][0]
            assert lots > 0
            got[key] = got.get(key, 0) + lots
        side = Side.BUY if what.endswith("buy") else Side.SELL
        if what.startswith("rest") and not matching.crosses(side, 100 + offset):
            asked[at] = (100 + offset, size + 1)
            matching.rest(at, side, 100 + offset, size + 1)
        if what.startswith("take"):
            taken = matching.take(side, 100 + offset, size + 1)
            assert all(side * price <= side * (100 + offset) for _, price, _ in taken)
            assert sum(lots for _, _, lots in taken) <= size + 1
    for key, (_, size) in asked.items():
        assert got.get(key, 0) + matching.left(key) == size
    assert matching.next_ts == NEVER
