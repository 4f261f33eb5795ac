"""Feature vectors of recorded data: the live stream's code over all of it, read where an engine would read."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stakan.core.domain.events import BookDelta, BookSnapshot, Candle, FeedDown, TradePrint
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MILLISECOND, MINUTE, Nanos
from stakan.core.features.catalogue import FEATURE_COUNT
from stakan.core.features.order_book import OrderBookParams
from stakan.core.features.pipeline import FeaturePipeline
from stakan.core.market.densities import DensityParams
from stakan.core.market.picture import MarketPicture

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
    params: OrderBookParams | None = None,
    densities: DensityParams | None = None,
) -> Vectors:
    """Vectors of one instrument, read by the first event at or after each multiple of `interval_ns` of exchange time.

    Events are in order of arrival; those of other instruments and of other kinds are passed over. `densities` are the
    thresholds of an engine whose strategies read densities, None for one that does not follow them: long-lived ones are
    levels of support and resistance.
    """
    market = MarketPicture.start(
        rules, densities or DensityParams(), candle_interval_ns, follow_densities=densities is not None
    )
    pipeline = FeaturePipeline.start(rules, params)
    moments: list[int] = []
    values: list[npt.NDArray[np.float64]] = []
    warm: list[npt.NDArray[np.bool_]] = []
    due = 0
    for event in events:
        if getattr(event, "instrument", None) != rules.id:
            continue
        _take(event, market, pipeline)
        now = market.ts_event
        if now < due:
            continue
        due = (now // interval_ns + 1) * interval_ns
        if market.book.is_usable:
            found = pipeline.read(market, now)
            moments.append(now)
            values.append(found.values.copy())
            warm.append(found.warm.copy())
    shape = (len(moments), FEATURE_COUNT)
    return Vectors(
        np.array(moments, np.int64),
        np.array(values, np.float64).reshape(shape),
        np.array(warm, np.bool_).reshape(shape),
    )


def _take(event: object, market: MarketPicture, pipeline: FeaturePipeline) -> None:
    """One event into market and features, as an engine takes it."""
    kind = type(event)
    if kind is BookDelta or kind is BookSnapshot:
        if market.apply_book(event) is not None:  # type: ignore[arg-type]  # one of the two
            pipeline.restart()
        book = market.book
        if book.is_fresh and book.is_usable:
            pipeline.observe(book)
    elif kind is TradePrint:
        market.apply_print(event)  # type: ignore[arg-type]  # it is one
    elif kind is Candle:
        market.apply_candle(event)  # type: ignore[arg-type]  # it is one
    elif kind is FeedDown:
        market.interrupt()
        pipeline.restart()
    if market.ts_event >= market.next_candle_end:
        market.advance(market.ts_event)
