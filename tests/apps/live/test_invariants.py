"""Invariants while running: a correct engine breaks none, and each check finds what a broken one would do."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.engine.builders import (
    ALL_RULES,
    BTC,
    ETH,
    MS,
    SECOND,
    Eager,
    FakeExchange,
    a_delta,
    a_snapshot,
    an_engine,
    an_instrument,
    live,
)
from tests.core.engine.test_engine_laws import markets
from tests.core.engine.test_recovery import a_reading, an_open_order, held

from stakan.apps.live.invariants import (
    ABOUT,
    AGREEMENT,
    CLOSE_WITHIN,
    ENTRY,
    EXPOSURE,
    HALTED,
    LEDGER,
    MARGIN,
    STOP,
    Around,
    Invariants,
    disagreement,
)
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import AccountUnread, Halt, OrderFilled, ProtectionChanged, TimerFired
from stakan.core.domain.facts import FillBooked, FundingBooked, OrderTransitioned, TradingStateChanged
from stakan.core.domain.orders import NewOrder, OrderStatus, OrderType, Purpose
from stakan.core.domain.reasons import Reason
from stakan.core.domain.step import Step
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import Side
from stakan.core.portfolio.orders import Order

BOUND = 3 * SECOND + CLOSE_WITHIN
A_TIMER = TimerFired(ts_event=0, ts_recv=0, key="test BTC x")


class Watched:
    """An engine under watch, whose steps a test makes up."""

    def __init__(self, engine=None, **around):
        self.engine = engine or an_engine(Eager())
        self.breaches = []
        self.invariants = Invariants(self.engine, self.breaches.append, Around(**around))

    @property
    def numbers(self):
        return [breach.number for breach in self.breaches]

    @property
    def portfolio(self):
        return self.engine.state.portfolio

    def step(self, facts=(), commands=(), ts=SECOND, event=A_TIMER):
        self.invariants.observe(event, Step(1, ts, tuple(facts), tuple(commands)))

    def sends(self, order, *facts, booked=True, ts=SECOND):
        """As if the engine had sent it."""
        if booked and order.client_order_id not in self.portfolio.orders.live:
            self.portfolio.orders.submit(an_order_of(order))
        self.step((*facts, transitioned(order, None, OrderStatus.PENDING)), (SubmitOrder(order=order),), ts)

    def holds(self, size=2, stop=None, key=BTC, ts=SECOND):
        """A position comes into being, with its stop or without."""
        self.portfolio.orders.submit(an_order_of(an_entry("first", size=size, key=key)))
        self.portfolio.apply(a_fill("first", size, key, ts))
        if stop is not None:
            self.portfolio.apply(stop_is(stop, key, ts))
        return self.portfolio.position(key)


def an_entry(name="a", intent="i-1", size=1, key=BTC, side=Side.BUY, **changes):
    values = {
        "client_order_id": name,
        "instrument": key,
        "intent": intent,
        "purpose": Purpose.ENTRY,
        "side": side,
        "size": size,
        "type": OrderType.LIMIT,
        "price": 640_000,
        "stop_loss": 630_000,
    }
    return NewOrder(**{**values, **changes})


def an_order_of(request):
    return Order(request=request, price=request.price, size=request.size, submitted_ts=SECOND)


def transitioned(order, before, after, filled=0):
    return OrderTransitioned(
        client_order_id=order.client_order_id,
        instrument=order.instrument,
        before=before,
        after=after,
        cause="",
        filled=filled,
    )


def a_fill(name, size, key=BTC, ts=SECOND, side=Side.BUY):
    return OrderFilled(
        instrument=key,
        client_order_id=name,
        ts_event=ts,
        ts_recv=ts,
        execution_id=f"x-{name}-{ts}",
        side=side,
        price=640_000,
        size=size,
        fee=Decimal(0),
        is_maker=False,
    )


def stop_is(price, key=BTC, ts=SECOND):
    return ProtectionChanged(instrument=key, ts_event=ts, ts_recv=ts, stop_loss=price, take_profit=None)


def trading(state):
    return TradingStateChanged(state=state, reason=Reason.DAILY_LOSS, detail="")


def booked(realised="0", fee="0"):
    return FillBooked(
        execution_id="x",
        client_order_id="a",
        instrument=BTC,
        position="p",
        side=Side.BUY,
        price=1,
        size=1,
        fee=Decimal(fee),
        realised_pnl=Decimal(realised),
        is_maker=False,
        origin="order",
        ts_event=1,
        mid_ticks=0.0,
    )


# --- a correct engine ----------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    markets(),
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from((0.3, 0.5, 1.0))), max_size=3),
    st.booleans(),
    st.none() | st.floats(0, 1),
)
def test_a_correct_engine_breaks_none_whatever_the_market_and_the_fills(market, fills, protects, halted_at):
    engine = an_engine(Eager(horizon_s=0.5), Eager(side=-1), instruments=[an_instrument(BTC), an_instrument(ETH)])
    breaches = []
    invariants = Invariants(engine, breaches.append)
    step = engine.step

    def watched(event):
        made = step(event)
        invariants.observe(event, made)
        return made

    engine.step = watched
    if halted_at is not None:
        place = round(halted_at * (len(market) - 1))
        ts = market[place].ts_recv
        market.insert(place + 1, Halt(ts_event=ts, ts_recv=ts, actor="ann", request_id="1", why="test"))
    live(engine, market, FakeExchange(lambda _: [(delay * MS, share) for delay, share in fills], protects=protects))
    assert breaches == []


def test_entries_are_sent_in_that_law():
    engine = an_engine(Eager(horizon_s=0.5))
    steps = live(engine, [a_snapshot(ts=SECOND), a_delta(ts=2 * SECOND)])
    assert any(isinstance(one, SubmitOrder) for _, step in steps for one in step.commands)


# --- 1 -------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 10), st.integers(-5 * SECOND, 5 * SECOND))
def test_a_position_may_be_without_a_stop_for_the_bound_and_no_longer(size, beyond):
    watched = Watched()
    watched.holds(size)
    watched.step()
    watched.step(ts=SECOND + BOUND + beyond)
    assert watched.numbers == ([STOP] if beyond > 0 else [])


def test_a_breach_says_its_numbers_and_is_told_once():
    watched = Watched()
    watched.holds(2)
    watched.step()
    for more in range(1, 5):
        watched.step(ts=SECOND + BOUND + more * SECOND)
    (breach,) = watched.breaches
    assert breach.number in ABOUT
    assert breach.instrument == BTC
    assert "2 lots without a stop for 6.0 s, bound 5.0 s" in breach.detail


def test_a_stop_that_is_lost_begins_the_clock_and_one_that_comes_ends_it():
    watched = Watched()
    watched.holds(2, stop=630_000)
    watched.step()
    watched.step(ts=SECOND + 2 * BOUND)
    assert not watched.invariants.bare
    lost = SECOND + 2 * BOUND
    watched.portfolio.apply(stop_is(None, ts=lost))
    watched.step(ts=lost)
    assert watched.invariants.bare
    watched.portfolio.apply(stop_is(631_000, ts=lost + BOUND))
    watched.step(ts=lost + BOUND)
    watched.step(ts=lost + 3 * BOUND)
    assert watched.numbers == []
    watched.portfolio.apply(stop_is(None, ts=lost + 3 * BOUND))
    watched.step(ts=lost + 3 * BOUND)
    watched.step(ts=lost + 4 * BOUND + 1)
    assert watched.numbers == [STOP]


def test_time_alone_breaks_it_where_nothing_comes_in_any_more():
    watched = Watched()
    watched.holds(2)
    watched.step()
    watched.invariants.check(SECOND + BOUND + 1)
    assert watched.numbers == [STOP]


def test_while_the_exchange_does_not_answer_the_clock_stands_and_begins_again_after():
    is_up = [True]
    watched = Watched(is_connected=lambda: is_up[0])
    watched.holds(2)
    watched.step()
    is_up[0] = False
    back = SECOND + 10 * BOUND
    watched.invariants.check(back)
    is_up[0] = True
    watched.invariants.check(back + BOUND)
    assert watched.numbers == []
    watched.invariants.check(back + BOUND + 1)
    assert watched.numbers == [STOP]


def test_a_position_that_is_carried_from_an_earlier_run_is_watched_from_the_start():
    engine = Watched()
    engine.holds(2)
    later = Watched(engine.engine)
    assert later.invariants.bare


# --- 2 -------------------------------------------------------------------------------------------------------------


def test_two_entries_for_one_intent_are_found():
    watched = Watched()
    watched.sends(an_entry("a"))
    watched.sends(an_entry("b"))
    assert watched.numbers == [ENTRY]
    assert "b for i-1, although a may be filled" in watched.breaches[0].detail


def test_the_same_order_sent_twice_is_found():
    watched = Watched()
    watched.sends(an_entry("a"))
    watched.sends(an_entry("a"))
    assert watched.numbers == [ENTRY]


@pytest.mark.parametrize("after", [OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.FAILED])
@pytest.mark.parametrize(("filled", "found"), [(0, []), (1, [ENTRY])])
def test_another_attempt_is_allowed_only_when_the_first_has_ended_without_a_fill(after, filled, found):
    watched = Watched()
    first = an_entry("a", size=2)
    watched.sends(first)
    watched.step([transitioned(first, OrderStatus.PENDING, after, filled)])
    watched.sends(an_entry("b"))
    assert watched.numbers == found


def test_entries_of_other_intents_and_exits_are_no_second_entry():
    watched = Watched()
    watched.sends(an_entry("a"))
    watched.sends(an_entry("b", intent="i-2"))
    watched.sends(an_entry("c", purpose=Purpose.EXIT, side=Side.SELL, reduce_only=True))
    assert watched.numbers == []


def test_an_entry_that_is_carried_from_an_earlier_run_counts():
    before = Watched()
    before.sends(an_entry("a"))
    after = Watched(before.engine)
    after.sends(an_entry("b"))
    assert after.numbers == [ENTRY]


# --- 3 -------------------------------------------------------------------------------------------------------------


def priced(engine, price="64000"):
    for state in engine.state.instruments.values():
        state.last_mark = Decimal(price)
    return engine


def lots_worth(amount, price="64000"):
    return int(Decimal(amount) / (Decimal(price) * Decimal("0.001")))


def two(rules=ALL_RULES, **changes):
    instruments = [an_instrument(BTC), an_instrument(ETH)]
    return priced(an_engine(Eager(), instruments=instruments, rules=rules, **changes))


@pytest.mark.parametrize(("worth", "found"), [(400, []), (600, [EXPOSURE])])
def test_one_instrument_within_its_share_of_equity(worth, found):
    watched = Watched(two())
    watched.sends(an_entry("a", size=lots_worth(worth)))
    assert watched.numbers == found


def test_orders_in_flight_count_as_filled():
    rules = [(name, rule) for name, rule in ALL_RULES if name != "exposure"]
    exposure = dict(ALL_RULES)["exposure"]
    tight = msgspec.structs.replace(exposure, max_notional=Decimal(1_000), max_position_share=Decimal(1))
    watched = Watched(two(rules=(*rules, ("exposure", tight))))
    watched.sends(an_entry("a", size=lots_worth(600)))
    watched.sends(an_entry("b", intent="i-2", key=ETH, size=lots_worth(600)))
    assert watched.numbers == [EXPOSURE]
    assert "limit 1000" in watched.breaches[0].detail


def test_a_position_and_its_closing_order_count_once():
    watched = Watched(two())
    watched.holds(lots_worth(400), stop=630_000)
    close = an_entry("close", size=lots_worth(400), purpose=Purpose.EXIT, side=Side.SELL, reduce_only=True)
    watched.portfolio.orders.submit(an_order_of(close))
    watched.sends(an_entry("b", intent="i-2", key=ETH, size=lots_worth(400)))
    assert watched.numbers == []


def test_without_a_rule_of_exposure_there_is_no_limit_to_break():
    watched = Watched(two(rules=()))
    watched.sends(an_entry("a", size=10**6))
    assert watched.numbers == []


# --- 4 -------------------------------------------------------------------------------------------------------------


def test_an_entry_before_its_margin_was_asserted_is_found():
    watched = Watched(two(), is_margin_asserted=lambda key: key == ETH)
    watched.sends(an_entry("a", key=ETH))
    watched.sends(an_entry("b", intent="i-2", key=BTC))
    assert watched.numbers == [MARGIN]
    assert watched.breaches[0].instrument == BTC


# --- 7 -------------------------------------------------------------------------------------------------------------


def test_an_entry_while_halted_is_found():
    watched = Watched()
    watched.step([trading(TradingState.HALTED)])
    watched.sends(an_entry("a"))
    assert watched.numbers == [HALTED]


def test_an_entry_after_the_release_is_none():
    watched = Watched()
    watched.step([trading(TradingState.HALTED)])
    watched.step([trading(TradingState.ACTIVE)])
    watched.sends(an_entry("a"))
    assert watched.numbers == []


def test_within_a_step_what_comes_first_counts():
    entry = an_entry("a")
    sent, made = SubmitOrder(order=entry), transitioned(entry, None, OrderStatus.PENDING)
    before, after = Watched(), Watched()
    before.step([made, trading(TradingState.HALTED)], [sent])
    after.step([trading(TradingState.HALTED), made], [sent])
    assert (before.numbers, after.numbers) == ([], [HALTED])


def test_an_entry_of_which_no_fact_speaks_is_judged_by_the_state_before_its_step():
    watched = Watched()
    watched.step([trading(TradingState.HALTED)])
    watched.step([], [SubmitOrder(order=an_entry("a"))])
    assert watched.numbers == [HALTED]


def test_a_halt_that_is_carried_from_an_earlier_run_counts():
    engine = an_engine(Eager())
    engine.step(Halt(ts_event=1, ts_recv=1, actor="ann", request_id="1", why="test"))
    watched = Watched(engine)
    watched.sends(an_entry("a"))
    assert watched.numbers == [HALTED]


def test_closing_while_halted_is_what_a_halt_is_for():
    watched = Watched()
    watched.step([trading(TradingState.HALTED)])
    watched.sends(an_entry("a", purpose=Purpose.EXIT, side=Side.SELL, reduce_only=True))
    assert watched.numbers == []


# --- 8 -------------------------------------------------------------------------------------------------------------


def test_money_that_moves_without_a_fact_is_found():
    watched = Watched()
    watched.portfolio.ledger.balance += Decimal("0.01")
    watched.step([booked()])
    assert set(watched.numbers) == {LEDGER}


def test_a_fill_that_does_not_reach_the_balance_is_found_though_its_parts_add_up():
    watched = Watched()
    watched.step([booked(realised="1.5", fee="0.2")])
    assert watched.numbers == [LEDGER]
    assert "by what step 1 says 10001.3" in watched.breaches[0].detail


def test_a_ledger_whose_parts_do_not_add_up_is_found_though_its_balance_is_right():
    watched = Watched()
    watched.portfolio.ledger.fees += Decimal(1)
    watched.step([booked()])
    watched.step([booked()])
    assert watched.numbers == [LEDGER]


def test_what_is_booked_is_no_breach():
    watched = Watched()
    ledger = watched.portfolio.ledger
    ledger.book_fill(Decimal("1.5"), Decimal("0.2"), SECOND)
    ledger.book_funding(Decimal("-0.3"), SECOND)
    watched.step([booked("1.5", "0.2"), FundingBooked(execution_id="f", instrument=BTC, amount=Decimal("-0.3"))])
    assert watched.numbers == []


# --- 5 -------------------------------------------------------------------------------------------------------------


def found_at_odds(engine, at, **reading):
    """What is told of while readings keep saying the same, until executions cannot explain it any more."""
    told = []
    for wait in (0, 1, 16):
        step = engine.step(a_reading(at + wait * SECOND, **reading))
        told.append(disagreement(engine, step))
    return told


DIFFERENT = {
    "position": {"positions": [held(7)]},
    "open order": {"orders": [an_open_order()]},
}


@pytest.mark.parametrize("subject", DIFFERENT)
def test_what_has_to_be_repaired_after_books_and_exchange_agreed_is_told(subject):
    engine = an_engine()
    engine.step(a_snapshot(ts=SECOND))
    engine.step(a_reading(2 * SECOND))
    (breach,) = filter(None, found_at_odds(engine, 3 * SECOND, **DIFFERENT[subject]))
    assert breach.number == AGREEMENT
    assert breach.number in ABOUT
    assert subject in breach.detail


@pytest.mark.parametrize("subject", DIFFERENT)
def test_a_recovery_may_repair(subject):
    engine = an_engine()
    engine.step(a_snapshot(ts=SECOND))
    engine.step(AccountUnread(ts_event=2 * SECOND, ts_recv=2 * SECOND, why="private stream"))
    assert found_at_odds(engine, 3 * SECOND, **DIFFERENT[subject]) == [None] * 3


def test_money_that_came_or_went_is_no_disagreement():
    engine = an_engine()
    engine.step(a_snapshot(ts=SECOND))
    assert found_at_odds(engine, 2 * SECOND, balance=Decimal(5_000)) == [None] * 3
    assert engine.state.portfolio.ledger.balance == 5_000


def test_what_one_reading_shows_is_no_disagreement_yet():
    engine = an_engine()
    engine.step(a_snapshot(ts=SECOND))
    told = [
        disagreement(engine, engine.step(a_reading(at * SECOND, **(DIFFERENT["position"] if at % 2 else {}))))
        for at in range(2, 40)
    ]
    assert told == [None] * 38
