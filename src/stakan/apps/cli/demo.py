"""`stakan demo`: exchange, bot and console on this machine, nothing to configure."""

import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.panel import Panel
from rich.table import Table

from stakan.apps.cli.output import out, reports_errors
from stakan.apps.cli.running import RUNS, ConfigFile, Overrides
from stakan.apps.demo import OPERATOR, Demo, DemoPlan, running
from stakan.apps.processes import interrupt_on_signals

_SECONDS = 60


@reports_errors
def demo_command(  # noqa: PLR0913 - one argument per option
    *,
    symbols: Annotated[int, typer.Option(min=1, max=100, help="How many synthetic symbols.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same market.")] = 7,
    replay: Annotated[
        list[Path] | None, typer.Option(help="Recorded data instead: a store folder, or the files of one recording.")
    ] = None,
    chaos: Annotated[
        str | None, typer.Option(help="Break things: drizzle, storm, blackout, liar, drunk-clock.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="End after so long; else with Ctrl-C.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the console; 0 takes a free one.")] = 8000,
    console: Annotated[bool, typer.Option(help="Whether to start the console.")] = True,
    config: ConfigFile = None,
    override: Overrides = None,
    runs: Annotated[Path, typer.Option("--out", help="Folder that the demo's folder goes into.")] = RUNS,
) -> None:
    """Start a local exchange that speaks Bybit's protocol, a bot that trades on it, and the console in the browser.

    No account, no keys, no network. The market is synthetic (or recorded, with --replay) and labelled so; nothing
    that happens in it says anything about profit. Ctrl-C ends all of it: the bot cancels its entries first.

        stakan demo --symbols 5 --chaos drizzle
    """
    interrupt_on_signals()
    plan = DemoPlan(
        folder=runs / f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}",
        symbols=symbols,
        seed=seed,
        replay=tuple(replay or ()),
        chaos=chaos,
        config=config,
        overrides=tuple(override or ()),
        console_port=port,
        with_console=console,
    )
    with running(plan, lambda what: out().print(f"[dim]{what} …[/]")) as demo:
        with suppress(KeyboardInterrupt):
            _introduce(demo)
            demo.watch(None if minutes is None else time.monotonic() + minutes * _SECONDS)
        out().print("[dim]ending: the bot cancels its entries, then the exchange closes …[/]")
    out().print(demo.bot.tail(), markup=False, highlight=False)


def _introduce(demo: Demo) -> None:
    table = Table.grid(padding=(0, 2))
    if demo.console is not None:
        table.add_row("[bold]Console[/]", f"[link={demo.console_url}]{demo.console_url}[/link]")
        table.add_row("Login", f"{OPERATOR}   {demo.password}")
    table.add_row("Exchange", f"{demo.exchange_url}  (Bybit v5: point pybit or ccxt at it)")
    table.add_row("Logs and records", str(demo.plan.folder))
    table.add_row("End", "Ctrl-C")
    market = "recorded market, looped" if demo.plan.replay else "synthetic market"
    out().print(Panel(table, title=f"stakan demo: {market}", expand=False))
