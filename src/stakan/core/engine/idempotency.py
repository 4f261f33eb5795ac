"""Results of requests, kept for a while: whoever asks twice is told what came of it the first time."""

import msgspec

from stakan.core.domain.units import HOUR, MINUTE, Nanos

TTL = HOUR
"""How long a result is kept where its operation says nothing else."""
_PRUNE_EVERY = MINUTE


class Result(msgspec.Struct, frozen=True):
    """What came of a request when it was carried out."""

    number: int
    """Of the step that carried it out."""
    ts: Nanos
    until: Nanos
    """A repeat from here on is a request of its own."""
    outcome: str = ""
    """Why it was refused; empty where it was accepted."""


class ResultCache(msgspec.Struct, kw_only=True):
    """First results by operation and request id; plain data, part of what an engine remembers.

    Times never go back. That an id is never used for two things is the business of whoever makes ids: after its time
    a result is forgotten, and the same id would be carried out again.
    """

    rows: dict[str, dict[str, Result]] = msgspec.field(default_factory=dict)
    """By operation, then request id, oldest first."""
    prune_at: int = 0

    def __len__(self) -> int:
        """Results that are kept, expired ones included until they are pruned."""
        return sum(len(kept) for kept in self.rows.values())

    def find(self, operation: str, request_id: str, now: int) -> Result | None:
        """The first result of a request that is repeated in time; None where it is to be carried out."""
        kept = self.rows.get(operation)
        found = kept.get(request_id) if kept is not None else None
        return found if found is not None and now < found.until else None

    def keep(
        self, operation: str, request_id: str, now: int, *, number: int, outcome: str = "", ttl: int = TTL
    ) -> Result:
        """Remember what came of a request, for `ttl` nanoseconds; of one that is a repeat, the first result stays."""
        first = self.find(operation, request_id, now)
        if first is not None:
            return first
        if now >= self.prune_at:
            self.prune(now)
            self.prune_at = now + _PRUNE_EVERY
        kept = self.rows.setdefault(operation, {})
        # One that has expired makes room, so that the order of a row stays that of time.
        kept.pop(request_id, None)
        result = kept[request_id] = Result(number, Nanos(now), Nanos(now + ttl), outcome)
        return result

    def prune(self, now: int) -> int:
        """Forget what has expired; how many results that were."""
        count = 0
        for operation in list(self.rows):
            kept = self.rows[operation]
            expired = _expired(kept, now)
            for request_id in expired:
                del kept[request_id]
            count += len(expired)
            if not kept:
                del self.rows[operation]
        return count


def _expired(kept: dict[str, Result], now: int) -> list[str]:
    """Oldest first, to the first that still counts: one whose time was longer keeps those behind it until its own."""
    found = []
    for request_id, result in kept.items():
        if now < result.until:
            break
        found.append(request_id)
    return found
