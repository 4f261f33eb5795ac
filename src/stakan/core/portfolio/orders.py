"""Our orders: what was asked, what the exchange said of it, and what may still be filled."""

from typing import assert_never

import msgspec

from stakan.core.domain.errors import InvariantViolated
from stakan.core.domain.events import (
    AnyOrderEvent,
    CancelRejected,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderFailed,
    OrderFilled,
    OrderRejected,
    OrderTriggered,
    OutcomeLost,
)
from stakan.core.domain.facts import AnyFact, Discrepancy, OrderTransitioned, OrderUpdateIgnored
from stakan.core.domain.ids import ClientOrderId, InstrumentId, VenueOrderId
from stakan.core.domain.orders import NewOrder, OrderStatus, Purpose
from stakan.core.domain.units import Lots, Nanos, Side, Ticks
from stakan.core.portfolio.lifecycle import Cause, corrected_status, next_order_status

FINISHED_KEPT = 1_000
"""Finished orders kept at least (and at most twice as many)."""


class Amendment(msgspec.Struct, frozen=True):
    """New terms that we asked for and that the exchange has not answered yet; `size` includes the filled part."""

    price: Ticks
    size: Lots


class OrderChange(msgspec.Struct, frozen=True):
    """One line of an order's history."""

    status: OrderStatus
    ts: Nanos
    """`ts_recv`."""
    cause: str


class Order(msgspec.Struct, kw_only=True):
    """One order of ours. `price` and `size` are the terms in force, `request` what was asked at first."""

    request: NewOrder
    strategy: str = ""
    reasons: tuple[str, ...] = ()
    """Of an entry: the signal's."""
    why: str = ""
    """Of an exit: what decided it."""
    status: OrderStatus = OrderStatus.PENDING
    price: Ticks | None
    size: Lots
    filled: Lots = Lots(0)
    filled_value: int = 0
    """Σ ticks · lots over its fills."""
    venue_order_id: VenueOrderId = VenueOrderId("")
    pending_amendment: Amendment | None = None
    cancel_requested: bool = False
    outcome_unknown: bool = False
    is_triggered: bool = False
    submitted_ts: Nanos
    answered_ts: Nanos | None = None
    first_fill_ts: Nanos | None = None
    finished_ts: Nanos | None = None
    amended_ts_event: Nanos = Nanos(-1)
    """Venue time of the terms in force: older ones do not replace them."""
    history: list[OrderChange] = msgspec.field(default_factory=list)

    @property
    def id(self) -> ClientOrderId:
        """Our name for it."""
        return self.request.client_order_id

    @property
    def largest_size(self) -> Lots:
        """What it may fill in all: the larger size until an amendment is answered."""
        pending = self.pending_amendment
        return self.size if pending is None else max(self.size, pending.size)

    @property
    def remaining(self) -> Lots:
        """What may still be filled; 0 for a finished order."""
        return Lots(0) if self.status.is_terminal else Lots(max(0, self.largest_size - self.filled))


class InFlight(msgspec.Struct, frozen=True):
    """Lots that may still be bought and sold by orders that can open or enlarge a position."""

    buys: Lots
    sells: Lots


class Orders(msgspec.Struct, kw_only=True):
    """Live orders in the order of their submission, and the last finished ones in two generations.

    A fill of a finished order that is kept corrects its record; a fill of one that is forgotten is that of an unknown
    order: it enters position and ledger all the same, with a `Discrepancy`.
    """

    finished_kept: int = FINISHED_KEPT
    live: dict[ClientOrderId, Order] = msgspec.field(default_factory=dict)
    finished: dict[ClientOrderId, Order] = msgspec.field(default_factory=dict)
    older: dict[ClientOrderId, Order] = msgspec.field(default_factory=dict)
    names: dict[VenueOrderId, ClientOrderId] = msgspec.field(default_factory=dict)
    """Ours by the exchange's, of the orders that are kept."""

    # --- asking -----------------------------------------------------------------------------------------------------

    def submit(self, order: Order) -> list[AnyFact]:
        """Take a new order in, Pending; raises InvariantViolated where its id was used before or is empty."""
        if not order.id or self._known(order.id) is not None:
            raise InvariantViolated(f"client order id {order.id!r} is empty or used twice: derive one per attempt")
        if order.size <= 0:
            raise InvariantViolated(f"order {order.id} has a size of {order.size} lots: sizes are positive")
        self.live[order.id] = order
        order.history.append(OrderChange(order.status, order.submitted_ts, Cause.SUBMITTED))
        return [_transitioned(order, None, Cause.SUBMITTED)]

    def ask_amendment(self, order_id: ClientOrderId, price: Ticks, size: Lots) -> None:
        """Note that new terms were asked for; exposure counts the larger size until they are answered.

        Raises InvariantViolated where the order is not live or another amendment waits for its answer.
        """
        order = self.live.get(order_id)
        if order is None or order.pending_amendment is not None:
            raise InvariantViolated(f"order {order_id} cannot be amended: it is not live or an amendment is unanswered")
        order.pending_amendment = Amendment(price, size)

    def ask_cancel(self, order_id: ClientOrderId) -> None:
        """Note that a cancel was asked for; raises InvariantViolated where the order is not live."""
        order = self.live.get(order_id)
        if order is None:
            raise InvariantViolated(f"order {order_id} cannot be cancelled: it is not live")
        order.cancel_requested = True

    # --- reading ----------------------------------------------------------------------------------------------------

    def find(self, client: ClientOrderId, venue: VenueOrderId) -> Order | None:
        """The order by our id or, where the message does not carry it, by the exchange's."""
        return self._known(client or self.names.get(venue, client))

    def of(self, instrument: InstrumentId, purpose: Purpose | None = None) -> list[Order]:
        """Live orders of an instrument, oldest first."""
        return [
            order
            for order in self.live.values()
            if order.request.instrument == instrument and (purpose is None or order.request.purpose is purpose)
        ]

    def in_flight(self, instrument: InstrumentId) -> InFlight:
        """What live orders may still do to the position; reduce-only orders cannot enlarge it and do not count."""
        buys = sells = 0
        for order in self.live.values():
            request = order.request
            if request.instrument != instrument or request.reduce_only:
                continue
            if request.side is Side.BUY:
                buys += order.remaining
            else:
                sells += order.remaining
        return InFlight(Lots(buys), Lots(sells))

    # --- what the exchange says -------------------------------------------------------------------------------------

    def apply(self, event: AnyOrderEvent) -> list[AnyFact]:
        """Take a message in. Fills must be new: `Executions` sorts duplicates out before."""
        order = self.find(event.client_order_id, event.venue_order_id)
        if order is None:
            return [_ignored(event, None)]
        if event.venue_order_id and not order.venue_order_id:
            order.venue_order_id = event.venue_order_id
            self.names[event.venue_order_id] = order.id
        if not isinstance(event, OutcomeLost):
            order.outcome_unknown = False
            order.answered_ts = order.answered_ts or Nanos(event.ts_recv)
        facts = _taken(order, event)
        if order.status.is_terminal and order.id in self.live:
            self._retire(order, Nanos(event.ts_recv))
        return facts

    def _known(self, order_id: ClientOrderId) -> Order | None:
        return self.live.get(order_id) or self.finished.get(order_id) or self.older.get(order_id)

    def _retire(self, order: Order, now: Nanos) -> None:
        del self.live[order.id]
        order.finished_ts = now
        if len(self.finished) >= self.finished_kept:
            for forgotten in self.older.values():
                self.names.pop(forgotten.venue_order_id, None)
            self.older, self.finished = self.finished, {}
        self.finished[order.id] = order


def _taken(order: Order, event: AnyOrderEvent) -> list[AnyFact]:
    facts: list[AnyFact]
    match event:
        case OrderFilled():
            facts = _filled(order, event)
        case OrderAmended():
            facts = _amended(order, event)
        case CancelRejected():
            facts = _request_refused(order, event)
        case OutcomeLost():
            facts = _outcome_lost(order, event)
        case OrderAccepted():
            facts = _moved(order, event, Cause.ACCEPTED, "")
        case OrderTriggered():
            facts = _triggered(order, event)
        case OrderCancelled():
            facts = _moved(order, event, Cause.CANCELLED, event.why)
        case OrderRejected():
            facts = _moved(order, event, Cause.REJECTED, event.why)
        case OrderFailed():
            facts = _moved(order, event, Cause.FAILED, event.why)
        case _:
            assert_never(event)
    return facts


def _moved(order: Order, event: AnyOrderEvent, cause: Cause, why: str) -> list[AnyFact]:
    after = next_order_status(order.status, cause)
    if after is None:
        facts: list[AnyFact] = [_ignored(event, order)]
        if order.status is OrderStatus.FAILED and cause in (Cause.ACCEPTED, Cause.TRIGGERED, Cause.AMENDED):
            facts.append(_differs(order, "order existence", "never accepted by the exchange", cause))
        return facts
    before, order.status = order.status, after
    text = f"{cause}: {why}" if why else cause.value
    _remember(order, Nanos(event.ts_recv), text, before)
    return [_transitioned(order, before, text)]


def _outcome_lost(order: Order, event: OutcomeLost) -> list[AnyFact]:
    # Late: the exchange has spoken of the order before the time-out was noticed.
    if order.status is not OrderStatus.PENDING:
        return [_ignored(event, order)]
    order.outcome_unknown = True
    return []


def _triggered(order: Order, event: OrderTriggered) -> list[AnyFact]:
    if order.is_triggered:
        return [_ignored(event, order)]
    order.is_triggered = True
    return _moved(order, event, Cause.TRIGGERED, "")


def _amended(order: Order, event: OrderAmended) -> list[AnyFact]:
    # Of two of one moment the later told one holds: an exchange may trim an order twice in a nanosecond.
    if event.ts_event < order.amended_ts_event:
        return [_ignored(event, order)]
    grew = event.size > order.largest_size
    order.amended_ts_event = Nanos(event.ts_event)
    order.price, order.size, order.pending_amendment = event.price, event.size, None
    facts: list[AnyFact] = []
    if order.status is OrderStatus.FILLED and grew:
        facts.append(_differs(order, "order size", f"filled with {order.filled} lots", f"{event.size} lots"))
    cause = Cause.FILLED if order.filled >= order.size else Cause.AMENDED
    return [*_moved(order, event, cause, ""), *facts]


def _request_refused(order: Order, event: CancelRejected) -> list[AnyFact]:
    if order.status.is_terminal:
        return [_ignored(event, order)]
    if order.pending_amendment is not None and (event.is_amendment or not order.cancel_requested):
        order.pending_amendment = None
        if order.filled >= order.size:
            return _moved(order, event, Cause.FILLED, "amendment refused")
        return []
    if not order.cancel_requested:
        return [_ignored(event, order)]
    order.cancel_requested = False
    return []


def _filled(order: Order, event: OrderFilled) -> list[AnyFact]:
    order.filled = Lots(order.filled + event.size)
    order.filled_value += event.price * event.size
    now = Nanos(event.ts_recv)
    order.first_fill_ts = order.first_fill_ts or now
    cause = Cause.FILLED if order.filled >= order.largest_size else Cause.PARTLY_FILLED
    before = order.status
    after = corrected_status(before, cause) if before.is_terminal else next_order_status(before, cause)
    if after is None:
        raise InvariantViolated(f"no transition for {cause} of an order that is {before}: complete ORDER_TRANSITIONS")
    order.status = after
    facts: list[AnyFact] = []
    if before.is_terminal:
        text = f"late fill {event.execution_id} of {event.size} lots"
        facts.append(_differs(order, "finished order", f"{before}, no more fills", text))
        cause_text = f"late: {cause}"
    else:
        cause_text = cause.value
    _remember(order, now, cause_text, before)
    return [_transitioned(order, before, cause_text), *facts, *_fill_differences(order, event)]


def _fill_differences(order: Order, event: OrderFilled) -> list[AnyFact]:
    facts: list[AnyFact] = []
    if order.filled > order.largest_size:
        facts.append(_differs(order, "filled size", f"at most {order.largest_size} lots", f"{order.filled} lots"))
    if event.side is not order.request.side:
        facts.append(_differs(order, "side of a fill", order.request.side.name, event.side.name))
    if event.instrument != order.request.instrument:
        facts.append(_differs(order, "instrument of a fill", order.request.instrument, event.instrument))
    return facts


def _remember(order: Order, ts: Nanos, cause: str, before: OrderStatus) -> None:
    # Progress within a status (one more partial fill) is in the facts; the record stays short.
    if order.status is not before or cause in (Cause.AMENDED, Cause.TRIGGERED):
        order.history.append(OrderChange(order.status, ts, cause))


def _transitioned(order: Order, before: OrderStatus | None, cause: str) -> OrderTransitioned:
    return OrderTransitioned(
        client_order_id=order.id,
        instrument=order.request.instrument,
        before=before,
        after=order.status,
        cause=cause,
        filled=order.filled,
    )


def _ignored(event: AnyOrderEvent, order: Order | None) -> OrderUpdateIgnored:
    return OrderUpdateIgnored(
        client_order_id=order.id if order else event.client_order_id,
        instrument=event.instrument,
        status=order.status if order else None,
        cause=type(event).__name__,
    )


def _differs(order: Order, subject: str, expected: str, found: str) -> Discrepancy:
    return Discrepancy(
        instrument=order.request.instrument,
        subject=f"{subject} ({order.id})",
        expected=expected,
        found=found,
    )
