"""Wash trading: pairs of opposite prints of equal size at one price, more than chance makes.

Idea: who trades with himself buys what he sells, so the tape shows equal sizes in both directions at a price that does
not move, again and again. Equal sizes meet by chance too, and often where everybody trades one lot: what a pair says
is how rare its size is among the symbol's last prints, and how many opposite prints stood at that price to be met
(Cong, Li, Tang & Yang, "Crypto wash trading", 2023, test sizes and their clustering in the same spirit). One pair says
little; what counts is the sum over pairs that follow each other at one price.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from stakan.core.detectors import _wash_kernels as kernels
from stakan.core.detectors._odds import logistic
from stakan.core.domain.events import BookEvent, BookSnapshot, TradePrint
from stakan.core.domain.findings import Finding, Pattern, Stage
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import SECOND, Lots, Nanos, Ticks
from stakan.core.market.picture import MarketPicture
from stakan.core.plugins import Detector

_USED = 64
_NO_ID = -(2**63)
_ALONE = -6.0
"""Log odds of a run of pairs before its first one has spoken."""
_LEAST = 0.01
"""Chance matches of a pair; below, nothing more is believed."""
_DISCOUNT = 0.5
"""What every pair has to bring before it counts."""


class WashTradingState(msgspec.Struct, eq=False):
    """What is remembered of one instrument."""

    used: np.ndarray[tuple[int], np.dtype[np.int64]]
    """Ids of prints that are part of a pair, a ring."""
    next_used: int = 0
    prints: int = 0
    episodes: int = 0
    episode: int = 0
    """Of the run that goes on; 0 where nothing was said of it."""
    price: int = 0
    began: int = 0
    last_ts: int = 0
    """Of the newest pair of the run."""
    odds: float = 0.0
    pairs: int = 0
    lots: int = 0
    """Of all its prints."""


class WashTrading(Detector, frozen=True, kw_only=True):
    """Runs of matched opposite prints at one price, against the symbol's own sizes."""

    min_confidence: float = 0.5
    """What is less likely is not said: lower finds more and alarms more."""
    within_s: float = 0.5
    """Both prints of a pair come within so long."""
    apart_s: float = 3.0
    """Pairs of a run follow each other within so long."""
    min_prints: int = 50
    """Nothing is said before so many prints were seen."""

    def start(self, instrument: Instrument) -> WashTradingState:  # noqa: ARG002 - nothing depends on it
        """Nothing seen yet."""
        return WashTradingState(np.full(_USED, _NO_ID))

    def restart(self, state: WashTradingState) -> None:
        """Prints may be missing: a run ends here."""
        state.pairs = 0

    def on_book(self, market: MarketPicture, event: BookEvent, state: WashTradingState) -> Sequence[Finding]:  # noqa: ARG002
        """A book says nothing of it; a new one comes after an interruption."""
        if type(event) is BookSnapshot:
            self.restart(state)
        return ()

    def on_print(self, market: MarketPicture, event: TradePrint, state: WashTradingState) -> Sequence[Finding]:
        """Look for the other half of a print."""
        if event.is_rpi:
            return ()
        state.prints += 1
        if state.prints < self.min_prints:
            return ()
        tape = market.tape
        by_chance, other, since = kernels.matched(
            tape.times,
            tape.prices,
            tape.sizes,
            tape.signs,
            tape.ids,
            tape.start,
            tape.end,
            event.trade_id,
            state.used,
            int(self.within_s * SECOND),
        )
        if by_chance < 0:
            return ()
        self._use(state, event.trade_id)
        self._use(state, other)
        self._take(state, event, since, by_chance)
        if logistic(state.odds) < self.min_confidence:
            return ()
        stage = Stage.SUSPECTED
        if state.episode:
            stage = Stage.CONFIRMED
        else:
            state.episodes += 1
            state.episode = state.episodes
        return (_finding(event, state, stage, by_chance),)

    def _use(self, state: WashTradingState, trade_id: int) -> None:
        state.used[state.next_used] = trade_id
        state.next_used = (state.next_used + 1) % _USED

    def _take(self, state: WashTradingState, event: TradePrint, since: int, by_chance: float) -> None:
        """A pair goes on with the run at its price, or begins another."""
        goes_on = state.pairs > 0 and event.price == state.price and since - state.last_ts <= self.apart_s * SECOND
        if not goes_on:
            state.episode = state.pairs = state.lots = 0
            state.odds = _ALONE
            state.price = event.price
            state.began = since
        state.odds += -math.log(max(by_chance, _LEAST)) - _DISCOUNT
        state.odds = max(state.odds, _ALONE)
        state.pairs += 1
        state.lots += 2 * event.size
        state.last_ts = max(state.last_ts, event.ts_event)


def _finding(event: TradePrint, state: WashTradingState, stage: Stage, by_chance: float) -> Finding:
    return Finding(
        instrument=event.instrument,
        pattern=Pattern.WASH_TRADING,
        stage=stage,
        episode=state.episode,
        low=Ticks(state.price),
        high=Ticks(state.price),
        size=Lots(state.lots),
        count=2 * state.pairs,
        began=Nanos(state.began),
        ts_event=Nanos(event.ts_event),
        confidence=logistic(state.odds),
        evidence={
            "pairs": float(state.pairs),
            "last_lots": float(event.size),
            "chance_matches": by_chance,
        },
    )
