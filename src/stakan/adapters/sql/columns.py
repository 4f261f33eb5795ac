"""Kinds of columns: money that is exact on every engine, closed sets as checks, JSON as it was written."""

from collections.abc import Iterable
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec
from sqlalchemy import JSON, CheckConstraint, Numeric, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from stakan.core.domain.errors import DataError

POSTGRESQL = "postgresql"
SQLITE = "sqlite"


class Money(TypeDecorator[Decimal]):
    """A Decimal without loss: NUMERIC on PostgreSQL, on SQLite (whose numbers are floats) the text of the Decimal.

    To sort or sum on SQLite, read the values: text has another order. Raises DataError for what is not a number.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """NUMERIC of any precision where the engine's is exact."""
        return dialect.type_descriptor(Numeric() if dialect.name == POSTGRESQL else Text())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Written without an exponent, so that it can be read."""
        if value is None:
            return None
        if not value.is_finite():
            raise DataError(f"{value} is not an amount of money")
        return value if dialect.name == POSTGRESQL else f"{value:f}"

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 - its signature
        """A Decimal again."""
        return None if value is None else Decimal(value)


Json = JSON(none_as_null=True)
"""Not JSONB: that rewrites numbers, and rows must be equal on both engines."""


def to_json(value: Any) -> str:
    """Canonical: equal values, equal text. What is no number becomes null."""
    return msgspec.json.encode(value, order="deterministic").decode()


def from_json(text: str | bytes) -> Any:
    """What `to_json` wrote."""
    return msgspec.json.decode(text)


def one_of(column: str, values: Iterable[str] | type[Enum]) -> CheckConstraint:
    """A check that a column holds a member of a closed set (or nothing)."""
    members = [str(getattr(value, "value", value)) for value in values]
    listed = ", ".join(f"'{member}'" for member in members)
    return CheckConstraint(f"{column} IN ({listed})", name=column)
