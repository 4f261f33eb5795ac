"""Market events as columns: what recordings, generators and the simulated exchange exchange.

A batch holds consecutive events of one instrument in order of arrival. Everything that is price and size sits in one
level table, so that numeric kernels walk a batch without making objects; `event(i)` makes the object where one is
wanted. What does not fit into levels (tickers, candles, rule changes) is carried as objects in `others`.
"""

from collections.abc import Iterator
from enum import IntEnum

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.errors import DataError
from stakan.core.domain.events import (
    AnyMarketEvent,
    BestQuote,
    BookDelta,
    BookSnapshot,
    Levels,
    TradePrint,
)
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import Side

Ints = npt.NDArray[np.int64]


class Kind(IntEnum):
    """What a row of a batch is."""

    SNAPSHOT = 0
    DELTA = 1
    BUY_PRINT = 2
    """A trade print whose aggressor bought; one level."""
    SELL_PRINT = 3
    QUOTE = 4
    """Two levels: best bid, best ask."""
    OTHER = 5
    """`sequence` is the index into `others`."""


# Comparing plain integers: an IntEnum costs more per row than making the event.
_DELTA = int(Kind.DELTA)
_BUY_PRINT = int(Kind.BUY_PRINT)
_SELL_PRINT = int(Kind.SELL_PRINT)
_OTHER = int(Kind.OTHER)


class MarketBatch(msgspec.Struct, frozen=True, eq=False):
    """Columns of n events with m levels in all.

    `ts_exchange` is the running maximum of `ts_event`: the time at which a simulated exchange lives through the row,
    so that its order of events is the order of arrival.
    """

    instrument: InstrumentId
    kind: npt.NDArray[np.uint8]
    ts_event: Ints
    ts_recv: Ints
    ts_exchange: Ints
    arrival: Ints
    """Ordinal over all instruments of the recording; breaks ties of `ts_recv`."""
    sequence: Ints
    """Book and quote: the venue's id; prints: `trade_id`; others: index."""
    previous_sequence: Ints
    """Deltas: the id that this one must follow; prints: 1 for RPI, else 0."""
    level_start: Ints
    """Shape (n + 1,): row i owns levels[level_start[i]:level_start[i + 1]]."""
    bid_count: Ints
    levels: Levels
    """Shape (m, 2)."""
    others: tuple[AnyMarketEvent, ...] = ()

    def __len__(self) -> int:
        return len(self.kind)

    def event(self, row: int) -> AnyMarketEvent:
        """The event of one row, as an object; its levels are a view into the batch."""
        return next(self.events(row, row + 1))

    def events(self, first: int = 0, last: int | None = None) -> Iterator[AnyMarketEvent]:
        """The events of rows [first, last) in order, as objects."""
        rows = slice(first, len(self) if last is None else last)
        # Plain integers and one pass: reading single array elements costs more than making the event.
        columns = (self.kind, self.ts_event, self.ts_recv, self.sequence, self.previous_sequence, self.bid_count)
        starts = self.level_start[rows.start : rows.stop + 1].tolist()
        for (kind, ts_event, ts_recv, sequence, previous, bid_count), start, end in zip(
            zip(*(column[rows].tolist() for column in columns), strict=True), starts[:-1], starts[1:], strict=True
        ):
            if kind == _OTHER:
                yield self.others[sequence]
            elif kind <= _DELTA:
                make = BookDelta if kind == _DELTA else BookSnapshot
                yield make(
                    instrument=self.instrument,
                    ts_event=ts_event,
                    ts_recv=ts_recv,
                    sequence=sequence,
                    previous_sequence=previous,
                    levels=self.levels[start:end],
                    bid_count=bid_count,
                )
            elif kind <= _SELL_PRINT:
                price, size = self.levels[start].tolist()
                yield TradePrint(
                    instrument=self.instrument,
                    ts_event=ts_event,
                    ts_recv=ts_recv,
                    price=price,
                    size=size,
                    side=Side.BUY if kind == _BUY_PRINT else Side.SELL,
                    trade_id=sequence,
                    is_rpi=previous != 0,
                )
            else:
                (bid_price, bid_size), (ask_price, ask_size) = self.levels[start:end].tolist()
                yield BestQuote(
                    instrument=self.instrument,
                    ts_event=ts_event,
                    ts_recv=ts_recv,
                    sequence=sequence,
                    bid_price=bid_price,
                    bid_size=bid_size,
                    ask_price=ask_price,
                    ask_size=ask_size,
                )


class BatchBuilder:
    """Collects events of one instrument into a batch; used by importers, the recorder and the generator."""

    def __init__(self, instrument: InstrumentId) -> None:
        self.instrument = instrument
        self._rows: list[tuple[int, int, int, int, int, int, int, int]] = []
        self._levels: list[Levels] = []
        self._others: list[AnyMarketEvent] = []
        self._last_ts_recv = 0
        self._last_ts_exchange = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, event: AnyMarketEvent, arrival: int) -> None:
        """Append an event; raises DataError where its receive time goes back or it is another instrument's."""
        if event.instrument != self.instrument:
            raise DataError(f"event of {event.instrument} in a batch of {self.instrument}")
        if event.ts_recv < self._last_ts_recv:
            raise DataError(
                f"{self.instrument}: receive time goes back from {self._last_ts_recv} to {event.ts_recv} at {arrival}"
            )
        kind, sequence, previous, bid_count, levels = self._parts(event)
        self._rows.append((kind, event.ts_event, event.ts_recv, arrival, sequence, previous, bid_count, len(levels)))
        self._levels.append(levels)
        self._last_ts_recv = event.ts_recv

    def build(self) -> MarketBatch:
        """The collected events; the builder is empty afterwards and remembers both times."""
        rows = np.array(self._rows, dtype=np.int64).reshape(-1, 8)
        levels = np.concatenate(self._levels) if self._levels else np.empty((0, 2), np.int64)
        batch = columns(
            self.instrument,
            kind=rows[:, 0].astype(np.uint8),
            ts_event=rows[:, 1],
            ts_recv=rows[:, 2],
            arrival=rows[:, 3],
            sequence=rows[:, 4],
            previous_sequence=rows[:, 5],
            bid_count=rows[:, 6],
            level_count=rows[:, 7],
            levels=levels,
            others=tuple(self._others),
            exchange_floor=self._last_ts_exchange,
        )
        if len(batch):
            self._last_ts_exchange = int(batch.ts_exchange[-1])
        self._rows, self._levels, self._others = [], [], []
        return batch

    def _parts(self, event: AnyMarketEvent) -> tuple[int, int, int, int, Levels]:
        match event:
            case BookSnapshot() | BookDelta():
                kind = Kind.SNAPSHOT if isinstance(event, BookSnapshot) else Kind.DELTA
                return kind, event.sequence, event.previous_sequence, event.bid_count, event.levels
            case TradePrint():
                kind = Kind.BUY_PRINT if event.side is Side.BUY else Kind.SELL_PRINT
                level = np.array([[event.price, event.size]], dtype=np.int64)
                return kind, event.trade_id, int(event.is_rpi), 0, level
            case BestQuote():
                quote = [[event.bid_price, event.bid_size], [event.ask_price, event.ask_size]]
                return Kind.QUOTE, event.sequence, 0, 1, np.array(quote, dtype=np.int64)
            case _:
                self._others.append(event)
                return Kind.OTHER, len(self._others) - 1, 0, 0, np.empty((0, 2), np.int64)


def columns(  # noqa: PLR0913 - one argument per column
    instrument: InstrumentId,
    *,
    kind: npt.NDArray[np.uint8],
    ts_event: Ints,
    ts_recv: Ints,
    arrival: Ints,
    sequence: Ints,
    previous_sequence: Ints,
    bid_count: Ints,
    level_count: Ints,
    levels: Levels,
    others: tuple[AnyMarketEvent, ...] = (),
    exchange_floor: int = 0,
) -> MarketBatch:
    """A batch from plain columns, each of shape (n,), contiguous int64.

    `exchange_floor` is the last `ts_exchange` of the batch before.
    """
    level_start = np.zeros(len(kind) + 1, np.int64)
    np.cumsum(level_count, out=level_start[1:])
    if level_start[-1] != len(levels):
        raise DataError(f"{instrument}: {level_start[-1]} levels counted, {len(levels)} given")
    ts_exchange = np.maximum.accumulate(np.maximum(ts_event, exchange_floor))
    return MarketBatch(
        instrument=instrument,
        kind=np.ascontiguousarray(kind),
        ts_event=np.ascontiguousarray(ts_event),
        ts_recv=np.ascontiguousarray(ts_recv),
        ts_exchange=np.ascontiguousarray(ts_exchange),
        arrival=np.ascontiguousarray(arrival),
        sequence=np.ascontiguousarray(sequence),
        previous_sequence=np.ascontiguousarray(previous_sequence),
        level_start=level_start,
        bid_count=np.ascontiguousarray(bid_count),
        levels=np.ascontiguousarray(levels),
        others=others,
    )


class MarketWindow(msgspec.Struct, frozen=True, eq=False):
    """A stretch of the market: one batch per instrument, and the total order over them."""

    batches: tuple[MarketBatch, ...]
    order_batch: Ints
    """Shape (k,): which batch the k-th event belongs to."""
    order_row: Ints
    """Shape (k,): its row there."""

    def __len__(self) -> int:
        return len(self.order_batch)

    def events(self) -> Iterator[AnyMarketEvent]:
        """All events in order of arrival."""
        # Rows of one batch come in their own order, so that each batch is walked once.
        walks = [batch.events() for batch in self.batches]
        for which in self.order_batch.tolist():
            yield next(walks[which])


def window(batches: tuple[MarketBatch, ...]) -> MarketWindow:
    """Merge batches of different instruments by receive time, ties by arrival ordinal."""
    which = np.repeat(np.arange(len(batches)), [len(b) for b in batches])
    rows = np.concatenate([np.arange(len(b)) for b in batches]) if batches else np.empty(0, np.int64)
    ts_recv = np.concatenate([b.ts_recv for b in batches]) if batches else np.empty(0, np.int64)
    arrival = np.concatenate([b.arrival for b in batches]) if batches else np.empty(0, np.int64)
    order = np.lexsort((arrival, ts_recv))
    return MarketWindow(batches=batches, order_batch=which[order], order_row=rows[order])
