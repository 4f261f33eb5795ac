"""Laws that hold for every market, latency and order of fills."""

import functools
import itertools
from decimal import Decimal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import OrderFilled, encode_array
from stakan.core.domain.facts import EquityMarked
from stakan.core.domain.orders import Purpose, TimeInForce
from stakan.core.domain.units import Side
from stakan.core.risk.exposure import Exposure
from stakan.core.strategies.density_bounce import DensityBounce
from stakan.core.strategies.density_breakout import DensityBreakout
from stakan.core.strategies.imbalance import Imbalance
from tests.core.engine.builders import (
    BTC,
    ETH,
    MS,
    SECOND,
    Eager,
    FakeExchange,
    a_delta,
    a_print,
    a_snapshot,
    an_engine,
    an_instrument,
    live,
)

ENCODER = msgspec.msgpack.Encoder(enc_hook=encode_array)
INSTRUMENTS = [an_instrument(BTC), an_instrument(ETH)]


@st.composite
def markets(draw, length=40):
    """A market of two instruments: snapshots, then deltas, prints, sometimes a gap and a new snapshot."""
    events, sequences, ts = [], {BTC: 1, ETH: 1}, SECOND
    events.extend(a_snapshot(key=key, ts=ts) for key in (BTC, ETH))
    for number in range(draw(st.integers(5, length))):
        key = draw(st.sampled_from((BTC, ETH)))
        ts += draw(st.integers(0, 900)) * MS
        kind = draw(st.sampled_from(("delta", "delta", "delta", "print", "print", "gap", "snapshot")))
        if kind == "print":
            side = draw(st.sampled_from(Side))
            events.append(a_print(640_000 + side, draw(st.integers(1, 800)), side, ts, number, key))
        elif kind == "snapshot":
            mid = 640_000 + draw(st.integers(-500, 500))
            sequences[key] += 1
            events.append(a_snapshot(mid=mid, key=key, ts=ts, sequence=sequences[key], size=draw(st.integers(1, 900))))
        else:
            sequences[key] += 2 if kind == "gap" else 1
            bids = [(638_000 + draw(st.integers(0, 1_000)), draw(st.integers(0, 900)))]
            asks = [(641_000 + draw(st.integers(0, 1_000)), draw(st.integers(0, 900)))]
            events.append(a_delta(bids, asks, ts, sequences[key], key=key))
    return events


fills = st.lists(st.tuples(st.integers(0, 1_500), st.sampled_from((0.25, 0.5, 1.0))), min_size=0, max_size=3)


@st.composite
def exchanges(draw):
    """A fake exchange with drawn delays and partial fills."""
    plans = draw(st.lists(fills, min_size=1, max_size=6))
    used = itertools.count()

    def plan(order):
        number = next(used)
        # An exchange that never fills a close would keep the engine trying for ever.
        if order.purpose is Purpose.EXIT and number >= len(plans):
            return [(0, 1.0)]
        return [(delay * MS, share) for delay, share in plans[number % len(plans)]]

    return functools.partial(FakeExchange, plan=plan)


def an_eager_engine(**changes):
    strategies = (Eager(horizon_s=1.5), Imbalance(), DensityBreakout(), DensityBounce())
    return an_engine(*strategies, instruments=INSTRUMENTS, decision_interval_ns=250 * MS, **changes)


def encoded(steps):
    return [ENCODER.encode(step) for _, step in steps]


@settings(max_examples=40)
@given(markets(), exchanges())
def test_replaying_the_events_of_a_run_gives_the_same_steps(market, make_exchange):
    steps = live(an_eager_engine(), market, make_exchange())
    replayed = an_eager_engine()
    assert [ENCODER.encode(replayed.step(event)) for event, _ in steps] == encoded(steps)


@settings(max_examples=40)
@given(markets(), exchanges(), st.floats(0, 1))
def test_a_restored_snapshot_goes_on_as_if_nothing_had_happened(market, make_exchange, where):
    steps = live(an_eager_engine(), market, make_exchange())
    cut = int(where * len(steps))
    first = an_eager_engine()
    for event, _ in steps[:cut]:
        first.step(event)
    data = first.snapshot()
    second = an_eager_engine()
    second.restore(data)
    assert second.snapshot() == data
    assert [ENCODER.encode(second.step(event)) for event, _ in steps[cut:]] == encoded(steps[cut:])


@settings(max_examples=40)
@given(markets(), exchanges(), st.floats(0, 1))
def test_steps_depend_only_on_events_up_to_them(market, make_exchange, where):
    steps = live(an_eager_engine(), market, make_exchange())
    cut = int(where * len(steps))
    shorter = an_eager_engine()
    assert [ENCODER.encode(shorter.step(event)) for event, _ in steps[:cut]] == encoded(steps)[:cut]


@settings(max_examples=60)
@given(markets(), exchanges(), st.sampled_from(list(TimeInForce)))
def test_exposure_at_approval_never_exceeds_its_limit_for_any_latency_and_order_of_fills(market, make_exchange, force):
    limit = Decimal(300)
    rules = (("exposure", Exposure(max_notional=limit, max_equity_share=Decimal(1), max_position_share=Decimal(1))),)
    strategies = (Eager(horizon_s=0.3, time_in_force=force),)
    engine = an_engine(*strategies, instruments=INSTRUMENTS, rules=rules)
    exchange = make_exchange()
    worst = {}

    def lots_at_stake(key):
        return engine.state.portfolio.worst_lots(key)

    original = exchange.carry_out

    def watched(command, now):
        if isinstance(command, SubmitOrder) and command.order.purpose is Purpose.ENTRY:
            total = sum(
                INSTRUMENTS[0].notional(max(command.order.price, 641_000), lots_at_stake(key)) for key in (BTC, ETH)
            )
            worst[command.order.client_order_id] = total
        original(command, now)

    exchange.carry_out = watched
    live(engine, market, exchange)
    # Prices move by less than 0.3 % within these markets.
    assert all(total <= limit * Decimal("1.003") for total in worst.values())


@settings(max_examples=40)
@given(markets(), exchanges())
def test_an_instrument_never_has_two_entries_on_their_way(market, make_exchange):
    engine = an_engine(Eager(horizon_s=0.2), instruments=INSTRUMENTS)
    exchange = make_exchange()
    original = exchange.carry_out

    def watched(command, now):
        original(command, now)
        for key in (BTC, ETH):
            assert len(engine.state.portfolio.orders.of(key, Purpose.ENTRY)) <= 1

    exchange.carry_out = watched
    live(engine, market, exchange)


@settings(max_examples=40)
@given(markets(), exchanges())
def test_money_adds_up_to_the_last_decimal(market, make_exchange):
    engine = an_engine(Eager(horizon_s=0.5), instruments=INSTRUMENTS)
    steps = live(engine, market, make_exchange())
    paid = {event.execution_id: event.fee for event, _ in steps if isinstance(event, OrderFilled)}
    ledger = engine.state.portfolio.ledger
    assert ledger.is_balanced
    assert ledger.fees == sum(paid.values(), Decimal(0))
    marked = [fact for _, step in steps for fact in step.facts if isinstance(fact, EquityMarked)]
    assert all(fact.exposure >= 0 for fact in marked)
