"""Replay: a journal's events through a fresh engine, every step compared with the recorded one."""

import tomllib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from stakan.adapters.journal.records import Header
from stakan.apps.config import settings_from
from stakan.apps.wiring import engine_config
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AnyEvent, encode_array
from stakan.core.domain.step import Step
from stakan.core.engine import Engine
from stakan.core.features.catalogue import FEATURE_SET


class Replay(NamedTuple):
    """How many steps were computed again and how many of them differ."""

    steps: int
    differences: int
    first_difference: int | None


def replay(header: Header, events: Iterable[tuple[int, AnyEvent]], recorded: Iterable[Step]) -> Replay:
    """Fold the events again; `recorded` are the steps that had facts or commands, in order.

    Recorded steps without an event count as differences. Raises ConfigError where this release cannot build the
    header's configuration, and DataError where its features are others.
    """
    engine = engine_of(header)
    encode = msgspec.msgpack.Encoder(enc_hook=encode_array, order="deterministic").encode
    expected = _Expected(iter(recorded))
    differences, first, number = 0, None, 0
    for number, event in events:
        step = engine.step(event)
        if encode(step) != encode(expected.at(number, step)):
            differences += 1
            first = first or number
    left = expected.left()
    if left:
        differences += left
        first = first or number + 1
    return Replay(number, differences, first)


def engine_of(header: Header) -> Engine:
    """A fresh engine as a journal's was; raises ConfigError or DataError where this release cannot build it."""
    if header.feature_set != FEATURE_SET:
        raise DataError(f"the journal was made with features {header.feature_set}, this release has {FEATURE_SET}")
    settings = settings_from(tomllib.loads(header.config))
    return Engine(
        engine_config(settings, header.run_epoch, [rules.id for rules in header.instruments]), header.instruments
    )


class _Expected:
    """The recorded steps by number; those that were not recorded were empty."""

    def __init__(self, steps: Iterator[Step]) -> None:
        self._steps = steps
        self._next = next(steps, None)

    def at(self, number: int, computed: Step) -> Step:
        if self._next is not None and self._next.number == number:
            step, self._next = self._next, next(self._steps, None)
            return step
        return Step(computed.number, computed.ts)

    def left(self) -> int:
        """How many recorded steps were not asked for."""
        return (self._next is not None) + sum(1 for _ in self._steps)
