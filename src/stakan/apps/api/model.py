"""What the console process remembers of a bot: bounded, made from the bot's messages alone."""

from collections import Counter, deque
from collections.abc import Iterable
from typing import Generic, TypeVar

from stakan.apps.api.book_frames import book_frame
from stakan.apps.projection import (
    Backlog,
    BookView,
    CandleView,
    DecisionView,
    EquityPoint,
    FeaturesView,
    FillView,
    Hello,
    OrderView,
    PositionView,
    StatusView,
    TradeView,
    Update,
)
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Nanos

T = TypeVar("T")

CANDLES_KEPT = 1_000
"""Per instrument."""
EQUITY_KEPT = 7_200
DECISIONS_KEPT = 500
FILLS_KEPT = 2_000
TRADES_KEPT = 2_000
_FRAMES_KEPT = 30_000
_FRAMES_KEPT_EACH = (120, 1_200)
"""Book frames over all instruments, and the fewest and the most of one: two minutes of ten a second at best."""


class Ring(Generic[T]):
    """The newest of a series; readers ask for what came since they last asked."""

    def __init__(self, size: int) -> None:
        self._items: deque[T] = deque(maxlen=size)
        self.count = 0
        """How many there ever were: what a reader keeps as its place."""

    def extend(self, items: Iterable[T]) -> None:
        """Add at the end; the oldest go."""
        for item in items:
            self._items.append(item)
            self.count += 1

    def since(self, place: int) -> list[T]:
        """What came after `place`, oldest first, as far as it is still kept."""
        missing = min(self.count - place, len(self._items))
        return [self._items[index] for index in range(len(self._items) - missing, len(self._items))] if missing else []

    def newest(self, limit: int) -> list[T]:
        """The last `limit`, oldest first."""
        return self.since(self.count - limit)

    def is_gone(self, place: int) -> bool:
        """Whether something after `place` is no longer kept."""
        return self.count - place > len(self._items)


class ReadModel:
    """The newest picture of one bot. A bot that was started anew begins a new picture, and `epoch` says so."""

    def __init__(self) -> None:
        self.epoch = 0
        self.hello: Hello | None = None
        self.instruments: dict[InstrumentId, Instrument] = {}
        self._clear()

    def _clear(self) -> None:
        self.ts = Nanos(0)
        self.status: StatusView | None = None
        self.books: dict[InstrumentId, BookView] = {}
        self.features: dict[InstrumentId, FeaturesView] = {}
        self.orders: tuple[OrderView, ...] = ()
        self.positions: tuple[PositionView, ...] = ()
        self.frames: dict[InstrumentId, Ring[bytes]] = {}
        self.signals: Counter[tuple[str, str]] = Counter()
        """Decisions by (strategy, kind) since the bot was first seen."""
        self._newest_decision = -1
        self._forget_series()

    def _forget_series(self) -> None:
        self._candles: dict[InstrumentId, dict[Nanos, CandleView]] = {}
        self.candle_changes: dict[InstrumentId, Ring[CandleView]] = {}
        self.equity: Ring[EquityPoint] = Ring(EQUITY_KEPT)
        self.decisions: Ring[DecisionView] = Ring(DECISIONS_KEPT)
        self.fills: Ring[FillView] = Ring(FILLS_KEPT)
        self.trades: Ring[TradeView] = Ring(TRADES_KEPT)

    def greet(self, hello: Hello) -> None:
        """A bot has answered: the same one after a broken connection, or another."""
        is_same = self.hello is not None and self.hello.started_ts == hello.started_ts
        self.hello = hello
        self.instruments = {instrument.id: instrument for instrument in hello.instruments}
        self.epoch += 1
        if is_same:
            # Its backlog tells the series again.
            self._forget_series()
        else:
            self._clear()
        fewest, most = _FRAMES_KEPT_EACH
        kept = max(fewest, min(most, _FRAMES_KEPT // max(1, len(self.instruments))))
        self.frames = {name: self.frames.get(name) or Ring(kept) for name in self.instruments}

    def recall(self, backlog: Backlog) -> None:
        """What happened before."""
        self._add(backlog)

    def apply(self, update: Update) -> None:
        """What is now."""
        self.ts = update.ts
        self.status = update.status
        self.orders = update.orders
        self.positions = update.positions
        self._add(update)
        self.features.update((view.instrument, view) for view in update.features)
        for book in update.books:
            self.books[book.instrument] = book
            ring = self.frames.get(book.instrument)
            if ring is not None:
                ring.extend((book_frame(book, update, self.instruments[book.instrument].tick_size),))

    def candles(self, instrument: InstrumentId, limit: int = CANDLES_KEPT) -> list[CandleView]:
        """The newest candles of an instrument, oldest first."""
        return list(self._candles.get(instrument, {}).values())[-limit:]

    def _add(self, news: Backlog | Update) -> None:
        self.equity.extend(news.equity)
        self.decisions.extend(news.decisions)
        self.fills.extend(news.fills)
        self.trades.extend(news.trades)
        for candle in news.candles:
            self._add_candle(candle)
        for decision in news.decisions:
            # A backlog tells again what was counted before the connection broke.
            if decision.number > self._newest_decision or not isinstance(news, Backlog):
                self.signals[decision.strategy, decision.kind] += 1
        self._newest_decision = max([self._newest_decision, *(decision.number for decision in news.decisions)])

    def _add_candle(self, candle: CandleView) -> None:
        known = self._candles.setdefault(candle.instrument, {})
        known[candle.open_ts] = candle
        while len(known) > CANDLES_KEPT:
            del known[next(iter(known))]
        self.candle_changes.setdefault(candle.instrument, Ring(CANDLES_KEPT)).extend((candle,))
