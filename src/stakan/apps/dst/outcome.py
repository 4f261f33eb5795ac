"""What came of a plan, and the story of its last moments."""

from collections import deque
from typing import Any

import msgspec

from stakan.apps.dst.invariants import Breach
from stakan.apps.dst.plan import Plan
from stakan.core.domain.events import AnyEvent
from stakan.core.domain.facts import (
    CandleClosed,
    EquityMarked,
    FindingSettled,
    IntentApproved,
    IntentRefused,
    LatePrint,
    LevelTested,
    SignalProposed,
    SignalRefused,
)
from stakan.core.domain.step import Step
from stakan.core.domain.units import SECOND

STORY = 150
_DULL = (EquityMarked, CandleClosed, LatePrint, LevelTested, FindingSettled, SignalProposed, SignalRefused)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a plan."""

    plan: Plan
    breach: Breach | None
    simulated_s: float
    calls: int
    """Of the heap."""
    steps: int
    """Of engines."""
    frames: int
    """That the exchange sent, answers over HTTP included."""
    orders: int
    traded: int
    """Instruments in which an order arrived."""
    executions: int
    faults: dict[str, int]
    mended: dict[str, int]
    """What the bot found wrong in its books, and mended."""
    lives: int
    kills: int
    fingerprint: str
    """Of all steps, all frames and their times."""
    story: tuple[str, ...]
    """The last that happened."""

    @property
    def fault_count(self) -> int:
        """Faults that came about."""
        return sum(self.faults.values())


class Story:
    """The last that happened; it is put into words only where somebody wants to read it."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._lines: deque[tuple[int, object]] = deque(maxlen=STORY)

    def note(self, at: int, what: object) -> None:
        """Something happened."""
        self._lines.append((at, what))

    def step(self, at: int, event: AnyEvent, step: Step) -> None:
        """An engine made a step; nothing is kept of one that says nothing."""
        told = [what for what in (*step.facts, *step.commands) if not isinstance(what, _DULL)]
        if told:
            self._lines.append((at, _Told(step.number, type(event).__name__, told)))

    def lines(self) -> tuple[str, ...]:
        """In words."""
        return tuple(f"{(at - self._start) / SECOND:10.6f}  {_text(what)}" for at, what in self._lines)


class _Told:
    def __init__(self, number: int, event: str, what: list[Any]) -> None:
        self.number = number
        self.event = event
        self.what = what

    def __str__(self) -> str:
        return f"{self.number} {self.event}: " + "; ".join(_short(one) for one in self.what)


def _text(what: object) -> str:
    return str(what) if isinstance(what, str | _Told) else _short(what)


def _short(what: Any) -> str:
    """Its fields that say something."""
    if isinstance(what, IntentApproved | IntentRefused):
        signal = what.intent.signal
        return f"{type(what).__name__}({what.intent.id} {signal.side.name} {what.intent.size} {signal.instrument})"
    if not isinstance(what, msgspec.Struct):
        return repr(what)
    fields = ", ".join(
        f"{name}={_short(value)}"
        for name in what.__struct_fields__
        if (value := getattr(what, name)) not in (None, "", (), False)
    )
    return f"{type(what).__name__}({fields})"
