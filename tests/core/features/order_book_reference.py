"""The 50 order-book features written from their definitions, slowly: dictionaries, lists, fractions, statistics.

A history is what was told so far; `vector` reads it at a moment and remembers nothing.
"""

import math
import statistics
from fractions import Fraction
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np

S = 1_000_000_000


class State(NamedTuple):
    """The book after one message; rows (ticks, lots), best first."""

    ts: int
    bids: list
    asks: list

    @property
    def double_mid(self):
        return self.bids[0][0] + self.asks[0][0]

    @property
    def mid(self):
        return Fraction(self.double_mid, 2)

    @property
    def spread(self):
        return Fraction(self.asks[0][0] - self.bids[0][0]) / self.mid


class Print(NamedTuple):
    ts: int
    price: int
    size: int
    sign: int
    is_rpi: bool = False


class History:
    """What one instrument has shown since it is watched."""

    def __init__(self):
        self.levels = ({}, {})
        self.states = []
        self.prints = []
        self.since = None
        self.lives = []
        self.born = ({}, {})

    def book(self, ts, bids, asks, *, is_snapshot):
        """Rows (ticks, lots) of one message."""
        if self.states:
            ts = max(ts, self.states[-1].ts)
        for side, rows in zip(self.levels, (bids, asks), strict=True):
            if is_snapshot:
                side.clear()
            for price, size in rows:
                side.pop(price, None)
                if size:
                    side[price] = size
        bids, asks = sorted(self.levels[0].items(), reverse=True), sorted(self.levels[1].items())
        for which, rows in enumerate((bids, asks)):
            self._follow(which, {price for price, _ in rows[:20]}, ts)
        self.states.append(State(ts, bids[:50], asks[:50]))

    def _follow(self, which, now_there, ts):
        born = self.born[which]
        for price in list(born):
            if price not in now_there:
                since = born.pop(price)
                if since is not None:
                    self.lives.append((ts, ts - since))
        for price in now_there:
            born.setdefault(price, ts if self.states else None)

    def trade(self, print_):
        if self.since is None:
            self.since = print_.ts
        self.prints.append(print_)

    def interrupt(self):
        self.states, self.lives, self.born, self.since = [], [], ({}, {}), None


def total(rows, n):
    return sum(q for _, q in rows[:n])


def value(rows, n):
    return sum(p * q for p, q in rows[:n])


def balance(a, b):
    return Fraction(a - b) / Fraction(a + b) if a + b else 0


def clipped(x):
    return min(Fraction(100), max(Fraction(1, 100), Fraction(x)))


def clusters(rows, tick, lot, params):
    """(lots, price in ticks) of each cluster, nearest first."""
    limit = Fraction(params.cluster_multiple) * Fraction(statistics.median(Fraction(q) for _, q in rows))
    found = []
    for is_large, members in groupby(rows, key=lambda row: row[1] >= limit):
        run = list(members)
        if is_large and value(run, len(run)) * tick * lot >= params.min_cluster_volume:
            found.append((total(run, len(run)), Fraction(value(run, len(run)), total(run, len(run)))))
    return found


def sweep(rows, notional):
    """(mean price, whether all of it found a counterpart) of taking ticks x lots."""
    left, lots = Fraction(notional), Fraction(0)
    for price, size in rows:
        taken = min(Fraction(size), left / price)
        lots += taken
        left -= taken * price
        if left == 0:
            return notional / lots, True
    return (notional - left) / lots, False


def shape(state, tick, lot, params):
    bids, asks = state.bids, state.asks
    (pb, qb), (pa, qa) = bids[0], asks[0]
    mid = state.mid
    b5, a5, b50, a50 = total(bids, 5), total(asks, 5), total(bids, 50), total(asks, 50)
    shallow = min(len(bids), len(asks))
    out = {
        "bid_ask_spread_abs": ((pa - pb) * tick, True),
        "bid_ask_spread_rel": (state.spread, True),
        "mid_price": (mid * tick, True),
        "micro_price": (Fraction(pb * qa + pa * qb, qa + qb) * tick, True),
        "book_depth_ratio": (clipped(Fraction(b50 + 1, a50 + 1)), shallow >= 10),
        "imbalance_5": (balance(b5, a5), shallow >= 5),
        "imbalance_10": (balance(total(bids, 10), total(asks, 10)), shallow >= 10),
        "imbalance_total": (balance(b50, a50), shallow >= 10),
        "price_pressure": (Fraction(b5 * pa - a5 * pb, b5 + a5) / mid, shallow >= 5),
    }
    for side, rows in (("bid", bids), ("ask", asks)):
        for n in (5, 10):
            out[f"vwap_{side}_{n}"] = (Fraction(value(rows, n), total(rows, n)) * tick, len(rows) >= n)
            out[f"depth_{side}_{n}"] = (total(rows, n) * lot, len(rows) >= n)
        out[f"total_{side}_volume"] = (total(rows, 50) * lot, len(rows) >= 10)
        near = [q * lot for p, q in rows if abs(p - mid) <= mid * Fraction(5, 1000)]
        out[f"{side}_intensity"] = (Fraction(len(near)) / (sum(near) / len(near)) if near else 0, len(rows) >= 10)
    return out


def liquidity(state, tick, lot, params):
    bids, asks, mid = state.bids, state.asks, state.mid
    shallow = min(len(bids), len(asks))
    bid_value, ask_value = (value(rows, 5) * tick * lot for rows in (bids, asks))
    one = lot * mid * tick
    target = Fraction(params.reference_notional) / tick / lot
    (sold, has_sold), (bought, has_bought) = sweep(bids, target), sweep(asks, target)
    weights = [math.exp(-i / 5) for i in range(20)]
    b, a = (sum(w * q for w, (_, q) in zip(weights, rows, strict=False)) for rows in (bids, asks))
    return {
        "liquidity_bid_5": (bid_value, len(bids) >= 5),
        "liquidity_ask_5": (ask_value, len(asks) >= 5),
        "liquidity_asymmetry": (clipped((bid_value + one) / (ask_value + one)), shallow >= 5),
        "effective_spread": ((bought - sold) / mid, has_sold and has_bought),
        "depth_imbalance_ratio": ((b - a) / (b + a), shallow >= 10),
    }


def levels(state, tick, lot, params):
    out = {}
    for side, level, rows in (("bid", "support", state.bids), ("ask", "resistance", state.asks)):
        found = clusters(rows, tick, lot, params)
        lots, price = max(found, key=lambda cluster: cluster[0], default=(0, state.mid))
        nearest = found[0][1] if found else rows[-1][0]
        values = {
            f"largest_{side}_cluster_price": price * tick,
            f"largest_{side}_cluster_volume": lots * lot,
            f"num_{side}_clusters": len(found),
            f"{level}_level_1": nearest * tick,
            f"distance_to_{level}": abs(nearest - state.mid) / state.mid,
        }
        out |= {name: (number, len(rows) >= 10) for name, number in values.items()}
    return out


def short(history, now, lot):
    states, start = history.states, now - 10 * S
    inside = [i for i, state in enumerate(states) if state.ts > start]
    before = [state for state in states if state.ts <= start]
    if not before:
        names = ("volume_delta_5", "order_flow_imbalance", "update_frequency", "quote_intensity")
        return dict.fromkeys(names, (0, False))
    ofi = moved = 0
    for i in inside:
        (pb, qb), (pa, qa) = states[i].bids[0], states[i].asks[0]
        (pb0, qb0), (pa0, qa0) = states[i - 1].bids[0], states[i - 1].asks[0]
        ofi += (pb >= pb0) * qb - (pb <= pb0) * qb0 - (pa <= pa0) * qa + (pa >= pa0) * qa0
        moved += (pb, qb, pa, qa) != (pb0, qb0, pa0, qa0)
    now_5, then_5 = (total(state.bids, 5) - total(state.asks, 5) for state in (states[-1], before[-1]))
    return {
        "volume_delta_5": ((now_5 - then_5) * lot, True),
        "order_flow_imbalance": (ofi * lot, True),
        "update_frequency": (Fraction(len(inside), 10), True),
        "quote_intensity": (Fraction(moved, 10), True),
    }


def long(history, now):
    states, start = history.states, now - 60 * S
    names = ("level_ttl_avg", "level_ttl_std", "orderbook_volatility", "spread_volatility")
    out = dict.fromkeys(names, (0, False))
    if not states or states[0].ts > start:
        return out
    depths = [(state.ts, total(state.bids, 10) + total(state.asks, 10)) for state in states]
    moves = [float(Fraction(d - d0, d0)) for (_, d0), (ts, d) in pairwise(depths) if ts > start]
    if len(moves) > 1:
        out["orderbook_volatility"] = (statistics.stdev(moves), True)
    ends = [*(state.ts for state in states[1:]), now]
    stood = [(max(0, end - max(state.ts, start)), float(state.spread)) for state, end in zip(states, ends, strict=True)]
    mean = math.fsum(w * s for w, s in stood) / (60 * S)
    out["spread_volatility"] = (math.sqrt(math.fsum(w * (s - mean) ** 2 for w, s in stood) / (60 * S)), True)
    lives = [life / S for ts, life in history.lives if ts > start]
    if lives:
        out["level_ttl_avg"] = (statistics.fmean(lives), True)
    if len(lives) > 1:
        out["level_ttl_std"] = (statistics.stdev(lives), True)
    return out


def trades(history, now, tick, lot):
    prints = sorted((p for p in history.prints if not p.is_rpi and p.ts <= now), key=lambda p: p.ts)
    minute, ten = ([p for p in prints if p.ts > now - span * S] for span in (60, 10))
    is_long, is_short = (history.since is not None and history.since <= now - span * S for span in (60, 10))
    out = {
        "trade_arrival_rate": (len(ten) / 10 if is_short else 0, is_short),
        "buy_sell_ratio": (1, False),
        "smart_money_index": (0, False),
        "roll_spread": (0, False),
    }
    if not is_long:
        return out
    buys, sells = (sum(p.size for p in minute if p.sign == sign) for sign in (1, -1))
    out["buy_sell_ratio"] = (clipped(Fraction(buys + 1, sells + 1)), True)
    sizes = [p.size for p in prints][-1000:]
    if len(sizes) >= 20:
        large = np.percentile(sizes, 95)
        paid = sum(p.price * p.size for p in minute)
        signed = sum(p.sign * p.price * p.size for p in minute if p.size >= large)
        out["smart_money_index"] = (Fraction(signed, paid) if paid else 0, True)
    steps = np.diff([p.price for p in minute]).astype(float)
    if len(steps) >= 3:
        covariance = float(np.cov(steps[1:], steps[:-1])[0, 1])
        out["roll_spread"] = (2 * math.sqrt(max(-covariance, 0.0)) * tick, True)
    return out


def impact(history, now, tick, lot):
    out = {"kyle_lambda": (0, False), "amihud_illiquidity": (0, False)}
    end = now // S * S
    edges = [end - (60 - k) * S for k in range(61)]
    known = bool(history.states) and history.states[0].ts < edges[0]
    if not known or history.since is None or history.since > edges[0]:
        return out
    mids, row = [], 0
    for edge in edges:
        while row + 1 < len(history.states) and history.states[row + 1].ts < edge:
            row += 1
        mids.append(history.states[row].mid)
    volumes, ratios = [], []
    for k, (first, last) in enumerate(pairwise(edges)):
        inside = [p for p in history.prints if not p.is_rpi and first <= p.ts < last]
        volumes.append(sum(p.sign * p.size for p in inside) * float(lot))
        notional = sum(p.price * p.size for p in inside) * tick * lot
        if notional:
            ratios.append(float(abs(mids[k + 1] / mids[k] - 1) / notional))
    changes = [float((after - before) * tick) for before, after in pairwise(mids)]
    if len(set(volumes)) > 1:
        out["kyle_lambda"] = (statistics.linear_regression(volumes, changes).slope, True)
    if ratios:
        out["amihud_illiquidity"] = (statistics.fmean(ratios), True)
    return out


def vector(history, now, tick, lot, params):
    """Name to (value, warm) at exchange time `now`; the book must have both sides."""
    state, tick, lot = history.states[-1], Fraction(tick), Fraction(lot)
    return {
        **shape(state, tick, lot, params),
        **liquidity(state, tick, lot, params),
        **levels(state, tick, lot, params),
        **short(history, now, lot),
        **long(history, now),
        **trades(history, now, tick, lot),
        **impact(history, now, tick, lot),
    }
