"""What a running bot counts for its metrics, and where it reads the rest.

A step without facts costs one addition: all that the engine and its surroundings know is read when somebody asks.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import msgspec

from stakan.apps.live.features import Features
from stakan.apps.live.histogram import Histogram
from stakan.apps.live.invariants import ABOUT
from stakan.apps.live.latency import Latencies
from stakan.core.domain import facts as f
from stakan.core.domain.events import AnyEvent
from stakan.core.domain.findings import Finding, Pattern
from stakan.core.domain.ids import InstrumentId, split_instrument_id
from stakan.core.domain.step import Step
from stakan.core.engine import Engine

MOST_SUBJECTS = 50
"""Kinds of differences that are told apart; more of them would be a bug in how they are named."""
OTHERS = "other"
_RECONCILED = "AccountCompared"
"""The fact that says that our books were compared with the exchange's."""


class Capability(Protocol):
    """A circuit breaker before something that an exchange does for us."""

    @property
    def name(self) -> str:
        """Of the capability."""
        ...

    @property
    def state(self) -> str:
        """closed, open, half-open."""
        ...

    @property
    def failed(self) -> int:
        """Failures so far."""
        ...

    @property
    def opened(self) -> int:
        """How often it opened."""
        ...


class Budget(Protocol):
    """What is left of one rate limit."""

    @property
    def left(self) -> int:
        """Requests that may be made now."""
        ...

    @property
    def wait_ns(self) -> int:
        """How long the next one would wait."""
        ...


class Sources(msgspec.Struct):
    """Where metrics read what is not the engine's; whoever composes a bot sets what there is."""

    now: Callable[[], int]
    """Nanoseconds UTC."""
    about: Mapping[str, str] = {}
    """Version, mode and run, as labels."""
    queues: dict[str, Callable[[], int]] = msgspec.field(default_factory=dict)
    """Depths by name."""
    connections: Callable[[], Mapping[str, bool]] = dict
    breakers: Callable[[], Mapping[str, Iterable[Capability]]] = dict
    """By connection."""
    budgets: Callable[[], Mapping[str, Budget]] = dict
    """Rate limits by group."""
    resyncs: Callable[[InstrumentId], int] = lambda _key: 0
    problems: Callable[[], Iterable[str]] = tuple
    dropped_lines: Callable[[], int] = lambda: 0
    features: Features | None = None
    """Vectors that are computed for those who look."""
    dropped_vectors: Callable[[], int] = lambda: 0
    dropped_spans: Callable[[], int] | None = None
    """None where no traces are exported."""
    stuck: Callable[[], int] = lambda: 0
    """How often the event loop did not turn for seconds."""
    account_read_ts: Callable[[], int] = lambda: 0
    """When the exchange last told what the account holds; 0 never."""
    journal: Path | None = None
    """Its folder."""
    projector: Path | None = None
    """The status file of the process that writes SQL."""


class Metrics:
    """Counts what steps say; the families in `families` read it and everything else."""

    def __init__(self, engine: Engine, latencies: Latencies, sources: Sources) -> None:
        self.engine = engine
        self.latencies = latencies
        self.sources = sources
        self.events: defaultdict[type, int] = defaultdict(int)
        self.facts: Counter[type] = Counter()
        self.commands: Counter[type] = Counter()
        self.refusals: Counter[str] = Counter()
        self.findings: Counter[tuple[Pattern, str, str]] = Counter()
        """Episodes by pattern, symbol and side of the book."""
        self._episodes: dict[tuple[str, InstrumentId], int] = {}
        self.ended: Counter[str] = Counter()
        """Orders by how they ended."""
        self.differences: Counter[str] = Counter()
        """By subject."""
        self.breaches = dict.fromkeys(ABOUT, 0)
        self.loop_lag = Histogram()
        self.exposure = Decimal(0)
        """At the newest mark of equity."""
        self.reconciled_ts = 0
        """Receive time of the newest comparison with the exchange's books; 0 before the first."""

    def observe(self, event: AnyEvent, step: Step) -> None:
        """Count an event and its step."""
        self.events[type(event)] += 1
        if step.facts or step.commands:
            self.count(step)

    def breach(self, number: int) -> None:
        """An invariant did not hold."""
        self.breaches[number] = self.breaches.get(number, 0) + 1

    def count(self, step: Step) -> None:
        """Count what a step says."""
        for command in step.commands:
            self.commands[type(command)] += 1
        for fact in step.facts:
            self.facts[type(fact)] += 1
            match fact:
                case f.EquityMarked():
                    self.exposure = fact.exposure
                case f.FindingMade():
                    self._found(fact.finding)
                case f.SignalRefused() | f.IntentRefused():
                    self.refusals[fact.reason.value] += 1
                case f.OrderTransitioned() if fact.after.is_terminal and fact.before is not fact.after:
                    self.ended[fact.after.value] += 1
                case f.Discrepancy():
                    self.differences[self._subject(fact.subject)] += 1
                case _ if type(fact).__name__ == _RECONCILED:
                    self.reconciled_ts = step.ts
                case _:
                    pass

    def _found(self, finding: Finding) -> None:
        """Count an episode once, though it may be suspected and confirmed."""
        whose = finding.detector, finding.instrument
        if finding.episode > self._episodes.get(whose, -1):
            self._episodes[whose] = finding.episode
            side = finding.side.name.lower() if finding.side is not None else "none"
            self.findings[finding.pattern, split_instrument_id(finding.instrument)[2], side] += 1

    def _subject(self, text: str) -> str:
        """What kind of difference it is, without the names of orders, positions and instruments: no word, each."""
        subject = " ".join(word for word in text.split() if word.isalpha()).removesuffix(" of")
        return subject if subject in self.differences or len(self.differences) < MOST_SUBJECTS else OTHERS
