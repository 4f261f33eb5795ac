"""Compiled kernels on disk: one process at a time loads or compiles them, and what no kernel stands for is removed."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from sys import modules
from typing import Any

from numba.core import event
from numba.extending import is_jitted

import stakan


@cache
def take_turns() -> None:
    """From now on kernels are compiled by one process of this installation at a time; the others load what it made.

    Numba replaces files of its cache as wholes, but two processes that save a kernel for different types at once may
    give both the same number.
    """
    event.register("numba:compiler_lock", _Turn(Path(stakan.__file__).parent))  # type: ignore[no-untyped-call]


@contextmanager
def noticing(do: Callable[[], None]) -> Iterator[None]:
    """Call `do` when the first kernel is compiled in the block; loading what is kept does not count."""
    with event.install_listener("numba:compile", _First(do)):
        yield


class _First(event.Listener):
    """Passes the beginning of the first event on."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do: Callable[[], None] | None = do

    def on_start(self, event: Any) -> None:  # noqa: ARG002
        do, self._do = self._do, None
        if do is not None:
            do()

    def on_end(self, event: Any) -> None:
        pass


class _Turn(event.Listener):
    """Holds a lock on a folder while this process holds numba's own lock, from looking into the cache to saving."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mutex = threading.Lock()
        self._depth = 0
        self._handle: int | None = None

    def on_start(self, event: Any) -> None:  # noqa: ARG002
        with self._mutex:
            if self._depth == 0:
                self._handle = _locked(self._folder)
            self._depth += 1

    def on_end(self, event: Any) -> None:  # noqa: ARG002
        with self._mutex:
            self._depth -= 1
            if self._depth == 0 and self._handle is not None:
                os.close(self._handle)


def _locked(folder: Path) -> int | None:
    """A handle that locks a folder until it is closed; None where the file system knows no locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        os.close(handle)
        return None
    return handle


def forget_others() -> None:
    """Remove what is kept of other versions of the kernels that are loaded, and of kernels that left their modules."""
    kept: dict[Path, set[str]] = {}
    for kernel in _kernels():
        module = kernel.__module__.rpartition(".")[2]
        kept.setdefault(Path(kernel.stats.cache_path), set()).add(f"{module}.{kernel.py_func.__qualname__}-")
    for folder, names in kept.items():
        files = {name.partition(".")[0] for name in names}
        for file in folder.glob("*.nb[ic]"):
            if file.name.partition(".")[0] in files and not file.name.startswith(tuple(names)):
                file.unlink(missing_ok=True)


def _kernels() -> Iterator[Any]:
    """Kernels in modules of ours that are loaded, each in its own."""
    for name, module in list(modules.items()):
        if name.startswith(f"{stakan.__name__}."):
            for value in vars(module).values():
                if is_jitted(value) and value.__module__ == name:
                    yield value
