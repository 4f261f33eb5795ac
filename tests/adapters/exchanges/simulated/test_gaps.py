"""What prints and marks reach while the recording has no book happens at the first book after it."""

from decimal import Decimal

import pytest
from tests.adapters.exchanges.simulated.builders import (
    BTC,
    MS,
    START,
    a_book,
    a_cancel,
    a_stop,
    an_exchange,
    an_order,
    fills,
    names,
)

from stakan.adapters.exchanges.simulated.orders import Maker
from stakan.adapters.exchanges.simulated.requests import SetTradingStop
from stakan.core.domain.events import OrderCancelled, OrderFilled, ProtectionChanged
from stakan.core.domain.orders import Trigger, TriggerDirection, TriggerSource
from stakan.core.domain.units import Side

LAST = TriggerSource.LAST


def at(ms):
    return START + ms * MS


def a_gap(*, mark=100, last=100):
    """Book until 20 ms, again from 40 ms; at 30 ms a price that is undone at 35 ms."""
    market = a_book().ticker(0, mark=Decimal(100)).buy(0, 100, 1).down(20)
    market.ticker(30, mark=Decimal(mark)).buy(30, last, 1)
    market.ticker(35, mark=Decimal(100)).buy(35, 100, 1)
    return a_book(market, 40)


def exits(exchange, until=50):
    events = exchange.live_to(at(until))
    return [(e.ts_event - START) // MS for e in events if type(e) is OrderFilled], [
        one.maker for one in exchange.executions.values()
    ]


@pytest.mark.parametrize(
    ("market", "source"), [(a_gap(mark=95), TriggerSource.MARK), (a_gap(last=95), TriggerSource.LAST)]
)
def test_a_stop_that_was_reached_and_undone_closes_at_the_first_book(market, source):
    exchange = an_exchange(market)
    exchange.apply(an_order("a", size=5, stop_loss=96, trigger_source=source), at(1))
    assert exits(exchange) == ([40], [Maker.STOP_LOSS])


def test_a_stop_that_was_not_reached_stands():
    exchange = an_exchange(a_gap(mark=97, last=97))
    exchange.apply(an_order("a", size=5, stop_loss=96), at(1))
    assert exits(exchange) == ([], [])
    assert exchange.position(BTC).legs.stop_loss == 96


def test_a_conditional_order_that_was_reached_enters_at_the_first_book():
    exchange = an_exchange(a_gap(last=105))
    exchange.apply(an_order("a", size=5, trigger=Trigger(104, TriggerDirection.RISES, LAST)), at(1))
    assert names(exchange.live_to(at(39))) == []
    assert fills(exchange.live_to(at(40))) == [(101, 5)]


def test_a_conditional_order_that_was_cancelled_meanwhile_does_not():
    exchange = an_exchange(a_gap(last=105))
    exchange.apply(an_order("a", size=5, trigger=Trigger(104, TriggerDirection.RISES, LAST)), at(1))
    exchange.apply(a_cancel("a"), at(36))
    assert exchange.live_to(at(50)) == []


def test_a_liquidation_that_was_reached_happens():
    exchange = an_exchange(a_gap(mark=80))
    exchange.apply(an_order("a", size=5), at(1))
    assert exits(exchange) == ([40], [Maker.LIQUIDATION])


def test_a_stop_that_was_reached_before_the_liquidation_closes():
    market = a_book().ticker(0, mark=Decimal(100)).down(20).ticker(30, mark=Decimal(95)).ticker(31, mark=Decimal(80))
    exchange = an_exchange(a_book(market.ticker(35, mark=Decimal(100)), 40))
    exchange.apply(an_order("a", size=5, stop_loss=96), at(1))
    assert exits(exchange) == ([40], [Maker.STOP_LOSS])


def test_a_trailing_stop_follows_and_is_reached_without_a_book():
    market = a_book().buy(0, 100, 1).down(20).buy(30, 110, 1).buy(32, 106, 1).buy(35, 120, 1)
    exchange = an_exchange(a_book(market, 40))
    exchange.apply(an_order("a", size=5), at(1))
    exchange.apply(SetTradingStop(instrument=BTC, trailing=3), at(2))
    assert exits(exchange) == ([40], [Maker.TRAILING_STOP])


def test_what_was_reached_does_not_close_the_position_that_came_after():
    """The stop of a long is reached; prints then fill a sell that turns it over, and the short has its own stop."""
    market = a_book().ticker(0, mark=Decimal(100)).down(20).ticker(30, mark=Decimal(95)).ticker(33, mark=Decimal(100))
    exchange = an_exchange(a_book(market.buy(35, 104, 9), 40))
    exchange.apply(an_order("a", size=5, stop_loss=96), at(1))
    exchange.apply(an_order("b", Side.SELL, 9, price=103, stop_loss=107), at(2))
    events = exchange.live_to(at(50))
    assert [type(e) for e in events] == [OrderFilled, ProtectionChanged, ProtectionChanged]
    assert exchange.position(BTC).lots == -4
    assert exchange.position(BTC).legs.stop_loss == 107


def test_a_stop_that_was_reached_is_not_saved_by_moving_it_meanwhile():
    exchange = an_exchange(a_gap(mark=95))
    exchange.apply(an_order("a", size=5, stop_loss=96), at(1))
    exchange.apply(a_stop(90), at(36))
    assert exits(exchange) == ([40], [Maker.STOP_LOSS])
    assert not [e for e in exchange.live_to(at(60)) if type(e) is OrderCancelled]
