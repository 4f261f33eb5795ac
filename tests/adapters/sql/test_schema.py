"""Migrations up and down on both engines; models and migrated schema are one; the database guards the audit log."""

import asyncio
from enum import Enum

import pytest
from sqlalchemy import CheckConstraint, inspect, text
from tests.adapters.sql.servers import (
    ENGINES,
    administer,
    need_postgresql,
    postgresql_name,
    postgresql_url,
)

from stakan.adapters.sql import schema
from stakan.adapters.sql.columns import to_json
from stakan.adapters.sql.database import Database, sqlite_url
from stakan.adapters.sql.partitions import Month, drop_partitions, make_partitions, month_of, partition_name
from stakan.adapters.sql.tables import (
    SERIES,
    audit_log,
    fills,
    finding_labels,
    findings,
    metadata,
    order_transitions,
    orders,
    position_transitions,
    risk_state,
)
from stakan.core.domain.errors import ConfigError, StorageError
from stakan.core.domain.events import FillOrigin
from stakan.core.domain.findings import Label, Pattern, Stage
from stakan.core.domain.orders import OrderStatus, OrderType, PositionStatus, Purpose, TimeInForce
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import DAY


@pytest.fixture(params=ENGINES)
def untouched(request, tmp_path):
    """The address of a database without anything in it."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "new.sqlite")
        return
    need_postgresql()
    name = f"{postgresql_name()}_schema"
    asyncio.run(administer(f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}"))
    yield postgresql_url(name)
    asyncio.run(administer(f"DROP DATABASE {name} WITH (FORCE)"))


def described(connection):
    """Tables, columns, keys, checks and indexes, as the database itself tells them."""
    seen = inspect(connection)
    found = {}
    for name in seen.get_table_names():
        if name == "alembic_version" or "_p20" in name:
            continue
        found[name] = {
            "columns": [(column["name"], str(column["type"]), column["nullable"]) for column in seen.get_columns(name)],
            "key": seen.get_pk_constraint(name),
            "foreign": sorted(
                (tuple(key["constrained_columns"]), key["referred_table"], tuple(key["referred_columns"]))
                for key in seen.get_foreign_keys(name)
            ),
            "checks": sorted(
                (check["name"], " ".join(check["sqltext"].split())) for check in seen.get_check_constraints(name)
            ),
            "unique": sorted(tuple(unique["column_names"]) for unique in seen.get_unique_constraints(name)),
            "indexes": sorted(
                (
                    index["name"],
                    tuple(index["column_names"]),
                    sorted(f"{name}: {value}" for name, value in index.get("dialect_options", {}).items()),
                )
                for index in seen.get_indexes(name)
            ),
        }
    return found


def sorted_columns(tables):
    """The order of columns is a matter of taste."""
    return {name: {**table, "columns": sorted(table["columns"])} for name, table in tables.items()}


def test_models_and_migrated_schema_are_the_same(untouched):
    async def go():
        database = Database(untouched)
        try:
            await schema.upgrade(database)
            async with database.reading() as connection:
                migrated = await connection.run_sync(described)
            await schema.downgrade(database)
            async with database.transaction() as connection:
                await connection.run_sync(metadata.create_all)
                modelled = await connection.run_sync(described)
            return migrated, modelled
        finally:
            await database.close()

    migrated, modelled = asyncio.run(go())
    assert sorted_columns(migrated) == sorted_columns(modelled)
    assert migrated.keys() == metadata.tables.keys()


def test_up_down_and_up_again_leaves_nothing_behind(untouched):
    async def go():
        database = Database(untouched)
        try:
            assert await schema.revision_of(database) == schema.BASE
            with pytest.raises(ConfigError, match="stakan db migrate"):
                await schema.demand_newest(database)
            head = schema.newest_revision()
            assert await schema.upgrade(database) == (schema.BASE, head)
            assert await schema.upgrade(database) == (head, head)
            await schema.demand_newest(database)
            await schema.downgrade(database)
            assert await schema.revision_of(database) == schema.BASE
            async with database.reading() as connection:
                assert await connection.run_sync(described) == {}
            assert await schema.upgrade(database) == (schema.BASE, head)
        finally:
            await database.close()

    asyncio.run(go())


def test_every_revision_goes_down_to_the_one_before_it(untouched):
    """Each step down leaves what its step up had found."""

    async def go():
        database = Database(untouched)
        try:
            seen = []
            await schema.upgrade(database)
            while (revision := await schema.revision_of(database)) != schema.BASE:
                seen.append(revision)
                await schema.downgrade(database, "-1")
            async with database.reading() as connection:
                assert await connection.run_sync(described) == {}
            assert await schema.upgrade(database) == (schema.BASE, schema.newest_revision())
            return seen
        finally:
            await database.close()

    assert asyncio.run(go()) == ["0002", "0001"]


def test_a_schema_of_a_newer_release_is_left_alone(untouched):
    async def go():
        database = Database(untouched)
        try:
            await schema.upgrade(database)
            async with database.transaction() as connection:
                await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
            with pytest.raises(StorageError, match="use a newer release"):
                await schema.upgrade(database)
        finally:
            await database.close()

    asyncio.run(go())


# --- closed sets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "column", "kind"),
    [
        (orders, "purpose", Purpose),
        (orders, "type", OrderType),
        (orders, "time_in_force", TimeInForce),
        (orders, "status", OrderStatus),
        (order_transitions, "after_status", OrderStatus),
        (position_transitions, "after_status", PositionStatus),
        (fills, "origin", FillOrigin),
        (risk_state, "trading", TradingState),
        (findings, "pattern", Pattern),
        (findings, "stage", Stage),
        (finding_labels, "label", Label),
    ],
)
def test_every_member_of_a_closed_set_may_be_written(table, column, kind: type[Enum]):
    checks = {str(check.name): str(check.sqltext) for check in table.constraints if isinstance(check, CheckConstraint)}
    allowed = checks[f"ck_{table.name}_{column}"]
    assert all(f"'{member.value}'" in allowed for member in kind)


# --- the audit log -----------------------------------------------------------------------------------------------------

ROW = {
    "id": 1,
    "run": "r",
    "number": 1,
    "ordinal": 1,
    "ts": 5,
    "trace_id": "t",
    "actor": "engine",
    "action": "order",
    "entity_kind": "order",
    "entity": "s-1",
    "old": None,
    "new": "pending",
    "reason": "",
    "context": to_json({}),
    "success": True,
    "previous_hash": "0" * 64,
    "hash": "1" * 64,
}
FORBIDDEN = {
    "sqlite": (
        "UPDATE audit_log SET actor = 'x'",
        "DELETE FROM audit_log",
        "INSERT OR REPLACE INTO audit_log SELECT * FROM audit_log WHERE id = 1",
        f"REPLACE INTO audit_log SELECT 2, {', '.join(list(ROW)[1:])} FROM audit_log",
        "UPDATE OR REPLACE audit_log SET id = 7",
    ),
    "postgresql": (
        "UPDATE audit_log SET actor = 'x'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "DELETE FROM audit_log WHERE id = 17",
        "INSERT INTO audit_log SELECT * FROM audit_log WHERE id = 1 ON CONFLICT (id) DO UPDATE SET actor = 'x'",
    ),
}


def test_the_database_itself_refuses_to_change_the_audit_log(place):
    async def go():
        async with place.opened() as database:
            async with database.transaction() as connection:
                await connection.execute(audit_log.insert(), ROW)
            for statement in FORBIDDEN["postgresql" if database.is_postgresql else "sqlite"]:
                with pytest.raises(StorageError, match="audit_log is append-only"):
                    async with database.transaction() as connection:
                        await connection.execute(text(statement))
            async with database.reading() as connection:
                (row,) = (await connection.execute(audit_log.select())).all()
                assert dict(row._mapping) == ROW

    asyncio.run(go())


# --- months ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("year", "month"), [(1970, 1), (2023, 12), (2024, 2), (2261, 1)])
def test_a_month_begins_where_the_one_before_it_ends(year, month):
    here = Month(year, month)
    assert month_of(here.first_ts) == here
    assert month_of(here.next.first_ts - 1) == here
    assert month_of(here.next.first_ts) == here.next


def test_partitions_are_made_once_and_dropped_when_all_of_them_is_old(postgresql):
    january, march = Month(2024, 1), Month(2024, 3)

    async def go():
        async with postgresql.opened() as database, database.transaction() as connection:
            for _ in range(2):
                await make_partitions(connection, [("densities", january), ("densities", march)])
            gone = await drop_partitions(connection, "densities", january.next.first_ts - 1)
            assert gone == []
            gone = await drop_partitions(connection, "densities", march.first_ts + 5 * DAY)
            assert gone == [partition_name("densities", january)]
            await drop_partitions(connection, "densities", 2**62)

    asyncio.run(go())


def test_series_are_partitioned_and_nothing_else_is(postgresql):
    async def go():
        async with postgresql.opened() as database, database.reading() as connection:
            rows = await connection.execute(text("SELECT partrelid::regclass::text FROM pg_partitioned_table"))
            return {name for (name,) in rows}

    assert asyncio.run(go()) == {table.name for table in SERIES}
