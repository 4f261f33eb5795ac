"""`stakan download`: Bybit's public history (trades, books, candles, instrument rules) into the store."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import aiohttp
import msgspec
import typer

from stakan.adapters.exchanges.bybit.archive import ArchiveKind, Hosts, PublicHistory, Retries, days
from stakan.adapters.exchanges.bybit.instruments import decode_instruments
from stakan.adapters.importers.recording import Format, open_recording
from stakan.adapters.parquet.layout import recordings
from stakan.adapters.parquet.schema import Source
from stakan.adapters.parquet.writer import MarketWriter
from stakan.apps.cli.importing import (
    DEFAULT_DATA,
    DOWNLOADED_INSTRUMENTS,
    known_instruments,
    print_summary,
    refuse_repetition,
    source_files,
    store,
    superseded,
)
from stakan.apps.cli.output import bytes_progress, out, parse_time, reading_progress, reports_errors, write_json
from stakan.core.domain.errors import ConfigError, DataError, StorageError
from stakan.core.domain.events import Candle
from stakan.core.domain.ids import InstrumentId, instrument_id
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import DAY, HOUR, MINUTE

VENUE = "bybit"
RAW = "_raw"
"""Folder of the store with the archive's own files."""
_INTERVALS: dict[str, tuple[str, int]] = {
    **{f"{n}m": (str(n), n * MINUTE) for n in (1, 3, 5, 15, 30)},
    **{f"{n}h": (str(n * 60), n * HOUR) for n in (1, 2, 4, 6, 12)},
    "1d": ("D", DAY),
}


class Wanted(StrEnum):
    """What can be downloaded."""

    TRADES = "trades"
    BOOKS = "books"
    CANDLES = "candles"
    INSTRUMENTS = "instruments"


class Fetched(msgspec.Struct, frozen=True):
    """What a download brought."""

    what: Wanted
    instrument: InstrumentId
    files: list[str]
    missing_days: list[str]
    """Days that the archive does not have."""
    skipped: list[str]
    """Files that had been imported before."""
    candles: int = 0


@reports_errors
def download_command(  # noqa: PLR0913 - one argument per option
    what: Annotated[Wanted, typer.Argument(help="trades and books from the archive, candles and instruments by REST.")],
    symbol: Annotated[str, typer.Argument(help="Symbol as Bybit writes it, e.g. BTCUSDT.")],
    *,
    first: Annotated[str | None, typer.Option("--from", help="First day, UTC, e.g. 2025-12-01.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day, included; default: the first.")] = None,
    interval: Annotated[str, typer.Option(help=f"Of candles: {', '.join(_INTERVALS)}.")] = "1m",
    category: Annotated[Category, typer.Option(help="Kind of contract.")] = Category.LINEAR,
    data: Annotated[Path, typer.Option("--out", "--data", "-d", help="Folder of the store.")] = DEFAULT_DATA,
    instruments: Annotated[Path | None, typer.Option("--instruments", help="TOML with tick and lot sizes.")] = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="Another host for everything, e.g. a mirror.")
    ] = None,
    raw_only: Annotated[bool, typer.Option("--raw-only", help="Keep the archive's files, import nothing.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace earlier imports of the same data.")] = False,
    attempts: Annotated[int, typer.Option(min=1, help="Tries per file before giving up.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable summary on stdout.")] = False,
) -> None:
    """Download public history. Files that are here already are not fetched again, so a broken download is repeated."""
    hosts = Hosts() if base_url is None else Hosts(*(base_url.rstrip("/"),) * 3)
    job = _Job(data, instrument_id(VENUE, category.value, symbol.upper()), category, symbol.upper(), hosts, attempts)
    match what:
        case Wanted.INSTRUMENTS:
            fetched = _instruments(job)
        case Wanted.CANDLES:
            fetched = _candles(job, _day(first, "--from"), _day(last or first, "--to"), interval, instruments, replace)
        case _:
            span = days(_day(first, "--from"), _day(last or first, "--to"))
            if not raw_only:
                _need(job, known_instruments(data, instruments))
            fetched = _archive(job, what, span, quiet=as_json)
            if not raw_only and fetched.files:
                fetched = _import(job, fetched, instruments, replace=replace, quiet=as_json)
    if as_json:
        write_json(fetched)
    else:
        _print(fetched)


class _Job(msgspec.Struct, frozen=True):
    data: Path
    instrument: InstrumentId
    category: Category
    symbol: str
    hosts: Hosts
    attempts: int

    @property
    def raw(self) -> Path:
        """Where the archive's own files of this instrument are kept."""
        return self.data / RAW / VENUE / self.category.value / self.symbol


def _day(text: str | None, option: str) -> date:
    if text is None:
        raise ConfigError(f"{option} is needed: a day such as 2025-12-01")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option} {text!r} is no day: write 2025-12-01") from error


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(trust_env=True)


# --- archive --------------------------------------------------------------------------------------------------------


def _archive(job: _Job, what: Wanted, span: list[date], *, quiet: bool) -> Fetched:
    if not span:
        raise ConfigError("--to lies before --from")
    files: list[str] = []
    missing: list[str] = []

    async def fetch() -> None:
        async with _session() as session:
            history = PublicHistory(session, job.hosts, Retries(job.attempts))
            with bytes_progress(f"{what} of {job.symbol}", None, quiet=quiet) as advance:
                for day in span:
                    kind = ArchiveKind(what.value)
                    path = await history.fetch_day(kind, job.symbol, job.category, day, job.raw, advance)
                    if path is None:
                        missing.append(str(day))
                    else:
                        files.append(str(path))

    asyncio.run(fetch())
    if not files:
        raise DataError(f"the archive has no {what} of {job.instrument} from {span[0]} to {span[-1]}")
    return Fetched(what, job.instrument, files, missing, [])


def _import(job: _Job, fetched: Fetched, instruments: Path | None, *, replace: bool, quiet: bool) -> Fetched:
    """Import day by day, so that what was imported before can be left out."""
    rules = known_instruments(job.data, instruments)
    skipped: list[str] = []
    for name in fetched.files:
        path = Path(name)
        fingerprints = source_files([path], quiet=quiet)
        if not replace and _is_imported(job.data, fingerprints[0].digest):
            skipped.append(name)
            continue
        refuse_repetition(job.data, fingerprints, [], replace=replace)
        with reading_progress(f"importing {path.name}", [path], quiet=quiet):
            opened = open_recording([path], rules, form=Format.BYBIT_ARCHIVE, category=job.category)
            summary = store(opened, job.data, rules, fingerprints, replace=replace)
        if not quiet:
            print_summary(summary)
    return msgspec.structs.replace(fetched, skipped=skipped)


def _is_imported(data: Path, digest: str) -> bool:
    return any(digest == file.digest for record in recordings(data).values() for file in record.source.files)


def _need(job: _Job, rules: dict[InstrumentId, Instrument]) -> Instrument:
    found = rules.get(job.instrument)
    if found is None:
        raise ConfigError(
            f"no tick and lot size of {job.instrument}: run `stakan download instruments {job.symbol}` first, "
            "or name a file with --instruments"
        )
    return found


# --- REST -----------------------------------------------------------------------------------------------------------


def _instruments(job: _Job) -> Fetched:
    async def fetch() -> bytes:
        async with _session() as session:
            return await PublicHistory(session, job.hosts, Retries(job.attempts)).instruments_page(
                job.category, job.symbol
            )

    reply = asyncio.run(fetch())
    if not any(rules.id == job.instrument for rules in decode_instruments(reply)):
        raise DataError(f"{job.hosts.rest}: the exchange knows no {job.instrument}")
    path = job.data / DOWNLOADED_INSTRUMENTS / f"{VENUE}-{job.category.value}-{job.symbol}.json"
    with _written(path) as temporary:
        temporary.write_bytes(reply)
    return Fetched(Wanted.INSTRUMENTS, job.instrument, [str(path)], [], [])


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot write: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _candles(job: _Job, first: date, last: date, interval: str, instruments: Path | None, replace: bool) -> Fetched:
    if interval not in _INTERVALS:
        raise ConfigError(f"--interval {interval!r}: should be one of {', '.join(_INTERVALS)}")
    rules = known_instruments(job.data, instruments)
    instrument = _need(job, rules)
    word, step = _INTERVALS[interval]
    start, stop = parse_time(str(first)), parse_time(str(last)) + DAY

    async def fetch() -> list[Candle]:
        async with _session() as session:
            history = PublicHistory(session, job.hosts, Retries(job.attempts))
            return await history.candles(instrument, word, step, start, stop, time.time_ns())

    candles = asyncio.run(fetch())
    if not candles:
        raise DataError(f"{job.hosts.rest}: no closed {interval} candles of {job.instrument} from {first} to {last}")
    source = Source(
        description=f"{job.hosts.rest}: {interval} candles of {job.symbol}",
        format="bybit-rest",
        receive_times_assumed=True,
    )
    with MarketWriter(job.data, source, rules) as writer:
        for candle in candles:
            writer.add(candle)
        writer.flush()
        writer.close(replaces=superseded(job.data, writer, replace=replace))
    return Fetched(Wanted.CANDLES, job.instrument, [], [], [], len(candles))


def _print(fetched: Fetched) -> None:
    console = out()
    if fetched.what is Wanted.CANDLES:
        console.print(f"{fetched.candles:,} candles of {fetched.instrument} stored")
    for name in fetched.files:
        known = " (imported before)" if name in fetched.skipped else ""
        console.print(f"{name}{known}", markup=False, soft_wrap=True)
    for day in fetched.missing_days:
        console.print(f"[yellow]{day}: the archive has no file for this day[/]")
