"""From the start of a process to a bot whose books agree with the exchange, after the one before it was killed.

The real `stakan trade` at the local exchange over sockets, under Bybit's rate limits. Two kinds of past: a day of
journal, and a run that was killed with positions and resting orders at the exchange.
"""

import asyncio
import json
import shutil
import time
from pathlib import Path

from bench._rows import Measured, Options, Row, unpin
from stakan.adapters.exchanges.bybit import inquiry
from stakan.adapters.exchanges.bybit.client import ask_once
from stakan.adapters.exchanges.bybit.endpoints import LOCAL_VENUE, environment
from stakan.adapters.exchanges.bybit.messages import amount
from stakan.adapters.exchanges.bybit.rest import Keys, measure_clock
from stakan.adapters.journal.disk import LOCAL
from stakan.adapters.journal.layout import snapshot_numbers, snapshot_path
from stakan.adapters.journal.reading import read_header
from stakan.adapters.journal.records import Header
from stakan.adapters.journal.writing import FileJournal, JournalLimits
from stakan.apps.exchange.listing import synthetic_symbols
from stakan.apps.live.state_folder import RUNS
from stakan.apps.processes import Child
from stakan.apps.projection import SOCKET_FILE
from stakan.apps.recorded_run import JOURNAL_FOLDER
from stakan.apps.replay import engine_of
from stakan.core.domain.events import AnyEvent, Ticker, TradePrint
from stakan.core.domain.ids import instrument_id
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import HOUR, MINUTE, SECOND, Side
from stakan.core.engine import Engine

SYMBOLS = 200
HELD = 20
DAY_HOURS = 24
BAR_S = 5.0
TAIL_S = 20
"""Age of the newest state at which a bot is killed; two thousand events a second make it write one in 25 s."""
_EVERY_NS = SECOND // 4
"""Between two events of the day of journal."""
_KEYS = {"BYBIT_API_KEY": "stakan-key", "BYBIT_API_SECRET": "stakan-secret"}
_PATIENCE_S = 240.0
_PACE = 2.0


def run(options: Options) -> list[Row]:
    """Rows `recovery.*`."""
    # Not a temporary folder: those may be in memory, where syncing costs nothing.
    scratch = (options.scratch / "recovery").absolute()
    shutil.rmtree(scratch, ignore_errors=True)
    symbols = max(12, round(SYMBOLS * options.scale))
    tail_s = TAIL_S if options.scale == 1 else 1.0
    ready = scratch / "exchange.json"
    words = ["exchange", "--symbols", str(symbols), "--pace", str(_PACE), "--port", "0", "--balance", "1000000"]
    try:
        with Child("exchange", [*words, "--ready-file", str(ready)], scratch) as exchange:
            port = exchange.until(ready)["port"]
            unpin(exchange.pid)
            bench = _Bench(scratch, port, symbols)
            return [bench.after_a_day(options), bench.with_orders(tail_s)]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class _Bench:
    """One state folder at one exchange."""

    def __init__(self, folder: Path, port: int, symbols: int) -> None:
        self._folder = folder
        self._state = folder / "state"
        self._url = f"http://127.0.0.1:{port}"
        self._config = folder / "bot.toml"
        names = [one.instrument.id.rpartition(":")[2] for one in synthetic_symbols(symbols)]
        self._names = names
        self._count = symbols
        self._held = min(HELD, symbols // 3)
        self._config.write_text(
            _CONFIG.format(
                url=self._url,
                state=self._state,
                file=Path(__file__).with_name("hold_and_rest.py"),
                held=json.dumps([instrument_id(LOCAL_VENUE, Category.LINEAR, name) for name in names[: self._held]]),
            )
        )
        self._lives = 0

    def after_a_day(self, options: Options) -> Row:
        """Start on a journal of a whole day, with nothing open."""
        # Its first life only makes the header that the journal of the day begins with.
        some = self._names[:HELD]
        life, _ = self._start(some, "strategies=[]")
        life.kill()
        hours = DAY_HOURS if options.scale == 1 else 2
        (run,) = (self._state / RUNS).iterdir()
        steps, size = _write_day(run / JOURNAL_FOLDER, hours)
        life, taken = self._start(some, "strategies=[]")
        life.kill()
        return _row(
            "after_a_day",
            taken,
            f"a journal of {hours} h: {steps} steps, {size / 1e6:.0f} MB, {len(some)} instruments, nothing open",
        )

    def with_orders(self, tail_s: float) -> Row:
        """Start where the one before was killed with positions and resting orders, most of a minute after its last state."""
        life, _ = self._start()
        held, orders = self._until_all_is_there(life)
        self._until_state_is_old(life, tail_s)
        life.kill()
        life, taken = self._start()
        again, _ = self._open()
        life.kill()
        return _row(
            "with_orders",
            taken,
            f"{held} open positions and {orders} open orders, their stops included, in {self._count} instruments",
            failed="" if again >= held else f"{again} positions afterwards",
        )

    def _start(self, instruments: list[str] | None = None, *more: str) -> tuple[Child, float]:
        """A bot, and the seconds from the start of its process to its trading."""
        self._lives += 1
        socket = self._state / SOCKET_FILE
        socket.unlink(missing_ok=True)
        words = ["trade", "--mode", "testnet", "--config", str(self._config)]
        for name in instruments or self._names:
            words += ["--instrument", name]
        for one in more:
            words += ["--set", one]
        began = time.perf_counter()
        life = Child(f"bot-{self._lives}", words, self._folder, _KEYS)
        while not socket.exists():
            if life.code is not None or time.perf_counter() - began > _PATIENCE_S:
                raise RuntimeError(f"the bot did not come up:\n{life.tail()}")
            time.sleep(0.01)
        return life, time.perf_counter() - began

    def _until_all_is_there(self, life: Child) -> tuple[int, int]:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            held, orders = self._open()
            if held >= self._held and orders >= self._count:
                return held, orders
            if life.code is not None or time.monotonic() > deadline:
                raise RuntimeError(f"only {held} positions and {orders} orders:\n{life.tail()}")
            time.sleep(1)

    def _until_state_is_old(self, life: Child, seconds: float) -> None:
        journal = max((self._state / RUNS).iterdir(), key=lambda run: run.stat().st_mtime) / JOURNAL_FOLDER
        deadline = time.monotonic() + _PATIENCE_S
        while life.code is None and time.monotonic() < deadline:
            numbers = snapshot_numbers(journal, LOCAL)
            if numbers and time.time() - snapshot_path(journal, numbers[-1]).stat().st_mtime >= seconds:
                return
            time.sleep(0.5)
        raise RuntimeError(f"no state grew {seconds} s old:\n{life.tail()}")

    def _open(self) -> tuple[int, int]:
        """Positions and orders at the exchange."""

        def procedure(_line, clock):
            yield from measure_clock(clock, time.time_ns)
            positions = yield from inquiry.positions()
            orders = yield from inquiry.open_orders()
            return sum(1 for row in positions if amount(row.size)), len(orders)

        keys = Keys(_KEYS["BYBIT_API_KEY"], _KEYS["BYBIT_API_SECRET"])
        where = environment("local", local_url=self._url)
        return asyncio.run(ask_once(where, keys, procedure, time.time_ns))


def _row(name: str, taken: float, what: str, failed: str = "") -> Row:
    return Row(
        name=f"recovery.{name}",
        what="process started to books and account compared, stops in place, market followed",
        unit="s",
        event="one start of `stakan trade`, Python's own start included",
        data=f"local exchange over sockets, on another core, at Bybit's rate limits; {what}",
        ours=Measured((taken,)),
        bar=BAR_S,
        lower=True,
        failed=failed,
    )


def _write_day(folder: Path, hours: int) -> tuple[int, int]:
    """Put a journal of so many hours, up to now, in the place of another one; its steps and bytes."""
    header = read_header(folder)
    shutil.rmtree(folder)
    engine = engine_of(header)
    with FileJournal(folder, header, limits=JournalLimits(ballast_bytes=0)) as journal:
        _live(engine, journal, header, hours)
        # As a killed bot leaves it.
        journal.flush()
        journal.abandon()
    return engine.state.number, sum(path.stat().st_size for path in folder.iterdir())


def _live(engine: Engine, journal: FileJournal, header: Header, hours: int) -> None:
    end = time.time_ns() - SECOND
    start = end - hours * HOUR
    due = start + MINUTE
    rules = header.instruments
    for number, ts in enumerate(range(start, end, _EVERY_NS)):
        event = _event(rules[number % len(rules)], number, ts)
        journal.event(engine.state.number + 1, event)
        journal.append(engine.step(event))
        # As a bot does: steps are farther apart than its `trade.journal_interval`.
        journal.flush()
        if ts >= due:
            due += MINUTE
            journal.snapshot(engine.state.number, engine.snapshot())


def _event(rules: Instrument, number: int, ts: int) -> AnyEvent:
    if number % 2:
        return Ticker(instrument=rules.id, ts_event=ts, ts_recv=ts, mark=rules.price(10_000 + number % 7))
    return TradePrint(
        instrument=rules.id, ts_event=ts, ts_recv=ts, price=10_000 + number % 7, size=1, side=Side.BUY, trade_id=number
    )


_CONFIG = """
[trade]
state = "{state}"

[venue]
environment = "local"
local_url = "{url}"
depth = 50
best_quotes = false

[engine]
entry_timeout = "24h"

[account]
leverage = 5

[sizing]
notional = 200

[database]
follow = false

[metrics]
port = 0

[[strategies]]
name = "hold_and_rest"
file = "{file}"
[strategies.parameters]
held = {held}

[[risk]]
name = "position_count"
[risk.parameters]
max_positions = 1000

[[risk]]
name = "mandatory_stop"
[risk.parameters]
max_distance = 0.15

[[risk]]
name = "exposure"
[risk.parameters]
max_notional = 1000000
max_position_share = 1
"""
