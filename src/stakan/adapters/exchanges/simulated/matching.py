"""One instrument's replayed market and the simulated orders resting in it, for any number of owners."""

import numpy as np

from stakan.adapters.exchanges.simulated import _depth_kernels as depth_kernels
from stakan.adapters.exchanges.simulated import _matching_kernels as kernels
from stakan.adapters.exchanges.simulated.models import QueueModel
from stakan.core.domain.batch import Ints, MarketBatch
from stakan.core.domain.events import AnyMarketEvent
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Side

REACH_PER_MILLE = 100
"""Levels farther than 10 % from the touch are not kept, as in the bot's own book."""
_FIRST_ROWS = 4096
"""Of the book's table: half as many levels find room."""
_FIRST_ORDERS = 16

FILLED = kernels.FILLED
WATCHED = kernels.WATCHED
HAS_OTHER = kernels.HAS_OTHER
NEVER = kernels.NEVER

Fill = tuple[int, int, int]
"""Order key (0 for a taker), price in ticks, size in lots."""


class Matching:
    """Replays batches; orders are known by positive integer keys that the caller chooses."""

    def __init__(self, instrument: Instrument, queue: QueueModel) -> None:
        self.instrument: InstrumentId = instrument.id
        self._model = queue.rule.code
        self._exponent = queue.exponent
        self._unit = float(instrument.lot_size)
        self._batches: list[tuple[MarketBatch, Ints]] = []
        self._batch: MarketBatch | None = None
        self._other_batch: MarketBatch | None = None
        self._rows = np.empty((0, 7), np.int64)
        self._levels = np.empty((0, 2), np.int64)
        self._depth = np.zeros((2, _FIRST_ROWS, 2), np.int64)
        self._orders = np.zeros((_FIRST_ORDERS, 4), np.int64)
        self._queue = np.zeros((_FIRST_ORDERS, 2))
        self._fills = np.zeros((_FIRST_ORDERS, kernels.FILL_COLUMNS), np.int64)
        state = np.zeros(kernels.STATE_CELLS, np.int64)
        state[kernels.NEXT_TS] = NEVER
        kernels.bounds(state, self._orders)
        self._state = state
        self._cells = state.data  # reads a cell three times as fast as the array does
        self.watch_last(-NEVER, NEVER)
        self.watch_mid(-NEVER, NEVER)

    # --- market -----------------------------------------------------------------------------------------------------

    def feed(self, batch: MarketBatch) -> None:
        """Give it the rows to come; nothing of them happens yet."""
        if len(batch):
            self._batches.append((batch, _packed(batch)))
            self._next_batch()

    @property
    def next_ts(self) -> int:
        """Exchange time of the next row; NEVER where none is known."""
        return self._cells[kernels.NEXT_TS]

    @property
    def now(self) -> int:
        """Exchange time of the last row that was lived through."""
        return self._cells[kernels.NOW]

    def advance(self, until: int) -> int:
        """Live through rows with an exchange time up to `until`.

        Returns 0 when all of them are done; else bits FILLED (see `fills`), WATCHED, HAS_OTHER (see `other`), and
        the caller calls again.
        """
        cells = self._cells
        while cells[kernels.NEXT_TS] <= until:
            bits = kernels.advance(
                self._rows,
                self._levels,
                self._depth,
                self._state,
                self._orders,
                self._queue,
                self._fills,
                until,
                self._model,
                self._exponent,
                self._unit,
                REACH_PER_MILLE,
            )
            if bits & kernels.FULL:
                self._make_room()
                continue
            if bits:
                self._other_batch = self._batch
            self._next_batch()
            if bits:
                return bits
        return 0

    def fills(self) -> list[Fill]:
        """Fills of resting orders in the row at which `advance` stopped, in order of priority."""
        found: list[Fill] = [tuple(row) for row in self._fills[: self._cells[kernels.FILL_COUNT]].tolist()]
        return found

    def other(self) -> AnyMarketEvent:
        """The event at which `advance` stopped with HAS_OTHER."""
        assert self._other_batch is not None
        return self._other_batch.others[self._cells[kernels.OTHER_INDEX]]

    def forget_book(self) -> None:
        """The recording is interrupted: there is no book until the next snapshot."""
        kernels.forget_book(self._depth, self._state)

    def recall(self, last: int, last_mid: int) -> None:
        """Start from the last print (ticks) and twice the last mid that an earlier life knew."""
        self._cells[kernels.LAST] = last
        self._cells[kernels.LAST_MID] = last_mid

    def watch_last(self, low: int, high: int) -> None:
        """Stop at prints at or below `low` or at or above `high` ticks."""
        self._cells[kernels.LAST_LOW] = low
        self._cells[kernels.LAST_HIGH] = high

    def watch_mid(self, low: int, high: int) -> None:
        """Stop when twice the mid is at or below `low` or at or above `high` ticks."""
        self._cells[kernels.MID_LOW] = low
        self._cells[kernels.MID_HIGH] = high

    @property
    def best_bid(self) -> int:
        """Ticks; 0 where there is none."""
        return self._cells[depth_kernels.BEST]

    @property
    def best_ask(self) -> int:
        """Ticks; 0 where there is none."""
        return self._cells[depth_kernels.BEST + 1]

    @property
    def last(self) -> int:
        """Price of the last print in ticks; 0 before the first."""
        return self._cells[kernels.LAST]

    @property
    def last_mid(self) -> int:
        """Twice the mid in ticks when the book was lost; 0 where it never was."""
        return self._cells[kernels.LAST_MID]

    @property
    def is_live(self) -> bool:
        """Whether the book is known and has both sides."""
        return self._cells[depth_kernels.BEST] > 0 and self._cells[depth_kernels.BEST + 1] > 0

    @property
    def gaps(self) -> int:
        """Interruptions of the recording that were met so far."""
        return self._cells[kernels.GAPS]

    def size_at(self, side: Side, price: int) -> int:
        """Market lots of a side at a price, less what simulated orders took since it was last refreshed."""
        return int(depth_kernels.size_at(self._depth, 0 if side is Side.BUY else 1, price))

    # --- orders -----------------------------------------------------------------------------------------------------

    def crosses(self, side: Side, price: int) -> bool:
        """Whether an order at this price would take."""
        if side is Side.BUY:
            return 0 < self.best_ask <= price
        return self.best_bid >= price

    def available(self, side: Side, limit: int) -> int:
        """Lots that a taker could get up to a limit price."""
        return int(kernels.available(self._depth, self._state, side.value, limit))

    def take(self, side: Side, limit: int, size: int) -> list[Fill]:
        """Walk the opposite side up to a limit price, consume what is taken, return it level by level."""
        got: list[Fill] = []
        while size > 0:
            left = kernels.take(
                self._depth, self._state, self._orders, self._queue, self._fills, side.value, limit, size
            )
            got += self.fills()
            if left == size or self._cells[kernels.FILL_COUNT] < len(self._fills):
                break
            size = left
        return got

    def rest(self, key: int, side: Side, price: int, size: int) -> None:
        """Put an order behind everything at its price."""
        if self._cells[kernels.ORDER_COUNT] == len(self._orders):
            self._orders = np.concatenate([self._orders, np.zeros_like(self._orders)])
            self._queue = np.concatenate([self._queue, np.zeros_like(self._queue)])
            self._fills = np.zeros((len(self._orders), kernels.FILL_COLUMNS), np.int64)
        kernels.rest(self._depth, self._state, self._orders, self._queue, key, side.value, price, size)

    def left(self, key: int) -> int:
        """Lots of a resting order that are not filled; 0 where it does not rest."""
        row = self._row(key)
        return 0 if row < 0 else int(self._orders[row, kernels.LEFT])

    def ahead(self, key: int) -> float:
        """Lots before a resting order in its queue; infinite outside the recorded depth, negative if it is not there."""
        row = self._row(key)
        return -1.0 if row < 0 else float(self._queue[row, kernels.AHEAD])

    def resize(self, key: int, left: int) -> None:
        """Shrink what is left of a resting order (it keeps its place) or, with 0, remove it."""
        kernels.resize(self._state, self._orders, self._queue, key, left)

    def _row(self, key: int) -> int:
        return int(kernels.find(self._state, self._orders, key))

    def _next_batch(self) -> None:
        """Step to the next fed batch when the present one is done."""
        if self._cells[kernels.CURSOR] < len(self._rows) or not self._batches:
            return
        self._batch, self._rows = self._batches.pop(0)
        self._levels = self._batch.levels
        self._state[kernels.CURSOR] = 0
        self._state[kernels.NEXT_TS] = self._rows[0, kernels.TS]

    def _make_room(self) -> None:
        """Rebuild the book's table without dead and far levels, larger where that is not enough for the next row."""
        row = self._rows[self._cells[kernels.CURSOR]]
        levels = int(
            self._state[depth_kernels.LEVELS : depth_kernels.USED].max() + row[kernels.END] - row[kernels.FIRST]
        )
        rows = self._depth.shape[1]
        while rows < 4 * levels:
            rows *= 2
        old, self._depth = self._depth, np.zeros((2, rows, 2), np.int64)
        depth_kernels.rebuild(self._depth, self._state, old, REACH_PER_MILLE)


def _packed(batch: MarketBatch) -> Ints:
    """The columns that the kernel needs, side by side: one argument instead of seven, one cache line per row."""
    rows = np.empty((len(batch), 7), np.int64)
    rows[:, kernels.TS] = batch.ts_exchange
    rows[:, kernels.KIND] = batch.kind
    rows[:, kernels.SEQUENCE] = batch.sequence
    rows[:, kernels.PREVIOUS] = batch.previous_sequence
    rows[:, kernels.FIRST] = batch.level_start[:-1]
    rows[:, kernels.END] = batch.level_start[1:]
    rows[:, kernels.BID_COUNT] = batch.bid_count
    return rows
