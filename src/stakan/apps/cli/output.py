"""How every command speaks: tables and progress for people, JSON for scripts, one red line and an exit code for errors.

| exit code | means |
| --- | --- |
| 0 | done |
| 1 | failed: the exchange or the network, or a bug of ours |
| 2 | the configuration or an option cannot work (also typer's own code for wrong usage) |
| 3 | data is damaged, impossible or missing; `data check` found something |
| 4 | writing failed (disk full, no permission); nothing half-written is visible |
| 5, 6 | `stakan watchdog` has alerted, has flattened the account |
| 70 | the bot's event loop was stuck, and the bot was ended hard (see trade.stuck_end) |
| 130 | interrupted by the user |
"""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from stakan.core.domain.errors import ConfigError, DataError, StakanError, StorageError
from stakan.core.domain.units import SECOND

EXIT_FAILED = 1
EXIT_CONFIG = 2
EXIT_DATA = 3
EXIT_STORAGE = 4
EXIT_INTERRUPTED = 130
_POLL_S = 0.2
_WIDE = 160

P = ParamSpec("P")
R = TypeVar("R")


def exit_code(error: StakanError) -> int:
    """Exit code of an error that ends a command."""
    match error:
        case ConfigError():
            return EXIT_CONFIG
        case DataError():
            return EXIT_DATA
        case StorageError():
            return EXIT_STORAGE
        case _:
            return EXIT_FAILED


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """A command whose StakanErrors become one red line on stderr and an exit code."""

    @wraps(command)
    def reporting(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except StakanError as error:
            errors().print(f"[bold red]{escape(str(error))}[/]", soft_wrap=True)
            raise typer.Exit(exit_code(error)) from error

    return reporting


def out() -> Console:
    """Where results go; made per call, so that it is the stream of the moment. Wide where it is no terminal."""
    return Console(file=sys.stdout, emoji=False, width=None if sys.stdout.isatty() else _WIDE)


def errors() -> Console:
    """Where errors and progress go."""
    return Console(file=sys.stderr, emoji=False)


def write_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=2).decode() + "\n")


def ns_text(ts: int) -> str:
    """A moment as `2024-07-18 23:59:59.123456` UTC."""
    moment = datetime.fromtimestamp(ts // SECOND, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{ts % SECOND // 1000:06d}"


def parse_time(text: str) -> int:
    """Nanoseconds UTC of an ISO time (UTC where it names no zone), a date, or whole s, ms, µs or ns since 1970.

    Raises ConfigError for anything else.
    """
    if text.isdigit() and len(text) >= 10:
        return int(text) * 10 ** (19 - len(text)) if len(text) in {10, 13, 16, 19} else _not_a_time(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _not_a_time(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds * 1_000


def _not_a_time(text: str) -> int:
    raise ConfigError(f"{text!r} is no time: write 2024-07-18, 2024-07-18T12:30:00 or seconds (ms, µs, ns) since 1970")


def size_text(count: int) -> str:
    """Bytes for people."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


@contextmanager
def bytes_progress(what: str, total: int | None, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar with bytes, rate and time left on stderr; gives a function that adds bytes."""
    with _progress(quiet) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def count_progress(what: str, total: int | None, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar with a count and the time left on stderr; gives a function that adds to it."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors(), transient=True, disable=quiet) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def share_progress(what: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar with the share that is done and the time left on stderr; gives a function that adds to it."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors(), transient=True, disable=quiet) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def reading_progress(what: str, files: Sequence[Path], *, quiet: bool = False) -> Iterator[None]:
    """A bar over files that other code reads, by looking at how far its file handles are (a spinner elsewhere)."""
    meter = ReadMeter(files)
    stopped = threading.Event()
    with _progress(quiet) as progress:
        task = progress.add_task(what, total=meter.total if meter.works else None)

        def poll() -> None:
            while not stopped.wait(_POLL_S):
                progress.update(task, completed=meter.read())

        thread = threading.Thread(target=poll, daemon=True)
        if not quiet:
            thread.start()
        try:
            yield
        finally:
            stopped.set()
            if not quiet:
                thread.join()
        progress.update(task, completed=meter.total)


class ReadMeter:
    """How many bytes of some files this process has read, from its open file handles (Linux)."""

    def __init__(self, files: Sequence[Path], handles: Path = Path("/proc/self")) -> None:
        self._sizes = {str(path.resolve()): path.stat().st_size if path.is_file() else 0 for path in files}
        self._reached = dict.fromkeys(self._sizes, 0)
        self._handles = handles
        self.works = (handles / "fdinfo").is_dir()
        self.total = sum(self._sizes.values())

    def read(self) -> int:
        """Bytes so far; a file that was seen open and is closed now counts as read."""
        positions = self._positions() if self.works else {}
        for name, size in self._sizes.items():
            if name in positions:
                self._reached[name] = max(self._reached[name], min(positions[name], size))
            elif self._reached[name]:
                self._reached[name] = size
        return sum(self._reached.values())

    def _positions(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for handle in (self._handles / "fd").iterdir():
            try:
                name = str(handle.readlink())
                if name in self._sizes:
                    first = (self._handles / "fdinfo" / handle.name).read_text().split("\n", 1)[0]
                    found[name] = max(found.get(name, 0), int(first.removeprefix("pos:")))
            except OSError:
                # The handle was closed while we looked: the next look sees what came of it.
                continue
        return found


def _progress(quiet: bool) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=errors(),
        transient=True,
        disable=quiet,
    )
