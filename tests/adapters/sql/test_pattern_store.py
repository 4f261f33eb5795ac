"""Findings as rows, what traders say of them, and the library that comes of both."""

import asyncio
from decimal import Decimal

import pytest
from sqlalchemy import select
from tests.adapters.sql.found_runs import CALM, a_finding, a_run_with, found, settled
from tests.adapters.sql.journals import DAY_ONE, ListTail
from tests.adapters.sql.test_projector import FIRST, SOURCE
from tests.core.engine.builders import BTC

from stakan.adapters.sql import audit, check, pattern_store, upkeep
from stakan.adapters.sql import tables as t
from stakan.adapters.sql.batch import By
from stakan.adapters.sql.owned import label_of, save_label
from stakan.adapters.sql.pattern_store import Wanted
from stakan.adapters.sql.projector import Projector
from stakan.adapters.sql.queries import Span, levels_tested
from stakan.core.domain.errors import Conflict, DataError
from stakan.core.domain.facts import LevelTested
from stakan.core.domain.findings import Label, Pattern, Stage
from stakan.core.domain.patterns import PatternLibrary
from stakan.core.domain.units import Side

OLGA, IVAN = By("olga", DAY_ONE), By("ivan", DAY_ONE + 1)
WASH = a_finding(9, detector="wash", pattern=Pattern.WASH_TRADING, side=None, low=None, high=None, evidence={"z": 3.0})
CONFIRMED = a_finding(2, stage=Stage.CONFIRMED, evidence={"size_ratio": 9.0, "life_ms": 300.0})


async def projected(database, *steps):
    tail = ListTail({FIRST: a_run_with(*steps)})
    await Projector(database, tail, SOURCE).catch_up()
    return tail


def in_a_database(place, work, *steps):
    """What `work` gives, with these facts in the database."""

    async def go():
        async with place.opened() as database:
            tail = await projected(database, *steps)
            return await work(database, tail)

    return asyncio.run(go())


EVERYTHING = Wanted()


def test_a_finding_has_a_row_with_the_market_around_it_and_what_price_did(place):
    async def work(database, _):
        return await pattern_store.found(database, EVERYTHING, 10)

    one = a_finding()
    wash, spoof = in_a_database(place, work, (found(one), found(WASH, None)), (settled(one, 1.5, None, -2.0),))
    assert (spoof.instrument, spoof.pattern, spoof.stage, spoof.side) == (
        one.instrument,
        "spoofing",
        "suspected",
        "buy",
    )
    assert (spoof.low, spoof.high, spoof.size) == (Decimal("63999.0"), Decimal("63999.0"), Decimal("5.000"))
    assert (spoof.confidence, spoof.evidence) == (0.7, one.evidence)
    assert spoof.circumstances == {name: getattr(CALM, name) for name in CALM.__struct_fields__}
    assert (spoof.is_settled, spoof.move_1s_bps, spoof.move_10s_bps, spoof.move_60s_bps) == (True, 1.5, None, -2.0)
    assert spoof.id.startswith(f"{FIRST}#")
    assert (wash.side, wash.low, wash.circumstances, wash.is_settled, wash.label) == (None, None, None, False, None)


def test_what_is_wanted_is_found(place):
    findings = [a_finding(1), CONFIRMED, WASH]

    async def work(database, _):
        for line in await pattern_store.found(database, EVERYTHING, 10):
            if line.episode == 1:
                await save_label(database, await label_of(database, line.id), Label.REAL, OLGA)
        wanted = (
            EVERYTHING,
            Wanted(pattern=Pattern.WASH_TRADING),
            Wanted(instrument="another"),
            Wanted(label=Label.REAL),
            Wanted(label=Label.FALSE),
            Wanted(only_unlabelled=True),
            Wanted(span=Span(0, DAY_ONE)),
        )
        lines = [await pattern_store.found(database, one, 10) for one in wanted]
        lines.append(await pattern_store.found(database, EVERYTHING, 1))
        return [[line.episode for line in one] for one in lines]

    expected = [[9, 2, 1], [9], [], [1], [], [9, 2], [], [9]]
    assert in_a_database(place, work, *((found(one),) for one in findings)) == expected


def test_an_episode_is_all_that_was_found_in_it(place):
    later = a_finding(1, stage=Stage.CONFIRMED)

    async def work(database, _):
        (line, *_) = await pattern_store.found(database, EVERYTHING, 10)
        with pytest.raises(DataError, match="there is no finding nothing"):
            await pattern_store.episode(database, "nothing")
        return await pattern_store.episode(database, line.id)

    lines = in_a_database(place, work, (found(a_finding(1)),), (found(a_finding(2)),), (found(later),))
    assert [(line.episode, line.stage) for line in lines] == [(1, "suspected"), (1, "confirmed")]


def test_a_label_is_never_overwritten_by_somebody_who_has_not_read_it_and_is_audited(place):
    async def work(database, _):
        with pytest.raises(DataError, match="there is no finding nothing"):
            await label_of(database, "nothing")
        (line,) = await pattern_store.found(database, EVERYTHING, 10)
        read = await label_of(database, line.id)
        first = await save_label(database, read, Label.REAL, OLGA)
        with pytest.raises(Conflict):
            await save_label(database, read, Label.FALSE, IVAN)
        second = await save_label(database, first, Label.FALSE, IVAN)
        assert await label_of(database, line.id) == second
        async with database.reading() as connection:
            query = select(t.audit_log).where(t.audit_log.c.entity == line.id).order_by(t.audit_log.c.id)
            return second, (await connection.execute(query)).all(), await audit.verify(database)

    second, records, chain = in_a_database(place, work, (found(a_finding()),))
    assert (second.label, second.version, second.changed_by) == (Label.FALSE, 2, "ivan")
    assert [(one.actor, one.old, one.new) for one in records] == [
        ("olga", "", '{"label":"real"}'),
        ("ivan", "real", '{"label":"false"}'),
    ]
    assert chain.broken is None


def test_labels_outlive_rows_that_are_built_again(sqlite):
    async def work(database, tail):
        (line,) = await pattern_store.found(database, EVERYTHING, 10)
        await save_label(database, await label_of(database, line.id), Label.REAL, OLGA)
        assert (await check.compare(database, tail, SOURCE)).differences == []
        await upkeep.forget_rows(database, tail, OLGA)
        assert await pattern_store.found(database, EVERYTHING, 10) == []
        await Projector(database, tail, SOURCE).catch_up()
        return line, await pattern_store.found(database, EVERYTHING, 10)

    before, (after,) = in_a_database(sqlite, work, (found(a_finding()),))
    assert (after.id, after.label, after.evidence) == (before.id, "real", before.evidence)


def test_a_library_is_made_of_labelled_episodes_and_of_those_that_were_confirmed(place):
    """Episode 1 was labelled by its confirmation, 2 was confirmed and not labelled, 3 was only suspected."""
    ends = a_finding(1, stage=Stage.CONFIRMED, evidence={"size_ratio": 8.0, "life_ms": 200.0})

    async def work(database, _):
        for line in await pattern_store.found(database, EVERYTHING, 10):
            if line.episode == 1 and line.stage == "confirmed":
                await save_label(database, await label_of(database, line.id), Label.FALSE, OLGA)
        return await pattern_store.library(database)

    steps = ((found(one),) for one in (a_finding(1), ends, CONFIRMED, a_finding(3), WASH))
    library = in_a_database(place, work, *steps)
    told = [(one.detector, one.evidence["life_ms"], one.verdict) for one in library.known]
    assert told == [("spoofing", 401.0, -1.0), ("spoofing", 200.0, -1.0), ("spoofing", 300.0, 0.5)]
    assert isinstance(library, PatternLibrary)


def test_what_price_did_after_a_finding_that_is_not_known_any_more_is_a_system_event(sqlite):
    async def work(database, _):
        async with database.reading() as connection:
            query = select(t.system_events).where(t.system_events.c.kind == "FindingSettled")
            return (await connection.execute(query)).all()

    (row,) = in_a_database(sqlite, work, (settled(a_finding(), 1.0, 2.0, 3.0),))
    assert row.detail["moves_bps"] == [1.0, 2.0, 3.0]


# --- levels -----------------------------------------------------------------------------------------------------------


def a_level_tested(price, **changes):
    values = {
        "instrument": BTC, "side": Side.BUY, "price": price, "held": True, "strength": 2.5, "touches": 3, "holds": 2,
        "breaks": 1, "began_ts": DAY_ONE, "touched_ts": DAY_ONE + 1, "ts_event": DAY_ONE + 2,
    }  # fmt: skip
    return LevelTested(**{**values, **changes})


def test_levels_that_were_tested_are_told_newest_first(place):
    async def work(database, _):
        return (
            await levels_tested(database, Span(), None, 10),
            await levels_tested(database, Span(), "another", 10),
            await levels_tested(database, Span(), None, 1),
        )

    steps = ((a_level_tested(640_000.5),), (a_level_tested(641_000.0, side=Side.SELL, held=False),))
    everything, none, one = in_a_database(place, work, *steps)
    assert [(line.side, line.is_held, line.price) for line in everything] == [
        ("sell", False, pytest.approx(64_100.0)),
        ("buy", True, pytest.approx(64_000.05)),
    ]
    assert (none, one) == ([], everything[:1])
    assert (everything[1].touches, everything[1].holds, everything[1].breaks) == (3, 2, 1)
