"""Replay: a journal's events through an engine, every step compared with the recorded one."""

import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from stakan.adapters.journal.reading import Recorded, first_replayable, is_complete, read_header, read_recorded
from stakan.adapters.journal.records import Header
from stakan.adapters.journal.snapshots import latest_state
from stakan.apps.config import settings_from
from stakan.apps.garbage import long_lived
from stakan.apps.wiring import engine_config
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
    engine = engine_of(header, start)
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
    is_complete: bool
    """Whether the journal has an orderly end; another is computed again as far as it was written."""


def replay_journal(
    journal: Path, wanted: int | None = None, advance: Callable[[int], None] = lambda _steps: None
) -> JournalReplay:
    """Compute a journal again from the newest state at or before step `wanted`, or from its earliest one.

    `advance` is told how many steps more have been done. Raises as `start_of` and `replay`, and DataError where a
    block is damaged.
    """
    start, is_whole = start_of(journal, wanted), is_complete(journal)

    def told() -> Iterator[Recorded]:
        for count, one in enumerate(read_recorded(journal, torn=not is_whole, after=start.number), 1):
            yield one
            if count % _TELL_EVERY == 0:
                advance(_TELL_EVERY)

    found = replay(read_header(journal), told(), start)
    return JournalReplay(
        after=start.number,
        steps=found.steps,
        differences=found.differences,
        first_difference=found.first_difference,
        is_complete=is_whole,
    )
