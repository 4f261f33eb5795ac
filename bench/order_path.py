"""Frame received to order frame written: a bot at the local exchange over loopback, journal on and synced.

The bot of `stakan trade` as it is, in this process; the exchange in another one, on another core where there is one.
"""

import asyncio
import os
import shutil
import statistics
import time
from pathlib import Path
from unittest import mock

import uvloop

from bench import pulse
from bench._rows import Measured, Options, Row, unpin
from stakan.apps.backtest import warm_up
from stakan.apps.config import load_settings
from stakan.apps.live.latency import DECIDE
from stakan.apps.live.mode import Mode
from stakan.apps.live.session import Ended, Stopping
from stakan.apps.live.state_folder import StateFolder
from stakan.apps.processes import Child
from stakan.apps.settings import Settings
from stakan.apps.trade import trade

SYMBOLS = 20
SECONDS = 30.0
_BARE_BYTES = 4096
_BARE_SYNCS = 50
_BARE_PAUSE_S = 0.1
"""A disk that was idle answers later than one that is asked again at once, and orders are seldom."""
_BARS = {"p50": 1.0, "p99": 5.0}
_KEYS = {"BYBIT_API_KEY": "stakan-key", "BYBIT_API_SECRET": "stakan-secret"}


def run(options: Options) -> list[Row]:
    """Rows `order_path.*`."""
    # Not a temporary folder: those may be in memory, where syncing costs nothing.
    scratch = options.scratch / "order-path"
    shutil.rmtree(scratch, ignore_errors=True)
    ended, bare = [], []
    try:
        for number in range(min(options.repetitions, 3)):
            ended.append(_once(scratch / str(number), options))
            bare += _bare_syncs(scratch / "bare")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return [_row(name, bar, ended, statistics.median(bare)) for name, bar in _BARS.items()]


def _bare_syncs(path: Path) -> list[float]:
    """Milliseconds that this disk takes for a few kilobytes at the end of a file now and then, with nothing of ours around."""
    taken = []
    data = os.urandom(_BARE_BYTES)
    with path.open("wb", buffering=0) as file:
        for _ in range(_BARE_SYNCS):
            time.sleep(_BARE_PAUSE_S)
            began = time.perf_counter()
            file.write(data)
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1000)
    path.unlink()
    return taken


def _row(name: str, bar: float, ended: list[Ended], bare: float) -> Row:
    stages = [{stage.stage: stage for stage in one.latencies}[DECIDE] for one in ended]
    result = ended[-1].result
    return Row(
        name=f"order_path.{name}",
        what="frame stamped on receipt to order written to the trade socket: decode, book, first feature set, decision "
        "on every message, risk, journal synced to the disk, signature",
        unit="ms",
        event=f"one order; {name} of a run of {SECONDS:g} s, a sample is a run",
        data=f"synthetic market of {SYMBOLS} symbols at its own rate from the local exchange, loopback",
        ours=Measured(tuple(getattr(stage, name) for stage in stages)),
        bar=bar,
        lower=True,
        note=f"of which this disk alone, asked as seldom as orders come, median: {bare:.2f} ms; "
        f"{sum(stage.count for stage in stages)} orders; {result.speed.events_per_second:.0f} events/s; "
        f"worst {max(stage.worst for stage in stages):.2f} ms",
    )


def _once(folder: Path, options: Options) -> Ended:
    ready = folder / "exchange.json"
    words = ["exchange", "--symbols", str(SYMBOLS), "--port", "0", "--rate-factor", "0", "--reply-delay", "0ms"]
    with Child("exchange", [*words, "--ready-file", str(ready)], folder) as exchange:
        port = exchange.until(ready)["port"]
        unpin(exchange.pid)
        settings = _settings(folder, port)
        warm_up(settings)
        with (
            mock.patch.dict(os.environ, _KEYS),
            StateFolder(folder / "state") as state,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            return runner.run(_trade(settings, state, max(4.0, SECONDS * options.scale)))


async def _trade(settings: Settings, state: StateFolder, seconds: float) -> Ended:
    stopping = Stopping()

    def said(text: str) -> None:
        # Pre-flight of many symbols takes its time; what is measured begins here.
        if text.startswith("running"):
            asyncio.get_running_loop().call_later(seconds, stopping.ask, "measured")

    return await trade(settings, Mode.TESTNET, state, stopping, said)


def _settings(folder: Path, port: int) -> Settings:
    return load_settings(
        None,
        [
            "venue.environment=local",
            f"venue.local_url=http://127.0.0.1:{port}",
            f"trade.state={folder / 'state'}",
            # Two cores: bot and exchange. Rows are written by a process of its own.
            "database.follow=false",
            "metrics.port=0",
            "universe.ranking=volume",
            f"universe.size={SYMBOLS}",
            "universe.min_turnover=0",
            "universe.max_spread_bps=1000",
            "engine.decision_interval=0s",
            "engine.candle_interval=1s",
            "engine.cooldown=0s",
            f'strategies=[{{name="pulse",file="{pulse.__file__}"}}]',
        ],
        {},
    )
