"""How many alarms a recording causes by itself, beyond those that happened to be seen.

A recording is minutes long and comes again in every round, so what it alarms by itself is a handful of events, counted
many times. Their number above a high threshold is therefore not counted but taken from a tail that is fitted to all of
them, with excesses of the log odds taken for exponential: the plainest of the peaks-over-threshold models (Pickands,
"Statistical inference using extreme order statistics", 1975, with shape 0). A handful says little of how fast a tail
falls, so it is the predictive one, which is the heavier the fewer they are (Aitchison & Dunsmore, "Statistical prediction
analysis", 1975: of an exponential distribution with a rate of which nothing was known before). A surer event than any
seen is possible, and the tail says how likely; of markets unlike the recorded ones it says nothing.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

FLOOR = 0.05
"""Confidences from which on the tail is fitted."""
_SUREST = 1 - 1e-9
"""A confidence of 1 has no log odds."""


class Tail(NamedTuple):
    """Alarms on a stretch that nothing was planted in."""

    number: int
    """Of those at FLOOR and above."""
    spread: float
    """Mean excess of their log odds over those of FLOOR."""

    @classmethod
    def fit(cls, confidences: Sequence[float]) -> Self:
        """From the highest confidence of each alarm."""
        excesses = [_excess(confidence) for confidence in confidences if confidence >= FLOOR]
        return cls(len(excesses), sum(excesses) / len(excesses) if excesses else 0.0)

    def above(self, threshold: float) -> float:
        """Alarms to be expected on as long a stretch with at least this confidence."""
        excess = max(0.0, _excess(threshold))
        if not self.spread:
            return 0.0 if excess else float(self.number)
        return float(self.number * (1 + excess / (self.number * self.spread)) ** -self.number)


def _excess(confidence: float) -> float:
    return _log_odds(min(confidence, _SUREST)) - _log_odds(FLOOR)


def _log_odds(confidence: float) -> float:
    return math.log(confidence / (1 - confidence)) if confidence > 0 else -math.inf
