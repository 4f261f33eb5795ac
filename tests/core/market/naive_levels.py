"""Levels by the plain reading of their definitions: lists, whole histories, no guard."""

from dataclasses import dataclass, field

KINDS = ("swings", "volume", "density", "held")


@dataclass
class NaiveLevel:
    place: float
    began: int
    weights: dict = field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))
    came_from: int | None = None
    """+1 above, -1 below; None before price was seen away from it."""
    at: bool = False
    gone_through: int | None = None
    touches: int = 0
    touched: int = 0
    holds: int = 0
    breaks: int = 0
    outcome: int = 0

    @property
    def strength(self):
        return sum(self.weights.values())

    def watch(self, mid, ts, params):
        touch = max(1.0, self.place * params.touch_bps / 10_000)
        leave = max(3.0, self.place * params.leave_bps / 10_000)
        if self.came_from is None:
            if abs(mid - self.place) >= leave:
                self.came_from = 1 if mid > self.place else -1
            else:
                return
        # How far price is on the side that it came from.
        ahead = (mid - self.place) * self.came_from
        if not self.at:
            if ahead > touch:
                return
            self.at = True
            self.touches += 1
            self.touched = ts
        if self.gone_through is not None and ahead >= -touch:
            self.gone_through = None
        if ahead >= leave:
            self.at = False
            self.holds += 1
            self.outcome = 1
            self.weights["held"] += 1
        elif ahead <= -leave and self.gone_through is None:
            self.gone_through = ts
        if self.gone_through is not None and ts - self.gone_through >= params.break_ns:
            self.at, self.gone_through = False, None
            self.breaks += 1
            self.outcome = 2
            self.came_from = -self.came_from
            self.weights = {kind: weight / 2 for kind, weight in self.weights.items()}
            self.watch(mid, ts, params)


class NaiveLevels:
    def __init__(self, params):
        self.params = params
        self.levels = []
        self.swings_seen = set()
        self.newest = None

    def on_book(self, mid, ts):
        for level in self.levels:
            level.watch(mid, ts, self.params)

    def interrupt(self):
        for level in self.levels:
            level.came_from, level.at, level.gone_through = None, False, None

    def on_candles(self, bars, interval):
        """`bars` are (open_ts, high, low, volume), oldest first, evenly spaced."""
        if not bars:
            return
        passed = bars[-1][0] - self.newest if self.newest else 0
        self.newest = bars[-1][0]
        self._age(2 ** (-passed / self.params.half_life_ns))
        self._look_for_swings(bars, interval)
        if len(bars) >= self.params.volume_candles:
            self._look_for_volume(bars)

    def stands(self, price, appeared, now):
        if now - appeared >= self.params.density_ns:
            self.support("density", float(price), 1.0, appeared)

    def support(self, kind, place, weight, began):
        limit = max(1.0, place * self.params.merge_bps / 10_000)
        near = [level for level in self.levels if abs(level.place - place) <= limit]
        if near:
            level = min(near, key=lambda one: abs(one.place - place))
            new = weight if kind == "swings" else max(0.0, weight - level.weights[kind])
            if new:
                level.place = (level.place * level.strength + place * new) / (level.strength + new)
                level.weights[kind] += new
                level.began = min(level.began, began)
            return
        fresh = NaiveLevel(place, began)
        fresh.weights[kind] = weight
        if len(self.levels) < self.params.max_tracked:
            self.levels.append(fresh)
            return
        weakest = min(self.levels, key=lambda one: one.strength)
        if weakest.strength < weight:
            self.levels[self.levels.index(weakest)] = fresh

    def _age(self, share):
        for level in self.levels:
            level.weights = {kind: weight * share for kind, weight in level.weights.items()}
        i = 0
        while i < len(self.levels):
            if self.levels[i].strength < self.params.forget:
                self._drop(i)
            else:
                i += 1
        i = 0
        while i < len(self.levels):
            j = i + 1
            while j < len(self.levels):
                one, other = self.levels[i], self.levels[j]
                if abs(one.place - other.place) <= max(1.0, one.place * self.params.merge_bps / 10_000):
                    self._unite(one, other)
                    self._drop(j)
                else:
                    j += 1
            i += 1

    def _drop(self, i):
        last = self.levels.pop()
        if i < len(self.levels):
            self.levels[i] = last

    @staticmethod
    def _unite(one, other):
        total = one.strength + other.strength
        place = (one.place * one.strength + other.place * other.strength) / total
        if other.strength > one.strength:
            for name in ("came_from", "at", "gone_through", "outcome"):
                setattr(one, name, getattr(other, name))
        one.place = place
        one.weights = {
            kind: weight + other.weights[kind] if kind == "swings" else max(weight, other.weights[kind])
            for kind, weight in one.weights.items()
        }
        one.began = min(one.began, other.began)
        for name in ("touches", "touched", "holds", "breaks"):
            setattr(one, name, max(getattr(one, name), getattr(other, name)))

    def _look_for_swings(self, bars, interval):
        wing = self.params.wing
        least = max(1, self.params.swing_ranges * sum(bar[1] - bar[2] for bar in bars) / len(bars))
        for i in range(wing, len(bars) - wing):
            ts, high, low, _ = bars[i]
            if ts in self.swings_seen:
                continue
            self.swings_seen.add(ts)
            before, after = bars[i - wing : i], bars[i + 1 : i + 1 + wing]
            weight = 2 ** (-(bars[-1][0] - ts) / self.params.half_life_ns)
            if high > max(bar[1] for bar in before) and high >= max(bar[1] for bar in after):
                fall = min(high - min(bar[2] for bar in side) for side in (before, after))
                if fall >= least:
                    self.support("swings", float(high), weight, ts + interval)
            if low < min(bar[2] for bar in before) and low <= min(bar[2] for bar in after):
                rise = min(max(bar[1] for bar in side) - low for side in (before, after))
                if rise >= least:
                    self.support("swings", float(low), weight, ts + interval)

    def _look_for_volume(self, bars):
        top, bottom = max(bar[1] for bar in bars) + 0.5, min(bar[2] for bar in bars) - 0.5
        width = max(1.0, bars[-1][1] * self.params.merge_bps / 10_000)
        count = -int(-(top - bottom) // width)
        if count > 256:
            count, width = 256, (top - bottom) / 256
        start = (top + bottom - count * width) / 2
        masses = []
        for b in range(count):
            low, high = start + b * width, start + (b + 1) * width
            shares = (
                volume * max(0.0, min(over + 0.5, high) - max(under - 0.5, low)) / (over - under + 1)
                for _, over, under, volume in bars
            )
            masses.append(sum(shares))
        filled = [mass for mass in masses if mass > 1e-9]
        if not filled:
            return
        mean = sum(filled) / len(filled)
        for b, mass in enumerate(masses):
            neighbours = [masses[i] for i in (b - 1, b + 1) if 0 <= i < count]
            if all(mass >= other - 1e-9 * mean for other in (self.params.volume_multiple * mean, *neighbours)):
                self.support("volume", start + (b + 0.5) * width, 1.0, bars[0][0])
