"""What the simulated exchange assumes about queues, delays and fees; every model says what is unreal about it."""

from decimal import Decimal
from enum import IntEnum
from typing import Protocol

import msgspec
import numpy as np

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Nanos


class Queue(IntEnum):
    """How an order moves forward when its level shrinks by more than was traded there.

    In all of them prints at the price advance us by their size, and we never have more ahead than the level shows.
    """

    RISK_AVERSE = 0
    """Cancels stand behind us as long as that is possible. Unreal: fills come too late, never too early."""
    LOGARITHMIC = 1
    """A cancel stood behind us with probability f(behind) / (f(behind) + f(ahead)), f(x) = ln(1 + x), x in base
    units. Unreal: a mean instead of a draw; depends on the unit; not calibrated to a symbol by itself."""
    POWER = 2
    """The same with f(x) = x ** exponent; exponent 1 spreads cancels evenly over the queue."""
    OPTIMISTIC = 3
    """All cancels stood ahead of us. Unreal: the upper bound of what a queue can give."""


class QueueModel(msgspec.Struct, frozen=True):
    """Which queue rule, and its exponent where it has one."""

    rule: Queue = Queue.RISK_AVERSE
    exponent: float = 1.0

    def __post_init__(self) -> None:
        if not self.exponent > 0:
            raise ConfigError(f"queue exponent must be above 0, got {self.exponent}")


class ConstantLatency(msgspec.Struct, frozen=True, tag="constant"):
    """Every message takes the same time. Unreal: no tail, and the tail is what costs money."""

    ns: Nanos = Nanos(5_000_000)


class DrawnLatency(msgspec.Struct, frozen=True, tag="drawn"):
    """Log-normal around a median, never under the floor, independent draws.

    Unreal: real delays cluster in the busy moments in which fills happen.
    """

    median_ns: Nanos
    sigma: float = 0.3
    """Standard deviation of the logarithm."""
    floor_ns: Nanos = Nanos(0)


class RecordedLatency(msgspec.Struct, frozen=True, tag="recorded"):
    """One measured delay after the other, from the start again after the last.

    Unreal: the delays belong to other moments, unless the run itself is repeated.
    """

    sequence_ns: tuple[int, ...]


Latency = ConstantLatency | DrawnLatency | RecordedLatency


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


def start_latency(model: Latency, seed: int) -> Delays:
    """The state of a latency model; raises ConfigError where it would give negative delays or none."""
    match model:
        case ConstantLatency():
            _not_negative(model.ns)
            return _Constant(model)
        case DrawnLatency():
            _not_negative(min(model.median_ns, model.floor_ns))
            return _Drawn(model, seed)
        case RecordedLatency():
            if not model.sequence_ns:
                raise ConfigError("recorded latency needs at least one delay")
            _not_negative(min(model.sequence_ns))
            return _Recorded(model)


def _not_negative(ns: int) -> None:
    if ns < 0:
        raise ConfigError(f"a latency cannot be negative, got {ns} ns")


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
