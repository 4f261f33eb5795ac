"""A bot with its connections, none of which is up: what an operator is told, what a release reaches, how it ends."""

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from tests.adapters.exchanges.bybit.test_listing import carried_out
from tests.apps.live.builders import SETTINGS
from tests.apps.live.sockets import LIMIT_S, an_exchange, settings_for
from tests.apps.tiny_bybit import tier_rows

from stakan.adapters.exchanges.bybit.endpoints import environment
from stakan.adapters.exchanges.bybit.market_client import MarketClient
from stakan.adapters.exchanges.bybit.rest import Keys
from stakan.adapters.synthetic.config import demo_config
from stakan.apps.config import load_settings
from stakan.apps.doctor import venue_of
from stakan.apps.live.bot import BotPlan
from stakan.apps.live.clock import WallClock
from stakan.apps.live.fitness import NotFit, fit, instruments_of
from stakan.apps.live.session import BotFailed, Session, Stopping
from stakan.apps.secrets import bybit_keys
from stakan.core.domain.errors import StorageError
from stakan.core.domain.events import OrderFilled, ProtectionChanged, ReleaseHalt
from stakan.core.domain.orders import NewOrder, OrderType, Purpose
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import Side

RELEASE = ReleaseHalt(ts_event=0, ts_recv=0, actor="ann", request_id="1")
KEYS = Keys("aB3dE6gH9jK2mN5pQ8", "s3cret" * 6)


@asynccontextmanager
async def a_session(folder, mode="testnet", logs=None):
    """Not connected to anything."""
    settings = load_settings(
        None, [*SETTINGS, "venue.environment=local", "trade.stop_timeout=50ms", "metrics.port=0"], {}
    )
    instruments = {symbol.instrument.id: symbol.instrument for symbol in demo_config().symbols}
    plan = BotPlan(
        mode=mode,
        settings=settings,
        instruments=instruments,
        run_folder=folder / "run",
        epoch="e",
        market="a test",
    )
    clock, chance = WallClock(), np.random.default_rng(1)
    venue = environment("local", local_url="http://127.0.0.1:9")
    market = MarketClient(venue, clock=clock.now, chance=chance, keys=KEYS)
    session = Session(plan, market, venue, KEYS, clock, chance, logs)
    try:
        yield session
    finally:
        session.bot.discard()


def test_a_release_lets_the_exchanges_side_trade_again_too(tmp_path):
    async def release():
        async with a_session(tmp_path) as session:
            venue, state = session.account.venue, session.bot.engine.state
            venue.latch.halt("10003 API key is invalid")
            halted = (state.trading, session.bot.around.problems()[0])
            why = session.accept(RELEASE)
            return halted, why, state.trading, venue.stopped_for, session.bot.around.problems()

    halted, why, trading, stopped_for, problems = asyncio.run(release())
    assert halted == (TradingState.HALTED, "no entries until released: 10003 API key is invalid")
    assert (why, trading, stopped_for) == ("", TradingState.ACTIVE, None)
    assert not any("until released" in line for line in problems)


@pytest.mark.parametrize("mode", ["paper", "testnet"])
def test_journals_are_pruned_beside_a_bot_without_a_database(tmp_path, mode):
    looks = []

    class Pruning:
        def look(self, now):
            looks.append(now)
            return "old market data stays" if len(looks) == 1 else None

    async def look():
        async with a_session(tmp_path, mode) as session:
            assert session._projector is None
            session._pruning = Pruning()
            session._look_at_parts()
            session._look_at_parts()
            return session.bot.around.problems()

    problems = asyncio.run(look())
    assert looks == sorted(set(looks))
    assert len(looks) == 2
    assert problems.count("old market data stays") == 1


@pytest.mark.parametrize("mode", ["paper", "shadow", "testnet"])
def test_a_release_closes_the_breakers_of_every_connection(tmp_path, mode):
    async def release():
        async with a_session(tmp_path, mode) as session:
            owners = [session._market, *([session.account.venue] if session.account is not None else [])]
            breakers = [breaker for owner in owners for breaker in owner.breakers.values()]
            for breaker in breakers:
                for _ in range(breaker.threshold):
                    breaker.failure(session._now(), "down")
            before = [breaker.is_closed for breaker in breakers]
            session.accept(RELEASE)
            return before, [breaker.is_closed for breaker in breakers]

    before, after = asyncio.run(release())
    assert not any(before)
    assert all(after)


def test_margin_tiers_of_the_run_before_are_looked_at_again(tmp_path):
    """At a restart they are not asked for: that is a question for each of hundreds of instruments."""

    class Listing:
        async def carry_out(self, procedure):
            found, _ = carried_out(procedure, lambda request: self.answer(request.query))
            return found

        def answer(self, query):
            return {"list": list(tier_rows("BTCUSDT"))} if "BTCUSDT" in query else "no such symbol"

    async def look():
        async with a_session(tmp_path) as session:
            session._market.carry_out = Listing().carry_out
            await session._look_at_tiers()
            begun = session.bot.engine.state.number
            msgspec.structs.force_setattr(session._plan, "past", "a run")
            await session._look_at_tiers()
            state = session.bot.engine.state
            tiers = {key.rpartition(":")[2]: one.rules.margin_tiers for key, one in state.instruments.items()}
            return begun, state.number, tiers, session.bot.around.problems()

    begun, steps, tiers, problems = asyncio.run(look())
    assert (begun, steps) == (0, 1)
    assert [tier.max_leverage for tier in tiers["BTCUSDT"]] == [50, 25]
    (told,) = [text for text in problems if "margin tiers" in text]
    assert "2 instruments stay those of the run before" in told
    assert "no such symbol" in told


def test_a_clock_that_is_set_wrong_speaks_against_trading(keys, tmp_path):
    async def begin(ahead_ns):
        async with an_exchange() as url, asyncio.timeout(LIMIT_S):
            settings = settings_for(url, tmp_path)
            clock, keys = WallClock(), bybit_keys()
            client = MarketClient(
                venue_of(settings), clock=lambda: clock.now() + ahead_ns, chance=np.random.default_rng(1), keys=keys
            )
            async with client as market:
                said = []
                instruments = (await instruments_of(market, settings)).instruments
                return await fit(market, settings, instruments, said.append), said

    settings, said = asyncio.run(begin(0))
    assert settings.account.starting_balance > 0
    assert not any("clock" in line for line in said)
    with pytest.raises(NotFit, match=r"clock: \+5\d{3}\.\d ms against the exchange"):
        asyncio.run(begin(5_500 * 10**6))


def test_why_a_connection_is_down_is_told_without_the_key(tmp_path):
    async def look():
        async with a_session(tmp_path) as session:
            session.account.private.problem = f"closed by the exchange: 1008 {KEYS.key}"
            return session.bot.around.problems()

    (line,) = [line for line in asyncio.run(look()) if line.startswith("private stream")]
    assert line == "private stream: closed by the exchange: 1008 ***"


def test_what_was_noted_is_told_for_a_while_and_does_not_pile_up(tmp_path, caplog):
    async def note():
        async with a_session(tmp_path) as session:
            for number in range(1000):
                session._note(f"note {number}")
            now = session._now()
            shown = session.bot.around.problems()
            session._now = lambda: now + 3600 * 10**9
            return shown, session.bot.around.problems()

    shown, later = asyncio.run(note())
    assert [line for line in shown if "note" in line] == [f"note {number}" for number in range(995, 1000)]
    assert not any("note" in line for line in later)
    assert "note 0" in caplog.text


@pytest.mark.parametrize("breaks", ["sync", "close"])
def test_a_journal_that_breaks_while_a_bot_stops_is_a_failure(tmp_path, monkeypatch, breaks):
    async def stop():
        async with a_session(tmp_path, mode="paper") as session:
            monkeypatch.setattr(session._feed, "follow", lambda _: None)
            disk_full = StorageError("no space left on device")

            def broken(*_):
                raise disk_full

            journal, loop = session.bot.loop._journal, session.bot.loop
            if breaks == "sync":
                monkeypatch.setattr(loop, "_finish", broken)
            else:
                monkeypatch.setattr(journal, "close", broken)
            stopping = Stopping()
            stopping.ask("test")
            await session.live(tmp_path, stopping, lambda _: None)

    with pytest.raises((BotFailed, StorageError), match="no space left"):
        asyncio.run(stop())


def test_a_bot_is_settled_when_nothing_is_on_its_way_and_every_position_has_a_stop(tmp_path):
    async def settle():
        async with a_session(tmp_path) as session:
            bot = session.bot
            portfolio, name = bot.engine.state.portfolio, next(iter(bot.plan.instruments))
            about = {"ts_event": 1, "ts_recv": 1, "instrument": name}
            entry = NewOrder(
                client_order_id="a",
                instrument=name,
                intent="i",
                purpose=Purpose.ENTRY,
                side=Side.BUY,
                size=1,
                type=OrderType.MARKET,
                stop_loss=9,
            )
            found = [bot.is_settled]
            portfolio.submit(entry, 1)
            found.append(bot.is_settled)
            fill = {"execution_id": "x", "side": Side.BUY, "price": 10, "size": 1, "fee": Decimal(0), "is_maker": False}
            portfolio.apply(OrderFilled(**about, **fill, client_order_id="a"))
            found.append(bot.is_settled)
            portfolio.apply(ProtectionChanged(**about, stop_loss=9, take_profit=None))
            found.append(bot.is_settled)
            close = msgspec.structs.replace(entry, client_order_id="b", purpose=Purpose.EXIT, side=Side.SELL)
            portfolio.submit(close, 2)
            return [*found, bot.is_settled]

    assert asyncio.run(settle()) == [True, False, False, True, False]


def test_a_bot_that_breaks_while_it_stops_has_failed(tmp_path, monkeypatch):
    async def stop():
        async with a_session(tmp_path, mode="paper") as session:
            monkeypatch.setattr(session._feed, "follow", lambda _: None)

            def broken(*_):
                raise StorageError("no space left on device")

            monkeypatch.setattr(session.bot.loop._journal, "append", broken)
            stopping = Stopping()
            stopping.ask("test")
            await session.live(tmp_path, stopping, lambda _: None)

    with pytest.raises(BotFailed, match="no space left"):
        asyncio.run(stop())
