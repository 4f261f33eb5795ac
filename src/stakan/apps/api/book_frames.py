"""One instrument's market as one binary frame per update: what ladder and heat-map are drawn from.

All numbers are little-endian. A frame is a head of 48 bytes and seven lists of records, one after the other:

| offset | type | head |
| --- | --- | --- |
| 0 | u8 | version, 1 |
| 1 | u8 | flags: 1 the book can be trusted |
| 2 | 7 x u16 | how many records: bids, asks, prints, densities, orders, fills, positions |
| 16 | f64 | time of the update, milliseconds since 1970 |
| 24 | f64 | base price in ticks; prices below are relative to it |
| 32 | f64 | time of the newest market message, milliseconds since 1970; 0 before the first |
| 40 | f32 | health, 0 to 1 |
| 44 | f32 | latency of the newest message, milliseconds |

| list | bytes | record |
| --- | --- | --- |
| bids, asks | 8 | f32 price, f32 size; best first |
| prints | 16 | f32 price, f32 size, f32 sign of the aggressor, f32 age in milliseconds |
| densities | 16 | f32 price, f32 size, f32 sign of the side, f32 age in seconds |
| orders | 16 | f32 price, f32 size left, f32 sign of the side, f32 1 entry, 2 exit |
| fills | 16 | f32 price, f32 size, f32 sign of the side, f32 age in milliseconds |
| positions | 16 | f32 entry, f32 stop loss, f32 take profit (NaN where there is none), f32 size with sign |

Prices are ticks from the base (exact up to 16.7 million of them), sizes lots. Ages are before the time of the update.
"""

import struct
from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from stakan.apps.projection import BookView, FillView, OrderView, PositionView, Update
from stakan.core.domain.orders import Purpose
from stakan.core.domain.units import MILLISECOND, SECOND

VERSION = 1
HEAD = struct.Struct("<BB7Hddd2f")
USABLE = 1
_MAX_RECORDS = 500
_NOTHING = float("nan")


def book_frame(book: BookView, update: Update, tick_size: Decimal) -> bytes:
    """The frame of one instrument in one update."""
    bids, asks = _levels(book.bids), _levels(book.asks)
    base = float(bids[0, 0]) if len(bids) else float(asks[0, 0]) if len(asks) else 0.0
    lists = (
        [(p.price - base, p.size, p.side, (update.ts - p.ts) / MILLISECOND) for p in book.prints[-_MAX_RECORDS:]],
        [(d.price - base, d.size, d.side, (update.ts - d.since) / SECOND) for d in book.densities[:_MAX_RECORDS]],
        _orders([order for order in update.orders if order.instrument == book.instrument], base),
        _fills([fill for fill in update.fills if fill.instrument == book.instrument], base, update.ts),
        _positions([held for held in update.positions if held.instrument == book.instrument], base, tick_size),
    )
    head = HEAD.pack(
        VERSION,
        USABLE if book.is_usable else 0,
        len(bids),
        len(asks),
        *(len(records) for records in lists),
        update.ts / MILLISECOND,
        base,
        book.ts / MILLISECOND,
        book.health,
        book.latency_ms,
    )
    parts = [head, *(_packed_levels(levels, base) for levels in (bids, asks))]
    return b"".join([*parts, *(np.array(records, "<f4").tobytes() for records in lists if records)])


def _levels(data: bytes) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.frombuffer(data, "<i8").reshape(-1, 2)


def _packed_levels(levels: np.ndarray[tuple[int, int], np.dtype[np.int64]], base: float) -> bytes:
    return (levels - (base, 0.0)).astype("<f4").tobytes()


Record = tuple[float, float, float, float]


def _orders(orders: Sequence[OrderView], base: float) -> list[Record]:
    return [
        (order.price - base, order.size - order.filled, order.side, 1 if order.purpose is Purpose.ENTRY else 2)
        for order in orders[:_MAX_RECORDS]
        if order.price is not None and not order.status.is_terminal
    ]


def _fills(fills: Sequence[FillView], base: float, ts: int) -> list[Record]:
    return [(fill.price - base, fill.size, fill.side, (ts - fill.ts) / MILLISECOND) for fill in fills[-_MAX_RECORDS:]]


def _positions(positions: Sequence[PositionView], base: float, tick_size: Decimal) -> list[Record]:
    return [
        (
            float(held.entry_price / tick_size) - base,
            _NOTHING if held.stop_loss is None else held.stop_loss - base,
            _NOTHING if held.take_profit is None else held.take_profit - base,
            held.size * held.side,
        )
        for held in positions[:_MAX_RECORDS]
    ]
