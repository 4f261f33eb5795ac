"""Feature vectors for people: of a running bot, of recorded data at a moment, of a built file with its distributions."""

import asyncio
import contextlib
import time
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.adapters.instruments import resolve
from stakan.adapters.parquet.catalog import SeededHistory
from stakan.adapters.parquet.features import FeatureFile
from stakan.adapters.parquet.reader import MarketStore
from stakan.apps.api.link import Link
from stakan.apps.api.model import ReadModel
from stakan.apps.durations import duration_ns
from stakan.apps.feature_files import lead_in, pipeline_of
from stakan.apps.settings import Settings
from stakan.apps.wiring import engine_config
from stakan.core.domain.errors import DataError, VenueUnavailable
from stakan.core.domain.ids import InstrumentId
from stakan.core.features.catalogue import FEATURE_NAMES, FEATURE_SET, Feature
from stakan.core.features.definitions import channel_of

BINS = 24
_PATIENCE_S = 2.0
"""Beside the interval at which a bot computes vectors."""


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """Of the warm values of one feature in a file."""

    warm_share: float
    low: float
    median: float
    high: float
    counts: list[int]
    """In `BINS` bins of equal width from the lowest to the highest; in one where they are the same."""


class ShownFeature(msgspec.Struct, frozen=True, kw_only=True):
    """One value, and where it lies among the others of its file."""

    index: int
    name: str
    channel: str
    value: float
    is_warm: bool
    distribution: Distribution | None = None
    """None where there is no file, or never warm."""


class ShownVector(msgspec.Struct, frozen=True, kw_only=True):
    """A vector with its origin."""

    instrument: InstrumentId
    ts_event: int
    source: str
    feature_set: str
    features: list[ShownFeature]
    rows: int = 0
    """Of the file; 0 where there is none."""


def of_bot(settings: Settings, name: str) -> ShownVector:
    """The newest vector of a bot that runs on this state folder.

    Raises VenueUnavailable where there is none to ask, ConfigError for an instrument that it does not trade, DataError
    where its book gives no vector.
    """
    return asyncio.run(_of_bot(settings, name))


async def _of_bot(settings: Settings, name: str) -> ShownVector:
    link = Link(settings.trade.state, ReadModel(), time.time_ns)
    task = asyncio.create_task(link.run())
    try:
        async with asyncio.timeout(_PATIENCE_S + duration_ns(settings.feature_store.interval) / 1e9):
            key = None
            while key is None or key not in link.model.features:
                await link.next_update(_PATIENCE_S)
                if link.model.hello is not None:
                    key = resolve(name, link.model.instruments)
                elif link.problem and not link.is_connected:
                    raise VenueUnavailable(f"{link.path}: {link.problem}; name a state folder with --set trade.state=")
    except TimeoutError:
        raise DataError(f"the bot at {link.path} has no feature vector of {name}: its book is not usable") from None
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    view = link.model.features[key]
    if view.version != FEATURE_SET:
        raise DataError(f"the bot computes feature set {view.version}, this release {FEATURE_SET}")
    values = np.frombuffer(view.values, "<f4")
    warm = np.unpackbits(np.frombuffer(view.warm, np.uint8), count=len(values), bitorder="little")
    return _shown(key, view.ts, f"bot at {link.path}", values, warm.astype(np.bool_))


def of_store(root: Path, name: str, at: int, settings: Settings) -> ShownVector:
    """The vector at a moment, of what had been received by then; raises DataError where the book gives none."""
    store = MarketStore(root)
    known = store.instruments()
    key = resolve(name, known)
    ahead = lead_in(duration_ns(settings.engine.candle_interval))
    pipeline = pipeline_of(engine_config(settings, "features", [key]), known[key])
    for window in SeededHistory(store, [key], at - ahead, at + 1).windows():
        for event in window.events():
            pipeline.take(event)
    vector = pipeline.read(key)
    return _shown(key, vector.ts_event, f"recorded data in {root}", vector.to_array(), vector.warm)


def of_file(path: Path, at: int | None = None) -> ShownVector:
    """The last vector of a built file, or the last one up to an exchange time, among all others of the file.

    Raises DataError where there is none.
    """
    file = FeatureFile(path)
    times = file.ts_event
    row = len(times) - 1 if at is None else int(np.searchsorted(times, at, "right")) - 1
    if row < 0:
        raise DataError(f"{path}: holds no vector" + ("" if at is None else " at or before this time"))
    values, warm = np.empty(len(Feature), np.float32), np.empty(len(Feature), np.bool_)
    distributions: list[Distribution | None] = []
    for feature in Feature:
        of_rows = file.warm(feature)
        values[feature], warm[feature] = file.values(feature)[row], of_rows[row]
        distributions.append(_distribution(file.warm_values(feature, len(times)), float(of_rows.mean())))
    shown = _shown(file.contents.instrument, int(times[row]), str(path), values, warm)
    features = [
        msgspec.structs.replace(one, distribution=found)
        for one, found in zip(shown.features, distributions, strict=True)
    ]
    return msgspec.structs.replace(shown, features=features, rows=len(times))


def _distribution(values: npt.NDArray[np.float64], warm_share: float) -> Distribution | None:
    if not len(values):
        return None
    low, high = float(values.min()), float(values.max())
    counts = np.histogram(values, BINS, (low, high))[0].tolist() if high > low else [len(values)]
    return Distribution(warm_share=warm_share, low=low, median=float(np.median(values)), high=high, counts=counts)


def _shown(
    instrument: InstrumentId,
    ts_event: int,
    source: str,
    values: npt.NDArray[np.float32],
    warm: npt.NDArray[np.bool_],
) -> ShownVector:
    features = [
        ShownFeature(
            index=int(feature),
            name=FEATURE_NAMES[feature],
            channel=channel_of(feature).value,
            value=float(values[feature]),
            is_warm=bool(warm[feature]),
        )
        for feature in Feature
    ]
    return ShownVector(
        instrument=instrument, ts_event=ts_event, source=source, feature_set=FEATURE_SET, features=features
    )
