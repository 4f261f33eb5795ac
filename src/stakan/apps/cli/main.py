"""`stakan`: one executable, a command per job."""

from typing import Annotated

import typer

from stakan import __version__
from stakan.apps.cli.lazy import Command, LazyGroup, nothing

COMMANDS = {
    "demo": Command(
        "demo:demo_command",
        "Start a local exchange that speaks Bybit's protocol, a bot that trades on it, and the console in the browser.",
    ),
    "exchange": Command(
        "exchange:exchange_command",
        "Serve Bybit v5 on this machine: REST, public, private and trade sockets, over a synthetic or recorded market.",
    ),
    "rehearse": Command(
        "rehearse:rehearse_command",
        "Run a bot against a local exchange in bad weather, then check that nothing was lost, doubled or left naked.",
    ),
    "dst": Command(
        "dst:dst_command",
        "Run the whole bot against the local exchange in virtual time, one seed after the other, and check its invariants.",
    ),
    "synthetic": Command(
        "running:synthetic_command", "Generate a synthetic market of three symbols and backtest the whole engine on it."
    ),
    "backtest": Command(
        "running:backtest_command", "Run the engine over recorded market data through the simulated exchange."
    ),
    "record": Command(
        "record:record_command",
        "Record a live market: books, prints, best quotes and tickers with the times they were received at.",
    ),
    "report": Command(
        "report:report_command",
        "Show a run, or compare two and more: are data, configuration and fingerprints equal, and what differs.",
    ),
    "replay": Command(
        "replaying:replay_command",
        "Compute every step of a journal again and compare it with what was recorded. Exit code 3 where they differ.",
    ),
    "import": Command("importing:import_command", "Bring recorded market data into the store."),
    "download": Command(
        "download:download_command",
        "Download public history. Files that are here already are not fetched again, so a broken download is repeated.",
    ),
    "trade": Command("trade:trade_command", "Trade on a live market until it is stopped."),
    "project": Command(
        "project:project_command",
        "Follow a bot's journals and keep a database of orders, positions, fills, decisions and the audit log.",
    ),
    "watchdog": Command(
        "watchdog:watchdog_command",
        "Watch a bot from outside, with the configuration that the bot has; start it beside `stakan trade`.",
    ),
    "doctor": Command(
        "doctor:doctor_command",
        "Check configuration, state folder, clock, connection and, where keys are set, the account; changes nothing.",
    ),
    "prove": Command(
        "prove:prove_command",
        "Demonstrate safeguards, step by step, with the code that runs in a bot; no keys, nothing leaves this machine.",
    ),
    "bench": Command("bench:bench_app", "Judge parts of stakan on recorded data."),
    "console": Command("console:console_command", "Serve the browser console and the API of a bot."),
    "strategies": Command(
        "plugins:strategies_command", "Strategies that come with stakan, with their parameters and defaults."
    ),
    "detectors": Command(
        "plugins:detectors_command", "Detectors that come with stakan, with their parameters and defaults."
    ),
    "features": Command(
        "features:features_app",
        "List every feature with its formula, unit, window and neutral value; build, show and scale vectors of them.",
    ),
    "data": Command("data:data_app", "List, check and show recorded market data."),
    "db": Command("db:db_app", "Look after the database, and ask it."),
    "findings": Command(
        "findings:findings_app", "What detectors found: list, show, say what was real, make a library of it."
    ),
    "journal": Command("journal:journal_app", "Check, show, compute again and thin out the journals of runs."),
    "config": Command("config:config_app", "Show, check and make configuration files."),
}
"""Every command by its name: where it is, and what is said of it before it is loaded."""
ALIASES = {"backtesting": "backtest", "download-data": "download", "list-strategies": "strategies"}
"""Names that people know from elsewhere; the list does not show them."""


class _Commands(LazyGroup):
    table = COMMANDS | {alias: COMMANDS[name] for alias, name in ALIASES.items()}


app = typer.Typer(
    name="stakan",
    cls=_Commands,
    help="Order-book trading for USDT perpetuals: record, import, backtest, look why.\n\nStart with `stakan demo`.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command_name, command in _Commands.table.items():
    # Something that can be listed stands in for each.
    app.command(command_name, help=command.help, hidden=command_name in ALIASES)(nothing)


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
