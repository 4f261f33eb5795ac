"""The segment that is being written: sealed blocks, kept in memory until they are known to be on the disk."""

from collections import deque
from contextlib import suppress
from pathlib import Path

from stakan.adapters.journal.disk import Disk
from stakan.core.domain.errors import StorageError


class SegmentWriter:
    """Appends whole blocks to a file, and leaves no part of one in it where it can help it.

    After a failed write the file is cut back to its last whole block; after a failed sync to what was on the disk for
    sure, as systems forget what they could not write. What was cut off is written again by the next call.
    """

    def __init__(self, disk: Disk, path: Path) -> None:
        self.path = path
        self._disk = disk
        self._file = disk.append(path)
        # A handle of its own: the system tells each handle once that data was lost, and no thread may miss it.
        try:
            self._aside = disk.append(path)
        except StorageError:
            self._file.close()
            raise
        self._sealed: deque[bytes] = deque()
        """Not known to be on the disk, oldest first; the first `_written` of them are in the file."""
        self._written = 0
        self._length = 0
        """Bytes of whole blocks in the file."""
        self._synced = 0
        self._must_cut = False
        self._attempt = 0
        """Counts how often the file was cut: what a sync has reached before that means nothing after it."""
        self._reached = (0, 0)
        """Attempt and length of the last sync aside."""
        self._lost = -1
        """The attempt in which a sync aside failed."""

    @property
    def size(self) -> int:
        """Bytes of all blocks, in the file or not yet."""
        return self._synced + self.kept

    @property
    def synced(self) -> int:
        """Bytes of the file that are known to be on the disk."""
        return self._synced

    @property
    def unsynced(self) -> int:
        """Bytes in the file that a loss of power may take."""
        return self._length - self._synced

    @property
    def kept(self) -> int:
        """Bytes of blocks that are kept in memory, because they are not known to be on the disk."""
        return sum(map(len, self._sealed))

    def put(self, block: bytes) -> None:
        """Take a sealed block; `write` puts it into the file."""
        self._sealed.append(block)

    def write(self) -> None:
        """Hand all blocks to the system; raises StorageError, DiskFull."""
        self._learn()
        self._cut()
        while self._written < len(self._sealed):
            block = self._sealed[self._written]
            try:
                self._file.write(block)
            except StorageError:
                self._give_up(self._length)
                raise
            self._written += 1
            self._length += len(block)

    def sync(self) -> None:
        """Return when all blocks are on the disk; raises StorageError, DiskFull."""
        self.write()
        if self._length > self._synced:
            try:
                self._file.datasync()
            except StorageError:
                self._give_up(self._synced)
                raise
            self._forget(self._length)

    def sync_aside(self) -> None:
        """As `sync` for what is in the file, from another thread; what it reached is taken note of by `write`."""
        attempt, length = self._attempt, self._length
        try:
            self._aside.datasync()
        except StorageError:
            self._lost = attempt
            raise
        self._reached = attempt, length

    def close(self) -> None:
        """Let go of the file; does not sync. Raises StorageError."""
        try:
            self._file.close()
        finally:
            self._aside.close()

    def _learn(self) -> None:
        """What has become of the last sync aside."""
        attempt, length = self._reached
        if attempt == self._attempt:
            self._forget(length)
        if self._lost == self._attempt:
            self._give_up(self._synced)

    def _forget(self, length: int) -> None:
        """Blocks up to `length` are on the disk."""
        while self._written and self._synced + len(self._sealed[0]) <= length:
            self._synced += len(self._sealed.popleft())
            self._written -= 1

    def _give_up(self, length: int) -> None:
        """Go back to the file's first `length` bytes."""
        while self._length > length:
            self._written -= 1
            self._length -= len(self._sealed[self._written])
        self._attempt += 1
        self._must_cut = True
        with suppress(StorageError):
            self._cut()

    def _cut(self) -> None:
        if self._must_cut:
            self._disk.truncate(self.path, self._length)
            self._must_cut = False
