"""`stakan trade`: run a bot."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.markup import escape

from stakan.apps.backtest import warm_up
from stakan.apps.cli.compiling import compiling
from stakan.apps.cli.output import errors, out, reports_errors, write_json
from stakan.apps.config import load_settings
from stakan.apps.live.mode import Mode, settled
from stakan.apps.live.session import Ended, Stopping
from stakan.apps.live.state_folder import StateFolder
from stakan.apps.logs import Logs, get_logger, plan_of
from stakan.apps.secrets import secrets_to_hide
from stakan.apps.settings import Settings
from stakan.apps.summary import print_summary
from stakan.apps.trade import trade

EXIT_AT_ONCE = 130
_log = get_logger("stakan.trade")


@reports_errors
def trade_command(
    *,
    mode: Annotated[Mode, typer.Option("--mode", "-m", help="Where orders go; see below.")] = Mode.PAPER,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="TOML file; `stakan config example` shows all keys.")
    ] = None,
    override: Annotated[list[str] | None, typer.Option("--set", help="One key, e.g. venue.environment=local")] = None,
    instrument: Annotated[list[str] | None, typer.Option("--instrument", "-i", help="Only these.")] = None,
    confirmed: Annotated[
        bool, typer.Option("--i-understand-this-is-real-money", help="Demanded by --mode live.")
    ] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Begin a new state folder on an account that holds something.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout at the end.")] = False,
) -> None:
    """Trade on a live market until it is stopped.

    paper: the real market, orders filled by the simulated exchange; no keys. shadow: decisions only, no order leaves.
    testnet: orders at Bybit's testnet, demo trading or a local exchange (venue.environment), whose money is not real.
    live: real money on mainnet.

    Ctrl-C (or SIGTERM) stops gracefully: entries are cancelled, positions stay under their stops at the exchange, the
    report is written; a second one stops at once. The state folder (trade.state) holds the journal of every run, the
    socket of `stakan console`, a lock (one bot at a time), and logs, a file a day.

    With testnet and live a run carries on the last one of its state folder, however that ended: orders that were on
    their way are looked up, what was missed is booked, missing stops are put back, and nothing opens until books and
    account agree. The first run of a state folder refuses an account that holds something, unless --take-over is given.
    Paper begins anew each time. `stakan backtest --run FOLDER` computes a paper run again.
    """
    settings = settled(load_settings(config, override or ()), mode, confirmed=confirmed)
    if instrument:
        settings = settings.model_copy(update={"instruments": tuple(instrument)})
    with compiling(quiet=as_json):
        warm_up(settings)
    with (
        StateFolder(settings.trade.state) as state,
        Logs(plan_of(settings.logs, "bot", state.folder), secrets_to_hide()) as logs,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        ended, at_once = runner.run(_run(settings, mode, state, logs, take_over=take_over))
    _show(ended, as_json=as_json)
    if at_once:
        raise typer.Exit(EXIT_AT_ONCE)


async def _run(
    settings: Settings, mode: Mode, state: StateFolder, logs: Logs, *, take_over: bool
) -> tuple[Ended, bool]:
    stopping = Stopping()
    ended = await trade(settings, mode, state, stopping, _say, logs, take_over=take_over)
    return ended, stopping.at_once.is_set()


def _say(text: str) -> None:
    errors().print(escape(text), soft_wrap=True, highlight=False)
    _log.info(text, for_files_only=True)


def _show(ended: Ended, *, as_json: bool) -> None:
    for line in ended.left_open:
        errors().print(f"[yellow]left at the exchange: {escape(line)}[/]", soft_wrap=True)
    if as_json:
        write_json(ended.result)
    else:
        print_summary(ended.result, out(), ended.folder)
        for stage in ended.latencies:
            line = f"{stage.p50:.2f} ms half of the time, {stage.p99:.2f} ms 99 %, {stage.worst:.2f} ms worst"
            out().print(f"{stage.stage:<12}{line}, {stage.count} samples", highlight=False)
