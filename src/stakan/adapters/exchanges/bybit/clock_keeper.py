"""Keeps the exchange's clock measured: at the pace of sweeps while it is known, of polls while it is not."""

from stakan.adapters.exchanges.bybit.capabilities import Capability
from stakan.adapters.exchanges.bybit.context import VenueContext
from stakan.adapters.exchanges.bybit.rest import measure_clock


class ClockKeeper:
    """When the clock was measured last, and when it is to be measured again."""

    def __init__(self, context: VenueContext) -> None:
        self._context = context
        self._measured_at = 0

    def measure(self) -> None:
        """Ask for the exchange's time, now."""
        context = self._context
        self._measured_at = context.ports.clock()
        context.run(measure_clock(context.server_clock, context.ports.clock))

    def tick(self, now: int) -> None:
        """Measure where it is due, and where the exchange answers such questions."""
        patience, is_synced = self._context.patience, self._context.server_clock.is_synced
        is_due = now - self._measured_at >= (patience.sweep if is_synced else patience.poll)
        if is_due and self._context.line.breakers[Capability.MARKET].allow(now):
            self.measure()
