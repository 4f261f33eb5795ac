"""A watching set beside its slow reference, both told the same events."""

import pytest
from tests.core.features import further_reference as reference
from tests.core.features.set_markets import Watched

from stakan.core.domain.events import BookDelta, BookSnapshot, FeedDown, TradePrint
from stakan.core.features.sets.order_flow import OrderFlow
from stakan.core.features.sets.resilience import Resilience
from stakan.core.features.sets.rolling import Rolling

EXPECTED = {
    "order_flow": reference.order_flow,
    "rolling": lambda told, now, _: reference.rolling(told, now),
    "resilience": lambda told, _now, _lot: reference.resilience(told, enough=3),
}
SPECS = {"order_flow": OrderFlow(), "rolling": Rolling(), "resilience": Resilience(enough=3)}


class Beside:
    """A set in an engine beside the slow record of the same events."""

    def __init__(self, name, rules=None):
        self.name, self.watched = name, Watched(name, SPECS[name], rules=rules)
        self.told, self.sides = reference.Told(), ({}, {})

    def tell(self, event):
        problems = self.market.book.gaps + self.market.book.crossings
        self.watched.tell(event)
        book = self.market.book
        if type(event) is FeedDown or book.gaps + book.crossings != problems:
            self._interrupt(event)
        elif type(event) is TradePrint:
            size, sign = event.size, int(event.side)
            self.told.trade(event.ts_event, event.price, size, sign, is_rpi=event.is_rpi)
        elif type(event) in (BookDelta, BookSnapshot) and book.is_fresh:
            self._apply(event)
        return self

    @property
    def market(self):
        return self.watched.market

    def _interrupt(self, event):
        known = self.told
        self.told = reference.Told()
        if type(event) is not FeedDown:
            # Only the book was interrupted.
            self.told.trades = [trade._replace(seen=0) for trade in known.trades]
            self.told.since = known.since

    def _apply(self, event):
        rows = event.levels.tolist()
        for side, part in zip(self.sides, (rows[: event.bid_count], rows[event.bid_count :]), strict=True):
            if type(event) is BookSnapshot:
                side.clear()
            for price, size in part:
                side.pop(price, None)
                if size:
                    side[price] = size
        if all(self.sides):
            bids, asks = sorted(self.sides[0].items(), reverse=True), sorted(self.sides[1].items())
            self.told.book(event.ts_event, bids[:300], asks[:300])

    def compare(self):
        """What is warm is what the reference knows, and equal; returns the names."""
        now = self.market.ts_event
        vector, expected = self.watched.read(now), EXPECTED[self.name](self.told, now, self.watched.rules.lot_size)
        warm = {key for key in vector.spec.definitions if vector.is_warm(key)} - {"vpin"}
        assert warm == set(expected)
        for key, value in expected.items():
            # A skew divides what is left of differences of nearly equal numbers by as little.
            tolerance = 1e-6 if "_skew_" in key else 1e-9
            assert vector.of(key) == pytest.approx(value, rel=tolerance, abs=1e-12 if tolerance == 1e-9 else 1e-6), key
        return warm
