"""Orders, stops, money and time at the simulated exchange."""

from decimal import Decimal

import pytest
from tests.adapters.exchanges.simulated.builders import (
    BTC,
    LATENCY,
    MS,
    SPOT,
    START,
    Market,
    a_book,
    a_cancel,
    a_config,
    a_stop,
    an_amendment,
    an_exchange,
    an_order,
    fills,
    names,
    play,
    rules,
)

from stakan.adapters.exchanges.simulated.exchange import SimulatedExchange, SimulationConfig
from stakan.adapters.exchanges.simulated.models import (
    ConstantLatency,
    DrawnLatency,
    FeeRates,
    QueueModel,
    RecordedLatency,
    start_latency,
)
from stakan.core.domain.batch import window
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import (
    CancelRejected,
    FillOrigin,
    FundingCharged,
    InstrumentChanged,
    OrderAmended,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
    ProtectionChanged,
    ProtectionRejected,
)
from stakan.core.domain.instrument import Category
from stakan.core.domain.orders import TimeInForce, Trigger, TriggerDirection, TriggerSource
from stakan.core.domain.units import HOUR, Side


def of(events, kind):
    return [event for event in events if type(event) is kind]


# --- life of an order -----------------------------------------------------------------------------------------------


def test_a_resting_order_is_accepted_then_filled_as_maker():
    events = play(an_exchange(a_book().sell(50, 99, 5)), (10, an_order("a", size=5, price=100)))
    assert names(events) == ["OrderAccepted", "OrderFilled"]
    assert events[1].is_maker
    assert (events[1].price, events[1].size) == (100, 5)
    assert events[1].fee == Decimal("0.5") * Decimal("0.0002")


def test_a_market_order_walks_the_book_and_pays_the_taker_fee_level_by_level():
    events = play(an_exchange(a_book()), (10, an_order("a", size=15)))
    assert fills(events) == [(101, 10), (102, 5)]
    assert [event.fee for event in of(events, OrderFilled)] == [
        Decimal("1.01") * Decimal("0.00055"),
        Decimal("0.51") * Decimal("0.00055"),
    ]


def test_a_market_order_stops_at_the_protective_price_and_the_rest_is_cancelled():
    instrument = rules(price_limit_x=Decimal("0.015"))
    events = play(an_exchange(a_book(), instrument), (10, an_order("a", size=40)))
    assert fills(events) == [(101, 10), (102, 20)]
    assert names(events)[-1] == "OrderCancelled"


def test_a_limit_order_that_crosses_takes_and_leaves_its_rest_in_the_book():
    market = a_book().buy(40, 101, 1).sell(50, 101, 50)
    events = play(an_exchange(market), (10, an_order("a", size=25, price=101)))
    assert fills(events) == [(101, 10), (101, 15)]
    assert [event.is_maker for event in of(events, OrderFilled)] == [False, True]


def test_post_only_never_takes_and_is_never_priced_anew():
    events = play(an_exchange(a_book()), (10, an_order("a", price=101, time_in_force=TimeInForce.POST_ONLY)))
    assert names(events) == ["OrderCancelled"]


def test_immediate_or_cancel_never_rests():
    market = a_book().sell(50, 90, 100)
    events = play(an_exchange(market), (10, an_order("a", size=15, price=101, time_in_force=TimeInForce.IOC)))
    assert fills(events) == [(101, 10)]
    assert names(events) == ["OrderAccepted", "OrderFilled", "OrderCancelled"]


@pytest.mark.parametrize(("size", "expected"), [(30, [(101, 10), (102, 20)]), (31, [])])
def test_fill_or_kill_takes_all_or_nothing(size, expected):
    events = play(an_exchange(a_book()), (10, an_order("a", size=size, price=102, time_in_force=TimeInForce.FOK)))
    assert fills(events) == expected


def test_a_cancel_that_comes_after_the_fill_is_refused():
    exchange = an_exchange(a_book().sell(12, 99, 5))
    events = play(exchange, (1, an_order("a", size=5, price=100)), (10, a_cancel("a")))
    assert names(events) == ["OrderAccepted", "OrderFilled", "CancelRejected"]


def test_a_cancel_in_time_takes_the_order_out():
    events = play(an_exchange(a_book().sell(30, 99, 5)), (1, an_order("a", size=5, price=100)), (10, a_cancel("a")))
    assert names(events) == ["OrderAccepted", "OrderCancelled"]


def test_an_id_is_used_once():
    events = play(an_exchange(a_book()), (1, an_order("a", price=99)), (20, an_order("a", price=98)))
    assert names(events) == ["OrderAccepted", "OrderRejected"]


def test_less_size_keeps_the_place_and_a_new_price_or_more_size_loses_it():
    def filled_after(price, size):
        market = a_book().delta(20, bids=[(100, 30)]).delta(60, bids=[(100, 30)]).sell(90, 100, 12)
        exchange = an_exchange(market)
        return fills(play(exchange, (1, an_order("a", size=4, price=100)), (40, an_amendment("a", price, size))))

    assert filled_after(100, 2) == [(100, 2)]
    assert filled_after(100, 5) == []


def test_an_amendment_to_a_crossing_price_takes():
    events = play(an_exchange(a_book()), (1, an_order("a", size=4, price=99)), (20, an_amendment("a", 101, 4)))
    assert names(events) == ["OrderAccepted", "OrderAmended", "OrderFilled"]


def test_an_amendment_under_what_is_filled_or_of_nothing_is_refused():
    market = a_book().sell(20, 99, 3)
    events = play(
        an_exchange(market),
        (1, an_order("a", size=5, price=100)),
        (40, an_amendment("a", 100, 3)),
        (60, an_amendment("b", 100, 3)),
    )
    assert len(of(events, CancelRejected)) == 2


def test_a_price_beyond_the_band_is_moved_to_its_edge_and_said():
    instrument = rules(price_limit_x=Decimal("0.1"), price_limit_y=Decimal("0.2"))
    events = play(an_exchange(a_book(), instrument), (10, an_order("a", Side.SELL, 1, price=10)))
    assert of(events, OrderAmended)[0].price == 91
    assert fills(events) == [(100, 1)]


@pytest.mark.parametrize(
    ("changes", "order", "code"),
    [
        ({"min_size": 5}, an_order("a", size=4, price=100), "10001"),
        ({"max_limit_size": 5}, an_order("a", size=6, price=100), "10001"),
        ({"max_market_size": 5}, an_order("a", size=6), "10001"),
        ({"min_notional": Decimal(5)}, an_order("a", size=49, price=100), "110094"),
        ({"max_price": 99}, an_order("a", size=1, price=100), "10001"),
        ({}, an_order("a", size=10**9, price=100), "110007"),
        ({}, an_order("a", size=1, price=100, reduce_only=True), "110017"),
        ({}, an_order("a", size=1, price=100, stop_loss=102), "10001"),
        ({}, an_order("a", size=1, price=100, take_profit=98), "10001"),
    ],
)
def test_what_breaks_a_rule_is_rejected_with_its_code(changes, order, code):
    events = play(an_exchange(a_book(), rules(**changes)), (10, order))
    assert names(events) == ["OrderRejected"]
    assert events[0].why.startswith(code)


def test_before_any_price_is_known_orders_are_rejected():
    assert names(play(an_exchange(Market()), (10, an_order("a", size=1)))) == ["OrderRejected"]


# --- reduce-only ----------------------------------------------------------------------------------------------------


def test_reduce_only_is_trimmed_to_the_position_and_never_flips_it():
    market = a_book().buy(50, 103, 100)
    exchange = an_exchange(market)
    events = play(exchange, (1, an_order("a", size=5)), (20, an_order("b", Side.SELL, 9, price=102, reduce_only=True)))
    assert of(events, OrderAmended)[0].size == 5
    assert fills(events) == [(101, 5), (102, 5)]
    assert exchange.account.position(BTC).lots == 0


def test_a_resting_reduce_only_order_shrinks_and_goes_with_the_position():
    exchange = an_exchange(a_book())
    events = play(
        exchange,
        (1, an_order("a", size=5)),
        (20, an_order("b", Side.SELL, 5, price=103, reduce_only=True)),
        (40, an_order("c", Side.SELL, 2)),
        (60, an_order("d", Side.SELL, 3)),
    )
    assert [event.size for event in of(events, OrderAmended)] == [3]
    assert of(events, OrderCancelled)[0].client_order_id == "b"
    assert exchange.account.position(BTC).lots == 0


def test_of_two_orders_that_one_print_fills_the_reduce_only_one_gets_only_what_is_left_to_reduce():
    exchange = an_exchange(a_book().buy(90, 110, 50))
    events = play(
        exchange,
        (1, an_order("a", size=5)),
        (20, an_order("b", Side.SELL, 4, price=103)),
        (40, an_order("c", Side.SELL, 5, price=103, reduce_only=True)),
    )
    assert fills(events) == [(101, 5), (103, 4), (103, 1)]
    assert exchange.account.position(BTC).lots == 0


# --- stops ----------------------------------------------------------------------------------------------------------


def test_the_attached_stop_stands_after_the_first_fill_and_not_before():
    market = a_book().sell(50, 99, 2).sell(60, 99, 3)
    events = play(an_exchange(market), (1, an_order("a", size=5, price=100, stop_loss=97, take_profit=105)))
    assert names(events) == ["OrderAccepted", "OrderFilled", "ProtectionChanged", "OrderFilled"]
    assert (events[2].stop_loss, events[2].take_profit) == (97, 105)


@pytest.mark.parametrize(
    ("low", "triggers"),
    [(96, False), (95, True), (94, True)],
)
def test_a_stop_triggers_exactly_when_the_watched_price_reaches_it(low, triggers):
    """Stop at 95 by mark."""
    market = a_book().ticker(2, mark=Decimal(100)).ticker(50, mark=Decimal(low))
    exchange = an_exchange(market)
    events = play(exchange, (5, an_order("a", size=5, stop_loss=95)))
    exits = [event for event in of(events, OrderFilled) if event.origin is FillOrigin.STOP_LOSS]
    assert bool(exits) is triggers
    assert all(event.client_order_id == "" and event.ts_event == START + 50 * MS for event in exits)
    assert exchange.uses_mid_as_mark == (frozenset())


def test_without_a_mark_the_mid_stands_in_and_that_is_said():
    """Stop at 98: the mid is 98.5, then 98."""
    market = a_book().delta(50, bids=[(100, 0), (99, 0)], asks=[(99, 5)]).delta(60, bids=[(98, 0), (97, 9)])
    exchange = an_exchange(market)
    events = play(exchange, (5, an_order("a", size=5, stop_loss=98)))
    exits = [event for event in of(events, OrderFilled) if event.origin is FillOrigin.STOP_LOSS]
    assert [(event.price, event.ts_event) for event in exits] == [(97, START + 60 * MS)]
    assert exchange.uses_mid_as_mark == {BTC}


def test_a_take_profit_by_last_price_closes_at_the_market_and_clears_protection():
    market = a_book().buy(50, 102, 1).buy(60, 103, 1)
    events = play(an_exchange(market), (5, an_order("a", size=5, take_profit=103, trigger_source=TriggerSource.LAST)))
    assert [event.origin for event in of(events, OrderFilled)] == [FillOrigin.ORDER, FillOrigin.TAKE_PROFIT]
    assert events[-1].ts_event == START + 60 * MS
    assert (events[-1].stop_loss, events[-1].take_profit) == (None, None)


def test_a_stop_of_a_short_watches_upwards():
    market = a_book().ticker(2, mark=Decimal(100)).ticker(50, mark=Decimal(104))
    events = play(an_exchange(market), (5, an_order("a", Side.SELL, 5, stop_loss=104)))
    assert fills(events) == [(100, 5), (101, 5)]


def test_protection_is_moved_refused_and_cleared():
    exchange = an_exchange(a_book())
    events = play(
        exchange,
        (1, a_stop(90)),
        (10, an_order("a", size=5, stop_loss=90)),
        (30, a_stop(95, 110)),
        (50, a_stop(101)),
        (70, a_stop()),
    )
    kept = [(event.stop_loss, event.take_profit) for event in of(events, ProtectionChanged)]
    assert kept == [(90, None), (95, 110), (None, None)]
    assert len(of(events, ProtectionRejected)) == 2


def test_closing_the_position_clears_its_protection():
    events = play(an_exchange(a_book()), (1, an_order("a", size=5, stop_loss=90)), (20, an_order("b", Side.SELL, 5)))
    assert of(events, ProtectionChanged)[-1].stop_loss is None


def test_turning_the_position_over_clears_the_old_stop():
    exchange = an_exchange(a_book())
    play(exchange, (1, an_order("a", size=5, stop_loss=90)), (20, an_order("b", Side.SELL, 8)))
    assert exchange.account.position(BTC).lots == -3
    assert not exchange.account.position(BTC).is_protected


def test_a_stop_waits_while_the_recording_is_interrupted():
    market = a_book().ticker(2, mark=Decimal(100)).down(40).ticker(50, mark=Decimal(90))
    a_book(market, 60)
    events = play(an_exchange(market.ticker(61, mark=Decimal(90))), (5, an_order("a", size=5, stop_loss=95)))
    assert of(events, OrderFilled)[-1].ts_event == START + 60 * MS


def test_a_conditional_order_enters_when_its_trigger_is_met():
    trigger = Trigger(103, TriggerDirection.RISES, TriggerSource.LAST)
    market = a_book().buy(2, 101, 1).buy(30, 102, 1).buy(40, 103, 1)
    events = play(an_exchange(market), (5, an_order("a", size=5, trigger=trigger)))
    assert names(events) == ["OrderAccepted", "OrderTriggered", "OrderFilled"]
    assert events[1].ts_event == START + 40 * MS


def test_a_conditional_order_can_be_cancelled_and_amended_and_cannot_be_met_already():
    trigger = Trigger(103, TriggerDirection.RISES)
    events = play(
        an_exchange(a_book()),
        (1, an_order("a", size=5, price=104, trigger=trigger)),
        (20, an_amendment("a", 105, 6)),
        (30, a_cancel("a")),
        (40, an_order("b", size=5, trigger=Trigger(99, TriggerDirection.RISES))),
    )
    assert names(events) == ["OrderAccepted", "OrderAmended", "OrderCancelled", "OrderRejected"]


def test_a_conditional_order_without_the_money_when_it_triggers_is_cancelled():
    trigger = Trigger(103, TriggerDirection.RISES, TriggerSource.LAST)
    exchange = an_exchange(a_book().buy(2, 101, 1).buy(40, 103, 1), starting_balance=Decimal("0.1"))
    events = play(exchange, (5, an_order("a", size=90, trigger=trigger)))
    assert names(events) == ["OrderAccepted", "OrderTriggered", "OrderCancelled"]


# --- money ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "mark", "bust"),
    [(Side.BUY, 91, 91), (Side.BUY, 90, 91), (Side.SELL, 110, 110), (Side.SELL, 120, 110)],
)
def test_liquidation_cancels_orders_takes_over_at_bankruptcy_and_loses_at_most_the_margin(side, mark, bust):
    """Entry 101 (100 for the short), ten times: bankruptcy 90.9 (110), liquidation 91.36 (109.45)."""
    market = a_book().ticker(2, mark=Decimal(100)).ticker(50, mark=Decimal(mark))
    exchange = an_exchange(market, starting_balance=Decimal(100))
    before = exchange.account.wallet
    events = play(exchange, (5, an_order("a", side, 5)), (20, an_order("b", side, 5, price=100 - 5 * side)))
    assert of(events, OrderCancelled)[0].client_order_id == "b"
    last = of(events, OrderFilled)[-1]
    assert (last.origin, last.price, last.size) == (FillOrigin.LIQUIDATION, bust, 5)
    entry = Decimal(101 if side is Side.BUY else 100) * 5 / 1000
    margin = entry / 10 + entry * (1 - side / Decimal(10)) * Decimal("0.00055") + entry * Decimal("0.00055")
    assert before - exchange.account.wallet <= margin


def test_above_the_liquidation_price_nothing_happens():
    market = a_book().ticker(2, mark=Decimal(100)).ticker(50, mark=Decimal("91.5"))
    assert len(fills(play(an_exchange(market), (5, an_order("a", size=5))))) == 1


def test_without_a_mark_the_mid_liquidates():
    market = a_book().delta(50, bids=[(100, 0), (99, 0), (98, 0), (90, 5)], asks=[(92, 5)])
    events = play(an_exchange(market), (5, an_order("a", size=5)))
    assert of(events, OrderFilled)[-1].origin is FillOrigin.LIQUIDATION


def test_funding_is_paid_at_its_time_by_the_long_at_mark_and_rate_of_the_ticker():
    due = START + 100 * MS
    market = a_book().ticker(2, mark=Decimal(100), funding_rate=Decimal("0.001"), next_funding_ts=due).buy(200, 101, 1)
    exchange = an_exchange(market)
    events = play(exchange, (5, an_order("a", size=5)), until=300)
    paid = of(events, FundingCharged)
    assert [(event.ts_event, event.amount) for event in paid] == [(due, Decimal("0.0005"))]
    assert exchange.account.funding == Decimal("0.0005")


def test_funding_without_a_ticker_comes_every_interval_at_the_configured_rate():
    exchange = an_exchange(a_book(), funding_rate=Decimal("-0.01"))
    events = play(exchange, (5, an_order("a", Side.SELL, 5)), until=17 * HOUR // MS)
    paid = of(events, FundingCharged)
    assert len(paid) == 2
    assert all(event.ts_event % (8 * HOUR) == 0 for event in paid)
    assert all(event.amount == Decimal("0.5025") * Decimal("0.01") for event in paid)


def test_a_flat_account_pays_no_funding():
    events = play(
        an_exchange(a_book()), (5, an_order("a", size=5)), (30, an_order("b", Side.SELL, 5)), until=9 * HOUR // MS
    )
    assert of(events, FundingCharged) == []


def test_two_sided_quotes_reserve_the_dearer_side_only():
    """One side of 900 lots at ten times needs a tenth of about 90 and fees."""
    exchange = an_exchange(a_book(), starting_balance=Decimal("9.6"))
    events = play(
        exchange,
        (1, an_order("a", size=900, price=99)),
        (10, an_order("b", Side.SELL, 900, price=103)),
        (20, an_order("c", size=900, price=99)),
    )
    assert names(events) == ["OrderAccepted", "OrderAccepted", "OrderRejected"]


def test_closing_needs_no_money():
    exchange = an_exchange(a_book(), starting_balance=Decimal("0.11"))
    events = play(exchange, (1, an_order("a", size=10, price=101)), (20, an_order("b", Side.SELL, 10)))
    assert fills(events) == [(101, 10), (100, 10)]


def test_fees_of_the_configuration_win():
    exchange = an_exchange(a_book(), fees=FeeRates(Decimal("-0.0001"), Decimal("0.01")))
    events = play(exchange, (1, an_order("a", size=10)))
    assert of(events, OrderFilled)[0].fee == Decimal("0.0101")


def test_spot_has_no_short_no_margin_and_no_funding():
    instrument = rules(id=SPOT, category=Category.SPOT)
    exchange = an_exchange(a_book(Market(SPOT)), instrument, starting_balance=Decimal("1.1"))
    events = play(
        exchange,
        (1, an_order("a", Side.SELL, 1, instrument=SPOT)),
        (10, an_order("b", size=11, price=101, instrument=SPOT)),
        (20, an_order("c", size=10, instrument=SPOT, price=101)),
        (40, an_order("d", Side.SELL, 11, instrument=SPOT)),
        (50, an_order("e", Side.SELL, 10, instrument=SPOT)),
        until=9 * HOUR // MS,
    )
    assert [event.client_order_id for event in of(events, OrderRejected)] == ["a", "b", "d"]
    assert fills(events) == [(101, 10), (100, 10)]
    assert of(events, FundingCharged) == []


# --- time and configuration -----------------------------------------------------------------------------------------


def test_an_order_arrives_after_the_entry_latency_and_is_seen_after_the_response_latency():
    events = play(an_exchange(a_book()), (10, an_order("a", size=1)))
    assert {event.ts_event for event in events} == {START + (10 + LATENCY) * MS}
    assert {event.ts_recv for event in events} == {START + (10 + 2 * LATENCY) * MS}


def test_at_one_instant_the_market_comes_first():
    market = a_book().delta(10 + LATENCY, asks=[(101, 3)])
    assert fills(play(an_exchange(market), (10, an_order("a", size=5, price=101)))) == [(101, 3)]


def test_recorded_latencies_are_used_one_by_one_and_commands_do_not_overtake():
    exchange = an_exchange(a_book(), entry_latency=RecordedLatency((20 * MS, 2 * MS, 50 * MS)))
    events = play(exchange, *((at, an_order(f"{at}", price=90)) for at in (1, 2, 3)))
    assert [event.ts_event - START for event in events] == [21 * MS, 21 * MS, 53 * MS]


def test_drawn_latencies_repeat_with_their_seed_and_keep_their_floor():
    model = DrawnLatency(median_ns=10 * MS, sigma=1.0, floor_ns=8 * MS)
    first, again, other = (start_latency(model, seed) for seed in (1, 1, 2))
    drawn = [first.next() for _ in range(50)]
    assert drawn == [again.next() for _ in range(50)]
    assert drawn != [other.next() for _ in range(50)]
    assert min(drawn) >= 8 * MS
    assert max(drawn) > 10 * MS


def test_too_many_commands_in_a_second_are_refused():
    exchange = an_exchange(a_book(), commands_per_second=2)
    events = play(
        exchange,
        *((at, an_order(f"{at}", price=90)) for at in (1, 2, 3)),
        (4, a_cancel("1")),
        (5, a_stop(90)),
        (1_010, a_cancel("1")),
    )
    assert names(events) == [
        "OrderAccepted",
        "OrderAccepted",
        "OrderRejected",
        "CancelRejected",
        "ProtectionRejected",
        "OrderCancelled",
    ]


def test_while_the_exchange_is_down_it_takes_no_commands_and_the_market_goes_on():
    exchange = an_exchange(a_book().sell(40, 99, 5), downtime=((START + 20 * MS, START + 60 * MS),))
    events = play(exchange, (1, an_order("a", size=5, price=100)), (30, a_cancel("a")))
    assert names(events) == ["OrderAccepted", "CancelRejected", "OrderFilled"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: SimulationConfig(leverage=Decimal("0.5")),
        lambda: SimulationConfig(starting_balance=Decimal(0)),
        lambda: SimulationConfig(commands_per_second=0),
        lambda: QueueModel(exponent=0.0),
        lambda: start_latency(ConstantLatency(-1), 0),
        lambda: start_latency(RecordedLatency(()), 0),
        lambda: SimulatedExchange({}, a_config()).feed(window((a_book().batch(),))),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_at_the_start(wrong):
    with pytest.raises(ConfigError):
        wrong()


def test_new_rules_hold_from_then_on():
    market = a_book()
    market.events.append(
        InstrumentChanged(ts_event=START + 5 * MS, ts_recv=START + 6 * MS, instrument=BTC, rules=rules(min_size=9))
    )
    assert names(play(an_exchange(market), (10, an_order("a", size=5, price=99)))) == ["OrderRejected"]
