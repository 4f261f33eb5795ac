"""Whatever is done to the ladder, it stays a book, and planted orders keep their place in the queue."""

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.synthetic.markets import BTC, SOL

from stakan.adapters.synthetic import _ladder_kernels as kernels
from stakan.adapters.synthetic._flow_kernels import ACTION_FIELDS, PLACE, plant, seed_book
from stakan.adapters.synthetic._ladder_kernels import AHEAD, ASK, BASE, BID, LIVE, PRICE, REMAINING, SIDE, WIDTH
from stakan.adapters.synthetic.config import NOTHING_PLANTED, SyntheticConfig
from stakan.adapters.synthetic.flow import SymbolFlow, _ladder, _tape, flow_of

STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "withdraw", "take", "plant", "lift"]), st.integers(0, 12), st.integers(1, 900)),
    max_size=40,
)


def a_ladder():
    ladder = _ladder()
    seed_book(ladder, flow_of(SOL, 50), 17_000, np.random.default_rng(1))
    kernels.settle_touch(ladder)
    ladder.state[[kernels.LOW, kernels.HIGH]] = ladder.state[[BID, ASK]]
    return ladder


def do(ladder, tape, what, distance, lots):
    side = 1 if lots % 2 else -1
    index = int(ladder.state[BID if side > 0 else ASK]) - side * distance
    match what:
        case "add":
            kernels.add(ladder, side, index, lots)
        case "withdraw":
            kernels.withdraw(ladder, index, min(lots, int(ladder.ordinary[index])))
        case "take":
            kernels.take(ladder, tape, side, lots * 5, 25)
        case "plant":
            action = np.zeros(ACTION_FIELDS, np.int64)
            action[:] = (0, PLACE, 1, tape.used[3], side, distance, lots * 10, lots % 3, lots % 4)
            plant(ladder, tape, action)
        case _:
            if ladder.state[LIVE]:
                kernels.lift(ladder, tape, distance % int(ladder.state[LIVE]))
                kernels.sweep_orders(ladder, tape)


def check(ladder):
    bid, ask = int(ladder.state[BID]), int(ladder.state[ASK])
    total = ladder.ordinary + ladder.planted
    assert bid < ask
    assert total[bid] > 0
    assert total[ask] > 0
    assert not total[bid + 1 : ask].any()
    assert (ladder.ordinary >= 0).all()
    own = np.zeros(WIDTH, np.int64)
    for order in ladder.orders[: ladder.state[LIVE]]:
        index = order[PRICE] - ladder.state[BASE]
        own[index] += order[REMAINING]
        assert 0 <= order[AHEAD] <= ladder.ordinary[index]
        assert index <= bid if order[SIDE] > 0 else index >= ask
    assert (own == ladder.planted).all()


@settings(max_examples=40)
@given(STEPS)
def test_the_ladder_stays_a_book(steps):
    ladder, tape = a_ladder(), _tape()
    for what, distance, lots in steps:
        do(ladder, tape, what, distance, lots)
        check(ladder)


@settings(max_examples=40)
@given(STEPS, st.integers(1, 20_000))
def test_a_market_order_takes_out_of_the_book_what_it_prints(steps, lots):
    ladder, tape = a_ladder(), _tape()
    for what, distance, size in steps:
        if what != "plant":
            do(ladder, tape, what, distance, size)
    before = int(ladder.ordinary.sum())
    printed = int(tape.used[2])
    traded = kernels.take(ladder, tape, 1, lots, 25)
    assert traded == tape.prints[printed : tape.used[2], 2].sum() == before - ladder.ordinary.sum()
    prices = tape.prints[printed : tape.used[2], 1]
    assert (np.diff(prices) > 0).all()


def test_an_order_that_flees_never_trades_and_one_that_stays_waits_its_turn():
    for manner, filled in ((kernels.STAYS, True), (kernels.FLEES, False)):
        ladder, tape = a_ladder(), _tape()
        index = int(ladder.state[ASK])
        ahead = int(ladder.ordinary[index])
        action = np.array([0, PLACE, 1, 0, -1, 0, 2000, manner, 0], np.int64)
        plant(ladder, tape, action)
        kernels.take(ladder, tape, 1, ahead, 1)
        assert not (tape.log[: tape.used[3], 3] == kernels.FILLED).any()
        kernels.take(ladder, tape, 1, 1, 1)
        assert (tape.log[: tape.used[3], 3] == kernels.FILLED).any() == filled


def test_recentring_moves_nothing_but_the_window():
    ladder, tape = a_ladder(), _tape()
    price = int(ladder.state[BASE] + ladder.state[BID])
    size = int(ladder.ordinary[ladder.state[BID]])
    shift = 5_000
    for column in (ladder.ordinary, ladder.planted, ladder.published):
        column[:] = np.roll(column, shift)
    ladder.state[BASE] -= shift
    ladder.state[[BID, ASK, kernels.LOW, kernels.HIGH]] += shift
    kernels.recentre(ladder, tape)
    assert ladder.state[BID] == WIDTH // 2
    assert ladder.state[BASE] + ladder.state[BID] == price
    assert ladder.ordinary[ladder.state[BID]] == size


def test_a_price_that_runs_away_from_its_book_stays_on_the_ladder():
    """It fell faster than bids came: one side was empty for thousands of ticks, and moving the ladder lost the other."""
    symbol = msgspec.structs.replace(BTC, volatility_bp=2.5, orders_per_second=40.0, takers_per_second=2.0)
    config = SyntheticConfig(symbols=(symbol,), seed=82, depth=50, episodes=NOTHING_PLANTED)
    flow = SymbolFlow(symbol, config, is_witnessed=False)
    widest = 0
    for _ in range(30):
        flow.next_slice()
        low, bid, ask, high = flow._ladder.state[[kernels.LOW, BID, ASK, kernels.HIGH]].tolist()
        assert 0 <= low < high < WIDTH
        assert 0 <= bid < ask < WIDTH
        widest = max(widest, high - low)
    assert widest > WIDTH // 2, "nothing ran away"
