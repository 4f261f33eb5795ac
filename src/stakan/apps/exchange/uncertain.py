"""What Bybit does not document or documents in two ways: every such point is a switch here, with its default."""

import msgspec


class Uncertain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Open questions of the private protocol."""

    rounds_off_grid: bool = False
    """Round a price off the tick and a size off the step (price towards passive, size down) instead of 10001."""
    tells_new_before_outcome: bool = False
    """Push `New` for an order that fills or ends in the very moment of its entry."""
    tells_triggered: bool = True
    """Push `Triggered` between `Untriggered` and what follows."""
    leg_ends_cancelled: bool = True
    """Stop and take-profit of a flat position end as `Cancelled`; else as `Deactivated`."""
    waiting_ends_deactivated: bool = True
    """A conditional order that is cancelled before its trigger ends as `Deactivated`; else as `Cancelled`."""
    ioc_rest_reason: str = "EC_NoImmediateQtyToFill"
    """`rejectReason` of what an IOC order could not fill."""
    fok_reason: str = "EC_NoEnoughQtyToFill"
    """`rejectReason` of a FOK order that could not be filled as a whole."""
    longest_link_id: int = 36
    """Characters of an `orderLinkId`; 45 was seen enforced."""
    unauthorised_status: int = 200
    """HTTP status of answers to requests that are not signed or not signed right; 401 was seen too."""
    largest_batch: int = 20
    """Orders of one batch request; the page on rate limits says 10."""
    too_large_code: int = 10001
    """For a size above the maximum."""
