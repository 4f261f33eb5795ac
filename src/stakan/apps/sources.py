"""Where a run's market comes from: a store, files as they are, or the generator."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from stakan.adapters.importers.history import RecordingHistory
from stakan.adapters.importers.recording import open_recording
from stakan.adapters.instruments import resolve
from stakan.adapters.parquet.catalog import SeededHistory
from stakan.adapters.parquet.reader import BEGINNING, END, MarketStore, open_part
from stakan.adapters.synthetic.config import SyntheticConfig
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.apps.recorded_run import RecordedRun, RunHistory, digest_of, open_run
from stakan.apps.settings import Settings
from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.ports import MarketHistory


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A market to run on, and what a report must say of it."""

    name: str
    history: MarketHistory
    instruments: dict[InstrumentId, Instrument]
    digest: str
    """Names the data: equal digests mean equal data."""
    first_ts: int = 0
    last_ts: int = 0
    """Receive time of the first and last event where it is known beforehand, else 0."""
    is_synthetic: bool = False
    receive_times_assumed: bool = False
    run: RecordedRun | None = None
    """Where it is the journal of a run."""


def from_store(root: Path, names: Sequence[str] = (), *, start: int = BEGINNING, stop: int = END) -> Source:
    """A stretch of a store, from the book as it was known at its start.

    Raises DataError where there is nothing, ConfigError for unknown instruments.
    """
    store = MarketStore(root)
    known = store.instruments()
    chosen = _choose(names, known)
    history = SeededHistory(store, chosen, start, stop)
    parts = [open_part(part)[1] for part in history.stretch.parts]
    parts = [part for part in parts if part.first_ts < stop and part.last_ts >= start]
    if not parts:
        raise DataError(
            f"{root}: no market data of {', '.join(chosen) or 'anything'} in this time; see `stakan data list`"
        )
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(msgspec.json.encode(part))
    digest.update(f"{sorted(chosen)} {start} {stop}".encode())
    return Source(
        name=str(root),
        history=history,
        instruments={key: known[key] for key in chosen},
        digest=digest.hexdigest(),
        first_ts=max(start, min(part.first_ts for part in parts)),
        last_ts=min(stop, max(part.last_ts for part in parts)),
        receive_times_assumed=any(part.receive_times_assumed for part in parts),
    )


def from_files(files: Sequence[Path], known: dict[InstrumentId, Instrument], names: Sequence[str] = ()) -> Source:
    """Recorded files as one session; raises DataError naming file and line where they are not sound."""
    for path in files:
        if not path.is_file():
            raise ConfigError(f"{path}: no such file; name one store folder, or files only")
    recording = open_recording(files, known)
    seen = _seen(recording.events(), known)
    chosen = {resolve(name, known): None for name in names} if names else seen
    absent = [key for key in chosen if key not in seen]
    if absent or not chosen:
        what = ", ".join(absent) or "any instrument"
        raise DataError(
            f"{', '.join(map(str, files))}: nothing of {what} in there; it holds {', '.join(seen) or 'nothing'}"
        )
    digest = hashlib.blake2b(digest_size=8)
    for path in files:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "blake2b").digest())
    digest.update(" ".join(sorted(chosen)).encode())
    return Source(
        name=", ".join(str(path) for path in files),
        history=RecordingHistory(recording, chosen),
        instruments={key: known[key] for key in chosen},
        digest=digest.hexdigest(),
        receive_times_assumed=any("receive times assumed" in note for note in recording.notes),
    )


def from_run(folder: Path, names: Sequence[str] = ()) -> Source:
    """What a run of `stakan trade` received, in the order in which it received it.

    Raises DataError where the folder holds no journal, ConfigError for unknown instruments.
    """
    run = open_run(folder)
    known = {rules.id: rules for rules in run.header.instruments}
    chosen = _choose(names, known)
    return Source(
        name=f"{run.header.mode} run {folder}",
        history=RunHistory(run, chosen),
        instruments={key: known[key] for key in chosen},
        digest=digest_of(run, chosen),
        is_synthetic=run.header.is_synthetic,
        run=run,
    )


def recorded_settings(source: Source) -> Settings:
    """The configuration of the run that a source is the journal of; raises ConfigError where it is none."""
    if source.run is None:
        raise ConfigError(f"{source.name} is not the journal of a run")
    return source.run.settings


def from_generator(config: SyntheticConfig, names: Sequence[str] = ()) -> Source:
    """A synthetic market, always labelled so."""
    market = SyntheticMarket(config)
    chosen = _choose(names, market.instruments)
    if set(chosen) != set(market.instruments):
        raise ConfigError("a synthetic market runs with all its instruments: leave instruments empty")
    return Source(
        name=f"synthetic market, seed {config.seed}",
        history=market,
        instruments=market.instruments,
        digest=hashlib.blake2b(msgspec.json.encode(config), digest_size=8).hexdigest(),
        first_ts=config.start_ts,
        last_ts=config.start_ts + config.duration_ns,
        is_synthetic=True,
    )


def _choose(names: Sequence[str], known: dict[InstrumentId, Instrument]) -> list[InstrumentId]:
    return list(dict.fromkeys(resolve(name, known) for name in names)) if names else list(known)


def _seen(events: Iterable[object], known: dict[InstrumentId, Instrument]) -> dict[InstrumentId, None]:
    found: dict[InstrumentId, None] = {}
    for event in events:
        key = getattr(event, "instrument", None)
        if key in known:
            found[key] = None
    return found
