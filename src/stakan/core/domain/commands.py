"""What the engine asks the outside to do: one closed family."""

import msgspec

from stakan.core.domain.ids import ClientOrderId, InstrumentId, VenueOrderId
from stakan.core.domain.orders import NewOrder
from stakan.core.domain.units import Lots, Nanos, Ticks


class Command(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Root of all commands."""


class SubmitOrder(Command, frozen=True, kw_only=True, tag=True):
    """Send a new order."""

    order: NewOrder


class CancelOrder(Command, frozen=True, kw_only=True, tag=True):
    """Cancel one order."""

    instrument: InstrumentId
    client_order_id: ClientOrderId
    """Empty for an order that is not ours."""
    venue_order_id: VenueOrderId = VenueOrderId("")
    """Of an order that is not ours."""


class AmendOrder(Command, frozen=True, kw_only=True, tag=True):
    """New price and new total size (filled part included) for a resting order."""

    instrument: InstrumentId
    client_order_id: ClientOrderId
    price: Ticks
    size: Lots


class SetProtection(Command, frozen=True, kw_only=True, tag=True):
    """Put, move or (None) clear the position's stop and take-profit."""

    instrument: InstrumentId
    stop_loss: Ticks | None
    take_profit: Ticks | None


class SetTimer(Command, frozen=True, kw_only=True, tag=True):
    """Send `TimerFired(key)` at `at`; a later one with the same key replaces it."""

    key: str
    at: Nanos


class RequestSnapshot(Command, frozen=True, kw_only=True, tag=True):
    """The book of this instrument cannot be trusted: resubscribe."""

    instrument: InstrumentId


class ReadAccount(Command, frozen=True, kw_only=True, tag=True):
    """Read what the account holds once more: something did not agree, or changed while it was read."""

    why: str


VenueCommand = SubmitOrder | CancelOrder | AmendOrder | SetProtection
RefreshCommand = RequestSnapshot | ReadAccount
AnyCommand = VenueCommand | SetTimer | RefreshCommand
