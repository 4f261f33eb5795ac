"""What the outside must provide, one or two methods each."""

from collections.abc import Iterator
from typing import Protocol

from stakan.core.domain.batch import MarketWindow
from stakan.core.domain.commands import VenueCommand
from stakan.core.domain.events import VenueEvent
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.step import Step
from stakan.core.features.kept import KeptVector


class MarketHistory(Protocol):
    """Recorded or generated market, in order of arrival, in bounded memory."""

    def windows(self) -> Iterator[MarketWindow]:
        """Consecutive stretches of the market."""
        ...


class Simulator(Protocol):
    """An exchange in virtual time; deterministic."""

    def feed(self, window: MarketWindow) -> None:
        """Give it the market of the coming stretch; nothing of it happens yet."""
        ...

    def advance(self, now: int) -> list[VenueEvent]:
        """Let the exchange live on to time `now`, but no further than the first instant that tells us something.

        Returns our events of that instant, with `ts_recv` = when the bot will see them (may lie after `now`); an
        empty list means that `now` is reached. Stopping early lets the driver deliver an event, and send what the bot
        answers, before the exchange lives on: no cause comes after its effect.
        """
        ...

    def submit(self, command: VenueCommand, now: int) -> None:
        """Send a command at local time `now`; it arrives after the entry latency."""
        ...


class Venue(Protocol):
    """A real exchange, or what stands for one in real time."""

    def send(self, command: VenueCommand) -> None:
        """Send a command without waiting and without raising; what becomes of it arrives as events."""
        ...


class MarketFeed(Protocol):
    """Live public data of a venue; its events arrive by the callable that it was made with."""

    def resync(self, instrument: InstrumentId) -> None:
        """The book of this instrument cannot be trusted: get a new snapshot."""
        ...


class Journal(Protocol):
    """Durable record of steps."""

    def append(self, step: Step) -> None:
        """Write a step before its commands leave."""
        ...


class Clock(Protocol):
    """Stamps receive times; the engine never sees it."""

    def now(self) -> int:
        """Nanoseconds UTC, never going back."""
        ...


class FeatureStore(Protocol):
    """Keeps the newest feature vectors of each instrument, for a minute at least.

    What is not there, is older, or is of another feature set is None: whoever asks computes it.
    """

    def offer(self, vector: KeptVector) -> None:
        """Keep a vector, without waiting and without raising; one that is no news of its instrument is passed over."""
        ...

    def newest(self, instrument: InstrumentId) -> KeptVector | None:
        """The newest that this process offered, at once."""
        ...

    async def latest(self, instrument: InstrumentId) -> KeptVector | None:
        """The newest that any process offered which shares the store."""
        ...

    async def at(self, instrument: InstrumentId, ts_ms: int) -> KeptVector | None:
        """The one of a millisecond of exchange time."""
        ...
