"""`stakan exchange`: a Bybit of one's own."""

import asyncio
import signal
import time
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
import uvloop
from rich.panel import Panel
from rich.table import Table

from stakan.adapters.exchanges.bybit.endpoints import Environment, environment
from stakan.adapters.synthetic.config import SyntheticConfig, SyntheticSymbol
from stakan.apps.cli.compiling import compiling
from stakan.apps.cli.data import DEFAULT_DATA
from stakan.apps.cli.importing import known_instruments
from stakan.apps.cli.output import errors, out, reports_errors, write_json
from stakan.apps.durations import duration_ns
from stakan.apps.exchange.accounts import AccountConfig, ApiKey
from stakan.apps.exchange.board import Intervals
from stakan.apps.exchange.control import About, Control
from stakan.apps.exchange.faults import PROFILES, profile_named
from stakan.apps.exchange.feeds import Market, generated, recorded
from stakan.apps.exchange.listing import synthetic_symbols
from stakan.apps.exchange.local import LocalConfig, LocalExchange
from stakan.apps.exchange.serving import serving
from stakan.apps.exchange.state import write
from stakan.apps.exchange.upstream import following
from stakan.apps.exchange.warm_up import warm_up
from stakan.apps.garbage import long_lived
from stakan.apps.live.clock import WallClock
from stakan.apps.logs import Logs, plan_of
from stakan.apps.secrets import secrets_to_hide
from stakan.apps.sections import LogsSection
from stakan.apps.sources import Source, from_files, from_store
from stakan.core.domain.errors import ConfigError, StakanError
from stakan.core.domain.units import MILLISECOND, SECOND, Nanos

FIRST_UID = 100_000_001
_KEEP_EVERY_S = 60
_RICHEST = 10**15


class PortTaken(StakanError):
    """Another program listens there."""


class NotWritten(StakanError):
    """A file that was asked for cannot be written."""


@reports_errors
def exchange_command(  # noqa: PLR0913 - one argument per option
    *,
    symbols: Annotated[int, typer.Option(min=1, max=200, help="Synthetic symbols; BTC, ETH, SOL first.")] = 3,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", "-d", help="Recorded data instead: a store folder, or the files of one recording."),
    ] = None,
    rules: Annotated[Path | None, typer.Option("--instruments", help="TOML of tick and lot sizes, for files.")] = None,
    upstream: Annotated[
        str | None,
        typer.Option(help="Live public data instead: mainnet, testnet, demo, or the address of an exchange."),
    ] = None,
    follow: Annotated[list[str] | None, typer.Option(help="Symbol of it, once per symbol. Default: BTCUSDT.")] = None,
    pace: Annotated[
        float | None, typer.Option(min=0.1, max=50, help="Book messages a second of each synthetic symbol.")
    ] = None,
    speed: Annotated[float, typer.Option(min=0.01, max=1000, help="Of the market; its times are wall times.")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Begin recorded data again at its end, with a seam.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same market and same faults.")] = 7,
    host: Annotated[str, typer.Option(help="Loopback unless there is a reason.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    chaos: Annotated[str | None, typer.Option(help=f"Disasters by rate: {', '.join(PROFILES)}.")] = None,
    reply_delay: Annotated[str, typer.Option(help="Least time until an answer; pybit needs 1ms.")] = "2ms",
    reply_spread: Annotated[str, typer.Option(help="Mean of a random part on top of it.")] = "0ms",
    push_delay: Annotated[str, typer.Option(help="Time until private streams tell.")] = "0ms",
    intervals: Annotated[
        Intervals, typer.Option(help="How often books are pushed: as Bybit does, or with each change of the source.")
    ] = Intervals.DOCUMENTED,
    rate_factor: Annotated[
        float, typer.Option(min=0, max=1e6, help="Of Bybit's rate limits per account; 0 switches them off.")
    ] = 1.0,
    account: Annotated[
        list[str] | None, typer.Option(help="NAME:API_KEY:SECRET[:BALANCE], once per account. Default: stakan-key.")
    ] = None,
    balance: Annotated[str, typer.Option(help="USDT of accounts that name none.")] = "10000",
    state: Annotated[
        Path | None, typer.Option(help="Accounts are read from this file, and kept in it every minute and at the end.")
    ] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Written as JSON when it listens; for programs.")] = None,
    logs: Annotated[Path | None, typer.Option("--logs", help="Folder of daily log files; none by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Counts at the end as JSON.")] = False,
) -> None:
    """Serve Bybit v5 on this machine: REST, public, private and trade sockets, over a synthetic or recorded market.

    pybit and ccxt trade on it unmodified; docs/local-exchange.md shows how to point them at it. Its money is not real,
    and the market does not react to orders: each account meets the recorded book alone.

        stakan exchange --symbols 5 --chaos drizzle
    """
    config = LocalConfig(
        accounts=_accounts(account or [], _money("--balance", balance)),
        intervals=intervals,
        reply_delay_ns=Nanos(_duration("reply-delay", reply_delay)),
        reply_spread_ns=Nanos(_duration("reply-spread", reply_spread)),
        push_delay_ns=Nanos(_duration("push-delay", push_delay)),
        rate_factor=rate_factor,
        seed=seed,
    )
    profile = None if chaos is None else profile_named(chaos)
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)
    source = _source(data, rules) if data else None
    _check_source(source, upstream, loop=loop, speed=speed)

    def open_market(start: int) -> Market:
        if source is not None:
            return recorded(source, start, speed=speed, loop=loop)
        return generated(SyntheticConfig(symbols=_made_up(symbols, pace), seed=seed), start, speed=speed)

    async def program() -> dict[str, object]:
        if upstream is None:
            return await serve(open_market, asyncio.get_running_loop().create_future())
        others = _environment(upstream)
        followed = following(others, follow or ["BTCUSDT"], clock=WallClock().now, chance=np.random.default_rng())
        async with followed as (open_upstream, failed):
            return await serve(open_upstream, failed)

    async def serve(open_market: Callable[[int], Market], failed: "asyncio.Future[None]") -> dict[str, object]:
        event_loop = asyncio.get_running_loop()

        def later(ns: int, do: Callable[[], None]) -> object:
            return event_loop.call_later(ns / SECOND, do)

        local = LocalExchange(config, open_market, time.time_ns, later, profile)
        if state is not None:
            _resume(local, state)
        about = About(
            market=_market_name(source, upstream, seed),
            is_synthetic=upstream is None and (source is None or source.is_synthetic),
            seed=seed,
            symbols=tuple(local.board.symbols),
            started_ms=local.pump() // MILLISECOND,
        )
        control = Control(local, about, chaos)
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            event_loop.add_signal_handler(number, stopped.set)
        try:
            async with serving(local, control, host, port) as (server, bound):
                if ready_file is not None:
                    _replace(ready_file, msgspec.json.encode({"port": bound}))
                if not as_json:
                    _introduce(about, config, host, bound, chaos)
                with long_lived():
                    await _until(stopped, server.ended, failed, asyncio.create_task(_keeping(local, state)))
                return {**control.status(), "worst_delay_ms": server.late_ns / MILLISECOND}
        except OSError as error:
            raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror or error}") from error

    secrets = [key.secret for one in config.accounts for key in one.keys]
    with Logs(plan_of(LogsSection(folder=logs), "exchange"), [*secrets_to_hide(), *secrets]):
        with compiling(quiet=as_json):
            warm_up()
        counts = uvloop.run(program())
    if as_json:
        write_json(counts)
    else:
        _conclude(counts)


async def _until(stopped: asyncio.Event, *jobs: "asyncio.Future[None]") -> None:
    """Wait for a signal and end the jobs; raises what ended one of them by itself."""
    waiting = asyncio.ensure_future(stopped.wait())
    everything: list[asyncio.Future[Any]] = [waiting, *jobs]
    try:
        await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for job in everything:
            job.cancel()
        ends = await asyncio.gather(*jobs, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


def _resume(local: LocalExchange, file: Path) -> None:
    """Go on from the file where there is one, and see now whether it can be written."""
    if file.exists():
        local.restore(file.read_bytes())
    _keep(local, file)


async def _keeping(local: LocalExchange, file: Path | None) -> None:
    """Keep the accounts in a file every minute and at the end."""
    try:
        while True:
            await asyncio.sleep(_KEEP_EVERY_S)
            if file is not None:
                _keep(local, file)
    finally:
        if file is not None:
            _keep(local, file)


def _keep(local: LocalExchange, file: Path) -> None:
    _replace(file, local.save())


def _replace(file: Path, data: bytes) -> None:
    """In one step, so that whoever reads it never finds half of it."""
    try:
        write(file, data)
    except OSError as error:
        raise NotWritten(f"cannot write {file}: {error.strerror or error}") from error


def _accounts(texts: list[str], balance: Decimal) -> tuple[AccountConfig, ...]:
    if not texts:
        return (AccountConfig(balance=balance),)
    return tuple(_account(number, text, balance) for number, text in enumerate(texts))


def _account(number: int, text: str, balance: Decimal) -> AccountConfig:
    parts = text.split(":")
    if len(parts) not in {3, 4} or not all(parts):
        raise ConfigError(f"--account {text!r} should be NAME:API_KEY:SECRET or NAME:API_KEY:SECRET:BALANCE")
    if len(parts) == 4:
        balance = _money(f"--account {text!r}", parts[3])
    return AccountConfig(uid=FIRST_UID + number, keys=(ApiKey(parts[1], parts[2], note=parts[0]),), balance=balance)


def _money(option: str, text: str) -> Decimal:
    try:
        money = Decimal(text)
    except InvalidOperation:
        money = Decimal("NaN")
    if not (money.is_finite() and 0 < money < _RICHEST):
        raise ConfigError(f"{option}: the balance should be a number above 0 and below 10^15, not {text!r}")
    return money


def _duration(option: str, text: str) -> int:
    try:
        return duration_ns(text)
    except ValueError as error:
        raise ConfigError(f"--{option}: {error}") from error


def _check_source(source: Source | None, upstream: str | None, *, loop: bool, speed: float) -> None:
    if source is not None and upstream is not None:
        raise ConfigError("--data and --upstream are two markets: choose one")
    if source is None and loop:
        raise ConfigError("--loop is for recorded data: a live or synthetic market has no end")
    if upstream is not None and speed != 1:
        raise ConfigError("--speed is for recorded and synthetic data: a live market has its own")


def _made_up(count: int, pace: float | None) -> tuple[SyntheticSymbol, ...]:
    made = synthetic_symbols(count)
    if pace is None:
        return made
    return tuple(msgspec.structs.replace(symbol, messages_per_second=pace) for symbol in made)


def _market_name(source: Source | None, upstream: str | None, seed: int) -> str:
    if upstream is not None:
        return f"live, {upstream}"
    return source.name if source else f"synthetic market, seed {seed}"


def _environment(upstream: str) -> Environment:
    if "://" in upstream:
        return environment("local", local_url=upstream)
    return environment(upstream)


def _source(paths: list[Path], rules: Path | None) -> Source:
    if len(paths) == 1 and paths[0].is_dir():
        return from_store(paths[0])
    return from_files(paths, known_instruments(DEFAULT_DATA, rules))


def _introduce(about: About, config: LocalConfig, host: str, port: int, chaos: str | None) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_row("Market", f"{about.market}: {', '.join(about.symbols)}")
    table.add_row("REST", f"http://{host}:{port}")
    table.add_row("Sockets", f"ws://{host}:{port}/v5/public/linear, /v5/private, /v5/trade")
    keys = [key for one in config.accounts for key in one.keys]
    table.add_row("API key, secret", f"{keys[0].key}, {keys[0].secret}" + (f" (of {len(keys)})" if keys[1:] else ""))
    table.add_row("pybit", f'client.endpoint = "http://{host}:{port}"')
    table.add_row("ccxt", f'urls.api.public = urls.api.private = "http://{host}:{port}"')
    table.add_row("", "sockets of both: docs/local-exchange.md")
    table.add_row("Weather", f"{chaos}: {profile_named(chaos).about}" if chaos else "fair")
    table.add_row("Faults on demand", f"http://{host}:{port}/local/v1/status")
    table.add_row("End", "Ctrl-C")
    out().print(Panel(table, title="stakan exchange: Bybit v5, money that is not real", expand=False))


def _conclude(counts: dict[str, object]) -> None:
    table = Table(title="What happened", show_header=False)
    for name in ("requests", "frames", "exposed"):
        table.add_row(name, f"{counts[name]:,}")
    faults = counts["faults"]
    assert isinstance(faults, dict)
    for name, count in faults.items():
        table.add_row(f"fault: {name}", f"{count:,}")
    errors().print(table)
