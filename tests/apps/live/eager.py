"""A strategy that always wants something: takes and makes by turns, on both sides, and leaves soon."""

from typing import Any

import msgspec

from stakan.core.domain.orders import OrderType, TimeInForce
from stakan.core.domain.trading import Signal
from stakan.core.domain.units import SECOND, Nanos, Side
from stakan.core.plugins import Strategy, View


class Seen(msgspec.Struct):
    """When it was asked for the first time."""

    first: int = 0


class Eager(Strategy, frozen=True, kw_only=True):
    """What it wants follows from the exchange's time alone."""

    reads_densities = False

    hold_s: float = 1.0
    stop_bps: float = 15.0
    behind_bps: float = 0.0
    """How far behind the touch it makes; at least a tick."""
    only_makes: bool = False
    never: bool = False
    """It wants nothing at all."""
    breaks_after_s: float = 0.0
    """A bug that shows after a while; 0: none."""

    def start(self) -> Seen:
        """Nothing seen."""
        return Seen()

    def decide(self, view: View, state: Any) -> Signal | None:
        """Long in even seconds, short in odd ones; in the first half of each it takes, in the second it makes."""
        if self.never:
            return None
        state.first = state.first or view.now
        if self.breaks_after_s and view.now - state.first > self.breaks_after_s * SECOND:
            raise ZeroDivisionError("a bug in a strategy")
        book = view.market.book
        side = Side.BUY if view.now // SECOND % 2 == 0 else Side.SELL
        takes = view.now % SECOND < SECOND // 2 and not self.only_makes
        touch = book.best_ask if side is Side.BUY else book.best_bid
        entry = touch if takes else touch - side * max(1, round(touch * self.behind_bps / 1e4))
        return Signal(
            instrument=view.instrument.id,
            side=side,
            strength=1.0,
            ts_event=view.now,
            entry=entry,
            stop_loss=round(entry * (1 - side * self.stop_bps / 1e4)),
            take_profit=round(entry * (1 + side * self.stop_bps / 1e4)),
            horizon_ns=Nanos(round(self.hold_s * SECOND)),
            type=OrderType.LIMIT,
            time_in_force=TimeInForce.IOC if takes else TimeInForce.POST_ONLY,
            reasons=("eager",),
        )
