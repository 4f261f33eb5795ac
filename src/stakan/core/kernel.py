"""The one decorator of numeric kernels: compiled, cached on disk, with its Python types kept for the type checker."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a free function over arrays and scalars (no fastmath, no parallelism: results must repeat exactly).

    A cached kernel is compiled anew when its own file changes, not when a kernel that it calls in another file does:
    `make clean` after such a change.
    """
    return cast("Callable[P, R]", njit(cache=True, error_model="numpy")(function))
