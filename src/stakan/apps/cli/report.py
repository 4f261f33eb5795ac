"""`stakan report`: show a run again, open its page, or compare several runs."""

import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from stakan.apps.cli.output import out as console_out
from stakan.apps.cli.output import reports_errors, write_json
from stakan.apps.report import Comparison, compare, render_comparison, render_report
from stakan.apps.results.files import REPORT_FILE, read_run, write_file
from stakan.apps.results.model import RunResult, Statistics
from stakan.apps.summary import print_comparison, print_summary


class _Answer(msgspec.Struct, frozen=True):
    """What `--json` prints; statistics of a single run, without its rows (they are in result.json)."""

    comparison: Comparison
    statistics: Statistics | None
    page: str | None


@reports_errors
def report_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders that `stakan backtest` has written.")],
    *,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the page (anew) to this file.")] = None,
) -> None:
    """Show a run, or compare two and more: are data, configuration and fingerprints equal, and what differs."""
    results = [read_run(path) for path in runs]
    page = _page(runs[0], results, out, wanted=open_)
    _tell(results, page, as_json=json)
    if open_ and page is not None:
        webbrowser.open(page.resolve().as_uri())


def _page(run: Path, results: list[RunResult], out: Path | None, *, wanted: bool) -> Path | None:
    """The page to look at, made where it does not exist; None where nobody asked for one."""
    own = run / REPORT_FILE
    if out is None and len(results) == 1 and own.is_file():
        return own
    if out is None and not wanted:
        return None
    target = out or Path(tempfile.mkdtemp(prefix="stakan-report-")) / REPORT_FILE
    write_file(target, render_report(results[0]) if len(results) == 1 else render_comparison(results))
    return target


def _tell(results: list[RunResult], page: Path | None, *, as_json: bool) -> None:
    comparison = compare(results)
    if as_json:
        only = results[0].statistics if len(results) == 1 else None
        answer = _Answer(comparison=comparison, statistics=only, page=None if page is None else str(page))
        write_json(answer)
        return
    console = console_out()
    if len(results) == 1:
        print_summary(results[0], console)
    else:
        print_comparison(comparison, results, console)
    if page is not None:
        console.print(f"Page        {page}", markup=False, soft_wrap=True)
