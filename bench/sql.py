"""The SQL side: what an operation costs on PostgreSQL, and how fast a journal becomes rows on either engine.

PostgreSQL at STAKAN_TEST_POSTGRESQL (default postgresql://postgres@127.0.0.1:5432/postgres); databases of its own are
made there and dropped. Wall time: what counts is the way to the server and its disk, not our processor.
"""

import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from sqlalchemy import URL

from bench._rows import Measured, Options, Row
from stakan.adapters.sql import queries, schema
from stakan.adapters.sql.batch import By
from stakan.adapters.sql.database import Database, database_url, sqlite_url
from stakan.adapters.sql.moments import moments
from stakan.adapters.sql.owned import parameters_of, save_parameters
from stakan.adapters.sql.projection import Fold
from stakan.adapters.sql.projector import Projector
from stakan.adapters.synthetic.config import demo_config
from stakan.apps.backtest import run_backtest
from stakan.apps.config import load_settings
from stakan.apps.live.state_folder import RUNS
from stakan.apps.projector import StateJournals
from stakan.apps.sources import from_generator
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import MINUTE, Nanos

SERVER = os.environ.get("STAKAN_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres")
_RUN = "20260101-000000-bench"
_OPERATIONS = 300
_MINUTES = 5.0
_BAR_MS = 10.0
_SETTINGS = ("engine.candle_interval=1s", "densities.min_notional=50000", "engine.cooldown=1s")

Operation = Callable[[Database, int], Awaitable[object]]


def run(options: Options) -> list[Row]:
    """Rows `sql.*`."""
    scratch = options.scratch / "sql"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        return asyncio.run(_rows(scratch, options))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


async def _rows(scratch: Path, options: Options) -> list[Row]:
    tail, steps, rows = _journal(scratch, options)
    data = f"journal of a synthetic market of 3 symbols, {steps:,} steps, {rows:,} rows and audit records"
    on_sqlite = await _projection("sqlite", lambda: _file(scratch), tail, steps, data, options)
    missing = await _missing_server()
    if missing:
        return [on_sqlite, *(_skipped(name, missing) for name in ("projection_postgresql", *_OF_REPOSITORY))]
    on_postgresql = await _projection("postgresql", _database, tail, steps, data, options)
    return [on_sqlite, on_postgresql, *await _operations(tail, options)]


# --- a journal becomes rows -------------------------------------------------------------------------------------------


def _journal(scratch: Path, options: Options) -> tuple[StateJournals, int, int]:
    """A state folder with one run; its steps, and the rows that follow from them."""
    market = demo_config(seed=7, duration_ns=Nanos(int(max(0.2, _MINUTES * options.scale) * MINUTE)))
    run_backtest(from_generator(market), load_settings(None, _SETTINGS, {}), scratch / RUNS / _RUN, journal=True)
    tail = StateJournals(scratch)
    fold = Fold()
    fold.begin(_RUN, tail.header(_RUN), carries_on=False)
    count = 0
    for moment in moments(tail.after(_RUN, 0)):
        fold.take(moment)
        count += 1
    return tail, count, len(fold.take_batch())


async def _projection(
    engine: str, place: Callable[[], object], tail: StateJournals, steps: int, data: str, options: Options
) -> Row:
    samples = []
    for _ in range(min(options.repetitions, 5) + 1):
        async with place() as url, _opened(url) as database:
            started = time.perf_counter()
            await Projector(database, tail, "bench").catch_up()
            samples.append(steps / (time.perf_counter() - started))
    return Row(
        name=f"sql.projection_{engine}",
        what=f"journal → {engine}: read, folded, written with its audit chain, in transactions of 2,000 rows",
        unit="steps/s",
        event="one step of the journal, market events included",
        data=data,
        ours=Measured(tuple(samples[1:])),
    )


# --- operations -------------------------------------------------------------------------------------------------------


async def _save(database: Database, number: int) -> object:
    key = InstrumentId(f"bybit:linear:X{number % 20}")
    return await save_parameters(database, await parameters_of(database, key), {"a": number}, By("bench", number))


async def _open_orders(database: Database, _number: int) -> object:
    return await queries.open_orders(database)


async def _trades(database: Database, _number: int) -> object:
    return await queries.ranked_trades(database, queries.Span(), 10, best=True)


_OF_REPOSITORY: dict[str, tuple[str, Operation]] = {
    "save": ("read a versioned row, write it with its audit record, committed and synced", _save),
    "open_orders": ("orders that may still be filled", _open_orders),
    "best_trades": ("the ten most profitable trades", _trades),
}


async def _operations(tail: StateJournals, options: Options) -> list[Row]:
    rows = []
    async with _database() as url, _opened(url) as database:
        await Projector(database, tail, "bench").catch_up()
        for name, (what, operation) in _OF_REPOSITORY.items():
            samples = [await _median_ms(database, operation, options) for _ in range(min(options.repetitions, 5))]
            rows.append(
                Row(
                    name=f"sql.{name}",
                    what=f"PostgreSQL, {what}",
                    unit="ms",
                    event=f"one operation; a sample is the median of {options.count(_OPERATIONS)}",
                    data="the journal above, projected; server on this machine, loopback",
                    ours=Measured(tuple(samples)),
                    bar=_BAR_MS,
                    lower=True,
                )
            )
    return rows


async def _median_ms(database: Database, operation: Operation, options: Options) -> float:
    took = []
    for number in range(options.count(_OPERATIONS)):
        started = time.perf_counter()
        await operation(database, number)
        took.append((time.perf_counter() - started) * 1e3)
    return statistics.median(took)


def _skipped(name: str, why: str) -> Row:
    return Row(name=f"sql.{name}", what="PostgreSQL", unit="", event="", data="", skipped=why)


# --- places -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _file(scratch: Path):
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        yield sqlite_url(Path(folder) / "bench.sqlite")


@asynccontextmanager
async def _database():
    name = f"stakan_bench_{os.getpid()}"
    await _administer(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}")
    try:
        yield database_url(SERVER).set(database=name)
    finally:
        await _administer(f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def _opened(url: URL):
    database = Database(url)
    try:
        await schema.upgrade(database)
        yield database
    finally:
        await database.close()


async def _administer(*statements: str) -> None:
    connection = await asyncpg.connect(SERVER, timeout=3)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _missing_server() -> str:
    try:
        await _administer("SELECT 1")
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        return f"no PostgreSQL at {SERVER.rpartition('@')[2]}: {type(error).__name__}"
    return ""
