"""Kernels of wash trading: opposite prints of one size at one price, and how likely they are by chance."""

import numpy as np
import numpy.typing as npt

from stakan.core.kernel import kernel

Ints = npt.NDArray[np.int64]
Signs = npt.NDArray[np.int8]

SAMPLE = 500
"""Prints that the share of a size is taken of."""
_SEARCHED = 64
"""A print that came late stands at most so many rows before the end of the tape."""
NONE = -1.0


@kernel
def row_of(ids: Ints, start: int, stop: int, trade_id: int) -> int:
    """Row of a print that has just come; -1 where it is not near the end."""
    for i in range(stop - 1, max(start, stop - _SEARCHED) - 1, -1):
        if ids[i] == trade_id:
            return i
    return -1


@kernel
def is_among(values: Ints, value: int) -> bool:
    """Whether a value is in a ring."""
    for i in range(values.shape[0]):  # noqa: SIM110 - the compiler has no generators
        if values[i] == value:
            return True
    return False


@kernel
def chance(sizes: Ints, signs: Signs, start: int, row: int, rivals: int) -> float:
    """How many of `rivals` prints have the size of print `row` by chance, from the share of it in the sample before.

    Half a print stands for what was never seen; both prints of the pair are left out.
    """
    same = 0
    seen = 0
    i = row - 1
    while i >= start and seen < SAMPLE:
        if abs(signs[i]) == 1:
            seen += 1
            same += sizes[i] == sizes[row]
        i -= 1
    return rivals * (max(same - 1, 0) + 0.5) / (max(seen - 1, 0) + 1.0)


@kernel
def matched(  # noqa: PLR0913, PLR0917 - scalars cross into a kernel faster than an object of them
    times: Ints, prices: Ints, sizes: Ints, signs: Signs, ids: Ints, start: int, stop: int, trade_id: int, used: Ints,
    within: int,
) -> tuple[float, int, int]:  # fmt: skip
    """The newest print that matches a new one: opposite, of equal size and price, at most `within` before it.

    Returns how many such matches chance makes (NONE where there is no match, or one of both is in `used`), the id of
    the match and its time. Opposite prints at the price since the match, itself included, are the chances it had.
    """
    row = row_of(ids, start, stop, trade_id)
    if row < 0 or abs(signs[row]) != 1 or is_among(used, trade_id):
        return NONE, 0, 0
    rivals = 0
    i = row - 1
    while i >= start and times[row] - times[i] <= within:
        if signs[i] == -signs[row] and prices[i] == prices[row]:
            rivals += 1
            if sizes[i] == sizes[row] and not is_among(used, ids[i]):
                return chance(sizes, signs, start, row, rivals), int(ids[i]), int(times[i])
        i -= 1
    return NONE, 0, 0
