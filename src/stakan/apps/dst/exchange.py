"""The local exchange's core in virtual time, and its books: what the bot's word is checked against."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from stakan.adapters.synthetic.config import NOTHING_PLANTED, SyntheticConfig, SyntheticSymbol, demo_symbols
from stakan.apps.dst.plan import SYMBOLS
from stakan.apps.dst.time import Heap
from stakan.apps.exchange.accounts import Account, AccountConfig, ApiKey
from stakan.apps.exchange.board import Intervals
from stakan.apps.exchange.feeds import Market, generated
from stakan.apps.exchange.gateway import Request, Response
from stakan.apps.exchange.local import LocalConfig, LocalExchange
from stakan.apps.exchange.streams import Connection
from stakan.apps.exchange.trading import Trading
from stakan.core.domain.errors import DataError
from stakan.core.domain.units import MILLISECOND, SECOND, Nanos

KEY, SECRET = "stakan-key", "stakan-secret"
FIRST_LEVERAGE = Decimal(3)
"""Of every symbol until the bot sets it: never what the bot wants, so that an order before that is noticed."""
_SHORTEST_NS = 20 * MILLISECOND
"""Rows of the market are shown together that fall due within it, as the exchange's server does when it is busy."""
_LONGEST_NS = 100 * MILLISECOND
_WINDOW_NS = 5 * SECOND
"""Generated at once; nobody waits for it."""
_DEPTH = 50
_MARGIN_MODE = "/v5/account/info"
_FINE = 200


def symbols() -> tuple[SyntheticSymbol, ...]:
    """The demo's, slower and more volatile: a minute must bring stops and targets, and cost little."""
    return tuple(
        msgspec.structs.replace(
            one,
            volatility_bp=1.2,
            messages_per_second=3.0,
            orders_per_second=60.0,
            takers_per_second=1.5,
        )
        for one in demo_symbols()[:SYMBOLS]
    )


def _market(config: SyntheticConfig, start: int) -> Market:
    return generated(config, start, window_ns=_WINDOW_NS)


class Host:
    """Drives one exchange: its market as time passes, its requests as they arrive."""

    def __init__(self, heap: Heap, seed: int, told: Callable[[bytes], None]) -> None:
        self._heap = heap
        self._told = told
        self._asserted: set[str] = set()
        market = SyntheticConfig(symbols=symbols(), seed=seed, depth=_DEPTH, episodes=NOTHING_PLANTED)
        account = AccountConfig(keys=(ApiKey(KEY, SECRET),), leverage=FIRST_LEVERAGE)
        config = LocalConfig(
            accounts=(account,),
            intervals=Intervals.SOURCE,
            reply_delay_ns=Nanos(MILLISECOND // 2),
            reply_spread_ns=Nanos(MILLISECOND),
            seed=seed,
        )
        self.local = LocalExchange(config, lambda start: _market(market, start), lambda: heap.now, heap.later)
        (self.account,) = self.local.accounts
        self._pump()

    @property
    def faults(self) -> Counter[str]:
        """What its chaos did."""
        return self.local.chaos.counts

    @property
    def trading(self) -> Trading:
        """The account's orders, positions and records."""
        return self.account.trading

    def forget_asked(self) -> None:
        """Another life of the bot begins."""
        self._asserted.clear()

    def is_asserted(self, symbol: str) -> bool:
        """Whether this life has asked for the margin mode, and read or set the leverage of a symbol."""
        return {_MARGIN_MODE, symbol} <= self._asserted

    def connect(
        self, path: str, query: dict[str, str], send: Callable[[bytes], None], cut: Callable[[], None], address: str
    ) -> Connection | None:
        """See `network.Exchange`."""

        def tell(frame: bytes) -> None:
            self._told(frame)
            send(frame)

        return self.local.connect(path, query, tell, cut, address)

    def handle(self, request: Request) -> Response:
        """See `network.Exchange`."""
        response = self.local.handle(request)
        self._told(response.body)
        if request.path == _MARGIN_MODE:
            self._asserted.add(_MARGIN_MODE)
        elif request.path == "/v5/position/set-leverage" and response.status == _FINE:
            self._asserted.add(msgspec.json.decode(request.body)["symbol"])
        elif request.path == "/v5/position/list" and response.status == _FINE:
            # Where it reads what it wants there is nothing to set.
            self._asserted |= {value for name, value in parse_qsl(request.query) if name == "symbol"}
        return response

    def reply_delay(self) -> int:
        """See `network.Exchange`."""
        return self.local.reply_delay()

    def _pump(self) -> None:
        self.local.pump()
        self._heap.later(min(max(self.local.wait(), _SHORTEST_NS), _LONGEST_NS), self._pump)


class Books:
    """The account as its exchange would show it to somebody whose questions take no time: a `rehearse.Inquiry`."""

    def __init__(self, account: Account, now: Callable[[], int]) -> None:
        self._account = account
        self._now = now

    def all(self, operation: str, **query: str) -> list[dict[str, Any]]:
        """All pages of a list."""
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            result = self.get(operation, **query, **({"cursor": cursor} if cursor else {}))
            rows += result["list"]
            cursor = result.get("nextPageCursor", "")
            if not cursor or not result["list"]:
                return rows

    def get(self, operation: str, **query: str) -> dict[str, Any]:
        """One result; raises DataError where it is refused."""
        reply = self._account.handle(operation, query, self._now())
        if reply.code:
            raise DataError(f"{operation}: {reply.code} {reply.message}")
        result: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(reply.result))
        return result
