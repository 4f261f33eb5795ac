"""The hash table of levels against a plain dictionary."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stakan.adapters.exchanges.simulated import _depth_kernels as kernels
from stakan.core.market._book_kernels import ASKS, BIDS, CORRUPT, CROSSED, NEEDS_ROOM

REACH = 100
sides = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), max_size=6)


def an_empty_book(rows=256):
    return np.zeros((2, rows, 2), np.int64), np.zeros(8, np.int64)


def levels_of(depth, which):
    return {int(price): int(size) for price, size in depth[which] if size}


def apply(depth, state, bids, asks, reach=REACH):
    levels = np.array([*bids, *asks], np.int64).reshape(-1, 2)
    return kernels.apply_levels(depth, state, levels, len(bids), reach)


@given(st.lists(st.tuples(sides, sides), max_size=15), st.integers(0, 1), st.integers(890, 1_120))
def test_levels_best_prices_and_known_depth_are_those_of_a_dictionary(messages, which, price):
    """Bids 940 to 1000, asks 1001 to 1061: all in reach of each other."""
    depth, state = an_empty_book()
    expected = ({}, {})
    for down, up in messages:
        bids = [(1_000 - offset, size) for offset, size in down]
        asks = [(1_001 + offset, size) for offset, size in up]
        assert apply(depth, state, bids, asks) == 0
        expected[BIDS].update(bids)
        expected[ASKS].update(asks)
    for side, pick in ((BIDS, max), (ASKS, min)):
        wanted = {price: size for price, size in expected[side].items() if size}
        assert levels_of(depth, side) == wanted
        assert state[kernels.BEST + side] == pick(wanted, default=0)
        assert state[kernels.LEVELS + side] == len(wanted)
    known = levels_of(depth, which)
    sign = 1 - 2 * which
    assert kernels.size_at(depth, which, price) == known.get(price, 0)
    assert kernels.is_beyond(depth, state, which, price) == all(sign * price < sign * level for level in known)
    larger, rebuilt = np.zeros((2, 512, 2), np.int64), state.copy()
    kernels.rebuild(larger, rebuilt, depth, REACH)
    assert levels_of(larger, which) == known
    assert (rebuilt[:4] == state[:4]).all()


def test_prices_that_share_a_row_are_kept_apart():
    depth, state = an_empty_book(rows=8)
    apply(depth, state, [(1_000 - i, i + 1) for i in range(4)], [])
    assert levels_of(depth, BIDS) == {1_000 - i: i + 1 for i in range(4)}
    assert apply(depth, state, [(900, 1)], []) == NEEDS_ROOM


def test_impossible_levels_change_nothing_and_crossed_books_are_said():
    depth, state = an_empty_book()
    apply(depth, state, [(1_000, 1)], [(1_001, 1)])
    before = depth.copy(), state.copy()
    assert apply(depth, state, [(1_000, -1)], []) == CORRUPT
    assert apply(depth, state, [(0, 1)], []) == CORRUPT
    assert (depth == before[0]).all()
    assert (state == before[1]).all()
    assert apply(depth, state, [(1_001, 1)], []) == CROSSED


def test_far_levels_are_not_kept():
    depth, state = an_empty_book()
    apply(depth, state, [(1_000, 1)], [(1_001, 1)])
    apply(depth, state, [(900, 1), (899, 1)], [(1_101, 1), (1_102, 1)])
    assert set(levels_of(depth, BIDS)) == {1_000, 900}
    assert set(levels_of(depth, ASKS)) == {1_001, 1_101}
