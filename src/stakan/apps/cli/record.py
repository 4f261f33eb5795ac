"""`stakan record`: a live market into the store."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import uvloop
from rich.table import Table

from stakan.apps.cli.importing import DEFAULT_DATA
from stakan.apps.cli.output import errors, out, reports_errors, write_json
from stakan.apps.config import load_settings, overridden
from stakan.apps.doctor import venue_of
from stakan.apps.durations import duration_ns
from stakan.apps.live.clock import WallClock
from stakan.apps.logs import Logs, plan_of
from stakan.apps.record import Plan, Result, Status, record
from stakan.apps.secrets import ENV_FILE, bybit_keys, secrets_to_hide
from stakan.apps.settings import Settings
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.units import MILLISECOND, SECOND, Nanos

_LINE_EVERY = 60
"""Seconds between lines where nobody watches."""


@reports_errors
def record_command(  # noqa: PLR0913 - one argument per option
    symbols: Annotated[
        list[str] | None, typer.Argument(help="Instruments; without them those of the configuration, or its ranking.")
    ] = None,
    *,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="TOML file.")] = None,
    override: Annotated[list[str] | None, typer.Option("--set", help="One key, e.g. venue.depth=50")] = None,
    environment: Annotated[
        str | None, typer.Option("--environment", "-e", help="mainnet, testnet, demo or local.")
    ] = None,
    data: Annotated[Path, typer.Option("--data", "-d", help="Folder of the store.")] = DEFAULT_DATA,
    raw: Annotated[Path | None, typer.Option("--raw", help="Keep raw frames as well, in this folder.")] = None,
    part: Annotated[str, typer.Option(help="How often parts are finished: what a killed recorder may lose.")] = "10m",
    length: Annotated[str | None, typer.Option("--for", help="Stop by itself, e.g. 30s or 8h.")] = None,
    env_file: Annotated[
        Path, typer.Option("--env-file", help="File with API keys, for the account's fees.")
    ] = ENV_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout, no progress.")] = False,
) -> None:
    """Record a live market: books, prints, best quotes and tickers with the times they were received at.

    Keys are not needed. Ctrl-C ends it and keeps everything.

        stakan record BTCUSDT ETHUSDT --for 1h
    """
    more = [*(override or []), *([f"venue.environment={environment}"] if environment else [])]
    settings = overridden(load_settings(config), more)
    if symbols:
        settings = settings.model_copy(update={"instruments": tuple(symbols)})
    plan = Plan(
        environment=venue_of(settings),
        data=data,
        raw=raw,
        part_ns=_duration("--part", part),
        length_ns=None if length is None else _duration("--for", length),
    )
    logs = Logs(plan_of(settings.logs, "record"), secrets_to_hide(env_file))
    with logs, _shown(quiet=as_json) as show:
        result = uvloop.run(_record(settings, plan, env_file, show))
    if as_json:
        write_json(result)
    else:
        _print(result)


async def _record(settings: Settings, plan: Plan, env_file: Path, show: Callable[[Status], None]) -> Result:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return await record(
        settings,
        plan,
        keys=bybit_keys(env_file),
        clock=WallClock().now,
        chance=np.random.default_rng(),
        stop=stop,
        show=show,
    )


def _duration(option: str, text: str) -> Nanos:
    try:
        length = duration_ns(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from error
    if length < SECOND:
        raise ConfigError(f"{option}: should be 1s or more, got {text!r}")
    return Nanos(length)


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Callable[[Status], None]]:
    """A line that is rewritten, or where stderr is no terminal a line a minute."""
    console = errors()
    if quiet:
        yield lambda _status: None
        return
    if sys.stderr.isatty():
        with console.status("connecting") as line:
            yield lambda status: line.update(status_text(status))
        return
    last = 0.0

    def say(status: Status) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_EVERY:
            last = time.monotonic()
            console.print(status_text(status), soft_wrap=True)

    yield say


def status_text(status: Status) -> str:
    """One line about a recording."""
    text = (
        f"{sum(status.events.values()):,} events, {status.usable} of {len(status.instruments)} books live, "
        f"lag {status.lag_ns / MILLISECOND:.0f} ms, {status.gaps} gaps, {status.resyncs} resyncs, "
        f"{status.interruptions} interruptions"
    )
    if status.waiting > 10_000:
        text += f", {status.waiting:,} wait for the disk"
    if status.refused:
        text += f", refused: {', '.join(sorted(status.refused))}"
    return text


def _print(result: Result) -> None:
    table = Table(title=f"Recording {result.recording}", show_header=False)
    for name, count in result.status.events.items():
        table.add_row(name, f"{count:,}")
    table.add_section()
    table.add_row("instruments", f"{len(result.status.instruments)}")
    table.add_row("sequence gaps", f"{result.status.gaps}")
    table.add_row("resyncs", f"{result.status.resyncs}")
    table.add_row("interruptions", f"{result.status.interruptions}")
    status = result.status
    equal = status.checks - status.differences
    checks = f"{equal} equal to REST, {status.differences} not, {status.unclear_checks} unclear"
    table.add_row("comparisons", checks if status.checks + status.unclear_checks else "none")
    for topic, why in sorted(result.status.refused.items()):
        table.add_row("refused", f"{topic}: {why}")
    for name in result.raw_files:
        table.add_row("raw frames", name)
    out().print(table)
