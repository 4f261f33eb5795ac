"""Builds files of feature vectors from recorded market data: a job for each instrument and day, in any number of processes.

A day's file does not depend on what else is built: its market is always followed from the same time before the day, the
lead-in, as an engine of this configuration follows it. Levels of support and resistance remember longer than that: an
engine that has run for hours may know more of them.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np

from stakan.adapters.parquet.catalog import SeededHistory
from stakan.adapters.parquet.features import Chunk, Contents, Options, contents_of, write
from stakan.adapters.parquet.layout import Part, instrument_folder, visible_parts
from stakan.adapters.parquet.reader import MarketStore, first_moment, open_part
from stakan.adapters.parquet.schema import PartMetadata, StoredKind
from stakan.apps.settings import Settings
from stakan.apps.wiring import engine_config
from stakan.apps.workers import each
from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.events import MarketEvent
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import DAY, MINUTE
from stakan.core.engine import EngineConfig
from stakan.core.features.batch import on_grid
from stakan.core.features.stream import MultiSymbolFeaturePipeline
from stakan.core.features.vector import FeatureVector
from stakan.core.market.candles import KEPT
from stakan.core.market.densities import DensityParams

Walked = Callable[[int], None]
"""Told how much receive time of the market was walked through since the last call, nanoseconds."""
_CHUNK = 20_000
"""Rows that are held in memory."""
_OVER = 2 * MINUTE
"""What windows and the tape look back, and more."""


def lead_in(candle_interval_ns: int) -> int:
    """How long before a day its market is followed: all candles that are kept, and all windows."""
    return (KEPT + 1) * candle_interval_ns + _OVER


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """One file to build."""

    store: Path
    rules: Instrument
    contents: Contents
    path: Path
    config: EngineConfig
    first_ts: int
    last_ts: int
    """Receive times between which there is anything to walk through."""

    @property
    def start(self) -> int:
        """When following the market begins."""
        return first_moment(self.contents.day) - self.contents.lead_in_ns

    @property
    def length(self) -> int:
        """Receive time to walk through."""
        return self.last_ts - self.first_ts


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one instrument's day."""

    instrument: InstrumentId
    day: str
    file: str
    rows: int = 0
    """That were written; 0 for a file that was there."""
    is_new: bool = True


class Plan(msgspec.Struct, frozen=True):
    """What is to be built, and what is there already."""

    days: list[Day]
    present: list[Built]


def plan(
    store: MarketStore,
    instruments: Iterable[InstrumentId] | None,
    span: tuple[str, str],
    out: Path,
    grid_ns: int,
    settings: Settings,
) -> Plan:
    """The days from the first to the last, both included, of which there are books and no file of the same content.

    Raises DataError where there are no books of one of the instruments (None for all that have some) in this time,
    ConfigError where files of other options are in the way.
    """
    rules = store.instruments()
    keys = list(rules if instruments is None else instruments)
    config = engine_config(settings, "features", keys)
    known: dict[InstrumentId, list[tuple[Part, PartMetadata]]] = {key: [] for key in keys}
    for part in visible_parts(store.root):
        if part.instrument in known:
            file, metadata = open_part(part)
            file.close()
            known[part.instrument].append((part, metadata))
    found = Plan([], [])
    for key, parts in known.items():
        for day in sorted({part.day for part, _ in parts if part.kind is StoredKind.BOOK}):
            if span[0] <= day <= span[1]:
                _plan_day(found, _day(store.root, rules[key], day, [one for _, one in parts], out, grid_ns, config))
    seen = {day.rules.id for day in found.days} | {one.instrument for one in found.present}
    without = [key for key in keys if key not in seen]
    if without and (instruments is not None or not seen):
        raise DataError(f"{store.root}: no order books of {', '.join(without)} in this time; see `stakan data list`")
    return found


def _day(
    root: Path,
    rules: Instrument,
    day: str,
    parts: list[PartMetadata],
    out: Path,
    grid_ns: int,
    config: EngineConfig,
) -> Day:
    densities = _densities(config, rules.id)
    options = Options(
        grid_ns=grid_ns,
        candle_interval_ns=config.candle_interval_ns,
        params=msgspec.to_builtins(config.features),
        densities=None if densities is None else msgspec.to_builtins(densities),
    )
    ahead = lead_in(options.candle_interval_ns)
    start, stop = first_moment(day) - ahead, first_moment(day) + DAY
    parts = [part for part in parts if part.first_ts < stop and part.last_ts >= start]
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(msgspec.json.encode(part))
    return Day(
        store=root,
        rules=rules,
        contents=Contents(instrument=rules.id, day=day, options=options, lead_in_ns=ahead, data=digest.hexdigest()),
        path=instrument_folder(out, rules.id) / f"{day}.parquet",
        config=config,
        first_ts=max(start, min(part.first_ts for part in parts)),
        last_ts=min(stop, max(part.last_ts for part in parts)),
    )


def _plan_day(found: Plan, day: Day) -> None:
    there = contents_of(day.path) if day.path.exists() else None
    if there == day.contents:
        found.present.append(Built(instrument=day.rules.id, day=day.contents.day, file=str(day.path), is_new=False))
        return
    if there is not None and there.options != day.contents.options:
        raise ConfigError(
            f"{day.path} was built with other options ({differing(there, day.contents)}): name another --out"
        )
    found.days.append(day)


def differing(there: Contents, wanted: Contents) -> str:
    """In which options one file is not like another, for people."""
    one, other = msgspec.to_builtins(there.options), msgspec.to_builtins(wanted.options)
    return ", ".join(f"{name} {one[name]} instead of {other[name]}" for name in one if one[name] != other[name])


# --- one day ----------------------------------------------------------------------------------------------------------


def build_day(day: Day, walked: Walked) -> Built:
    """Write the file of one day; raises DataError where the data is damaged, StorageError."""
    rows = write(day.path, day.contents, _chunks(_vectors(day, walked)))
    return Built(instrument=day.rules.id, day=day.contents.day, file=str(day.path), rows=rows)


def _vectors(day: Day, walked: Walked) -> Iterator[FeatureVector]:
    begin = first_moment(day.contents.day)
    pipeline = pipeline_of(day.config, day.rules)
    events = _events(day, begin + DAY, walked)
    for event, vector in on_grid(events, pipeline, day.rules.id, day.contents.options.grid_ns):
        if event.ts_recv >= begin:
            yield vector


def _events(day: Day, stop: int, walked: Walked) -> Iterator[MarketEvent]:
    reached = last_ts = day.first_ts
    for window in SeededHistory(MarketStore(day.store), [day.rules.id], day.start, stop).windows():
        for event in window.events():
            last_ts = event.ts_recv
            yield event
        last = min(day.last_ts, max(reached, last_ts))
        walked(last - reached)
        reached = last
    walked(day.last_ts - reached)


def _chunks(vectors: Iterator[FeatureVector]) -> Iterator[Chunk]:
    while rows := [(one.ts_event, one.to_array(), one.warm.copy()) for one in islice(vectors, _CHUNK)]:
        times, values, warm = zip(*rows, strict=True)
        yield Chunk(np.array(times, np.int64), np.array(values), np.array(warm))


def pipeline_of(config: EngineConfig, rules: Instrument) -> MultiSymbolFeaturePipeline:
    """What follows an instrument's market as an engine of this configuration does."""
    return MultiSymbolFeaturePipeline(
        [rules],
        candle_interval_ns=config.candle_interval_ns,
        params=config.features,
        densities=_densities(config, rules.id),
    )


def _densities(config: EngineConfig, instrument: InstrumentId) -> DensityParams | None:
    return config.densities_of(instrument) if config.follows_densities else None


# --- all of them ------------------------------------------------------------------------------------------------------


def build(days: list[Day], jobs: int, walked: Walked = lambda _ns: None) -> Iterator[Built]:
    """Build files as they are planned, in processes of their own where there is more than one job.

    Raises what building a day raises; files that are whole by then stay.
    """
    return each(build_day, days, jobs, walked)
