"""Raw frame to step: decode, book, features, one Python strategy; beside NautilusTrader's book-delta callback path.

Both sides take the same frames from memory, keep the whole book, and hand every message to a strategy written in
Python that reads the touch and the imbalance of five levels a side; both must arrive at the same sums. Ours decides on
every message (decision interval 0), keeps what all features need, and computes those of the book's shape each time; what
this strategy does not read (densities, the other groups of features) is not followed or computed. NautilusTrader is measured in
the fastest way to these values that its API has: its Bybit adapter's decode, and a book of its Rust bindings.
"""

import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from bench import frames, peers
from bench._rows import Measured, Options, Row, interleaved
from bench.book import BYBIT_BTC, heavy_frames
from stakan.adapters.exchanges.bybit.decode import BybitDecoder
from stakan.core.domain.instrument import Category
from stakan.core.domain.trading import Signal
from stakan.core.domain.units import Nanos
from stakan.core.engine import Engine, EngineConfig
from stakan.core.features.catalogue import Feature
from stakan.core.plugins import Strategy, View

_PEER = f"NautilusTrader {peers.NAUTILUS}"
_EVENT = "one message of {} level{}, from the bytes of its frame"
_WAYS = {
    "": (
        "adapter",
        "five_rust",
        (
            "peer: its Bybit adapter's decoders and parse_to_deltas → DataEngine.process → on_order_book_deltas with deltas "
            "converted for its Rust book, kept by the strategy, which gives five levels when asked for five; "
            "ours: features of the book's shape on every message, and what windows need; what no strategy reads is not computed"
        ),
    ),
    "_hand": (
        "hand",
        "five_rust",
        "peer: as the judged row, but deltas made by hand-written code (OrderBookDelta.from_raw) in place of its adapter's",
    ),
    "_touch": (
        "adapter",
        "touch",
        "peer reads less than ours: best bid and ask with sizes only, from the book that its data engine keeps",
    ),
    "_cached": (
        "adapter",
        "five",
        "peer: the same values from the book that its data engine keeps, which hands out all its levels",
    ),
}
"""What follows the row's name: how the peer decodes, what it reads and from where, and that in words."""


class Seen(msgspec.Struct):
    """What the strategy has read."""

    calls: int = 0
    micro_price: float = 0.0
    imbalance: float = 0.0


_started: list[Seen] = []
"""What each engine's strategy has read, the newest last: the engine keeps memories to itself."""


class ReadTouch(Strategy, frozen=True, kw_only=True):
    """Reads micro-price and five-level imbalance on every message; has no opinion."""

    reads_densities = False

    def start(self) -> Seen:
        _started.append(Seen())
        return _started[-1]

    def decide(self, view: View, state: Any) -> Signal | None:
        state.calls += 1
        state.micro_price += view.features.of(Feature.MICRO_PRICE)
        state.imbalance += view.features.of(Feature.IMBALANCE_5)
        return None


def run(options: Options) -> list[Row]:
    """Rows `engine_path.*`."""
    if not options.peers:
        return [_alone(options, levels, "left out on request") for levels in (1, 20)]
    try:
        peer = peers.nautilus()
    except peers.PeerMissing as reason:
        return [_alone(options, levels, str(reason)) for levels in (1, 20)]
    try:
        return [row for levels in (1, 20) for row in _beside(options, levels, peer)]
    finally:
        peer.close()


def ours(messages: list[bytes]) -> tuple[float, Seen]:
    """(messages/s, what the strategy read) of one pass over a fresh engine."""
    decode = BybitDecoder({BYBIT_BTC.id: BYBIT_BTC}, Category.LINEAR).decode
    config = EngineConfig(strategies=(("read_touch", ReadTouch()),), decision_interval_ns=Nanos(0))
    engine = Engine(config, [BYBIT_BTC])
    step, now = engine.step, time.time_ns
    for event in decode(messages[0], now()):
        step(event)
    started = time.process_time()
    for frame in messages[1:]:
        for event in decode(frame, now()):
            step(event)
    seconds = time.process_time() - started
    return (len(messages) - 1) / seconds, _started[-1]


def _beside(options: Options, levels: int, peer: peers.Peer) -> list[Row]:
    messages = heavy_frames(options, levels)
    assert options.data is not None
    path = frames.frames_file(levels, options.data, options.scratch).resolve()
    seen: dict[str, tuple[float, float]] = {}

    def our_side() -> float:
        rate, read = ours(messages)
        seen["ours"] = read.micro_price, read.imbalance
        return rate

    def peer_side(way: str) -> float:
        decode, reads, _ = _WAYS[way]
        count = len(messages) // 5 if reads == "five" else len(messages)
        answer = peer.ask(do="frames", file=str(path), decode=decode, reads=reads, most=count)
        if count == len(messages):
            seen[way] = answer["total"], answer["imbalance"]
        return float(answer["messages"] / answer["seconds"])

    measured = interleaved(options.repetitions, our_side, *(partial(peer_side, way) for way in _WAYS))
    _must_agree(levels, seen)
    rows = [_row(levels, way, measured[0], theirs) for way, theirs in zip(_WAYS, measured[1:], strict=True)]
    return [*rows, _ready(options, levels, peer, path, messages)]


def _must_agree(levels: int, seen: dict[str, tuple[float, float]]) -> None:
    """Sums over the same books, in the order of the messages; the last bits of floats may differ."""
    for way in ("", "_hand", "_touch"):
        pairs = list(zip(seen["ours"], seen[way], strict=True))[: 1 if way == "_touch" else 2]
        if any(abs(ours - theirs) > 1e-9 * abs(ours) for ours, theirs in pairs):
            raise AssertionError(f"{levels} levels: we read {seen['ours']}, NautilusTrader{way} {seen[way]}")


def _row(levels: int, way: str, our_rates: Measured, theirs: Measured) -> Row:
    return Row(
        name=f"engine_path.{levels}{way}",
        what=f"frame of {levels} level{'s' * (levels > 1)} → book → features → one Python strategy → step",
        unit="messages/s",
        event=_EVENT.format(levels, "s" * (levels > 1)),
        data=frames.DATA,
        ours=our_rates,
        peer=theirs,
        peer_name=_PEER,
        bar_ratio=None if way else 1.0,
        aim_ratio=None if way else 2.0,
        note=_WAYS[way][2],
    )


def _ready(options: Options, levels: int, peer: peers.Peer, path: Path, messages: list[bytes]) -> Row:
    """Without any decoding on either side."""

    def peer_side() -> float:
        answer = peer.ask(do="ready", file=str(path), reads="five_rust", most=len(messages))
        return float(answer["messages"] / answer["seconds"])

    our_rates, theirs = interleaved(options.repetitions, lambda: ready(messages), peer_side)
    return Row(
        name=f"engine_path.{levels}_ready",
        what=f"the same from ready-made events of {levels} level{'s' * (levels > 1)}: no decoding on either side",
        unit="messages/s",
        event="one message object that is in memory already",
        data=frames.DATA,
        ours=our_rates,
        peer=theirs,
        peer_name=_PEER,
        note="peer: OrderBookDeltas → DataEngine.process → on_order_book_deltas → Rust book, as above",
    )


def ready(messages: list[bytes]) -> float:
    """Messages/s through the engine alone."""
    decode = BybitDecoder({BYBIT_BTC.id: BYBIT_BTC}, Category.LINEAR).decode
    events = [event for ts, frame in enumerate(messages, start=1) for event in decode(frame, ts * 1_000_000)]
    config = EngineConfig(strategies=(("read_touch", ReadTouch()),), decision_interval_ns=Nanos(0))
    step = Engine(config, [BYBIT_BTC]).step
    step(events[0])
    started = time.process_time()
    for event in events[1:]:
        step(event)
    return (len(events) - 1) / (time.process_time() - started)


def _alone(options: Options, levels: int, why: str) -> Row:
    messages = heavy_frames(options, levels)
    (measured,) = interleaved(options.repetitions, lambda: ours(messages)[0])
    return Row(
        name=f"engine_path.{levels}",
        what=f"frame of {levels} level{'s' * (levels > 1)} → book → features → one Python strategy → step",
        unit="messages/s",
        event=_EVENT.format(levels, "s" * (levels > 1)),
        data=frames.DATA,
        ours=measured,
        note=f"{_PEER} not measured: {why}",
    )
