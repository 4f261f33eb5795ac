"""`stakan db`: look after the database, and ask it what traders ask."""

import asyncio
import getpass
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from rich.markup import escape

from stakan.adapters.sql import audit, check, owned, queries, schema, upkeep
from stakan.adapters.sql.batch import By
from stakan.adapters.sql.database import Database
from stakan.adapters.sql.projector import Projector
from stakan.apps.cli import db_tables as tables
from stakan.apps.cli.output import EXIT_DATA, errors, out, parse_time, reports_errors, write_json
from stakan.apps.cli.project import AsJson, ConfigFile, Overrides, StateOption, settings_for
from stakan.apps.database import existing_database, open_database
from stakan.apps.projector import StateJournals, only_projector, source_of
from stakan.apps.settings import Settings
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.units import HOUR

db_app = typer.Typer(help="Look after the database, and ask it.", no_args_is_help=True)

R = TypeVar("R")

_SHOWN = 50
"""Differences that are shown; JSON has all."""

From = Annotated[str | None, typer.Option("--from", help="First moment (UTC).")]
To = Annotated[str | None, typer.Option("--to", help="End, not included.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")]


# --- upkeep -----------------------------------------------------------------------------------------------------------


class Migrated(msgspec.Struct, frozen=True):
    """The answer of `db migrate --json`."""

    database: str
    before: str
    after: str
    server: str
    timescaledb: str


@db_app.command("migrate")
@reports_errors
def migrate_command(
    *, state: StateOption = None, config: ConfigFile = None, override: Overrides = None, as_json: AsJson = False
) -> None:
    """Make the tables, or bring them up to date; does nothing where they are."""
    settings = settings_for(state, config, override)

    async def work(database: Database) -> Migrated:
        before, after = await schema.upgrade(database)
        server = await database.server()
        if server.timescaledb_available and not server.timescaledb:
            errors().print("TimescaleDB could be used here: CREATE EXTENSION timescaledb before the first migration.")
        return Migrated(database.name, before, after, f"{server.kind} {server.version}", server.timescaledb)

    answer = _run(open_database(settings), work)
    if as_json:
        write_json(answer)
        return
    with_timescale = f" with TimescaleDB {answer.timescaledb}" if answer.timescaledb else ""
    did = "is up to date" if answer.before == answer.after else f"was {answer.before}"
    say(f"{answer.database} ({answer.server}{with_timescale}): schema {answer.after}, {did}")


class Checked(msgspec.Struct, frozen=True):
    """The answer of `db check --json`."""

    differences: list[check.Difference]
    repaired: int
    """How many of them were; records of the audit log never are."""
    is_repaired: bool
    """Whether all of them were."""


@db_app.command("check")
@reports_errors
def check_command(
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Make the rows what the journal says.")] = False,
    state: StateOption = None,
    config: ConfigFile = None,
    override: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Compare every row with what the journal says; exits with 3 where one differs and was not repaired.

    A repair is in the audit log, with what was there; records of that log are never repaired. Series of the market are
    not compared, as the journal keeps the market for a day only.
    """
    settings = settings_for(state, config, override)
    folder = settings.trade.state
    if repair:
        with only_projector(folder):
            answer = asked(settings, lambda database: _checked(database, folder, repair=True))
    else:
        answer = asked(settings, lambda database: _checked(database, folder, repair=False))
    if as_json:
        write_json(answer)
    else:
        for difference in answer.differences[:_SHOWN]:
            out().print(escape(tables.difference_text(difference)), soft_wrap=True, highlight=False)
        say(_outcome(answer, was_to_repair=repair))
    if answer.differences and not answer.is_repaired:
        raise typer.Exit(EXIT_DATA)


async def _checked(database: Database, folder: Path, *, repair: bool) -> Checked:
    found = await check.compare(database, StateJournals(folder), source_of(folder))
    mended = await check.repair(database, found, done_by()) if repair and found.differences else []
    return Checked(found.differences, len(mended), bool(mended) and len(mended) == len(found.differences))


def _outcome(checked: Checked, *, was_to_repair: bool) -> str:
    count, left = len(checked.differences), len(checked.differences) - checked.repaired
    if not count:
        return "every row is what the journal says"
    text = f"{count} rows differ from the journal"
    if not was_to_repair:
        return text
    return f"{text}: {checked.repaired} repaired" + (f", {left} not: the audit log is never repaired" if left else "")


@db_app.command("prune")
@reports_errors
def prune_command(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and leave it.")] = False,
    state: StateOption = None,
    config: ConfigFile = None,
    override: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Take away series that are older than their time: market pictures 30 days, densities 60, candles 90.

    `stakan project` does it once an hour by itself.
    """
    settings = settings_for(state, config, override)
    found = asked(settings, lambda database: upkeep.prune(database, time.time_ns(), dry_run=dry_run))
    if as_json:
        write_json(found)
    else:
        out().print(tables.pruned_table(found, dry_run=dry_run))


@db_app.command("verify-audit")
@reports_errors
def verify_audit_command(
    *, state: StateOption = None, config: ConfigFile = None, override: Overrides = None, as_json: AsJson = False
) -> None:
    """Prove that the audit log is whole and unchanged; names the first broken link, and exits with 3."""
    chain = asked(settings_for(state, config, override), audit.verify)
    if as_json:
        write_json(chain)
    elif chain.broken is None:
        say(f"{chain.records:,} records, each sealed by the next")
    else:
        errors().print(f"[bold red]record {chain.broken.id}: {escape(chain.broken.why)}[/]", soft_wrap=True)
    if chain.broken is not None:
        raise typer.Exit(EXIT_DATA)


@db_app.command("rebuild")
@reports_errors
def rebuild_command(
    *,
    confirmed: Annotated[bool, typer.Option("--yes", help="Demanded: rows are dropped first.")] = False,
    state: StateOption = None,
    config: ConfigFile = None,
    override: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Drop all projected rows and build them again from the journals; the audit log, notes and parameters stay."""
    if not confirmed:
        raise ConfigError("rebuild drops all projected rows before it builds them again: say --yes")
    settings = settings_for(state, config, override)
    folder = settings.trade.state

    async def work(database: Database) -> Any:
        tail = StateJournals(folder)
        await upkeep.forget_rows(database, tail, done_by())
        return await Projector(database, tail, source_of(folder)).catch_up()

    with only_projector(folder), errors().status("building rows"):
        progress = asked(settings, work)
    if as_json:
        write_json(progress)
    else:
        say(f"{progress.steps:,} steps projected, up to {progress.run} #{progress.number}")


# --- questions --------------------------------------------------------------------------------------------------------


@db_app.command("orders")
@reports_errors
def orders_command(
    *, state: StateOption = None, config: ConfigFile = None, override: Overrides = None, as_json: AsJson = False
) -> None:
    """Orders that may still be filled."""
    show(asked(settings_for(state, config, override), queries.open_orders), tables.orders_table, as_json=as_json)


@db_app.command("trades")
@reports_errors
def trades_command(  # noqa: PLR0913 - one argument per option
    *,
    best: Annotated[int | None, typer.Option("--best", min=1, help="The most profitable ones.")] = None,
    worst: Annotated[int | None, typer.Option("--worst", min=1, help="Those that lost most.")] = None,
    limit: Limit = 50,
    start: From = None,
    stop: To = None,
    state: StateOption = None,
    config: ConfigFile = None,
    override: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Closed positions, the newest first, or the best or worst of them."""
    if best is not None and worst is not None:
        raise ConfigError("--best and --worst: give one or the other")
    span = span_of(start, stop)

    def ask(database: Database) -> Awaitable[list[queries.TradeLine]]:
        count = best or worst
        if count is None:
            return queries.trades(database, span, limit)
        return queries.ranked_trades(database, span, count, best=best is not None)

    show(asked(settings_for(state, config, override), ask), tables.trades_table, as_json=as_json)


@db_app.command("exits")
@reports_errors
def exits_command(
    *,
    start: From = None,
    stop: To = None,
    state: StateOption = None,
    config: ConfigFile = None,
    override: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Closed positions by why they were left: how many, how many won, and what came of them."""
    span = span_of(start, stop)
    found = asked(settings_for(state, config, override), lambda database: queries.exits_by_reason(database, span))
    show(found, tables.exits_table, as_json=as_json)


@db_app.command("signals")
@reports_errors
def signals_command(
    *,
    start: From = None,
    stop: To = None,
    state: StateOption = None,
    config: ConfigFile = None,
    override: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """How far each strategy's signals get: proposed, approved, filled, won, and why not."""
    span = span_of(start, stop)
    found = asked(settings_for(state, config, override), lambda database: queries.signal_efficiency(database, span))
    show(found, tables.signals_table, as_json=as_json)


@db_app.command("levels")
@reports_errors
def levels_command(
    instrument: Annotated[str | None, typer.Argument(help="Only this instrument, by its id.")] = None,
    *,
    limit: Limit = 50,
    start: From = None,
    stop: To = None,
    state: StateOption = None,
    config: ConfigFile = None,
    override: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Levels of support and resistance that price touched and left again: which held, which broke; the newest first."""
    span = span_of(start, stop)

    def ask(database: Database) -> Awaitable[list[queries.LevelLine]]:
        return queries.levels_tested(database, span, instrument, limit)

    show(asked(settings_for(state, config, override), ask), tables.levels_table, as_json=as_json)


@db_app.command("failures")
@reports_errors
def failures_command(
    *,
    hours: Annotated[float, typer.Option("--hours", min=0.01, help="How far back.")] = 24.0,
    limit: Limit = 1_000,
    state: StateOption = None,
    config: ConfigFile = None,
    override: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """What failed lately: orders rejected or failed, refused requests and stops, discrepancies."""
    since = time.time_ns() - int(hours * HOUR)
    found = asked(settings_for(state, config, override), lambda database: queries.failures(database, since, limit))
    show(found, tables.audit_table, as_json=as_json)


@db_app.command("trace")
@reports_errors
def trace_command(
    trace: Annotated[str, typer.Argument(help="An intent, or RUN#STEP.")],
    *,
    state: StateOption = None,
    config: ConfigFile = None,
    override: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Everything that belongs together: signal, decision, orders, fills, position, audit records."""
    found = asked(settings_for(state, config, override), lambda database: queries.trace(database, trace))
    show(found, tables.trace_table, as_json=as_json)


@db_app.command("audit")
@reports_errors
def audit_command(
    entity: Annotated[str, typer.Argument(help="An order, a position, an instrument, an intent, a request.")],
    *,
    limit: Limit = 1_000,
    state: StateOption = None,
    config: ConfigFile = None,
    override: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """The audit records of one thing, oldest first."""
    found = asked(settings_for(state, config, override), lambda database: queries.audit_of(database, entity, limit))
    show(found, tables.audit_table, as_json=as_json)


@db_app.command("note")
@reports_errors
def note_command(
    run: Annotated[str, typer.Argument(help="Run of the trade, as `db trades` shows it.")],
    position: Annotated[str, typer.Argument(help="Its position, e.g. bybit:linear:BTCUSDT#7.")],
    note: Annotated[str, typer.Argument(help="What there is to say.")],
    *,
    state: StateOption = None,
    config: ConfigFile = None,
    override: Overrides = None,
) -> None:
    """Write a note on a trade, in place of the one that is there."""

    async def work(database: Database) -> owned.Note:
        read = await owned.note_of(database, run, position)
        return await owned.save_note(database, read, note, done_by())

    saved = asked(settings_for(state, config, override), work)
    say(f"noted, version {saved.version}")


# --- parts ------------------------------------------------------------------------------------------------------------


def asked(settings: Settings, work: Callable[[Database], Awaitable[R]]) -> R:
    """The answer of a database that is there and up to date."""

    async def checked(database: Database) -> R:
        await schema.demand_newest(database)
        return await work(database)

    return _run(existing_database(settings), checked)


def _run(database: Database, work: Callable[[Database], Awaitable[R]]) -> R:
    async def closing() -> R:
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(closing())


def span_of(start: str | None, stop: str | None) -> queries.Span:
    """The span of --from and --to; raises ConfigError for what is no time."""
    whole = queries.Span()
    return queries.Span(
        parse_time(start) if start else whole.start,
        parse_time(stop) if stop else whole.stop,
    )


def show(found: list[Any], table: Callable[[list[Any]], Any], *, as_json: bool) -> None:
    """Lines as a table, or as JSON."""
    if as_json:
        write_json(found)
    elif found:
        out().print(table(found))
    else:
        say("nothing")


def say(text: str) -> None:
    """A line for people, as it is."""
    out().print(escape(text), soft_wrap=True, highlight=False)


def done_by() -> By:
    """Whom the audit log names for what is done by hand."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "operator"
    return By(user, time.time_ns())
