"""Numeric kernels of the generator's order flow: who places, cancels and takes, and when.

Market orders excite each other (a two-sided Hawkes process with exponential memory, simulated by thinning: Ogata
1981). Limit orders and cancels are Poisson and, at each distance, in balance, so that the book is stationary whatever
path the price takes (in the manner of Cont, Stoikov and Talreja 2010). The efficient price pulls the book: makers
withdraw stale quotes, takers chase them.
"""

from typing import NamedTuple

import numpy as np

from stakan.adapters.synthetic._ladder_kernels import (
    AHEAD,
    ASK,
    BASE,
    BID,
    CROSSES,
    EXTRA,
    FAIR,
    HEAT_BUY,
    HEAT_SELL,
    LIVE,
    LOTS,
    MANNER,
    N_LEVELS,
    N_LOG,
    N_PRINTS,
    NEXT_MESSAGE,
    NOW,
    ORDER_FIELDS,
    PLACED,
    PRICE,
    PRINTED,
    REMAINING,
    RESISTS,
    SHIFT,
    SIDE,
    SLOTS,
    TAKEN,
    WIDTH,
    Floats,
    Ints,
    Ladder,
    Tape,
    add,
    fits,
    lift,
    note,
    print_trade,
    publish,
    recentre,
    rest,
    sweep_orders,
    take,
    withdraw,
)
from stakan.core.kernel import kernel

STEP = 10_000_000
"""Nanoseconds between two looks of makers at the efficient price."""
STALE_WITHDRAWN = 0.25
"""Chance per step that makers cancel a stale level: a mean reaction of 40 ms."""
CHASE_MAX = 40.0
"""Market orders per second that chase a quote which is far behind the efficient price."""
CHASE_SLOPE = 30.0
TOUCH_SHAPE = 4.0
"""Orders at the touch are larger: queues there are many times those behind, on the recorded perpetuals."""
INSIDE_SHARE = 0.5
"""Of limit orders, while the spread is open: they close it."""
SWEEP_LEVELS = 25
IMBALANCE_LEVELS = 5
NEAR_LEVELS = 50
"""Levels of which a planted order's reference size is the median."""

# Fields of an action.
A_TIME, A_CODE, A_EPISODE, A_ORDER, A_SIDE, A_DISTANCE, A_MULTIPLE, A_MANNER, A_EXTRA = range(9)
ACTION_FIELDS = 9
PLACE, CANCEL, TAKE, NUDGE, CROSS = range(5)


class Flow(NamedTuple):
    """Parameters of one symbol's flow; rates per second, distances in ticks."""

    limit_rate: float
    taker_rate: float
    """Market orders per second and side that nothing excited."""
    self_excitation: float
    cross_excitation: float
    decay: float
    """Of the excitation, per second."""
    near: float
    """Where orders are placed most."""
    far: float
    stale: float
    """How far the efficient price may pass a quote before it is stale."""
    sigma: float
    """Standard deviation of the efficient price over one second."""
    order_lots: float
    taker_lots: float
    message_ns: float
    """Mean time between messages; 0: after each change."""
    depth: int


@kernel
def draw_distance(flow: Flow, rng: np.random.Generator) -> int:
    """Distance from the touch at which an order is placed or cancelled, in ticks."""
    kind = rng.random()
    if kind < 0.15:
        return 0
    if kind < 0.8:
        return int(flow.near * np.exp(0.9 * rng.standard_normal()))
    return int(flow.far * rng.random() ** 2)


@kernel
def draw_lots(flow: Flow, distance: int, rng: np.random.Generator) -> int:
    """Size of a limit order: lognormal with a hump over distance, one in fifty much larger."""
    x = distance / flow.near
    shape = 0.5 + 1.2 * x * np.exp(1.0 - x) if distance > 0 else TOUCH_SHAPE
    size = flow.order_lots * shape * np.exp(rng.standard_normal() - 0.5)
    if rng.random() < 0.02:
        size *= 6.0
    return max(1, int(size))


@kernel
def seed_book(ladder: Ladder, flow: Flow, price: int, rng: np.random.Generator) -> None:
    """A first book around a price, about as full as the flow keeps it."""
    state = ladder.state
    state[BASE] = max(0, price - WIDTH // 2)
    middle = price - state[BASE]
    state[BID] = middle - 1
    state[ASK] = middle + 1
    for distance in range(min(int(flow.far * 2), WIDTH // 2 - 2)):
        for side in (1, -1):
            if distance == 0 or rng.random() < 0.5:
                add(ladder, side, middle - side * (distance + 1), draw_lots(flow, distance, rng))


@kernel
def imbalance(ladder: Ladder) -> float:
    """(bids - asks) / (bids + asks) over the best levels, in [-1, 1]."""
    volumes = np.zeros(2)
    for which in range(2):
        index = ladder.state[BID + which]
        seen = 0
        while seen < IMBALANCE_LEVELS and 0 < index < WIDTH - 1:
            size = ladder.ordinary[index] + ladder.planted[index]
            if size > 0:
                seen += 1
                volumes[which] += size
            index += 2 * which - 1
    return float((volumes[0] - volumes[1]) / (volumes[0] + volumes[1] + 1.0))


@kernel
def gap(ladder: Ladder) -> float:
    """Efficient price minus mid, in ticks."""
    return float(ladder.heat[FAIR] - ladder.state[BASE] - 0.5 * (ladder.state[BID] + ladder.state[ASK]))


@kernel
def update_fair(ladder: Ladder, efficient: float) -> None:
    """The efficient price after what walls hold back: beyond a wall it is pulled back at the wall's rate."""
    heat = ladder.heat
    for slot in range(ladder.state[LIVE]):
        order = ladder.orders[slot]
        if order[MANNER] == RESISTS and order[REMAINING] > 0:
            beyond = order[SIDE] * (order[PRICE] - efficient - heat[SHIFT])
            if beyond > 0.0:
                heat[SHIFT] += order[SIDE] * beyond * (order[EXTRA] / 1000.0) * (STEP / 1e9)
    heat[FAIR] = efficient + heat[SHIFT]


@kernel
def withdraw_stale(ladder: Ladder, flow: Flow, rng: np.random.Generator) -> None:
    """Makers cancel ordinary quotes that the efficient price has passed."""
    state = ladder.state
    fair = ladder.heat[FAIR] - state[BASE]
    for index in range(state[ASK], min(int(fair - flow.stale) + 1, WIDTH - 1)):
        if ladder.ordinary[index] > 0 and rng.random() < STALE_WITHDRAWN:
            withdraw(ladder, index, ladder.ordinary[index])
    for index in range(state[BID], max(int(fair + flow.stale), 0), -1):
        if ladder.ordinary[index] > 0 and rng.random() < STALE_WITHDRAWN:
            withdraw(ladder, index, ladder.ordinary[index])


@kernel
def place_limit(ladder: Ladder, flow: Flow, rng: np.random.Generator) -> None:
    """A new ordinary limit order, on the side that the efficient price favours a little more often."""
    state = ladder.state
    side = 1 if rng.random() < 0.5 + 0.25 * np.tanh(gap(ladder) / flow.stale) else -1
    touch = state[BID] if side > 0 else state[ASK]
    spread = state[ASK] - state[BID]
    if spread > 1 and rng.random() < INSIDE_SHARE:
        distance = 0
        index = touch + side * (1 + int(rng.random() * (spread - 1)))
    else:
        distance = draw_distance(flow, rng)
        index = touch - side * distance
    limit = ladder.heat[FAIR] - state[BASE]
    if side > 0:
        index = min(index, int(np.floor(limit + 0.5 * flow.stale)))
    else:
        index = max(index, int(np.ceil(limit - 0.5 * flow.stale)))
    add(ladder, side, index, draw_lots(flow, distance, rng))


@kernel
def cancel_limit(ladder: Ladder, flow: Flow, rng: np.random.Generator) -> None:
    """An ordinary cancel at a distance drawn as placements are; half of them clear the level."""
    state = ladder.state
    side = 1 if rng.random() < 0.5 - 0.25 * np.tanh(gap(ladder) / flow.stale) else -1
    distance = draw_distance(flow, rng)
    index = (state[BID] if side > 0 else state[ASK]) - side * distance
    if index < 1 or index > WIDTH - 2:
        return
    share = rng.random()
    if rng.random() < (0.1 if distance == 0 else 0.5):
        share = 1.0
    withdraw(ladder, index, int(ladder.ordinary[index] * share))


@kernel
def take_market(ladder: Ladder, tape: Tape, flow: Flow, side: int, chasing: bool, rng: np.random.Generator) -> None:
    """A background market order; two in three take at most what stands at the touch, those that chase are larger."""
    index = ladder.state[ASK] if side > 0 else ladder.state[BID]
    size = flow.taker_lots * np.exp(1.2 * rng.standard_normal() - 0.4) * (3.0 if chasing else 1.0)
    lots = max(1, int(size))
    if rng.random() < 0.67:
        lots = min(lots, ladder.ordinary[index] + ladder.planted[index])
    take(ladder, tape, side, lots, SWEEP_LEVELS)
    ladder.heat[HEAT_BUY if side > 0 else HEAT_SELL] += flow.self_excitation * flow.decay
    ladder.heat[HEAT_SELL if side > 0 else HEAT_BUY] += flow.cross_excitation * flow.decay


@kernel
def reference_size(ladder: Ladder, side: int) -> int:
    """Median size of the nearest levels of a side."""
    sizes = np.zeros(NEAR_LEVELS, np.int64)
    index = ladder.state[BID] if side > 0 else ladder.state[ASK]
    seen = 0
    while seen < NEAR_LEVELS and 0 < index < WIDTH - 1:
        size = ladder.ordinary[index] + ladder.planted[index]
        if size > 0:
            sizes[seen] = size
            seen += 1
        index -= side
    return max(1, int(np.median(sizes[: max(seen, 1)])))


@kernel
def plant(ladder: Ladder, tape: Tape, action: Ints) -> None:
    """Place a planted order at a distance from the touch, its size a multiple of the side's median."""
    state = ladder.state
    slot = state[LIVE]
    if slot == SLOTS:
        return
    side = action[A_SIDE]
    reference = reference_size(ladder, side)
    order = ladder.orders[slot]
    for field in range(ORDER_FIELDS):
        order[field] = 0
    order[0] = action[A_EPISODE]
    order[1] = action[A_ORDER]
    order[SIDE] = side
    order[PRICE] = state[BASE] + (state[BID] if side > 0 else state[ASK]) - side * action[A_DISTANCE]
    order[LOTS] = max(1, reference * action[A_MULTIPLE] // 1000)
    order[REMAINING] = order[LOTS]
    order[MANNER] = action[A_MANNER]
    order[EXTRA] = action[A_EXTRA]
    if action[A_CODE] == CROSS:
        order[MANNER] = CROSSES
        order[PRICE] = 0
        state[LIVE] = slot + 1
    elif fits(ladder, order):
        state[LIVE] = slot + 1
        note(ladder, tape, slot, PLACED, order[LOTS], reference)
        rest(ladder, slot)


@kernel
def note_take(ladder: Ladder, tape: Tape, action: Ints, lots: int) -> None:
    """Log a market order that belongs to an episode."""
    row = tape.used[N_LOG]
    tape.log[row] = 0
    tape.log[row, 0] = ladder.state[NOW]
    tape.log[row, 1] = action[A_EPISODE]
    tape.log[row, 2] = action[A_ORDER]
    tape.log[row, 3] = TAKEN
    tape.log[row, 4] = action[A_SIDE]
    tape.log[row, 6] = lots
    tape.used[N_LOG] = row + 1


@kernel
def act(ladder: Ladder, tape: Tape, flow: Flow, action: Ints) -> None:
    """Carry out one planned action."""
    code = action[A_CODE]
    if code in (PLACE, CROSS):
        plant(ladder, tape, action)
    elif code == CANCEL:
        for slot in range(ladder.state[LIVE]):
            order = ladder.orders[slot]
            if order[0] == action[A_EPISODE] and order[1] == action[A_ORDER]:
                lift(ladder, tape, slot)
        sweep_orders(ladder, tape)
    elif code == TAKE:
        lots = max(1, int(flow.taker_lots * action[A_MULTIPLE] / 1000))
        take(ladder, tape, action[A_SIDE], lots, SWEEP_LEVELS)
        note_take(ladder, tape, action, lots)
    else:
        ladder.heat[SHIFT] += action[A_SIDE] * action[A_DISTANCE]
        ladder.heat[FAIR] += action[A_SIDE] * action[A_DISTANCE]


@kernel
def cross_own(ladder: Ladder, tape: Tape, flow: Flow) -> None:
    """Wash traders meet their own order inside the spread: twice at one price, from either side, a step or more apart.

    AHEAD counts the halves done; a half waits until its price is free inside the spread, or its time is over.
    """
    state = ladder.state
    gone = False
    for slot in range(state[LIVE]):
        order = ladder.orders[slot]
        if order[MANNER] != CROSSES:
            continue
        if state[NOW] > order[EXTRA] or order[AHEAD] == 2:
            order[REMAINING] = 0
            gone = True
            continue
        index = order[PRICE] - state[BASE] if order[AHEAD] == 1 else state[BID] + 1
        if index <= state[BID] or index >= state[ASK]:
            continue
        order[PRICE] = state[BASE] + index
        aggressor = order[SIDE] if order[AHEAD] == 0 else -order[SIDE]
        touch = ASK if aggressor > 0 else BID
        before = state[touch]
        ladder.planted[index] += order[LOTS]
        state[touch] = index
        if flow.message_ns == 0.0:
            publish(ladder, tape, flow.depth)
        print_trade(ladder, tape, order[PRICE], order[LOTS], aggressor)
        ladder.planted[index] -= order[LOTS]
        state[touch] = before
        note(ladder, tape, slot, PRINTED, order[LOTS], 0)
        order[AHEAD] += 1
        if flow.message_ns == 0.0:
            publish(ladder, tape, flow.depth)
    if gone:
        sweep_orders(ladder, tape)


@kernel
def cool(ladder: Ladder, flow: Flow, until: int) -> None:
    """Let time pass: the excitation decays."""
    factor = np.exp(-flow.decay * (until - ladder.state[NOW]) / 1e9)
    ladder.heat[HEAT_BUY] *= factor
    ladder.heat[HEAT_SELL] *= factor
    ladder.state[NOW] = until


@kernel
def happen(ladder: Ladder, tape: Tape, flow: Flow, bound: float, rng: np.random.Generator) -> bool:
    """One candidate of the thinned process; returns whether anything happened."""
    pick = rng.random() * bound
    if pick < flow.limit_rate:
        place_limit(ladder, flow, rng)
        return True
    pick -= flow.limit_rate
    if pick < flow.limit_rate:
        cancel_limit(ladder, flow, rng)
        return True
    pick -= flow.limit_rate
    behind = gap(ladder)
    tilt = 0.8 * np.tanh(0.7 * behind / flow.sigma + 0.5 * imbalance(ladder))
    over = abs(behind) - flow.stale - 0.5 * (ladder.state[ASK] - ladder.state[BID])
    chase = min(CHASE_MAX, CHASE_SLOPE * max(0.0, over) / flow.sigma)
    buys = (flow.taker_rate + ladder.heat[HEAT_BUY]) * (1.0 + tilt)
    sells = (flow.taker_rate + ladder.heat[HEAT_SELL]) * (1.0 - tilt)
    if pick < chase:
        take_market(ladder, tape, flow, 1 if behind > 0 else -1, True, rng)
    elif pick < chase + buys:
        take_market(ladder, tape, flow, 1, False, rng)
    elif pick < chase + buys + sells:
        take_market(ladder, tape, flow, -1, False, rng)
    else:
        return False
    return True


@kernel
def one_step(
    ladder: Ladder, tape: Tape, flow: Flow, actions: Ints, done: int, end: int, rng: np.random.Generator
) -> int:
    """Everything up to `end`: background events, planned actions, messages; returns how many actions are done."""
    state = ladder.state
    while True:
        action_at = max(actions[done, A_TIME], state[NOW]) if done < len(actions) else end + 1
        boundary = min(end, action_at)
        if flow.message_ns > 0.0:
            boundary = min(boundary, state[NEXT_MESSAGE])
        excited = 2.0 * flow.taker_rate + ladder.heat[HEAT_BUY] + ladder.heat[HEAT_SELL]
        bound = 2.0 * flow.limit_rate + CHASE_MAX + 1.8 * excited
        at = state[NOW] + 1 + int(rng.exponential(1e9 / bound))
        changed = True
        if at < boundary:
            cool(ladder, flow, at)
            changed = happen(ladder, tape, flow, bound, rng)
        else:
            cool(ladder, flow, boundary)
            if flow.message_ns > 0.0 and boundary == state[NEXT_MESSAGE]:
                publish(ladder, tape, flow.depth)
                state[NEXT_MESSAGE] += int(flow.message_ns * (0.5 + rng.random()))
            elif boundary == action_at:
                act(ladder, tape, flow, actions[done])
                done += 1
            else:
                return done
        if changed and flow.message_ns == 0.0:
            publish(ladder, tape, flow.depth)


@kernel
def run_slice(
    ladder: Ladder,
    tape: Tape,
    flow: Flow,
    path: Floats,
    actions: Ints,
    done: int,
    start: int,
    rng: np.random.Generator,
) -> int:
    """Run from `state[NOW]` to the end of the path that began at `start`; returns how many actions are done.

    `path` has shape (n,): the efficient price in ticks at each step; `actions` has shape (m, ACTION_FIELDS), by time.
    Comes back early, at a step, when a buffer of the tape is half full: empty it and call again.
    """
    state = ladder.state
    while True:
        step = (state[NOW] - start) // STEP
        if step >= len(path):
            return done
        crowded = tape.used[N_LEVELS] * 2 > len(tape.levels) or tape.used[N_LOG] * 2 > len(tape.log)
        if crowded or tape.used[N_PRINTS] * 2 > len(tape.prints):
            return done
        recentre(ladder, tape)
        update_fair(ladder, path[step])
        withdraw_stale(ladder, flow, rng)
        cross_own(ladder, tape, flow)
        if flow.message_ns == 0.0:
            publish(ladder, tape, flow.depth)
        done = one_step(ladder, tape, flow, actions, done, start + (step + 1) * STEP, rng)
