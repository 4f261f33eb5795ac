"""Engines, markets and a fake exchange for engine tests; every builder has defaults and hides nothing."""

import heapq
import itertools
from decimal import Decimal

import numpy as np

from stakan.core.domain.commands import AmendOrder, CancelOrder, RequestSnapshot, SetProtection, SetTimer, SubmitOrder
from stakan.core.domain.events import (
    BookDelta,
    BookSnapshot,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    ProtectionChanged,
    TimerFired,
    TradePrint,
)
from stakan.core.domain.ids import ExecutionId, InstrumentId
from stakan.core.domain.instrument import Category, Instrument, MarginTier
from stakan.core.domain.orders import OrderType, TimeInForce
from stakan.core.domain.trading import Signal
from stakan.core.domain.units import Side
from stakan.core.engine import Engine, EngineConfig
from stakan.core.plugins import Strategy, View
from stakan.core.risk.daily_loss import DailyLoss
from stakan.core.risk.exposure import Exposure
from stakan.core.risk.mandatory_stop import MandatoryStop
from stakan.core.risk.order_size import OrderSize
from stakan.core.risk.position_count import PositionCount

MS = 1_000_000
SECOND = 1_000 * MS
BTC = InstrumentId("test:linear:BTCUSDT")
ETH = InstrumentId("test:linear:ETHUSDT")


def an_instrument(key=BTC, **changes):
    rules = {
        "id": key,
        "category": Category.LINEAR,
        "base": "BTC",
        "quote": "USDT",
        "settle": "USDT",
        "tick_size": Decimal("0.1"),
        "lot_size": Decimal("0.001"),
        "margin_tiers": (MarginTier(Decimal(10**9), Decimal("0.005"), Decimal(0), Decimal(100)),),
    }
    return Instrument(**{**rules, **changes})


def levels(bids, asks):
    return np.array([*bids, *asks], dtype=np.int64).reshape(-1, 2), len(bids)


def a_snapshot(mid=640_000, ts=0, sequence=1, key=BTC, size=1_000, depth=15):
    rows, count = levels(
        [(mid - 1 - i, size) for i in range(depth)],
        [(mid + 1 + i, size) for i in range(depth)],
    )
    return BookSnapshot(
        instrument=key, ts_event=ts, ts_recv=ts, sequence=sequence, previous_sequence=0, levels=rows, bid_count=count
    )


def a_delta(bids=(), asks=(), ts=0, sequence=2, previous=None, key=BTC):
    rows, count = levels(bids, asks)
    return BookDelta(
        instrument=key,
        ts_event=ts,
        ts_recv=ts,
        sequence=sequence,
        previous_sequence=sequence - 1 if previous is None else previous,
        levels=rows,
        bid_count=count,
    )


def a_print(price=640_000, size=10, side=Side.BUY, ts=0, number=1, key=BTC):
    return TradePrint(instrument=key, ts_event=ts, ts_recv=ts, price=price, size=size, side=side, trade_id=number)


class Eager(Strategy, frozen=True, kw_only=True):
    """Wants in at every decision, on one side."""

    side: int = 1
    stop_bps: float = 50.0
    strength: float = 1.0
    offset: int = 0
    type: OrderType = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.IOC
    horizon_s: float | None = None

    def decide(self, view: View, state):
        book = view.market.book
        side = Side(self.side)
        entry = (book.best_ask if side is Side.BUY else book.best_bid) - side * self.offset
        return Signal(
            instrument=view.instrument.id,
            side=side,
            strength=self.strength,
            ts_event=view.now,
            entry=entry,
            stop_loss=round(entry * (1 - side * self.stop_bps / 1e4)),
            type=self.type,
            time_in_force=self.time_in_force,
            horizon_ns=None if self.horizon_s is None else int(self.horizon_s * SECOND),
            reasons=("eager",),
        )


ALL_RULES = (
    ("mandatory_stop", MandatoryStop()),
    ("order_size", OrderSize()),
    ("position_count", PositionCount()),
    ("exposure", Exposure()),
    ("daily_loss", DailyLoss()),
)


def an_engine(*strategies, instruments=None, rules=ALL_RULES, **changes):
    named = tuple((f"s{i}", spec) for i, spec in enumerate(strategies))
    values = {"decision_interval_ns": 0, "cooldown_ns": 0, "candle_interval_ns": SECOND}
    config = EngineConfig(strategies=named, risk_rules=rules, **{**values, **changes})
    return Engine(config, instruments or [an_instrument()])


class FakeExchange:
    """Fills what it is told, late, twice or in parts: a port of the simulator's that tests script.

    `plan(order)` returns a list of (delay, share of the size) for fills; a missing rest is cancelled at the last delay.
    """

    def __init__(self, plan=lambda order: [(0, 1.0)], protects=True):
        self.plan = plan
        self.protects = protects
        self.coming = []
        self.ordinals = itertools.count()
        self.executions = itertools.count(1)
        self.timers = {}
        self.asked = []

    def carry_out(self, command, now):
        self.asked.append(command)
        match command:
            case SubmitOrder(order=order):
                self._fill(order, now)
            case CancelOrder(instrument=key, client_order_id=order):
                event = OrderCancelled(instrument=key, client_order_id=order, ts_event=now, ts_recv=now, why="asked")
                self.push(event)
            case SetTimer(key=key, at=at):
                self.timers[key] = self.push(TimerFired(ts_event=at, ts_recv=max(at, now), key=key))
            case SetProtection(instrument=key, stop_loss=stop, take_profit=take):
                self.push(
                    ProtectionChanged(instrument=key, stop_loss=stop, take_profit=take, ts_event=now, ts_recv=now)
                )
            case AmendOrder() | RequestSnapshot():
                pass

    def push(self, event):
        ordinal = next(self.ordinals)
        heapq.heappush(self.coming, (event.ts_recv, ordinal, event))
        return ordinal

    def _fill(self, order, now):
        ids = {"instrument": order.instrument, "client_order_id": order.client_order_id}
        self.push(OrderAccepted(**ids, ts_event=now, ts_recv=now))
        left = order.size
        delay = 0
        for delay, share in self.plan(order):
            size = min(left, round(order.size * share))
            if size <= 0:
                continue
            left -= size
            at = now + delay
            self.push(
                OrderFilled(
                    **ids,
                    ts_event=at,
                    ts_recv=at,
                    execution_id=ExecutionId(f"x{next(self.executions)}"),
                    side=order.side,
                    price=order.price or self.market_price(order),
                    size=size,
                    fee=Decimal("0.01"),
                    is_maker=False,
                )
            )
            if order.stop_loss is not None and self.protects:
                self.push(
                    ProtectionChanged(
                        instrument=order.instrument,
                        stop_loss=order.stop_loss,
                        take_profit=order.take_profit,
                        ts_event=at,
                        ts_recv=at,
                    )
                )
        if left:
            self.push(OrderCancelled(**ids, ts_event=now + delay, ts_recv=now + delay, why="rest"))

    def market_price(self, order):
        return 640_000

    def due(self, now):
        while self.coming and self.coming[0][0] <= now:
            _, ordinal, event = heapq.heappop(self.coming)
            if isinstance(event, TimerFired) and self.timers.get(event.key) != ordinal:
                continue
            yield event


def live(engine, events, exchange=None):
    """Run the engine over market events with a fake exchange; returns (event, step) pairs."""
    exchange = exchange or FakeExchange()
    steps = []

    def take(event):
        step = engine.step(event)
        steps.append((event, step))
        for command in step.commands:
            exchange.carry_out(command, step.ts)

    for event in events:
        for news in exchange.due(event.ts_recv):
            take(news)
        take(event)
    for news in exchange.due(2**62):
        take(news)
    return steps


def facts(steps, kind=None):
    found = [fact for _, step in steps for fact in step.facts]
    return found if kind is None else [fact for fact in found if isinstance(fact, kind)]
