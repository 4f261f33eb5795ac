"""Book health: one by default, less with a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.market.builders import a_delta, a_snapshot

from stakan.core.domain.units import MILLISECOND, SECOND
from stakan.core.market.book import Book
from stakan.core.market.health import BookHealth, HealthLimits, HealthReason, book_health


def a_book(depth=10, asks=None, ts=0):
    book = Book(instrument="bybit:linear:BTCUSDT")
    rows = [(1_000 - i, 1) for i in range(depth)], [(1_001 + i, 1) for i in range(depth if asks is None else asks)]
    book.apply(a_snapshot(*rows, ts=ts))
    return book


def test_a_fresh_deep_book_has_nothing_against_it():
    assert book_health(a_book(), 2 * SECOND) == BookHealth(1.0)


def test_without_a_snapshot_or_with_an_empty_side_there_is_no_health():
    empty = BookHealth(0.0, (HealthReason.EMPTY,))
    assert book_health(Book(instrument="bybit:linear:BTCUSDT"), 0) == empty
    assert book_health(a_book(asks=0), 0) == empty


@pytest.mark.parametrize("breaking", [a_delta(sequence=9), a_delta([(1_002, 1)]), a_delta([(0, 1)])])
def test_a_gap_a_crossing_and_a_corrupt_level_leave_nothing(breaking):
    book = a_book()
    book.apply(breaking)
    assert book_health(book, 0) == BookHealth(0.0, (HealthReason.INVALID,))


def test_a_mended_crossing_counts_half_for_ten_seconds():
    book = a_book()
    book.apply(a_delta([(1_002, 1)], ts=5))
    book.apply(a_snapshot([(1_000 - i, 1) for i in range(10)], [(1_001 + i, 1) for i in range(10)], ts=9 * SECOND))
    assert book_health(book, 9 * SECOND) == BookHealth(0.5, (HealthReason.CROSSED_RECENTLY,))
    assert book_health(book, 10 * SECOND + 5) == BookHealth(1.0)


@given(st.integers(0, 20_000), st.integers(0, 20_000))
def test_silence_never_makes_a_book_healthier(one, other):
    book = a_book()
    first, later = (book_health(book, at * MILLISECOND) for at in sorted((one, other)))
    assert later.score <= first.score
    assert (HealthReason.STALE in later.reasons) == (later.score < 1)


def test_half_way_from_stale_to_dead_half_is_left():
    assert book_health(a_book(), 6 * SECOND) == BookHealth(0.5, (HealthReason.STALE,))
    assert book_health(a_book(), 10 * SECOND).score == 0


def test_every_missing_level_of_the_thinner_side_costs_a_tenth():
    assert book_health(a_book(asks=7), 0) == BookHealth(0.7, (HealthReason.SHALLOW,))
    assert book_health(a_book(asks=7), 0, HealthLimits(levels=7)) == BookHealth(1.0)
