"""Ladders looked for from their definition, slowly: lists of orders, sorted and filtered anew for every look."""

import math
from typing import NamedTuple

import numpy as np

from stakan.core.detectors import _layer_kernels as kernels
from stakan.core.domain.units import MILLISECOND, SECOND

SAME = 2
APART, LEAVING, AT_ONCE = int(2.6 * SECOND), int(1.2 * SECOND), 200 * MILLISECOND


class Look(NamedTuple):
    """A ladder that was found."""

    which: int
    is_gone: bool
    odds: float
    prices: list[int]
    """As its orders came."""


class NaiveLadders:
    """Orders of both sides that stand and that went, in the order in which they were told of."""

    def __init__(self, fewest, max_life):
        self.fewest, self.max_life = fewest, max_life
        self.standing, self.gone = ([], []), ([], [])

    def see(self, orders, ts):
        """What is found where these are told of."""
        came, went = set(), set()
        for order in orders:
            is_untraded, is_own = 5 * order.traded < order.lots, not (order.moved or order.paired)
            standing = self.standing[order.which]
            if order.ended == 0 and is_untraded and is_own:
                _keep(standing, order)
                came.add(order.which)
                continue
            standing[:] = [one for one in standing if (one.price, one.since) != (order.price, order.since)]
            if is_untraded and not order.paired and 10 * abs(order.drop - order.lots) <= order.lots:
                _keep(self.gone[order.which], order)
                went.add(order.which)
        for standing in self.standing if came else ():
            while standing and standing[0].since < ts - self.max_life:
                del standing[0]
        looks = [self._gone(which) for which in sorted(went)] + [self._standing(which) for which in sorted(came)]
        return [look for look in looks if look is not None]

    def _standing(self, which):
        orders = self.standing[which]
        found = self._best(_runs(orders)[:1])
        if found is None:
            return None
        score, ladder = found
        since = [one.since for one in ladder]
        others = sum(since[0] - AT_ONCE <= one.since <= since[-1] + AT_ONCE for one in self.standing[1 - which])
        return Look(which, False, -3.1 + score - 1.25 - 0.6 * min(others, 4), [one.price for one in ladder])

    def _gone(self, which):
        orders = self.gone[which]
        leaving = [one for one in orders if orders[-1].ended - one.ended <= LEAVING]
        found = self._best(_runs(sorted(leaving, key=lambda one: one.since)))
        if found is None:
            return None
        score, ladder = found
        ended = [one.ended for one in ladder]
        others = sum(min(ended) - AT_ONCE <= one.ended <= max(ended) + AT_ONCE for one in self.gone[1 - which])
        return Look(which, True, -3.1 + score - 0.6 * min(others, 4), [one.price for one in ladder])

    def _best(self, runs):
        ladders = [ladder for run in runs if (ladder := self._ladder(run)) is not None]
        return max(ladders, key=lambda found: found[0], default=None)

    def _ladder(self, run):
        if len(run) < max(self.fewest, 3):
            return None
        outwards = sorted(run, key=lambda one: one.price if one.which else -one.price)
        chosen = np.empty(len(run), np.int64)
        rows = np.array([_row(one, outwards[0]) for one in outwards])
        score, count = kernels.best_ladder(rows, chosen)
        ladder = sorted((outwards[k] for k in chosen[:count]), key=lambda one: one.since)
        is_moved = 2 * sum(one.moved == SAME for one in ladder) > count
        return None if count < self.fewest or is_moved else (score, ladder)


def _keep(orders, order):
    orders[:] = [*[one for one in orders if one.price != order.price][-11:], order]


def _runs(orders):
    """Orders that came one soon after the other, the newest first."""
    runs = []
    for k, order in enumerate(orders):
        if k == 0 or order.since - orders[k - 1].since > APART:
            runs.insert(0, [])
        runs[0].append(order)
    return runs


def _row(order, first):
    calm = -0.7 * math.log1p(order.agitation / 1000)
    calm -= 0.6 * min(max(math.log(max(order.breadth, 1) / 1000), -1.0), 2.5)
    calm -= 0.5 * math.log1p(max(0, order.common - 1)) + (2.0 if order.moved else 0.0)
    came = (order.since - first.since) * 1e-9
    return [abs(order.price - first.price), math.log(order.lots), came, calm, order.distance]
