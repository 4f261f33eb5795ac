"""A journal as the projection reads it: run by run, moment by moment. A moment is all that is recorded of one step."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from stakan.adapters.journal.records import End, Header, Inbox, Market, Outcome, Record
from stakan.core.domain.events import AnyEvent
from stakan.core.domain.step import Step


class JournalTail(Protocol):
    """The journals of a state folder, which grow while they are read."""

    def runs(self) -> Sequence[str]:
        """Names of the runs that have begun, oldest first; a run is over when a later one has begun."""
        ...

    def header(self, run: str) -> Header:
        """What a run was made from."""
        ...

    def carries_on(self, run: str) -> bool:
        """Whether a run began with the orders and positions of the run before it, and not with nothing."""
        ...

    def after(self, run: str, number: int) -> Iterator[Record]:
        """What is written of the steps after `number` so far, whole steps in order, and the End where there is one."""
        ...

    def span(self, run: str) -> tuple[int, int]:
        """The first and the last step that are written of a run; the last is below the first where there is none."""
        ...


class Moment(msgspec.Struct, frozen=True):
    """What entered as step `number`, and what came of it."""

    number: int
    event: AnyEvent | None = None
    """None where it was market data that is not kept any more."""
    step: Step | None = None
    """None where it had neither facts nor commands."""
    is_end: bool = False
    """The orderly end of the run, after step `number`."""


def moments(records: Iterable[Record]) -> Iterator[Moment]:
    """Put event and outcome of each step together."""
    event: Moment | None = None
    for record in records:
        match record:
            case Inbox() | Market():
                if event is not None:
                    yield event
                event = Moment(record.number, record.event)
            case Outcome(step=step):
                is_own = event is not None and event.number == step.number
                if event is not None and not is_own:
                    yield event
                yield Moment(step.number, event.event if event is not None and is_own else None, step)
                event = None
            case End():
                if event is not None:
                    yield event
                    event = None
                yield Moment(record.number, is_end=True)
            case _:
                continue
    if event is not None:
        yield event
