"""The account over real sockets against the local exchange: an order's whole life, and what survives a cut."""

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal

import aiohttp
import msgspec
import numpy as np
import pytest

from stakan.adapters.exchanges.bybit.capabilities import Capability
from stakan.adapters.exchanges.bybit.client import BybitAccount, Shared, Told
from stakan.adapters.exchanges.bybit.endpoints import environment
from stakan.adapters.exchanges.bybit.errors import Kind
from stakan.adapters.exchanges.bybit.instruments import decode_instruments
from stakan.adapters.exchanges.bybit.limits import Group
from stakan.adapters.exchanges.bybit.market_client import MarketClient
from stakan.adapters.exchanges.bybit.preflight import Verdict, Wanted, is_fit, preflight
from stakan.adapters.exchanges.bybit.rest import Keys, get, patiently
from stakan.adapters.sockets import SocketLimits
from stakan.adapters.synthetic.config import demo_config
from stakan.apps.exchange.accounts import AccountConfig
from stakan.apps.exchange.control import About, Control
from stakan.apps.exchange.faults import Trouble
from stakan.apps.exchange.feeds import generated
from stakan.apps.exchange.local import LocalConfig, LocalExchange
from stakan.apps.exchange.serving import serving
from stakan.core.domain.commands import AmendOrder, CancelOrder, SetProtection, SubmitOrder
from stakan.core.domain.errors import VenueUnavailable
from stakan.core.domain.events import OrderAmended, OrderFilled
from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId
from stakan.core.domain.orders import NewOrder, OrderType, Purpose, TimeInForce
from stakan.core.domain.units import SECOND, Lots, Side, Ticks

pytestmark = pytest.mark.usefixtures("compiled")

BTC = InstrumentId("local:linear:BTCUSDT")
KEYS = Keys("stakan-key", "stakan-secret")
GUARD_S = 60


class World:
    """A running exchange, an account on it, and what it told."""

    def __init__(self, local, where, account, told, halts, rules):
        self.local = local
        self.where = where
        self.account = account
        self.told = told
        self.halts = halts
        self.rules = rules
        self.venue = account.venue

    async def until(self, condition, what):
        """Wait for something to be told; the guard of the whole test ends a wait for what never comes."""
        try:
            async with asyncio.timeout(20):
                while not condition():
                    self.account.failed()
                    await asyncio.sleep(0.005)
        except TimeoutError:
            pytest.fail(f"never: {what}; told {[type(e).__name__ for e in self.told]}, notes and halts {self.halts}")

    async def heard(self, kind, name=None, **fields):
        """Wait for an event of a kind, of an order, with fields of these values; gives it."""

        def found():
            return next(
                (
                    event
                    for event in self.told
                    if type(event).__name__ == kind
                    and (name is None or event.client_order_id == name)
                    and all(getattr(event, key) == value for key, value in fields.items())
                ),
                None,
            )

        await self.until(lambda: found() is not None, f"{kind} {name} {fields}")
        return found()

    async def touch(self):
        """Best bid and ask in ticks, and the mark's tick."""
        request = get(
            Kind.QUERY, Group.MARKET, "/v5/market/tickers", is_signed=False, category="linear", symbol="BTCUSDT"
        )
        reply = await self.account.carry_out(patiently(request))
        row = msgspec.json.decode(reply.result)["list"][0]
        return tuple(self.rules.price_nearest(Decimal(row[key])) for key in ("bid1Price", "ask1Price", "markPrice"))


@asynccontextmanager
async def world(**config):
    loop = asyncio.get_running_loop()
    local = LocalExchange(
        LocalConfig(accounts=(AccountConfig(),), reply_delay_ns=0, **config),
        lambda start: generated(demo_config(), start),
        time.time_ns,
        lambda ns, do: loop.call_later(ns / SECOND, do),
    )
    about = About(market="test", is_synthetic=True, seed=7, symbols=("BTCUSDT",), started_ms=0)
    async with serving(local, Control(local, about), "127.0.0.1", 0) as (_, port):
        where = environment("local", local_url=f"http://127.0.0.1:{port}")
        rules = await instrument(where)
        told, halts = [], []
        account = BybitAccount(
            where,
            KEYS,
            {BTC: rules},
            told=Told(told.append, halts.append, halts.append),
            clock=time.time_ns,
            chance=np.random.default_rng(1),
            limits=SocketLimits(first_wait_ns=SECOND // 20),
        )
        async with account:
            await account.ready()
            await account.prepare(rules, Decimal(10))
            yield World(local, where, account, told, halts, rules)


async def instrument(where):
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{where.rest}/v5/market/instruments-info?category=linear") as reply,
    ):
        found = decode_instruments(await reply.read(), where.venue)
    (rules,) = (one for one in found if one.id == BTC)
    return rules


def entry(world_, name, price, size=20, **more):
    fields = {
        "client_order_id": ClientOrderId(name),
        "instrument": BTC,
        "intent": IntentId(name),
        "purpose": Purpose.ENTRY,
        "side": Side.BUY,
        "size": Lots(size),
        "type": OrderType.LIMIT,
        "price": Ticks(price),
        "time_in_force": TimeInForce.GTC,
        "stop_loss": Ticks(int(price * 0.97)),
    }
    return SubmitOrder(order=NewOrder(**(fields | more)))


def closing(name, size):
    return SubmitOrder(
        order=NewOrder(
            client_order_id=ClientOrderId(name),
            instrument=BTC,
            intent=IntentId(name),
            purpose=Purpose.EXIT,
            side=Side.SELL,
            size=Lots(size),
            type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            reduce_only=True,
        )
    )


def run(test):
    asyncio.run(asyncio.wait_for(test(), GUARD_S))


def test_an_account_is_fit_and_trades_a_whole_life():
    async def test():
        async with world() as w:
            wanted = Wanted(symbols=("BTCUSDT",), leverage=Decimal(10))
            checks = await w.account.carry_out(preflight(wanted, lambda: datetime.now(UTC)))
            assert is_fit(checks), [check for check in checks if check.verdict is Verdict.FAIL]
            bid, ask, _ = await w.touch()
            # It rests far below, is amended, and is cancelled.
            w.venue.send(entry(w, "rest", int(bid * 0.995)))
            await w.heard("OrderAccepted", "rest")
            w.venue.send(
                AmendOrder(instrument=BTC, client_order_id="rest", price=Ticks(int(bid * 0.994)), size=Lots(30))
            )
            amended = await w.heard("OrderAmended", "rest")
            assert isinstance(amended, OrderAmended)
            assert (amended.price, amended.size) == (int(bid * 0.994), 30)
            w.venue.send(CancelOrder(instrument=BTC, client_order_id=ClientOrderId("rest")))
            await w.heard("OrderCancelled", "rest")
            # It takes, and its stop is there at once.
            stop = int(ask * 0.97)
            w.venue.send(entry(w, "take", ask + 200, stop_loss=Ticks(stop)))
            await w.until(lambda: filled(w, "take") == 20, "the fill of the entry")
            await w.heard("ProtectionChanged", stop_loss=stop)
            moved = int(ask * 0.98)
            w.venue.send(SetProtection(instrument=BTC, stop_loss=Ticks(moved), take_profit=Ticks(int(ask * 1.05))))
            await w.heard("ProtectionChanged", stop_loss=moved, take_profit=int(ask * 1.05))
            # Flat again, and the stop is gone.
            w.venue.send(closing("close", 20))
            await w.until(lambda: filled(w, "close") == 20, "the fill of the exit")
            await w.heard("ProtectionChanged", stop_loss=None)
            await w.until(lambda: w.venue.translator.holdings[BTC].lots == 0, "a flat position")
            ids = [event.execution_id for event in w.told if isinstance(event, OrderFilled)]
            assert len(ids) == len(set(ids))
            assert not w.halts

    run(test)


def filled(w, name):
    return sum(event.size for event in w.told if isinstance(event, OrderFilled) and event.client_order_id == name)


def test_an_order_whose_connection_dies_before_its_answer_is_found():
    async def test():
        async with world() as w:
            _, ask, _ = await w.touch()
            w.local.chaos.script("order/create", Trouble.LOST_ANSWER)
            w.venue.send(entry(w, "cut", ask + 200))
            await w.until(lambda: filled(w, "cut") == 20, "the fill of an order without an answer")
            await w.heard("ProtectionChanged")
            # The private socket may tell of both before it is noticed that the trade socket is gone.
            await w.until(lambda: "connection lost" in str(w.halts), "the loss of the trade socket")
            await w.until(lambda: w.venue.trade is not None, "another trade socket")
            w.venue.send(closing("close", 20))
            await w.until(lambda: filled(w, "close") == 20, "the exit over the new socket")
            assert sum(type(event).__name__ == "OrderFailed" for event in w.told) == 0

    run(test)


def test_a_lie_is_found_out_and_nothing_is_sent_twice():
    async def test():
        async with world() as w:
            bid, _, _ = await w.touch()
            w.local.chaos.script("order/create", Trouble.LIE)
            w.venue.send(entry(w, "lie", int(bid * 0.995)))
            await w.heard("OrderAccepted", "lie")
            w.local.chaos.script("order/create", Trouble.TOO_MANY)
            w.venue.send(entry(w, "again", int(bid * 0.995)))
            await w.heard("OrderAccepted", "again")
            rows = [one for one in w.told if type(one).__name__ == "OrderAccepted"]
            assert sorted(event.client_order_id for event in rows) == ["again", "lie"]

    run(test)


def test_what_happened_while_both_sockets_were_away_is_told():
    async def test():
        async with world() as w:
            bid, ask, _ = await w.touch()
            w.venue.send(entry(w, "before", int(bid * 0.995)))
            await w.heard("OrderAccepted", "before")
            assert w.account.trade is not None
            w.account.private.reconnect("pulled")
            w.account.trade.reconnect("pulled")
            # Without a trade socket these go over HTTP.
            w.venue.send(entry(w, "during", ask + 200))
            w.venue.send(CancelOrder(instrument=BTC, client_order_id=ClientOrderId("before")))
            await w.until(lambda: filled(w, "during") == 20, "a fill while the stream was away")
            await w.heard("OrderCancelled", "before")
            await w.heard("ProtectionChanged")
            await w.until(lambda: w.venue.is_streaming and w.venue.is_caught_up, "the stream again")
            assert w.account.private.opened == 2
            w.venue.send(closing("close", 20))
            await w.until(lambda: filled(w, "close") == 20, "the exit")

    run(test)


def test_a_refused_stop_is_told_and_the_entry_rejected_with_it():
    async def test():
        async with world() as w:
            _, ask, _ = await w.touch()
            w.venue.send(entry(w, "wrong", ask + 200, stop_loss=Ticks(ask * 2)))
            rejected = await w.heard("OrderRejected", "wrong")
            assert rejected.why
            w.venue.send(SetProtection(instrument=BTC, stop_loss=Ticks(ask), take_profit=None))
            await w.heard("ProtectionRejected")

    run(test)


def test_a_wrong_key_stops_trading():
    async def test():
        halts = []
        async with world() as w:
            account = BybitAccount(
                w.account._environment,
                Keys("stakan-key", "wrong"),
                {BTC: w.rules},
                told=Told(w.told.append, halts.append, lambda _: None),
                clock=time.time_ns,
                chance=np.random.default_rng(1),
                limits=SocketLimits(first_wait_ns=SECOND // 20),
            )
            async with account:
                with pytest.raises(TimeoutError):
                    await account.ready(SECOND // 2)
            assert any("refused" in why for why in halts)

    run(test)


def test_all_that_shares_an_address_is_silent_together():
    async def test():
        async with world() as w:
            shared = Shared()
            shared.limiter.ban(time.time_ns())
            common = {"clock": time.time_ns, "chance": np.random.default_rng(1), "shared": shared}
            told = Told(w.told.append, w.halts.append)
            for client in (MarketClient(w.where, **common), BybitAccount(w.where, KEYS, {}, told=told, **common)):
                with pytest.raises(VenueUnavailable, match="our own limit"):
                    async with client:
                        pytest.fail("it asked")

    run(test)


def test_what_a_feed_can_do_without_is_not_asked_while_market_data_fails():
    async def test():
        async with (
            world() as w,
            MarketClient(w.where, clock=time.time_ns, chance=np.random.default_rng(1)) as client,
        ):
            breaker, answers = client.breakers[Capability.MARKET], []
            asked = breaker.succeeded
            assert asked > 0
            for _ in range(breaker.threshold):
                breaker.failure(time.time_ns(), "down")
            book = {"category": "linear", "symbol": "BTCUSDT"}
            client._ask("/v5/market/orderbook", book, answers.append)
            await w.until(lambda: answers, "an answer")
            assert (answers, breaker.succeeded) == ([None], asked)
            breaker.reset(time.time_ns())
            client._ask("/v5/market/orderbook", book, answers.append)
            await w.until(lambda: len(answers) == 2, "an answer")
            assert answers[1] is not None

    run(test)
