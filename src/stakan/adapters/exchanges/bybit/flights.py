"""Requests about orders on their way to the exchange: those that wait for their turn here, and how they end."""

from collections.abc import Callable

import msgspec

from stakan.adapters.exchanges.bybit.context import VenueContext
from stakan.adapters.exchanges.bybit.errors import Kind
from stakan.adapters.exchanges.bybit.limits import Group
from stakan.core.domain.events import CancelRejected, OrderCancelled, OrderFailed, OrderRejected, ProtectionRejected
from stakan.core.domain.ids import ClientOrderId, InstrumentId, VenueOrderId
from stakan.core.domain.orders import NewOrder
from stakan.core.domain.units import Ticks


class Flight(msgspec.Struct, kw_only=True):
    """One command on its way."""

    kind: Kind
    instrument: InstrumentId
    group: Group
    path: str
    body: bytes
    op: bytes = b""
    """Of the trade socket; empty where only REST has it."""
    client: ClientOrderId = ClientOrderId("")
    order: NewOrder | None = None
    protection: tuple[Ticks | None, Ticks | None] | None = None
    began: int
    sent: int = 0
    attempts: int = 0
    clock_refusals: int = 0
    was_placed: bool = False
    """Whether the exchange had spoken of it to an earlier run."""
    booked: int = 0
    """When its turn within the limits is; 0 where it does not wait for one."""
    is_superseded: bool = False
    """Whether a newer one asks for the protection of its instrument."""
    is_over: bool = False
    call_off: Callable[[], None] | None = None
    """Its timer: of its turn, of its answer, of its next attempt."""

    @property
    def can_be_held_back(self) -> bool:
        """Whether it is an entry: all else protects, or changes what is there already."""
        return self.order is not None and not self.order.reduce_only

    def call_timer_off(self) -> None:
        """What was waited for has come, or does not matter any more."""
        if self.call_off is not None:
            self.call_off()
            self.call_off = None


class Flights:
    """Orders that wait for their turn here, and the ends of requests that came to nothing."""

    def __init__(self, context: VenueContext) -> None:
        self._translator = context.translator
        self._deliver, self._clock = context.ports.deliver, context.ports.clock
        self._waiting: dict[ClientOrderId, Flight] = {}

    def hold(self, flight: Flight) -> None:
        """It waits for its turn, or for another attempt: an order can be taken back meanwhile."""
        if flight.kind is Kind.CREATE:
            self._waiting[flight.client] = flight

    def waiting(self, client: ClientOrderId) -> Flight | None:
        """The order of this id, where it still waits here."""
        return self._waiting.get(client)

    def let_go(self, flight: Flight) -> None:
        """Its turn has come."""
        self._waiting.pop(flight.client, None)

    def land(self, flight: Flight) -> None:
        """It is over."""
        self.let_go(flight)
        flight.is_over = True
        flight.call_timer_off()

    def not_sent(self, flight: Flight, why: str) -> None:
        """Known not to have been carried out, and given up."""
        self.land(flight)
        if flight.was_placed:
            # It was there once, so it is over by now; what it had filled is read with the executions.
            now = self._clock()
            self._deliver(
                OrderCancelled(
                    ts_event=now, ts_recv=now, instrument=flight.instrument, client_order_id=flight.client, why=why
                )
            )
        elif flight.kind is Kind.CREATE:
            self._deliver(order_failed(flight.instrument, flight.client, why, self._clock()))
        else:
            self.rejected(flight, why)

    def rejected(self, flight: Flight, why: str) -> None:
        """The exchange did not do it, and will not."""
        self.land(flight)
        now = self._clock()
        if flight.kind is Kind.PROTECT:
            self._deliver(protection_rejected(flight.instrument, why, now))
        elif flight.kind is Kind.CREATE:
            self._deliver(
                OrderRejected(
                    ts_event=now, ts_recv=now, instrument=flight.instrument, client_order_id=flight.client, why=why
                )
            )
        else:
            is_amendment = flight.kind is Kind.AMEND
            if is_amendment:
                self._translator.forget_terms(flight.client)
            self._deliver(change_rejected(flight.instrument, flight.client, why, now, is_amendment=is_amendment))


def order_failed(instrument: InstrumentId, client: ClientOrderId, why: str, now: int) -> OrderFailed:
    """An order never got there."""
    return OrderFailed(
        ts_event=now,
        ts_recv=now,
        instrument=instrument,
        client_order_id=client,
        venue_order_id=VenueOrderId(""),
        why=why,
    )


def change_rejected(
    instrument: InstrumentId, client: ClientOrderId, why: str, now: int, *, is_amendment: bool
) -> CancelRejected:
    """An order stays as it was."""
    return CancelRejected(
        ts_event=now,
        ts_recv=now,
        instrument=instrument,
        client_order_id=client,
        why=why,
        is_amendment=is_amendment,
    )


def protection_rejected(instrument: InstrumentId, why: str, now: int) -> ProtectionRejected:
    """A position stays protected as it was."""
    return ProtectionRejected(ts_event=now, ts_recv=now, instrument=instrument, why=why)
