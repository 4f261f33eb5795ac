"""A market that arrives from another exchange."""

import asyncio
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.apps.exchange.shown import START, generated

from stakan.adapters.exchanges.bybit.endpoints import environment
from stakan.adapters.synthetic.config import SyntheticConfig, demo_symbols
from stakan.apps.exchange.control import About, Control
from stakan.apps.exchange.feeds import generated as endless
from stakan.apps.exchange.listing import list_all
from stakan.apps.exchange.local import LocalConfig, LocalExchange
from stakan.apps.exchange.serving import serving
from stakan.apps.exchange.upstream import Upstream, following
from stakan.apps.live.clock import WallClock
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import BestQuote, BookDelta, BookSnapshot, FeedDown, Ticker, TradePrint
from stakan.core.domain.units import MILLISECOND, SECOND, Side

pytestmark = pytest.mark.usefixtures("compiled")

SHOWN = (BookSnapshot, BookDelta, TradePrint, Ticker, FeedDown)
SOURCE = generated(count=2, seconds=2)
EVENTS = [event for window in SOURCE.windows() for batch in window.batches for event in batch.events()]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60))
def test_what_was_delivered_comes_once_in_its_order_at_the_moment_of_the_take(counts):
    upstream = Upstream(list_all(SOURCE.instruments), START)
    rest, now, taken = iter(EVENTS), START, []
    delivered = []
    for count in counts:
        for _, event in zip(range(count), rest, strict=False):
            upstream.deliver(event)
            delivered.append(event)
        now += MILLISECOND
        for batch in upstream.take(now):
            assert (batch.ts_exchange == now).all()
            taken += batch.events()
            upstream.deliver(event := EVENTS[0])
            delivered.append(event)
            assert upstream.take(now) == []
        assert upstream.next_due() == now + MILLISECOND
    taken += [event for batch in upstream.take(now + MILLISECOND) for event in batch.events()]
    for source, rules in list_all(SOURCE.instruments).items():
        came = [event for event in delivered if event.instrument == source and isinstance(event, SHOWN)]
        shown = [event for event in taken if event.instrument == rules.id]
        assert [type(event) for event in shown] == [type(event) for event in came]
        sizes = [event.size for event in came if isinstance(event, TradePrint)]
        assert [event.size for event in shown if isinstance(event, TradePrint)] == sizes


def test_quotes_and_what_is_not_listed_are_passed_over():
    only = next(iter(SOURCE.instruments))
    listed = list_all({only: SOURCE.instruments[only]})
    upstream = Upstream(listed, START)
    for event in EVENTS:
        upstream.deliver(event)
    quote = {"sequence": 1, "bid_price": 1, "bid_size": 1, "ask_price": 2, "ask_size": 1}
    upstream.deliver(BestQuote(instrument=only, ts_event=1, ts_recv=1, **quote))
    events = [event for batch in upstream.take(START + MILLISECOND) for event in batch.events()]
    assert {event.instrument for event in events} == {listed[only].id}
    assert not any(isinstance(event, BestQuote) for event in events)
    assert upstream.take(START + 2 * MILLISECOND) == []


def test_an_exchange_follows_another_one_over_its_sockets():
    async def program():
        loop = asyncio.get_running_loop()

        def later(ns, do):
            return loop.call_later(ns / SECOND, do)

        market = SyntheticConfig(symbols=demo_symbols()[:2], seed=5)
        theirs = LocalExchange(LocalConfig(), lambda at: endless(market, at), time.time_ns, later)
        about = About(market="", is_synthetic=True, seed=5, symbols=("BTCUSDT",), started_ms=0)
        async with serving(theirs, Control(theirs, about), "127.0.0.1", 0) as (_, port):
            place = environment("local", local_url=f"http://127.0.0.1:{port}")
            chance = np.random.default_rng(1)
            with pytest.raises(ConfigError, match="NOPE"):
                async with following(place, ["NOPE"], clock=WallClock().now, chance=chance):
                    pass
            async with following(place, ["ETHUSDT"], clock=WallClock().now, chance=chance) as (open_market, failed):
                ours = LocalExchange(LocalConfig(), open_market, time.time_ns, later)
                shown, original = ours.board.symbols["ETHUSDT"], theirs.board.symbols["ETHUSDT"]
                while len(shown.prints) < 5 or not shown.book.is_usable:
                    ours.pump()
                    assert not failed.done()
                    await asyncio.sleep(0.001)
        assert list(ours.board.symbols) == ["ETHUSDT"]
        assert (shown.rules.tick_size, shown.rules.lot_size) == (original.rules.tick_size, original.rules.lot_size)
        assert shown.rules.margin_tiers == original.rules.margin_tiers
        prints = [(one.price, one.size, one.side) for one in shown.prints]
        seen = [(one.price, one.size, one.side) for one in original.prints]
        assert any(seen[first : first + len(prints)] == prints for first in range(len(seen)))
        bid, ask = (int(shown.book.depth(side, 1)[0, 0]) for side in (Side.BUY, Side.SELL))
        assert bid < ask
        assert len(shown.book.depth(Side.BUY)) > 20

    asyncio.run(asyncio.wait_for(program(), 60))
