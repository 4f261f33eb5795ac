"""Numeric kernels compiled before anybody waits for an answer: an account lives in a market that nobody sees."""

from collections.abc import Iterable
from functools import cache

import msgspec
import numpy as np

from stakan.adapters.compiling import take_turns
from stakan.adapters.synthetic.config import SyntheticConfig, demo_symbols
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.adapters.wire import LevelReader, grid_of
from stakan.apps.exchange.depth import INTERVALS_NS
from stakan.apps.exchange.feeds import Market
from stakan.apps.exchange.listing import by_symbol, list_all
from stakan.apps.exchange.local import LocalConfig, LocalExchange
from stakan.apps.exchange.upstream import Upstream
from stakan.core.domain.events import AnyMarketEvent, BookSnapshot, FeedDown
from stakan.core.domain.units import MILLISECOND, SECOND, Nanos

_TICK_NS = 200 * MILLISECOND
"""No book topic waits longer between two frames."""
_WIDE = 3_000
"""Levels of a side for which neither the book nor the matching core has room at first."""


@cache
def warm_up() -> None:
    """Compile what the local exchange, its market and readers of its books need; once in a process.

    About a minute on a fresh machine, a second or two when the kernels are cached.
    """
    take_turns()
    life = _Life()
    life.show(life.generated)
    life.trade()
    life.show([life.wide_book()])
    life.show([FeedDown(instrument=life.rules.id, ts_event=Nanos(0), ts_recv=Nanos(0), why="the end")])
    life.ask("order/cancel-all")
    life.read()


class _Life:
    """One symbol, one account and one subscriber of all its books, in virtual time."""

    def __init__(self) -> None:
        source = SyntheticMarket(SyntheticConfig(symbols=demo_symbols()[:1], duration_ns=Nanos(SECOND)))
        (self.rules,) = source.instruments.values()
        self.generated = [event for window in source.windows() for event in window.events()]
        self._listed = list_all(source.instruments)
        self._now: int = source.config.start_ts
        self._frames: list[bytes] = []
        self._local = LocalExchange(
            LocalConfig(reply_delay_ns=Nanos(0)), self._open_market, lambda: self._now, lambda _ns, do: do()
        )
        (self._account,) = self._local.accounts
        (self._symbol,) = self._local.board.symbols

    def _open_market(self, start: int) -> Market:
        self._feed = Upstream(self._listed, start)
        return Market(self._feed, by_symbol(self._listed.values()))

    def show(self, events: Iterable[AnyMarketEvent]) -> None:
        """Let events of the market happen, one after the other."""
        for event in events:
            self._feed.deliver(event)
            self._pass(MILLISECOND)

    def trade(self) -> None:
        """An order of each kind, and what can become of it."""
        socket = self._local.connect("/v5/public/linear", {}, self._frames.append, lambda: None, "")
        assert socket is not None
        topics = [f"orderbook.{depth}.{self._symbol}" for depth in INTERVALS_NS]
        socket.receive(msgspec.json.encode({"op": "subscribe", "args": topics}).decode())
        book = self._local.board.symbols[self._symbol].book
        far = str(self.rules.price(int(book.best_bid * 0.995)))
        farther = str(self.rules.price(int(book.best_bid * 0.994)))
        near = str(self.rules.price(int(book.best_ask * 1.001)))
        stop = str(self.rules.price(int(book.best_bid * 0.97)))
        self.ask("order/create", orderType="Limit", side="Buy", qty="0.02", price=far, orderLinkId="rests")
        self.ask("order/amend", orderLinkId="rests", qty="0.01")
        self.ask("order/amend", orderLinkId="rests", price=farther)
        self.ask("order/cancel", orderLinkId="rests")
        self.ask("order/create", orderType="Limit", side="Buy", qty="0.01", price=near, timeInForce="FOK")
        self.ask("order/create", orderType="Market", side="Buy", qty="0.01", stopLoss=stop)
        self.ask("position/trading-stop", takeProfit=near, positionIdx=0)
        self.ask("order/create", orderType="Market", side="Sell", qty="0.02", reduceOnly=True)
        # It stays: rows of a market in which nothing of ours is are not lived through.
        self.ask("order/create", orderType="Limit", side="Buy", qty="0.01", price=far)

    def wide_book(self) -> BookSnapshot:
        """A book that needs more room."""
        book = self._local.board.symbols[self._symbol].book
        steps = np.arange(_WIDE)
        prices = np.concatenate((book.best_bid - steps, book.best_ask + steps))
        levels = np.column_stack((prices, np.ones_like(prices)))
        return BookSnapshot(
            instrument=self.rules.id,
            ts_event=Nanos(0),
            ts_recv=Nanos(0),
            sequence=book.sequence + 1,
            previous_sequence=0,
            levels=levels,
            bid_count=_WIDE,
        )

    def read(self) -> None:
        """Read the frames of books as a client does."""
        reader = LevelReader(grid_of(self.rules))
        for frame in self._frames:
            if b'"topic":"orderbook.' in frame:
                reader.read(frame)

    def ask(self, operation: str, **parameters: object) -> None:
        """A request of the account; the market goes on a little after it."""
        asked = {"category": "linear", "symbol": self._symbol, **parameters}
        reply = self._account.handle(operation, asked, self._local.pump())
        assert reply.code == 0, f"{operation}: {reply.message}"
        self._pass(_TICK_NS)

    def _pass(self, ns: int) -> None:
        self._now += ns
        self._local.pump()
