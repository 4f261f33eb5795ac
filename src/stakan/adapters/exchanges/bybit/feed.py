"""Bybit's public market data as events: subscriptions, continuity of books, resyncs, gap filling, checks.

No sockets and no clock of its own: a connection is told of frames and given what it needs as callables, so a
simulation can drive it in virtual time. What it does about one book (reference: `orderbook` page of the docs):

- A snapshot makes it live, whenever it comes; deltas before the first are held back.
- The message that breaks it (a gap in `u`, crossed, corrupt) is delivered, so that whoever keeps the book sees that it
  is broken, and nothing more until the next snapshot. One resync (unsubscribe, subscribe) is asked for; further wishes
  for one are heard again once the snapshot is there.
- What is older than the book is dropped.
- Without a snapshot for long, or after several resyncs in a minute, the connection is made anew.
- When the connection ends, every instrument gets a `FeedDown` at once.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Protocol

import msgspec

from stakan.adapters.exchanges.bybit.checking import LEVELS, Comparison
from stakan.adapters.exchanges.bybit.decode import VENUE, BybitDecoder
from stakan.adapters.exchanges.bybit.health import (
    FeedCounters,
    FeedHealth,
    FeedHealthLimits,
    FeedReason,
    feed_health,
)
from stakan.adapters.exchanges.bybit.topics import Answer, Topics, batches, decode_answer, parted, request
from stakan.adapters.sockets import SocketHandler
from stakan.adapters.wire import NOT_JSON, Grid, Millis, grid_of
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import (
    AnyMarketEvent,
    BestQuote,
    BookDelta,
    BookSnapshot,
    FeedDown,
    TradePrint,
)
from stakan.core.domain.facts import AnyFact, BookGap
from stakan.core.domain.ids import InstrumentId, split_instrument_id, trade_id_number
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND, Nanos, Side
from stakan.core.market.book import Book, BookState

Deliver = Callable[[AnyMarketEvent], None]
Raw = Callable[[str, bytes, int], None]
"""Connection, frame, receive time."""
Ask = Callable[[str, Mapping[str, str], Callable[[msgspec.Raw | None], None]], None]
"""A public REST query: path, parameters, and what is called with its `result` (None: no answer)."""
Timers = Callable[[int, Callable[[], None]], Callable[[], None]]
"""Call something after so many nanoseconds; gives what calls it off."""

_RESTART = 1
_REMEMBERED_PRINTS = 2_000
_MOST_PRINTS = 1_000
"""Of `/v5/market/recent-trade`."""
_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}


def _zero() -> int:
    return 0


class Link(Protocol):
    """The connection that a handler writes to; `stakan.adapters.sockets.Socket` is one."""

    def send(self, message: bytes) -> bool:
        """False where nothing was written."""
        ...

    def reconnect(self, why: str) -> None:
        """End this connection, telling the handler, and make another."""
        ...


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """What a feed needs of its surroundings."""

    deliver: Deliver
    """Takes events, in order of arrival."""
    ask: Ask
    timers: Timers
    clock: Callable[[], int]
    """Strictly increasing nanoseconds."""
    offset: Callable[[], int] = _zero
    """Nanoseconds that the exchange's clock is ahead of ours."""
    raw: Raw | None = None
    """Takes every frame before it is decoded."""


class FeedLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Patience of a feed."""

    instruments_per_connection: int = 50
    tick_ns: Nanos = Nanos(SECOND // 2)
    """How often time-outs are looked after."""
    answer_within_ns: Nanos = Nanos(5 * SECOND)
    unsynced_for_ns: Nanos = Nanos(5 * SECOND)
    """A book that waits longer for its snapshot takes the connection with it."""
    resyncs: int = 3
    """So many of one book `resyncs_within_ns` make the connection anew."""
    resyncs_within_ns: Nanos = Nanos(MINUTE)
    silent_after_ns: Nanos = Nanos(10 * SECOND)
    """A book without a message while the instrument's other topics speak is resynced."""
    dead_after_ns: Nanos = Nanos(30 * SECOND)
    """A connection without any data is made anew, whatever its pongs say."""
    late_for_ns: Nanos = Nanos(5 * SECOND)
    """A connection that is so late for so long that its books are worth nothing is made anew, once a minute at most:
    what waits in it is lost, and what comes then is fresh."""
    undecodable: int = 10
    """So many frames that are no frames, `resyncs_within_ns`, make the connection anew."""
    unknown_deletes_share: float = 0.1
    """More messages than this that delete what is not there mean that the book is wrong..."""
    unknown_deletes_from: int = 10
    """...once there are so many."""
    check_every_ns: Nanos = Nanos(MINUTE)
    """Comparison with a REST snapshot; 0: never."""
    check_within_ns: Nanos = Nanos(5 * SECOND)
    different_levels: int = 5
    """More than these, of 100, fail a comparison; two failures in a row resync."""
    health: FeedHealthLimits = FeedHealthLimits()


class _RecentTrade(msgspec.Struct, rename="camel"):
    exec_id: str
    price: str
    size: str
    side: str
    time: Millis
    is_block_trade: bool = False
    is_rpi_trade: bool = msgspec.field(default=False, name="isRPITrade")


class _RecentTrades(msgspec.Struct):
    rows: list[_RecentTrade] = msgspec.field(name="list")


_decode_recent = msgspec.json.Decoder(_RecentTrades, strict=False).decode


class _Stream:
    """What is known of one instrument on its connection."""

    def __init__(self, rules: Instrument, topics: Topics) -> None:
        self.rules = rules
        self.id = rules.id
        self.grid: Grid = grid_of(rules)
        self.topics = topics.of(rules.id)
        self.book_topic = topics.book_of(rules.id)
        self.book = Book(rules.id)
        self.counters = FeedCounters()
        self.is_live = False
        self.is_refused = False
        self.waiting_since = 0
        self.resyncs: deque[int] = deque(maxlen=16)
        self.snapshot_at = 0
        self.heard = 0
        """Receive time of the newest message that did not move the book."""
        self.last_frame = b""
        self.last_quote = -1
        self.prints: dict[int, None] = {}
        self.newest_print = 0
        self.needs_fill = False
        self.comparison: Comparison | None = None
        self.check_at = 0
        self.failed_checks = 0
        self.deletes_seen = (0, 0)

    def is_news(self, event: AnyMarketEvent) -> bool:
        """Whether it says what was not said before: prints come twice, quotes again after three seconds of silence."""
        if type(event) is TradePrint:
            if not self.remember(event.trade_id):
                self.counters.repeated_prints += 1
                return False
            self.newest_print = max(self.newest_print, event.ts_event)
        elif type(event) is BestQuote:
            if event.sequence == self.last_quote:
                return False
            self.last_quote = event.sequence
        return True

    def remember(self, trade_id: int) -> bool:
        """Whether a print is new."""
        prints = self.prints
        if trade_id in prints:
            return False
        prints[trade_id] = None
        if len(prints) > _REMEMBERED_PRINTS:
            del prints[next(iter(prints))]
        return True


class Connection:
    """The logic of one public connection: a `SocketHandler`. `link` is set before its socket runs."""

    link: Link

    def __init__(
        self, name: str, category: Category, topics: Topics, *, venue: str, outside: Outside, limits: FeedLimits
    ) -> None:
        self.name = name
        self.category = category
        self.is_open = False
        self._topics = topics
        self._outside = outside
        self._deliver = outside.deliver
        self._raw = outside.raw
        self._limits = limits
        self._rules: dict[InstrumentId, Instrument] = {}
        self._streams: dict[InstrumentId, _Stream] = {}
        self._decoder = BybitDecoder(self._rules, category, venue)
        self._venue = venue
        self._numbers = count(1)
        self._asked: dict[str, tuple[str, tuple[str, ...], int]] = {}
        self._undecodable: deque[int] = deque(maxlen=limits.undecodable)
        self._last_data = 0
        self._late_since = 0
        self._left_late = 0
        self._is_leaving = False
        self._cancel_tick: Callable[[], None] = _nothing
        self.refused: dict[str, str] = {}
        """Topics that the exchange does not give, and what it said."""
        self.garbage = 0
        """Frames that were no JSON."""

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def rules(self) -> tuple[Instrument, ...]:
        """What this connection carries."""
        return tuple(stream.rules for stream in self._streams.values())

    def follow(self, rules: Instrument) -> None:
        """Subscribe to an instrument, now or when the connection opens."""
        stream = self._streams[rules.id] = _Stream(rules, self._topics)
        if self._rules.get(rules.id, rules) != rules:
            # A decoder keeps the grid that it has met first.
            self._decoder = BybitDecoder(self._rules, self.category, self._venue)
        self._rules[rules.id] = rules
        if self.is_open:
            self._await_snapshot(stream, self._outside.clock())
            self._request("subscribe", stream.topics)

    def forget(self, instrument: InstrumentId) -> None:
        """Unsubscribe; what still comes is passed over."""
        stream = self._streams.pop(instrument)
        if self.is_open:
            self._request("unsubscribe", stream.topics)

    def resync(self, instrument: InstrumentId, why: str = "asked for") -> None:
        """Get a new snapshot. Without effect where one is awaited already."""
        stream = self._streams.get(instrument)
        if stream is None or not self.is_open or not stream.is_live:
            return
        now = self._outside.clock()
        stream.counters.resyncs += 1
        stream.resyncs.append(now)
        stream.book.invalidate()
        self._await_snapshot(stream, now)
        if self._recent_resyncs(stream, now) >= self._limits.resyncs:
            self._leave(f"{stream.book_topic}: {self._limits.resyncs} resyncs, the last one because {why}")
        else:
            self._request("unsubscribe", (stream.book_topic,))
            self._request("subscribe", (stream.book_topic,))

    def health(self, instrument: InstrumentId, now: int) -> FeedHealth:
        """How far the stream of an instrument can be trusted at local time `now`."""
        stream = self._streams[instrument]
        if stream.is_refused:
            return FeedHealth(0.0, (FeedReason.REFUSED,))
        if not self.is_open:
            return FeedHealth(0.0, (FeedReason.DISCONNECTED,))
        if not stream.is_live:
            return FeedHealth(0.0, (FeedReason.UNSYNCED,))
        lag = self._lag(stream)
        recent = self._recent_resyncs(stream, now)
        differs = stream.failed_checks > 0
        return feed_health(stream.book, now, lag, recent, differs=differs, limits=self._limits.health)

    def counters(self, instrument: InstrumentId) -> FeedCounters:
        """What happened to the stream of an instrument."""
        stream = self._streams[instrument]
        stream.counters.unknown_deletes = stream.book.unknown_deletes
        return stream.counters

    def book(self, instrument: InstrumentId) -> Book:
        """The book as it was delivered."""
        return self._streams[instrument].book

    # --- told by the socket -----------------------------------------------------------------------------------------

    def on_open(self) -> None:
        """Subscribe to everything."""
        now = self._outside.clock()
        self.is_open = True
        self._is_leaving = False
        self._last_data = now
        self._asked.clear()
        every = self._limits.check_every_ns
        for place, stream in enumerate(self._streams.values()):
            self._await_snapshot(stream, now)
            # Spread over the interval, so that a hundred books do not ask at once.
            stream.check_at = now + every * (place + 1) // len(self._streams)
        self._request("subscribe", [topic for stream in self._streams.values() for topic in stream.topics])
        self._schedule()

    def on_close(self, why: str) -> None:
        """Tell everybody at once that there is no market any more."""
        self.is_open = False
        self._cancel_tick()
        now = self._outside.clock()
        for stream in list(self._streams.values()):
            stream.is_live = False
            stream.book.invalidate()
            stream.comparison = None
            stream.needs_fill = stream.newest_print > 0
            stream.counters.interruptions += 1
            self._deliver(FeedDown(instrument=stream.id, ts_event=now, ts_recv=now, why=why))

    def on_frame(self, data: bytes, ts_recv: int) -> None:
        """Decode and deliver."""
        if self._raw is not None:
            self._raw(self.name, data, ts_recv)
        try:
            events = self._decoder.decode(data, ts_recv)
        except DataError as error:
            self._on_undecodable(data, ts_recv, error)
            return
        if not events:
            self._on_other(data, ts_recv)
            return
        self._last_data = ts_recv
        for event in events:
            stream = self._streams.get(event.instrument)
            if stream is None:
                continue
            if type(event) is BookDelta or type(event) is BookSnapshot:
                self._on_book(stream, event, data)
            else:
                stream.heard = ts_recv
                if stream.is_news(event):
                    self._deliver(event)

    # --- books ------------------------------------------------------------------------------------------------------

    def _on_book(self, stream: _Stream, event: BookDelta | BookSnapshot, data: bytes) -> None:
        counters, book = stream.counters, stream.book
        is_snapshot = type(event) is BookSnapshot
        if not (stream.is_live or is_snapshot):
            counters.held_back += 1
            return
        problem = book.apply(event)
        if problem is not None and book.state is not BookState.LIVE:
            self._on_broken(stream, event, problem)
            return
        if not book.is_fresh:
            counters.stale += 1
            stream.heard = event.ts_recv
            return
        counters.messages += 1
        stream.last_frame = data
        if is_snapshot:
            self._on_snapshot(stream, event)
        if stream.comparison is not None:
            stream.comparison.note(data, book)
        self._deliver(event)

    def _on_broken(self, stream: _Stream, event: BookDelta | BookSnapshot, problem: AnyFact) -> None:
        if type(problem) is BookGap:
            stream.counters.gaps += 1
        else:
            stream.counters.broken += 1
        # A snapshot that is broken by itself makes the book known to be broken, and is answered like a gap.
        stream.is_live = True
        self._deliver(event)
        self.resync(stream.id, type(problem).__name__)

    def _on_snapshot(self, stream: _Stream, event: BookDelta | BookSnapshot) -> None:
        stream.counters.snapshots += 1
        stream.snapshot_at = event.ts_recv
        stream.counters.restarts += event.sequence == _RESTART
        stream.is_live = True
        if stream.needs_fill:
            stream.needs_fill = False
            self._fill_prints(stream)

    def _await_snapshot(self, stream: _Stream, now: int) -> None:
        stream.is_live = False
        stream.is_refused = False
        stream.waiting_since = now
        stream.comparison = None
        stream.failed_checks = 0
        stream.last_quote = -1

    def _recent_resyncs(self, stream: _Stream, now: int) -> int:
        within = self._limits.resyncs_within_ns
        return sum(now - moment < within for moment in stream.resyncs)

    def _leave(self, why: str) -> None:
        """Reconnect, but not inside of somebody's `deliver` or `resync`: the handler would be told in the middle."""
        if self._is_leaving:
            return
        self._is_leaving = True
        for stream in self._streams.values():
            stream.resyncs.clear()
        self._outside.timers(0, lambda: self.link.reconnect(why) if self._is_leaving and self.is_open else None)

    # --- requests and what is no data -------------------------------------------------------------------------------

    def _request(self, operation: str, topics: Iterable[str]) -> None:
        now = self._outside.clock()
        for batch in batches(list(topics)):
            req_id = f"{operation[0]}{next(self._numbers)}"
            if self.link.send(request(operation, req_id, batch)):
                self._asked[req_id] = operation, batch, now

    def _on_other(self, data: bytes, ts_recv: int) -> None:
        try:
            answer = decode_answer(data)
        except NOT_JSON:
            return
        if answer.topic:
            self._last_data = ts_recv
            return
        asked = self._asked.pop(answer.req_id, None)
        if asked is None or answer.is_fine:
            return
        operation, topics, _ = asked
        if operation != "subscribe":
            return
        if len(topics) > 1:
            # Whether one bad topic fails all of a request is not documented: ask for each by itself.
            for topic in topics:
                self._request("subscribe", (topic,))
        else:
            self._on_refused(topics[0], answer)

    def _on_refused(self, topic: str, answer: Answer) -> None:
        self.refused[topic] = answer.ret_msg
        now = self._outside.clock()
        for stream in self._streams.values():
            if stream.book_topic == topic:
                stream.is_refused = True
                why = f"{topic}: {answer.ret_msg}"
                self._deliver(FeedDown(instrument=stream.id, ts_event=now, ts_recv=now, why=why))

    def _on_undecodable(self, data: bytes, now: int, error: DataError) -> None:
        try:
            topic = decode_answer(data).topic
        except NOT_JSON:
            topic = ""
            self.garbage += 1
            self._undecodable.append(now)
            many = self._undecodable
            if len(many) == many.maxlen and now - many[0] < self._limits.resyncs_within_ns:
                many.clear()
                self._leave("too many frames that are none")
        for stream in self._streams.values():
            if topic not in stream.topics:
                continue
            stream.counters.undecodable += 1
            if topic == stream.book_topic and stream.is_live:
                down = FeedDown(instrument=stream.id, ts_event=now, ts_recv=now, why=str(error))
                self._deliver(down)
                self.resync(stream.id, "a message could not be read")

    # --- time -------------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        self._cancel_tick = self._outside.timers(self._limits.tick_ns, self._tick)

    def _tick(self) -> None:
        if not self.is_open:
            return
        now = self._outside.clock()
        self._schedule()
        why = self._why_dead(now)
        if why:
            self._leave(why)
            return
        for stream in list(self._streams.values()):
            if stream.is_live:
                self._look_after(stream, now)

    def _why_dead(self, now: int) -> str:
        limits = self._limits
        if self._streams and now - self._last_data > limits.dead_after_ns:
            return "no data"
        for operation, topics, since in self._asked.values():
            if now - since > limits.answer_within_ns:
                return f"no answer to {operation} {topics[0]}"
        for stream in self._streams.values():
            waits = not (stream.is_live or stream.is_refused)
            if waits and now - stream.waiting_since > limits.unsynced_for_ns:
                return f"{stream.book_topic}: no snapshot"
        return self._why_late(now)

    def _why_late(self, now: int) -> str:
        limits = self._limits
        live = [stream for stream in self._streams.values() if stream.is_live]
        # What came late once and then fell silent says nothing about now.
        recent = [stream for stream in live if now - stream.book.ts_recv < limits.late_for_ns]
        worst = max((self._lag(stream) for stream in recent), default=0)
        if worst < limits.health.useless_after_ns:
            self._late_since = 0
        elif not self._late_since:
            self._late_since = now
        elif now - self._late_since > limits.late_for_ns and now - self._left_late > MINUTE:
            self._late_since, self._left_late = 0, now
            return f"late by {worst / SECOND:.1f} s"
        return ""

    def _lag(self, stream: _Stream) -> int:
        """Age of the newest change when it came, by the exchange's clock; 0 where nothing has changed yet.

        A snapshot says nothing: it shows a state that may have stood for long.
        """
        book = stream.book
        if book.ts_recv == stream.snapshot_at:
            return 0
        return max(0, book.ts_recv + self._outside.offset() - book.ts_event)

    def _look_after(self, stream: _Stream, now: int) -> None:
        limits, book = self._limits, stream.book
        silent = now - book.ts_recv
        if silent > limits.silent_after_ns and stream.heard > book.ts_recv + limits.silent_after_ns // 2:
            self.resync(stream.id, "the book is silent")
            return
        messages, deletes = stream.deletes_seen
        unknown, seen = book.unknown_deletes - deletes, stream.counters.messages - messages
        if unknown >= limits.unknown_deletes_from and unknown > limits.unknown_deletes_share * seen:
            stream.deletes_seen = stream.counters.messages, book.unknown_deletes
            self.resync(stream.id, "it deletes what is not there")
            return
        if seen > 1_000:
            stream.deletes_seen = stream.counters.messages, book.unknown_deletes
        if limits.check_every_ns:
            self._check(stream, now)

    # --- comparison with REST ---------------------------------------------------------------------------------------

    def _check(self, stream: _Stream, now: int) -> None:
        comparison = stream.comparison
        if comparison is None:
            if now >= stream.check_at:
                stream.check_at = now + self._limits.check_every_ns
                self._begin_check(stream, now)
            return
        verdict = comparison.verdict()
        if verdict is not None:
            stream.comparison = None
            stream.counters.checks += 1
            if verdict.different <= self._limits.different_levels:
                stream.failed_checks = 0
                return
            stream.counters.differences += 1
            stream.failed_checks += 1
            # The second look follows at once.
            stream.check_at = now
            if stream.failed_checks > 1:
                self.resync(stream.id, f"{verdict.different} of {verdict.levels} levels differ from REST")
        elif now - comparison.started > self._limits.check_within_ns:
            stream.comparison = None
            stream.counters.unclear_checks += 1

    def _begin_check(self, stream: _Stream, now: int) -> None:
        comparison = stream.comparison = Comparison(stream.grid, now)
        comparison.note(stream.last_frame, stream.book)

        def answered(result: msgspec.Raw | None) -> None:
            if result is None or stream.comparison is not comparison:
                return
            try:
                comparison.answer(bytes(result))
            except DataError:
                # Unreadable is unclear: the time-out counts it.
                return

        self._outside.ask("/v5/market/orderbook", self._of(stream, LEVELS), answered)

    # --- prints of an interruption ----------------------------------------------------------------------------------

    def _fill_prints(self, stream: _Stream) -> None:
        since = stream.newest_print

        def answered(result: msgspec.Raw | None) -> None:
            if result is not None and self._streams.get(stream.id) is stream:
                self._deliver_missed(stream, result, since)

        self._outside.ask("/v5/market/recent-trade", self._of(stream, _MOST_PRINTS), answered)

    def _deliver_missed(self, stream: _Stream, result: msgspec.Raw, since: int) -> None:
        """Prints that nobody has seen, oldest first; those of before the interruption were seen or are history."""
        try:
            rows = _decode_recent(result).rows
            # Newest first is what clients see, not what the docs promise; within one instant it is all there is.
            missed = [row for row in reversed(rows) if row.time * MILLISECOND >= since]
            prints = [self._print(stream, row) for row in sorted(missed, key=lambda row: row.time)]
        except (*NOT_JSON, DataError):
            stream.counters.undecodable += 1
            return
        for event in prints:
            if stream.remember(event.trade_id):
                stream.counters.filled_prints += 1
                stream.newest_print = max(stream.newest_print, event.ts_event)
                self._deliver(event)

    def _print(self, stream: _Stream, row: _RecentTrade) -> TradePrint:
        side = _SIDES.get(row.side)
        if side is None:
            raise DataError(f"{stream.id}: side should be Buy or Sell, got {row.side!r}")
        return TradePrint(
            ts_event=row.time * MILLISECOND,
            ts_recv=self._outside.clock(),
            instrument=stream.id,
            price=stream.grid.ticks(row.price),
            size=stream.grid.traded(row.size),
            side=side,
            trade_id=trade_id_number(row.exec_id),
            is_rpi=row.is_rpi_trade or row.is_block_trade,
        )

    def _of(self, stream: _Stream, limit: int) -> dict[str, str]:
        symbol = split_instrument_id(stream.id)[2]
        return {"category": self.category, "symbol": symbol, "limit": str(limit)}


class PublicFeed:
    """Market data of any number of instruments over as many connections as they need: a `core.ports.MarketFeed`.

    `connect` makes the link of a new connection from its category and handler; whoever gives it runs it.
    """

    def __init__(
        self,
        topics: Topics,
        connect: Callable[[Category, SocketHandler], Link],
        outside: Outside,
        *,
        venue: str = VENUE,
        limits: FeedLimits | None = None,
    ) -> None:
        self.connections: list[Connection] = []
        self._topics = topics
        self._connect = connect
        self._outside = outside
        self._venue = venue
        self._limits = limits or FeedLimits()
        self._of: dict[InstrumentId, Connection] = {}

    @property
    def instruments(self) -> tuple[InstrumentId, ...]:
        """What is followed."""
        return tuple(self._of)

    def follow(self, instruments: Iterable[Instrument]) -> None:
        """Subscribe to instruments; those that are followed already are passed over."""
        new = [rules for rules in instruments if rules.id not in self._of]
        most = self._limits.instruments_per_connection
        for group in parted(new, self._topics, most):
            connection = self._with_room(group) or self._new_connection(group[0].category)
            for rules in group:
                connection.follow(rules)
                self._of[rules.id] = connection

    def forget(self, instruments: Iterable[InstrumentId]) -> None:
        """Unsubscribe from instruments; those that are not followed are passed over."""
        for instrument in instruments:
            connection = self._of.pop(instrument, None)
            if connection is not None:
                connection.forget(instrument)

    def resync(self, instrument: InstrumentId) -> None:
        """Get a new snapshot; without effect where one is awaited already, or the connection is down."""
        connection = self._of.get(instrument)
        if connection is not None:
            connection.resync(instrument)

    def health(self, instrument: InstrumentId, now: int) -> FeedHealth:
        """How far the stream of an instrument can be trusted at local time `now`."""
        return self._of[instrument].health(instrument, now)

    def counters(self, instrument: InstrumentId) -> FeedCounters:
        """What happened to the stream of an instrument."""
        return self._of[instrument].counters(instrument)

    def book(self, instrument: InstrumentId) -> Book:
        """The book as it was delivered; to be read only."""
        return self._of[instrument].book(instrument)

    @property
    def refused(self) -> dict[str, str]:
        """Topics that the exchange does not give, and what it said."""
        return {topic: why for connection in self.connections for topic, why in connection.refused.items()}

    def _with_room(self, group: list[Instrument]) -> Connection | None:
        most = self._limits.instruments_per_connection
        for connection in self.connections:
            together = [*connection.rules, *group]
            if connection.category is group[0].category and len(list(parted(together, self._topics, most))) == 1:
                return connection
        return None

    def _new_connection(self, category: Category) -> Connection:
        name = f"{self._venue}.{category}.{len(self.connections) + 1}"
        connection = Connection(
            name, category, self._topics, venue=self._venue, outside=self._outside, limits=self._limits
        )
        self.connections.append(connection)
        connection.link = self._connect(category, connection)
        return connection


def _nothing() -> None:
    """What calls off a timer that was never set."""
