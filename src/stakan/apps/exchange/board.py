"""The public board: what everybody sees of the market, as frames of Bybit's public topics.

Synchronous: it is given batches of the market, `now`, and an `emit` that takes a finished frame to whoever has the
topic open.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec

from stakan.apps.exchange.agenda import Agenda
from stakan.apps.exchange.depth import DepthTopic
from stakan.apps.exchange.symbol import TICKER_NS, Emit, SymbolBoard
from stakan.apps.exchange.topics import parse
from stakan.core.domain.batch import MarketBatch
from stakan.core.domain.events import Ticker
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MILLISECOND


class Intervals(StrEnum):
    """How often book topics are pushed."""

    DOCUMENTED = "documented"
    """At most once per Bybit's interval of the depth: 10, 20, 100, 200 ms."""
    SOURCE = "source"
    """A frame per change of the source's book, which is what agreement to the last fill needs."""


class BoardConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the market is shown."""

    intervals: Intervals = Intervals.DOCUMENTED


class Board:
    """Public topics of all listed symbols. Times are nanoseconds in whole milliseconds, as the exchange's clock says.

    Whoever drives it gives it the market up to `now` first and then calls `tick(now)`; with documented intervals a
    frame holds the state at its `tick`, so `now` should go on in small steps (or to `next_due`).
    """

    def __init__(
        self, listed: Mapping[str, Instrument], emit: Emit, start: int, config: BoardConfig | None = None
    ) -> None:
        """`listed`: rules by symbol, see `listing.list_all`; `start`: the exchange's time."""
        config = config or BoardConfig()
        self.now = start
        self.started = start
        self._agenda = Agenda()
        is_conflated = config.intervals is Intervals.DOCUMENTED
        self.symbols = {
            symbol: SymbolBoard(
                symbol,
                rules,
                emit,
                self._agenda,
                start,
                is_conflated=is_conflated,
                # Spread out: a hundred at once would keep books waiting.
                phase=number * TICKER_NS // len(listed) // MILLISECOND * MILLISECOND,
            )
            for number, (symbol, rules) in enumerate(listed.items())
        }
        self._by_id = {board.rules.id: board for board in self.symbols.values()}
        self._emit = emit

    def apply(self, batch: MarketBatch) -> None:
        """Rows of the market that are due, as `LiveMarket.take` gives them."""
        if len(batch):
            self.now = max(self.now, int(batch.ts_exchange[-1]))
            self._by_id[batch.instrument].apply(batch)

    def tick(self, now: int) -> None:
        """Time passes: push what is due by interval (books, tickers, klines, price limits). Any time, often."""
        self.now = max(self.now, now)
        self._agenda.run(self.now)

    def next_due(self) -> int:
        """When `tick` has something to do next, if no market comes before."""
        return self._agenda.next_due

    def take_tickers(self) -> list[Ticker]:
        """Tickers published since the last call, for the accounts; mark and index are in force from their time on."""
        made = []
        for board in self.symbols.values():
            if board.tickers:
                made += board.tickers
                board.tickers = []
        return made

    # --- subscribers ------------------------------------------------------------------------------------------------

    def check(self, topic: str) -> None:
        """Raises Refused with the protocol's text where the topic does not exist; opens nothing."""
        parse(topic, self.symbols)

    def open(self, topic: str) -> list[bytes]:
        """One more subscriber; returns what it gets first (snapshot), nothing where the first frame comes later.

        Raises Refused with the protocol's text for unknown topics.
        """
        parsed = parse(topic, self.symbols)
        return self.symbols[parsed.symbol].open(parsed, topic, self.now)

    def close(self, topic: str) -> None:
        """One subscriber less; raises KeyError where the topic was not open."""
        parsed = parse(topic, self.symbols)
        self.symbols[parsed.symbol].close(parsed, topic)

    def liquidated(self, symbol: str, side: str, size: int, price: int, at: int) -> None:
        """A position was liquidated (`Buy`: a long) at its bankruptcy price; goes out on `allLiquidation`."""
        self.symbols[symbol].liquidated(side, size, price, at)

    # --- faults, each on one book topic that is open; else nothing happens and the answer is False --------------------

    def skip(self, topic: str) -> bool:
        """Lose one book message: the next delta leaves a gap in `u`."""
        return self._fault(topic, lambda _board, book: book.skip())

    def restart(self, topic: str) -> bool:
        """The service of a book topic restarts: a snapshot with `u` 1, at once where there is a book."""

        def restart(board: SymbolBoard, book: DepthTopic) -> None:
            book.restart()
            board.push_now(book, self.now)

        return self._fault(topic, restart)

    def cross(self, topic: str) -> bool:
        """Send a book delta whose best bid is above its best ask; the next one mends it."""
        return self._fault(topic, lambda _board, book: self._send(topic, book.cross(self.now)))

    def repeat(self, topic: str) -> bool:
        """Send the last frame again."""
        return self._fault(topic, lambda _board, book: self._send(topic, book.recent[-1] if book.recent else None))

    def go_back(self, topic: str) -> bool:
        """Send the frame before the last again (stale)."""
        return self._fault(
            topic, lambda _board, book: self._send(topic, book.recent[0] if len(book.recent) > 1 else None)
        )

    def _fault(self, topic: str, do: Callable[[SymbolBoard, DepthTopic], object]) -> bool:
        board = self.symbols.get(topic.rsplit(".", 1)[-1])
        book = board.open_book(topic) if board else None
        if board is None or book is None:
            return False
        do(board, book)
        return True

    def _send(self, topic: str, frame: bytes | None) -> None:
        if frame is not None:
            self._emit(topic, frame)
