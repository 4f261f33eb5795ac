"""Who is judged: the detectors by their names, and the naive rule beside them."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from stakan.apps.judge.naive import NaiveRule
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.findings import Pattern
from stakan.core.plugins import Detector, load, names

PACKAGE = "stakan.core.detectors"
NAIVE = "naive rule"
_SAYS_ALL = {"min_confidence": 0.05}
"""From where on a finding counts is for the judge to choose, and its curve goes on below that; see `at`."""


class Contender(NamedTuple):
    """A detector and the pattern that it is judged on."""

    name: str
    detector: Detector
    pattern: Pattern

    def at(self, threshold: float) -> "Contender":
        """As a bot runs it that wants to hear of what is so likely; not of the naive rule, which always says all."""
        return self._replace(detector=msgspec.structs.replace(self.detector, min_confidence=threshold))

    @property
    def is_judged(self) -> bool:
        """The naive rule only stands beside."""
        return self.name != NAIVE


def known() -> list[str]:
    """Names of the detectors that can be judged: those that are named after a pattern."""
    return [name for name in names(PACKAGE) if name in set(Pattern)]


def contenders(wanted: Sequence[str] = ()) -> list[Contender]:
    """Detectors with their defaults, but saying all, and all where none is named; then the naive rule.

    Raises ConfigError for a name that is no detector, or one that is not named after its pattern.
    """
    chosen = []
    for name in wanted or known():
        detector = load(PACKAGE, Detector, name, _SAYS_ALL)
        if name not in set(Pattern):
            raise ConfigError(f"detector {name!r} cannot be judged: it is not named after one of {', '.join(Pattern)}")
        chosen.append(Contender(name, detector, Pattern(name)))
    return [*chosen, Contender(NAIVE, NaiveRule(), Pattern.SPOOFING)]
