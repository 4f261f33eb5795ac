"""The synthetic market: windows of several generated symbols in order of arrival, and the truth about what is planted."""

from collections.abc import Iterator

import numpy as np

from stakan.adapters.synthetic.config import SyntheticConfig, SyntheticSymbol
from stakan.adapters.synthetic.episodes import Episode, GroundTruth
from stakan.adapters.synthetic.flow import SLICE_NS, Rows, SymbolFlow
from stakan.core.domain.batch import Ints, Kind, MarketBatch, MarketWindow, columns, window
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument

NEVER = 2**62
"""Later than any time that is lived through."""


class SyntheticMarket:
    """A generated market (never anything else: its instruments are of the venue `synthetic`).

    Implements `MarketHistory`. Everything follows from the configuration; memory is bounded by the window. One that
    is endless goes on after the configured duration as the same market would that had a longer one, and keeps no truth.
    """

    def __init__(self, config: SyntheticConfig, *, is_endless: bool = False) -> None:
        self.config = config
        self.is_endless = is_endless

    @property
    def instruments(self) -> dict[InstrumentId, Instrument]:
        """Rules of its symbols by id."""
        return {symbol.instrument.id: symbol.instrument for symbol in self.config.symbols}

    def windows(self) -> "MarketRun":
        """Generate from the beginning; each call is a run of its own."""
        return MarketRun(self.config, is_endless=self.is_endless)

    def truth(self) -> GroundTruth:
        """Ground truth of the whole market: generates it once, keeps none of it; ConfigError where it is endless."""
        if self.is_endless:
            raise ConfigError("an endless market has no whole truth: give it an end")
        run = self.windows()
        for _ in run:
            continue
        return run.truth()


class MarketRun(Iterator[MarketWindow]):
    """One pass over the market: consecutive windows of receive time, from the start to the end if it has one."""

    def __init__(self, config: SyntheticConfig, *, is_endless: bool = False) -> None:
        self._config = config
        self._end = NEVER if is_endless else config.start_ts + config.duration_ns
        self._now: int = config.start_ts
        self._arrivals = 0
        self._symbols = [_Symbol(symbol, config, is_witnessed=not is_endless) for symbol in config.symbols]

    def __next__(self) -> MarketWindow:
        """The next window; raises StopIteration at the end of the market."""
        if self._now >= self._end:
            raise StopIteration
        self._now = min(self._now + self._config.window_ns, self._end)
        cut = [symbol.until(self._now) for symbol in self._symbols]
        arrival = self._number([rows.ts_recv for rows in cut])
        batches = (
            symbol.batch(rows, numbers) for symbol, rows, numbers in zip(self._symbols, cut, arrival, strict=True)
        )
        return window(tuple(batches))

    def truth(self) -> GroundTruth:
        """What has been planted so far, nothing where it is endless; episodes that still go on are not complete."""
        episodes: list[Episode] = []
        for symbol in self._symbols:
            if symbol.flow.witness is not None:
                episodes.extend(symbol.flow.witness.truth(self._now))
        return GroundTruth(tuple(sorted(episodes, key=lambda e: (e.start, e.instrument, e.number))))

    def _number(self, received: list[Ints]) -> list[Ints]:
        """Arrival ordinals over all symbols: by receive time, ties by the symbols' order."""
        order = np.argsort(np.concatenate(received), kind="stable")
        ordinals = np.empty(len(order), np.int64)
        ordinals[order] = self._arrivals + np.arange(len(order))
        self._arrivals += len(order)
        return np.split(ordinals, np.cumsum([len(ts) for ts in received])[:-1])


class _Symbol:
    """One symbol's rows that are generated and not yet handed out."""

    def __init__(self, symbol: SyntheticSymbol, config: SyntheticConfig, *, is_witnessed: bool) -> None:
        self.flow = SymbolFlow(symbol, config, is_witnessed=is_witnessed)
        self._generated: int = config.start_ts
        self._pieces: list[Rows] = []
        self._ts_exchange = 0

    def until(self, end: int) -> Rows:
        """All rows received before `end`; what the exchange sends later is received later, so none is missing."""
        while self._generated < end:
            self._pieces.extend(self.flow.next_slice())
            self._generated += SLICE_NS
        rows = _join(self._pieces)
        count = int(np.searchsorted(rows.ts_recv, end))
        self._pieces = [_cut(rows, count, len(rows.kind))]
        return _cut(rows, 0, count)

    def batch(self, rows: Rows, arrival: Ints) -> MarketBatch:
        """Rows as a batch, with the exchange's time running on from the batch before."""
        others = rows.kind == Kind.OTHER
        sequence = np.where(others, np.cumsum(others) - 1, rows.sequence)
        batch = columns(
            self.flow.instrument.id,
            kind=rows.kind,
            ts_event=rows.ts_event,
            ts_recv=rows.ts_recv,
            arrival=arrival,
            sequence=sequence,
            previous_sequence=rows.previous_sequence,
            bid_count=rows.bid_count,
            level_count=rows.level_count,
            levels=rows.levels,
            others=rows.tickers,
            exchange_floor=self._ts_exchange,
        )
        if len(batch):
            self._ts_exchange = int(batch.ts_exchange[-1])
        return batch


def _join(pieces: list[Rows]) -> Rows:
    return Rows(
        kind=np.concatenate([piece.kind for piece in pieces]),
        ts_event=np.concatenate([piece.ts_event for piece in pieces]),
        ts_recv=np.concatenate([piece.ts_recv for piece in pieces]),
        sequence=np.concatenate([piece.sequence for piece in pieces]),
        previous_sequence=np.concatenate([piece.previous_sequence for piece in pieces]),
        bid_count=np.concatenate([piece.bid_count for piece in pieces]),
        level_count=np.concatenate([piece.level_count for piece in pieces]),
        levels=np.concatenate([piece.levels for piece in pieces]),
        tickers=tuple(ticker for piece in pieces for ticker in piece.tickers),
    )


def _cut(rows: Rows, first: int, last: int) -> Rows:
    """Rows first to last (exclusive), copied so that the rest can be let go."""
    level = np.concatenate(([0], np.cumsum(rows.level_count)))
    others = np.concatenate(([0], np.cumsum(rows.kind == Kind.OTHER)))
    return Rows(
        kind=rows.kind[first:last].copy(),
        ts_event=rows.ts_event[first:last].copy(),
        ts_recv=rows.ts_recv[first:last].copy(),
        sequence=rows.sequence[first:last].copy(),
        previous_sequence=rows.previous_sequence[first:last].copy(),
        bid_count=rows.bid_count[first:last].copy(),
        level_count=rows.level_count[first:last].copy(),
        levels=rows.levels[level[first] : level[last]].copy(),
        tickers=rows.tickers[others[first] : others[last]],
    )
