"""The live feed: raw frame → decoder → checked, applied to the feed's book and delivered; against ccxt.pro."""

import json
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from importlib.metadata import version
from types import SimpleNamespace

import msgspec
import numpy as np

from bench import frames
from bench._rows import Options, Row, interleaved, rate
from bench.book import BYBIT_BTC
from stakan.adapters import instruments
from stakan.adapters.exchanges.bybit.feed import FeedLimits, Outside, PublicFeed
from stakan.adapters.exchanges.bybit.topics import Topics
from stakan.adapters.importers.text import lines
from stakan.core.domain.ids import instrument_id
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.market.book import Book

_RE_CUT = (
    "Binance BTCUSDT 2024-07-18/19 (480 s), its best 50 levels a side as Bybit v5 orderbook.50 frames, one a change"
)
_CAPTURE = "bybit-v5-capture/BYBIT.jsonl.zst"
_RATIO = 5.0
_P99_US = 100.0
_LEVELS = 50
_ROUNDS = 20_000


def run(options: Options) -> list[Row]:
    """Rows `feed.*`."""
    shallow = _best_levels(options)
    rows = [
        _against_ccxt(options, "feed.levels_50", "orderbook.50", shallow, [BYBIT_BTC], _RE_CUT),
        _slowest(options, "feed.p99_50", "orderbook.50", shallow, [BYBIT_BTC], _RE_CUT),
    ]
    if options.data is not None:
        known = instruments.recorded()
        perpetuals = [
            known[instrument_id("bybit", "linear", name)] for name in ("BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT")
        ]
        captured = _captured(options)
        data = "Bybit 2026-08-09, four perpetuals, orderbook.200 frames as they came (44 s)"
        rows += [
            _against_ccxt(options, "feed.captured", "orderbook.200", captured, perpetuals, data),
            _slowest(options, "feed.p99_captured", "orderbook.200", captured, perpetuals, data),
        ]
    return rows


def _against_ccxt(
    options: Options, name: str, topic: str, messages: list[bytes], rules: list[Instrument], data: str
) -> Row:
    passes = options.count(_ROUNDS) // len(messages) + 1
    samples = [_sample(lambda: feed_to_book(messages, topic, rules), passes * len(messages), passes)]
    if options.peers:
        samples.append(_sample(lambda: ccxt_to_book(messages, rules), passes * len(messages), passes))
    measured = interleaved(options.repetitions, *samples)
    return Row(
        name=name,
        what=f"{topic} frame → event → book, by the feed; beside ccxt.pro's handle_message",
        unit="messages/s",
        event=f"one message of {_levels_of(messages):.0f} levels on average",
        data=data,
        ours=measured[0],
        peer=measured[1] if options.peers else None,
        peer_name=f"ccxt.pro {version('ccxt')} (orjson)" if options.peers else "",
        bar_ratio=_RATIO if options.peers else None,
        note="both keep one book; ours checks sequence and crossing and delivers the event, which the engine applies to "
        "a book of its own",
    )


def _slowest(options: Options, name: str, topic: str, messages: list[bytes], rules: list[Instrument], data: str) -> Row:
    passes = options.count(_ROUNDS) // len(messages) + 1

    def sample() -> float:
        took = np.concatenate([latencies(messages, topic, rules) for _ in range(passes)])
        return float(np.percentile(took, 99)) / 1000

    (ours,) = interleaved(options.repetitions, sample)
    return Row(
        name=name,
        what=f"{topic} frame → event in the book and delivered, 99th percentile",
        unit="µs",
        event=f"one message of {_levels_of(messages):.0f} levels on average",
        data=data,
        ours=ours,
        bar=_P99_US,
        lower=True,
    )


def _sample(work: Callable[[], object], count: int, passes: int) -> Callable[[], float]:
    return lambda: rate(count, lambda: [work() for _ in range(passes)])


def _take(_event: object) -> None:
    """Whoever is behind the feed."""


class _Link:
    """Its requests are answered by the frames."""

    def send(self, _message: bytes) -> bool:
        return True

    def reconnect(self, why: str) -> None:
        raise AssertionError(why)


def feed_handler(topic: str, rules: list[Instrument]) -> tuple[Callable[[bytes, int], None], PublicFeed]:
    """A connected feed's `on_frame`, and the feed, which keeps the books."""
    outside = Outside(
        deliver=_take,
        ask=lambda _path, _parameters, _done: None,
        timers=lambda _ns, _call: lambda: None,
        clock=lambda: 0,
    )
    topics = Topics(depth=int(topic.partition(".")[2]), best_quotes=False, tickers=False, trades=False)
    feed = PublicFeed(topics, lambda _category, _handler: _Link(), outside, limits=FeedLimits(check_every_ns=0))
    feed.follow(rules)
    (connection,) = feed.connections
    connection.on_open()
    return connection.on_frame, feed


def feed_to_book(messages: list[bytes], topic: str, rules: list[Instrument]) -> dict[str, Book]:
    """All messages through the feed."""
    on_frame, feed = feed_handler(topic, rules)
    for ts, message in enumerate(messages, start=1):
        on_frame(message, ts)
    return {one.id: feed.book(one.id) for one in rules}


def latencies(messages: list[bytes], topic: str, rules: list[Instrument]) -> np.ndarray:
    """Nanoseconds of each message through the feed."""
    on_frame, _ = feed_handler(topic, rules)
    took = np.empty(len(messages), np.int64)
    for number, message in enumerate(messages):
        started = time.perf_counter_ns()
        on_frame(message, number + 1)
        took[number] = time.perf_counter_ns() - started
    return took


def ccxt_to_book(messages: list[bytes], rules: list[Instrument]) -> dict:
    """All messages through ccxt.pro: its JSON parser and its `handle_message`; gives its books by symbol."""
    exchange, parse = _ccxt(rules)
    client = SimpleNamespace(url="wss://stream.bybit.com/v5/public/linear", resolve=lambda _result, _name: None)
    for message in messages:
        exchange.handle_message(client, parse(message))
    return exchange.orderbooks


def _ccxt(rules: list[Instrument]):
    import ccxt.pro  # noqa: PLC0415 - three seconds, and only peers need it
    from ccxt.async_support.base.ws import client  # noqa: PLC0415

    exchange = ccxt.pro.bybit()
    exchange.set_markets([_market(exchange, one) for one in rules])
    return exchange, client.json_parser.loads


def _market(exchange, rules: Instrument) -> dict:
    return exchange.safe_market_structure(
        {
            "id": f"{rules.base}{rules.quote}",
            "symbol": f"{rules.base}/{rules.quote}:{rules.settle}",
            "base": rules.base,
            "quote": rules.quote,
            "settle": rules.settle,
            "type": "swap",
            "swap": True,
            "contract": True,
            "linear": True,
            "precision": {"price": float(rules.tick_size), "amount": float(rules.lot_size)},
        }
    )


# --- frames -----------------------------------------------------------------------------------------------------------


def _best_levels(options: Options) -> list[bytes]:
    """What `orderbook.50` would have shown of a recorded book: one frame per change, of natural size."""
    if options.data is None:
        return [
            message.replace(b"orderbook.200", b"orderbook.50")
            for message in frames.synthetic_frames(5, options.count(2_000))
        ]
    path = options.scratch / "frames-best-50.jsonl"
    if not path.exists():
        options.scratch.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\n".join(_deltas(frames.recorded_views(options.data))))
    made = path.read_bytes().splitlines()
    return made[: options.count(len(made))]


def _deltas(views: Iterable[frames.View]) -> Iterable[bytes]:
    sent: tuple[frames.Side, frames.Side] | None = None
    for update, (ts, bids, asks) in enumerate(views, start=1_000):
        shown = (
            dict(sorted(bids.items(), reverse=True)[:_LEVELS]),
            dict(sorted(asks.items())[:_LEVELS]),
        )
        before = sent or ({}, {})
        sides = [
            [(price, 0) for price in old if price not in new]
            + [(price, size) for price, size in new.items() if old.get(price) != size]
            for old, new in zip(before, shown, strict=True)
        ]
        yield _frame("snapshot" if sent is None else "delta", ts, sides, update)
        sent = shown


def _frame(kind: str, ts: int, sides: list[list[tuple[int, int]]], update: int) -> bytes:
    bids, asks = ([[f"{price / 10:.2f}", str(Decimal(size) / 1000)] for price, size in side] for side in sides)
    data = {"s": frames.SYMBOL, "b": bids, "a": asks, "u": update, "seq": 7_000_000_000 + 3 * update}
    message = {"topic": f"orderbook.50.{frames.SYMBOL}", "type": kind, "ts": ts, "data": data, "cts": ts - 1}
    return json.dumps(message, separators=(",", ":")).encode()


def _captured(options: Options) -> list[bytes]:
    """Book frames of the linear connection, as they were received."""
    assert options.data is not None
    linear: set[str] = set()
    found = []
    for _, text in lines(options.data / _CAPTURE):
        line = msgspec.json.decode(text)
        if line["t"] == "connect" and Category.LINEAR in line["addr"]:
            linear.add(line["conn"])
        elif line["t"] == "recv" and line["conn"] in linear and '"topic":"orderbook.200' in line["data"]:
            found.append(line["data"].encode())
    return found


def _levels_of(messages: list[bytes]) -> float:
    return sum(message.count(b'["') for message in messages[1:]) / max(1, len(messages) - 1)
