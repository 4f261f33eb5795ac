"""Markets for the tests of further feature sets: a long lively one, and anything that can happen."""

from decimal import Decimal
from typing import NamedTuple

import msgspec
import numpy as np
from hypothesis import strategies as st
from tests.core.engine.builders import BTC, MS, SECOND, a_delta, a_print, an_engine, an_instrument

from stakan.core.domain.events import BookDelta, BookSnapshot, FeedDown, Ticker, TradePrint
from stakan.core.domain.units import Side
from stakan.core.features.further import Further

START = 1_700_000_000 * SECOND
MIDDLE = 640_000
TICK, LOT = Decimal("0.1"), Decimal("0.001")


class Watched:
    """An engine with one feature set and nothing else, and what the set says."""

    def __init__(self, name, spec, *, tick=TICK, lot=LOT, rules=None):
        self.name = name
        self.rules = rules or an_instrument(tick_size=tick, lot_size=lot)
        self.engine = an_engine(
            instruments=[self.rules],
            feature_sets=((name, spec),),
            decision_interval_ns=SECOND,
        )

    @property
    def market(self):
        return self.engine.state.instruments[self.rules.id].market

    @property
    def memory(self):
        return self.engine._turn.memories[self.rules.id].feature_sets[0]

    def tell(self, *events):
        for event in events:
            self.engine.step(event)
        return self

    def read(self, now=None):
        now = self.market.ts_event if now is None else now
        return Further(self.engine._turn.feature_sets(self.rules.id), self.market, now)[self.name]


def numbers(vector):
    """What can be compared."""
    return vector.values.tolist(), vector.warm.tolist()


class Board:
    """A book as two dicts, and the events that change it."""

    def __init__(self, ts=START, size=200, depth=40):
        self.ts, self.sequence, self.trades = ts, 0, 0
        self.sides = [{MIDDLE - 1 - i: size for i in range(depth)}, {MIDDLE + 1 + i: size for i in range(depth)}]

    def snapshot(self):
        self.sequence += 1
        rows = np.array([*self.sides[0].items(), *self.sides[1].items()], np.int64).reshape(-1, 2)
        return BookSnapshot(
            instrument=BTC,
            ts_event=self.ts,
            ts_recv=self.ts,
            sequence=self.sequence,
            previous_sequence=0,
            levels=rows,
            bid_count=len(self.sides[0]),
        )

    def change(self, bids=(), asks=()):
        self.sequence += 1
        for side, rows in zip(self.sides, (bids, asks), strict=True):
            for price, size in rows:
                side.pop(price, None)
                if size:
                    side[price] = size
        return a_delta(list(bids), list(asks), self.ts, self.sequence)

    def trade(self, price, size, side, *, late=0, is_rpi=False):
        self.trades += 1
        event = a_print(price, size, side, self.ts, self.trades)
        return msgspec.structs.replace(event, ts_event=self.ts - late, is_rpi=is_rpi)

    def ticker(self, **fields):
        return Ticker(instrument=BTC, ts_event=self.ts, ts_recv=self.ts, **fields)

    def down(self):
        return FeedDown(instrument=BTC, ts_event=0, ts_recv=self.ts, why="cut")

    def best(self, which):
        return (max if which == 0 else min)(self.sides[which])


def busy(seed=0, seconds=120, pace=400 * MS):
    """A market that moves, is swept and refills, with prints and tickers; a message every `pace` on average."""
    draw = np.random.default_rng(seed)
    board = Board()
    yield board.snapshot()
    end = START + seconds * SECOND
    interest, mends, swept_at = 1_000_000, [], START
    while board.ts < end:
        board.ts += 1 + int(draw.exponential(pace))
        if draw.random() < 0.1:
            interest += int(draw.integers(-500, 600))
            yield _a_ticker(board, interest)
        due = [mend for mend in mends if mend[0] <= board.ts]
        mends = [mend for mend in mends if mend[0] > board.ts]
        for _, which, rows in due:
            yield board.change(*((rows, ()) if which == 0 else ((), rows)))
        if board.ts - swept_at > 15 * SECOND:
            swept_at = board.ts
            which = int(draw.integers(2))
            yield from _a_sweep(board, which)
            mends.append((board.ts + int(draw.integers(20 * SECOND)), which, _refill(board, which)))
            continue
        if draw.random() < 0.5:
            side = Side.BUY if draw.random() < 0.55 else Side.SELL
            price = board.best(1 if side is Side.BUY else 0)
            yield board.trade(price, 1 + int(draw.pareto(1.3) * 20), side, is_rpi=bool(draw.random() < 0.1))
        yield board.change(_moves(draw, board.sides[0]), _moves(draw, board.sides[1]))


def _a_ticker(board, interest):
    mid = (board.best(0) + board.best(1)) / 2
    return board.ticker(
        mark=Decimal(int(mid)) * TICK,
        index=Decimal(int(mid) - 300) * TICK,
        funding_rate=Decimal("0.0001"),
        next_funding_ts=START + 3_600 * SECOND,
        open_interest=interest * LOT,
    )


def _a_sweep(board, which):
    prices = sorted(board.sides[which], reverse=which == 0)[:4]
    lots = sum(board.sides[which][price] for price in prices)
    yield board.trade(prices[-1], lots, Side.SELL if which == 0 else Side.BUY)
    board.ts += 20 * MS
    gone = [(price, 0) for price in prices]
    yield board.change(*((gone, ()) if which == 0 else ((), gone)))


def _refill(board, which):
    best = board.best(which)
    sign = 1 if which == 0 else -1
    return [(best + sign * away, 150) for away in range(1, 5)]


def _moves(draw, side):
    prices = list(side)
    picked = draw.choice(len(prices), 3, replace=False)
    return [(prices[int(i)], int(draw.integers(1, 400))) for i in picked]


# --- anything -----------------------------------------------------------------------------------------------------------


class Happening(NamedTuple):
    """One thing that happens `passed` after the last."""

    passed: int
    kind: str
    offset: int
    size: int
    sign: int


_HUGE = 10**12
happenings = st.lists(
    st.builds(
        Happening,
        passed=st.one_of(
            st.integers(0, SECOND), st.sampled_from((0, 500 * MS, 11 * SECOND, 61 * SECOND, 86_400 * SECOND))
        ),
        kind=st.sampled_from(
            ("book", "book", "book", "print", "print", "ticker", "snapshot", "gap", "down", "cross", "empty")
        ),
        offset=st.integers(0, 12),
        size=st.one_of(st.integers(1, 9), st.sampled_from((0, 1_000, _HUGE))),
        sign=st.sampled_from((1, -1)),
    ),
    max_size=60,
)
_STRANGE = (None, Decimal(0), Decimal("-1e-9"), Decimal("1e30"), Decimal("1e-30"), Decimal("64000.1"))


def played(history):
    """The events of a drawn history: books of few levels, crossed, empty and broken ones, strange tickers."""
    board = Board(depth=3)
    yield board.snapshot()
    for one in history:
        board.ts += one.passed
        yield from _told(board, one)


def _told(board, one):
    which = 0 if one.sign > 0 else 1
    price = MIDDLE - one.sign * (1 + one.offset)
    rows = [(price, one.size)]
    match one.kind:
        case "book":
            yield board.change(*((rows, ()) if which == 0 else ((), rows)))
        case "print":
            late = (one.offset % 3) * 300 * MS
            yield board.trade(price, max(1, one.size), Side(one.sign), late=late, is_rpi=one.offset == 0)
        case "ticker":
            names = ("mark", "index", "funding_rate", "open_interest")
            values = {name: _STRANGE[(one.offset + one.size + i) % len(_STRANGE)] for i, name in enumerate(names)}
            yield board.ticker(**values, next_funding_ts=board.ts + one.sign * one.size)
        case "snapshot":
            board.sides = Board(depth=1 + one.offset, size=max(1, one.size)).sides
            yield board.snapshot()
        case "gap":
            board.sequence += 5
            yield a_delta([(price, 1)], (), board.ts, board.sequence)
        case "down":
            yield board.down()
        case "cross":
            yield a_delta([(MIDDLE + 40, 1)], (), board.ts, board.sequence + 1)
            yield board.snapshot()
        case "empty":
            yield board.change(*[[(price, 0) for price in list(board.sides[i])] if i == which else () for i in (0, 1)])


def scaled(event):
    """The same event where a tick is worth twice and a lot four times as much."""
    if type(event) is not Ticker:
        return event
    twice = {name: 2 * value for name in ("mark", "index", "last") if (value := getattr(event, name)) is not None}
    if event.open_interest is not None:
        twice["open_interest"] = 4 * event.open_interest
    return msgspec.structs.replace(event, **twice)


def mirrored(event):
    """The same market upside down: prices reflected, bids and asks swapped, aggressors turned round."""
    if isinstance(event, (BookDelta, BookSnapshot)):
        levels = event.levels.copy()
        levels[:, 0] = 2 * MIDDLE - levels[:, 0]
        count = event.bid_count
        swapped = levels[[*range(count, len(levels)), *range(count)]]
        return msgspec.structs.replace(event, levels=swapped, bid_count=len(levels) - count)
    if type(event) is TradePrint:
        return msgspec.structs.replace(event, price=2 * MIDDLE - event.price, side=event.side.opposite)
    return event
