"""Orders as the simulated exchange keeps them, and the stream of events that tells their owner about them."""

from enum import Enum, auto

import msgspec

from stakan.adapters.exchanges.simulated.models import Delays
from stakan.core.domain.commands import AmendOrder, CancelOrder
from stakan.core.domain.events import (
    CancelRejected,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderRejected,
    OrderTriggered,
    VenueEvent,
)
from stakan.core.domain.ids import ExecutionId, VenueOrderId
from stakan.core.domain.orders import NewOrder, OrderType, TimeInForce
from stakan.core.domain.units import Lots, Side, Ticks


class Stage(Enum):
    """Where a live order is."""

    UNTRIGGERED = auto()
    RESTING = auto()


class LiveOrder(msgspec.Struct):
    """An order that can still be filled."""

    key: int
    """Ordinal over the whole exchange; its key in matching."""
    request: NewOrder
    price: int
    """Limit in force, after the price band and amendments."""
    size: int
    """Total, after amendments and trims."""
    filled: int = 0
    stage: Stage = Stage.RESTING
    is_attached: bool = False
    """Whether its stop and take-profit have gone over to the position."""

    @property
    def side(self) -> Side:
        """Of the order."""
        return self.request.side

    @property
    def left(self) -> int:
        """Lots that are not filled."""
        return self.size - self.filled

    @property
    def venue_order_id(self) -> VenueOrderId:
        """Derived from the ordinal: a replay makes the same."""
        return VenueOrderId(f"sim-{self.key}")

    @property
    def may_rest(self) -> bool:
        """Whether what is not filled at once stays."""
        lives_on = self.request.time_in_force in (TimeInForce.GTC, TimeInForce.POST_ONLY)
        return lives_on and self.request.type is OrderType.LIMIT


class Outbox:
    """What the owner will see, in order: one private connection delivers in the order of its causes."""

    def __init__(self, response: Delays) -> None:
        self._response = response
        self._last = 0
        self._events: list[VenueEvent] = []
        self._keys = 0
        self._executions = 0

    def seen(self, ts: int) -> int:
        """When the owner will see something that happens at `ts`: after a delay, never before an earlier message."""
        self._last = max(self._last, ts + self._response.next())
        return self._last

    def add(self, event: VenueEvent) -> None:
        """Append an event."""
        self._events.append(event)

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened since the last `drain`."""
        return not self._events

    def drain(self) -> list[VenueEvent]:
        """All events since the last call."""
        events, self._events = self._events, []
        return events

    def next_key(self) -> int:
        """Ordinal of a new order."""
        self._keys += 1
        return self._keys

    def next_execution(self) -> ExecutionId:
        """Id of a new execution."""
        self._executions += 1
        return ExecutionId(f"sim-x-{self._executions}")

    # --- what can be said of an order -------------------------------------------------------------------------------

    def accepted(self, order: LiveOrder, ts: int) -> None:
        """It rests, waits for its trigger, or is about to take."""
        request = order.request
        self.add(
            OrderAccepted(
                ts_event=ts,
                ts_recv=self.seen(ts),
                instrument=request.instrument,
                client_order_id=request.client_order_id,
                venue_order_id=order.venue_order_id,
            )
        )

    def triggered(self, order: LiveOrder, ts: int) -> None:
        """Its condition is met."""
        request = order.request
        self.add(
            OrderTriggered(
                ts_event=ts,
                ts_recv=self.seen(ts),
                instrument=request.instrument,
                client_order_id=request.client_order_id,
                venue_order_id=order.venue_order_id,
            )
        )

    def amended(self, order: LiveOrder, ts: int) -> None:
        """Price or size are other than asked for: by amendment, by the price band, by a reduce-only trim."""
        request = order.request
        self.add(
            OrderAmended(
                ts_event=ts,
                ts_recv=self.seen(ts),
                instrument=request.instrument,
                client_order_id=request.client_order_id,
                venue_order_id=order.venue_order_id,
                price=Ticks(order.price),
                size=Lots(order.size),
            )
        )

    def cancelled(self, order: LiveOrder, why: str, ts: int) -> None:
        """It is gone with whatever it had filled."""
        request = order.request
        self.add(
            OrderCancelled(
                ts_event=ts,
                ts_recv=self.seen(ts),
                instrument=request.instrument,
                client_order_id=request.client_order_id,
                venue_order_id=order.venue_order_id,
                why=why,
            )
        )

    def rejected(self, request: NewOrder, why: str, ts: int) -> None:
        """It never became an order."""
        self.add(
            OrderRejected(
                ts_event=ts,
                ts_recv=self.seen(ts),
                instrument=request.instrument,
                client_order_id=request.client_order_id,
                why=why,
            )
        )

    def change_refused(self, command: CancelOrder | AmendOrder, why: str, ts: int) -> None:
        """A cancel or an amendment came to nothing."""
        self.add(
            CancelRejected(
                ts_event=ts,
                ts_recv=self.seen(ts),
                instrument=command.instrument,
                client_order_id=command.client_order_id,
                why=why,
                is_amendment=isinstance(command, AmendOrder),
            )
        )
