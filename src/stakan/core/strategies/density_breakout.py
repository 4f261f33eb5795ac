"""Go with the trend through a density that trades are eating.

Idea: a large resting level stops price until it is consumed; when trades have taken a third of it and the trend
pushes against it, the stops and latecomers behind it move price further. Regime: trending. Source: order-book
scalping practice ("plotnost razyedayut"); no profit is claimed.
"""

from typing import Any

from stakan.core.domain.trading import ExitSignal, Signal
from stakan.core.domain.units import SECOND, Nanos, Side, Ticks
from stakan.core.features.trend import Trend
from stakan.core.market.densities import Density
from stakan.core.plugins import Holding, Strategy, View


class DensityBreakout(Strategy, frozen=True, kw_only=True):
    """Enters when the nearest density ahead has lost enough to trades, in the direction of the trend."""

    min_erosion: float = 0.30
    """Share of the density's peak that trades must have taken."""
    max_distance_bps: float = 5.0
    """How far ahead of mid the density may stand."""
    stop_bps: float = 20.0
    take_profit_bps: float = 50.0
    break_even_bps: float = 50.0
    """At this profit the stop moves to the entry."""
    horizon_s: float = 120.0

    def decide(self, view: View, state: Any) -> Signal | None:  # noqa: ARG002 - it remembers nothing
        """Buy into an eaten ask density in an uptrend; mirrored in a downtrend."""
        if view.trend is Trend.NONE:
            return None
        side = Side(int(view.trend))
        ahead = view.market.densities.on(side.opposite)
        if not ahead or not self._is_breaking(view, ahead[0]):
            return None
        return self._signal(view, side, ahead[0])

    def manage(self, view: View, state: Any, holding: Holding) -> ExitSignal | None:  # noqa: ARG002
        """Move the stop to break-even once the move has paid for it."""
        gain = (view.market.book.mid - holding.entry) * holding.side
        if gain / holding.entry * 1e4 < self.break_even_bps:
            return None
        reason = f"up {gain / holding.entry * 1e4:.1f} bps"
        return ExitSignal(stop_loss=Ticks(round(holding.entry)), reasons=(reason,))

    def _is_breaking(self, view: View, density: Density) -> bool:
        mid = view.market.book.mid
        near = density.distance(mid) / mid * 1e4 <= self.max_distance_bps
        return near and density.erosion_traded >= self.min_erosion

    def _signal(self, view: View, side: Side, density: Density) -> Signal:
        book = view.market.book
        entry = book.best_ask if side is Side.BUY else book.best_bid
        eaten = density.erosion_traded
        return Signal(
            instrument=view.instrument.id,
            side=side,
            strength=min(1.0, 0.5 + 0.5 * (eaten - self.min_erosion) / (1 - self.min_erosion)),
            ts_event=view.now,
            entry=entry,
            stop_loss=Ticks(round(entry * (1 - side * self.stop_bps / 1e4))),
            take_profit=Ticks(round(entry * (1 + side * self.take_profit_bps / 1e4))),
            horizon_ns=Nanos(int(self.horizon_s * SECOND)),
            leans_on=density.price,
            reasons=(f"trades took {eaten:.0%} of the density at {view.instrument.price(density.price)}", "with trend"),
        )
