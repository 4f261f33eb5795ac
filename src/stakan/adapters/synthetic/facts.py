"""Stylised facts of one instrument's market, generated or recorded: what a realistic market shows whatever its price."""

from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.batch import Kind, MarketBatch
from stakan.core.domain.errors import DataError
from stakan.core.domain.units import SECOND, Side
from stakan.core.market.book import Book

Floats = npt.NDArray[np.float64]

PROFILE_LEVELS = 20
_VOLATILITY_LAGS = 10
_MEMORY_LAG = 10


class StylisedFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one instrument over a stretch; sources of the facts: Cont 2001, Bouchaud, Mezard and Potters 2002."""

    seconds: float
    book_messages_per_second: float
    levels_per_message: float
    """Median over deltas."""
    takers_per_second: float
    """Prints of one time and side count as one market order."""
    spread_median_ticks: float
    spread_p95_ticks: float
    depth_profile: tuple[float, ...]
    """Mean size at ranks 1 to 20 over both sides, as a share of their mean."""
    arrival_variation: float
    """Coefficient of variation of times between market orders; 1 for a Poisson process, above where they cluster."""
    count_dispersion: float
    """Variance over mean of market orders per second (Fano factor); 1 for a Poisson process."""
    volatility_bp: float
    """Standard deviation of one-second returns of the mid."""
    return_kurtosis: float
    """Of one-second returns of the mid; 3 for a Gaussian."""
    volatility_memory: float
    """Mean autocorrelation of |one-second returns| over lags 1 to 10."""
    flow_memory_1: float
    """Autocorrelation of the sign of market orders at lag 1."""
    flow_memory_10: float
    """At lag 10."""


class _Samples(msgspec.Struct):
    """What a replay collects."""

    ts: list[int] = msgspec.field(default_factory=list)
    mids: list[float] = msgspec.field(default_factory=list)
    spreads: list[int] = msgspec.field(default_factory=list)
    profile: Floats = msgspec.field(default_factory=lambda: np.zeros(PROFILE_LEVELS))
    profiles: int = 0
    changed: list[int] = msgspec.field(default_factory=list)
    takers: list[tuple[int, int]] = msgspec.field(default_factory=list)

    def look(self, book: Book, ts: int) -> None:
        """Note the state of a book after a message."""
        self.ts.append(ts)
        self.mids.append(book.mid)
        self.spreads.append(book.best_ask - book.best_bid)
        if min(book.counts) >= PROFILE_LEVELS:
            self.profile += book.depth(Side.BUY, PROFILE_LEVELS)[:, 1] + book.depth(Side.SELL, PROFILE_LEVELS)[:, 1]
            self.profiles += 1


def stylised_facts(batches: Iterable[MarketBatch]) -> StylisedFacts:
    """Facts of consecutive batches of one instrument; raises DataError where there is less than ten seconds to see."""
    samples = _replay(batches)
    if not samples.ts or samples.ts[-1] - samples.ts[0] < 10 * SECOND or len(samples.takers) < 2 * _MEMORY_LAG:
        raise DataError(
            "stylised facts need ten seconds of a live book and twenty market orders: give a longer stretch"
        )
    seconds = (samples.ts[-1] - samples.ts[0]) / SECOND
    spreads = np.array(samples.spreads)
    returns = _second_returns(samples)
    taker_ts = np.array([ts for ts, _ in samples.takers], np.int64)
    signs = np.array([side for _, side in samples.takers], np.float64)
    between = np.diff(taker_ts).astype(np.float64)
    counts = np.bincount((taker_ts - taker_ts[0]) // SECOND)
    size = np.abs(returns)
    memory = [_autocorrelation(size, lag) for lag in range(1, _VOLATILITY_LAGS + 1) if lag < len(size) - 1]
    return StylisedFacts(
        seconds=seconds,
        book_messages_per_second=len(samples.ts) / seconds,
        levels_per_message=float(np.median(samples.changed)) if samples.changed else 0.0,
        takers_per_second=len(signs) / seconds,
        spread_median_ticks=float(np.median(spreads)),
        spread_p95_ticks=float(np.quantile(spreads, 0.95)),
        depth_profile=_profile(samples),
        arrival_variation=float(between.std() / between.mean()),
        count_dispersion=float(counts.var() / counts.mean()),
        volatility_bp=float(returns.std() * 10_000),
        return_kurtosis=_kurtosis(returns),
        volatility_memory=float(np.mean(memory)),
        flow_memory_1=_autocorrelation(signs, 1),
        flow_memory_10=_autocorrelation(signs, _MEMORY_LAG),
    )


def _replay(batches: Iterable[MarketBatch]) -> _Samples:
    samples = _Samples()
    book: Book | None = None
    for batch in batches:
        book = book or Book(batch.instrument)
        if batch.instrument != book.instrument:
            raise DataError(f"stylised facts are of one instrument, got {batch.instrument} after {book.instrument}")
        for row, kind in enumerate(batch.kind.tolist()):
            ts = int(batch.ts_event[row])
            if kind <= Kind.DELTA:
                book.apply(batch.event(row))  # type: ignore[arg-type]  # rows up to DELTA are book messages
                if book.is_usable:
                    samples.look(book, ts)
                if kind == Kind.DELTA:
                    samples.changed.append(int(batch.level_start[row + 1] - batch.level_start[row]))
            elif kind in (Kind.BUY_PRINT, Kind.SELL_PRINT):
                taker = (ts, 1 if kind == Kind.BUY_PRINT else -1)
                if not samples.takers or samples.takers[-1] != taker:
                    samples.takers.append(taker)
    return samples


def _second_returns(samples: _Samples) -> Floats:
    """Log returns of the mid between whole seconds, the last value before each."""
    ts = np.array(samples.ts, np.int64)
    grid = np.arange(ts[0], ts[-1] + 1, SECOND)
    mids = np.array(samples.mids)[np.searchsorted(ts, grid, side="right") - 1]
    return np.diff(np.log(mids))


def _profile(samples: _Samples) -> tuple[float, ...]:
    mean = samples.profile.mean()
    return tuple((samples.profile / mean).round(3).tolist()) if mean else ()


def _autocorrelation(values: Floats, lag: int) -> float:
    """Of a series at a lag; 0 where it does not vary."""
    centred = values - values.mean()
    total = float(centred @ centred)
    return float(centred[:-lag] @ centred[lag:]) / total if total else 0.0


def _kurtosis(values: Floats) -> float:
    centred = values - values.mean()
    variance = float((centred**2).mean())
    return float((centred**4).mean()) / variance**2 if variance else 0.0
