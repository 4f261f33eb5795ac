"""Columns of the table of closed candles that candle and indicator kernels read, and quotients that stay finite.

A table has shape (n, 6), oldest candle first: prices in any one unit, volumes in any one unit, turnover in their product
(the sum of price x size over the candle's prints). It should be contiguous: another layout is compiled again.
"""

import numpy as np
import numpy.typing as npt

from stakan.core.kernel import kernel

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

OPEN = 0
HIGH = 1
LOW = 2
CLOSE = 3
VOLUME = 4
TURNOVER = 5

ROUNDING = 1e-12
"""Relative to the price, what sums of equal prices may differ by where the unit is no whole tick: far less than a tick.
With it typical prices that are equal are so in any unit, as in TA-Lib's MFI."""


@kernel
def quotient(a: float, b: float, otherwise: float) -> float:
    """The quotient a / b, and `otherwise` where nothing positive is there to divide by."""
    return a / b if b > 0 else otherwise


@kernel
def change(now: float, before: float) -> float:
    """Relative change, 0 where there was nothing to change from."""
    return (now - before) / before if before > 0 else 0.0


@kernel
def log_ratio(a: float, b: float) -> float:
    """The natural logarithm of a / b, 0 where it has none; exact to the last digits also where a and b are close."""
    if a <= 0 or b <= 0:
        return 0.0
    if b < 2.0 * a and a < 2.0 * b:
        return float(np.log1p((a - b) / b))
    return float(np.log(a / b))


@kernel
def typical(candle: Floats) -> float:
    """The mean of high, low and close of one row."""
    return float((candle[HIGH] + candle[LOW] + candle[CLOSE]) / 3.0)


@kernel
def typical_change(before: Floats, now: Floats) -> float:
    """From the typical price of one row to that of another; exactly 0 between equal ones."""
    step = typical(now) - typical(before)
    return step if abs(step) > ROUNDING * typical(now) else 0.0
