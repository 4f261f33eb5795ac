"""What operators own is never overwritten by somebody who has not read it."""

import asyncio

import pytest
from sqlalchemy import select
from tests.adapters.sql.journals import DAY_ONE, ListTail, a_run
from tests.adapters.sql.test_projector import FIRST, SOURCE

from stakan.adapters.sql import audit
from stakan.adapters.sql import tables as t
from stakan.adapters.sql.batch import By
from stakan.adapters.sql.owned import (
    change_parameters,
    note_of,
    parameters_of,
    save_note,
    save_parameters,
)
from stakan.adapters.sql.projector import Projector
from stakan.core.domain.errors import Conflict, DataError
from stakan.core.domain.ids import InstrumentId

BTC = InstrumentId("bybit:linear:BTCUSDT")
OLGA, IVAN = By("olga", 5), By("ivan", 6)


def test_a_stale_write_is_a_conflict_and_changes_nothing(place):
    async def go():
        async with place.opened() as database:
            read = await parameters_of(database, BTC)
            assert (read.version, read.parameters) == (0, {})
            first = await save_parameters(database, read, {"stop_bps": 5}, OLGA)
            with pytest.raises(Conflict, match="read it again"):
                await save_parameters(database, read, {"stop_bps": 7}, IVAN)
            second = await save_parameters(database, first, {"stop_bps": 6}, IVAN)
            with pytest.raises(Conflict):
                await save_parameters(database, first, {"stop_bps": 8}, OLGA)
            assert await parameters_of(database, BTC) == second
            return second

    assert asyncio.run(go()).version == 2


@pytest.mark.parametrize("writers", [2, 5])
def test_changes_at_once_are_all_kept(writers, place):
    async def add(database, name):
        for _ in range(3):
            await change_parameters(database, BTC, lambda found: {**found, name: found.get(name, 0) + 1}, By(name, 7))

    async def go():
        async with place.opened() as database:
            await asyncio.gather(*(add(database, f"w{number}") for number in range(writers)))
            return await parameters_of(database, BTC), await audit.verify(database)

    found, chain = asyncio.run(go())
    assert found.parameters == {f"w{number}": 3 for number in range(writers)}
    assert found.version == 3 * writers
    assert chain == audit.Chain(3 * writers, None)


def test_every_change_is_audited_with_what_was_there(sqlite):
    async def go():
        async with sqlite.opened() as database:
            first = await save_parameters(database, await parameters_of(database, BTC), {"a": 1}, OLGA)
            await save_parameters(database, first, {"a": 2}, IVAN)
            async with database.reading() as connection:
                return (await connection.execute(select(t.audit_log).order_by(t.audit_log.c.id))).all()

    one, two = asyncio.run(go())
    assert (one.actor, one.old, one.new) == ("olga", "{}", '{"parameters":{"a":1}}')
    assert (two.actor, two.old, two.new) == ("ivan", '{"a":1}', '{"parameters":{"a":2}}')
    assert two.entity == BTC


def test_a_note_belongs_to_a_trade_that_is_there(place):
    async def go():
        async with place.opened() as database:
            with pytest.raises(DataError, match="there is no trade"):
                await note_of(database, FIRST, "nothing#1")
            await Projector(database, ListTail({FIRST: a_run(length=9)[2]}), SOURCE).catch_up()
            async with database.reading() as connection:
                name = (await connection.execute(select(t.positions.c.id).limit(1))).scalar_one()
            saved = await save_note(database, await note_of(database, FIRST, name), "too early", By("olga", DAY_ONE))
            assert await note_of(database, FIRST, name) == saved
            return saved

    saved = asyncio.run(go())
    assert (saved.note, saved.version, saved.changed_by) == ("too early", 1, "olga")
