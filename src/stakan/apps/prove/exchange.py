"""A local exchange of this process for demonstrations, and our account at it, over loopback."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
import numpy as np

from stakan.adapters.exchanges.bybit.client import BybitAccount, Told, ask_once
from stakan.adapters.exchanges.bybit.endpoints import Environment, environment
from stakan.adapters.exchanges.bybit.listing import day_tickers, listed
from stakan.adapters.exchanges.bybit.rest import Keys
from stakan.adapters.synthetic.config import SyntheticConfig
from stakan.apps.exchange.accounts import AccountConfig
from stakan.apps.exchange.control import About, Control
from stakan.apps.exchange.feeds import generated
from stakan.apps.exchange.listing import synthetic_symbols
from stakan.apps.exchange.local import LocalConfig, LocalExchange
from stakan.apps.exchange.serving import serving
from stakan.apps.exchange.warm_up import warm_up
from stakan.core.domain.errors import StakanError
from stakan.core.domain.events import VenueNews
from stakan.core.domain.ids import ClientOrderId, IntentId
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.orders import NewOrder, OrderType, Purpose
from stakan.core.domain.units import SECOND, Lots, Nanos, Side, Ticks

_WITHIN_S = 20.0
_POLL_S = 0.005
_BELOW = 0.97
"""Of the best bid: a price at which nothing fills while somebody looks."""
_STOP = 0.95
_SIZE = Decimal("0.01")
_LEVERAGE = Decimal(10)


class NeverHappened(StakanError):
    """What a demonstration waited for did not come."""


class Desk:
    """Our account with what it was told, beside the exchange that it trades at."""

    def __init__(self, local: LocalExchange, where: Environment, rules: Instrument, price: Ticks) -> None:
        self.local = local
        self.where = where
        self.rules = rules
        self.price = price
        """Far below the market."""
        self.told: list[VenueNews] = []
        self.halts: list[str] = []
        key = AccountConfig().keys[0]
        told = Told(deliver=self.told.append, halt=self.halts.append, note=lambda _text: None)
        self.account = BybitAccount(
            where,
            Keys(key.key, key.secret),
            {rules.id: rules},
            told=told,
            clock=time.time_ns,
            chance=np.random.default_rng(7),
        )

    def entry(self, client: str, *, reduce_only: bool = False) -> NewOrder:
        """An order that rests far below the market, with its stop unless it only reduces."""
        return NewOrder(
            client_order_id=ClientOrderId(client),
            instrument=self.rules.id,
            intent=IntentId("demonstration"),
            purpose=Purpose.EXIT if reduce_only else Purpose.ENTRY,
            side=Side.BUY,
            size=Lots(max(int(_SIZE / self.rules.lot_size), 1)),
            type=OrderType.LIMIT,
            price=self.price,
            reduce_only=reduce_only,
            stop_loss=None if reduce_only else Ticks(int(self.price * _STOP)),
        )

    def heard(self, kind: type, client: str) -> bool:
        """Whether something of this kind was told of an order."""
        return any(isinstance(one, kind) and getattr(one, "client_order_id", "") == client for one in self.told)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait; raises NeverHappened."""
        try:
            async with asyncio.timeout(_WITHIN_S):
                while not condition():
                    self.account.failed()
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise NeverHappened(f"{what}, within {_WITHIN_S:g} s") from None


@asynccontextmanager
async def an_exchange() -> AsyncIterator[tuple[LocalExchange, Environment]]:
    """A generated market of one symbol on a free port of loopback."""
    warm_up()
    loop = asyncio.get_running_loop()
    market = SyntheticConfig(symbols=synthetic_symbols(1))
    local = LocalExchange(
        LocalConfig(reply_delay_ns=Nanos(0)),
        lambda start: generated(market, start),
        time.time_ns,
        lambda ns, do: loop.call_later(ns / SECOND, do),
    )
    about = About(market="generated", is_synthetic=True, seed=market.seed, symbols=(), started_ms=0)
    async with serving(local, Control(local, about), "127.0.0.1", 0) as (_, port):
        yield local, environment("local", local_url=f"http://127.0.0.1:{port}")


@asynccontextmanager
async def a_desk(*, trade_socket: bool = True) -> AsyncIterator[Desk]:
    """An exchange with our account connected and one instrument prepared; without a trade socket orders go by REST."""
    async with an_exchange() as (local, whole):
        where = whole if trade_socket else msgspec.structs.replace(whole, trade=None)
        found = await ask_once(where, None, lambda _line, _clock: listed(Category.LINEAR, where.venue), time.time_ns)
        (rules,) = found.values()
        (day,) = await ask_once(
            where, None, lambda _line, _clock: day_tickers(found, Category.LINEAR, where.venue), time.time_ns
        )
        desk = Desk(local, where, rules, Ticks(int(day.bid / rules.tick_size * Decimal(_BELOW))))
        async with desk.account as account:
            await account.ready()
            await account.prepare(rules, _LEVERAGE)
            yield desk
