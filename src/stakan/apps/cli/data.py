"""`stakan data`: list, check and show what is in the market-data store, and how long its densities live."""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from stakan.adapters.instruments import resolve
from stakan.adapters.parquet.catalog import Coverage, Moment, coverage, moment
from stakan.adapters.parquet.check import Problem, check
from stakan.adapters.parquet.layout import visible_parts
from stakan.adapters.parquet.reader import BEGINNING, END, MarketStore
from stakan.adapters.parquet.schema import StoredKind
from stakan.apps.cli.output import (
    EXIT_DATA,
    errors,
    ns_text,
    out,
    parse_time,
    reading_progress,
    reports_errors,
    size_text,
    write_json,
)
from stakan.apps.config import load_settings
from stakan.apps.density_lives import LivesView, lives_of
from stakan.apps.sources import from_store
from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.events import Levels
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import SECOND, Side
from stakan.core.market.survival import HORIZONS_S, Group

DEFAULT_DATA = Path("data")
_TO_THE_MINUTE = len("2024-07-18 23:57")

data_app = typer.Typer(help="List, check and show recorded market data.", no_args_is_help=True)

DataFolder = Annotated[Path, typer.Option("--data", "-d", help="Folder of the market-data store.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]


class BookView(msgspec.Struct, frozen=True):
    """The answer of `data show --json`: prices and sizes as exact text where the rules are known, else ticks and lots."""

    instrument: InstrumentId
    ts_event: int
    ts_recv: int
    sequence: int
    state: str
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    prints: list["PrintView"]


class PrintView(msgspec.Struct, frozen=True):
    """One trade print."""

    ts_event: int
    side: str
    price: str
    size: str


@data_app.command("list")
@reports_errors
def list_command(
    instrument: Annotated[str | None, typer.Argument(help="Only this instrument; short names work.")] = None,
    *,
    data: DataFolder = DEFAULT_DATA,
    by_day: Annotated[bool, typer.Option("--by-day", help="One row per day.")] = False,
    as_json: AsJson = False,
) -> None:
    """What there is: per instrument and kind the first and last moment, rows, size and gaps."""
    rows = coverage(data, _selected(data, instrument))
    if as_json:
        write_json(rows)
        return
    if not rows:
        out().print(f"No market data in {data}. `stakan import FILES` or `stakan download` brings some.")
        return
    out().print(_coverage_table(rows, by_day=by_day))


@data_app.command("check")
@reports_errors
def check_command(
    instrument: Annotated[str | None, typer.Argument(help="Only this instrument; short names work.")] = None,
    *,
    data: DataFolder = DEFAULT_DATA,
    books: Annotated[bool, typer.Option(help="Replay the books and look for gaps and crossed sides.")] = True,
    as_json: AsJson = False,
) -> None:
    """Read every byte and name each file and row that is wrong; exits with 3 when there is one."""
    selected = _selected(data, instrument)
    files = [part.path for part in visible_parts(data) if selected is None or part.instrument in selected]
    with reading_progress("checking", files, quiet=as_json):
        problems = list(check(data, selected, books=books))
    if as_json:
        write_json(problems)
    else:
        _print_problems(problems, len(files))
    if any(problem.is_error for problem in problems):
        raise typer.Exit(EXIT_DATA)


@data_app.command("show")
@reports_errors
def show_command(
    instrument: Annotated[str, typer.Argument(help="Id such as bybit:linear:BTCUSDT, or a short name.")],
    *,
    at: Annotated[str, typer.Option("--at", help="Moment, UTC: 2024-07-18T12:30:00; what had been received by then.")],
    data: DataFolder = DEFAULT_DATA,
    levels: Annotated[int, typer.Option("--levels", "-n", min=1, help="Levels per side.")] = 10,
    prints: Annotated[int, typer.Option("--prints", min=0, help="Last trade prints.")] = 10,
    as_json: AsJson = False,
) -> None:
    """The book and the last prints at a moment."""
    selected = _selected(data, instrument)
    if not selected:
        raise ConfigError("name an instrument")
    shown = moment(MarketStore(data), selected[0], parse_time(at), prints)
    view = _view(shown, levels)
    if as_json:
        write_json(view)
        return
    _print_book(view)


@data_app.command("densities")
@reports_errors
def densities_command(
    instrument: Annotated[list[str] | None, typer.Argument(help="Only these; short names work.")] = None,
    *,
    data: DataFolder = DEFAULT_DATA,
    start: Annotated[str | None, typer.Option("--from", help="First moment (UTC).")] = None,
    stop: Annotated[str | None, typer.Option("--to", help="End, not included.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help=r"TOML file; \[densities] says what is one.")
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="One key, e.g. densities.min_notional=50000")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How long densities live and what ends them, by their size and distance from mid when they appeared.

    Survival is the Kaplan-Meier estimate: densities that went out of sight, or live at the end, count as long as they
    were seen. Those that were there when a book was first seen are of unknown age and left out.
    """
    span = (parse_time(start) if start else BEGINNING, parse_time(stop) if stop else END)
    settings = load_settings(config, override or ())
    source = from_store(data, instrument or (), start=span[0], stop=span[1])
    files = [part.path for part in visible_parts(data) if part.instrument in source.instruments]
    with reading_progress("following densities", files, quiet=as_json):
        found = lives_of(source, settings)
    if as_json:
        write_json(found)
        return
    for view in found:
        out().print(_lives_table(view))


def _selected(data: Path, name: str | None) -> list[InstrumentId] | None:
    if name is None:
        return None
    return [resolve(name, {part.instrument for part in visible_parts(data)})]


def _coverage_table(rows: list[Coverage], *, by_day: bool) -> Table:
    table = Table(title="Market data", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("instrument", overflow="fold")
    for name in ("kind", "first (UTC)", "last (UTC)"):
        table.add_column(name, no_wrap=True)
    for name in ("rows", "size", "gaps"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("notes")
    ordered = sorted(rows, key=lambda row: (row.instrument, row.kind, row.day))
    for _, group in groupby(ordered, lambda row: (row.instrument, row.kind, row.day if by_day else "")):
        table.add_row(*_coverage_cells(list(group)))
    return table


def _coverage_cells(rows: list[Coverage]) -> list[str]:
    first = rows[0]
    gaps = sum(row.gaps for row in rows)
    notes = [f"{interval // SECOND} s" for interval in sorted({i for row in rows for i in row.intervals})]
    if any(row.receive_times_assumed for row in rows):
        notes.append("assumed receive times")
    is_book = first.kind is StoredKind.BOOK
    return [
        first.instrument,
        first.kind.value,
        ns_text(min(row.first_ts for row in rows))[:_TO_THE_MINUTE],
        ns_text(max(row.last_ts for row in rows))[:_TO_THE_MINUTE],
        f"{sum(row.rows for row in rows):,}",
        size_text(sum(row.bytes for row in rows)),
        (f"[red]{gaps}[/]" if gaps else "0") if is_book else "",
        ", ".join(notes),
    ]


def _lives_table(view: LivesView) -> Table:
    title = (
        f"{view.instrument}: densities from {view.min_notional:,.0f}, {view.seconds:,.0f} s of book; "
        "share that lives longer with 95 % bounds"
    )
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("size at first", "bps from mid"):
        table.add_column(name, no_wrap=True)
    lived = [f"% > {time} s" for time in HORIZONS_S]
    for name in ("count", "consumed", "cancelled", "out of sight", "living", "median life", *lived):
        table.add_column(name, justify="right", no_wrap=True)
    for group in view.groups:
        table.add_row(*_lives_cells(group))
    return table


def _lives_cells(group: Group) -> list[str]:
    ends = (group.consumed, group.cancelled, group.out_of_sight, group.living)
    return [
        _between(group.size_from, group.size_to),
        _between(group.distance_from_bps, group.distance_to_bps),
        f"{group.count:,}",
        *(f"{end / group.count:.0%}" if group.count else "" for end in ends),
        "" if group.median_s is None else f"{group.median_s:,.2f} s",
        *(_share(*bounded) for bounded in group.surviving.values() if group.count),
    ]


def _share(share: float, low: float, high: float) -> str:
    """In percent; bounds of all or nothing say nothing."""
    return f"{100 * share:.0f}" if low == high else f"{100 * share:.0f} ({100 * low:.0f}-{100 * high:.0f})"


def _between(low: float | None, high: float | None) -> str:
    if low is None:
        return "all" if high is None else f"below {high:,.0f}"
    return f"{low:,.0f} and more" if high is None else f"{low:,.0f} to {high:,.0f}"


def _print_problems(problems: Iterable[Problem], files: int) -> None:
    if not files:
        raise DataError("nothing to check: there is no market data here; `stakan data list` shows what there is")
    count = 0
    for problem in problems:
        count += problem.is_error
        style = "red" if problem.is_error else "yellow"
        place = problem.path if problem.row < 0 else f"{problem.path}, row {problem.row}"
        errors().print(f"{place}: {problem.what}", style=style, soft_wrap=True, markup=False)
    out().print(f"{files} files checked, {count} problems" if count else f"{files} files checked, all sound")


def _view(shown: Moment, levels: int) -> BookView:
    book, rules = shown.book, shown.rules
    return BookView(
        instrument=book.instrument,
        ts_event=book.ts_event,
        ts_recv=book.ts_recv,
        sequence=book.sequence,
        state=book.state.value,
        bids=_side(book.depth(Side.BUY, levels), rules),
        asks=_side(book.depth(Side.SELL, levels), rules),
        prints=[
            PrintView(one.ts_event, one.side.name.lower(), _price(one.price, rules), _size(one.size, rules))
            for one in shown.prints
        ],
    )


def _side(levels: Levels, rules: Instrument | None) -> list[tuple[str, str]]:
    return [(_price(price, rules), _size(size, rules)) for price, size in levels.tolist()]


def _price(ticks: int, rules: Instrument | None) -> str:
    return f"{rules.price(ticks):f}" if rules else str(ticks)


def _size(lots: int, rules: Instrument | None) -> str:
    return f"{rules.size(lots):f}" if rules else str(lots)


def _print_book(view: BookView) -> None:
    title = f"{view.instrument}  {ns_text(view.ts_event)}  sequence {view.sequence}  {view.state}"
    table = Table(title=title)
    for name, style in (("bid size", "green"), ("price", "bold"), ("ask size", "red")):
        table.add_column(name, justify="right", style=style)
    for price, size in reversed(view.asks):
        table.add_row("", price, size)
    table.add_section()
    for price, size in view.bids:
        table.add_row(size, price, "")
    out().print(table)
    if not view.prints:
        return
    tape = Table(title="Last prints")
    for name in ("time (UTC)", "side", "price", "size"):
        tape.add_column(name, justify="left" if name in {"time (UTC)", "side"} else "right")
    for one in reversed(view.prints):
        colour = "green" if one.side == "buy" else "red"
        tape.add_row(ns_text(one.ts_event), f"[{colour}]{one.side}[/]", one.price, one.size)
    out().print(tape)
