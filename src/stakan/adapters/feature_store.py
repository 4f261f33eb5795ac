"""The feature store of one process: the last hundred vectors of each instrument."""

from collections import deque
from collections.abc import Callable

from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import MILLISECOND, MINUTE, Nanos
from stakan.core.features.kept import KeptVector

KEPT = 100
LIFE_NS = Nanos(MINUTE)
"""How long after it was computed a vector is given out."""


class MemoryFeatureStore:
    """As `ports.FeatureStore`; `now` gives nanoseconds UTC."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._kept: dict[InstrumentId, deque[KeptVector]] = {}

    def offer(self, vector: KeptVector) -> None:
        """Keep it."""
        self.keep(vector)

    def keep(self, vector: KeptVector) -> bool:
        """Keep a vector; says whether it is news of its instrument."""
        kept = self._kept.setdefault(vector.instrument, deque(maxlen=KEPT))
        is_news = not kept or vector.ts_event > kept[-1].ts_event
        if is_news:
            kept.append(vector)
        return is_news

    def recent(self, instrument: InstrumentId) -> tuple[KeptVector, ...]:
        """The last hundred however old they are, oldest first."""
        return tuple(self._kept.get(instrument, ()))

    def newest(self, instrument: InstrumentId) -> KeptVector | None:
        """The newest."""
        kept = self._kept.get(instrument)
        return self._young(kept[-1]) if kept else None

    async def latest(self, instrument: InstrumentId) -> KeptVector | None:
        """The newest: there is nobody else."""
        return self.newest(instrument)

    async def at(self, instrument: InstrumentId, ts_ms: int) -> KeptVector | None:
        """The last one of a millisecond."""
        for vector in reversed(self._kept.get(instrument, ())):
            if vector.ts_event // MILLISECOND == ts_ms:
                return self._young(vector)
        return None

    def _young(self, vector: KeptVector) -> KeptVector | None:
        return vector if self._now() - vector.computed_ts < LIFE_NS else None
