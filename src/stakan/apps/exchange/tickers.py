"""The ticker of one symbol: all its fields as the protocol writes them, and what has changed since the last time."""

from decimal import Decimal
from typing import NamedTuple

import msgspec

from stakan.apps.exchange.bars import BarSeries
from stakan.apps.exchange.numbers import Formats, plain
from stakan.apps.exchange.prices import Prices, funding_cap
from stakan.core.domain.events import Ticker
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import DAY, HOUR, MILLISECOND, MINUTE, Nanos
from stakan.core.market.book import Book

_MINUTES_PER_DAY = DAY // MINUTE
_PERCENT_STEP = Decimal("0.000001")
_CENT = Decimal("0.01")
_SIZE_STEP = Decimal("0.000001")
_encode = msgspec.json.Encoder().encode


class Day(NamedTuple):
    """The closed minutes of the last 24 hours, as far as the exchange has run."""

    minute: int
    """Start of the open minute that follows them."""
    first: int
    hour_ago: int
    high: int
    low: int
    size: int
    value: int


class TickerTopic:
    """`tickers.{symbol}`: a snapshot, then changed fields only."""

    def __init__(self, rules: Instrument, symbol: str, formats: Formats) -> None:
        self.name = f"tickers.{symbol}"
        self._rules = rules
        self._formats = formats
        self._day: Day | None = None
        self._told: tuple[object, ...] = ()
        self._made_of: list[tuple[object, ...]] = [(), (), ()]
        """What prices, touch and statistics were last made of: they are not put into text again before that changes."""
        hours = rules.funding_interval_ns // HOUR
        self.fields = {"symbol": symbol, "fundingIntervalHour": str(hours), "fundingCap": plain(funding_cap(rules))}
        self.fields |= {"preOpenPrice": "", "preQty": "", "curPreListingPhase": ""}

    @property
    def is_published(self) -> bool:
        """Whether there has been a first update."""
        return bool(self._told)

    def update(self, prices: Prices, book: Book, bars: BarSeries, tick_direction: str) -> dict[str, str]:
        """Bring the fields up to date; returns those that changed."""
        fields: dict[str, str] = {}
        if self._is_new(0, prices.mark, prices.index, prices.rate, prices.next_funding, prices.open_interest):
            fields |= self._references(prices)
        touch = (book.best_bid, book.best_bid_size, book.best_ask, book.best_ask_size)
        if self._is_new(1, *touch):
            fields |= self._touch(*touch)
        minute = bars.current("1")
        if minute is not None and self._is_new(
            2, minute.start, minute.close, minute.size, minute.value, tick_direction
        ):
            fields |= self._statistics(bars) | {"tickDirection": tick_direction}
        changed = {name: text for name, text in fields.items() if self.fields.get(name) != text}
        self.fields |= changed
        return changed

    def _is_new(self, which: int, *made_of: object) -> bool:
        if made_of == self._made_of[which]:
            return False
        self._made_of[which] = made_of
        return True

    def event(self, prices: Prices, last: int, now: int) -> Ticker | None:
        """What is published, as an event; None where nothing in it has changed since the last one."""
        told = (prices.mark, prices.index, last, prices.rate, prices.next_funding, prices.open_interest)
        if told == self._told:
            return None
        self._told = told
        return Ticker(
            instrument=self._rules.id,
            ts_event=now,
            ts_recv=now,
            mark=prices.mark,
            index=prices.index,
            last=self._rules.price(last) if last else None,
            funding_rate=prices.rate,
            next_funding_ts=Nanos(prices.next_funding),
            open_interest=prices.open_interest,
        )

    def frame(self, kind: str, data: dict[str, str], seq: int, now: int) -> bytes:
        """`snapshot` of all fields or `delta` of some."""
        envelope = {"topic": self.name, "type": kind, "data": data, "cs": seq, "ts": now // MILLISECOND}
        return _encode(envelope)

    def _references(self, prices: Prices) -> dict[str, str]:
        interest, mark = prices.open_interest, prices.mark
        worth = None if interest is None or mark is None else (interest * mark).quantize(_CENT)
        return {
            "markPrice": plain(mark),
            "indexPrice": plain(prices.index),
            "fundingRate": plain(prices.rate),
            "nextFundingTime": str(prices.next_funding // MILLISECOND),
            "openInterest": plain(interest),
            "openInterestValue": plain(worth),
            "singleOpenInterest": plain(None if interest is None else (interest / 2).quantize(_SIZE_STEP)),
            "singleOpenInterestValue": plain(None if worth is None else (worth / 2).quantize(_CENT)),
        }

    def _touch(self, bid: int, bid_size: int, ask: int, ask_size: int) -> dict[str, str]:
        price, size = self._formats.price.text, self._formats.size.text
        return {
            "bid1Price": price(bid) if bid else "",
            "bid1Size": size(bid_size) if bid else "",
            "ask1Price": price(ask) if ask else "",
            "ask1Size": size(ask_size) if ask else "",
        }

    def _statistics(self, bars: BarSeries) -> dict[str, str]:
        day, minute = self._last_day(bars), bars.current("1")
        if minute is None:
            return {}
        price = self._formats.price.text
        change = Decimal(minute.close - day.first) / Decimal(day.first)
        return {
            "lastPrice": price(int(minute.close)),
            "prevPrice24h": price(day.first),
            "prevPrice1h": price(day.hour_ago),
            "price24hPcnt": plain(change.quantize(_PERCENT_STEP)),
            "highPrice24h": price(max(day.high, int(minute.high))),
            "lowPrice24h": price(min(day.low, int(minute.low))),
            "volume24h": self._formats.size.text(day.size + minute.size),
            "turnover24h": self._formats.value.text(day.value + minute.value),
        }

    def _last_day(self, bars: BarSeries) -> Day:
        minute = bars.current("1")
        if self._day is None or minute is None or self._day.minute != minute.start:
            self._day = _day(bars)
        return self._day


def _day(bars: BarSeries) -> Day:
    """Raises ValueError where nothing has been traded."""
    minute = bars.current("1")
    if minute is None:
        raise ValueError("no bar to make statistics of")
    closed = bars.latest_minutes(_MINUTES_PER_DAY - 1)
    every = [minute, *closed]
    return Day(
        minute=minute.start,
        first=int(every[-1].open),
        hour_ago=int(every[min(60, len(every)) - 1].open),
        high=max(int(bar.high) for bar in every),
        low=min(int(bar.low) for bar in every),
        size=sum(bar.size for bar in closed),
        value=sum(bar.value for bar in closed),
    )
