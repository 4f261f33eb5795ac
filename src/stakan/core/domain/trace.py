"""The one name under which everything that belongs together is found: from the signal to the last fill and its audit."""

from collections.abc import Mapping
from typing import NewType

from stakan.core.domain.facts import (
    AnyFact,
    FillBooked,
    IntentApproved,
    IntentRefused,
    OrderTransitioned,
    OrderUpdateIgnored,
    PositionClosed,
    PositionTransitioned,
)
from stakan.core.domain.ids import ClientOrderId, IntentId, PositionId

TraceId = NewType("TraceId", str)

NOBODY = IntentId("")


def trace_id(run: str, number: int, intent: IntentId = NOBODY) -> TraceId:
    """The intent's id; of what belongs to no intent, the run and the number of the step."""
    return TraceId(intent or f"{run}#{number}")


def intent_of(
    fact: AnyFact, orders: Mapping[ClientOrderId, IntentId], positions: Mapping[PositionId, IntentId]
) -> IntentId:
    """The intent that a fact belongs to, given those of known orders and positions; empty where it has none."""
    match fact:
        case IntentApproved(intent=intent) | IntentRefused(intent=intent):
            return intent.id
        case PositionTransitioned(intent=owner) | PositionClosed(intent=owner):
            return owner
        case OrderTransitioned(client_order_id=order) | OrderUpdateIgnored(client_order_id=order):
            return orders.get(order, NOBODY)
        case FillBooked(client_order_id=order, position=position):
            return orders.get(order, NOBODY) or positions.get(position, NOBODY)
        case _:
            return NOBODY
