"""A bot and the local exchange over real sockets on loopback, computed again from the bot's journal."""

import asyncio
import time
from contextlib import asynccontextmanager

import msgspec
import pytest
from tests.apps.live import eager

from stakan.adapters.journal.files import read_events, read_header, read_steps
from stakan.adapters.synthetic.config import SyntheticConfig
from stakan.apps.backtest import Backtest, warm_up
from stakan.apps.config import load_settings
from stakan.apps.exchange.accounts import AccountConfig
from stakan.apps.exchange.board import Intervals
from stakan.apps.exchange.control import About, Control
from stakan.apps.exchange.feeds import generated
from stakan.apps.exchange.listing import synthetic_symbols
from stakan.apps.exchange.local import LocalConfig, LocalExchange
from stakan.apps.exchange.serving import serving
from stakan.apps.live.state_folder import StateFolder
from stakan.apps.replay import replay
from stakan.apps.sources import from_run
from stakan.apps.trade import Mode, NotFit, Stopping, trade
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import OrderFilled
from stakan.core.domain.units import SECOND

LIMIT_S = 60
EAGER = (
    "engine.decision_interval=100ms",
    "engine.candle_interval=1s",
    "engine.cooldown=200ms",
    "engine.entry_timeout=700ms",
    f'strategies=[{{name="eager",file="{eager.__file__}"}}]',
)
"""Trades from the first second on."""
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


def settings_for(url, folder, *more):
    local = ("venue.environment=local", f"venue.local_url={url}", f"trade.state={folder}", "trade.stop_timeout=3s")
    names = 'instruments=["BTCUSDT","ETHUSDT","SOLUSDT"]'
    return load_settings(None, [*EAGER, *local, names, *more], {})


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


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Kernels are compiled before anything waits for an answer."""
    warm_up(load_settings(None, EAGER, {}))


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    account = AccountConfig()
    monkeypatch.setenv("BYBIT_API_KEY", account.keys[0].key)
    monkeypatch.setenv("BYBIT_API_SECRET", account.keys[0].secret)


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


def test_a_paper_run_over_sockets_has_the_fingerprint_of_its_backtest(tmp_path):
    ended, _ = asyncio.run(a_run(Mode.PAPER, tmp_path / "s", 6))
    again, _, _ = computed_again(ended.folder)
    assert ended.result.funnel.orders > 0
    assert again.fingerprint.hexdigest() == ended.result.fingerprint
    assert ended.result.data.is_synthetic


def test_a_run_at_the_exchange_is_backtested_to_the_same_orders_and_fills(tmp_path):
    ended, _ = asyncio.run(a_run(Mode.TESTNET, tmp_path / "s", 10))
    journal = ended.folder / "journal"
    events = [event for _, event in read_events(journal)]
    steps = list(read_steps(journal))
    assert fills(events)
    assert replay(read_header(journal), read_events(journal), iter(steps)).differences == 0
    _, again, computed = computed_again(ended.folder)
    assert orders(computed) == orders(steps)
    assert fills(again) == fills(events)


def test_a_restart_refuses_what_it_does_not_know(tmp_path):
    async def twice():
        async with an_exchange() as url:
            one, _ = await a_run(Mode.TESTNET, tmp_path / "s", 5, url=url)
            assert one.left_open, "nothing was left to be met"
            with pytest.raises(NotFit, match="does not know"):
                await a_run(Mode.TESTNET, tmp_path / "s", 5, url=url)

    asyncio.run(twice())


def test_shadow_sends_nothing(tmp_path):
    ended, said = asyncio.run(a_run(Mode.SHADOW, tmp_path / "s", 5))
    assert ended.result.funnel.orders > 0
    assert ended.result.funnel.fills == 0
    assert {order.status for order in ended.result.orders} == {"failed"}
    assert msgspec.json.encode(said)
