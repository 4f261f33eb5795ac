"""One symbol on the board: its book, prints, bars and prices, and the topics that show them."""

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import NamedTuple

import msgspec

from stakan.apps.exchange.agenda import Agenda
from stakan.apps.exchange.bars import Bar, BarSeries
from stakan.apps.exchange.depth import INTERVALS_NS, REPEAT_NS, DepthTopic
from stakan.apps.exchange.numbers import formats_of
from stakan.apps.exchange.prices import Prices, price_band
from stakan.apps.exchange.tickers import TickerTopic
from stakan.apps.exchange.topics import Topic
from stakan.core.domain.batch import MarketBatch
from stakan.core.domain.events import BookDelta, BookSnapshot, FeedDown, Ticker, TradePrint
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND, Side
from stakan.core.market.book import Book, BookState

Emit = Callable[[str, bytes], None]
"""(topic, compact JSON frame); called only for topics that are open."""
PRINTS_KEPT = 1_000
REFERENCE_BARS_KEPT = 200
"""Of mark, index and premium, each interval: as many as a request gets that does not say how many."""
TICKER_NS = 100 * MILLISECOND
LIMIT_NS = 300 * MILLISECOND
INTEREST_NS = 5 * MINUTE
LIQUIDATION_NS = 500 * MILLISECOND
_PRINTS_PER_FRAME = 1_024
_NOTHING_OPEN = Decimal(0)
_LIVE = BookState.LIVE
_encode = msgspec.json.Encoder().encode


class Print(NamedTuple):
    """A trade print as it is shown."""

    ts: int
    side: str
    price: str
    size: str
    id: int
    is_rpi: bool
    seq: int
    direction: str


class SymbolBoard:
    """Follows one symbol's market. `seq` counts everything that happened to it and is shown with each message."""

    def __init__(
        self, symbol: str, rules: Instrument, emit: Emit, agenda: Agenda, now: int, *, is_conflated: bool, phase: int
    ) -> None:
        """`phase`: how long after the multiples of their interval its tickers go out."""
        self.symbol = symbol
        self._trades_name = f"publicTrade.{symbol}"
        self._limits_name = f"priceLimit.{symbol}"
        self._liquidations_name = f"allLiquidation.{symbol}"
        self.rules = rules
        self.formats = formats_of(rules)
        self.book = Book(rules.id)
        self.prices = Prices(rules, now)
        self.bars = BarSeries()
        self.mark_bars = BarSeries(REFERENCE_BARS_KEPT)
        self.index_bars = BarSeries(REFERENCE_BARS_KEPT)
        self.premium_bars = BarSeries(REFERENCE_BARS_KEPT)
        self.prints: deque[Print] = deque(maxlen=PRINTS_KEPT)
        """Oldest first."""
        self.interest: deque[tuple[int, Decimal]] = deque(maxlen=PRINTS_KEPT)
        """(time, open interest) at every fifth minute, newest first; 0 where the source does not say it."""
        self.seq = now // MILLISECOND
        self.ticker = TickerTopic(rules, symbol, self.formats)
        self.tickers: list[Ticker] = []
        """Published and not yet taken."""
        self.published: Ticker | None = None
        """The ticker that was published last, whole."""
        scales = self.formats.scales
        self.depths = {depth: DepthTopic(depth, symbol, scales) for depth in INTERVALS_NS}
        self._by_name = {topic.name: topic for topic in self.depths.values()}
        self._emit = emit
        self._agenda = agenda
        self._is_conflated = is_conflated
        self._open: dict[str, int] = {}
        """Subscribers by topic."""
        self._books: tuple[DepthTopic, ...] = ()
        """Book topics that are open."""
        self._klines: dict[str, tuple[int, int]] = {}
        """By interval that is open: end of the last confirmed bar, `seq` of the last print that was shown."""
        self._waiting: list[Print] = []
        self._liquidations: list[dict[str, object]] = []
        self._last = 0
        self._last_ts = 0
        self._printed = 0
        self._direction = "ZeroPlusTick"
        self._published_rate = self.prices.rate
        self._is_repeating = False
        self._is_quiet = False
        """Whether nothing has happened since the last ticker."""
        agenda.every(SECOND, self._each_second, now)
        agenda.every(TICKER_NS, self._each_ticker, now, phase)
        agenda.every(LIMIT_NS, self._each_limit, now)

    # --- the market -------------------------------------------------------------------------------------------------

    def apply(self, batch: MarketBatch) -> None:
        """Rows of the market in their order."""
        self._is_quiet = False
        for event in batch.events():
            if type(event) is BookDelta or type(event) is BookSnapshot:
                self._flush_prints()
                self.seq += 1
                self.book.apply(event)
                if self.book.state is _LIVE and self.book.is_fresh:
                    self._book_changed(event.ts_event)
            elif type(event) is TradePrint:
                self._print(event)
            elif type(event) is Ticker:
                self.prices.tell(event)
            elif type(event) is FeedDown:
                self._flush_prints()
                self.book.invalidate()
                for topic in self.depths.values():
                    topic.restart()
        self._flush_prints()

    def _book_changed(self, now: int) -> None:
        for topic in self._books:
            if not self._is_conflated:
                self._push(topic, now)
            elif not topic.is_due:
                topic.is_due = True
                self._agenda.note(max(now, topic.pushed + topic.interval), partial(self._push, topic))

    def _push(self, topic: DepthTopic, now: int) -> None:
        topic.is_due = False
        if self.book.state is not _LIVE or topic.name not in self._open:
            return
        frame = topic.push(self.book, self.seq, now)
        if frame is not None:
            self._emit(topic.name, frame)

    def _print(self, event: TradePrint) -> None:
        self.seq += 1
        if event.price != self._last:
            self._direction = "PlusTick" if event.price > self._last else "MinusTick"
        elif not self._direction.startswith("Zero"):
            self._direction = f"Zero{self._direction}"
        self._last, self._last_ts, self._printed = event.price, event.ts_event, self.seq
        self.bars.add(event.ts_event, event.price, event.size, event.price * event.size)
        shown = Print(
            ts=event.ts_event // MILLISECOND,
            side="Buy" if event.side is Side.BUY else "Sell",
            price=self.formats.price.text(event.price),
            size=self.formats.size.text(event.size),
            id=event.trade_id,
            is_rpi=event.is_rpi,
            seq=self.seq,
            direction=self._direction,
        )
        self.prints.append(shown)
        if self._trades_name in self._open:
            if self._waiting and (self._waiting[0].ts != shown.ts or len(self._waiting) == _PRINTS_PER_FRAME):
                self._flush_prints()
            self._waiting.append(shown)

    def _flush_prints(self) -> None:
        """Send the prints of one instant that nothing else came between."""
        if not self._waiting:
            return
        symbol = self.symbol
        rows = ",".join(
            f'{{"T":{row.ts},"s":"{symbol}","S":"{row.side}","v":"{row.size}","p":"{row.price}","L":"{row.direction}",'
            f'"i":"{row.id}","BT":false,"RPI":{"true" if row.is_rpi else "false"},"seq":{row.seq}}}'
            for row in self._waiting
        )
        topic, ts = self._trades_name, self._waiting[0].ts
        self._waiting.clear()
        self._emit(topic, f'{{"topic":"{topic}","type":"snapshot","ts":{ts},"data":[{rows}]}}'.encode())

    def liquidated(self, side: str, size: int, price: int, at: int) -> None:
        """See `Board.liquidated`."""
        topic = self._liquidations_name
        if topic not in self._open:
            return
        if not self._liquidations:
            self._agenda.note((at // LIQUIDATION_NS + 1) * LIQUIDATION_NS, self._send_liquidations)
        row = {"T": at // MILLISECOND, "s": self.symbol, "S": side}
        row |= {"v": self.formats.size.text(size), "p": self.formats.price.text(price)}
        self._liquidations.append(row)

    # --- time -------------------------------------------------------------------------------------------------------

    def _each_second(self, now: int) -> None:
        if self.book.is_usable:
            self.prices.sample(now, self.book, self._last)
        for bars, value in (
            (self.mark_bars, self.prices.mark),
            (self.index_bars, self.prices.index),
            (self.premium_bars, self.prices.premium),
        ):
            if value is not None:
                bars.add(now, value)
        self.bars.roll(now)
        self._is_quiet = False
        slot = now // INTEREST_NS * INTEREST_NS
        if not self.interest or self.interest[0][0] < slot:
            self.interest.appendleft((slot, self.prices.open_interest or _NOTHING_OPEN))
        for interval in self._klines:
            self._show_kline(interval, now)

    def _each_ticker(self, now: int) -> None:
        prices = self.prices
        while prices.next_funding <= now:
            prices.settle(self._published_rate)
            self._is_quiet = False
        if self._is_quiet:
            return
        self._is_quiet = True
        self._publish_ticker(now)

    def _publish_ticker(self, now: int) -> None:
        prices = self.prices
        if prices.mark is None and self.book.is_usable:
            prices.sample(now, self.book, self._last)
        self._published_rate = prices.rate
        changed = self.ticker.update(prices, self.book, self.bars, self._direction)
        event = self.ticker.event(prices, self._last, now)
        if event is not None:
            self.published = event
            self.tickers.append(event)
        if changed and self.ticker.name in self._open:
            data = {"symbol": self.symbol, **changed}
            self._emit(self.ticker.name, self.ticker.frame("delta", data, self.seq, now))

    def _each_limit(self, now: int) -> None:
        topic = self._limits_name
        if topic in self._open and (limits := self.limits()):
            self._emit(topic, _encode({"topic": topic, "data": limits, "ts": now // MILLISECOND}))

    def _send_liquidations(self, now: int) -> None:
        topic = self._liquidations_name
        rows, self._liquidations = self._liquidations, []
        if topic in self._open:
            self._emit(topic, _encode({"topic": topic, "type": "snapshot", "ts": now // MILLISECOND, "data": rows}))

    def _repeat(self, now: int) -> None:
        """Level 1 is sent again after silence, as long as somebody listens."""
        topic = self.depths[1]
        self._is_repeating = topic.name in self._open
        if not self._is_repeating:
            return
        if topic.pushed + REPEAT_NS <= now and self.book.state is _LIVE:
            self._emit(topic.name, topic.repeat(now))
        self._agenda.note((topic.pushed if topic.pushed + REPEAT_NS > now else now) + REPEAT_NS, self._repeat)

    def _show_kline(self, interval: str, now: int) -> None:
        """The bars that are over since the last time, then the open one if it changed."""
        topic = f"kline.{interval}.{self.symbol}"
        confirmed, printed = self._klines[interval]
        closed = self.bars.last_closed(interval)
        if closed is not None and closed.end > confirmed:
            confirmed = closed.end
            self._emit(topic, self._kline_frame(topic, interval, closed, now, is_final=True))
        current = self.bars.current(interval)
        if current is not None and printed != self._printed:
            self._emit(topic, self._kline_frame(topic, interval, current, now, is_final=False))
        self._klines[interval] = (confirmed, self._printed)

    def _kline_frame(self, topic: str, interval: str, bar: Bar, now: int, *, is_final: bool) -> bytes:
        price = self.formats.price.text
        row = {
            "start": bar.start // MILLISECOND,
            "end": bar.end // MILLISECOND - 1,
            "interval": interval,
            "open": price(int(bar.open)),
            "close": price(int(bar.close)),
            "high": price(int(bar.high)),
            "low": price(int(bar.low)),
            "volume": self.formats.size.text(bar.size),
            "turnover": self.formats.value.text(bar.value),
            "confirm": is_final,
            "timestamp": min(max(self._last_ts, bar.start), bar.end - MILLISECOND) // MILLISECOND,
        }
        return _encode({"topic": topic, "data": [row], "ts": now // MILLISECOND, "type": "snapshot"})

    # --- subscribers ------------------------------------------------------------------------------------------------

    def open(self, topic: Topic, name: str, now: int) -> list[bytes]:
        """One more subscriber of a topic; returns its first frames."""
        is_first = name not in self._open
        if topic.kind == "tickers" and not self.ticker.is_published:
            self._publish_ticker(now)
        self._open[name] = self._open.get(name, 0) + 1
        if topic.kind == "orderbook":
            return self._open_book(self._by_name[name], now, is_first=is_first)
        if topic.kind == "tickers":
            return [self.ticker.frame("snapshot", self.ticker.fields, self.seq, now)]
        if topic.kind == "kline":
            closed = self.bars.last_closed(topic.argument)
            if is_first:
                self._klines[topic.argument] = (closed.end if closed else 0, self._printed)
            current = self.bars.current(topic.argument)
            return [self._kline_frame(name, topic.argument, current, now, is_final=False)] if current else []
        return []

    def close(self, topic: Topic, name: str) -> None:
        """One subscriber less; raises KeyError where it had none."""
        left = self._open[name] - 1
        if left:
            self._open[name] = left
            return
        del self._open[name]
        if topic.kind == "orderbook":
            self._books = tuple(book for book in self._books if book.name != name)
        elif topic.kind == "kline":
            del self._klines[topic.argument]
        elif topic.kind == "publicTrade":
            self._waiting.clear()

    def _open_book(self, topic: DepthTopic, now: int, *, is_first: bool) -> list[bytes]:
        if is_first:
            self._books = (*self._books, topic)
            self._refresh(topic)
            if topic.depth == 1 and not self._is_repeating:
                self._is_repeating = True
                self._agenda.note(now + REPEAT_NS, self._repeat)
        return [] if topic.is_restarting else [topic.snapshot(now)]

    def _refresh(self, topic: DepthTopic) -> None:
        if self.book.state is _LIVE:
            topic.refresh(self.book, self.seq)

    # --- for those who ask ------------------------------------------------------------------------------------------

    def deep_book(self) -> DepthTopic:
        """The topic of 1000 levels, up to date where nobody listens to it."""
        topic = self.depths[1000]
        if topic.name not in self._open:
            self._refresh(topic)
        return topic

    def ticker_now(self, now: int) -> dict[str, str]:
        """The published ticker, all fields."""
        if not self.ticker.is_published:
            self._publish_ticker(now)
        return self.ticker.fields

    def limits(self) -> dict[str, str] | None:
        """Highest buy and lowest sell price that an order may have; None before a mark is published."""
        told = self.published
        if told is None or told.mark is None:
            return None
        buy, sell = price_band(self.rules, told.mark, told.mark if told.index is None else told.index)
        text = self.formats.price.text
        return {"symbol": self.symbol, "buyLmt": text(buy), "sellLmt": text(sell)}

    # --- faults -----------------------------------------------------------------------------------------------------

    def open_book(self, name: str) -> DepthTopic | None:
        """A book topic that somebody listens to."""
        return self._by_name.get(name) if name in self._open else None

    def push_now(self, topic: DepthTopic, now: int) -> None:
        """Push without waiting for the interval."""
        self._push(topic, now)
