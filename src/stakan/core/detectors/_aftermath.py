"""The market around findings: in what circumstances they are made, and what price does afterwards."""

import msgspec
import numpy as np

from stakan.core.domain.facts import FindingSettled
from stakan.core.domain.findings import Circumstances, Finding, Stage
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import DAY, MINUTE, SECOND, Nanos, Side
from stakan.core.features.trend import Trend
from stakan.core.market.candles import CandleBuilder, Column
from stakan.core.market.picture import MarketPicture

AFTER_NS = (SECOND, Nanos(10 * SECOND), MINUTE)
"""How long after a finding price is looked at again."""
WAITING = 256
"""Findings of an instrument that wait for that; where more come, the oldest are settled with what is known."""
_NEVER = 2**62
_LEVELS = 10
_CANDLES = 20
_LEAST_RETURNS = 2


def circumstances(market: MarketPicture, trend: Trend) -> Circumstances:
    """The market as it is now."""
    book = market.book
    unit = market.densities.value_unit
    bids, asks = (_depth(market, side) * unit for side in (Side.BUY, Side.SELL))
    mid = book.mid
    return Circumstances(
        mid=mid,
        spread_bps=(book.best_ask - book.best_bid) / mid * 10_000 if mid else 0.0,
        depth=bids + asks,
        imbalance=(bids - asks) / (bids + asks) if bids + asks else 0.0,
        volatility_bps=_volatility(market.candles) * 10_000,
        trend=int(trend),
        second_of_day=market.ts_event % DAY // SECOND,
    )


def _depth(market: MarketPicture, side: Side) -> float:
    """Ticks x lots in the first levels of a side."""
    levels = market.book.depth(side, _LEVELS).astype(np.float64)
    return float(levels[:, 0] @ levels[:, 1])


def _volatility(candles: CandleBuilder) -> float:
    closes = candles.closed(Column.CLOSE)[-_CANDLES - 1 :].astype(np.float64)
    returns = np.diff(np.log(closes))
    return float(np.std(returns, ddof=1)) if len(returns) >= _LEAST_RETURNS else 0.0


class Waiting(msgspec.Struct):
    """A finding whose aftermath is not over."""

    detector: str
    episode: int
    stage: Stage
    ts: int
    mid: float
    """Ticks; 0 where there was none."""
    moves: list[float | None] = msgspec.field(default_factory=list)


class Aftermath(msgspec.Struct):
    """Findings of one instrument that wait for what price does afterwards; plain state, bounded."""

    instrument: InstrumentId
    waiting: list[Waiting] = msgspec.field(default_factory=list)
    """Oldest first."""
    next_due: int = _NEVER
    """Exchange time from which on `settle` has something to do."""

    def note(self, finding: Finding, mid: float) -> FindingSettled | None:
        """A finding was made at `mid`; returns the oldest one where it has to make room."""
        settled = self._finished(self.waiting.pop(0)) if len(self.waiting) == WAITING else None
        self.waiting.append(
            Waiting(
                detector=finding.detector,
                episode=finding.episode,
                stage=finding.stage,
                ts=finding.ts_event,
                mid=mid,
            )
        )
        self._plan()
        return settled

    def settle(self, market: MarketPicture) -> list[FindingSettled]:
        """It is exchange time `market.ts_event`: look at price for those that are due; returns those that are over."""
        now, book = market.ts_event, market.book
        if now < self.next_due:
            return []
        mid = book.mid if book.is_usable else 0.0
        for one in self.waiting:
            while len(one.moves) < len(AFTER_NS) and now >= one.ts + AFTER_NS[len(one.moves)]:
                one.moves.append((mid / one.mid - 1) * 10_000 if mid and one.mid else None)
        over = [self._finished(one) for one in self.waiting if len(one.moves) == len(AFTER_NS)]
        self.waiting = [one for one in self.waiting if len(one.moves) < len(AFTER_NS)]
        self._plan()
        return over

    def _finished(self, one: Waiting) -> FindingSettled:
        missing = len(AFTER_NS) - len(one.moves)
        return FindingSettled(
            instrument=self.instrument,
            detector=one.detector,
            episode=one.episode,
            stage=one.stage,
            ts_event=Nanos(one.ts),
            moves_bps=(*one.moves, *(None,) * missing),
        )

    def _plan(self) -> None:
        self.next_due = min((one.ts + AFTER_NS[len(one.moves)] for one in self.waiting), default=_NEVER)
