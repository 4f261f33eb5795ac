"""Let detectors watch a session, as the engine would show it to them."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from stakan.apps.judge.background import SessionEvent
from stakan.core.domain.events import TradePrint
from stakan.core.domain.findings import Finding
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MINUTE
from stakan.core.market.densities import DensityParams
from stakan.core.market.picture import MarketPicture
from stakan.core.plugins import Detector


class Alarm(msgspec.Struct, frozen=True):
    """All that a detector said of one episode of its counting, in order of time."""

    findings: tuple[Finding, ...]

    def since(self, threshold: float) -> tuple[Finding, ...]:
        """What was said with enough confidence; a suspicion and its confirmation are one alarm."""
        return tuple(finding for finding in self.findings if finding.confidence >= threshold)


class Watched(NamedTuple):
    """What detectors said, and what it cost."""

    alarms: dict[str, tuple[Alarm, ...]]
    """By name of the detector, in order of the first finding."""
    costs: dict[str, list[int]]
    """Nanoseconds of processor time per book message, by name; empty where nobody measured."""
    print_costs: dict[str, list[int]]
    """Nanoseconds per print."""


def watch(
    instrument: Instrument, events: Iterable[SessionEvent], detectors: Mapping[str, Detector], *, measures: bool = False
) -> Watched:
    """Show a session to detectors. The market takes every message in before they see it."""
    market = MarketPicture.start(instrument, DensityParams(), MINUTE, follow_densities=False)
    watchers = [(name, detector, detector.start(instrument)) for name, detector in detectors.items()]
    said: dict[str, dict[int, list[Finding]]] = {name: {} for name in detectors}
    costs: dict[str, list[int]] = {name: [] for name in detectors}
    print_costs: dict[str, list[int]] = {name: [] for name in detectors}
    for event in events:
        if isinstance(event, TradePrint):
            market.apply_print(event)
            measured = print_costs
        else:
            market.apply_book(event)
            if not (market.book.is_fresh and market.book.is_usable):
                continue
            measured = costs
        for name, detector, state in watchers:
            began = time.thread_time_ns() if measures else 0
            found = _answer(detector, market, event, state)
            if measures:
                measured[name].append(time.thread_time_ns() - began)
            for finding in found:
                said[name].setdefault(finding.episode, []).append(finding)
    return Watched({name: _alarms(groups.values()) for name, groups in said.items()}, costs, print_costs)


def _answer(detector: Detector, market: MarketPicture, event: SessionEvent, state: msgspec.Struct) -> Sequence[Finding]:
    if isinstance(event, TradePrint):
        return detector.on_print(market, event, state)
    return detector.on_book(market, event, state)


def _alarms(groups: Iterable[Sequence[Finding]]) -> tuple[Alarm, ...]:
    return tuple(Alarm(tuple(group)) for group in groups)
