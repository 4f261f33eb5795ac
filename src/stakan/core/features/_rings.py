"""Rings of rows that grow: kernels fill them, and only Python can make a larger one."""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Row = TypeVar("Row", bound=np.generic)


def grown(ring: np.ndarray[tuple[int, int], np.dtype[Row]], head: int) -> np.ndarray[tuple[int, int], np.dtype[Row]]:
    """A ring twice as long with the same rows, the oldest (row `head`) first."""
    larger: npt.NDArray[Any] = np.zeros((2 * len(ring), ring.shape[1]), ring.dtype)
    larger[: len(ring)] = np.roll(ring, -head, axis=0)
    return larger
