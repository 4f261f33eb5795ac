"""How orders end, in the protocol's words."""

from stakan.adapters.exchanges.simulated.refusals import CancelCause
from stakan.apps.exchange.orders import NO_ERROR, UNKNOWN, Order, Status
from stakan.apps.exchange.uncertain import Uncertain

Ending = tuple[Status, str, str]
"""Status, cancelType, rejectReason."""

_TYPES = {CancelCause.REDUCE_ONLY: "CancelByReduceOnly", CancelCause.LIQUIDATION: "CancelByPrepareLiq"}


def ending(order: Order, cause: CancelCause, uncertain: Uncertain) -> Ending:
    """How an order ended that the core took out."""
    if cause is CancelCause.OWNER:
        return user_ending(order, uncertain)
    reasons = {
        CancelCause.POST_ONLY: "EC_PostOnlyWillTakeLiquidity",
        CancelCause.FILL_OR_KILL: uncertain.fok_reason,
        CancelCause.NOTHING_TO_TAKE: "EC_NoImmediateQtyToFill",
        CancelCause.REST_NOT_TAKEN: uncertain.ioc_rest_reason,
        CancelCause.REDUCE_ONLY: NO_ERROR,
        CancelCause.LIQUIDATION: NO_ERROR,
    }
    return _waiting_or_cancelled(order, uncertain), _TYPES.get(cause, UNKNOWN), reasons.get(cause, "EC_Others")


def user_ending(order: Order, uncertain: Uncertain) -> Ending:
    """Cancelled by its owner."""
    return _waiting_or_cancelled(order, uncertain), "CancelByUser", "EC_PerCancelRequest"


def cleared_ending(uncertain: Uncertain) -> Ending:
    """A leg whose position is gone."""
    return Status.CANCELLED if uncertain.leg_ends_cancelled else Status.DEACTIVATED, "CancelByTpSlTsClear", NO_ERROR


def _waiting_or_cancelled(order: Order, uncertain: Uncertain) -> Status:
    """An order that never was triggered is deactivated rather than cancelled."""
    return Status.DEACTIVATED if order.is_waiting and uncertain.waiting_ends_deactivated else Status.CANCELLED
