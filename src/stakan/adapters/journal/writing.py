"""Writes the journal of a run: one stream of blocks in segments, and snapshots of the engine's state beside it."""

import hashlib
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from stakan.adapters.journal.blocks import END, BlockBuilder
from stakan.adapters.journal.disk import LOCAL, Disk
from stakan.adapters.journal.jobs import InThread, Jobs
from stakan.adapters.journal.layout import BALLAST, is_journal, segment_path, snapshot_numbers, snapshot_path
from stakan.adapters.journal.records import MARKET_DATA, End, Header, Inbox, Market, Outcome
from stakan.adapters.journal.segment import SegmentWriter
from stakan.adapters.journal.snapshots import write_snapshot
from stakan.core.domain.errors import InvariantViolated, StorageError
from stakan.core.domain.events import AnyEvent
from stakan.core.domain.step import Step
from stakan.core.domain.units import HOUR

_MARKET = frozenset(MARKET_DATA)


class JournalLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much goes into one of what."""

    block_bytes: int = 64 * 1024
    """Of records, before they are compressed."""
    segment_bytes: int = 256 * 1024 * 1024
    segment_ns: int = HOUR
    """By receive time."""
    unsynced_bytes: int = 8 * 1024 * 1024
    """More than that is never in the file without being on the disk, also where nobody asks for it."""
    ballast_bytes: int = 16 * 1024 * 1024
    """Kept to be given back when the disk is full; 0 for none."""
    snapshots: int = 2
    """How many of the newest are kept, beside those at the beginning of a segment."""


DEFAULT_LIMITS = JournalLimits()


class FileJournal:
    """Writes a run's journal into a folder that must not hold one yet.

    What it is given is kept in memory until it is on the disk. Where a call raises DiskFull, or another StorageError,
    what the call was given is among that: `sync`, `flush` and the block after next try again. So a caller may go on
    after it, but nothing may leave before a `sync` has returned.
    """

    def __init__(
        self,
        folder: Path,
        header: Header,
        *,
        disk: Disk = LOCAL,
        limits: JournalLimits = DEFAULT_LIMITS,
        carried: tuple[int, bytes] | None = None,
        jobs: Jobs | None = None,
    ) -> None:
        """Begin; with `carried`, after the step of an earlier run that a state is given of.

        `jobs` does what need not be waited for: in a thread, where it is not given. Raises StorageError where the
        folder holds a journal or cannot be written.
        """
        if is_journal(folder, disk):
            raise StorageError(f"{folder} already holds a journal: choose another folder")
        first = carried[0] if carried is not None else 0
        self._folder = folder
        self._header = msgspec.structs.replace(header, first_number=first + 1)
        self._disk = disk
        self._limits = limits
        self._number = first
        self._ordinal = 1
        self._begins = {first}
        """Numbers of the states that segments begin with."""
        self._began_ts = 0
        self._is_ended = False
        self._is_open = True
        try:
            disk.make_folder(folder)
            self.hold_ballast()
            if carried is not None:
                write_snapshot(disk, folder, *carried)
            self._segment = SegmentWriter(disk, segment_path(folder, 1))
        except StorageError as error:
            with suppress(StorageError):
                self.release_ballast()
            raise type(error)(f"cannot write a journal into {folder}: {error}") from error
        self._jobs = jobs if jobs is not None else InThread()
        self._block = BlockBuilder(first, 0)
        try:
            self._begin_segment()
            self._segment.sync()
        except StorageError:
            self.abandon()
            with suppress(StorageError):
                disk.remove(self._segment.path)
            raise

    @property
    def backlog(self) -> int:
        """Bytes that are kept in memory, because they are not known to be on the disk."""
        return self._segment.kept + (0 if self._block.is_empty else len(self._block))

    def event(self, number: int, event: AnyEvent) -> None:
        """Write what enters the engine as step `number`.

        Raises StorageError (see the class), InvariantViolated where the number is not the next.
        """
        if number != self._number + 1:
            raise InvariantViolated(f"step {number} was to be written after step {self._number}")
        # Between steps only, so that a block holds whole steps.
        is_full = len(self._block) >= self._limits.block_bytes
        if is_full:
            self._seal()
        self._block.add(Market(number, event) if type(event) in _MARKET else Inbox(number, event))  # type: ignore[arg-type]
        self._block.reach(number, event.ts_recv)
        self._number = number
        if is_full:
            self._write()

    def append(self, step: Step) -> None:
        """Write what a step made of the last event; before its commands leave.

        Raises InvariantViolated where it is the step of another event.
        """
        if step.number != self._number:
            raise InvariantViolated(f"the outcome of step {step.number} was to be written after event {self._number}")
        if step.facts or step.commands:
            self._block.add(Outcome(step))

    def sync(self) -> None:
        """Return when every event and step so far is on the disk; raises StorageError, and then some of it is not."""
        self._seal(fast=True)
        self._segment.sync()

    def flush(self) -> None:
        """Hand all of it to the system: what a killed process leaves behind; soon it is on the disk too.

        Raises StorageError, also for what went wrong in the background since the last call.
        """
        self._seal()
        self._write()
        if self._jobs.is_idle and self._segment.unsynced:
            self._jobs.submit(self._segment.sync_aside)
        self._jobs.check()

    def snapshot(self, number: int, state: bytes) -> None:
        """Write the engine's state after step `number`, the last one; begins a new segment where this one is full.

        The history that it stands for is on the disk when this returns, the state itself soon after. Raises
        StorageError as `flush`, InvariantViolated where it is the state of another step.
        """
        if number != self._number:
            raise InvariantViolated(f"the state after step {number} was to be written after step {self._number}")
        self.sync()
        if self._is_full:
            self._rotate()
        kept = frozenset(self._begins)
        self._jobs.submit(lambda: self._store(number, state, kept))
        self._jobs.check()

    def close(self) -> None:
        """End the journal in an orderly way; raises StorageError where the last of it cannot be written."""
        if not self._is_open:
            return
        if not self._is_ended:
            # The end says that all before it is on the disk.
            self.sync()
            self._block.add(End(self._number))
            self._block.mark(END)
            self._is_ended = True
        self.sync()
        self._jobs.settle()
        self._let_go()

    def abandon(self) -> None:
        """Let go of a journal that has no end: what can be written is, what cannot is lost."""
        if self._is_open:
            with suppress(StorageError):
                self.flush()
            with suppress(StorageError):
                self._let_go()

    def hold_ballast(self) -> bool:
        """Take up room for bad times; returns whether there is a ballast. Raises StorageError."""
        path = self._folder / BALLAST
        if self._limits.ballast_bytes and not self._disk.exists(path):
            # Nothing that a file system could compress.
            self._disk.write_whole(path, hashlib.shake_128(b"ballast").digest(self._limits.ballast_bytes))
        return self._limits.ballast_bytes > 0

    def release_ballast(self) -> bool:
        """Give the room back, so that closing orders can be written on a full disk; returns whether there was any."""
        path = self._folder / BALLAST
        found = self._disk.exists(path)
        self._disk.remove(path)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    # --- blocks and segments ----------------------------------------------------------------------------------------

    def _seal(self, *, fast: bool = False) -> None:
        """Close the block, in memory."""
        block = self._block
        if block.is_empty:
            return
        if not self._began_ts:
            self._began_ts = block.first_ts
        self._segment.put(block.seal(self._segment.synced, fast=fast))
        self._block = BlockBuilder(self._number, block.last_ts)

    def _write(self) -> None:
        self._segment.write()
        if self._segment.unsynced > self._limits.unsynced_bytes:
            self._segment.sync()

    def _begin_segment(self) -> None:
        self._block.add(self._header)
        self._seal()
        self._began_ts = 0

    @property
    def _is_full(self) -> bool:
        """Whether the segment is, by bytes or by time."""
        age = self._block.last_ts - self._began_ts if self._began_ts else 0
        return self._segment.size >= self._limits.segment_bytes or age >= self._limits.segment_ns

    def _rotate(self) -> None:
        """Go on in a new file; the old one is on the disk as a whole."""
        fresh = SegmentWriter(self._disk, segment_path(self._folder, self._ordinal + 1))
        self._jobs.submit(self._segment.close)
        self._segment = fresh
        self._ordinal += 1
        self._begins.add(self._number)
        self._begin_segment()
        self._segment.write()

    def _store(self, number: int, state: bytes, begins: frozenset[int]) -> None:
        """Write a snapshot, then remove those that are not needed any more."""
        write_snapshot(self._disk, self._folder, number, state)
        known = snapshot_numbers(self._folder, self._disk)
        for old in known[: -self._limits.snapshots]:
            if old not in begins:
                self._disk.remove(snapshot_path(self._folder, old))

    def _let_go(self) -> None:
        self._is_open = False
        self._jobs.close()
        try:
            self._segment.close()
        finally:
            self.release_ballast()
