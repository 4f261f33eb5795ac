"""Feature vectors of recorded data: the live stream's code over all of it, read where an engine would read."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stakan.core.domain.events import MarketEvent
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MILLISECOND, MINUTE, Nanos
from stakan.core.features.catalogue import FEATURE_COUNT
from stakan.core.features.params import FeatureParams
from stakan.core.features.stream import MultiSymbolFeaturePipeline
from stakan.core.features.vector import FeatureVector
from stakan.core.market.densities import DensityParams

GRID_NS = Nanos(100 * MILLISECOND)


class Vectors(NamedTuple):
    """Vectors of one instrument in the order of exchange time; moments without a usable book have none."""

    ts_event: npt.NDArray[np.int64]
    """Shape (n,)."""
    values: npt.NDArray[np.float64]
    warm: npt.NDArray[np.bool_]
    """Shape (n, FEATURE_COUNT) both."""


def vectors(
    events: Iterable[object],
    rules: Instrument,
    *,
    interval_ns: Nanos = GRID_NS,
    candle_interval_ns: Nanos = MINUTE,
    params: FeatureParams | None = None,
    densities: DensityParams | None = None,
) -> Vectors:
    """Vectors of one instrument, read by the first event at or after each multiple of `interval_ns` of exchange time.

    Events are in order of arrival; those of other instruments and of other kinds are passed over. `densities` are as of
    `MultiSymbolFeaturePipeline`. Raises DataError where receive time goes back.
    """
    pipeline = MultiSymbolFeaturePipeline(
        [rules], candle_interval_ns=candle_interval_ns, params=params, densities=densities
    )
    moments: list[int] = []
    values: list[npt.NDArray[np.float64]] = []
    warm: list[npt.NDArray[np.bool_]] = []
    own = (event for event in events if isinstance(event, MarketEvent) and event.instrument == rules.id)
    for _, found in on_grid(own, pipeline, rules.id, interval_ns):
        moments.append(found.ts_event)
        values.append(found.values.copy())
        warm.append(found.warm.copy())
    shape = (len(moments), FEATURE_COUNT)
    return Vectors(
        np.array(moments, np.int64),
        np.array(values, np.float64).reshape(shape),
        np.array(warm, np.bool_).reshape(shape),
    )


def on_grid(
    events: Iterable[MarketEvent], pipeline: MultiSymbolFeaturePipeline, instrument: InstrumentId, interval_ns: int
) -> Iterator[tuple[MarketEvent, FeatureVector]]:
    """Feed one instrument's events; at the first at or after each multiple of `interval_ns`, it and the vector then.

    The next one overwrites the vector. Moments without a usable book give none.
    """
    due = 0
    for event in events:
        pipeline.take(event)
        market = pipeline.market(instrument)
        if market.ts_event < due:
            continue
        due = (market.ts_event // interval_ns + 1) * interval_ns
        if market.book.is_usable:
            yield event, pipeline.read(instrument)
