"""Support and resistance of one instrument: prices that something speaks for, and what price did when it came there."""

from collections.abc import Iterator
from enum import IntEnum

import msgspec
import numpy as np

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.facts import LevelTested
from stakan.core.domain.units import HOUR, SECOND, Nanos, Side
from stakan.core.market import _level_kernels as kernels
from stakan.core.market.book import Book
from stakan.core.market.candles import CandleBuilder, Column
from stakan.core.market.densities import DensityEvent, DensityKind, DensityTracker

_NOTHING_EXAMINED = -1
_STOOD = (DensityKind.CONSUMED, DensityKind.OUT_OF_SIGHT)
"""Ends of densities that were not withdrawn."""


class LevelParams(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a level, and what counts as a touch, a hold and a break (see `_level_kernels`)."""

    wing: int = 3
    """Candles on each side of a swing."""
    swing_ranges: float = 1.5
    """How far price came, and went again, at a swing: times the mean range of a candle."""
    volume_multiple: float = 2.0
    """A price of high volume has so many times the mean volume of prices that were traded at."""
    volume_candles: int = 30
    """Closed candles before prices of high volume are looked for."""
    density_ns: Nanos = Nanos(30 * SECOND)
    """Life from which on a density speaks for its price."""
    merge_bps: float = 5.0
    """Evidence closer together than this is of one level."""
    touch_bps: float = 2.0
    leave_bps: float = 8.0
    break_ns: Nanos = Nanos(5 * SECOND)
    half_life_ns: Nanos = Nanos(2 * HOUR)
    """Evidence loses half of its weight in so long."""
    significant: float = 1.5
    """Strength from which on a level is one that others should know of: two things speak for it, and not long ago."""
    forget: float = 0.25
    """Strength below which it is dropped."""
    max_tracked: int = 64

    def __post_init__(self) -> None:
        if self.wing < 1 or self.max_tracked < 1:
            raise ConfigError(f"levels need a wing and room of at least 1, got {self.wing} and {self.max_tracked}")
        if not 0 < self.touch_bps < self.leave_bps:
            raise ConfigError(f"levels.touch_bps must be positive and below leave_bps, got {self.touch_bps}")
        if not (self.merge_bps > 0 and self.swing_ranges >= 0 and self.volume_multiple > 0):
            raise ConfigError("levels.merge_bps and volume_multiple must be positive, swing_ranges not negative")
        if self.half_life_ns < 1 or self.break_ns < 0:
            raise ConfigError("levels.half_life_ns must be positive and break_ns not negative")


class LevelOutcome(IntEnum):
    """What became of the last touch of a level that has ended."""

    NONE = kernels.NO_OUTCOME
    HELD = kernels.HOLD
    BROKEN = kernels.BREAK


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """One level as it stands. Weights are those of the last closed candle, and of what happened since."""

    price: float
    """Ticks: the mean of what speaks for it, by weight."""
    strength: float
    """The sum of what speaks for it."""
    swings: float
    volume: float
    density: float
    held: float
    began_ts: Nanos
    """When the oldest evidence for it was seen, exchange time."""
    touched_ts: Nanos | None
    touches: int
    holds: int
    breaks: int
    outcome: LevelOutcome
    is_tested: bool
    """Whether price is at it, or went through and may come back."""

    def age_ns(self, now: int) -> int:
        """How long it has been known."""
        return now - self.began_ts


def _guard() -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array((kernels.NEVER, -kernels.NEVER, kernels.NEVER), np.int64)


class LevelTracker(msgspec.Struct, eq=False):
    """Levels of one instrument, followed while price moves.

    Swings and prices of high volume come from closed candles; one that the exchange corrects later takes nothing back.
    Long-lived densities count where densities are followed. The weakest level makes room when there are too many.
    """

    params: LevelParams
    weights: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    story: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    tracked: int = 0
    guard: np.ndarray[tuple[int], np.dtype[np.int64]] = msgspec.field(default_factory=_guard)
    """Bounds within which price says nothing to any level; empty when levels have changed."""
    examined_from: int = _NOTHING_EXAMINED
    """Start of the first and of the last candle that was looked at as a swing."""
    examined_to: int = _NOTHING_EXAMINED
    revision: int = 0
    """Of the candles that were seen."""
    aged_ts: int = 0
    """Start of the newest candle that weights are as of."""

    @classmethod
    def start(cls, params: LevelParams | None = None) -> "LevelTracker":
        """A tracker that knows no level."""
        params = LevelParams() if params is None else params
        return cls(
            params=params,
            weights=np.zeros((params.max_tracked, kernels.WEIGHTS)),
            story=np.zeros((params.max_tracked, kernels.STORY), np.int64),
        )

    # --- what happens -----------------------------------------------------------------------------------------------

    def on_book(self, book: Book) -> tuple[LevelTested, ...]:
        """Price may have come to a level or left one, and touches may have ended; the book must be usable."""
        if not self.tracked or kernels.is_quiet(book.sides, book.counts, self.guard, book.ts_event):
            return ()
        params = self.params
        ended = kernels.watch(
            book.sides,
            book.counts,
            self.weights,
            self.story,
            self.tracked,
            self.guard,
            book.ts_event,
            params.touch_bps,
            params.leave_bps,
            params.break_ns,
        )
        return self._ended(book) if ended else ()

    def on_candles(self, candles: CandleBuilder, densities: DensityTracker) -> None:
        """Closed candles have changed: age, then look for swings, prices of high volume and standing densities."""
        self.revision = candles.revision
        if candles.count == 0:
            return
        self._age(candles)
        self._look_for_swings(candles)
        if candles.count >= self.params.volume_candles:
            self._look_for_volume(candles)
        for side in Side if densities.tracked else ():
            for density in densities.on(side):
                self._stands(density.price, density.appeared_ts, densities.book_ts)
        self._widen_look()

    def on_densities(self, events: tuple[DensityEvent, ...]) -> None:
        """Densities have changed: one that stood long and was not withdrawn speaks for its price."""
        for event in events:
            if event.kind in _STOOD:
                self._stands(event.density.price, event.density.appeared_ts, event.ts_event)

    def interrupt(self) -> None:
        """The feed was interrupted: from where price comes next is not known."""
        self.story[: self.tracked, kernels.PHASE] = kernels.UNPLACED
        self._widen_look()

    # --- reading ----------------------------------------------------------------------------------------------------

    def around(self, mid: float) -> tuple[float, float]:
        """Prices in ticks of the nearest significant levels below and above `mid`; 0.0 where there is none."""
        if not self.tracked:
            return 0.0, 0.0
        under, over = kernels.around(self.weights, self.tracked, mid, self.params.significant)
        return float(under), float(over)

    def nearest(self, side: Side, mid: float) -> Level | None:
        """The nearest significant level that may hold price: BUY for support below `mid`, SELL for resistance above."""
        under, over = self.around(mid)
        price = under if side is Side.BUY else over
        if not price:
            return None
        return next(level for level in self.all() if level.price == price)

    def all(self) -> list[Level]:
        """Every level, lowest first."""
        return sorted((_level(*row) for row in self._rows()), key=lambda level: level.price)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _ended(self, book: Book) -> tuple[LevelTested, ...]:
        """Touches that ended in the last look, lowest level first."""
        ended = [
            (_level(weights, story), story[kernels.PHASE], story[kernels.NEWS] == kernels.HOLD)
            for weights, story in self._rows()
            if story[kernels.NEWS] != kernels.NO_OUTCOME
        ]
        return tuple(
            LevelTested(
                instrument=book.instrument,
                side=Side.BUY if (phase == kernels.ABOVE) == held else Side.SELL,
                price=level.price,
                held=held,
                strength=level.strength,
                touches=level.touches,
                holds=level.holds,
                breaks=level.breaks,
                began_ts=level.began_ts,
                touched_ts=level.touched_ts or Nanos(0),
                ts_event=Nanos(book.ts_event),
            )
            for level, phase, held in sorted(ended, key=lambda found: found[0].price)
        )

    def _rows(self) -> Iterator[tuple[list[float], list[int]]]:
        return zip(self.weights[: self.tracked].tolist(), self.story[: self.tracked].tolist(), strict=True)

    def _age(self, candles: CandleBuilder) -> None:
        newest = int(candles.table[Column.OPEN_TS, candles.count - 1])
        passed = newest - self.aged_ts if self.aged_ts else 0
        self.aged_ts = newest
        if self.tracked:
            share = 2.0 ** (-max(0, passed) / self.params.half_life_ns)
            params = self.params
            self.tracked = kernels.age(self.weights, self.story, self.tracked, share, params.forget, params.merge_bps)

    def _look_for_swings(self, candles: CandleBuilder) -> None:
        params = self.params
        times = candles.closed(Column.OPEN_TS)
        if len(times) <= 2 * params.wing:
            return
        self.tracked = kernels.support_swings(
            self.weights,
            self.story,
            self.tracked,
            times,
            candles.closed(Column.HIGH),
            candles.closed(Column.LOW),
            candles.interval_ns,
            self.examined_from,
            self.examined_to,
            params.wing,
            params.swing_ranges,
            params.merge_bps,
            params.half_life_ns,
        )
        first, last = int(times[params.wing]), int(times[-1 - params.wing])
        if self.examined_from == _NOTHING_EXAMINED:
            self.examined_from = first
        self.examined_from = min(self.examined_from, first)
        self.examined_to = max(self.examined_to, last)

    def _look_for_volume(self, candles: CandleBuilder) -> None:
        self.tracked = kernels.support_volume(
            self.weights,
            self.story,
            self.tracked,
            candles.closed(Column.OPEN_TS),
            candles.closed(Column.HIGH),
            candles.closed(Column.LOW),
            candles.closed(Column.VOLUME),
            self.params.volume_multiple,
            self.params.merge_bps,
        )

    def _stands(self, price: int, appeared_ts: int, now: int) -> None:
        if now - appeared_ts < self.params.density_ns:
            return
        self.tracked = kernels.support(
            self.weights,
            self.story,
            self.tracked,
            kernels.DENSITY,
            float(price),
            1.0,
            appeared_ts,
            self.params.merge_bps,
        )
        self._widen_look()

    def _widen_look(self) -> None:
        """The next book is looked at, wherever price is."""
        self.guard[kernels.LOW], self.guard[kernels.HIGH] = kernels.NEVER, -kernels.NEVER


def _level(weights: list[float], story: list[int]) -> Level:
    place, swings, volume, density, held = weights
    return Level(
        price=place,
        strength=swings + volume + density + held,
        swings=swings,
        volume=volume,
        density=density,
        held=held,
        began_ts=Nanos(story[kernels.BEGAN]),
        touched_ts=Nanos(story[kernels.TOUCHED]) if story[kernels.TOUCHES] else None,
        touches=story[kernels.TOUCHES],
        holds=story[kernels.HOLDS],
        breaks=story[kernels.BREAKS],
        outcome=LevelOutcome(story[kernels.OUTCOME]),
        is_tested=story[kernels.PHASE] >= kernels.FROM_ABOVE,
    )
