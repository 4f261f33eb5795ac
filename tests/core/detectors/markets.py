"""A market that a test moves by hand, watched by one detector, and one that a seed moves."""

from typing import NamedTuple

import msgspec
import numpy as np
from tests.core.market.builders import a_delta, a_print, a_snapshot, an_instrument

from stakan.core.domain.events import TradePrint, decode_array, encode_array
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND, Side
from stakan.core.market.densities import DensityParams
from stakan.core.market.picture import MarketPicture

MS = MILLISECOND
MID = 10_000
START = 1_000 * SECOND
RULES = an_instrument()


class Watcher:
    """One detector, shown events as the engine shows them."""

    def __init__(self, detector):
        self.detector = detector
        self.state = detector.start(RULES)
        self.market = MarketPicture.start(RULES, DensityParams(), MINUTE, follow_densities=False)
        self.findings = []

    def see(self, event):
        market = self.market
        if isinstance(event, TradePrint):
            known = event.trade_id in market.tape.known
            market.apply_print(event)
            found = () if known else self.detector.on_print(market, event, self.state)
        else:
            market.apply_book(event)
            is_seen = market.book.is_fresh and market.book.is_usable
            found = self.detector.on_book(market, event, self.state) if is_seen else ()
        self.findings += found
        return found

    def restored(self):
        """The same with its state after a trip through bytes."""
        other = Watcher(self.detector)
        data = msgspec.msgpack.encode(self.state, enc_hook=encode_array)
        other.state = msgspec.msgpack.decode(data, type=type(self.state), dec_hook=decode_array)
        other.market = self.market
        return other


class Stand:
    """A book of forty levels a side around 10,000 with 100 lots each, moved by hand at its own time."""

    def __init__(self, detector, lots=100):
        self.watcher = Watcher(detector)
        self.sides = {1: {MID - 1 - i: lots for i in range(40)}, -1: {MID + 1 + i: lots for i in range(40)}}
        self.now = START
        self.sequence = 1
        self.trades = 0
        self.watcher.see(a_snapshot([*self.sides[1].items()], [*self.sides[-1].items()], 1, self.now))

    @property
    def findings(self):
        return self.watcher.findings

    def wait(self, ms):
        """Time passes and little happens: every 40 ms a far level flickers."""
        for _ in range(max(1, ms // 40)):
            self.now += 40 * MS
            far = MID - 40 if self.sequence % 2 else MID + 40
            self.change({1 if far < MID else -1: {far: 100 + self.sequence % 3}})

    def change(self, levels):
        """One delta now: by side, what levels hold from now on."""
        self.sequence += 1
        rows = {side: [*levels.get(side, {}).items()] for side in (1, -1)}
        for side, now in levels.items():
            self.sides[side] |= now
        self.watcher.see(a_delta(rows[1], rows[-1], self.sequence, ts=self.now))

    def add(self, side, price, lots):
        self.change({side: {price: self.sides[side].get(price, 0) + lots}})

    def trade(self, price, lots, side, ts=None):
        """A print; the book does not follow by itself."""
        self.trades += 1
        self.watcher.see(a_print(ts or self.now, price, lots, side, self.trades))

    def spoof(self, side, price, lots, ms):
        """An order that stands so long and is withdrawn."""
        self.add(side, price, lots)
        self.wait(ms)
        self.add(side, price, -lots)


class Shape(NamedTuple):
    """How the same market looks from elsewhere."""

    mirror: int = 0
    """Prices become this less the price, and sides swap; 0 leaves them."""
    later: int = 0
    times: int = 1
    """Lots are multiplied."""

    def of(self, event):
        moved = msgspec.structs.replace(event, ts_event=event.ts_event + self.later, ts_recv=event.ts_recv + self.later)
        if isinstance(event, TradePrint):
            moved = msgspec.structs.replace(moved, size=event.size * self.times)
            if self.mirror:
                moved = msgspec.structs.replace(moved, price=self.mirror - event.price, side=event.side.opposite)
            return moved
        levels = event.levels.copy()
        levels[:, 1] *= self.times
        count = event.bid_count
        if self.mirror:
            levels[:, 0] = self.mirror - levels[:, 0]
            levels, count = np.concatenate((levels[count:], levels[:count])), len(levels) - count
        return msgspec.structs.replace(moved, levels=levels, bid_count=count)


def a_market(seed, seconds=25, mid=MID, *, lots=100, depth=30):
    """A lively random market in which every pattern happens; all that a detector may meet, in order of arrival."""
    return _Crowd(seed, mid, lots, depth).live(seconds)


class _Crowd:
    """Noise on all levels, a touch that drifts, prints, and now and then one of the four patterns."""

    def __init__(self, seed, mid, lots, depth):
        self.rng = np.random.default_rng(seed)
        self.mid, self.lots, self.depth = mid, lots, depth
        self.book = {1: {}, -1: {}}
        self.extra = {}
        self.sequence = self.trades = 0
        self.plans = []
        self.events = []

    def live(self, seconds):
        now = START
        self._snapshot(now)
        while now < START + seconds * SECOND:
            now += int(self.rng.integers(0, 40)) * MS
            if self.rng.random() < 0.01:
                self._plan(now)
            self._step(now)
        return self.events

    def _plan(self, now):
        kind, side = self.rng.integers(0, 4), int(self.rng.choice((1, -1)))
        lots, distance = int(self.rng.integers(5, 10)) * self.lots + 7, int(self.rng.integers(2, 8))
        if kind == 0:
            for k in range(3):
                self._stand(now + k * 700 * MS, now + (k * 700 + 500) * MS, side, distance, lots)
        elif kind == 1:
            for k in range(4):
                self._stand(now, now + 900 * MS, side, distance + k, lots)
        elif kind == 2:
            for k in range(200):
                at = now + k * 4 * MS
                self._stand(at, at + 15 * MS, side if k % 2 else -side, 3 + k % 15, self.lots)
        else:
            price = self.mid - side
            for k in range(4):
                for half in (1, -1):
                    self.plans.append((now + k * 200 * MS + half, ("print", price, lots * 7 + k, half)))

    def _stand(self, came, went, side, distance, lots):
        key = (side, self.mid - side * (1 + distance))
        self.plans += [(came, ("lots", key, lots)), (went, ("lots", key, -lots))]

    def _step(self, now):
        rows = {1: {}, -1: {}}
        due = sorted((plan for plan in self.plans if plan[0] <= now), key=lambda plan: plan[0])
        self.plans = [plan for plan in self.plans if plan[0] > now]
        for at, (what, *told) in due:
            if what == "print":
                self._print(at, *told)
            else:
                (side, price), lots = told
                self.extra[side, price] = max(0, self.extra.get((side, price), 0) + lots)
                rows[side][price] = self.book[side].get(price, 0) + self.extra[side, price]
        if self.rng.random() < 0.02:
            self.mid += int(self.rng.choice((1, -1)))
        for side in (1, -1):
            held = self.book[side]
            for price in [price for price in held if side * (self.mid - price) <= 0]:
                del held[price]
                self.extra.pop((side, price), None)
                rows[side][price] = 0
            for k in range(1, self.depth):
                price = self.mid - side * k
                if price not in held or self.rng.random() < 0.03:
                    held[price] = int(self.rng.integers(1, 3 * self.lots))
                    rows[side][price] = held[price] + self.extra.get((side, price), 0)
        if self.rng.random() < 0.5:
            side = int(self.rng.choice((1, -1)))
            self._print(now, self.mid + side, int(self.rng.integers(1, self.lots + 1)), side)
        for side, of in rows.items():
            # What was planned where the market has been since is not there.
            rows[side] = {price: lots for price, lots in of.items() if lots == 0 or side * (self.mid - price) > 0}
        self.sequence += 1
        self.events.append(a_delta(sorted(rows[1].items()), sorted(rows[-1].items()), self.sequence, ts=now))

    def _print(self, at, price, lots, side):
        self.trades += 1
        self.events.append(a_print(at, price, lots, Side(side), self.trades))

    def _snapshot(self, now):
        for side in (1, -1):
            self.book[side] = {self.mid - side * k: self.lots for k in range(1, self.depth)}
        self.sequence += 1
        self.events.append(
            a_snapshot(sorted(self.book[1].items()), sorted(self.book[-1].items()), self.sequence, ts=now)
        )
