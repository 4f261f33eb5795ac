"""Where log lines end up: daily files and a terminal, each written by a thread of its own behind a bounded queue.

Whoever says something never waits: where a disk or a terminal is too slow, lines are dropped and counted.
"""

import contextlib
import os
import queue
import re
import sys
import threading
from collections.abc import Callable
from datetime import date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol, TextIO

import msgspec
from structlog.dev import ConsoleRenderer, plain_traceback

from stakan.core.domain.errors import ConfigError

ERROR = 40
_BATCH = 500
"""Lines that are written at once."""


class Line(msgspec.Struct, frozen=True):
    """One thing said, as plain data without secrets."""

    at: datetime
    """UTC."""
    level: int
    """As in the standard library: 10 debug to 50 critical."""
    fields: dict[str, Any]
    for_files_only: bool = False
    """Said to people already."""


class Sink(Protocol):
    """What a pump writes into."""

    def write(self, lines: list[Line], missed: int) -> None:
        """Write, and say how many were dropped before these; never raises."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class Pump:
    """A bounded queue into a sink, and the thread that empties it."""

    def __init__(self, sink: Sink, level: int, name: str, most: int) -> None:
        self.dropped = 0
        """Lines that found the queue full."""
        self._sink = sink
        self._level = level
        self._most = most
        self._queue: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"stakan-{name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Lines that are not written yet."""
        return self._queue.qsize()

    def put(self, line: Line) -> None:
        """Write it soon; where too many wait it is dropped, errors only where twice as many do."""
        if line.level < self._level:
            return
        if self._queue.qsize() >= (self._most if line.level < ERROR else 2 * self._most):
            self.dropped += 1
            return
        self._queue.put(line)

    def close(self, within_s: float) -> None:
        """Write what waits, or give up after so long."""
        self._queue.put(None)
        self._thread.join(within_s)

    def _run(self) -> None:
        told, is_open = 0, True
        while is_open:
            lines = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(lines) < _BATCH:
                    lines.append(self._queue.get_nowait())
            is_open = None not in lines
            dropped = self.dropped
            self._sink.write([line for line in lines if line is not None], dropped - told)
            told = dropped
        self._sink.close()


class DailyFiles:
    """JSON lines in `PROGRAM_YYYYMMDD.log`, errors also in `PROGRAM_errors_YYYYMMDD.log`; days are UTC.

    `told` is given a sentence when writing begins to fail and when it works again, once each. Raises ConfigError where
    the folder cannot be made at the start.
    """

    def __init__(self, folder: Path, program: str, keep_days: int, told: Callable[[str], None]) -> None:
        self.lost = 0
        """Lines that could not be written."""
        self.problem = ""
        """Why nothing can be written now; empty while it can."""
        self._folder = folder
        self._program = program
        self._keep_days = keep_days
        self._told = told
        self._files = {kind: _Appended(folder) for kind in (program, f"{program}_errors")}
        self._day: date | None = None
        self._unsaid = 0
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(f"logs.folder: {folder} cannot be made: {error.strerror}") from error

    def write(self, lines: list[Line], missed: int) -> None:
        """As `Sink.write`."""
        self._unsaid += missed
        for day, of_day in groupby(lines, key=lambda line: line.at.date()):
            self._begin(day)
            found = list(of_day)
            written = [(line, encoded(line)) for line in found]
            try:
                if self._unsaid:
                    self._say_missed(found[0])
                errors = b"".join(text for line, text in written if line.level >= ERROR)
                if errors:
                    self._append(f"{self._program}_errors", errors)
                self._append(self._program, b"".join(text for _, text in written))
            except OSError as error:
                self._failed(len(found), error)
            else:
                self._worked()

    def close(self) -> None:
        """As `Sink.close`."""
        for file in self._files.values():
            file.close()

    def _append(self, kind: str, data: bytes) -> None:
        assert self._day is not None
        self._files[kind].append(f"{kind}_{self._day:%Y%m%d}.log", data)

    def _say_missed(self, line: Line) -> None:
        said = {
            "timestamp": line.fields.get("timestamp", ""),
            "level": "warning",
            "logger": __name__,
            "event": "log lines are missing here",
            "count": self._unsaid,
        }
        self._append(self._program, msgspec.json.encode(said) + b"\n")
        self._unsaid = 0

    def _begin(self, day: date) -> None:
        if day == self._day:
            return
        self._day = day
        if self._keep_days:
            remove_before(self._folder, self._program, day - timedelta(days=self._keep_days - 1))

    def _failed(self, count: int, error: OSError) -> None:
        self.lost += count
        self._unsaid += count
        if not self.problem:
            self.problem = f"logs cannot be written to {self._folder}: {error.strerror or error}"
            self._told(self.problem)

    def _worked(self) -> None:
        if self.problem:
            self.problem = ""
            self._told(f"logs are written to {self._folder} again; {self.lost} lines were lost so far")


class _Appended:
    """One file that is appended to; made again where somebody has taken it away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = ""
        self._handle = -1
        self._is_torn = False

    def append(self, name: str, data: bytes) -> None:
        """Write whole lines; raises OSError where they are not all written."""
        if name != self._name or not self._is_there():
            self.close()
            self._open(name)
        if self._is_torn:
            data = b"\n" + data
        while data:
            data = data[os.write(self._handle, data) :]
            self._is_torn = bool(data)

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _open(self, name: str) -> None:
        with contextlib.suppress(FileExistsError):
            # Of the folder alone: where the one around it is gone, so is what the logs belong to.
            self._folder.mkdir(mode=0o700)
        self._handle = os.open(self._folder / name, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._name = name
        size = os.fstat(self._handle).st_size
        self._is_torn = size > 0 and os.pread(self._handle, 1, size - 1) != b"\n"

    def _is_there(self) -> bool:
        if self._handle < 0:
            return False
        try:
            there, ours = (self._folder / self._name).stat(), os.fstat(self._handle)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def remove_before(folder: Path, program: str, first: date) -> None:
    """Remove a program's log files of days before `first`; what cannot be removed stays."""
    pattern = re.compile(rf"{re.escape(program)}(?:_errors)?_(\d{{8}})\.log")
    with contextlib.suppress(OSError):
        for file in folder.iterdir():
            found = pattern.fullmatch(file.name)
            if found is not None and found[1] < f"{first:%Y%m%d}":
                with contextlib.suppress(OSError):
                    file.unlink()


def encoded(line: Line) -> bytes:
    """A line as JSON."""
    return msgspec.json.encode(line.fields) + b"\n"


class Terminal:
    """Lines for people: colour on a terminal, none elsewhere. Goes to standard error, whatever that is at the time."""

    _LEFT_OUT = ("program", "correlation", "run")

    def __init__(self, stream: Callable[[], TextIO] = lambda: sys.stderr) -> None:
        self._stream = stream
        self._renderers: dict[bool, ConsoleRenderer] = {}

    def write(self, lines: list[Line], missed: int) -> None:
        """As `Sink.write`."""
        stream = self._stream()
        try:
            render = self._renderer(stream.isatty())
            text = "".join(f"{self._rendered(render, line)}\n" for line in lines)
            if missed:
                text = f"({missed} lines were not shown)\n{text}"
            stream.write(text)
            stream.flush()
        except (OSError, ValueError):
            # Nobody listens any more; the files do.
            return

    def close(self) -> None:
        """As `Sink.close`."""

    def _rendered(self, render: ConsoleRenderer, line: Line) -> str:
        fields = {key: value for key, value in line.fields.items() if key not in self._LEFT_OUT}
        fields["timestamp"] = f"{line.at:%H:%M:%S}.{line.at.microsecond // 1000:03d}"
        shown = render(None, "", fields)
        assert isinstance(shown, str)
        return shown

    def _renderer(self, is_terminal: bool) -> ConsoleRenderer:
        if is_terminal not in self._renderers:
            self._renderers[is_terminal] = ConsoleRenderer(
                colors=is_terminal, sort_keys=False, exception_formatter=plain_traceback
            )
        return self._renderers[is_terminal]
