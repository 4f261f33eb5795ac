"""Exact arithmetic of money: sums that lose nothing, and the one place where a share is rounded.

The ambient decimal context is global and rounds to 28 digits in silence; sums here use a context of their own that
refuses to round at all.
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, Inexact, InvalidOperation

from stakan.core.domain.errors import InvariantViolated

ZERO = Decimal(0)
QUANTUM = Decimal("1E-12")
"""Shares (cost released by a reduction, fee of a part) are rounded to this much settlement currency."""

_DIGITS = 80
_EXACT = Context(prec=_DIGITS, rounding=ROUND_HALF_EVEN, traps=[Inexact, InvalidOperation, DivisionByZero])
_WIDE = Context(prec=_DIGITS, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero])
_PRICE = Context(prec=28, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero])


def plus(amount: Decimal, other: Decimal) -> Decimal:
    """Exact sum; raises InvariantViolated where 80 digits do not hold it."""
    try:
        return _EXACT.add(amount, other)
    except Inexact as error:
        raise InvariantViolated(f"{amount} + {other} does not fit {_DIGITS} digits") from error


def minus(amount: Decimal, other: Decimal) -> Decimal:
    """Exact difference; raises InvariantViolated where 80 digits do not hold it."""
    return plus(amount, other.copy_negate())


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Exact sum of any number of amounts."""
    result = ZERO
    for amount in amounts:
        result = plus(result, amount)
    return result


def share(amount: Decimal, part: int, whole: int) -> Decimal:
    """Give `part` of `whole` of an amount: exact for all or nothing, else rounded to `QUANTUM`, halves to even.

    The other share is what remains (`minus`), so that both always add up to `amount`.
    """
    if part == whole:
        return amount
    if part == 0:
        return ZERO
    return _WIDE.divide(_WIDE.multiply(amount, Decimal(part)), Decimal(whole)).quantize(QUANTUM, context=_WIDE)


def per_unit(value: Decimal, size: Decimal) -> Decimal:
    """Value per unit of size to 28 digits: an average price, for people and statistics; 0 where the size is 0."""
    return _PRICE.divide(value, size) if size else ZERO
