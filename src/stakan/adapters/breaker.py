"""A circuit breaker without I/O and clock: calls to something that keeps failing are held back until a probe succeeds.

Our own code, because what it guards is a synchronous state machine in its own time: the library of the specification
wraps coroutines, reads the clock itself and is not maintained. Times are nanoseconds of one clock.
"""

from enum import StrEnum

import msgspec

from stakan.core.domain.units import SECOND


class BreakerState(StrEnum):
    """What a breaker does with calls."""

    CLOSED = "closed"
    """All pass."""
    OPEN = "open"
    """None passes before the cool-down is over; then the next one is a probe."""
    HALF_OPEN = "half-open"
    """One probe is under way, and no other call passes."""


class Breaker(msgspec.Struct, kw_only=True):
    """One breaker: ask `allow` before a call, and tell what became of every call, also of those that did not ask.

    What must not be held back is sent without asking; its outcome counts like any other, so its success closes the
    breaker too. A probe of which nothing is told within another cool-down is lost, and the next call takes its place.
    """

    name: str
    threshold: int = 5
    """Failures in a row that open it."""
    cool_down: int = 30 * SECOND
    state: BreakerState = BreakerState.CLOSED
    since: int = 0
    """When it came into its state; 0 where it was never in another."""
    retry_at: int = 0
    """While it is not closed: when the next call may probe."""
    in_row: int = 0
    """Failures since the last success."""
    cause: str = ""
    """Of the newest failure."""
    passed: int = 0
    refused: int = 0
    succeeded: int = 0
    failed: int = 0
    opened: int = 0
    """How often it opened, failed probes included."""

    @property
    def is_closed(self) -> bool:
        """Whether all calls pass."""
        return self.state is BreakerState.CLOSED

    def allow(self, now: int) -> bool:
        """Whether a call may be made now; the one that may while it is not closed is the probe."""
        if self.state is not BreakerState.CLOSED:
            if now < self.retry_at:
                self.refused += 1
                return False
            self._enter(BreakerState.HALF_OPEN, now)
            self.retry_at = now + self.cool_down
        self.passed += 1
        return True

    def success(self, now: int) -> None:
        """A call succeeded: whatever it was, what is behind the breaker works."""
        self.succeeded += 1
        self.in_row = 0
        if self.state is not BreakerState.CLOSED:
            self._enter(BreakerState.CLOSED, now)

    def failure(self, now: int, cause: str) -> None:
        """A call failed. While it is open this changes nothing: no failure puts the probe off."""
        self.failed += 1
        self.in_row += 1
        self.cause = cause
        is_due = self.state is BreakerState.CLOSED and self.in_row >= self.threshold
        if is_due or self.state is BreakerState.HALF_OPEN:
            self._enter(BreakerState.OPEN, now)
            self.retry_at = now + self.cool_down
            self.opened += 1

    def reset(self, now: int) -> None:
        """An operator closes it; counts and the last cause stay."""
        self.in_row = 0
        if self.state is not BreakerState.CLOSED:
            self._enter(BreakerState.CLOSED, now)

    def why(self, now: int) -> str:
        """Why a call is refused, for people."""
        wait = max(0, self.retry_at - now) / SECOND
        return f"{self.name}: {self.in_row} failures in a row, the last: {self.cause}; next try in {wait:.1f} s"

    def _enter(self, state: BreakerState, now: int) -> None:
        self.state, self.since = state, now
