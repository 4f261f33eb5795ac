"""What the parts of a venue share: the outside, the wires of its account, and what they all have to know of both."""

from collections.abc import Callable, Iterable

import msgspec
import numpy as np

from stakan.adapters.exchanges.bybit.limits import RateLimiter
from stakan.adapters.exchanges.bybit.private import Translator
from stakan.adapters.exchanges.bybit.rest import Line, Procedure, ServerClock, Timers, Transport
from stakan.core.domain.errors import VenueError
from stakan.core.domain.events import VenueEvent, VenueNews
from stakan.core.domain.units import SECOND


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long the venue waits for what."""

    receive_window: int = 5 * SECOND
    answer: int = 2 * SECOND
    """For an answer on the trade socket."""
    effect: int = 3 * SECOND
    """For the private stream to show what was accepted."""
    turn: int = SECOND
    """For a command's turn within the rate limits; 0 refuses at once."""
    retries: int = 3
    first_retry: int = SECOND // 5
    first_look: int = SECOND // 5
    longest_look: int = 5 * SECOND
    executions: int = 10 * SECOND
    """For executions that an order counts, before its end is told without them."""
    tick: int = SECOND // 2
    poll: int = SECOND
    """Between two readings of the account while the private stream is down."""
    sweep: int = 60 * SECOND
    """Between two readings of the account while all is well."""
    again: int = SECOND
    """Until a reading that did not agree is repeated."""


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue is given of the outside."""

    clock: Callable[[], int]
    timers: Timers
    transport: Transport
    deliver: Callable[[VenueNews], None]
    halt: Callable[[str], None]
    """Trading must stop and a person must look; called once per reason."""
    note: Callable[[str], None]
    """For the log."""
    chance: np.random.Generator


class HaltLatch:
    """Why trading stopped, until a person releases it."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.stopped_for: str | None = None
        """The first reason of those that hold."""
        self._tell = tell
        self._told: set[str] = set()

    def halt(self, why: str) -> None:
        """Stop; each reason is told once."""
        self.stopped_for = self.stopped_for or why
        if why not in self._told:
            self._told.add(why)
            self._tell(why)

    def release(self) -> None:
        """Somebody has looked into it."""
        self.stopped_for = None
        self._told.clear()


class StreamState(msgspec.Struct):
    """How far what the private stream tells can be relied on; whoever reads the account writes it."""

    is_streaming: bool = False
    """Whether the private stream is subscribed to."""
    is_caught_up: bool = False
    """Whether the account was read since the private stream last came or went."""
    blind_since: int | None = None
    """When the private stream went; None while it is there and nothing of its gap is unread."""

    @property
    def is_complete(self) -> bool:
        """Whether it is there, and what came before it was read."""
        return self.is_streaming and self.is_caught_up


class VenueContext(msgspec.Struct, frozen=True, kw_only=True):
    """What every part of a venue works with: put together once, never exchanged."""

    ports: Ports
    patience: Patience
    limiter: RateLimiter
    server_clock: ServerClock
    line: Line
    translator: Translator
    latch: HaltLatch

    def tell(self, events: Iterable[VenueEvent]) -> None:
        """Deliver what is new."""
        for event in events:
            self.ports.deliver(event)

    def tell_soon(self, event: VenueEvent) -> None:
        """The engine's step that sent a command must end before it is told of it."""
        self.ports.timers(0, lambda: self.ports.deliver(event))

    def run(self, procedure: Procedure[None]) -> None:
        """Carry out a procedure that tells what it has to tell; a bug of ours in it stops trading."""
        self.line.run(procedure, _nothing, self._went_wrong)

    def jittered(self, wait: int) -> int:
        """A pause of about so long, between half and all of it."""
        return wait // 2 + int(self.ports.chance.integers(0, wait // 2 + 1))

    def _went_wrong(self, error: Exception) -> None:
        if isinstance(error, VenueError):
            self.ports.note(str(error))
        else:
            self.latch.halt(f"{type(error).__name__}: {error}")


def _nothing(_: None) -> None:
    """A procedure that has told what it had to tell."""
