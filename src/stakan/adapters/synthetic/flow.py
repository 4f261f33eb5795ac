"""One symbol's market, a second at a time: the order flow's tape as rows of events with receive times."""

from decimal import Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stakan.adapters.synthetic._flow_kernels import STEP, Flow, run_slice, seed_book
from stakan.adapters.synthetic._ladder_kernels import (
    ASK,
    BASE,
    BID,
    FAIR,
    HIGH,
    LOG_FIELDS,
    LOW,
    N_LEVELS,
    N_LOG,
    N_MESSAGES,
    N_PRINTS,
    NEXT_MESSAGE,
    NOW,
    ORDER_FIELDS,
    SEQUENCE,
    SLOTS,
    STATE_SIZE,
    TRADE_ID,
    WIDTH,
    Ints,
    Ladder,
    Tape,
)
from stakan.adapters.synthetic.config import FeedLatency, SyntheticConfig, SyntheticSymbol
from stakan.adapters.synthetic.paths import STEPS_PER_SLICE, PricePath, stream
from stakan.adapters.synthetic.plans import Planner
from stakan.adapters.synthetic.truth import Witness
from stakan.core.domain.batch import Kind
from stakan.core.domain.events import Levels, Ticker
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import SECOND, Nanos

SLICE_NS = STEP * STEPS_PER_SLICE
WARM_UP_SLICES = 5
"""Seconds that the book lives before the market begins, so that it begins settled."""
_SELF_EXCITATION = 0.5
_CROSS_EXCITATION = 0.15
"""Market orders that one market order brings forth on its own side and on the other."""
_EXCITATION_DECAY = 6.0
_PREMIUM_WEIGHT = 0.05
_FUNDING_BASE = 0.0001
_FUNDING_CAP = 0.0075


class Rows(NamedTuple):
    """Events of one symbol in order of arrival, as columns of shape (n,)."""

    kind: npt.NDArray[np.uint8]
    ts_event: Ints
    ts_recv: Ints
    sequence: Ints
    previous_sequence: Ints
    bid_count: Ints
    level_count: Ints
    levels: Levels
    tickers: tuple[Ticker, ...]


def flow_of(symbol: SyntheticSymbol, depth: int) -> Flow:
    """The flow's parameters from the symbol's."""
    sigma = symbol.volatility_ticks
    near = min(max(sigma, 5.0), 200.0)
    mean_interval = SECOND / symbol.messages_per_second if symbol.messages_per_second > 0 else 0.0
    return Flow(
        limit_rate=symbol.orders_per_second,
        taker_rate=symbol.takers_per_second * (1 - _SELF_EXCITATION - _CROSS_EXCITATION) / 2,
        self_excitation=_SELF_EXCITATION,
        cross_excitation=_CROSS_EXCITATION,
        decay=_EXCITATION_DECAY,
        near=near,
        far=min(max(40.0 * near, 2.0 * depth), 2_000.0),
        stale=max(1.0, 0.35 * sigma),
        sigma=max(sigma, 1.0),
        order_lots=float(symbol.order_lots),
        taker_lots=float(symbol.taker_lots),
        message_ns=mean_interval,
        depth=depth,
    )


def _ladder() -> Ladder:
    return Ladder(
        ordinary=np.zeros(WIDTH, np.int64),
        planted=np.zeros(WIDTH, np.int64),
        published=np.zeros(WIDTH, np.int64),
        orders=np.zeros((SLOTS, ORDER_FIELDS), np.int64),
        state=np.zeros(STATE_SIZE, np.int64),
        heat=np.zeros(4),
    )


def _tape() -> Tape:
    return Tape(
        messages=np.zeros((8_192, 4), np.int64),
        levels=np.zeros((131_072, 2), np.int64),
        prints=np.zeros((16_384, 6), np.int64),
        log=np.zeros((32_768, LOG_FIELDS), np.int64),
        used=np.zeros(4, np.int64),
    )


class SymbolFlow:
    """The market of one symbol; whatever other symbols there are, it is the same."""

    def __init__(self, symbol: SyntheticSymbol, config: SyntheticConfig, *, is_witnessed: bool = True) -> None:
        """Truth about what is planted grows with time and is kept only where it `is_witnessed`."""
        instrument = symbol.instrument
        self.instrument = instrument
        self._start = config.start_ts
        self._next = config.start_ts - WARM_UP_SLICES * SLICE_NS
        self._flow = flow_of(symbol, config.depth)
        self._path = PricePath(
            config.seed, instrument.id, symbol.start_ticks, symbol.volatility_bp / 10_000, config.correlation
        )
        self._rng = stream(config.seed, instrument.id, "flow")
        self._feed = _Feed(stream(config.seed, instrument.id, "feed"), config.latency)
        sigma = symbol.volatility_ticks
        self._planner = Planner(config.seed, instrument.id, config.episodes, config.start_ts, sigma)
        self.witness = Witness(instrument.id) if is_witnessed else None
        self._ladder = _ladder()
        self._tape = _tape()
        self._premium = 0.0
        self._last_price = 0
        self._warm_up(round(symbol.start_ticks))

    def next_slice(self) -> list[Rows]:
        """The coming second, in one or more pieces."""
        start = self._next
        self._next = start + SLICE_NS
        plans, actions = self._planner.until(self._next)
        if self.witness is not None:
            self.witness.expect(plans)
        path = self._path.next_slice()
        done = 0
        pieces = []
        tickers: tuple[Ticker, ...] = (self._ticker(start),)
        while self._ladder.state[NOW] < self._next:
            self._tape.used[:] = 0
            done = run_slice(self._ladder, self._tape, self._flow, path, actions, done, start, self._rng)
            if self.witness is not None:
                self.witness.watch(self._tape.log[: self._tape.used[N_LOG]], int(self._ladder.state[NOW]))
            pieces.append(self._feed.receive(self._tape, tickers))
            tickers = ()
        prints = self._tape.used[N_PRINTS]
        if prints:
            self._last_price = int(self._tape.prints[prints - 1, 1])
        return pieces

    def _warm_up(self, price: int) -> None:
        """Let the book settle unseen, then begin: the first message will be the whole window."""
        state = self._ladder.state
        state[NOW] = state[NEXT_MESSAGE] = self._next
        seed_book(self._ladder, self._flow, price, self._rng)
        state[LOW], state[HIGH] = state[BID], state[ASK]
        flow = self._flow._replace(message_ns=SECOND / 10)
        actions = self._planner.until(self._next)[1]
        while self._next < self._start:
            self._tape.used[:] = 0
            run_slice(self._ladder, self._tape, flow, self._path.next_slice(), actions, 0, self._next, self._rng)
            self._next += SLICE_NS
        self._ladder.published[:] = 0
        state[LOW], state[HIGH] = state[BID], state[ASK]
        state[SEQUENCE] = state[TRADE_ID] = 0
        state[NEXT_MESSAGE] = self._start

    def _ticker(self, ts: int) -> Ticker:
        """Index is the efficient price, mark adds the smoothed premium of the mid over it."""
        state = self._ladder.state
        index = float(self._ladder.heat[FAIR])
        mid = state[BASE] + 0.5 * (state[BID] + state[ASK])
        self._premium += _PREMIUM_WEIGHT * (mid - index - self._premium)
        interval = self.instrument.funding_interval_ns
        rate = min(max(_FUNDING_BASE + self._premium / index, -_FUNDING_CAP), _FUNDING_CAP)
        return Ticker(
            instrument=self.instrument.id,
            ts_event=ts,
            ts_recv=ts,
            mark=_price(self.instrument, index + self._premium),
            index=_price(self.instrument, index),
            last=self.instrument.price(self._last_price) if self._last_price else None,
            funding_rate=Decimal(round(rate * 1e8)) / 10**8,
            next_funding_ts=Nanos((ts // interval + 1) * interval),
        )


def _price(instrument: Instrument, ticks: float) -> Decimal:
    """A price to a tenth of a tick."""
    return instrument.tick_size * round(ticks * 10) / 10


class _Feed:
    """One connection: what is sent first arrives first, after a random latency."""

    def __init__(self, rng: np.random.Generator, latency: FeedLatency) -> None:
        self._rng = rng
        self._latency = latency
        self._last = 0

    def receive(self, tape: Tape, tickers: tuple[Ticker, ...]) -> Rows:
        """The tape as rows in the order in which it was written, tickers first (after a snapshot)."""
        messages = tape.messages[: tape.used[N_MESSAGES]]
        prints = tape.prints[: tape.used[N_PRINTS]]
        n_messages, n_prints, n_tickers = len(messages), len(prints), len(tickers)
        is_snapshot = messages[:, 1] == 1
        order_key = np.concatenate((2 * np.arange(n_messages) + 1, 2 * prints[:, 5], np.full(n_tickers, -1)))
        if n_messages and is_snapshot[0]:
            order_key[n_messages + n_prints :] = 1
        order = np.argsort(order_key, kind="stable")
        ts_event = np.concatenate((messages[:, 0], prints[:, 0], [ticker.ts_event for ticker in tickers]))
        ts_event = ts_event.astype(np.int64)[order]
        ts_recv = self._stamp(ts_event)
        print_kind = np.where(prints[:, 3] > 0, Kind.BUY_PRINT, Kind.SELL_PRINT)
        kind = np.concatenate(
            (np.where(is_snapshot, Kind.SNAPSHOT, Kind.DELTA), print_kind, np.full(n_tickers, Kind.OTHER))
        )
        book_levels = np.diff(np.append(messages[:, 2], tape.used[N_LEVELS]))
        counts = np.concatenate((book_levels, np.ones(n_prints, np.int64), np.zeros(n_tickers, np.int64)))
        starts = np.concatenate(
            (messages[:, 2], tape.used[N_LEVELS] + np.arange(n_prints), np.zeros(n_tickers, np.int64))
        )
        levels = np.concatenate((tape.levels[: tape.used[N_LEVELS]], prints[:, 1:3]))
        none = np.zeros(n_prints + n_tickers, np.int64)
        positions = np.flatnonzero(kind[order] == Kind.OTHER)
        return Rows(
            kind=kind[order].astype(np.uint8),
            ts_event=ts_event,
            ts_recv=ts_recv,
            sequence=np.concatenate((messages[:, 1], prints[:, 4], np.arange(n_tickers)))[order],
            previous_sequence=np.concatenate((messages[:, 1] - 1, none))[order],
            bid_count=np.concatenate((messages[:, 3], none))[order],
            level_count=counts[order],
            levels=levels[spans(starts[order], counts[order])],
            tickers=tuple(
                _received(ticker, int(ts_recv[row])) for ticker, row in zip(tickers, positions.tolist(), strict=True)
            ),
        )

    def _stamp(self, ts_event: Ints) -> Ints:
        latency = self._latency
        noise = np.exp(latency.spread * self._rng.standard_normal(len(ts_event)))
        ts_recv = ts_event + latency.floor_ns + (latency.median_ns * noise).astype(np.int64)
        ts_recv = np.maximum.accumulate(np.maximum(ts_recv, self._last))
        if len(ts_recv):
            self._last = int(ts_recv[-1])
        return ts_recv


def _received(ticker: Ticker, ts_recv: int) -> Ticker:
    return Ticker(
        instrument=ticker.instrument,
        ts_event=ticker.ts_event,
        ts_recv=ts_recv,
        mark=ticker.mark,
        index=ticker.index,
        last=ticker.last,
        funding_rate=ticker.funding_rate,
        next_funding_ts=ticker.next_funding_ts,
    )


def spans(starts: Ints, counts: Ints) -> Ints:
    """Indices of consecutive runs: starts[0], starts[0] + 1, … for counts[0], then starts[1] and so on."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()))
