"""What people see while numeric kernels are compiled."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from stakan.adapters.compiling import noticing
from stakan.apps.cli.output import errors

_MOMENT_S = 2.0
_TEXT = "compiling numeric kernels, once on this machine"


@contextmanager
def compiling(*, quiet: bool = False) -> Iterator[None]:
    """A block that may compile kernels: where that takes more than a moment, stderr says so."""
    console = errors()
    status = console.status(_TEXT) if console.is_terminal else None
    late = threading.Timer(_MOMENT_S, status.start if status is not None else lambda: console.print(_TEXT))
    with noticing(late.start if not quiet else lambda: None):
        try:
            yield
        finally:
            late.cancel()
            if late.ident is not None:
                late.join()
            if status is not None:
                status.stop()
