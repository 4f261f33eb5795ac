"""`stakan journal`: check, show, compute again and thin out the journals of runs."""

import time
from collections import deque
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from stakan.adapters.journal.report import JournalReport, verify
from stakan.apps.cli.output import (
    EXIT_DATA,
    bytes_progress,
    count_progress,
    errors,
    exit_code,
    ns_text,
    out,
    parse_time,
    reports_errors,
    size_text,
    write_json,
)
from stakan.apps.cli.replaying import After, AsJson, Jobs, replayed
from stakan.apps.durations import duration_ns
from stakan.apps.journal_pruning import KEEP, KEEP_SIZE, Pruned, bytes_of, pruned
from stakan.apps.journal_rows import LATEST, RUN, Row, Wanted, kinds_of, rows_of
from stakan.apps.recorded_run import journals_of
from stakan.apps.replay import JournalReplay
from stakan.core.domain.errors import ConfigError, StakanError

_UNITS = {"TB": 10**12, "GB": 10**9, "MB": 10**6, "kB": 10**3, "B": 1}
_TO_THE_SECOND = len("2024-07-18 23:59:59")

journal_app = typer.Typer(
    help="""Check, show, compute again and thin out the journals of runs.

    A journal is the one truth of a run: every event that entered the engine, everything that came of it, in one order.
    Name the folder of a run, of its journal, or a state folder (trade.state) for all its runs.
    """,
    no_args_is_help=True,
)

Place = Annotated[Path, typer.Argument(metavar="FOLDER", help="A run, its journal, or a state folder with its runs.")]


class Verified(msgspec.Struct, frozen=True):
    """The answer of `journal verify --json`, one for each journal."""

    journal: str
    is_sound: bool
    report: JournalReport


class Replayed(msgspec.Struct, frozen=True):
    """The answer of `journal replay --json`, one for each journal."""

    journal: str
    replay: JournalReplay


@journal_app.command("verify")
@reports_errors
def verify_command(folder: Place, *, as_json: AsJson = False) -> None:
    """Read every byte, and name each file and byte that is wrong; exit code 3 when there is one.

    A torn end is not wrong: it is what a killed process or a loss of power leaves of the last block. Nothing that was
    committed lies behind it, and the next start cuts it off.

        stakan journal verify state
    """
    found = []
    for journal in journals_of(folder):
        with bytes_progress(f"reading {journal}", bytes_of(journal), quiet=as_json) as advance:
            report = verify(journal, advance=advance)
        found.append(Verified(str(journal), report.is_sound, report))
        if not as_json:
            _print_report(journal, report)
    if as_json:
        write_json(found)
    if not all(one.is_sound for one in found):
        raise typer.Exit(EXIT_DATA)


@journal_app.command("show")
@reports_errors
def show_command(  # noqa: PLR0913 - one argument per option
    folder: Place,
    *,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", "-k", help="Only these, e.g. FillBooked, SubmitOrder, TimerFired; or events, facts, commands."
        ),
    ] = None,
    instrument: Annotated[str, typer.Option("--instrument", "-i", help="Only of this one; short names work.")] = "",
    about: Annotated[
        str,
        typer.Option(
            "--about", "-a", help="Only what names this order, intent, position or execution, or follows from it."
        ),
    ] = "",
    start: Annotated[str | None, typer.Option("--from", help="First moment of receipt (UTC).")] = None,
    stop: Annotated[str | None, typer.Option("--to", help="Last moment of receipt (UTC).")] = None,
    market: Annotated[bool, typer.Option("--market", help="Market data too, not only what came of it.")] = False,
    tail: Annotated[int, typer.Option("--tail", "-n", min=0, help="The last so many rows; 0 for all.")] = 50,
    as_json: AsJson = False,
) -> None:
    """What entered the engine, what happened, and what was to be done, step by step.

    stakan journal show state --kind FillBooked --kind PositionClosed
    stakan journal show state --about s-3kq5x7 --tail 0
    stakan journal show state --from 2026-01-05T12:00:00 --to 2026-01-05T12:01:00 --kind events --market
    """
    wanted = Wanted(
        kinds=kinds_of(kind or ()),
        instrument=instrument,
        about=about,
        since=parse_time(start) if start else 0,
        until=parse_time(stop) if stop else LATEST,
        market=market,
    )
    rows: deque[Row] = deque(maxlen=tail or None)
    with count_progress("reading rows", None, quiet=as_json) as advance:
        for journal in journals_of(folder):
            for row in rows_of(journal, wanted):
                rows.append(row)
                advance(1)
    if as_json:
        write_json(list(rows))
    elif rows:
        out().print(_rows_table(list(rows)))
    else:
        out().print("Nothing of that is in there.")


@journal_app.command("replay")
@reports_errors
def replay_command(folder: Place, *, after: After = None, jobs: Jobs = None, as_json: AsJson = False) -> None:
    """Compute every step again and compare it with what was recorded; exit code 3 where one differs.

    So are the states that were written on the way: the parts between them are computed side by side. Begins with the
    state that the run carried on from, or, where market data was distilled away, with the first state after which it is
    whole. A run without an orderly end is computed as far as it was written.
    """
    found = [Replayed(str(journal), replayed(journal, after, jobs, quiet=as_json)) for journal in journals_of(folder)]
    if as_json:
        write_json(found)
    if not all(one.replay.is_equal for one in found):
        raise typer.Exit(EXIT_DATA)


@journal_app.command("prune")
@reports_errors
def prune_command(
    folder: Place,
    *,
    keep: Annotated[str, typer.Option("--keep", help="Market data of this time stays, e.g. 90m, 24h, 7d.")] = KEEP,
    keep_size: Annotated[
        str, typer.Option("--keep-size", help="As much of it stays at most, of all runs together, e.g. 500MB, 20GB.")
    ] = KEEP_SIZE,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Name only the journals that something went of.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take market data out of old segments: their decisions, orders, fills and requests stay for good.

    What has been pruned can be shown, but no longer computed again; `verify` says after which step a run still can.
    Nothing goes that a start needs, and nothing of a segment that a running bot writes. A journal that cannot be read
    or written is named and left as it is, and the others are pruned. Safe to repeat and to interrupt.

        stakan journal prune state --keep 7d
    """
    before, most = time.time_ns() - _duration(keep), parse_size(keep_size)
    failures: list[StakanError] = []
    with bytes_progress(f"pruning {folder}", None, quiet=as_json or quiet) as advance:
        found = list(pruned(folder, before, most, lambda _journal: advance, failures.append))
    found.reverse()
    if as_json:
        write_json(found)
    else:
        shown = [one for one in found if one.segments or one.bytes_freed] if quiet else found
        if shown or not quiet:
            out().print(_pruned_table(shown))
    for failure in failures:
        errors().print(f"[bold red]{escape(str(failure))}[/]", soft_wrap=True)
    if failures:
        raise typer.Exit(exit_code(failures[0]))


def parse_size(text: str) -> int:
    """Bytes of a size such as `500MB` or `20GB`; raises ConfigError for other shapes."""
    for unit, factor in _UNITS.items():
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdigit():
            return int(float(number) * factor)
    raise ConfigError(f"{text!r} is not a size: write 500MB or 20GB")


def _duration(text: str) -> int:
    try:
        return duration_ns(text)
    except ValueError as error:
        raise ConfigError(f"--keep: {error}") from error


# --- for people -----------------------------------------------------------------------------------------------------


def _print_report(journal: Path, report: JournalReport) -> None:
    table = Table(title=str(journal), box=SIMPLE_HEAD, title_justify="left")
    for name, justify in (("segment", "left"), ("steps", "right"), ("from (UTC)", "left"), ("to (UTC)", "left")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]  # a literal in a loop
    for name in ("blocks", "records", "on disk", "market"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in report.segments:
        table.add_row(
            one.file,
            f"{one.first:,} to {one.last:,}" if one.last >= one.first else "none",
            _moment(one.first_ts),
            _moment(one.last_ts),
            f"{one.blocks:,}",
            size_text(one.raw_bytes),
            size_text(one.stored_bytes),
            "pruned" if one.is_distilled else "kept",
        )
    out().print(table)
    out().print(", ".join(f"{count:,} {kind}" for kind, count in report.records.items()), highlight=False)
    states = [one for one in report.snapshots if not one.flaw]
    newest = f", the newest after step {states[-1].number:,}" if states else ""
    out().print(f"{len(states)} of {len(report.snapshots)} states sound{newest}", highlight=False)
    for line in _verdict(report):
        out().print(line, soft_wrap=True, highlight=False)


def _verdict(report: JournalReport) -> list[str]:
    lines = [f"[bold red]{escape(one.file)}: {escape(one.what)} at byte {one.at:,}[/]" for one in report.damage]
    lines += [f"[bold red]steps {first:,} to {last:,} are missing[/]" for first, last in report.gaps]
    lines += [f"[bold red]{escape(one.flaw)}[/]" for one in report.snapshots if one.flaw]
    if report.torn is not None:
        lines.append(f"[yellow]{report.torn.file}: torn at byte {report.torn.at:,}, as a crash leaves it[/]")
    if not report.is_complete:
        lines.append("[yellow]no orderly end: it is being written, or its process was killed[/]")
    if report.is_sound:
        lines.append(f"[green]sound[/]; {_replayable(report.replayable_after)}")
    return lines


def _replayable(after: int | None) -> str:
    if after is None:
        return "it cannot be computed again"
    return f"it can be computed again after step {after:,}" if after else "it can be computed again as a whole"


def _rows_table(rows: list[Row]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("received (UTC)", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("instrument", no_wrap=True)
    table.add_column("details", overflow="fold")
    styles = {"event": "cyan", "command": "bold yellow", RUN: "dim"}
    for row in rows:
        moment = "" if row.source == RUN else ns_text(row.ts)
        table.add_row(
            f"{row.number:,}", moment, row.kind, row.instrument, escape(row.text), style=styles.get(row.source)
        )
    return table


def _pruned_table(found: list[Pruned]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for name in ("journal", "segments pruned", "freed"):
        table.add_column(name, overflow="fold")
    table.add_column("")
    for one in found:
        table.add_row(
            one.journal, str(len(one.segments)), size_text(one.bytes_freed), _replayable(one.replayable_after)
        )
    return table


def _moment(ts: int) -> str:
    return ns_text(ts)[:_TO_THE_SECOND] if ts else ""
