"""A stream of market events on its way into markets and features: of one instrument, and of any number."""

from collections.abc import Iterable

import msgspec

from stakan.core.domain.errors import DataError
from stakan.core.domain.events import (
    BookDelta,
    BookSnapshot,
    Candle,
    FeedDown,
    InstrumentChanged,
    MarketEvent,
    TradePrint,
)
from stakan.core.domain.facts import AnyFact
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MINUTE, Nanos
from stakan.core.features.params import FeatureParams
from stakan.core.features.pipeline import FeaturePipeline
from stakan.core.features.vector import FeatureVector
from stakan.core.market.book import BookState
from stakan.core.market.densities import DensityParams
from stakan.core.market.picture import MarketPicture

_LIVE = BookState.LIVE


class MarketStream(msgspec.Struct):
    """One instrument's market, and its features, which see every book that can be used."""

    rules: Instrument
    market: MarketPicture
    features: FeaturePipeline

    def apply_book(self, event: BookDelta | BookSnapshot) -> AnyFact | None:
        """Take a book message in; returns what went wrong or was mended."""
        problem = self.market.apply_book(event)
        if problem is not None:
            self.features.restart()
        book = self.market.book
        if book.is_fresh and book.is_two_sided and book.state is _LIVE:
            self.features.observe(book)
        return problem

    def interrupt(self) -> None:
        """The feed is down: nothing here can be trusted until it is back."""
        self.market.interrupt()
        self.features.restart()


class MultiSymbolFeaturePipeline:
    """Features of any number of instruments from one stream of market events, as an engine has them.

    Instruments share nothing. `densities` are the thresholds of an engine whose strategies read densities, None for one
    that does not follow them: long-lived ones are levels of support and resistance.
    """

    def __init__(
        self,
        instruments: Iterable[Instrument],
        *,
        candle_interval_ns: Nanos = MINUTE,
        params: FeatureParams | None = None,
        densities: DensityParams | None = None,
    ) -> None:
        self._candle_interval_ns = candle_interval_ns
        self._params = params
        self._densities = densities
        self._streams = {rules.id: self._begun(rules) for rules in instruments}
        self._now = 0

    def take(self, event: MarketEvent) -> None:
        """Take the next event in; those without a say in features pass by.

        Raises DataError where the event is of an instrument that is not followed, or where its receive time goes back.
        """
        stream = self._stream(event.instrument)
        if event.ts_recv < self._now:
            raise DataError(f"receive time goes back from {self._now} to {event.ts_recv} ({type(event).__name__})")
        self._now = event.ts_recv
        match event:
            case BookDelta() | BookSnapshot():
                stream.apply_book(event)
            case TradePrint():
                stream.market.apply_print(event)
            case Candle():
                stream.market.apply_candle(event)
            case FeedDown():
                stream.interrupt()
            case InstrumentChanged():
                self._change_rules(stream, event.rules)
            case _:
                return
        market = stream.market
        if market.ts_event >= market.next_candle_end:
            market.advance(market.ts_event)

    def read(self, instrument: InstrumentId) -> FeatureVector:
        """The vector as of the instrument's newest event; its next reading overwrites it.

        Raises DataError for an instrument that is not followed, and where its book has no vector to give.
        """
        stream = self._stream(instrument)
        return stream.features.read(stream.market, stream.market.ts_event)

    def market(self, instrument: InstrumentId) -> MarketPicture:
        """The market that an instrument's features are of: to be read, never changed."""
        return self._stream(instrument).market

    def _begun(self, rules: Instrument) -> MarketStream:
        market = MarketPicture.start(
            rules,
            self._densities or DensityParams(),
            self._candle_interval_ns,
            follow_densities=self._densities is not None,
        )
        return MarketStream(rules, market, FeaturePipeline.start(rules, self._params))

    def _change_rules(self, stream: MarketStream, rules: Instrument) -> None:
        """Another grid means other ticks and lots: all begins anew."""
        if (rules.tick_size, rules.lot_size) == (stream.rules.tick_size, stream.rules.lot_size):
            stream.rules = rules
        else:
            self._streams[rules.id] = self._begun(rules)

    def _stream(self, instrument: InstrumentId) -> MarketStream:
        try:
            return self._streams[instrument]
        except KeyError:
            known = ", ".join(sorted(self._streams))
            raise DataError(f"{instrument} is not followed; instruments here: {known}") from None
