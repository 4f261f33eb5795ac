"""Money is exact on both engines, and comes back as it was written."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.dialects import sqlite as dialects
from tests.adapters.sql.servers import ENGINES

from stakan.adapters.sql.columns import Money, to_json
from stakan.adapters.sql.tables import equity_marks, instruments, trade_notes
from stakan.core.domain.errors import DataError

amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value=Decimal("-1e40"), max_value=Decimal("1e40"))


@pytest.mark.parametrize("engine", ENGINES)
def test_an_amount_comes_back_exactly(engine, request):
    place = request.getfixturevalue(engine)

    @settings(max_examples=6)
    @given(st.lists(amounts, min_size=1, max_size=60))
    @example([Decimal("0.1"), Decimal("-0"), Decimal("1E-28"), Decimal("123456789012345678901234567890.123456789")])
    def law(values):
        async def go():
            async with place.opened() as database, database.transaction() as connection:
                rows = [
                    {
                        "id": str(number),
                        "category": "c",
                        "base": "b",
                        "quote": "q",
                        "settle": "s",
                        "tick_size": value,
                        "lot_size": -value,
                        "rules": {"value": str(value)},
                    }
                    for number, value in enumerate(values)
                ]
                await connection.execute(instruments.insert(), rows)
                found = {row.id: row for row in await connection.execute(select(instruments))}
                for row in rows:
                    assert found[row["id"]].tick_size == row["tick_size"]
                    assert found[row["id"]].lot_size == row["lot_size"]
                    assert found[row["id"]].rules == row["rules"]

        asyncio.run(go())

    law()


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "sNaN"])
def test_what_is_no_number_is_no_money(value):
    with pytest.raises(DataError, match="is not an amount of money"):
        Money().process_bind_param(Decimal(value), dialects.dialect())


def test_equal_values_are_equal_json_whatever_their_order():
    assert to_json({"b": 1, "a": [Decimal("1.10"), float("nan")]}) == '{"a":["1.10",null],"b":1}'
    assert to_json({"a": 1, "b": 2}) == to_json({"b": 2, "a": 1})


def test_tables_name_money_as_money():
    assert isinstance(equity_marks.c.equity.type, Money)
    assert not isinstance(trade_notes.c.note.type, Money)
