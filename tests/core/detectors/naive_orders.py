"""Large orders followed from their definition, slowly: dictionaries, and every print since the beginning."""

from typing import NamedTuple

from stakan.core.domain.events import BookSnapshot, TradePrint
from stakan.core.domain.units import MILLISECOND, SECOND, Side

MS = MILLISECOND


class Limits(NamedTuple):
    """As the kernel takes them; nanoseconds."""

    multiple: float = 3.0
    reach: int = 15
    ripe_after: int = 150 * MS
    oldest: int = 2 * SECOND
    at_least: int = 0


class Told(NamedTuple):
    """What is compared."""

    which: int
    price: int
    base: int
    lots: int
    median: int
    since: int
    distance: int
    ended: int
    drop: int
    moved: int
    paired: int
    common: int
    elsewhere: int
    response: int
    traded: int
    opposite: int
    hit: int


class NaiveOrders:
    """The book, the prints, and the orders that are followed, oldest first."""

    def __init__(self, limits):
        self.limits = limits
        self.book = {}
        self.prints = []
        self.orders = []
        self.arrivals = []
        self.medians = None
        self.spans = []
        self.median_ts = 0

    def see(self, event):
        """What is told after this event."""
        if isinstance(event, TradePrint):
            self.prints.append(event)
            return []
        sides = [1] * event.bid_count + [-1] * (len(event.levels) - event.bid_count)
        if isinstance(event, BookSnapshot):
            self.book, self.orders = {}, []
        grown = []
        for side, (price, size) in zip(sides, event.levels.tolist(), strict=True):
            grown.append((side, price, size - self.book.get((side, price), 0), self.book.get((side, price), 0)))
            self.book.pop((side, price), None)
            if size:
                self.book[side, price] = size
        return [] if isinstance(event, BookSnapshot) else self._delta(event.ts_event, grown)

    def _prices(self, side):
        """Of a side, best first."""
        return sorted((price for of, price in self.book if of == side), key=lambda price: -side * price)

    def _median(self, side):
        sizes = sorted(self.book[side, price] for price in self._prices(side)[:50])
        return sizes[len(sizes) // 2]

    def _least(self, now, ts):
        """Of all medians of this span of two seconds and the one before."""
        if not self.spans or ts - self.spans[-1][0] >= 2 * SECOND:
            self.spans.append((ts, []))
        self.spans[-1][1].append(now)
        recent = [median for _, medians in self.spans[-2:] for median in medians]
        return {side: min(median[side] for median in recent) for side in (1, -1)}

    def _delta(self, ts, grown):
        if self.medians is None or ts - self.median_ts >= 200 * MS:
            self.medians = self._least({side: self._median(side) for side in (1, -1)}, ts)
            self.median_ts = ts
        touch = {side: self._prices(side)[0] for side in (1, -1)}
        due = []
        for one in self.orders:
            if one["ended"] == 0:
                self._age(one, ts, touch)
        self.orders = [one for one in self.orders if one["ended"] != -1 and not self._is_passed_over(one, ts)]
        due = [one for one in self.orders if self._is_due(one, ts)]
        for one in self.orders:
            if one["ended"] > 0 and ts - one["ended"] < 80 * MS:
                one["moved"] = max(one["moved"], self._moved(grown, one["side"], one["lots"], touch, 1))
        for side, price, lots, base in grown:
            behind = side * (touch[side] - price)
            if lots < self.limits.multiple * self.medians[side] or behind > self.limits.reach:
                continue
            if behind >= 1:
                self.orders.append(self._order(ts, side, price, lots, base, touch, grown))
            self.arrivals.append((ts, side, lots, behind))
        told = []
        for one in due:
            told.append(self._told(one, ts))
            one["ripe"] = True
            if one["ended"]:
                self.orders.remove(one)
        return told

    def _order(self, ts, side, price, lots, base, touch, grown):
        alike = [
            (of, behind)
            for at, of, other, behind in self.arrivals[-256:]
            if ts - at <= 120 * SECOND and abs(other - lots) <= lots / 500
        ]
        distance = side * (touch[side] - price)
        return {
            "side": side,
            "price": price,
            "lots": lots,
            "base": base,
            "median": self.medians[side],
            "since": ts,
            "distance": distance,
            "now": base + lots,
            "ended": 0,
            "drop": 0,
            "moved": self._moved(grown, side, lots, touch, -1),
            "paired": self._changed(grown, -side, lots, touch, 1, 0.02),
            "common": sum(of == -side for of, _ in alike),
            "elsewhere": sum(of == side and behind != distance for of, behind in alike),
            "middle": touch[1] + touch[-1],
            "response": 0,
            "ripe": False,
        }

    def _moved(self, grown, side, lots, touch, sign):
        """How surely: 1 for a like size, 2 for the same."""
        return sum(self._changed(grown, side, lots, touch, sign, share) for share in (0.35, 0.02))

    def _changed(self, grown, side, lots, touch, sign, share):
        return any(
            of == side
            and side * (touch[side] - price) <= 2 * self.limits.reach
            and abs(sign * change - lots) <= share * lots
            for of, price, change, _ in grown
        )

    def _age(self, one, ts, touch):
        side, price = one["side"], one["price"]
        size = self.book.get((side, price), 0)
        last = self._prices(side)[-1]
        if ts - one["since"] > self.limits.oldest or (size == 0 and side * price < side * last):
            one["ended"] = -1
        elif self._has_gone(one, size):
            one["ended"] = ts
            one["drop"] = one["now"] - size
            one["response"] = side * (touch[1] + touch[-1] - one["middle"])
        one["now"] = size

    def _has_gone(self, one, size):
        lots = one["lots"]
        if abs(one["now"] - size - lots) <= lots / 50:
            return True
        if size - one["base"] > lots / 4:
            return False
        if size < lots * 98 / 100:
            return True
        one["base"] = max(0, size - lots)
        return False

    def _is_passed_over(self, one, ts):
        is_short = one["ended"] - one["since"] < self.limits.at_least
        return one["ended"] > 0 and ts - one["ended"] >= 150 * MS and is_short

    def _is_due(self, one, ts):
        if one["ended"]:
            return ts - one["ended"] >= 150 * MS
        if one["ripe"] or ts - one["since"] < self.limits.ripe_after:
            return False
        one["ripe"] = True
        return not (one["moved"] or one["paired"])

    def _told(self, one, ts):
        side, since, ended = one["side"], one["since"], one["ended"]
        until = ended + 150 * MS if ended else ts
        against = [made for made in self.prints if made.side is Side(-side)]
        taken = [made.size for made in against if made.price == one["price"] and since <= made.ts_event <= until]
        other = [made.size for made in self.prints if made.side is Side(side) and made.ts_event >= since]
        hits = [made for made in against if ended and ended - SECOND / 3 <= made.ts_event <= ended]
        return Told(
            which=int(side < 0),
            price=one["price"],
            base=one["base"],
            lots=one["lots"],
            median=one["median"],
            since=since,
            distance=one["distance"],
            ended=ended,
            drop=one["drop"],
            moved=one["moved"],
            paired=int(one["paired"]),
            common=one["common"],
            elsewhere=one["elsewhere"],
            response=one["response"],
            traded=sum(taken),
            opposite=sum(other),
            hit=len(hits),
        )
