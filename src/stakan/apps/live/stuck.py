"""A thread that notices when the event loop does not turn: all stacks into the run folder, and at last a hard end.

The end is what a crash is: whoever supervises the bot starts it again, and it recovers as after any other crash.
"""

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import msgspec

from stakan.core.domain.errors import ConfigError, StorageError
from stakan.core.domain.units import SECOND

EXIT_STUCK = 70
"""Exit code of a bot that was ended because its loop was stuck; 1 where not even this thread could run any more."""
STUCK_FILE = "stuck.txt"
SHORTEST = SECOND // 2
"""Of a silence that means something: the loop beats four times a second."""
_LOOKS = 4
"""Within the time after which a silent loop counts as stuck."""
_LONGEST_LOOK_S = 1.0
_DUMPS = 20
"""Stacks of so many times are kept; later ones are counted."""
_log = logging.getLogger(__name__)


class StuckLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Patience with a silent loop, in nanoseconds."""

    stuck_after: int = 5 * SECOND
    end_after: int = 60 * SECOND
    """0: never."""
    backstop: int = 5 * SECOND
    """How much later than this thread the one of C ends the process, which needs no interpreter lock."""

    def __post_init__(self) -> None:
        if self.stuck_after < SHORTEST or 0 < self.end_after <= self.stuck_after:
            raise ConfigError(
                f"a loop counts as stuck after {SHORTEST / SECOND:g} s or more, not {self.stuck_after / SECOND:g} s, "
                f"and is ended after more than that, or 0 s for never, not {self.end_after / SECOND:g} s: set "
                "trade.stuck_after and trade.stuck_end"
            )


class StuckWatch:
    """Use it as a context in the thread of the loop, and have the loop call `beat` several times a second.

    Silence is summed over the looks of this thread, and one look counts for no more than it should take: a process
    that was suspended as a whole, or a machine that is overloaded, is not stuck. A loop that keeps the interpreter
    lock, as a compiled kernel does, stops this thread too; so behind it waits one of C, which knows time alone: it also
    ends a process that was suspended for longer than `end_after`.
    """

    def __init__(
        self,
        run_folder: Path,
        limits: StuckLimits,
        *,
        end: Callable[[int], object] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.episodes = 0
        """How often the loop was stuck."""
        self.longest_s = 0.0
        self._path = run_folder / STUCK_FILE
        self._stuck_s = limits.stuck_after / SECOND
        self._end_s = limits.end_after / SECOND
        self._backstop_s = (limits.end_after + limits.backstop) / SECOND
        self._every_s = min(_LONGEST_LOOK_S, self._stuck_s / _LOOKS)
        self._end = end
        self._clock = clock
        self._beats = 0
        self._seen = 0
        self._silent_s = 0.0
        self._looked = clock()
        self._is_stuck = False
        self._file: TextIO | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stuck watch", daemon=True)

    def beat(self) -> None:
        """The loop turns."""
        self._beats += 1

    def __enter__(self) -> Self:
        """Begin to watch; raises StorageError where stacks could not be written."""
        try:
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written: {error.strerror}") from error
        self._looked = self._clock()
        self._arm()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()
        if self._file is not None:
            self._file.close()
            if not self._path.stat().st_size:
                self._path.unlink()

    def look(self) -> None:
        """See whether the loop has turned since the last look."""
        now = self._clock()
        took, self._looked = min(now - self._looked, 2 * self._every_s), now
        if self._beats != self._seen:
            self._seen = self._beats
            self._turned()
            return
        self._silent_s += took
        self.longest_s = max(self.longest_s, self._silent_s)
        if self._silent_s >= self._stuck_s and not self._is_stuck:
            self._is_stuck = True
            self.episodes += 1
            self._tell("the event loop has not turned", dumps=self.episodes <= _DUMPS)
        if 0 < self._end_s <= self._silent_s:
            self._tell(f"the event loop does not turn: the process ends with code {EXIT_STUCK}", dumps=True)
            self._end(EXIT_STUCK)

    def _turned(self) -> None:
        if self._is_stuck:
            _log.warning("the event loop turns again after %.1f s", self._silent_s)
        self._is_stuck, self._silent_s = False, 0.0

    def _tell(self, what: str, *, dumps: bool) -> None:
        file = self._file
        if dumps and file is not None:
            try:
                file.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {what} for {self._silent_s:.1f} s\n")
                file.flush()
                faulthandler.dump_traceback(file, all_threads=True)
                file.write("\n")
                file.flush()
            except OSError as error:
                _log.error("stacks cannot be written to %s: %s", self._path, error.strerror)
        _log.error("%s for %.1f s; stacks are in %s", what, self._silent_s, self._path)

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            self.look()
            self._arm()

    def _arm(self) -> None:
        """While this thread runs, the one of C waits."""
        if self._end_s and self._file is not None:
            faulthandler.dump_traceback_later(self._backstop_s, file=self._file, exit=True)
