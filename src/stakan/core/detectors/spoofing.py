"""Spoofing: large orders that stand a while away from the touch and go untraded, again and again on one side.

Idea: size and a short life alone say nothing, they are what market makers do all day. What they do not do is stand
behind the touch for a while without an answer on the other side, go in one piece while nothing else changes, come
again on the same side at the same distance with the same size, and never trade (Lee, Eom & Park, "Microstructure-based
manipulation: Strategic behavior and performance of spoofing traders", 2013; Fabre & Challet, "Learning the spoofability
of limit orders with interpretable probabilistic neural networks", 2025, for the weight of posting distance).

Each such order adds its log likelihood ratio against the symbol's own habits: whether the touch had moved, how broad
the message was, whether the other side uses that size too, whether its own side shows it at other places, whether it
only moved, whether that side was traded meanwhile. An order may go on from any candidate before it on its side that it
repeats; that adds how unlikely it is, by chance and by the symbol's own rate of such, to come again so soon at its
place. Weights were fitted to planted episodes against the orders of ordinary recordings: of the judge's calibration parts
(`stakan bench detect`) and of further ones, minutes of BTC and ETH futures; they are rounded by hand, and the same for
every symbol.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from stakan.core.detectors import _spoof_kernels as kernels
from stakan.core.detectors._order_kernels import COLUMNS, TOLD
from stakan.core.detectors._orders import Order, Orders
from stakan.core.domain.events import BookDelta, BookEvent
from stakan.core.domain.findings import Finding, Pattern, Stage
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import SECOND, Lots, Nanos, Ticks
from stakan.core.market.picture import MarketPicture
from stakan.core.plugins import Detector

_ROOM = 64


class Candidate(NamedTuple):
    """One row of candidates of `_spoof_kernels`, with names."""

    chain: int
    began: int
    until: int
    lots: int
    behind: int
    own: int
    total: int
    links: int
    low: int
    high: int
    episode: int


def _candidates() -> "np.ndarray[tuple[int, int, int], np.dtype[np.int64]]":
    return np.zeros((2, kernels.REMEMBERED, kernels.FIELDS), np.int64)


def _odds() -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    return np.zeros((2, kernels.REMEMBERED))


def _habits() -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.array((kernels.FIRST_OFTEN, kernels.FIRST_AGAIN, kernels.FIRST_LIFE_S))


def _counters() -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.zeros(kernels.COUNTERS, np.int64)


class SpoofingState(msgspec.Struct, eq=False):
    """What is remembered of one instrument (see `_spoof_kernels` for columns)."""

    orders: Orders
    limits: np.ndarray[tuple[int], np.dtype[np.float64]]
    candidates: np.ndarray[tuple[int, int, int], np.dtype[np.int64]] = msgspec.field(default_factory=_candidates)
    """By side, oldest first."""
    odds: np.ndarray[tuple[int, int], np.dtype[np.float64]] = msgspec.field(default_factory=_odds)
    habits: np.ndarray[tuple[int], np.dtype[np.float64]] = msgspec.field(default_factory=_habits)
    counters: np.ndarray[tuple[int], np.dtype[np.int64]] = msgspec.field(default_factory=_counters)


class Spoofing(Detector, frozen=True, kw_only=True):
    """Large orders behind the touch that go untraded, weighed against what is usual and how often they come again."""

    min_confidence: float = 0.5
    """What is less likely is not said: lower finds more and alarms more."""
    multiple: float = 3.0
    """Of the median level of a side: what is large."""
    reach_ticks: int = 20
    """Farther from the touch is not looked at."""
    min_life_s: float = 0.15
    max_life_s: float = 10.5
    apart_s: float = 2.3
    """Mean time between repetitions of one episode; after three times that it is another one."""

    def start(self, instrument: Instrument) -> SpoofingState:  # noqa: ARG002 - nothing depends on it
        """Nothing seen yet."""
        shortest, oldest = int(self.min_life_s * SECOND), int(self.max_life_s * SECOND)
        orders = Orders.start(_ROOM, self.multiple, self.reach_ticks, shortest, oldest)
        return SpoofingState(orders, np.array((self.min_life_s, self.apart_s, self.min_confidence)))

    def restart(self, state: SpoofingState) -> None:
        """What stood may have gone unseen; habits remain."""
        state.orders.forget()
        state.counters[kernels.HELD : kernels.HELD + 2] = 0

    def on_book(self, market: MarketPicture, event: BookEvent, state: SpoofingState) -> Sequence[Finding]:
        """Follow large orders; look at those that stand for a while or went."""
        if type(event) is not BookDelta:
            self.restart(state)
            return ()
        if not state.orders.follow(market, event):
            return ()
        tape = market.tape
        said = np.empty((TOLD, COLUMNS + kernels.FIELDS), np.int64)
        confidences = np.empty(TOLD)
        count = kernels.weigh(
            state.orders.table,
            state.orders.meta,
            event.ts_event,
            tape.times,
            tape.prices,
            tape.sizes,
            tape.signs,
            tape.start,
            tape.end,
            state.candidates,
            state.odds,
            state.habits,
            state.counters,
            state.limits,
            said,
            confidences,
        )
        if not count:
            return ()
        return [
            _finding(event, Order(*row[:COLUMNS]), Candidate(*row[COLUMNS:]), confidence)
            for row, confidence in zip(said[:count].tolist(), confidences[:count].tolist(), strict=True)
        ]


def _finding(event: BookDelta, order: Order, found: Candidate, confidence: float) -> Finding:
    return Finding(
        instrument=event.instrument,
        pattern=Pattern.SPOOFING,
        stage=Stage.CONFIRMED if order.ended else Stage.SUSPECTED,
        episode=found.episode,
        side=order.side,
        low=Ticks(found.low),
        high=Ticks(found.high),
        size=Lots(found.total),
        count=found.links,
        began=Nanos(found.began),
        ts_event=Nanos(event.ts_event),
        confidence=confidence,
        evidence={
            "times_median": order.multiple,
            "distance_ticks": float(order.distance),
            "life_s": ((order.ended or event.ts_event) - order.since) / SECOND,
            "traded_share": order.traded / order.lots,
            "opposite_lots": float(order.opposite),
            "response_ticks": order.response / 2,
        },
    )
