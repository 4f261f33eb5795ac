"""Spoofing: large orders that stand a while away from the touch and go untraded, again and again on one side.

Idea: size and a short life alone say nothing, they are what market makers do all day. What they do not do is stand
behind the touch for a while without an answer on the other side, go in one piece while nothing else changes, come
again on the same side at the same distance with the like size, and never trade (Lee, Eom & Park, "Microstructure-based
manipulation: Strategic behavior and performance of spoofing traders", 2013; Fabre & Challet, "Learning the spoofability
of limit orders with interpretable probabilistic neural networks", 2025, for the weight of posting distance).

Each such order adds its log likelihood ratio against the symbol's own habits: how long large orders live here before
they are cancelled, whether the touch had moved, how broad the message was, whether the other side uses that size too,
whether that side was traded meanwhile. An order may go on from any candidate before it on its side; that adds how
unlikely it is, by chance and by the symbol's own rates, to come so soon after it with such a size and at such a place.
Weights come from a logistic regression on the calibration sessions with planted episodes (`stakan bench detect`),
rounded by hand, and are the same for every symbol.
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
_REMEMBERED = 8
"""Candidates of a side that another one may go on from."""
_RATE_SPAN = 5 * MINUTE
_FIRST_OFTEN, _LEAST_OFTEN = 2.0, 0.5
"""Candidates a minute and side: expected before any were seen, and at least."""
_FIRST_AGAIN, _LEAST_AGAIN = 0.3, 0.1
"""Repetitions among them."""
_MOST_OFTEN = 20.0
"""Of both."""
_FIRST_LIFE = 0.1
"""Seconds; median life of cancelled large orders that is expected before any were seen."""
_LIFE_BOUNDS = (0.05, 1.0)
_LIFE_STEP = 0.03
"""Of the running median of lives, per order."""
_OVERLAP_S = 0.06
"""A repetition may come so much before the one before has gone: with the same or the next message."""
_PAUSE = 100_000_000
"""Nanoseconds; what comes again at its place sooner is a quote that was renewed."""
_SAME = 0.005
"""Sizes that differ less than so much, in logarithms, are the same."""
_NEAR = 0.02
"""Sizes that differ less than so much are as good as the same, wherever they stand."""
_NEAR_BONUS = 0.5
_LIKE_BONUS = -0.7
"""Log likelihood ratios of going on with such a size, and with any other, from which the difference is taken."""
_ALONE = -2.75
"""Log odds of one candidate that neither speaks for nor against, where candidates are as frequent as expected."""
_MOVED = -1.5
"""What an order that seems to have moved lacks; by chance others of its size come and go at the same moment."""
_UNENDED = -1.5
"""What an order lacks that has not gone yet."""
_VOUCHED = 3.0
"""Log odds of a candidate that another one inherits at most: what was certain does not make certain what follows."""


class Rate(msgspec.Struct):
    """How often something comes: an exponential mean over both sides."""

    usual: float
    """Times a minute and side; at first what is expected before any were seen."""
    least: float
    """What `usual` never falls below."""
    ts: int = 0
    """Exchange time of the last one."""

    def note(self, ts: int) -> None:
        """One more has come."""
        if self.ts:
            fading = math.exp(-max(0, ts - self.ts) / _RATE_SPAN)
            rate = self.usual * fading + 0.5 * MINUTE / _RATE_SPAN
            self.usual = min(max(rate, self.least), _MOST_OFTEN)
        self.ts = max(self.ts, ts)


class Candidate(msgspec.Struct):
    """An order that may be spoofing, with those before it that it goes on from.

    Two that overlap may go on from the same one: they are of one episode.
    """

    odds: float
    """Log odds of all of them."""
    chain: int
    """Ordinal of the first of them among all first ones."""
    began: int
    ended: int
    """When this one went; now, while it stands."""
    lots: int
    """Of this one, as are distance and `is_own`."""
    distance: int
    """Ticks behind the touch."""
    is_own: bool
    total: int
    """Lots of all of them."""
    count: int
    low: int
    high: int
    """Lowest and highest price of all of them."""
    episode: int = 0
    """0 until something was said of it."""


class SpoofingState(msgspec.Struct, eq=False):
    """What is remembered of one instrument."""

    orders: Orders
    candidates: list[list[Candidate]] = msgspec.field(default_factory=lambda: [[], []])
    """Of bids and of asks, the newest last."""
    chains: int = 0
    """First candidates so far."""
    episodes: int = 0
    often: Rate = msgspec.field(default_factory=lambda: Rate(_FIRST_OFTEN, _LEAST_OFTEN))
    """Candidates that were not found to be part of anything."""
    again: Rate = msgspec.field(default_factory=lambda: Rate(_FIRST_AGAIN, _LEAST_AGAIN))
    """Those among them that repeat the size and the place of one before."""
    life_s: float = _FIRST_LIFE
    """Running median of lives of large orders that went untraded."""


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
    apart_s: float = 2.0
    """Mean time between repetitions of one episode; after three times that it is another one."""

    def start(self, instrument: Instrument) -> SpoofingState:  # noqa: ARG002 - nothing depends on it
        """Nothing seen yet."""
        shortest, oldest = int(self.min_life_s * SECOND), int(self.max_life_s * SECOND)
        return SpoofingState(Orders.start(_ROOM, self.multiple, self.reach_ticks, shortest, oldest))

    def restart(self, state: SpoofingState) -> None:
        """What stood may have gone unseen; habits remain."""
        state.orders.forget()
        state.candidates = [[], []]

    def on_book(self, market: MarketPicture, event: BookEvent, state: SpoofingState) -> Sequence[Finding]:
        """Follow large orders; look at those that stand for a while or went."""
        if type(event) is not BookDelta:
            self.restart(state)
            return ()
        if not market.book.is_usable:
            return ()
        if not state.orders.follow(market, event):
            return ()
        findings = []
        for order in state.orders.told(market, event.ts_event):
            found = self._standing(event, state, order) if order.ended == 0 else self._gone(event, state, order)
            if found is not None:
                findings.append(found)
        return findings

    def _standing(self, event: BookDelta, state: SpoofingState, order: Order) -> Finding | None:
        """An order that stands: said only where it repeats one before."""
        if not order.is_untraded:
            return None
        repeated = [one for one in state.candidates[order.which] if _repeats(order, one)]
        before, link = self._before(state, repeated, order)
        if before is None:
            return None
        found = _after(before, order, _inherited(before) + link + _shape(order) + _UNENDED, event.ts_event)
        return self._said(event, state, found, order, Stage.SUSPECTED)

    def _gone(self, event: BookDelta, state: SpoofingState, order: Order) -> Finding | None:
        """An order that went: a candidate goes on from one before, or is the first of others."""
        if not order.is_untraded:
            return None
        usual = state.life_s
        _note_life(state, order.life_s)
        if order.life_s < self.min_life_s or order.paired or not order.went_whole:
            return None
        kept = state.candidates[order.which]
        shape = _shape(order) + _end(order, usual)
        before, link = self._before(state, kept, order)
        alone = _ALONE - math.log(state.often.usual / _FIRST_OFTEN) + (0.0 if order.is_own else _MOVED)
        if before is not None and _inherited(before) + link > alone:
            found = _after(before, order, _inherited(before) + link + shape, order.ended)
        else:
            state.chains += 1
            found = _first(order, alone + shape, state.chains, order.ended)
        if found.odds < 0:
            state.often.note(event.ts_event)
            if any(_repeats(order, one) for one in kept):
                state.again.note(event.ts_event)
        kept.append(found)
        del kept[:-_REMEMBERED]
        return self._said(event, state, found, order, Stage.CONFIRMED)

    def _said(
        self, event: BookDelta, state: SpoofingState, found: Candidate, order: Order, stage: Stage
    ) -> Finding | None:
        """The finding, where it is likely enough; all of its chain is an episode from then on."""
        if logistic(found.odds) < self.min_confidence:
            return None
        if found.episode == 0:
            state.episodes += 1
            found.episode = state.episodes
            for one in state.candidates[order.which]:
                if one.chain == found.chain:
                    one.episode = found.episode
        return _finding(event, found, order, stage)

    def _before(
        self, state: SpoofingState, candidates: Sequence[Candidate], order: Order
    ) -> tuple[Candidate | None, float]:
        """The candidate that an order most likely goes on from, and the log likelihood ratio of that.

        An order that stood at its place a moment ago was renewed: it goes on from none.
        """
        if any(_is_same(order, one) and order.since - one.ended < _PAUSE for one in state.candidates[order.which]):
            return None, 0.0
        best, link = None, 0.0
        for one in candidates:
            found = self._link(state, one, order)
            if found is not None and (best is None or _inherited(one) + found > _inherited(best) + link):
                best, link = one, found
        return best, link

    def _link(self, state: SpoofingState, one: Candidate, order: Order) -> float | None:
        """Log likelihood ratio of coming so soon after a candidate, with such a size; None where it does not go on.

        By chance candidates come as a Poisson process of the symbol's own rate, and so do those that repeat one
        before; repetitions wait `apart_s` on average.
        """
        gap = (order.since - one.ended) / SECOND
        if gap < -_OVERLAP_S or gap > 3 * self.apart_s or not (order.is_own or one.is_own):
            return None
        soon = -max(gap, 0.0) / self.apart_s - math.log(self.apart_s / 60)
        if _repeats(order, one):
            return soon - math.log(state.again.usual)
        if not (order.is_own and one.is_own):
            return None
        unlike = abs(math.log(order.lots / one.lots))
        return soon - math.log(state.often.usual) + (_NEAR_BONUS if unlike < _NEAR else _LIKE_BONUS - unlike)


def _inherited(one: Candidate) -> float:
    return min(one.odds, _VOUCHED)


def _repeats(order: Order, one: Candidate) -> bool:
    """Whether an order has the size and the distance from the touch of one before, and came after a pause."""
    return _is_same(order, one) and order.since - one.ended >= _PAUSE


def _is_same(order: Order, one: Candidate) -> bool:
    return order.distance == one.distance and abs(math.log(order.lots / one.lots)) < _SAME


def _shape(order: Order) -> float:
    """What speaks for one order while it stands."""
    size = min(math.log(order.multiple / 4), 1.2)
    place = -0.2 * order.distance - 0.6 * min(math.log1p(order.base / order.median), 2.0)
    common = -0.8 * min(math.log1p(max(0, order.common - 1)), 3.0)
    answer = 0.7 if order.opposite else 0.0
    return min(max(0.9 + size + place + common + answer + 0.7 * order.calm, -4.0), 4.0)


def _end(order: Order, usual_life_s: float) -> float:
    """What speaks for one order in how it went: just as it came, and sooner rather than later."""
    exact = 1.3 if 200 * abs(order.drop - order.lots) <= order.lots else 0.0
    return exact - 0.4 * math.log(max(order.life_s, 1e-3) / usual_life_s)


def _note_life(state: SpoofingState, life_s: float) -> None:
    """Move the running median a step (stochastic approximation of a quantile)."""
    step = _LIFE_STEP if life_s > state.life_s else -_LIFE_STEP
    state.life_s = min(max(state.life_s * math.exp(step), _LIFE_BOUNDS[0]), _LIFE_BOUNDS[1])


def _first(order: Order, odds: float, chain: int, until: int) -> Candidate:
    return Candidate(
        odds=odds,
        chain=chain,
        began=order.since,
        ended=until,
        lots=order.lots,
        distance=order.distance,
        is_own=order.is_own,
        total=order.lots,
        count=1,
        low=order.price,
        high=order.price,
    )


def _after(before: Candidate, order: Order, odds: float, until: int) -> Candidate:
    return msgspec.structs.replace(
        _first(order, odds, before.chain, until),
        episode=before.episode,
        began=before.began,
        total=before.total + order.lots,
        count=before.count + 1,
        low=min(before.low, order.price),
        high=max(before.high, order.price),
    )


def _finding(event: BookDelta, found: Candidate, order: Order, stage: Stage) -> Finding:
    return Finding(
        instrument=event.instrument,
        pattern=Pattern.SPOOFING,
        stage=stage,
        episode=found.episode,
        side=order.side,
        low=Ticks(found.low),
        high=Ticks(found.high),
        size=Lots(found.total),
        count=found.count,
        began=Nanos(found.began),
        ts_event=Nanos(event.ts_event),
        confidence=logistic(found.odds),
        evidence={
            "times_median": order.multiple,
            "distance_ticks": float(order.distance),
            "life_s": ((order.ended or event.ts_event) - order.since) / SECOND,
            "traded_share": order.traded / order.lots,
            "opposite_lots": float(order.opposite),
            "response_ticks": order.response / 2,
        },
    )
