"""Feature sets and detectors at work: what they see, and what becomes of findings."""

from collections.abc import Sequence

import msgspec

from stakan.core.detectors._aftermath import circumstances
from stakan.core.domain.events import BookEvent, TradePrint
from stakan.core.domain.facts import FindingMade
from stakan.core.domain.findings import Finding
from stakan.core.engine.state import InstrumentState
from stakan.core.engine.turn import Turn

KEPT = 100
"""Newest findings of an instrument that strategies and the decision can look at."""


def see_book(turn: Turn, state: InstrumentState, event: BookEvent) -> None:
    """The book took a message in and is usable."""
    for _, further, memory in turn.feature_sets(state.rules.id):
        further.on_book(state.market, memory)
    for name, spec, memory in turn.detectors(state.rules.id):
        found = spec.on_book(state.market, event, memory)
        if found:
            _keep(turn, state, name, found)


def see_print(turn: Turn, state: InstrumentState, event: TradePrint) -> None:
    """The tape took a new print in."""
    for _, further, memory in turn.feature_sets(state.rules.id):
        further.on_print(state.market, event, memory)
    for name, spec, memory in turn.detectors(state.rules.id):
        found = spec.on_print(state.market, event, memory)
        if found:
            _keep(turn, state, name, found)


def restart(turn: Turn, state: InstrumentState) -> None:
    """The feed was interrupted."""
    for _, further, memory in turn.feature_sets(state.rules.id):
        further.restart(memory)
    for _, spec, memory in turn.detectors(state.rules.id):
        spec.restart(memory)


def _keep(turn: Turn, state: InstrumentState, name: str, found: Sequence[Finding]) -> None:
    for finding in found:
        # Whatever it says, a detector speaks for itself and of the instrument that it was shown.
        named = msgspec.structs.replace(finding, detector=name, instrument=state.rules.id)
        own = turn.patterns.weigh(named)
        state.findings.append(own)
        around = circumstances(state.market, state.features.trend)
        turn.note(FindingMade(finding=own, circumstances=around))
        crowded_out = state.aftermath.note(own, around.mid)
        if crowded_out is not None:
            turn.note(crowded_out)
    del state.findings[:-KEPT]
