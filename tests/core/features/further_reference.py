"""Further features from their definitions, in plain Python over everything that happened: slow, and obvious."""

import math
import statistics
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

S = 1_000_000_000
GRID = S // 2
FAR = 10**30


class Book(NamedTuple):
    """A book after a message: rows (price in ticks, lots), best first."""

    ts: int
    bids: list
    asks: list


class Trade(NamedTuple):
    ts: int
    price: int
    size: int
    sign: int
    seen: int
    """Books that had come before it."""


class Told:
    """Everything that happened since the last interruption, and the volumes of all minutes."""

    def __init__(self):
        self.books, self.trades, self.since = [], [], None
        self.samples, self.sampled = {}, None

    def book(self, ts, bids, asks):
        """A book; moments of the grid before it are as they were known until now."""
        if self.books:
            self.samples |= self.standing((ts - 1) // GRID)
            self.sampled = max(self.sampled, (ts - 1) // GRID)
        else:
            self.sampled = (ts - 1) // GRID
        self.books.append(Book(ts, bids, asks))

    def standing(self, last):
        """Samples of the moments since the last one that is final, if nothing else happens until then."""
        return {slot: sample(self, slot * GRID) for slot in range(max(self.sampled, last - 120) + 1, last + 1)}

    def trade(self, ts, price, size, sign, *, is_rpi=False):
        self.since = ts if self.since is None else self.since
        if not is_rpi:
            self.trades.append(Trade(ts, price, size, sign, len(self.books)))


# --- order flow -------------------------------------------------------------------------------------------------------


def rank(rows, m, nothing):
    return rows[m] if m < len(rows) else (nothing, 0)


def flow(now, before, sign):
    """Xu, Gould & Howison's ΔW (sign 1, bids) and ΔV (sign -1, asks): what one level gained."""
    (p, q), (p0, q0) = now, before
    if p == p0:
        return q - q0
    return q if sign * p > sign * p0 else -q0


def order_flow(told, now, lot):
    """Name to value; only what is known."""
    books, start = told.books, now - 10 * S
    found = {}
    if not books:
        return found
    newest = books[-1]
    deep = min(len(newest.bids), len(newest.asks))
    (_, qb), (_, qa) = newest.bids[0], newest.asks[0]
    found["queue_imbalance"] = (qb - qa) / (qb + qa)
    if books[0].ts > start:
        return found
    inside = [(a, b) for a, b in pairwise(books) if b.ts > start]
    flows = [
        sum(
            flow(rank(b.bids, m, -FAR), rank(a.bids, m, -FAR), 1) - flow(rank(b.asks, m, FAR), rank(a.asks, m, FAR), -1)
            for a, b in inside
        )
        for m in range(10)
    ]
    found |= {f"ofi_{m + 1}": float(flows[m] * Fraction(lot)) for m in range(min(deep, 10))}
    if deep >= 10:
        depths = [Fraction(sum(q for _, q in (*b.bids[:10], *b.asks[:10])), 20) for _, b in inside]
        found["ofi_normalized"] = float(Fraction(sum(flows)) / (sum(depths) / len(depths))) if depths else 0.0
    return found


def vpin(trades, share, count):
    """Lot by lot; None while there are fewer full buckets. Trades in the order of their arrival."""
    minutes, minute, whole, full, bucket, size = {}, None, False, [], [], 0
    for trade in trades:
        own = trade.ts // (60 * S)
        if minute is None or own > minute:
            if not whole:
                minutes.pop(minute, None)
            whole, minute = minute is not None, own
            minutes[minute] = 0
        kept = [v for m, v in minutes.items() if m != minute][-30:]
        minutes[minute] += trade.size
        for _ in range(trade.size):
            if not bucket:
                if not kept:
                    break
                size = max(1, math.floor(share * statistics.fmean(kept) + 0.5))
            bucket.append(trade.sign)
            if len(bucket) == size:
                full.append((abs(sum(bucket)), size))
                bucket = []
    newest = full[-count:]
    return sum(u for u, _ in newest) / sum(v for _, v in newest) if len(newest) == count else None


# --- rolling ----------------------------------------------------------------------------------------------------------


def depth(rows, n):
    return sum(q for _, q in rows[:n])


def share(a, b):
    return Fraction(a - b, a + b)


def ratio(a, b):
    return float(min(Fraction(100), max(Fraction(1, 100), Fraction(a + 1, b + 1))))


def keys(book):
    """The key features of one book that it is deep enough for."""
    bids, asks = book.bids, book.asks
    (pb, qb), (pa, qa) = bids[0], asks[0]
    mid = Fraction(pb + pa, 2)
    found = {
        "bid_ask_spread_rel": (pa - pb) / mid,
        "micro_price_gap": Fraction(pb * qa + pa * qb, qa + qb) / mid - 1,
    }
    thin = min(len(bids), len(asks))
    b5, a5, b50, a50 = depth(bids, 5), depth(asks, 5), depth(bids, 50), depth(asks, 50)
    if thin >= 5:
        found["imbalance_5"] = share(b5, a5)
        found["price_pressure"] = Fraction(b5 * pa - a5 * pb, b5 + a5) / mid
    if thin >= 10:
        weights = [math.exp(-i / 5) for i in range(20)]
        b, a = (sum(w * q for w, (_, q) in zip(weights, rows, strict=False)) for rows in (bids, asks))
        found |= {
            "book_depth_ratio": ratio(b50, a50),
            "imbalance_10": share(depth(bids, 10), depth(asks, 10)),
            "imbalance_total": share(b50, a50),
            "depth_imbalance_ratio": (b - a) / (b + a),
        }
    return {name: float(value) for name, value in found.items()}


def sample(told, moment):
    """Key features as they were known at a moment."""
    until = next((book for book in reversed(told.books) if book.ts <= moment), None)
    found = keys(until) if until else {}
    trades = [trade for trade in told.trades if trade.ts <= moment]
    if until and told.since is not None and told.since <= moment - 10 * S:
        found["trade_arrival_rate"] = sum(trade.ts > moment - 10 * S for trade in trades) / 10
    if until and told.since is not None and told.since <= moment - 60 * S:
        minute = [trade for trade in trades if trade.ts > moment - 60 * S]
        buys, sells = (sum(t.size for t in minute if t.sign == sign) for sign in (1, -1))
        found["buy_sell_ratio"] = ratio(buys, sells)
    return found


def rolling(told, now):
    """Moments over windows that end with the last moment of the grid."""
    found, last = {}, now // GRID
    samples = {**told.samples, **told.standing(last)} if told.books else {}
    for seconds in (10, 30, 60):
        window = [samples.get(slot, {}) for slot in range(last - 2 * seconds + 1, last + 1)]
        for key in window[-1]:
            if all(key in one for one in window):
                values = [one[key] for one in window]
                mean, spread = statistics.fmean(values), statistics.pstdev(values)
                found[f"{key}_mean_{seconds}s"] = mean
                found[f"{key}_std_{seconds}s"] = statistics.stdev(values)
                cubes = statistics.fmean((value - mean) ** 3 for value in values)
                found[f"{key}_skew_{seconds}s"] = cubes / spread**3 if len(set(values)) > 1 else 0.0
    return found


# --- resilience -------------------------------------------------------------------------------------------------------


def up_to(rows, price, sign):
    return sum(q for p, q in rows if sign * p >= sign * price)


def sweeps(told, which, patience, least=0.5):
    """Seconds until half was back (None where it was given up), and what is missing of the one that is watched."""
    sign, waits, watched = 1 - 2 * which, [], None
    for number, (before, after) in enumerate(pairwise(told.books), 1):
        rows0, rows = (before.bids, after.bids) if which == 0 else (before.asks, after.asks)
        other0, other = (book.asks[0][0] if which == 0 else book.bids[0][0] for book in (before, after))
        if watched:
            since, reach, left, taken, _ = watched
            there = up_to(rows, other - sign * reach, sign)
            watched = (since, reach, left, taken, there)
            if after.ts - since > patience:
                waits.append(None)
                watched = None
            elif there - left >= Fraction(taken, 2):
                waits.append((after.ts - since) / S)
                watched = None
        if watched or len(rows0) < 5 or sign * rows[0][0] >= sign * rows0[0][0]:
            continue
        reach = abs(rows0[4][0] - other0)
        left = up_to(rows, other - sign * reach, sign)
        taken = depth(rows0, 5) - left
        eaten = sum(
            t.size for t in told.trades if t.seen <= number and after.ts - S < t.ts <= after.ts and t.sign == -sign
        )
        if taken >= least * depth(rows0, 5) and eaten >= Fraction(taken, 2):
            watched = (after.ts, reach, left, taken, left)
    return waits, watched


def resilience(told, patience=10 * S, kept=20, enough=5):
    found = {}
    for which, name in enumerate(("bid", "ask")):
        waits, watched = sweeps(told, which, patience)
        newest = waits[-kept:]
        if len(newest) >= enough:
            back = [wait for wait in newest if wait is not None]
            lost = (len(newest) - len(back)) * patience / S
            found[f"{name}_refill_half_life"] = (sum(back) + lost) / max(1, len(back))
            found[f"{name}_refill_share"] = len(back) / len(newest)
        rows = told.books[-1].bids if which == 0 else told.books[-1].asks
        if len(rows) >= 5:
            missing = 0.0
            if watched:
                _, _, left, taken, there = watched
                missing = min(1.0, max(0.0, 1 - (there - left) / taken))
            found[f"{name}_unrefilled"] = missing
    return found
