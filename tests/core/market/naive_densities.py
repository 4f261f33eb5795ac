"""The rules of densities in plain words: slow, and what the kernels are held against."""

from dataclasses import dataclass

from stakan.core.domain.units import Side
from stakan.core.market.densities import DensityKind

UNIT = 0.0001
"""USDT per tick x lot of the builders' instrument."""
APPEARED, ERODED, CONSUMED = DensityKind.APPEARED, DensityKind.ERODED, DensityKind.CONSUMED
CANCELLED, OUT_OF_SIGHT = DensityKind.CANCELLED, DensityKind.OUT_OF_SIGHT


@dataclass
class Naive:
    side: Side
    price: int
    remaining: int
    appeared_ts: int
    peak: int = 0
    traded: int = 0
    cancelled: int = 0
    executed: int = 0
    withdrawn: int = 0
    added: int = 0
    worst: int = 0
    waiting: int = 0
    waiting_ts: int = 0

    def lose(self, count, *, is_traded):
        self.remaining -= count
        if is_traded:
            self.traded += count
            self.executed += count
        else:
            self.cancelled += count
            self.withdrawn += count

    def gain(self, count):
        self.remaining += count
        self.added += count
        mended = min(count, self.cancelled)
        self.cancelled -= mended
        self.traded -= min(count - mended, self.traded)

    def settle(self, size, ts):
        explained = min(self.waiting, max(self.remaining - size, 0))
        self.lose(explained, is_traded=True)
        self.waiting -= explained
        if self.remaining > size:
            self.lose(self.remaining - size, is_traded=False)
        if self.waiting_ts <= ts:
            self.lose(self.waiting, is_traded=True)
            self.waiting = 0
        self.gain(size - self.remaining)
        if size > self.peak:
            self.peak, self.worst, self.traded, self.cancelled = size, 0, 0, 0


class NaiveTracker:
    """The rules in plain words, over the book's own depth views."""

    def __init__(self, params):
        self.params = params
        self.tracked = []
        self.book_ts = self.scanned_ts = 0

    def on_print(self, event):
        resting = event.side.opposite
        for each in self.tracked:
            if (each.side, each.price) != (resting, event.price) or event.is_rpi:
                continue
            if event.ts_event > self.book_ts:
                each.waiting += event.size
                each.waiting_ts = max(each.waiting_ts, event.ts_event)
            elif event.ts_event > each.appeared_ts:
                explained = min(event.size, each.cancelled)
                each.cancelled -= explained
                each.traded += explained
                each.withdrawn -= explained
                each.executed += event.size
                each.added += event.size - explained

    def update(self, book, message):
        ts = message.ts_event
        is_new = type(message).__name__ == "BookSnapshot"
        is_whole = is_new or ts - self.scanned_ts >= self.params.scan_ns
        self.scanned_ts = ts if is_whole else self.scanned_ts
        self.book_ts = ts
        rows = [(side, price) for side, price in self.named(message)]
        gone, changed = [], []
        for each in list(self.tracked):
            due = each.waiting > 0 and each.waiting_ts <= ts
            if is_whole or due or (each.side, each.price) in rows:
                kind = self.judge(each, book, ts, is_new, is_whole)
                if kind in (CONSUMED, CANCELLED, OUT_OF_SIGHT):
                    self.tracked.remove(each)
                    gone.append((kind, each.price))
                elif kind:
                    changed.append((kind, each.price))
        if is_whole:
            rows = [(side, int(price)) for side in (Side.BUY, Side.SELL) for price, _ in book.depth(side)]
        return gone + changed + self.appear(book, rows, ts)

    def named(self, message):
        for i, (price, _) in enumerate(message.levels.tolist()):
            yield (Side.BUY if i < message.bid_count else Side.SELL), price

    def is_far(self, book, side, price):
        depth = book.depth(side)
        return len(depth) == 0 or abs(int(depth[0, 0]) - price) * 10_000 > self.params.reach_bps * int(depth[0, 0])

    def judge(self, each, book, ts, is_new, is_whole):
        size = book.size_at(each.side, each.price)
        depth = book.depth(each.side)
        if size == 0 and (is_new or len(depth) == 0 or each.side * each.price < each.side * int(depth[-1, 0])):
            return OUT_OF_SIGHT
        each.settle(size, ts)
        if size <= self.params.forget * each.peak:
            return CONSUMED if each.traded >= each.cancelled else CANCELLED
        if is_whole and self.is_far(book, each.side, each.price):
            return OUT_OF_SIGHT
        tenths = (each.peak - size) * 10 // each.peak
        if tenths > each.worst:
            each.worst = tenths
            return ERODED
        return None

    def appear(self, book, rows, ts):
        found = []
        for side, price in rows:
            size = book.size_at(side, price)
            known = any((each.side, each.price) == (side, price) for each in self.tracked)
            if not size or known or self.is_far(book, side, price) or not passes(book, side, price, self.params):
                continue
            if len(self.tracked) < self.params.max_tracked:
                self.tracked.append(Naive(side, price, size, ts, peak=size))
                found.append((APPEARED, price))
        return found

    def state(self):
        return [
            (e.side, e.price, e.remaining, e.peak, e.traded, e.cancelled, e.executed, e.withdrawn, e.added)
            for e in self.tracked
        ]


def passes(book, side, price, params):
    """The three tests."""
    size = book.size_at(side, price)
    sizes = book.depth(side)[:, 1].tolist()
    return (
        size * (price * UNIT) >= params.min_notional
        and size * len(sizes) >= params.relative * sum(sizes)
        and size >= params.share * sum(sizes)
    )
