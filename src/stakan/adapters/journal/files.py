"""The journal as two plain files: decisions for good, market events compressed and for a while.

Every record is framed by its length and CRC-32, both little-endian 32-bit; a torn or damaged frame is named, never
guessed around.
"""

import heapq
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BufferedIOBase
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import pyarrow as pa

from stakan.adapters.journal.records import (
    DECODER,
    ENCODER,
    JOURNAL_VERSION,
    End,
    Header,
    Inbox,
    Market,
    Outcome,
    Record,
    StateSnapshot,
)
from stakan.core.domain.errors import DataError, StorageError
from stakan.core.domain.events import AnyEvent, MarketEvent
from stakan.core.domain.step import Step

DECISIONS = "decisions.journal"
MARKET = "market.journal.zst"
_FRAME = struct.Struct("<II")
_ZSTD = pa.Codec("zstd", compression_level=1)


class FileJournal:
    """Writes a run's journal into a folder that must not hold one yet."""

    def __init__(self, folder: Path, header: Header, *, with_market: bool = True) -> None:
        self._folder = folder
        self._number = 0
        if (folder / MARKET).exists():
            raise StorageError(f"{folder} already holds a journal: choose another folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._decisions = (folder / DECISIONS).open("xb")
            self._market = (
                pa.CompressedOutputStream(pa.OSFile(str(folder / MARKET), "wb"), "zstd") if with_market else None
            )
        except FileExistsError as error:
            raise StorageError(f"{folder} already holds a journal: choose another folder") from error
        except OSError as error:
            raise StorageError(f"cannot write a journal into {folder}: {error}") from error
        self._write(self._decisions, header)

    def event(self, number: int, event: AnyEvent) -> None:
        """Write what enters the engine as step `number`."""
        if isinstance(event, MarketEvent):
            if self._market is not None:
                self._write(self._market, Market(number, event))
        else:
            self._write(self._decisions, Inbox(number, event))

    def append(self, step: Step) -> None:
        """Write what a step made of it; before its commands leave."""
        self._number = step.number
        if step.facts or step.commands:
            self._write(self._decisions, Outcome(step))

    def snapshot(self, number: int, state: bytes) -> None:
        """Write the engine's state after step `number`: compressed, as most of its tables is room to grow."""
        self._write(self._decisions, StateSnapshot(number, _ZSTD.compress(state, asbytes=True), len(state)))

    def sync(self) -> None:
        """Return when every decision so far is on the disk; market events may still be in memory."""
        try:
            self._decisions.flush()
            os.fdatasync(self._decisions.fileno())
        except OSError as error:
            raise StorageError(f"cannot write the journal in {self._folder}: {error}") from error

    def flush(self) -> None:
        """Hand all of it to the operating system: what a killed process leaves behind."""
        try:
            self._decisions.flush()
            if self._market is not None:
                self._market.flush()
        except OSError as error:
            raise StorageError(f"cannot write the journal in {self._folder}: {error}") from error

    def close(self) -> None:
        """End the journal in an orderly way; raises StorageError where the last of it cannot be written."""
        self._write(self._decisions, End(self._number))
        try:
            self._decisions.close()
            if self._market is not None:
                self._market.close()
        except OSError as error:
            raise StorageError(f"cannot write the journal in {self._folder}: {error}") from error

    def abandon(self) -> None:
        """Let go of a journal that has no end: what is on the disk stays, what is not is lost."""
        for file in (self._decisions, self._market):
            if file is not None:
                with suppress(OSError):
                    file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def _write(self, file: BufferedIOBase | pa.CompressedOutputStream, record: Record) -> None:
        data = ENCODER.encode(record)
        try:
            file.write(_FRAME.pack(len(data), zlib.crc32(data)) + data)
        except OSError as error:
            raise StorageError(f"cannot write the journal in {self._folder}: {error}") from error


def read_header(folder: Path) -> Header:
    """The header of a journal; raises DataError where there is none or its version is unknown."""
    first = next(iter(read_records(folder / DECISIONS)), None)
    if not isinstance(first, Header):
        raise DataError(f"{folder / DECISIONS} does not begin with a header: not a journal")
    if first.version != JOURNAL_VERSION:
        raise DataError(f"{folder}: journal version {first.version}, this release reads {JOURNAL_VERSION}")
    return first


def is_complete(folder: Path) -> bool:
    """Whether a journal has an orderly end; that of a killed process has none."""
    try:
        return any(isinstance(record, End) for record in read_records(folder / DECISIONS))
    except DataError:
        return False


def read_intact(path: Path) -> Iterator[Record]:
    """The records of a file up to where it is torn: what can be read of the journal of a killed process."""
    with suppress(DataError):
        yield from read_records(path)


def read_records(path: Path) -> Iterator[Record]:
    """The records of one file in order; raises DataError naming the byte where a frame is torn or damaged."""
    if not path.exists():
        raise DataError(f"{path} does not exist")
    stream = pa.input_stream(str(path), compression="detect")
    position = 0
    with stream:
        while head := _read(stream, _FRAME.size, path, position):
            if len(head) < _FRAME.size:
                raise DataError(f"{path}: torn frame at byte {position}")
            length, checksum = _FRAME.unpack(head)
            data = _read(stream, length, path, position)
            if len(data) < length:
                raise DataError(f"{path}: torn frame at byte {position}")
            if zlib.crc32(data) != checksum:
                raise DataError(f"{path}: damaged frame at byte {position}")
            try:
                yield DECODER.decode(data)
            except msgspec.MsgspecError as error:
                raise DataError(f"{path}: record at byte {position} cannot be read: {error}") from error
            position += _FRAME.size + length


def read_events(folder: Path, *, torn: bool = False) -> Iterator[tuple[int, AnyEvent]]:
    """All events of a journal in their total order; raises DataError where one is missing.

    Only a journal with an orderly end says how many there were; another may lack events after its last. With `torn`,
    reading ends without an error where a file is torn or the first event is missing.
    """
    read = read_intact if torn else read_records
    market: Iterable[Market | Inbox | End] = ()
    if (folder / MARKET).exists():
        market = (r for r in read(folder / MARKET) if isinstance(r, Market))
    inbox = (r for r in read(folder / DECISIONS) if isinstance(r, Inbox | End))
    try:
        yield from _in_order(folder, heapq.merge(market, inbox, key=_place))
    except DataError:
        if not torn:
            raise


def _in_order(folder: Path, records: Iterator[Market | Inbox | End]) -> Iterator[tuple[int, AnyEvent]]:
    expected = 1
    for record in records:
        if isinstance(record, End):
            if record.number >= expected:
                raise DataError(f"{folder}: event {expected} is missing of {record.number}; were market events kept?")
            continue
        if record.number != expected:
            raise DataError(f"{folder}: event {expected} is missing, next is {record.number}; were market events kept?")
        yield record.number, record.event
        expected += 1


def _place(record: Market | Inbox | End) -> tuple[int, bool]:
    """An end has the number of the last event and comes after it."""
    return record.number, isinstance(record, End)


def read_states(folder: Path, *, torn: bool = False) -> Iterator[tuple[int, bytes]]:
    """The engine's states with the numbers of the steps that they follow: what `Engine.restore` takes."""
    read = read_intact if torn else read_records
    for record in read(folder / DECISIONS):
        if isinstance(record, StateSnapshot):
            yield record.number, _ZSTD.decompress(record.state, decompressed_size=record.size, asbytes=True)


def read_steps(folder: Path, *, torn: bool = False) -> Iterator[Step]:
    """The steps that had facts or commands."""
    read = read_intact if torn else read_records
    return (r.step for r in read(folder / DECISIONS) if isinstance(r, Outcome))


def _read(stream: pa.NativeFile, size: int, path: Path, position: int) -> bytes:
    try:
        return bytes(stream.read(size))
    except OSError as error:
        raise DataError(f"{path}: cannot be read on after byte {position}: {error}") from error
