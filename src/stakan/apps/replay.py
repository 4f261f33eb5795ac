"""Replay: a journal's events through an engine, every step compared with the recorded one."""

import os
import tomllib
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from stakan.adapters.journal.disk import LOCAL
from stakan.adapters.journal.layout import snapshot_numbers
from stakan.adapters.journal.reading import (
    Recorded,
    begins,
    first_replayable,
    is_complete,
    read_header,
    read_recorded,
    read_span,
)
from stakan.adapters.journal.records import Header
from stakan.adapters.journal.snapshots import latest_state, read_snapshot
from stakan.apps.config import settings_from
from stakan.apps.garbage import long_lived
from stakan.apps.wiring import engine_config
from stakan.apps.workers import Told, each
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import encode_array
from stakan.core.domain.step import Step
from stakan.core.engine import Engine
from stakan.core.features.catalogue import FEATURE_SET


class Replay(NamedTuple):
    """How many steps were computed again and how many of them differ."""

    steps: int
    differences: int
    first_difference: int | None


class Start(NamedTuple):
    """Where a replay begins."""

    number: int = 0
    """The step after which."""
    state: bytes | None = None
    """The engine's state there; None for a fresh engine."""


FRESH = Start()
_TELL_EVERY = 1000
_WORTH = 250_000
"""Steps for which another process is begun: it takes seconds to start."""
_encode = msgspec.msgpack.Encoder(enc_hook=encode_array, order="deterministic").encode


def start_of(journal: Path, wanted: int | None = None) -> Start:
    """The newest state at or before step `wanted` from which all events are there; the earliest where it is None.

    Raises DataError, naming the first step after which it is possible, where market data was distilled away.
    """
    first = first_replayable(journal)
    if first is None:
        raise DataError(f"{journal} cannot be computed again: there is no sound state with all events after it")
    wanted = first if wanted is None else wanted
    if wanted < first:
        raise DataError(
            f"{journal} cannot be computed again from step {wanted} on: events are missing. It can after step {first}"
        )
    found = latest_state(journal, at_most=wanted)
    return Start(*found) if found is not None and found[0] >= first else FRESH


def replay(header: Header, run: Iterable[Recorded], start: Start = FRESH) -> Replay:
    """Fold the events after `start` again; each comes with the step that was recorded of it, None for an empty one.

    Raises ConfigError where this release cannot build the header's configuration, and DataError where its features
    are others or the state is not such an engine's.
    """
    return _folded(engine_of(header, start), run)


def _folded(engine: Engine, run: Iterable[Recorded]) -> Replay:
    steps, differences, first = 0, 0, None
    with long_lived():
        for number, event, recorded in run:
            step = engine.step(event)
            steps += 1
            if not is_same(step, recorded):
                differences += 1
                first = first or number
    return Replay(steps, differences, first)


def is_same(computed: Step, recorded: Step | None) -> bool:
    """Whether a step comes out as it was recorded, to the byte; None was an empty one."""
    if recorded is None:
        return not (computed.facts or computed.commands)
    return _encode(computed) == _encode(recorded)


def engine_of(header: Header, start: Start = FRESH) -> Engine:
    """An engine as a journal's was at `start`.

    Raises ConfigError or DataError where this release cannot build it or does not know its state.
    """
    if header.feature_set != FEATURE_SET:
        raise DataError(f"the journal was made with features {header.feature_set}, this release has {FEATURE_SET}")
    settings = settings_from(tomllib.loads(header.config))
    engine = Engine(
        engine_config(settings, header.run_epoch, [rules.id for rules in header.instruments]), header.instruments
    )
    if start.state is not None:
        engine.restore(start.state)
    return engine


class JournalReplay(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the replay of a journal."""

    after: int
    """The step behind which it began; 0 is the beginning."""
    steps: int
    differences: int
    first_difference: int | None
    states: int
    """Recorded states on the way that the engine's own was compared with."""
    first_other_state: int | None
    """The step after which the engine's state was another than the recorded one."""
    is_complete: bool
    """Whether the journal has an orderly end; another is computed again as far as it was written."""

    @property
    def is_equal(self) -> bool:
        """Whether everything came out as it was recorded."""
        return not self.differences and self.first_other_state is None


class Part(NamedTuple):
    """A stretch between two states, which can be computed again without what is before it."""

    journal: Path
    after: int
    """The step whose state it begins with; a fresh engine after step 0."""
    until: int
    """Its last step."""
    has_state: bool
    """Whether the state after its last step was recorded, to be compared with."""


class Played(NamedTuple):
    """What came of a part."""

    part: Part
    found: Replay
    ends_alike: bool


def replay_journal(
    journal: Path, wanted: int | None = None, advance: Told = lambda _steps: None, jobs: int | None = None
) -> JournalReplay:
    """Compute a journal again from the newest state at or before step `wanted`, or from its earliest one.

    At every state on the way the engine's own is compared with it, to the byte, and the part behind it begins with it:
    so parts can be computed in any order, and all of them equal means what one fold from the start being equal means.
    Where a part differs, those behind it are judged by what was recorded.

    `jobs` processes share the parts; None stands for the machine's cores where a journal is long enough. `advance` is
    told how many steps more have been done. Raises as `start_of` and `replay`, and DataError where a block is damaged.
    """
    start, is_whole = start_of(journal, wanted), is_complete(journal)
    parts = parts_of(journal, start.number)
    jobs = min(os.cpu_count() or 1, 1 + (parts[-1].until - start.number) // _WORTH) if jobs is None else jobs
    played = sorted(each(play, parts, jobs, advance), key=lambda one: one.part.after)
    found = [one.found for one in played]
    return JournalReplay(
        after=start.number,
        steps=sum(one.steps for one in found),
        differences=sum(one.differences for one in found),
        first_difference=next((one.first_difference for one in found if one.differences), None),
        states=sum(one.part.has_state for one in played),
        first_other_state=next((one.part.until for one in played if not one.ends_alike), None),
        is_complete=is_whole,
    )


def parts_of(journal: Path, after: int) -> list[Part]:
    """The stretches after a step, in order, each up to the next sound state that this release knows.

    Of a run that may still be written, only states that stay: those that segments begin with.
    """
    engine, last = engine_of(read_header(journal)), read_span(journal).last
    numbers = snapshot_numbers(journal, LOCAL) if is_complete(journal) else begins(journal)
    states = [number for number in numbers if after < number <= last and _takes(engine, journal, number)]
    ends = states if states[-1:] == [last] else [*states, last]
    return [Part(journal, begin, end, has_state=end in states) for begin, end in pairwise([after, *ends])]


def _takes(engine: Engine, journal: Path, number: int) -> bool:
    try:
        engine.restore(read_snapshot(LOCAL, journal, number))
    except DataError:
        return False
    return True


def play(part: Part, advance: Told) -> Played:
    """Compute one part again, and compare its last state; raises as `replay_journal`."""
    start = Start(part.after, read_snapshot(LOCAL, part.journal, part.after)) if part.after else FRESH
    engine = engine_of(read_header(part.journal), start)
    found = _folded(engine, _told(part, advance))
    ends_alike = not part.has_state or engine.snapshot() == read_snapshot(LOCAL, part.journal, part.until)
    return Played(part, found, ends_alike)


def _told(part: Part, advance: Told) -> Iterator[Recorded]:
    """What was recorded of a part, whose progress is told."""
    untold = 0
    for one in read_recorded(part.journal, torn=True, after=part.after):
        if one[0] > part.until:
            break
        yield one
        untold += 1
        if untold == _TELL_EVERY:
            advance(untold)
            untold = 0
    advance(untold)
