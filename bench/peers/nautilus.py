"""NautilusTrader's side of the engine path; runs inside `.venv-nautilus`, takes one JSON request a line.

Path of a frame, as `BybitDataClient._handle_ws_message` has it: the adapter's general decoder (what is it?), its
order-book decoder, `parse_to_deltas`, then `DataEngine.process`, which updates the cached `OrderBook` and calls the
strategy's `on_order_book_deltas`. Nothing else of the framework is on: logging off, no simulated exchange at work, no
queue of the live engine, garbage collection as it is by default.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import msgspec
from nautilus_trader.adapters.bybit.schemas.ws import BybitWsMessageGeneral, decoder_ws_orderbook
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig
from nautilus_trader.core import nautilus_pyo3 as rust
from nautilus_trader.core.datetime import millis_to_nanos
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import OrderBookDelta, OrderBookDeltas
from nautilus_trader.model.enums import AccountType, BookAction, BookType, OmsType, OrderSide, RecordFlag
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import FIXED_PRECISION, Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

ID = InstrumentId.from_str("BTCUSDT-LINEAR.BYBIT")
PRICE_DIGITS, SIZE_DIGITS = 2, 3
TICKS = 10**FIXED_PRECISION // 10
"""Raw units of `Price` in a tick of 0.1."""


class TopOfBook(Strategy):
    """Reads what stakan's side reads on every message: best bid and ask with their sizes."""

    def on_start(self) -> None:
        self.calls = 0
        self.total = 0.0
        self.book = None
        self.subscribe_order_book_deltas(ID, book_type=BookType.L2_MBP)

    def on_order_book_deltas(self, deltas: OrderBookDeltas) -> None:  # noqa: ARG002 - the framework's signature
        book = self.book
        if book is None:
            book = self.book = self.cache.order_book(ID)
        bid, ask = book.best_bid_price().as_double(), book.best_ask_price().as_double()
        bid_size, ask_size = book.best_bid_size().as_double(), book.best_ask_size().as_double()
        self.calls += 1
        self.total += (bid * ask_size + ask * bid_size) / (bid_size + ask_size)


class FiveLevels(TopOfBook):
    """Also the imbalance of five levels, from the cached book, which hands out all its levels."""

    def on_start(self) -> None:
        super().on_start()
        self.imbalance = 0.0

    def on_order_book_deltas(self, deltas: OrderBookDeltas) -> None:
        super().on_order_book_deltas(deltas)
        bids = sum([level.size() for level in self.book.bids()[:5]])
        asks = sum([level.size() for level in self.book.asks()[:5]])
        self.imbalance += (bids - asks) / (bids + asks)


class FiveLevelsRust(Strategy):
    """The same numbers from a book of the Rust bindings, which hands out five levels when asked for five.

    As the framework's own example strategy does it: deltas converted, the book kept by the strategy, none by the engine.
    """

    def on_start(self) -> None:
        self.calls = 0
        self.total = 0.0
        self.imbalance = 0.0
        self.book = rust.OrderBook(rust.InstrumentId.from_str(ID.value), rust.BookType.L2_MBP)
        self.subscribe_order_book_deltas(ID, book_type=BookType.L2_MBP, managed=False, pyo3_conversion=True)

    def on_order_book_deltas(self, deltas: rust.OrderBookDeltas) -> None:
        book = self.book
        book.apply_deltas(deltas)
        bids, asks = book.bids(5), book.asks(5)
        bid_sizes, ask_sizes = [level.size() for level in bids], [level.size() for level in asks]
        bid, ask = bids[0].price.as_double(), asks[0].price.as_double()
        bid_size, ask_size = bid_sizes[0], ask_sizes[0]
        bid_sum, ask_sum = sum(bid_sizes), sum(ask_sizes)
        self.calls += 1
        self.total += (bid * ask_size + ask * bid_size) / (bid_size + ask_size)
        self.imbalance += (bid_sum - ask_sum) / (bid_sum + ask_sum)


def engine_with(strategy: Strategy, snapshot: OrderBookDeltas) -> BacktestEngine:
    """A started engine whose book has taken the snapshot."""
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        Venue("BYBIT"), OmsType.NETTING, AccountType.MARGIN, [Money(1_000_000, USDT)], book_type=BookType.L2_MBP
    )
    engine.add_instrument(instrument())
    engine.add_strategy(strategy)
    engine.add_data([snapshot])
    engine.run(streaming=True)
    return engine


def instrument() -> CryptoPerpetual:
    return CryptoPerpetual(
        instrument_id=ID,
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=BTC,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=PRICE_DIGITS,
        size_precision=SIZE_DIGITS,
        price_increment=Price.from_str("0.10"),
        size_increment=Quantity.from_str("0.001"),
        ts_event=0,
        ts_init=0,
    )


_general = msgspec.json.Decoder(BybitWsMessageGeneral)
_orderbook = decoder_ws_orderbook()


def by_adapter(raw: bytes) -> OrderBookDeltas:
    """The decode of the shipped adapter, step by step."""
    topic = _general.decode(raw).topic
    if "orderbook" not in topic:
        raise ValueError(topic)
    message = _orderbook.decode(raw)
    return message.data.parse_to_deltas(
        instrument_id=ID,
        price_precision=PRICE_DIGITS,
        size_precision=SIZE_DIGITS,
        ts_event=millis_to_nanos(message.ts),
        ts_init=time.time_ns(),
        snapshot=message.type == "snapshot",
    )


def by_hand(raw: bytes) -> OrderBookDeltas:
    """What a user in need of speed could write instead: one decode, deltas from raw integers."""
    message = _orderbook.decode(raw)
    ts = message.ts * 1_000_000
    data = message.data
    deltas = []
    for side, rows in ((OrderSide.BUY, data.b), (OrderSide.SELL, data.a)):
        for price, size in rows:
            deltas.append(
                OrderBookDelta.from_raw(
                    ID,
                    BookAction.DELETE if size == "0" else BookAction.UPDATE,
                    side,
                    round(float(price) * 10) * TICKS,
                    PRICE_DIGITS,
                    round(float(size) * 1000) * (TICKS // 100),
                    SIZE_DIGITS,
                    data.u,
                    RecordFlag.F_LAST,
                    data.seq,
                    ts,
                    ts,
                )
            )
    return OrderBookDeltas(ID, deltas)


DECODERS = {"adapter": by_adapter, "hand": by_hand}
STRATEGIES = {"touch": TopOfBook, "five": FiveLevels, "five_rust": FiveLevelsRust}


class Bench:
    """Frames are read once a file; each request is one timed pass over them."""

    def __init__(self) -> None:
        self._files: dict[str, list[bytes]] = {}

    def answer(self, request: dict) -> dict:
        if request["do"] == "version":
            return {"version": version("nautilus_trader"), "python": sys.version.split()[0]}
        path = request["file"]
        frames = self._files.setdefault(path, open(path, "rb").read().splitlines())  # noqa: PTH123, SIM115
        frames = frames[: request.get("most", len(frames))]
        strategy = STRATEGIES[request["reads"]]()
        engine = engine_with(strategy, by_adapter(frames[0]))
        path_of = getattr(self, request["do"])
        seconds = path_of(engine, frames[1:], DECODERS[request.get("decode", "adapter")])
        answer = {
            "messages": strategy.calls - 1,
            "seconds": seconds,
            "total": strategy.total,
            "imbalance": getattr(strategy, "imbalance", 0.0),
        }
        engine.dispose()
        return answer

    def frames(self, engine: BacktestEngine, frames: list[bytes], decode: Callable[[bytes], OrderBookDeltas]) -> float:
        """Frame to callback, straight through the data engine."""
        process = engine.kernel.data_engine.process
        started = time.process_time()
        for frame in frames:
            process(decode(frame))
        return time.process_time() - started

    def ready(self, engine: BacktestEngine, frames: list[bytes], decode: Callable[[bytes], OrderBookDeltas]) -> float:
        """The same with the deltas made beforehand."""
        process = engine.kernel.data_engine.process
        made = [decode(frame) for frame in frames]
        started = time.process_time()
        for deltas in made:
            process(deltas)
        return time.process_time() - started

    def decode(self, _: BacktestEngine, frames: list[bytes], decode: Callable[[bytes], OrderBookDeltas]) -> float:
        """Frame to deltas, nothing behind it."""
        started = time.process_time()
        for frame in frames:
            decode(frame)
        return time.process_time() - started

    def backtest(
        self, engine: BacktestEngine, frames: list[bytes], decode: Callable[[bytes], OrderBookDeltas]
    ) -> float:
        """Frame to callback through `BacktestEngine.run`, with its simulated exchange."""
        started = time.process_time()
        engine.clear_data()
        engine.add_data([decode(frame) for frame in frames], sort=False)
        engine.run(streaming=True)
        return time.process_time() - started


def main() -> None:
    bench = Bench()
    for line in sys.stdin:
        print(json.dumps(bench.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
