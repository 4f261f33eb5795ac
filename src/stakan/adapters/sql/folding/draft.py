"""The working surface of the projection: state, moment and batch, and where the next row goes."""

from collections.abc import Mapping
from typing import Any, get_args

import msgspec
from sqlalchemy import Table

from stakan.adapters.sql.batch import AuditEntry, Batch, Key, Values, key_of
from stakan.adapters.sql.folding.state import ProjectionState
from stakan.adapters.sql.moments import Moment
from stakan.adapters.sql.tables import system_events
from stakan.core.domain.commands import AnyCommand, SubmitOrder
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AccountRead, AccountUnread, AnyEvent, OperatorRequest, VenueEvent, encode_array
from stakan.core.domain.facts import AnyFact, IntentApproved
from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import NewOrder
from stakan.core.domain.step import Step
from stakan.core.domain.trace import trace_id, trace_of
from stakan.core.domain.units import Nanos, Side

ENGINE, EXCHANGE = "engine", "exchange"
_OF_VENUE = (*get_args(VenueEvent), AccountRead, AccountUnread)


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
        self._step = Step(0, Nanos(0))
        self._ordinal = 0

    def begin(self, moment: Moment) -> None:
        """Turn to a moment."""
        step = moment.step
        self.event = moment.event
        self.facts = step.facts if step is not None else ()
        self.commands = step.commands if step is not None else ()
        self.ts = self.state.ts = step.ts if step is not None else moment.event.ts_recv if moment.event else self.ts
        self.state.number = moment.number
        self._step = step if step is not None else Step(moment.number, Nanos(self.ts))
        self.state.traces.note(self._step)
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
        """Who said what happened: the exchange, where its message is the moment's event."""
        return EXCHANGE if isinstance(self.event, _OF_VENUE) else self.actor

    def trace(self, item: AnyFact | AnyCommand | AnyEvent | None = None) -> str:
        """The trace of an event, a fact or a command of this moment; without one the moment's own."""
        if item is None:
            return trace_id(self.state.run, self.state.number)
        return trace_of(item, self._step, self.state.traces)

    def trace_of_intent(self, intent: IntentId) -> str:
        """The trace of all that belongs to an intent."""
        return trace_id(self.state.run, self.state.number, intent)

    def rules(self, instrument: InstrumentId) -> Instrument:
        """The grid that ticks and lots of an instrument are on now; raises DataError where none is known."""
        rules = self.state.rules.get(instrument)
        if rules is None:
            raise DataError(f"run {self.state.run}, step {self.state.number}: no rules of {instrument} in the journal")
        return rules

    # --- writing ----------------------------------------------------------------------------------------------------

    def insert(self, table: Table, **values: Any) -> Key:
        """A new row with the next place in the journal; gives its key."""
        row = {**self.place(), **values}
        self.batch.insert(table, row)
        return key_of(table, row)

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
                **self.place(),
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

    def place(self) -> Values:
        """The next place in the journal for a row of this moment."""
        self._ordinal += 1
        return {"run": self.state.run, "number": self.state.number, "ordinal": self._ordinal, "ts": self.ts}


def plain(text: str) -> str:
    """Text as PostgreSQL takes it: it knows no zero byte."""
    return text.replace("\x00", "\ufffd")


def side_name(side: int) -> str:
    """`buy` or `sell`."""
    return Side(side).name.lower()


def builtins(value: Any) -> Any:
    """A message as JSON can say it."""
    return msgspec.to_builtins(value, enc_hook=encode_array)
