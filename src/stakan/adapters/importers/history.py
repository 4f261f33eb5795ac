"""A recording as a market history: run on files as they are, without importing them first."""

from collections.abc import Iterable, Iterator

from stakan.adapters.importers.recording import Recording
from stakan.core.domain.batch import BatchBuilder, MarketWindow, window
from stakan.core.domain.ids import InstrumentId

WINDOW_EVENTS = 4_096
"""Events per window: bounds the memory, whatever the length of the recording."""


class RecordingHistory:
    """The `MarketHistory` port over a recording's events; can be walked any number of times."""

    def __init__(self, recording: Recording, instruments: Iterable[InstrumentId] | None = None) -> None:
        self._recording = recording
        self._wanted = None if instruments is None else frozenset(instruments)

    def windows(self) -> Iterator[MarketWindow]:
        """Consecutive stretches in order of arrival; raises DataError naming file and line."""
        builders: dict[InstrumentId, BatchBuilder] = {}
        count = 0
        for arrival, event in enumerate(self._recording.events()):
            if self._wanted is not None and event.instrument not in self._wanted:
                continue
            builders.setdefault(event.instrument, BatchBuilder(event.instrument)).add(event, arrival)
            count += 1
            if count == WINDOW_EVENTS:
                yield _build(builders)
                count = 0
        if count:
            yield _build(builders)


def _build(builders: dict[InstrumentId, BatchBuilder]) -> MarketWindow:
    return window(tuple(builder.build() for builder in builders.values() if len(builder)))
