"""What tests of the market say in a few words: an instrument, prints, book messages."""

from decimal import Decimal

import msgspec
import numpy as np

from stakan.core.domain.events import BookDelta, BookSnapshot, TradePrint, decode_array, encode_array
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import Lots, Side, Ticks

NAME = InstrumentId("bybit:linear:BTCUSDT")


def an_instrument(tick="0.1", lot="0.001"):
    return Instrument(
        id=NAME,
        category=Category.LINEAR,
        base="BTC",
        quote="USDT",
        settle="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
    )


def a_print(ts=1, price=1_000, size=1, side=Side.BUY, trade_id=1, is_rpi=False):
    return TradePrint(
        instrument=NAME,
        ts_event=ts,
        ts_recv=ts,
        price=Ticks(price),
        size=Lots(size),
        side=side,
        trade_id=trade_id,
        is_rpi=is_rpi,
    )


def levels(bids, asks):
    rows = [*bids, *asks]
    return np.array(rows, np.int64).reshape(-1, 2)


def a_snapshot(bids=(), asks=(), sequence=1, ts=1):
    return BookSnapshot(
        instrument=NAME,
        ts_event=ts,
        ts_recv=ts,
        sequence=sequence,
        previous_sequence=0,
        levels=levels(bids, asks),
        bid_count=len(bids),
    )


def a_delta(bids=(), asks=(), sequence=2, previous=None, ts=2):
    return BookDelta(
        instrument=NAME,
        ts_event=ts,
        ts_recv=ts,
        sequence=sequence,
        previous_sequence=sequence - 1 if previous is None else previous,
        levels=levels(bids, asks),
        bid_count=len(bids),
    )


def restored(state):
    """The state after a trip through bytes."""
    data = msgspec.msgpack.encode(state, enc_hook=encode_array)
    return msgspec.msgpack.decode(data, type=type(state), dec_hook=decode_array)


def bytes_of(state):
    return msgspec.msgpack.encode(state, enc_hook=encode_array)
