"""How a bot ends: asked to, by a bug, killed; and what the next one finds. Over real sockets on loopback."""

import asyncio
import itertools

import pytest
from tests.apps.live.sockets import (
    LIMIT_S,
    RESTING,
    SYMBOLS,
    a_run,
    a_run_until_it_holds,
    an_exchange,
    at_the_exchange,
    computed_again,
    eagerly,
    encode,
    lived,
    where,
)

from stakan.adapters.exchanges.bybit.errors import Kind
from stakan.adapters.exchanges.bybit.feed import Connection
from stakan.adapters.exchanges.bybit.limits import Group
from stakan.adapters.exchanges.bybit.rest import get
from stakan.adapters.exchanges.bybit.venue import BybitVenue
from stakan.adapters.journal.reading import read_events, read_header, read_recorded, read_steps
from stakan.apps.live.fitness import NotFit
from stakan.apps.live.mode import Mode
from stakan.apps.live.session import BotFailed
from stakan.apps.processes import STAKAN
from stakan.apps.projection import SOCKET_FILE
from stakan.apps.replay import replay
from stakan.apps.results import read_run
from stakan.apps.sources import from_run

pytestmark = pytest.mark.usefixtures("compiled", "keys")


def test_a_graceful_stop_cancels_entries_and_leaves_stops_and_another_state_folder_does_not_take_them_over(tmp_path):
    async def stop():
        async with an_exchange() as url:
            ended, said = await a_run_until_it_holds(tmp_path / "s", url, *eagerly(hold_s=60))
            with pytest.raises(NotFit, match="knows nothing of"):
                await a_run(Mode.TESTNET, tmp_path / "other", 3, url=url)
            return ended, said, await at_the_exchange(url)

    ended, said, (orders_left, positions) = asyncio.run(stop())
    assert "graceful stop (test)" in said[-1]
    assert positions
    assert all(float(row.stop_loss) > 0 for row in positions)
    assert all(row.stop_order_type for row in orders_left), "only legs of positions may be left"
    assert len(ended.left_open) == len(positions)
    assert read_run(ended.folder).fingerprint == ended.result.fingerprint
    assert ended.result.run.program == "trade testnet"


def test_a_stop_cancels_entries_that_rest(tmp_path):
    async def stop():
        async with an_exchange() as url:
            ended, _ = await a_run(Mode.TESTNET, tmp_path / "s", 6, *RESTING, url=url)
            return ended, await at_the_exchange(url)

    ended, (orders_left, positions) = asyncio.run(stop())
    assert ended.result.funnel.orders == SYMBOLS
    assert (orders_left, positions, ended.left_open) == ([], [], ())
    assert {row.status for row in ended.result.orders} == {"cancelled"}


def test_a_bug_in_a_strategy_ends_the_run_cancels_its_entries_and_keeps_the_evidence(tmp_path):
    breaking = (*eagerly(only_makes=True, behind_bps=40, stop_bps=80, breaks_after_s=4), "engine.entry_timeout=60s")

    async def fail():
        async with an_exchange() as url:
            with pytest.raises(BotFailed, match="a bug in a strategy") as failed:
                await a_run(Mode.TESTNET, tmp_path / "s", 50, *breaking, url=url)
            return failed.value, await at_the_exchange(url)

    failure, (orders_left, positions) = asyncio.run(fail())
    assert isinstance(failure.__cause__, ZeroDivisionError)
    assert (orders_left, positions) == ([], [])
    (run,) = (tmp_path / "s" / "runs").iterdir()
    assert str(run) in str(failure)
    journal = run / "journal"
    with pytest.raises(ZeroDivisionError):
        replay(read_header(journal), read_recorded(journal, torn=True))


@pytest.mark.parametrize("callback", ["timer", "answer", "feed"])
def test_a_bug_in_a_callback_of_the_client_ends_the_run_and_keeps_the_evidence(tmp_path, monkeypatch, caplog, callback):
    """Nobody awaits a timer or what is called with an answer; all the same it is as a bug anywhere else."""
    ticks, original = itertools.count(), BybitVenue._tick

    def broken(*_):
        raise ZeroDivisionError("a bug in a callback")

    def tick(venue):
        original(venue)
        if next(ticks) == 6:
            if callback == "timer":
                broken()
            venue.line.ask(get(Kind.QUERY, Group.MARKET, "/v5/market/time", is_signed=False), broken)

    def feed_tick(connection):
        if next(ticks) == 6:
            broken()
        original_feed(connection)

    original_feed = Connection._tick
    if callback == "feed":
        monkeypatch.setattr(Connection, "_tick", feed_tick)
    else:
        monkeypatch.setattr(BybitVenue, "_tick", tick)

    async def fail():
        async with an_exchange() as url:
            with pytest.raises(BotFailed, match="a bug in a callback") as failed:
                await a_run(Mode.TESTNET, tmp_path / "s", 20, *RESTING, url=url)
            return failed.value, await at_the_exchange(url)

    failure, (orders_left, positions) = asyncio.run(fail())
    assert isinstance(failure.__cause__, ZeroDivisionError)
    assert (orders_left, positions) == ([], [])
    (run,) = (tmp_path / "s" / "runs").iterdir()
    assert str(run) in str(failure)
    assert read_run(run).run.program == "trade testnet"
    assert "a bug in a callback" in caplog.text


def test_a_killed_bot_leaves_a_run_that_can_be_read_and_a_folder_for_the_next(tmp_path):
    folder = tmp_path / "s"

    async def kill():
        async with an_exchange() as url, asyncio.timeout(LIMIT_S):
            settings = [f"--set={one}" for one in (*eagerly(), *where(url, folder))]
            bot = await asyncio.create_subprocess_exec(*STAKAN, "trade", "--mode", "paper", *settings)
            try:
                await lived(folder / SOCKET_FILE)
            finally:
                bot.kill()
                await bot.wait()
            return await a_run(Mode.PAPER, folder, 2, url=url)

    asyncio.run(kill())
    killed, after = sorted((folder / "runs").iterdir())
    source = from_run(killed)
    assert not source.run.is_complete
    assert source.run.header.run_epoch != from_run(after).run.header.run_epoch
    _, events, steps = computed_again(killed)
    assert len(events) > 300
    recorded = {step.number: step for step in read_steps(killed / "journal", torn=True)}
    last = max(number for number, _ in read_events(killed / "journal", torn=True))
    same = [step for step in steps if step.number in recorded and step.number <= last]
    assert len(same) > 10
    assert all(encode(step) == encode(recorded[step.number]) for step in same)
