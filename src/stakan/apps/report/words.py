"""How numbers, times and codes are said to people: in the report, the comparison and the terminal alike."""

from collections.abc import Sequence
from decimal import Decimal

from stakan.apps.results.files import iso
from stakan.core.domain.units import DAY, HOUR, MINUTE, SECOND

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"


def money(value: Decimal | float, *, signed: bool = False) -> str:
    """Two decimals with thousands; more where the amount is below one."""
    size = -value if value < 0 else value
    digits = 2 if size >= 1 or size == 0 else 4
    return _sign(value, signed=signed) + f"{size:,.{digits}f}"


def percent(share: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """A fraction of one in per cent."""
    return NOTHING if share is None else _sign(share, signed=signed) + f"{abs(share) * 100:.{digits}f} %"


def number(value: float | None, digits: int = 2) -> str:
    """A plain ratio."""
    return NOTHING if value is None else _sign(value, signed=False) + f"{abs(value):,.{digits}f}"


def duration(nanos: int) -> str:
    """The two largest units that say something."""
    if nanos < MINUTE:
        return f"{nanos / SECOND:.1f} s"
    if nanos < HOUR:
        return f"{nanos / MINUTE:.1f} min"
    return f"{nanos / HOUR:.1f} h" if nanos < 2 * DAY else f"{nanos / DAY:.1f} days"


def moment(ts: int) -> str:
    """UTC, to the second."""
    return iso(ts)[:19].replace("T", " ")


def plain(code: str) -> str:
    """A code of an enumeration as words."""
    return code.replace("_", " ")


def short(instruments: Sequence[str]) -> list[str]:
    """The symbols of instrument ids; with category, or in full, where a symbol alone would mean two of them."""
    found = [instrument.rsplit(":", 1)[-1] for instrument in instruments]
    if len(set(found)) < len(found):
        found = [" ".join(reversed(instrument.split(":")[1:])) for instrument in instruments]
    return found if len(set(found)) == len(found) else list(instruments)


def _sign(value: Decimal | float, *, signed: bool) -> str:
    return MINUS if value < 0 else "+" if signed and value > 0 else ""
