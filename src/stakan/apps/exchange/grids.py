"""Numbers of requests as ticks and lots; what does not fit is refused in the protocol's words."""

from decimal import Decimal

from stakan.apps.exchange.refusal import PARAMETER_ERROR, Refused
from stakan.core.domain.errors import DataError
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Lots, Side, Ticks

_LARGEST_EXPONENT = 15
"""Beyond 10^16 of anything is no order."""


def amount(value: Decimal, name: str) -> Decimal:
    """A number that can be one: finite, not negative, not absurd."""
    if not value.is_finite() or value < 0 or value.adjusted() > _LARGEST_EXPONENT:
        raise Refused(PARAMETER_ERROR, f"params error: {name} invalid")
    return value


def ticks(rules: Instrument, value: Decimal, name: str, side: Side | None = None) -> Ticks:
    """A price above zero; `side` rounds one that lies between ticks towards passive, without it that is refused."""
    if not amount(value, name):
        raise Refused(PARAMETER_ERROR, f"params error: {name} should be above 0")
    try:
        return rules.ticks(value)
    except DataError:
        if side is not None:
            return rules.price_down(value) if side is Side.BUY else rules.price_up(value)
        raise Refused(
            PARAMETER_ERROR, f"params error: {name} {value} is not a multiple of the tick size {rules.tick_size}"
        ) from None


def optional_ticks(rules: Instrument, value: Decimal | None, name: str) -> Ticks | None:
    """A price that may be absent; 0 stands for none too."""
    return None if value is None or not amount(value, name) else ticks(rules, value, name)


def lots(rules: Instrument, value: Decimal, name: str, *, rounds: bool) -> Lots:
    """A size, 0 included; between steps it is rounded down or refused."""
    try:
        return rules.lots(amount(value, name))
    except DataError:
        if rounds:
            return rules.size_floor(value)
        raise Refused(
            PARAMETER_ERROR, f"params error: {name} {value} is not a multiple of the qty step {rules.lot_size}"
        ) from None
