"""An order's whole life on the local exchange in virtual time, over markets of every kind."""

from tests.apps.exchange.lab import BTC, Lab

from stakan.adapters.parquet.schema import Source
from stakan.adapters.parquet.writer import MarketWriter
from stakan.adapters.synthetic.config import SyntheticConfig, demo_symbols
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.apps.exchange.feeds import Market, generated, recorded
from stakan.apps.exchange.listing import by_symbol, list_all
from stakan.apps.exchange.upstream import Upstream
from stakan.apps.sources import from_store
from stakan.core.domain.units import SECOND

MARKET = SyntheticConfig(symbols=demo_symbols()[:1], seed=5, duration_ns=20 * SECOND)


def feeds(folder):
    """Generated, recorded (a store, looped) and live."""
    source = SyntheticMarket(MARKET)
    with MarketWriter(folder / "store", Source(description="a test"), instruments=source.instruments) as writer:
        for window in source.windows():
            writer.add_window(window)
    store = from_store(folder / "store")
    return (
        lambda at: generated(MARKET, at),
        lambda at: recorded(store, at, speed=8.0, loop=True),
        live_market,
    )


class _Delivered(Upstream):
    """An upstream that delivers a generated market when it is due."""

    def __init__(self, listed, start, events):
        super().__init__(listed, start)
        self._events = iter(events)
        self._begins = start - MARKET.start_ts
        self._next = next(self._events)

    def take(self, until):
        while self._next is not None and self._next.ts_recv + self._begins <= until:
            self.deliver(self._next)
            self._next = next(self._events, None)
        return super().take(until)


def live_market(at):
    source = SyntheticMarket(MARKET)
    listed = list_all(source.instruments)
    events = (event for window in source.windows() for event in window.events())
    return Market(_Delivered(listed, at, events), by_symbol(listed.values()))


def live(open_market):
    """It rests, is amended, is cancelled, takes, has its stop moved and hit, is closed; all books are looked at."""
    lab = Lab(open_market=open_market)
    public = lab.connect("/v5/public/linear")
    books = [f"orderbook.{depth}.{BTC}" for depth in (1, 50, 200, 1000)]
    public.say(op="subscribe", args=[*books, f"publicTrade.{BTC}", f"tickers.{BTC}"])
    lab.run(1000)

    def done(operation, **parameters):
        reply = lab.post(operation, category="linear", symbol=BTC, **parameters)
        assert reply["retCode"] == 0, reply
        lab.run(300)

    def order(**changes):
        values = lab.order(**changes)
        done("order/create", **{name: values[name] for name in values if name not in {"category", "symbol"}})

    def held():
        return float(lab.get("position/list", category="linear", symbol=BTC)["result"]["list"][0]["size"])

    order(orderLinkId="rests")
    done("order/amend", orderLinkId="rests", qty="0.005")
    done("order/amend", orderLinkId="rests", price=lab.price(-0.009))
    done("order/cancel", orderLinkId="rests")
    for kind in ("GTC", "IOC", "FOK"):
        order(price=lab.price(0.001), timeInForce=kind, stopLoss=lab.price(-0.02))
    order(price=lab.price(-0.0001), timeInForce="PostOnly", side="Buy")
    order(price=lab.price(0.0001), side="Sell", qty="0.001")
    done("position/trading-stop", stopLoss=lab.price(-0.0001), takeProfit=lab.price(0.0002), positionIdx=0)
    while held():
        lab.run(100)
    order(orderType="Market", price="", qty="0.02", side="Sell")
    order(orderType="Market", price="", qty="0.02")
    for fault in ("restart", "cross", "skip"):
        assert getattr(lab.local.board, fault)(books[1])
    lab.run(1000)
    assert lab.ask("GET", "/v5/market/orderbook", f"category=linear&symbol={BTC}&limit=500").status == 200
    lab.run(20_000, step=20_000_000)
