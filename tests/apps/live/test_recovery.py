"""A bot that goes on where another one ended, in order or not. Over real sockets on loopback."""

import asyncio

import pytest
from pybit.unified_trading import HTTP
from tests.apps.live.sockets import (
    LIMIT_S,
    a_run,
    a_run_until_it_holds,
    an_exchange,
    at_the_exchange,
    eagerly,
    lived,
    settings_for,
    where,
)

from stakan.adapters.journal.disk import LOCAL
from stakan.adapters.journal.reading import read_events, read_header, read_steps
from stakan.adapters.journal.snapshots import read_snapshot
from stakan.apps.demo import API_KEY, API_SECRET
from stakan.apps.live.mode import Mode
from stakan.apps.live.past import recall
from stakan.apps.live.session import Stopping
from stakan.apps.live.state_folder import StateFolder
from stakan.apps.processes import STAKAN
from stakan.apps.projection import SOCKET_FILE
from stakan.apps.rehearse import Asker, differences
from stakan.apps.replay import engine_of
from stakan.apps.trade import trade
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import AccountRead, AccountUnread, MarketEvent
from stakan.core.domain.facts import AccountCompared
from stakan.core.domain.ids import split_instrument_id

pytestmark = pytest.mark.usefixtures("compiled", "keys")

HOLDING = eagerly(hold_s=60, stop_bps=60)
"""Positions are still open when the run ends."""


def runs_of(folder):
    return sorted((folder / "runs").iterdir())


def books_of(folder):
    """The engine as the journals say that it was."""
    with StateFolder(folder) as state:
        past = recall(state.runs(), "testnet", "main")
    assert past is not None
    return past.engine


async def agreed(folder, url):
    """What the bot's books and the exchange's do not agree on."""
    engine = books_of(folder)
    asker = Asker(url, API_KEY, API_SECRET)
    return await asyncio.to_thread(lambda: list(differences(engine.state.portfolio, asker)))


async def held(url):
    local = Asker(url, API_KEY, API_SECRET)
    await asyncio.to_thread(local.control, "hold", {"market": True})


async def killed_in_the_middle(folder, url, *more):
    """A bot process that is killed while it trades."""
    words = [f"--set={one}" for one in (*HOLDING, *where(url, folder), *more)]
    bot = await asyncio.create_subprocess_exec(*STAKAN, "trade", "--mode", "testnet", *words)
    try:
        await lived(folder / SOCKET_FILE)
    finally:
        bot.kill()
        await bot.wait()


def sent(folder):
    return [
        command.order.client_order_id
        for run in runs_of(folder)
        for step in read_steps(run / "journal", torn=True)
        for command in step.commands
        if isinstance(command, SubmitOrder)
    ]


def test_the_next_run_carries_on_positions_money_and_numbers(tmp_path):
    folder = tmp_path / "s"

    async def twice():
        async with an_exchange() as url:
            first, _ = await a_run_until_it_holds(folder, url, *HOLDING)
            second, said = await a_run(Mode.TESTNET, folder, 3, *HOLDING, url=url)
            await held(url)
            return first, second, said, await agreed(folder, url), await at_the_exchange(url)

    first, second, said, found, (_, positions) = asyncio.run(twice())
    assert first.left_open
    assert any("carrying on" in line for line in said)
    assert found == []
    assert all(float(row.stop_loss) > 0 for row in positions)
    before, after = (read_header(run / "journal") for run in runs_of(folder))
    last = max(number for number, _ in read_events(runs_of(folder)[0] / "journal"))
    assert (after.carried_from, after.first_number) == (runs_of(folder)[0].name, last + 1)
    assert before.carried_from == ""
    assert second.result.fingerprint


def test_where_something_is_open_is_followed_first_and_the_rest_soon(tmp_path):
    folder = tmp_path / "s"

    async def twice():
        async with an_exchange() as url:
            await a_run_until_it_holds(folder, url, *HOLDING, 'instruments=["SOLUSDT"]')
            await a_run(Mode.TESTNET, folder, 4, *HOLDING, url=url)

    asyncio.run(twice())
    events = (event for _, event in read_events(runs_of(folder)[1] / "journal"))
    seen = dict.fromkeys(event.instrument for event in events if isinstance(event, MarketEvent))
    first, *rest = (split_instrument_id(key)[2] for key in seen)
    assert first == "SOLUSDT"
    assert set(rest) == {"BTCUSDT", "ETHUSDT"}


def test_a_killed_bot_is_carried_on_by_the_next_one_without_a_doubled_order(tmp_path):
    folder = tmp_path / "s"

    async def kill():
        async with an_exchange() as url, asyncio.timeout(LIMIT_S):
            for _ in range(2):
                await killed_in_the_middle(folder, url)
            await a_run(Mode.TESTNET, folder, 4, *HOLDING, url=url)
            await held(url)
            history = await asyncio.to_thread(Asker(url, API_KEY, API_SECRET).history)
            return await agreed(folder, url), history

    found, history = asyncio.run(kill())
    assert found == []
    ids = sent(folder)
    assert len(ids) == len(set(ids)) > 0
    theirs = [row["orderLinkId"] for row in history if row["orderLinkId"]]
    assert len(theirs) == len(set(theirs))
    assert set(theirs) <= set(ids)


def test_a_carried_run_is_replayed_from_the_state_that_it_began_with(tmp_path):
    folder = tmp_path / "s"

    async def twice():
        async with an_exchange() as url:
            await a_run(Mode.TESTNET, folder, 2, *HOLDING, url=url)
            await a_run(Mode.TESTNET, folder, 2, *HOLDING, url=url)

    asyncio.run(twice())
    journal = runs_of(folder)[1] / "journal"
    header = read_header(journal)
    engine = engine_of(header)
    engine.restore(read_snapshot(LOCAL, journal, header.first_number - 1))
    recorded = {step.number: step for step in read_steps(journal)}
    for number, event in read_events(journal):
        step = engine.step(event)
        assert step.number == number
        assert (step.facts, step.commands) == (
            (recorded[number].facts, recorded[number].commands) if number in recorded else ((), ())
        )


def test_nothing_opens_before_books_and_account_were_compared(tmp_path):
    folder = tmp_path / "s"

    async def once():
        async with an_exchange() as url:
            await a_run_until_it_holds(folder, url, *HOLDING)

    asyncio.run(once())
    (run,) = runs_of(folder)
    events = dict(read_events(run / "journal"))
    unread = next(number for number, event in events.items() if isinstance(event, AccountUnread))
    steps = list(read_steps(run / "journal"))
    agreed_at = next(
        step.number for step in steps for fact in step.facts if isinstance(fact, AccountCompared) and fact.is_agreed
    )
    first_order = next(step.number for step in steps for one in step.commands if isinstance(one, SubmitOrder))
    assert unread == 1
    assert isinstance(events[agreed_at], AccountRead)
    assert first_order > agreed_at


def test_a_stop_that_was_taken_away_while_no_bot_ran_is_put_back(tmp_path):
    folder = tmp_path / "s"

    async def meddle():
        async with an_exchange() as url:
            await a_run_until_it_holds(folder, url, *HOLDING)
            _, before = await at_the_exchange(url)
            await without_stops(url, [row.symbol for row in before])
            _, naked = await at_the_exchange(url)
            assert naked
            assert not any(float(row.stop_loss or 0) for row in naked)
            await a_run(Mode.TESTNET, folder, 8, *eagerly(never=True), url=url)
            await held(url)
            return before, await at_the_exchange(url), await agreed(folder, url)

    before, (_, after), found = asyncio.run(meddle())
    assert before
    assert all(float(row.stop_loss) > 0 for row in after)
    assert found == []


async def without_stops(url, symbols):
    def take_away():
        session = HTTP(api_key=API_KEY, api_secret=API_SECRET, testnet=True)
        session.endpoint = url
        for symbol in symbols:
            session.set_trading_stop(category="linear", symbol=symbol, stopLoss="0", positionIdx=0, tpslMode="Full")

    await asyncio.to_thread(take_away)


def test_an_account_that_holds_something_is_taken_over_where_that_is_asked_for(tmp_path):
    async def take_over():
        async with an_exchange() as url, asyncio.timeout(LIMIT_S):
            await a_run_until_it_holds(tmp_path / "first", url, *HOLDING)
            _, before = await at_the_exchange(url)
            stopping, said = Stopping(), []
            asyncio.get_running_loop().call_later(6, stopping.ask, "test")
            with StateFolder(tmp_path / "second") as state:
                settings = settings_for(url, tmp_path / "second", *eagerly(never=True))
                await trade(settings, Mode.TESTNET, state, stopping, said.append, take_over=True)
            await held(url)
            return before, await at_the_exchange(url), await agreed(tmp_path / "second", url)

    before, (_, after), found = asyncio.run(take_over())
    assert before
    assert after == [], "orphans are closed by default"
    assert found == []
