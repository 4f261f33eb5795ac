"""Orders as we ask for them and the closed sets that describe them."""

from enum import StrEnum

import msgspec

from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId
from stakan.core.domain.units import Lots, Side, Ticks


class OrderType(StrEnum):
    """Limit orders have a price; market orders take what the price band allows."""

    LIMIT = "limit"
    MARKET = "market"


class TimeInForce(StrEnum):
    """How long an order may live, and whether it may take."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    POST_ONLY = "post_only"


class TriggerSource(StrEnum):
    """The price that conditional orders and stops watch."""

    MARK = "mark"
    LAST = "last"
    INDEX = "index"


class TriggerDirection(StrEnum):
    """Which way the watched price must move."""

    RISES = "rises"
    FALLS = "falls"


class Trigger(msgspec.Struct, frozen=True):
    """Makes an order conditional."""

    price: Ticks
    direction: TriggerDirection
    source: TriggerSource = TriggerSource.MARK


class Purpose(StrEnum):
    """Why an order exists; entries are what a halt cancels."""

    ENTRY = "entry"
    EXIT = "exit"


class OrderStatus(StrEnum):
    """The seven states of decision 4."""

    PENDING = "pending"
    PLACED = "placed"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing but late fills can still happen to it."""
        return self in _TERMINAL


_TERMINAL = frozenset((OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.FAILED))


class PositionStatus(StrEnum):
    """The four states of decision 5."""

    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What we ask the exchange for. An entry carries its stop in the same request."""

    client_order_id: ClientOrderId
    instrument: InstrumentId
    intent: IntentId
    purpose: Purpose
    side: Side
    size: Lots
    type: OrderType
    price: Ticks | None = None
    """None for market orders."""
    time_in_force: TimeInForce = TimeInForce.GTC
    reduce_only: bool = False
    close_on_trigger: bool = False
    trigger: Trigger | None = None
    stop_loss: Ticks | None = None
    take_profit: Ticks | None = None
    trigger_source: TriggerSource = TriggerSource.MARK
    """Of the attached stop and take-profit."""
