"""Readings of the account: what is compared, what is mended and when, what opens meanwhile."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.core.domain.commands import CancelOrder, ReadAccount, SetProtection, SubmitOrder
from stakan.core.domain.events import (
    AccountRead,
    AccountUnread,
    Flatten,
    HeldPosition,
    Impaired,
    OpenOrder,
    PauseEntries,
    ProtectionChanged,
    Restored,
    ResumeEntries,
    StopTrading,
    TimerFired,
)
from stakan.core.domain.facts import (
    AccountCompared,
    BalanceCorrected,
    Discrepancy,
    FillBooked,
    PositionClosed,
    Repaired,
    RequestRepeated,
    SignalRefused,
    TradingStateChanged,
)
from stakan.core.domain.ids import ClientOrderId, VenueOrderId
from stakan.core.domain.orders import Purpose
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Orphans, TradingState
from stakan.core.domain.units import Side
from tests.core.engine.builders import (
    BTC,
    ETH,
    SECOND,
    Eager,
    FakeExchange,
    a_delta,
    a_snapshot,
    an_engine,
    an_instrument,
    facts,
    live,
)

BALANCE = Decimal(10_000)


def a_reading(at, positions=(), orders=(), balance=None, asked=None):
    return AccountRead(
        ts_event=at,
        ts_recv=at,
        asked_ts=at if asked is None else asked,
        positions=tuple(positions),
        orders=tuple(orders),
        balance=balance,
    )


def held(lots, key=BTC, entry="64000", stop=630_000, target=None):
    return HeldPosition(instrument=key, lots=lots, entry=Decimal(entry), stop_loss=stop, take_profit=target)


def an_open_order(name="", venue="v1", key=BTC, reduce_only=False):
    return OpenOrder(
        instrument=key,
        client_order_id=ClientOrderId(name),
        venue_order_id=VenueOrderId(venue),
        side=Side.BUY,
        remaining=5,
        reduce_only=reduce_only,
    )


def holding(**changes):
    """An engine with one protected position, some seconds old."""
    engine = an_engine(Eager(), **changes)
    steps = live(engine, [a_snapshot(ts=SECOND)])
    position = engine.state.portfolio.position(BTC)
    assert position.size > 0
    assert position.stop_loss is not None
    return engine, steps


def told_of(engine, **changes):
    """What an exchange says that agrees with the engine."""
    position = engine.state.portfolio.position(BTC)
    values = {"lots": position.signed_size, "stop": position.stop_loss, "target": position.take_profit, **changes}
    return held(**values)


def commands(step, kind):
    return [command for command in step.commands if isinstance(command, kind)]


def twice(engine, at, **reading):
    """The same reading again a second later: what is seen twice is certain."""
    return [engine.step(a_reading(at + wait, **reading)) for wait in (0, SECOND)]


def lasting(engine, at, **reading):
    """Readings until executions that explain them would have been told."""
    return [engine.step(a_reading(at + wait * SECOND, **reading)) for wait in (0, 1, 16)]


# --- the gate -------------------------------------------------------------------------------------------------------


def test_nothing_opens_until_a_reading_agrees():
    engine = an_engine(Eager())
    engine.step(AccountUnread(ts_event=0, ts_recv=0, why="start"))
    blind = live(engine, [a_snapshot(ts=SECOND)])
    assert not [step for _, step in blind if commands(step, SubmitOrder)]
    assert [fact.reason for fact in facts(blind, SignalRefused)] == [Reason.RECOVERING]
    step = engine.step(a_reading(2 * SECOND, balance=BALANCE))
    assert (
        TradingStateChanged(state=TradingState.ACTIVE, reason=Reason.RECOVERING, detail="books and exchange agree")
        in step.facts
    )
    seeing = live(engine, [a_delta(bids=[(639_990, 7)], ts=3 * SECOND)])
    assert [step for _, step in seeing if commands(step, SubmitOrder)]


def test_a_reading_that_differs_keeps_the_gate_closed_and_is_asked_for_again():
    engine = an_engine(Eager())
    engine.step(AccountUnread(ts_event=0, ts_recv=0, why="start"))
    step = engine.step(a_reading(SECOND, [held(7)], balance=BALANCE))
    assert commands(step, ReadAccount)
    assert engine.state.trading is TradingState.REDUCING


def test_a_part_that_is_away_keeps_entries_out_and_cancels_those_that_rest():
    engine = an_engine(Eager())
    away = engine.step(Impaired(ts_event=0, ts_recv=0, part="database", why="refused"))
    assert away.facts
    assert engine.state.trading is TradingState.REDUCING
    assert [f.reason for f in facts(live(engine, [a_snapshot(ts=SECOND)]), SignalRefused)] == [Reason.IMPAIRED]
    engine.step(Impaired(ts_event=0, ts_recv=2 * SECOND, part="disk", why="nearly full"))
    engine.step(Restored(ts_event=0, ts_recv=2 * SECOND, part="database"))
    assert engine.state.trading is TradingState.REDUCING
    engine.step(Restored(ts_event=0, ts_recv=2 * SECOND, part="disk"))
    assert engine.state.trading is TradingState.ACTIVE


def test_a_run_that_stops_opens_nothing_and_keeps_what_it_holds():
    engine, _ = holding()
    step = engine.step(StopTrading(ts_event=0, ts_recv=20 * SECOND, actor="SIGTERM", request_id="1"))
    assert not commands(step, SubmitOrder)
    assert engine.state.trading is TradingState.REDUCING


# --- what is certain ------------------------------------------------------------------------------------------------


def test_a_reading_that_agrees_finds_nothing():
    engine, _ = holding()
    at = 10 * SECOND
    step = engine.step(a_reading(at, [told_of(engine)], balance=engine.state.portfolio.ledger.balance))
    assert step.facts == (AccountCompared(differences=0, repaired=0, is_agreed=True),)
    assert engine.state.agreed_ts == at


def test_what_one_reading_shows_is_only_suspected():
    engine, _ = holding()
    step = engine.step(a_reading(10 * SECOND, []))
    assert [type(fact) for fact in step.facts] == [AccountCompared]
    assert engine.state.portfolio.position(BTC).size > 0
    agreed = engine.step(a_reading(11 * SECOND, [told_of(engine)]))
    assert not engine.state.suspected
    assert agreed.facts[-1].is_agreed


def test_what_moved_since_the_reading_was_asked_for_is_not_judged():
    engine, _ = holding()
    for at in (10, 11):
        step = engine.step(a_reading(at * SECOND, [], asked=SECOND))
        assert step.facts == (AccountCompared(differences=0, repaired=0, is_agreed=False),)


@pytest.mark.parametrize("is_news", [False, True])
def test_a_stop_that_is_told_once_more_has_not_moved(is_news):
    engine, _ = holding()
    stop = engine.state.portfolio.position(BTC).stop_loss - is_news
    told = ProtectionChanged(
        ts_event=12 * SECOND, ts_recv=12 * SECOND, instrument=BTC, stop_loss=stop, take_profit=None
    )
    engine.step(told)
    step = engine.step(a_reading(13 * SECOND, [told_of(engine)], asked=11 * SECOND))
    (compared,) = [fact for fact in step.facts if isinstance(fact, AccountCompared)]
    assert compared.is_agreed is not is_news


def test_another_position_must_last_because_executions_may_be_told_late():
    engine = an_engine(Eager())
    live(engine, [a_snapshot(ts=SECOND)], Silent())
    assert engine.state.portfolio.live_orders(BTC)
    for at in (10, 11, 24):
        engine.step(a_reading(at * SECOND, [held(7)]))
        assert engine.state.portfolio.position(BTC).size == 0
    engine.step(a_reading(25 * SECOND, [held(7)]))
    assert engine.state.portfolio.position(BTC).size == 7


class Silent(FakeExchange):
    """Takes orders and says nothing."""

    def _fill(self, order, now):
        pass


# --- what is mended -------------------------------------------------------------------------------------------------


def test_a_position_that_is_gone_at_the_exchange_is_closed_in_our_books():
    engine, _ = holding()
    *_, step = lasting(engine, 10 * SECOND)
    assert engine.state.portfolio.position(BTC) is None
    assert [type(f) for f in step.facts if isinstance(f, Discrepancy | FillBooked | PositionClosed | Repaired)] == [
        Discrepancy,
        FillBooked,
        PositionClosed,
        Repaired,
    ]
    assert engine.state.instruments[BTC].plan is None


def test_an_orphan_at_the_exchange_is_booked_and_closed():
    engine = an_engine()
    *_, step = lasting(engine, SECOND, positions=[held(-7, stop=650_000)])
    (sent,) = commands(step, SubmitOrder)
    assert (sent.order.purpose, sent.order.side, sent.order.size) == (Purpose.EXIT, Side.BUY, 7)
    assert sent.order.reduce_only
    position = engine.state.portfolio.position(BTC)
    assert (position.signed_size, position.stop_loss) == (-7, 650_000)


@pytest.mark.parametrize(("stop", "asks"), [(None, [633_600]), (630_000, [])])
def test_an_adopted_orphan_is_kept_under_a_stop(stop, asks):
    engine = an_engine(orphans=Orphans.ADOPT)
    *_, step = lasting(engine, SECOND, positions=[held(7, stop=stop)])
    assert not commands(step, SubmitOrder)
    assert [one.stop_loss for one in commands(step, SetProtection)] == asks
    assert engine.state.portfolio.position(BTC).size == 7


def test_a_stop_that_is_missing_is_asked_for_again_and_the_position_closed_where_it_does_not_come():
    engine, _ = holding()
    stop = engine.state.portfolio.position(BTC).stop_loss
    *_, step = twice(engine, 10 * SECOND, positions=[told_of(engine, stop=None)])
    assert [one.stop_loss for one in commands(step, SetProtection)] == [stop]
    (timer,) = [one for one in engine.pending_timers if one.key.startswith("protect")]
    late = engine.step(TimerFired(ts_event=timer.at, ts_recv=timer.at, key=timer.key))
    assert commands(late, SubmitOrder)


def test_a_stop_that_comes_back_keeps_the_position():
    engine, _ = holding()
    stop = engine.state.portfolio.position(BTC).stop_loss
    twice(engine, 10 * SECOND, positions=[told_of(engine, stop=None)])
    back = ProtectionChanged(
        ts_event=12 * SECOND, ts_recv=12 * SECOND, instrument=BTC, stop_loss=stop, take_profit=None
    )
    engine.step(back)
    (timer,) = [one for one in engine.pending_timers if one.key.startswith("protect")]
    assert not engine.step(TimerFired(ts_event=timer.at, ts_recv=timer.at, key=timer.key)).commands


def test_readings_that_keep_showing_no_stop_do_not_put_its_deadline_off():
    engine, _ = holding()
    naked = told_of(engine, stop=None)
    twice(engine, 10 * SECOND, positions=[naked])
    (first,) = [one.at for one in engine.pending_timers if one.key.startswith("protect")]
    twice(engine, 12 * SECOND, positions=[naked])
    assert [one.at for one in engine.pending_timers if one.key.startswith("protect")] == [first]


def test_a_stop_moved_by_hand_is_taken_over():
    engine, _ = holding()
    *_, step = twice(engine, 10 * SECOND, positions=[told_of(engine, stop=631_234)])
    assert engine.state.portfolio.position(BTC).stop_loss == 631_234
    assert not commands(step, SetProtection)


def test_an_order_that_nobody_knows_is_cancelled():
    engine = an_engine()
    *_, step = twice(engine, SECOND, orders=[an_open_order()])
    assert commands(step, CancelOrder) == [
        CancelOrder(instrument=BTC, client_order_id=ClientOrderId(""), venue_order_id=VenueOrderId("v1"))
    ]


def test_an_order_placed_by_hand_that_only_reduces_is_left_alone():
    engine = an_engine()
    for step in twice(engine, SECOND, orders=[an_open_order(reduce_only=True)]):
        assert step.facts[-1].is_agreed
        assert not step.commands


def test_money_that_was_moved_is_no_loss():
    engine = an_engine()
    engine.step(a_snapshot(ts=SECOND))
    *_, step = twice(engine, 2 * SECOND, balance=Decimal(5_000))
    assert BalanceCorrected(before=BALANCE, after=Decimal(5_000), is_transfer=True) in step.facts
    ledger = engine.state.portfolio.ledger
    assert (ledger.balance, ledger.day_pnl, ledger.drawdown, ledger.is_balanced) == (5_000, 0, 0, True)


def test_a_balance_that_differs_after_a_repaired_position_is_a_result():
    engine, _ = holding()
    before = engine.state.portfolio.ledger.balance
    lost = before - 500
    lasting(engine, 10 * SECOND, balance=before)
    *_, step = twice(engine, 40 * SECOND, balance=lost)
    (fact,) = [f for f in step.facts if isinstance(f, BalanceCorrected)]
    assert (fact.after, fact.is_transfer) == (lost, False)
    assert engine.state.portfolio.ledger.day_pnl < -400


# --- laws -----------------------------------------------------------------------------------------------------------

lots = st.integers(-50, 50)
stops = st.one_of(st.none(), st.integers(600_000, 680_000))


@given(ours=lots, theirs=lots, eth=lots, stop=stops, balance=st.decimals(1_000, 20_000, places=4))
def test_after_two_readings_books_and_exchange_agree_and_a_third_finds_nothing(ours, theirs, eth, stop, balance):
    engine = an_engine(instruments=[an_instrument(), an_instrument(ETH)], orphans=Orphans.ADOPT)
    truth = [held(size, key, stop=stop) for key, size in ((BTC, ours),) if size]
    lasting(engine, SECOND, positions=truth)
    truth = [held(size, key, stop=stop) for key, size in ((BTC, theirs), (ETH, eth)) if size]
    for at in range(20, 100, 2):
        twice(engine, at * SECOND, positions=truth, balance=balance)
    portfolio = engine.state.portfolio
    for key, size in ((BTC, theirs), (ETH, eth)):
        position = portfolio.position(key)
        assert (position.signed_size if position is not None else 0) == size
    assert portfolio.ledger.balance == balance
    assert portfolio.ledger.is_balanced
    step = engine.step(a_reading(140 * SECOND, truth, balance=balance))
    compared = step.facts[-1]
    assert isinstance(compared, AccountCompared)
    # A position without a stop stays a difference until it has one.
    naked = sum(row.stop_loss is None for row in truth)
    assert compared.differences == naked


@given(theirs=lots, at=st.integers(2, 1000))
def test_repairs_are_derived_so_a_replay_makes_the_same_ones(theirs, at):
    def run():
        engine = an_engine()
        return lasting(engine, at * SECOND, positions=[held(theirs)] if theirs else [])

    assert run() == run()


def test_a_suspicion_outlives_a_snapshot():
    engine, _ = holding()
    engine.step(a_reading(10 * SECOND, []))
    other = an_engine(Eager())
    other.restore(engine.snapshot())
    mended = engine.step(a_reading(26 * SECOND, []))
    assert any(isinstance(fact, Repaired) for fact in mended.facts)
    assert other.step(a_reading(26 * SECOND, [])) == mended


def test_a_suspicion_outlives_readings_during_which_its_instrument_moved():
    engine, _ = holding()
    engine.step(a_reading(10 * SECOND, []))
    engine.step(a_reading(11 * SECOND, [], asked=SECOND))
    assert engine.state.suspected
    step = engine.step(a_reading(26 * SECOND, []))
    assert any(isinstance(fact, Repaired) for fact in step.facts)


def test_nothing_opens_in_an_instrument_that_is_suspected_and_all_else_goes_on():
    engine = an_engine(Eager(), instruments=[an_instrument(), an_instrument(ETH)])
    engine.step(a_reading(SECOND, [held(7)]))
    steps = live(engine, [a_snapshot(ts=2 * SECOND), a_snapshot(ts=2 * SECOND, key=ETH)], Silent())
    sent = [one.order.instrument for _, step in steps for one in commands(step, SubmitOrder)]
    assert sent == [ETH]
    assert Reason.RECOVERING in {fact.reason for fact in facts(steps, SignalRefused)}


@given(lots=st.integers(-50, 50).filter(bool))
def test_a_position_that_nobody_booked_yet_gets_a_stop_at_once(lots):
    engine = an_engine()
    first, second = twice(engine, SECOND, positions=[held(lots, stop=None)])
    assert not commands(first, SetProtection)
    (asked,) = commands(second, SetProtection)
    assert (asked.stop_loss - 640_000) * lots < 0
    assert engine.state.portfolio.position(BTC) is None


def test_a_stop_is_put_back_also_while_a_close_has_no_outcome():
    engine, _ = holding()
    exchange = Silent()
    for command in engine.step(Flatten(ts_event=0, ts_recv=9 * SECOND, actor="me", request_id="1")).commands:
        exchange.carry_out(command, 9 * SECOND)
    *_, step = twice(engine, 10 * SECOND, positions=[told_of(engine, stop=None)])
    assert commands(step, SetProtection)


def test_without_the_private_stream_no_reading_opens_the_gate():
    engine = an_engine()
    engine.step(AccountUnread(ts_event=0, ts_recv=0, why="stream"))
    away = msgspec.structs.replace(a_reading(SECOND, balance=BALANCE), is_streaming=False)
    engine.step(away)
    assert engine.state.trading is TradingState.REDUCING
    engine.step(a_reading(2 * SECOND, balance=BALANCE))
    assert engine.state.trading is TradingState.ACTIVE


def test_a_lot_added_by_hand_to_an_adopted_position_closes_nothing():
    engine = an_engine(orphans=Orphans.ADOPT)
    lasting(engine, SECOND, positions=[held(5)])
    *_, step = lasting(engine, 40 * SECOND, positions=[held(6)])
    assert engine.state.portfolio.position(BTC).size == 6
    assert not commands(step, SubmitOrder)


def test_a_request_that_comes_again_is_carried_out_once():
    engine = an_engine()
    first = PauseEntries(ts_event=0, ts_recv=1, actor="me", request_id="r1")
    engine.step(first)
    engine.step(ResumeEntries(ts_event=0, ts_recv=2, actor="me", request_id="r2"))
    step = engine.step(PauseEntries(ts_event=0, ts_recv=3, actor="me", request_id="r1"))
    assert step.facts == (RequestRepeated(operation="PauseEntries", request_id="r1", first=1),)
    assert engine.state.trading is TradingState.ACTIVE
    other = an_engine(run_epoch="1")
    other.carry(engine)
    again = other.step(PauseEntries(ts_event=0, ts_recv=4, actor="me", request_id="r1"))
    assert isinstance(again.facts[0], RequestRepeated)
    engine = other
    late = PauseEntries(ts_event=0, ts_recv=2 * 3600 * SECOND, actor="me", request_id="r1")
    assert engine.step(late).facts
    assert engine.state.trading is TradingState.REDUCING
