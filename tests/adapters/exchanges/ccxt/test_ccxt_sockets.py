"""ccxt.pro itself, unmodified, against a tiny exchange on the loopback."""

import asyncio
import itertools

from tests.apps.tiny_bybit import TinyBybit

from stakan.adapters.exchanges.ccxt.feed import CcxtFeed
from stakan.adapters.exchanges.ccxt.library import open_exchange
from stakan.adapters.exchanges.ccxt.markets import markets
from stakan.core.domain.events import BookDelta, BookSnapshot, TradePrint
from stakan.core.market.book import Book

GUARD_S = 30


def test_books_and_prints_of_ccxt_pro():
    events: list = []

    async def scenario(url: str) -> None:
        sockets = url.replace("http", "ws")
        addresses = {"public": url, "private": url, "ws": {"public": {"linear": f"{sockets}/v5/public/linear"}}}
        exchange = open_exchange(
            "bybit", {"options": {"fetchMarkets": {"types": ["linear"]}}, "urls": {"api": addresses}}
        )
        enough = asyncio.Event()

        def deliver(event) -> None:
            events.append(event)
            if len(events) >= 30:
                enough.set()

        try:
            await exchange.load_markets()
            btc = markets(exchange)["bybit:linear:BTCUSDT"]
            feed = CcxtFeed(exchange, [btc], deliver=deliver, clock=itertools.count(1).__next__)
            running = asyncio.create_task(feed.run())
            async with asyncio.timeout(GUARD_S):
                await enough.wait()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        finally:
            await exchange.close()

    with TinyBybit() as exchange:
        asyncio.run(scenario(exchange.url))
    books = [event for event in events if isinstance(event, BookSnapshot | BookDelta)]
    prints = [event for event in events if isinstance(event, TradePrint)]
    assert isinstance(books[0], BookSnapshot)
    assert len(books) > 5
    assert len(prints) > 5
    ours = Book(books[0].instrument)
    assert [ours.apply(event) for event in books] == [None] * len(books)
    assert {(event.price, event.size) for event in prints} == {(1001, 1)}
