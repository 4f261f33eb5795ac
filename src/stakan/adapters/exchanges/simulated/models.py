"""What the simulated exchange assumes about queues, delays and fees; every model says what is unreal about it."""

import math
from collections import deque
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

import msgspec
import numpy as np

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Nanos


class Queue(StrEnum):
    """How an order moves forward when its level shrinks by more than was traded there.

    In all of them prints at the price advance us by their size, and we never have more ahead than the level shows.
    """

    RISK_AVERSE = "risk_averse"
    """Cancels stand behind us as long as that is possible. Unreal: fills come too late, never too early."""
    LOGARITHMIC = "logarithmic"
    """A cancel stood behind us with probability f(behind) / (f(behind) + f(ahead)), f(x) = ln(1 + x), x in base
    units. Unreal: a mean instead of a draw; depends on the unit; not calibrated to a symbol by itself."""
    POWER = "power"
    """The same with f(x) = x ** exponent; exponent 1 spreads cancels evenly over the queue."""
    OPTIMISTIC = "optimistic"
    """All cancels stood ahead of us. Unreal: the upper bound of what a queue can give."""

    @property
    def code(self) -> int:
        """Its number in the matching kernels: the place in this list."""
        return tuple(Queue).index(self)


class QueueModel(msgspec.Struct, frozen=True):
    """Which queue rule, and its exponent where it has one."""

    rule: Queue = Queue.RISK_AVERSE
    exponent: float = 1.0

    def __post_init__(self) -> None:
        if not self.exponent > 0:
            raise ConfigError(f"queue exponent must be above 0, got {self.exponent}")


def _not_negative(ns: int) -> None:
    if ns < 0:
        raise ConfigError(f"a latency cannot be negative, got {ns} ns")


class ConstantLatency(msgspec.Struct, frozen=True, tag="constant"):
    """Every message takes the same time. Unreal: no tail, and the tail is what costs money."""

    ns: Nanos = Nanos(5_000_000)

    def __post_init__(self) -> None:
        _not_negative(self.ns)


class DrawnLatency(msgspec.Struct, frozen=True, tag="drawn"):
    """Log-normal around a median, never under the floor, independent draws.

    Unreal: real delays cluster in the busy moments in which fills happen.
    """

    median_ns: Nanos
    sigma: float = 0.3
    """Standard deviation of the logarithm."""
    floor_ns: Nanos = Nanos(0)

    def __post_init__(self) -> None:
        _not_negative(min(self.median_ns, self.floor_ns))
        if not 0 <= self.sigma < math.inf:
            raise ConfigError(f"sigma of a latency must be a number from 0 up, got {self.sigma}")


class RecordedLatency(msgspec.Struct, frozen=True, tag="recorded"):
    """One measured delay after the other, from the start again after the last.

    Unreal: the delays belong to other moments, unless the run itself is repeated.
    """

    sequence_ns: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.sequence_ns:
            raise ConfigError("recorded latency needs at least one delay")
        _not_negative(min(self.sequence_ns))


class Arrival(msgspec.Struct, frozen=True):
    """When one message of a recorded run arrived."""

    kind: str
    """Name of its class, e.g. `SubmitOrder` of a command, `OrderFilled` of an answer."""
    about: str
    """Its client order id; where it has none, or an empty one (stops and take-overs of the exchange, funding,
    protection), its instrument."""
    ts: int
    """Nanoseconds UTC: of a command by the exchange's clock, of an answer by the bot's."""


class RecordedArrivals(msgspec.Struct, frozen=True, tag="arrivals"):
    """The very moments of a recorded run, for computing it again.

    The n-th message of a kind about something arrives when the n-th one with the same `kind` and `about` did in
    `arrivals`, which is in order of time.

    As `entry_latency` it holds commands (`SubmitOrder`, `CancelOrder`, `AmendOrder`, `SetProtection`) with the times at
    which the exchange carried them out, as `response_latency` answers with the times at which the bot received them.
    Recorded times are taken as they are: they may overtake each other, and lie before the time of sending by what the
    exchange's clock rounds off. Messages without one take `otherwise`.
    """

    arrivals: tuple[Arrival, ...]
    otherwise: ConstantLatency | DrawnLatency | RecordedLatency = ConstantLatency()


Latency = ConstantLatency | DrawnLatency | RecordedLatency | RecordedArrivals


class Transit(Protocol):
    """Where messages of one direction are on their way."""

    def arrival(self, kind: str, about: str, sent: int) -> int:
        """When a message that is sent now arrives."""
        ...


class Delays(Protocol):
    """A started latency model."""

    def next(self) -> int:
        """Delay of the next message, in nanoseconds, not negative."""
        ...


class _Constant:
    def __init__(self, model: ConstantLatency) -> None:
        self._ns = model.ns

    def next(self) -> int:
        return self._ns


class _Drawn:
    def __init__(self, model: DrawnLatency, seed: int) -> None:
        self._model = model
        self._generator = np.random.default_rng(seed)

    def next(self) -> int:
        factor = float(np.exp(self._model.sigma * self._generator.standard_normal()))
        return max(self._model.floor_ns, round(self._model.median_ns * factor))


class _Recorded:
    def __init__(self, model: RecordedLatency) -> None:
        self._sequence = model.sequence_ns
        self._at = 0

    def next(self) -> int:
        delay = self._sequence[self._at % len(self._sequence)]
        self._at += 1
        return delay


class _InOrder:
    """One connection: what is sent later never arrives earlier."""

    def __init__(self, delays: Delays) -> None:
        self._delays = delays
        self._last = 0

    def arrival(self, kind: str, about: str, sent: int) -> int:  # noqa: ARG002 - other ways of arriving read them
        self._last = max(self._last, sent + self._delays.next())
        return self._last


class _AsRecorded:
    def __init__(self, model: RecordedArrivals, seed: int) -> None:
        self._otherwise = _InOrder(start_latency(model.otherwise, seed))
        self._known: dict[tuple[str, str], deque[int]] = {}
        for one in model.arrivals:
            self._known.setdefault((one.kind, one.about), deque()).append(one.ts)

    def arrival(self, kind: str, about: str, sent: int) -> int:
        known = self._known.get((kind, about))
        return known.popleft() if known else self._otherwise.arrival(kind, about, sent)


def start_transit(model: Latency, seed: int) -> Transit:
    """The state of one direction."""
    return _AsRecorded(model, seed) if isinstance(model, RecordedArrivals) else _InOrder(start_latency(model, seed))


def start_latency(model: ConstantLatency | DrawnLatency | RecordedLatency, seed: int) -> Delays:
    """The state of a latency model."""
    match model:
        case ConstantLatency():
            return _Constant(model)
        case DrawnLatency():
            return _Drawn(model, seed)
        case RecordedLatency():
            return _Recorded(model)


class FeeRates(msgspec.Struct, frozen=True):
    """Shares of a fill's value; negative is a rebate.

    Unreal: one tier for the whole run, whatever volume was traded.
    """

    maker: Decimal
    taker: Decimal

    def of(self, is_maker: bool) -> Decimal:
        """The rate of a fill."""
        return self.maker if is_maker else self.taker


def instrument_fees(instrument: Instrument) -> FeeRates:
    """The rates that the instrument's rules give."""
    return FeeRates(instrument.maker_fee, instrument.taker_fee)
