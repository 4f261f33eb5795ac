"""Snapshots of the engine's state: files of their own, compressed and checksummed."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from stakan.adapters.journal.disk import LOCAL, Disk
from stakan.adapters.journal.layout import snapshot_numbers, snapshot_path
from stakan.adapters.journal.records import JOURNAL_VERSION
from stakan.core.domain.errors import DataError

_MAGIC = b"SJS" + bytes([JOURNAL_VERSION])
_SEAL = struct.Struct("<4sI")
_HEAD = struct.Struct("<QQ")
_BEGIN = _SEAL.size + _HEAD.size
_ZSTD = pa.Codec("zstd", compression_level=1)


def write_snapshot(disk: Disk, folder: Path, number: int, state: bytes) -> None:
    """Write the state after step `number`; raises StorageError."""
    body = _HEAD.pack(number, len(state)) + _ZSTD.compress(state, asbytes=True)
    disk.write_whole(snapshot_path(folder, number), _SEAL.pack(_MAGIC, zlib.crc32(body)) + body)


def read_snapshot(disk: Disk, folder: Path, number: int) -> bytes:
    """The state after step `number`; raises DataError where the file is missing or damaged."""
    path = snapshot_path(folder, number)
    data = disk.read(path)
    body = memoryview(data)[_SEAL.size :]
    if len(data) < _BEGIN or _SEAL.unpack_from(data) != (_MAGIC, zlib.crc32(body)):
        raise DataError(f"{path} is damaged: its checksum is not that of its content")
    found, size = _HEAD.unpack_from(data, _SEAL.size)
    if found != number:
        raise DataError(f"{path} holds the state after step {found}: it was renamed")
    try:
        return bytes(_ZSTD.decompress(data[_BEGIN:], decompressed_size=size, asbytes=True))
    except OSError as error:
        raise DataError(f"{path} cannot be decompressed: {error}") from error


def read_states(folder: Path, *, torn: bool = False, disk: Disk = LOCAL) -> Iterator[tuple[int, bytes]]:
    """The engine's states with the numbers of the steps that they follow: what `Engine.restore` takes.

    Raises DataError where one is damaged; with `torn`, it is passed over.
    """
    for number in snapshot_numbers(folder, disk):
        try:
            yield number, read_snapshot(disk, folder, number)
        except DataError:
            if not torn:
                raise


def latest_state(
    folder: Path, *, at_most: int | None = None, notes: list[str] | None = None, disk: Disk = LOCAL
) -> tuple[int, bytes] | None:
    """The newest sound state (after step `at_most` at the latest) with its number; None where there is none.

    A damaged one is passed over; `notes` gets a line for each.
    """
    for number in reversed(snapshot_numbers(folder, disk)):
        if at_most is not None and number > at_most:
            continue
        try:
            return number, read_snapshot(disk, folder, number)
        except DataError as error:
            if notes is not None:
                notes.append(str(error))
    return None
