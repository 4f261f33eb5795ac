"""Durations as people write them."""

from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import AfterValidator

from stakan.core.domain.units import DAY, HOUR, MILLISECOND, MINUTE, SECOND

_UNITS = {"ms": MILLISECOND, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}


def duration_ns(text: str) -> int:
    """Nanoseconds of a duration such as `500ms`, `5s`, `1m`, `4h`, `1d`; raises ValueError for other shapes."""
    for unit in ("ms", "s", "m", "h", "d"):
        number = text.removesuffix(unit)
        if number != text:
            try:
                amount = Decimal(number)
            except InvalidOperation:
                continue
            if amount.is_finite() and amount >= 0:
                return int(amount * _UNITS[unit])
    raise ValueError(f"{text!r} is not a duration: write 500ms, 5s, 1m, 4h or 1d")


def _duration(text: str) -> str:
    duration_ns(text)
    return text


def _above_zero(text: str) -> str:
    if duration_ns(text) == 0:
        raise ValueError("something is repeated after this long: it must be above 0")
    return text


Duration = Annotated[str, AfterValidator(_duration)]
Period = Annotated[str, AfterValidator(_above_zero)]
"""A duration after which something is repeated."""
