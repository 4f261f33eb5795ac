"""Programs that start other programs of ours: a child with its log, its sign of being ready, its orderly end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stakan.core.domain.errors import StakanError

STAKAN = (sys.executable, "-c", "from stakan.apps.cli.main import main; main()")
START_S = 300.0
"""A slow machine compiles numeric kernels for minutes, once; a program that ends is noticed at once."""
STOP_S = 30.0
_POLL_S = 0.05
_TAIL_LINES = 15


def interrupt_on_signals() -> None:
    """Let SIGTERM and a closed terminal end a program as Ctrl-C does, so that what it started ends too."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


class ChildFailed(StakanError):
    """A program that was started ended, or did not come up."""


class Child:
    """One `stakan` command in a process group of its own, so that Ctrl-C reaches only whoever started it."""

    def __init__(
        self, name: str, words: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [*STAKAN, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.poll()

    def until(self, ready: Path, within: float = START_S) -> dict[str, Any]:
        """What it wrote into its ready file; raises ChildFailed where it ends or takes too long."""
        deadline = time.monotonic() + within
        while True:
            if ready.exists():
                found: dict[str, Any] = json.loads(ready.read_text())
                return found
            if self.code is not None:
                raise ChildFailed(f"{self.name} ended with {self.code}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ChildFailed(f"{self.name} was not ready after {within:.0f} s:\n{self.tail()}")
            time.sleep(_POLL_S)

    def stop(self, within: float = STOP_S) -> int:
        """Ask it to end, insist after a while; its exit code."""
        if self.code is None:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def kill(self) -> None:
        """End it as a crash does: with nothing finished and nothing said."""
        self._process.kill()
        self._process.wait()

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
