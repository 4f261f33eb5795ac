"""Spoofing weighed from its definition, slowly: a list of candidates a side, as objects that know those before them."""

import math
from typing import Any, NamedTuple

from stakan.core.detectors import _spoof_kernels as kernels
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND


class Said(NamedTuple):
    """What is compared."""

    is_gone: bool
    episode: int
    count: int
    low: int
    high: int
    size: int
    began: int
    confidence: float


class Candidate:
    """An order, and the one that it goes on from."""

    def __init__(self, order, until, odds, before=None):
        self.order, self.until, self.odds = order, until, odds
        self.orders = [*(before.orders if before else ()), order]
        # Shared by all of a chain.
        self.episode: list[int] = before.episode if before else []


class NaiveSpoofing:
    """Candidates of both sides and what is usual."""

    def __init__(self, detector):
        self.detector = detector
        self.kept: tuple[list[Any], list[Any]] = ([], [])
        self.often, self.again, self.life_s = kernels.FIRST_OFTEN, kernels.FIRST_AGAIN, kernels.FIRST_LIFE_S
        self.often_ts = self.again_ts = self.episodes = 0

    def see(self, orders, ts):
        """What is said where these are told of."""
        weighed = [
            (self._gone if one.ended else self._standing)(one, ts) for one in orders if 5 * one.traded < one.lots
        ]
        return [said for said in weighed if said is not None]

    def _standing(self, order, ts):
        before, inherited = self._before(order)
        if before is None:
            return None
        return self._said(Candidate(order, ts, inherited + _shape(order) - 1.0, before))

    def _gone(self, order, ts):
        life_s, usual_life_s = (order.ended - order.since) / SECOND, self.life_s
        self.life_s = min(max(self.life_s * math.exp(0.03 if life_s > self.life_s else -0.03), 0.05), 1.0)
        is_whole = 10 * abs(order.drop - order.lots) <= order.lots
        if life_s < self.detector.min_life_s or order.paired or not is_whole:
            return None
        kept = self.kept[order.which]
        shape = _shape(order) + (0.9 if 200 * abs(order.drop - order.lots) <= order.lots else 0.0)
        shape -= 0.1 * math.log(max(life_s, 1e-3) / usual_life_s)
        alone = -4.1 - math.log(self.often / 2.0)
        before, inherited = self._before(order)
        if before is not None and inherited > alone:
            found = Candidate(order, order.ended, inherited + shape, before)
        else:
            found = Candidate(order, order.ended, alone + shape)
        if found.odds < 0 and _is_own(order) and not order.elsewhere:
            self.often, self.often_ts = _rate(self.often, self.often_ts, ts, 0.5), max(ts, self.often_ts)
            if any(_repeats(order, one) for one in kept) and not _is_round(order):
                self.again, self.again_ts = _rate(self.again, self.again_ts, ts, 0.1), max(ts, self.again_ts)
        kept.append(found)
        del kept[:-8]
        return self._said(found)

    def _said(self, found):
        confidence = 1 / (1 + math.exp(-found.odds))
        if confidence < self.detector.min_confidence:
            return None
        if not found.episode:
            self.episodes += 1
            found.episode.append(self.episodes)
        orders = found.orders
        prices, lots = [one.price for one in orders], sum(one.lots for one in orders)
        return Said(
            bool(found.order.ended),
            found.episode[0],
            len(orders),
            min(prices),
            max(prices),
            lots,
            orders[0].since,
            confidence,
        )

    def _before(self, order):
        kept = self.kept[order.which]
        if any(_is_same(order, one) and order.since - one.until < 100 * MILLISECOND for one in kept):
            return None, 0.0
        links = [(one, self._link(order, one)) for one in kept]
        odds = [(one, min(one.odds, 3.2) + link) for one, link in links if link is not None]
        return max(odds, key=lambda found: found[1], default=(None, 0.0))

    def _link(self, order, one):
        gap, apart_s = (order.since - one.until) / SECOND, self.detector.apart_s
        stood_alone = any(_is_own(two) for two in (order, one.order) if two.ended)
        if gap > 3 * apart_s or not _repeats(order, one) or not stood_alone:
            return None
        return -gap / apart_s - math.log(apart_s / 60) - math.log(self.again) - (2.0 if _is_round(order) else 0.0)


def _rate(usual, last, ts, least):
    if not last:
        return usual
    return min(max(usual * math.exp(-max(0, ts - last) / (5 * MINUTE)) + 0.1, least), 20.0)


def _is_own(order):
    return not (order.moved or order.paired)


def _is_same(order, one):
    return (order.distance, order.lots) == (one.order.distance, one.order.lots)


def _repeats(order, one):
    return _is_same(order, one) and order.since - one.until >= 100 * MILLISECOND


def _is_round(order):
    return order.lots >= 100 and set(str(order.lots)[1:]) == {"0"}


def _shape(order):
    calm = -0.7 * math.log1p(order.agitation / 1000)
    calm -= 0.6 * min(max(math.log(max(order.breadth, 1) / 1000), -1.0), 2.5)
    shape = 0.9 + min(math.log(order.lots / order.median / 4), 1.1) + 0.8 * calm
    shape -= 0.3 * max(0, order.distance - 5) + 0.8 * min(math.log1p(order.base / order.median), 2.0)
    shape -= min(math.log1p(max(0, order.common - 1)), 3.0) + 0.75 * math.log1p(min(order.elsewhere, 8))
    shape -= (0.0, 1.0, 3.9)[order.moved]
    return min(max(shape + (1.1 if order.opposite else 0.0), -6.0), 4.0)
