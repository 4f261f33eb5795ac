"""A recording, whatever its format: guess what files are, find the clock shift, give the events."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import assert_never

import msgspec

from stakan.adapters.importers import binance_raw, bybit_archive, bybit_capture, columns, freqtrade, tardis
from stakan.adapters.importers.clock import clock_shift
from stakan.adapters.importers.columns import ColumnMapping
from stakan.adapters.importers.merging import merged
from stakan.adapters.importers.text import first_line, header_names
from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.events import AnyMarketEvent
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Category, Instrument

_FEATHER = b"ARROW1"
_MAGIC_BYTES = 6
_Events = Callable[[int], Iterator[AnyMarketEvent]]


class Format(StrEnum):
    """Formats that can be imported."""

    BYBIT_ARCHIVE = "bybit-archive"
    BYBIT_CAPTURE = "bybit-capture"
    BINANCE_RAW = "binance-raw"
    TARDIS = "tardis"
    FREQTRADE = "freqtrade"
    COLUMNS = "columns"


class Recording(msgspec.Struct, frozen=True):
    """An opened recording; `events` may be called again and starts anew."""

    format: Format
    files: tuple[Path, ...]
    clock_shift: int
    """Nanoseconds that were added to the recorder's clock."""
    notes: tuple[str, ...]
    """What a person should know about how it was read."""
    source: _Events

    def events(self) -> Iterator[AnyMarketEvent]:
        """All events in order of arrival, one at a time; raises DataError naming file and line."""
        return self.source(self.clock_shift)


def detect(path: Path) -> Format:
    """The format of a file, by its content; raises DataError where it looks like none."""
    try:
        with path.open("rb") as file:
            magic = file.read(_MAGIC_BYTES)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if magic.startswith(_FEATHER):
        return Format.FREQTRADE
    if columns.is_parquet(path):
        return Format.COLUMNS
    return _detect_text(path, first_line(path).strip())


def _detect_text(path: Path, line: bytes) -> Format:
    names = set(header_names(line))
    if line.startswith(b"{"):
        if b'"topic"' in line:
            return Format.BYBIT_ARCHIVE
        if b'"t":' in line:
            return Format.BYBIT_CAPTURE
    elif line.partition(b" ")[0].isdigit() and line.partition(b" ")[2].startswith(b"{"):
        return Format.BINANCE_RAW
    elif {"exchange", "local_timestamp", "amount"} <= names:
        return Format.TARDIS
    elif {"timestamp", "tickDirection", "trdMatchID"} <= names:
        return Format.BYBIT_ARCHIVE
    elif len(names) > 1:
        return Format.COLUMNS
    raise DataError(f"{path}: the format is none of {', '.join(Format)}; it begins with {line[:60]!r}")


def open_recording(
    files: Sequence[Path],
    instruments: Mapping[InstrumentId, Instrument],
    *,
    form: Format | None = None,
    category: Category | None = None,
    instrument: InstrumentId | None = None,
    mapping: ColumnMapping | None = None,
) -> Recording:
    """Open files as one recording.

    `form` None guesses it from the first file. `category` is for formats that do not say it (raw Binance, where it is
    else guessed from the messages, and Bybit's archive, where it is else linear). `instrument` and `mapping` are for
    files of named columns. The clock shift is found by reading everything once, so a recording that opens is sound
    to its end. Raises ConfigError where something needed is not said, DataError where a file is not sound.
    """
    if not files:
        raise ConfigError("no file to import")
    guessed = form or detect(files[0])
    notes = () if form else (f"format guessed: {guessed}",)
    source, more = _source(guessed, files, instruments, category, instrument, mapping)
    return Recording(guessed, tuple(files), clock_shift(source(0)), notes + more, source)


def _source(
    form: Format,
    files: Sequence[Path],
    instruments: Mapping[InstrumentId, Instrument],
    category: Category | None,
    instrument: InstrumentId | None,
    mapping: ColumnMapping | None,
) -> tuple[_Events, tuple[str, ...]]:
    match form:
        case Format.BYBIT_ARCHIVE:
            kind = category or Category.LINEAR
            assumed = "receive times assumed: books at the push time (ts), trades at their match time"
            return lambda _: bybit_archive.events(files, instruments, category=kind), (assumed,)
        case Format.BYBIT_CAPTURE:
            return lambda shift: bybit_capture.events(files, instruments, shift=shift), ()
        case Format.BINANCE_RAW:
            kind = category or binance_raw.session_category(files)
            note = () if category else (f"category guessed: {kind}",)
            return lambda shift: binance_raw.events(files, instruments, category=kind, shift=shift), note
        case Format.TARDIS:
            return lambda shift: tardis.events(files, instruments, shift=shift), ()
        case Format.FREQTRADE:
            return lambda _: freqtrade.events(files, instruments), ("receive times assumed: the time of the event",)
        case Format.COLUMNS:
            return _columns(files, instruments, instrument, mapping)
        case _:
            assert_never(form)


def _columns(
    files: Sequence[Path],
    instruments: Mapping[InstrumentId, Instrument],
    instrument: InstrumentId | None,
    mapping: ColumnMapping | None,
) -> tuple[_Events, tuple[str, ...]]:
    if instrument is None or mapping is None:
        raise ConfigError("files of named columns need an instrument and a column mapping")
    if instrument not in instruments:
        raise ConfigError(f"{instrument} is not among the instruments given: add it to the instruments file")
    rules, columns_of = instruments[instrument], mapping
    note = () if mapping.received else ("receive times assumed: the time of the event",)

    def source(shift: int) -> Iterator[AnyMarketEvent]:
        return merged([partial(columns.events, path, rules, columns_of, shift=shift) for path in files])

    return source, note
