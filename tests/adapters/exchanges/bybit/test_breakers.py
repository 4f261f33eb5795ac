"""Breakers in the venue: what can wait is held back while a capability fails, and what protects never is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.exchanges.bybit.fakes import BTC, Bench, order

from stakan.adapters.breaker import BreakerState
from stakan.adapters.exchanges.bybit.capabilities import COOL_DOWN, Capability, capability_of
from stakan.adapters.exchanges.bybit.errors import CODES, Kind, Reaction
from stakan.adapters.exchanges.bybit.limits import ORDER_GROUPS, SLOW_DOWN, Group
from stakan.core.domain.commands import AmendOrder, CancelOrder, SetProtection, SubmitOrder
from stakan.core.domain.ids import ClientOrderId
from stakan.core.domain.orders import Purpose
from stakan.core.domain.units import SECOND, Lots, Ticks

CREATE, CANCEL, AMEND = "/v5/order/create", "/v5/order/cancel", "/v5/order/amend"
STOP, FIND, POSITIONS, TIME = "/v5/position/trading-stop", "/v5/order/realtime", "/v5/position/list", "/v5/market/time"
REST, SOCKET, QUERIES, MARKET = (
    Capability.ORDERS_REST,
    Capability.ORDERS_SOCKET,
    Capability.QUERIES,
    Capability.MARKET,
)
BUSY = 10016
"""An answer that does not say whether the request was carried out."""


def entry(number=1):
    return SubmitOrder(order=order(f"s-{number}"))


def close(number=1):
    return SubmitOrder(order=order(f"r-{number}", reduce_only=True, purpose=Purpose.EXIT, stop_loss=None))


def cancel(number=1):
    return CancelOrder(instrument=BTC, client_order_id=ClientOrderId(f"s-{number}"))


def stop(ticks=635_000):
    return SetProtection(instrument=BTC, stop_loss=Ticks(ticks), take_profit=None)


def failing(capability, cause="down", **options):
    """A bench of which one capability has failed five times."""
    bench = Bench(**options)
    broken(bench, capability, cause)
    return bench


def broken(bench, capability, cause="down"):
    for _ in range(5):
        bench.venue.breakers[capability].failure(bench.time.now, cause)
    assert not bench.venue.breakers[capability].is_closed


def why_failed(bench):
    return [event.why for event in bench.told if type(event).__name__ == "OrderFailed"]


# --- what counts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_socket", [True, False])
@pytest.mark.parametrize("code", [10001, 110007, 110017, 110094, 10006, 110063])
def test_refusals_of_the_exchange_are_no_outage(code, by_socket):
    bench = Bench(by_socket=by_socket)
    bench.exchange.script[CREATE] = [code] * 40
    for number in range(6):
        bench.send(entry(number))
        bench.time.run(5 * SECOND)
    breaker = bench.venue.breakers[SOCKET if by_socket else REST]
    assert breaker.is_closed
    assert breaker.failed == 0
    assert breaker.succeeded >= 6


def test_by_the_table_an_outage_is_what_leaves_the_outcome_open():
    assert {code for code, rule in CODES.items() if rule.is_outage} == {
        code for code, rule in CODES.items() if rule.reaction_to(Kind.CREATE) is Reaction.AMBIG
    }


@pytest.mark.parametrize("how", ["silence", "lost", "down", BUSY, 429, 10000, 500123])
def test_outages_over_rest_open_the_breaker_of_orders(how):
    bench = Bench(by_socket=False)
    bench.exchange.script[CREATE] = [how] * 5
    for number in range(5):
        bench.send(entry(number))
        bench.time.run(SLOW_DOWN)
    assert bench.venue.breakers[REST].opened == 1
    assert CREATE in bench.venue.breakers[REST].cause


@pytest.mark.parametrize("how", ["silence", BUSY])
def test_outages_on_the_trade_socket_open_its_breaker(how):
    bench = Bench()
    bench.exchange.script[CREATE] = [how] * 5
    for number in range(5):
        bench.send(entry(number))
        bench.time.run(SECOND // 10)
    bench.time.run(2 * SECOND)
    assert bench.venue.breakers[SOCKET].opened == 1


def test_a_lost_connection_is_one_failure_however_much_was_under_way():
    bench = Bench()
    bench.exchange.script[CREATE] = ["lost"] * 3
    for number in range(3):
        bench.send(entry(number))
    bench.venue.on_trade_down("reset")
    assert bench.venue.breakers[SOCKET].failed == 1
    bench.venue.on_trade_down("reset again")
    assert bench.venue.breakers[SOCKET].failed == 1


def test_every_group_has_its_capability():
    assert {group for group in Group if capability_of(group) is REST} == ORDER_GROUPS
    assert [group for group in Group if capability_of(group) is MARKET] == [Group.MARKET]


# --- what is held back ------------------------------------------------------------------------------------------------


def test_an_entry_is_held_back_with_the_reason_and_its_id_never_leaves():
    bench = failing(REST, "order/create: 10016 busy", by_socket=False)
    bench.send(entry())
    bench.time.run(SECOND)
    assert not bench.exchange.sent(CREATE)
    assert bench.kinds() == ["OrderFailed"]
    assert "held back: orders over REST" in why_failed(bench)[0]
    assert "10016 busy" in why_failed(bench)[0]


def test_after_the_cool_down_one_entry_probes_and_its_success_lets_all_through():
    bench = failing(REST, by_socket=False)
    bench.time.run(COOL_DOWN)
    for number in range(3):
        bench.send(entry(number))
    assert bench.venue.breakers[REST].state is BreakerState.HALF_OPEN
    bench.time.run(SECOND)
    assert len(bench.exchange.sent(CREATE)) == 1
    assert bench.kinds().count("OrderFailed") == 2
    assert bench.venue.breakers[REST].is_closed
    bench.send(entry(9))
    bench.time.run(SECOND)
    assert len(bench.exchange.sent(CREATE)) == 2


def test_a_probe_that_fails_holds_entries_back_for_another_cool_down():
    bench = failing(REST, by_socket=False)
    bench.time.run(COOL_DOWN)
    bench.exchange.script[CREATE] = [BUSY]
    bench.send(entry(1))
    bench.time.run(SECOND)
    bench.send(entry(2))
    bench.time.run(SECOND)
    assert len(bench.exchange.sent(CREATE)) == 1
    assert len(why_failed(bench)) == 1


def test_while_the_trade_socket_fails_orders_go_by_rest():
    bench = failing(SOCKET)
    bench.send(entry())
    bench.send(close())
    bench.time.run(SECOND)
    assert not bench.socket.frames
    assert len(bench.exchange.sent(CREATE)) == 2
    assert bench.kinds().count("OrderAccepted") == 2


def test_while_both_ways_fail_entries_are_held_back_and_the_rest_goes_by_the_socket():
    bench = failing(SOCKET)
    broken(bench, REST)
    bench.send(entry())
    bench.send(close())
    bench.time.run(SECOND)
    assert [frame["args"][0]["orderLinkId"] for frame in bench.socket.frames] == ["r-1"]
    assert len(why_failed(bench)) == 1


def test_routine_readings_are_postponed_and_come_back_after_the_cool_down():
    bench = Bench()
    bench.time.run(56 * SECOND)
    broken(bench, QUERIES)
    broken(bench, MARKET)
    bench.exchange.requests.clear()
    bench.time.run(COOL_DOWN - SECOND // 5)
    assert not bench.exchange.sent(POSITIONS)
    assert not bench.exchange.sent(TIME)
    bench.time.run(2 * SECOND)
    assert len(bench.exchange.sent(POSITIONS)) == 1
    assert bench.exchange.sent(TIME)
    assert all(breaker.is_closed for breaker in bench.venue.breakers.values())


def test_a_stream_that_comes_back_has_the_account_read_whatever_the_breaker_says():
    bench = failing(QUERIES)
    bench.venue.on_private_down("gone")
    bench.venue.on_private_up()
    bench.time.run(SECOND)
    assert bench.exchange.sent(POSITIONS)
    assert bench.venue.is_caught_up


def test_an_operator_who_releases_closes_them_all():
    bench = failing(REST, by_socket=False)
    broken(bench, QUERIES)
    bench.venue.release()
    assert all(breaker.is_closed for breaker in bench.venue.breakers.values())
    bench.send(entry())
    bench.time.run(SECOND)
    assert bench.kinds() == ["OrderAccepted"]


# --- what protects ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_socket", [True, False])
@pytest.mark.parametrize(
    ("command", "path"),
    [
        (cancel(), CANCEL),
        (close(), CREATE),
        (stop(), STOP),
        (AmendOrder(instrument=BTC, client_order_id=ClientOrderId("s-1"), price=Ticks(1), size=Lots(1)), AMEND),
    ],
    ids=["cancel", "reduce-only", "stop", "amendment"],
)
def test_what_protects_leaves_while_everything_fails(command, path, by_socket):
    bench = Bench(by_socket=by_socket)
    for capability in Capability:
        broken(bench, capability)
    bench.send(command)
    assert len(bench.exchange.sent(path)) == 1


def test_unknown_orders_are_looked_up_while_queries_fail():
    bench = failing(QUERIES)
    bench.exchange.on_row = None
    bench.exchange.script[CREATE] = ["lost"]
    bench.send(entry())
    bench.time.run(4 * SECOND)
    assert bench.exchange.sent(FIND)
    assert bench.kinds() == ["OutcomeLost", "OrderAccepted"]
    assert bench.venue.breakers[QUERIES].is_closed


OUTAGES = st.sampled_from(["silence", "lost", "down", BUSY, 10000])
"""Without those after which our own limit holds a group back."""
OUTCOMES = st.one_of(OUTAGES, st.sampled_from([0, 10001]))


@settings(max_examples=40)
@given(
    st.booleans(),
    st.lists(OUTAGES, min_size=5, max_size=5),
    st.lists(st.tuples(st.sampled_from(["entry", "close", "cancel", "stop"]), OUTCOMES), min_size=5, max_size=25),
)
def test_in_whatever_weather_what_protects_leaves_in_the_call(by_socket, outages, sequence):
    bench = Bench(by_socket=by_socket)
    makers = {"entry": (entry, CREATE), "close": (close, CREATE), "cancel": (cancel, CANCEL), "stop": (stop, STOP)}
    ways = [SOCKET, REST] if by_socket else [REST]
    for number, (kind, outcome) in enumerate([*(("entry", one) for one in outages), *sequence]):
        make, path = makers[kind]
        bench.exchange.script[path] = [outcome]
        before = len(bench.exchange.sent(path))
        are_closed = any(bench.venue.breakers[way].is_closed for way in ways)
        bench.send(make(640_000 - number) if kind == "stop" else make(number))
        has_left = len(bench.exchange.sent(path)) > before
        assert has_left or (kind == "entry" and not are_closed)
        bench.time.run(SECOND // 3)
