"""Mark, index, last price and the funding schedule of one instrument, as far as the recording tells them."""

from decimal import Decimal

import msgspec

from stakan.adapters.exchanges.simulated.matching import Matching
from stakan.core.domain.events import Ticker
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import TriggerSource


class Known(msgspec.Struct):
    """What tickers have told so far."""

    funding_rate: Decimal
    mark: Decimal | None = None
    index: Decimal | None = None
    funding_ts: int = 0


class Reference:
    """Where the recording has no mark, the mid of the replayed book stands in; `mid_was_used` says so."""

    def __init__(self, rules: Instrument, matching: Matching, funding_rate: Decimal) -> None:
        self.rules = rules
        self.known = Known(funding_rate)
        self.mid_was_used = False
        self._matching = matching

    def update(self, ticker: Ticker) -> None:
        """Take over the fields that a ticker carries."""
        if ticker.mark is not None:
            self.known.mark = ticker.mark
        if ticker.index is not None:
            self.known.index = ticker.index
        if ticker.funding_rate is not None:
            self.known.funding_rate = ticker.funding_rate
        if ticker.next_funding_ts is not None and ticker.next_funding_ts > ticker.ts_event:
            self.known.funding_ts = ticker.next_funding_ts

    @property
    def funding_rate(self) -> Decimal:
        """Per funding interval."""
        return self.known.funding_rate

    @property
    def mark(self) -> Decimal | None:
        """Mark price; else mid; else the mid when the book was lost; else the last print; None before any."""
        if self.known.mark is not None:
            return self.known.mark
        matching = self._matching
        double = matching.best_bid + matching.best_ask if matching.is_live else matching.last_mid
        if double:
            self.mid_was_used = True
            return self.rules.tick_size * double / 2
        return self.rules.price(matching.last) if matching.last else None

    @property
    def index(self) -> Decimal | None:
        """Index price; mark where none is known."""
        return self.mark if self.known.index is None else self.known.index

    def price(self, source: TriggerSource) -> Decimal | None:
        """The price that a trigger watches."""
        match source:
            case TriggerSource.MARK:
                return self.mark
            case TriggerSource.INDEX:
                return self.index
            case TriggerSource.LAST:
                last = self._matching.last
                return self.rules.price(last) if last else self.mark

    def watches_mid(self, source: TriggerSource) -> bool:
        """Whether a trigger of this source follows the mid, because nothing better is known."""
        if source is TriggerSource.LAST:
            return False
        return self.known.mark is None and (source is TriggerSource.MARK or self.known.index is None)

    def next_funding(self, now: int) -> int:
        """First funding time after `now`: the ticker's, else a whole multiple of the interval since 1970."""
        interval = self.rules.funding_interval_ns
        if self.known.funding_ts > now:
            return self.known.funding_ts
        if self.known.funding_ts:
            return self.known.funding_ts + ((now - self.known.funding_ts) // interval + 1) * interval
        return (now // interval + 1) * interval
