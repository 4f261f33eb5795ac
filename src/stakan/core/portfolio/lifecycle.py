"""What orders and positions may become, as tables: decisions about legality, nothing else.

An event about an order is reduced to a `Cause`; the table says which status follows. Whatever is not in a table is
illegal (a duplicate, a late message, a contradiction) and is refused as a value, so no message ever moves an order
backwards. Fills are different: they are booked in every state, and on a finished order they correct the record
(`CORRECTIONS`) from one terminal status to another, never back to life.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from stakan.core.domain.orders import OrderStatus, PositionStatus


class Cause(StrEnum):
    """What happened to an order."""

    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    TRIGGERED = "triggered"
    AMENDED = "amended"
    PARTLY_FILLED = "partly filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    FAILED = "failed"


_PENDING, _PLACED, _PARTIAL = OrderStatus.PENDING, OrderStatus.PLACED, OrderStatus.PARTIALLY_FILLED
_FILLED, _CANCELLED = OrderStatus.FILLED, OrderStatus.CANCELLED
_REJECTED, _FAILED = OrderStatus.REJECTED, OrderStatus.FAILED

ORDER_TRANSITIONS: Mapping[tuple[OrderStatus, Cause], OrderStatus] = MappingProxyType(
    {
        (_PENDING, Cause.ACCEPTED): _PLACED,
        (_PENDING, Cause.TRIGGERED): _PLACED,
        (_PENDING, Cause.AMENDED): _PLACED,
        (_PENDING, Cause.PARTLY_FILLED): _PARTIAL,
        (_PENDING, Cause.FILLED): _FILLED,
        (_PENDING, Cause.CANCELLED): _CANCELLED,
        (_PENDING, Cause.REJECTED): _REJECTED,
        (_PENDING, Cause.FAILED): _FAILED,
        (_PLACED, Cause.TRIGGERED): _PLACED,
        (_PLACED, Cause.AMENDED): _PLACED,
        (_PLACED, Cause.PARTLY_FILLED): _PARTIAL,
        (_PLACED, Cause.FILLED): _FILLED,
        (_PLACED, Cause.CANCELLED): _CANCELLED,
        (_PLACED, Cause.REJECTED): _REJECTED,
        (_PARTIAL, Cause.AMENDED): _PARTIAL,
        (_PARTIAL, Cause.PARTLY_FILLED): _PARTIAL,
        (_PARTIAL, Cause.FILLED): _FILLED,
        (_PARTIAL, Cause.CANCELLED): _CANCELLED,
        # Seen in the wild: rejected with executions is an order cancelled with fills.
        (_PARTIAL, Cause.REJECTED): _CANCELLED,
    }
)
"""Decision 4. A status that follows itself is a change of terms or progress within it."""

CORRECTIONS: Mapping[tuple[OrderStatus, Cause], OrderStatus] = MappingProxyType(
    {
        (_FILLED, Cause.FILLED): _FILLED,
        (_CANCELLED, Cause.PARTLY_FILLED): _CANCELLED,
        (_CANCELLED, Cause.FILLED): _FILLED,
        (_REJECTED, Cause.PARTLY_FILLED): _CANCELLED,
        (_REJECTED, Cause.FILLED): _FILLED,
        (_FAILED, Cause.PARTLY_FILLED): _CANCELLED,
        (_FAILED, Cause.FILLED): _FILLED,
    }
)
"""What a late fill makes of a finished order: the same end as if it had come in time."""

POSITION_TRANSITIONS: Mapping[PositionStatus, frozenset[PositionStatus]] = MappingProxyType(
    {
        PositionStatus.OPENING: frozenset((PositionStatus.OPEN, PositionStatus.CLOSED)),
        PositionStatus.OPEN: frozenset((PositionStatus.CLOSING, PositionStatus.CLOSED)),
        PositionStatus.CLOSING: frozenset((PositionStatus.CLOSED, PositionStatus.OPEN)),
        PositionStatus.CLOSED: frozenset(),
    }
)
"""Decision 5."""


def next_order_status(status: OrderStatus, cause: Cause) -> OrderStatus | None:
    """The status after `cause`; None where the transition is illegal and the message is to be refused."""
    return ORDER_TRANSITIONS.get((status, cause))


def corrected_status(status: OrderStatus, cause: Cause) -> OrderStatus:
    """The terminal status of a finished order after a late fill; unchanged where nothing is to correct."""
    return CORRECTIONS.get((status, cause), status)


def may_follow(before: PositionStatus, after: PositionStatus) -> bool:
    """Whether a position may go from `before` to `after`."""
    return after in POSITION_TRANSITIONS[before]
