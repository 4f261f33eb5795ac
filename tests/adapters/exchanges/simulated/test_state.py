"""Laws of an owner: money to the last decimal, state to bytes and back, trailing stops, markets that were not fed."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.adapters.exchanges.simulated.builders import (
    BTC,
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
    names,
    rules,
)
from tests.adapters.exchanges.simulated.test_laws import plain

from stakan.adapters.exchanges.simulated.exchange import SimulatedExchange
from stakan.adapters.exchanges.simulated.models import ConstantLatency
from stakan.adapters.exchanges.simulated.refusals import CancelCause, ProtectionCause
from stakan.adapters.exchanges.simulated.requests import (
    ChangeMargin,
    ChangeOrder,
    Legs,
    PlaceOrder,
    SetLeverage,
    SetTradingStop,
)
from stakan.core.domain.batch import window
from stakan.core.domain.commands import AmendOrder
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import FundingCharged, OrderCancelled, OrderFilled, ProtectionChanged
from stakan.core.domain.ids import instrument_id
from stakan.core.domain.orders import TimeInForce, Trigger, TriggerDirection, TriggerSource
from stakan.core.domain.units import Side

SEGMENT = 50
"""Milliseconds between two snapshots."""
ticks = st.integers(92, 110)
lots = st.integers(1, 40)
sides = st.sampled_from(list(Side))
sources = st.sampled_from(list(TriggerSource))
NONE = ConstantLatency(0)
CONFIG = a_config(entry_latency=NONE, response_latency=NONE, starting_balance=Decimal(4))


@st.composite
def segments(draw):
    """A market that begins anew with a whole book every segment; returns it and where its segments begin."""
    market, begins = Market(), []
    for number in range(draw(st.integers(2, 6))):
        begins.append(len(market.events))
        mid, at = draw(st.integers(94, 108)), number * SEGMENT
        bids = [(mid - step, draw(lots)) for step in range(3)]
        market.snapshot(at, bids=bids, asks=[(mid + 1 + step, draw(lots)) for step in range(3)])
        for _ in range(draw(st.integers(0, 6))):
            at += draw(st.integers(1, 6))
            if draw(st.booleans()):
                getattr(market, draw(st.sampled_from(["buy", "sell"])))(at, mid + draw(st.integers(-4, 4)), draw(lots))
            else:
                mark, due = Decimal(mid + draw(st.integers(-8, 8))), START + (at + draw(st.integers(1, 30))) * MS
                market.ticker(at, mark=mark, funding_rate=Decimal("0.001"), next_funding_ts=due)
    return market, begins


@st.composite
def requests(draw, number, *, rests):
    """Any request; without `rests` only such as never leave an order in the book."""
    about = str(draw(st.integers(0, number)))
    kind = draw(st.sampled_from(["new", "new", "when", "cancel", "change", "stop", "leverage", "margin"]))
    if kind in ("new", "when"):
        price = draw(st.none() | ticks)
        tif = draw(st.sampled_from(TimeInForce if rests else [TimeInForce.IOC, TimeInForce.FOK]))
        side, source = draw(sides), draw(sources)
        trigger = Trigger(draw(ticks), draw(st.sampled_from(TriggerDirection)), source) if kind == "when" else None
        reduce_only = draw(st.booleans())
        order = an_order(
            str(number), side, draw(lots), price, time_in_force=tif, trigger=trigger, reduce_only=reduce_only
        ).order
        stop = None if reduce_only else draw(st.none() | (st.integers(90, 98) if side > 0 else st.integers(104, 112)))
        return PlaceOrder(instrument=BTC, order=order, legs=Legs(stop, None, draw(sources), draw(sources)))
    if kind == "cancel":
        return a_cancel(about)
    if kind == "change":
        if rests and draw(st.booleans()):
            return AmendOrder(instrument=BTC, client_order_id=about, price=draw(ticks), size=draw(lots))
        return ChangeOrder(instrument=BTC, client_order_id=about, size=draw(lots), trigger_price=draw(ticks))
    if kind == "stop":
        trailing = draw(st.none() | st.integers(1, 6))
        return SetTradingStop(
            instrument=BTC, stop_loss=draw(st.none() | ticks), stop_source=draw(sources), trailing=trailing
        )
    if kind == "leverage":
        return SetLeverage(instrument=BTC, leverage=Decimal(draw(st.sampled_from(["1", "2.5", "7", "20", "100"]))))
    return ChangeMargin(instrument=BTC, amount=Decimal(draw(st.sampled_from(["0.05", "0.3", "-0.05", "-0.123"]))))


@st.composite
def lives(draw, *, rests):
    """A market, where its segments begin, and requests with their times."""
    market, begins = draw(segments())
    times = sorted(draw(st.lists(st.integers(0, len(begins) * SEGMENT - 1), min_size=1, max_size=14)))
    return market, begins, [(at, draw(requests(number, rests=rests))) for number, at in enumerate(times)]


def a_new_one():
    return SimulatedExchange({BTC: rules()}, CONFIG)


def carry_on(exchange, script, until):
    events = []
    for at, request in script:
        events += exchange.apply(request, START + at * MS)
    return events + exchange.live_to(START + until * MS)


def live_through(market, script, until=400):
    exchange = a_new_one()
    exchange.feed(window((market.batch(),)))
    events, executions = [], []
    for at, request in script:
        events += exchange.apply(request, START + at * MS)
        executions += exchange.executions.values()
    events += exchange.live_to(START + until * MS)
    return exchange, events, executions + list(exchange.executions.values())


# --- money ----------------------------------------------------------------------------------------------------------


@given(lives(rests=True))
def test_money_adds_up_to_the_last_decimal_whatever_is_asked(life):
    market, _, script = life
    exchange, events, executions = live_through(market, script)
    held, wallet = exchange.position(BTC), exchange.wallet()
    filled = [event for event in events if type(event) is OrderFilled]
    assert wallet.balance == CONFIG.starting_balance + wallet.realised - wallet.fees - wallet.funding
    assert wallet.realised == sum((one.realised for one in executions), Decimal(0))
    assert wallet.fees == sum((event.fee for event in filled), Decimal(0))
    assert wallet.funding == sum((event.amount for event in events if type(event) is FundingCharged), Decimal(0))
    assert wallet.available + held.margin + held.order_margin == wallet.balance
    assert held.realised_ever == wallet.realised - wallet.fees - wallet.funding
    assert held.lots == sum(event.side * event.size for event in filled)
    assert [one.id for one in executions] == [event.execution_id for event in filled]
    assert min((one.left for one in executions), default=0) >= 0
    if all(one.closed in (0, event.size) for event, one in zip(filled, executions, strict=True)):
        closing = [event.fee for event, one in zip(filled, executions, strict=True) if one.closed]
        opened = held.open_fees + sum((one.open_fee for one in executions), Decimal(0))
        assert wallet.fees == opened + sum(closing, Decimal(0))
    assert held.extra_margin >= 0
    assert held.lots or (held.margin == held.extra_margin == held.cost == held.open_fees == 0)


@given(lives(rests=True))
def test_every_cause_is_one_of_the_closed_sets(life):
    market, _, script = life
    for event in live_through(market, script)[1]:
        if type(event) is OrderCancelled:
            CancelCause(event.why)
        if type(event) is ProtectionChanged:
            ProtectionCause(event.why)


@given(lives(rests=True), st.integers(0, 13))
def test_a_refused_request_changes_no_money_and_no_order(life, number):
    market, _, script = life
    exchange, _, _ = live_through(market, script[: number % len(script)], until=0)
    at, request = script[number % len(script)]
    exchange.live_to(START + at * MS)
    before = exchange.wallet(), exchange.position(BTC), plain(exchange.orders(BTC))
    exchange.apply(request, START + at * MS)
    if exchange.refused:
        assert (exchange.wallet(), exchange.position(BTC), plain(exchange.orders(BTC))) == before


# --- trailing -------------------------------------------------------------------------------------------------------


@given(sides, st.integers(1, 8), st.lists(st.integers(80, 120), min_size=1, max_size=30))
def test_a_trailing_stop_never_moves_away_and_closes_where_it_stands(side, distance, path):
    market = a_book().buy(0, 100, 1)
    for at, price in enumerate(path, start=2):
        market.buy(at, price, 1)
    exchange = an_exchange(market)
    exchange.apply(an_order("a", side, 5), START)
    exchange.apply(SetTradingStop(instrument=BTC, trailing=distance), START + MS)
    best, stop = 100, exchange.position(BTC).trailing.stop
    for at, price in enumerate(path, start=2):
        best = max(best, price) if side is Side.BUY else min(best, price)
        events = exchange.live_to(START + at * MS)
        if side * price <= side * (best - side * distance):
            assert names(events) == ["OrderFilled", "ProtectionChanged"]
            return
        assert events == []
        moved = exchange.position(BTC).trailing.stop
        assert side * moved >= side * stop
        assert moved == best - side * distance
        stop = moved


# --- state ----------------------------------------------------------------------------------------------------------


@given(lives(rests=False), st.integers(1, 5))
def test_an_owner_that_was_kept_lives_on_as_if_nothing_had_been(life, cut):
    market, begins, script = life
    cut = min(cut, len(begins) - 1)
    until, end = cut * SEGMENT, len(begins) * SEGMENT
    before = [(at, request) for at, request in script if at < until]
    after = [(at, request) for at, request in script if at >= until]
    first, _, _ = live_through(market, before, until - 1)
    second = a_new_one()
    second.restore(first.snapshot())
    assert second.snapshot() == first.snapshot()
    second.feed(window((market.batch(begins[cut]),)))
    assert plain(carry_on(second, after, end)) == plain(carry_on(first, after, end))
    assert second.wallet() == first.wallet()
    assert second.position(BTC) == first.position(BTC)


@given(lives(rests=True))
def test_what_was_kept_reads_the_same(life):
    market, _, script = life
    first, _, _ = live_through(market, script, len(market.events))
    second = a_new_one()
    second.restore(first.snapshot())
    assert plain(second.orders(BTC)) == plain(first.orders(BTC))
    assert second.wallet() == first.wallet()
    assert second.position(BTC) == first.position(BTC)


def test_a_kept_order_stands_behind_everything_at_its_price():
    market = a_book().sell(5, 100, 8)
    first = an_exchange(market)
    first.apply(an_order("a", size=1, price=100), START + MS)
    first.live_to(START + 6 * MS)
    second = a_new_one()
    second.restore(first.snapshot())
    second.feed(window((a_book(Market(), 10).sell(11, 100, 9).sell(12, 100, 3).batch(),)))
    assert second.live_to(START + 11 * MS) == []
    assert fills(second.live_to(START + 12 * MS)) == [(100, 1)]


def test_an_id_that_was_used_before_is_still_used_and_new_ids_go_on():
    first = an_exchange(a_book())
    first.apply(an_order("a", size=1), START + MS)
    second = a_new_one()
    second.restore(first.snapshot())
    second.feed(window((a_book(Market(), 10).batch(),)))
    second.apply(an_order("a", size=1), START + 11 * MS)
    assert second.refused.code == 110072
    told = second.apply(an_order("b", size=1), START + 12 * MS)
    assert told[-1].venue_order_id == "sim-2"
    assert told[-1].execution_id == "sim-x-2"


def test_commands_on_their_way_arrive_after_a_restart():
    first = an_exchange(a_book())
    first.submit(an_order("a", size=1), START + MS)
    second = a_new_one()
    second.restore(first.snapshot())
    second.feed(window((a_book(Market(), 2).batch(),)))
    assert fills(second.live_to(START + 20 * MS)) == [(101, 1)]


def test_what_cannot_be_restored_is_refused():
    first = an_exchange(a_book())
    first.apply(an_order("a", size=1), START + MS)
    kept = first.snapshot()
    for data in (b"", b"what", kept[:-3]):
        with pytest.raises(DataError, match="no state"):
            a_new_one().restore(data)
    with pytest.raises(DataError, match="lived already"):
        first.restore(kept)
    other = rules(id=instrument_id("bybit", "linear", "ETHUSDT"))
    with pytest.raises(DataError, match="BTCUSDT"):
        SimulatedExchange({other.id: other}, CONFIG).restore(kept)
    with pytest.raises(DataError, match="tick"):
        SimulatedExchange({BTC: rules(tick_size=Decimal("0.5"))}, CONFIG).restore(kept)
    with pytest.raises(DataError, match="version"):
        a_new_one().restore(kept.replace(b"\xa7version\x01", b"\xa7version\x02"))


# --- markets that were not fed --------------------------------------------------------------------------------------


def test_one_snapshot_is_enough_to_begin_or_to_come_back():
    """An owner who has nothing in an instrument need not be fed; book, print and ticker of the present do."""
    market = a_book().buy(0, 100, 1)
    exchange = a_new_one()
    exchange.feed(window((market.batch(),)))
    exchange.apply(an_order("a", size=5), START + 10 * MS)
    exchange.apply(an_order("b", Side.SELL, 5), START + 20 * MS)
    assert not exchange.is_busy(BTC)
    for _ in range(20):
        market.delta(30, asks=[(102, 0)])  # lived through by nobody
    begin = len(market.events)
    market.snapshot(40, bids=[(104, 7)], asks=[(105, 7)]).buy(40, 105, 1).ticker(40, mark=Decimal(104))
    market.delta(50, asks=[(105, 0), (106, 3)]).buy(60, 111, 1)
    exchange.feed(window((market.batch(begin),)))
    events = exchange.apply(an_order("c", size=10, take_profit=111, trigger_source=TriggerSource.LAST), START + 45 * MS)
    assert fills(events) == [(105, 7)]
    assert exchange.position(BTC).mark == 104
    assert exchange.book_gaps == 0
    assert [e.price for e in exchange.live_to(START + 60 * MS) if type(e) is OrderFilled] == [104]


def test_a_stop_set_before_any_book_is_refused_and_nothing_breaks():
    exchange = a_new_one()
    assert names(exchange.apply(a_stop(90), START)) == ["ProtectionRejected"]
