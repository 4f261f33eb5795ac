"""Layering: three or more levels of one side that come as a ladder and leave together, untraded.

Idea: one order behind the touch is anybody's, a ladder of like sizes at even steps that one hand puts up and takes
down is not: it lends a side a depth that nobody means to trade (Tao, Day, Ling & Drapeau, "On detecting spoofing
strategies in high-frequency trading", 2022). What speaks for one hand: more levels, even steps, equal or evenly rising
sizes, coming and going at once, in a market that gave no reason. What speaks against it: the other side left at the
same time (depth is pulled), a burst of trades ran towards the levels (stops, fear), the orders moved or were traded.

A ladder is suspected while it stands and confirmed when it has gone. Weights were set by hand on the calibration
sessions with planted episodes (`stakan bench detect`) and are the same for every symbol; movement and breadth count
against the symbol's own.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

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
_KEPT = 12
"""Orders of a side that are looked at together."""
_APART_S = 2.6
"""A ladder's orders come at most so long after each other."""
_LEAVING_S = 1.2
"""It is gone within so long."""
_ALONE = 0.5
"""Log odds of any three orders that neither speak for nor against."""
_UNENDED = 2.0
"""What a ladder lacks that has not gone yet."""
_OTHER_SIDE = 1.0
"""What each order of the other side takes away that left, or came, at the same time."""
_AT_ONCE = 200_000_000
_MOVED = -2.0
"""In the calm of an order that seems to have moved: by chance others of its size come and go at the same moment."""


class Layer(msgspec.Struct, frozen=True):
    """An order, and what the kernel wants to know of it."""

    order: Order
    row: tuple[int, ...]


class Ladder(msgspec.Struct):
    """The last one that was told of a side."""

    episode: int = 0
    began: int = 0
    ended: int = 0
    count: int = 0
    stage: Stage = Stage.SUSPECTED


class LayeringState(msgspec.Struct, eq=False):
    """What is remembered of one instrument; of both sides."""

    orders: Orders
    standing: list[list[Layer]] = msgspec.field(default_factory=lambda: [[], []])
    """In order of coming."""
    gone: list[list[Layer]] = msgspec.field(default_factory=lambda: [[], []])
    """In order of going."""
    ladders: list[Ladder] = msgspec.field(default_factory=lambda: [Ladder(), Ladder()])
    episodes: int = 0


class Layering(Detector, frozen=True, kw_only=True):
    """Ladders of large orders on one side, put up and taken down by one hand."""

    min_confidence: float = 0.5
    """What is less likely is not said: lower finds more and alarms more."""
    multiple: float = 2.5
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
        state.standing, state.gone = [[], []], [[], []]

    def on_book(self, market: MarketPicture, event: BookEvent, state: LayeringState) -> Sequence[Finding]:
        """Follow large orders; look for ladders among those that stand and those that went."""
        if type(event) is not BookDelta:
            self.restart(state)
            return ()
        if not market.book.is_usable:
            return ()
        if not state.orders.follow(market, event):
            return ()
        came, went = set(), set()
        for order in state.orders.told(market, event.ts_event):
            if order.is_untraded and order.is_own and order.ended == 0:
                _keep(state.standing[order.which], order)
                came.add(order.which)
                continue
            _forget(state.standing[order.which], order)
            if order.is_untraded and not order.paired and order.went_whole:
                _keep(state.gone[order.which], order)
                went.add(order.which)
        findings = [self._gone(market, event, state, which) for which in sorted(went)]
        findings += [self._standing(event, state, which) for which in sorted(came)]
        return [finding for finding in findings if finding is not None]

    def _standing(self, event: BookDelta, state: LayeringState, which: int) -> Finding | None:
        """Ladders that stand, the newest order among them."""
        oldest = event.ts_event - int(self.max_life_s * SECOND)
        for kept in state.standing:
            while kept and kept[0].order.since < oldest:
                del kept[0]
        found = self._ladder(_newest_run(state.standing[which]))
        if found is None:
            return None
        score, orders = found
        first, last = orders[0].since, orders[-1].since
        others = sum(first - _AT_ONCE <= one.order.since <= last + _AT_ONCE for one in state.standing[1 - which])
        odds = _ALONE + score - _UNENDED - 0.3 * _OTHER_SIDE * min(others, 6)
        return self._said(event, state, which, orders, odds, Stage.SUSPECTED)

    def _gone(self, market: MarketPicture, event: BookDelta, state: LayeringState, which: int) -> Finding | None:
        """Ladders that went, the last order with them."""
        newest = state.gone[which][-1].order.ended
        leaving = [one for one in state.gone[which] if newest - one.order.ended <= _LEAVING_S * SECOND]
        leaving.sort(key=lambda one: one.order.since)
        ladders = [found for run in _runs(leaving) if (found := self._ladder(run)) is not None]
        if not ladders:
            return None
        score, orders = max(ladders, key=lambda found: found[0])
        first, last = min(one.ended for one in orders), max(one.ended for one in orders)
        others = sum(first - _AT_ONCE <= one.order.ended <= last + _AT_ONCE for one in state.gone[1 - which])
        hits = sum(one.hit for one in orders) / len(orders)
        odds = _ALONE + score - _OTHER_SIDE * min(others, 4) - 0.8 * math.log1p(hits / _usual_hits(market.tape))
        return self._said(event, state, which, orders, odds, Stage.CONFIRMED)

    def _ladder(self, run: Sequence[Layer]) -> tuple[float, list[Order]] | None:
        """How good the best ladder among orders of a run is, and its orders as they came."""
        if len(run) < max(self.min_layers, kernels.FEWEST):
            return None
        outwards = sorted(run, key=lambda one: one.row[kernels.PRICE])
        chosen = np.empty(len(run), np.int64)
        rows = np.array([one.row for one in outwards], np.int64)
        score, count = kernels.best_ladder(rows, run[0].order.ended == 0, chosen)
        if count < self.min_layers:
            return None
        orders = sorted((outwards[k].order for k in chosen[:count].tolist()), key=lambda one: one.since)
        # Most of them moved: a maker's ladder that was priced anew.
        return None if 2 * sum(one.moved for one in orders) > count else (score, orders)

    def _said(
        self, event: BookDelta, state: LayeringState, which: int, orders: list[Order], odds: float, stage: Stage
    ) -> Finding | None:
        """The finding, where it is likely enough and says more than the one before."""
        confidence = logistic(odds)
        if confidence < self.min_confidence:
            return None
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


def _keep(kept: list[Layer], order: Order) -> None:
    """The newest of a price replaces what was there; the oldest goes where there are too many."""
    kept[:] = [one for one in kept if one.order.price != order.price][1 - _KEPT :]
    common = -0.5 * math.log1p(max(0, order.common - 1))
    moved = _MOVED if order.moved else 0.0
    calm = round((order.calm + common + moved) * 1e6)
    row = (-order.side * order.price, order.lots, order.since, order.ended, calm, order.distance)
    kept.append(Layer(order, row))


def _forget(kept: list[Layer], order: Order) -> None:
    kept[:] = [one for one in kept if (one.order.price, one.order.since) != (order.price, order.since)]


def _newest_run(layers: Sequence[Layer]) -> Sequence[Layer]:
    """Of orders in order of coming, the last and those that came one soon after the other before it."""
    first = len(layers) - 1
    while first > 0 and layers[first].order.since - layers[first - 1].order.since <= _APART_S * SECOND:
        first -= 1
    return layers[max(first, 0) :]


def _runs(layers: Sequence[Layer]) -> list[Sequence[Layer]]:
    """All of them, newest first."""
    runs = []
    while layers:
        runs.append(_newest_run(layers))
        layers = layers[: -len(runs[-1])]
    return runs


def _usual_hits(tape: Tape) -> float:
    """Prints against one side that are usual in the time for which they are counted, at least one."""
    kept = tape.end - tape.start
    if kept < 2:
        return 1.0
    span = max(1, tape.last_ts - int(tape.times[tape.start]))
    return max(1.0, kept * order_kernels.BURST / span / 2)
