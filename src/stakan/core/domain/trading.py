"""Finding → Signal → Intent: what strategies say and what the decision makes of it."""

from enum import StrEnum

import msgspec

from stakan.core.domain.ids import InstrumentId, IntentId
from stakan.core.domain.orders import OrderType, TimeInForce
from stakan.core.domain.units import Lots, Nanos, Side, Ticks


class TradingState(StrEnum):
    """What the engine may do: open and close, only close, or flatten and stay out."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


class Orphans(StrEnum):
    """What becomes of a position that nobody asked for."""

    CLOSE = "close"
    ADOPT = "adopt"
    """Kept under a stop, until a person closes it."""


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy's scored opinion about one instrument at one moment. It is not an order."""

    instrument: InstrumentId
    side: Side
    strength: float
    """0 to 1."""
    ts_event: Nanos
    entry: Ticks
    """Price at which it wants in; a limit, never exceeded."""
    stop_loss: Ticks
    take_profit: Ticks | None = None
    horizon_ns: Nanos | None = None
    """Close after this long whatever happened."""
    type: OrderType = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.IOC
    leans_on: Ticks | None = None
    """The density that the idea rests on."""
    reasons: tuple[str, ...] = ()
    """For people: numbers behind the opinion."""
    strategy: str = ""
    """Name of the strategy in the configuration; the engine fills it in."""
    doubt: float = 0.0
    """Share of its strength that findings of detectors took; the decision fills it in."""


class ExitSignal(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy's wish about the position it owns: a tighter stop, or out."""

    stop_loss: Ticks | None = None
    """Move the stop here (only ever closer); None leaves it."""
    close: bool = False
    reasons: tuple[str, ...] = ()


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A wish that survived the decision: one signal with a size, not yet approved by risk."""

    id: IntentId
    signal: Signal
    size: Lots
    ts_recv: Nanos
