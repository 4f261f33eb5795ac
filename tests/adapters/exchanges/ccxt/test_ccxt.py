"""ccxt as the adapter of other venues: exact numbers out of its floats and texts, with a fake exchange object."""

import asyncio
import itertools
from decimal import Decimal

import ccxt
import ccxt.pro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.adapters.exchanges.ccxt import library
from stakan.adapters.exchanges.ccxt.candles import fetch_candles
from stakan.adapters.exchanges.ccxt.feed import CcxtFeed
from stakan.adapters.exchanges.ccxt.library import decimal_of, open_exchange
from stakan.adapters.exchanges.ccxt.markets import markets
from stakan.core.domain.errors import ConfigError, DataError, RequestRefused, VenueUnavailable
from stakan.core.domain.events import BookDelta, BookSnapshot, FeedDown, TradePrint
from stakan.core.domain.units import MINUTE, SECOND, Side
from stakan.core.market.book import Book

GUARD_S = 20
OKX = "okx:linear:BTC-USDT-SWAP"


def market(**changes) -> dict:
    return {
        "id": "BTC-USDT-SWAP",
        "symbol": "BTC/USDT:USDT",
        "base": "BTC",
        "quote": "USDT",
        "settle": "USDT",
        "active": True,
        "swap": True,
        "spot": False,
        "linear": True,
        "contractSize": "0.01",
        "precision": {"price": "0.1", "amount": "0.1"},
        "limits": {"amount": {"min": "0.1"}, "cost": {"min": None}},
        "maker": "0.0002",
        "taker": "0.0005",
        **changes,
    }


class FakeExchange:
    """What the adapter uses of ccxt; every list is given out one by one, exceptions are raised, then silence."""

    id = "okx"
    precisionMode = 4  # noqa: N815 - ccxt's name

    def __init__(self, *, books=(), trades=(), candles=(), listed=None) -> None:
        self.markets = {one["symbol"]: one for one in (listed or [market()])}
        self._books, self._trades, self._candles = iter(books), iter(trades), candles
        self.asked: list = []

    async def _next(self, source):
        for item in source:
            if isinstance(item, Exception):
                raise item
            return item
        return await asyncio.Event().wait()

    async def watch_order_book(self, symbol, limit):
        assert symbol in self.markets
        return await self._next(self._books)

    async def watch_trades(self, symbol):
        return await self._next(self._trades)

    async def fetch_ohlcv(self, symbol, timeframe, since, limit):
        self.asked.append(since)
        if isinstance(self._candles, Exception):
            raise self._candles
        return [row for row in self._candles if row[0] >= since][:3]

    def parse_timeframe(self, timeframe):
        return {"1m": 60}[timeframe]


def book(bids, asks, timestamp=1_790_000_000_123):
    return {"bids": bids, "asks": asks, "timestamp": timestamp}


def delivered(exchange, count: int, **kwargs) -> list:
    """The first events of a feed."""
    events: list = []

    async def scenario() -> None:
        enough = asyncio.Event()
        clock = itertools.count(1).__next__

        def deliver(event) -> None:
            events.append(event)
            if len(events) >= count:
                enough.set()

        async def no_sleep(_seconds: float) -> None:
            await asyncio.sleep(0)

        feed = CcxtFeed(exchange, markets(exchange).values(), deliver=deliver, clock=clock, sleep=no_sleep, **kwargs)
        async with asyncio.timeout(GUARD_S):
            running = asyncio.create_task(feed.run())
            waiting = asyncio.create_task(enough.wait())
            await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
            for task in (running, waiting):
                task.cancel()
            results = await asyncio.gather(running, return_exceptions=True)
            for result in results:
                if isinstance(result, ExceptionGroup):
                    raise result.exceptions[0]

    asyncio.run(scenario())
    return events


# --- markets ------------------------------------------------------------------------------------------------------------


def test_a_contract_of_a_hundredth_is_counted_in_base_units():
    found = markets(FakeExchange())
    rules = found[OKX].rules
    assert (rules.tick_size, rules.lot_size, rules.min_size) == (Decimal("0.1"), Decimal("0.001"), 1)
    assert (rules.maker_fee, rules.taker_fee) == (Decimal("0.0002"), Decimal("0.0005"))
    assert "margin_tiers" in rules.assumed


def test_what_is_neither_linear_nor_spot_or_not_active_is_left_out():
    others = [
        market(symbol="a", linear=False),
        market(symbol="b", active=False),
        market(symbol="c", swap=False),
        market(symbol="d", precision={"price": None, "amount": "1"}),
        market(symbol="e", id="ETH-USDT", swap=False, linear=None, spot=True, contractSize=None, settle=None),
    ]
    assert list(markets(FakeExchange(listed=others))) == ["okx:spot:ETH-USDT"]


def test_precision_as_decimal_places():
    exchange = FakeExchange(listed=[market(precision={"price": "2", "amount": 3})])
    exchange.precisionMode = 2
    assert markets(exchange)[OKX].rules.tick_size == Decimal("0.01")
    exchange.precisionMode = 3
    with pytest.raises(DataError, match="significant digits"):
        markets(exchange)


# --- numbers ------------------------------------------------------------------------------------------------------------


@given(st.decimals(min_value=0, max_value=10**9, places=6).filter(lambda number: len(f"{number:f}".strip("0")) < 16))
def test_a_float_of_ccxt_gives_its_text_back(number):
    assert decimal_of(float(str(number))) == number


def test_what_is_no_number_is_refused():
    assert decimal_of(None) is None
    assert decimal_of("") is None
    for odd in (float("nan"), "x", [1]):
        with pytest.raises(DataError):
            decimal_of(odd)


# --- the feed -----------------------------------------------------------------------------------------------------------


def test_books_are_a_snapshot_and_its_changes():
    states = [
        book([[100.0, 1.0], [99.9, 2.0]], [[100.1, 3.0]]),
        book([[100.0, 1.0], [99.9, 2.0]], [[100.1, 3.0]]),
        book([[99.9, 2.5]], [[100.0, 1.0], [100.1, 3.0]]),
    ]
    first, second = delivered(FakeExchange(books=states), 2)
    assert (type(first), type(second)) == (BookSnapshot, BookDelta)
    assert first.ts_event == 1_790_000_000_123_000_000
    assert first.levels.tolist() == [[1000, 10], [999, 20], [1001, 30]]
    ours = Book(OKX)
    assert ours.apply(first) is None
    assert ours.apply(second) is None
    assert ours.depth(Side.BUY).tolist() == [[999, 25]]
    assert ours.depth(Side.SELL).tolist() == [[1000, 10], [1001, 30]]


def test_only_the_best_levels_are_told():
    states = [book([[100.0 - i / 10, 1.0] for i in range(9)], [[101.0, 1.0]])]
    (event,) = delivered(FakeExchange(books=states), 1, depth=3)
    assert event.bid_count == 3


def test_prints_are_exact_once_and_have_a_side():
    row = {"id": "7", "timestamp": 1_790_000_000_000, "side": "sell", "price": "100.1", "amount": "12.3"}
    rows = [[row, {**row, "id": "8", "side": None}], [row, {**row, "id": None}, {**row, "id": "9", "side": "buy"}]]
    found = delivered(FakeExchange(trades=rows), 3)
    assert [type(event) for event in found] == [TradePrint] * 3
    assert [(event.price, event.size, event.side) for event in found] == [
        (1001, 123, Side.SELL),
        (1001, 123, Side.SELL),
        (1001, 123, Side.BUY),
    ]
    assert len({event.trade_id for event in found}) == 3


def test_an_interruption_is_told_once_and_the_book_begins_anew():
    state = book([[100.0, 1.0]], [[100.1, 3.0]])
    states = [state, ccxt.NetworkError("lost"), ccxt.RequestTimeout("lost"), state]
    found = delivered(FakeExchange(books=states), 3)
    assert [type(event) for event in found] == [BookSnapshot, FeedDown, BookSnapshot]
    assert "lost" in found[1].why


def test_a_refusal_ends_it():
    with pytest.raises(RequestRefused, match="no such stream"):
        delivered(FakeExchange(books=[ccxt.NotSupported("no such stream")]), 1)


def test_a_price_off_the_grid_ends_it():
    with pytest.raises(DataError, match="multiple"):
        delivered(FakeExchange(books=[book([[100.05, 1.0]], [])]), 1)


# --- candles --------------------------------------------------------------------------------------------------------------

START = 1_790_000_040 * SECOND


def candle_rows(count: int) -> list:
    first = START // 1_000_000
    return [[first + i * 60_000, "100.0", "100.5", "99.5", "100.1", "20.0"] for i in range(count)]


def fetched(exchange, stop_after: int, now_after: int) -> list:
    found = markets(exchange)[OKX]
    coroutine = fetch_candles(exchange, found, "1m", START, START + stop_after * MINUTE, START + now_after * MINUTE)
    return asyncio.run(asyncio.wait_for(coroutine, GUARD_S))


def test_candles_are_paged_and_the_open_one_is_left_out():
    exchange = FakeExchange(candles=candle_rows(8))
    found = fetched(exchange, 100, 7)
    assert [candle.open_ts for candle in found] == [START + i * MINUTE for i in range(7)]
    assert len(exchange.asked) == 3
    assert (found[0].open, found[0].high, found[0].low, found[0].close, found[0].volume) == (1000, 1005, 995, 1001, 200)
    assert found[0].is_closed


def test_candles_end_where_they_should():
    assert len(fetched(FakeExchange(candles=candle_rows(8)), 4, 100)) == 4
    assert fetched(FakeExchange(candles=[]), 4, 100) == []


@pytest.mark.parametrize(
    ("error", "ours"),
    [(ccxt.RequestTimeout("slow"), VenueUnavailable), (ccxt.BadSymbol("who?"), RequestRefused)],
)
def test_candle_errors_are_ours(error, ours):
    with pytest.raises(ours):
        fetched(FakeExchange(candles=error), 4, 100)


# --- the library itself ---------------------------------------------------------------------------------------------------


def test_numbers_of_the_real_library_stay_text():
    exchange = open_exchange("bybit")
    row = {"T": 1_790_000_000_000, "s": "BTCUSDT", "S": "Sell", "v": "0.1000", "p": "64000.10", "i": "x"}
    exchange.set_markets([{**market(id="BTCUSDT", contractSize="1"), "type": "swap", "contract": True}])
    trade = exchange.parse_ws_trade(row)
    assert (trade["price"], trade["amount"]) == ("64000.10", "0.1000")
    candle = exchange.parse_ohlcv(["1790000000000", "1.10", "1.2", "1.0", "1.15", "7.50", "8"])
    assert candle == [1_790_000_000_000, "1.10", "1.2", "1.0", "1.15", "7.50"]


def test_an_unknown_exchange_is_refused():
    with pytest.raises(ConfigError, match="no exchange 'mtgox'"):
        open_exchange("mtgox")


def test_without_ccxt_the_extra_is_named(monkeypatch):
    def missing(name: str):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(library, "import_module", missing)
    with pytest.raises(ConfigError, match=r"stakan\[venues\]"):
        open_exchange("bybit")
