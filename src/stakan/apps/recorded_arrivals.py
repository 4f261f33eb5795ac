"""When commands of a run reached the exchange and its answers the bot: what a backtest of that run needs to agree."""

from collections import defaultdict, deque
from collections.abc import Iterable
from pathlib import Path

from stakan.adapters.exchanges.simulated.models import Arrival, RecordedArrivals
from stakan.adapters.journal.reading import read_records
from stakan.adapters.journal.records import Inbox, Outcome, Record
from stakan.core.domain.commands import AmendOrder, CancelOrder, SetProtection, SubmitOrder, VenueCommand
from stakan.core.domain.events import (
    CancelRejected,
    FundingCharged,
    OrderAmended,
    OrderCancelled,
    OrderEvent,
    OrderFailed,
    OutcomeLost,
    ProtectionChanged,
    ProtectionRejected,
    VenueEvent,
)

_FROM_EXCHANGE = (OrderEvent, FundingCharged, ProtectionChanged, ProtectionRejected)
_OWN_WORDS = (OrderFailed, OutcomeLost)
"""What our side says of an order, and the exchange never did."""
_CHANGED: dict[type, tuple[type, ...]] = {
    CancelOrder: (OrderCancelled, CancelRejected),
    AmendOrder: (OrderAmended, CancelRejected),
    SetProtection: (ProtectionChanged, ProtectionRejected),
}
_CLOCK_STEP_NS = 1_000_000
"""The exchange tells milliseconds: an answer may bear a time up to this much before its command was sent."""


def arrivals_of(journal: Path) -> tuple[RecordedArrivals, RecordedArrivals]:
    """Of commands, by the exchange's clock, and of answers, by ours."""
    found = read_records(journal, torn=True, market=False)
    records = [record for record in found if isinstance(record, Inbox | Outcome)]
    answers = list(_answers(records))
    return _of_commands(records, answers), _of_answers(answers)


def _answers(records: Iterable[Record]) -> Iterable[VenueEvent]:
    for record in records:
        if isinstance(record, Inbox) and isinstance(record.event, _FROM_EXCHANGE):
            yield record.event


def _of_answers(answers: list[VenueEvent]) -> RecordedArrivals:
    """An exchange may tell one change of protection in several messages; the last one is the whole of it."""
    found: dict[tuple[str, str, int], Arrival] = {}
    for number, event in enumerate(answers):
        kind, about = type(event).__name__, _about(event)
        one = event.ts_event if isinstance(event, ProtectionChanged) else -number
        found[kind, about, one] = Arrival(kind, about, event.ts_recv)
    return RecordedArrivals(tuple(sorted(found.values(), key=lambda one: one.ts)))


def _of_commands(records: Iterable[Record], answers: list[VenueEvent]) -> RecordedArrivals:
    """A command was carried out when the exchange says that what it caused happened."""
    by_subject: dict[str, deque[VenueEvent]] = defaultdict(deque)
    for event in answers:
        by_subject[_about(event)].append(event)
    found = []
    for record in records:
        if not isinstance(record, Outcome):
            continue
        for command in record.step.commands:
            if isinstance(command, SubmitOrder | CancelOrder | AmendOrder | SetProtection):
                done = _carried_out(command, record.step.ts, by_subject[_subject(command)])
                if done is not None:
                    found.append(Arrival(type(command).__name__, _subject(command), done))
    return RecordedArrivals(tuple(sorted(found, key=lambda one: one.ts)))


def _carried_out(command: VenueCommand, sent: int, answers: deque[VenueEvent]) -> int | None:
    """The exchange's time of the first answer to a command; None where it never answered."""
    if isinstance(command, SubmitOrder):
        return min((event.ts_event for event in answers if not isinstance(event, _OWN_WORDS)), default=None)
    kinds = _CHANGED[type(command)]
    for event in answers:
        if isinstance(event, kinds) and event.ts_event >= sent - _CLOCK_STEP_NS:
            answers.remove(event)
            return event.ts_event
    return None


def _subject(command: VenueCommand) -> str:
    match command:
        case SubmitOrder(order=order):
            return order.client_order_id
        case CancelOrder() | AmendOrder():
            return command.client_order_id
        case SetProtection():
            return command.instrument


def _about(event: VenueEvent) -> str:
    return (event.client_order_id if isinstance(event, OrderEvent) else "") or event.instrument
