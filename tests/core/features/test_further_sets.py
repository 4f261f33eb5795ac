"""Further sets against their slow references on made markets, by hand, and upside down."""

from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.features import further_reference as reference
from tests.core.features.candle_tables import a_walk
from tests.core.features.further_beside import SPECS, Beside
from tests.core.features.set_markets import (
    MIDDLE,
    START,
    Board,
    Watched,
    busy,
    happenings,
    mirrored,
    numbers,
    played,
)

from stakan.core.domain.events import Ticker
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND, Side
from stakan.core.features import _further_candle_kernels as candle_kernels
from stakan.core.features import _order_flow_kernels as flow_kernels
from stakan.core.features.catalogue import Feature
from stakan.core.features.sets.candles import Candles
from stakan.core.features.sets.derivatives import Derivatives
from stakan.core.features.sets.order_flow import OrderFlow
from stakan.core.features.sets.resilience import Resilience
from stakan.core.features.sets.rolling import Rolling
from stakan.core.market.candles import Column

WATCHING = pytest.mark.parametrize("name", SPECS)


@WATCHING
@settings(max_examples=30)
@given(history=happenings)
def test_it_equals_its_definition_on_anything(name, history):
    beside = Beside(name)
    for event in played(history):
        beside.tell(event)
        if beside.market.book.is_usable and beside.told.books:
            beside.compare()


@WATCHING
def test_it_equals_its_definition_in_a_long_market(name):
    beside = Beside(name)
    seen = set()
    for number, event in enumerate(busy(11, 170)):
        beside.tell(event)
        if number % 60 == 59:
            seen |= beside.compare()
    assert seen == set(SPECS[name].definitions) - {"vpin"}


# --- upside down ------------------------------------------------------------------------------------------------------


def upside_down(name, spec, seed=4, seconds=150):
    plain, mirror = Watched(name, spec), Watched(name, spec)
    for event in busy(seed, seconds):
        plain.tell(event)
        mirror.tell(mirrored(event))
    return plain.read(), mirror.read()


def test_a_mirrored_market_turns_order_flow_round():
    plain, mirror = upside_down("order_flow", OrderFlow(bucket_share=0.01, buckets=20))
    assert plain.warm.all()
    for key in plain.spec.definitions:
        assert mirror.of(key) == pytest.approx(plain.of(key) if key == "vpin" else -plain.of(key), rel=1e-9, abs=1e-12)


def test_a_mirrored_market_swaps_the_sides_of_resilience():
    plain, mirror = upside_down("resilience", Resilience(enough=1))
    assert plain.warm.all()
    for key in plain.spec.definitions:
        other = key.replace("bid", "ask") if key.startswith("bid") else key.replace("ask", "bid")
        assert mirror.of(key) == plain.of(other)


# --- order flow by hand -----------------------------------------------------------------------------------------------


def test_levels_are_compared_by_rank_and_what_moves_counts_whole():
    """A bid in front of all others: rank 1 gains it, rank 2 has a higher price than before and so on."""
    board = Board(size=100, depth=12)
    one = Watched("order_flow", OrderFlow()).tell(board.snapshot())
    board.ts += 10 * SECOND
    one.tell(board.change())
    board.ts += SECOND
    one.tell(board.change(bids=[(MIDDLE, 7)]))
    vector = one.read()
    assert vector.of("ofi_1") == pytest.approx(0.007)
    assert [vector.of(f"ofi_{m}") for m in range(2, 11)] == pytest.approx([0.1] * 9)
    # Two messages in the window: ten levels a side hold 100 lots each, then one of twenty holds 7.
    assert vector.of("ofi_normalized") == pytest.approx((7 + 9 * 100) / ((2 * 20 * 100 - 93) / 40))
    assert vector.of("queue_imbalance") == pytest.approx((7 - 100) / (7 + 100))


def test_the_first_level_is_the_order_flow_imbalance_of_the_110():
    one = Watched("order_flow", OrderFlow()).tell(*busy(8, 40))
    features = one.engine.state.instruments[one.rules.id].features.read(one.market, one.market.ts_event)
    assert one.read().of("ofi_1") == features.of(Feature.ORDER_FLOW_IMBALANCE) != 0


def prints(one, board, *told):
    for passed, size, sign in told:
        board.ts += passed
        one.tell(board.trade(MIDDLE, size, Side(sign)))
    return one.read()


def test_two_buckets_by_hand():
    """Minutes of 100 lots, buckets of a tenth: 7 bought and 3 sold, then 5 that end it and begin the next."""
    board = Board(ts=START // MINUTE * MINUTE)
    one = Watched("order_flow", OrderFlow(bucket_share=0.1, buckets=2)).tell(board.snapshot())
    unknown = prints(one, board, (0, 999, 1), (MINUTE, 60, 1), (SECOND, 40, -1))
    assert not unknown.is_warm("vpin")
    young = prints(one, board, (MINUTE, 7, 1), (SECOND, 3, -1), (SECOND, 9, -1))
    assert not young.is_warm("vpin")
    full = prints(one, board, (SECOND, 5, 1))
    assert full.of("vpin") == pytest.approx((4 + 8) / 20)
    # 4 bought are in the third bucket; 26 sold fill it and two more, of which none is mixed.
    assert prints(one, board, (SECOND, 16, -1)).of("vpin") == pytest.approx((2 + 10) / 20)


def test_a_print_of_many_buckets_costs_no_more_than_those_that_are_kept():
    board = Board(ts=START // MINUTE * MINUTE)
    one = Watched("order_flow", OrderFlow(bucket_share=0.001, buckets=50)).tell(board.snapshot())
    vector = prints(one, board, (0, 1, 1), (MINUTE, 1, 1), (MINUTE, 10**15, -1))
    assert vector.of("vpin") == 1.0


class Printed(NamedTuple):
    passed: int
    size: int
    sign: int


printed = st.lists(
    st.builds(
        Printed,
        st.sampled_from((0, SECOND, 20 * SECOND, 61 * SECOND, 40 * MINUTE)),
        st.integers(1, 60),
        st.sampled_from((1, -1)),
    ),
    min_size=5,
    max_size=60,
)


@settings(max_examples=60)
@given(printed, st.sampled_from((0.01, 0.1, 0.5, 3.0)), st.integers(1, 6))
def test_vpin_equals_its_definition_lot_by_lot(history, share, count):
    spec = OrderFlow(bucket_share=share, buckets=count)
    one = Watched("order_flow", spec)
    board, trades = Board(), []
    for told in history:
        board.ts += told.passed
        spec.on_print(None, board.trade(MIDDLE, told.size, Side(told.sign)), one.memory)
        trades.append(reference.Trade(board.ts, MIDDLE, told.size, told.sign, 0))
        expected = reference.vpin(trades, share, count)
        found = one.read(board.ts)
        assert found.is_warm("vpin") == (expected is not None)
        assert expected is None or found.of("vpin") == pytest.approx(expected, rel=1e-12)


def test_the_busiest_market_keeps_what_fits_and_says_what_is_lost():
    """Two messages a millisecond for twelve seconds: the ring reaches back less than ten."""
    board = Board()
    one = Watched("order_flow", OrderFlow()).tell(board.snapshot())
    spec, market, memory = OrderFlow(), one.market, one.memory
    for _ in range(24_000):
        market.book.ts_event += SECOND // 2_000
        spec.on_book(market, memory)
    assert len(memory.rows) == flow_kernels.MOST_ROWS
    assert not one.read(market.book.ts_event).is_warm("ofi_1")


# --- resilience by hand -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 1])
def test_sweeps_that_come_back_like_an_exponential_have_its_half_life(which):
    """Lots come back every 100 ms so that what is missing halves in two seconds; others than the swept side say nothing."""
    board = Board()
    one = Watched("resilience", Resilience()).tell(board.snapshot())
    for _ in range(6):
        board.ts += 20 * SECOND
        best = board.best(which)
        sign = 1 - 2 * which
        prices = [best - sign * i for i in range(4)]
        one.tell(board.trade(prices[-1], 800, Side(-sign)))
        one.tell(board.change(*_on(which, [(price, 0) for price in prices])))
        for step in range(1, 60):
            board.ts += 100 * MILLISECOND
            back = round(200 * (1 - 2 ** (-step / 20)))
            one.tell(board.change(*_on(which, [(price, back) for price in prices])))
        one.tell(board.change(*_on(which, [(price, 200) for price in prices])))
    vector = one.read()
    own, other = ("bid", "ask") if which == 0 else ("ask", "bid")
    assert vector.of(f"{own}_refill_half_life") == pytest.approx(2.0, abs=0.1)
    assert vector.of(f"{own}_refill_share") == 1.0
    assert not vector.is_warm(f"{other}_refill_half_life")


def _on(which, rows):
    return (rows, ()) if which == 0 else ((), rows)


def test_what_never_comes_back_is_counted_until_patience_ends_and_a_withdrawal_is_no_sweep():
    board = Board()
    one = Watched("resilience", Resilience(enough=1, patience_s=3.0)).tell(board.snapshot())
    board.ts += SECOND
    withdrawn = [(board.best(1) + i, 0) for i in range(4)]
    one.tell(board.change((), withdrawn))
    assert one.read().of("ask_unrefilled") == 0.0
    board.ts += SECOND
    swept = [(board.best(0) - i, 0) for i in range(4)]
    one.tell(board.trade(board.best(0) - 3, 800, Side.SELL), board.change(swept))
    assert one.read().of("bid_unrefilled") == 1.0
    board.ts += SECOND
    one.tell(board.change([(price, 50) for price, _ in swept]))
    assert one.read().of("bid_unrefilled") == pytest.approx(0.75)
    board.ts += 4 * SECOND
    one.tell(board.change())
    vector = one.read()
    assert (vector.of("bid_refill_half_life"), vector.of("bid_refill_share")) == (3.0, 0.0)
    assert not vector.is_warm("ask_refill_half_life")


def test_a_price_that_follows_the_sweep_fills_the_hole_too():
    """Asks are gone for good, and bids come up as far: as near to them as before there is as much again."""
    board = Board()
    one = Watched("resilience", Resilience(enough=1)).tell(board.snapshot())
    board.ts += SECOND
    swept = [board.best(1) + i for i in range(4)]
    one.tell(board.trade(swept[-1], 800, Side.BUY), board.change((), [(price, 0) for price in swept]))
    assert one.read().of("ask_unrefilled") == 1.0
    board.ts += SECOND
    one.tell(board.change([(MIDDLE, 5)]))
    assert one.read().of("ask_unrefilled") == pytest.approx(0.75)
    board.ts += SECOND
    one.tell(board.change([(MIDDLE + 1, 5)]))
    vector = one.read()
    assert (vector.of("ask_refill_half_life"), vector.of("ask_unrefilled")) == (2.0, 0.0)


# --- derivatives ------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.sampled_from((0, SECOND, 5 * SECOND, 7 * SECOND, MINUTE, 10 * MINUTE)),
            st.booleans(),
            st.integers(0, 9),
        ),
        max_size=50,
    )
)
def test_open_interest_is_compared_with_what_was_known_then(history):
    board = Board()
    one = Watched("derivatives", Derivatives()).tell(board.snapshot())
    known, seen = None, {board.ts // (5 * SECOND): None}
    for passed, is_told, lots in history:
        board.ts += passed
        if is_told:
            known = lots * 100
            one.tell(board.ticker(open_interest=Decimal(known)))
            told = board.ts
        one.tell(board.change())
        first, slot = min(seen), board.ts // (5 * SECOND)
        for missing in range(max(seen) + 1, slot):
            seen[missing] = seen[missing - 1]
        seen.setdefault(slot, known)
        vector = one.read()
        is_young = known is not None and board.ts - told <= MINUTE
        assert vector.is_warm("open_interest") == is_young
        for minutes in (1, 5, 15):
            then = (board.ts - minutes * MINUTE) // (5 * SECOND)
            before = seen.get(then) if then >= first else None
            name = f"open_interest_change_{minutes}m"
            assert vector.is_warm(name) == (is_young and bool(before)), name
            if vector.is_warm(name):
                assert vector.of(name) == pytest.approx(known / before - 1)


def test_a_ticker_by_hand():
    board = Board()
    one = Watched("derivatives", Derivatives()).tell(board.snapshot())
    assert not one.read().warm.any()
    one.tell(board.ticker(mark=Decimal(64064), index=Decimal(64000), funding_rate=Decimal("-0.0003")))
    one.tell(board.ticker(next_funding_ts=START + 90 * SECOND))
    found = one.read().as_dict()
    assert found["funding_rate"] == -0.0003
    assert found["time_to_funding"] == 90.0
    assert found["basis"] == pytest.approx(0.001)
    assert found["mark_gap"] == pytest.approx(0.001)
    assert not one.read().is_warm("open_interest")
    board.ts += 100 * SECOND
    assert one.tell(board.ticker(), board.change()).read().of("time_to_funding") == 0.0


def test_what_the_ticker_said_before_an_interruption_is_not_believed_after_it():
    board = Board()
    one = Watched("derivatives", Derivatives()).tell(board.snapshot(), board.ticker(funding_rate=Decimal("0.01")))
    assert one.read().is_warm("funding_rate")
    board.ts += SECOND
    one.tell(board.down(), board.snapshot())
    assert not one.read().warm.any()
    board.ts += SECOND
    one.tell(board.ticker(mark=Decimal(64000)))
    assert one.read().is_warm("funding_rate", "mark_gap")


# --- candles ----------------------------------------------------------------------------------------------------------


def test_candles_are_the_kernel_s_in_quote_currency_and_computed_once_a_candle():
    one = Watched("candles", Candles())
    builder = one.market.candles
    table = a_walk(210).astype(np.int64)
    builder.table[Column.OPEN : Column.TURNOVER + 1] = table[:200].T
    builder.count, builder.revision = 200, 1
    vector = one.read(START)
    out, warm = np.zeros(12), np.zeros(12, np.bool_)
    candle_kernels.read(table[:200].astype(np.float64), out, warm)
    assert vector.warm.all()
    for index, (key, definition) in enumerate(vector.spec.definitions.items()):
        factor = 0.1 if definition.unit == "quote currency" else 1.0
        assert vector.of(key) == pytest.approx(out[index] * factor, rel=1e-12), key
    builder.table[Column.CLOSE] += 60
    assert numbers(one.read(START)) == numbers(vector)
    builder.revision += 1
    assert one.read(START).of("sma_200") == pytest.approx(vector.of("sma_200") + 6.0)


# --- moments ----------------------------------------------------------------------------------------------------------


def test_a_book_that_stands_still_has_no_deviation_at_all():
    board = Board()
    one = Watched("rolling", Rolling()).tell(board.snapshot())
    for _ in range(70):
        board.ts += SECOND
        one.tell(board.change())
    vector = one.read()
    assert vector.is_warm("bid_ask_spread_rel_skew_60s")
    assert (vector.of("bid_ask_spread_rel_std_60s"), vector.of("bid_ask_spread_rel_skew_60s")) == (0.0, 0.0)
    assert vector.of("bid_ask_spread_rel_mean_60s") == pytest.approx(2 / MIDDLE, rel=1e-15)


def test_a_message_at_a_moment_of_the_grid_counts_at_that_moment():
    board = Board()
    one = Watched("rolling", Rolling()).tell(board.snapshot())
    board.ts += 10 * SECOND
    one.tell(board.change(bids=[(board.best(0), 1_400)]))
    board.ts += 200 * MILLISECOND
    one.tell(board.change(bids=[(board.best(0), 5)]))
    # One of twenty samples has 2,200 lots of bids against 1,000 of asks.
    assert one.read().of("imbalance_5_mean_10s") == pytest.approx((2_200 - 1_000) / 3_200 / 20)


def test_ticker_is_no_message_that_samples_wait_for():
    board = Board()
    one = Watched("rolling", Rolling()).tell(board.snapshot())
    board.ts += 11 * SECOND
    one.tell(Ticker(instrument=board.ticker().instrument, ts_event=board.ts, ts_recv=board.ts))
    assert not one.read().is_warm("imbalance_5_mean_10s")
    assert one.read(board.ts).is_warm("imbalance_5_mean_10s")
