"""What is known of the quality of one instrument's public stream: counters, and a score that says why it is low."""

from enum import StrEnum

import msgspec

from stakan.core.domain.units import MINUTE, SECOND, Nanos
from stakan.core.market.book import Book
from stakan.core.market.health import HealthLimits, book_health


class FeedReason(StrEnum):
    """What takes from the health of a stream, besides the reasons of the book itself."""

    DISCONNECTED = "disconnected"
    UNSYNCED = "unsynced"
    """Waits for a snapshot."""
    REFUSED = "refused"
    """The exchange does not give the book."""
    LATE = "late"
    RESYNCED_RECENTLY = "resynced_recently"
    DIFFERS = "differs"
    """The last comparison with a REST snapshot failed."""


class FeedCounters(msgspec.Struct):
    """What happened to one instrument's stream since the start."""

    messages: int = 0
    """Book messages that were taken in."""
    snapshots: int = 0
    restarts: int = 0
    """Snapshots with `u` = 1: the exchange's service began anew."""
    gaps: int = 0
    stale: int = 0
    """Messages that were older than the book, or came twice; dropped."""
    held_back: int = 0
    """Messages dropped because a snapshot was awaited."""
    broken: int = 0
    """Crossed books and corrupt levels."""
    undecodable: int = 0
    unknown_deletes: int = 0
    resyncs: int = 0
    interruptions: int = 0
    """How often the connection was lost."""
    checks: int = 0
    """Comparisons with REST that said something."""
    differences: int = 0
    """Comparisons that failed."""
    unclear_checks: int = 0
    """Comparisons that found no state to compare with."""
    repeated_prints: int = 0
    filled_prints: int = 0
    """Prints of an interruption that REST gave afterwards."""


class FeedHealth(msgspec.Struct, frozen=True):
    """`score` is 0 (do not trade) to 1 (nothing to say against it)."""

    score: float
    reasons: tuple[str, ...] = ()
    lag_ns: Nanos = Nanos(0)
    """Age of the newest book state when it arrived, by the exchange's clock."""


class FeedHealthLimits(msgspec.Struct, frozen=True, kw_only=True):
    """From where on a stream loses health."""

    book: HealthLimits = HealthLimits()
    late_after_ns: Nanos = Nanos(SECOND // 2)
    useless_after_ns: Nanos = Nanos(3 * SECOND)
    """A lag of this much leaves nothing; from `late_after_ns` on it falls in a straight line."""
    resynced_within_ns: Nanos = Nanos(MINUTE)
    resync_factor: float = 0.8
    """What each resync within that time leaves."""
    difference_factor: float = 0.5


def feed_health(
    book: Book, now: int, lag: int, recent_resyncs: int, *, differs: bool, limits: FeedHealthLimits
) -> FeedHealth:
    """Health of a stream that is connected and synced: the book's own, less what lag, resyncs and checks take."""
    own = book_health(book, now, limits.book)
    score = own.score
    reasons = [str(reason) for reason in own.reasons]
    if lag > limits.late_after_ns:
        score *= max(0.0, (limits.useless_after_ns - lag) / (limits.useless_after_ns - limits.late_after_ns))
        reasons.append(FeedReason.LATE)
    if recent_resyncs:
        score *= limits.resync_factor**recent_resyncs
        reasons.append(FeedReason.RESYNCED_RECENTLY)
    if differs:
        score *= limits.difference_factor
        reasons.append(FeedReason.DIFFERS)
    return FeedHealth(score, tuple(reasons), Nanos(lag))
