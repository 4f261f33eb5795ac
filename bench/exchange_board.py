"""The local exchange's public board: book frames out, and the whole way from the source's rows to frames."""

from itertools import cycle, islice

import numpy as np

from bench._rows import Options, Row, interleaved, rate
from bench.book import BYBIT_BTC
from stakan.adapters.synthetic.config import SyntheticConfig
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.apps.exchange.board import Board, BoardConfig, Intervals
from stakan.apps.exchange.depth import DepthTopic
from stakan.apps.exchange.listing import by_symbol, list_all, synthetic_symbols
from stakan.apps.exchange.market import LiveMarket
from stakan.apps.exchange.numbers import formats_of
from stakan.core.domain.batch import MarketBatch
from stakan.core.domain.events import BookSnapshot
from stakan.core.domain.units import MILLISECOND, SECOND, Nanos
from stakan.core.market.book import Book

_CHANGED = 15
_BOOKS = 32
_SYMBOLS = 20
_START = 1_790_000_000 * SECOND


def run(options: Options) -> list[Row]:
    """Rows `exchange_board.*`."""
    return [
        _delta(options, 50, bar=100_000),
        _delta(options, 200, bar=50_000),
        _snapshot(options, 50),
        _snapshot(options, 1000),
        _market(options),
    ]


def _books(depth: int, changed: int) -> list[Book]:
    """States of one book, each different from the one before in so many of its best levels."""
    chance = np.random.default_rng(4)
    offsets = np.arange(depth)
    levels = np.empty((2 * depth, 2), np.int64)
    levels[:depth, 0], levels[depth:, 0] = 640_000 - offsets, 640_001 + offsets
    levels[:, 1] = chance.integers(1, 50_000, 2 * depth)
    books = []
    for number in range(_BOOKS):
        rows = chance.choice(2 * depth, changed, replace=False)
        levels[rows, 1] = chance.integers(1, 50_000, changed)
        book = Book(BYBIT_BTC.id)
        book.apply(
            BookSnapshot(
                ts_event=_START,
                ts_recv=_START,
                instrument=BYBIT_BTC.id,
                sequence=number + 1,
                previous_sequence=number,
                levels=levels.copy(),
                bid_count=depth,
            )
        )
        books.append(book)
    return books


def _topic(depth: int) -> DepthTopic:
    return DepthTopic(depth, "BTCUSDT", formats_of(BYBIT_BTC).scales)


def _delta(options: Options, depth: int, bar: float) -> Row:
    books, topic = _books(depth, _CHANGED), _topic(depth)
    count = options.count(100_000)

    def work() -> None:
        for number, book in enumerate(islice(cycle(books), count)):
            if topic.push(book, number, _START) is None:
                raise AssertionError("nothing changed")

    (ours,) = interleaved(options.repetitions, lambda: rate(count, work))
    size = len(topic.recent[-1])
    return Row(
        name=f"exchange_board.delta_{depth}",
        what=f"book → delta frame of a topic of {depth} levels",
        unit="frames/s",
        event=f"one frame of {_CHANGED} changed levels ({size} bytes)",
        data="random levels",
        ours=ours,
        bar=bar,
    )


def _snapshot(options: Options, depth: int) -> Row:
    (book, *_), topic = _books(depth, _CHANGED), _topic(depth)
    topic.push(book, 1, _START)
    count = options.count(2_000_000 // depth)
    (ours,) = interleaved(
        options.repetitions, lambda: rate(count, lambda: [topic.snapshot(_START) for _ in range(count)])
    )
    return Row(
        name=f"exchange_board.snapshot_{depth}",
        what="what a new subscriber gets",
        unit="frames/s",
        event=f"one frame of {2 * depth} levels ({len(topic.snapshot(_START))} bytes)",
        data="random levels",
        ours=ours,
    )


def _market(options: Options) -> Row:
    """All symbols with books of 50 and 200 levels, prints and tickers open, a frame per change of the source."""
    symbols = synthetic_symbols(_SYMBOLS)
    seconds = max(2, round(20 * options.scale))
    config = SyntheticConfig(symbols=symbols, seed=3, duration_ns=Nanos((seconds + 1) * SECOND))
    source = SyntheticMarket(config)
    listed = list_all(source.instruments)
    market = LiveMarket(source, listed, _START)
    steps = [(now, market.take(now)) for now in range(_START, _START + seconds * SECOND, 5 * MILLISECOND)]
    frames = 0

    def once() -> None:
        nonlocal frames
        frames = _play(by_symbol(listed.values()), steps)

    once()
    (ours,) = interleaved(options.repetitions, lambda: rate(frames, once))
    return Row(
        name="exchange_board.market",
        what=f"rows of {_SYMBOLS} generated symbols → book, prices, bars → frames: 50, 200 levels, prints, tickers",
        unit="frames/s",
        event=f"one frame; {frames / seconds:.0f} come in a second of this market",
        data="synthetic market, seed 3",
        ours=ours,
        bar=40_000,
    )


def _play(rules: dict, steps: list[tuple[int, list[MarketBatch]]]) -> int:
    sent = 0

    def emit(_topic: str, _frame: bytes) -> None:
        nonlocal sent
        sent += 1

    board = Board(rules, emit, _START, BoardConfig(intervals=Intervals.SOURCE))
    for symbol in rules:
        for topic in ("orderbook.50", "orderbook.200", "publicTrade", "tickers"):
            board.open(f"{topic}.{symbol}")
    for now, batches in steps:
        for batch in batches:
            board.apply(batch)
        board.tick(now)
    return sent
