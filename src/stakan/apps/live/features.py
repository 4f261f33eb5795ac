"""The newest feature vectors of a running bot: computed between steps, kept in its feature store.

The engine computes what its strategies read. Whole vectors are for those who look: console, other processes, records.
They are read aside, into arrays that are not the engine's, so that looking changes nothing.
"""

import asyncio
import time
from collections.abc import Callable
from copy import copy
from itertools import cycle

from stakan.adapters.feature_store import MemoryFeatureStore
from stakan.apps.live.histogram import Histogram
from stakan.apps.logs import get_logger
from stakan.core.domain.events import AnyEvent
from stakan.core.domain.facts import IntentApproved
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.step import Step
from stakan.core.domain.units import SECOND
from stakan.core.engine import Engine
from stakan.core.engine.state import InstrumentState
from stakan.core.features.catalogue import CHANNELS, Channel, Feature
from stakan.core.features.kept import KeptVector
from stakan.core.features.pipeline import FeaturePipeline
from stakan.core.ports import FeatureStore

_ORDER = (Channel.CANDLE, Channel.ORDER_BOOK, Channel.INDICATOR)
"""A reading begins with what closed candles have changed."""
_FEATURES = {channel: tuple(Feature)[CHANNELS[channel]] for channel in _ORDER}
_LATE = 2
"""A vector that is so many intervals old is not of now any more."""
_log = get_logger("stakan.bot")


class Features:
    """Of one bot: `begin` computes a vector of each instrument every so often, one instrument at a time.

    `now` gives nanoseconds UTC. Nothing that goes wrong here reaches the trading loop.
    """

    def __init__(
        self,
        engine: Engine,
        now: Callable[[], int],
        interval_ns: int = SECOND,
        ticks: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.store: FeatureStore = MemoryFeatureStore(now)
        """Whoever composes a bot may set another."""
        self.hits = 0
        self.misses = 0
        """Of `latest`."""
        self.latencies = {(channel, key): Histogram() for channel in CHANNELS for key in engine.state.instruments}
        """How long a channel of a vector took, by instrument."""
        self._engine = engine
        self._now = now
        self._interval_ns = interval_ns
        self._ticks = ticks
        self._aside: dict[InstrumentId, tuple[FeaturePipeline, FeaturePipeline]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._turns = cycle(engine.state.instruments)
        self._has_failed = False

    @property
    def hit_rate(self) -> float | None:
        """Share of those who asked that were answered from the store; None where nobody did."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None

    def begin(self) -> None:
        """From now on, until `end`."""
        self._plan(asyncio.get_running_loop())

    def end(self) -> None:
        """Compute no more."""
        if self._timer is not None:
            self._timer.cancel()

    def latest(self, instrument: InstrumentId) -> KeptVector | None:
        """The vector of now, from the store or computed at once; None where the book gives none."""
        market = self._engine.state.instruments[instrument].market
        if not market.book.is_usable:
            return None
        kept = self.store.newest(instrument)
        if kept is not None and self._is_of_now(kept, market.ts_event):
            self.hits += 1
            return kept
        self.misses += 1
        return self.compute(instrument)

    def compute(self, instrument: InstrumentId) -> KeptVector | None:
        """A vector of now, which the store is offered; None where the book gives none."""
        state = self._engine.state.instruments[instrument]
        market = state.market
        if not market.book.is_usable:
            return None
        began = self._ticks()
        vector = self._pipeline(state).read(market, market.ts_event)
        for channel in _ORDER:
            for feature in _FEATURES[channel]:
                vector.compute(feature)
            ended = self._ticks()
            self.latencies[channel, instrument].add(ended - began)
            began = ended
        kept = KeptVector.of(vector, instrument, self._now())
        self.store.offer(kept)
        return kept

    def observe(self, _event: AnyEvent, step: Step) -> None:
        """What an entry was decided on is kept, too; its order has left."""
        for fact in step.facts:
            if type(fact) is IntentApproved:
                self._safely(fact.intent.signal.instrument)

    def _is_of_now(self, kept: KeptVector, ts_event: int) -> bool:
        return kept.ts_event == ts_event or self._now() - kept.computed_ts < _LATE * self._interval_ns

    def _pipeline(self, state: InstrumentState) -> FeaturePipeline:
        """The engine's pipeline with places of its own to write to."""
        source, aside = self._aside.get(state.rules.id, (None, None))
        if aside is None or source is not state.features:
            aside = copy(state.features)
            aside.values, aside.warm = aside.values.copy(), aside.warm.copy()
            self._aside[state.rules.id] = state.features, aside
        return aside

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        pause = self._interval_ns / SECOND / max(1, len(self._engine.state.instruments))
        self._timer = loop.call_later(pause, self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._plan(loop)
        self._safely(next(self._turns))

    def _safely(self, instrument: InstrumentId) -> None:
        try:
            self.compute(instrument)
        except Exception as error:  # noqa: BLE001 - a bug in looking must not end what is looked at
            if not self._has_failed:
                self._has_failed = True
                _log.error("features cannot be computed aside; the bot trades on", exc_info=error)
