"""Rows to be written: a stretch of the journal as inserts, changes and audit entries, each key once."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import Table

from stakan.adapters.sql.tables import metadata
from stakan.core.domain.errors import InvariantViolated

Values = dict[str, Any]
Key = tuple[Any, ...]


class By(msgspec.Struct, frozen=True):
    """Who does something to the database by hand, and when."""

    actor: str
    now: int


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit log before it is sealed into the chain."""

    run: str | None = None
    """Run, number and ordinal say where in the journal it follows from; None where it follows from none."""
    number: int | None = None
    ordinal: int | None = None
    ts: int
    trace_id: str
    actor: str
    """engine, exchange, or an operator's name."""
    action: str
    entity_kind: str
    entity: str
    old: str | None = None
    new: str | None = None
    reason: str = ""
    context: Mapping[str, Any] = {}
    success: bool = True


class Batch:
    """What a transaction is to write. A change of a row that the batch inserts becomes part of the insert."""

    def __init__(self) -> None:
        self.inserts: dict[Table, dict[Key, Values]] = {}
        self.changes: dict[Table, dict[Key, Values]] = {}
        self.audit: list[AuditEntry] = []
        self._rows = 0

    def __len__(self) -> int:
        """Rows and audit entries."""
        return self._rows + len(self.audit)

    def insert(self, table: Table, values: Values) -> None:
        """Write a new row."""
        rows = self.inserts.setdefault(table, {})
        key = key_of(table, values)
        if key in rows:
            raise InvariantViolated(f"two rows of {table.name} for {key}: the projection must derive one")
        rows[key] = values
        self._rows += 1

    def change(self, table: Table, key: Key, values: Values) -> None:
        """Write over some columns of a row that is there."""
        fresh = self.inserts.get(table, {}).get(key)
        if fresh is not None:
            fresh.update(values)
            return
        rows = self.changes.setdefault(table, {})
        if key not in rows:
            rows[key] = {}
            self._rows += 1
        rows[key].update(values)

    def new_rows(self) -> Iterator[tuple[Table, list[Values]]]:
        """Inserts by table, parents before children."""
        for table in metadata.sorted_tables:
            if table in self.inserts:
                yield table, list(self.inserts[table].values())

    def changed_rows(self) -> Iterator[tuple[Table, list[tuple[Key, Values]]]]:
        """Changes by table and by the columns that they change, as a database takes many of one shape at once."""
        for table, rows in self.changes.items():
            shapes: dict[tuple[str, ...], list[tuple[Key, Values]]] = {}
            for key, values in rows.items():
                shapes.setdefault(tuple(sorted(values)), []).append((key, values))
            for alike in shapes.values():
                yield table, alike


class Rows(dict[Table, dict[Key, Values]]):
    """Tables in memory: what a database holds after these batches."""

    def take(self, batch: Batch) -> None:
        """Write a batch; raises KeyError where a row that it changes is not there."""
        for table, rows in batch.new_rows():
            self.setdefault(table, {}).update({key_of(table, row): dict(row) for row in rows})
        for table, changes in batch.changes.items():
            for key, values in changes.items():
                self[table][key].update(values)


def key_of(table: Table, values: Mapping[str, Any]) -> Key:
    """The values of the primary key."""
    return tuple(values[column.name] for column in table.primary_key.columns)
