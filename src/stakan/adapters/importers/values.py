"""Columns of numbers and times to ticks, lots and nanoseconds, exactly."""

from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stakan.adapters.importers.clock import UnitOfTime
from stakan.adapters.wire import Scale
from stakan.core.domain.errors import DataError

Ints = npt.NDArray[np.int64]
Column: TypeAlias = "pa.Array[Any]"
_EXACT_FLOAT = 2**53


_MEND = "; give the instrument the granularity of that time"


def counts(name: str, column: Column, scale: Scale, first: int, least: int = 0) -> Ints:
    """A column as units of a scale, shape (n,).

    Floats count as the shortest decimal that they stand for, which must lie on the grid. Raises DataError naming
    column and row (the first is row `first`) where a value is missing, no number, off the grid or below `least` units.
    """
    if pa.types.is_floating(column.type):
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        found = _from_floats(name, values, scale, first)
    else:
        found = np.array(
            [_count(name, row, value, scale) for row, value in enumerate(column.to_pylist(), first)], np.int64
        )
    low = np.flatnonzero(found < least)
    if len(low):
        raise DataError(f"row {first + low[0]}: {name} {column[int(low[0])]} is not above zero")
    return found


def nanoseconds(name: str, column: Column) -> Ints:
    """A column of times as nanoseconds UTC: timestamps, ISO text, or numbers in s, ms, µs or ns by magnitude.

    Text needs its zone; timestamps without one are UTC. Raises DataError naming the column.
    """
    if column.null_count:
        raise DataError(f"{name} has rows without a time")
    try:
        if pa.types.is_timestamp(column.type):
            return _ints(column.cast(pa.timestamp("ns", tz="UTC")))
        if pa.types.is_integer(column.type):
            return _whole_times(column)
        if pa.types.is_string(column.type) and not str(column[0]).replace(".", "", 1).isdigit():
            return _ints(column.cast(pa.timestamp("ns", tz="UTC")))
    except pa.ArrowInvalid as error:
        raise DataError(f"{name} is no time: {error}") from error
    return _fractional_times(name, column)


def _from_floats(name: str, values: npt.NDArray[np.float64], scale: Scale, first: int) -> Ints:
    bad = np.flatnonzero(~np.isfinite(values) | (values < 0))
    if len(bad):
        raise DataError(f"row {first + bad[0]}: {name} {values[bad[0]]} is not a number from zero up")
    power = 10.0**scale.digits
    scaled = np.rint(values * power / scale.unit) * scale.unit
    off = np.flatnonzero((scaled >= _EXACT_FLOAT) | (scaled / power != values))
    if len(off):
        raise DataError(f"row {first + off[0]}: {name} {values[off[0]]} is not a multiple of {scale.decimal}{_MEND}")
    return (scaled / scale.unit).astype(np.int64)


def _count(name: str, row: int, value: object, scale: Scale) -> int:
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    try:
        return scale.count(text)
    except DataError as error:
        raise DataError(f"row {row}: {name} {error}{_MEND if 'multiple' in str(error) else ''}") from None


def _ints(times: Column) -> Ints:
    return times.cast(pa.int64()).to_numpy(zero_copy_only=False)


def _whole_times(column: Column) -> Ints:
    unit = UnitOfTime()
    values: Ints = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    least, most = int(values.min()), int(values.max())
    unit.nanoseconds(str(least).encode())
    return values * (unit.nanoseconds(str(most).encode()) // most)


def _fractional_times(name: str, column: Column) -> Ints:
    """Decimals of one unit, as text or float, e.g. seconds `1764878935.6490`."""
    unit = UnitOfTime()
    found = []
    for row, value in enumerate(column.to_pylist()):
        whole, _, part = str(value).partition(".")
        try:
            start = unit.nanoseconds(whole.encode())
            factor = start // int(whole)
            found.append(start + Scale(digits=9, unit=1).count(f"0.{part or 0}") * factor // 10**9)
        except DataError as error:
            raise DataError(f"row {row}: {name} {error}") from None
    return np.array(found, np.int64)
