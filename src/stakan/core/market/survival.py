"""How long densities live and what ends them, by their size and their distance from mid when they appeared."""

import bisect
import math
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.units import SECOND, Side
from stakan.core.market.densities import DensityEvent, DensityKind, DensityParams

KEPT = 1_024
"""Ends that a running market remembers; the state of a hundred instruments must stay small."""
SIZE_MULTIPLES = (2.0, 5.0, 10.0)
"""Edges between classes of size, as multiples of the notional from which on a level can be a density."""
DISTANCES_BPS = (5.0, 25.0, 100.0)
"""Edges between classes of distance from mid."""
_FIRST_ROOM = 16
_Z_95 = 1.959963984540054

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Survival(NamedTuple):
    """A Kaplan-Meier curve: one row for each different time at which somebody died, all of shape (k,)."""

    times: Floats
    at_risk: Ints
    """Who was still there just before."""
    deaths: Ints
    surviving: Floats
    """Share that lives longer than the time."""
    error: Floats
    """Standard error of that share (Greenwood)."""

    def at(self, time: float) -> float:
        """Share that lives longer than `time`."""
        row = int(np.searchsorted(self.times, time, side="right")) - 1
        return float(self.surviving[row]) if row >= 0 else 1.0

    def bounds(self, time: float) -> tuple[float, float]:
        """95 % confidence bounds of that share, on the log-log scale, so that they stay within 0 and 1."""
        row = int(np.searchsorted(self.times, time, side="right")) - 1
        share = float(self.surviving[row]) if row >= 0 else 1.0
        if not 0.0 < share < 1.0:
            return share, share
        width = _Z_95 * float(self.error[row]) / (share * abs(math.log(share)))
        return share ** math.exp(width), share ** math.exp(-width)

    @property
    def median(self) -> float | None:
        """The first time at which at most half are left; None where more than half outlive what was seen."""
        # A product of shares that should be a half may miss it by a rounding.
        rows = np.flatnonzero(self.surviving <= 0.5 + 1e-12)
        return float(self.times[rows[0]]) if len(rows) else None


def kaplan_meier(lives: Floats, died: Flags) -> Survival:
    """The product-limit estimate of Kaplan & Meier (1958) with Greenwood's error.

    `lives` and `died` have shape (n,): how long each was seen, and whether it died then or was lost from sight
    (censored). Who is lost at the time of a death was still at risk. Raises DataError for lives that are negative or
    no numbers, or arrays of different lengths.
    """
    if lives.shape != died.shape:
        raise DataError(f"{len(lives)} lives and {len(died)} ends: there must be one end for each life")
    if not (lives >= 0).all():
        raise DataError("a life is negative or not a number")
    times, deaths = np.unique(lives[died], return_counts=True)
    at_risk = len(lives) - np.searchsorted(np.sort(lives), times, side="left")
    surviving = np.cumprod(1.0 - deaths / at_risk, dtype=np.float64)
    with np.errstate(divide="ignore"):
        terms = deaths / (at_risk * (at_risk - deaths).astype(np.float64))
    # Where all die the share is 0 and so is its error.
    error = surviving * np.sqrt(np.cumsum(np.where(at_risk > deaths, terms, 0.0), dtype=np.float64))
    return Survival(times, at_risk.astype(np.int64), deaths.astype(np.int64), surviving, error)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Densities of one class of size and distance; None in an edge means no bound."""

    size_from: float | None
    """Notional in quote currency when they appeared."""
    size_to: float | None
    distance_from_bps: float | None
    distance_to_bps: float | None
    count: int
    """Densities whose beginning was seen."""
    consumed: int
    cancelled: int
    out_of_sight: int
    """Lost before their end: censored, as are those that still live."""
    living: int
    median_s: float | None
    """Of the Kaplan-Meier curve, either end being a death; None where more than half outlive what was seen."""
    surviving: dict[str, tuple[float, float, float]]
    """Share that lives longer than so many seconds, with its 95 % bounds."""


HORIZONS_S = (1, 10, 60, 300)
_CENSORED, _CONSUMED, _CANCELLED, _LIVING = range(4)
_ENDS = {
    DensityKind.CONSUMED: _CONSUMED,
    DensityKind.CANCELLED: _CANCELLED,
    DensityKind.OUT_OF_SIGHT: _CENSORED,
}
# Looked at with every change; a member of an enum class is slow to reach, and slow to hash.
_APPEARED, _ERODED = DensityKind.APPEARED, DensityKind.ERODED
_BUY = Side.BUY


class Birth(msgspec.Struct, frozen=True):
    """What is remembered of a density while it lives."""

    size_class: int
    distance_class: int
    ts: int


def _no_ends() -> Ints:
    return np.zeros((4, 0), np.int64)


class DensityLives(msgspec.Struct, eq=False):
    """Lives of the newest densities of one instrument that have ended, and the beginnings of those that live.

    A density that a snapshot brings is older than anybody saw, so it counts in nothing. Classes are by size and
    distance at the beginning: classes by what comes later (such as the peak) would favour those who live long.
    """

    size_edges: tuple[float, ...]
    """Quote currency."""
    distance_edges: tuple[float, ...]
    """Basis points."""
    value_unit: float
    """Quote currency per tick x lot."""
    kept: int
    ends: np.ndarray[tuple[int, int], np.dtype[np.int64]] = msgspec.field(default_factory=_no_ends)
    """Rows of life in ns, end, class of size, class of distance; grows to `kept` columns and is a ring from then on."""
    told: int = 0
    """Ends so far; the newest ones are kept."""
    living: dict[int, Birth] = msgspec.field(default_factory=dict)
    """By price, negative for asks."""

    @classmethod
    def start(cls, value_unit: float, params: DensityParams, kept: int = KEPT) -> "DensityLives":
        """Nothing has been seen yet; raises ConfigError where nothing would be kept."""
        if kept < 1:
            raise ConfigError(f"density lives: at least one must be kept, got {kept}")
        edges = tuple(multiple * params.min_notional for multiple in SIZE_MULTIPLES)
        return cls(
            size_edges=edges,
            distance_edges=DISTANCES_BPS,
            value_unit=value_unit,
            kept=kept,
        )

    def update(self, events: tuple[DensityEvent, ...], mid: float, *, is_new_book: bool = False) -> None:
        """Take in what happened to densities; `mid` in ticks, 0 where there is none."""
        for event in events:
            kind, density = event.kind, event.density
            if kind is _ERODED:
                continue
            key = density.price if density.side is _BUY else -density.price
            if kind is _APPEARED:
                if not is_new_book and mid > 0:
                    size = density.first * density.price * self.value_unit
                    away = density.distance(mid) / mid * 10_000
                    self.living[key] = Birth(
                        _class_of(size, self.size_edges), _class_of(away, self.distance_edges), density.appeared_ts
                    )
            elif (birth := self.living.pop(key, None)) is not None:
                self._end(birth, event.ts_event, _ENDS[kind])

    def interrupt(self, ts: int) -> None:
        """The feed was interrupted: those that live were last seen at `ts`."""
        for birth in self.living.values():
            self._end(birth, ts, _CENSORED)
        self.living.clear()

    def _end(self, birth: Birth, ts: int, end: int) -> None:
        room = self.ends.shape[1]
        if self.told == room < self.kept:
            more = min(max(room, _FIRST_ROOM), self.kept - room)
            self.ends = np.concatenate((self.ends, np.zeros((4, more), np.int64)), axis=1)
        self.ends[:, self.told % self.kept] = (ts - birth.ts, end, birth.size_class, birth.distance_class)
        self.told += 1

    # --- reading ----------------------------------------------------------------------------------------------------

    def table(self, now: int) -> Ints:
        """All that is known at exchange time `now`, shape (4, n): the kept ends, oldest first, then those that live."""
        ended = self.ends[:, : self.told]
        if self.told > self.kept:
            ended = np.roll(self.ends, -(self.told % self.kept), axis=1)
        rows = [(now - birth.ts, _LIVING, birth.size_class, birth.distance_class) for birth in self.living.values()]
        return np.concatenate((ended, np.array(rows, np.int64).reshape(-1, 4).T), axis=1)

    def groups(self, now: int) -> list[Group]:
        """Everything together, then each class of size, each of distance, and each of both that has any."""
        table = self.table(now)
        sizes, distances = range(len(self.size_edges) + 1), range(len(self.distance_edges) + 1)
        wanted: list[tuple[int | None, int | None]] = [(None, None)]
        wanted += [(size, None) for size in sizes]
        wanted += [(None, distance) for distance in distances]
        wanted += [(size, distance) for size in sizes for distance in distances]
        found = [self._group(table, *classes) for classes in wanted]
        return [found[0], *(group for group in found[1:] if group.count)]

    def _group(self, table: Ints, size: int | None, distance: int | None) -> Group:
        rows = table
        if size is not None:
            rows = rows[:, rows[2] == size]
        if distance is not None:
            rows = rows[:, rows[3] == distance]
        ends = rows[1]
        curve = kaplan_meier(rows[0] / SECOND, (ends == _CONSUMED) | (ends == _CANCELLED))
        size_from, size_to = _edges(size, self.size_edges)
        distance_from, distance_to = _edges(distance, self.distance_edges)
        counts = np.bincount(ends, minlength=4).tolist()
        return Group(
            size_from=size_from,
            size_to=size_to,
            distance_from_bps=distance_from,
            distance_to_bps=distance_to,
            count=len(ends),
            consumed=counts[_CONSUMED],
            cancelled=counts[_CANCELLED],
            out_of_sight=counts[_CENSORED],
            living=counts[_LIVING],
            median_s=curve.median,
            surviving={str(time): (curve.at(time), *curve.bounds(time)) for time in HORIZONS_S},
        )


def _class_of(value: float, edges: tuple[float, ...]) -> int:
    return bisect.bisect_right(edges, value)


def _edges(number: int | None, edges: tuple[float, ...]) -> tuple[float | None, float | None]:
    if number is None:
        return None, None
    return edges[number - 1] if number else None, edges[number] if number < len(edges) else None
