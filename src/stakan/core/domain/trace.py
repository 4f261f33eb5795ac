"""The trace: one text that everything of one intent has in common, in logs, audit and metrics alike.

What belongs to an intent, or to an order or a position of one, has the intent's id; all else `run#step`. Facts name
their order or their instrument, not their intent: `Traces` remembers, from the steps themselves, which is whose. So
whoever reads the same steps, live or from a journal, finds the same traces.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from stakan.core.domain.commands import AnyCommand, CancelOrder, RequestSnapshot, SetTimer, SubmitOrder
from stakan.core.domain.events import AnyEvent, MarketEvent, OperatorRequest, TimerFired
from stakan.core.domain.facts import (
    AnyFact,
    BookCorrupt,
    BookCrossed,
    BookGap,
    BookRecovered,
    CandleClosed,
    FillBooked,
    IntentApproved,
    IntentRefused,
    LatePrint,
    PositionClosed,
    PositionTransitioned,
    SignalProposed,
    SignalRefused,
)
from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId, PositionId
from stakan.core.domain.step import Step

KEPT = 10_000
"""Orders, and positions, that are remembered at least (and at most twice as many)."""

_OF_MARKET = (
    MarketEvent,
    BookGap,
    BookCrossed,
    BookCorrupt,
    BookRecovered,
    LatePrint,
    CandleClosed,
    SignalRefused,
    RequestSnapshot,
    OperatorRequest,
)
"""What names an instrument without being about anything of ours in it."""
_NOBODY = IntentId("")


class Owners(msgspec.Struct):
    """Whose something is, by its id; in two generations, so that memory is bounded."""

    kept: int = KEPT
    recent: dict[str, IntentId] = msgspec.field(default_factory=dict)
    older: dict[str, IntentId] = msgspec.field(default_factory=dict)

    def note(self, name: str, intent: IntentId) -> None:
        """Remember it."""
        if len(self.recent) >= self.kept:
            self.older, self.recent = self.recent, {}
        self.recent[name] = intent

    def of(self, name: str) -> IntentId:
        """Whose it is; empty where that is not known."""
        return self.recent.get(name) or self.older.get(name, _NOBODY)


class Traces(msgspec.Struct, kw_only=True):
    """Whose order, position and instrument is whose; plain data, made from steps by `note`."""

    run: str
    """Name of the run: what belongs to no intent is traced by it and the number of its step."""
    orders: Owners = msgspec.field(default_factory=Owners)
    positions: Owners = msgspec.field(default_factory=Owners)
    holders: dict[InstrumentId, IntentId] = msgspec.field(default_factory=dict)
    """The newest intent that ordered or held something in an instrument; it stays until there is another."""

    def note(self, step: Step) -> None:
        """Learn from a step; before anything of that step is traced."""
        for command in step.commands:
            if isinstance(command, SubmitOrder):
                order = command.order
                self.note_order(order.client_order_id, order.intent, order.instrument)
        for fact in step.facts:
            if isinstance(fact, PositionTransitioned):
                self.note_position(fact.position, fact.intent, fact.instrument)

    def note_order(self, order: ClientOrderId, intent: IntentId, instrument: InstrumentId) -> None:
        """An order is known from elsewhere, e.g. carried from the run before."""
        self.orders.note(order, intent)
        self.holders[instrument] = intent

    def note_position(self, position: PositionId, intent: IntentId, instrument: InstrumentId) -> None:
        """A position is known from elsewhere; one that nobody asked for is traced as its own orphan."""
        owner = intent or IntentId(f"orphan-{position}")
        self.positions.note(position, owner)
        self.holders[instrument] = owner


def trace_of(item: AnyFact | AnyCommand | AnyEvent, step: Step, known: Traces) -> str:
    """The trace of an event, of a fact or of a command of its step; `known` has noted that step."""
    return _intent_of(item, step, known) or f"{known.run}#{step.number}"


def _intent_of(item: Any, step: Step, known: Traces) -> IntentId:
    match item:
        case IntentApproved() | IntentRefused():
            return item.intent.id
        case SignalProposed():
            return _intent_made_of(item, step.facts)
        case SubmitOrder():
            return item.order.intent
        case PositionTransitioned() | PositionClosed():
            return item.intent or known.positions.of(item.position)
        case FillBooked():
            return known.orders.of(item.client_order_id) or known.positions.of(item.position)
        case SetTimer() | TimerFired():
            return _intent_of_timer(item.key, known)
        case CancelOrder(client_order_id=""):
            return _NOBODY  # not one of ours
        case _:
            return _NOBODY if isinstance(item, _OF_MARKET) else _intent_of_named(item, known)


def _intent_of_named(item: Any, known: Traces) -> IntentId:
    """By the order that something names; where it names none, or one of the exchange's own, by its instrument."""
    order: str = getattr(item, "client_order_id", "")
    if order:
        return known.orders.of(order)
    instrument = getattr(item, "instrument", None)
    return _NOBODY if instrument is None else known.holders.get(instrument, _NOBODY)


def _intent_made_of(proposed: SignalProposed, facts: Iterable[AnyFact]) -> IntentId:
    """The intent that a signal became in the same step."""
    for fact in facts:
        if isinstance(fact, IntentApproved | IntentRefused) and fact.intent.signal == proposed.signal:
            return fact.intent.id
    return _NOBODY


def _intent_of_timer(key: str, known: Traces) -> IntentId:
    """Timers of the engine name purpose, instrument, and the intent or the order that they are about."""
    *_, subject = key.split(" ")
    return known.orders.of(subject) or (IntentId(subject) if subject in known.holders.values() else _NOBODY)
