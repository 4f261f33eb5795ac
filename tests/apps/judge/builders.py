"""Made sessions of one instrument: a book that wanders, with prints at its touch."""

from decimal import Decimal

import numpy as np

from stakan.apps.judge.background import scan
from stakan.core.domain.events import BookDelta, BookSnapshot, TradePrint
from stakan.core.domain.findings import Finding, Pattern, Stage
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import MILLISECOND, SECOND, Side

ID = "test:linear:MADE"
RULES = Instrument(
    id=ID,
    category=Category.LINEAR,
    base="MADE",
    quote="USDT",
    settle="USDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal(1),
)
START = 1_700_000_000 * SECOND
DEPTH = 60


def rows(levels):
    return np.array(levels, np.int64).reshape(-1, 2)


def a_snapshot(bids, asks, ts=START, sequence=1):
    return BookSnapshot(
        ts_event=ts,
        ts_recv=ts,
        instrument=ID,
        sequence=sequence,
        previous_sequence=0,
        levels=rows([*bids, *asks]),
        bid_count=len(bids),
    )


def a_delta(bids=(), asks=(), ts=START, sequence=2, previous=None):
    return BookDelta(
        ts_event=ts,
        ts_recv=ts,
        instrument=ID,
        sequence=sequence,
        previous_sequence=sequence - 1 if previous is None else previous,
        levels=rows([*bids, *asks]),
        bid_count=len(bids),
    )


def a_print(price, size, side, ts=START, number=1):
    return TradePrint(ts_event=ts, ts_recv=ts, instrument=ID, price=price, size=size, side=side, trade_id=number)


def a_finding(ts, *, began=None, episode=1, side=Side.BUY, low=100, high=100, confidence=0.9, **more):
    return Finding(
        instrument=ID,
        pattern=more.pop("pattern", Pattern.SPOOFING),
        stage=Stage.SUSPECTED,
        episode=episode,
        side=side,
        low=low,
        high=high,
        began=ts if began is None else began,
        ts_event=ts,
        confidence=confidence,
        **more,
    )


def made_events(seed, messages=3_000, every_ms=50, stay=0.97):
    """A book of some sixty levels a side whose touch now and then moves a tick; sequence numbers leave room, or not."""
    rng = np.random.default_rng(seed)
    mid = 10_000
    bids = {mid - 1 - k: int(rng.integers(5, 40)) for k in range(DEPTH)}
    asks = {mid + 1 + k: int(rng.integers(5, 40)) for k in range(DEPTH)}
    ts, sequence = START, 100
    yield a_snapshot(list(bids.items()), list(asks.items()), ts, sequence)
    for number in range(messages):
        # Jittered, so that no planted moment is that of a message.
        ts += every_ms * MILLISECOND + int(rng.integers(1, 1_000_000))
        if rng.random() < 0.5:
            side = Side.BUY if rng.random() < 0.5 else Side.SELL
            price = min(asks) if side is Side.BUY else max(bids)
            yield a_print(price, int(rng.integers(1, 9)), side, ts - 10 * MILLISECOND, number + 1)
        changed = {Side.BUY: {}, Side.SELL: {}}
        if rng.random() > stay:
            up = rng.random() < 0.5
            gone, come = (min(asks), max(bids) + 1) if up else (max(bids), min(asks) - 1)
            if up:
                changed[Side.SELL][gone] = 0
                changed[Side.BUY][come] = int(rng.integers(5, 40))
            else:
                changed[Side.BUY][gone] = 0
                changed[Side.SELL][come] = int(rng.integers(5, 40))
        for mine, what in ((bids, changed[Side.BUY]), (asks, changed[Side.SELL])):
            for price in rng.choice(sorted(mine), 3, replace=False).tolist():
                what.setdefault(price, int(rng.integers(5, 40)))
            for price, lots in what.items():
                mine.pop(price, None)
                if lots:
                    mine[price] = lots
        step = int(rng.integers(1, 4))
        yield a_delta(
            sorted(changed[Side.BUY].items()), sorted(changed[Side.SELL].items()), ts, sequence + step, sequence
        )
        sequence += step


def a_ground(seed=1, **how):
    return scan(RULES, made_events(seed, **how))
