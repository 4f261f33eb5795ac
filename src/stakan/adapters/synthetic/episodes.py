"""What is planted and the truth about it: manipulation-shaped episodes, hard negatives, densities."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import IO

import msgspec

from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import Lots, Nanos, Side, Ticks


class EpisodeKind(StrEnum):
    """Families of planted episodes; the names are those of `EpisodeRates`."""

    SPOOFING = "spoofing"
    LAYERING = "layering"
    QUOTE_STUFFING = "quote_stuffing"
    WASH_TRADES = "wash_trades"
    LARGE_GENUINE = "large_genuine"
    REQUOTE = "requote"
    ICEBERG = "iceberg"
    DENSITY = "density"

    @property
    def is_manipulation(self) -> bool:
        """Whether a detector should find it; the others are hard negatives and walls."""
        return self in _MANIPULATIONS


_MANIPULATIONS = {
    EpisodeKind.SPOOFING,
    EpisodeKind.LAYERING,
    EpisodeKind.QUOTE_STUFFING,
    EpisodeKind.WASH_TRADES,
}


class PlantedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order of an episode. Of a wash trade it is the order that trades with its owner, at `placed` and `gone`."""

    side: Side
    price: Ticks
    size: Lots
    reference: Lots
    """Median size of its side's nearest 50 levels when it was placed; 0 where it was not measured."""
    placed: Nanos
    gone: Nanos
    """When it was cancelled or filled; the market's end while it still stands."""
    traded: Lots
    cancelled: Lots
    """traded + cancelled is its size, less what still stands at the market's end."""


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """Ground truth of one planted episode; times are the exchange's."""

    kind: EpisodeKind
    instrument: InstrumentId
    number: int
    """Unique per instrument."""
    side: Side
    """Side of the resting orders that make the shape."""
    tier: int
    """Difficulty as planned: 1 plain, 2 ordinary, 3 hard."""
    start: Nanos
    end: Nanos
    orders: tuple[PlantedOrder, ...]
    is_manipulation: bool
    is_complete: bool
    """False where the market ended before the episode did."""

    @property
    def prices(self) -> tuple[Ticks, ...]:
        """Distinct prices of its orders, rising."""
        return tuple(sorted({order.price for order in self.orders}))

    @property
    def sizes(self) -> tuple[Lots, ...]:
        """Sizes of its orders in order of placement."""
        return tuple(order.size for order in self.orders)


class GroundTruth(msgspec.Struct, frozen=True):
    """Everything planted into a market, by start."""

    episodes: tuple[Episode, ...]

    def of(self, kind: EpisodeKind) -> tuple[Episode, ...]:
        """Episodes of one kind."""
        return tuple(episode for episode in self.episodes if episode.kind == kind)

    @property
    def densities(self) -> tuple[Episode, ...]:
        """Planted walls: one order each."""
        return self.of(EpisodeKind.DENSITY)

    def write(self, file: IO[bytes]) -> None:
        """One JSON object a line."""
        file.writelines(msgspec.json.encode(episode) + b"\n" for episode in self.episodes)


def read_truth(lines: Iterable[bytes]) -> GroundTruth:
    """What `GroundTruth.write` wrote."""
    return GroundTruth(tuple(_decode(lines)))


def _decode(lines: Iterable[bytes]) -> Iterator[Episode]:
    decoder = msgspec.json.Decoder(Episode)
    return (decoder.decode(line) for line in lines)
