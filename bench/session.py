"""A busy recorded session through the whole backtest: store, engine with features and three strategies, exchange."""

import shutil
import time
from functools import partial
from pathlib import Path

from bench._rows import Options, Row, interleaved
from bench._store import import_session, stored
from stakan.apps.backtest import Backtest
from stakan.apps.sections import EngineSection
from stakan.apps.settings import Settings
from stakan.apps.sources import Source, from_store
from stakan.core.domain.units import SECOND

_BAR = 100.0
_WHAT = "recorded session, backtest: first feature set, three strategies, risk, simulated exchange, run record"
_DATA = "Binance {}USDT perpetual 2024-07-18/19, every message (480 s)"


def run(options: Options) -> list[Row]:
    """Rows `session.*`."""
    rows = [_row(options, name, "500ms", _BAR) for name in ("btc", "eth")]
    return [*rows, _row(options, "btc", "100ms", None), _row(options, "btc", "0s", None), _import(options)]


def replay(source: Source, interval: str) -> tuple[float, Backtest]:
    """(market seconds per second of wall time, the run), one-second candles so that they warm up."""
    settings = Settings(engine=EngineSection(decision_interval=interval, candle_interval="1s"))
    started = time.perf_counter()
    backtest = Backtest(source, settings)
    backtest.run()
    seconds = time.perf_counter() - started
    return (source.last_ts - source.first_ts) / SECOND / seconds, backtest


def _row(options: Options, name: str, interval: str, bar: float | None) -> Row:
    root = stored(name, options).root
    whole = from_store(root)
    span = int((whole.last_ts - whole.first_ts) * options.scale)
    source = from_store(root, stop=whole.first_ts + span)
    runs: list[Backtest] = []

    def sample() -> float:
        speed, backtest = replay(source, interval)
        runs[:] = [backtest]
        return speed

    (ours,) = interleaved(min(options.repetitions, 5), sample)
    result = runs[0].result("bench")
    every = "on every message" if interval == "0s" else f"every {interval}"
    return Row(
        name=f"session.{name}" + ("" if bar else f"_{interval}"),
        what=f"{_WHAT}; decisions {every}",
        unit="x real time",
        event="a second of market in wall time, Parquet reading included, kernels compiled before",
        data=_DATA.format(name.upper()),
        ours=ours,
        bar=bar,
        note=f"{name} {interval}: {result.speed.events} events, {len(result.fills)} fills, "
        f"fingerprint {result.fingerprint[:12]}",
    )


def _import(options: Options) -> Row:
    folder = options.scratch / "store-import"
    (ours,) = interleaved(min(options.repetitions, 3), partial(_import_once, options, folder))
    return Row(
        name="session.import",
        what="the same session from its recorded files into the store (decoded twice: the first time finds the clock shift)",
        unit="events/s",
        event="one message or print",
        data=_DATA.format("BTC"),
        ours=ours,
    )


def _import_once(options: Options, folder: Path) -> float:
    shutil.rmtree(folder, ignore_errors=True)
    count, seconds = import_session("btc", options, folder)
    return count / seconds
