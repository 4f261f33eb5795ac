"""Ladders: the kernels against a slow reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.detectors.followed import Followed, agreed
from tests.core.detectors.markets import RULES, a_market
from tests.core.detectors.naive_ladders import Look, NaiveLadders

from stakan.core.detectors import _layer_kernels as kernels
from stakan.core.detectors import _order_kernels as order_kernels
from stakan.core.detectors.layering import Layering
from stakan.core.domain.units import SECOND


class Ladders(Followed):
    """A market whose orders are told of, and what the kernels find in them."""

    def __init__(self, detector):
        self.detector = detector
        self.state = detector.start(RULES)
        super().__init__(self.state.orders)

    def see(self, event):
        """Orders that are told of with this event, and the looks."""
        if not super().see(event):
            return [], []
        state, ts = self.state, event.ts_event
        told = self.told(ts, again=True)
        oldest, fewest = ts - int(self.detector.max_life_s * SECOND), self.detector.min_layers
        new = kernels.take(*self.table, ts, *self.prints, state.layers, state.held, oldest, fewest)
        return told, [*self._looks(new, fewest)]

    def _looks(self, new, fewest):
        for bit, look in ((kernels.GONE_BIT, kernels.gone), (kernels.STANDING_BIT, kernels.standing)):
            for which in range(2):
                out = np.empty((kernels.KEPT, order_kernels.COLUMNS), np.int64)
                if new & bit << which:
                    odds, count = look(self.state.layers, self.state.held, which, fewest, out)
                    if count:
                        prices = out[:count, order_kernels.LEVEL].tolist()
                        yield Look(which, bit == kernels.GONE_BIT, pytest.approx(odds, abs=1e-4), prices)


def both_find(events, detector):
    naive = NaiveLadders(detector.min_layers, int(detector.max_life_s * SECOND))
    return agreed(Ladders(detector), naive, events)


@settings(max_examples=10)
@given(
    seed=st.integers(0, 1_000),
    multiple=st.sampled_from((1.2, 2.0, 2.5)),
    min_layers=st.sampled_from((2, 3, 4)),
    max_life_s=st.sampled_from((1.0, 20.0)),
)
def test_ladders_are_those_of_the_slow_reference(seed, multiple, min_layers, max_life_s):
    detector = Layering(multiple=multiple, min_layers=min_layers, max_life_s=max_life_s)
    both_find(a_market(seed, seconds=10), detector)


def test_the_reference_finds_many_ladders():
    looks = both_find(a_market(0, seconds=25), Layering(multiple=1.2))
    assert len(looks) > 50
    assert {look.is_gone for look in looks} == {False, True}
    assert len({len(look.prices) for look in looks}) > 2
