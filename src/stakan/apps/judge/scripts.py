"""Scripts: which sizes an episode adds to which levels with which message, and what it prints."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from stakan.apps.judge.background import Background
from stakan.apps.judge.episodes import Episode, Family
from stakan.core.domain.units import Nanos, Side, Ticks

RIDING = 0
"""Time of a change that comes with a message of the recording."""


class LevelChange(NamedTuple):
    """So many lots more (or, negative, fewer) at a price than the recording has there."""

    message: int
    """Book message of the recording that it comes with, or before which its own message comes."""
    side: Side
    price: int
    lots: int
    ts: int = RIDING
    """Exchange time of an additional message that carries it."""


class PlantedPrint(NamedTuple):
    """A print between two book messages of the recording."""

    message: int
    """It comes before this one."""
    ts: int
    price: int
    lots: int
    aggressor: Side


class Script(NamedTuple):
    """An episode and all that is written into the recording for it."""

    truth: Episode
    changes: tuple[LevelChange, ...]
    prints: tuple[PlantedPrint, ...]

    @property
    def updates(self) -> int:
        """Level updates and prints that it adds."""
        return len(self.changes) + len(self.prints)


class Draft(msgspec.Struct):
    """A script in the making."""

    ground: Background
    changes: list[LevelChange] = []
    prints: list[PlantedPrint] = []

    def stand(self, side: Side, price: int, lots: int, first: int, last: int) -> None:
        """Lots that are placed with one message and withdrawn with another."""
        self.change(side, price, lots, first)
        self.change(side, price, -lots, last)

    def change(self, side: Side, price: int, lots: int, message: int, ts: int = RIDING) -> None:
        """Lots that come or, negative, go."""
        self.changes.append(LevelChange(message, side, price, lots, ts))

    def print_before(self, message: int, price: int, lots: int, aggressor: Side, share: float = 0.5) -> int:
        """Somebody trades between the message before and this one; `share` says where between; gives its time."""
        first, last = int(self.ground.ts[message - 1]), int(self.ground.ts[message])
        ts = first + int(share * (last - first))
        self.prints.append(PlantedPrint(message, ts, price, lots, aggressor))
        return ts

    def between(
        self,
        family: Family,
        tier: int,
        side: Side | None,
        prices: Sequence[int],
        first: int,
        last: int,
        parameters: dict[str, float],
    ) -> Script:
        """What was drafted, as an episode of these prices that goes from one message to another."""
        ended = Nanos(int(self.ground.ts[last]))
        truth = Episode(
            family=family,
            tier=tier,
            side=side,
            low=Ticks(min(prices)),
            high=Ticks(max(prices)),
            began=Nanos(int(self.ground.ts[first])),
            cancelled=ended,
            ended=ended,
            parameters=parameters,
        )
        return self.script(truth)

    def script(self, truth: Episode) -> Script:
        """What was drafted."""
        return Script(truth, tuple(self.changes), tuple(self.prints))
