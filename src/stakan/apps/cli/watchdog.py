"""`stakan watchdog`: look after a bot's positions when the bot cannot."""

import asyncio
import shlex
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from stakan.adapters.exchanges.bybit.endpoints import Environment
from stakan.apps.cli.output import errors, reports_errors, write_json
from stakan.apps.cli.running import ConfigFile, Overrides
from stakan.apps.config import load_settings, overridden
from stakan.apps.doctor import venue_of
from stakan.apps.durations import duration_ns
from stakan.apps.secrets import ENV_FILE, bybit_keys
from stakan.apps.settings import Settings
from stakan.apps.watchdog import Action, Ended, Outcome, Watchdog, WatchPlan, watched_folder
from stakan.core.domain.errors import ConfigError

EXIT_CODES = {Outcome.STOPPED: 0, Outcome.ALERTED: 5, Outcome.FLATTENED: 6}


@reports_errors
def watchdog_command(
    *,
    config: ConfigFile = None,
    override: Overrides = None,
    action: Annotated[Action | None, typer.Option(help="Overrides watchdog.action; see below.")] = None,
    silent_after: Annotated[str | None, typer.Option(help="Overrides watchdog.silent_after, e.g. 30s.")] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Overrides watchdog.command: run with each alert's text as last word.")
    ] = None,
    stay: Annotated[bool, typer.Option("--stay", help="Go on watching after an alert or a flatten.")] = False,
    env_file: Annotated[
        Path, typer.Option("--env-file", help="File with BYBIT_API_KEY and BYBIT_API_SECRET.")
    ] = ENV_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="How it ended as JSON on stdout.")] = False,
) -> None:
    """Watch a bot from outside, with the configuration that the bot has; start it beside `stakan trade`.

    A bot whose heartbeat (in its state folder, trade.state) is silent for watchdog.silent_after is gone where its
    folder's lock is free. If the exchange has positions or entries open then:

    alert: it is said, the command is run, and this ends with code 5. flatten: entries are cancelled, positions closed
    by reduce-only market orders until the account is flat, and this ends with code 6; stops stay until then, no bot can
    start meanwhile, and an exchange that does not answer is asked until it does.

    A bot that still holds the lock is never acted beside, whatever its heartbeat says: that is an alert. One that was
    stopped in order is left alone (watchdog.after_stop).
    """
    asked = {"action": action, "silent_after": silent_after, "command": run}
    settings = overridden(
        load_settings(config, override or ()), [f"watchdog.{key}={value}" for key, value in asked.items() if value]
    )
    watchdog = Watchdog(plan_of(settings, stays=stay), _venues(settings), bybit_keys(env_file), _say)
    ended = asyncio.run(_watch(watchdog))
    if as_json:
        write_json(ended)
    raise typer.Exit(EXIT_CODES[ended.outcome])


def plan_of(settings: Settings, *, stays: bool = False) -> WatchPlan:
    """What the configuration wants watched; raises ConfigError where it cannot be."""
    wanted = settings.watchdog
    try:
        command = tuple(shlex.split(wanted.command))
    except ValueError as error:
        raise ConfigError(f"watchdog.command {wanted.command!r}: {error}") from error
    return WatchPlan(
        folder=watched_folder(settings.trade.state),
        silent_after=duration_ns(wanted.silent_after),
        action=Action(wanted.action),
        command=command,
        asks_exchange=wanted.check_exchange,
        after_stop=wanted.after_stop,
        stays=stays,
    )


async def _watch(watchdog: Watchdog) -> Ended:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    _say("watching; Ctrl-C ends it")
    return await watchdog.watch(stopped)


def _venues(settings: Settings) -> Callable[[str], Environment]:
    """Where the bot traded: the heartbeat names the environment, the configuration says where that is."""

    def named(name: str) -> Environment:
        venue = settings.venue.model_copy(update={"environment": name})
        return venue_of(settings.model_copy(update={"venue": venue}))

    return named


def _say(text: str) -> None:
    errors().print(f"{datetime.now(UTC):%H:%M:%S} {escape(text)}", soft_wrap=True, highlight=False)
