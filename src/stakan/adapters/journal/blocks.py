"""The blocks of a segment: records packed, compressed and sealed with checksums, and found again."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
import pyarrow as pa

from stakan.adapters.journal.disk import Disk
from stakan.adapters.journal.records import DECODER, ENCODER, JOURNAL_VERSION, MARKET_TAG, ONE, RAW, Record
from stakan.core.domain.errors import DataError

MAGIC = b"SJB" + bytes([JOURNAL_VERSION])
_SEAL = struct.Struct("<4sI")
_HEAD = struct.Struct("<IIIIQQqqQ")
HEAD_BYTES = _SEAL.size + _HEAD.size
_COUNT = struct.Struct(">BI")
_ARRAY = 0xDD
"""Msgpack's mark of an array with a count of 32 bits."""
_SMALL = pa.Codec("zstd", compression_level=1)
_FAST = pa.Codec("lz4_raw")
_LITTLE = 2048
"""Bytes of records below which a block is always sealed fast: making zstd ready takes longer than compressing them, at
either end, and what there is to find in so few is found by both.
"""
DISTILLED = 1
"""Market data has been taken out."""
END = 2
"""Holds the orderly end of the run."""
FAST = 4
"""Compressed by LZ4: an order waited for it."""
ALL_STEPS = 2**63 - 1
"""After all steps: blocks come without their data."""


class TornTail(DataError):
    """From here on it is as a crash leaves it: what was before is whole, and nothing behind was known to be on the disk."""

    def __init__(self, path: Path, at: int) -> None:
        super().__init__(f"{path}: torn block at byte {at}")
        self.path = path
        self.at = at


class Head(NamedTuple):
    """What is known of a block without opening it."""

    length: int
    """Bytes of the compressed records."""
    raw: int
    """Bytes of the records."""
    checksum: int
    flags: int
    first: int
    """Its first step."""
    last: int
    """Its last step; `first - 1` where it holds none."""
    first_ts: int
    last_ts: int
    """Receive times of its first and last step; where it holds none, of the step before."""
    durable: int
    """Bytes of its file that were known to be on the disk when it was sealed: if they are not whole, that is damage."""

    @property
    def is_distilled(self) -> bool:
        """Whether market data was taken out of it."""
        return bool(self.flags & DISTILLED)

    @property
    def is_end(self) -> bool:
        """Whether it holds the orderly end."""
        return bool(self.flags & END)


class Block(NamedTuple):
    """A whole block."""

    path: Path
    at: int
    """Byte where it begins."""
    head: Head
    data: bytes
    """Compressed records."""

    @property
    def end(self) -> int:
        """Byte after it."""
        return self.at + HEAD_BYTES + self.head.length


class BlockBuilder:
    """The block that is being filled."""

    def __init__(self, number: int, ts: int) -> None:
        """Begin after step `number`, which was received at `ts`."""
        self._raw = bytearray(_COUNT.size)
        self._count = 0
        self._flags = 0
        self.first = number + 1
        self.last = number
        self.first_ts = ts
        self.last_ts = ts

    def __len__(self) -> int:
        return len(self._raw)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it, not even a step without records."""
        return not self._count and self.last < self.first

    def add(self, record: Record) -> None:
        """Put a record behind the others."""
        size = len(self._raw)
        try:
            ENCODER.encode_into(record, self._raw, size)
        except BaseException:
            del self._raw[size:]
            raise
        self._count += 1

    def reach(self, number: int, ts: int) -> None:
        """Say that a step is in here."""
        if self.last < self.first:
            self.first_ts = ts
        self.last, self.last_ts = number, ts

    def cover(self, head: Head) -> None:
        """Say that all steps of another block are in here."""
        if head.last >= head.first:
            self.reach(head.first, head.first_ts)
            self.reach(head.last, head.last_ts)

    def mark(self, flag: int) -> None:
        """Set one of the flags."""
        self._flags |= flag

    def seal(self, durable: int, *, fast: bool = False) -> bytes:
        """The block as it is written, saying how many bytes of its file are on the disk by now.

        In a third of the time and half as much again in size, where it is `fast` or little.
        """
        _COUNT.pack_into(self._raw, 0, _ARRAY, self._count)
        is_fast = fast or len(self._raw) < _LITTLE
        if is_fast:
            self.mark(FAST)
        data: bytes = (_FAST if is_fast else _SMALL).compress(self._raw, asbytes=True)
        rest = _HEAD.pack(
            len(data),
            len(self._raw),
            zlib.crc32(data),
            self._flags,
            self.first,
            self.last,
            self.first_ts,
            self.last_ts,
            durable,
        )
        return _SEAL.pack(MAGIC, zlib.crc32(rest)) + rest + data


def records_of(block: Block, *, market: bool = True) -> list[Record]:
    """Its records in order, without market data where that is not wanted; raises DataError for other shapes."""
    try:
        codec = _FAST if block.head.flags & FAST else _SMALL
        data = codec.decompress(block.data, decompressed_size=block.head.raw, asbytes=True)
        if market:
            return DECODER.decode(data)
        return [ONE.decode(raw) for raw in RAW.decode(data) if memoryview(raw)[1] != MARKET_TAG]
    except (msgspec.MsgspecError, OSError, ValueError) as error:
        raise DataError(f"{block.path}: records of the block at byte {block.at} cannot be read: {error}") from error


def blocks_of(
    disk: Disk, path: Path, *, is_last: bool, at: int = 0, of_distilled: bool = False, after: int = -1
) -> Iterator[Block]:
    """The blocks of a segment from byte `at` on; those that end at or before step `after` come without their data.

    Byte `at` is one of the segment as it was, `of_distilled` or whole; where it was distilled since, all blocks come.
    Raises TornTail where the rest of the last segment is as a crash leaves it (see `is_torn`), DataError where a block
    is damaged.
    """
    with closing(disk.stream(path)) as stream:
        # Of this file, and not of what may have taken its name since.
        size = size_of(stream)
        if at and _is_distilled(stream, path, size) != of_distilled:
            at = 0
        while at < size:
            block = block_at(stream, path, at, size, after=after)
            if block is None:
                block = _again(disk, path, at, size, is_last=is_last)
            yield block
            at = block.end


def heads_of(disk: Disk, path: Path, *, is_last: bool) -> list[Head]:
    """What is known of the blocks of a segment without opening them, up to where the last segment is torn.

    Raises DataError where a block is damaged.
    """
    found: list[Head] = []
    with suppress(TornTail):
        for block in blocks_of(disk, path, is_last=is_last, after=ALL_STEPS):
            # One by one: what was found before a tear counts.
            found.append(block.head)  # noqa: PERF401
    return found


def first_head(disk: Disk, path: Path) -> Head | None:
    """What is known of the first block of a segment; None where that is not whole."""
    with closing(disk.stream(path)) as stream:
        block = block_at(stream, path, 0, size_of(stream), after=ALL_STEPS)
    return block.head if block is not None else None


def size_of(stream: BinaryIO) -> int:
    """Bytes of an open file."""
    return stream.seek(0, SEEK_END)


def _is_distilled(stream: BinaryIO, path: Path, size: int) -> bool:
    block = block_at(stream, path, 0, size, after=ALL_STEPS)
    return block is not None and block.head.is_distilled


def block_at(stream: BinaryIO, path: Path, at: int, size: int, *, after: int = -1) -> Block | None:
    """The whole block at a byte of a file of `size` bytes; None where there is none."""
    stream.seek(at)
    head = _head(stream.read(HEAD_BYTES))
    if head is None or at + HEAD_BYTES + head.length > size:
        return None
    if head.last <= after and not head.is_end:
        return Block(path, at, head, b"")
    data = stream.read(head.length)
    if len(data) < head.length or zlib.crc32(data) != head.checksum:
        return None
    return Block(path, at, head, data)


def whole_block_after(stream: BinaryIO, path: Path, at: int, size: int) -> int | None:
    """The first byte after `at` at which a whole block begins."""
    stream.seek(at + 1)
    rest = stream.read(size - at - 1)
    found = rest.find(MAGIC)
    while found >= 0:
        if block_at(stream, path, at + 1 + found, size) is not None:
            return at + 1 + found
        found = rest.find(MAGIC, found + 1)
    return None


def is_torn(stream: BinaryIO, path: Path, at: int, size: int) -> bool:
    """Whether what is no whole block at byte `at` is what a crash leaves: no block behind it knew it to be on the disk.

    A system may write what was not synced in any order, so that a loss of power leaves whole blocks behind a hole. A
    block that says that the hole had been on the disk makes it damage.
    """
    found = whole_block_after(stream, path, at, size)
    while found is not None:
        block = block_at(stream, path, found, size)
        assert block is not None
        if block.head.durable > at:
            return False
        following = block_at(stream, path, block.end, size)
        found = block.end if following is not None else whole_block_after(stream, path, block.end, size)
    return True


def _again(disk: Disk, path: Path, at: int, size: int, *, is_last: bool) -> Block:
    """What is no whole block, looked at a second time: it may just have been written, with others behind it."""
    with closing(disk.stream(path)) as stream:
        torn = is_last and is_torn(stream, path, at, size)
    with closing(disk.stream(path)) as stream:
        block = block_at(stream, path, at, size)
    if block is not None:
        return block
    if torn:
        raise TornTail(path, at)
    raise DataError(f"{path}: damaged block at byte {at}")


def _head(data: bytes) -> Head | None:
    if len(data) < HEAD_BYTES:
        return None
    magic, checksum = _SEAL.unpack_from(data)
    rest = data[_SEAL.size :]
    if magic != MAGIC or zlib.crc32(rest) != checksum:
        return None
    return Head._make(_HEAD.unpack(rest))
