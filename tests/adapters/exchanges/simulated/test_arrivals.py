"""Recorded arrivals: a run computed again meets the exchange and hears from it at the very moments of the first."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from tests.adapters.exchanges.simulated.builders import (
    BTC,
    LATENCY,
    MS,
    START,
    Market,
    a_book,
    a_cancel,
    a_config,
    a_stop,
    an_exchange,
    an_order,
    fills,
    live,
    names,
    play,
)
from tests.adapters.exchanges.simulated.test_laws import END, RULES, markets, plain, run, scripts

from stakan.adapters.exchanges.simulated.exchange import SimulatedExchange
from stakan.adapters.exchanges.simulated.models import (
    Arrival,
    ConstantLatency,
    DrawnLatency,
    RecordedArrivals,
    start_transit,
)
from stakan.core.domain.batch import window
from stakan.core.domain.commands import AmendOrder, CancelOrder, SetProtection, SubmitOrder
from stakan.core.domain.events import ProtectionRejected
from stakan.core.domain.orders import TimeInForce


def arrivals(*known, otherwise=LATENCY):
    listed = tuple(Arrival(kind, about, round(START + at * MS)) for kind, about, at in known)
    return RecordedArrivals(listed, ConstantLatency(otherwise * MS))


def test_messages_arrive_when_the_same_ones_did_and_others_by_the_model():
    transit = start_transit(arrivals(("CancelOrder", "a", 7), ("SubmitOrder", "a", 3), ("CancelOrder", "a", 9)), 0)
    sent = [
        ("SubmitOrder", "a"),
        ("CancelOrder", "a"),
        ("CancelOrder", "a"),
        ("CancelOrder", "a"),
        ("SubmitOrder", "b"),
    ]
    arrived = [transit.arrival(kind, about, START + MS) for kind, about in sent]
    assert [(ts - START) // MS for ts in arrived] == [3, 7, 9, 1 + LATENCY, 1 + LATENCY]


def test_a_recorded_command_may_overtake_another():
    known = arrivals(("SubmitOrder", "a", 30), ("SubmitOrder", "b", 20))
    exchange = an_exchange(a_book(), entry_latency=known)
    events = play(exchange, (10, an_order("a", size=10)), (11, an_order("b", size=10)))
    assert [e.client_order_id for e in events if names([e]) == ["OrderFilled"]] == ["b", "a"]
    assert fills(events) == [(101, 10), (102, 10)]


def test_a_command_may_arrive_before_it_was_sent_by_what_the_exchanges_clock_rounds_off():
    """Sent at 10.7 ms, carried out at 10: after the row of 10, before that of 11, and what it brings is told later."""
    market = a_book().delta(10, asks=[(101, 0)]).delta(11, asks=[(102, 0)])
    exchange = an_exchange(market, entry_latency=arrivals(("SubmitOrder", "a", 10)), response_latency=arrivals())
    exchange.feed(window(()))
    now = START + 10 * MS + 700_000
    assert live(exchange, now) == []
    exchange.submit(an_order("a", size=5), now)
    events = live(exchange, START + 20 * MS)
    assert fills(events) == [(102, 5)]
    assert {event.ts_event for event in events} == {START + 10 * MS}
    assert min(event.ts_recv for event in events) == START + 15 * MS


def test_nothing_is_heard_before_what_it_answers_was_sent():
    exchange = an_exchange(
        a_book(), entry_latency=arrivals(("SubmitOrder", "a", 10)), response_latency=arrivals(otherwise=0)
    )
    now = START + 10 * MS + 700_000
    live(exchange, now)
    exchange.submit(an_order("a", size=5), now)
    assert {event.ts_recv for event in live(exchange, START + 20 * MS)} == {now}


def test_a_command_that_arrives_before_what_was_told_arrives_then():
    exchange = an_exchange(a_book().sell(30, 99, 3), entry_latency=arrivals(("SubmitOrder", "b", 12), otherwise=0))
    play(exchange, (1, an_order("a", size=3, price=100)), until=40)
    exchange.submit(an_order("b", size=1), START + 40 * MS)
    assert {event.ts_event for event in live(exchange, START + 50 * MS)} == {START + 30 * MS}


def test_answers_are_known_by_order_and_by_instrument():
    seen = arrivals(("OrderAccepted", "a", 50), ("OrderFilled", "a", 40), ("ProtectionRejected", BTC, 60))
    exchange = an_exchange(a_book(), response_latency=seen)
    events = play(exchange, (1, a_stop(90)), (10, an_order("a", size=5, time_in_force=TimeInForce.GTC)))
    assert type(events[0]) is ProtectionRejected
    heard = {type(event).__name__: (event.ts_recv - START) // MS for event in events}
    assert heard == {"ProtectionRejected": 60, "OrderAccepted": 50, "OrderFilled": 40}


def about(message):
    if isinstance(message, SubmitOrder):
        return message.order.client_order_id
    if isinstance(message, SetProtection):
        return message.instrument
    return getattr(message, "client_order_id", "") or message.instrument


def test_commands_are_known_by_class_and_by_what_they_are_about():
    """Keys of `Arrival`, for whoever writes them down from a journal."""
    sent = [an_order("a", size=1), a_cancel("b"), a_stop(90)]
    sent.append(AmendOrder(instrument=BTC, client_order_id="c", price=100, size=1))
    keys = [(type(one).__name__, about(one)) for one in sent]
    assert keys == [("SubmitOrder", "a"), ("CancelOrder", "b"), ("SetProtection", BTC), ("AmendOrder", "c")]
    exchange = an_exchange(
        a_book(), entry_latency=arrivals(*[(kind, name, 100 + n) for n, (kind, name) in enumerate(keys)])
    )
    for command in sent:
        exchange.submit(command, START + MS)
    told = live(exchange, START + 200 * MS)
    assert sorted({(event.ts_event - START) // MS for event in told}) == [100, 101, 102, 103]


@given(markets(), scripts(), st.sampled_from([0.0, 0.5]))
def test_a_run_with_drawn_delays_is_computed_again_from_its_arrivals(markets, script, sigma):
    drawn = DrawnLatency(median_ns=6 * MS, sigma=sigma, floor_ns=LATENCY * MS)
    _, first = run(markets, script, a_config(entry_latency=drawn, response_latency=drawn))
    answers = tuple(Arrival(type(e).__name__, about(e), e.ts_recv) for e in first)
    transit = start_transit(drawn, 0)
    commands = tuple(Arrival(type(c).__name__, about(c), transit.arrival("", "", START + at * MS)) for at, c in script)
    again = a_config(entry_latency=RecordedArrivals(commands), response_latency=RecordedArrivals(answers))
    assert plain(run(markets, script, again)[1]) == plain(first)


@given(markets(), scripts())
def test_applying_is_sending_without_delay(markets, script):
    none = ConstantLatency(0)
    config = a_config(entry_latency=none, response_latency=none)
    _, sent = run(markets, script, config)
    exchange = SimulatedExchange(RULES, config)
    exchange.feed(window(tuple(market.batch() for market in markets)))
    applied = []
    for at, command in script:
        applied += exchange.apply(command, START + at * MS)
    applied += exchange.live_to(START + END * MS)
    assert plain(applied) == plain(sent)


def test_a_request_of_the_past_counts_as_one_of_the_last_event():
    exchange = an_exchange(a_book().ticker(20, mark=Decimal(100)))
    exchange.apply(an_order("a", size=1, price=99), START + 30 * MS)
    (event,) = exchange.apply(CancelOrder(instrument=BTC, client_order_id="a"), START + 10 * MS)
    assert event.ts_event == START + 30 * MS


def test_an_empty_market_carries_nothing_out():
    exchange = an_exchange(Market())
    assert names(exchange.apply(an_order("a", size=1), START)) == ["OrderRejected"]
