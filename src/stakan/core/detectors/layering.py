"""Layering: three or more levels of one side that come as a ladder and leave together, untraded.

Idea: one order behind the touch is anybody's, a ladder of like sizes at even steps that one hand puts up and takes
down is not: it lends a side a depth that nobody means to trade (Tao, Day, Ling & Drapeau, "On detecting spoofing
strategies in high-frequency trading", 2022). What speaks for one hand: more levels near the touch, even steps, equal or
evenly rising sizes, coming soon after each other, in a market that gave no reason. What speaks against it: the other
side left at the same time (depth is pulled), a burst of trades ran towards the levels (stops, fear), the orders moved
or were traded.

A ladder is suspected while it stands and confirmed when it has gone. Weights come from a logistic regression on the
calibration sessions with planted episodes of all tiers (`stakan bench detect`), rounded by hand, and are the same for
every symbol; movement and breadth count against the symbol's own.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.detectors import _layer_kernels as kernels
from stakan.core.detectors import _order_kernels as order_kernels
from stakan.core.detectors._odds import logistic
from stakan.core.detectors._orders import Order, Orders
from stakan.core.domain.events import BookDelta, BookEvent
from stakan.core.domain.findings import Finding, Pattern, Stage
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import SECOND, Lots, Nanos, Ticks
from stakan.core.market.picture import MarketPicture
from stakan.core.market.tape import Tape
from stakan.core.plugins import Detector

_ROOM = 96
_HITS = 0.75
"""Weight of prints that ran towards a ladder before it went, in logarithms of what is usual."""


class Ladder(msgspec.Struct):
    """The last one that was told of a side."""

    episode: int = 0
    began: int = 0
    ended: int = 0
    count: int = 0
    stage: Stage = Stage.SUSPECTED


def _layers() -> "np.ndarray[tuple[int, int, int, int], np.dtype[np.int64]]":
    return np.zeros((2, 2, kernels.KEPT, order_kernels.COLUMNS), np.int64)


def _held() -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    return np.zeros((2, 2), np.int64)


class LayeringState(msgspec.Struct, eq=False):
    """What is remembered of one instrument; of both sides."""

    orders: Orders
    layers: np.ndarray[tuple[int, int, int, int], np.dtype[np.int64]] = msgspec.field(default_factory=_layers)
    """Those that stand in order of coming, those that went in order of going: by that, side, row and column."""
    held: np.ndarray[tuple[int, int], np.dtype[np.int64]] = msgspec.field(default_factory=_held)
    """How many rows of each are filled."""
    ladders: list[Ladder] = msgspec.field(default_factory=lambda: [Ladder(), Ladder()])
    episodes: int = 0


class Layering(Detector, frozen=True, kw_only=True):
    """Ladders of large orders on one side, put up and taken down by one hand."""

    min_confidence: float = 0.5
    """What is less likely is not said: lower finds more and alarms more."""
    multiple: float = 3.0
    """Of the median level of a side: what counts as a layer."""
    min_layers: int = 3
    reach_ticks: int = 40
    """Farther from the touch is not looked at."""
    min_life_s: float = 0.3
    max_life_s: float = 20.0

    def start(self, instrument: Instrument) -> LayeringState:  # noqa: ARG002 - nothing depends on it
        """Nothing seen yet."""
        shortest, oldest = int(self.min_life_s * SECOND), int(self.max_life_s * SECOND)
        return LayeringState(Orders.start(_ROOM, self.multiple, self.reach_ticks, shortest, oldest, shortest))

    def restart(self, state: LayeringState) -> None:
        """What stood may have gone unseen; habits remain."""
        state.orders.forget()
        state.held[:] = 0

    def on_book(self, market: MarketPicture, event: BookEvent, state: LayeringState) -> Sequence[Finding]:
        """Follow large orders; look for ladders among those that stand and those that went."""
        if type(event) is not BookDelta:
            self.restart(state)
            return ()
        if not state.orders.follow(market, event):
            return ()
        new = self._take(market, event, state)
        if not new:
            return ()
        findings = [self._gone(market, event, state, which) for which in range(2) if new & kernels.GONE_BIT << which]
        findings += [self._standing(event, state, which) for which in range(2) if new & kernels.STANDING_BIT << which]
        return [finding for finding in findings if finding is not None]

    def _take(self, market: MarketPicture, event: BookDelta, state: LayeringState) -> int:
        """Bits of the sides that have something new to look at."""
        tape = market.tape
        return kernels.take(
            state.orders.table,
            state.orders.meta,
            event.ts_event,
            tape.times,
            tape.prices,
            tape.sizes,
            tape.signs,
            tape.start,
            tape.end,
            state.layers,
            state.held,
            event.ts_event - int(self.max_life_s * SECOND),
            self.min_layers,
        )

    def _standing(self, event: BookDelta, state: LayeringState, which: int) -> Finding | None:
        """The best ladder that stands, the newest order in its run."""
        found = _found()
        odds, count = kernels.standing(state.layers, state.held, which, self.min_layers, found)
        return self._said(event, state, found[:count], odds) if count else None

    def _gone(self, market: MarketPicture, event: BookDelta, state: LayeringState, which: int) -> Finding | None:
        """The best ladder that went lately, less what trades towards it explain."""
        found = _found()
        odds, count = kernels.gone(state.layers, state.held, which, self.min_layers, found)
        if not count:
            return None
        hits = int(found[:count, order_kernels.HIT].sum()) / count
        return self._said(event, state, found[:count], odds - _HITS * math.log1p(hits / _usual_hits(market.tape)))

    def _said(
        self, event: BookDelta, state: LayeringState, found: npt.NDArray[np.int64], odds: float
    ) -> Finding | None:
        """The finding, where it is likely enough and says more than the one before."""
        confidence = logistic(odds)
        if confidence < self.min_confidence:
            return None
        orders = [Order(*row) for row in found.tolist()]
        which = orders[0].which
        stage = Stage.CONFIRMED if orders[0].ended else Stage.SUSPECTED
        ladder = state.ladders[which]
        began, until = orders[0].since, max(one.ended or event.ts_event for one in orders)
        goes_on = ladder.episode > 0 and began <= ladder.ended
        if goes_on and stage is ladder.stage and len(orders) <= ladder.count:
            return None
        if not goes_on:
            state.episodes += 1
        episode = ladder.episode if goes_on else state.episodes
        state.ladders[which] = Ladder(episode, began, until, len(orders), stage)
        prices = [one.price for one in orders]
        return Finding(
            instrument=event.instrument,
            pattern=Pattern.LAYERING,
            stage=stage,
            episode=episode,
            side=orders[0].side,
            low=Ticks(min(prices)),
            high=Ticks(max(prices)),
            size=Lots(sum(one.lots for one in orders)),
            count=len(orders),
            began=Nanos(began),
            ts_event=Nanos(event.ts_event),
            confidence=confidence,
            evidence={
                "times_median": sum(one.multiple for one in orders) / len(orders),
                "nearest_ticks": float(min(one.distance for one in orders)),
                "coming_s": (max(one.since for one in orders) - began) / SECOND,
                "opposite_lots": float(max(one.opposite for one in orders)),
                "response_ticks": max(orders, key=lambda one: abs(one.response)).response / 2,
            },
        )


def _found() -> npt.NDArray[np.int64]:
    """Room for the orders of a ladder."""
    return np.empty((kernels.KEPT, order_kernels.COLUMNS), np.int64)


def _usual_hits(tape: Tape) -> float:
    """Prints against one side that are usual in the time for which they are counted, at least one."""
    kept = tape.end - tape.start
    if kept < 2:
        return 1.0
    span = max(1, tape.last_ts - int(tape.times[tape.start]))
    return max(1.0, kept * order_kernels.BURST / span / 2)
