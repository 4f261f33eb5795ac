"""What a running bot shows of itself: folded from its steps, bounded, read from its state when somebody looks."""

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from itertools import islice
from typing import TypeVar

import msgspec
import numpy as np

from stakan.apps.live.decisions import decision_of
from stakan.apps.live.latency import Latencies
from stakan.apps.projection import (
    BOOK_LEVELS,
    Backlog,
    BookView,
    CandleView,
    DecisionView,
    DensityView,
    EquityPoint,
    FeaturesView,
    FillView,
    Latency,
    OrderView,
    PositionView,
    PrintView,
    StatusView,
    TradeView,
    Update,
)
from stakan.apps.results.series import last_of_buckets
from stakan.core.domain import facts as f
from stakan.core.domain.events import AnyEvent, Candle, MarketEvent, TradePrint
from stakan.core.domain.ids import InstrumentId, VenueOrderId
from stakan.core.domain.step import Step
from stakan.core.domain.units import MILLISECOND, SECOND, Lots, Nanos, Side, Ticks
from stakan.core.engine import Engine
from stakan.core.engine.state import InstrumentState
from stakan.core.features.kept import KeptVector
from stakan.core.market.book import Book
from stakan.core.market.candles import CandleBuilder, Column
from stakan.core.market.health import book_health
from stakan.core.portfolio.orders import Order
from stakan.core.portfolio.position import Position

DECISIONS_KEPT = 500
FILLS_KEPT = 1000
TRADES_KEPT = 1000
EQUITY_KEPT = 7200
PRINTS_SHOWN = 200
"""Per instrument and update."""
_ENDED_SHOWN = 100
"""Orders that ended between two updates."""
_LATENCY_EVERY_NS = SECOND
_SIDES = (Side.BUY, Side.SELL)
_NO_VENUE_ID = VenueOrderId("")

T = TypeVar("T")


class Surroundings(msgspec.Struct):
    """What the status says beside the engine; whoever composes a bot keeps it up to date."""

    problems: Callable[[], tuple[str, ...]] = tuple
    """For people, newest last: what is wrong now."""
    is_connected: Callable[[], bool] = lambda: True
    take_lag_ns: Callable[[], int] = lambda: 0
    """How late something entered at worst since the last call."""
    resyncs: Callable[[InstrumentId], int] = lambda _key: 0
    features: Callable[[InstrumentId], KeptVector | None] = lambda _key: None
    """The newest feature vector."""


class _Counts(msgspec.Struct):
    """Of one instrument's market."""

    messages: int = 0
    latency_ns: int = 0
    prints: deque[TradePrint] = msgspec.field(default_factory=lambda: deque(maxlen=PRINTS_SHOWN))


class ReadModel:
    """Sees every event with its step; `update` says what is now and what happened since the last one."""

    def __init__(self, engine: Engine, latencies: Latencies, around: Surroundings | None = None) -> None:
        self.is_watched = False
        """Whether somebody looks: prints are kept for updates only then."""
        self._engine = engine
        self._latencies = latencies
        self._around = around or Surroundings()
        self._counts = {key: _Counts() for key in engine.state.instruments}
        self._decisions: deque[DecisionView] = deque(maxlen=DECISIONS_KEPT)
        self._fills: deque[FillView] = deque(maxlen=FILLS_KEPT)
        self._trades: deque[TradeView] = deque(maxlen=TRADES_KEPT)
        self._equity = EquityRing()
        self._new = {"decisions": 0, "fills": 0, "trades": 0, "equity": 0}
        self._ended: deque[OrderView] = deque(maxlen=_ENDED_SHOWN)
        self._shown_candles: dict[InstrumentId, CandleView] = {}
        self._shown_features: dict[InstrumentId, int] = {}
        self._messages = 0
        self._measured = (0, 0)
        self._rate = 0.0
        self._summary: tuple[Latency, ...] = ()
        self._summary_ts = 0

    # --- folding ----------------------------------------------------------------------------------------------------

    def observe(self, event: AnyEvent, step: Step) -> None:
        """Take an event and what the engine made of it."""
        if isinstance(event, MarketEvent):
            self._messages += 1
            counts = self._counts[event.instrument]
            counts.messages += 1
            counts.latency_ns = event.ts_recv + self._latencies.offset_ns - event.ts_event
            if self.is_watched and type(event) is TradePrint:
                counts.prints.append(event)
        for fact in step.facts:
            self._take(fact, step)

    def _take(self, fact: f.AnyFact, step: Step) -> None:
        match fact:
            case f.EquityMarked():
                equity = fact.balance + fact.unrealised_pnl
                self._equity.add(
                    EquityPoint(ts=step.ts, equity=equity, unrealised_pnl=fact.unrealised_pnl, exposure=fact.exposure)
                )
                self._new["equity"] += 1
                return
            case f.FillBooked():
                self._fills.append(self._fill(fact, step.ts))
                self._new["fills"] += 1
            case f.PositionClosed():
                self._trades.append(_trade(fact))
                self._new["trades"] += 1
            case f.OrderTransitioned() if fact.after.is_terminal:
                order = self._engine.state.portfolio.orders.find(fact.client_order_id, _NO_VENUE_ID)
                if order is not None:
                    self._ended.append(_order(order))
        line = decision_of(fact, step.number, step.ts)
        if line is not None:
            self._decisions.append(line)
            self._new["decisions"] += 1

    def _fill(self, fact: f.FillBooked, ts: Nanos) -> FillView:
        order = self._engine.state.portfolio.orders.find(fact.client_order_id, _NO_VENUE_ID)
        return FillView(
            ts=ts,
            instrument=fact.instrument,
            client_order_id=fact.client_order_id,
            strategy=order.strategy if order is not None else "",
            side=fact.side,
            price=fact.price,
            size=fact.size,
            fee=fact.fee,
            realised_pnl=fact.realised_pnl,
            is_maker=fact.is_maker,
            origin=fact.origin,
        )

    # --- telling ----------------------------------------------------------------------------------------------------

    def backlog(self) -> Backlog:
        """What happened before; also all that `update` would say happened, so that nothing is told twice."""
        backlog = Backlog(
            candles=tuple(view for state in self._states() for view in _closed_candles(state.market.candles)),
            equity=tuple(self._equity.points),
            decisions=tuple(self._decisions),
            fills=tuple(self._fills),
            trades=tuple(self._trades),
        )
        self.forget_news()
        self._shown_features.clear()
        return backlog

    def forget_news(self) -> None:
        """The next update begins here."""
        self._new = dict.fromkeys(self._new, 0)
        self._ended.clear()
        for counts in self._counts.values():
            counts.prints.clear()

    def update(self, now: int) -> Update:
        """What is now, at `now`, and what happened since the last update."""
        state = self._engine.state
        update = Update(
            ts=Nanos(now),
            status=self._status(now),
            books=tuple(self._book(one, now) for one in self._states()),
            orders=(*(_order(order) for order in state.portfolio.orders.live.values()), *self._ended),
            positions=tuple(
                _position(position, state.instruments[key]) for key, position in state.portfolio.positions.live.items()
            ),
            candles=tuple(view for one in self._states() for view in self._changed_candles(one)),
            equity=_newest(self._equity.points, self._new["equity"]),
            decisions=_newest(self._decisions, self._new["decisions"]),
            fills=_newest(self._fills, self._new["fills"]),
            trades=_newest(self._trades, self._new["trades"]),
            features=tuple(self._news_of_features()),
        )
        self.forget_news()
        return update

    def _states(self) -> Iterable[InstrumentState]:
        return self._engine.state.instruments.values()

    def _status(self, now: int) -> StatusView:
        state = self._engine.state
        since, before = self._measured
        if now - since >= SECOND:
            self._rate = (self._messages - before) * SECOND / (now - since) if since else 0.0
            self._measured = (now, self._messages)
        if now - self._summary_ts >= _LATENCY_EVERY_NS:
            self._summary, self._summary_ts = self._latencies.summary(now), now
        ledger = state.portfolio.ledger
        last = self._equity.points[-1] if self._equity.points else None
        return StatusView(
            ts=Nanos(now),
            trading=state.trading,
            halted_for=state.halted_for.value if state.halted_for is not None else "",
            paused=state.paused,
            is_connected=self._around.is_connected(),
            problems=self._around.problems(),
            balance=ledger.balance,
            equity=ledger.equity,
            exposure=last.exposure if last is not None else Decimal(0),
            steps=state.number,
            events_per_second=self._rate,
            lag_ms=self._around.take_lag_ns() / MILLISECOND,
            latencies=self._summary,
        )

    def _book(self, state: InstrumentState, now: int) -> BookView:
        market, counts = state.market, self._counts[state.rules.id]
        book = market.book
        health = book_health(book, now)
        return BookView(
            instrument=state.rules.id,
            ts=Nanos(book.ts_recv),
            is_usable=book.is_usable,
            bids=_levels(book, Side.BUY),
            asks=_levels(book, Side.SELL),
            health=health.score,
            health_reasons=tuple(reason.value for reason in health.reasons),
            mark=market.ticker.mark,
            funding_rate=market.ticker.funding_rate,
            densities=tuple(
                DensityView(side=one.side, price=one.price, size=one.remaining, since=one.appeared_ts)
                for side in _SIDES
                for one in market.densities.on(side)
            ),
            prints=tuple(
                PrintView(ts=Nanos(one.ts_event), price=one.price, size=one.size, side=one.side)
                for one in counts.prints
            ),
            gaps=book.gaps,
            resyncs=self._around.resyncs(state.rules.id),
            messages=counts.messages,
            latency_ms=counts.latency_ns / MILLISECOND,
        )

    def _news_of_features(self) -> Iterable[FeaturesView]:
        for key in self._engine.state.instruments:
            vector = self._around.features(key)
            if vector is not None and vector.computed_ts != self._shown_features.get(key):
                self._shown_features[key] = vector.computed_ts
                yield _features(vector)

    def _changed_candles(self, state: InstrumentState) -> Iterable[CandleView]:
        """The open candle where it has changed, and the closed ones since the one that was open before."""
        builder = state.market.candles
        shown = self._shown_candles.get(state.rules.id)
        open_candle = builder.open_candle()
        if open_candle is None:
            return
        newest = _candle(open_candle)
        if newest == shown:
            return
        if shown is not None and newest.open_ts > shown.open_ts:
            yield from (view for view in _closed_candles(builder) if shown.open_ts <= view.open_ts < newest.open_ts)
        self._shown_candles[state.rules.id] = newest
        yield newest


class EquityRing:
    """Equity since the start of the run; when full, the interval doubles and the last mark of each stays."""

    def __init__(self, kept: int = EQUITY_KEPT) -> None:
        self.points: list[EquityPoint] = []
        self._kept = kept
        self._interval: int = SECOND

    def add(self, point: EquityPoint) -> None:
        """Take a mark; the newest is always kept."""
        if self.points and self.points[-1].ts // self._interval == point.ts // self._interval:
            self.points[-1] = point
            return
        self.points.append(point)
        while len(self.points) > self._kept:
            self._interval *= 2
            keep = last_of_buckets(array("q", (one.ts for one in self.points)), self._interval)
            self.points = [self.points[index] for index in keep]


# --- views ----------------------------------------------------------------------------------------------------------


def _newest(series: Sequence[T], count: int) -> tuple[T, ...]:
    return tuple(islice(series, max(0, len(series) - count), None)) if count else ()


def _levels(book: Book, side: Side) -> bytes:
    return np.ascontiguousarray(book.depth(side, BOOK_LEVELS)).tobytes() if book.is_usable else b""


def _order(order: Order) -> OrderView:
    request = order.request
    return OrderView(
        client_order_id=order.id,
        instrument=request.instrument,
        strategy=order.strategy,
        purpose=request.purpose,
        side=request.side,
        type=request.type,
        price=order.price,
        size=order.size,
        filled=order.filled,
        status=order.status,
        ts=order.history[-1].ts,
        cause=order.why or order.history[-1].cause,
    )


def _position(position: Position, state: InstrumentState) -> PositionView:
    return PositionView(
        position=position.id,
        instrument=position.instrument,
        strategy=position.owner.strategy,
        status=position.status,
        side=position.side,
        size=position.size,
        entry_price=position.entry_price(state.rules),
        mark=position.mark,
        unrealised_pnl=position.unrealised_pnl(state.rules),
        stop_loss=position.stop_loss,
        take_profit=position.take_profit,
        opened_ts=position.opened_ts or position.created_ts,
        reasons=position.owner.reasons,
    )


def _trade(fact: f.PositionClosed) -> TradeView:
    return TradeView(
        position=fact.position,
        instrument=fact.instrument,
        strategy=fact.strategy,
        side=fact.side,
        size=fact.size,
        entry_price=fact.entry_price,
        exit_price=fact.exit_price,
        opened_ts=fact.opened_ts,
        closed_ts=fact.closed_ts,
        gross_pnl=fact.gross_pnl,
        fees=fact.fees,
        funding=fact.funding,
        entry_reasons=fact.entry_reasons,
        exit_reason=fact.exit_reason,
    )


def _features(vector: KeptVector) -> FeaturesView:
    return FeaturesView(
        instrument=vector.instrument,
        ts=Nanos(vector.ts_event),
        computed_ts=Nanos(vector.computed_ts),
        version=vector.version,
        values=vector.values.astype("<f4").tobytes(),
        warm=np.packbits(vector.warm, bitorder="little").tobytes(),
    )


def _candle(candle: Candle) -> CandleView:
    return CandleView(
        instrument=candle.instrument,
        open_ts=candle.open_ts,
        open=candle.open,
        high=candle.high,
        low=candle.low,
        close=candle.close,
        volume=candle.volume,
        is_closed=candle.is_closed,
    )


def _closed_candles(builder: CandleBuilder) -> Iterable[CandleView]:
    """Those that the engine remembers, oldest first."""
    for open_ts, first, high, low, last, volume in builder.table[: Column.TURNOVER, : builder.count].T.tolist():
        yield CandleView(
            instrument=builder.instrument,
            open_ts=Nanos(open_ts),
            open=Ticks(first),
            high=Ticks(high),
            low=Ticks(low),
            close=Ticks(last),
            volume=Lots(volume),
            is_closed=True,
        )
