"""A hundred symbols at fifty messages a second each over loopback: book, features and strategies on, in one process."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import msgspec
import psutil
import uvloop

from bench._rows import Measured, Options, Row, unpin
from stakan.apps.backtest import warm_up
from stakan.apps.config import load_settings
from stakan.apps.live.latency import FEED
from stakan.apps.live.mode import Mode
from stakan.apps.live.session import Ended, Stopping
from stakan.apps.live.state_folder import StateFolder
from stakan.apps.processes import Child
from stakan.apps.settings import Settings
from stakan.apps.trade import trade

SYMBOLS = 100
PACE = 44.0
"""Book messages a second; prints and tickers bring it to about fifty."""
SECONDS = 60.0
SETTLE_S = 5.0
"""After the start: subscriptions and first snapshots."""
_MEGABYTE = 1_000_000


class Load(msgspec.Struct, frozen=True):
    """What a run took."""

    cpu: float
    """Cores."""
    memory: float
    """Resident, megabytes, at the end."""
    messages: float
    """Events a second."""
    ended: Ended


def run(options: Options) -> list[Row]:
    """Rows `hundred_symbols.*`."""
    folder = Path(tempfile.mkdtemp(prefix="hundred-"))
    try:
        load = _once(folder, max(1.0, SECONDS * options.scale))
    finally:
        shutil.rmtree(folder)
    feed = next(stage for stage in load.ended.latencies if stage.stage == FEED)
    what = f"the bot in paper mode on {SYMBOLS} symbols, {load.messages:,.0f} events/s, journal on; exchange on another core"
    common = {
        "event": "one run",
        "data": f"synthetic market, {SYMBOLS} symbols, each change of a 50-level book, prints, tickers, over loopback",
        "lower": True,
    }
    return [
        Row(
            name="hundred_symbols.cpu",
            what=what,
            unit="cores",
            ours=Measured((load.cpu,)),
            bar=1.0,
            note="aim: half a core",
            **common,
        ),
        Row(name="hundred_symbols.memory", what=what, unit="MB", ours=Measured((load.memory,)), bar=2000.0, **common),
        Row(
            name="hundred_symbols.late",
            what="worst of the newest 4,096 sampled messages: exchange's time (whole ms) to receipt",
            unit="ms",
            ours=Measured((feed.worst,)),
            bar=50.0,
            note=f"p50 {feed.p50:.1f} ms, p99 {feed.p99:.1f} ms of {feed.count} samples",
            **common,
        ),
    ]


def _once(folder: Path, seconds: float) -> Load:
    ready = folder / "exchange.json"
    words = ["exchange", "--symbols", str(SYMBOLS), "--pace", str(PACE), "--intervals", "source", "--port", "0"]
    with Child("exchange", [*words, "--ready-file", str(ready)], folder) as exchange:
        port = exchange.until(ready)["port"]
        unpin(exchange.pid)
        settings = _settings(folder, port)
        warm_up(settings)
        with (
            StateFolder(folder / "state") as state,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            return runner.run(_trade(settings, state, seconds))


async def _trade(settings: Settings, state: StateFolder, seconds: float) -> Load:
    stopping = Stopping()
    process = psutil.Process()
    marks: list[tuple[float, float, float]] = []

    def mark() -> None:
        times = process.cpu_times()
        marks.append((loop.time(), times.user + times.system, process.memory_info().rss / _MEGABYTE))

    loop = asyncio.get_running_loop()

    def when_running(text: str) -> None:
        if text.startswith("running"):
            loop.call_later(SETTLE_S, mark)
            loop.call_later(SETTLE_S + seconds, mark)
            loop.call_later(SETTLE_S + seconds + 0.1, stopping.ask, "measured")

    ended = await trade(settings, Mode.PAPER, state, stopping, when_running)
    (began, cpu, _), (at, more, memory) = marks
    return Load((more - cpu) / (at - began), memory, ended.result.speed.events_per_second, ended)


def _settings(folder: Path, port: int) -> Settings:
    return load_settings(
        None,
        [
            "venue.environment=local",
            f"venue.local_url=http://127.0.0.1:{port}",
            "venue.depth=50",
            "venue.best_quotes=false",
            f"trade.state={folder / 'state'}",
            "universe.ranking=volume",
            f"universe.size={SYMBOLS}",
            "universe.keep_within=200",
            "universe.min_turnover=0",
            "universe.max_spread_bps=1000",
            "engine.candle_interval=5s",
            "account.leverage=5",
            # Rows are written by a process of its own; this measures the bot.
            "database.follow=false",
            "metrics.port=0",
        ],
        {},
    )
