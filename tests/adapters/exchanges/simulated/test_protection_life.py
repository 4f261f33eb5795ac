"""Stops over the life of a position: through zero, through amendments, through what the book does not show."""

from decimal import Decimal

from tests.adapters.exchanges.simulated.builders import (
    BTC,
    SPOT,
    START,
    Market,
    a_book,
    a_stop,
    an_amendment,
    an_exchange,
    an_order,
    play,
    rules,
)

from stakan.core.domain.events import CancelRejected, FillOrigin, OrderCancelled, OrderFilled, OrderRejected
from stakan.core.domain.instrument import Category, MarginTier
from stakan.core.domain.orders import Purpose, Trigger, TriggerDirection
from stakan.core.domain.units import Side
from stakan.core.portfolio.portfolio import Portfolio


def origins(events):
    return [event.origin for event in events if isinstance(event, OrderFilled)]


def test_a_stop_does_not_survive_a_turn_over_that_passes_through_zero():
    exchange = an_exchange(a_book())
    events = play(
        exchange, (1, an_order("a", Side.BUY, 10, stop_loss=90)), (20, an_order("b", Side.SELL, 15)), until=100
    )
    assert exchange.account.position(BTC).lots == -5
    assert exchange.account.position(BTC).stop_loss is None
    assert set(origins(events)) == {FillOrigin.ORDER}


def test_the_rest_of_an_entry_that_opens_anew_has_its_stop_again():
    market = a_book()
    market.ticker(1, mark=Decimal(100))
    market.sell(50, 100, 14)
    market.ticker(60, mark=Decimal(95))
    market.ticker(65, mark=Decimal(100))
    market.sell(100, 100, 40)
    exchange = an_exchange(market)
    play(exchange, (2, an_order("a", Side.BUY, 10, 100, stop_loss=96)), until=200)
    assert exchange.account.position(BTC).lots > 0
    assert exchange.account.position(BTC).stop_loss == 96


def test_an_amendment_does_not_bring_the_first_stop_back():
    market = a_book()
    market.ticker(1, mark=Decimal(100))
    market.sell(50, 100, 14)
    market.sell(100, 99, 40)
    exchange = an_exchange(market)
    entry = an_order("a", Side.BUY, 10, 100, stop_loss=90)
    play(exchange, (2, entry), (60, a_stop(97)), (70, an_amendment("a", 100, 8)), until=200)
    assert exchange.account.position(BTC).stop_loss == 97


def test_a_conditional_limit_meets_the_band_when_it_triggers():
    market = a_book()
    market.ticker(1, mark=Decimal(100))
    market.snapshot(50, bids=[(119, 50)], asks=[(120, 50)])
    market.ticker(51, mark=Decimal(120))
    exchange = an_exchange(market, rules(price_limit_x=Decimal("0.02"), price_limit_y=Decimal("0.04")))
    order = an_order("c", Side.BUY, 5, 121, trigger=Trigger(115, TriggerDirection.RISES))
    fills = [event for event in play(exchange, (2, order), until=200) if isinstance(event, OrderFilled)]
    assert [(fill.price, fill.size) for fill in fills] == [(120, 5)]


def test_spot_never_goes_short():
    market = a_book(Market(SPOT))
    market.ticker(20, mark=Decimal(95))
    market.ticker(30, mark=Decimal(100))
    market.buy(50, 106, 20)
    exchange = an_exchange(market, rules(id=SPOT, category=Category.SPOT))
    buy = an_order("a", Side.BUY, 5, stop_loss=96, instrument=SPOT)
    sell = an_order("s", Side.SELL, 5, 105, instrument=SPOT)
    events = play(exchange, (1, buy), (10, sell), until=200)
    assert exchange.account.position(SPOT).lots == 0
    assert [e.client_order_id for e in events if isinstance(e, OrderCancelled)] == ["s"]


def test_without_a_mark_a_lost_book_leaves_its_last_mid():
    market = a_book()
    market.snapshot(50, bids=[(199, 10)], asks=[(201, 10)])
    market.gap(60)
    exchange = an_exchange(market)
    play(exchange, (1, an_order("a", Side.BUY, 1)), until=200)
    assert exchange._listings[BTC].reference.mark == 200


def test_the_tier_of_a_position_limits_its_leverage():
    tiers = (
        MarginTier(Decimal(1), Decimal("0.005"), Decimal(0), Decimal(100)),
        MarginTier(Decimal(10**9), Decimal("0.02"), Decimal(0), Decimal(25)),
    )
    exchange = an_exchange(a_book(), rules(margin_tiers=tiers), leverage=Decimal(100))
    (answer,) = play(exchange, (1, an_order("a", Side.BUY, 40)), until=100)
    assert isinstance(answer, OrderRejected)
    assert "leverage" in answer.why


def test_a_refused_amendment_says_what_it_was():
    (answer,) = play(an_exchange(a_book()), (1, an_amendment("nobody", 100, 1)), until=100)
    assert isinstance(answer, CancelRejected)
    assert answer.is_amendment


def test_two_trims_of_one_moment_leave_no_phantom_order():
    market = a_book()
    market.buy(60, 110, 6)
    market.buy(70, 121, 50)
    exchange = an_exchange(market)
    portfolio = Portfolio.opened([rules()], Decimal(1_000_000))
    exits = {"reduce_only": True, "purpose": Purpose.EXIT}
    sent = [
        (1, an_order("a", Side.BUY, 10)),
        (20, an_order("x", Side.SELL, 6, 110, **exits)),
        (40, an_order("y", Side.SELL, 20, 120, **exits)),
    ]
    for at, command in sent:
        portfolio.submit(command.order, START + at)
    for event in play(exchange, *sent, until=200):
        portfolio.apply(event)
    assert exchange.account.position(BTC).lots == 0
    assert not portfolio.busy_instruments()
