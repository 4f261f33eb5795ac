"""Builders with defaults for instruments, orders and what the exchange says of them."""

from decimal import Decimal

import pytest

from stakan.core.domain.events import (
    CancelRejected,
    FillOrigin,
    FundingCharged,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
)
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.orders import NewOrder, OrderType, Purpose
from stakan.core.domain.units import Side
from stakan.core.portfolio.portfolio import Portfolio

BTC, ETH = "bybit:linear:BTCUSDT", "bybit:linear:ETHUSDT"


class Builders:
    BTC, ETH = BTC, ETH

    def rules(self, name=BTC, tick="0.1", lot="0.001", category=Category.LINEAR):
        return Instrument(
            id=name,
            category=category,
            base="BTC",
            quote="USDT",
            settle="USDT",
            tick_size=Decimal(tick),
            lot_size=Decimal(lot),
        )

    def portfolio(self, *rules, balance="10000"):
        listed = rules or (self.rules(), self.rules(ETH, "0.01", "0.01"))
        return Portfolio.opened(listed, Decimal(balance))

    def order(
        self, order_id="a", side=Side.BUY, size=10, purpose=Purpose.ENTRY, name=BTC, intent="i", price=1000, **rest
    ):
        return NewOrder(
            client_order_id=order_id,
            instrument=name,
            intent=intent,
            purpose=purpose,
            side=side,
            size=size,
            type=OrderType.LIMIT,
            price=price,
            reduce_only=purpose is Purpose.EXIT,
            **rest,
        )

    def fill(  # noqa: PLR0917 - a table of fills reads best in columns
        self,
        execution,
        size=1,
        price=1000,
        side=Side.BUY,
        order_id="a",
        name=BTC,
        fee="0",
        origin=FillOrigin.ORDER,
        t=5,
    ):
        return OrderFilled(
            ts_event=t,
            ts_recv=t,
            instrument=name,
            client_order_id=order_id,
            execution_id=execution,
            side=side,
            price=price,
            size=size,
            fee=Decimal(fee),
            is_maker=False,
            origin=origin,
        )

    def funding(self, execution, amount, name=BTC, t=5):
        return FundingCharged(
            ts_event=t,
            ts_recv=t,
            instrument=name,
            execution_id=execution,
            position=0,
            rate=Decimal(0),
            mark=Decimal(100),
            amount=Decimal(amount),
        )

    def accepted(self, order_id="a", t=2):
        return OrderAccepted(ts_event=t, ts_recv=t, instrument=BTC, client_order_id=order_id)

    def cancelled(self, order_id="a", t=9, name=BTC):
        return OrderCancelled(ts_event=t, ts_recv=t, instrument=name, client_order_id=order_id, why="by us")

    def rejected(self, order_id="a", t=9):
        return OrderRejected(ts_event=t, ts_recv=t, instrument=BTC, client_order_id=order_id, why="no")

    def amended(self, size, order_id="a", t=4, price=1000):
        return OrderAmended(ts_event=t, ts_recv=t, instrument=BTC, client_order_id=order_id, price=price, size=size)

    def cancel_rejected(self, order_id="a", t=4, is_amendment=False):
        return CancelRejected(
            ts_event=t, ts_recv=t, instrument=BTC, client_order_id=order_id, why="late", is_amendment=is_amendment
        )


@pytest.fixture(scope="session")
def make():
    return Builders()
