"""Whether a book can be trusted right now: a number from 0 to 1 with its reasons."""

from enum import StrEnum

import msgspec

from stakan.core.domain.units import SECOND, Nanos
from stakan.core.market._book_kernels import ASKS, BIDS
from stakan.core.market.book import Book, BookState


class HealthReason(StrEnum):
    """What takes from a book's health."""

    EMPTY = "empty"
    """No snapshot yet, or a side without a level."""
    INVALID = "invalid"
    """A gap, a crossed book, a corrupt level or an interrupted feed; waits for a snapshot."""
    CROSSED_RECENTLY = "crossed_recently"
    STALE = "stale"
    SHALLOW = "shallow"


class HealthLimits(msgspec.Struct, frozen=True, kw_only=True):
    """From where on a book loses health."""

    stale_after_ns: Nanos = Nanos(2 * SECOND)
    """Silence up to this long costs nothing: 20 messages of a 100 ms stream."""
    dead_after_ns: Nanos = Nanos(10 * SECOND)
    """Silence this long leaves nothing; in between it falls in a straight line."""
    levels: int = 10
    """Fewer on the thinner side cost their share."""
    crossed_within_ns: Nanos = Nanos(10 * SECOND)
    """A book that crossed so recently counts half."""


class BookHealth(msgspec.Struct, frozen=True):
    """`score` is 0 (do not trade) to 1 (nothing to say against it)."""

    score: float
    reasons: tuple[HealthReason, ...] = ()


_HEALTHY = BookHealth(1.0)
_DEFAULTS = HealthLimits()
_CROSSED_FACTOR = 0.5


def book_health(book: Book, now: int, limits: HealthLimits = _DEFAULTS) -> BookHealth:
    """Health at receive time `now`: the product of what age, depth and a recent crossing leave."""
    if book.state is BookState.INVALID:
        return BookHealth(0.0, (HealthReason.INVALID,))
    levels = int(min(book.counts[BIDS], book.counts[ASKS]))
    if book.state is BookState.EMPTY or levels == 0:
        return BookHealth(0.0, (HealthReason.EMPTY,))
    age = now - book.ts_recv
    is_crossed = book.crossings > 0 and now - book.crossed_ts < limits.crossed_within_ns
    if age <= limits.stale_after_ns and levels >= limits.levels and not is_crossed:
        return _HEALTHY
    return _reduced(age, levels, limits, is_crossed=is_crossed)


def _reduced(age: int, levels: int, limits: HealthLimits, *, is_crossed: bool) -> BookHealth:
    score = 1.0
    reasons = []
    if is_crossed:
        score *= _CROSSED_FACTOR
        reasons.append(HealthReason.CROSSED_RECENTLY)
    if age > limits.stale_after_ns:
        score *= max(0.0, (limits.dead_after_ns - age) / (limits.dead_after_ns - limits.stale_after_ns))
        reasons.append(HealthReason.STALE)
    if levels < limits.levels:
        score *= levels / limits.levels
        reasons.append(HealthReason.SHALLOW)
    return BookHealth(score, tuple(reasons))
