"""What state a journal is in: every byte read, every flaw named."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from stakan.adapters.journal.blocks import Block, block_at, is_torn, records_of, size_of, whole_block_after
from stakan.adapters.journal.disk import LOCAL, Disk
from stakan.adapters.journal.layout import segments, snapshot_numbers, snapshot_path
from stakan.adapters.journal.reading import first_replayable
from stakan.adapters.journal.records import Header
from stakan.adapters.journal.snapshots import read_snapshot
from stakan.core.domain.errors import DataError

Advance = Callable[[int], None]
"""Is told how many bytes more have been read."""


class Flaw(msgspec.Struct, frozen=True):
    """Something that should not be there."""

    file: str
    at: int
    """Byte."""
    what: str


class SegmentReport(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the stream."""

    file: str
    blocks: int
    first: int
    """Its first step."""
    last: int
    """Its last step; `first - 1` where it has none."""
    first_ts: int
    last_ts: int
    raw_bytes: int
    """Of records."""
    stored_bytes: int
    """Of the file."""
    is_distilled: bool
    """Whether market data was taken out of it."""


class SnapshotReport(msgspec.Struct, frozen=True, kw_only=True):
    """One state of the engine."""

    number: int
    """The step that it follows."""
    raw_bytes: int
    stored_bytes: int
    flaw: str
    """Why it cannot be used; empty for a sound one."""


class JournalReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found."""

    segments: tuple[SegmentReport, ...]
    records: dict[str, int]
    """By kind."""
    torn: Flaw | None
    """Where the end is torn, as a crash leaves it; nothing that was committed is behind it."""
    damage: tuple[Flaw, ...]
    gaps: tuple[tuple[int, int], ...]
    """First and last of steps that are missing."""
    snapshots: tuple[SnapshotReport, ...]
    is_complete: bool
    """Whether it has an orderly end."""
    replayable_after: int | None
    """The first step after which all events are there, with the state to begin with; 0 for a fresh engine."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged or missing; a torn end is what a crash may leave."""
        return not self.damage and not self.gaps and not any(one.flaw for one in self.snapshots)


def verify(folder: Path, *, disk: Disk = LOCAL, advance: Advance = lambda _bytes: None) -> JournalReport:
    """Read all of a journal and go on behind what is damaged; raises DataError where there is no journal."""
    check = _Check(disk, advance)
    files = segments(folder, disk)
    for path in files:
        check.read(path, is_last=path == files[-1])
    snapshots = tuple(_snapshot(disk, folder, number, advance) for number in snapshot_numbers(folder, disk))
    return JournalReport(
        segments=tuple(check.segments),
        records=dict(sorted(check.records.items())),
        torn=check.torn,
        damage=tuple(check.damage),
        gaps=tuple(check.gaps),
        snapshots=snapshots,
        is_complete=check.is_complete,
        replayable_after=None if check.damage or check.gaps else first_replayable(folder, disk=disk),
    )


def cut_torn_tail(folder: Path, *, disk: Disk = LOCAL) -> int:
    """Cut off what a crash has left of the last block; returns how many bytes that were.

    Only for a journal that nobody writes. Raises DataError where the last segment is damaged, and leaves it as it is.
    """
    path = segments(folder, disk)[-1]
    check = _Check(disk, lambda _bytes: None)
    check.read(path, is_last=True)
    if check.damage:
        raise DataError(f"{path}: {check.damage[0].what} at byte {check.damage[0].at}: not cut")
    if check.torn is None:
        return 0
    size = disk.size(path)
    disk.truncate(path, check.torn.at)
    return size - check.torn.at


class _Check:
    """Collects what is found in one segment after the other."""

    def __init__(self, disk: Disk, advance: Advance) -> None:
        self.segments: list[SegmentReport] = []
        self.records: Counter[str] = Counter()
        self.torn: Flaw | None = None
        self.damage: list[Flaw] = []
        self.gaps: list[tuple[int, int]] = []
        self.is_complete = False
        self._expected: int | None = None
        self._disk = disk
        self._advance = advance

    def read(self, path: Path, *, is_last: bool) -> None:
        """All of a segment."""
        blocks = []
        for block in self._whole_blocks(path, is_last=is_last):
            self._take(block)
            blocks.append(block.head)
        timed = [head for head in blocks if head.last >= head.first]
        self.segments.append(
            SegmentReport(
                file=path.name,
                blocks=len(blocks),
                first=blocks[0].first if blocks else 0,
                last=blocks[-1].last if blocks else -1,
                first_ts=timed[0].first_ts if timed else 0,
                last_ts=timed[-1].last_ts if timed else 0,
                raw_bytes=sum(head.raw for head in blocks),
                stored_bytes=self._disk.size(path),
                is_distilled=any(head.is_distilled for head in blocks),
            )
        )

    def _whole_blocks(self, path: Path, *, is_last: bool) -> Iterator[Block]:
        at = 0
        with closing(self._disk.stream(path)) as stream:
            # Of this file, also where it is distilled meanwhile.
            size = size_of(stream)
            while at < size:
                block = block_at(stream, path, at, size)
                if block is None:
                    torn = is_last and is_torn(stream, path, at, size)
                    following = None if torn else whole_block_after(stream, path, at, size)
                    self._note(path, at, is_torn=torn)
                    self._advance((size if following is None else following) - at)
                    if following is None:
                        return
                    at = following
                    continue
                yield block
                self._advance(block.end - at)
                at = block.end

    def _take(self, block: Block) -> None:
        head = block.head
        try:
            records = records_of(block)
        except DataError as error:
            self.damage.append(Flaw(block.path.name, block.at, str(error)))
            records = []
        self.records.update(type(record).__name__ for record in records)
        if self._expected is None:
            first = records[0] if records else None
            self._expected = first.first_number if isinstance(first, Header) else head.first
        if head.first > self._expected:
            self.gaps.append((self._expected, head.first - 1))
        elif head.first < self._expected:
            self.damage.append(Flaw(block.path.name, block.at, f"step {head.first} comes after {self._expected - 1}"))
        self._expected = head.last + 1
        self.is_complete = head.is_end

    def _note(self, path: Path, at: int, *, is_torn: bool) -> None:
        self.is_complete = False
        if is_torn:
            self.torn = Flaw(path.name, at, "torn block")
        else:
            self.damage.append(Flaw(path.name, at, "damaged block"))


def _snapshot(disk: Disk, folder: Path, number: int, advance: Advance) -> SnapshotReport:
    stored = disk.size(snapshot_path(folder, number))
    flaw, raw = "", 0
    try:
        raw = len(read_snapshot(disk, folder, number))
    except DataError as error:
        flaw = str(error)
    advance(stored)
    return SnapshotReport(number=number, raw_bytes=raw, stored_bytes=stored, flaw=flaw)
