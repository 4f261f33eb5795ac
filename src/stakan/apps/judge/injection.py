"""Write scripts into a recorded session so that its book stays one book: nothing missing, crossed or left behind.

A feed's deltas are absolute, so whatever the recording says of a level while planted lots stand there is said with
them added. Levels change with messages that the recording has anyway; only scripts that flood the feed add messages of
their own, and the numbers of all later messages move up to make room. Without scripts the events are the recording's.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain, groupby

import msgspec
import numpy as np

from stakan.apps.judge.background import Background, SessionEvent
from stakan.apps.judge.scripts import RIDING, LevelChange, PlantedPrint, Script
from stakan.core.domain.errors import InvariantViolated
from stakan.core.domain.events import BookDelta, BookSnapshot, Levels, TradePrint
from stakan.core.domain.units import Lots, Side, Ticks
from stakan.core.market.book import Book

_FIRST_TRADE_ID = 2**61
"""Ids of planted prints count from here: no venue gets so far."""

_Key = tuple[Side, int]


def inject(ground: Background, scripts: Sequence[Script]) -> Iterator[SessionEvent]:
    """The session with scripts written into it, in order of arrival."""
    return _Pen(ground, scripts).events()


class _Pen:
    """Follows the recording's book and knows the planted lots of every level."""

    def __init__(self, ground: Background, scripts: Sequence[Script]) -> None:
        self._ground = ground
        self._book = Book(ground.instrument.id)
        self._planted: dict[_Key, int] = {}
        self._riding: defaultdict[int, list[LevelChange]] = defaultdict(list)
        self._between: defaultdict[int, list[PlantedPrint | LevelChange]] = defaultdict(list)
        self._shift = 0
        self._sequence = 0
        self._prints = 0
        for change in chain.from_iterable(script.changes for script in scripts):
            (self._riding if change.ts == RIDING else self._between)[change.message].append(change)
        for one in chain.from_iterable(script.prints for script in scripts):
            self._between[one.message].append(one)

    def events(self) -> Iterator[SessionEvent]:
        message = -1
        for event in self._ground.events:
            if isinstance(event, TradePrint):
                yield event
                continue
            message += 1
            yield from self._additional(message, event.ts_recv)
            self._book.apply(event)
            yield self._rewritten(event, self._riding.get(message, ()))

    def _additional(self, message: int, ts_recv: int) -> Iterator[TradePrint | BookDelta]:
        """Prints and messages that come before a message of the recording, in order of time."""
        waiting = sorted(self._between.get(message, ()), key=lambda one: one.ts)
        for _, together in groupby(waiting, key=lambda one: one.ts):
            changes = []
            for one in together:
                if isinstance(one, PlantedPrint):
                    yield self._print(one, ts_recv)
                else:
                    changes.append(one)
            if changes:
                yield self._own_message(changes, ts_recv)

    def _print(self, one: PlantedPrint, ts_recv: int) -> TradePrint:
        self._prints += 1
        return TradePrint(
            ts_event=one.ts,
            ts_recv=ts_recv,
            instrument=self._ground.instrument.id,
            price=Ticks(one.price),
            size=Lots(one.lots),
            side=one.aggressor,
            trade_id=_FIRST_TRADE_ID + self._prints,
        )

    def _own_message(self, changes: Sequence[LevelChange], ts_recv: int) -> BookDelta:
        for change in changes:
            self._plant(change)
        rows: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        for change in changes:
            rows[change.side][change.price] = self._size(change.side, change.price)
        before = self._sequence
        self._shift += 1
        self._sequence += 1
        sides = [np.array(sorted(rows[side].items()), np.int64).reshape(-1, 2) for side in (Side.BUY, Side.SELL)]
        return BookDelta(
            ts_event=changes[0].ts,
            ts_recv=ts_recv,
            instrument=self._ground.instrument.id,
            sequence=self._sequence,
            previous_sequence=before,
            levels=np.concatenate(sides),
            bid_count=len(sides[0]),
        )

    def _rewritten(self, event: BookDelta | BookSnapshot, changes: Sequence[LevelChange]) -> SessionEvent:
        """A message of the recording with planted lots added and changes riding on it."""
        named: dict[_Key, None] = {}
        for change in changes:
            self._plant(change)
            named[change.side, change.price] = None
        is_snapshot = isinstance(event, BookSnapshot)
        if is_snapshot:
            named |= dict.fromkeys(self._planted)
        self._sequence = event.sequence + self._shift
        if not (named or self._planted or self._shift):
            return event
        count = event.bid_count
        bids = self._side(Side.BUY, event.levels[:count], named)
        asks = self._side(Side.SELL, event.levels[count:], named)
        return msgspec.structs.replace(
            event,
            sequence=self._sequence,
            previous_sequence=event.previous_sequence if is_snapshot else event.previous_sequence + self._shift,
            levels=np.concatenate((bids, asks)),
            bid_count=len(bids),
        )

    def _side(self, side: Side, rows: Levels, named: dict[_Key, None]) -> Levels:
        """Rows of one side with what is planted; levels that only a script names join in the order of the rows."""
        mine = [key for key in {**self._planted, **named} if key[0] is side]
        if not mine:
            return rows
        changed = rows.copy()
        more = []
        for key in mine:
            found = np.flatnonzero(rows[:, 0] == key[1])
            if len(found):
                changed[found[-1], 1] += self._planted.get(key, 0)
            elif key in named:
                more.append((key[1], self._size(*key)))
        if not more:
            return changed
        falls = len(rows) > 1 and rows[0, 0] > rows[-1, 0]
        joined = np.concatenate((changed, np.array(more, np.int64)))
        order = np.argsort(-joined[:, 0] if falls else joined[:, 0], kind="stable")
        return joined[order]

    def _size(self, side: Side, price: int) -> int:
        return self._book.size_at(side, price) + self._planted.get((side, price), 0)

    def _plant(self, change: LevelChange) -> None:
        key = (change.side, change.price)
        lots = self._planted.pop(key, 0) + change.lots
        if lots < 0:
            raise InvariantViolated(f"a script withdraws {-lots} lots at {change.price} that nobody planted")
        if lots:
            self._planted[key] = lots
