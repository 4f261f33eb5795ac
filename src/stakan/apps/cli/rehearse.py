"""`stakan rehearse`: send a bot through disasters and compare its books with the exchange's."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from stakan.apps.cli.output import EXIT_FAILED, out, reports_errors, write_json
from stakan.apps.cli.running import RUNS, ConfigFile, Overrides
from stakan.apps.demo import DemoPlan, Say
from stakan.apps.exchange.faults import PROFILES
from stakan.apps.processes import interrupt_on_signals
from stakan.apps.rehearse import Verdict, rehearse

FAIR = "fair"
"""No weather at all: what only kills do."""


@reports_errors
def rehearse_command(  # noqa: PLR0913 - the options of a command
    chaos: Annotated[
        list[str] | None, typer.Argument(help=f"Profiles: {', '.join(PROFILES)}, {FAIR}; all but the last by default.")
    ] = None,
    *,
    minutes: Annotated[float, typer.Option(min=0.1, help="Of each.")] = 10,
    kills: Annotated[int, typer.Option(min=0, help="After those minutes, kill the bot so often at any moment.")] = 0,
    symbols: Annotated[int, typer.Option(min=1, max=100, help="How many synthetic symbols.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of market and faults.")] = 7,
    config: ConfigFile = None,
    override: Overrides = None,
    runs: Annotated[Path, typer.Option("--out", help="Folder that logs and records go into.")] = RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="Verdicts as JSON.")] = False,
) -> None:
    """Run a bot against a local exchange in bad weather, then check that nothing was lost, doubled or left naked.

    After the bad weather there are some seconds of fair one; then the bot stops and its positions, orders, stops and
    balance are compared with the exchange's. Exit code 1 where anything differs, or no order was ever sent.

        stakan rehearse storm --minutes 2 --config mine.toml
        stakan rehearse fair --kills 100
    """
    interrupt_on_signals()
    verdicts: list[Verdict] = []
    for name in chaos or list(PROFILES):
        plan = DemoPlan(
            folder=runs / f"rehearse-{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}",
            symbols=symbols,
            seed=seed,
            chaos=None if name == FAIR else name,
            config=config,
            overrides=tuple(override or ()),
            with_console=False,
        )
        verdicts.append(rehearse(plan, minutes, _say(quiet=as_json), kills=kills))
        if not as_json:
            _show(verdicts[-1])
    if as_json:
        write_json(verdicts)
    if not all(verdict.is_good for verdict in verdicts):
        raise typer.Exit(EXIT_FAILED)


def _say(*, quiet: bool) -> Say:
    return (lambda _: None) if quiet else (lambda what: out().print(f"[dim]{what} …[/]"))


def _show(verdict: Verdict) -> None:
    table = Table(title=f"{verdict.chaos}, {verdict.minutes:g} minutes", show_header=False, title_justify="left")
    faults = ", ".join(f"{count:,} {name}" for name, count in verdict.faults.items()) or "none"
    table.add_row("Faults", f"{sum(verdict.faults.values()):,}: {faults}")
    table.add_row("Requests", f"{verdict.requests:,}")
    table.add_row("Intents, orders, executions", f"{verdict.intents:,}, {verdict.orders:,}, {verdict.executions:,}")
    if verdict.kills:
        table.add_row("Killed", f"{verdict.kills:,} times, {verdict.runs:,} runs came into being")
    table.add_row("Bot ended with", str(verdict.exit_code))
    table.add_row("Doubled orders", ", ".join(verdict.doubled) or "none")
    table.add_row("Orders nobody sent", ", ".join(verdict.unknown) or "none")
    exposed = f"{len(verdict.exposed_s)} times, {verdict.longest_exposure_s:g} s at longest, {verdict.over_bound} over the bound"
    table.add_row("Position without a stop", exposed if verdict.exposed_s else "never")
    table.add_row("Books differ in", "; ".join(verdict.differences) or "nothing")
    bad = "not good" if verdict.orders else "not good: without an order nothing is shown"
    table.add_row("Verdict", "[green]good[/]" if verdict.is_good else f"[bold red]{bad}[/]")
    out().print(table)
