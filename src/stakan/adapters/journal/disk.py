"""Access to the disk as a small port, so that a simulation can lose what was not synced, tear a write or be full."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Protocol

from stakan.core.domain.errors import DataError, DiskFull, StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_TEMPORARY = ".partial"


class AppendFile(Protocol):
    """A file that is only ever written at its end, wherever that is after a `Disk.truncate`."""

    def write(self, data: bytes) -> None:
        """Hand all of `data` to the system; where it raises StorageError, any part of it may be in the file."""
        ...

    def datasync(self) -> None:
        """Return when all that was written survives a loss of power.

        Raises StorageError; what was written since the last call that returned may then be lost.
        """
        ...

    def close(self) -> None:
        """Let go of it; does not sync. Raises StorageError."""
        ...


class Disk(Protocol):
    """Files as the journal needs them.

    What writes raises StorageError, and its subclass DiskFull where there is no space; what reads raises DataError.
    Both name the file.
    """

    def append(self, path: Path) -> AppendFile:
        """A file opened at its end; made where there is none, and then sure to be in its folder after a crash."""
        ...

    def write_whole(self, path: Path, data: bytes) -> None:
        """A file that is visible whole or not at all, and durable on return; replaces an older one."""
        ...

    def read(self, path: Path) -> bytes:
        """All of a file."""
        ...

    def stream(self, path: Path) -> BinaryIO:
        """A big file, to be sought and read; the caller closes it."""
        ...

    def names(self, folder: Path) -> list[str]:
        """Names in a folder, sorted; none where there is no folder."""
        ...

    def exists(self, path: Path) -> bool:
        """Whether there is a file or folder of this name."""
        ...

    def size(self, path: Path) -> int:
        """Bytes of a file."""
        ...

    def truncate(self, path: Path, length: int) -> None:
        """Cut a file to `length` bytes, durable on return; it may be open for appending."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name in one step, durable on return; replaces what has that name."""
        ...

    def remove(self, path: Path) -> None:
        """Delete a file; without effect where there is none."""
        ...

    def make_folder(self, path: Path) -> None:
        """Make a folder and those above it, where they are missing."""
        ...

    def free(self, folder: Path) -> int:
        """Bytes that may still be written to the disk of a folder."""
        ...


class LocalDisk:
    """The file system."""

    def append(self, path: Path) -> AppendFile:
        """See `Disk`."""
        with _writing(path):
            is_new = not path.exists()
            file = _LocalFile(path)
            if is_new:
                try:
                    _sync_folder(path.parent)
                except OSError:
                    file.close()
                    raise
            return file

    def write_whole(self, path: Path, data: bytes) -> None:
        """See `Disk`."""
        partial = path.with_name(f".{path.name}{_TEMPORARY}")
        with _writing(path):
            try:
                with partial.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
                _sync_folder(path.parent)
            except OSError:
                with suppress(OSError):
                    partial.unlink(missing_ok=True)
                raise

    def read(self, path: Path) -> bytes:
        """See `Disk`."""
        with _reading(path):
            return path.read_bytes()

    def stream(self, path: Path) -> BinaryIO:
        """See `Disk`."""
        with _reading(path):
            return path.open("rb")

    def names(self, folder: Path) -> list[str]:
        """See `Disk`."""
        with _reading(folder):
            return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def exists(self, path: Path) -> bool:
        """See `Disk`."""
        return path.exists()

    def size(self, path: Path) -> int:
        """See `Disk`."""
        with _reading(path):
            return path.stat().st_size

    def truncate(self, path: Path, length: int) -> None:
        """See `Disk`."""
        with _writing(path), path.open("rb+") as file:
            file.truncate(length)
            os.fsync(file.fileno())

    def rename(self, old: Path, new: Path) -> None:
        """See `Disk`."""
        with _writing(new):
            old.replace(new)
            _sync_folder(new.parent)

    def remove(self, path: Path) -> None:
        """See `Disk`."""
        with _writing(path):
            path.unlink(missing_ok=True)

    def make_folder(self, path: Path) -> None:
        """See `Disk`."""
        with _writing(path):
            path.mkdir(parents=True, exist_ok=True)

    def free(self, folder: Path) -> int:
        """See `Disk`."""
        with _reading(folder):
            found = os.statvfs(folder)
            return found.f_bavail * found.f_frsize


LOCAL = LocalDisk()


class _LocalFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = FileIO(path, "ab")

    def write(self, data: bytes) -> None:
        with _writing(self._path):
            # One call may take a part only, e.g. when a disk becomes full.
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]

    def datasync(self) -> None:
        with _writing(self._path):
            os.fdatasync(self._file.fileno())

    def close(self) -> None:
        with _writing(self._path):
            self._file.close()


def _sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(f"cannot write {path}: {error.strerror}; make room on its disk") from error
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
