"""A small published market, and an account in it that is asked as the server asks it."""

from decimal import Decimal

import msgspec
import numpy as np

from stakan.adapters.exchanges.simulated.models import QueueModel
from stakan.apps.exchange.accounts import Account, AccountConfig, Quote
from stakan.apps.exchange.uncertain import Uncertain
from stakan.core.domain.batch import BatchBuilder
from stakan.core.domain.events import BookSnapshot, Ticker, TradePrint
from stakan.core.domain.ids import instrument_id
from stakan.core.domain.instrument import Category, Instrument, MarginTier
from stakan.core.domain.units import Lots, Side, Ticks

SYMBOL = "BTCUSDT"
ID = instrument_id("bybit", "linear", SYMBOL)
START = 1_790_000_000_000
"""Milliseconds."""
MS = 1_000_000
MID = 600_000
"""Ticks of 0.10."""
LEVELS = 10
DEPTH = 2_000
"""Lots of 0.001 at every level; levels are 10 ticks apart, the touch 5 from the mid."""


def rules(**changes):
    values = {
        "id": ID,
        "category": Category.LINEAR,
        "base": "BTC",
        "quote": "USDT",
        "settle": "USDT",
        "tick_size": Decimal("0.10"),
        "lot_size": Decimal("0.001"),
        "max_limit_size": Lots(1_000_000),
        "max_market_size": Lots(500_000),
        "max_price": Ticks(19_999_998),
        "price_limit_x": Decimal("0.05"),
        "price_limit_y": Decimal("0.1"),
        "margin_tiers": (MarginTier(Decimal(10**9), Decimal("0.005"), Decimal(0), Decimal(100)),),
    }
    return Instrument(**(values | changes))


class World:
    """Publishes to one account; the market stands still unless it is moved."""

    def __init__(self, uncertain=None, instrument=None, **config):
        self.rules = instrument or rules()
        self.instruments = {SYMBOL: self.rules}
        self.now = START
        self.mid = MID
        self.depth = DEPTH
        self._mark = self.rules.price(MID)
        self._last = MID
        self._sequence = 0
        self.config = AccountConfig(**({"balance": Decimal(100_000)} | config))
        self.account = Account(self.config, self, uncertain or Uncertain(), QueueModel())
        self.replies = []

    # --- Published ----------------------------------------------------------------------------------------------

    def quote(self, _symbol):
        return Quote(mark=self._mark, index=self._mark, last=self.rules.price(self._last))

    def level(self, _symbol, side, rank):
        return self.mid - side * (10 * rank - 5) if rank <= LEVELS else None

    def present(self, _symbol):
        return self._batch(self._ticker(), self._book(), self._print(Side.BUY, self._last, 1))

    def info(self, symbol):
        return {"symbol": symbol, "status": "Trading"}

    # --- what happens in the market -----------------------------------------------------------------------------

    def move(self, mid, depth=None):
        """Book, mark and last price move there."""
        self.mid, self.depth = mid, self.depth if depth is None else depth
        self._mark, self._last = self.rules.price(mid), mid
        self.now += 1
        return self._publish(self._ticker(), self._book(), self._print(Side.BUY, mid, 1))

    def trade(self, side, price, size):
        """Somebody trades; `side` took."""
        self._last = price
        self.now += 1
        return self._publish(self._print(side, price, size))

    def mark(self, ticks, **fields):
        """Only the mark moves."""
        self._mark = self.rules.price(ticks)
        self.now += 1
        return self._publish(self._ticker(**fields))

    def wait(self, ms=1):
        """Time passes."""
        self.now += ms
        self.account.advance(self.now * MS)
        return self

    # --- requests -----------------------------------------------------------------------------------------------

    def ask(self, operation, key=None, allowed=None, **params):
        """The reply, as the JSON that goes out."""
        given = {"category": "linear"} | params
        reply = self.account.handle(operation, given, self.now * MS, key, allowed)
        return msgspec.to_builtins(reply)

    def done(self, operation, **params):
        """The result of a request that must succeed."""
        reply = self.ask(operation, **params)
        assert reply["code"] == 0, reply
        return reply["result"]

    def refused(self, operation, **params):
        """The code of a request that must not succeed."""
        reply = self.ask(operation, **params)
        assert reply["code"] != 0, reply
        return reply["code"]

    def order(self, side="Buy", qty="0.010", price=None, **params):
        """Place an order; its id."""
        kind = {"orderType": "Market"} if price is None else {"orderType": "Limit", "price": price}
        return self.done("order/create", symbol=SYMBOL, side=side, qty=qty, **kind, **params)["orderId"]

    def refuse(self, side="Buy", qty="0.010", price=None, **params):
        """The code with which an order is refused."""
        kind = {"orderType": "Market"} if price is None else {"orderType": "Limit", "price": price}
        return self.refused("order/create", **({"symbol": SYMBOL, "side": side, "qty": qty} | kind | params))

    def row(self, order_id):
        """An order as it is."""
        (row,) = self.done("order/realtime", orderId=order_id)["list"]
        return row

    def live(self, **params):
        return self.done("order/realtime", symbol=SYMBOL, limit=50, **params)["list"]

    def position(self):
        (row,) = self.done("position/list", symbol=SYMBOL)["list"]
        return row

    def wallet(self):
        return self.done("account/wallet-balance", accountType="UNIFIED")["list"][0]["coin"][0]

    def executions(self, **params):
        return self.done("execution/list", symbol=SYMBOL, limit=100, **params)["list"]

    def pushes(self):
        """(topic, rows) since the last call."""
        return [(push.topic, msgspec.to_builtins(push.rows)) for push in self.account.drain()]

    def statuses(self, order_id):
        """Statuses that were pushed of an order, in order."""
        rows = [row for topic, rows in self.pushes() if topic == "order" for row in rows]
        return [row["orderStatus"] for row in rows if row["orderId"] == order_id]

    # --- inside -------------------------------------------------------------------------------------------------

    def _publish(self, *makers):
        self.account.feed(self._batch(*makers))
        self.account.advance(self.now * MS)
        return self

    def _batch(self, *makers):
        builder = BatchBuilder(ID)
        for number, make in enumerate(makers):
            builder.add(make({"instrument": ID, "ts_event": self.now * MS, "ts_recv": self.now * MS}), number)
        return builder.build()

    def _ticker(self, **fields):
        return lambda head: Ticker(**head, mark=self._mark, index=self._mark, **fields)

    def _book(self):
        self._sequence += 1
        bids = [(self.mid - 5 - 10 * rank, self.depth) for rank in range(LEVELS)]
        asks = [(self.mid + 5 + 10 * rank, self.depth) for rank in range(LEVELS)]
        levels = np.array([*bids, *asks] if self.depth else [], np.int64).reshape(-1, 2)
        return lambda head: BookSnapshot(
            **head, sequence=self._sequence, previous_sequence=0, levels=levels, bid_count=len(levels) // 2
        )

    def _print(self, side, price, size):
        self._sequence += 1
        return lambda head: TradePrint(**head, price=price, size=size, side=side, trade_id=self._sequence)
