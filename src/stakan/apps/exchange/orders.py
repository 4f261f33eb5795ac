"""Orders of one account as the protocol tells of them: what was asked, how far it came, how it ended."""

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum

import msgspec

from stakan.apps.exchange.rows import OrderRow
from stakan.apps.exchange.text import EMPTY, eight, optional_price, price_text, size_text, trimmed
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Side
from stakan.core.portfolio.money import ZERO, per_unit, plus

SIDE_NAMES = {Side.BUY: "Buy", Side.SELL: "Sell"}
NO_ERROR = "EC_NoError"
UNKNOWN = "UNKNOWN"


class Status(StrEnum):
    """`orderStatus`, as far as linear contracts have it."""

    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    UNTRIGGERED = "Untriggered"
    TRIGGERED = "Triggered"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    REJECTED = "Rejected"
    DEACTIVATED = "Deactivated"


CLOSED = frozenset((Status.FILLED, Status.CANCELLED, Status.REJECTED, Status.DEACTIVATED))


class StopKind(StrEnum):
    """`stopOrderType`."""

    NONE = ""
    STOP = "Stop"
    TAKE_PROFIT = "TakeProfit"
    STOP_LOSS = "StopLoss"
    TRAILING = "TrailingStop"
    PARTIAL_TAKE_PROFIT = "PartialTakeProfit"
    PARTIAL_STOP_LOSS = "PartialStopLoss"


LEGS_OF_POSITION = frozenset((StopKind.TAKE_PROFIT, StopKind.STOP_LOSS, StopKind.TRAILING))
"""Kept by the matching core with the position; shown here as the orders that Bybit shows."""
PARTIAL_LEGS = frozenset((StopKind.PARTIAL_TAKE_PROFIT, StopKind.PARTIAL_STOP_LOSS))


class Attached(msgspec.Struct):
    """Stop and take-profit that an order carries; prices in ticks."""

    take_profit: int | None = None
    stop_loss: int | None = None
    tp_trigger_by: str = "LastPrice"
    sl_trigger_by: str = "LastPrice"
    mode: str = "Full"
    tp_limit: int | None = None
    """Of a limit leg; None: market."""
    sl_limit: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is neither."""
        return self.take_profit is None and self.stop_loss is None


class Order(msgspec.Struct, kw_only=True):
    """One order; prices in ticks, sizes in lots, times in milliseconds."""

    ordinal: int
    """Of all orders of the account, in order of creation; what pages are cut by."""
    order_id: str
    link_id: str = EMPTY
    parent_link_id: str = EMPTY
    symbol: str
    side: Side
    type: str
    time_in_force: str
    price: int
    """In force: after the price band; of a market order the protective price; 0 while it is not known."""
    size: int
    reduce_only: bool = False
    close_on_trigger: bool = False
    status: Status = Status.NEW
    cancel_type: str = UNKNOWN
    reject_reason: str = NO_ERROR
    create_type: str = "CreateByUser"
    stop_kind: StopKind = StopKind.NONE
    trigger_price: int | None = None
    trigger_direction: int = 0
    trigger_by: str = EMPTY
    attached: Attached | None = None
    pair: str = EMPTY
    """Order id of the other leg of a pair of partial legs."""
    smp_type: str = "None"
    slippage_type: str = UNKNOWN
    slippage: str = EMPTY
    takes_rpi: bool = False
    last_on_created: str = EMPTY
    filled: int = 0
    value: Decimal = ZERO
    """Of all executions."""
    fee: Decimal = ZERO
    closed_pnl: Decimal = ZERO
    """Net of fees, of what it closed."""
    created_ms: int
    updated_ms: int

    @property
    def is_closed(self) -> bool:
        """Whether nothing happens to it any more."""
        return self.status in CLOSED

    @property
    def is_waiting(self) -> bool:
        """Whether its trigger has not come."""
        return self.status is Status.UNTRIGGERED

    @property
    def left(self) -> int:
        """Lots that can still be filled."""
        return 0 if self.is_closed else self.size - self.filled

    def fill(self, price_times_size: Decimal, lots: int, fee: Decimal, at_ms: int) -> None:
        """One execution."""
        self.filled += lots
        self.value = plus(self.value, price_times_size)
        self.fee = plus(self.fee, fee)
        self.status = Status.FILLED if self.filled >= self.size else Status.PARTIALLY_FILLED
        self.updated_ms = at_ms

    def end(self, status: Status, cancel_type: str, reason: str, at_ms: int) -> None:
        """It is over without having been filled as a whole."""
        self.status = status
        self.cancel_type = cancel_type
        self.reject_reason = reason
        self.updated_ms = at_ms


class Orders:
    """Live orders, and the last closed ones."""

    def __init__(self, kept: int) -> None:
        self.live: dict[str, Order] = {}
        """By id, in order of creation."""
        self.closed: deque[Order] = deque()
        """In order of their ends."""
        self._kept = kept
        self._by_id: dict[str, Order] = {}
        self._by_link: dict[str, Order] = {}
        self.used_links: set[str] = set()
        """All there ever were: a link id is never used again."""

    def add(self, order: Order) -> None:
        """A new order."""
        self.live[order.order_id] = self._by_id[order.order_id] = order
        if order.link_id:
            self._by_link[order.link_id] = order
            self.used_links.add(order.link_id)

    def retire(self, order: Order) -> None:
        """Move a closed order out of the live ones; the oldest closed one is forgotten where there are too many."""
        if self.live.pop(order.order_id, None) is None:
            return
        self.closed.append(order)
        if len(self.closed) > self._kept:
            oldest = self.closed.popleft()
            del self._by_id[oldest.order_id]
            if self._by_link.get(oldest.link_id) is oldest:
                del self._by_link[oldest.link_id]

    def find(self, order_id: str, link_id: str) -> Order | None:
        """The order of an id, or of a link id where no id is given."""
        return self._by_id.get(order_id) if order_id else self._by_link.get(link_id)

    def of(self, symbol: str) -> list[Order]:
        """Live orders of a symbol."""
        return [order for order in self.live.values() if order.symbol == symbol]


def newest_first(orders: Iterable[Order]) -> list[Order]:
    """By creation."""
    return sorted(orders, key=_ordinal, reverse=True)


def _ordinal(order: Order) -> int:
    return order.ordinal


def order_row(order: Order, rules: Instrument) -> OrderRow:
    """The order as Bybit writes it."""
    left = order.left
    attached = order.attached or _NOTHING_ATTACHED
    fee = trimmed(order.fee)
    is_priced = order.type == "Limit" or order.price > 0
    return OrderRow(
        symbol=order.symbol,
        order_id=order.order_id,
        order_link_id=order.link_id,
        parent_order_link_id=order.parent_link_id,
        side=SIDE_NAMES[order.side],
        order_status=order.status.value,
        create_type=order.create_type,
        cancel_type=order.cancel_type,
        reject_reason=order.reject_reason,
        time_in_force=order.time_in_force,
        price=price_text(rules, order.price) if is_priced else "0",
        qty=size_text(rules, order.size),
        avg_price=eight(per_unit(order.value, rules.size(order.filled))) if order.filled else EMPTY,
        leaves_qty=size_text(rules, left),
        leaves_value=trimmed(rules.notional(order.price, left)) if left else "0",
        cum_exec_qty=size_text(rules, order.filled),
        cum_exec_value=trimmed(order.value),
        cum_exec_fee=fee,
        cum_fee_detail={rules.settle: fee} if order.filled else {},
        closed_pnl=trimmed(order.closed_pnl),
        order_type=order.type,
        stop_order_type=order.stop_kind.value,
        trigger_price=optional_price(rules, order.trigger_price),
        trigger_direction=order.trigger_direction,
        trigger_by=order.trigger_by,
        take_profit=optional_price(rules, attached.take_profit),
        stop_loss=optional_price(rules, attached.stop_loss),
        tp_trigger_by=EMPTY if attached.take_profit is None else attached.tp_trigger_by,
        sl_trigger_by=EMPTY if attached.stop_loss is None else attached.sl_trigger_by,
        tp_limit_price=optional_price(rules, attached.tp_limit),
        sl_limit_price=optional_price(rules, attached.sl_limit),
        tpsl_mode=_mode(order, attached),
        last_price_on_created=order.last_on_created,
        close_on_trigger=order.close_on_trigger,
        reduce_only=order.reduce_only,
        smp_type=order.smp_type,
        slippage_tolerance_type=order.slippage_type,
        slippage_tolerance=order.slippage,
        rpi_taker_access=order.takes_rpi,
        created_time=str(order.created_ms),
        updated_time=str(order.updated_ms),
    )


_NOTHING_ATTACHED = Attached()


def _mode(order: Order, attached: Attached) -> str:
    if order.stop_kind in LEGS_OF_POSITION:
        return "Full"
    if order.stop_kind in PARTIAL_LEGS:
        return "Partial"
    return EMPTY if attached.is_empty else attached.mode
