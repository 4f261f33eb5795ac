"""What tests of the public board say in a few words: a board on a source, clients that decode its frames."""

from collections import defaultdict

from stakan.adapters.exchanges.bybit.decode import BybitDecoder
from stakan.adapters.synthetic.config import SyntheticConfig, demo_symbols
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.apps.exchange.board import Board, BoardConfig, Intervals
from stakan.apps.exchange.listing import by_symbol, list_all
from stakan.apps.exchange.market import LiveMarket
from stakan.core.domain.batch import BatchBuilder, window
from stakan.core.domain.events import BookDelta, BookSnapshot
from stakan.core.domain.instrument import Category
from stakan.core.domain.units import MILLISECOND, SECOND, Side
from stakan.core.market.book import Book

START = 1_790_000_000 * SECOND
BTC = "bybit:linear:BTCUSDT"


def generated(count=1, seconds=20, **changes):
    """A source of the demo's first symbols."""
    values = {"symbols": demo_symbols()[:count], "seed": 5, "duration_ns": seconds * SECOND}
    return SyntheticMarket(SyntheticConfig(**{**values, **changes}))


class Events:
    """A source of given events, cut into windows of some length."""

    def __init__(self, events, per_window=1_000):
        self._events = events
        self._per_window = per_window

    def windows(self):
        for first in range(0, len(self._events), self._per_window):
            builders = {}
            for arrival, event in enumerate(self._events[first : first + self._per_window], start=first):
                builders.setdefault(event.instrument, BatchBuilder(event.instrument)).add(event, arrival)
            yield window(tuple(builder.build() for builder in builders.values()))


class Exchange:
    """A board that is driven by its source; keeps all frames by topic."""

    def __init__(self, source, instruments, intervals=Intervals.SOURCE, **options):
        listed = list_all(instruments)
        self.frames = defaultdict(list)
        self.source = LiveMarket(source, listed, START, **options)
        self.rules = by_symbol(listed.values())
        self.board = Board(self.rules, self._emit, START, BoardConfig(intervals=intervals))
        self.now = START
        self.applied = []
        """Batches so far."""
        self.after_emit = lambda topic, frame: None

    def _emit(self, topic, frame):
        self.frames[topic].append(frame)
        self.after_emit(topic, frame)

    def open(self, *topics):
        for topic in topics:
            self.frames[topic] += self.board.open(topic)

    def run(self, seconds, step=10 * MILLISECOND):
        until = self.now + int(seconds * SECOND)
        while self.now < until:
            self.now = min(self.now + step, until)
            for batch in self.source.take(self.now):
                self.applied.append(batch)
                self.board.apply(batch)
            self.board.tick(self.now)
        return self

    def events(self, kind):
        return [event for batch in self.applied for event in batch.events() if isinstance(event, kind)]


class Client:
    """Decodes frames of one connection and keeps a book of each topic."""

    def __init__(self, rules):
        self._instruments = {one.id: one for one in rules.values()}
        self.books = {}
        self._decoders = {}
        self.problems = []

    def take(self, topic, frame):
        decoder = self._decoders.setdefault(topic, BybitDecoder(self._instruments, Category.LINEAR))
        events = decoder.decode(frame, 1)
        for event in events:
            if isinstance(event, BookSnapshot | BookDelta):
                book = self.books.setdefault(topic, Book(event.instrument))
                problem = book.apply(event)
                if problem is not None:
                    self.problems.append(problem)
        return events


def top(book, depth):
    return [book.depth(side, depth).tolist() for side in (Side.BUY, Side.SELL)]
