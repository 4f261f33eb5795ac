"""The end of a run in the terminal: headline, costs, what it is worth, where the files are."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from stakan.apps.report.compare import Comparison, verdicts
from stakan.apps.report.tiles import headline, honesty_lines
from stakan.apps.report.words import duration, money, number, percent, plain, short
from stakan.apps.results.files import REPORT_FILE
from stakan.apps.results.model import GroupRow, RunResult
from stakan.core.domain.units import SECOND

_TONES = {"gain": "green", "loss": "red", "": "bold"}
_REFUSALS_SHOWN = 5


def print_summary(result: RunResult, console: Console, folder: Path | None = None) -> None:
    """Headline, per strategy, refusals, honesty; `folder` is where the run was written."""
    console.print(_title(result))
    console.print(_headline(result))
    for split in result.breakdowns:
        if split.by == "strategy" and split.groups:
            console.print(_strategies(split.groups))
    if result.refusals:
        console.print(_refusals(result))
    for line in honesty_lines(result):
        style = "yellow" if line.startswith("SYNTHETIC") else "dim"
        console.print(Text(f"• {line}", style=style))
    console.print(_speed(result))
    console.print(Text.assemble("Fingerprint ", (result.fingerprint, "bold cyan")))
    if folder is not None:
        console.print(Text.assemble("Report      ", (str(folder / REPORT_FILE), "bold cyan")), soft_wrap=True)


def print_comparison(comparison: Comparison, results: Sequence[RunResult], console: Console) -> None:
    """Headlines of several runs side by side."""
    table = Table(title="Comparison", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for run in comparison.runs:
        table.add_column(escape(run.id), justify="right")
    table.add_row("Net against the first", *(money(run.net_difference, signed=True) for run in comparison.runs))
    for tiles in zip(*(headline(r) for r in results), strict=True):
        table.add_row(tiles[0].name, *(t.value for t in tiles))
    table.add_row("Configuration", *(escape(run.config_hash[:12]) for run in comparison.runs))
    table.add_row("Fingerprint", *(run.fingerprint[:12] for run in comparison.runs))
    console.print(table)
    for line in verdicts(comparison):
        console.print(Text(f"• {line}", style="yellow" if line.startswith("SYNTHETIC") else "dim"))


def _title(result: RunResult) -> Text:
    data = result.data
    names = ", ".join(short(data.instruments))
    title = Text.assemble((f"{result.run.program.capitalize()} ", "bold"), (names, "bold cyan"))
    title.append(f"  {duration(data.last_ts - data.first_ts)}", style="dim")
    if data.is_synthetic:
        title.append("  SYNTHETIC DATA", style="bold yellow")
    return title


def _headline(result: RunResult) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_column(style="dim")
    for tile in headline(result):
        about = f"{tile.about}; {tile.reference}" if tile.reference else tile.about
        table.add_row(tile.name, Text(tile.value, style=_TONES[tile.tone]), Text(about))
    costs = result.statistics.costs
    split = (
        f"spread and slippage {money(costs.slippage)}, fees {money(costs.fees)}, funding {money(costs.funding)}; "
        f"without them {money(costs.at_mid, signed=True)}"
    )
    table.add_row("Costs", money(costs.slippage + costs.fees + costs.funding), split)
    return table


def _strategies(groups: Sequence[GroupRow]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("Strategy")
    for name in ("Positions", "Net", "Mean", "Win rate", "Profit factor", "Median held"):
        table.add_column(name, justify="right")
    for row in groups:
        net = Text(money(row.net), style="green" if row.net > 0 else "red" if row.net < 0 else "")
        cells = (money(row.mean), percent(row.win_rate.value, 1), number(row.profit_factor))
        table.add_row(escape(row.name), str(row.trades), net, *cells, duration(row.median_duration_ns))
    return table


def _refusals(result: RunResult) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("Said no")
    table.add_column("Reason")
    table.add_column("Times", justify="right")
    for refusal in result.refusals[:_REFUSALS_SHOWN]:
        table.add_row(escape(refusal.stage), plain(refusal.reason), f"{refusal.count:,}")
    return table


def _speed(result: RunResult) -> Text:
    speed, span = result.speed, (result.data.last_ts - result.data.first_ts) / SECOND
    times = f", {span / speed.wall_seconds:,.0f} x real time" if speed.wall_seconds > 0 else ""
    rate = f"{speed.events_per_second:,.0f} a second{times}"
    return Text(f"{speed.events:,} events in {speed.wall_seconds:.1f} s, {rate}", style="dim")
