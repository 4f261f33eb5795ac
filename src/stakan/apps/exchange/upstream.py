"""A market that is somebody else's, as it arrives: the local exchange fed by the public stream of another one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager

import msgspec
import numpy as np

from stakan.adapters.exchanges.bybit.endpoints import Environment
from stakan.adapters.exchanges.bybit.listing import all_completed, listed
from stakan.adapters.exchanges.bybit.market_client import MarketClient
from stakan.adapters.exchanges.bybit.topics import Topics
from stakan.adapters.instruments import resolve
from stakan.apps.exchange.feeds import Market
from stakan.apps.exchange.listing import by_symbol, list_all
from stakan.core.domain.batch import BatchBuilder, MarketBatch
from stakan.core.domain.events import AnyMarketEvent, BookDelta, BookSnapshot, FeedDown, Ticker, TradePrint
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import MILLISECOND

_SHOWN = (BookSnapshot, BookDelta, TradePrint, Ticker, FeedDown)
"""Quotes and candles are not passed on: the exchange makes its own."""


class Upstream:
    """A `Feed` of events that somebody delivers: each happens here in the first millisecond after its arrival."""

    def __init__(self, listed: Mapping[InstrumentId, Instrument], start: int) -> None:
        """`listed`: by the source's id, the rules under which it is listed here; `start`: the exchange's time."""
        self._names = {source: rules.id for source, rules in listed.items()}
        self._builders = {rules.id: BatchBuilder(rules.id) for rules in listed.values()}
        self._waiting: list[AnyMarketEvent] = []
        self._taken = start
        self._arrivals = 0

    def deliver(self, event: AnyMarketEvent) -> None:
        """An event of the source; those that are not shown here, or not listed, are passed over."""
        if isinstance(event, _SHOWN) and event.instrument in self._names:
            self._waiting.append(event)

    def take(self, until: int) -> list[MarketBatch]:
        """What has arrived, all of it at `until`, in the order of its arrival.

        What arrives later in a millisecond that was taken waits for the next one: requests of that millisecond were
        answered without it.
        """
        if until <= self._taken:
            return []
        self._taken = until
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            name = self._names[event.instrument]
            moved = msgspec.structs.replace(event, instrument=name, ts_event=self._taken, ts_recv=self._taken)
            self._builders[name].add(moved, self._arrivals)
            self._arrivals += 1
        return [builder.build() for builder in self._builders.values() if len(builder)]

    def next_due(self) -> int:
        """The next millisecond: what comes from outside does not announce itself."""
        return self._taken + MILLISECOND


@asynccontextmanager
async def following(
    environment: Environment,
    symbols: Collection[str],
    *,
    clock: Callable[[], int],
    chance: np.random.Generator,
    depth: int = 200,
) -> AsyncIterator[tuple[Callable[[int], Market], asyncio.Task[None]]]:
    """Follow symbols of another exchange while the block runs: what opens its market, and what fails where it fails.

    `clock` gives strictly increasing nanoseconds, `chance` draws the jitter of reconnects. Raises VenueError where the
    other exchange cannot be reached, ConfigError for symbols that it does not list.
    """
    async with MarketClient(environment, clock=clock, chance=chance) as client:
        offered = await client.carry_out(listed(Category.LINEAR, environment.venue))
        wanted = dict.fromkeys(resolve(symbol, offered) for symbol in symbols)
        rules = await client.carry_out(all_completed([offered[name] for name in wanted], with_fees=False))
        shown = list_all({one.id: one for one in rules})

        def open_market(start: int) -> Market:
            upstream = Upstream(shown, start)
            feed = client.feed(Topics(depth=depth, best_quotes=False), upstream.deliver)
            feed.follow(rules)
            return Market(upstream, by_symbol(shown.values()))

        failed = asyncio.create_task(client.until_failed())
        try:
            yield open_market, failed
        finally:
            failed.cancel()
            await asyncio.gather(failed, return_exceptions=True)
