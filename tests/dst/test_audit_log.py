"""The audit log of a whole run: whatever is dropped, doubled, put elsewhere or altered is missed, sealed or not yet."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import delete, insert, select, update

from stakan.adapters.sql.database import Database, sqlite_url
from stakan.adapters.sql.tables import audit_log as table
from stakan.apps.dst import audit_log, rows
from stakan.apps.dst.plan import Kill, Plan
from stakan.apps.dst.process import run_name
from stakan.apps.dst.world import World

KINDS = ("order", "position", "decision")


@pytest.fixture(scope="module")
def life():
    """Entries of a run with a crash in it, and what must be among them."""
    world = World(Plan(seed=3, seconds=8.0, faults=(Kill(at_s=4.0, down_s=0.5),)))
    outcome = world.run()
    assert (outcome.breach, outcome.kills) == (None, 1)
    told = [
        entry
        for number, step in world.auditor.records.steps()
        for entry in audit_log.expected(run_name(number), step.number, step.facts)
    ]
    entries = rows.projected(world.disk, world.runs()).audit
    assert audit_log.problems(entries, told) == []
    assert {entry.action for entry in told} == set(KINDS)
    assert len({entry.run for entry in told}) > 1
    return entries, told


def places(entries, kind):
    """First, one in the middle, and last."""
    found = [at for at, entry in enumerate(entries) if entry.action == kind]
    return found[0], found[len(found) // 2], found[-1]


def test_nothing_at_all_is_not_enough(life):
    _, told = life
    assert len(audit_log.problems([], told)) == len(told)


@pytest.mark.parametrize("kind", KINDS)
def test_all_entries_of_a_kind_are_missed(life, kind):
    entries, told = life
    left = [entry for entry in entries if entry.action != kind]
    assert len(audit_log.problems(left, told)) == sum(entry.action == kind for entry in told)


def test_all_but_the_first_entry_of_each_order_are_missed(life):
    """What is left of each follows from what is left before it."""
    entries, told = life
    left = [entry for entry in entries if entry.action != "order" or entry.old is None]
    assert len(audit_log.problems(left, told)) == len(entries) - len(left) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_dropped_is_missed(life, kind):
    entries, told = life
    for at in places(entries, kind):
        (problem,) = audit_log.problems([*entries[:at], *entries[at + 1 :]], told)
        assert "lacks" in problem
        assert str(entries[at].number) in problem


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_comes_twice_is_one_too_many(life, kind):
    entries, told = life
    for at in places(entries, kind):
        again = msgspec.structs.replace(entries[at], ordinal=1000)
        (problem,) = audit_log.problems([*entries[: at + 1], again, *entries[at + 1 :]], told)
        assert "nothing stands" in problem
        (problem,) = audit_log.problems([*entries, entries[at]], told)
        assert "does not take" in problem


@pytest.mark.parametrize("kind", KINDS)
def test_one_in_another_place_is_noticed(life, kind):
    entries, told = life
    for at in places(entries, kind)[:2]:
        others = [*entries[:at], *entries[at + 1 :], entries[at]]
        (problem,) = audit_log.problems(others, told)
        assert "in the place of" in problem


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "change",
    [
        {"run": "0007-testnet"},
        {"number": 1_000_000},
        {"action": "note"},
        {"old": "nothing"},
        {"new": "something"},
        {"reason": "why not"},
        {"entity": "somebody"},
        {"context": {"instrument": "local:linear:ADAUSDT", "filled_lots": 99}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_one_that_says_something_else_is_noticed(life, kind, change):
    entries, told = life
    for at in places(entries, kind):
        if entries[at].new == "exit" and "entity" in change:
            continue  # its name is the position's, of which the decision itself does not know
        altered = [*entries[:at], msgspec.structs.replace(entries[at], **change), *entries[at + 1 :]]
        assert audit_log.problems(altered, told)


def meddled(life, *statements):
    """What is found in a sealed log after somebody has changed it."""

    async def work():
        entries, told = life
        database = Database(sqlite_url(Path(":memory:")))
        try:
            await audit_log.write(database, entries)
            async with database.transaction() as connection:
                for statement in statements:
                    await connection.execute(statement)
            return await audit_log.read(database, told)
        finally:
            await database.close()

    return asyncio.run(work())


def test_a_sealed_log_that_nobody_changed_is_whole(life):
    assert meddled(life) == []


def test_a_chain_with_a_link_less_is_broken(life):
    problems = meddled(life, delete(table).where(table.c.id == 5))
    assert "record 5 of the audit log: the record is missing" in problems[0]


def test_a_chain_without_its_end_is_broken(life):
    last = len(life[0])
    problems = meddled(life, delete(table).where(table.c.id == last))
    assert f"record {last} of the audit log: the log ends here" in problems[0]


def test_a_chain_with_a_link_more_is_broken(life):
    last = len(life[0])
    columns = [column for column in table.columns if column.name not in {"id", "ordinal"}]
    copied = select(table.c.id + last, table.c.ordinal + 1000, *columns).where(table.c.id == 5)
    problems = meddled(life, insert(table).from_select(["id", "ordinal", *(one.name for one in columns)], copied))
    assert f"record {min(last + 1, last + 5)} of the audit log" in problems[0]


def test_links_that_changed_places_break_a_chain(life):
    swap = [(5, -1), (6, 5), (-1, 6)]
    problems = meddled(life, *(update(table).where(table.c.id == old).values(id=new) for old, new in swap))
    assert "record 5 of the audit log: it does not follow" in problems[0]


@pytest.mark.parametrize("column", ["trace_id", "actor", "success", "ts", "context"])
def test_a_link_of_which_something_was_altered_breaks_a_chain(life, column):
    """Also what is not compared with the facts: it was sealed."""
    value = {"success": False, "ts": 1}.get(column, "{}")
    problems = meddled(life, update(table).where(table.c.id == 5).values({column: value}))
    assert "record 5 of the audit log: its content" in problems[0]
