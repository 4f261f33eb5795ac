"""How often Bybit may be asked: a window of tokens per group of requests, corrected by what its answers say.

The exchange counts requests in a rolling second per account and group, and in five rolling seconds per address. So a
token that was used comes back exactly one window later, and no burst at a window's edge can exceed the limit.
No clock and no waiting in here: `acquire` says how long to wait and books the place.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from stakan.core.domain.errors import RateLimited
from stakan.core.domain.units import MINUTE, SECOND

SHARE = 0.85
"""Of the documented limit that we use: other programs of the same account, and the way to the exchange."""
_ADDRESS_LIMIT = 600
_ADDRESS_WINDOW = 5 * SECOND
BAN = 10 * MINUTE
"""How long an address stays silent after HTTP 403."""
SLOW_DOWN = SECOND // 2
"""After a limit that is not the account's, and of which no answer says when it ends."""


class Group(StrEnum):
    """Requests that share a budget."""

    CREATE = "order/create"
    AMEND = "order/amend"
    CANCEL = "order/cancel"
    CANCEL_ALL = "order/cancel-all"
    PROTECT = "position/trading-stop"
    SETTINGS = "position/set-leverage"
    ORDERS = "order/realtime"
    HISTORY = "order/history"
    EXECUTIONS = "execution/list"
    POSITIONS = "position/list"
    WALLET = "account/wallet-balance"
    ACCOUNT = "account/info"
    FEES = "account/fee-rate"
    MARGIN_MODE = "account/set-margin-mode"
    KEY = "user/query-api"
    MARKET = "market"
    """Public: only the limit of the address."""


PER_SECOND: Mapping[Group, int] = MappingProxyType(
    {
        Group.CREATE: 10,
        Group.AMEND: 10,
        Group.CANCEL: 10,
        Group.CANCEL_ALL: 10,
        Group.PROTECT: 10,
        Group.SETTINGS: 10,
        Group.ORDERS: 50,
        Group.HISTORY: 50,
        Group.EXECUTIONS: 50,
        Group.POSITIONS: 50,
        Group.WALLET: 50,
        Group.ACCOUNT: 50,
        Group.FEES: 5,
        Group.MARGIN_MODE: 5,
        Group.KEY: 10,
        Group.MARKET: 100,
    }
)
"""Of a default account (docs of Bybit v5, page `rate-limit`)."""

ORDER_GROUPS = frozenset((Group.CREATE, Group.AMEND, Group.CANCEL, Group.CANCEL_ALL, Group.PROTECT))
"""Their requests have a part of the address's limit to themselves: no storm of queries keeps a stop from its place."""


class Window:
    """At most `most` tokens in any `window_ns`; fewer while it is capped, because others share the budget."""

    def __init__(self, most: int, window_ns: int, share: float = SHARE) -> None:
        """`share` is taken of the limits that the exchange tells."""
        self.most = most
        self.window_ns = window_ns
        self.asked = 0
        """How often a place was asked for, by whoever uses it."""
        self._limit = most
        """What is in force."""
        self._cap: int | None = None
        self._share = share
        self._taken: list[int] = []
        """Places in the order of their time, those ahead included."""
        self._blocked_until = 0
        self._full = (0, 0)
        """From and to: a stretch that is known to be full, because a search went through it."""

    def wait(self, now: int) -> int:
        """Nanoseconds from `now` until one more fits in."""
        self.forget(now)
        return self.free(now) - now

    def forget(self, now: int) -> None:
        """Places that no window from `now` on can hold."""
        del self._taken[: bisect_right(self._taken, now - self.window_ns)]

    def free(self, at: int) -> int:
        """The first moment from `at` on around which no window would hold too many with one more."""
        taken, most, window = self._taken, self._limit, self.window_ns
        asked = at = max(at, self._blocked_until)
        full_from, full_to = self._full
        if full_from <= at < full_to:
            at = full_to
        # `most` places that lie within one window let none in between the last less a window and the first plus one.
        # Both ends rise with the places, so the search begins where one still ends later, and stops at the first gap.
        for first in range(bisect_right(taken, at - window), len(taken) - most + 1):
            last = taken[first + most - 1]
            if last - window >= at:
                break
            if last - window < taken[first]:
                at = taken[first] + window
        if at > asked:
            self._full = (full_from, at) if full_from <= asked <= full_to else (asked, at)
        return at

    def left(self, now: int) -> int:
        """How many fit in now, places that are booked for later counted as used."""
        used = len(self._taken) - bisect_right(self._taken, now - self.window_ns)
        return 0 if now < self._blocked_until else max(0, self._limit - used)

    def booked(self, now: int) -> int:
        """How many places are taken by what has not left yet."""
        return len(self._taken) - bisect_right(self._taken, now)

    def take(self, at: int) -> None:
        """Use a token at a moment."""
        insort(self._taken, at)

    def give_back(self, at: int) -> None:
        """A token that was booked for a moment was not used; places behind it stay as they are."""
        with suppress(ValueError):
            self._taken.remove(at)
        self._full = (0, 0)

    def learn(self, limit: int, left: int, reset: int, now: int) -> None:
        """The exchange says: `left` of `limit` remain, and none of the rest comes back before `reset`."""
        if limit > 0:
            self.most = max(1, int(limit * self._share))
            self.cap(self._cap)
        self.forget(now)
        for _ in range(self._limit - len(self._taken) - left):
            self.take(now)
        if left <= 0:
            self._blocked_until = max(self._blocked_until, min(reset, now + self.window_ns))

    def cap(self, most: int | None) -> None:
        """Hold it to fewer tokens from now on; None is all. Places that were booked already stay (see `busiest`)."""
        self._cap = most
        limit = self.most if most is None else max(1, min(most, self.most))
        if limit != self._limit:
            self._limit, self._full = limit, (0, 0)

    def busiest(self, now: int) -> int:
        """The most tokens that some window from `now` on holds, those that are booked ahead included."""
        self.forget(now)
        taken = self._taken
        return max((bisect_left(taken, at + self.window_ns) - index for index, at in enumerate(taken)), default=0)

    def block(self, until: int) -> None:
        """No token before this moment."""
        self._blocked_until = max(self._blocked_until, until)


class Budget(NamedTuple):
    """What is left of one limit."""

    left: int
    wait_ns: int
    """Until the next request of the group could leave."""


class RateLimiter:
    """The budgets of one account behind one address. Times are nanoseconds of one clock.

    `share` is what this process may use of the documented limits.
    """

    def __init__(self, per_second: Mapping[Group, int] = PER_SECOND, share: float = SHARE) -> None:
        most = {group: max(1, int(limit * share)) for group, limit in per_second.items()}
        self._groups = {group: Window(limit, SECOND, share) for group, limit in most.items()}
        # Orders never wait for the address: it keeps for them what their own windows let through in its window.
        kept = sum(most[group] for group in ORDER_GROUPS & most.keys()) * (_ADDRESS_WINDOW // SECOND)
        self._orders = Window(max(1, kept), _ADDRESS_WINDOW)
        self._queries = Window(max(1, int(_ADDRESS_LIMIT * share) - kept), _ADDRESS_WINDOW)
        self._silent_until = 0

    def acquire(self, group: Group, now: int, max_wait: int, *, over_http: bool) -> int:
        """Book a place and say how many nanoseconds to wait for it; 0 is now.

        Raises RateLimited where it would take longer than `max_wait`; then nothing is booked.
        """
        window = self._groups[group]
        address = self._orders if group in ORDER_GROUPS else self._queries
        window.asked += 1
        at = now + window.wait(now)
        if over_http:
            address.asked += 1
            address.forget(now)
            at = self._agreed(window, address, at)
        wait = at - now
        if wait > max_wait:
            raise RateLimited(f"{group}: no request for {wait / SECOND:.3f} s", wait)
        window.take(at)
        if over_http:
            address.take(at)
        return wait

    def _agreed(self, window: Window, address: Window, at: int) -> int:
        """The first moment that both have free, from one on that `window` has: each may have given away the other's."""
        if at < self._silent_until:
            at = window.free(self._silent_until)
        while (later := address.free(at)) != at:
            at = window.free(later)
            if at == later:
                break
        return at

    @property
    def of_account(self) -> Mapping[str, Window]:
        """Budgets that all processes of the account share, by name."""
        return {group.value: window for group, window in self._groups.items() if group is not Group.MARKET}

    @property
    def of_address(self) -> Mapping[str, Window]:
        """Budgets that all processes behind the address share, by name."""
        market = {} if Group.MARKET not in self._groups else {Group.MARKET.value: self._groups[Group.MARKET]}
        return {**market, "orders": self._orders, "queries": self._queries}

    def give_back(self, group: Group, at: int) -> None:
        """A place on the trade socket that was booked for a moment is not needed."""
        self._groups[group].give_back(at)

    def learn(self, group: Group, limit: int, left: int, reset: int, now: int) -> None:
        """Take over what the headers of an answer say; `reset` in nanoseconds of our clock."""
        self._groups[group].learn(limit, left, reset, now)

    def refused(self, group: Group, reset: int) -> None:
        """The account's limit was hit in spite of us (10006): nothing of this group before `reset`."""
        self._groups[group].block(reset)

    def slow_down(self, group: Group, now: int) -> None:
        """The exchange protects itself (429, 20003): a pause for this group, short enough for what must leave."""
        self._groups[group].block(now + SLOW_DOWN)

    def ban(self, now: int) -> None:
        """The address was refused (HTTP 403): no HTTP at all for ten minutes."""
        self._silent_until = max(self._silent_until, now + BAN)

    def waiting(self, now: int) -> int:
        """Requests that have a place and wait for it to come."""
        return sum(window.booked(now) for window in self._groups.values())

    def budgets(self, now: int) -> dict[str, Budget]:
        """What is left of each, to be looked at: of the groups, and of the address's part for orders and for queries."""
        windows = {group.value: window for group, window in self._groups.items()}
        windows |= {"address, orders": self._orders, "address, queries": self._queries}
        return {name: Budget(window.left(now), window.free(now) - now) for name, window in windows.items()}
