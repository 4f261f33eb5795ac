"""Rows of our orders: what was asked, what the exchange said, and every step from one status to the next."""

from decimal import Decimal

from stakan.adapters.sql.folding.draft import Draft, builtins, plain, side_name
from stakan.adapters.sql.folding.state import OrderRow
from stakan.adapters.sql.tables import order_transitions, orders
from stakan.core.domain.events import CancelRejected, OrderAmended, OrderEvent, OrderFilled, OutcomeLost
from stakan.core.domain.facts import OrderTransitioned
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import NewOrder, OrderStatus, Purpose
from stakan.core.domain.units import Ticks

_FAILURES = frozenset((OrderStatus.REJECTED, OrderStatus.FAILED))
_FILLS = frozenset((OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED))


def heard(draft: Draft, event: OrderEvent) -> None:
    """A message of the exchange, whatever it changes: it names the order, and ends an uncertainty or begins one."""
    if isinstance(event, OutcomeLost | CancelRejected):
        _failed_request(draft, event)
    row = draft.state.order_named(event.client_order_id, event.venue_order_id)
    if row is None:
        return
    if isinstance(event, OutcomeLost):
        if row.status == OrderStatus.PENDING:
            _set(draft, row, outcome_unknown=True)
        return
    if event.venue_order_id and not row.venue_order_id:
        _set(draft, row, venue_order_id=plain(event.venue_order_id))
    if row.outcome_unknown:
        _set(draft, row, outcome_unknown=False)
    if row.answered_ts is None:
        _set(draft, row, answered_ts=draft.ts)


def transitioned(draft: Draft, fact: OrderTransitioned) -> None:
    """A new status, new terms, or progress within a status."""
    request = draft.asked.get(fact.client_order_id) if fact.before is None else None
    if request is not None:
        _submitted(draft, request, fact)
    row = draft.state.orders.get(fact.client_order_id)
    if row is None and not draft.state.traces.orders.get(fact.client_order_id):
        # Its submission is in no journal that was given to us.
        draft.note(type(fact).__name__, fact.instrument, fact, draft.trace(fact))
        _audited(draft, fact, draft.trace(fact))
        return
    trace = draft.trace(fact)
    draft.insert(
        order_transitions,
        trace_id=trace,
        client_order_id=fact.client_order_id,
        before_status=fact.before.value if fact.before is not None else None,
        after_status=fact.after.value,
        cause=plain(fact.cause),
        filled_lots=fact.filled,
    )
    _audited(draft, fact, trace)
    filled = draft.rules(fact.instrument).size(fact.filled)
    if row is None:
        _correct(draft, fact, filled)
    elif request is None:
        _advance(draft, row, fact, filled)


def _correct(draft: Draft, fact: OrderTransitioned, filled: Decimal) -> None:
    """A late fill of an order that has ended."""
    key = (fact.client_order_id,)
    draft.change(orders, key, status=fact.after.value, cause=plain(fact.cause), filled_lots=fact.filled, filled=filled)
    if isinstance(draft.event, OrderFilled) and draft.event.size == fact.filled:
        draft.change(orders, key, first_fill_ts=draft.ts)


def _advance(draft: Draft, row: OrderRow, fact: OrderTransitioned, filled: Decimal) -> None:
    _set(draft, row, status=fact.after.value, cause=plain(fact.cause), filled_lots=int(fact.filled), filled=filled)
    if isinstance(draft.event, OrderAmended):
        rules = draft.rules(fact.instrument)
        terms = draft.event
        _set(draft, row, price_ticks=int(terms.price), price=rules.price(terms.price))
        _set(draft, row, size_lots=int(terms.size), size=rules.size(terms.size))
    if row.first_fill_ts is None and isinstance(draft.event, OrderFilled):
        _set(draft, row, first_fill_ts=draft.ts)
    if fact.after.is_terminal:
        _set(draft, row, is_live=False, finished_ts=draft.ts)
        _retire(draft, row)


def _submitted(draft: Draft, request: NewOrder, fact: OrderTransitioned) -> None:
    rules = draft.rules(request.instrument)
    approved = draft.approved.get(request.intent)
    row = OrderRow(
        client_order_id=request.client_order_id,
        run=draft.state.run,
        number=draft.state.number,
        instrument=request.instrument,
        intent=request.intent,
        trace_id=draft.trace_of_intent(request.intent),
        strategy=approved.intent.signal.strategy if approved is not None else _strategy_of_position(draft, request),
        purpose=request.purpose.value,
        side=side_name(request.side),
        type=request.type.value,
        time_in_force=request.time_in_force.value,
        reduce_only=request.reduce_only,
        price_ticks=request.price,
        price=_price(rules, request.price),
        size_lots=request.size,
        size=rules.size(request.size),
        stop_loss=_price(rules, request.stop_loss),
        take_profit=_price(rules, request.take_profit),
        reason="; ".join(approved.intent.signal.reasons) if approved is not None else _why_out(draft, request),
        status=fact.after.value,
        cause=plain(fact.cause),
        submitted_ts=draft.ts,
    )
    draft.state.orders[row.client_order_id] = row
    draft.insert_row(orders, row)


def _strategy_of_position(draft: Draft, request: NewOrder) -> str:
    memory = draft.state.position_in(request.instrument)
    return memory.row.strategy if memory is not None else ""


def _why_out(draft: Draft, request: NewOrder) -> str:
    memory = draft.state.position_in(request.instrument)
    return memory.leaving if memory is not None and request.purpose is Purpose.EXIT else ""


def _retire(draft: Draft, row: OrderRow) -> None:
    del draft.state.orders[row.client_order_id]


def _audited(draft: Draft, fact: OrderTransitioned, trace: str) -> None:
    draft.audit(
        "order",
        ("order", fact.client_order_id),
        trace=trace,
        actor=draft.actor if fact.before is None else draft.teller,
        change=(fact.before.value if fact.before is not None else None, fact.after.value),
        reason=fact.cause,
        context={"instrument": fact.instrument, "filled_lots": fact.filled},
        success=fact.after not in _FAILURES,
    )


def _failed_request(draft: Draft, event: OutcomeLost | CancelRejected) -> None:
    kind = type(event).__name__
    trace = draft.trace(event)
    draft.note(kind, event.instrument, builtins(event), trace)
    draft.audit(
        "order request",
        ("order", event.client_order_id or event.venue_order_id),
        trace=trace,
        change=(None, kind),
        actor="exchange",
        reason=event.why if isinstance(event, CancelRejected) else "no answer: it is looked up",
        context={"instrument": event.instrument},
        success=False,
    )


def _price(rules: Instrument, ticks: Ticks | None) -> Decimal | None:
    return None if ticks is None else rules.price(ticks)


def _set(draft: Draft, row: OrderRow, **values: object) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    draft.change(orders, (row.client_order_id,), **values)


def give_up(draft: Draft) -> None:
    """A run that carries nothing on has begun: what was live is followed no more, its last known status stays."""
    for row in list(draft.state.orders.values()):
        _set(draft, row, is_live=False)
        _retire(draft, row)
