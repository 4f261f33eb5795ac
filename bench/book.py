"""The book alone: recorded deltas from memory, and raw Bybit frames to book."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
from numba import njit

from bench import frames
from bench._rows import Options, Row, Sample, interleaved, rate
from stakan.adapters.exchanges.bybit.decode import BybitDecoder
from stakan.core.domain.ids import instrument_id
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.market import _book_kernels as kernels
from stakan.core.market.book import REACH_PER_MILLE, Book

BYBIT_BTC = Instrument(
    id=instrument_id("bybit", "linear", frames.SYMBOL),
    category=Category.LINEAR,
    base="BTC",
    quote="USDT",
    settle="USDT",
    tick_size=Decimal(frames.TICK),
    lot_size=Decimal(frames.LOT),
)


def run(options: Options) -> list[Row]:
    """Rows `book.*`."""
    return [
        _kernel(options),
        *(_frames(options, levels, bar) for levels, bar in ((60, 100_000), (20, None), (1, None))),
    ]


def heavy_frames(options: Options, levels: int) -> list[bytes]:
    """Snapshot and deltas of n levels: recorded where there is data, else a random walk (smoke test)."""
    if options.data is None:
        return frames.synthetic_frames(levels, options.count(2_000))
    made = frames.frames(levels, options.data, options.scratch)
    return made[: options.count(len(made))]


def frames_to_book(messages: list[bytes]) -> Callable[[], Book]:
    """Decode and apply all of them, as a live feed would."""

    def work() -> Book:
        decode = BybitDecoder({BYBIT_BTC.id: BYBIT_BTC}, Category.LINEAR).decode
        book = Book(BYBIT_BTC.id)
        for ts, frame in enumerate(messages, start=1):
            for event in decode(frame, ts):
                if book.apply(event) is not None:  # type: ignore[arg-type]  # only book frames are in the list
                    raise AssertionError(f"frame {ts}: {event}")
        return book

    return work


def _frames(options: Options, levels: int, bar: float | None) -> Row:
    messages = heavy_frames(options, levels)
    passes = options.count(150_000) // len(messages) + 1
    work = frames_to_book(messages)

    def sample() -> float:
        return rate(passes * len(messages), lambda: [work() for _ in range(passes)])

    (ours,) = interleaved(options.repetitions, sample)
    return Row(
        name=f"book.frames_{levels}",
        what=f"raw Bybit frame of {levels} level{'s' * (levels > 1)} → decoder → book",
        unit="messages/s",
        event=f"one message of {levels} level{'s' * (levels > 1)}",
        data=frames.DATA,
        ours=ours,
        bar=bar,
    )


def _kernel(options: Options) -> Row:
    snapshot, levels, starts, bid_counts = recorded_deltas(options)
    sample = kernel_sample(snapshot, levels, starts, bid_counts)
    (ours,) = interleaved(options.repetitions, sample)
    return Row(
        name="book.kernel",
        what="book kernel, recorded deltas from memory",
        unit="levels/s",
        event="one level update; "
        f"{len(levels) / max(1, len(bid_counts)):.0f} a message, far ones included, which the book drops",
        data="Binance BTCUSDT 2024-07-18/19 as recorded (480 s)",
        ours=ours,
        bar=5e6,
    )


def kernel_sample(
    snapshot: tuple[np.ndarray, int], levels: np.ndarray, starts: np.ndarray, bid_counts: np.ndarray
) -> Sample:
    """All messages through the kernel onto a fresh book; the messages' own order and sizes."""

    def sample() -> float:
        sides, counts = np.zeros((2, 16_384, 2), np.int64), np.zeros(2, np.int64)
        before = np.zeros(16_384, np.int64)
        kernels.apply_levels(sides, counts, snapshot[0], snapshot[1], REACH_PER_MILLE, before)
        return rate(len(levels), lambda: _apply_all(sides, counts, levels, starts, bid_counts, REACH_PER_MILLE, before))

    return sample


@njit
def _apply_all(sides, counts, levels, starts, bid_counts, reach, before):
    for i in range(len(bid_counts)):
        message = levels[starts[i] : starts[i + 1]]
        bits = kernels.apply_levels(sides, counts, message, bid_counts[i], reach, before)
        if bits & (kernels.CORRUPT | kernels.NEEDS_ROOM | kernels.CROSSED):
            return -1 - i
    return counts[0] + counts[1]


def recorded_deltas(options: Options) -> tuple[tuple[np.ndarray, int], np.ndarray, np.ndarray, np.ndarray]:
    """(snapshot levels, its bids), levels of all deltas, offsets, bid counts; made once."""
    if options.data is None:
        return _walk(options.count(2_000))
    path = options.scratch / "deltas.npz"
    if not path.exists():
        _write_deltas(options.data, path)
    with np.load(path) as stored:
        most = options.count(len(stored["bid_counts"]))
        starts = stored["starts"][: most + 1]
        return (
            (stored["snapshot"], int(stored["snapshot_bids"])),
            stored["levels"][: starts[-1]],
            starts,
            stored["bid_counts"][:most],
        )


def _write_deltas(folder: Path, path: Path) -> None:
    snapshot, messages = frames.recorded_depth(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = [len(bids) + len(asks) for bids, asks in messages]
    np.savez(
        path,
        snapshot=np.array(snapshot[0] + snapshot[1]),
        snapshot_bids=len(snapshot[0]),
        levels=np.array([row for sides in messages for side in sides for row in side]),
        starts=np.concatenate([[0], np.cumsum(sizes)]),
        bid_counts=np.array([len(bids) for bids, _ in messages]),
    )


def _walk(count: int) -> tuple[tuple[np.ndarray, int], np.ndarray, np.ndarray, np.ndarray]:
    chance = np.random.default_rng(3)
    snapshot = np.array([[1_000 - i, 5] for i in range(50)] + [[1_001 + i, 5] for i in range(50)])
    offsets = chance.integers(0, 50, (count, 2))
    levels = np.empty((2 * count, 2), np.int64)
    levels[0::2, 0], levels[1::2, 0] = 1_000 - offsets[:, 0], 1_001 + offsets[:, 1]
    levels[:, 1] = chance.integers(1, 9, 2 * count)
    return (snapshot, 50), levels, 2 * np.arange(count + 1), np.ones(count, np.int64)
