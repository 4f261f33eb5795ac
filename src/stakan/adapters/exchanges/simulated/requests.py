"""What an owner can ask beyond the bot's commands: the terms of Bybit v5 that `core.domain.commands` leaves out."""

from decimal import Decimal

import msgspec
from msgspec import UNSET, UnsetType

from stakan.core.domain.commands import AmendOrder, CancelOrder, SetProtection, SubmitOrder, VenueCommand
from stakan.core.domain.ids import ClientOrderId, InstrumentId
from stakan.core.domain.orders import NewOrder, TriggerSource
from stakan.core.domain.units import Lots, Ticks


class Legs(msgspec.Struct, frozen=True):
    """Stop and take-profit (None: none), each with the price that it watches."""

    stop_loss: Ticks | None = None
    take_profit: Ticks | None = None
    stop_source: TriggerSource = TriggerSource.MARK
    take_source: TriggerSource = TriggerSource.MARK

    @property
    def is_empty(self) -> bool:
        """Whether there is neither."""
        return self.stop_loss is None and self.take_profit is None

    @classmethod
    def of(cls, order: NewOrder) -> "Legs":
        """What an order carries; it has one source for both."""
        if order.stop_loss is None and order.take_profit is None:
            return NO_LEGS
        return cls(order.stop_loss, order.take_profit, order.trigger_source, order.trigger_source)


NO_LEGS = Legs()


class OwnerRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Root of the requests that are not commands. Fields that are `UNSET` stay as they are."""

    instrument: InstrumentId


class PlaceOrder(OwnerRequest, frozen=True, kw_only=True, tag=True):
    """A new order whose stop and take-profit watch different prices; the order's own are not read."""

    order: NewOrder
    legs: Legs


class ChangeOrder(OwnerRequest, frozen=True, kw_only=True, tag=True):
    """Amend any part of a live order."""

    client_order_id: ClientOrderId
    price: Ticks | UnsetType = UNSET
    size: Lots | UnsetType = UNSET
    """Total, with what is filled."""
    trigger_price: Ticks | UnsetType = UNSET
    """Of an order that waits for its trigger; the direction stays."""
    trigger_source: TriggerSource | UnsetType = UNSET
    stop_loss: Ticks | UnsetType | None = UNSET
    """As long as nothing is filled."""
    take_profit: Ticks | UnsetType | None = UNSET
    stop_source: TriggerSource | UnsetType = UNSET
    take_source: TriggerSource | UnsetType = UNSET


class SetTradingStop(OwnerRequest, frozen=True, kw_only=True, tag=True):
    """Put, move or (None) clear what protects the position, leg by leg."""

    stop_loss: Ticks | UnsetType | None = UNSET
    take_profit: Ticks | UnsetType | None = UNSET
    stop_source: TriggerSource | UnsetType = UNSET
    take_source: TriggerSource | UnsetType = UNSET
    trailing: Ticks | UnsetType | None = UNSET
    """Distance of the trailing stop from the best last price, in ticks; always starts anew."""
    activation: Ticks | None = None
    """Last price from which a trailing stop that is set here begins to trail; None: at once."""


class SetLeverage(OwnerRequest, frozen=True, kw_only=True, tag=True):
    """Margin position and orders of an instrument with another leverage."""

    leverage: Decimal


class ChangeMargin(OwnerRequest, frozen=True, kw_only=True, tag=True):
    """Move money from the wallet to the position's margin; negative: back, as far as it was added."""

    amount: Decimal


ChangeRequest = CancelOrder | AmendOrder | ChangeOrder
StopRequest = SetProtection | SetTradingStop
MoneyRequest = SetLeverage | ChangeMargin
Request = VenueCommand | PlaceOrder | ChangeOrder | SetTradingStop | MoneyRequest


def instrument_of(request: Request) -> InstrumentId:
    """Whom a request is about."""
    return request.order.instrument if isinstance(request, SubmitOrder | PlaceOrder) else request.instrument
