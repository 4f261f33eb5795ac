"""Accounts of the local exchange: who may ask, and one account's orders, positions and money behind its requests."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from stakan.adapters.exchanges.simulated.models import FeeRates, QueueModel
from stakan.apps.exchange import account_requests, account_state, order_entry, parameters, position_entry, queries
from stakan.apps.exchange.market import single
from stakan.apps.exchange.parameters import read
from stakan.apps.exchange.refusal import Refused
from stakan.apps.exchange.replies import OK, Push, Reply
from stakan.apps.exchange.trading import Trading
from stakan.apps.exchange.uncertain import Uncertain
from stakan.apps.exchange.venue import Published, Quote, Venue
from stakan.core.domain.batch import BatchBuilder, MarketBatch
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import Ticker, TradePrint
from stakan.core.domain.units import Lots, Side, Ticks

__all__ = ["OPERATIONS", "Account", "AccountConfig", "Accounts", "ApiKey", "Published", "Quote"]

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


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key of an account."""

    key: str
    secret: str
    read_only: bool = False
    """Requests with POST are refused with 10005."""
    permissions: tuple[str, ...] = ("Order", "Position")
    """Of `ContractTrade`."""
    ips: tuple[str, ...] = ()
    """Addresses that may use it; empty: all (10010 otherwise, which is the server's to say)."""
    expires_ms: int = 0
    """From when on it is refused with 33004; 0: never."""
    note: str = ""


class AccountConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account."""

    uid: int = 100_000_001
    keys: tuple[ApiKey, ...] = (ApiKey("stakan-key", "stakan-secret"),)
    balance: Decimal = Decimal(10_000)
    """USDT."""
    leverage: Decimal = Decimal(10)
    """Of every symbol until it is set."""
    fees: FeeRates | None = None
    """None takes each instrument's own."""

    def __post_init__(self) -> None:
        if not self.keys:
            raise ConfigError(f"account {self.uid} needs at least one API key")


def _create(trading: Trading, asked: parameters.Create, now: int) -> dict[str, str]:
    return order_entry.names(order_entry.create(trading, asked, now))


def _amend(trading: Trading, asked: parameters.Amend, now: int) -> dict[str, str]:
    return order_entry.names(order_entry.amend(trading, asked, now))


def _cancel(trading: Trading, asked: parameters.Named, now: int) -> dict[str, str]:
    return order_entry.names(order_entry.cancel(trading, asked, now))


def _cancel_all(trading: Trading, asked: parameters.CancelAll, now: int) -> dict[str, Any]:
    return {"list": order_entry.all_names(order_entry.cancel_all(trading, asked, now)), "success": "1"}


_HANDLERS: dict[str, tuple[type[parameters.Parameters], Callable[[Trading, Any, int], Any]]] = {
    "order/create": (parameters.Create, _create),
    "order/amend": (parameters.Amend, _amend),
    "order/cancel": (parameters.Named, _cancel),
    "order/cancel-all": (parameters.CancelAll, _cancel_all),
    "order/realtime": (parameters.OpenOrders, queries.open_orders),
    "order/history": (parameters.OrderHistory, queries.order_history),
    "order/disconnected-cancel-all": (parameters.Nothing, account_requests.disconnect_cancel),
    "execution/list": (parameters.Executions, queries.executions),
    "position/list": (parameters.Positions, queries.positions),
    "position/closed-pnl": (parameters.ClosedPnl, queries.closed_pnl),
    "position/set-leverage": (parameters.SetLeverage, position_entry.set_leverage),
    "position/switch-mode": (parameters.SwitchMode, position_entry.switch_mode),
    "position/switch-isolated": (parameters.Nothing, position_entry.switch_isolated),
    "position/trading-stop": (parameters.TradingStop, position_entry.trading_stop),
    "position/add-margin": (parameters.AddMargin, position_entry.add_margin),
    "position/set-auto-add-margin": (parameters.AutoAddMargin, position_entry.set_auto_add_margin),
    "position/symbol-info": (parameters.Symbols, position_entry.symbol_info),
    "account/info": (parameters.Nothing, account_requests.info),
    "account/wallet-balance": (parameters.Wallet, account_requests.wallet_balance),
    "account/fee-rate": (parameters.FeeRate, account_requests.fee_rate),
    "account/set-margin-mode": (parameters.MarginMode, account_requests.set_margin_mode),
    "account/transaction-log": (parameters.TransactionLog, queries.transaction_log),
    "account/user-setting-config": (parameters.Nothing, account_requests.user_settings),
    "account/set-limit-px-action": (parameters.LimitPriceAction, account_requests.set_limit_price_action),
    "account/withdrawal": (parameters.Withdrawal, account_requests.withdrawal),
    "account/instruments-info": (parameters.Symbols, account_requests.instruments_info),
    "asset/coin/query-info": (parameters.Coins, account_requests.coins),
}
_BATCHES: dict[str, order_entry.Single] = {
    "order/create-batch": (parameters.Create, order_entry.create),
    "order/amend-batch": (parameters.Amend, order_entry.amend),
    "order/cancel-batch": (parameters.Named, order_entry.cancel),
}


class Account:
    """One owner: every request goes through `handle`, every consequence comes out of `drain`.

    All delays belong to the server: a request happens at `now`. Times are nanoseconds UTC of the exchange.
    """

    def __init__(self, config: AccountConfig, market: Published, uncertain: Uncertain, queue: QueueModel) -> None:
        self.uid = config.uid
        self.keys = config.keys
        venue = Venue(market, config.balance, config.leverage, config.fees, queue)
        self._trading = Trading(config.uid, market, venue, uncertain)

    @property
    def trading(self) -> Trading:
        """Its orders, positions and records as they are: to be read, not to be changed."""
        return self._trading

    def feed(self, batch: MarketBatch) -> None:
        """Rows of one instrument to come, `ts_exchange` as published; nothing of them happens before `advance`."""
        self._trading.venue.feed(batch)

    def advance(self, now: int) -> None:
        """Live through everything up to `now`."""
        self._trading.advance(now)

    def handle(
        self,
        operation: str,
        params: Mapping[str, Any],
        now: int,
        key: ApiKey | None = None,
        allowed: int | None = None,
    ) -> Reply:
        """Answer one request; `params` is the decoded body or query. Never raises for what a client sent.

        The market up to and including `now` is lived through first. Codes: 0, or Bybit's. `key` is the key that
        asked (for `user/query-api` and read-only keys), the account's first one where it is None. `allowed`: how many
        items of a batch the rate limit lets pass. Raises KeyError for an operation that is not in `OPERATIONS`.
        """
        asking = key or self.keys[0]
        method = OPERATIONS[operation]
        try:
            if method == "POST" and asking.read_only:
                return Reply({}, 10005, "Permission denied, please check your API key permissions.")
            self._trading.advance(now)
            return self._answer(operation, params, now, asking, allowed)
        except Refused as refused:
            return Reply({}, refused.code, refused.message)

    def trade_half(self, params: Mapping[str, Any], now: int) -> None:
        """Let the market trade half of what is left of the order that a request names; nothing where it does not rest.

        The trade is beyond the order's price, so that nobody in its queue gets it first.
        """
        trading = self._trading
        order = trading.orders.find(str(params.get("orderId") or ""), str(params.get("orderLinkId") or ""))
        if order is None or order.is_waiting or order.left < 2:
            return
        rules = trading.market.instruments[order.symbol]
        traded = TradePrint(
            instrument=rules.id,
            ts_event=now,
            ts_recv=now,
            price=Ticks(order.price - order.side),
            size=Lots(order.left // 2),
            side=Side(-order.side),
            trade_id=0,
        )
        builder = BatchBuilder(rules.id)
        builder.add(traded, 0)
        self.feed(builder.build())
        self.advance(now)

    def drain(self) -> list[Push]:
        """What the private streams are to tell since the last call, in order."""
        return self._trading.drain()

    def snapshot(self) -> bytes:
        """Everything the account is and remembers; pushes that were not drained are not part of it."""
        return account_state.encode(self._trading)

    def restore(self, data: bytes) -> None:
        """Be what `snapshot` kept, in the market of the present; for an account that has not been asked yet.

        Resting orders stand behind everything at their price. Raises DataError for something else.
        """
        account_state.restore(self._trading, data)

    def _answer(self, operation: str, params: Mapping[str, Any], now: int, key: ApiKey, allowed: int | None) -> Reply:
        if operation == "user/query-api":
            return Reply(self._key_info(key))
        if operation in _BATCHES:
            asked = read(parameters.Batch, params)
            result, ext = order_entry.batch(self._trading, asked, _BATCHES[operation], now, allowed)
            return Reply(result, OK, "OK", ext)
        kind, carry_out = _HANDLERS[operation]
        answer = carry_out(self._trading, read(kind, params), now)
        if isinstance(answer, Reply):
            return answer
        return Reply({} if answer is None else answer)

    def _key_info(self, key: ApiKey) -> dict[str, Any]:
        """`user/query-api`: a personal key of a unified account; the expiry of one without is in 1970."""
        expiry = datetime.fromtimestamp(key.expires_ms / 1000, UTC)
        rights = dict.fromkeys(
            ("Spot", "Wallet", "Options", "Derivatives", "CopyTrading", "BlockTrade", "Exchange", "NFT"), ()
        )
        return {
            "id": str(self.uid),
            "note": key.note,
            "apiKey": key.key,
            "readOnly": int(key.read_only),
            "secret": "",
            "permissions": {"ContractTrade": key.permissions, **rights},
            "ips": key.ips or ("*",),
            "type": 1,
            "deadlineDay": 0,
            "expiredAt": expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "createdAt": "1970-01-01T00:00:00Z",
            "unified": 0,
            "uta": 1,
            "userID": self.uid,
            "inviterID": 0,
            "vipLevel": "No VIP",
            "mktMakerLevel": "0",
            "affiliateID": 0,
            "rsaPublicKey": "",
            "isMaster": True,
            "parentUid": "0",
            "kycLevel": "LEVEL_DEFAULT",
            "kycRegion": "",
        }


class Accounts:
    """All accounts, by API key."""

    def __init__(
        self,
        configs: Iterable[AccountConfig],
        market: Published,
        uncertain: Uncertain | None = None,
        queue: QueueModel | None = None,
    ) -> None:
        self._accounts: list[Account] = []
        self._by_key: dict[str, tuple[Account, ApiKey]] = {}
        for config in configs:
            account = Account(config, market, uncertain or Uncertain(), queue or QueueModel())
            if any(account.uid == other.uid for other in self._accounts):
                raise ConfigError(f"two accounts have the uid {account.uid}")
            self._accounts.append(account)
            for key in account.keys:
                if key.key in self._by_key:
                    raise ConfigError(f"two accounts have the API key {key.key!r}")
                self._by_key[key.key] = (account, key)

    def find(self, key: str) -> tuple[Account, ApiKey] | None:
        """The account and key of an API key; None where nobody has it."""
        return self._by_key.get(key)

    def feed(self, batch: MarketBatch) -> None:
        """Rows of one instrument to come, for every account that trades."""
        for account in self._accounts:
            account.feed(batch)

    def feed_tickers(self, tickers: Iterable[Ticker]) -> None:
        """Published tickers: mark and index are in force from their times on."""
        for ticker in tickers:
            self.feed(single(ticker))

    def advance(self, now: int) -> None:
        """Live through everything up to `now`, in all accounts."""
        for account in self._accounts:
            account.advance(now)

    def __iter__(self) -> Iterator[Account]:
        """Accounts in the order of the configuration."""
        return iter(self._accounts)
