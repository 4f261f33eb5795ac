"""A disk that forgets: what was not synced is lost or torn when the power goes, it may be full, slow, and kill who writes.

It has the surface of the journal's `Disk`.
"""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from stakan.apps.dst.time import Killed
from stakan.core.domain.errors import DataError, DiskFull, StorageError

_SPACE = 10 << 30
_SECTOR = 512


class _File:
    """Content of one file: what is durable, and what was written since."""

    def __init__(self) -> None:
        self.durable = bytearray()
        self.pending = bytearray()

    @property
    def content(self) -> bytes:
        return bytes(self.durable + self.pending)

    def sync(self) -> None:
        self.durable += self.pending
        self.pending = bytearray()


class SimulatedDisk:
    """Files in memory. `took` is told how long something took, nanoseconds."""

    def __init__(self, seed: int, took: Callable[[int], None] = lambda _: None) -> None:
        self.is_full = False
        self.sync_ns = 0
        """How long a sync takes."""
        self.operations = 0
        """Writes, syncs and changes of names so far."""
        self.kill_at: int | None = None
        """The operation in which whoever does it is killed."""
        self._files: dict[Path, _File] = {}
        self._folders: set[Path] = set()
        self._took = took
        self._chance = random.Random(f"{seed}/disk")  # noqa: S311 - a torn write, not a secret

    # --- what happens to it -----------------------------------------------------------------------------------------

    def hurry(self) -> None:
        """As quick as in the beginning."""
        self.sync_ns = 0

    def make_room(self) -> None:
        """Not full any more."""
        self.is_full = False

    def calm(self) -> None:
        """No more faults."""
        self.hurry()
        self.make_room()
        self.kill_at = None

    def lose_power(self) -> None:
        """What was not synced is lost, in part or as a whole; anywhere in it there may be a hole of zeros."""
        for path in sorted(self._files):
            file = self._files[path]
            kept = file.pending[: self._chance.randint(0, len(file.pending))]
            if kept and self._chance.random() < 0.3:
                # The file had grown, but some of its sectors had not been written: the last ones, or others before.
                hole = min(len(kept), self._chance.randint(1, 4) * _SECTOR)
                begin = self._chance.choice((len(kept) - hole, self._chance.randint(0, len(kept) - hole)))
                kept[begin : begin + hole] = bytes(hole)
            file.durable += kept
            file.pending = bytearray()

    def is_synced(self, folder: Path) -> bool:
        """Whether a loss of power would take nothing of what is in a folder."""
        return not any(file.pending for path, file in self._files.items() if path.parent == folder)

    # --- the journal's `Disk` ---------------------------------------------------------------------------------------

    def append(self, path: Path) -> "_Appended":
        """A file opened at its end; made where there is none, and then sure to be in its folder after a crash."""
        self._operation()
        self._refuse_where_full(path)
        if path.parent not in self._folders:
            raise StorageError(f"cannot write {path}: No such file or directory")
        return _Appended(self, path, self._files.setdefault(path, _File()))

    def write_whole(self, path: Path, data: bytes) -> None:
        """A file that is visible whole or not at all, and durable on return; replaces an older one."""
        is_killed_late = self._operation(may_be_late=True)
        self._refuse_where_full(path)
        file = _File()
        file.durable = bytearray(data)
        self._files[path] = file
        self._took(self.sync_ns)
        if is_killed_late:
            raise Killed

    def read(self, path: Path) -> bytes:
        """All of a file; raises DataError where there is none."""
        return self._found(path).content

    def stream(self, path: Path) -> BinaryIO:
        """A big file, to be sought and read; raises DataError where there is none."""
        return io.BytesIO(self._found(path).content)

    def names(self, folder: Path) -> list[str]:
        """Names in a folder, sorted; none where there is no folder."""
        there = [path for path in (*self._files, *self._folders) if path.parent == folder and path != folder]
        return sorted({path.name for path in there})

    def exists(self, path: Path) -> bool:
        """Whether there is a file or folder of this name."""
        return path in self._files or path in self._folders

    def size(self, path: Path) -> int:
        """Bytes of a file; raises DataError where there is none."""
        return len(self._found(path).content)

    def truncate(self, path: Path, length: int) -> None:
        """Cut a file to `length` bytes, durable on return; it may be open for appending."""
        is_killed_late = self._operation(may_be_late=True)
        file = self._found(path)
        file.sync()
        del file.durable[length:]
        if is_killed_late:
            raise Killed

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name in one step, durable on return; replaces what has that name."""
        is_killed_late = self._operation(may_be_late=True)
        self._found(old)
        self._files[new] = self._files.pop(old)
        if is_killed_late:
            raise Killed

    def remove(self, path: Path) -> None:
        """Delete a file; without effect where there is none."""
        is_killed_late = self._operation(may_be_late=True)
        self._files.pop(path, None)
        if is_killed_late:
            raise Killed

    def make_folder(self, path: Path) -> None:
        """Make a folder and those above it, where they are missing."""
        self._operation()
        self._folders.update((path, *path.parents))

    def free(self, folder: Path) -> int:  # noqa: ARG002 - one disk for all folders
        """Bytes that may still be written."""
        return 0 if self.is_full else _SPACE

    # --- for its files ----------------------------------------------------------------------------------------------

    def write(self, path: Path, file: _File, data: bytes) -> None:
        """Hand data to the system: all of it, or a part where the writer is killed or the disk is full."""
        is_killed = self._operation(may_be_late=True)
        if self.is_full or is_killed:
            file.pending += data[: self._chance.randint(0, len(data))]
        if is_killed:
            raise Killed
        self._refuse_where_full(path)
        file.pending += data

    def sync(self, file: _File) -> None:
        """All that was written is durable; somebody who is killed in it may have got that far or not."""
        is_killed_late = self._operation(may_be_late=True)
        file.sync()
        self._took(self.sync_ns)
        if is_killed_late:
            raise Killed

    def _operation(self, *, may_be_late: bool = False) -> bool:
        """Count one; whether the caller is to be killed when it has done it. Raises Killed where before."""
        self.operations += 1
        if self.kill_at is None or self.operations < self.kill_at:
            return False
        self.kill_at = None
        if may_be_late and self._chance.random() < 0.5:
            return True
        raise Killed

    def _found(self, path: Path) -> _File:
        file = self._files.get(path)
        if file is None:
            raise DataError(f"{path} does not exist")
        return file

    def _refuse_where_full(self, path: Path) -> None:
        if self.is_full:
            raise DiskFull(f"cannot write {path}: No space left on device; make room on its disk")


class _Appended:
    """A file opened for appending."""

    def __init__(self, disk: SimulatedDisk, path: Path, file: _File) -> None:
        self._disk = disk
        self._path = path
        self._file = file

    def write(self, data: bytes) -> None:
        """See `Disk`."""
        self._disk.write(self._path, self._file, data)

    def datasync(self) -> None:
        """See `Disk`."""
        self._disk.sync(self._file)

    def close(self) -> None:
        """Let go of it; nothing is synced."""
