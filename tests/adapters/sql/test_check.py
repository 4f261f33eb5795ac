"""What was changed behind the projector's back is found, mended and told; what cannot be known is left alone."""

import asyncio

import pytest
from sqlalchemy import select, text
from tests.adapters.sql.journals import DAY_ONE, PLANS, ListTail, a_run, unfinished_run
from tests.adapters.sql.test_projector import FIRST, SECOND_RUN, SOURCE, everything, two_runs
from tests.core.engine.builders import SECOND

from stakan.adapters.sql import audit
from stakan.adapters.sql import tables as t
from stakan.adapters.sql.batch import By
from stakan.adapters.sql.check import compare, mend_live, repair
from stakan.adapters.sql.owned import note_of, save_note
from stakan.adapters.sql.projector import Projector
from stakan.adapters.sql.upkeep import forget_rows, prune
from stakan.core.domain.errors import ConfigError, Conflict, DataError
from stakan.core.domain.units import DAY

BY = By("olga", DAY_ONE)


def with_open_position():
    """A run that goes on: something is live at its end."""
    first = a_run(PLANS[1], length=9, ended=False)[2]
    second = unfinished_run(length=9, start=DAY_ONE + 3600 * SECOND, epoch="f")
    return ListTail({FIRST: first, SECOND_RUN: second})


async def projected(database, tail):
    projector = Projector(database, tail, SOURCE)
    await projector.catch_up()
    return projector


async def do(database, *statements):
    async with database.transaction() as connection:
        for statement in statements:
            await connection.execute(text(statement))


DEEDS = {
    "UPDATE orders SET status = 'placed', filled_lots = 1 WHERE status = 'filled'": ("orders", "changed"),
    "UPDATE fills SET fee = '7.5'": ("fills", "changed"),
    "UPDATE positions SET net_pnl = '1000000'": ("positions", "changed"),
    "DELETE FROM equity_marks": ("equity_marks", "missing"),
    "DELETE FROM position_transitions WHERE after_status = 'closed'": ("position_transitions", "missing"),
    "DELETE FROM decisions WHERE verdict = 'approved'": ("decisions", "missing"),
    "UPDATE risk_state SET peak_equity = '1'": ("risk_state", "changed"),
    "INSERT INTO instruments SELECT 'x', category, base, quote, settle, tick_size, lot_size, rules FROM instruments "
    "LIMIT 1": ("instruments", "unexpected"),
    "UPDATE operator_requests SET outcome = '{}'": ("operator_requests", "changed"),
}


def test_untouched_rows_are_what_the_journal_says(place):
    async def go():
        async with place.opened() as database:
            tail = two_runs()
            assert (await compare(database, tail, SOURCE)).differences == []
            await projected(database, tail)
            return await compare(database, tail, SOURCE)

    found = asyncio.run(go())
    assert found.differences == []
    assert found.position.run == SECOND_RUN


def test_everything_done_by_hand_is_found_and_repaired_and_told(place):
    tail = two_runs()

    async def go():
        async with place.opened() as database:
            await projected(database, tail)
            before = await everything(database)
            await do(database, *DEEDS)
            found = await compare(database, tail, SOURCE)
            assert {(difference.table, difference.what) for difference in found.differences} == set(DEEDS.values())
            mended = await repair(database, found, BY)
            assert mended == found.differences
            assert (await compare(database, tail, SOURCE)).differences == []
            after = await everything(database)
            told = [row for row in after["audit_log"] if row["action"] == "repair"]
            assert len(told) == len(mended)
            assert {row["actor"] for row in told} == {"olga"}
            assert (await audit.verify(database)).broken is None
            for name in before.keys() - {"audit_log", "audit_head"}:
                assert after[name] == before[name]

    asyncio.run(go())


def test_a_repair_says_what_was_there(sqlite):
    tail = two_runs()

    async def go():
        async with sqlite.opened() as database:
            await projected(database, tail)
            await do(
                database,
                "UPDATE orders SET status = 'placed' WHERE client_order_id = "
                "(SELECT min(client_order_id) FROM orders WHERE status = 'filled')",
            )
            found = await compare(database, tail, SOURCE)
            await repair(database, found, BY)
            async with database.reading() as connection:
                return found, (
                    await connection.execute(select(t.audit_log).where(t.audit_log.c.action == "repair"))
                ).one()

    found, record = asyncio.run(go())
    (difference,) = found.differences
    assert (record.old, record.new) == ('{"status":"placed"}', '{"status":"filled"}')
    assert record.trace_id == difference.trace_id == "e-1" or record.trace_id.startswith(("e-", "f-"))


def test_rows_that_were_compared_and_have_moved_on_are_not_repaired(sqlite):
    tail = two_runs()

    async def go():
        async with sqlite.opened() as database:
            tail.written = 20
            projector = await projected(database, tail)
            await do(database, "DELETE FROM equity_marks")
            found = await compare(database, tail, SOURCE)
            tail.written = None
            await projector.catch_up()
            with pytest.raises(Conflict, match="compare again"):
                await repair(database, found, BY)

    asyncio.run(go())


LIVE_DEEDS = [
    "UPDATE positions SET status = 'closed' WHERE is_live",
    "UPDATE positions SET is_live = false WHERE is_live",
    "UPDATE positions SET size_lots = 99 WHERE is_live",
    "UPDATE orders SET is_live = true, status = 'placed' WHERE status = 'filled'",
]


@pytest.mark.parametrize("deed", LIVE_DEEDS)
def test_what_is_live_is_looked_at_at_every_start(deed, sqlite):
    tail = with_open_position()

    async def go():
        async with sqlite.opened() as database:
            state = await (await projected(database, tail)).state()
            assert state.positions
            assert await mend_live(database, tail, SOURCE, state, BY) == []
            before = await everything(database)
            await do(database, deed)
            restarted = await Projector(database, tail, SOURCE).state()
            mended = await mend_live(database, tail, SOURCE, restarted, BY)
            after = await everything(database)
            return mended, before, after

    mended, before, after = asyncio.run(go())
    assert mended
    assert (after["positions"], after["orders"]) == (before["positions"], before["orders"])
    assert after["audit_log"][-1]["action"] == "repair"


def test_a_status_changed_by_hand_in_postgresql_is_mended_at_the_next_start(postgresql):
    tail = with_open_position()

    async def go():
        async with postgresql.opened() as database:
            await projected(database, tail)
            before = await everything(database)
            await do(database, LIVE_DEEDS[0])
            state = await Projector(database, tail, SOURCE).state()
            mended = await mend_live(database, tail, SOURCE, state, BY)
            assert {(one.table, one.found["status"]) for one in mended} == {("positions", "closed")}
            assert (await everything(database))["positions"] == before["positions"]

    asyncio.run(go())


def test_without_the_journals_of_all_runs_nothing_is_compared_and_only_what_is_known_is_mended(sqlite):
    tail = with_open_position()

    async def go():
        async with sqlite.opened() as database:
            state = await (await projected(database, tail)).state()
            before = await everything(database)
            rest = ListTail({SECOND_RUN: tail.named[SECOND_RUN]})
            await do(database, LIVE_DEEDS[0])
            with pytest.raises(DataError, match=FIRST):
                await compare(database, rest, SOURCE)
            with pytest.raises(DataError, match=FIRST):
                await forget_rows(database, rest, BY)
            assert len(await mend_live(database, rest, SOURCE, state, BY)) == len(state.positions)
            assert (await everything(database))["positions"] == before["positions"]

    asyncio.run(go())


def test_rows_of_another_state_folder_are_not_compared(sqlite):
    tail = two_runs()

    async def go():
        async with sqlite.opened() as database:
            await projected(database, tail)
            with pytest.raises(ConfigError, match="another state folder"):
                await compare(database, tail, "another")

    asyncio.run(go())


def test_an_audit_record_that_no_longer_says_what_the_journal_says_is_found_and_left(sqlite):
    """Even where every hash was forged to fit: the journal knows better."""
    tail = two_runs()

    async def go():
        async with sqlite.opened() as database:
            await projected(database, tail)
            await do(database, "DROP TRIGGER audit_log_no_update", "UPDATE audit_log SET actor = 'nobody' WHERE id = 3")
            found = await compare(database, tail, SOURCE)
            assert [(one.table, one.found) for one in found.differences] == [("audit_log", {"actor": "nobody"})]
            assert await repair(database, found, BY) == []

    asyncio.run(go())


# --- rebuilding and pruning --------------------------------------------------------------------------------------------


def test_rows_built_again_are_the_same_and_nothing_is_audited_twice(place):
    tail = two_runs()

    async def go():
        async with place.opened() as database:
            await projected(database, tail)
            before = await everything(database)
            position = before["positions"][0]
            await save_note(database, await note_of(database, position["run"], position["id"]), "well done", BY)
            await forget_rows(database, tail, BY)
            assert (await everything(database))["orders"] == []
            await projected(database, tail)
            after = await everything(database)
            assert (await note_of(database, position["run"], position["id"])).note == "well done"
            assert (await audit.verify(database)).broken is None
            assert (await compare(database, tail, SOURCE)).differences == []
            return before, after

    before, after = asyncio.run(go())
    for name in before.keys() - {"audit_log", "audit_head"}:
        assert after[name] == before[name], name
    extra = after["audit_log"][len(before["audit_log"]) :]
    assert after["audit_log"][: len(before["audit_log"])] == before["audit_log"]
    assert [row["action"] for row in extra] == ["change", "rebuild"]


def test_pictures_of_the_market_outlive_a_rebuild_from_a_journal_that_has_forgotten_it(sqlite):
    tail = ListTail({FIRST: a_run(length=40)[2]})
    distilled = ListTail({FIRST: a_run(length=40)[2]})
    distilled.named[FIRST].records = [r for r in tail.named[FIRST].records if type(r).__name__ != "Market"]

    async def go():
        async with sqlite.opened() as database:
            await projected(database, tail)
            before = await everything(database)
            await forget_rows(database, distilled, BY)
            await projected(database, distilled)
            return before, await everything(database)

    before, after = asyncio.run(go())
    assert before["market_snapshots"]
    assert after["market_snapshots"] == before["market_snapshots"]
    assert after["orders"] == before["orders"]


def test_what_is_older_than_its_time_goes_and_is_not_missed(place):
    tail = two_runs()

    async def go():
        async with place.opened() as database:
            await projected(database, tail)
            whole = await everything(database)
            now = DAY_ONE + 90 * DAY + 1800 * SECOND  # between the two runs, three months later
            planned = await prune(database, now, dry_run=True)
            assert await everything(database) == whole
            done = await prune(database, now)
            assert [(one.table, one.rows) for one in planned] == [(one.table, one.rows) for one in done]
            left = await everything(database)
            gone = {one.table: one.rows for one in done}
            assert 0 < gone["market_stats"] < len(whole["market_stats"])
            assert len(left["market_stats"]) == len(whole["market_stats"]) - gone["market_stats"]
            assert left["market_snapshots"] == []
            assert left["decisions"] == whole["decisions"]
            assert (await compare(database, tail, SOURCE)).differences == []
            assert all(one.rows == 0 for one in await prune(database, now))

    asyncio.run(go())


def test_months_that_are_old_as_a_whole_are_dropped_as_partitions(postgresql):
    tail = two_runs()

    async def go():
        async with postgresql.opened() as database:
            await projected(database, tail)
            done = await prune(database, DAY_ONE + 400 * DAY)
            # The months come back with the next rows that lie in them.
            await forget_rows(database, tail, BY)
            await projected(database, tail)
            return {one.table: one.partitions for one in done}

    dropped = asyncio.run(go())
    assert dropped["market_stats"] == ("market_stats_p202311",)
