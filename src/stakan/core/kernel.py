"""The one decorator of numeric kernels: compiled, cached on disk, with its Python types kept for the type checker."""

import builtins
import dis
import hashlib
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numba import njit
from numba.extending import is_jitted

P = ParamSpec("P")
R = TypeVar("R")

_LIBRARIES = ("numpy", "math")
_VALUES = (int, float, complex, str, bytes, tuple, frozenset, type(None), np.generic)


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a free function over arrays and scalars (no fastmath, no parallelism: results must repeat exactly).

    Machine code is kept under the function's name and a digest of all that goes into it: its own code, and the kernels
    and constants that it uses, wherever they stand. What has changed is compiled anew; versions do not meet.

    Raises TypeError for a global whose value cannot be told: kernels and constants are imported by name, and stand
    before what uses them.
    """
    assert isinstance(function, FunctionType)
    # Numba names files of its cache after this name, and looks on its own only at the file that the function is in.
    function.__qualname__ += f"-{_digest(function)}"
    return cast("Callable[P, R]", njit(cache=True, error_model="numpy")(function))


def _digest(function: FunctionType) -> str:
    told = "\n".join((numba.__version__, *_told(function, function.__code__)))
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def _told(function: FunctionType, code: CodeType) -> Iterator[str]:
    """All that decides what a piece of code computes, as text."""
    yield repr((code.co_code, code.co_names, code.co_varnames, function.__defaults__))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _told(function, constant)
        else:
            yield _value(constant)
    for name in sorted({one.argval for one in dis.get_instructions(code) if one.opname == "LOAD_GLOBAL"}):
        if name in function.__globals__:
            yield f"{name}={_global(function, name, function.__globals__[name])}"
        elif not hasattr(builtins, name):
            raise TypeError(f"kernel {function.__qualname__}: {name} should stand before it")


def _global(function: FunctionType, name: str, value: Any) -> str:
    if is_jitted(value):
        # Its name has its own digest.
        return f"{value.py_func.__module__}.{value.py_func.__qualname__}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    if isinstance(value, _VALUES):
        return _value(value)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}{getattr(value, '_fields', '')}"
    module = value.__name__ if isinstance(value, ModuleType) else str(getattr(value, "__module__", ""))
    if module.partition(".")[0] in _LIBRARIES:
        return f"{module} {getattr(value, '__name__', '')}"
    raise TypeError(f"kernel {function.__qualname__}: {name} should be a kernel, a type, a constant, numpy or math")


def _value(value: Any) -> str:
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)
