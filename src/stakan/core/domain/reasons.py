"""One enumeration for every refused, vetoed or fallback outcome: in records, metrics and the console alike."""

from enum import StrEnum


class Reason(StrEnum):
    """Why something was not done, or was done otherwise."""

    # market
    BOOK_UNHEALTHY = "book_unhealthy"
    # decision
    CONFLICTING_SIGNALS = "conflicting_signals"
    TOO_WEAK = "too_weak"
    OUTVOTED = "outvoted"
    POSITION_EXISTS = "position_exists"
    ENTRY_IN_FLIGHT = "entry_in_flight"
    COOLING_DOWN = "cooling_down"
    SIGNAL_STALE = "signal_stale"
    DENSITY_GONE = "density_gone"
    ENTRY_TOO_FAR = "entry_too_far"
    MANIPULATION = "manipulation"
    """It leans on what looks like a manipulation."""
    # risk
    NO_STOP = "no_stop"
    STOP_WRONG_SIDE = "stop_wrong_side"
    STOP_TOO_CLOSE = "stop_too_close"
    STOP_TOO_WIDE = "stop_too_wide"
    TARGET_WRONG_SIDE = "target_wrong_side"
    ORDER_TOO_SMALL = "order_too_small"
    ORDER_TOO_LARGE = "order_too_large"
    TOO_MANY_POSITIONS = "too_many_positions"
    EXPOSURE = "exposure"
    LEVERAGE = "leverage"
    DAILY_LOSS = "daily_loss"
    BALANCE = "balance"
    SHORT_NOT_POSSIBLE = "short_not_possible"
    # trading state
    ENTRIES_PAUSED = "entries_paused"
    HALTED = "halted"
    RECOVERING = "recovering"
    """What the account holds is not known for certain."""
    IMPAIRED = "impaired"
    """A part that trading relies on is away."""
    STOPPING = "stopping"
    # life of orders and positions
    ENTRY_TIMED_OUT = "entry_timed_out"
    HORIZON_REACHED = "horizon_reached"
    EXIT_CONDITION = "exit_condition"
    OPERATOR = "operator"
    RULES_CHANGED = "rules_changed"
    UNPROTECTED = "unprotected"
    ORPHAN = "orphan"
