"""The result of one event: what happened and what should be done."""

import msgspec

from stakan.core.domain.commands import AnyCommand
from stakan.core.domain.facts import AnyFact
from stakan.core.domain.units import Nanos


class Step(msgspec.Struct, frozen=True):
    """Facts and commands of one event, in the order in which they came about."""

    number: int
    """Ordinal of the event in the engine's total order, from 1."""
    ts: Nanos
    """`ts_recv` of the event: the engine's now."""
    facts: tuple[AnyFact, ...] = ()
    commands: tuple[AnyCommand, ...] = ()
