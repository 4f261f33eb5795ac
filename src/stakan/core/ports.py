"""What the outside must provide, one or two methods each."""

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from stakan.core.domain.batch import MarketWindow
from stakan.core.domain.commands import VenueCommand
from stakan.core.domain.events import VenueEvent
from stakan.core.domain.step import Step


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
    """A real exchange: the only asynchronous port."""

    async def send(self, command: VenueCommand) -> None:
        """Send a command; what becomes of it arrives in `events`."""
        ...

    def events(self) -> AsyncIterator[VenueEvent]:
        """What the exchange tells of our orders and account."""
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
