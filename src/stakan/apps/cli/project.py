"""`stakan project`: write what the journals of a state folder say into a database."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.markup import escape

from stakan.adapters.sql.projector import Progress
from stakan.apps.cli.output import errors, out, reports_errors, write_json
from stakan.apps.config import load_settings
from stakan.apps.database import open_database
from stakan.apps.projector import Following, only_projector
from stakan.apps.projector_status import ProjectorStatus
from stakan.apps.settings import Settings

_PARENT_S = 0.5

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML file; `stakan config example` shows all keys.")
]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="One key, e.g. database.host=127.0.0.1")]
StateOption = Annotated[
    Path | None, typer.Option("--state", "-s", help="State folder of a bot; trade.state where it is left out.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]


@reports_errors
def project_command(
    *,
    state: StateOption = None,
    once: Annotated[bool, typer.Option("--once", help="End when all that is written by now is projected.")] = False,
    parent: Annotated[
        int, typer.Option(hidden=True, help="Process that started it: without it, it ends when all is projected.")
    ] = 0,
    config: ConfigFile = None,
    override: Overrides = None,
    as_json: AsJson = False,
) -> None:
    r"""Follow a bot's journals and keep a database of orders, positions, fills, decisions and the audit log.

    SQLite in the state folder by default; PostgreSQL by \[database] or DB_HOST, DB_PORT, DB_NAME, DB_USER and
    DB_PASSWORD. The schema is brought up to date. The database may be away at any time: it is tried again, and what was
    missed is caught up. `projector.json` in the state folder says how far it is. Ctrl-C ends it in order.
    """
    settings = settings_for(state, config, override)
    with only_projector(settings.trade.state), _shown(quiet=as_json or once) as show:
        progress = uvloop.run(_project(settings, parent, once=once, show=show))
    if as_json:
        write_json(progress)
    elif once:
        where = f"{progress.run} #{progress.number}" if progress.run else "no run"
        out().print(f"{progress.steps:,} steps projected, up to {where}", highlight=False)


def settings_for(state: Path | None, config: Path | None, override: list[str] | None) -> Settings:
    """Settings with another state folder where one is named; raises ConfigError."""
    settings = load_settings(config, override or ())
    if state is None:
        return settings
    return settings.model_copy(update={"trade": settings.trade.model_copy(update={"state": state})})


async def _project(settings: Settings, parent: int, *, once: bool, show: Callable[[ProjectorStatus], None]) -> Progress:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    database = open_database(settings)
    try:
        following = Following(database, settings.trade.state, time.time_ns, say=_say, show=show)
        if once:
            return await following.once(stop)
        _say(f"projecting {settings.trade.state} into {database.name}")
        watch = asyncio.create_task(_orphaned(parent, stop)) if parent else None
        await following.until(stop)
        if watch is not None:
            watch.cancel()
        return Progress(following.status.run, following.status.number, 0, 0)
    finally:
        await database.close()


async def _orphaned(parent: int, stop: asyncio.Event) -> None:
    """A bot that was killed leaves nobody behind: the next one starts a projector of its own."""
    while os.getppid() == parent:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(_PARENT_S)
    stop.set()


def _say(text: str) -> None:
    errors().print(escape(text), soft_wrap=True, highlight=False)


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Callable[[ProjectorStatus], None]]:
    """A line that is rewritten on a terminal; nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda _status: None
        return
    with errors().status("looking") as line:
        yield lambda status: line.update(status_text(status))


def status_text(status: ProjectorStatus) -> str:
    """One line about a projector."""
    where = f"{status.run} #{status.number}" if status.run else "nothing yet"
    lag = f", {status.lag_seconds:.0f} s behind" if status.lag_seconds >= 1 else ""
    problem = status.last_error or status.audit_break
    error = f": {problem}" if problem else ""
    return escape(f"{status.health.value.replace('_', ' ')}, {where}{lag}{error}")
