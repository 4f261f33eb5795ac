"""A strategy of the bench: a position in some instruments, an order that rests behind the market in all others."""

from typing import Any

from stakan.core.domain.orders import TimeInForce
from stakan.core.domain.trading import Signal
from stakan.core.domain.units import HOUR, Nanos, Side, Ticks
from stakan.core.plugins import Strategy, View


class HoldAndRest(Strategy, frozen=True, kw_only=True):
    """Buys what it is told to hold, and bids `behind_bps` under the market in everything else."""

    held: tuple[str, ...] = ()
    """Ids of instruments."""
    behind_bps: float = 80.0
    stop_bps: float = 1_000.0
    reads_densities = False

    def decide(self, view: View, state: Any) -> Signal | None:  # noqa: ARG002 - it remembers nothing
        """Always the same."""
        is_held = view.instrument.id in self.held
        best = view.market.book.best_ask if is_held else view.market.book.best_bid
        # Past the market, so that it is filled however fast that runs away.
        entry = round(best * (1 + (self.behind_bps if is_held else -self.behind_bps) / 1e4))
        return Signal(
            instrument=view.instrument.id,
            side=Side.BUY,
            strength=1.0,
            ts_event=view.now,
            entry=Ticks(entry),
            stop_loss=Ticks(round(entry * (1 - self.stop_bps / 1e4))),
            horizon_ns=Nanos(24 * HOUR),
            time_in_force=TimeInForce.GTC,
        )
