"""Which executions are booked already: each is booked once, for ever, in bounded memory."""

from enum import StrEnum

import msgspec

from stakan.core.domain.ids import ExecutionId, InstrumentId
from stakan.core.domain.units import Nanos

GENERATION = 10_000
"""Ids per generation; two generations are kept."""


class Sighting(StrEnum):
    """What an execution id is to us."""

    NEW = "new"
    DUPLICATE = "duplicate"
    TOO_OLD = "too old"
    """Older than what is remembered: it cannot be told from a duplicate."""


class Executions(msgspec.Struct):
    """Execution ids of fills and funding, in two generations.

    When the younger generation is full the older one is forgotten, and the newest venue time in it becomes the
    `horizon`. An unknown id at or before the horizon is not booked: it may be a duplicate, and booking money twice is
    worse than a reported difference which reconciliation mends. So uniqueness holds without end.
    """

    generation_size: int = GENERATION
    recent: dict[str, Nanos] = msgspec.field(default_factory=dict)
    older: dict[str, Nanos] = msgspec.field(default_factory=dict)
    horizon: Nanos = Nanos(-1)

    def note(self, instrument: InstrumentId, execution: ExecutionId, ts_event: Nanos) -> Sighting:
        """Remember an id; only a NEW one may be booked."""
        # Venues number executions per instrument or not at all: the instrument makes the id unique.
        key = f"{instrument} {execution}"
        if key in self.recent or key in self.older:
            return Sighting.DUPLICATE
        if ts_event <= self.horizon:
            return Sighting.TOO_OLD
        if len(self.recent) >= self.generation_size:
            self._forget()
        self.recent[key] = ts_event
        return Sighting.NEW

    def _forget(self) -> None:
        if self.older:
            self.horizon = max(self.horizon, *self.older.values())
        self.older, self.recent = self.recent, {}
