"""Laws of the book, against a dictionary per side."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.market.builders import a_delta, a_print, a_snapshot, bytes_of, restored

from stakan.core.domain.facts import BookCorrupt, BookCrossed, BookGap, BookRecovered
from stakan.core.domain.units import Side
from stakan.core.market.book import REACH_PER_MILLE, Book, BookState

BIDS, ASKS = range(960, 1_000), range(1_001, 1_041)
sizes = st.integers(0, 9)
bid_rows = st.dictionaries(st.sampled_from(BIDS), sizes, max_size=12).map(lambda rows: list(rows.items()))
ask_rows = st.dictionaries(st.sampled_from(ASKS), sizes, max_size=12).map(lambda rows: list(rows.items()))
messages = st.lists(st.tuples(bid_rows, ask_rows), max_size=25)


def a_book(bids=((999, 5),), asks=((1_001, 5),), sequence=1):
    book = Book(instrument="bybit:linear:BTCUSDT")
    book.apply(a_snapshot(bids, asks, sequence))
    return book


def sides(book):
    return [book.depth(side).tolist() for side in (Side.BUY, Side.SELL)]


def fed(changes, bids=(), asks=()):
    book = a_book(bids, asks)
    for i, (some_bids, some_asks) in enumerate(changes):
        assert book.apply(a_delta(some_bids, some_asks, sequence=2 + i)) is None
    return book


class DictBook:
    """Two dictionaries; the unreachable rule is out of play because all prices are within 10 %."""

    def __init__(self):
        self.bids, self.asks = {}, {}

    def apply(self, bids, asks):
        for mine, rows in ((self.bids, bids), (self.asks, asks)):
            for price, size in rows:
                if size:
                    mine[price] = size
                else:
                    mine.pop(price, None)

    def sides(self):
        return [
            [list(row) for row in sorted(self.bids.items(), reverse=True)],
            [list(r) for r in sorted(self.asks.items())],
        ]


@given(messages)
def test_a_book_of_deltas_is_the_dictionary_of_their_last_sizes(changes):
    oracle = DictBook()
    for change in changes:
        oracle.apply(*change)
    book = fed(changes)
    assert sides(book) == oracle.sides()
    for side, rows in zip((Side.BUY, Side.SELL), oracle.sides(), strict=True):
        assert [book.size_at(side, price) for price, _ in rows] == [size for _, size in rows]
    assert book.size_at(Side.BUY, 500) == 0


@given(messages)
def test_it_says_what_the_levels_of_the_last_delta_held_before(changes):
    oracle, book = DictBook(), a_book((), ())
    for number, (bids, asks) in enumerate(changes):
        expected = [oracle.bids.get(price, 0) for price, _ in bids] + [oracle.asks.get(price, 0) for price, _ in asks]
        book.apply(a_delta(bids, asks, sequence=2 + number))
        assert book.before[: len(expected)].tolist() == expected
        oracle.apply(bids, asks)


@given(messages)
def test_a_snapshot_and_its_deltas_equal_the_later_snapshot(changes):
    book = fed(changes)
    bids, asks = sides(book)
    later = a_book(bids, asks, sequence=book.sequence)
    assert sides(later) == [bids, asks]
    assert (later.best_bid, later.best_ask, later.mid) == (book.best_bid, book.best_ask, book.mid)
    assert (later.best_bid_size, later.best_ask_size) == (book.best_bid_size, book.best_ask_size)


@given(messages, bid_rows, ask_rows, st.randoms(use_true_random=False))
def test_the_order_of_levels_inside_a_message_is_irrelevant(changes, bids, asks, random):
    one, other = fed(changes), fed(changes)
    shuffled = random.sample(bids, len(bids)), random.sample(asks, len(asks))
    last = 2 + len(changes)
    one.apply(a_delta(bids, asks, sequence=last))
    other.apply(a_delta(*shuffled, sequence=last))
    assert sides(one) == sides(other)


@given(messages)
def test_a_mirrored_stream_gives_the_mirrored_book(changes):
    def mirror(rows):
        return [(2_000 - price, size) for price, size in rows]

    bids, asks = sides(fed(changes))
    assert sides(fed([(mirror(asks), mirror(bids)) for bids, asks in changes])) == [
        [list(row) for row in mirror(asks)],
        [list(row) for row in mirror(bids)],
    ]


@given(messages)
def test_sides_are_sorted_from_the_best_outwards_and_hold_no_empty_level(changes):
    book = fed(changes)
    bids, asks = book.depth(Side.BUY), book.depth(Side.SELL)
    assert (np.diff(bids[:, 0]) < 0).all()
    assert (np.diff(asks[:, 0]) > 0).all()
    assert (bids[:, 1] > 0).all()
    assert (asks[:, 1] > 0).all()
    assert book.depth(Side.BUY, 3).tolist() == bids[:3].tolist()


@given(messages)
def test_a_book_survives_the_trip_through_bytes_and_goes_on_alike(changes):
    book = fed(changes)
    twin = restored(book)
    assert bytes_of(twin) == bytes_of(book)
    follow_up = a_delta([(990, 7)], [(1_010, 3)], sequence=2 + len(changes))
    assert twin.apply(follow_up) == book.apply(follow_up)
    assert bytes_of(twin) == bytes_of(book)


@given(messages.filter(len), st.data())
def test_a_missing_message_is_always_reported(changes, data):
    lost = data.draw(st.integers(0, len(changes) - 1))
    book = a_book([], [])
    found = []
    for i, change in enumerate([*changes, ([], [])]):
        if i != lost:
            found.append(book.apply(a_delta(*change, sequence=2 + i)))
    gap = next(fact for fact in found if fact is not None)
    assert gap == BookGap(instrument=book.instrument, expected=1 + lost, got=2 + lost)
    assert book.state is BookState.INVALID
    assert book.gaps == 1


def test_nothing_is_applied_before_the_first_snapshot():
    book = Book(instrument="bybit:linear:BTCUSDT")
    assert book.apply(a_delta([(999, 1)], [])) is None
    assert book.state is BookState.EMPTY
    assert not book.is_usable


def test_an_old_message_is_dropped_and_counted():
    book = a_book(sequence=10)
    before = sides(book)
    assert book.apply(a_delta([(999, 8)], sequence=10, previous=8)) is None
    assert book.apply(a_delta([(999, 8)], sequence=7)) is None
    assert (sides(book), book.stale, book.state, book.sequence) == (before, 2, BookState.LIVE, 10)


def test_the_first_delta_after_a_snapshot_may_overlap_it():
    book = a_book(sequence=10)
    assert book.apply(a_delta([(999, 8)], sequence=12, previous=7)) is None
    assert (book.best_bid_size, book.sequence) == (8, 12)


def test_a_snapshot_with_the_sequence_of_the_last_delta_is_taken_without_a_gap():
    book = a_book(sequence=1)
    book.apply(a_delta([(999, 8)], sequence=2))
    assert book.apply(a_snapshot([(999, 8)], [(1_001, 5)], sequence=2)) is None
    assert book.apply(a_delta([(999, 9)], sequence=3)) is None
    assert book.best_bid_size == 9


@pytest.mark.parametrize("bid", [1_001, 1_002])
def test_a_locked_or_crossed_book_is_reported_and_unusable_until_a_snapshot(bid):
    book = a_book()
    crossing = a_delta([(bid, 1)], [], sequence=2, ts=77)
    assert book.apply(crossing) == BookCrossed(instrument=book.instrument, bid=bid, ask=1_001)
    assert (book.state, book.crossings, book.crossed_ts, book.is_usable) == (BookState.INVALID, 1, 77, False)
    assert book.apply(a_delta([(bid, 0)], sequence=3)) is None
    assert not book.is_usable
    assert book.apply(a_snapshot([(999, 5)], [(1_001, 5)], sequence=9)) == BookRecovered(
        instrument=book.instrument, sequence=9
    )
    assert book.is_usable


def test_a_snapshot_that_is_itself_crossed_leaves_the_book_invalid():
    book = Book(instrument="bybit:linear:BTCUSDT")
    assert isinstance(book.apply(a_snapshot([(1_002, 1)], [(1_001, 1)])), BookCrossed)
    assert book.state is BookState.INVALID


@pytest.mark.parametrize("row", [(0, 5), (-3, 5), (990, -1)])
def test_an_impossible_level_is_reported_and_nothing_of_its_message_is_kept(row):
    book = a_book()
    before = sides(book)
    assert isinstance(book.apply(a_delta([(995, 1), row], [(1_005, 1)])), BookCorrupt)
    assert (sides(book), book.state) == (before, BookState.INVALID)


def test_a_message_moves_through_a_crossing_that_it_mends_itself():
    book = a_book()
    assert book.apply(a_delta([(1_001, 2)], [(1_001, 0), (1_003, 4)])) is None
    assert (book.best_bid, book.best_ask, book.mid) == (1_001, 1_003, 1_002.0)


def test_a_message_that_deletes_what_is_not_there_is_counted_once():
    book = a_book()
    assert book.apply(a_delta([(990, 0), (991, 0)], [(1_020, 0)])) is None
    assert book.unknown_deletes == 1
    assert sides(book) == [[[999, 5]], [[1_001, 5]]]


def test_it_says_whether_a_message_was_taken_in():
    book = a_book([(999, 5), (990, 5)])
    for sequence, previous, fresh in [
        (2, 1, True),
        (2, 1, False),
        (1, 0, False),
        (3, 2, True),
        (9, 8, False),
        (10, 9, False),
    ]:
        book.apply(a_delta([(990, 6)], sequence=sequence, previous=previous))
        assert book.is_fresh is fresh


def test_a_level_out_of_reach_is_dropped_and_not_kept_stale():
    book = a_book([(1_000, 5), (905, 5)], [(1_020, 5)])
    book.apply(a_delta([(1_010, 5)], sequence=2))
    book.apply(a_delta([(905, 777)], sequence=3))
    book.apply(a_delta([(1_010, 0)], sequence=4))
    assert book.size_at(Side.BUY, 905) == 0
    assert book.unknown_deletes == 0


@settings(max_examples=10)
@given(st.integers(513, 3_000))
def test_it_grows_past_its_first_capacity(count):
    bids = [(100_000 - i, 1 + i) for i in range(count)]
    book = a_book(bids[: count // 2], [(100_001, 1)])
    assert book.apply(a_delta(bids[count // 2 :])) is None
    assert book.depth(Side.BUY).tolist() == [list(row) for row in bids]
    assert book.depth(Side.SELL).tolist() == [[100_001, 1]]


def test_levels_out_of_reach_are_not_kept():
    far = 1_000_000 - 1_000_000 * REACH_PER_MILLE // 1_000
    book = a_book([(1_000_000, 1)], [(1_000_001, 1)])
    book.apply(a_delta([(far, 2), (far - 1, 3)], [(1_100_001, 2), (1_100_102, 3)]))
    assert sides(book) == [[[1_000_000, 1], [far, 2]], [[1_000_001, 1], [1_100_001, 2]]]
    assert book.unknown_deletes == 0


def test_when_room_is_short_levels_that_have_come_out_of_reach_make_way_first():
    book = a_book([(10_000 - i, 1) for i in range(300)], [(30_000, 1)])
    book.apply(a_delta([(12_000 - i, 1) for i in range(212)], sequence=2))
    capacity = book.sides.shape[1]
    book.apply(a_delta([(12_001, 1)], sequence=3))
    assert book.sides.shape[1] == capacity
    assert book.counts.tolist() == [213, 1]
    assert book.best_bid == 12_001


def test_an_interrupted_feed_makes_a_live_book_invalid_and_an_empty_one_stays_empty():
    book, fresh = a_book(), Book(instrument="bybit:linear:BTCUSDT")
    book.invalidate()
    fresh.invalidate()
    assert (book.state, fresh.state) == (BookState.INVALID, BookState.EMPTY)


def test_a_side_can_empty_and_fill_again():
    book = a_book()
    book.apply(a_delta([(999, 0)], sequence=2))
    assert (book.best_bid, book.best_bid_size, book.mid, book.is_usable) == (0, 0, 0.0, False)
    book.apply(a_delta([(998, 4)], sequence=3))
    assert (book.best_bid, book.is_usable) == (998, True)


def test_depth_is_a_view():
    book = a_book()
    assert np.shares_memory(book.depth(Side.BUY), book.sides)


def test_it_takes_nothing_but_book_messages():
    with pytest.raises(TypeError, match="TradePrint"):
        a_book().apply(a_print())
