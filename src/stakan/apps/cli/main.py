"""`stakan`: one executable, a command per job."""

from typing import Annotated

import typer

from stakan import __version__
from stakan.apps.cli.config import config_app
from stakan.apps.cli.console import console_command
from stakan.apps.cli.data import data_app
from stakan.apps.cli.db import db_app
from stakan.apps.cli.demo import demo_command
from stakan.apps.cli.doctor import doctor_command
from stakan.apps.cli.download import download_command
from stakan.apps.cli.dst import dst_command
from stakan.apps.cli.exchange import exchange_command
from stakan.apps.cli.importing import import_command
from stakan.apps.cli.journal import journal_app
from stakan.apps.cli.project import project_command
from stakan.apps.cli.prove import prove_command
from stakan.apps.cli.record import record_command
from stakan.apps.cli.rehearse import rehearse_command
from stakan.apps.cli.report import report_command
from stakan.apps.cli.running import backtest_command, replay_command, synthetic_command
from stakan.apps.cli.strategies import strategies_command
from stakan.apps.cli.trade import trade_command
from stakan.apps.cli.watchdog import watchdog_command

app = typer.Typer(
    name="stakan",
    help="Order-book trading for USDT perpetuals: record, import, backtest, look why.\n\nStart with `stakan demo`.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo_command)
app.command("exchange")(exchange_command)
app.command("rehearse")(rehearse_command)
app.command("dst")(dst_command)
app.command("synthetic")(synthetic_command)
app.command("backtest")(backtest_command)
app.command("backtesting", hidden=True)(backtest_command)
app.command("record")(record_command)
app.command("report")(report_command)
app.command("replay")(replay_command)
app.command("import")(import_command)
app.command("download")(download_command)
app.command("download-data", hidden=True)(download_command)
app.command("trade")(trade_command)
app.command("project")(project_command)
app.command("watchdog")(watchdog_command)
app.command("doctor")(doctor_command)
app.command("prove")(prove_command)
app.command("console")(console_command)
app.add_typer(data_app, name="data")
app.add_typer(db_app, name="db")
app.add_typer(journal_app, name="journal")
app.add_typer(config_app, name="config")
app.command("strategies")(strategies_command)
app.command("list-strategies", hidden=True)(strategies_command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    *, version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False
) -> None:
    """Options before the command."""


def main() -> None:
    """Entry point of the executable."""
    app()
