"""`stakan features build`: files of feature vectors from recorded market data."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from stakan.adapters.instruments import resolve
from stakan.adapters.parquet.reader import MarketStore, first_moment
from stakan.apps.backtest import warm_up
from stakan.apps.cli.compiling import compiling
from stakan.apps.cli.output import out, parse_time, reports_errors, share_progress, write_json
from stakan.apps.config import load_settings
from stakan.apps.durations import duration_ns
from stakan.apps.feature_files import Built, build, plan
from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.units import DAY, MILLISECOND

_DAY_LENGTH = len("2024-07-18")
_FIRST, _LAST = "0000-00-00", "9999-99-99"


class Summary(msgspec.Struct, frozen=True):
    """What `--json` says."""

    built: int
    present: int
    rows: int
    """That were written."""
    files: list[Built]


@reports_errors
def build_command(  # noqa: PLR0913 - one argument per option
    instrument: Annotated[
        list[str] | None, typer.Argument(help="Ids or short names; all that have books if none.")
    ] = None,
    *,
    data: Annotated[Path, typer.Option("--data", "-d", help="Folder of the market-data store.")] = Path("data"),
    first: Annotated[str | None, typer.Option("--from", help="First day, UTC, e.g. 2025-12-01.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day, included.")] = None,
    grid: Annotated[str, typer.Option(help="A vector each, in exchange time, e.g. 100ms.")] = "500ms",
    folder: Annotated[Path, typer.Option("--out", help="Folder that the files go into.")] = Path("features"),
    jobs: Annotated[int, typer.Option(min=1, help="Processes; a day of an instrument each.")] = 1,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="TOML file of engine and features.")] = None,
    override: Annotated[list[str] | None, typer.Option("--set", help="One key, e.g. engine.candle_interval=1s")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable summary on stdout.")] = False,
) -> None:
    """Write Parquet files of feature vectors, one for each instrument and day, from recorded order books.

    Files that are there and of the same data and options are left alone, so that a build that was interrupted goes on.
    A day's market is followed from before midnight (201 candles and two minutes), so that a file is the same whatever
    else is built.

        stakan features build BTCUSDT --from 2025-12-01 --to 2025-12-07 --grid 100ms --jobs 4
    """
    settings = load_settings(config, override or ())
    store = MarketStore(data)
    known = store.instruments()
    if not known:
        raise DataError(f"{data}: no market data; `stakan import FILES` or `stakan download` brings some")
    chosen = dict.fromkeys(resolve(name, known) for name in instrument) if instrument else None
    found = plan(store, chosen, _span(first, last), folder, _grid(grid), settings)
    files = list(found.present)
    if found.days:
        with compiling(quiet=as_json):
            warm_up(settings)
        length = sum(day.length for day in found.days)
        with share_progress(f"{len(found.days)} files", length, quiet=as_json) as walked:
            files += build(found.days, jobs, walked)
    files.sort(key=lambda one: (one.instrument, one.day))
    built = [one for one in files if one.is_new]
    if as_json:
        write_json(Summary(len(built), len(files) - len(built), sum(one.rows for one in built), files))
        return
    for one in built:
        out().print(f"{one.file}  {one.rows:,} vectors", soft_wrap=True, highlight=False)
    there = f", {len(files) - len(built)} were there" if len(built) < len(files) else ""
    out().print(f"{len(built)} files built{there}", highlight=False)


def _grid(text: str) -> int:
    try:
        grid = duration_ns(text)
    except ValueError as error:
        raise ConfigError(f"--grid: {error}") from error
    if grid < MILLISECOND or DAY % grid:
        raise ConfigError(f"--grid {text}: should be 1ms or more and divide a day, e.g. 100ms or 1s")
    return grid


def _span(first: str | None, last: str | None) -> tuple[str, str]:
    span = _day(first, "--from") or _FIRST, _day(last, "--to") or _LAST
    if span[0] > span[1]:
        raise ConfigError(f"--from {first} is after --to {last}")
    return span


def _day(text: str | None, option: str) -> str | None:
    if text is None:
        return None
    if parse_time(text) % DAY or len(text) != _DAY_LENGTH:
        raise ConfigError(f"{option} {text}: whole days are built, write one such as 2025-12-01")
    first_moment(text)
    return text
