"""The naive rule that every detector has to beat: size and lifetime alone (specification, detection.md).

A level that vanishes less than 200 ms after it appeared, with a size at or above the 90th percentile of its side.
"""

from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np

from stakan.apps.judge.background import Ints
from stakan.core.domain.events import BookDelta, BookEvent
from stakan.core.domain.findings import Finding, Pattern, Stage
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MILLISECOND, SECOND, Lots, Nanos, Side, Ticks
from stakan.core.market.picture import MarketPicture
from stakan.core.plugins import Detector

_MILLISECONDS = 1e6
_MEASURE_EVERY_NS = 2 * SECOND


class NaiveState(msgspec.Struct):
    """What the rule remembers of one instrument."""

    born: dict[tuple[Side, int], tuple[int, int]] = {}
    """Levels that appeared lately: when, and the largest size since."""
    sizes: dict[Side, deque[tuple[int, Ints]]] = msgspec.field(
        default_factory=lambda: {Side.BUY: deque(), Side.SELL: deque()}
    )
    """Time and lots of the level updates of the last 60 s, message by message; deletions are none."""
    large: dict[Side, float] = {}
    """90th percentile of them."""
    measured: int = 0
    """When the percentiles were taken."""
    episodes: int = 0


class NaiveRule(Detector, frozen=True):
    """Size and lifetime, with the confidence 0.7 (200 - life) / 200 + 0.3 min(1, size / (2 P90)); life in ms."""

    life_ms: float = 200.0
    percentile: float = 90.0
    history_s: float = 60.0

    def start(self, instrument: Instrument) -> NaiveState:  # noqa: ARG002 - the contract
        """Nothing seen yet."""
        return NaiveState()

    def on_book(self, market: MarketPicture, event: BookEvent, state: NaiveState) -> Sequence[Finding]:
        """Levels that this message took away soon after they came."""
        if type(event) is not BookDelta:
            state.born.clear()
            return ()
        self._measure(event, state)
        findings = []
        for row, (price, lots) in enumerate(event.levels.tolist()):
            side = Side.BUY if row < event.bid_count else Side.SELL
            if lots:
                since, peak = state.born.get((side, price), (event.ts_event, 0))
                if (side, price) in state.born or market.book.before[row] == 0:
                    state.born[side, price] = since, max(peak, lots)
                continue
            since, peak = state.born.pop((side, price), (0, 0))
            life = (event.ts_event - since) / _MILLISECONDS
            large = state.large.get(side, 0.0)
            if large and life < self.life_ms and peak >= large:
                findings.append(self._finding(event, state, side, price, peak, since, life, large))
        return findings

    def restart(self, state: NaiveState) -> None:
        """What stood may have gone unseen."""
        state.born.clear()

    def _measure(self, event: BookDelta, state: NaiveState) -> None:
        """Keep the sizes; now and then take the percentile of 60 s and forget levels that are too old to matter."""
        now, count = event.ts_event, event.bid_count
        for side, lots in ((Side.BUY, event.levels[:count, 1]), (Side.SELL, event.levels[count:, 1])):
            state.sizes[side].append((now, lots[lots > 0]))
        if now - state.measured < _MEASURE_EVERY_NS:
            return
        state.measured = now
        for side, sizes in state.sizes.items():
            while sizes[0][0] < now - self.history_s * SECOND:
                sizes.popleft()
            seen = np.concatenate([lots for _, lots in sizes])
            if len(seen):
                state.large[side] = float(np.percentile(seen, self.percentile))
        oldest = now - self.life_ms * MILLISECOND
        state.born = {key: value for key, value in state.born.items() if value[0] >= oldest}

    def _finding(
        self,
        event: BookEvent,
        state: NaiveState,
        side: Side,
        price: int,
        lots: int,
        since: int,
        life: float,
        large: float,
    ) -> Finding:
        state.episodes += 1
        return Finding(
            instrument=event.instrument,
            pattern=Pattern.SPOOFING,
            stage=Stage.CONFIRMED,
            episode=state.episodes,
            side=side,
            low=Ticks(price),
            high=Ticks(price),
            size=Lots(lots),
            began=Nanos(since),
            ts_event=Nanos(event.ts_event),
            confidence=0.7 * (self.life_ms - life) / self.life_ms + 0.3 * min(1.0, lots / (2 * large)),
            evidence={"life_ms": life, "p90_lots": large},
        )
