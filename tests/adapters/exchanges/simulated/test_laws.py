"""What holds for every market and every bot at the simulated exchange."""

from collections import Counter
from decimal import Decimal
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.exchanges.simulated.builders import (
    BTC,
    LATENCY,
    MS,
    START,
    Market,
    a_book,
    a_config,
    an_order,
    live,
    rules,
)

from stakan.adapters.exchanges.simulated.exchange import SimulatedExchange
from stakan.adapters.exchanges.simulated.models import DrawnLatency, Queue, QueueModel
from stakan.core.domain.batch import window
from stakan.core.domain.commands import AmendOrder, CancelOrder, SetProtection, SubmitOrder
from stakan.core.domain.events import FundingCharged, OrderAmended, OrderFilled
from stakan.core.domain.ids import instrument_id
from stakan.core.domain.orders import OrderType, TimeInForce, Trigger, TriggerDirection, TriggerSource
from stakan.core.domain.units import Side

ETH = instrument_id("bybit", "linear", "ETHUSDT")
RULES = {BTC: rules(), ETH: rules(id=ETH)}
ticks = st.integers(92, 110)
lots = st.integers(1, 40)
SIDES = st.sampled_from(list(Side))
settings.register_profile("laws", settings(settings.get_profile("default"), max_examples=60))


@st.composite
def markets(draw):
    """Two instruments whose touch wanders, with prints, marks and fundings."""
    made = []
    for name in (BTC, ETH):
        market, at, mid = a_book(Market(name)), 0, 100
        for _ in range(draw(st.integers(5, 25))):
            at += draw(st.integers(0, 30))
            what = draw(st.sampled_from(["move", "level", "buy", "sell", "ticker"]))
            if what == "move":
                new = max(90, min(112, mid + draw(st.integers(-3, 3))))
                bids = [(p, 0) for p in range(new + 1, mid + 1)] + [(new, draw(lots)), (new - 1, draw(lots))]
                asks = [(p, 0) for p in range(mid + 1, new + 1)] + [(new + 1, draw(lots)), (new + 2, draw(lots))]
                market.delta(at, bids=sorted(set(bids)), asks=sorted(set(asks)))
                mid = new
            elif what == "level":
                market.delta(at, bids=[(mid - draw(st.integers(0, 3)), draw(lots))])
            elif what == "ticker":
                mark = Decimal(mid + draw(st.integers(-8, 8)))
                due = START + (at + draw(st.integers(1, 40))) * MS
                market.ticker(at, mark=mark, funding_rate=Decimal("0.001"), next_funding_ts=due)
            else:
                getattr(market, what)(at, mid + draw(st.integers(-3, 3)), draw(lots))
        made.append(market)
    return made


@st.composite
def scripts(draw):
    """Commands with the milliseconds at which they are sent."""
    script, at = [], 0
    for number in range(draw(st.integers(1, 14))):
        at += draw(st.integers(1, 40))
        instrument = draw(st.sampled_from([BTC, ETH]))
        about = str(draw(st.integers(0, max(0, number - 1))))
        kind = draw(st.sampled_from(["new", "new", "new", "market", "when", "cancel", "amend", "protect"]))
        if kind == "cancel":
            command = CancelOrder(instrument=instrument, client_order_id=about)
        elif kind == "amend":
            command = AmendOrder(instrument=instrument, client_order_id=about, price=draw(ticks), size=draw(lots))
        elif kind == "protect":
            command = SetProtection(instrument=instrument, stop_loss=draw(ticks), take_profit=draw(st.none() | ticks))
        else:
            side = draw(SIDES)
            changes = {"reduce_only": draw(st.integers(0, 4)) == 0}
            if not changes["reduce_only"] and draw(st.booleans()):
                changes["stop_loss"] = draw(st.integers(91, 98) if side is Side.BUY else st.integers(103, 110))
            if kind == "when":
                changes["trigger"] = Trigger(
                    draw(ticks), draw(st.sampled_from(TriggerDirection)), draw(st.sampled_from(TriggerSource))
                )
            price = None if kind == "market" else draw(ticks)
            tif = draw(st.sampled_from(TimeInForce))
            command = an_order(str(number), side, draw(lots), price, instrument, time_in_force=tif, **changes)
        script.append((at, command))
    return script


configs = st.builds(
    lambda queue, sigma: a_config(
        queue=QueueModel(queue), entry_latency=DrawnLatency(median_ns=6 * MS, sigma=sigma, floor_ns=LATENCY * MS)
    ),
    st.sampled_from(list(Queue)),
    st.sampled_from([0.0, 0.5]),
)
END = 1_500


def run(markets, script, config, *, cuts=(), grid=END):
    """All events; the market is fed in windows cut at these shares, time goes in steps of `grid` milliseconds."""
    exchange = SimulatedExchange(RULES, config)
    edges = [0.0, *sorted(cuts), 1.0]
    feeds = []
    for first, last in pairwise(edges):
        batches = [m.batch(int(first * len(m.events)), int(last * len(m.events))) for m in markets]
        begins = min((int(b.ts_exchange[0]) for b in batches if len(b)), default=START + END * MS)
        feeds.append((begins, window(tuple(batches))))
    due = [min(later for later, _ in feeds[n:]) for n in range(len(feeds))]  # shares cut instruments at other times
    feeds = [(at, fed) for at, (_, fed) in zip(due, feeds, strict=True)]
    events, sent = [], list(script)
    for at in sorted({*range(0, END + 1, grid), *(at for at, _ in script), END}):
        now = START + at * MS
        while feeds and feeds[0][0] <= now:
            exchange.feed(feeds.pop(0)[1])
        events += live(exchange, now)
        while sent and sent[0][0] == at:
            exchange.submit(sent.pop(0)[1], now)
    return exchange, events


def plain(events):
    return [msgspec.to_builtins(event, str_keys=True) for event in events]


def orders_of(script):
    return {command.order.client_order_id: command.order for _, command in script if type(command) is SubmitOrder}


@settings(settings.get_profile("laws"))
@given(markets(), scripts(), configs, st.integers(3, 200))
def test_how_often_time_is_advanced_changes_nothing(markets, script, config, grid):
    assert plain(run(markets, script, config)[1]) == plain(run(markets, script, config, grid=grid)[1])


@settings(settings.get_profile("laws"))
@given(markets(), scripts(), configs, st.lists(st.floats(0.05, 0.95), max_size=3))
def test_windows_may_be_split_anywhere(markets, script, config, cuts):
    assert plain(run(markets, script, config, grid=1)[1]) == plain(run(markets, script, config, grid=1, cuts=cuts)[1])


@settings(settings.get_profile("laws"))
@given(markets(), scripts(), configs)
def test_the_wallet_is_start_and_realised_less_fees_and_funding_exactly(markets, script, config):
    exchange, events = run(markets, script, config)
    account = exchange.account
    assert account.wallet == config.starting_balance + account.realised - account.fees - account.funding
    assert account.fees == sum((e.fee for e in events if type(e) is OrderFilled), Decimal(0))
    assert account.funding == sum((e.amount for e in events if type(e) is FundingCharged), Decimal(0))
    cash = Decimal(0)
    for name, listed in RULES.items():
        mine = [e for e in events if type(e) is OrderFilled and e.instrument == name]
        position = account.position(name)
        assert position.lots == sum(e.side * e.size for e in mine)
        cash -= sum((e.side * listed.notional(e.price, e.size) for e in mine), Decimal(0))
        cash += position.side * position.cost
    assert cash == account.realised


@settings(settings.get_profile("laws"))
@given(markets(), scripts(), configs)
def test_fills_keep_to_limit_and_size_and_time_in_force(markets, script, config):
    _, events = run(markets, script, config)
    asked, got = orders_of(script), Counter()
    amended = {(e.client_order_id) for e in events if type(e) is OrderAmended}
    for fill in (e for e in events if type(e) is OrderFilled and e.client_order_id):
        order = asked[fill.client_order_id]
        got[fill.client_order_id] += fill.size
        assert fill.side is order.side
        if order.type is OrderType.LIMIT and fill.client_order_id not in amended:
            assert fill.side * fill.price <= fill.side * order.price
            assert got[fill.client_order_id] <= order.size
        if order.time_in_force is TimeInForce.POST_ONLY and order.type is OrderType.LIMIT:
            assert fill.is_maker
        if order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK) or order.type is OrderType.MARKET:
            assert not fill.is_maker
    for name, size in got.items():
        order = asked[name]
        if order.time_in_force is TimeInForce.FOK and order.type is OrderType.LIMIT and name not in amended:
            assert size == order.size


@settings(settings.get_profile("laws"))
@given(markets(), scripts(), configs)
def test_reduce_only_orders_and_the_exchanges_own_never_enlarge_a_position(markets, script, config):
    _, events = run(markets, script, config)
    asked, held = orders_of(script), Counter()
    for fill in (e for e in events if type(e) is OrderFilled):
        before = held[fill.instrument]
        held[fill.instrument] += fill.side * fill.size
        if not fill.client_order_id or asked[fill.client_order_id].reduce_only:
            assert abs(held[fill.instrument]) < abs(before)
            assert held[fill.instrument] * before >= 0


@settings(settings.get_profile("laws"))
@given(markets(), scripts(), configs)
def test_events_come_in_order_and_not_before_their_causes(markets, script, config):
    _, events = run(markets, script, config)
    sent = {c.order.client_order_id: START + at * MS for at, c in script if type(c) is SubmitOrder}
    assert [e.ts_event for e in events] == sorted(e.ts_event for e in events)
    assert [e.ts_recv for e in events] == sorted(e.ts_recv for e in events)
    for event in events:
        assert event.ts_recv >= event.ts_event + LATENCY * MS
        name = getattr(event, "client_order_id", "")
        if name in sent:
            assert event.ts_event >= sent[name] + LATENCY * MS


@settings(settings.get_profile("laws"))
@given(markets(), scripts(), configs)
def test_execution_ids_are_unique_and_repeat_with_the_run(markets, script, config):
    _, events = run(markets, script, config)
    ids = [e.execution_id for e in events if type(e) in (OrderFilled, FundingCharged)]
    assert len(ids) == len(set(ids))
    assert plain(run(markets, script, config)[1]) == plain(events)
