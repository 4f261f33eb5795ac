"""A run's journal on a disk that may be full: what can wait waits in memory, what may not leave before it is safe fails."""

from collections.abc import Callable
from typing import Protocol

from stakan.apps.live.loop import RunJournal
from stakan.core.domain.errors import DiskFull
from stakan.core.domain.events import AnyEvent
from stakan.core.domain.step import Step


class BallastedJournal(RunJournal, Protocol):
    """A journal that keeps room for bad times."""

    @property
    def backlog(self) -> int:
        """Bytes that wait in memory for the disk."""
        ...

    def release_ballast(self) -> bool:
        """Give it back; whether there was any."""
        ...

    def hold_ballast(self) -> bool:
        """Take it up again."""
        ...


class Durable:
    """Writes on where the disk is full, with the room of the ballast, and says so once; the port's other errors pass.

    A step with orders that cannot be synced even then raises DiskFull: its orders do not leave, and the run ends.
    """

    def __init__(self, journal: BallastedJournal, full: Callable[[str], None]) -> None:
        self._journal = journal
        self._full = full
        self._is_full = False

    @property
    def backlog(self) -> int:
        """Bytes that wait in memory for the disk."""
        return self._journal.backlog

    def event(self, number: int, event: AnyEvent) -> None:
        """See `RunJournal`; kept in memory where there is no room."""
        self._later(lambda: self._journal.event(number, event))

    def append(self, step: Step) -> None:
        """See `RunJournal`."""
        self._later(lambda: self._journal.append(step))

    def snapshot(self, number: int, state: bytes) -> None:
        """See `RunJournal`; left out where there is no room."""
        self._later(lambda: self._journal.snapshot(number, state))

    def sync(self) -> None:
        """See `RunJournal`; raises DiskFull where not even the ballast made room."""
        try:
            self._journal.sync()
        except DiskFull as error:
            self._make_room(error)
            self._journal.sync()

    def flush(self) -> None:
        """See `RunJournal`; while the disk is full, what has no haste waits for whole blocks, orders, or `has_room`.

        Tried as often as this is asked for, it would cut a file and wait for the disk many times a second.
        """
        if not self._is_full:
            self._later(self._journal.flush)

    def close(self) -> None:
        """See `RunJournal`; raises DiskFull as `sync`."""
        try:
            self._journal.close()
        except DiskFull as error:
            self._make_room(error)
            self._journal.close()

    def abandon(self) -> None:
        """See `RunJournal`."""
        self._journal.abandon()

    def has_room(self) -> bool:
        """Take the ballast up again where the disk has room; whether all that waited is written."""
        if not self._is_full:
            return True
        try:
            self._journal.flush()
            self._journal.hold_ballast()
        except DiskFull:
            return False
        self._is_full = False
        return True

    def _later(self, call: Callable[[], None]) -> None:
        try:
            call()
        except DiskFull as error:
            self._make_room(error)

    def _make_room(self, error: DiskFull) -> None:
        if not self._is_full:
            self._is_full = True
            self._journal.release_ballast()
            self._full(str(error))
