"""Orders, fills and closed positions of a run, with the mids around each fill."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from stakan.apps.results.groups import HORIZONS
from stakan.apps.results.model import FillRow, OrderRow, TradeRow
from stakan.core.domain.facts import (
    EntryFeatures,
    FillBooked,
    FundingBooked,
    IntentApproved,
    OrderTransitioned,
    PositionClosed,
)
from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId, PositionId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import NewOrder, OrderStatus
from stakan.core.domain.units import SECOND, Side

STALE_MID = 10 * SECOND
"""A markout is not taken from a mid older than this: the book was invalid or the feed silent."""
MAX_PENDING_INTENTS = 10_000


class _Fill(msgspec.Struct):
    fact: FillBooked
    ts: int
    arrival_mid: float
    markouts: list[float | None]


class _Order(msgspec.Struct):
    order: NewOrder
    ts: int
    arrival_mid: float
    status: OrderStatus = OrderStatus.PENDING
    filled: int = 0
    cause: str = ""


class _Pending(msgspec.Struct):
    due: int
    fill: int
    horizon: int


class _Watch(msgspec.Struct):
    """Last mid of an instrument, and the markouts that wait for one."""

    mid: float = 0.0
    ts: int = 0
    pending: list[_Pending] = msgspec.field(default_factory=list)


class ExecutionRecord:
    """What was sent, filled and closed."""

    def __init__(self, instruments: Mapping[InstrumentId, Instrument]) -> None:
        self.funding = Decimal(0)
        self.trades: list[TradeRow] = []
        self._instruments = instruments
        self._watches = {i: _Watch() for i in instruments}
        self._fills: list[_Fill] = []
        self._by_position: dict[PositionId, list[int]] = {}
        self._orders: dict[ClientOrderId, _Order] = {}
        self._approved: dict[IntentId, IntentApproved] = {}
        self._features: dict[IntentId, dict[str, float]] = {}

    def mark(self, instrument: InstrumentId, ts: int, mid: float) -> None:
        """A new mid: markouts that fell due before it take the mid that was in force."""
        watch = self._watches[instrument]
        if watch.pending:
            self._settle(watch, ts)
        watch.mid, watch.ts = mid, ts

    def sent(self, order: NewOrder, ts: int) -> None:
        """An order left."""
        watch = self._watches[order.instrument]
        self._orders[order.client_order_id] = _Order(order, ts, watch.mid)

    def approved(self, fact: IntentApproved) -> None:
        """Keep what risk saw until the position closes; the oldest give way."""
        self._approved[fact.intent.id] = fact
        if len(self._approved) > MAX_PENDING_INTENTS:
            oldest = next(iter(self._approved))
            del self._approved[oldest]
            self._features.pop(oldest, None)

    def saw(self, fact: EntryFeatures) -> None:
        """Keep what an intent was approved with, as long as the intent."""
        self._features[fact.intent] = fact.features

    def transitioned(self, fact: OrderTransitioned) -> None:
        """An order changed its state."""
        order = self._orders.get(fact.client_order_id)
        if order is not None:
            order.status, order.filled, order.cause = fact.after, fact.filled, fact.cause

    def filled(self, fact: FillBooked, ts: int) -> None:
        """One execution; its markouts wait for later mids."""
        order = self._orders.get(fact.client_order_id)
        number = len(self._fills)
        empty: list[float | None] = [None] * len(HORIZONS)
        self._fills.append(_Fill(fact, ts, order.arrival_mid if order else 0.0, empty))
        self._by_position.setdefault(fact.position, []).append(number)
        watch = self._watches[fact.instrument]
        watch.pending += [_Pending(ts + after, number, k) for k, after in enumerate(HORIZONS)]

    def funded(self, fact: FundingBooked) -> None:
        """Funding was paid or received."""
        self.funding += fact.amount

    def closed(self, fact: PositionClosed) -> None:
        """The story of a position is complete."""
        rules = self._instruments[fact.instrument]
        approved = self._approved.pop(fact.intent, None)
        fills = [self._fills[i].fact for i in self._by_position.pop(fact.position, [])]
        row = TradeRow(
            number=len(self.trades) + 1,
            position=fact.position,
            instrument=fact.instrument,
            strategy=fact.strategy,
            side="long" if fact.side is Side.BUY else "short",
            size=rules.size(fact.size),
            entry_price=fact.entry_price,
            exit_price=fact.exit_price,
            opened_ts=fact.opened_ts,
            closed_ts=fact.closed_ts,
            gross=fact.gross_pnl,
            fees=fact.fees,
            funding=fact.funding,
            net=fact.gross_pnl - fact.fees - fact.funding,
            slippage=sum((slippage(rules, fill) for fill in fills), Decimal(0)),
            strength=approved.intent.signal.strength if approved else None,
            entry_reasons=fact.entry_reasons,
            exit_reason=fact.exit_reason,
            features=self._features.pop(fact.intent, {}),
        )
        self.trades.append(row)

    def orders(self) -> tuple[OrderRow, ...]:
        """All orders in order of sending."""
        return tuple(self._order_row(order) for order in self._orders.values())

    def fills(self, end_ts: int) -> tuple[FillRow, ...]:
        """All fills in order of booking; markouts that fall due after `end_ts` stay unknown."""
        for watch in self._watches.values():
            self._settle(watch, end_ts + 1)
        return tuple(self._fill_row(fill) for fill in self._fills)

    def facts(self) -> list[FillBooked]:
        """The bare fills."""
        return [fill.fact for fill in self._fills]

    def _settle(self, watch: _Watch, before: int) -> None:
        """Give the mid in force to every markout due before a time."""
        waiting: list[_Pending] = []
        for pending in watch.pending:
            if pending.due >= before:
                waiting.append(pending)
                continue
            fill = self._fills[pending.fill]
            if watch.mid > 0 and pending.due - watch.ts <= STALE_MID:
                price = fill.fact.price
                fill.markouts[pending.horizon] = fill.fact.side * (watch.mid - price) / price * 1e4
        watch.pending = waiting

    def _fill_row(self, fill: _Fill) -> FillRow:
        fact = fill.fact
        rules = self._instruments[fact.instrument]
        return FillRow(
            ts=fill.ts,
            ts_event=fact.ts_event,
            instrument=fact.instrument,
            position=fact.position,
            client_order_id=fact.client_order_id,
            side="buy" if fact.side is Side.BUY else "sell",
            price=rules.price(fact.price),
            size=rules.size(fact.size),
            notional=rules.notional(fact.price, fact.size),
            fee=fact.fee,
            is_maker=fact.is_maker,
            origin=fact.origin,
            mid=_price(rules, fact.mid_ticks),
            arrival_mid=_price(rules, fill.arrival_mid),
            markouts_bps=tuple(fill.markouts),
        )

    def _order_row(self, sent: _Order) -> OrderRow:
        order = sent.order
        rules = self._instruments[order.instrument]
        return OrderRow(
            client_order_id=order.client_order_id,
            ts=sent.ts,
            instrument=order.instrument,
            purpose=order.purpose,
            side="buy" if order.side is Side.BUY else "sell",
            type=order.type,
            time_in_force=order.time_in_force,
            price=None if order.price is None else rules.price(order.price),
            size=rules.size(order.size),
            status=sent.status,
            filled=rules.size(sent.filled),
            cause=sent.cause,
        )


def slippage(rules: Instrument, fill: FillBooked) -> Decimal:
    """What a fill paid away from the mid it saw, in money; exact, as a mid is a whole or half tick. 0 without a mid."""
    if fill.mid_ticks <= 0:
        return Decimal(0)
    away = (fill.price - Decimal(fill.mid_ticks)) * int(fill.side)
    return away * rules.tick_size * rules.lot_size * fill.size


def _price(rules: Instrument, mid_ticks: float) -> Decimal | None:
    return rules.tick_size * Decimal(mid_ticks) if mid_ticks > 0 else None
