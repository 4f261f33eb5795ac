"""Accounts of the local exchange: who may ask, and one account's orders, position and money behind its requests."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from stakan.adapters.exchanges.simulated.models import FeeRates, QueueModel
from stakan.apps.exchange.replies import Push, Reply
from stakan.apps.exchange.uncertain import Uncertain
from stakan.core.domain.batch import MarketBatch
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Side

OPERATIONS: Mapping[str, str] = {
    "order/create": "POST",
    "order/amend": "POST",
    "order/cancel": "POST",
    "order/cancel-all": "POST",
    "order/create-batch": "POST",
    "order/amend-batch": "POST",
    "order/cancel-batch": "POST",
    "order/realtime": "GET",
    "order/history": "GET",
    "order/disconnected-cancel-all": "POST",
    "execution/list": "GET",
    "position/list": "GET",
    "position/closed-pnl": "GET",
    "position/set-leverage": "POST",
    "position/switch-mode": "POST",
    "position/switch-isolated": "POST",
    "position/trading-stop": "POST",
    "position/add-margin": "POST",
    "position/set-auto-add-margin": "POST",
    "position/symbol-info": "GET",
    "account/info": "GET",
    "account/wallet-balance": "GET",
    "account/fee-rate": "GET",
    "account/set-margin-mode": "POST",
    "account/transaction-log": "GET",
    "account/user-setting-config": "GET",
    "account/set-limit-px-action": "POST",
    "account/withdrawal": "GET",
    "account/instruments-info": "GET",
    "user/query-api": "GET",
    "asset/coin/query-info": "GET",
}
"""Operation (the path after `/v5/`) and its method. The op `order.create` of the trade socket is `order/create`."""


class Quote(msgspec.Struct, frozen=True):
    """Published prices of one instrument; None before the first."""

    mark: Decimal | None = None
    index: Decimal | None = None
    last: Decimal | None = None


class Published(Protocol):
    """What accounts ask of the public market."""

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """Linear instruments by symbol."""
        ...

    def quote(self, symbol: str) -> Quote:
        """Prices as last published."""
        ...

    def level(self, symbol: str, side: Side, rank: int) -> int | None:
        """Price in ticks of the n-th best level of a side, from 1; None where there is none."""
        ...

    def present(self, symbol: str) -> MarketBatch | None:
        """Book snapshot, last print and ticker as rows of the present: what a new account must know first."""
        ...

    def info(self, symbol: str) -> Mapping[str, Any]:
        """The row of `instruments-info`."""
        ...


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key of an account."""

    key: str
    secret: str
    read_only: bool = False
    """Requests with POST are refused with 10005."""
    permissions: tuple[str, ...] = ("Order", "Position")
    """Of `ContractTrade`."""
    ips: tuple[str, ...] = ()
    """Addresses that may use it; empty: all (10010 otherwise)."""
    note: str = ""


class AccountConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account."""

    uid: int = 100_000_001
    keys: tuple[ApiKey, ...] = (ApiKey(key="stakan-key", secret="stakan-secret"),)
    balance: Decimal = Decimal(10_000)
    """USDT."""
    leverage: Decimal = Decimal(10)
    """Of every symbol until it is set."""
    fees: FeeRates | None = None
    """None takes each instrument's own."""


class Account:
    """One owner: every request goes through `handle`, every consequence comes out of `drain`.

    All delays belong to the server: a request happens at `now`. Times are nanoseconds UTC of the exchange.
    """

    uid: int
    keys: tuple[ApiKey, ...]

    def __init__(self, config: AccountConfig, market: Published, uncertain: Uncertain, queue: QueueModel) -> None:
        raise NotImplementedError

    def feed(self, batch: MarketBatch) -> None:
        """Rows of one instrument to come, `ts_exchange` as published; nothing of them happens before `advance`."""
        raise NotImplementedError

    def advance(self, now: int) -> None:
        """Live through everything up to `now`."""
        raise NotImplementedError

    def handle(self, operation: str, params: Mapping[str, Any], now: int, key: ApiKey | None = None) -> Reply:
        """Answer one request; `params` is the decoded body or query. Never raises for what a client sent.

        The market up to and including `now` is lived through first. Codes: 0, or Bybit's. `key` is the key that
        asked (for `user/query-api` and read-only keys), the account's first one where it is None.
        """
        raise NotImplementedError

    def drain(self) -> list[Push]:
        """What the private streams are to tell since the last call, in order."""
        raise NotImplementedError

    def snapshot(self) -> bytes:
        """Everything the account is and remembers."""
        raise NotImplementedError

    def restore(self, data: bytes) -> None:
        """Be what `snapshot` kept; raises DataError for something else."""
        raise NotImplementedError


class Accounts:
    """All accounts, by API key."""

    def __init__(
        self,
        configs: tuple[AccountConfig, ...],
        market: Published,
        uncertain: Uncertain | None = None,
        queue: QueueModel | None = None,
    ) -> None:
        raise NotImplementedError

    def find(self, key: str) -> tuple[Account, ApiKey] | None:
        """The account and key of an API key; None where nobody has it."""
        raise NotImplementedError

    def feed(self, batch: MarketBatch) -> None:
        """Rows of one instrument to come, for every account that trades."""
        raise NotImplementedError

    def advance(self, now: int) -> None:
        """Live through everything up to `now`, in all accounts."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Account]:
        """Accounts in the order of the configuration."""
        raise NotImplementedError
