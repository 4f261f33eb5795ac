"""Known patterns: findings that were judged, as values of a configuration."""

import msgspec

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.findings import Pattern

_MOST = 1e100
"""Squares of evidence can still be told."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A finding that was judged."""

    detector: str
    pattern: Pattern
    evidence: dict[str, float]
    verdict: float
    """1 for one that was what it looked like, -1 for one that only looked so; between them where it is less certain."""


class PatternLibrary(msgspec.Struct, frozen=True, kw_only=True):
    """Judged findings as part of a configuration; the same library and finding give the same confidence."""

    known: tuple[Known, ...] = ()
    radius: float = 1.0
    """Findings farther apart than so many typical differences do not resemble each other."""
    nearest: int = 5
    """So many of those that resemble it are asked."""
    most: float = 0.5
    """Share of what is missing to certainty (or of the confidence) that they can add (or take)."""

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise ConfigError(f"patterns.radius must be positive, got {self.radius}")
        if self.nearest < 1:
            raise ConfigError(f"patterns.nearest must be at least 1, got {self.nearest}")
        if not 0 <= self.most <= 1:
            raise ConfigError(f"patterns.most must be between 0 and 1, got {self.most}")
        for one in self.known:
            if not -1 <= one.verdict <= 1:
                raise ConfigError(f"patterns: a verdict must be between -1 and 1, got {one.verdict}")
            odd = [name for name, number in one.evidence.items() if not abs(number) <= _MOST]
            if odd:
                raise ConfigError(f"patterns: {odd[0]} of a known {one.pattern} is no number of an ordinary size")
