"""Finds what is wrong in a store: damaged or missing files, rows that contradict themselves, books that do not replay."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from stakan.adapters.parquet.encoding import Rows
from stakan.adapters.parquet.layout import Part, digest_of, leftovers, recordings, visible_parts
from stakan.adapters.parquet.part_writer import day_name, day_of
from stakan.adapters.parquet.reader import open_part, read_row_group
from stakan.adapters.parquet.schema import PartMetadata, StoredKind
from stakan.core.domain.batch import columns
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import BookDelta, BookSnapshot
from stakan.core.domain.facts import AnyFact, BookRecovered
from stakan.core.domain.ids import InstrumentId
from stakan.core.market.book import Book


class Problem(msgspec.Struct, frozen=True):
    """Something wrong; `row` counts from 0 within the file, -1 where it is about the file as a whole."""

    path: str
    row: int
    what: str
    is_error: bool = True
    """False for what does no harm: leftovers that nobody reads."""


def check(root: Path, instruments: Iterable[InstrumentId] | None = None, *, books: bool = True) -> Iterator[Problem]:
    """Every problem of the visible parts, as it is found; reads every byte. `books` replays the books too."""
    wanted = None if instruments is None else set(instruments)
    for path in leftovers(root):
        yield Problem(
            str(path),
            -1,
            "nobody reads it: left by a writer that was killed (delete it then) or is still at work",
            is_error=False,
        )
    yield from _changed(root, wanted)
    replays: dict[tuple[str, InstrumentId], Book] = {}
    for part in visible_parts(root):
        is_wanted = wanted is None or part.instrument in wanted
        if not is_wanted or not part.path.exists():
            continue
        book = None
        if books and part.kind is StoredKind.BOOK:
            book = replays.setdefault((part.recording, part.instrument), Book(instrument=part.instrument))
        yield from _check_part(part, book)


def _changed(root: Path, wanted: set[InstrumentId] | None) -> Iterator[Problem]:
    for recording in recordings(root).values():
        if wanted is not None and not any(span.instrument in wanted for span in recording.spans):
            continue
        for part in recording.parts:
            path = root / part.path
            if not path.is_file():
                yield Problem(str(path), -1, f"is missing: recording {recording.id} ({recording.source.description})")
            elif path.stat().st_size != part.bytes:
                yield Problem(str(path), -1, f"has {path.stat().st_size} bytes, was written with {part.bytes}")
            elif digest_of(path) != part.digest:
                yield Problem(str(path), -1, "was changed after it was written: its digest is another one")


def _check_part(part: Part, book: Book | None) -> Iterator[Problem]:
    try:
        file, metadata = open_part(part)
    except DataError as error:
        yield Problem(str(part.path), -1, _without_path(part, error))
        return
    with file:
        if (metadata.instrument, metadata.kind, metadata.recording) != (part.instrument, part.kind, part.recording):
            yield Problem(str(part.path), -1, f"says it is {metadata.kind} of {metadata.instrument}: was it moved?")
            return
        row = 0
        last = (0, -1)
        for group in range(file.num_row_groups):
            try:
                rows = read_row_group(part.path, file, metadata, group)
            except DataError as error:
                yield Problem(str(part.path), row, _without_path(part, error))
                return
            yield from _check_rows(part, rows, row, last)
            if book is not None:
                yield from _replay(part, rows, row, book)
            row += len(rows)
            last = (int(rows.ts_recv[-1]), int(rows.arrival[-1]))
        yield from _check_totals(part, metadata, row)


def _check_rows(part: Part, rows: Rows, first_row: int, before: tuple[int, int]) -> Iterator[Problem]:
    path = str(part.path)
    ts = np.concatenate([[before[0]], rows.ts_recv])
    arrival = np.concatenate([[before[1]], rows.arrival])
    step = np.diff(ts)
    wrong = np.flatnonzero((step < 0) | ((step == 0) & (np.diff(arrival) <= 0)))
    if len(wrong):
        yield Problem(path, first_row + int(wrong[0]), "comes before the row above it by (ts_recv, arrival)")
    days = {day_name(day_of(int(moment))) for moment in (rows.ts_recv[0], rows.ts_recv[-1])}
    if days != {part.day}:
        yield Problem(path, first_row, f"holds rows of {', '.join(sorted(days))}")
    counts = np.diff(rows.level_start)
    wrong = np.flatnonzero((rows.bid_count < 0) | (rows.bid_count > counts))
    if len(wrong):
        yield Problem(path, first_row + int(wrong[0]), "has more bids than levels")
    bad = np.flatnonzero((rows.levels[:, 0] <= 0) | (rows.levels[:, 1] < 0))
    if len(bad):
        row = int(np.searchsorted(rows.level_start, bad[0], "right")) - 1
        yield Problem(path, first_row + row, f"has a level {rows.levels[bad[0]].tolist()} (price, size)")


def _replay(part: Part, rows: Rows, first_row: int, book: Book) -> Iterator[Problem]:
    batch = columns(
        part.instrument,
        kind=rows.kind,
        ts_event=rows.ts_event,
        ts_recv=rows.ts_recv,
        arrival=rows.arrival,
        sequence=rows.sequence,
        previous_sequence=rows.previous_sequence,
        bid_count=rows.bid_count,
        level_count=np.diff(rows.level_start),
        levels=rows.levels,
    )
    for row in range(len(batch)):
        event = batch.event(row)
        assert isinstance(event, BookDelta | BookSnapshot), "a book part holds book messages only"
        fact: AnyFact | None = book.apply(event)
        if fact is not None and not isinstance(fact, BookRecovered):
            yield Problem(str(part.path), first_row + row, f"book does not replay: {fact}")


def _check_totals(part: Part, metadata: PartMetadata, rows: int) -> Iterator[Problem]:
    if rows != metadata.rows:
        yield Problem(str(part.path), -1, f"has {rows} rows, says {metadata.rows}")


def _without_path(part: Part, error: DataError) -> str:
    return str(error).removeprefix(f"{part.path}: ")
