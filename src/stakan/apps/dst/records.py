"""What the bot has put on record, in all its lives: orders, states, decisions, bookings; and whether one follows another."""

from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from stakan.apps.exchange.rows import ExecutionRow
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import AnyEvent, FillOrigin, Halt, PauseEntries, ReleaseHalt, ResumeEntries
from stakan.core.domain.facts import (
    AnyFact,
    BalanceCorrected,
    Discrepancy,
    ExitDecided,
    FillBooked,
    FundingBooked,
    IntentApproved,
    OrderTransitioned,
    PositionTransitioned,
    Repaired,
    TradingStateChanged,
)
from stakan.core.domain.ids import ClientOrderId, InstrumentId, split_instrument_id
from stakan.core.domain.orders import NewOrder, Purpose
from stakan.core.domain.step import Step
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import DAY

NEVER_ENDS = 2**62


class Sent(msgspec.Struct):
    """An order that an engine has decided on."""

    order: NewOrder
    life: int
    number: int
    """Of the step."""
    is_forbidden: bool = False
    """Whether it opens something although nothing may be opened."""


class Booking(msgspec.Struct, frozen=True):
    """A fill or a payment that entered the books."""

    number: int
    fact: FillBooked | FundingBooked


class Mended(msgspec.Struct):
    """What the bot had to book without having been told of it.

    Which executions that stands for only the exchange knows. So in a symbol whose position was mended any of them may
    be missing; where the balance was, funding, and executions of orders without a name of ours (stops, somebody's hand)
    that came to nothing together. What is there must still be right, and come to the exchange's position.
    """

    symbols: set[str] = msgspec.field(default_factory=set)
    is_balance: bool = False

    def may_lack(self, execution: ExecutionRow) -> bool:
        """Whether it may be that the bot has never been told of it, or not of all of it."""
        return execution.symbol in self.symbols or (self.is_balance and not execution.order_link_id)


class Records:
    """Follows the steps of all lives. What a crash has taken back is forgotten again, so that it may happen anew."""

    def __init__(self, breach: Callable[[int, str], None]) -> None:
        self.life = 0
        self.handed_over = 0
        """Last step that is in the file of the journal: it survives the process."""
        self.synced = 0
        """Last step that is on the disk: it survives the power."""
        self.acknowledged = 0
        """Last step that somebody was told of: an operator whose request was accepted."""
        self.counts: Counter[str] = Counter()
        """What was found wrong and what was mended, in all lives."""
        self._breach = breach
        self._history: list[tuple[int, AnyEvent, Step]] = []
        """Life, event and step, of steps that said something."""
        self._clear()

    def _clear(self) -> None:
        self.sent: dict[ClientOrderId, Sent] = {}
        self.is_closed = False
        """Whether the bot says that nothing may be opened."""
        self._halted_on: int | None = None
        """Day since which it is halted for its loss; NEVER_ENDS where an operator has to release it."""
        self._is_paused = False
        self.booked: dict[tuple[InstrumentId, str], int] = {}
        """Lots by instrument and execution."""
        self.funded: Counter[tuple[InstrumentId, str]] = Counter()
        """How often, by instrument and payment."""
        self.mended = Mended()
        self._approved: set[str] = set()
        self._leaving: set[InstrumentId] = set()
        self._orders: dict[ClientOrderId, str] = {}
        self._positions: dict[str, str] = {}

    def observe(self, event: AnyEvent, step: Step) -> list[Booking]:
        """Take a step in; gives what it booked."""
        self._history.append((self.life, event, step))
        for fact in step.facts:
            if isinstance(fact, Repaired | BalanceCorrected | Discrepancy):
                self.counts[type(fact).__name__] += 1
        return self._take(event, step, self.life)

    def begin(self, life: int, number: int, *, lost_power: bool) -> None:
        """A life begins that goes on after step `number`: what came later in those before it never happened.

        It must be no earlier than what was durable, and than what somebody was told of.
        """
        durable = self.synced if lost_power else max(self.synced, self.handed_over)
        if number < durable:
            self._breach(6, f"the journal goes to step {number}, but step {durable} was safe")
        if number < self.acknowledged:
            self._breach(7, f"the journal goes to step {number}, but an operator was told of step {self.acknowledged}")
        self.life = life
        self._history = [one for one in self._history if one[2].number <= number]
        self._clear()
        for of, event, step in self._history:
            self._take(event, step, of)
        self.handed_over = self.synced = self.acknowledged = number

    def steps(self) -> Iterator[tuple[int, Step]]:
        """Steps that said something and were not taken back, in order, each with its life."""
        return ((life, step) for life, _, step in self._history)

    def is_durable(self, sent: Sent) -> bool:
        """Whether an order is on the disk."""
        return sent.number <= self.synced

    @property
    def is_all_durable(self) -> bool:
        """Whether no order waits for the disk."""
        return all(self.is_durable(sent) for sent in self.sent.values())

    # --- steps ------------------------------------------------------------------------------------------------------

    def _take(self, event: AnyEvent, step: Step, life: int) -> list[Booking]:
        bookings: list[Booking] = []
        self._latch(event, step)
        for fact in step.facts:
            if isinstance(fact, FillBooked):
                key = (fact.instrument, str(fact.execution_id))
                if fact.origin is FillOrigin.REPAIR:
                    self.mended.symbols.add(split_instrument_id(fact.instrument)[2])
                else:
                    self.booked[key] = self.booked.get(key, 0) + fact.size
                bookings.append(Booking(step.number, fact))
            elif isinstance(fact, FundingBooked):
                self.funded[fact.instrument, fact.execution_id] += 1
                bookings.append(Booking(step.number, fact))
            else:
                self._note(fact)
        for command in step.commands:
            if type(command) is SubmitOrder:
                self._submitted(command.order, step.number, life)
        return bookings

    def _latch(self, event: AnyEvent, step: Step) -> None:
        """Halts and pauses as they must last, whatever the bot says of itself."""
        match event:
            case Halt():
                self._halted_on = NEVER_ENDS
            case ReleaseHalt():
                self._halted_on = None
            case PauseEntries() | ResumeEntries():
                self._is_paused = isinstance(event, PauseEntries)
            case _:
                pass
        day = step.ts // DAY
        if self._halted_on is not None and day > self._halted_on:
            self._halted_on = None
        for fact in step.facts:
            if isinstance(fact, TradingStateChanged) and fact.state is TradingState.HALTED:
                self._halted_on = max(self._halted_on or 0, day)

    @property
    def _may_open(self) -> bool:
        return not self.is_closed and self._halted_on is None and not self._is_paused

    def _note(self, fact: AnyFact) -> None:
        match fact:
            case OrderTransitioned():
                known = self._orders.get(fact.client_order_id)
                self._follows(f"order {fact.client_order_id}", known, fact.before)
                self._orders[fact.client_order_id] = fact.after
            case PositionTransitioned():
                known = self._positions.get(fact.position)
                self._follows(f"position {fact.position}", known, fact.before)
                self._positions[fact.position] = fact.after
            case IntentApproved():
                self._approved.add(fact.intent.id)
            case ExitDecided():
                self._leaving.add(fact.instrument)
            case TradingStateChanged():
                self.is_closed = fact.state is not TradingState.ACTIVE
            case BalanceCorrected():
                self.mended.is_balance = True
            case _:
                pass

    def _follows(self, what: str, known: str | None, before: str | None) -> None:
        if known != before:
            self._breach(6, f"{what} left {before}, but was last recorded as {known}")

    def _submitted(self, order: NewOrder, number: int, life: int) -> None:
        earlier = self.sent.get(order.client_order_id)
        if earlier is not None and earlier.order != order:
            self._breach(2, f"id {order.client_order_id} was {earlier.order} and is {order} now")
        is_entry = order.purpose is Purpose.ENTRY
        if is_entry and order.intent not in self._approved:
            self._breach(6, f"entry {order.client_order_id} without a recorded decision")
        if not is_entry and order.instrument not in self._leaving:
            self._breach(6, f"exit {order.client_order_id} without a recorded decision")
        self.sent[order.client_order_id] = Sent(
            order=order, life=life, number=number, is_forbidden=is_entry and not self._may_open
        )
