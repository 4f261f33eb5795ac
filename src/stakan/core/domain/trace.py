"""The trace: one text that everything of one intent has in common, in logs, audit and metrics alike.

What belongs to an intent, or to an order or a position of one, has the intent's id; all else `run#step`. Facts name
their order or their instrument, not their intent: `Traces` remembers, from the steps themselves, which is whose. So
whoever reads the same steps, live or from a journal, finds the same traces.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NewType, Protocol

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
    EntryFeatures,
    FillBooked,
    FindingSettled,
    IntentApproved,
    IntentRefused,
    LatePrint,
    LevelTested,
    PositionClosed,
    PositionTransitioned,
    SignalProposed,
    SignalRefused,
)
from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId, PositionId
from stakan.core.domain.step import Step

TraceId = NewType("TraceId", str)
NOBODY = IntentId("")
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
    FindingSettled,
    LevelTested,
    SignalRefused,
    RequestSnapshot,
    OperatorRequest,
)
"""What names an instrument without being about anything of ours in it."""
_NONE: Mapping[str, IntentId] = MappingProxyType({})
_WORDS_OF_TIMER = 3


class Owned(Protocol):
    """Whose something is, by its id: a mapping, or `Owners`."""

    def get(self, name: Any, default: IntentId, /) -> IntentId:
        """Whose it is, or the default."""
        ...


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

    def get(self, name: str, default: IntentId = NOBODY) -> IntentId:
        """Whose it is, or the default where that is not known."""
        return self.recent.get(name) or self.older.get(name, default)


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
        owner = intent or _orphan(position)
        self.positions.note(position, owner)
        self.holders[instrument] = owner


def trace_of(item: AnyFact | AnyCommand | AnyEvent, step: Step, known: Traces) -> TraceId:
    """The trace of an event, of a fact or of a command of its step; `known` has noted that step."""
    intent = intent_of(item, known.orders, known.positions, known.holders)
    if isinstance(item, SignalProposed):
        intent = _made_of(item, step.facts)
    return trace_id(known.run, step.number, intent)


def trace_id(run: str, number: int, intent: IntentId = NOBODY) -> TraceId:
    """The intent's id; of what belongs to no intent, the run and the number of the step."""
    return TraceId(intent or f"{run}#{number}")


def intent_of(
    item: AnyFact | AnyCommand | AnyEvent, orders: Owned, positions: Owned, holders: Owned = _NONE
) -> IntentId:
    """Whose an event, a fact or a command is, given whose orders, positions and instruments are; empty: nobody's.

    What a signal became is in the facts beside it: `trace_of` looks there.
    """
    match item:
        case IntentApproved() | IntentRefused():
            return item.intent.id
        case EntryFeatures():
            return item.intent
        case SubmitOrder():
            return item.order.intent
        case PositionTransitioned() | PositionClosed():
            return item.intent or _orphan(item.position)
        case FillBooked():
            return orders.get(item.client_order_id, NOBODY) or positions.get(item.position, NOBODY)
        case SetTimer() | TimerFired():
            return _of_timer(item.key, orders, holders)
        case CancelOrder(client_order_id=""):
            return NOBODY  # not one of ours
        case _:
            return NOBODY if isinstance(item, _OF_MARKET) else _of_named(item, orders, holders)


def _of_named(item: Any, orders: Owned, holders: Owned) -> IntentId:
    """By the order that something names; where it names none, or one of the exchange's own, by its instrument."""
    order: str = getattr(item, "client_order_id", "")
    return orders.get(order, NOBODY) if order else holders.get(getattr(item, "instrument", None), NOBODY)


def _of_timer(key: str, orders: Owned, holders: Owned) -> IntentId:
    """Timers of the engine name purpose, instrument, and the intent or the order that they are about."""
    words = key.split(" ")
    owner = orders.get(words[-1], NOBODY)
    if owner or len(words) != _WORDS_OF_TIMER:
        return owner
    holder = holders.get(words[1], NOBODY)
    return holder if holder == words[-1] else NOBODY


def _made_of(proposed: SignalProposed, facts: Iterable[AnyFact]) -> IntentId:
    """The intent that a signal became in the same step."""
    for fact in facts:
        if isinstance(fact, IntentApproved | IntentRefused) and fact.intent.signal == proposed.signal:
            return fact.intent.id
    return NOBODY


def _orphan(position: PositionId) -> IntentId:
    """As the engine names the plan of a position that nobody asked for; the orders that close it carry it."""
    return IntentId(f"orphan-{position}")
