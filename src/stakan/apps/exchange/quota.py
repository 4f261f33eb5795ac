"""Rate limits of the exchange: per account and endpoint over a rolling second, per address over five seconds.

Bybit v5, "Rate limit rules": single and batch endpoints have separate budgets, a batch costs one unit per order, REST
and the trade socket share the account's budget.
"""

from collections import deque
from typing import NamedTuple

WINDOW_MS = 1_000
ADDRESS_WINDOW_MS = 5_000
ADDRESS_LIMIT = 600
LOCKOUT_MS = 600_000
CONNECTION_WINDOW_MS = 300_000
NEW_CONNECTIONS = 500
OPEN_CONNECTIONS = 1_000
"""Of one address at a time; Bybit counts them by market."""
SOCKET_REQUESTS = 3_000
"""Over trade sockets, of one address in a second."""
TOO_MANY = 10_006

_PER_SECOND = {
    **dict.fromkeys(
        (
            "order/create", "order/amend", "order/cancel", "order/cancel-all", "order/create-batch",
            "order/amend-batch", "order/cancel-batch",
        ),
        10,
    ),
    **dict.fromkeys(("order/realtime", "order/history", "execution/list", "position/list", "position/closed-pnl"), 50),
    **dict.fromkeys(("account/wallet-balance", "account/info", "account/user-setting-config"), 50),
    **dict.fromkeys(("account/fee-rate", "account/set-margin-mode", "order/disconnected-cancel-all"), 5),
    "account/transaction-log": 25,
    "asset/coin/query-info": 5,
}  # fmt: skip
_OTHERS = 10


class Allowance(NamedTuple):
    """What is left of a budget after a request; the parts of the `X-Bapi-Limit*` headers."""

    limit: int
    left: int
    reset_ms: int
    granted: int
    """Units of this request that were within the budget: all, none, or the first orders of a batch."""


class Quotas:
    """Budgets of one account. `factor` 1 is a plain account, 0 switches limits off."""

    def __init__(self, factor: float = 1.0) -> None:
        self._factor = factor
        self._used: dict[str, deque[int]] = {}

    def take(self, operation: str, now_ms: int, units: int = 1) -> Allowance:
        """Spend up to `units` of an endpoint's budget."""
        limit = int(_PER_SECOND.get(operation, _OTHERS) * self._factor)
        if not limit:
            return Allowance(0, 0, now_ms, units)
        used = self._used.setdefault(operation, deque())
        while used and used[0] <= now_ms - WINDOW_MS:
            used.popleft()
        granted = min(units, limit - len(used))
        used.extend([now_ms] * granted)
        reset = used[0] + WINDOW_MS if len(used) >= limit else now_ms
        return Allowance(limit, limit - len(used), reset, granted)


class AddressQuota:
    """Requests of one address over five seconds; one too many locks the address out for ten minutes (HTTP 403)."""

    def __init__(self, limit: int = ADDRESS_LIMIT) -> None:
        self._limit = limit
        self._used: dict[str, deque[int]] = {}
        self._locked_until: dict[str, int] = {}

    def allows(self, address: str, now_ms: int) -> bool:
        """Count a request; False where it is one too many, or comes from an address that is locked out."""
        if now_ms < self._locked_until.get(address, 0):
            return False
        if _count(self._used.setdefault(address, deque()), now_ms, ADDRESS_WINDOW_MS, self._limit):
            return True
        self._locked_until[address] = now_ms + LOCKOUT_MS
        return False


class RollingQuota:
    """So many of something from one address in any stretch of a length."""

    def __init__(self, limit: int, window_ms: int) -> None:
        self._limit = limit
        self._window_ms = window_ms
        self._used: dict[str, deque[int]] = {}

    def allows(self, address: str, now_ms: int) -> bool:
        """Count another one; False where it is one too many."""
        return _count(self._used.setdefault(address, deque()), now_ms, self._window_ms, self._limit)


def _count(used: deque[int], now_ms: int, window_ms: int, limit: int) -> bool:
    """Note another one in a rolling window, unless there were too many."""
    while used and used[0] <= now_ms - window_ms:
        used.popleft()
    if len(used) >= limit:
        return False
    used.append(now_ms)
    return True
