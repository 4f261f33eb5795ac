"""Lean on a density that holds, in the direction of the trend.

Idea: a large level that nobody eats is support (or resistance); resting just in front of it has a clear place to be
wrong: behind the density. At 65 % erosion the stop moves to break-even, and the position is left when the density is
consumed or gone. Regime: trending with pullbacks. Source: order-book scalping practice; no profit is claimed.
"""

from typing import Any

from stakan.core.domain.orders import TimeInForce
from stakan.core.domain.trading import ExitSignal, Signal
from stakan.core.domain.units import SECOND, Nanos, Side, Ticks
from stakan.core.features.trend import Trend
from stakan.core.market.densities import Density
from stakan.core.plugins import Holding, Strategy, View


class DensityBounce(Strategy, frozen=True, kw_only=True):
    """Rests in front of a stable density near the touch, on the side of the trend."""

    max_erosion: float = 0.10
    min_life_s: float = 2.0
    """Younger densities have not shown that they hold."""
    max_distance_bps: float = 5.0
    """How far behind mid the density may stand."""
    stop_behind_bps: float = 10.0
    """The stop stands this far behind the density."""
    take_profit_bps: float = 40.0
    break_even_erosion: float = 0.65
    gone_erosion: float = 0.90
    horizon_s: float = 180.0

    def decide(self, view: View, state: Any) -> Signal | None:  # noqa: ARG002 - it remembers nothing
        """Buy in front of a stable bid density in an uptrend; mirrored in a downtrend."""
        if view.trend is Trend.NONE:
            return None
        side = Side(int(view.trend))
        behind = view.market.densities.on(side)
        if not behind or not self._holds(view, behind[0]):
            return None
        return self._signal(view, side, behind[0])

    def manage(self, view: View, state: Any, holding: Holding) -> ExitSignal | None:  # noqa: ARG002
        """Break-even when the density erodes, out when it is gone."""
        price = holding.signal.leans_on
        density = view.market.densities.at(price) if price is not None else None
        if density is None or density.erosion >= self.gone_erosion:
            return ExitSignal(close=True, reasons=("the density is gone",))
        if density.erosion < self.break_even_erosion:
            return None
        reason = f"the density lost {density.erosion:.0%}"
        return ExitSignal(stop_loss=Ticks(round(holding.entry)), reasons=(reason,))

    def _holds(self, view: View, density: Density) -> bool:
        mid = view.market.book.mid
        return (
            density.erosion <= self.max_erosion
            and view.now - density.appeared_ts >= self.min_life_s * SECOND
            and 0 < density.distance(mid) / mid * 1e4 <= self.max_distance_bps
        )

    def _signal(self, view: View, side: Side, density: Density) -> Signal:
        book = view.market.book
        best = book.best_bid if side is Side.BUY else book.best_ask
        front = density.price + side
        # Never better than the touch: a post-only order inside the spread would be first in line but pay for it.
        entry = Ticks(min(front, best) if side is Side.BUY else max(front, best))
        stop = density.price * (1 - side * self.stop_behind_bps / 1e4)
        return Signal(
            instrument=view.instrument.id,
            side=side,
            strength=0.5 + 0.5 * (1 - density.erosion / self.max_erosion) if self.max_erosion else 1.0,
            ts_event=view.now,
            entry=entry,
            stop_loss=Ticks(round(stop)),
            take_profit=Ticks(round(entry * (1 + side * self.take_profit_bps / 1e4))),
            horizon_ns=Nanos(int(self.horizon_s * SECOND)),
            time_in_force=TimeInForce.POST_ONLY,
            leans_on=density.price,
            reasons=(f"density at {view.instrument.price(density.price)} holds", "with trend"),
        )
