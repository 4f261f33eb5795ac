"""A small market and a bot that is driven as the backtest drives it."""

from decimal import Decimal

import numpy as np

from stakan.adapters.exchanges.simulated.exchange import SimulatedExchange, SimulationConfig
from stakan.adapters.exchanges.simulated.matching import Matching
from stakan.adapters.exchanges.simulated.models import ConstantLatency, QueueModel
from stakan.core.domain.batch import BatchBuilder, window
from stakan.core.domain.commands import AmendOrder, CancelOrder, SetProtection, SubmitOrder
from stakan.core.domain.events import BookDelta, BookSnapshot, FeedDown, OrderFilled, Ticker, TradePrint
from stakan.core.domain.ids import instrument_id
from stakan.core.domain.instrument import Category, Instrument, MarginTier
from stakan.core.domain.orders import NewOrder, OrderType, Purpose
from stakan.core.domain.units import MILLISECOND, Side

BTC = instrument_id("bybit", "linear", "BTCUSDT")
SPOT = instrument_id("bybit", "spot", "BTCUSDT")
MS = int(MILLISECOND)
START = 1_700_000_000_000 * MS
LATENCY = 5


def rules(**changes):
    values = {
        "id": BTC,
        "category": Category.LINEAR,
        "base": "BTC",
        "quote": "USDT",
        "settle": "USDT",
        "tick_size": Decimal(1),
        "lot_size": Decimal("0.001"),
        "min_notional": Decimal(0),
        "price_limit_x": Decimal("0.5"),
        "price_limit_y": Decimal("0.5"),
        "margin_tiers": (MarginTier(Decimal(10**9), Decimal("0.005"), Decimal(0), Decimal(100)),),
    }
    return Instrument(**(values | changes))


class Market:
    """Events of one instrument at milliseconds after START; seen one millisecond later."""

    def __init__(self, instrument=BTC):
        self.instrument = instrument
        self.events = []
        self._sequence = 0

    def snapshot(self, at, bids, asks):
        self._sequence += 1
        return self._book(BookSnapshot, at, bids, asks, 0)

    def delta(self, at, bids=(), asks=()):
        self._sequence += 1
        return self._book(BookDelta, at, bids, asks, self._sequence - 1)

    def gap(self, at):
        self._sequence += 10
        return self._book(BookDelta, at, (), (), self._sequence - 1)

    def buy(self, at, price, size, is_rpi=False):
        return self._print(at, Side.BUY, price, size, is_rpi)

    def sell(self, at, price, size, is_rpi=False):
        return self._print(at, Side.SELL, price, size, is_rpi)

    def ticker(self, at, **fields):
        return self._add(Ticker(**self._head(at), **fields))

    def down(self, at):
        return self._add(FeedDown(**self._head(at), why="test"))

    def batch(self, first=0, last=None):
        builder = BatchBuilder(self.instrument)
        for arrival, event in enumerate(self.events[first:last]):
            builder.add(event, first + arrival)
        return builder.build()

    def _book(self, kind, at, bids, asks, previous):
        levels = np.array([*bids, *asks], np.int64).reshape(-1, 2)
        return self._add(
            kind(
                **self._head(at),
                sequence=self._sequence,
                previous_sequence=previous,
                levels=levels,
                bid_count=len(bids),
            )
        )

    def _print(self, at, side, price, size, is_rpi):
        return self._add(
            TradePrint(**self._head(at), price=price, size=size, side=side, trade_id=len(self.events), is_rpi=is_rpi)
        )

    def _head(self, at):
        return {"instrument": self.instrument, "ts_event": START + at * MS, "ts_recv": START + (at + 1) * MS}

    def _add(self, event):
        self.events.append(event)
        return self


def a_book(market=None, at=0):
    """Bids 100 x 10, 99 x 20, 98 x 30; asks 101 x 10, 102 x 20, 103 x 30."""
    return (market or Market()).snapshot(
        at, bids=[(100, 10), (99, 20), (98, 30)], asks=[(101, 10), (102, 20), (103, 30)]
    )


def a_config(**changes):
    latency = ConstantLatency(LATENCY * MS)
    values = {"entry_latency": latency, "response_latency": latency, "starting_balance": Decimal(1_000_000)}
    return SimulationConfig(**(values | changes))


def an_exchange(market, instrument=None, **config):
    instrument = instrument or rules()
    exchange = SimulatedExchange({instrument.id: instrument}, a_config(**config))
    exchange.feed(window((market.batch(),)))
    return exchange


def an_order(name, side=Side.BUY, size=1, price=None, instrument=BTC, **changes):
    values = {
        "client_order_id": name,
        "instrument": instrument,
        "intent": "i",
        "purpose": Purpose.ENTRY,
        "side": side,
        "size": size,
        "type": OrderType.MARKET if price is None else OrderType.LIMIT,
        "price": price,
    }
    return SubmitOrder(order=NewOrder(**(values | changes)))


def a_cancel(name, instrument=BTC):
    return CancelOrder(instrument=instrument, client_order_id=name)


def an_amendment(name, price, size):
    return AmendOrder(instrument=BTC, client_order_id=name, price=price, size=size)


def a_stop(stop_loss=None, take_profit=None):
    return SetProtection(instrument=BTC, stop_loss=stop_loss, take_profit=take_profit)


def live(exchange, until):
    """Let the exchange live on to `until`; returns everything that it tells on the way."""
    events = []
    while news := exchange.advance(until):
        events += news
    return events


def play(exchange, *sent, until=1_000_000):
    """Send commands at their milliseconds, then live on; returns all events."""
    events = []
    for at, command in sent:
        events += live(exchange, START + at * MS)
        exchange.submit(command, START + at * MS)
    return events + live(exchange, START + until * MS)


def fills(events):
    return [(event.price, event.size) for event in events if type(event) is OrderFilled]


def names(events):
    return [type(event).__name__ for event in events]


def a_matching(market, queue=None):
    matching = Matching(rules(), queue or QueueModel())
    matching.feed(market.batch())
    return matching
