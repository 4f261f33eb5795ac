"""`stakan import`: recorded files of any known format into the market-data store, all or nothing."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from stakan.adapters import instruments as instrument_files
from stakan.adapters.exchanges.bybit.instruments import decode_instruments
from stakan.adapters.importers.columns import ColumnMapping
from stakan.adapters.importers.recording import Format, open_recording
from stakan.adapters.importers.recording import Recording as OpenRecording
from stakan.adapters.parquet.catalog import Coverage, coverage
from stakan.adapters.parquet.layout import Recording, digest_of, recordings
from stakan.adapters.parquet.schema import Source, SourceFile
from stakan.adapters.parquet.writer import MarketWriter
from stakan.apps.cli.output import (
    bytes_progress,
    ns_text,
    out,
    reading_progress,
    reports_errors,
    write_json,
)
from stakan.apps.durations import duration_ns
from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.events import AnyMarketEvent
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import MILLISECOND

DEFAULT_DATA = Path("data")
DOWNLOADED_INSTRUMENTS = "_instruments"
"""Folder of the store with the exchange's own replies about instruments."""
_KINDS_OF_COLUMNS = "kind=trades|candles|levels"

_AUTO = "auto"
_FORMATS = ", ".join([_AUTO, *Format])


class Summary(msgspec.Struct, frozen=True):
    """What an import did."""

    recording: str
    format: str
    files: list[str]
    events: dict[str, int]
    """Counts by type of event."""
    first_ts: int
    last_ts: int
    clock_shift_ns: int
    gaps: int
    notes: list[str]
    replaced: list[str]


@reports_errors
def import_command(  # noqa: PLR0913 - one argument per option
    files: Annotated[list[Path], typer.Argument(help="Files of one session, in order; or archive days.")],
    *,
    format_: Annotated[str, typer.Option("--format", "-f", help=f"One of {_FORMATS}; auto looks inside.")] = _AUTO,
    instruments: Annotated[
        Path | None, typer.Option("--instruments", help="TOML (or instruments-info JSON) with tick and lot sizes.")
    ] = None,
    data: Annotated[Path, typer.Option("--out", "--data", "-d", help="Folder of the store.")] = DEFAULT_DATA,
    symbol: Annotated[
        list[str] | None, typer.Option("--symbol", "-s", help="Only these instruments; for columns: whose they are.")
    ] = None,
    category: Annotated[Category | None, typer.Option(help="Where the format does not say it.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--map", "-m", help=f"Columns of CSV or Parquet: {_KINDS_OF_COLUMNS}, time=ts, price=px, …"),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace earlier imports of the same data.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable summary on stdout.")] = False,
) -> None:
    """Bring recorded market data into the store.

    All files are one recording: it becomes visible as a whole at the end, or not at all. The same data twice is
    refused; --replace puts the new import in the old one's place in one step.
    """
    for path in files:
        if not path.is_file():
            raise ConfigError(f"{path}: no such file")
    rules = known_instruments(data, instruments)
    selection = [instrument_files.resolve(name, rules) for name in symbol or []]
    mapping = column_mapping(column) if column else None
    fingerprints = source_files(files, quiet=as_json)
    refuse_repetition(data, fingerprints, selection, replace=replace)
    with reading_progress("looking through", files, quiet=as_json):
        recording = open_recording(
            files,
            rules,
            form=format_named(format_),
            category=category,
            instrument=selection[0] if selection and mapping else None,
            mapping=mapping,
        )
    with reading_progress("importing", files, quiet=as_json):
        summary = store(recording, data, rules, fingerprints, selection=selection, replace=replace)
    if as_json:
        write_json(summary)
    else:
        print_summary(summary)


def format_named(name: str) -> Format | None:
    """The format of a name, None for auto; raises ConfigError for an unknown one."""
    if name == _AUTO:
        return None
    if name not in set(Format):
        raise ConfigError(f"--format {name!r}: should be one of {_FORMATS}")
    return Format(name)


def known_instruments(data: Path, file: Path | None) -> dict[InstrumentId, Instrument]:
    """Rules from a file; without one those that come with stakan, and downloaded ones of instruments it does not have."""
    if file is not None:
        return _from_reply(file) if file.suffix == ".json" else instrument_files.load(file)
    known = instrument_files.recorded()
    for reply in sorted((data / DOWNLOADED_INSTRUMENTS).glob("*.json")):
        for key, rules in _from_reply(reply).items():
            known.setdefault(key, rules)
    return known


def _from_reply(path: Path) -> dict[InstrumentId, Instrument]:
    try:
        return {rules.id: rules for rules in decode_instruments(path.read_bytes())}
    except (OSError, DataError) as error:
        raise ConfigError(f"{path}: {error}") from error


def column_mapping(pairs: Sequence[str]) -> ColumnMapping:
    """A mapping from `name=column` words; `interval=1m` is understood too. Raises ConfigError naming the word."""
    words: dict[str, str | int] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not value:
            raise ConfigError(f"--map {pair!r}: write name=column, e.g. {_KINDS_OF_COLUMNS}")
        words[name] = value
    if "interval" in words:
        try:
            words["interval_ns"] = duration_ns(str(words.pop("interval")))
        except ValueError as error:
            raise ConfigError(f"--map interval: {error}") from error
    try:
        mapping: ColumnMapping = msgspec.convert(words, ColumnMapping)
    except msgspec.ValidationError as error:
        raise ConfigError(f"--map: {error} (needed: {_KINDS_OF_COLUMNS} and its columns)") from error
    return mapping


def source_files(files: Sequence[Path], *, quiet: bool) -> tuple[SourceFile, ...]:
    """Names, sizes and digests, by which a repeated import is known."""
    total = sum(path.stat().st_size for path in files)
    with bytes_progress("fingerprints", total, quiet=quiet) as advance:
        return tuple(SourceFile(path.name, path.stat().st_size, digest_of(path, advance)) for path in files)


def refuse_repetition(
    data: Path, files: Sequence[SourceFile], selection: Sequence[InstrumentId], *, replace: bool
) -> None:
    """Refuse early what `store` would refuse at its end; raises DataError."""
    digests = {file.digest for file in files}
    for record in recordings(data).values():
        repeated = [file.name for file in record.source.files if file.digest in digests]
        same = not selection or not record.source.selection or set(selection) & set(record.source.selection)
        if repeated and same and not replace:
            raise DataError(
                f"{', '.join(repeated)}: imported already (recording {record.id}); --replace imports it anew"
            )


def store(
    recording: OpenRecording,
    data: Path,
    rules: Mapping[InstrumentId, Instrument],
    files: tuple[SourceFile, ...],
    *,
    selection: Sequence[InstrumentId] = (),
    replace: bool = False,
) -> Summary:
    """Write an opened recording as one import; raises DataError where it overlaps another of the same series."""
    names = ", ".join(file.name for file in files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    source = Source(
        description=f"{recording.format}: {names}",
        format=recording.format.value,
        files=files,
        selection=tuple(selection),
        clock_shift_ns=recording.clock_shift,
        receive_times_assumed=any("receive times assumed" in note for note in recording.notes),
    )
    counts: Counter[str] = Counter()
    with MarketWriter(data, source, rules) as writer:
        for event in _selected(recording.events(), selection):
            writer.add(event)
            counts[type(event).__name__] += 1
        writer.flush()
        replaced = superseded(data, writer, replace=replace)
        written = writer.close(replaces=replaced)
    return _summary(recording, written, coverage_of(data, written), counts, replaced)


def coverage_of(data: Path, written: Recording) -> list[Coverage]:
    """Coverage of the series that a recording added to."""
    return coverage(data, {span.instrument for span in written.spans}, recording=written.id)


def _selected(events: Iterator[AnyMarketEvent], selection: Sequence[InstrumentId]) -> Iterator[AnyMarketEvent]:
    wanted = set(selection)
    return (event for event in events if event.instrument in wanted) if wanted else events


def superseded(data: Path, writer: MarketWriter, *, replace: bool) -> list[str]:
    """Recordings that overlap what was written; they may be replaced only as a whole."""
    found: list[str] = []
    for record in recordings(data).values():
        overlap = next((old for old in record.spans if any(old.overlaps(new) for new in writer.spans)), None)
        if overlap is None:
            continue
        what = f"{overlap.instrument} {overlap.kind} from {ns_text(overlap.first_ts)} to {ns_text(overlap.last_ts)}"
        if not replace:
            raise DataError(f"{what} is there already (recording {record.id}); --replace puts this import in its place")
        left = next((old for old in record.spans if not any(new.covers(old) for new in writer.spans)), None)
        if left is not None:
            raise DataError(
                f"recording {record.id} also holds {left.instrument} {left.kind} to {ns_text(left.last_ts)}, which this "
                "import does not: import all of its files together to replace it"
            )
        found.append(record.id)
    return found


def _summary(
    recording: OpenRecording, written: Recording, rows: list[Coverage], counts: Counter[str], replaced: list[str]
) -> Summary:
    return Summary(
        recording=written.id,
        format=recording.format.value,
        files=[file.name for file in written.source.files],
        events=dict(sorted(counts.items())),
        first_ts=min(span.first_ts for span in written.spans),
        last_ts=max(span.last_ts for span in written.spans),
        clock_shift_ns=recording.clock_shift,
        gaps=sum(row.gaps for row in rows),
        notes=list(recording.notes),
        replaced=replaced,
    )


def print_summary(summary: Summary) -> None:
    """The summary as a table."""
    table = Table(title=f"Imported {', '.join(summary.files)}", show_header=False)
    for name, count in summary.events.items():
        table.add_row(name, f"{count:,}")
    table.add_section()
    table.add_row("format", summary.format)
    table.add_row("from (UTC)", ns_text(summary.first_ts))
    table.add_row("to (UTC)", ns_text(summary.last_ts))
    table.add_row("clock shifted by", f"{summary.clock_shift_ns / MILLISECOND:,.3f} ms")
    table.add_row("sequence gaps", str(summary.gaps))
    for note in summary.notes:
        table.add_row("note", note)
    for old in summary.replaced:
        table.add_row("replaced", old)
    out().print(table)
