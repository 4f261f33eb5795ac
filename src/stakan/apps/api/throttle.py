"""How often a login may fail: a few times for free, then with pauses that double, per user and per address."""

from collections.abc import Callable

import msgspec

FREE_FAILURES = 5
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0
_FORGOTTEN_AFTER_S = 1800.0
_MAX_KEYS = 10_000


class _Failures(msgspec.Struct, frozen=True):
    count: int
    newest: float


class Throttle:
    """Failed logins by key. `clock` gives seconds of any origin that never go back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[str, _Failures] = {}

    def wait_s(self, *keys: str) -> float:
        """Seconds until the next attempt is heard; 0 where it is heard now."""
        return max(self._wait_s(key) for key in keys)

    def attempt(self, *keys: str) -> None:
        """Count an attempt as failed before its password is looked at, so that attempts at one time count each."""
        now = self._clock()
        for key in keys:
            count = self._count(key) + 1
            self._failures.pop(key, None)
            self._failures[key] = _Failures(count, now)
        while len(self._failures) > _MAX_KEYS:
            self._failures.pop(next(iter(self._failures)))

    def succeeded(self, user: str, address: str) -> None:
        """Forget a user's failures, and the one of the address that was none: its others may have been guesses."""
        self._failures.pop(user, None)
        if address in self._failures:
            known = self._failures[address]
            self._failures[address] = _Failures(known.count - 1, known.newest)

    def _count(self, key: str) -> int:
        known = self._failures.get(key)
        if known is None or self._clock() - known.newest > _FORGOTTEN_AFTER_S:
            return 0
        return known.count

    def _wait_s(self, key: str) -> float:
        count = self._count(key)
        if count < FREE_FAILURES:
            return 0.0
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(count - FREE_FAILURES, 16))
        return max(0.0, self._failures[key].newest + pause - self._clock())
