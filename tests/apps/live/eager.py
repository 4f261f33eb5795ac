"""A strategy that always wants something: takes and makes by turns, on both sides, and leaves soon."""

from typing import Any

from stakan.core.domain.orders import OrderType, TimeInForce
from stakan.core.domain.trading import Signal
from stakan.core.domain.units import SECOND, Nanos, Side
from stakan.core.plugins import Strategy, View


class Eager(Strategy, frozen=True, kw_only=True):
    """What it wants follows from the exchange's time alone."""

    reads_densities = False

    hold_s: float = 1.0
    stop_bps: float = 15.0

    def decide(self, view: View, state: Any) -> Signal | None:
        """Long in even seconds, short in odd ones; in the first half of each it takes, in the second it makes."""
        book = view.market.book
        side = Side.BUY if view.now // SECOND % 2 == 0 else Side.SELL
        takes = view.now % SECOND < SECOND // 2
        touch = book.best_ask if side is Side.BUY else book.best_bid
        entry = touch if takes else touch - side
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
