"""Ground truth: what was planted into a recording, as values."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from stakan.core.domain.findings import Pattern
from stakan.core.domain.units import Nanos, Side, Ticks

TIERS = (1, 2, 3)
"""Difficulties of decision 24: plain, ordinary, hard."""
JUDGED_TIER = 2
"""The tier that the bars are about."""


class Family(StrEnum):
    """What is planted: four shapes that a detector should find, and five that only look like them."""

    SPOOFING = "spoofing"
    LAYERING = "layering"
    QUOTE_STUFFING = "quote_stuffing"
    WASH_TRADING = "wash_trading"
    REQUOTE = "requote"
    """A market maker moves its quote after it was hit."""
    ICEBERG = "iceberg"
    """A level at the touch that is eaten and refilled."""
    STOP_CASCADE = "stop_cascade"
    """Levels that stood a while are pulled while a burst of trades runs towards them."""
    FUNDING_PULL = "funding_pull"
    """Depth of both sides that leaves at one moment."""
    LARGE_GENUINE = "large_genuine"
    """A large order that waits until it is filled."""

    @property
    def pattern(self) -> Pattern | None:
        """What a detector should call it; None where it should say nothing."""
        return Pattern(self) if self in MANIPULATIONS else None


MANIPULATIONS = (Family.SPOOFING, Family.LAYERING, Family.QUOTE_STUFFING, Family.WASH_TRADING)
HARD_NEGATIVES = (
    Family.REQUOTE,
    Family.ICEBERG,
    Family.STOP_CASCADE,
    Family.FUNDING_PULL,
    Family.LARGE_GENUINE,
)


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """One planted episode; times are the exchange's."""

    family: Family
    tier: int
    side: Side | None
    """Side of the book that pretends; None where it is of both or of neither."""
    low: Ticks
    high: Ticks
    """Lowest and highest price of the levels that pretend, or of the prints."""
    began: Nanos
    cancelled: Nanos
    """When the last of it was withdrawn: who warns before can still be warned. Its end where nothing is withdrawn."""
    ended: Nanos
    parameters: dict[str, float] = {}
    """What was drawn, by name with its unit."""


def tuning_tiers(tiers: Sequence[int]) -> Sequence[int]:
    """The tiers that thresholds are chosen on: the judged one, or what there is."""
    return (JUDGED_TIER,) if JUDGED_TIER in tiers else tiers
