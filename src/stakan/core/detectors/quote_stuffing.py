"""Quote stuffing: a burst of level changes that take each other back, while the market has no reason for them.

Idea: the feed shows no orders, only levels; what stuffing looks like in it is many changes near the touch that undo the
one before at the same level, far more than the symbol's last minute had, with nothing left in the end and the touch
where it was. When prices move everybody quotes anew, so movement speaks against it (Egginton, Van Ness & Van Ness,
"Quote stuffing", 2016, find it by such bursts against a stock's own recent mean).
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from stakan.core.detectors import _stuffing_kernels as kernels
from stakan.core.detectors._odds import logistic
from stakan.core.domain.events import BookDelta, BookEvent
from stakan.core.domain.findings import Finding, Pattern, Stage
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import SECOND, Nanos
from stakan.core.market.picture import MarketPicture
from stakan.core.plugins import Detector

_SLOTS = 256
_UNLIKELY = -3.0
"""Log odds below which nothing is looked at any further."""
_SURER = 2.0
"""A suspicion is told again when its log odds have risen so much."""
_EBB = 0.4
"""Share of a burst's most flips below which it does not go on."""
_OVER = 200_000_000
"""A burst is over when it was not seen for so long."""


class QuoteStuffingState(msgspec.Struct, eq=False):
    """What is remembered of one instrument."""

    slots: np.ndarray[tuple[int, int, int], np.dtype[np.int64]]
    meta: np.ndarray[tuple[int], np.dtype[np.int64]]
    pace: np.ndarray[tuple[int], np.dtype[np.float64]]
    episodes: int = 0
    calm_ts: int = 0
    """When flips were last what is usual."""
    began: int = 0
    """Of the burst that goes on; 0 where none does."""
    seen_ts: int = 0
    """When it was last seen."""
    odds: float = 0.0
    """The highest of it."""
    told: float = 0.0
    """Those of its last finding."""
    updates: float = 0.0
    flips: float = 0.0
    """The most of it."""
    ebb: float = 0.0
    """The fewest flips since the last burst was over; the next begins with twice as many."""


class QuoteStuffing(Detector, frozen=True, kw_only=True):
    """Bursts of level changes that take each other back, against the symbol's own last minute."""

    min_confidence: float = 0.5
    """What is less likely is not said: lower finds more and alarms more."""
    reach_ticks: int = 50
    """Changes farther behind the touch are not counted."""
    warm_s: float = 10.0
    """Nothing is said before so much of the market was seen."""

    def start(self, instrument: Instrument) -> QuoteStuffingState:  # noqa: ARG002 - nothing depends on it
        """Nothing seen yet."""
        return QuoteStuffingState(
            np.zeros((2, _SLOTS, kernels.CHANGES), np.int64), np.zeros(kernels.METAS, np.int64), np.zeros(kernels.PACES)
        )

    def restart(self, state: QuoteStuffingState) -> None:
        """Changes may have gone unseen; what is usual remains."""
        state.slots[:] = 0
        state.pace[: kernels.USUAL] = 0
        state.began = 0
        state.ebb = 0.0

    def on_book(self, market: MarketPicture, event: BookEvent, state: QuoteStuffingState) -> Sequence[Finding]:
        """Count changes and flips; say when a burst shows, and when it is over."""
        if type(event) is not BookDelta:
            self.restart(state)
            state.calm_ts = event.ts_event
            return ()
        book = market.book
        ts = event.ts_event
        odds = kernels.follow(
            book.sides,
            book.counts,
            event.levels,
            event.bid_count,
            book.before,
            state.slots,
            state.meta,
            state.pace,
            ts,
            self.reach_ticks,
        )
        if odds < _UNLIKELY:
            if state.began:
                return self._ending(event, state)
            state.calm_ts = ts
            state.ebb = 0.0
            return ()
        return self._burst(event, state, odds)

    def _burst(self, event: BookDelta, state: QuoteStuffingState, odds: float) -> Sequence[Finding]:
        ts, flips = event.ts_event, float(state.pace[kernels.FLIPS])
        if logistic(odds) < self.min_confidence or (state.began and flips < _EBB * state.flips):
            return self._ending(event, state) if state.began else ()
        if not state.began:
            state.ebb = min(state.ebb, flips)
            if flips < 2 * state.ebb or not self._is_warm(state, ts):
                return ()
            state.episodes += 1
            state.began = max(state.calm_ts, ts - SECOND)
            state.odds, state.told = kernels.NONE, kernels.NONE
            state.updates = state.flips = 0.0
        state.seen_ts = ts
        state.odds = max(state.odds, odds)
        state.updates = max(state.updates, float(state.pace[kernels.UPDATES]))
        state.flips = max(state.flips, flips)
        if odds < state.told + _SURER:
            return ()
        state.told = odds
        return (self._finding(event, state, Stage.SUSPECTED),)

    def _is_warm(self, state: QuoteStuffingState, ts: int) -> bool:
        return ts - int(state.meta[kernels.FIRST_TS]) >= self.warm_s * SECOND

    def _ending(self, event: BookDelta, state: QuoteStuffingState) -> Sequence[Finding]:
        """The burst is over when it was not seen for a while."""
        if event.ts_event - state.seen_ts < _OVER:
            return ()
        finding = self._finding(event, state, Stage.CONFIRMED)
        state.began = 0
        state.calm_ts = event.ts_event
        state.ebb = float(state.pace[kernels.FLIPS])
        return (finding,)

    def _finding(self, event: BookDelta, state: QuoteStuffingState, stage: Stage) -> Finding:
        evidence: dict[str, Any] = {
            "updates_per_s": state.updates / kernels.SPAN_S,
            "flips_per_s": state.flips / kernels.SPAN_S,
            "cancel_ratio": min(1.0, 2 * state.flips / state.updates),
            "usual_flips_per_s": float(np.expm1(state.pace[kernels.USUAL])) / kernels.SPAN_S,
            "touch_moves": float(state.pace[kernels.MOVES]),
        }
        return Finding(
            instrument=event.instrument,
            pattern=Pattern.QUOTE_STUFFING,
            stage=stage,
            episode=state.episodes,
            count=round(state.updates),
            began=Nanos(state.began),
            ts_event=Nanos(event.ts_event),
            confidence=logistic(state.odds),
            evidence=evidence,
        )
