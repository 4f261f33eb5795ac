"""The chain of the audit log: whatever is done to it behind its back is found, and the first broken link is named."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from stakan.adapters.sql import audit
from stakan.adapters.sql.audit import GENESIS, Reached, append, seal, verify
from stakan.adapters.sql.batch import AuditEntry
from stakan.adapters.sql.tables import audit_head, audit_log

RECORDS = 6


def an_entry(number=1, **changes):
    values = {
        "ts": number,
        "trace_id": "e-1",
        "actor": "engine",
        "action": "order",
        "entity_kind": "order",
        "entity": f"s-{number}",
        "new": "pending",
        "context": {"filled_lots": number, "note": "ünï"},
    }
    return AuditEntry(**{**values, **changes})


async def filled(database, entries=None):
    async with database.transaction() as connection:
        await append(connection, [an_entry(number) for number in range(1, RECORDS + 1)] if entries is None else entries)


SWITCH_OFF = {
    "sqlite": [f"DROP TRIGGER audit_log_no_{deed}" for deed in ("update", "delete", "replace")],
    "postgresql": ["SET LOCAL session_replication_role = replica"],
}


async def tampered(database, *statements):
    """What only somebody who owns the database can do."""
    async with database.transaction() as connection:
        for statement in (*SWITCH_OFF["postgresql" if database.is_postgresql else "sqlite"], *statements):
            await connection.execute(text(statement))


CHANGES = [
    f"{column} = {value}"
    for column, value in {
        "ts": "ts + 1",
        "trace_id": "'e-2'",
        "actor": "'nobody'",
        "action": "'cancel'",
        "entity_kind": "'x'",
        "entity": "'s-99'",
        "old": "'placed'",
        "new": "'filled'",
        "reason": "'because'",
        "context": "'{}'",
        "success": "NOT success",
        "run": "'r'",
        "number": "17",
        "ordinal": "3",
        "hash": f"'{'0' * 64}'",
    }.items()
]


def test_a_chain_that_nobody_touched_is_whole(place):
    async def go():
        async with place.opened() as database:
            assert await verify(database) == audit.Chain(0, None)
            await filled(database)
            await filled(database, [an_entry(7, success=False, old="x", reason="y")])
            return await verify(database)

    assert asyncio.run(go()) == audit.Chain(RECORDS + 1, None)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_field_breaks_the_chain_at_its_record(change, sqlite):
    async def go():
        async with sqlite.opened() as database:
            await filled(database)
            await tampered(database, f"UPDATE audit_log SET {change} WHERE id = 4")
            return await verify(database)

    chain = asyncio.run(go())
    assert (chain.records, chain.broken.id) == (3, 4)


@pytest.mark.parametrize(
    ("deed", "record", "why"),
    [
        (["UPDATE audit_log SET new = 'filled' WHERE id = 2"], 2, "content"),
        (["DELETE FROM audit_log WHERE id = 3"], 3, "missing"),
        (["DELETE FROM audit_log WHERE id > 4"], 5, "should end with record 6"),
        (["DELETE FROM audit_log WHERE id < 3"], 1, "missing"),
        (["DELETE FROM audit_log"], 1, "should end with record 6"),
        (["DELETE FROM audit_log WHERE id = 3", "UPDATE audit_log SET id = id - 1 WHERE id > 3"], 3, "follow"),
        (
            [
                "UPDATE audit_log SET id = 99 WHERE id = 2",
                "UPDATE audit_log SET id = 2 WHERE id = 3",
                "UPDATE audit_log SET id = 3 WHERE id = 99",
            ],
            2,
            "follow",
        ),
    ],
)
def test_what_is_changed_taken_out_or_moved_is_named(deed, record, why, place):
    async def go():
        async with place.opened() as database:
            await filled(database)
            await tampered(database, *deed)
            return await verify(database)

    chain = asyncio.run(go())
    assert (chain.records, chain.broken.id) == (record - 1, record)
    assert why in chain.broken.why


@pytest.mark.parametrize("spoiled", range(1, RECORDS + 1))
@pytest.mark.parametrize("known", range(RECORDS + 1))
def test_the_part_behind_a_record_is_walked_as_the_whole_and_nothing_before_it(known, spoiled, sqlite):
    async def go():
        async with sqlite.opened() as database:
            await filled(database, [an_entry(number) for number in range(1, known + 1)])
            after = (await audit.walk(database, audit.BEGINNING)).last
            await filled(database, [an_entry(number) for number in range(known + 1, RECORDS + 1)])
            sound = await audit.walk(database, after), (await audit.walk(database, audit.BEGINNING)).last
            await tampered(database, f"UPDATE audit_log SET actor = 'nobody' WHERE id = {spoiled}")
            return after, sound, await audit.walk(database, after)

    after, sound, found = asyncio.run(go())
    assert after.id == known
    assert sound == (audit.Walk(sound[1], None), sound[1])
    assert sound[1].id == RECORDS
    if spoiled <= known:
        assert found.broken is None
    else:
        assert (found.last.id, found.broken.id) == (spoiled - 1, spoiled)


def test_a_record_sealed_again_still_breaks_the_one_after_it(sqlite):
    async def go():
        async with sqlite.opened() as database:
            await filled(database)
            async with database.reading() as connection:
                row = dict((await connection.execute(select(audit_log).where(audit_log.c.id == 3))).one()._mapping)
            forged = seal({**row, "actor": "nobody"})
            await tampered(database, f"UPDATE audit_log SET actor = 'nobody', hash = '{forged}' WHERE id = 3")
            return await verify(database)

    chain = asyncio.run(go())
    assert (chain.broken.id, "follow" in chain.broken.why) == (4, True)


def test_a_record_and_its_successor_cannot_both_be_forged_without_the_rest(sqlite):
    async def go():
        async with sqlite.opened() as database:
            await filled(database)
            async with database.reading() as connection:
                row = dict((await connection.execute(select(audit_log).where(audit_log.c.id == 3))).one()._mapping)
            forged = seal({**row, "actor": "nobody"})
            await tampered(
                database,
                f"UPDATE audit_log SET actor = 'nobody', hash = '{forged}' WHERE id = 3",
                f"UPDATE audit_log SET previous_hash = '{forged}' WHERE id = 4",
            )
            return await verify(database)

    chain = asyncio.run(go())
    assert (chain.broken.id, "content" in chain.broken.why) == (4, True)


def test_many_writers_make_one_chain(place):
    async def write(database, writer):
        for number in range(5):
            async with database.transaction() as connection:
                await append(connection, [an_entry(number, actor=f"writer {writer}")])

    async def go():
        async with place.opened() as database:
            await asyncio.gather(*(write(database, writer) for writer in range(4)))
            return await verify(database)

    assert asyncio.run(go()) == audit.Chain(20, None)


def test_what_a_journal_told_once_is_not_told_again(place):
    def told(number):
        return msgspec.structs.replace(an_entry(number), run="r1", number=number, ordinal=1)

    async def go():
        async with place.opened() as database:
            async with database.transaction() as connection:
                assert await append(connection, [told(1), told(2)], Reached("r1", 5)) == 2
            async with database.transaction() as connection:
                again = [told(1), told(2), told(5), told(6), an_entry(7)]
                assert await append(connection, again, Reached("r1", 6)) == 2
                assert await append(connection, [], Reached("r1", 3)) == 0
            async with database.transaction() as connection:
                later = msgspec.structs.replace(told(1), run="r2")
                assert await append(connection, [later], Reached("r2", 1)) == 1
            async with database.reading() as connection:
                head = (await connection.execute(select(audit_head))).one()
            return head, await verify(database)

    head, chain = asyncio.run(go())
    assert (head.run, head.number) == ("r2", 1)
    assert chain == audit.Chain(5, None)


texts = st.one_of(st.none(), st.text(max_size=5))


@given(
    st.tuples(texts, texts, st.integers(0, 3), st.booleans()), st.tuples(texts, texts, st.integers(0, 3), st.booleans())
)
def test_two_records_have_one_seal_only_where_they_are_equal(one, other):
    """Nothing can be moved from one field into its neighbour."""

    def record(values):
        entry = an_entry(old=values[0], new=values[1], ts=values[2], success=values[3])
        return {**msgspec.structs.asdict(entry), "id": 1, "context": "{}", "previous_hash": GENESIS}

    assert (seal(record(one)) == seal(record(other))) == (one == other)
