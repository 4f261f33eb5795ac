"""The exchange's time: whole milliseconds, as the protocol tells it."""

from collections.abc import Callable

from stakan.core.domain.units import MILLISECOND


class ExchangeClock:
    """Wall time plus a skew, floored to the millisecond and never going back."""

    def __init__(self, now_ns: Callable[[], int], skew_ns: int = 0) -> None:
        self.skew_ns = skew_ns
        """May be changed while running; a step back makes the clock stand until it is caught up."""
        self._now_ns = now_ns
        self._last = 0

    def now(self) -> int:
        """Nanoseconds UTC in whole milliseconds."""
        now = self._now_ns() + self.skew_ns
        self._last = max(self._last, now - now % MILLISECOND)
        return self._last
