"""A local exchange on loopback, and bots that trade on it over real sockets."""

import asyncio
import time
from contextlib import asynccontextmanager

import msgspec
import numpy as np
from tests.apps.live import eager

from stakan.adapters.exchanges.bybit import inquiry
from stakan.adapters.exchanges.bybit.endpoints import environment
from stakan.adapters.exchanges.bybit.market_client import MarketClient
from stakan.adapters.exchanges.bybit.rest import Keys
from stakan.adapters.synthetic.config import SyntheticConfig
from stakan.apps.backtest import Backtest
from stakan.apps.config import load_settings
from stakan.apps.exchange.accounts import AccountConfig
from stakan.apps.exchange.board import Intervals
from stakan.apps.exchange.control import About, Control
from stakan.apps.exchange.feeds import generated
from stakan.apps.exchange.listing import synthetic_symbols
from stakan.apps.exchange.local import LocalConfig, LocalExchange
from stakan.apps.exchange.serving import serving
from stakan.apps.live.clock import WallClock
from stakan.apps.live.mode import Mode
from stakan.apps.live.session import Stopping
from stakan.apps.live.state_folder import StateFolder
from stakan.apps.projection import Frames, FromBot, Update
from stakan.apps.sources import from_run
from stakan.apps.trade import trade
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import OrderFilled, encode_array
from stakan.core.domain.units import SECOND

LIMIT_S = 150
"""Nothing is judged by it: a test that hangs ends some time."""
encode = msgspec.msgpack.Encoder(enc_hook=encode_array, order="deterministic").encode


def eagerly(**parameters):
    """Settings that trade from the first second on."""
    values = ",".join(f"{name}={str(value).lower()}" for name, value in parameters.items())
    return (
        "engine.decision_interval=100ms",
        "engine.candle_interval=1s",
        "engine.cooldown=200ms",
        "engine.entry_timeout=700ms",
        f'strategies=[{{name="eager",file="{eager.__file__}",parameters={{{values}}}}}]',
    )


RESTING = (*eagerly(only_makes=True, behind_bps=40, stop_bps=80), "engine.entry_timeout=60s")
"""Entries far from the touch, that nothing fills."""
SYMBOLS = 3
SPEED = 4.0


@asynccontextmanager
async def an_exchange(speed=SPEED, seed=7):
    """A local exchange that pushes every change of its source."""
    loop = asyncio.get_running_loop()
    config = LocalConfig(intervals=Intervals.SOURCE, reply_delay_ns=0, rate_factor=0)
    market = SyntheticConfig(symbols=synthetic_symbols(SYMBOLS), seed=seed)
    local = LocalExchange(
        config,
        lambda start: generated(market, start, speed=speed),
        time.time_ns,
        lambda ns, do: loop.call_later(ns / SECOND, do),
        None,
    )
    about = About(
        market="a test",
        is_synthetic=True,
        seed=seed,
        symbols=tuple(local.board.symbols),
        started_ms=local.pump() // 10**6,
    )
    async with serving(local, Control(local, about, None), "127.0.0.1", 0) as (_, port):
        yield f"http://127.0.0.1:{port}"


def where(url, folder):
    local = (
        "venue.environment=local",
        f"venue.local_url={url}",
        f"trade.state={folder}",
        "trade.stop_timeout=3s",
        "database.follow=false",
        "metrics.port=0",
    )
    return (*local, 'instruments=["BTCUSDT","ETHUSDT","SOLUSDT"]')


def settings_for(url, folder, *more):
    return load_settings(None, [*eagerly(), *where(url, folder), *more], {})


async def a_run(mode, folder, seconds, *more, url=None):
    """A run of so many seconds against an exchange of its own; what it ended with, and what it said."""
    said = []

    async def against(address):
        stopping = Stopping()
        asyncio.get_running_loop().call_later(seconds, stopping.ask, "test")
        with StateFolder(folder) as state:
            return await trade(settings_for(address, folder, *more), mode, state, stopping, said.append)

    async with asyncio.timeout(LIMIT_S):
        if url is not None:
            return await against(url), said
        async with an_exchange() as address:
            return await against(address), said


async def a_run_until_it_holds(folder, url, *more):
    """A run at an exchange that is asked to stop when it has opened something; what it ended with, and what it said."""
    said, stopping = [], Stopping()

    async def ask():
        while not (await at_the_exchange(url))[1]:  # noqa: ASYNC110 - the exchange tells nobody
            await asyncio.sleep(0.3)
        stopping.ask("test")

    async with asyncio.timeout(LIMIT_S):
        asking = asyncio.create_task(ask())
        with StateFolder(folder) as state:
            ended = await trade(settings_for(url, folder, *more), Mode.TESTNET, state, stopping, said.append)
        await asking
    return ended, said


def computed_again(folder):
    source = from_run(folder)
    backtest = Backtest(source, source.run.settings)
    events, steps = [], []
    observe = backtest._observe

    def both(event, step):
        observe(event, step)
        events.append(event)
        steps.append(step)

    backtest._observe = both
    backtest.run()
    return backtest, events, steps


def orders(steps):
    """What was sent: id, side, price, size, stop."""
    sent = [command.order for step in steps for command in step.commands if isinstance(command, SubmitOrder)]
    return [(one.client_order_id, one.side, one.price, one.size, one.stop_loss, one.take_profit) for one in sent]


def fills(events):
    """What was executed: order, price, size, maker; a stop's fill has no order of ours."""
    found = [event for event in events if isinstance(event, OrderFilled)]
    return [
        (one.client_order_id, one.instrument, one.side, one.price, one.size, one.is_maker, one.origin) for one in found
    ]


async def at_the_exchange(url):
    """What is open there, as REST tells it: (orders, positions)."""
    account = AccountConfig().keys[0]
    venue = environment("local", local_url=url)
    client = MarketClient(
        venue, clock=WallClock().now, chance=np.random.default_rng(1), keys=Keys(account.key, account.secret)
    )
    async with client as market:
        positions = await market.carry_out(inquiry.positions())
        return await market.carry_out(inquiry.open_orders()), [row for row in positions if float(row.size or 0)]


async def connected(path):
    while True:
        try:
            return await asyncio.open_unix_connection(path)
        except (FileNotFoundError, ConnectionRefusedError):
            await asyncio.sleep(0.05)


async def lived(path):
    """Until a bot tells that it has made some steps."""
    reader, writer = await connected(path)
    frames = Frames()
    try:
        while data := await reader.read(1 << 16):
            for payload in frames.feed(data):
                message = msgspec.msgpack.decode(payload, type=FromBot)
                if isinstance(message, Update) and message.status.steps > 800:
                    return
        raise AssertionError("the bot hung up")
    finally:
        writer.close()
