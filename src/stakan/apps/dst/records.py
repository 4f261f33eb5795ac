"""What the bot has put on record, in all its lives: orders, states, decisions, bookings; and whether one follows another."""

from collections.abc import Callable

import msgspec

from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.facts import (
    AnyFact,
    ExitDecided,
    FillBooked,
    FundingBooked,
    IntentApproved,
    OrderTransitioned,
    PositionTransitioned,
    TradingStateChanged,
)
from stakan.core.domain.ids import ClientOrderId, InstrumentId
from stakan.core.domain.orders import NewOrder, Purpose
from stakan.core.domain.step import Step
from stakan.core.domain.trading import TradingState
from stakan.core.engine import Engine


class Sent(msgspec.Struct):
    """An order that the engine has decided on."""

    order: NewOrder
    life: int
    is_durable: bool = False
    is_forbidden: bool = False
    """Whether it opens something although trading is halted or paused."""


class Records:
    """What the bot has recorded, in all its lives: orders, states, decisions, bookings."""

    def __init__(self, breach: Callable[[int, str], None]) -> None:
        self.sent: dict[ClientOrderId, Sent] = {}
        self.life = 0
        self.is_closed = False
        """Whether nothing may be opened: halted or paused."""
        self._breach = breach
        self._waiting: list[Sent] = []
        self._approved: set[str] = set()
        self._leaving: set[InstrumentId] = set()
        self._orders: dict[ClientOrderId, str] = {}
        self._positions: dict[str, str] = {}
        self.booked: dict[tuple[str, str], int] = {}
        """Lots by instrument and execution."""
        self.funded: set[tuple[str, str]] = set()

    def observe(self, engine: Engine, step: Step) -> list[AnyFact]:
        """Take a step in; gives what it booked."""
        bookings: list[AnyFact] = []
        for fact in step.facts:
            kind = type(fact)
            if kind is FillBooked or kind is FundingBooked:
                bookings.append(fact)
            else:
                self._note(fact)
        for command in step.commands:
            if type(command) is SubmitOrder:
                self._submitted(command.order)
        if bookings and not engine.state.portfolio.ledger.is_balanced:
            self._breach(8, "the bot's balance is not its opening balance and what was booked since")
        return bookings

    def synced(self) -> None:
        """All that was decided so far is on the disk."""
        for sent in self._waiting:
            sent.is_durable = True
        self._waiting.clear()

    def lost(self) -> None:
        """The process is gone; what was not durable need not be known to the next one."""
        self._waiting.clear()

    def begin(self, life: int) -> None:
        """A life begins that knows nothing of those before it: its positions are counted anew."""
        self.life = life
        self._positions.clear()

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
            case _:
                pass

    def _follows(self, what: str, known: str | None, before: str | None) -> None:
        if known != before:
            self._breach(6, f"{what} left {before}, but was last recorded as {known}")

    def _submitted(self, order: NewOrder) -> None:
        earlier = self.sent.get(order.client_order_id)
        if earlier is not None and earlier.order != order:
            self._breach(2, f"id {order.client_order_id} was {earlier.order} and is {order} now")
        is_entry = order.purpose is Purpose.ENTRY
        if is_entry and order.intent not in self._approved:
            self._breach(6, f"entry {order.client_order_id} without a recorded decision")
        if not is_entry and order.instrument not in self._leaving:
            self._breach(6, f"exit {order.client_order_id} without a recorded decision")
        sent = Sent(order, self.life, is_forbidden=is_entry and self.is_closed)
        self.sent[order.client_order_id] = sent
        self._waiting.append(sent)
