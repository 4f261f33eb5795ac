"""The projection: rows are a pure function of the journal, and say what the engine knows."""

from collections import Counter
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.sql.journals import PLANS, Run, a_header, a_run, an_eager_engine, folded, records_of, unfinished_run
from tests.core.engine.builders import BTC, ETH, SECOND, an_instrument

from stakan.adapters.sql import tables as t
from stakan.adapters.sql.batch import Rows
from stakan.adapters.sql.folding.state import from_bytes, to_bytes
from stakan.adapters.sql.moments import Moment, moments
from stakan.adapters.sql.projection import Fold
from stakan.core.domain.events import (
    AccountRead,
    HeldPosition,
)
from stakan.core.domain.facts import (
    Discrepancy,
    EntryFeatures,
    ExitDecided,
    FillBooked,
    FundingBooked,
    IntentApproved,
    IntentRefused,
    OrderTransitioned,
    PositionClosed,
    PositionTransitioned,
    SignalProposed,
    SignalRefused,
    TradingStateChanged,
)
from stakan.core.domain.trace import Traces, trace_of

RUN = "20231114-221350-paper"
plans = st.sampled_from(PLANS)


def rows_of(fold):
    rows = Rows()
    rows.take(fold.take_batch())
    return rows


def facts_of(steps, kind):
    return [fact for _, step in steps for fact in step.facts if isinstance(fact, kind)]


def plain(rows):
    """As JSON has them: lists for tuples, so that rows of two folds can be compared."""
    return {
        table.name: {repr(key): msgspec.to_builtins(row) for key, row in there.items()} for table, there in rows.items()
    }


# --- rows say what the engine knows ----------------------------------------------------------------------------------


@settings(max_examples=5)
@given(plans)
def test_orders_are_as_the_engine_has_them(plan):
    engine, _, run = a_run(plan)
    rows = rows_of(folded({RUN: run}))
    orders = engine.state.portfolio.orders
    kept = {**orders.older, **orders.finished, **orders.live}
    assert {key for (key,) in rows[t.orders]} == kept.keys()
    for (key,), row in rows[t.orders].items():
        order = kept[key]
        assert (row["status"], row["filled_lots"], row["size_lots"], row["is_live"]) == (
            order.status.value,
            order.filled,
            order.size,
            not order.status.is_terminal,
        )
        assert (row["submitted_ts"], row["answered_ts"], row["first_fill_ts"], row["finished_ts"]) == (
            order.submitted_ts,
            order.answered_ts,
            order.first_fill_ts,
            order.finished_ts,
        )
        assert row["reason"] == ("; ".join(order.reasons) or order.why)
        assert row["filled"] == an_instrument().size(order.filled)


@settings(max_examples=5)
@given(plans)
def test_closed_positions_are_what_their_story_says_and_what_their_fills_add_up_to(plan):
    _, steps, run = a_run(plan)
    rows = rows_of(folded({RUN: run}))
    fills = list(rows.get(t.fills, {}).values())
    stories = facts_of(steps, PositionClosed)
    for story in stories:
        row = rows[t.positions][RUN, story.position]
        own = [fill for fill in fills if fill["position"] == story.position]
        assert row["status"] == "closed"
        assert not row["is_live"]
        assert (row["entry_price"], row["exit_price"]) == (story.entry_price, story.exit_price)
        assert row["net_pnl"] == story.gross_pnl - story.fees - story.funding
        assert row["realised_pnl"] == sum(fill["realised_pnl"] for fill in own)
        assert row["fees"] == sum(fill["fee"] for fill in own)
        assert row["exit_reason"] == story.exit_reason
        if row["at_entry"] is None:  # of an order that had been given up: its fill came too late
            assert any(fact.subject.startswith("finished order") for fact in facts_of(steps, Discrepancy))
        else:
            assert row["at_entry"]["signal"]["strategy"] == row["strategy"] == story.strategy
        assert row["at_exit"]["mid_ticks"] > 0
    assert len(stories) == sum(row["opened_ts"] is not None for row in rows[t.positions].values())


def known_orders(state):
    return {
        order.id: (
            order.status.value,
            order.filled,
            order.size,
            order.price,
            order.venue_order_id,
            order.outcome_unknown,
        )
        for order in state.portfolio.orders.live.values()
    }


def orders_in(state):
    return {
        row.client_order_id: (
            row.status,
            row.filled_lots,
            row.size_lots,
            row.price_ticks,
            row.venue_order_id,
            row.outcome_unknown,
        )
        for row in state.orders.values()
    }


def known_positions(state):
    found = {}
    for position in state.portfolio.positions.live.values():
        rules = state.instruments[position.instrument].rules
        amounts = (position.realised_pnl, position.fees, position.funding)
        stops = tuple(
            None if ticks is None else rules.price(ticks) for ticks in (position.stop_loss, position.take_profit)
        )
        sizes = (position.size, position.max_size)
        found[position.id] = (position.status.value, position.side.name.lower(), *sizes, *amounts, *stops)
    return found


def positions_in(state):
    return {
        key: (
            memory.row.status,
            memory.row.side,
            memory.row.size_lots,
            memory.row.max_size_lots,
            memory.row.realised_pnl,
            memory.row.fees,
            memory.row.funding,
            memory.row.stop_loss,
            memory.row.take_profit,
        )
        for key, memory in state.positions.items()
    }


def a_reading(engine, instrument, lots, stop, balance):
    """What the exchange says of the account: our books, with differences."""
    state, held = engine.state, []
    for key, position in state.portfolio.positions.live.items():
        size = position.signed_size + (lots if key == instrument else 0)
        where = (position.stop_loss or 600_000) + (stop if key == instrument else 0)
        if size:
            told = {"stop_loss": where if stop != 99 else None, "take_profit": position.take_profit}
            held.append(HeldPosition(instrument=key, lots=size, entry=Decimal(64000), **told))
    return AccountRead(
        ts_event=state.now,
        ts_recv=state.now,
        asked_ts=state.now + 1,
        positions=tuple(held),
        orders=(),
        balance=state.portfolio.ledger.balance + balance,
    )


differences = st.tuples(
    st.integers(5, 200),
    st.sampled_from((BTC, ETH)),
    st.sampled_from((0, 0, 3, -3, -20)),
    st.sampled_from((0, 7, 99)),
    st.sampled_from((Decimal(0), Decimal("12.5"))),
)


@settings(max_examples=15)
@given(plans, st.lists(differences, max_size=4))
def test_after_every_step_the_fold_knows_what_the_engine_knows(plan, found):
    """Also where readings of the account show what nobody told, and our books are mended."""
    engine, fold = an_eager_engine(), Fold()
    fold.begin(RUN, a_header(), carries_on=False)

    def take(event):
        step = engine.step(event)
        fold.take(Moment(step.number, event, step if step.facts or step.commands else None))
        assert orders_in(fold.state) == known_orders(engine.state)
        assert positions_in(fold.state) == known_positions(engine.state)
        assert fold.state.account.trading == engine.state.trading.value

    events = [event for event, _ in a_run(plan, length=20)[1]]
    for place, event in enumerate(events):
        take(event)
        for at, *what in found:
            if at == place:
                reading = a_reading(engine, *what)
                take(reading)
                take(msgspec.structs.replace(reading, asked_ts=reading.asked_ts + 1))


@settings(max_examples=5)
@given(plans, st.integers(4, 38))
def test_an_open_position_has_the_sums_of_its_fills_so_far(plan, length):
    engine, _, run = a_run(plan, length=length, requests=False, ended=False)
    moments_seen = list(moments(run.records))
    fold = Fold()
    fold.begin(RUN, run.header, carries_on=False)
    rows = Rows()
    for moment in moments_seen:
        fold.take(moment)
        rows.take(fold.take_batch())
        for memory in fold.state.positions.values():
            row = rows[t.positions][RUN, memory.row.id]
            own = [fill for fill in rows.get(t.fills, {}).values() if fill["position"] == memory.row.id]
            opening = [fill for fill in own if fill["side"] == row["side"]]
            assert row["size_lots"] == sum(f["size_lots"] if f in opening else -f["size_lots"] for f in own)
            assert row["fees"] == sum(fill["fee"] for fill in own)
            paid = [one for one in rows.get(t.funding_payments, {}).values() if one["position"] == memory.row.id]
            assert row["funding"] == sum(one["amount"] for one in paid)
            assert row["net_pnl"] == row["realised_pnl"] - row["fees"] - row["funding"]
            if opening:
                value = sum(fill["notional"] for fill in opening)
                assert row["entry_price"] * sum(fill["size"] for fill in opening) == pytest.approx(value)
    assert {key for _, key in rows[t.positions] if rows[t.positions][RUN, key]["is_live"]} == {
        position.id for position in engine.state.portfolio.positions.live.values()
    }


@settings(max_examples=5)
@given(plans)
def test_the_account_is_as_the_ledger_has_it(plan):
    engine, _, run = a_run(plan)
    rows = rows_of(folded({RUN: run}))
    (row,) = rows[t.risk_state].values()
    ledger = engine.state.portfolio.ledger
    assert row["balance"] == ledger.balance
    assert row["trading"] == engine.state.trading.value
    assert row["day"] == ledger.day
    # From marks alone: between two of them the engine's peak may have been higher.
    assert row["peak_equity"] <= ledger.peak_equity
    assert sum(payment["amount"] for payment in rows[t.funding_payments].values()) == ledger.funding


def test_decisions_are_all_there_and_approved_ones_have_their_features():
    _, steps, run = a_run()
    rows = rows_of(folded({RUN: run}))
    verdicts = Counter(row["verdict"] for row in rows[t.decisions].values())
    kinds = Counter(type(fact).__name__ for _, step in steps for fact in step.facts)
    assert verdicts == {
        "proposed": kinds["SignalProposed"],
        "passed_over": kinds["SignalRefused"],
        "approved": kinds["IntentApproved"],
        "exit": kinds["ExitDecided"],
    }
    seen = {fact.intent: fact.features for fact in facts_of(steps, EntryFeatures)}
    assert seen == {
        row["intent"]: row["features"] for row in rows[t.decisions].values() if row["verdict"] == "approved"
    }
    assert len(rows[t.market_stats]) == kinds["CandleClosed"]


def test_requests_are_kept_with_what_came_of_them():
    _, _, run = a_run()
    rows = rows_of(folded({RUN: run}))
    kinds = {row["kind"]: row for row in rows[t.operator_requests].values()}
    assert kinds.keys() == {"PauseEntries", "Halt", "ReleaseHalt", "Flatten"}
    assert kinds["PauseEntries"]["outcome"]["facts"] == {"TradingStateChanged": 1}
    assert kinds["Halt"]["actor"] == "olga"


def test_the_market_has_a_picture_a_minute():
    _, _, run = a_run()
    rows = rows_of(folded({RUN: run}))
    (btc,) = [row for row in rows[t.market_snapshots].values() if row["instrument"] == BTC]
    assert btc["ts"] % (60 * SECOND) == 0
    assert btc["mark"] == Decimal("64000.5")
    assert btc["bid"] < btc["ask"]
    assert btc["prints"] > 0


# --- the audit log tells everything ----------------------------------------------------------------------------------


@settings(max_examples=5)
@given(plans)
def test_every_transition_decision_and_request_has_its_audit_record(plan):
    _, steps, run = a_run(plan)
    audit = folded({RUN: run}).take_batch().audit
    told = Counter((entry.action, entry.entity, entry.new) for entry in audit)
    for fact in facts_of(steps, OrderTransitioned):
        assert told["order", fact.client_order_id, fact.after.value]
    for fact in facts_of(steps, PositionTransitioned):
        assert told["position", fact.position, fact.after.value]
    for fact in facts_of(steps, IntentApproved):
        assert told["decision", fact.intent.id, "approved"]
    states = [fact.state.value for fact in facts_of(steps, TradingStateChanged)]
    assert [entry.new for entry in audit if entry.action in {"halt", "pause", "release"}] == states
    assert sum(entry.action == "request" for entry in audit) == 4
    places = [(entry.number, entry.ordinal) for entry in audit]
    assert places == sorted(set(places))


def test_the_actor_is_whoever_made_it_happen():
    _, _, run = a_run()
    audit = folded({RUN: run}).take_batch().audit
    assert {entry.actor for entry in audit if entry.action == "order" and entry.new == "pending"} <= {"engine", "olga"}
    assert {entry.actor for entry in audit if entry.action == "order" and entry.new == "filled"} == {"exchange"}
    assert {entry.actor for entry in audit if entry.action == "halt"} == {"olga"}


@settings(max_examples=5)
@given(plans)
def test_everything_of_an_intent_has_its_name_as_trace(plan):
    _, steps, run = a_run(plan)
    fold = folded({RUN: run})
    batch = fold.take_batch()
    rows = Rows()
    rows.take(batch)
    orders = {row["client_order_id"]: row["intent"] for row in rows[t.orders].values()}
    for fact in facts_of(steps, IntentApproved):
        intent = fact.intent.id
        tables = {table.name for table in rows for row in rows[table].values() if row.get("trace_id") == intent}
        assert {"decisions", "orders", "order_transitions", "positions", "position_transitions"} <= tables
        assert sum(entry.trace_id == intent for entry in batch.audit) >= 4
    for row in (*rows.get(t.fills, {}).values(), *rows[t.order_transitions].values()):
        assert row["trace_id"] == orders[row["client_order_id"]]


@settings(max_examples=5)
@given(plans)
def test_traces_are_those_that_whoever_else_reads_the_steps_finds(plan):
    """The log of the bot has the same ones."""
    _, steps, run = a_run(plan)
    known = Traces(run=RUN)
    expected = {table: [] for table in TRACED}
    for _, step in steps:
        known.note(step)
        for fact in step.facts:
            for table, kinds in TRACED.items():
                if isinstance(fact, kinds):
                    expected[table].append(trace_of(fact, step, known))
    rows = rows_of(folded({RUN: run}))
    for table, traces in expected.items():
        assert [row["trace_id"] for row in rows.get(table, {}).values()] == traces


TRACED = {
    t.decisions: (SignalProposed, SignalRefused, IntentApproved, IntentRefused, ExitDecided),
    t.order_transitions: OrderTransitioned,
    t.position_transitions: PositionTransitioned,
    t.fills: FillBooked,
    t.funding_payments: FundingBooked,
    t.system_events: (Discrepancy, TradingStateChanged),
}


# --- the fold goes on from anywhere ----------------------------------------------------------------------------------


@settings(max_examples=8)
@given(plans, st.lists(st.integers(0, 600), max_size=4))
def test_a_state_that_was_kept_goes_on_as_if_nothing_had_happened(plan, cuts):
    _, _, run = a_run(plan)
    straight = folded({RUN: run})
    expected = rows_of(straight)
    fold = Fold()
    fold.begin(RUN, run.header, carries_on=False)
    rows = Rows()
    for place, moment in enumerate(moments(run.records)):
        fold.take(moment)
        if place in cuts:
            rows.take(fold.take_batch())
            fold = Fold(from_bytes(to_bytes(fold.state)))
    rows.take(fold.take_batch())
    assert plain(rows) == plain(expected)
    assert fold.state == straight.state


def test_a_state_of_another_release_is_not_taken():
    state = folded({RUN: a_run(length=4)[2]}).state
    other = msgspec.structs.replace(state, version=state.version + 1)
    assert from_bytes(to_bytes(other)) is None
    assert from_bytes(b"\x00nonsense") is None
    assert from_bytes(to_bytes(state)) == state


# --- runs --------------------------------------------------------------------------------------------------------------


def test_a_run_that_begins_with_nothing_leaves_what_lived_before_as_it_was():
    first = unfinished_run()
    second = a_run(PLANS[3], length=2, start=1_700_000_100 * SECOND, epoch="f", ended=False)[2]
    second.records = second.records[:3]  # it has nothing yet that could take the old names over
    alone = rows_of(folded({RUN: first}))
    rows = rows_of(folded({RUN: first, "20231114-230000-paper": second}))
    open_before = [key for key, row in alone[t.positions].items() if row["is_live"]]
    assert open_before
    for key in open_before:
        assert rows[t.positions][key]["status"] == alone[t.positions][key]["status"]
        assert not rows[t.positions][key]["is_live"]


def test_positions_of_two_runs_may_have_one_name():
    second = a_run(start=1_700_000_100 * SECOND, epoch="f")[2]
    rows = rows_of(folded({RUN: a_run()[2], "20231114-230000-paper": second}))
    names = Counter(name for _, name in rows[t.positions])
    assert max(names.values()) == 2


def test_a_run_that_carries_on_finishes_what_was_open():
    _, steps, whole = a_run(PLANS[1])
    straight = rows_of(folded({RUN: whole}))
    cut = next(place for place, (_, step) in enumerate(steps) if any(isinstance(f, FillBooked) for f in step.facts)) + 1
    first = Run(records_of(steps[:cut], ended=False))
    second = Run(records_of(steps[cut:]), carries_on=True)
    rows = rows_of(folded({RUN: first, "20231114-230000-paper": second}))
    assert rows[t.orders].keys() == straight[t.orders].keys()
    story = {key[1]: row for key, row in rows[t.positions].items()}
    for (_, name), row in straight[t.positions].items():
        assert (story[name]["status"], story[name]["net_pnl"]) == (row["status"], row["net_pnl"])
        assert story[name]["entry_price"] == row["entry_price"]
