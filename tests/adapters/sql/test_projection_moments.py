"""Single moments: what one event or one fact makes of the rows; and that no kind of either is lost."""

from decimal import Decimal

import pytest
from tests.adapters.sql.journals import a_header, a_run, folded
from tests.core.domain.samples import members, sample
from tests.core.engine.builders import BTC, an_instrument

from stakan.adapters.journal.records import End, Inbox, Market, Outcome
from stakan.adapters.sql import tables as t
from stakan.adapters.sql.batch import Rows
from stakan.adapters.sql.folding.state import OWNERS_KEPT, to_bytes
from stakan.adapters.sql.moments import Moment
from stakan.adapters.sql.projection import Fold
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import (
    AnyEvent,
    CancelRejected,
    Event,
    FillOrigin,
    InstrumentChanged,
    MarketEvent,
    OrderAccepted,
    OrderAmended,
    OutcomeLost,
    ProtectionChanged,
    ProtectionRejected,
)
from stakan.core.domain.facts import (
    AnyFact,
    Fact,
    FillBooked,
    OrderTransitioned,
    PositionTransitioned,
    ProtectionRefused,
)
from stakan.core.domain.orders import NewOrder, OrderStatus, OrderType, PositionStatus, Purpose
from stakan.core.domain.step import Step
from stakan.core.domain.units import Side

RUN = "20231114-221350-paper"


def rows_of(fold):
    rows = Rows()
    rows.take(fold.take_batch())
    return rows


# --- nothing is lost ---------------------------------------------------------------------------------------------------


class Mended(Fact, frozen=True, kw_only=True, tag=True):
    """A kind of fact that this release does not know."""

    instrument: str
    how: str


class AccountHeard(Event, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """A kind of event that this release does not know."""

    balance: Decimal


def one_moment(event=None, facts=(), commands=(), number=1):
    fold = Fold()
    fold.begin(RUN, a_header(), carries_on=False)
    fold.take_batch()
    fold.take(Moment(number, event, Step(number, 5, tuple(facts), tuple(commands)) if facts or commands else None))
    return fold


def test_a_fact_of_an_unknown_kind_becomes_a_system_event_and_is_audited():
    batch = one_moment(facts=[Mended(instrument=BTC, how="a stop was put back\x00")]).take_batch()
    (row,) = batch.inserts[t.system_events].values()
    assert (row["kind"], row["instrument"]) == ("Mended", BTC)
    assert row["detail"]["how"].startswith("a stop was put back")
    assert [(entry.action, entry.entity) for entry in batch.audit] == [("fact", "Mended")]


def test_an_event_of_an_unknown_kind_becomes_a_system_event():
    event = AccountHeard(ts_event=3, ts_recv=4, balance=Decimal("1.50"))
    batch = one_moment(event).take_batch()
    (row,) = batch.inserts[t.system_events].values()
    assert (row["kind"], row["ts"], row["detail"]["balance"]) == ("AccountHeard", 4, "1.50")


@pytest.mark.parametrize("kind", members(AnyFact))
def test_every_kind_of_fact_leaves_a_row(kind):
    fact = sample(kind, fill=True)
    fold = Fold()
    fold.begin(RUN, a_header(instruments=(an_instrument("text"),)), carries_on=False)
    fold.take_batch()
    fold.take(Moment(1, None, Step(1, 5, (fact,))))
    batch = fold.take_batch()
    rows = [row for table, there in batch.inserts.items() if table is not t.runs for row in there.values()]
    assert rows


@pytest.mark.parametrize("kind", [kind for kind in members(AnyEvent) if not issubclass(kind, MarketEvent)])
def test_no_kind_of_event_is_in_the_way(kind):
    fold = Fold()
    fold.begin(RUN, a_header(instruments=(an_instrument("text"),)), carries_on=False)
    fold.take(Moment(1, sample(kind, fill=True)))
    assert fold.state.number == 1


# --- single things -----------------------------------------------------------------------------------------------------

IDS = {"client_order_id": "s-1", "instrument": BTC}


def submitted(number=1, **changes):
    order = NewOrder(
        **{
            "client_order_id": "s-1",
            "instrument": BTC,
            "intent": "e-1",
            "purpose": Purpose.ENTRY,
            "side": Side.BUY,
            "size": 10,
            "type": OrderType.LIMIT,
            "price": 640_000,
            "stop_loss": 630_000,
            **changes,
        }
    )
    fact = transition(None, OrderStatus.PENDING, "submitted", name=order.client_order_id)
    return Moment(number, None, Step(number, number, (fact,), (SubmitOrder(order=order),)))


def transition(before, after, cause="x", filled=0, name="s-1"):
    return OrderTransitioned(
        client_order_id=name, instrument=BTC, before=before, after=after, cause=cause, filled=filled
    )


def after(*more):
    fold = Fold()
    fold.begin(RUN, a_header(), carries_on=False)
    for moment in (submitted(), *more):
        fold.take(moment)
    return fold


def order_event(kind, number, facts=(), **fields):
    event = kind(**IDS, ts_event=number, ts_recv=number, **fields)
    return Moment(number, event, Step(number, number, tuple(facts)) if facts else None)


def test_amended_terms_are_those_in_force():
    placed = order_event(OrderAccepted, 2, [transition(OrderStatus.PENDING, OrderStatus.PLACED)], venue_order_id="v1")
    amended = order_event(OrderAmended, 3, [transition(OrderStatus.PLACED, OrderStatus.PLACED)], price=640_100, size=20)
    row = rows_of(after(placed, amended))[t.orders]["s-1",]
    assert (row["price"], row["size_lots"], row["venue_order_id"]) == (Decimal("64010.0"), 20, "v1")


def test_an_outcome_is_unknown_until_the_exchange_speaks_of_the_order():
    lost = order_event(OutcomeLost, 2)
    fold = after(lost)
    batch = fold.take_batch()
    assert batch.inserts[t.orders]["s-1",]["outcome_unknown"]
    assert [entry.success for entry in batch.audit if entry.action == "order request"] == [False]
    fold.take(order_event(OrderAccepted, 3, [transition(OrderStatus.PENDING, OrderStatus.PLACED)]))
    assert not fold.take_batch().changes[t.orders]["s-1",]["outcome_unknown"]


def test_refused_cancels_and_rejected_orders_are_failures():
    refused = order_event(CancelRejected, 2, why="too late")
    rejected = order_event(
        OrderAccepted, 3, [transition(OrderStatus.PENDING, OrderStatus.REJECTED, "rejected: 110007")]
    )
    audit = after(refused, rejected).take_batch().audit
    assert [(entry.action, entry.reason) for entry in audit if not entry.success] == [
        ("order request", "too late"),
        ("order", "rejected: 110007"),
    ]


def test_a_late_fill_corrects_an_order_that_has_ended_and_is_still_traced():
    gone = order_event(OrderAccepted, 2, [transition(OrderStatus.PENDING, OrderStatus.CANCELLED)])
    fold = after(gone)
    fold.take_batch()
    fold.take(Moment(3, None, Step(3, 3, (transition(OrderStatus.CANCELLED, OrderStatus.FILLED, "late", 10),))))
    batch = fold.take_batch()
    assert batch.changes[t.orders]["s-1",] == {
        "status": "filled",
        "cause": "late",
        "filled_lots": 10,
        "filled": Decimal("0.010"),
    }
    assert batch.audit[0].trace_id == "e-1"


def test_whose_an_order_was_is_remembered_for_a_while_and_no_longer():
    fold = Fold()
    fold.begin(RUN, a_header(), carries_on=False)
    for number in range(1, 6 * OWNERS_KEPT, 2):
        name = f"s-{number}"
        fold.take(submitted(number, client_order_id=name, intent=f"e-{number}"))
        fact = transition(OrderStatus.PENDING, OrderStatus.CANCELLED, name=name)
        fold.take(Moment(number + 1, None, Step(number + 1, number, (fact,))))
    assert not fold.state.orders
    assert fold.state.traces.orders.get(name)
    assert not fold.state.traces.orders.get("s-1")
    assert len(to_bytes(fold.state)) < 50_000


def test_a_transition_of_an_order_that_no_journal_submits_is_kept_as_a_system_event():
    batch = one_moment(facts=[transition(OrderStatus.PENDING, OrderStatus.FILLED)]).take_batch()
    assert t.order_transitions not in batch.inserts
    (row,) = batch.inserts[t.system_events].values()
    assert row["kind"] == "OrderTransitioned"
    assert batch.audit[0].entity == "s-1"


def test_a_new_grid_waits_until_nothing_is_expressed_in_the_old_one():
    fine = an_instrument(tick_size=Decimal("0.01"))
    change = Moment(2, InstrumentChanged(instrument=BTC, ts_event=2, ts_recv=2, rules=fine))
    fold = after(change)
    assert fold.state.rules[BTC].tick_size == Decimal("0.1")
    fold.take(order_event(OrderAccepted, 3, [transition(OrderStatus.PENDING, OrderStatus.CANCELLED)]))
    assert fold.state.rules[BTC] == fine
    assert rows_of(fold)[t.instruments][BTC,]["tick_size"] == Decimal("0.01")


def position(before, after, size=0):
    return PositionTransitioned(
        position="p#1",
        instrument=BTC,
        intent="e-1",
        strategy="s",
        before=before,
        after=after,
        side=Side.BUY,
        size=size,
        cause="c",
    )


def test_an_older_message_about_a_stop_does_not_replace_a_newer_one():
    def stop(number, ts_event, price):
        event = ProtectionChanged(instrument=BTC, ts_event=ts_event, ts_recv=number, stop_loss=price, take_profit=None)
        return Moment(number, event)

    opened = Moment(2, None, Step(2, 2, (position(None, PositionStatus.OPENING),)))
    fold = after(opened, stop(3, 30, 630_000), stop(4, 20, 620_000), stop(5, 40, 635_000))
    batch = fold.take_batch()
    assert batch.inserts[t.positions][RUN, "p#1"]["stop_loss"] == Decimal("63500.0")
    assert [(entry.old, entry.new) for entry in batch.audit if entry.action == "stop"] == [
        (None, "63000.0"),
        ("63000.0", "63500.0"),
    ]


def test_a_stop_that_the_exchange_refused_is_a_failure_and_the_exchange_said_so():
    event = ProtectionRejected(instrument=BTC, ts_event=1, ts_recv=1, why="too close")
    batch = one_moment(event, [ProtectionRefused(instrument=BTC, why="too close")]).take_batch()
    assert [(entry.action, entry.actor, entry.success) for entry in batch.audit] == [("stop", "exchange", False)]
    assert len(batch.inserts[t.system_events]) == 1


def test_the_first_fill_decides_on_which_side_an_empty_position_is():
    """A market maker asks on both."""
    fill = FillBooked(
        execution_id="x1",
        client_order_id="s-1",
        instrument=BTC,
        position="p#1",
        side=Side.SELL,
        price=640_000,
        size=3,
        fee=Decimal("0.1"),
        realised_pnl=Decimal(0),
        is_maker=True,
        origin=FillOrigin.REPAIR,
        ts_event=3,
        mid_ticks=0.0,
    )
    opened = Moment(2, None, Step(2, 2, (position(None, PositionStatus.OPENING),)))
    row = rows_of(after(opened, Moment(3, None, Step(3, 3, (fill,)))))[t.positions][RUN, "p#1"]
    assert (row["side"], row["size_lots"], row["entry_price"]) == ("sell", 3, Decimal(64000))


def test_the_end_of_a_run_is_told_once():
    run = a_run(length=4)[2]
    fold = folded({RUN: run})
    assert rows_of(fold)[t.runs][RUN,]["is_complete"]
    fold.take(Moment(fold.state.number, is_end=True))
    assert not fold.take_batch()


def test_records_of_kinds_that_matter_are_read_in_their_order():
    run = a_run(length=4)[2]
    assert {type(record) for record in run.records} == {Market, Inbox, Outcome, End}
