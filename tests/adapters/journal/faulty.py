"""A disk in memory that loses power, tears writes, fails and is full."""

import io
from pathlib import Path

from stakan.core.domain.errors import DataError, DiskFull, StorageError

FOLDER = Path("/state/journal")
"""A place for a journal."""


class FaultyDisk:
    """Implements `Disk`; what is durable survives `crash`, of the rest a drawn prefix.

    `fails` says of each write, sync and cut, by its ordinal, whether it fails. A sync that failed loses what was to be
    synced, also where a later one succeeds: that is what systems do.
    """

    def __init__(self, capacity=None, fails=()):
        self.files = {}
        self.capacity = capacity
        self.fails = frozenset(fails)
        self.calls = 0

    # --- the port ---------------------------------------------------------------------------------------------------

    def append(self, path):
        self.files.setdefault(path, _File())
        return _Append(self, path)

    def write_whole(self, path, data):
        old = self.files.pop(path, None)
        if self._may_fail() or self._room() < len(data):
            if old is not None:
                self.files[path] = old
            raise DiskFull(f"cannot write {path}")
        self.files[path] = _File(bytearray(data), len(data))

    def read(self, path):
        return bytes(self._file(path).data)

    def stream(self, path):
        return io.BytesIO(self.read(path))

    def names(self, folder):
        return sorted(path.name for path in self.files if path.parent == folder)

    def exists(self, path):
        return path in self.files

    def size(self, path):
        return len(self._file(path).data)

    def truncate(self, path, length):
        if self._may_fail():
            raise StorageError(f"cannot cut {path}")
        file = self._file(path)
        del file.data[length:]
        file.synced = min(file.synced, length)
        file.lost = [at for at in file.lost if at < length]
        file.writes = [at for at in file.writes if at < length]

    def rename(self, old, new):
        self.files[new] = self.files.pop(old)

    def remove(self, path):
        self.files.pop(path, None)

    def make_folder(self, path):
        pass

    def free(self, folder):
        return self._room()

    def put(self, path, data):
        """Behind everybody's back."""
        self.files[path] = _File(bytearray(data), len(data))

    # --- its life ---------------------------------------------------------------------------------------------------

    def crash(self, draw_int, *, garbage=False):
        """Lose power: `draw_int(low, high)` says how much of what was not synced is kept of each file."""
        for file in self.files.values():
            kept = draw_int(file.synced, len(file.data))
            last = max((at for at in file.writes if at < kept), default=kept)
            del file.data[kept:]
            if garbage:
                # Of the last write any part may be missing, with what comes after it in place.
                start = draw_int(max(last, file.synced), kept)
                file.data[start:] = bytes(kept - start)
            for at in file.lost:
                if at < kept:
                    file.data[at] ^= 0xFF
            file.synced, file.lost, file.writes = kept, [], []
        self.fails, self.capacity = frozenset(), None

    def _room(self):
        used = sum(len(file.data) for file in self.files.values())
        return 10**12 if self.capacity is None else self.capacity - used

    def _may_fail(self):
        self.calls += 1
        return self.calls in self.fails

    def _file(self, path):
        if path not in self.files:
            raise DataError(f"{path} does not exist")
        return self.files[path]


class _File:
    def __init__(self, data=None, synced=0):
        self.data = bytearray() if data is None else data
        self.synced = synced
        self.lost = []
        self.writes = []


class _Append:
    def __init__(self, disk, path):
        self._disk = disk
        self._path = path

    def write(self, data):
        file, room = self._disk._file(self._path), self._disk._room()
        file.writes.append(len(file.data))
        if self._disk._may_fail():
            file.data += data[: len(data) // 2]
            raise StorageError(f"cannot write {self._path}")
        file.data += data[: max(0, room)]
        if room < len(data):
            raise DiskFull(f"cannot write {self._path}: no space left")

    def datasync(self):
        file = self._disk._file(self._path)
        if self._disk._may_fail():
            file.lost += range(file.synced, len(file.data))
            raise StorageError(f"cannot sync {self._path}")
        file.synced = len(file.data)

    def close(self):
        pass
