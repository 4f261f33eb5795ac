"""Follow the heavier side of the book.

Idea: where resting size on one side outweighs the other, the next mid move tends to go away from the heavier side
(Gould & Bonart, "Queue imbalance as a one-tick-ahead price predictor", 2016), more so when order flow at the touch
agrees (Cont, Kukanov & Stoikov, 2014). Regime: liquid, narrow spread. Takes at the touch, holds seconds to minutes.
"""

from typing import Any

from stakan.core.domain.trading import Signal
from stakan.core.domain.units import SECOND, Nanos, Side, Ticks
from stakan.core.features.catalogue import Feature
from stakan.core.plugins import Strategy, View


class Imbalance(Strategy, frozen=True, kw_only=True):
    """Bid share of the ten-level depth beyond a threshold, with order flow behind it and no density in front."""

    buy_threshold: float = 0.75
    """Bid share of depth above which it buys."""
    sell_threshold: float = 0.25
    """Bid share of depth below which it sells."""
    max_spread_bps: float = 5.0
    clear_bps: float = 5.0
    """No opposite density may stand nearer to the touch than this."""
    stop_bps: float = 25.0
    take_profit_bps: float = 40.0
    horizon_s: float = 60.0

    def decide(self, view: View, state: Any) -> Signal | None:  # noqa: ARG002 - it remembers nothing
        """Buy or sell at the touch when book and flow agree."""
        features = view.features
        share = (1 + features.of(Feature.IMBALANCE_10)) / 2
        flow = features.of(Feature.ORDER_FLOW_IMBALANCE)
        if share >= self.buy_threshold and flow > 0:
            side, strength = Side.BUY, (share - self.buy_threshold) / (1 - self.buy_threshold)
        elif share <= self.sell_threshold and flow < 0:
            side, strength = Side.SELL, (self.sell_threshold - share) / self.sell_threshold
        else:
            return None
        if not features.is_warm(Feature.IMBALANCE_10, Feature.ORDER_FLOW_IMBALANCE):
            return None
        if features.of(Feature.BID_ASK_SPREAD_REL) * 1e4 > self.max_spread_bps or not self._is_clear(view, side):
            return None
        return self._signal(view, side, 0.5 + 0.5 * strength, (f"bid share {share:.3f}", f"order flow {flow:.3f}"))

    def _is_clear(self, view: View, side: Side) -> bool:
        mid = view.market.book.mid
        in_front = view.market.densities.on(side.opposite)
        return not in_front or in_front[0].distance(mid) / mid * 1e4 > self.clear_bps

    def _signal(self, view: View, side: Side, strength: float, reasons: tuple[str, ...]) -> Signal:
        book = view.market.book
        entry = book.best_ask if side is Side.BUY else book.best_bid
        return Signal(
            instrument=view.instrument.id,
            side=side,
            strength=strength,
            ts_event=view.now,
            entry=entry,
            stop_loss=Ticks(round(entry * (1 - side * self.stop_bps / 1e4))),
            take_profit=Ticks(round(entry * (1 + side * self.take_profit_bps / 1e4))),
            horizon_ns=Nanos(int(self.horizon_s * SECOND)),
            reasons=reasons,
        )
