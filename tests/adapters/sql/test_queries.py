"""Answers are what the facts of the run add up to, on both engines."""

import asyncio
from collections import Counter
from decimal import Decimal

import pytest
from tests.adapters.sql.journals import DAY_ONE, PLANS, ListTail, a_run, records_of, unfinished_run
from tests.adapters.sql.servers import ENGINES
from tests.adapters.sql.test_projector import FIRST, SECOND_RUN, SOURCE
from tests.core.engine.builders import SECOND

from stakan.adapters.journal.records import Outcome
from stakan.adapters.sql import queries
from stakan.adapters.sql.batch import By
from stakan.adapters.sql.database import Database
from stakan.adapters.sql.owned import note_of, save_note
from stakan.adapters.sql.projector import Projector
from stakan.adapters.sql.queries import Span
from stakan.adapters.sql.tables import positions
from stakan.core.domain.facts import IntentApproved, OrderTransitioned, PositionClosed
from stakan.core.domain.orders import OrderStatus

LATER = DAY_ONE + 3600 * SECOND


def facts_of(tail, kind):
    return [
        fact
        for name in tail.runs()
        for record in tail.named[name].records
        if isinstance(record, Outcome)
        for fact in record.step.facts
        if isinstance(fact, kind)
    ]


@pytest.fixture(scope="module", params=ENGINES)
def place(request):
    """As everywhere, but all tests on one engine run one after the other: they share what is projected."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def tail():
    return ListTail({FIRST: a_run(PLANS[1], length=30)[2], SECOND_RUN: unfinished_run(start=LATER, epoch="f")})


def answers(place, tail, *asks):
    async def go():
        if place.holds is not tail:
            async with place.opened() as database:
                await Projector(database, tail, SOURCE).catch_up()
            place.holds = tail
        database = Database(place.url)
        try:
            return [await ask(database) for ask in asks]
        finally:
            await database.close()

    return asyncio.run(go())


def net(story):
    return story.gross_pnl - story.fees - story.funding


def test_trades_by_time_and_by_what_they_earned(place, tail):
    stories = facts_of(tail, PositionClosed)
    assert len(stories) > 3
    found, first_two, none, best, worst = answers(
        place,
        tail,
        lambda db: queries.trades(db, Span(), 1000),
        lambda db: queries.trades(db, Span(), 2),
        lambda db: queries.trades(db, Span(start=LATER + 10**12), 1000),
        lambda db: queries.ranked_trades(db, Span(), 3, best=True),
        lambda db: queries.ranked_trades(db, Span(stop=LATER), 1000, best=False),
    )
    times = [trade.closed_ts for trade in found]
    assert times == sorted(times, reverse=True)
    assert sorted(trade.net_pnl for trade in found) == sorted(map(net, stories))
    assert first_two == found[:2]
    assert none == []
    assert [trade.net_pnl for trade in best] == sorted(map(net, stories), reverse=True)[:3]
    early = [net(story) for story in stories if story.closed_ts < LATER]
    assert [trade.net_pnl for trade in worst] == sorted(early)


def test_exits_are_grouped_by_their_reason(place, tail):
    stories = facts_of(tail, PositionClosed)
    (groups,) = answers(place, tail, lambda db: queries.exits_by_reason(db, Span()))
    assert {group.name: group.trades for group in groups} == Counter(story.exit_reason for story in stories)
    for group in groups:
        own = [net(story) for story in stories if story.exit_reason == group.name]
        assert (group.net_pnl, group.best, group.worst) == (sum(own), max(own), min(own))
        assert group.win_rate == sum(pnl > 0 for pnl in own) / len(own)


def test_signals_are_counted_from_proposal_to_profit(place, tail):
    (lines,) = answers(place, tail, lambda db: queries.signal_efficiency(db, Span()))
    stories = facts_of(tail, PositionClosed)
    by_name = {line.strategy: line for line in lines}
    assert by_name.keys() == {"s0", "s1"}
    line = by_name["s0"]
    assert line.approved == len(facts_of(tail, IntentApproved))
    assert line.closed == len(stories)
    assert line.filled > line.closed  # one is still open
    assert line.net_pnl == sum(map(net, stories))
    assert line.passed_over == sum(line.refusals.values())
    assert line.proposed == line.passed_over + line.approved
    assert by_name["s1"].refusals.keys() == {"too_weak"}
    assert list(line.refusals.values()) == sorted(line.refusals.values(), reverse=True)


def test_a_trace_holds_everything_from_the_signal_to_the_last_audit_record(place, tail):
    intent = facts_of(tail, IntentApproved)[0].intent.id
    found, nothing = answers(place, tail, lambda db: queries.trace(db, intent), lambda db: queries.trace(db, "no such"))
    tables = [line.table for line in found]
    assert {"decisions", "orders", "order_transitions", "positions", "fills", "audit_log"} <= set(tables)
    assert tables[0] == "decisions"
    assert found[0].row["verdict"] == "proposed"
    assert [line.ts for line in found] == sorted(line.ts for line in found)
    assert nothing == []


def test_the_audit_of_one_order_is_its_life(place, tail):
    transitions = facts_of(tail, OrderTransitioned)
    order = transitions[0].client_order_id
    (lines,) = answers(place, tail, lambda db: queries.audit_of(db, order))
    assert [line.new for line in lines] == [fact.after.value for fact in transitions if fact.client_order_id == order]
    assert lines[0].old is None
    assert lines[-1].context["filled_lots"] > 0


def test_notes_are_shown_with_their_trades(place, tail):
    async def note(database):
        (trade, *_) = await queries.trades(database, Span(), 1)
        await save_note(database, await note_of(database, trade.run, trade.id), "too early", By("olga", 1))
        return await queries.trades(database, Span(), 1)

    (((noted,)),) = answers(place, tail, note)
    assert noted.note == "too early"


def test_profit_is_ranked_as_a_number_and_not_as_text(place):
    """As texts `9` is above `10`, and `-5` above `-10`."""
    profits = [Decimal(text) for text in ("9", "10", "-5", "-10", "0.5", "100000000000000000000.000000000001")]
    _, steps, run = a_run(length=30)
    stories = [fact for _, step in steps for fact in step.facts if isinstance(fact, PositionClosed)]
    values = dict(zip((story.position for story in stories), profits, strict=False))
    tail = ListTail({FIRST: run})

    async def go():
        async with place.opened() as database:
            await Projector(database, tail, SOURCE).catch_up()
            async with database.transaction() as connection:
                for name, value in values.items():
                    await connection.execute(positions.update().where(positions.c.id == name).values(net_pnl=value))
            return await queries.ranked_trades(database, Span(), 100, best=True)

    found = [trade.net_pnl for trade in asyncio.run(go()) if trade.id in values]
    assert found == sorted(values.values(), reverse=True)


def test_open_orders_are_those_that_may_still_be_filled(place):
    engine, steps, _ = a_run(PLANS[4], length=12, requests=False)
    cut = next(
        place + 1
        for place, (_, step) in enumerate(steps)
        if any(isinstance(f, OrderTransitioned) and f.after is OrderStatus.PLACED for f in step.facts)
    )
    tail = ListTail({FIRST: a_run(PLANS[4], length=12, requests=False)[2]})
    tail.named[FIRST].records = records_of(steps[:cut], ended=False)
    ((line,),) = answers(place, tail, queries.open_orders)
    assert (line.status, line.purpose, line.filled) == ("placed", "entry", 0)
    assert line.client_order_id in {**engine.state.portfolio.orders.finished}


def test_failures_are_what_failed_since_then(place):
    tail = ListTail({FIRST: a_run(PLANS[4], length=20)[2]})
    found, later = answers(
        place, tail, lambda db: queries.failures(db, DAY_ONE), lambda db: queries.failures(db, LATER)
    )
    assert {line.action for line in found} == {"discrepancy"}
    assert all(not line.success for line in found)
    assert [line.id for line in found] == sorted((line.id for line in found), reverse=True)
    assert later == []
