"""Builders of small markets for the tests of the store."""

from decimal import Decimal

import msgspec
import numpy as np
from hypothesis import strategies as st

from stakan.core.domain.events import (
    AnyMarketEvent,
    BestQuote,
    BookDelta,
    BookSnapshot,
    Candle,
    FeedDown,
    Ticker,
    TradePrint,
    encode_array,
)
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import DAY, SECOND, Side
from stakan.core.market.book import Book

BTC = InstrumentId("bybit:linear:BTCUSDT")
ETH = InstrumentId("bybit:linear:ETHUSDT")
ODD = InstrumentId("some:spot:BTC/USDT")
MIDNIGHT = 19_700 * DAY
START = MIDNIGHT - 30 * SECOND


def a_book(*bids_and_asks, bids=1):
    return {"levels": np.array(bids_and_asks, dtype=np.int64).reshape(-1, 2), "bid_count": bids}


def a_snapshot(instrument=BTC, t=START, sequence=1, levels=((100, 5), (101, 7)), bids=1):
    return BookSnapshot(
        instrument=instrument,
        ts_event=t,
        ts_recv=t,
        sequence=sequence,
        previous_sequence=0,
        **a_book(*levels, bids=bids),
    )


def a_delta(instrument=BTC, t=START, sequence=2, levels=((100, 6),), bids=1):
    previous = sequence - 1
    return BookDelta(
        instrument=instrument,
        ts_event=t,
        ts_recv=t,
        sequence=sequence,
        previous_sequence=previous,
        **a_book(*levels, bids=bids),
    )


def a_print(instrument=BTC, t=START, trade_id=1, price=100, size=2, side=Side.BUY, is_rpi=False):
    return TradePrint(
        instrument=instrument,
        ts_event=t,
        ts_recv=t,
        price=price,
        size=size,
        side=side,
        trade_id=trade_id,
        is_rpi=is_rpi,
    )


def a_candle(instrument=BTC, t=START, interval=60 * SECOND, close=101):
    return Candle(
        instrument=instrument,
        ts_event=t,
        ts_recv=t,
        interval_ns=interval,
        open_ts=t - interval,
        open=100,
        high=103,
        low=99,
        close=close,
        volume=12,
        turnover=Decimal("1212.30"),
        trade_count=4,
    )


def a_session(length=400, instrument=BTC, start=START, step=SECOND // 5):
    """A snapshot and deltas that keep a sound book, with a print every tenth message."""
    events: list[AnyMarketEvent] = [a_snapshot(instrument, start)]
    for i in range(1, length):
        t = start + i * step
        events.append(a_delta(instrument, t, i + 1, levels=((100, 1 + i % 7), (101, 1 + i % 5)), bids=1))
        if i % 10 == 0:
            events.append(a_print(instrument, t, trade_id=i))
    return events


def same(left, right) -> bool:
    """Whether two events are equal, arrays included."""
    return type(left) is type(right) and _bytes(left) == _bytes(right)


def _bytes(event) -> bytes:
    return msgspec.msgpack.encode(event, enc_hook=encode_array)


def read(history) -> list[AnyMarketEvent]:
    return [event for window in history.windows() for event in window.events()]


# --- hypothesis -----------------------------------------------------------------------------------------------------

_BIG = st.integers(-(2**62), 2**62)
_NUMBER = st.integers(0, 2**40)


@st.composite
def an_event(draw, t):
    instrument = draw(st.sampled_from([BTC, ETH, ODD]))
    head = {"instrument": instrument, "ts_event": t + draw(st.integers(-(10**9), 10**9)), "ts_recv": t}
    kind = draw(st.integers(0, 6))
    if kind <= 1:
        count = draw(st.integers(0, 5))
        levels = [[draw(_NUMBER), draw(_NUMBER)] for _ in range(count)]
        book = a_book(*levels, bids=draw(st.integers(0, count)))
        make = BookDelta if kind else BookSnapshot
        return make(**head, sequence=draw(_BIG), previous_sequence=draw(_BIG), **book)
    if kind == 2:
        side = draw(st.sampled_from(Side))
        return TradePrint(
            **head, price=draw(_NUMBER), size=draw(_NUMBER), side=side, trade_id=draw(_BIG), is_rpi=draw(st.booleans())
        )
    if kind == 3:
        return BestQuote(
            **head,
            sequence=draw(_BIG),
            bid_price=draw(_NUMBER),
            bid_size=draw(_NUMBER),
            ask_price=draw(_NUMBER),
            ask_size=draw(_NUMBER),
        )
    if kind == 4:
        return msgspec.structs.replace(
            a_candle(instrument), **head, turnover=draw(st.decimals(allow_nan=False, places=3))
        )
    if kind == 5:
        return Ticker(**head, mark=draw(st.none() | st.decimals(0, 10**6, places=2)), next_funding_ts=draw(_NUMBER))
    return FeedDown(**head, why=draw(st.text(max_size=5)))


@st.composite
def a_market(draw):
    """Events of three instruments in order of arrival, many at equal times, around midnight."""
    t = START
    events = []
    for _ in range(draw(st.integers(1, 40))):
        t += draw(st.sampled_from([0, 0, 1, SECOND, 20 * SECOND]))
        events.append(draw(an_event(t)))
    return events


def replay(events) -> Book:
    """The book after all book messages."""
    book = Book(instrument=BTC)
    for event in events:
        if isinstance(event, BookDelta | BookSnapshot):
            book.apply(event)
    return book
