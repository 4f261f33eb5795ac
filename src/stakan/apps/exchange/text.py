"""Numbers as the protocol writes them: plain decimal text, never binary floats."""

from decimal import ROUND_HALF_EVEN, Context, Decimal

from stakan.core.domain.instrument import Instrument

EMPTY = ""
_EIGHT = Decimal("1E-8")
_WIDE = Context(prec=80, rounding=ROUND_HALF_EVEN)


def trimmed(value: Decimal) -> str:
    """All digits of a value and no superfluous zero: `0.01`, `640`, `-3.5`."""
    if not value:
        return "0"
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text


def eight(value: Decimal) -> str:
    """At most eight digits after the point, as Bybit shows averages and margins."""
    return trimmed(value.quantize(_EIGHT, context=_WIDE)) if value else "0"


def price_text(rules: Instrument, ticks: int) -> str:
    """A price with the digits of the tick size."""
    return format(rules.tick_size * ticks, "f")


def size_text(rules: Instrument, lots: int) -> str:
    """A size with the digits of the lot size; 0 without any, as Bybit shows nothing."""
    return format(rules.lot_size * lots, "f") if lots else "0"


def optional_price(rules: Instrument, ticks: int | None) -> str:
    """A price that may be absent."""
    return EMPTY if ticks is None else price_text(rules, ticks)
