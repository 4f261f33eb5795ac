"""A LOBSTER day: its level 2 is what its book file shows, and what is damaged is refused by name."""

import zipfile

import pytest

from stakan.adapters.importers.lobster import OrderEvent, events, read_day
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import BookDelta, BookSnapshot, TradePrint
from stakan.core.domain.units import SECOND, Side
from stakan.core.market.book import Book

NONE = (9999999999, 0, -9999999999, 0)
MESSAGES = [
    (34200.1, 1, 11, 50, 1000000, 1),
    (34200.2, 1, 12, 30, 1000200, -1),
    (34200.2, 4, 11, 20, 1000000, 1),
    (34201.123456789, 5, 0, 7, 1000150, -1),
    (34202.0, 3, 11, 30, 1000000, 1),
]
BOOKS = [
    (1000300, 10, 1000000, 50, *NONE[:2], 999900, 5),
    (1000200, 30, 1000000, 50, 1000300, 10, 999900, 5),
    (1000200, 30, 1000000, 30, 1000300, 10, 999900, 5),
    (1000200, 30, 1000000, 30, 1000300, 10, 999900, 5),
    (1000200, 30, 999900, 5, 1000300, 10, 999800, 8),
]


def a_day(folder, messages=MESSAGES, books=BOOKS, name="GOOG_2012-06-21_34200000_57600000_{}_2.csv"):
    path = folder / "day.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for what, table in (("message", messages), ("orderbook", books)):
            archive.writestr(name.format(what), "\n".join(",".join(map(str, row)) for row in table))
    return path


def sides(book):
    return book.depth(Side.BUY).tolist(), book.depth(Side.SELL).tolist()


def test_the_level_two_is_what_the_book_file_shows(tmp_path):
    day = read_day(a_day(tmp_path))
    found = list(events(day))
    assert [type(event) for event in found] == [BookSnapshot, TradePrint, BookDelta, TradePrint, BookDelta]
    book, seen = Book(day.instrument.id), []
    for event in found:
        if not isinstance(event, TradePrint):
            assert book.apply(event) is None
            seen.append(sides(book))
    assert seen == [
        ([[10000, 50], [9999, 5]], [[10003, 10]]),
        ([[10000, 30], [9999, 5]], [[10002, 30], [10003, 10]]),
        ([[9999, 5], [9998, 8]], [[10002, 30], [10003, 10]]),
    ]
    assert book.unknown_deletes == 0


def test_executions_are_prints_of_the_aggressor_and_times_are_exact(tmp_path):
    day = read_day(a_day(tmp_path))
    first, hidden = (event for event in events(day) if isinstance(event, TradePrint))
    assert (first.price, first.size, first.side) == (10000, 20, Side.SELL)
    # A hidden order's price between two ticks is the lower one.
    assert (hidden.price, hidden.size, hidden.side) == (10001, 7, Side.BUY)
    midnight = 1_340_236_800 * SECOND
    assert hidden.ts_event == midnight + 34_201_123_456_789
    assert day.kind.tolist() == [1, 1, OrderEvent.EXECUTED, OrderEvent.HIDDEN_EXECUTED, OrderEvent.DELETED]


def test_a_level_out_of_sight_stays_what_it_was(tmp_path):
    messages = [(34200.0 + k, 1, k, 10, 1000000, 1) for k in range(3)]
    books = [
        (1000300, 10, 1000000, 50, 1000400, 10, 999900, 5),
        (1000300, 10, 1000100, 10, 1000400, 10, 1000000, 50),
        (1000300, 10, 1000000, 50, 1000400, 10, 999800, 5),
    ]
    day = read_day(a_day(tmp_path, messages, books))
    book, bids = Book(day.instrument.id), []
    for event in events(day):
        book.apply(event)
        bids.append(book.depth(Side.BUY).tolist())
    assert bids[1] == [[10001, 10], [10000, 50], [9999, 5]]
    # Back in sight, the file says that 99.99 is gone.
    assert bids[2] == [[10000, 50], [9998, 5]]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "other_{}.csv"}, "no pair of LOBSTER"),
        ({"books": BOOKS[:-1]}, "do not belong together"),
    ],
)
def test_what_is_no_day_is_refused_with_its_name(tmp_path, change, why):
    path = a_day(tmp_path, **change)
    with pytest.raises(DataError, match=f"day.zip: .*{why}"):
        read_day(path)


def test_a_file_that_is_no_zip_is_refused(tmp_path):
    path = tmp_path / "day.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"day\.zip: cannot be read"):
        read_day(path)


def test_a_level_off_the_grid_is_refused_by_its_row(tmp_path):
    books = [(1000350, *BOOKS[0][1:]), *BOOKS[1:]]
    with pytest.raises(DataError, match=r"row 1 shows 10 shares at 100\.035"):
        list(events(read_day(a_day(tmp_path, books=books))))
