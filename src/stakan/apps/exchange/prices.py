"""Mark, index, funding and price band of one symbol: the source's where it has them, else Bybit's formulas."""

from collections import deque
from decimal import Decimal
from math import isqrt
from statistics import median

import numpy as np

from stakan.adapters.exchanges.simulated.margin import band_edge
from stakan.core.domain.events import Ticker
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import HOUR, MINUTE, Side, Ticks
from stakan.core.market.book import Book

SETTLEMENTS_KEPT = 1_000
_BASIS_SAMPLES = 300
"""Seconds of the moving average in the mark price."""
_INDEX_WEIGHT = 0.1
"""Of each second's mid in the smoothed mid that stands in for an index."""
_INTEREST_PER_DAY = 0.0003
_CLAMP = 0.0005
_IMPACT_PER_LEVERAGE = 200.0
"""Quote currency of the impact size per unit of the highest leverage; Bybit does not publish its own numbers."""
_RATE_STEP = Decimal("0.00000001")
_BASE_RATE = Decimal("0.0001")


def funding_cap(rules: Instrument) -> Decimal:
    """Highest funding rate: 0.75 x (initial - maintenance rate) of the first tier, at most the maintenance rate."""
    if not rules.margin_tiers:
        return Decimal("0.005")
    tier = rules.margin_tiers[0]
    room = (1 / tier.max_leverage - tier.maintenance_rate) * Decimal("0.75")
    return min(room, tier.maintenance_rate) if room > 0 else tier.maintenance_rate


def price_band(rules: Instrument, mark: Decimal, index: Decimal) -> tuple[Ticks, Ticks]:
    """Highest buy and lowest sell price in ticks, as the matching core moves orders."""
    buy, sell = (band_edge(rules, side, mark, index) for side in (Side.BUY, Side.SELL))
    return min(buy, rules.max_price), max(sell, rules.min_price)


class Prices:
    """Reference prices of one symbol. Where the source has no index, the smoothed mid stands in for it."""

    def __init__(self, rules: Instrument, now: int) -> None:
        self.mark: Decimal | None = None
        self.index: Decimal | None = None
        self.rate = _BASE_RATE * rules.funding_interval_ns / (8 * HOUR)
        """Estimate for the next settlement."""
        self.open_interest: Decimal | None = None
        self.next_funding = (now // rules.funding_interval_ns + 1) * rules.funding_interval_ns
        self.settlements: deque[tuple[int, Decimal]] = deque(maxlen=SETTLEMENTS_KEPT)
        """(time, rate), newest first."""
        self._rules = rules
        self._cap = funding_cap(rules)
        self._is_marked = self._is_indexed = self._is_rated = False
        self._last_rate = self.rate
        self._smoothed = 0.0
        self._basis: deque[float] = deque(maxlen=_BASIS_SAMPLES)
        self._minute = 0
        self._weights = 0
        self._weighted = 0.0

    def tell(self, ticker: Ticker) -> None:
        """What the source says; its funding times are of its own days and are not taken over."""
        if ticker.mark is not None:
            self.mark = ticker.mark
            self._is_marked = True
        if ticker.index is not None:
            self.index = ticker.index
            self._is_indexed = True
        if ticker.funding_rate is not None:
            self.rate = min(max(ticker.funding_rate, -self._cap), self._cap)
            self._is_rated = True
        if ticker.open_interest is not None:
            self.open_interest = ticker.open_interest

    def sample(self, now: int, book: Book, last: int) -> None:
        """Once a second, where the book has both sides: whatever the source does not say; `last` in ticks, 0: none."""
        mid = book.mid
        self._smoothed += _INDEX_WEIGHT * (mid - self._smoothed) if self._smoothed else mid
        if not self._is_indexed:
            self.index = self._price(self._smoothed)
        index = float(self.index or 0) / float(self._rules.tick_size)
        self._basis.append(mid - index)
        if not self._is_marked:
            hours = (self.next_funding - now) / HOUR
            first = index * (1 + float(self._last_rate) * hours / (self._rules.funding_interval_ns / HOUR))
            second = index + sum(self._basis) / len(self._basis)
            self.mark = self._price(median((first, second, float(last) or mid)))
        if not self._is_rated and now // MINUTE > self._minute:
            self._minute = now // MINUTE
            self._estimate(book, index)

    def settle(self, published: Decimal) -> None:
        """The funding time has come: `published` is the rate that holds for it."""
        self.settlements.appendleft((self.next_funding, published))
        self._last_rate = published
        self.next_funding += self._rules.funding_interval_ns
        self._weights, self._weighted = 0, 0.0

    @property
    def premium(self) -> Decimal | None:
        """Mark over index, as a share of the index."""
        if self.mark is None or not self.index:
            return None
        return ((self.mark - self.index) / self.index).quantize(Decimal("0.000001"))

    def _estimate(self, book: Book, index: float) -> None:
        """One minute's sample of the premium index; later ones weigh more."""
        bid, ask = (self._impact(book, side) for side in (Side.BUY, Side.SELL))
        premium = (max(0.0, bid - index) - max(0.0, index - ask)) / index
        count = 1 + self._count
        self._weights += count
        self._weighted += count * premium
        average = self._weighted / self._weights
        interest = _INTEREST_PER_DAY * self._rules.funding_interval_ns / (24 * HOUR)
        rate = average + min(max(interest - average, -_CLAMP), _CLAMP)
        self.rate = min(max(Decimal(rate).quantize(_RATE_STEP), -self._cap), self._cap)

    @property
    def _count(self) -> int:
        """Samples so far, from the sum of the weights 1 to n."""
        return (isqrt(8 * self._weights + 1) - 1) // 2

    def _impact(self, book: Book, side: Side) -> float:
        """Mean price in ticks of a market order of the impact size."""
        rows = book.depth(side).astype(np.float64)
        unit = float(self._rules.tick_size * self._rules.lot_size)
        wanted = _IMPACT_PER_LEVERAGE * float(self._rules.max_leverage)
        values = rows[:, 0] * rows[:, 1] * unit
        before = np.cumsum(values) - values
        taken = np.clip(wanted - before, 0.0, values)
        return float(taken.sum() / (taken / rows[:, 0]).sum())

    def _price(self, ticks: float) -> Decimal:
        """To a tenth of a tick."""
        return self._rules.tick_size * round(ticks * 10) / 10
