"""Everything known of one instrument's market: book, tape, candles, densities, levels, ticker, and what woke us."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from stakan.core.domain.events import BestQuote, BookDelta, BookSnapshot, Candle, Ticker, TradePrint
from stakan.core.domain.facts import AnyFact, LevelTested
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Nanos
from stakan.core.market.book import Book
from stakan.core.market.candles import GRACE_NS, CandleBuilder
from stakan.core.market.densities import DensityKind, DensityParams, DensityTracker
from stakan.core.market.levels import LevelParams, LevelTracker
from stakan.core.market.survival import DensityLives
from stakan.core.market.tape import Tape

_NEVER = 2**62
_LARGE_SHARE = 0.99
_LARGE_EVERY = 256
"""The size of a large print is taken anew after so many prints."""
_WAKING = (DensityKind.ERODED, DensityKind.CONSUMED, DensityKind.CANCELLED)
"""What does not wait for the decision grid; a tuple, because members of an enum are slow to hash."""


class TickerState(msgspec.Struct):
    """The newest value of each ticker field; None where it was never told."""

    mark: Decimal | None = None
    index: Decimal | None = None
    last: Decimal | None = None
    funding_rate: Decimal | None = None
    next_funding_ts: Nanos | None = None
    open_interest: Decimal | None = None
    ts_recv: int = 0
    """When the newest message came."""

    def merge(self, event: Ticker) -> None:
        """Take over the fields that a message carries."""
        for name in self.__struct_fields__:
            value = getattr(event, name)
            if value is not None:
                setattr(self, name, value)


class MarketPicture(msgspec.Struct, eq=False):
    """The market of one instrument. Strategies read it; only the engine changes it."""

    tick_size: Decimal
    book: Book
    tape: Tape
    candles: CandleBuilder
    densities: DensityTracker
    levels: LevelTracker
    lives: DensityLives
    """Of densities, where they are followed."""
    ticker: TickerState
    quote: BestQuote | None = None
    ts_event: int = 0
    """Newest exchange time of a book message or print: what windows, candles and the decision grid go by."""
    has_trigger: bool = False
    """Something happened that should not wait for the decision grid."""
    large_lots: float = 0.0
    """A print of at least so many lots is large; 0 until enough were seen."""
    prints: int = 0
    tested: tuple[LevelTested, ...] = ()
    """Touches of levels that the last book message ended."""
    next_candle_end: int = _NEVER
    """Exchange time from which on `advance` has a candle to close."""

    @classmethod
    def start(
        cls,
        rules: Instrument,
        densities: DensityParams,
        candle_interval_ns: int,
        *,
        follow_densities: bool = True,
        levels: LevelParams | None = None,
    ) -> "MarketPicture":
        """The picture of a market that has shown nothing yet."""
        followed = DensityTracker.start(rules, densities, is_followed=follow_densities)
        return cls(
            tick_size=rules.tick_size,
            book=Book(rules.id),
            tape=Tape(),
            candles=CandleBuilder.start(rules, candle_interval_ns),
            densities=followed,
            levels=LevelTracker.start(levels),
            lives=DensityLives.start(followed.value_unit, densities),
            ticker=TickerState(),
        )

    def apply_book(self, event: BookDelta | BookSnapshot) -> AnyFact | None:
        """Take a book message in; returns what went wrong or was mended."""
        if event.ts_event > self.ts_event:
            self.ts_event = event.ts_event
        problem = self.book.apply(event)
        if self.densities.is_followed:
            changes = self.densities.update(self.book, event)
            if changes:
                self.levels.on_densities(changes)
                self.lives.update(changes, self.book.mid, is_new_book=type(event) is BookSnapshot)
                self.has_trigger = self.has_trigger or any(change.kind in _WAKING for change in changes)
        self.tested = self.levels.on_book(self.book) if self.book.is_fresh and self.book.is_usable else ()
        return problem

    def apply_print(self, event: TradePrint) -> Sequence[AnyFact]:
        """Take a trade print in, once; returns closed candles and lateness."""
        if event.ts_event > self.ts_event:
            self.ts_event = event.ts_event
        if not self.tape.update(event):
            return ()
        if self.densities.is_followed:
            self.densities.on_print(event)
        # An RPI print took what the book never showed: nothing that others could have taken has changed.
        if self.large_lots and event.size >= self.large_lots and not event.is_rpi:
            self.has_trigger = True
        self.prints += 1
        if self.prints % _LARGE_EVERY == 0:
            self.large_lots = self.tape.large_size(_LARGE_SHARE)
        facts = self.candles.update(event)
        if facts or self.next_candle_end == _NEVER:
            self._after_candles()
        return facts

    def apply_ticker(self, event: Ticker) -> None:
        """Take in what a ticker message carries; its clock is the push system's and moves no window."""
        self.ticker.merge(event)

    def apply_candle(self, event: Candle) -> Sequence[AnyFact]:
        """Take the exchange's candle in where it is of our interval."""
        if event.interval_ns != self.candles.interval_ns:
            return ()
        facts = self.candles.accept(event)
        self._after_candles()
        return facts

    def advance(self, now: int) -> Sequence[AnyFact]:
        """Exchange time is at least `now`: close candles that have ended."""
        facts = self.candles.advance(now)
        self._after_candles()
        return facts

    def interrupt(self) -> None:
        """The feed is down: nothing here can be trusted until it is back."""
        self.book.invalidate()
        self.ticker.mark = None
        self.tape.interrupt()
        self.candles.interrupt()
        self.levels.interrupt()
        self.lives.interrupt(self.densities.book_ts)

    def take_trigger(self) -> bool:
        """Whether something woke us since the last time."""
        woken = self.has_trigger
        self.has_trigger = False
        return woken

    def mark(self, now: int, max_age_ns: int) -> Decimal | None:
        """Mark price that the exchange told within `max_age_ns` of receive time `now`, else the mid; None without."""
        if self.ticker.mark is not None and now - self.ticker.ts_recv <= max_age_ns:
            return self.ticker.mark
        if not self.book.is_usable:
            return None
        return self.tick_size * (self.book.best_bid + self.book.best_ask) / 2

    def _after_candles(self) -> None:
        candles = self.candles
        if candles.revision != self.levels.revision:
            self.levels.on_candles(candles, self.densities)
        self.next_candle_end = _NEVER if candles.open_ts < 0 else candles.open_ts + candles.interval_ns + GRACE_NS
