"""Every step is projected exactly once, wherever it is interrupted."""

import asyncio
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select, update
from tests.adapters.sql.journals import DAY_ONE, PLANS, ListTail, Run, a_header, a_run, folded
from tests.adapters.sql.servers import ENGINES
from tests.core.engine.builders import SECOND

from stakan.adapters.sql import audit
from stakan.adapters.sql import tables as t
from stakan.adapters.sql.projector import Projector
from stakan.core.domain.errors import ConfigError, Conflict, DataError

FIRST, SECOND_RUN = "20231114-221350-paper", "20231114-231350-paper"
SOURCE = "epoch"


def two_runs(plan=PLANS[1], length=12):
    first = a_run(plan, length=length, ended=False)[2]
    second = a_run(plan, length=length, start=DAY_ONE + 3600 * SECOND, epoch="f")[2]
    return ListTail({FIRST: first, SECOND_RUN: second})


async def everything(database):
    """All rows of all tables, without what the projector keeps for itself."""
    found = {}
    async with database.reading() as connection:
        for table in (*t.PROJECTED, t.audit_log, t.audit_head):
            rows = (await connection.execute(select(table).order_by(*table.primary_key.columns))).all()
            found[table.name] = [dict(row._mapping) for row in rows]
        found["position"] = [
            tuple(r) for r in await connection.execute(select(t.projection.c.run, t.projection.c.number))
        ]
    return found


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def killed_at(database, statement=None, commit=None):
    """Kill at the n-th statement from now, or right after the n-th commit."""
    seen = {"statements": 0, "commits": 0}

    def on_statement(*_):
        seen["statements"] += 1
        if seen["statements"] == statement:
            raise Killed

    def on_commit(_):
        seen["commits"] += 1
        if seen["commits"] == commit:
            raise Killed

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", on_statement)
    event.listen(engine, "commit", on_commit)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", on_statement)
        event.remove(engine, "commit", on_commit)


async def straight(place, tail):
    async with place.opened() as database:
        await Projector(database, tail, SOURCE, batch_rows=10**9).catch_up()
        return await everything(database)


@pytest.mark.parametrize(("engine", "examples"), [("sqlite", 12), ("postgresql", 4)])
def test_a_projector_that_is_killed_anywhere_ends_with_the_rows_of_one_that_was_not(engine, examples, request):
    place = request.getfixturevalue(engine)
    tail = two_runs()
    expected = asyncio.run(straight(place, tail))
    assert expected["position"] == [(SECOND_RUN, tail.named[SECOND_RUN].records[-1].number)]

    @settings(max_examples=examples)
    @given(
        st.lists(
            st.one_of(st.tuples(st.integers(1, 60), st.none()), st.tuples(st.none(), st.integers(1, 6))), max_size=5
        ),
        st.integers(20, 400),
    )
    def law(kills, batch_rows):
        async def go():
            async with place.opened() as database:
                for statement, commit in kills:
                    with killed_at(database, statement, commit):
                        try:
                            await Projector(database, tail, SOURCE, batch_rows=batch_rows).catch_up()
                        except Killed:
                            continue
                await Projector(database, tail, SOURCE, batch_rows=batch_rows).catch_up()
                assert await everything(database) == expected
                assert (await audit.verify(database)).broken is None

        asyncio.run(go())

    law()


def test_a_projector_that_failed_goes_on_by_itself(place):
    tail = two_runs()
    expected = asyncio.run(straight(place, tail))

    async def go():
        async with place.opened() as database:
            projector = Projector(database, tail, SOURCE, batch_rows=50)
            with killed_at(database, statement=30), pytest.raises(Killed):
                await projector.catch_up()
            await projector.catch_up()
            assert await everything(database) == expected

    asyncio.run(go())


@settings(max_examples=10)
@given(st.lists(st.integers(0, 40), max_size=12))
def test_a_journal_that_grows_while_it_is_read_gives_the_same_rows(sqlite, growth):
    tail = two_runs()
    whole = len(tail.named[SECOND_RUN].records)
    expected = asyncio.run(straight(sqlite, tail))

    async def go():
        async with sqlite.opened() as database:
            projector = Projector(database, tail, SOURCE)
            tail.written = 0
            for more in growth:
                tail.written += more
                await projector.catch_up()
            tail.written = whole
            await projector.catch_up()
            assert projector.behind() == 0
            assert await everything(database) == expected

    asyncio.run(go())


def test_what_is_behind_is_counted_in_steps(sqlite):
    tail = ListTail({FIRST: a_run(length=6)[2]})

    async def go():
        async with sqlite.opened() as database:
            projector = Projector(database, tail, SOURCE)
            tail.written = 20
            await projector.catch_up()
            tail.written = None
            before = projector.behind()
            reached = await projector.catch_up()
            return before, reached, projector.behind()

    before, reached, after = asyncio.run(go())
    assert before > 0
    assert (reached.steps, after) == (before + 1, 0)  # the end of the run is a moment of its own
    assert reached.number == tail.named[FIRST].records[-1].number


def test_of_two_projectors_one_is_told_that_the_other_was_faster(place):
    tail = two_runs()

    async def go():
        async with place.opened() as database:
            one, other = (Projector(database, tail, SOURCE) for _ in range(2))
            await one.state()
            await other.state()
            await one.catch_up()
            with pytest.raises(Conflict):
                await other.catch_up()
            before = await everything(database)
            assert (await other.catch_up()).steps == 0
            assert await everything(database) == before

    asyncio.run(go())


def test_two_projectors_at_once_write_every_step_once(place):
    tail = two_runs()
    expected = asyncio.run(straight(place, tail))

    async def insist(projector):
        for _ in range(100):
            try:
                return await projector.catch_up()
            except Conflict:
                await asyncio.sleep(0)
        raise AssertionError("never alone")

    async def go():
        async with place.opened() as database:
            await Projector(database, tail, SOURCE).state()
            await asyncio.gather(*(insist(Projector(database, tail, SOURCE, batch_rows=60)) for _ in range(2)))
            assert await everything(database) == expected

    asyncio.run(go())


def test_a_state_that_cannot_be_read_is_folded_again_from_the_journal(place):
    tail = two_runs()
    expected = asyncio.run(straight(place, tail))

    async def go():
        async with place.opened() as database:
            tail.written = 30
            await Projector(database, tail, SOURCE).catch_up()
            async with database.transaction() as connection:
                await connection.execute(update(t.projection).values(state=b"of another release"))
            tail.written = None
            await Projector(database, tail, SOURCE).catch_up()
            assert await everything(database) == expected

    asyncio.run(go())


def test_a_database_of_another_state_folder_is_refused(place):
    tail = two_runs()

    async def go():
        async with place.opened() as database:
            await Projector(database, tail, SOURCE).catch_up()
            with pytest.raises(ConfigError, match="another state folder"):
                await Projector(database, tail, "another").catch_up()

    asyncio.run(go())


class Damaged(ListTail):
    def after(self, run, number):
        records = list(super().after(run, number))
        yield from records[: len(records) // 2]
        raise DataError("damaged block at byte 17")


def test_what_lies_before_damage_is_projected_and_the_damage_is_named(sqlite):
    tail = Damaged({FIRST: a_run()[2]})

    async def go():
        async with sqlite.opened() as database:
            with pytest.raises(DataError, match="byte 17"):
                await Projector(database, tail, SOURCE, batch_rows=100).catch_up()
            return await everything(database)

    rows = asyncio.run(go())
    assert rows["orders"]
    assert rows["position"][0][0] == FIRST


def test_nothing_written_is_nothing_projected(place):
    async def go():
        async with place.opened() as database:
            projector = Projector(database, ListTail({}), SOURCE)
            assert (await projector.catch_up()).steps == 0
            assert projector.behind() == 0
            empty = Projector(database, ListTail({FIRST: Run([], a_header())}), SOURCE)
            assert (await empty.catch_up()).run == FIRST
            return await everything(database)

    rows = asyncio.run(go())
    assert [row["name"] for row in rows["runs"]] == [FIRST]
    assert len(rows["instruments"]) == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_both_engines_hold_the_same_rows_and_they_are_those_of_the_fold(engine, request):
    tail = two_runs(PLANS[4], length=20)
    rows = asyncio.run(straight(request.getfixturevalue(engine), tail))
    fold = folded(tail.named)
    batch = fold.take_batch()
    for table, inserted in batch.new_rows():
        assert len(rows[table.name]) == len(inserted)
        by_key = {tuple(row[c.name] for c in table.primary_key.columns): row for row in rows[table.name]}
        for row in inserted:
            key = tuple(row[column.name] for column in table.primary_key.columns)
            plain = {name: value for name, value in row.items() if not isinstance(value, dict | list)}
            assert {name: by_key[key][name] for name in plain} == plain
    assert len(rows["audit_log"]) == len(batch.audit)
