"""The working surface of the projection: state, moment and batch, and where the next row goes."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Table

from stakan.adapters.sql.batch import AuditEntry, Batch, Key, Values
from stakan.adapters.sql.folding.state import ProjectionState
from stakan.adapters.sql.moments import Moment
from stakan.adapters.sql.tables import system_events
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AnyEvent, OperatorRequest, OrderEvent, encode_array
from stakan.core.domain.facts import AnyFact, IntentApproved, IntentRefused
from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import NewOrder
from stakan.core.domain.trace import NOBODY, intent_of, trace_id
from stakan.core.domain.units import Side

ENGINE, EXCHANGE = "engine", "exchange"


class Draft:
    """Rows of the moment that is being projected."""

    def __init__(self, state: ProjectionState, batch: Batch) -> None:
        self.state = state
        self.batch = batch
        self.ts = state.ts
        self.event: AnyEvent | None = None
        self.facts: tuple[AnyFact, ...] = ()
        self.asked: dict[ClientOrderId, NewOrder] = {}
        """Orders that the step sends."""
        self.approved: dict[IntentId, IntentApproved] = {}
        """Intents that the step approves."""
        self.commands: tuple[Any, ...] = ()
        self._ordinal = 0

    def begin(self, moment: Moment) -> None:
        """Turn to a moment."""
        step = moment.step
        self.event = moment.event
        self.facts = step.facts if step is not None else ()
        self.commands = step.commands if step is not None else ()
        self.ts = self.state.ts = step.ts if step is not None else moment.event.ts_recv if moment.event else self.ts
        self.state.number = moment.number
        self._ordinal = 0
        self.asked = {c.order.client_order_id: c.order for c in self.commands if isinstance(c, SubmitOrder)}
        self.approved = {fact.intent.id: fact for fact in self.facts if isinstance(fact, IntentApproved)}

    # --- who and what -----------------------------------------------------------------------------------------------

    @property
    def actor(self) -> str:
        """Who made the engine do what it did."""
        if isinstance(self.event, OperatorRequest):
            return plain(self.event.actor)
        return ENGINE

    @property
    def teller(self) -> str:
        """Who said what happened to an order: the exchange, where its message is the moment's event."""
        return EXCHANGE if isinstance(self.event, OrderEvent) else self.actor

    def trace(self, fact: AnyFact | None = None, intent: IntentId = NOBODY) -> str:
        """The trace of a fact, or of an intent; else the moment's own."""
        if fact is not None:
            intent = intent_of(fact, _Intents(self.state), self._owners())
        return trace_id(self.state.run, self.state.number, intent)

    def trace_of_signal(self, signal: object) -> str:
        """The trace of the intent that the step made of a signal; else the moment's own."""
        for fact in self.facts:
            if isinstance(fact, IntentApproved | IntentRefused) and fact.intent.signal == signal:
                return self.trace(intent=fact.intent.id)
        return self.trace()

    def rules(self, instrument: InstrumentId) -> Instrument:
        """The grid that ticks and lots of an instrument are on now; raises DataError where none is known."""
        rules = self.state.rules.get(instrument)
        if rules is None:
            raise DataError(f"run {self.state.run}, step {self.state.number}: no rules of {instrument} in the journal")
        return rules

    # --- writing ----------------------------------------------------------------------------------------------------

    def insert(self, table: Table, **values: Any) -> None:
        """A new row with the next place in the journal."""
        self.batch.insert(table, {**self._place(), **values})

    def insert_row(self, table: Table, row: msgspec.Struct, **more: Any) -> None:
        """A new row that has a key of its own."""
        self.batch.insert(table, {**msgspec.structs.asdict(row), **more})

    def change(self, table: Table, key: Key, **values: Any) -> None:
        """Some columns of a row that is there."""
        self.batch.change(table, key, values)

    def note(self, kind: str, instrument: InstrumentId | None, detail: Any, trace: str) -> None:
        """A system event: what has no table of its own."""
        self.insert(system_events, kind=kind, instrument=instrument, detail=builtins(detail), trace_id=trace)

    def audit(
        self,
        action: str,
        entity: tuple[str, str],
        *,
        trace: str,
        actor: str | None = None,
        change: tuple[str | None, str | None] = (None, None),
        reason: str = "",
        context: Mapping[str, Any] | None = None,
        success: bool = True,
    ) -> None:
        """An entry of the audit log; `entity` is its kind and name, `change` the old and the new value."""
        self.batch.audit.append(
            AuditEntry(
                **self._place(),
                trace_id=trace,
                actor=self.actor if actor is None else actor,
                action=action,
                entity_kind=entity[0],
                entity=entity[1],
                old=change[0],
                new=change[1],
                reason=plain(reason),
                context=context or {},
                success=success,
            )
        )

    def _place(self) -> Values:
        self._ordinal += 1
        return {"run": self.state.run, "number": self.state.number, "ordinal": self._ordinal, "ts": self.ts}

    def _owners(self) -> dict[Any, IntentId]:
        return {key: memory.row.intent for key, memory in self.state.positions.items()}


class _Intents(Mapping[ClientOrderId, IntentId]):
    """Whose each known order is."""

    def __init__(self, state: ProjectionState) -> None:
        self._state = state

    def __getitem__(self, key: ClientOrderId) -> IntentId:
        row = self._state.orders.get(key)
        return row.intent if row is not None else self._state.finished[key]

    def __iter__(self) -> Any:
        return iter((*self._state.orders, *self._state.finished))

    def __len__(self) -> int:
        return len(self._state.orders) + len(self._state.finished)


def plain(text: str) -> str:
    """Text as PostgreSQL takes it: it knows no zero byte."""
    return text.replace("\x00", "\ufffd")


def side_name(side: int) -> str:
    """`buy` or `sell`."""
    return Side(side).name.lower()


def builtins(value: Any) -> Any:
    """A message as JSON can say it."""
    return msgspec.to_builtins(value, enc_hook=encode_array)
