"""Bybit v5 book frames of exactly n levels, cut from a recorded session, written once and read by both sides.

The recorded depth of BTCUSDT (Binance USD-M, 2024-07-18/19, 480 s) is kept as a whole book; what Bybit's
`orderbook.200` would have shown of it is the best 200 levels of each side. The changes of that view, deletes first so
that no frame crosses the book, are strung together and cut into frames of n levels with contiguous `u`.
"""

import gzip
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np

SYMBOL = "BTCUSDT"
TICK = "0.10"
LOT = "0.001"
DATA = "Binance BTCUSDT 2024-07-18/19 (480 s), its best 200 levels a side re-cut into Bybit v5 orderbook.200 frames"
_FILES = ("binance-l2/usdm_btcusdt_20240718.gz", "binance-l2/usdm_btcusdt_20240719.gz")
_DEPTH = 200
_MOST = {1: 60_000, 20: 15_000, 60: 10_000}

Side = dict[int, int]
View = tuple[int, Side, Side]
"""Milliseconds, bids and asks; prices in ticks of 0.1, sizes in lots of 0.001."""


def frames(levels: int, folder: Path, scratch: Path) -> list[bytes]:
    """A snapshot and then up to 60,000 delta frames of exactly `levels` levels."""
    path = frames_file(levels, folder, scratch)
    return path.read_bytes().splitlines()


def frames_file(levels: int, folder: Path, scratch: Path) -> Path:
    """The file of these frames, one a line; made once."""
    path = scratch / f"frames-{levels}.jsonl"
    if not path.exists():
        scratch.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        made = itertools.islice(cut(recorded_views(folder), levels), _MOST.get(levels, 10_000) + 1)
        part.write_bytes(b"\n".join(made))
        part.rename(path)
    return path


def synthetic_frames(levels: int, count: int) -> list[bytes]:
    """Frames of a random walk, for the smoke test."""
    return list(itertools.islice(cut(_walk(), levels), count + 1))


def cut(views: Iterable[View], levels: int) -> Iterator[bytes]:
    """Snapshot of the first view, then frames of exactly `levels` changed levels."""
    sent: tuple[Side, Side] = ({}, {})
    pending: dict[tuple[int, int], int] = {}
    update = 1_000
    for ts, bids, asks in views:
        if not sent[0]:
            sent = (dict(bids), dict(asks))
            reached: tuple[Side, Side] = (dict(bids), dict(asks))
            rows = [(0, price, size) for price, size in bids.items()] + [(1, p, s) for p, s in asks.items()]
            yield _frame("snapshot", ts, rows, update)
            continue
        for side, price, size in _changes(reached, (bids, asks)):
            if sent[side].get(price, 0) == size:
                pending.pop((side, price), None)
            else:
                pending[side, price] = size
            if len(pending) == levels:
                update += 1
                yield _frame("delta", ts, [(*key, size) for key, size in pending.items()], update)
                for (which, at), now in pending.items():
                    _put(sent[which], at, now)
                pending.clear()


def _changes(reached: tuple[Side, Side], wanted: tuple[Side, Side]) -> list[tuple[int, int, int]]:
    gone = [(side, price, 0) for side in (0, 1) for price in reached[side] if price not in wanted[side]]
    news = [
        (side, price, size)
        for side in (0, 1)
        for price, size in wanted[side].items()
        if reached[side].get(price) != size
    ]
    for side, price, size in gone + news:
        _put(reached[side], price, size)
    return gone + news


def _put(side: Side, price: int, size: int) -> None:
    if size:
        side[price] = size
    else:
        side.pop(price, None)


def _frame(kind: str, ts: int, rows: list[tuple[int, int, int]], update: int) -> bytes:
    sides = []
    for which in (0, 1):
        levels = sorted(((p, s) for side, p, s in rows if side == which), reverse=which == 0)
        sides.append(",".join(f'["{p / 10:.2f}","{_size(s)}"]' for p, s in levels))
    return (
        f'{{"topic":"orderbook.200.{SYMBOL}","type":"{kind}","ts":{ts},"data":{{"s":"{SYMBOL}","b":[{sides[0]}],'
        f'"a":[{sides[1]}],"u":{update},"seq":{7_000_000_000 + 3 * update}}},"cts":{ts - 1}}}'
    ).encode()


def _size(lots: int) -> str:
    return f"{lots / 1000:.3f}" if lots else "0"


# --- the recorded session -------------------------------------------------------------------------------------------


class _Depth(msgspec.Struct):
    s: str
    T: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    u: int
    pu: int


class _Message(msgspec.Struct):
    data: _Depth


class _Snapshot(msgspec.Struct):
    lastUpdateId: int  # noqa: N815 - the venue's spelling
    T: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


def recorded_views(folder: Path) -> Iterator[View]:
    """The best 200 levels of each side after the snapshot and after every depth message that follows it."""
    book: tuple[Side, Side] = ({}, {})
    last = 0
    for message in _depth_messages(folder):
        if isinstance(message, _Snapshot):
            book = (_levels(message.bids), _levels(message.asks))
            last = message.lastUpdateId
        elif not last or message.u <= last:
            continue
        else:
            for side, rows in zip(book, (message.b, message.a), strict=True):
                for price, size in _levels(rows).items():
                    _put(side, price, size)
        yield message.T, _best(book[0], -1), _best(book[1], 1)


Rows = list[tuple[int, int]]


def recorded_depth(folder: Path) -> tuple[tuple[Rows, Rows], list[tuple[Rows, Rows]]]:
    """The snapshot's (bids, asks) and those of every depth message after it, as (ticks, lots)."""
    snapshot: tuple[Rows, Rows] = ([], [])
    deltas = []
    last = 0
    for message in _depth_messages(folder):
        if isinstance(message, _Snapshot):
            snapshot = (list(_levels(message.bids).items()), list(_levels(message.asks).items()))
            last = message.lastUpdateId
        elif last and message.u > last:
            deltas.append((list(_levels(message.b).items()), list(_levels(message.a).items())))
    return snapshot, deltas


def _depth_messages(folder: Path) -> Iterator[_Depth | _Snapshot]:
    depth = msgspec.json.Decoder(_Message)
    snapshot = msgspec.json.Decoder(_Snapshot)
    for name in _FILES:
        with gzip.open(folder / name) as lines:
            for line in lines:
                if b'"depthUpdate"' in line:
                    yield depth.decode(line[line.index(b" ") + 1 :]).data
                elif b'"lastUpdateId"' in line:
                    yield snapshot.decode(line[line.index(b" ") + 1 :])


def _levels(rows: list[tuple[str, str]]) -> Side:
    return {round(float(price) * 10): round(float(size) * 1000) for price, size in rows}


def _best(side: Side, sign: int) -> Side:
    prices = np.fromiter(side.keys(), np.int64, len(side)) * sign
    if len(prices) > _DEPTH:
        prices = np.partition(prices, _DEPTH)[:_DEPTH]
    return {price: side[price] for price in (prices * sign).tolist()}


def _walk() -> Iterator[View]:
    chance = np.random.default_rng(5)
    mid = 640_000
    for step in itertools.count():
        mid += int(chance.integers(-2, 3))
        sizes = chance.integers(1, 9, 60).tolist()
        bids = {mid - 1 - i: sizes[i] for i in range(30)}
        asks = {mid + 1 + i: sizes[30 + i] for i in range(30)}
        yield 1_721_347_020_000 + 20 * step, bids, asks
