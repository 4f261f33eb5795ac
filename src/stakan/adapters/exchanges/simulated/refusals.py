"""Why the simulated exchange says no, cancels, or changes a stop: closed sets, so that nobody has to read texts."""

from enum import StrEnum


class Refused(Exception):
    """The exchange says no: Bybit's code and what the owner gets to read."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


class CancelCause(StrEnum):
    """`why` of every `OrderCancelled`."""

    OWNER = "cancelled by its owner"
    POST_ONLY = "post-only would have taken"
    FILL_OR_KILL = "fill-or-kill could not be filled"
    NOTHING_TO_TAKE = "nothing to take inside the limit"
    """Immediate-or-cancel and market orders that got nothing."""
    REST_NOT_TAKEN = "the rest could not be filled at once"
    """Immediate-or-cancel and market orders that got a part."""
    REDUCE_ONLY = "reduce-only without a position"
    LIQUIDATION = "liquidation"
    NO_MONEY = "not enough money when it was triggered"
    RISK_LIMIT = "leverage above its tier's when it was triggered"
    NO_PRICE = "no price known when it was triggered"

    @classmethod
    def of(cls, refused: Refused) -> "CancelCause":
        """What a triggered order is cancelled with that may not enter."""
        return _AT_TRIGGER[refused.code]


_AT_TRIGGER = {
    10001: CancelCause.NO_PRICE,
    110007: CancelCause.NO_MONEY,
    110013: CancelCause.RISK_LIMIT,
    110017: CancelCause.REDUCE_ONLY,
    170131: CancelCause.NO_MONEY,
}


class ProtectionCause(StrEnum):
    """`why` of every `ProtectionChanged`."""

    OWNER = "set by its owner"
    ATTACHED = "attached to the entry"
    CLOSED = "position closed"
    TURNED = "position closed or turned over"
    STOP_LOSS = "stop_loss triggered"
    TAKE_PROFIT = "take_profit triggered"
    TRAILING_STOP = "trailing_stop triggered"
