"""A second process that looks after positions: against a real local exchange, and a real bot that is killed."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.apps.live.sockets import eagerly, where
from typer.testing import CliRunner

from stakan.adapters.exchanges.bybit import inquiry
from stakan.adapters.exchanges.bybit.client import ask_once
from stakan.adapters.exchanges.bybit.endpoints import environment
from stakan.adapters.exchanges.bybit.errors import Kind
from stakan.adapters.exchanges.bybit.flatten import exposure
from stakan.adapters.exchanges.bybit.limits import Group
from stakan.adapters.exchanges.bybit.rest import Keys, measure_clock, patiently, post
from stakan.adapters.synthetic.config import SyntheticConfig
from stakan.apps.cli.main import app
from stakan.apps.cli.watchdog import EXIT_CODES
from stakan.apps.exchange.accounts import AccountConfig
from stakan.apps.exchange.control import About, Control
from stakan.apps.exchange.feeds import generated
from stakan.apps.exchange.listing import synthetic_symbols
from stakan.apps.exchange.local import LocalConfig, LocalExchange
from stakan.apps.exchange.serving import serving
from stakan.apps.live.heartbeat import HEARTBEAT_FILE, Beat, Held, read_beat, write_beat
from stakan.apps.live.state_folder import StateFolder
from stakan.apps.processes import Child
from stakan.apps.watchdog import Action, Life, Outcome, Pulse, Watchdog, WatchPlan, watched_folder, without_secrets
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import MILLISECOND, SECOND, Side

pytestmark = pytest.mark.usefixtures("compiled")

KEY = AccountConfig().keys[0]
KEYS = Keys(KEY.key, KEY.secret)
SILENT = 300 * MILLISECOND
GUARD_S = 60
HELD = Held(instrument="local:linear:BTCUSDT", side=Side.BUY, size=Decimal("0.01"), has_stop=True)


def a_beat(ts=None, **more):
    fields = {
        "ts": time.time_ns() if ts is None else ts,
        "pid": 7,
        "mode": "testnet",
        "environment": "local",
        "account": "main",
        "run": "r",
        "trading": TradingState.ACTIVE,
    }
    return Beat(**(fields | more))


# --- silence ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 3 * SECOND), st.booleans(), st.integers(-(10**12), 10**12)), max_size=40))
def test_a_heartbeat_is_silent_exactly_when_it_has_not_changed_for_long(steps):
    """Whatever the wall clock does meanwhile."""
    pulse, now, beats, changed = Pulse(2 * SECOND), 10**15, 1, 10**15
    pulse.see(a_beat(ts=5), now, 5)
    for step, has_beaten, wall in steps:
        now += step
        if has_beaten:
            beats, changed = beats + 1, now
        life = pulse.see(a_beat(ts=beats * 5), now, wall)
        assert life is (Life.SILENT if now - changed >= 2 * SECOND else Life.ALIVE)


def test_an_old_heartbeat_counts_as_silent_from_its_own_time_on():
    pulse = Pulse(2 * SECOND)
    assert pulse.see(a_beat(ts=7 * SECOND), 100 * SECOND, 60 * SECOND) is Life.SILENT
    assert pulse.silent_s(101 * SECOND) == 54
    assert Pulse(2 * SECOND).see(a_beat(ts=99 * SECOND), 100 * SECOND, 60 * SECOND) is Life.ALIVE


def test_without_a_heartbeat_nothing_is_known_and_one_that_cannot_be_read_is_no_news():
    pulse = Pulse(2 * SECOND)
    assert pulse.see(None, 0, 0) is Life.UNKNOWN
    pulse.see(a_beat(ts=5), SECOND, 5)
    assert pulse.see(None, 2 * SECOND, 0) is Life.ALIVE
    assert pulse.see(None, 3 * SECOND, 0) is Life.SILENT


# --- against an exchange ----------------------------------------------------------------------------------------------


class Scene:
    """A state folder and a local exchange that can go away and come back with its books."""

    def __init__(self, folder):
        self.folder = folder
        self.said = []
        loop = asyncio.get_running_loop()
        market = SyntheticConfig(symbols=synthetic_symbols(2))
        self.local = LocalExchange(
            LocalConfig(reply_delay_ns=0),
            partial(generated, market),
            time.time_ns,
            lambda ns, do: loop.call_later(ns / SECOND, do),
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.venue = environment("local", local_url=f"http://127.0.0.1:{self.port}")

    @asynccontextmanager
    async def serving(self):
        about = About(market="a test", is_synthetic=True, seed=7, symbols=(), started_ms=0)
        async with serving(self.local, Control(self.local, about), "127.0.0.1", self.port):
            yield

    async def ask(self, procedure):
        def timed(_line, clock):
            yield from measure_clock(clock, time.time_ns, samples=1)
            return (yield from procedure)

        return await ask_once(self.venue, KEYS, timed, time.time_ns)

    async def order(self, symbol="BTCUSDT", **fields):
        body = {"category": "linear", "symbol": symbol, "side": "Buy", "qty": "0.01", "positionIdx": 0} | fields
        await self.ask(patiently(post(Kind.CREATE, Group.CREATE, "/v5/order/create", **body)))

    async def trade(self):
        """A position under its stop in each symbol, and an entry that rests."""
        await self.order(orderType="Market")
        rows = await self.ask(inquiry.positions())
        price = Decimal(rows[0].avg_price).quantize(Decimal(1))
        stop = {"tpslMode": "Full", "positionIdx": 0, "stopLoss": str(price // 2), "slTriggerBy": "MarkPrice"}
        await self.ask(
            patiently(
                post(
                    Kind.PROTECT, Group.PROTECT, "/v5/position/trading-stop",
                    category="linear", symbol="BTCUSDT", **stop,
                )
            )
        )  # fmt: skip
        await self.order("ETHUSDT", orderType="Market", side="Sell", qty="0.3")
        await self.order(orderType="Limit", price=str(price * 98 // 100), orderLinkId="resting")

    async def open_now(self):
        return await self.ask(exposure())

    def watchdog(self, action=Action.FLATTEN, keys=KEYS, **more):
        plan = WatchPlan(folder=self.folder, silent_after=SILENT, action=action, **more)
        return Watchdog(plan, lambda _name: self.venue, keys, self.said.append)

    async def watch(self, within=None, **more):
        """What the watchdog ends with; None where it watches on."""
        stopped = asyncio.Event()
        if within is not None:
            asyncio.get_running_loop().call_later(within, stopped.set)
        ended = await self.watchdog(**more).watch(stopped)
        return None if ended.outcome is Outcome.STOPPED else ended

    def has_said(self, part):
        return any(part in text for text in self.said)


@contextmanager
def held(folder):
    """A process that has the state folder, as a bot has."""
    code = (
        "import fcntl, os, sys\n"
        "lock = os.open(sys.argv[1] + '/lock', os.O_RDWR | os.O_CREAT)\n"
        "fcntl.flock(lock, fcntl.LOCK_EX)\nprint('held', flush=True)\nsys.stdin.read()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def scene(tmp_path, test):
    async def guarded():
        async with asyncio.timeout(GUARD_S):
            it = Scene(tmp_path)
            await test(it)

    asyncio.run(guarded())


def test_a_bot_that_is_gone_is_flattened_with_its_stops_last(tmp_path):
    async def test(it):
        async with it.serving():
            await it.trade()
            assert len((await it.open_now()).positions) == 2
            write_beat(tmp_path, a_beat(positions=(HELD,)))
            ended = await it.watch()
            assert ended.outcome is Outcome.FLATTENED
            assert (await it.open_now()).is_nothing
            assert not await it.ask(inquiry.open_orders())
            assert it.has_said("under its stop")
            assert it.has_said("ETHUSDT Sell")
            assert it.has_said("WITHOUT A STOP")
            assert "BTCUSDT" in ended.text
            assert "ETHUSDT" in ended.text
        # The folder is free again.
        with StateFolder(tmp_path):
            pass

    scene(tmp_path, test)


def test_what_the_heartbeat_does_not_know_is_found_at_the_exchange(tmp_path):
    async def test(it):
        async with it.serving():
            await it.trade()
            write_beat(tmp_path, a_beat())
            assert await it.watch(0.7, asks_exchange=False) is None
            assert not (await it.open_now()).is_nothing
            ended = await it.watch()
            assert ended.outcome is Outcome.FLATTENED
            assert (await it.open_now()).is_nothing

    scene(tmp_path, test)


def test_beside_a_living_bot_nothing_is_done(tmp_path):
    async def test(it):
        async with it.serving():
            await it.trade()

            async def beat():
                while True:
                    write_beat(tmp_path, a_beat(positions=(HELD,)))
                    await asyncio.sleep(0.1)

            beating = asyncio.create_task(beat())
            requests = it.local.gateway.requests
            for action in Action:
                assert await it.watch(0.8, action=action) is None
            beating.cancel()
            assert it.local.gateway.requests == requests
            assert it.said == []

    scene(tmp_path, test)


def test_beside_a_silent_bot_that_holds_its_folder_there_is_only_an_alert(tmp_path):
    async def test(it):
        async with it.serving():
            await it.trade()
            write_beat(tmp_path, a_beat(positions=(HELD,)))
            with held(tmp_path) as bot:
                assert await it.watch(0.8) is None
                assert it.has_said("holds its state folder")
                assert len((await it.open_now()).positions) == 2
                ended = await it.watch(action=Action.ALERT)
                assert ended.outcome is Outcome.ALERTED
                bot.kill()
            assert (await it.watch()).outcome is Outcome.FLATTENED

    scene(tmp_path, test)


def test_while_the_exchange_is_away_it_keeps_trying_and_no_bot_can_start(tmp_path):
    async def test(it):
        async with it.serving():
            await it.trade()
        write_beat(tmp_path, a_beat(positions=(HELD,)))
        watching = asyncio.create_task(it.watch())
        while not it.has_said("closing"):  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        with pytest.raises(ConfigError, match="another bot"), StateFolder(tmp_path):
            pass
        async with it.serving():
            assert (await watching).outcome is Outcome.FLATTENED
            assert (await it.open_now()).is_nothing
        assert it.has_said("no connection")

    scene(tmp_path, test)


def test_who_stops_the_watchdog_stops_a_flatten_that_cannot_end(tmp_path):
    async def test(it):
        write_beat(tmp_path, a_beat(positions=(HELD,)))
        assert await it.watch(2.2) is None
        assert it.has_said("closing")
        with StateFolder(tmp_path):
            pass

    scene(tmp_path, test)


@pytest.mark.parametrize("beat", [a_beat(mode="paper", positions=(HELD,)), a_beat(has_ended=True, positions=(HELD,))])
def test_paper_and_an_orderly_end_are_left_alone(tmp_path, beat):
    async def test(it):
        async with it.serving():
            await it.trade()
            write_beat(tmp_path, beat)
            assert await it.watch(0.6) is None
            assert len((await it.open_now()).positions) == 2
            assert len(it.said) == 1
            if beat.has_ended:
                assert (await it.watch(after_stop=True)).outcome is Outcome.FLATTENED

    scene(tmp_path, test)


def test_nothing_open_is_no_alert(tmp_path):
    async def test(it):
        async with it.serving():
            write_beat(tmp_path, a_beat())
            for action in Action:
                assert await it.watch(0.7, action=action) is None
            assert it.said == ["the bot is gone and nothing is open"]

    scene(tmp_path, test)


def test_before_the_first_heartbeat_nothing_is_done(tmp_path):
    async def test(it):
        async with it.serving():
            await it.trade()
            assert await it.watch(0.6) is None
            (tmp_path / HEARTBEAT_FILE).write_text("no heartbeat")
            assert await it.watch(0.6) is None
            assert len(it.said) == 1

    scene(tmp_path, test)


def test_without_keys_an_alert_goes_by_the_heartbeat_and_a_flatten_is_refused(tmp_path):
    async def test(it):
        write_beat(tmp_path, a_beat(positions=(msgspec.structs.replace(HELD, has_stop=False),), entries=1))
        ended = await it.watch(action=Action.ALERT, keys=None)
        assert ended.outcome is Outcome.ALERTED
        assert "BTCUSDT BUY 0.01 WITHOUT A STOP, 1 entries" in ended.text
        with pytest.raises(ConfigError, match="BYBIT_API_KEY"):
            it.watchdog(keys=None)

    scene(tmp_path, test)


def test_an_alert_is_given_where_the_exchange_cannot_be_asked(tmp_path):
    async def test(it):
        write_beat(tmp_path, a_beat(positions=(HELD,)))
        ended = await it.watch(action=Action.ALERT)
        assert "by its last heartbeat" in ended.text

    scene(tmp_path, test)


def test_one_that_stays_alerts_once_and_says_when_the_bot_is_back(tmp_path):
    async def test(it):
        write_beat(tmp_path, a_beat(positions=(HELD,)))
        watching = asyncio.create_task(it.watch(1.2, action=Action.ALERT, stays=True, keys=None))
        await asyncio.sleep(0.8)
        write_beat(tmp_path, a_beat(positions=(HELD,)))
        assert await watching is None
        assert [text.split(",")[0] for text in it.said if "back" in text or "gone" in text][:2] == [
            "the bot (testnet",
            "the bot is back",
        ]

    scene(tmp_path, test)


COMMAND = """
import json, os, sys
from pathlib import Path
Path(sys.argv[1]).write_text(json.dumps([sys.argv[2], sorted(os.environ)]))
sys.exit(3)
"""


def test_the_command_gets_the_text_and_no_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("BYBIT_API_SECRET", "hidden")
    told = tmp_path / "told"

    async def test(it):
        write_beat(tmp_path, a_beat(positions=(HELD,)))
        command = (sys.executable, "-c", COMMAND, str(told))
        ended = await it.watch(action=Action.ALERT, keys=None, command=command)
        text, names = json.loads(told.read_text())
        assert text == ended.text
        assert "PATH" in names
        assert "BYBIT_API_SECRET" not in names
        assert it.has_said("ended with 3")
        assert (await it.watch(action=Action.ALERT, keys=None, command=("/no/such",))).outcome is Outcome.ALERTED
        assert it.has_said("No such file")

    scene(tmp_path, test)


def test_secrets_are_left_out_however_they_are_written():
    assert without_secrets({"bybit_api_key": "x", "PATH": "y"}) == {"PATH": "y"}


def test_there_must_be_something_to_watch(tmp_path):
    with pytest.raises(ConfigError, match="no state folder"):
        watched_folder(tmp_path / "none")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--set", "trade.state=/no/such/folder"], "no state folder"),
        (["--run", 'say "it'], "watchdog.command"),
        (["--silent-after", "soon"], "silent_after"),
        (["--action", "flatten"], "BYBIT_API_KEY"),
    ],
)
def test_what_cannot_work_is_told_at_the_start(tmp_path, monkeypatch, words, what):
    for name in ("BYBIT_API_KEY", "BYBIT_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    words = ["watchdog", "--env-file", str(tmp_path / "none"), "--set", f"trade.state={tmp_path}", *words]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert what in result.stderr


# --- a real bot -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_bot_that_is_killed_with_an_open_position_is_flattened_by_a_process_of_its_own(tmp_path):
    environment_ = {"BYBIT_API_KEY": KEY.key, "BYBIT_API_SECRET": KEY.secret}
    ready, state = tmp_path / "ready.json", tmp_path / "state"
    state.mkdir()
    words = ["--symbols", "3", "--port", "0", "--reply-delay", "0ms", "--rate-factor", "0", "--intervals", "source"]
    with Child("exchange", ["exchange", *words, "--speed", "4", "--ready-file", str(ready)], tmp_path) as exchange:
        url = f"http://127.0.0.1:{exchange.until(ready)['port']}"
        sets = [word for one in (*eagerly(hold_s=60, stop_bps=200), *where(url, state)) for word in ("--set", one)]
        watch = ["watchdog", "--action", "flatten", "--silent-after", "3s", *sets]
        with (
            Child("bot", ["trade", "--mode", "testnet", *sets], tmp_path, environment_) as bot,
            Child("watchdog", watch, tmp_path, environment_) as watchdog,
        ):
            deadline = time.monotonic() + GUARD_S
            while not ((beat := read_beat(state)) and beat.positions and "watching" in watchdog.tail()):
                assert (bot.code, watchdog.code) == (None, None), bot.tail() + watchdog.tail()
                assert time.monotonic() < deadline, bot.tail()
                time.sleep(0.05)
            # It watches while the bot lives, and does nothing.
            time.sleep(2)
            assert (watchdog.code, bot.code) == (None, None), watchdog.tail()
            assert "closing" not in watchdog.tail()
            os.kill(bot.pid, signal.SIGKILL)
            while watchdog.code is None:
                assert time.monotonic() < deadline + GUARD_S, watchdog.tail()
                time.sleep(0.05)
            assert watchdog.code == EXIT_CODES[Outcome.FLATTENED], watchdog.tail()
        venue = environment("local", local_url=url)

        def look(_line, clock):
            yield from measure_clock(clock, time.time_ns, samples=1)
            return (yield from exposure())

        left = asyncio.run(ask_once(venue, KEYS, look, time.time_ns))
        assert left.is_nothing, left.text
