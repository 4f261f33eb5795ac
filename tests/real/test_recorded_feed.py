"""The recorded Bybit session through the live feed's logic: no gap, and the books that the importer makes."""

from collections import Counter

import msgspec
import pytest

from stakan.adapters import instruments
from stakan.adapters.exchanges.bybit.feed import FeedLimits, Outside, PublicFeed
from stakan.adapters.exchanges.bybit.topics import Topics
from stakan.adapters.importers import bybit_capture
from stakan.adapters.importers.text import lines
from stakan.core.domain.events import BestQuote, BookDelta, BookSnapshot
from stakan.core.domain.instrument import Category
from stakan.core.domain.units import SECOND
from stakan.core.market.book import Book, BookState

pytestmark = pytest.mark.recorded


class Silent:
    """A link whose requests were sent when it was recorded."""

    def send(self, message: bytes) -> bool:
        return True

    def reconnect(self, why: str) -> None:
        raise AssertionError(why)


def test_the_capture_has_no_gap_and_equal_books(recorded):
    path = recorded / "bybit-v5-capture" / "BYBIT.jsonl.zst"
    known = instruments.recorded()
    imported = list(bybit_capture.events([path], known))
    ours = [known[name] for name in sorted({event.instrument for event in imported})]
    delivered: list = []
    now = 0

    def clock() -> int:
        return now

    outside = Outside(
        deliver=delivered.append,
        ask=lambda _path, _parameters, _done: None,
        timers=lambda _ns, _call: lambda: None,
        clock=clock,
    )
    feed = PublicFeed(Topics(), lambda _category, _handler: Silent(), outside, limits=FeedLimits(check_every_ns=0))
    feed.follow(ours)
    handlers = {connection.category: connection for connection in feed.connections}
    of_connection = {}
    for _, text in lines(path):
        line = msgspec.json.decode(text)
        if line["t"] == "connect":
            of_connection[line["conn"]] = handlers[Category(line["addr"].rpartition("/")[2])]
            of_connection[line["conn"]].on_open()
        elif line["t"] == "recv":
            now = max(now + 1, int(line["ts"] * SECOND))
            of_connection[line["conn"]].on_frame(line["data"].encode(), now)

    assert Counter(type(event) for event in delivered) == Counter(type(event) for event in imported)
    assert not any(type(event) is BestQuote for event in imported)
    for rules in ours:
        theirs = Book(rules.id)
        for event in imported:
            if event.instrument == rules.id and isinstance(event, BookDelta | BookSnapshot):
                assert theirs.apply(event) is None
        book, counters = feed.book(rules.id), feed.counters(rules.id)
        assert counters.messages > 200
        assert (counters.gaps, counters.broken, counters.stale, counters.held_back, counters.resyncs) == (0,) * 5
        assert counters.unknown_deletes == 0
        assert book.state is BookState.LIVE
        assert book.sequence == theirs.sequence
        assert book.counts.tolist() == theirs.counts.tolist()
        for which in range(2):
            count = book.counts[which]
            assert (book.sides[which, :count] == theirs.sides[which, :count]).all()
