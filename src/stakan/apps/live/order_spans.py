"""Orders as spans: one root for each order, a child for each of its stages, in the trace that logs and audit name.

```
order            from the receipt of the event that it answers to its end
├─ engine        to the engine's decision
├─ submit        from there until it was handed to the socket; where nothing leaves, until it was on the disk
├─ acknowledge   from the receipt to the exchange's first word
└─ fill          from the receipt to each execution
```
"""

from collections import deque

import msgspec

from stakan.adapters.tracing.spans import Attribute, Span, SpanSink
from stakan.apps.live.latency import ACKNOWLEDGE, FILL, SUBMIT, Latencies, Moments
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import AnyEvent, OrderEvent
from stakan.core.domain.facts import FillBooked, OrderTransitioned
from stakan.core.domain.ids import ClientOrderId, VenueOrderId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import NewOrder, OrderStatus
from stakan.core.domain.step import Step
from stakan.core.domain.trace import TraceId, trace_id
from stakan.core.domain.units import Nanos
from stakan.core.engine import Engine

ORDER, ENGINE = "order", "engine"
_FAILED = (OrderStatus.REJECTED, OrderStatus.FAILED)
_LATE = 1_000
"""Orders that have ended and whose late fills are still told."""


class _Followed(msgspec.Struct):
    """An order that was sent in this run."""

    trace: TraceId
    moments: Moments
    rules: Instrument
    about: dict[str, Attribute]
    is_acknowledged: bool = False
    is_over: bool = False


class OrderSpans:
    """Sees every event with its step, in order, after the orders have left.

    Orders of an earlier run are not told of: when they began is not known here.
    """

    def __init__(self, sink: SpanSink, engine: Engine, latencies: Latencies, *, run: str, mode: str) -> None:
        self._sink = sink
        self._engine = engine
        self._latencies = latencies
        self._run = run
        self._mode = mode
        self._orders: dict[ClientOrderId, _Followed] = {}
        self._over: deque[ClientOrderId] = deque()

    def observe(self, event: AnyEvent, step: Step) -> None:
        """Tell what ended."""
        for command in step.commands:
            if isinstance(command, SubmitOrder):
                self._sent(event, step, command.order)
        if isinstance(event, OrderEvent):
            self._answered(event)
        for fact in step.facts:
            match fact:
                case FillBooked():
                    self._filled(fact, step.ts)
                case OrderTransitioned() if fact.after.is_terminal and fact.before is not fact.after:
                    self._ended(fact.client_order_id, step.ts, fact.after, fact.cause)
                case _:
                    pass

    def close(self, now: Nanos) -> None:
        """No more comes: tell of the orders that have not ended."""
        for name, order in self._orders.items():
            if not order.is_over:
                self._put(name, order, ORDER, now, {**order.about, "stakan.status": "open"})

    def _sent(self, event: AnyEvent, step: Step, request: NewOrder) -> None:
        name, moments = request.client_order_id, self._latencies.moments(request.client_order_id)
        if moments is None:
            return
        order = self._orders[name] = _Followed(
            trace=trace_id(self._run, step.number, request.intent),
            moments=moments,
            rules=self._engine.state.instruments[request.instrument].rules,
            about=self._about(event, step, request),
        )
        if moments.decided:
            self._put(name, order, ENGINE, moments.decided)
        if moments.sent:
            self._put(name, order, SUBMIT, moments.sent, start=moments.decided)

    def _about(self, event: AnyEvent, step: Step, request: NewOrder) -> dict[str, Attribute]:
        portfolio = self._engine.state.portfolio
        known = portfolio.orders.find(request.client_order_id, VenueOrderId(""))
        position = portfolio.position(request.instrument)
        strategy = (known.strategy if known is not None else "") or (position.owner.strategy if position else "")
        reasons = () if known is None else known.reasons or ((known.why,) if known.why else ())
        return {
            "stakan.run": self._run,
            "stakan.mode": self._mode,
            "stakan.step": step.number,
            "stakan.event": type(event).__name__,
            "stakan.instrument": request.instrument,
            "stakan.strategy": strategy,
            "stakan.side": request.side.name,
            "stakan.purpose": request.purpose.value,
            "stakan.type": request.type.value,
            "stakan.reasons": reasons,
        }

    def _answered(self, event: OrderEvent) -> None:
        order = self._orders.get(event.client_order_id)
        if order is not None and not order.is_acknowledged:
            order.is_acknowledged = True
            about: dict[str, Attribute] = {"stakan.event": type(event).__name__}
            self._put(event.client_order_id, order, ACKNOWLEDGE, event.ts_recv, about)

    def _filled(self, fill: FillBooked, now: Nanos) -> None:
        order = self._orders.get(fill.client_order_id)
        if order is None:
            return
        about: dict[str, Attribute] = {
            "stakan.execution": fill.execution_id,
            "stakan.position": fill.position,
            "stakan.price": str(order.rules.price(fill.price)),
            "stakan.size": str(order.rules.size(fill.size)),
            "stakan.is_maker": fill.is_maker,
        }
        # An execution that closes one position and opens the next is booked twice.
        self._put(fill.client_order_id, order, FILL, now, about, part=(fill.execution_id, fill.position))

    def _ended(self, name: ClientOrderId, now: Nanos, status: OrderStatus, cause: str) -> None:
        order = self._orders.get(name)
        if order is None or order.is_over:
            return
        about = {**order.about, "stakan.status": status.value, "stakan.cause": cause}
        self._put(name, order, ORDER, now, about, error=cause if status in _FAILED else "")
        order.is_over = True
        self._over.append(name)
        if len(self._over) > _LATE:
            del self._orders[self._over.popleft()]

    def _put(
        self,
        name: ClientOrderId,
        order: _Followed,
        stage: str,
        end: int,
        about: dict[str, Attribute] | None = None,
        *,
        start: int = 0,
        part: tuple[str, ...] = (),
        error: str = "",
    ) -> None:
        is_root = stage == ORDER
        self._sink.put(
            Span(
                trace=order.trace,
                name=stage,
                key=(name,) if is_root else (name, stage, *part),
                parent=None if is_root else (name,),
                start=Nanos(start or order.moments.received),
                end=Nanos(end),
                attributes={"stakan.trace": order.trace, "stakan.order": name, **(about or {})},
                error=error,
            )
        )
