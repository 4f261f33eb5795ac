"""Orders as the simulated exchange keeps them, and the stream of events that tells their owner about them."""

from decimal import Decimal
from enum import Enum, StrEnum, auto
from typing import assert_never

import msgspec

from stakan.adapters.exchanges.simulated.models import Transit
from stakan.adapters.exchanges.simulated.refusals import CancelCause, ProtectionCause, Refused
from stakan.adapters.exchanges.simulated.requests import (
    ChangeMargin,
    ChangeOrder,
    ChangeRequest,
    Legs,
    PlaceOrder,
    Request,
    SetLeverage,
    SetTradingStop,
    StopRequest,
)
from stakan.core.domain.commands import AmendOrder, CancelOrder, SetProtection, SubmitOrder
from stakan.core.domain.events import (
    CancelRejected,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderRejected,
    OrderTriggered,
    ProtectionChanged,
    ProtectionRejected,
    VenueEvent,
)
from stakan.core.domain.ids import ExecutionId, InstrumentId, VenueOrderId
from stakan.core.domain.orders import NewOrder, OrderType, TimeInForce, Trigger
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
    trigger: Trigger | None = None
    """Condition in force, after amendments; stays when it was met."""
    legs: Legs = Legs()
    """Stop and take-profit that it brings along, after amendments."""
    is_attached: bool = False
    """Whether these have gone over to the position."""

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


class Maker(StrEnum):
    """Who made the order that was executed."""

    OWNER = "owner"
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    TRAILING_STOP = "trailing_stop"
    LIQUIDATION = "liquidation"


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """What `OrderFilled` does not say of an execution; money in settlement currency."""

    id: ExecutionId
    maker: Maker
    order_price: int
    """Limit in force, in ticks: of market orders the protective price, of a take-over the bankruptcy price."""
    order_size: int
    """Lots of the whole order."""
    left: int
    """Lots of the order that are still open."""
    fee_rate: Decimal
    value: Decimal
    closed: int
    """Lots of the position that it closed; the rest of the execution opened."""
    entry_value: Decimal
    """Value of the closed lots at their average entry."""
    open_fee: Decimal
    """What opening the closed lots had cost in fees."""
    realised: Decimal
    """P&L of the closed lots before all fees."""
    mark: Decimal | None
    index: Decimal | None


class Outbox:
    """What the owner will see, in order: one private connection delivers in the order of its causes."""

    def __init__(self, response: Transit) -> None:
        self._response = response
        self.heard = 0
        """Latest time at which the owner is known to have sent something."""
        self._events: list[VenueEvent] = []
        self.keys = 0
        self.execution_count = 0
        """Ordinals that are used."""
        self.executions: dict[ExecutionId, Execution] = {}
        """Details of fills, until the owner's next call."""
        self.refused: Refused | None = None
        """Why the last refused request was refused."""

    def hear(self, now: int) -> None:
        """The owner has sent something at its time `now`: what it has not been told yet, it sees later."""
        self.heard = max(self.heard, now)

    def seen(self, kind: type[VenueEvent], about: str, ts: int) -> int:
        """When the owner will see something that happens at `ts`."""
        return max(self.heard, self._response.arrival(kind.__name__, about, ts))

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
        self.keys += 1
        return self.keys

    def next_execution(self) -> ExecutionId:
        """Id of a new execution."""
        self.execution_count += 1
        return ExecutionId(f"sim-x-{self.execution_count}")

    # --- what can be said of an order -------------------------------------------------------------------------------

    def accepted(self, order: LiveOrder, ts: int) -> None:
        """It rests, waits for its trigger, or is about to take."""
        request = order.request
        self.add(
            OrderAccepted(
                ts_event=ts,
                ts_recv=self.seen(OrderAccepted, request.client_order_id, ts),
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
                ts_recv=self.seen(OrderTriggered, request.client_order_id, ts),
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
                ts_recv=self.seen(OrderAmended, request.client_order_id, ts),
                instrument=request.instrument,
                client_order_id=request.client_order_id,
                venue_order_id=order.venue_order_id,
                price=Ticks(order.price),
                size=Lots(order.size),
            )
        )

    def cancelled(self, order: LiveOrder, cause: CancelCause, ts: int) -> None:
        """It is gone with whatever it had filled."""
        request = order.request
        self.add(
            OrderCancelled(
                ts_event=ts,
                ts_recv=self.seen(OrderCancelled, request.client_order_id, ts),
                instrument=request.instrument,
                client_order_id=request.client_order_id,
                venue_order_id=order.venue_order_id,
                why=cause.value,
            )
        )

    # --- what can be said of a position -----------------------------------------------------------------------------

    def protection_changed(self, instrument: InstrumentId, legs: Legs, cause: ProtectionCause, ts: int) -> None:
        """Stop, take-profit or trailing stop of a position are other than before."""
        self.add(
            ProtectionChanged(
                ts_event=ts,
                ts_recv=self.seen(ProtectionChanged, instrument, ts),
                instrument=instrument,
                stop_loss=legs.stop_loss,
                take_profit=legs.take_profit,
                why=cause.value,
            )
        )

    # --- refusals ---------------------------------------------------------------------------------------------------

    def refuse(self, request: Request, refused: Refused, ts: int) -> None:
        """A request came to nothing; of leverage and margin no event tells."""
        self.refused = refused
        match request:
            case SubmitOrder() | PlaceOrder():
                self._rejected(request.order, str(refused), ts)
            case CancelOrder() | AmendOrder() | ChangeOrder():
                self._change_refused(request, str(refused), ts)
            case SetProtection() | SetTradingStop():
                self._stop_refused(request, str(refused), ts)
            case SetLeverage() | ChangeMargin():
                return
            case _:
                assert_never(request)

    def _rejected(self, request: NewOrder, why: str, ts: int) -> None:
        self.add(
            OrderRejected(
                ts_event=ts,
                ts_recv=self.seen(OrderRejected, request.client_order_id, ts),
                instrument=request.instrument,
                client_order_id=request.client_order_id,
                why=why,
            )
        )

    def _change_refused(self, request: ChangeRequest, why: str, ts: int) -> None:
        self.add(
            CancelRejected(
                ts_event=ts,
                ts_recv=self.seen(CancelRejected, request.client_order_id, ts),
                instrument=request.instrument,
                client_order_id=request.client_order_id,
                why=why,
                is_amendment=not isinstance(request, CancelOrder),
            )
        )

    def _stop_refused(self, request: StopRequest, why: str, ts: int) -> None:
        self.add(
            ProtectionRejected(
                ts_event=ts,
                ts_recv=self.seen(ProtectionRejected, request.instrument, ts),
                instrument=request.instrument,
                why=why,
            )
        )
