"""A strategy without an idea: it enters, moves stops and leaves at moments that follow from the time alone.

For simulations: every kind of order and every way out of a position comes up within a minute.
"""

from typing import Any, ClassVar

from stakan.core.domain.orders import OrderType, TimeInForce
from stakan.core.domain.trading import ExitSignal, Signal
from stakan.core.domain.units import MILLISECOND, SECOND, Nanos, Side, Ticks
from stakan.core.plugins import Holding, Strategy, View

_GRID = 100 * MILLISECOND
_MASK = (1 << 64) - 1


class Restless(Strategy, frozen=True, kw_only=True):
    """Draws from a hash of seed, instrument and moment; remembers nothing."""

    reads_densities: ClassVar[bool] = False

    seed: int = 0
    entries: float = 0.35
    """Share of decisions at which it wants in."""
    exits: float = 0.04
    """Share of decisions at which it wants out."""
    stops: float = 0.08
    """Share of decisions at which it wants a closer stop."""
    nearest_bps: float = 3.5
    farthest_bps: float = 15.0
    longest_s: float = 12.0

    def decide(self, view: View, state: Any) -> Signal | None:  # noqa: ARG002 - it remembers nothing
        """Perhaps enter."""
        drawn = _Drawn(self.seed, view)
        if drawn.share() >= self.entries:
            return None
        side = Side.BUY if drawn.share() < 0.5 else Side.SELL
        kind, time_in_force, offset = _HOW[int(drawn.share() * len(_HOW))]
        book = view.market.book
        touch, behind = (book.best_ask, book.best_bid) if side is Side.BUY else (book.best_bid, book.best_ask)
        entry = (touch if offset else behind) + side * offset
        stop = self.nearest_bps + drawn.share() * (self.farthest_bps - self.nearest_bps)
        target = stop * (0.5 + drawn.share())
        return Signal(
            instrument=view.instrument.id,
            side=side,
            strength=0.8 + 0.2 * drawn.share(),
            ts_event=view.now,
            entry=Ticks(entry),
            stop_loss=Ticks(round(entry * (1 - side * stop / 1e4))),
            take_profit=Ticks(round(entry * (1 + side * target / 1e4))) if drawn.share() < 0.7 else None,
            horizon_ns=Nanos(int((1 + drawn.share() * (self.longest_s - 1)) * SECOND)),
            type=kind,
            time_in_force=time_in_force,
            reasons=("it is time",),
        )

    def manage(self, view: View, state: Any, holding: Holding) -> ExitSignal | None:  # noqa: ARG002
        """Perhaps leave, or move the stop half of the way to the market."""
        drawn = _Drawn(self.seed + 1, view).share()
        if drawn < self.exits:
            return ExitSignal(close=True, reasons=("enough",))
        if drawn < self.exits + self.stops and holding.stop_loss is not None:
            closer = (holding.stop_loss + round(view.market.book.mid)) // 2
            if abs(closer - view.market.book.mid) > view.market.book.mid * 3e-4:
                return ExitSignal(stop_loss=Ticks(closer), reasons=("closer",))
        return None


_HOW = (
    (OrderType.LIMIT, TimeInForce.IOC, 2),
    (OrderType.LIMIT, TimeInForce.IOC, 5),
    (OrderType.LIMIT, TimeInForce.GTC, 1),
    (OrderType.LIMIT, TimeInForce.GTC, 0),
    (OrderType.LIMIT, TimeInForce.POST_ONLY, 0),
    (OrderType.LIMIT, TimeInForce.FOK, 5),
    (OrderType.MARKET, TimeInForce.IOC, 5),
)
"""Type, time in force, ticks beyond the touch; 0: behind it."""


class _Drawn:
    """Numbers that follow from seed, instrument and moment (splitmix64)."""

    def __init__(self, seed: int, view: View) -> None:
        name = int.from_bytes(view.instrument.base.encode()[:7], "little")
        self._state = (seed * 0x9E3779B97F4A7C15 + name * 0xBF58476D1CE4E5B9 + view.now // _GRID) & _MASK

    def share(self) -> float:
        """The next one, from 0 to under 1."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) >> 11) / float(1 << 53)
