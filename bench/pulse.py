"""A strategy for measuring the order path: an order that cannot fill, so many seconds after the one before."""

from typing import Any

import msgspec

from stakan.core.domain.orders import OrderType, TimeInForce
from stakan.core.domain.trading import Signal
from stakan.core.domain.units import SECOND, Side
from stakan.core.plugins import Strategy, View


class Last(msgspec.Struct):
    """When it last fired, exchange time."""

    ts: int = 0


class Pulse(Strategy, frozen=True, kw_only=True):
    """Fires on whatever message comes first when its time is over; an immediate-or-cancel order behind the touch."""

    reads_densities = False

    every_s: float = 2.5

    def start(self) -> Last:
        """Has not fired."""
        return Last()

    def decide(self, view: View, state: Any) -> Signal | None:
        """A bid twenty ticks below the best one."""
        if view.now - state.ts < self.every_s * SECOND:
            return None
        state.ts = view.now
        entry = view.market.book.best_bid - 20
        return Signal(
            instrument=view.instrument.id,
            side=Side.BUY,
            strength=1.0,
            ts_event=view.now,
            entry=entry,
            stop_loss=round(entry * 0.995),
            type=OrderType.LIMIT,
            time_in_force=TimeInForce.IOC,
        )
