"""Spoofing: large orders that stand a while away from the touch and go untraded, again and again on one side.

Idea: size and a short life alone say nothing, they are what market makers do all day. What they do not do is stand
behind the touch for a while without an answer on the other side, go in one piece while nothing else changes, come
again on the same side with the like size, and never trade (Lee, Eom & Park, "Microstructure-based manipulation:
Strategic behavior and performance of spoofing traders", 2013; Fabre & Challet, "Learning the spoofability of limit
orders with interpretable probabilistic neural networks", 2025, for the weight of posting distance).

Each such order adds its log likelihood ratio against the symbol's own habits: how often such orders come here, how
long cancelled orders live here, whether the touch had moved, how broad the message was, whether the other side uses
that size too. A repetition adds how unlikely it is by chance so soon after the one before. Weights were set by hand
after a logistic fit to the calibration sessions with planted episodes (`stakan bench detect`), and are the same for
every symbol.
"""

import math
from collections.abc import Sequence

import msgspec

from stakan.core.detectors._odds import logistic
from stakan.core.detectors._orders import Order, Orders
from stakan.core.domain.events import BookDelta, BookEvent
from stakan.core.domain.findings import Finding, Pattern, Stage
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MINUTE, SECOND, Lots, Nanos, Ticks
from stakan.core.market.picture import MarketPicture
from stakan.core.plugins import Detector

_ROOM = 64
_FIRST_RATE = 2.0
"""Candidates a minute and side that are expected before any were seen."""
_RATE_SPAN = 5 * MINUTE
_RATE_BOUNDS = (0.5, 20.0)
_FIRST_LIFE = 0.1
"""Seconds; median life of cancelled large orders that is expected before any were seen."""
_LIFE_BOUNDS = (0.05, 1.0)
_LIFE_STEP = 0.03
"""Of the running median of lives, per order."""
_LIFE_WEIGHT = 0.3
_OVERLAP_S = 0.06
"""A repetition may come so much before the one before has gone: with the same or the next message."""
_SAME = 0.02
"""Sizes that differ less than so much, in logarithms, are the same."""
_SAME_BONUS = 2.0
_LIKE_BONUS = 0.4
_ALONE = -4.0
"""Log odds of one candidate that neither speaks for nor against."""
_MOST = 1.5
"""What one order can add at most."""
_UNENDED = 1.0
"""What an order lacks that has not gone yet."""


class Chain(msgspec.Struct):
    """Candidates of one side, each soon after the one before."""

    odds: float = -30.0
    """Log odds of all of it."""
    episode: int = 0
    """0 until something was said of it."""
    began: int = 0
    ended: int = 0
    """When the last one went; 0 before the first."""
    lots: int = 0
    """Of the last one."""
    total: int = 0
    count: int = 0
    low: int = 0
    high: int = 0


class SpoofingState(msgspec.Struct, eq=False):
    """What is remembered of one instrument."""

    orders: Orders
    chains: list[Chain] = msgspec.field(default_factory=lambda: [Chain(), Chain()])
    """Of bids and of asks."""
    episodes: int = 0
    rate: float = _FIRST_RATE
    """Candidates a minute and side that were not found to be part of anything."""
    rate_ts: int = 0
    life_s: float = _FIRST_LIFE
    """Running median of lives of large orders that went untraded."""


class Spoofing(Detector, frozen=True, kw_only=True):
    """Large orders behind the touch that go untraded, weighed against what is usual and how often they come again."""

    min_confidence: float = 0.5
    """What is less likely is not said: lower finds more and alarms more."""
    multiple: float = 4.0
    """Of the median level of a side: what is large."""
    reach_ticks: int = 11
    """Farther from the touch is not looked at."""
    min_life_s: float = 0.15
    max_life_s: float = 10.5
    apart_s: float = 2.0
    """Mean time between repetitions of one episode; after three times that it is another one."""

    def start(self, instrument: Instrument) -> SpoofingState:  # noqa: ARG002 - nothing depends on it
        """Nothing seen yet."""
        return SpoofingState(Orders.start(_ROOM))

    def restart(self, state: SpoofingState) -> None:
        """What stood may have gone unseen; habits remain."""
        state.orders.forget()
        state.chains = [Chain(), Chain()]

    def on_book(self, market: MarketPicture, event: BookEvent, state: SpoofingState) -> Sequence[Finding]:
        """Follow large orders; look at those that stand for a while or went."""
        if type(event) is not BookDelta:
            self.restart(state)
            return ()
        if not market.book.is_usable:
            return ()
        due = state.orders.follow(
            market,
            event,
            self.multiple,
            self.reach_ticks,
            int(self.min_life_s * SECOND),
            int(self.max_life_s * SECOND),
        )
        if not due:
            return ()
        findings = []
        for order in state.orders.told(market, event.ts_event):
            found = self._standing(event, state, order) if order.ended == 0 else self._gone(event, state, order)
            if found is not None:
                findings.append(found)
        return findings

    def _standing(self, event: BookDelta, state: SpoofingState, order: Order) -> Finding | None:
        """An order that stands: said only where it repeats what went before."""
        chain = state.chains[order.which]
        link = self._link(state, chain, order)
        if link is None or not order.is_own or not order.is_untraded:
            return None
        odds = chain.odds + link + _shape(order) - _UNENDED
        if logistic(odds) < self.min_confidence:
            return None
        _number(state, chain)
        return _finding(event, _extended(chain, order, odds, event.ts_event), order, Stage.SUSPECTED)

    def _gone(self, event: BookDelta, state: SpoofingState, order: Order) -> Finding | None:
        """An order that went: a candidate goes on with the chain of its side or starts another one."""
        if not order.is_untraded:
            return None
        shape = min(_shape(order) + _LIFE_WEIGHT * math.log(max(order.life_s, 1e-3) / state.life_s), _MOST)
        _note_life(state, order.life_s)
        if order.life_s < self.min_life_s or not order.is_own or not order.went_whole:
            return None
        chain = state.chains[order.which]
        link = self._link(state, chain, order)
        alone = _ALONE - math.log(state.rate / _FIRST_RATE)
        if link is not None and chain.odds + link > alone:
            chain = _extended(chain, order, chain.odds + link + shape, order.ended)
        else:
            chain = _extended(Chain(), order, alone + shape, order.ended)
        state.chains[order.which] = chain
        if chain.odds < 0:
            _note_candidate(state, event.ts_event)
        if logistic(chain.odds) < self.min_confidence:
            return None
        _number(state, chain)
        return _finding(event, chain, order, Stage.CONFIRMED)

    def _link(self, state: SpoofingState, chain: Chain, order: Order) -> float | None:
        """Log likelihood ratio of coming so soon after the last of a chain, with such a size; None where it did not.

        By chance candidates come as a Poisson process of the symbol's own rate; repetitions wait `apart_s` on average.
        """
        gap = (order.since - chain.ended) / SECOND
        if chain.count == 0 or gap < -_OVERLAP_S or gap > 3 * self.apart_s:
            return None
        soon = -max(gap, 0.0) / self.apart_s - math.log(self.apart_s * state.rate / 60)
        unlike = abs(math.log(order.lots / chain.lots))
        return soon + (_SAME_BONUS if unlike < _SAME else _LIKE_BONUS - unlike)


def _number(state: SpoofingState, chain: Chain) -> None:
    """A chain becomes an episode when something is first said of it."""
    if chain.episode == 0:
        state.episodes += 1
        chain.episode = state.episodes


def _shape(order: Order) -> float:
    """What speaks for one order, apart from its life."""
    near = -0.5 if order.distance <= 1 else 0.0
    common = -0.6 * math.log1p(max(0, order.common - 1))
    return min(max(order.calm + near + common, -3.0), _MOST)


def _note_life(state: SpoofingState, life_s: float) -> None:
    """Move the running median a step (stochastic approximation of a quantile)."""
    step = _LIFE_STEP if life_s > state.life_s else -_LIFE_STEP
    state.life_s = min(max(state.life_s * math.exp(step), _LIFE_BOUNDS[0]), _LIFE_BOUNDS[1])


def _note_candidate(state: SpoofingState, ts: int) -> None:
    """Take one that belonged to nothing into the rate of the symbol, an exponential mean over both sides."""
    if state.rate_ts:
        fading = math.exp(-max(0, ts - state.rate_ts) / _RATE_SPAN)
        rate = state.rate * fading + 0.5 * MINUTE / _RATE_SPAN
        state.rate = min(max(rate, _RATE_BOUNDS[0]), _RATE_BOUNDS[1])
    state.rate_ts = ts


def _extended(chain: Chain, order: Order, odds: float, until: int) -> Chain:
    """The chain with one more order."""
    return Chain(
        odds=odds,
        episode=chain.episode,
        began=chain.began if chain.count else order.since,
        ended=until,
        lots=order.lots,
        total=chain.total + order.lots,
        count=chain.count + 1,
        low=min(chain.low, order.price) if chain.count else order.price,
        high=max(chain.high, order.price),
    )


def _finding(event: BookDelta, chain: Chain, order: Order, stage: Stage) -> Finding:
    return Finding(
        instrument=event.instrument,
        pattern=Pattern.SPOOFING,
        stage=stage,
        episode=chain.episode,
        side=order.side,
        low=Ticks(chain.low),
        high=Ticks(chain.high),
        size=Lots(chain.total),
        count=chain.count,
        began=Nanos(chain.began),
        ts_event=Nanos(event.ts_event),
        confidence=logistic(chain.odds),
        evidence={
            "times_median": order.multiple,
            "distance_ticks": float(order.distance),
            "life_s": ((order.ended or event.ts_event) - order.since) / SECOND,
            "traded_share": order.traded / order.lots,
            "opposite_lots": float(order.opposite),
            "response_ticks": order.response / 2,
            "tier": float(_tier(order, chain.count, event.ts_event)),
        },
    )


def _tier(order: Order, count: int, now: int) -> int:
    """Difficulty by decision 24; 0 where it is of none."""
    life = ((order.ended or now) - order.since) / SECOND
    if order.multiple >= 10 and order.distance <= 5 and life <= 2 and order.opposite:
        return 1
    if order.multiple >= 5 and order.distance <= 10 and life <= 5 and count >= 2:
        return 2
    return 3 if order.multiple >= 3 and order.distance <= 20 and life <= 10 else 0
