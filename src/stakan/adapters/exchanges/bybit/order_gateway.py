"""Commands of the engine about orders and stops, turned into requests to the exchange."""

from collections.abc import Mapping

import msgspec

from stakan.adapters.exchanges.bybit import bodies
from stakan.adapters.exchanges.bybit.context import VenueContext
from stakan.adapters.exchanges.bybit.entry_gate import EntryGate
from stakan.adapters.exchanges.bybit.errors import Kind
from stakan.adapters.exchanges.bybit.flights import Flight, Flights, change_rejected, order_failed, protection_rejected
from stakan.adapters.exchanges.bybit.limits import Group
from stakan.adapters.exchanges.bybit.order_router import OrderRouter
from stakan.adapters.exchanges.bybit.rest import Request
from stakan.core.domain.commands import AmendOrder, CancelOrder, SetProtection, SubmitOrder, VenueCommand
from stakan.core.domain.events import CancelRejected
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import NewOrder


class OrderGateway:
    """Takes commands. One that cannot leave is refused after the engine's step; an order that waits can be taken back."""

    def __init__(
        self,
        context: VenueContext,
        gate: EntryGate,
        flights: Flights,
        router: OrderRouter,
        rules: Mapping[InstrumentId, Instrument],
    ) -> None:
        self._context = context
        self._clock, self._translator = context.ports.clock, context.translator
        self._gate = gate
        self._flights = flights
        self._router = router
        self._rules = rules
        self._protecting: dict[InstrumentId, Flight] = {}
        """The newest request of each instrument."""
        self._encode = msgspec.json.Encoder().encode

    def send(self, command: VenueCommand) -> None:
        """Send a command; never waits and never raises for what the exchange may say."""
        match command:
            case SubmitOrder(order=order):
                self._submit(order)
            case CancelOrder() if command.venue_order_id:
                self._cancel_foreign(command)
            case CancelOrder():
                self._change(command, Kind.CANCEL, Group.CANCEL, bodies.cancellation(command))
            case AmendOrder():
                rules = self._rules.get(command.instrument)
                if rules is None:
                    self._context.tell_soon(self._amendment_rejected(command, "this instrument is not known"))
                    return
                self._translator.expect_terms(command.client_order_id, command.price, command.size)
                self._change(command, Kind.AMEND, Group.AMEND, bodies.amendment(command, rules))
            case SetProtection():
                self._protect(command)

    def _submit(self, order: NewOrder) -> None:
        is_known = order.instrument in self._rules
        why = self._gate.refusal(order) if is_known else "this instrument is not known"
        if why is not None:
            self._context.tell_soon(order_failed(order.instrument, order.client_order_id, why, self._clock()))
            return
        self._translator.expect(order)
        self._router.launch(
            Flight(
                kind=Kind.CREATE,
                instrument=order.instrument,
                group=Group.CREATE,
                path="/v5/order/create",
                op=b"order.create",
                body=self._encode(bodies.creation(order, self._rules[order.instrument])),
                client=order.client_order_id,
                order=order,
                began=self._clock(),
            )
        )

    def _cancel_foreign(self, command: CancelOrder) -> None:
        """An order that is not ours, or not any more: what became of it shows in the next reading."""
        request = Request(
            kind=Kind.CANCEL,
            group=Group.CANCEL,
            path="/v5/order/cancel",
            body=self._encode(bodies.cancellation(command)),
            max_wait=self._context.patience.turn,
        )
        note = self._context.ports.note
        self._context.line.ask(request, lambda reply: note(f"cancel of {command.venue_order_id}: {reply.why}"))

    def _change(self, command: CancelOrder | AmendOrder, kind: Kind, group: Group, body: dict[str, object]) -> None:
        if self._drop_waiting(command):
            return
        name = kind.value
        self._router.launch(
            Flight(
                kind=kind,
                instrument=command.instrument,
                group=group,
                path=f"/v5/order/{name}",
                op=f"order.{name}".encode(),
                body=self._encode(body),
                client=command.client_order_id,
                began=self._clock(),
            )
        )

    def _drop_waiting(self, command: CancelOrder | AmendOrder) -> bool:
        """An order that still waits for its turn here is not there to be changed: a cancel takes it back."""
        waiting = self._flights.waiting(command.client_order_id)
        if waiting is None:
            return False
        is_there = self._translator.is_seen(waiting.client)
        if is_there or isinstance(command, CancelOrder):
            self._router.take_back(waiting)
        if is_there:
            # An earlier attempt arrived, whatever its answer said.
            return False
        if isinstance(command, CancelOrder):
            self._context.tell_soon(
                order_failed(waiting.instrument, waiting.client, "cancelled before it was sent", self._clock())
            )
        else:
            self._translator.forget_terms(command.client_order_id)
            self._context.tell_soon(self._amendment_rejected(command, "the order itself waits for its turn"))
        return True

    def _amendment_rejected(self, command: AmendOrder, why: str) -> CancelRejected:
        now = self._clock()
        return change_rejected(command.instrument, command.client_order_id, why, now, is_amendment=True)

    def _protect(self, command: SetProtection) -> None:
        rules = self._rules.get(command.instrument)
        if rules is None:
            self._context.tell_soon(
                protection_rejected(command.instrument, "this instrument is not known", self._clock())
            )
            return
        flight = Flight(
            kind=Kind.PROTECT,
            instrument=command.instrument,
            group=Group.PROTECT,
            path="/v5/position/trading-stop",
            body=self._encode(bodies.protection(command, rules)),
            protection=(command.stop_loss, command.take_profit),
            began=self._clock(),
        )
        older = self._protecting.get(command.instrument)
        if older is not None:
            older.is_superseded = True
        self._protecting[command.instrument] = flight
        self._router.launch(flight)
