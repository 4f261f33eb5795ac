"""One door for all that a process says: structlog's loggers and the standard library's, with context, without secrets.

Set up by a program for as long as it runs, never at import. A line is copied, given its context and freed of secrets
where it is said; rendering and writing are the business of threads (`sinks`).
"""

import logging
import re
import secrets
import threading
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import structlog
from structlog.contextvars import get_contextvars
from structlog.stdlib import BoundLogger, filter_by_level
from structlog.typing import EventDict, WrappedLogger

from stakan.apps.logs.redaction import Redactor
from stakan.apps.logs.sinks import DailyFiles, Line, Pump, Terminal
from stakan.apps.sections import LogsSection
from stakan.core.domain.errors import StakanError

MOST_WAITING = 10_000
"""Lines per sink; a disk that works is never as far behind."""
FOR_FILES_ONLY = "for_files_only"
"""A field that says that people were told already, e.g. on the terminal."""
_FILES_WITHIN_S, _TERMINAL_WITHIN_S = 5.0, 1.0
"""How long the end of a program waits for the last lines."""
_OF_RECORD = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})
_ORDER_ID = re.compile(r"\bs-[a-z2-7]{26}\b")


class LogPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a program's logs are; levels as in the standard library."""

    program: str
    """What its files are called by."""
    folder: Path | None = None
    """None: no files."""
    level: int = logging.INFO
    terminal_level: int = logging.INFO
    keep_days: int = 30
    """Today included; 0 keeps all."""
    most_waiting: int = MOST_WAITING


def plan_of(section: LogsSection, program: str, state: Path | None = None) -> LogPlan:
    """What the configuration says of a program that keeps its files in a state folder.

    One without a state folder says little: warnings on the terminal, unless it was asked for more or for files.
    """
    level = logging.getLevelNamesMapping()[section.level.upper()]
    is_asked = state is not None or level < logging.INFO
    return LogPlan(
        program=program,
        folder=section.folder or (state / "logs" if state is not None else None),
        level=level,
        terminal_level=level if is_asked else max(level, logging.WARNING),
        keep_days=section.keep_days,
    )


def get_logger(name: str) -> BoundLogger:
    """A logger whose calls take fields: `log.info("order", side="BUY")`. Without `Logs` only warnings show."""
    wrapped = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[filter_by_level, _to_record],
        wrapper_class=BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    bound: BoundLogger = wrapped.bind()
    return bound


class Logs:
    """The logs of this process; use it as a context, and one at a time.

    An exception that leaves the context is logged, and whatever happens the last lines are written.
    """

    def __init__(self, plan: LogPlan, secrets_: Iterable[str] = ()) -> None:
        self.fields: dict[str, str] = {
            "program": plan.program,
            "correlation": f"{plan.program}-{secrets.token_hex(4)}",
        }
        """In every line that has no others of these names; `correlation` is of this process until a request has one."""
        self.trace_of_order: Callable[[str], str] = lambda _order: ""
        """The trace of one of our orders, for lines that name an order and have no trace."""
        self.unsaid = 0
        """Lines that could not be made."""
        self._plan = plan
        self._redactor = Redactor(secrets_)
        self._door = _Door(self)
        self._files: DailyFiles | None = None
        self._pumps: list[tuple[Pump, float]] = []
        self._restore: Callable[[], None] = _nothing

    def hide(self, *more: str) -> None:
        """Let these secrets show nowhere from now on."""
        self._redactor.hide(*more)

    @property
    def waiting(self) -> int:
        """Lines that are not written yet, of the sink that is farthest behind."""
        return max((pump.waiting for pump, _ in self._pumps), default=0)

    @property
    def dropped(self) -> int:
        """Lines that are in no file, or were not shown, because a sink was too slow or could not be written."""
        lost = self._files.lost if self._files is not None else 0
        return sum(pump.dropped for pump, _ in self._pumps) + lost + self.unsaid

    @property
    def problem(self) -> str:
        """What is wrong with the files now, for people; empty where nothing is."""
        return self._files.problem if self._files is not None else ""

    def __enter__(self) -> Self:
        """Begin; raises ConfigError where the folder cannot be made."""
        plan = self._plan
        if plan.folder is not None:
            self._files = DailyFiles(plan.folder, plan.program, plan.keep_days, self._complain)
        terminal = Pump(Terminal(), plan.terminal_level, "terminal-log", plan.most_waiting)
        self._pumps = [(terminal, _TERMINAL_WITHIN_S)]
        if self._files is not None:
            self._pumps.append((Pump(self._files, plan.level, "file-log", plan.most_waiting), _FILES_WITHIN_S))
        self._install(min(plan.level, plan.terminal_level))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            self._tell_end(error)
        self._restore()
        for pump, within_s in reversed(self._pumps):
            pump.close(within_s)

    def say(self, record: logging.LogRecord) -> None:
        """Take a record of the standard library's logging, or of one of `get_logger`'s."""
        own = record.msg if isinstance(record.msg, dict) else {"event": record.getMessage(), **_extras(record)}
        at = datetime.fromtimestamp(record.created, UTC)
        about = {
            "timestamp": f"{at:%Y-%m-%dT%H:%M:%S.%f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        said = {"event": "", **self.fields, **get_contextvars(), **own}
        if record.exc_info and record.exc_info[1] is not None:
            said["exception"] = "".join(traceback.format_exception(record.exc_info[1])).rstrip()
        for_files_only = bool(said.pop(FOR_FILES_ONLY, False))
        self._name_trace(said)
        line = Line(at, record.levelno, {**about, **self._redactor.fields(said), **about}, for_files_only)
        for pump, _ in self._pumps[for_files_only:]:
            pump.put(line)

    def _name_trace(self, said: dict[str, Any]) -> None:
        if "trace" not in said:
            order = _ORDER_ID.search(str(said["event"]))
            if order is not None and (trace := self.trace_of_order(order[0])):
                said["trace"] = trace

    def _tell_end(self, error: Exception) -> None:
        """What ends a program is told to people by whoever started it."""
        if isinstance(error, StakanError):
            logging.getLogger(__name__).error("ended: %s", error, extra={FOR_FILES_ONLY: True})
        else:
            logging.getLogger(__name__).critical("crashed", exc_info=error, extra={FOR_FILES_ONLY: True})

    def _complain(self, text: str) -> None:
        """On the terminal alone: it is about the files."""
        at = datetime.now(UTC)
        said = {"timestamp": "", "level": "error", "logger": __name__, "event": text}
        self._pumps[0][0].put(Line(at, logging.ERROR, self._redactor.fields(said)))

    def _install(self, level: int) -> None:
        root, level_before, hook_before = logging.getLogger(), logging.getLogger().level, threading.excepthook
        configuration = structlog.get_config() if structlog.is_configured() else None

        def restore() -> None:
            root.removeHandler(self._door)
            root.setLevel(level_before)
            threading.excepthook = hook_before
            structlog.reset_defaults()
            if configuration is not None:
                structlog.configure(**configuration)

        root.addHandler(self._door)
        root.setLevel(level)
        threading.excepthook = _thread_failed
        structlog.configure(
            processors=[filter_by_level, _to_record],
            wrapper_class=BoundLogger,
            logger_factory=structlog.stdlib.LoggerFactory(),
            context_class=dict,
            cache_logger_on_first_use=False,
        )
        self._restore = restore


class _Door(logging.Handler):
    """Where records come in; nothing that is wrong with one gets out."""

    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        """Say it, or count it."""
        try:
            self._logs.say(record)
        except Exception:  # noqa: BLE001 - a line that cannot be made must not end what it is about
            self._logs.unsaid += 1


def _to_record(_logger: WrappedLogger, _method: str, event: EventDict) -> tuple[tuple[EventDict], dict[str, Any]]:
    """The last processor of structlog's: what a logger of the standard library takes."""
    return (event,), {"exc_info": event.pop("exc_info", None)}


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    """Fields that were given by `extra=`."""
    return {key: value for key, value in vars(record).items() if key not in _OF_RECORD}


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None:
        name = failed.thread.name if failed.thread is not None else "a thread"
        logging.getLogger(__name__).critical("%s failed", name, exc_info=failed.exc_value)


def _nothing() -> None:
    """Nothing was changed."""
