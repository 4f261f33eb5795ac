"""Recordings as the store that a backtest reads; imported once, kept beside the frames."""

import shutil
import time
from pathlib import Path

from bench._rows import Options
from stakan.adapters import instruments
from stakan.adapters.importers.recording import open_recording
from stakan.adapters.parquet.reader import MarketStore
from stakan.adapters.parquet.schema import Source
from stakan.adapters.parquet.writer import MarketWriter

SESSIONS = {
    "btc": "binance-l2/usdm_btcusdt_2024*.gz",
    "eth": "binance-l2/usdm_ethusdt_2024*.gz",
    "nexo": "binance-l2-thin/nexousdt_*.gz",
}


def stored(name: str, options: Options) -> MarketStore:
    """The store of a session."""
    folder = options.scratch / f"store-{name}"
    if not folder.exists():
        import_session(name, options, folder)
    return MarketStore(folder)


def import_session(name: str, options: Options, folder: Path) -> tuple[int, float]:
    """Import a session; returns (events, seconds)."""
    assert options.data is not None
    started = time.perf_counter()
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    known = instruments.recorded()
    recording = open_recording(sorted(options.data.glob(SESSIONS[name])), known)
    source = Source(description=f"bench {name}", format=str(recording.format), clock_shift_ns=recording.clock_shift)
    count = 0
    with MarketWriter(part, source, known) as writer:
        for event in recording.events():
            writer.add(event)
            count += 1
    part.rename(folder)
    return count, time.perf_counter() - started
