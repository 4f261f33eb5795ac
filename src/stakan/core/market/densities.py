"""Densities of one instrument: resting levels that stand out, followed from appearance until they are gone."""

from enum import StrEnum

import msgspec
import numpy as np

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import BookEvent, BookSnapshot, TradePrint
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import SECOND, Lots, Nanos, Side, Ticks
from stakan.core.market import _density_kernels as kernels
from stakan.core.market.book import Book, BookState


class DensityParams(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a level a density, and when it stops being one."""

    min_notional: float = 200_000.0
    """USDT; set it per symbol."""
    relative: float = 5.0
    """Times the mean level size of its side."""
    share: float = 0.03
    """Of the visible volume of its side."""
    reach_bps: float = 500.0
    """Levels farther from the best price of their side are not followed."""
    forget: float = 0.1
    """Share of its peak at which it counts as gone."""
    cluster_bps: float = 10.0
    """Three or more of one side within this range are a cluster."""
    max_tracked: int = 64
    scan_ns: Nanos = SECOND
    """Untouched levels are tested this often: they can come to stand out when others go."""

    def __post_init__(self) -> None:
        if not 0 <= self.forget < 1:
            raise ConfigError(f"densities.forget must be at least 0 and below 1, got {self.forget}")
        if not 0 <= self.share <= 1:
            raise ConfigError(f"densities.share must be between 0 and 1, got {self.share}")
        if not 1 <= self.max_tracked < kernels.GONE_UNIT // 2:
            raise ConfigError(f"densities.max_tracked must be between 1 and 32767, got {self.max_tracked}")


class DensityKind(StrEnum):
    """What happened to a density."""

    APPEARED = "appeared"
    ERODED = "eroded"
    """A further tenth of its peak is missing for the first time since the peak."""
    CONSUMED = "consumed"
    """Gone, and at least half of what was missing was traded."""
    CANCELLED = "cancelled"
    """Gone, and most of what was missing was withdrawn."""
    OUT_OF_SIGHT = "out_of_sight"
    """No longer visible or within reach; nothing is known of its end."""


_KINDS = {
    kernels.APPEARANCE: DensityKind.APPEARED,
    kernels.EROSION: DensityKind.ERODED,
    kernels.CONSUMED: DensityKind.CONSUMED,
    kernels.CANCELLATION: DensityKind.CANCELLED,
    kernels.OUT_OF_SIGHT: DensityKind.OUT_OF_SIGHT,
}
_SIDES = (Side.BUY, Side.SELL)
# Looked at with every message; a member of an enum class is slow to reach.
_SELL = Side.SELL
_LIVE = BookState.LIVE
_KIND = int(kernels.KIND)


class Density(msgspec.Struct, frozen=True, kw_only=True):
    """One density as it stands.

    Always `peak - remaining = traded + cancelled` and `first + added = remaining + executed + withdrawn`.
    """

    side: Side
    """BUY for a bid, SELL for an ask."""
    price: Ticks
    remaining: Lots
    peak: Lots
    first: Lots
    """Size when it appeared."""
    traded: Lots
    """Missing from the peak because of prints."""
    cancelled: Lots
    """Missing from the peak without prints; size that comes back makes up for this part first."""
    executed: Lots
    """All that was traded against it since it appeared, refills included."""
    withdrawn: Lots
    """All that left it without a print since it appeared."""
    added: Lots
    """All that came to it since it appeared."""
    appeared_ts: Nanos
    changed_ts: Nanos

    @property
    def erosion(self) -> float:
        """Share of the peak that is missing, 0 to 1."""
        return 1.0 - self.remaining / self.peak

    @property
    def erosion_traded(self) -> float:
        """The part of the erosion that prints explain."""
        return self.traded / self.peak

    @property
    def erosion_cancelled(self) -> float:
        """The part of the erosion that was withdrawn."""
        return self.cancelled / self.peak

    def distance(self, mid: float) -> float:
        """Ticks from `mid` outwards; negative where mid has gone through it."""
        return self.side * (mid - self.price)


class DensityEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened to a density; for an end, `density` is its last state and `ts_event` when it went."""

    kind: DensityKind
    density: Density
    ts_event: Nanos


class DensityCluster(msgspec.Struct, frozen=True, kw_only=True):
    """Three or more densities of one side that stand close together."""

    side: Side
    low: Ticks
    high: Ticks
    count: int
    size: Lots
    """Remaining, all together."""


_CLUSTER_COUNT = 3


class DensityTracker(msgspec.Struct, eq=False):
    """All densities of one instrument, in one table (see `_density_kernels`).

    A level is tested when a message touches it, in every snapshot, and once in `scan_ns` of exchange time. What a
    print took is known when the book has shown it: prints later than the last message wait for the next one.
    """

    instrument: InstrumentId
    params: DensityParams
    value_unit: float
    """Quote currency per tick x lot."""
    limits: np.ndarray[tuple[int], np.dtype[np.float64]]
    """The thresholds as the kernel takes them: `value_unit`, then those of `params`."""
    table: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    is_followed: bool = True
    """Whether anybody wants to know; a tracker that is not followed stays empty."""
    tracked: int = 0
    book_ts: int = 0
    scanned_ts: int = 0
    crowded: int = 0
    """Messages with a density that found no room."""
    highest_bid: int = kernels.NO_BID
    lowest_ask: int = kernels.NO_ASK

    @classmethod
    def start(cls, instrument: Instrument, params: DensityParams, *, is_followed: bool = True) -> "DensityTracker":
        """A tracker that follows nothing yet."""
        unit = float(instrument.tick_size * instrument.lot_size)
        thresholds = (params.min_notional, params.relative, params.share, params.reach_bps, params.forget)
        return cls(
            instrument=instrument.id,
            params=params,
            value_unit=unit,
            limits=np.array((unit, *thresholds)),
            is_followed=is_followed,
            table=np.zeros((2 * params.max_tracked, kernels.COLUMNS), np.int64),
        )

    def update(self, book: Book, message: BookEvent) -> tuple[DensityEvent, ...]:
        """Follow a message that `book` has just applied; one that the book did not take changes nothing."""
        if book.sequence != message.sequence or book.state is not _LIVE:
            return ()
        ts = message.ts_event
        scope = kernels.TOUCHED_LEVELS
        if type(message) is BookSnapshot:
            scope = kernels.NEW_BOOK
        elif ts - self.scanned_ts >= self.params.scan_ns:
            scope = kernels.WHOLE_BOOK
        if scope:
            self.scanned_ts = ts
        self.book_ts = ts
        result = kernels.update(
            book.sides,
            book.counts,
            message.levels,
            message.bid_count,
            self.table,
            self.tracked,
            scope,
            ts,
            self.limits,
        )
        return self._events(result) if result >= kernels.GONE_UNIT else ()

    def on_print(self, event: TradePrint) -> None:
        """A print takes from the resting side; RPI prints do not, as the book never showed what they took."""
        price = event.price
        if event.is_rpi:
            return
        if event.side is _SELL:
            if price <= self.highest_bid:
                self._take(0, event)
        elif price >= self.lowest_ask:
            self._take(1, event)

    # --- reading ----------------------------------------------------------------------------------------------------

    def on(self, side: Side) -> list[Density]:
        """Densities of a side, nearest to the touch first."""
        which = _SIDES.index(side)
        found = [_density(row) for row in self.table[: self.tracked].tolist() if row[kernels.WHICH] == which]
        return sorted(found, key=lambda density: -side * density.price)

    def at(self, price: int) -> Density | None:
        """The density at a price."""
        rows = np.flatnonzero(self.table[: self.tracked, kernels.LEVEL] == price)
        return _density(self.table[rows[0]].tolist()) if len(rows) else None

    def largest(self, side: Side) -> Density | None:
        """The one with most remaining; of equal ones the nearest."""
        return max(self.on(side), key=lambda density: density.remaining, default=None)

    def clusters(self, side: Side) -> list[DensityCluster]:
        """Groups of three or more within `cluster_bps`, collected from the touch outwards; none is in two groups."""
        found: list[DensityCluster] = []
        group: list[Density] = []
        for density in self.on(side):
            if group and abs(density.price - group[0].price) * 10_000 > self.params.cluster_bps * group[0].price:
                found += _cluster(side, group)
                group = []
            group.append(density)
        return found + _cluster(side, group)

    def notional(self, density: Density) -> float:
        """Quote currency that remains in a density."""
        return density.remaining * density.price * self.value_unit

    # --- inside -----------------------------------------------------------------------------------------------------

    def _take(self, which: int, event: TradePrint) -> None:
        kernels.print_at(self.table, self.tracked, which, event.price, event.size, event.ts_event, self.book_ts)

    def _events(self, result: int) -> tuple[DensityEvent, ...]:
        """Ends first, then appearances and erosion in order of appearance."""
        self.crowded += result >> 62
        self.tracked = result % kernels.GONE_UNIT
        gone = result // kernels.GONE_UNIT % kernels.GONE_UNIT
        changed = result // kernels.CHANGED_UNIT % kernels.GONE_UNIT
        news = np.empty((gone + changed, kernels.COLUMNS), np.int64)
        self.highest_bid, self.lowest_ask = kernels.tell(self.table, self.tracked, gone, news)
        ts = Nanos(self.book_ts)
        return tuple(
            [DensityEvent(kind=_KINDS[row[_KIND]], density=_density(row), ts_event=ts) for row in news.tolist()]
        )


def _density(row: list[int]) -> Density:
    return Density(
        side=_SIDES[row[kernels.WHICH]],
        price=Ticks(row[kernels.LEVEL]),
        remaining=Lots(row[kernels.REMAINING]),
        peak=Lots(row[kernels.PEAK]),
        first=Lots(row[kernels.FIRST]),
        traded=Lots(row[kernels.TRADED]),
        cancelled=Lots(row[kernels.CANCELLED]),
        executed=Lots(row[kernels.EXECUTED]),
        withdrawn=Lots(row[kernels.WITHDRAWN]),
        added=Lots(row[kernels.ADDED]),
        appeared_ts=Nanos(row[kernels.APPEARED]),
        changed_ts=Nanos(row[kernels.CHANGED]),
    )


def _cluster(side: Side, group: list[Density]) -> list[DensityCluster]:
    if len(group) < _CLUSTER_COUNT:
        return []
    prices = [density.price for density in group]
    size = Lots(sum(density.remaining for density in group))
    return [DensityCluster(side=side, low=min(prices), high=max(prices), count=len(group), size=size)]
