"""LOBSTER days: every order of one stock with its id, and the book it made, to the level-2 events of that book.

A day is a zip of two CSV files without headers: messages (seconds after midnight, type, order id, size, price in 1/10000
dollar, direction of the resting order) and, row by row, the best levels after each message. Times count from midnight of
the trading day as if it were UTC. Level 2 is projected as a feed would show it: what happens at one instant is one
message, executions are prints before it. Only the shown levels are known for certain; one that drops out of sight stays
what it was until it comes back, as no feed says that it had gone.
"""

import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from stakan.core.domain.errors import DataError
from stakan.core.domain.events import BookDelta, BookSnapshot, TradePrint
from stakan.core.domain.ids import instrument_id
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import SECOND, Lots, Side, Ticks

Ints = npt.NDArray[np.int64]

_NAME = re.compile(r"(?P<symbol>[A-Z.]+)_(?P<day>\d{4}-\d{2}-\d{2})_\d+_\d+_(?P<what>message|orderbook)_\d+\.csv")
_UNITS_A_TICK = 100
"""LOBSTER's 1/10000 dollar in a tick of one cent."""
_NOTHING_THERE = 9_999_999_999
"""Price of a level that does not exist, negative for bids."""
_COLUMNS_A_LEVEL = 4
_MESSAGE_COLUMNS = 6


class OrderEvent(IntEnum):
    """What a message says of an order."""

    SUBMITTED = 1
    REDUCED = 2
    DELETED = 3
    EXECUTED = 4
    HIDDEN_EXECUTED = 5
    HALT = 7


class LobsterDay(NamedTuple):
    """One stock's day; row k of all arrays is one message."""

    instrument: Instrument
    ts: Ints
    """Nanoseconds."""
    kind: Ints
    """`OrderEvent`."""
    order_id: Ints
    lots: Ints
    """Shares."""
    price: Ints
    """Ticks of one cent; a hidden order's price between two ticks is the lower one."""
    side: Ints
    """Of the resting order: 1 for bids, -1 for asks."""
    levels: Ints
    """Book after the message, shape (n, 4 * depth): ask price, ask size, bid price, bid size, from the best outwards;
    prices in 1/10000 dollar."""


def read_day(path: Path) -> LobsterDay:
    """Read a zip of one day; raises DataError naming the file where it is none or its tables do not fit together."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = {match["what"]: match for name in archive.namelist() if (match := _NAME.fullmatch(name))}
            if set(found) != {"message", "orderbook"}:
                raise DataError(f"{path}: holds no pair of LOBSTER message and orderbook files")
            messages, levels = (_table(archive.read(found[what][0])) for what in ("message", "orderbook"))
    except (OSError, zipfile.BadZipFile, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: cannot be read as a LOBSTER day: {error}") from error
    if len(messages) != _MESSAGE_COLUMNS or len(levels) % _COLUMNS_A_LEVEL or len(messages[0]) != len(levels[0]):
        raise DataError(f"{path}: messages and books do not belong together")
    match = found["message"]
    midnight = int(datetime.fromisoformat(match["day"]).replace(tzinfo=UTC).timestamp()) * SECOND
    kind, order_id, lots, price, side = (column.astype(np.int64) for column in messages[1:])
    return LobsterDay(
        instrument=Instrument(
            id=instrument_id("lobster", Category.SPOT, match["symbol"]),
            category=Category.SPOT,
            base=match["symbol"],
            quote="USD",
            settle="USD",
            tick_size=Decimal("0.01"),
            lot_size=Decimal(1),
        ),
        ts=midnight + np.rint(messages[0] * SECOND).astype(np.int64),
        kind=kind,
        order_id=order_id,
        lots=lots,
        price=price // _UNITS_A_TICK,
        side=side,
        levels=np.column_stack([column.astype(np.int64) for column in levels]),
    )


def events(day: LobsterDay) -> Iterator[BookSnapshot | BookDelta | TradePrint]:
    """The day's level 2, in order of time; raises DataError where a level is off the grid."""
    books: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
    last_of_instant = np.flatnonzero(np.append(day.ts[1:] != day.ts[:-1], True))
    first, sequence = 0, 0
    for last in last_of_instant.tolist():
        ts = int(day.ts[last])
        for row in range(first, last + 1):
            if day.kind[row] in {OrderEvent.EXECUTED, OrderEvent.HIDDEN_EXECUTED}:
                yield _print(day, row)
        first = last + 1
        bids = _changes(books[Side.BUY], _shown(day, last, Side.BUY), Side.BUY)
        asks = _changes(books[Side.SELL], _shown(day, last, Side.SELL), Side.SELL)
        if not (bids or asks):
            continue
        message = BookDelta if sequence else BookSnapshot
        sequence += 1
        yield message(
            ts_event=ts,
            ts_recv=ts,
            instrument=day.instrument.id,
            sequence=sequence,
            previous_sequence=sequence - 1,
            levels=np.array(bids + asks, np.int64).reshape(-1, 2),
            bid_count=len(bids),
        )


def _table(data: bytes) -> list[npt.NDArray[np.float64]]:
    read = csv.read_csv(BytesIO(data), csv.ReadOptions(autogenerate_column_names=True))
    return [column.to_numpy().astype(np.float64) for column in read.columns]


def _print(day: LobsterDay, row: int) -> TradePrint:
    ts = int(day.ts[row])
    return TradePrint(
        ts_event=ts,
        ts_recv=ts,
        instrument=day.instrument.id,
        price=Ticks(int(day.price[row])),
        size=Lots(int(day.lots[row])),
        side=Side(int(day.side[row])).opposite,
        trade_id=row + 1,
    )


def _shown(day: LobsterDay, row: int, side: Side) -> dict[int, int]:
    """Levels of one side after a message, ticks to lots, from the best outwards."""
    at = 0 if side is Side.SELL else 2
    found = {}
    for price, lots in zip(day.levels[row, at::4].tolist(), day.levels[row, at + 1 :: 4].tolist(), strict=True):
        if abs(price) == _NOTHING_THERE:
            continue
        ticks, rest = divmod(price, _UNITS_A_TICK)
        if rest or lots <= 0:
            raise DataError(f"{day.instrument.id}: row {row + 1} shows {lots} shares at {price / 10_000} dollars")
        found[ticks] = lots
    return found


def _changes(known: dict[int, int], shown: dict[int, int], side: Side) -> list[tuple[int, int]]:
    """What a feed would say of one side, best level first; `known` becomes what it knows then."""
    if not shown:
        return []
    farthest = next(reversed(shown))
    gone = [price for price in known if price not in shown and side * (price - farthest) >= 0]
    changed = [(price, lots) for price, lots in shown.items() if known.get(price) != lots]
    for price in gone:
        del known[price]
    known.update(changed)
    return sorted(changed + [(price, 0) for price in gone], key=lambda level: -side * level[0])
