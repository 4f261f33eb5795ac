"""One book topic: what it has published, and the frames that bring clients from there to the book of now."""

from collections import deque

import numpy as np
import numpy.typing as npt

from stakan.apps.exchange import _frame_kernels as kernels
from stakan.apps.exchange._frame_kernels import ENVELOPE_ROOM, LEVEL_ROOM
from stakan.core.domain.units import MILLISECOND, SECOND
from stakan.core.market.book import Book

INTERVALS_NS = {1: 10 * MILLISECOND, 50: 20 * MILLISECOND, 200: 100 * MILLISECOND, 1000: 200 * MILLISECOND}
"""Depths that exist and how often they are pushed at most."""
REPEAT_NS = 3 * SECOND
"""Level 1 is sent again, unchanged, after so much silence."""
RESTARTED = 1
"""`u` of the snapshot after a restart of the service."""
_DEEPEST = max(INTERVALS_NS)
_OUT = np.zeros(ENVELOPE_ROOM + 4 * _DEEPEST * LEVEL_ROOM, np.uint8)
"""Scratch of all topics: a frame is copied out at once. A delta may delete and insert both sides entirely."""


class DepthTopic:
    """`orderbook.{depth}.{symbol}`: `u` counts its messages, whoever listens; 1 is the first and every restart."""

    def __init__(self, depth: int, symbol: str, scales: npt.NDArray[np.int64]) -> None:
        self.name = f"orderbook.{depth}.{symbol}"
        self.depth = depth
        self.u = 0
        self.seq = 0
        self.cts = 0
        self.pushed = 0
        """When the last frame went out."""
        self.is_due = False
        """Whether a push is on the agenda already."""
        self.recent: deque[bytes] = deque(maxlen=2)
        """The last two frames, for faults."""
        self._shown = np.zeros((2, depth, 2), np.int64)
        self._counts = np.zeros(2, np.int64)
        self._scales = scales
        self._is_restarted = True
        self._heads = {
            kind: np.frombuffer(f'{{"topic":"{self.name}","type":"{kind}","ts":'.encode(), np.uint8)
            for kind in ("snapshot", "delta")
        }
        self._middle = np.frombuffer(f',"data":{{"s":"{symbol}","b":['.encode(), np.uint8)

    @property
    def interval(self) -> int:
        """Least time between two pushes, nanoseconds."""
        return INTERVALS_NS[self.depth]

    @property
    def is_restarting(self) -> bool:
        """Whether nothing is published that could be shown: before the first state, or after an interruption."""
        return self._is_restarted

    def levels(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """What is published: bids and asks, best first, as views."""
        return self._shown[0, : self._counts[0]], self._shown[1, : self._counts[1]]

    def refresh(self, book: Book, seq: int) -> None:
        """Take over the book without a frame: for one who asks while nobody listens."""
        if kernels.show(book.sides, book.counts, self._shown, self._counts) or self._is_restarted:
            self._count(book, seq)

    def push(self, book: Book, seq: int, now: int) -> bytes | None:
        """The frame from what was published to the book of now; None where they are equal."""
        if self.depth == 1 or self._is_restarted:
            if not kernels.show(book.sides, book.counts, self._shown, self._counts) and not self._is_restarted:
                return None
            self._count(book, seq)
            return self._sent(self.snapshot(now), now)
        size = self._delta(book.sides, book.counts, now, seq, book.ts_event)
        if not size:
            return None
        self._count(book, seq)
        return self._sent(_OUT[:size].tobytes(), now)

    def snapshot(self, now: int) -> bytes:
        """All that is published."""
        size = kernels.snapshot_frame(
            _OUT,
            self._heads["snapshot"],
            self._middle,
            self._shown,
            self._counts,
            self._scales,
            now // MILLISECOND,
            self.u,
            self.seq,
            self.cts // MILLISECOND,
        )
        return _OUT[:size].tobytes()

    def repeat(self, now: int) -> bytes:
        """Level 1 again, with the same `u`."""
        return self._sent(self.snapshot(now), now)

    # --- faults -----------------------------------------------------------------------------------------------------

    def restart(self) -> None:
        """The next push is a snapshot with `u` 1."""
        self._is_restarted = True

    def skip(self) -> None:
        """A message that nobody gets."""
        self.u += 1

    def cross(self, now: int) -> bytes | None:
        """A delta with a bid one tick above the best ask; what is published has it too, so the next push removes it.

        None where a side is empty.
        """
        bids, asks = self.levels()
        if not len(bids) or not len(asks):
            return None
        crossing = asks[:1] + np.array([[1, 0]])
        sides, counts = np.zeros_like(self._shown), np.zeros_like(self._counts)
        for which, rows in enumerate((np.concatenate((crossing, bids))[: self.depth], asks)):
            sides[which, : len(rows)] = rows[::-1]
            counts[which] = len(rows)
        size = self._delta(sides, counts, now, self.seq, self.cts)
        self.u += 1
        return self._sent(self.snapshot(now) if self.depth == 1 else _OUT[:size].tobytes(), now)

    def _delta(self, sides: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], now: int, seq: int, cts: int) -> int:
        return kernels.delta_frame(
            _OUT,
            self._heads["delta"],
            self._middle,
            sides,
            counts,
            self._shown,
            self._counts,
            self._scales,
            now // MILLISECOND,
            self.u + 1,
            seq,
            cts // MILLISECOND,
        )

    def _count(self, book: Book, seq: int) -> None:
        self.u = RESTARTED if self._is_restarted else self.u + 1
        self._is_restarted = False
        self.seq = seq
        self.cts = book.ts_event

    def _sent(self, frame: bytes, now: int) -> bytes:
        self.pushed = now
        self.recent.append(frame)
        return frame
