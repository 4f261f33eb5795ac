"""Numeric kernels of the generator's book: one array over prices, planted orders with their place in the queue.

Index i of the ladder is the price `state[BASE] + i` in ticks. Everything at or below `state[BID]` is a bid and
everything at or above `state[ASK]` an ask, so the book cannot cross. Ordinary volume is kept by level; planted orders
are kept one by one, each with the ordinary volume ahead of it, so that their fills are known exactly.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stakan.core.kernel import kernel

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

WIDTH = 16_384
"""Prices that the ladder holds."""
SLOTS = 512
"""Planted orders alive at once."""

# Entries of `state`.
BASE, BID, ASK, NOW, NEXT_MESSAGE, SEQUENCE, TRADE_ID, LIVE, LOW, HIGH = range(10)
STATE_SIZE = 10
# Entries of `heat`.
HEAT_BUY, HEAT_SELL, SHIFT, FAIR = range(4)
"""Excitation of buyers and sellers; what resting walls took off the efficient price; that price now (absolute)."""
# Fields of a planted order.
EPISODE, ORDER, SIDE, PRICE, REMAINING, AHEAD, MANNER, EXTRA, LOTS = range(9)
ORDER_FIELDS = 9
# Manners of planted orders.
STAYS, FLEES, REFILLS, RESISTS, CROSSES = range(5)
"""Rests; leaves before it trades; is filled up again EXTRA times; holds the price with EXTRA/1000 per second; trades
with its own owner inside the spread before the time EXTRA."""
# Entries of `used` and fields of the log.
N_MESSAGES, N_LEVELS, N_PRINTS, N_LOG = range(4)
PLACED, FILLED, REMOVED, PRINTED, TAKEN = range(5)
LOG_FIELDS = 8
"""Time, episode, order, what, side, price, lots, reference size."""


class Ladder(NamedTuple):
    """The whole state of one symbol's market."""

    ordinary: Ints
    """Shape (WIDTH,), lots."""
    planted: Ints
    """Shape (WIDTH,), lots of planted orders."""
    published: Ints
    """Shape (WIDTH,), what the last message left: bids positive, asks negative."""
    orders: Ints
    """Shape (SLOTS, ORDER_FIELDS); the first `state[LIVE]` live, in order of their arrival."""
    state: Ints
    heat: Floats


class Tape(NamedTuple):
    """What a run writes: buffers and how much of each is used."""

    messages: Ints
    """Time, sequence, first level, bid count."""
    levels: Ints
    """Price, size."""
    prints: Ints
    """Time, price, lots, side, id, messages written before it."""
    log: Ints
    used: Ints


@kernel
def note(ladder: Ladder, tape: Tape, slot: int, what: int, lots: int, reference: int) -> None:
    """Log what happened to a planted order."""
    row = tape.used[N_LOG]
    order = ladder.orders[slot]
    tape.log[row, 0] = ladder.state[NOW]
    tape.log[row, 1] = order[EPISODE]
    tape.log[row, 2] = order[ORDER]
    tape.log[row, 3] = what
    tape.log[row, 4] = order[SIDE]
    tape.log[row, 5] = order[PRICE]
    tape.log[row, 6] = lots
    tape.log[row, 7] = reference
    tape.used[N_LOG] = row + 1


@kernel
def settle_touch(ladder: Ladder) -> None:
    """Move best bid and ask off empty levels; the ladder's edges always quote a lot."""
    state = ladder.state
    ladder.ordinary[0] = max(ladder.ordinary[0], 1)
    ladder.ordinary[WIDTH - 1] = max(ladder.ordinary[WIDTH - 1], 1)
    while ladder.ordinary[state[BID]] + ladder.planted[state[BID]] == 0:
        state[BID] -= 1
    while ladder.ordinary[state[ASK]] + ladder.planted[state[ASK]] == 0:
        state[ASK] += 1


@kernel
def add(ladder: Ladder, side: int, index: int, lots: int) -> None:
    """Ordinary volume joins a level; the caller has made sure that it does not cross."""
    if index < 1 or index > WIDTH - 2:
        return
    ladder.ordinary[index] += lots
    if side > 0:
        ladder.state[BID] = max(ladder.state[BID], index)
    else:
        ladder.state[ASK] = min(ladder.state[ASK], index)


@kernel
def withdraw(ladder: Ladder, index: int, lots: int) -> None:
    """Ordinary volume leaves a level; what stood ahead of planted orders leaves in proportion."""
    before = ladder.ordinary[index]
    if before == 0 or lots == 0:
        return
    price = ladder.state[BASE] + index
    for slot in range(ladder.state[LIVE]):
        order = ladder.orders[slot]
        if order[PRICE] == price and order[MANNER] != CROSSES:
            order[AHEAD] -= order[AHEAD] * lots // before
            order[AHEAD] = min(order[AHEAD], before - lots)
    ladder.ordinary[index] = before - lots
    settle_touch(ladder)


@kernel
def rest(ladder: Ladder, slot: int) -> None:
    """A planted order enters the book at the end of its level's queue."""
    order = ladder.orders[slot]
    index = order[PRICE] - ladder.state[BASE]
    order[AHEAD] = ladder.ordinary[index]
    ladder.planted[index] += order[REMAINING]
    if order[SIDE] > 0:
        ladder.state[BID] = max(ladder.state[BID], index)
    else:
        ladder.state[ASK] = min(ladder.state[ASK], index)


@kernel
def lift(ladder: Ladder, tape: Tape, slot: int) -> None:
    """A planted order is cancelled: its volume leaves the book; `sweep_orders` frees its slot."""
    order = ladder.orders[slot]
    if order[REMAINING] > 0 and order[MANNER] != CROSSES:
        note(ladder, tape, slot, REMOVED, order[REMAINING], 0)
        ladder.planted[order[PRICE] - ladder.state[BASE]] -= order[REMAINING]
    order[REMAINING] = 0
    order[EXTRA] = 0
    settle_touch(ladder)


@kernel
def fits(ladder: Ladder, order: Ints) -> bool:
    """Whether an order can rest at its price without crossing."""
    index = order[PRICE] - ladder.state[BASE]
    if index < 1 or index > WIDTH - 2:
        return False
    return bool(index < ladder.state[ASK] if order[SIDE] > 0 else index > ladder.state[BID])


@kernel
def sweep_orders(ladder: Ladder, tape: Tape) -> None:
    """Fill icebergs up again and free the slots of orders that are gone, keeping the order of arrival."""
    live = ladder.state[LIVE]
    kept = 0
    for slot in range(live):
        order = ladder.orders[slot]
        if order[REMAINING] == 0 and order[MANNER] == REFILLS and order[EXTRA] > 0 and fits(ladder, order):
            order[EXTRA] -= 1
            order[REMAINING] = order[LOTS]
            note(ladder, tape, slot, PLACED, order[LOTS], 0)
            rest(ladder, slot)
        if order[REMAINING] > 0:
            if kept != slot:
                ladder.orders[kept] = order
            kept += 1
    ladder.state[LIVE] = kept


@kernel
def print_trade(ladder: Ladder, tape: Tape, price: int, lots: int, side: int) -> None:
    """Write a trade print; `side` is the aggressor's."""
    row = tape.used[N_PRINTS]
    ladder.state[TRADE_ID] += 1
    tape.prints[row, 0] = ladder.state[NOW]
    tape.prints[row, 1] = price
    tape.prints[row, 2] = lots
    tape.prints[row, 3] = side
    tape.prints[row, 4] = ladder.state[TRADE_ID]
    tape.prints[row, 5] = tape.used[N_MESSAGES]
    tape.used[N_PRINTS] = row + 1


@kernel
def flee(ladder: Ladder, tape: Tape, price: int, lots: int) -> None:
    """Orders that do not mean to trade leave before a market order of `lots` would reach them."""
    for slot in range(ladder.state[LIVE]):
        order = ladder.orders[slot]
        if order[PRICE] == price and order[MANNER] == FLEES and order[REMAINING] > 0 and lots > order[AHEAD]:
            lift(ladder, tape, slot)


@kernel
def consume(ladder: Ladder, tape: Tape, index: int, lots: int) -> None:
    """Trade `lots` (at most what the level holds) out of a level, first in first out."""
    price = ladder.state[BASE] + index
    left = lots
    live = ladder.state[LIVE]
    for slot in range(live):
        order = ladder.orders[slot]
        if order[PRICE] != price or order[MANNER] == CROSSES or order[REMAINING] == 0:
            continue
        first = min(left, order[AHEAD])
        ladder.ordinary[index] -= first
        left -= first
        for later in range(slot, live):
            if ladder.orders[later, PRICE] == price and ladder.orders[later, MANNER] != CROSSES:
                ladder.orders[later, AHEAD] = max(0, ladder.orders[later, AHEAD] - first)
        own = min(left, order[REMAINING])
        if own > 0:
            order[REMAINING] -= own
            ladder.planted[index] -= own
            left -= own
            note(ladder, tape, slot, FILLED, own, 0)
    ladder.ordinary[index] -= left


@kernel
def take(ladder: Ladder, tape: Tape, side: int, lots: int, levels: int) -> int:
    """A market order walks at most `levels` levels, one print each; returns what it traded."""
    state = ladder.state
    left = lots
    for _ in range(levels):
        if left == 0:
            break
        touch = ASK if side > 0 else BID
        index = state[touch]
        if index < 1 or index > WIDTH - 2:
            break
        flee(ladder, tape, state[BASE] + index, left)
        if state[touch] != index:
            continue
        size = min(left, ladder.ordinary[index] + ladder.planted[index])
        consume(ladder, tape, index, size)
        print_trade(ladder, tape, state[BASE] + index, size, side)
        left -= size
        settle_touch(ladder)
    sweep_orders(ladder, tape)
    return lots - left


@kernel
def recentre(ladder: Ladder, tape: Tape) -> None:
    """Move the ladder when the touch comes near a quarter of its edge; planted orders left outside are cancelled.

    Where a price has run away from its book, both sides lie so far apart that not all fits: then it moves by less.
    """
    state = ladder.state
    move = state[BID] - WIDTH // 2
    if abs(move) < WIDTH // 4:
        return
    if move < 0:
        move = min(0, max(move, max(state[ASK], state[HIGH]) - (WIDTH - 2)))
    else:
        move = max(0, min(move, min(state[BID], state[LOW]) - 1))
    if move == 0:
        return
    for slot in range(state[LIVE]):
        index = ladder.orders[slot, PRICE] - state[BASE] - move
        if ladder.orders[slot, MANNER] != CROSSES and (index < 1 or index > WIDTH - 2):
            lift(ladder, tape, slot)
    sweep_orders(ladder, tape)
    for column in (ladder.ordinary, ladder.planted, ladder.published):
        moved = np.zeros(WIDTH, np.int64)
        if move > 0:
            moved[: WIDTH - move] = column[move:]
        else:
            moved[-move:] = column[: WIDTH + move]
        column[:] = moved
    state[BASE] += move
    state[BID] -= move
    state[ASK] -= move
    state[LOW] -= move
    state[HIGH] -= move


@kernel
def edge(ladder: Ladder, side: int, depth: int) -> int:
    """Index of the `depth`-th level of a side, or of the last one where there are fewer."""
    index = ladder.state[BID] if side > 0 else ladder.state[ASK]
    last = index
    seen = 0
    while seen < depth and 0 < index < WIDTH - 1:
        if ladder.ordinary[index] + ladder.planted[index] > 0:
            seen += 1
            last = index
        index -= side
    return int(last)


@kernel
def publish(ladder: Ladder, tape: Tape, depth: int) -> None:
    """Write what changed in the published window since the last message, roll-off included; nothing if nothing did."""
    state = ladder.state
    low = edge(ladder, 1, depth)
    high = edge(ladder, -1, depth)
    first = min(low, state[LOW])
    last = max(high, state[HIGH])
    start = tape.used[N_LEVELS]
    row = start
    for index in range(last, first - 1, -1):
        size = ladder.ordinary[index] + ladder.planted[index] if low <= index <= state[BID] else 0
        if size != max(ladder.published[index], 0):
            tape.levels[row, 0] = state[BASE] + index
            tape.levels[row, 1] = size
            row += 1
    bids = row - start
    for index in range(first, last + 1):
        size = ladder.ordinary[index] + ladder.planted[index] if state[ASK] <= index <= high else 0
        if size != max(-ladder.published[index], 0):
            tape.levels[row, 0] = state[BASE] + index
            tape.levels[row, 1] = size
            row += 1
    if row == start:
        return
    for index in range(first, last + 1):
        size = ladder.ordinary[index] + ladder.planted[index] if low <= index <= high else 0
        ladder.published[index] = size if index <= state[BID] else -size
    state[LOW] = low
    state[HIGH] = high
    state[SEQUENCE] += 1
    message = tape.used[N_MESSAGES]
    tape.messages[message, 0] = state[NOW]
    tape.messages[message, 1] = state[SEQUENCE]
    tape.messages[message, 2] = start
    tape.messages[message, 3] = bids
    tape.used[N_MESSAGES] = message + 1
    tape.used[N_LEVELS] = row
