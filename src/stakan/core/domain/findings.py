"""What detectors find: activity shaped like a known manipulation. A book has neither owners nor intent: never a proof."""

from enum import StrEnum

import msgspec

from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import Lots, Nanos, Side, Ticks


class Pattern(StrEnum):
    """Shape of an activity."""

    SPOOFING = "spoofing"
    LAYERING = "layering"
    QUOTE_STUFFING = "quote_stuffing"
    WASH_TRADING = "wash_trading"


class Stage(StrEnum):
    """How far an episode has shown itself."""

    SUSPECTED = "suspected"
    """It looks so while it lasts."""
    CONFIRMED = "confirmed"
    """It ended as that pattern does."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One episode as a detector sees it at one moment; a confirmation has the number of its suspicion."""

    instrument: InstrumentId
    detector: str = ""
    """Name of the detector in the configuration; the engine fills it in."""
    pattern: Pattern
    stage: Stage
    episode: int
    """Counts the episodes of one detector in one instrument."""
    side: Side | None = None
    """Side of the book that pretends: BUY for bids, which make the price look as if it would rise. None of neither."""
    low: Ticks | None = None
    """Lowest and highest price of it; None where it is of no price."""
    high: Ticks | None = None
    size: Lots = Lots(0)
    """All that was shown (or traded) in it."""
    count: int = 1
    """Orders, layers, updates or trades that it is made of."""
    began: Nanos
    """Exchange time at which it began."""
    ts_event: Nanos
    """Exchange time at which it was found."""
    confidence: float
    """0 to 1."""
    evidence: dict[str, float] = {}
    """The numbers behind it, by name with its unit."""


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """The market in which a finding was made."""

    mid: float
    """Ticks; 0 where the book had no two sides."""
    spread_bps: float
    depth: float
    """Quote currency in the first ten levels of both sides."""
    imbalance: float
    """Of that depth, -1 (all asks) to 1 (all bids)."""
    volatility_bps: float
    """Standard deviation of the returns of the last 20 closed candles; 0 where there are fewer than three."""
    trend: int
    """-1, 0 or 1, of closed candles."""
    second_of_day: int
    """UTC."""


class Label(StrEnum):
    """What a trader says of a finding."""

    REAL = "real"
    """It was what it looked like."""
    FALSE = "false"
    """Ordinary trading that only looked so."""
