"""Retention: market data of old segments is taken out, what was decided and done is kept for good."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

import msgspec

from stakan.adapters.journal.blocks import (
    DISTILLED,
    END,
    BlockBuilder,
    Head,
    TornTail,
    blocks_of,
    first_head,
    heads_of,
    records_of,
)
from stakan.adapters.journal.disk import LOCAL, Disk
from stakan.adapters.journal.layout import BALLAST, segments, snapshot_numbers, snapshot_path
from stakan.adapters.journal.reading import is_complete
from stakan.adapters.journal.report import Advance
from stakan.adapters.journal.snapshots import latest_state
from stakan.core.domain.errors import DataError, DiskFull, StorageError

_PARTIAL = ".distilled"
"""Ends the name of a segment that is being made; what a killed process leaves of it is removed by the next call."""
_BLOCK_BYTES = 64 * 1024
SPARE_BYTES = 16 * 1024 * 1024
"""Stay free while a segment is made anew: as much as a full disk gets back from the ballast, for orders that close."""


class Distilled(msgspec.Struct, frozen=True, kw_only=True):
    """What a call has done."""

    segments: tuple[str, ...]
    """Those that market data was taken out of, by this call."""
    bytes_freed: int
    """With the states that only these segments needed."""


def distil(
    folder: Path,
    *,
    keep_after_ts: int | None = None,
    keep_bytes: int | None = None,
    is_carried_on: bool = False,
    disk: Disk = LOCAL,
    advance: Advance = lambda _bytes: None,
) -> Distilled:
    """Take market data out of segments, the oldest first.

    Out of those that ended before `keep_after_ts` (receive time), and of as many as it takes for the others to have
    `keep_bytes` at most. What a start needs stays: everything after the newest sound state, and whatever may still be
    written; where a later run has carried on from this one (`is_carried_on`), nobody starts from it any more.

    A segment is replaced in one step; a call that is cut short is made good by the next. Raises DataError where a
    segment is damaged, DiskFull where there is no room for a segment beside the old one, and StorageError; what was
    done by then stays done.
    """
    _tidy(folder, disk)
    whole = [one for one in _segments(folder, disk) if not one.is_distilled]
    before = _bytes(folder, disk)
    done = []
    for segment in _not_needed(folder, _due(whole, keep_after_ts, keep_bytes, disk), disk, is_carried_on=is_carried_on):
        _distil(disk, segment)
        advance(segment.size)
        done.append(segment.path.name)
    _remove_states(folder, disk)
    if is_carried_on:
        disk.remove(folder / BALLAST)
    return Distilled(segments=tuple(done), bytes_freed=before - _bytes(folder, disk))


class _Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A segment that has begun. A day of them holds a million blocks: they are not read to see that nothing is due."""

    path: Path
    head: Head
    """Of its first block."""
    following: Head | None
    """Of the first block of the next segment."""
    size: int
    is_last: bool

    @property
    def is_distilled(self) -> bool:
        # All of its blocks are, or none.
        return self.head.is_distilled

    def end(self, disk: Disk) -> tuple[int, int]:
        """Its last step and when that was received."""
        following = self.following
        if following is not None and following.last < following.first:
            # The next segment begins with a block of no step, which tells of the step before.
            return following.first - 1, following.first_ts
        last = heads_of(disk, self.path, is_last=self.is_last)[-1]
        return last.last, last.last_ts


def _segments(folder: Path, disk: Disk) -> list[_Segment]:
    files = segments(folder, disk)
    heads = [first_head(disk, path) for path in files]
    found = []
    for path, head, following in zip(files, heads, [*heads[1:], None], strict=True):
        is_last = path == files[-1]
        if head is None and not is_last:
            raise DataError(f"{path}: damaged block at byte 0")
        # A crash may leave a last segment that has not begun.
        if head is not None:
            found.append(_Segment(path=path, head=head, following=following, size=disk.size(path), is_last=is_last))
    return found


def _due(whole: list[_Segment], keep_after_ts: int | None, keep_bytes: int | None, disk: Disk) -> list[_Segment]:
    """The oldest of them, so that what stays is whole from some step on."""
    left = sum(one.size for one in whole)
    found = []
    for one in whole:
        is_too_much = keep_bytes is not None and left > keep_bytes
        if not is_too_much and not _is_old(one, keep_after_ts, disk):
            break
        found.append(one)
        left -= one.size
    return found


def _is_old(segment: _Segment, keep_after_ts: int | None, disk: Disk) -> bool:
    if keep_after_ts is None or segment.head.first_ts >= keep_after_ts:
        return False
    return segment.end(disk)[1] < keep_after_ts


def _not_needed(folder: Path, due: list[_Segment], disk: Disk, *, is_carried_on: bool) -> list[_Segment]:
    """Those of the oldest segments that no start needs, and nobody writes."""
    if is_carried_on or not due:
        return due
    state = latest_state(folder, disk=disk)
    if state is None:
        return []
    found = list(takewhile(lambda one: one.end(disk)[0] <= state[0], due))
    if found and found[-1].is_last and not is_complete(folder, disk=disk):
        # It may still be written, and replacing it would lose that.
        found.pop()
    return found


def _distil(disk: Disk, segment: _Segment) -> None:
    # Before the first byte: on a disk that is filling up, orders that close positions need what is left.
    needed, free = segment.size + SPARE_BYTES, disk.free(segment.path.parent)
    if free < needed:
        raise DiskFull(f"{segment.path} is not made smaller: that takes up to {needed:,} bytes, and {free:,} are free")
    partial = segment.path.with_name(segment.path.name + _PARTIAL)
    try:
        _write(disk, partial, _without_market(disk, segment))
        disk.rename(partial, segment.path)
    except BaseException:
        # At once, and not by the next call: it may have filled the disk.
        with suppress(StorageError):
            disk.remove(partial)
        raise


def _write(disk: Disk, path: Path, blocks: Iterator[bytes]) -> None:
    file = disk.append(path)
    try:
        for data in blocks:
            file.write(data)
        file.datasync()
    finally:
        file.close()


def _without_market(disk: Disk, segment: _Segment) -> Iterator[bytes]:
    """Its blocks anew."""
    builder = _fresh(segment.head.first - 1, segment.head.first_ts)
    # The new file takes the old one's place when all of it is on the disk.
    durable = 0
    with suppress(TornTail):
        for block in blocks_of(disk, segment.path, is_last=segment.is_last):
            for record in records_of(block, market=False):
                builder.add(record)
            builder.cover(block.head)
            if block.head.is_end:
                builder.mark(END)
            if len(builder) >= _BLOCK_BYTES:
                sealed = builder.seal(durable)
                durable += len(sealed)
                yield sealed
                builder = _fresh(builder.last, builder.last_ts)
    if not builder.is_empty:
        yield builder.seal(durable)


def _fresh(number: int, ts: int) -> BlockBuilder:
    builder = BlockBuilder(number, ts)
    builder.mark(DISTILLED)
    return builder


def _remove_states(folder: Path, disk: Disk) -> None:
    """Those that only a replay of distilled segments would begin with; the newest sound one always stays."""
    distilled = [one for one in _segments(folder, disk) if one.is_distilled]
    if not distilled:
        return
    whole_after, _ = distilled[-1].end(disk)
    old = [number for number in snapshot_numbers(folder, disk) if number < whole_after]
    newest = latest_state(folder, disk=disk) if old else None
    for number in old:
        if newest is not None and number < newest[0]:
            disk.remove(snapshot_path(folder, number))


def _tidy(folder: Path, disk: Disk) -> None:
    for name in disk.names(folder):
        if name.endswith(_PARTIAL):
            disk.remove(folder / name)


def _bytes(folder: Path, disk: Disk) -> int:
    paths = [*segments(folder, disk), *(snapshot_path(folder, number) for number in snapshot_numbers(folder, disk))]
    # A running bot removes states of its own.
    return sum(disk.size(path) for path in paths if disk.exists(path))
