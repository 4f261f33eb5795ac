"""Bars against a naive aggregation of everything that happened."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.apps.exchange.shown import START

from stakan.apps.exchange.bars import INTERVALS, KEPT, BarSeries, period
from stakan.core.domain.units import DAY, MINUTE, SECOND

happenings = st.lists(st.tuples(st.integers(0, 20 * 60), st.integers(1, 100), st.integers(1, 9)), min_size=1)


def naive(events, interval, now):
    """Bars from the first event's to the one that `now` is in: each opens at the close before."""
    bars, last = [], None
    start, end = period(interval, events[0][0])
    while start <= now:
        inside = [(number, size) for ts, number, size in events if start <= ts < end]
        first = inside[0][0] if last is None else last
        numbers = [first] + [number for number, _ in inside]
        bars.append(
            (
                *(start, end, first, max(numbers), min(numbers), numbers[-1]),
                *(sum(size for _, size in inside), sum(number * size for number, size in inside)),
            )
        )
        last = numbers[-1]
        start, end = period(interval, end)
    return bars


@given(happenings, st.sampled_from(["1", "3", "5", "15", "60"]), st.integers(0, 2_000))
def test_bars_are_the_aggregation_of_what_happened(rows, interval, later):
    events, ts = [], START
    for seconds, number, size in sorted(rows):
        ts = START + seconds * SECOND
        events.append((ts, number, size))
    series = BarSeries()
    for at, number, size in events:
        series.add(at, number, size, number * size)
    now = ts + later * SECOND
    series.roll(now)
    mine = [
        (bar.start, bar.end, bar.open, bar.high, bar.low, bar.close, bar.size, bar.value)
        for bar in series.newest(interval)
    ]
    assert mine[::-1] == naive(events, interval, now)


@given(st.sampled_from(INTERVALS), st.integers(0, 2**61))
def test_periods_tile_time(interval, ts):
    start, end = period(interval, ts)
    assert start <= ts < end
    assert period(interval, start) == period(interval, end - 1) == (start, end)
    assert period(interval, end)[0] == end


@pytest.mark.parametrize(
    ("interval", "day", "first"),
    [("W", (2026, 11, 22), (2026, 11, 16)), ("M", (2026, 2, 28), (2026, 2, 1)), ("M", (2025, 12, 31), (2025, 12, 1))],
)
def test_weeks_begin_on_mondays_and_months_on_the_first(interval, day, first):
    moment, wanted = (int(datetime(*date, tzinfo=UTC).timestamp()) * SECOND for date in (day, first))
    assert period(interval, moment)[0] == wanted


def test_what_is_remembered_is_bounded():
    series = BarSeries()
    series.add(START, 5, 1, 5)
    series.roll(START + (KEPT + 100) * MINUTE)
    assert len(list(series.newest("1"))) == KEPT + 1
    assert {bar.open for bar in series.newest("1")} == {5}
    assert len(series.latest_minutes(DAY // MINUTE)) == DAY // MINUTE


def test_nothing_has_happened_yet():
    series = BarSeries()
    series.roll(START)
    assert series.current("5") is None
    assert series.last_closed("1") is None
    assert list(series.newest("D")) == []
