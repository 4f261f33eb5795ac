"""The bot's own journal on the simulated disk, and what is known of it: how far it is durable at each moment."""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from stakan.adapters.journal.disk import Disk
from stakan.adapters.journal.jobs import Job
from stakan.adapters.journal.records import Header
from stakan.adapters.journal.writing import FileJournal, JournalLimits
from stakan.apps.recorded_run import JOURNAL_FOLDER
from stakan.core.domain.events import AnyEvent
from stakan.core.domain.units import MILLISECOND

FOLDER = JOURNAL_FOLDER
LIMITS = JournalLimits(segment_ns=40_000 * MILLISECOND, segment_bytes=4 << 20, ballast_bytes=4096)
"""Short segments, so that a minute has the seams of hours."""
_JOB_NS = 3 * MILLISECOND


class Listener(Protocol):
    """Is told how far the journal has got; numbers are those of steps."""

    def handed_over(self, number: int) -> None:
        """Everything up to a step is in the file: it survives the process."""
        ...

    def synced(self, number: int) -> None:
        """Everything up to a step is on the disk: it survives the power."""
        ...


class LaterJobs:
    """The journal's thread: a job is done a little later, one after the other; a killed process does none."""

    def __init__(self, timers: Callable[[int, Callable[[], None]], Callable[[], None]]) -> None:
        self._timers = timers
        self._waiting: deque[Job] = deque()
        self._raised: list[Exception] = []

    @property
    def is_idle(self) -> bool:
        """See `Jobs`."""
        return not self._waiting

    def submit(self, job: Job) -> None:
        """See `Jobs`."""
        self._waiting.append(job)
        self._timers(_JOB_NS, self._do_next)

    def check(self) -> None:
        """See `Jobs`."""
        if self._raised:
            raise self._raised.pop(0)

    def settle(self) -> None:
        """See `Jobs`."""
        while self._waiting:
            self._do_next()
        self.check()

    def close(self) -> None:
        """See `Jobs`."""
        while self._waiting:
            self._do_next()
        self._raised.clear()

    def _do_next(self) -> None:
        if not self._waiting:
            return
        job = self._waiting.popleft()
        try:
            job()
        except Exception as error:  # noqa: BLE001 - raised by the next check, as that of a thread
            self._raised.append(error)


class WatchedJournal:
    """A journal, and somebody who is told how far it has got."""

    def __init__(self, inner: FileJournal, number: int, listener: Listener) -> None:
        """`number` is that of the last step before it."""
        self.append = inner.append
        self.abandon = inner.abandon
        self.release_ballast = inner.release_ballast
        self.hold_ballast = inner.hold_ballast
        self._inner = inner
        self._number = number
        self._listener = listener

    @property
    def backlog(self) -> int:
        """See `BallastedJournal`."""
        return self._inner.backlog

    def event(self, number: int, event: AnyEvent) -> None:
        """See `RunJournal`."""
        self._number = number
        self._inner.event(number, event)

    def snapshot(self, number: int, state: bytes) -> None:
        """See `RunJournal`."""
        self._inner.snapshot(number, state)
        self._listener.handed_over(number)

    def sync(self) -> None:
        """See `RunJournal`."""
        self._inner.sync()
        self._listener.synced(self._number)

    def flush(self) -> None:
        """See `RunJournal`."""
        self._inner.flush()
        self._listener.handed_over(self._number)

    def close(self) -> None:
        """See `RunJournal`."""
        self._inner.close()
        self._listener.synced(self._number)


def open_journal(
    disk: Disk,
    folder: Path,
    header: Header,
    carried: tuple[int, bytes] | None,
    timers: Callable[[int, Callable[[], None]], Callable[[], None]],
    listener: Listener,
) -> WatchedJournal:
    """Begin the journal of a life; raises StorageError."""
    jobs = LaterJobs(timers)
    inner = FileJournal(folder, header, disk=disk, limits=LIMITS, carried=carried, jobs=jobs)
    return WatchedJournal(inner, carried[0] if carried is not None else 0, listener)
