"""What an owner without a way in between asks and reads: requests, refusals, causes, executions, views."""

from decimal import Decimal

import pytest
from tests.adapters.exchanges.simulated.builders import (
    BTC,
    MS,
    SPOT,
    START,
    Market,
    a_book,
    a_cancel,
    a_stop,
    an_amendment,
    an_exchange,
    an_order,
    fills,
    names,
    rules,
)

from stakan.adapters.exchanges.simulated.orders import Maker, Stage
from stakan.adapters.exchanges.simulated.refusals import CancelCause, ProtectionCause
from stakan.adapters.exchanges.simulated.requests import (
    ChangeMargin,
    ChangeOrder,
    Legs,
    PlaceOrder,
    SetLeverage,
    SetTradingStop,
)
from stakan.core.domain.events import FillOrigin, OrderCancelled, OrderFilled, ProtectionChanged
from stakan.core.domain.instrument import Category, MarginTier
from stakan.core.domain.orders import TimeInForce, Trigger, TriggerDirection, TriggerSource
from stakan.core.domain.units import Side


def at(ms):
    return START + ms * MS


def apply(exchange, ms, request):
    return exchange.apply(request, at(ms))


def a_leverage(leverage, instrument=BTC):
    return SetLeverage(instrument=instrument, leverage=Decimal(leverage))


def more_margin(amount):
    return ChangeMargin(instrument=BTC, amount=Decimal(amount))


def a_trailing(distance, activation=None):
    return SetTradingStop(instrument=BTC, trailing=distance, activation=activation)


def a_change(name, **fields):
    return ChangeOrder(instrument=BTC, client_order_id=name, **fields)


def causes(events):
    return [CancelCause(event.why) for event in events if type(event) is OrderCancelled]


# --- requests -------------------------------------------------------------------------------------------------------


def test_a_request_is_carried_out_at_its_time_after_the_market_of_that_instant():
    exchange = an_exchange(a_book().delta(10, asks=[(101, 0)]))
    events = apply(exchange, 10, an_order("a", size=5))
    assert fills(events) == [(102, 5)]
    assert {event.ts_event for event in events} == {at(10)}


def test_what_happened_on_the_way_comes_first():
    exchange = an_exchange(a_book().sell(5, 99, 3))
    apply(exchange, 1, an_order("a", size=3, price=100))
    events = apply(exchange, 10, an_order("b", size=1))
    assert [(event.client_order_id, event.ts_event) for event in events] == [
        ("a", at(5)),
        ("b", at(10)),
        ("b", at(10)),
    ]


def test_live_to_tells_all_that_happened():
    exchange = an_exchange(a_book().sell(5, 99, 3).sell(6, 99, 3))
    apply(exchange, 1, an_order("a", size=6, price=100))
    assert fills(exchange.live_to(at(10))) == [(100, 3), (100, 3)]


def test_a_refusal_has_a_code_and_the_next_request_forgets_it():
    exchange = an_exchange(a_book())
    (event,) = apply(exchange, 1, a_cancel("nobody"))
    assert exchange.refused.code == 110001
    assert event.why == str(exchange.refused) == f"110001 {exchange.refused.text}"
    apply(exchange, 2, an_order("a", size=1, price=99))
    assert exchange.refused is None


def test_leverage_and_margin_are_refused_without_an_event():
    exchange = an_exchange(a_book())
    assert apply(exchange, 1, a_leverage(10)) == []
    assert exchange.refused.code == 110043


@pytest.mark.parametrize(
    ("order", "cause"),
    [
        (an_order("a", size=1, price=101, time_in_force=TimeInForce.POST_ONLY), CancelCause.POST_ONLY),
        (an_order("a", size=11, price=101, time_in_force=TimeInForce.FOK), CancelCause.FILL_OR_KILL),
        (an_order("a", size=1, price=100, time_in_force=TimeInForce.IOC), CancelCause.NOTHING_TO_TAKE),
        (an_order("a", size=11, price=101, time_in_force=TimeInForce.IOC), CancelCause.REST_NOT_TAKEN),
    ],
)
def test_time_in_force_cancels_with_a_cause(order, cause):
    assert causes(apply(an_exchange(a_book()), 1, order)) == [cause]


def test_an_owner_cancels_with_a_cause():
    exchange = an_exchange(a_book())
    apply(exchange, 1, an_order("a", size=1, price=99))
    assert causes(apply(exchange, 2, a_cancel("a"))) == [CancelCause.OWNER]


def test_orders_that_may_not_enter_when_triggered_are_cancelled_with_a_cause():
    rises = Trigger(105, TriggerDirection.RISES, TriggerSource.LAST)
    exchange = an_exchange(a_book().buy(1, 101, 1).buy(10, 105, 1), starting_balance=Decimal(5))
    apply(exchange, 2, an_order("dear", size=10_000, price=100, trigger=rises))
    apply(exchange, 3, an_order("empty", size=1, price=100, trigger=rises, reduce_only=True))
    assert causes(exchange.live_to(at(20))) == [CancelCause.NO_MONEY, CancelCause.REDUCE_ONLY]


def test_liquidation_cancels_with_a_cause_and_says_who_traded():
    exchange = an_exchange(a_book().ticker(0, mark=Decimal(100)).ticker(10, mark=Decimal(80)))
    apply(exchange, 1, an_order("a", size=5))
    apply(exchange, 2, an_order("b", size=1, price=98))
    events = exchange.live_to(at(20))
    assert causes(events) == [CancelCause.LIQUIDATION]
    (execution,) = exchange.executions.values()
    assert (execution.maker, execution.closed, execution.left) == (Maker.LIQUIDATION, 5, 0)


# --- executions -----------------------------------------------------------------------------------------------------


def test_an_execution_says_what_it_closed_and_at_which_fee():
    exchange = an_exchange(a_book())
    apply(exchange, 1, an_order("a", size=10))
    events = apply(exchange, 2, an_order("b", Side.SELL, 15, price=99))
    first, second = [exchange.executions[e.execution_id] for e in events if type(e) is OrderFilled]
    assert (first.closed, first.realised, first.left) == (10, Decimal("-0.01"), 5)
    assert first.entry_value == Decimal("1.01")
    assert first.open_fee == Decimal("1.01") * Decimal("0.00055")
    assert (first.fee_rate, first.order_price, first.order_size) == (Decimal("0.00055"), 99, 15)
    assert (second.closed, second.realised, second.left) == (0, 0, 0)
    assert (first.maker, second.value) == (Maker.OWNER, Decimal("0.495"))


def test_details_of_executions_are_kept_until_the_next_request():
    exchange = an_exchange(a_book())
    apply(exchange, 1, an_order("a", size=10))
    assert len(exchange.executions) == 1
    apply(exchange, 2, a_cancel("a"))
    assert not exchange.executions
    exchange.submit(an_order("b", size=1), at(3))
    assert exchange.advance(at(30))
    assert len(exchange.executions) == 1
    assert not exchange.advance(at(40))
    assert not exchange.executions


# --- views ----------------------------------------------------------------------------------------------------------


def test_live_orders_can_be_read_with_their_stage():
    exchange = an_exchange(a_book())
    falls = Trigger(95, TriggerDirection.FALLS, TriggerSource.LAST)
    apply(exchange, 1, an_order("a", size=2, price=99))
    apply(exchange, 2, an_order("b", Side.SELL, 1, trigger=falls))
    first, second = exchange.orders(BTC)
    assert (first.stage, second.stage) == (Stage.RESTING, Stage.UNTRIGGERED)
    assert exchange.order(BTC, "a") is first
    apply(exchange, 3, a_cancel("a"))
    assert exchange.order(BTC, "a") is None
    assert exchange.is_busy(BTC)


def test_position_and_wallet_agree_with_each_other():
    exchange = an_exchange(a_book().ticker(0, mark=Decimal(100)))
    apply(exchange, 1, an_order("a", size=10))
    apply(exchange, 2, an_order("b", size=5, price=99))
    held, wallet = exchange.position(BTC), exchange.wallet()
    assert (held.lots, held.entry, held.leverage, held.cost) == (10, 101, 10, Decimal("1.01"))
    assert held.unrealised == wallet.unrealised == Decimal("-0.01")
    assert (
        held.margin
        == wallet.position_margin
        == Decimal("0.101") + Decimal("1.01") * Decimal("0.9") * Decimal("0.00055")
    )
    assert held.order_margin == wallet.order_margin > 0
    assert wallet.available == wallet.balance - held.margin - held.order_margin
    assert held.liquidation_price.quantize(Decimal("0.001")) == Decimal("91.357")
    assert held.maintenance == Decimal("0.005") + held.cost * Decimal("0.9") * Decimal("0.00055")
    assert held.bankruptcy_price == Decimal("90.9")
    assert held.realised == held.realised_ever == -wallet.fees


def test_what_was_realised_starts_anew_when_the_position_turns():
    exchange = an_exchange(a_book())
    apply(exchange, 1, an_order("a", size=10))
    apply(exchange, 2, an_order("b", Side.SELL, 15, price=99))
    held, wallet = exchange.position(BTC), exchange.wallet()
    assert held.realised == -held.open_fees == -Decimal("0.495") * Decimal("0.00055")
    assert held.realised_ever == wallet.realised - wallet.fees


# --- leverage and margin --------------------------------------------------------------------------------------------


def test_leverage_margins_position_and_orders_anew():
    exchange = an_exchange(a_book())
    apply(exchange, 1, an_order("a", size=10))
    apply(exchange, 2, an_order("b", size=10, price=99))
    before = exchange.position(BTC)
    assert apply(exchange, 3, a_leverage(20)) == []
    after = exchange.position(BTC)
    assert exchange.refused is None
    assert after.leverage == 20
    assert after.margin < before.margin
    assert after.order_margin < before.order_margin
    assert after.liquidation_price > before.liquidation_price


TIERS = (
    MarginTier(Decimal(2), Decimal("0.005"), Decimal(0), Decimal(50)),
    MarginTier(Decimal(10**9), Decimal("0.01"), Decimal("0.01"), Decimal(15)),
)


@pytest.mark.parametrize(
    ("leverage", "code"), [("0.5", 10001), ("10", 110043), ("51", 110013), ("20", 110013), ("1", 110012)]
)
def test_leverage_is_refused_and_nothing_changes(leverage, code):
    instrument = rules(margin_tiers=TIERS, max_leverage=Decimal(50))
    exchange = an_exchange(a_book(), instrument, starting_balance=Decimal(2))
    apply(exchange, 1, an_order("a", size=10))
    apply(exchange, 2, an_order("b", size=15, price=99))
    before, wallet = exchange.position(BTC), exchange.wallet()
    apply(exchange, 3, a_leverage(leverage))
    assert exchange.refused.code == code
    assert exchange.position(BTC) == before
    assert exchange.wallet() == wallet


def test_leverage_that_would_liquidate_at_once_is_refused():
    exchange = an_exchange(a_book().ticker(0, mark=Decimal(100)).ticker(5, mark=Decimal(95)))
    apply(exchange, 1, an_order("a", size=10))
    apply(exchange, 10, a_leverage(50))
    assert exchange.refused.code == 110011
    assert exchange.position(BTC).leverage == 10


def test_spot_has_no_leverage():
    spot = rules(id=SPOT, category=Category.SPOT)
    exchange = an_exchange(a_book(Market(SPOT)), spot)
    apply(exchange, 1, a_leverage(5, SPOT))
    assert exchange.refused.code == 10001


@pytest.mark.parametrize("side", Side)
def test_extra_margin_moves_liquidation_away_and_taking_over_costs_all_of_it(side):
    exchange = an_exchange(a_book().ticker(0, mark=Decimal(100)).ticker(10, mark=Decimal(100 - side * 25)))
    apply(exchange, 1, an_order("a", side, 10))
    before = exchange.position(BTC)
    apply(exchange, 2, more_margin("0.1"))
    held, wallet = exchange.position(BTC), exchange.wallet()
    assert held.extra_margin == Decimal("0.1")
    assert held.margin == before.margin + Decimal("0.1")
    assert wallet.available == wallet.balance - held.margin
    assert side * held.liquidation_price < side * before.liquidation_price
    assert FillOrigin.LIQUIDATION in [e.origin for e in exchange.live_to(at(20)) if type(e) is OrderFilled]
    lost = wallet.balance - exchange.wallet().balance
    assert held.margin - Decimal("0.0101") < lost <= held.margin  # within the tick to which the price is rounded
    assert exchange.position(BTC).extra_margin == exchange.position(BTC).margin == 0


def test_a_reduction_releases_its_share_of_extra_margin():
    exchange = an_exchange(a_book())
    apply(exchange, 1, an_order("a", size=10))
    apply(exchange, 2, more_margin("0.5"))
    apply(exchange, 3, an_order("b", Side.SELL, 4))
    assert exchange.position(BTC).extra_margin == Decimal("0.3")


@pytest.mark.parametrize(("amount", "code"), [("0", 110027), ("-0.2", 10001), ("3", 110014)])
def test_margin_is_refused_and_nothing_changes(amount, code):
    exchange = an_exchange(a_book(), starting_balance=Decimal(2))
    apply(exchange, 1, an_order("a", size=10))
    apply(exchange, 2, more_margin("0.1"))
    before = exchange.position(BTC)
    apply(exchange, 3, more_margin(amount))
    assert exchange.refused.code == code
    assert exchange.position(BTC) == before


def test_margin_that_keeps_a_position_alive_cannot_be_taken_back():
    exchange = an_exchange(a_book().ticker(0, mark=Decimal(100)).ticker(5, mark=Decimal(89)))
    apply(exchange, 1, an_order("a", size=10))
    apply(exchange, 2, more_margin("0.1"))
    apply(exchange, 10, more_margin("-0.1"))
    assert exchange.refused.code == 110011
    assert exchange.position(BTC).lots == 10


def test_without_a_position_there_is_no_margin_to_change():
    exchange = an_exchange(a_book())
    apply(exchange, 1, more_margin("0.1"))
    assert exchange.refused.code == 110034


# --- stops ----------------------------------------------------------------------------------------------------------


def test_each_leg_watches_its_own_price():
    market = a_book().ticker(0, mark=Decimal(100)).buy(0, 100, 1).buy(5, 107, 1).ticker(6, mark=Decimal(106))
    exchange = an_exchange(market)
    order = an_order("a", size=5).order
    legs = Legs(90, 106, TriggerSource.LAST, TriggerSource.MARK)
    apply(exchange, 1, PlaceOrder(instrument=BTC, order=order, legs=legs))
    assert exchange.position(BTC).legs == legs
    assert exchange.live_to(at(5)) == []
    events = exchange.live_to(at(6))
    assert [e.origin for e in events if type(e) is OrderFilled] == [FillOrigin.TAKE_PROFIT]
    assert [ProtectionCause(e.why) for e in events if type(e) is ProtectionChanged] == [ProtectionCause.TAKE_PROFIT]


def test_a_trading_stop_changes_only_what_it_names():
    exchange = an_exchange(a_book().buy(0, 100, 1))
    apply(exchange, 1, an_order("a", size=5, stop_loss=90, take_profit=110))
    apply(exchange, 2, SetTradingStop(instrument=BTC, stop_loss=91, stop_source=TriggerSource.LAST))
    assert exchange.position(BTC).legs == Legs(91, 110, TriggerSource.LAST, TriggerSource.MARK)
    apply(exchange, 3, a_trailing(5))
    apply(exchange, 4, a_stop(None, 111))
    held = exchange.position(BTC)
    assert held.legs == Legs(None, 111, TriggerSource.LAST, TriggerSource.MARK)
    assert held.trailing.stop == 95


@pytest.mark.parametrize("side", Side)
def test_a_trailing_stop_follows_the_best_print_and_closes_at_the_turn(side):
    market = a_book()
    for ms, moved in enumerate([0, 3, 1, 6, 3, 2], start=10):
        market.buy(ms * 10, 100 + side * moved, 1)
    exchange = an_exchange(market)
    apply(exchange, 1, an_order("a", side, 5))
    apply(exchange, 105, a_trailing(4))
    stops = []
    for ms in (105, 110, 120, 130, 140):
        assert not fills(exchange.live_to(at(ms)))
        stops.append(exchange.position(BTC).trailing.stop)
    assert stops == [100 + side * moved for moved in (-4, -1, -1, 2, 2)]
    events = exchange.live_to(at(150))
    assert names(events) == ["OrderFilled", "ProtectionChanged"]
    assert events[-1].why == ProtectionCause.TRAILING_STOP
    assert [x.maker for x in exchange.executions.values()] == [Maker.TRAILING_STOP]
    assert exchange.position(BTC).trailing is None


def test_a_trailing_stop_waits_for_its_activation():
    exchange = an_exchange(a_book().buy(0, 100, 1).buy(10, 103, 1).buy(20, 105, 1).buy(30, 104, 1))
    apply(exchange, 1, an_order("a", size=5))
    apply(exchange, 2, a_trailing(1, activation=105))
    exchange.live_to(at(15))
    assert exchange.position(BTC).trailing.stop is None
    exchange.live_to(at(25))
    assert exchange.position(BTC).trailing.stop == 104
    assert fills(exchange.live_to(at(30))) == [(100, 5)]


@pytest.mark.parametrize("request_", [a_trailing(0), a_trailing(100), a_trailing(5, activation=99), a_stop(102)])
def test_a_stop_that_makes_no_sense_is_refused(request_):
    exchange = an_exchange(a_book().buy(0, 100, 1))
    apply(exchange, 1, an_order("a", size=5))
    assert names(apply(exchange, 2, request_)) == ["ProtectionRejected"]
    assert exchange.refused.code == 10001


def test_a_trailing_stop_goes_with_its_position():
    exchange = an_exchange(a_book().buy(0, 100, 1))
    apply(exchange, 1, an_order("a", size=5))
    apply(exchange, 2, a_trailing(5))
    events = apply(exchange, 3, an_order("b", Side.SELL, 5))
    assert ProtectionCause(events[-1].why) is ProtectionCause.TURNED
    assert exchange.position(BTC).trailing is None


# --- amendments -----------------------------------------------------------------------------------------------------


def test_trigger_and_stops_of_a_waiting_order_can_be_amended():
    exchange = an_exchange(a_book().buy(0, 101, 1).buy(10, 105, 1).buy(20, 107, 1))
    rises = Trigger(105, TriggerDirection.RISES, TriggerSource.MARK)
    apply(exchange, 1, an_order("a", size=5, trigger=rises, stop_loss=90))
    events = apply(exchange, 2, a_change("a", trigger_price=107, trigger_source=TriggerSource.LAST, stop_loss=91))
    assert names(events) == ["OrderAmended"]
    assert exchange.live_to(at(15)) == []
    assert fills(exchange.live_to(at(25))) == [(101, 5)]
    assert exchange.position(BTC).legs.stop_loss == 91


def test_the_size_of_a_waiting_market_order_can_be_amended():
    exchange = an_exchange(a_book().buy(0, 101, 1).buy(10, 105, 1))
    rises = Trigger(105, TriggerDirection.RISES, TriggerSource.LAST)
    apply(exchange, 1, an_order("a", size=5, trigger=rises))
    apply(exchange, 2, a_change("a", size=3))
    assert fills(exchange.live_to(at(25))) == [(101, 3)]


def test_amending_only_stops_keeps_the_place_in_the_queue():
    exchange = an_exchange(a_book().sell(5, 100, 4).sell(10, 100, 7))
    apply(exchange, 1, an_order("a", size=1, price=100))
    apply(exchange, 6, a_change("a", stop_loss=90, stop_source=TriggerSource.LAST))
    assert fills(exchange.live_to(at(20))) == [(100, 1)]
    assert exchange.position(BTC).legs == Legs(90, None, TriggerSource.LAST, TriggerSource.MARK)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"size": 2}, 110064),
        ({"size": 1}, 110064),
        ({"stop_loss": 90}, 110059),
        ({"trigger_price": 105}, 10001),
        ({"size": 50}, 10001),
    ],
)
def test_an_amendment_that_is_refused_changes_nothing(change, code):
    exchange = an_exchange(a_book().sell(5, 99, 2), rules(max_limit_size=40))
    apply(exchange, 1, an_order("a", size=5, price=100))
    (event,) = apply(exchange, 10, a_change("a", **change))[-1:]
    assert (exchange.refused.code, event.is_amendment) == (code, True)
    assert (exchange.order(BTC, "a").left, exchange.order(BTC, "a").size) == (3, 5)


@pytest.mark.parametrize(("changes", "code"), [({"min_size": 5}, 10001), ({"min_notional": Decimal("0.5")}, 110094)])
def test_an_amendment_below_the_minimum_is_refused(changes, code):
    exchange = an_exchange(a_book(), rules(**changes))
    apply(exchange, 1, an_order("a", size=6, price=100))
    apply(exchange, 2, an_amendment("a", 100, 4))
    assert exchange.refused.code == code
    assert exchange.order(BTC, "a").size == 6


def test_a_trigger_that_is_reached_says_from_which_side():
    exchange = an_exchange(a_book().buy(0, 101, 1))
    apply(exchange, 1, an_order("a", size=1, trigger=Trigger(100, TriggerDirection.RISES, TriggerSource.LAST)))
    assert exchange.refused.code == 110092
    apply(exchange, 2, an_order("b", size=1, trigger=Trigger(102, TriggerDirection.FALLS, TriggerSource.LAST)))
    assert exchange.refused.code == 110093


# --- money of sells -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", [None, 60])
def test_a_sell_that_takes_needs_the_money_of_the_best_bid(price):
    """10 lots at 100: 0.1 margin and both fees; at the limit far below it would be 40 % less."""
    exchange = an_exchange(a_book(), starting_balance=Decimal("0.1"))
    apply(exchange, 1, an_order("a", Side.SELL, 10, price))
    assert exchange.refused.code == 110007
    apply(exchange, 2, an_order("b", Side.SELL, 9, price))
    assert exchange.refused is None
