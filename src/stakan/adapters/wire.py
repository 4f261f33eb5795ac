"""Exact conversion of the decimals that venues send into ticks and lots."""

from decimal import Decimal, InvalidOperation
from typing import Annotated

import msgspec
import numpy as np

from stakan.adapters import _wire_kernels as kernels
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import Levels
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Lots, Ticks

Millis = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]
"""A moment or duration of the wire, in milliseconds; in nanoseconds it still fits into 63 bits."""
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A venue's number of a message or a trade."""
NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError)
"""What msgspec raises on text that is not the JSON that was expected."""

_FIRST_ROOM = 1024
_MAX_DIGITS = 18
_MAX_TEXT = 1_000
"""Longer numbers are not worth reading."""
_WHY = {
    kernels.NOT_A_NUMBER: "is not a plain decimal number",
    kernels.NEGATIVE: "is negative",
    kernels.TOO_LARGE: "has more digits than 63 bits hold",
    kernels.NOT_POSITIVE: "is not above zero",
}


class Scale(msgspec.Struct, frozen=True):
    """A granularity as `unit` · 10^-digits, e.g. a tick of 0.10 is (1, 1) and one of 0.5 is (1, 5)."""

    digits: int
    unit: int

    def count(self, text: str) -> int:
        """How many units a decimal is; raises DataError where it is no number, is negative or lies between two."""
        whole, point, part = text.partition(".")
        digits = whole + part
        if not (digits.isascii() and digits.isdigit()):
            why = kernels.NEGATIVE if text.startswith("-") else kernels.NOT_A_NUMBER
            raise DataError(f"{text!r} {_WHY[why]}")
        if len(digits) > _MAX_TEXT:
            raise DataError(f"{text[:40]!r}… {_WHY[kernels.TOO_LARGE]}")
        if point and len(part) > self.digits:
            kept, rest = part[: self.digits], part[self.digits :]
            if rest.strip("0"):
                raise DataError(f"{text!r} is not a multiple of {self.decimal}")
            digits = whole + kept
            part = kept
        count, rest_units = divmod(int(digits or "0") * int(10 ** (self.digits - len(part))), self.unit)
        if rest_units:
            raise DataError(f"{text!r} is not a multiple of {self.decimal}")
        if count >= 2**63:
            raise DataError(f"{text!r} {_WHY[kernels.TOO_LARGE]}")
        return count

    @property
    def decimal(self) -> Decimal:
        """The granularity itself."""
        return Decimal(self.unit).scaleb(-self.digits)


def scale_of(granularity: Decimal) -> Scale:
    """Scale of a tick or lot size; raises DataError where it has more than 18 decimals."""
    sign, digits, exponent = granularity.normalize().as_tuple()
    if sign or not isinstance(exponent, int) or not -_MAX_DIGITS <= exponent <= _MAX_DIGITS:
        raise DataError(f"{granularity} cannot be a tick or lot size")
    mantissa = int("".join(map(str, digits)))
    return Scale(digits=max(0, -exponent), unit=mantissa * 10 ** max(0, exponent))


class Grid(msgspec.Struct, frozen=True):
    """Where prices and sizes of an instrument lie; built once per instrument."""

    instrument: InstrumentId
    price: Scale
    size: Scale

    def ticks(self, text: str) -> Ticks:
        """Exact ticks of a positive price; raises DataError naming the instrument."""
        try:
            count = self.price.count(text)
        except DataError as error:
            raise DataError(f"{self.instrument}: price {error}") from None
        if count == 0:
            raise DataError(f"{self.instrument}: price {text!r} {_WHY[kernels.NOT_POSITIVE]}")
        return Ticks(count)

    def lots(self, text: str) -> Lots:
        """Exact lots of a size, zero included; raises DataError naming the instrument."""
        try:
            return Lots(self.size.count(text))
        except DataError as error:
            raise DataError(f"{self.instrument}: size {error}") from None

    def traded(self, text: str) -> Lots:
        """Exact lots of a trade, above zero; raises DataError naming the instrument."""
        count = self.lots(text)
        if count == 0:
            raise DataError(f"{self.instrument}: size {text!r} {_WHY[kernels.NOT_POSITIVE]}")
        return count


def grid_of(instrument: Instrument) -> Grid:
    """The grid of an instrument."""
    return Grid(instrument.id, scale_of(instrument.tick_size), scale_of(instrument.lot_size))


class LevelReader:
    """Reads the levels of one instrument's book messages into blocks that it hands out piece by piece."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        price, size = grid.price, grid.size
        self._scale = (price.digits, price.unit, size.digits, size.unit)
        self._block = np.empty((_FIRST_ROOM, 2), np.int64)
        self._used = 0

    def read(self, message: bytes) -> tuple[Levels, int, int]:
        """Levels of shape (n, 2), how many of them are bids, and the member `u` (-1 where there is none).

        `message` is JSON text that holds `b`/`bids` and `a`/`asks`, at the top or inside `data` or `result`; the
        levels are a piece of a block that is never written again. Raises DataError naming side, level and number where one is not exact on the grid.
        """
        first = self._used
        status, rows, bids, update_id = kernels.read_book(message, self._scale, self._block, first)
        if status != kernels.OK:
            if status == kernels.NEEDS_ROOM:
                # A block that has given levels away is theirs; the next one has room for twice such a message.
                room = max(len(self._block), 2 * (len(self._block) - first))
                self._block, self._used = np.empty((room, 2), np.int64), 0
                return self.read(message)
            raise DataError(self._complaint(message, status, level=rows, which=bids, place=update_id))
        self._used = first + rows
        return self._block[first : self._used], bids, update_id

    def _complaint(self, message: bytes, status: int, *, level: int, which: int, place: int) -> str:
        if status == kernels.BAD_SHAPE:
            around = message[max(0, place - 20) : place + 20].decode(errors="replace")
            return (
                f"{self.grid.instrument}: bids and asks should each be one list of "
                f'["price","size"], at byte {place}: …{around}…'
            )
        end = message.find(b'"', place + 1)
        number = message[place + 1 : end if end > 0 else place + 40].decode(errors="replace")
        side = "asks" if which & 2 else "bids"
        what, scale = ("size", self.grid.size) if which & 1 else ("price", self.grid.price)
        why = _WHY.get(status, f"is not a multiple of {scale.decimal}")
        return f"{self.grid.instrument}: {what} {number!r} of level {level} of the {side} {why}"


def exact_number(text: str) -> Decimal | None:
    """Exact number of a string; None for an empty one, which is how exchanges say that there is none.

    Raises DataError where it is no finite number.
    """
    if not text:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise DataError(f"{text!r} is not a number") from error
    if not number.is_finite():
        raise DataError(f"{text!r} is not a finite number")
    return number
