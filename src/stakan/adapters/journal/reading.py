"""Reads a journal: records, events, steps; from the beginning, after a step, or as it grows."""

from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from stakan.adapters.journal.blocks import (
    ALL_STEPS,
    Block,
    TornTail,
    block_at,
    blocks_of,
    first_head,
    heads_of,
    records_of,
    size_of,
)
from stakan.adapters.journal.disk import LOCAL, Disk
from stakan.adapters.journal.layout import is_journal, segments
from stakan.adapters.journal.records import JOURNAL_VERSION, End, Header, Inbox, Market, Outcome, Record, number_of
from stakan.adapters.journal.snapshots import read_states
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AnyEvent
from stakan.core.domain.step import Step


class Span(NamedTuple):
    """From where to where a journal goes."""

    first: int
    """Its first step."""
    last: int
    """Its last step; `first - 1` where it has none."""
    first_ts: int
    last_ts: int
    """Receive times of the two; 0 where there are none."""


Recorded = tuple[int, AnyEvent, Step | None]
"""Number, event and step; None for a step that had neither facts nor commands, or was never written: the last one of a
run that broke."""
_EVENTS = (Market, Inbox)
"""A tuple, because a union would be made anew for each record."""


def read_header(folder: Path, *, disk: Disk = LOCAL) -> Header:
    """The header of a journal; raises DataError where there is none or its version is unknown."""
    path = segments(folder, disk)[0]
    first = _first_record(path, disk)
    if not isinstance(first, Header):
        raise DataError(f"{path}: damaged block at byte 0, or not a journal of this release: there is no header")
    if first.version != JOURNAL_VERSION:
        raise DataError(f"{folder}: journal version {first.version}, this release reads {JOURNAL_VERSION}")
    return first


def has_begun(folder: Path, *, disk: Disk = LOCAL) -> bool:
    """Whether there is a journal with its first block; a process killed while it made one leaves none.

    Raises DataError for damage.
    """
    if not is_journal(folder, disk):
        return False
    files = segments(folder, disk)
    try:
        return next(blocks_of(disk, files[0], is_last=len(files) == 1), None) is not None
    except TornTail:
        return False


def secure(folder: Path, *, disk: Disk = LOCAL) -> int:
    """Make all that can be read of a journal survive the power, and cut off what a crash has left behind it.

    For a journal that nobody writes, before anything follows from it: of a killed process the system may hold steps
    that are not on the disk yet. Returns how many bytes were cut off. Raises DataError where the last segment is
    damaged, StorageError.
    """
    path = segments(folder, disk)[-1]
    size, end = disk.size(path), 0
    with suppress(TornTail):
        for block in blocks_of(disk, path, is_last=True):
            end = block.end
    if end < size:
        disk.truncate(path, end)
    with closing(disk.append(path)) as file:
        file.datasync()
    return size - end


def is_complete(folder: Path, *, disk: Disk = LOCAL) -> bool:
    """Whether a journal has an orderly end; that of a killed process has none."""
    try:
        last = segments(folder, disk)[-1]
        found = False
        for block in blocks_of(disk, last, is_last=True, after=ALL_STEPS):
            found = block.head.is_end
    except DataError:
        return False
    return found


def read_span(folder: Path, *, disk: Disk = LOCAL) -> Span:
    """From where to where it goes, up to where its end is torn; raises DataError where a block is damaged."""
    found = None
    files = segments(folder, disk)
    for head in chain.from_iterable(heads_of(disk, path, is_last=path == files[-1]) for path in files):
        if found is None or found.last < found.first:
            found = Span(head.first, head.last, head.first_ts, head.last_ts)
        else:
            found = found._replace(last=head.last, last_ts=head.last_ts)
    if found is None:
        raise DataError(f"{files[0]}: damaged block at byte 0: there is no header")
    return found


def read_records(
    folder: Path,
    *,
    torn: bool = False,
    market: bool = True,
    since: int = 0,
    until: int = ALL_STEPS,
    disk: Disk = LOCAL,
) -> Iterator[Record]:
    """All records in order, the header first; without market data where that is not wanted.

    Blocks that lie before `since` or after `until` (receive times) as a whole are left out. Raises DataError naming
    file and byte where a block is damaged, or the end is torn. With `torn`, reading ends where the end is torn.
    """
    is_first = True
    for block in _blocks(folder, disk, torn=torn):
        if block.head.first <= block.head.last and not (block.head.last_ts >= since and block.head.first_ts <= until):
            continue
        for record in records_of(block, market=market):
            # Every segment begins with the same header.
            if is_first or not isinstance(record, Header):
                yield record
            is_first = False


def read_events(
    folder: Path, *, torn: bool = False, after: int = 0, disk: Disk = LOCAL
) -> Iterator[tuple[int, AnyEvent]]:
    """Events with their numbers in their total order, of steps after `after`.

    Raises DataError as `read_recorded`.
    """
    for number, event, _ in read_recorded(folder, torn=torn, after=after, disk=disk):
        yield number, event


def read_recorded(folder: Path, *, torn: bool = False, after: int = 0, disk: Disk = LOCAL) -> Iterator[Recorded]:
    """Events in their total order, each with the step that was recorded of it, of steps after `after`.

    Raises DataError as `read_records`, and where market data of those steps has been distilled away, an event is
    missing, or a step was recorded without its event, or twice.
    """
    expected, held = None, None
    for block in _blocks(folder, disk, torn=torn, after=after):
        if block.head.is_distilled and max(block.head.first, after + 1) <= block.head.last:
            raise DataError(_distilled(folder, disk))
        for record in records_of(block):
            if isinstance(record, _EVENTS) and (number := record.number) > after:
                if held is not None:
                    yield held.number, held.event, None
                if expected is not None and number != expected:
                    raise DataError(f"{folder}: event {expected} is missing, next is {number}")
                expected, held = number + 1, record
            elif isinstance(record, Outcome) and (number := record.step.number) > after:
                if held is None or held.number != number:
                    raise DataError(f"{folder}: step {number} was recorded without its event, or twice")
                yield number, held.event, record.step
                held = None
    if held is not None:
        yield held.number, held.event, None


def read_steps(folder: Path, *, torn: bool = False, after: int = 0, disk: Disk = LOCAL) -> Iterator[Step]:
    """The steps after `after` that had facts or commands; raises DataError as `read_records`."""
    for block in _blocks(folder, disk, torn=torn, after=after):
        for record in records_of(block, market=False):
            if isinstance(record, Outcome) and record.step.number > after:
                yield record.step


def records_after(folder: Path, number: int, *, market: bool = True, disk: Disk = LOCAL) -> Iterator[Record]:
    """Records of the steps after `number`, as far as the journal goes by now, and its end where it has one.

    Blocks before are skipped unread. A torn tail ends it: either a crash left it, or it is being written. Raises
    DataError where a block is damaged.
    """
    for records in Follower(folder, number, market=market, disk=disk).blocks():
        yield from records


class Follower:
    """Reads a journal that still grows, from where the last call stopped."""

    def __init__(self, folder: Path, number: int, *, market: bool = True, disk: Disk = LOCAL) -> None:
        self.number = number
        """Of the last step that was given."""
        self.is_over = False
        """Whether the orderly end was given."""
        self._folder = folder
        self._market = market
        self._disk = disk
        self._place: _Place | None = None

    def blocks(self) -> Iterator[list[Record]]:
        """What is new, a whole block of steps at a time; `number` is that of its last step once the next is asked for.

        Raises DataError where a block is damaged.
        """
        if self.is_over or not is_journal(self._folder, self._disk):
            return
        files = segments(self._folder, self._disk)
        if self._place is None and not self._has_begun(files):
            return
        begin, at, of_distilled = self._from_here(files)
        for path in files[files.index(begin) :]:
            is_last = path == files[-1]
            try:
                for block in blocks_of(
                    self._disk, path, is_last=is_last, at=at, of_distilled=of_distilled, after=self.number
                ):
                    yield from self._open(block)
            except TornTail:
                return
            at = 0

    def _has_begun(self, files: list[Path]) -> bool:
        """Whether the header is there; a journal that carries on begins behind the steps of earlier runs."""
        header = _first_record(files[0], self._disk)
        if isinstance(header, Header):
            self.number = max(self.number, header.first_number - 1)
        elif len(files) > 1:
            raise DataError(f"{files[0]}: damaged block at byte 0: there is no header")
        return isinstance(header, Header)

    def _open(self, block: Block) -> Iterator[list[Record]]:
        number = self.number
        if block.head.first > number + 1:
            raise DataError(f"{block.path}: steps {number + 1} to {block.head.first - 1} are missing")
        if block.head.last > number or block.head.is_end:
            yield [one for one in records_of(block, market=self._market) if _is_after(one, number)]
        self.number = max(number, block.head.last)
        self.is_over = block.head.is_end
        self._place = _Place(block.path, block.end, block.head.is_distilled)

    def _from_here(self, files: list[Path]) -> "_Place":
        """Where to read on: where the last call stopped, unless that file has a successor."""
        if self._place is not None and self._place.path == files[-1]:
            return self._place
        return _Place(start_of(files, self.number, self._disk), 0, is_distilled=False)


class _Place(NamedTuple):
    """Where reading stopped."""

    path: Path
    at: int
    is_distilled: bool
    """Whether the segment was, when it was read: in another one, byte `at` is another."""


class Extent:
    """From where to where a journal goes, for who asks again and again while it grows."""

    def __init__(self, folder: Path, *, disk: Disk = LOCAL) -> None:
        self._folder = folder
        self._disk = disk
        self._first: int | None = None
        self._last = 0
        self._place: _Place | None = None

    def steps(self) -> tuple[int, int]:
        """Its first and last step; only what has come since the last call is looked at. Raises as `read_span`."""
        files = segments(self._folder, self._disk)
        if self._first is None:
            self._first = _first_step(files[0], self._disk)
            self._last = self._first - 1
        begin = self._place or _Place(start_of(files, ALL_STEPS, self._disk), 0, is_distilled=False)
        with suppress(TornTail):
            for path in files[files.index(begin.path) :]:
                at = begin.at if path == begin.path else 0
                for block in blocks_of(
                    self._disk,
                    path,
                    is_last=path == files[-1],
                    at=at,
                    of_distilled=begin.is_distilled,
                    after=ALL_STEPS,
                ):
                    self._last = block.head.last
                    self._place = _Place(path, block.end, block.head.is_distilled)
        return self._first, self._last


def _first_step(path: Path, disk: Disk) -> int:
    head = first_head(disk, path)
    if head is None:
        raise DataError(f"{path}: damaged block at byte 0: there is no header")
    return head.first


def _first_record(path: Path, disk: Disk) -> Record | None:
    with closing(disk.stream(path)) as stream:
        block = block_at(stream, path, 0, size_of(stream))
    return next(iter(records_of(block)), None) if block is not None else None


def start_of(files: list[Path], after: int, disk: Disk) -> Path:
    """The segment that step `after + 1` is in, or is going to be."""
    for path in reversed(files[1:]):
        head = first_head(disk, path)
        if head is not None and head.first <= after + 1:
            return path
    return files[0]


def begins(folder: Path, *, disk: Disk = LOCAL) -> list[int]:
    """The steps after which segments begin: their states stay as long as the journal does."""
    heads = (first_head(disk, path) for path in segments(folder, disk))
    return [head.first - 1 for head in heads if head is not None]


def first_replayable(folder: Path, *, disk: Disk = LOCAL) -> int | None:
    """The earliest step whose state is there with all events after it; 0 stands for a fresh engine.

    None where nothing can be computed again. Raises DataError where the header is damaged.
    """
    whole_after = max(read_header(folder, disk=disk).first_number - 1, _distilled_to(folder, disk))
    if whole_after == 0:
        return 0
    return next((number for number, _ in read_states(folder, torn=True, disk=disk) if number >= whole_after), None)


def _distilled_to(folder: Path, disk: Disk) -> int:
    """The last step that market data was taken out of with all before it; 0 where none was."""
    files = segments(folder, disk)
    following = None
    for path in reversed(files):
        head = first_head(disk, path)
        if head is not None and head.is_distilled:
            if following is not None:
                return following.first - 1
            return heads_of(disk, path, is_last=path == files[-1])[-1].last
        following = head
    return 0


def _distilled(folder: Path, disk: Disk) -> str:
    first = first_replayable(folder, disk=disk)
    where = "it cannot be computed again" if first is None else f"it can be computed again after step {first}"
    return f"{folder}: market data was distilled away; {where}"


def _blocks(folder: Path, disk: Disk, *, torn: bool, after: int = -1) -> Iterator[Block]:
    """Blocks that reach beyond step `after`, in order; raises DataError where steps are missing between them."""
    files = segments(folder, disk)
    # Those before `after` are not looked at.
    next_step = max(read_header(folder, disk=disk).first_number, after + 1)
    is_first = True
    try:
        for path in files[files.index(start_of(files, after, disk)) :]:
            for block in blocks_of(disk, path, is_last=path == files[-1], after=after):
                if block.head.first > next_step or (block.head.first < next_step and not is_first):
                    raise DataError(f"{path}: step {next_step} is missing before byte {block.at}")
                next_step, is_first = block.head.last + 1, False
                if block.head.last > after or block.head.is_end:
                    yield block
    except TornTail:
        if not torn:
            raise


def _is_after(record: Record, number: int) -> bool:
    return isinstance(record, End) or number_of(record) > number
