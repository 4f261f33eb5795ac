"""Traces: one for all that an intent leads to, the step's own for the rest, the same for every reader."""

import functools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.domain.samples import members, sample
from tests.core.engine.builders import (
    BTC,
    MS,
    SECOND,
    Eager,
    FakeExchange,
    a_delta,
    a_snapshot,
    an_engine,
    live,
)

from stakan.core.domain.commands import AnyCommand, CancelOrder, RequestSnapshot, SetProtection, SetTimer, SubmitOrder
from stakan.core.domain.events import AnyEvent, BookDelta, MarketEvent, OrderEvent, ProtectionChanged, TimerFired
from stakan.core.domain.facts import (
    AnyFact,
    BookGap,
    Discrepancy,
    EntryFeatures,
    EquityMarked,
    ExitDecided,
    FillBooked,
    IntentApproved,
    OrderTransitioned,
    PositionClosed,
    PositionTransitioned,
    SignalProposed,
)
from stakan.core.domain.orders import PositionStatus, Purpose
from stakan.core.domain.step import Step
from stakan.core.domain.trace import Owners, Traces, trace_of
from stakan.core.domain.units import Side

RUN = "20261002-120000-paper"
OF_INTENT = (
    IntentApproved,
    EntryFeatures,
    OrderTransitioned,
    FillBooked,
    PositionTransitioned,
    PositionClosed,
    ExitDecided,
)


@functools.cache
def a_run(length=60, **wants):
    """An engine that goes in and out of a market, over a fake exchange."""
    engine = an_engine(Eager(horizon_s=1.0, **wants))
    events = [a_snapshot(ts=SECOND)]
    events += [a_delta([(639_990, 5 + i)], [], SECOND + i * 100 * MS, i + 1) for i in range(1, length)]
    return live(engine, events, FakeExchange(lambda _: [(20 * MS, 0.5), (40 * MS, 0.5)]))


def traced(steps, run=RUN):
    """(item, trace) of everything, as a reader of the steps finds it."""
    known, found = Traces(run=run), []
    for event, step in steps:
        known.note(step)
        found += [(item, trace_of(item, step, known)) for item in (event, *step.facts, *step.commands)]
    return found


def test_all_that_an_intent_leads_to_has_its_trace():
    found = traced(a_run())
    intents = [fact.intent.id for fact, _ in found if isinstance(fact, IntentApproved)]
    assert len(intents) > 3
    for intent in intents[:-1]:
        kinds = {type(item) for item, trace in found if trace == intent}
        assert kinds >= {*OF_INTENT, SignalProposed, SubmitOrder, SetTimer, TimerFired, ProtectionChanged}
    of_ours = [trace for item, trace in found if isinstance(item, (*OF_INTENT, OrderEvent, SubmitOrder, SetTimer))]
    assert set(of_ours) == set(intents)


def test_the_market_is_traced_by_its_step():
    for event, trace in traced(a_run()):
        if isinstance(event, BookDelta):
            run, _, number = trace.partition("#")
            assert run == RUN
            assert int(number) > 0
        if isinstance(event, MarketEvent | EquityMarked | BookGap):
            assert trace.startswith(f"{RUN}#")


def test_a_signal_that_became_nothing_is_traced_by_its_step():
    steps = a_run(stop_bps=0.0)
    assert not [fact for _, step in steps for fact in step.facts if isinstance(fact, IntentApproved)]
    signals = [trace for item, trace in traced(steps) if isinstance(item, SignalProposed)]
    assert signals


@given(st.integers(0, 59))
def test_who_begins_to_read_later_finds_the_same_traces_of_later_intents(skipped):
    steps = a_run()
    whole = traced(steps)
    later = traced(steps[skipped:])
    first = next((number for number, (item, _) in enumerate(later) if isinstance(item, IntentApproved)), len(later))
    assert later[first:] == whole[len(whole) - len(later) + first :]


def test_what_the_exchange_does_by_itself_belongs_to_whoever_holds_the_instrument():
    steps = a_run(length=8)
    known = Traces(run=RUN)
    for _, step in steps:
        known.note(step)
    intent = known.holders[BTC]
    at, step = steps[-1][1].ts + 1, Step(999, steps[-1][1].ts + 1)
    told = {"instrument": BTC, "ts_event": at, "ts_recv": at}
    differs = Discrepancy(instrument=BTC, subject="x", expected="a", found="b")
    moved = SetProtection(instrument=BTC, stop_loss=1, take_profit=None)
    for item in (ProtectionChanged(**told, stop_loss=None, take_profit=None), differs, moved):
        assert trace_of(item, step, known) == intent


def test_a_position_that_nobody_asked_for_is_traced_as_the_orders_that_close_it():
    known = Traces(run=RUN)
    born = PositionTransitioned(
        position=f"{BTC}#7",
        instrument=BTC,
        intent="",
        strategy="",
        before=None,
        after=PositionStatus.OPENING,
        side=Side.BUY,
        size=0,
        cause="unexpected fill",
    )
    step = Step(5, 5, (born,))
    known.note(step)
    # The engine names the plan of an orphan so, and its exit orders carry it.
    assert trace_of(born, step, known) == f"orphan-{BTC}#7"


def test_a_cancel_of_an_order_that_is_not_ours_is_nobodys():
    known = Traces(run=RUN)
    known.note_order("s-a", "intent", BTC)
    cancel = CancelOrder(instrument=BTC, client_order_id="")
    assert trace_of(cancel, Step(3, 3), known) == f"{RUN}#3"
    assert trace_of(msgspec.structs.replace(cancel, client_order_id="s-a"), Step(3, 3), known) == "intent"


@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("kind", [*members(AnyFact), *members(AnyCommand), *members(AnyEvent)])
def test_every_kind_of_message_has_a_trace(kind, fill):
    known = Traces(run=RUN)
    assert trace_of(sample(kind, fill), Step(7, 7), known)


def test_a_books_gap_and_a_wish_for_a_snapshot_are_nobodys_however_much_is_held():
    known = Traces(run=RUN)
    known.note_order("s-a", "intent", BTC)
    gap = BookGap(instrument=BTC, expected=1, got=3)
    for item in (gap, RequestSnapshot(instrument=BTC)):
        assert trace_of(item, Step(3, 3), known) == f"{RUN}#3"


@given(st.integers(1, 50), st.lists(st.integers(0, 300), max_size=400))
def test_memory_is_bounded_and_the_newest_are_known(kept, names):
    owners = Owners(kept=kept)
    for name in names:
        owners.note(f"s-{name}", f"intent of {name}")
    assert len(owners.recent) + len(owners.older) <= 2 * kept
    for name in names[-kept:]:
        assert owners.get(f"s-{name}") == f"intent of {name}"
    assert owners.get("s-unknown") == ""


def test_what_is_known_outlives_a_restart_as_plain_data():
    known = Traces(run=RUN)
    for _, step in a_run():
        known.note(step)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(known), type=Traces) == known


def test_exits_are_in_it():
    sent = [item for item, _ in traced(a_run()) if isinstance(item, SubmitOrder)]
    assert {one.order.purpose for one in sent} == {Purpose.ENTRY, Purpose.EXIT}
