"""A recorded market around midnight, small enough to be built in a moment, long enough that its lead-in is shorter."""

import msgspec
import numpy as np
from tests.adapters.parquet.builders import BTC, MIDNIGHT

from stakan.adapters.parquet.schema import Source
from stakan.adapters.parquet.writer import MarketWriter
from stakan.adapters.synthetic.config import perpetual
from stakan.core.domain.events import BookDelta, BookSnapshot, TradePrint
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import SECOND, Side

ETH = InstrumentId("bybit:linear:ETHUSDT")
FIRST, SECOND_DAY = "2023-12-08", "2023-12-09"
BEFORE, AFTER = 700, 40
"""Seconds on both sides of midnight."""
DEPTH = 12
MID = 400_000


def rules(key=BTC):
    base = key.split(":")[2].removesuffix("USDT")
    return msgspec.structs.replace(perpetual(base, "0.1", "0.001", 1_000_000), id=key)


def events(key=BTC, before=BEFORE, after=AFTER, seed=1):
    """A message every second at most, now and then with a print; received 3 ms after the exchange's time."""
    chance = np.random.default_rng(seed)
    head = {"instrument": key}
    for number in range(before + after):
        ts = MIDNIGHT + (number - before) * SECOND + 250_000_000
        times = {"ts_event": ts, "ts_recv": ts + 3_000_000}
        if number == 0:
            levels = [(MID - 1 - i, 1_000) for i in range(DEPTH)] + [(MID + 1 + i, 1_000) for i in range(DEPTH)]
            yield BookSnapshot(
                **head, **times, sequence=1, previous_sequence=0, levels=np.array(levels, np.int64), bid_count=DEPTH
            )
            continue
        side = int(chance.integers(2))
        offset = int(chance.integers(DEPTH))
        level = (MID + (1 + offset) * (1 if side else -1), int(chance.integers(0, 3) and chance.integers(1, 4_000)))
        yield BookDelta(
            **head,
            **times,
            sequence=number + 1,
            previous_sequence=number,
            levels=np.array([level], np.int64),
            bid_count=1 - side,
        )
        if chance.random() < 0.6:
            yield TradePrint(
                **head,
                **times,
                price=MID + int(chance.integers(-1, 2)),
                size=int(chance.integers(1, 500)),
                side=Side.BUY if chance.random() < 0.5 else Side.SELL,
                trade_id=number,
            )


def a_store(root, keys=(BTC,), **changes):
    """A store that holds it."""
    for key in keys:
        written(root, key, events(key, **changes))
    return root


def written(root, key, market):
    """A recording of one instrument, in a store."""
    with MarketWriter(root, Source(description="a test"), {key: rules(key)}) as writer:
        for event in market:
            writer.add(event)
    return root
