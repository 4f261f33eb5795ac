"""Laws of candles, and Bybit's own candles from Bybit's own trades."""

from decimal import Decimal

import msgspec
import numpy as np
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.market.builders import a_print, an_instrument, bytes_of, restored

from stakan.core.domain.errors import DataError
from stakan.core.domain.events import Candle
from stakan.core.domain.facts import CandleClosed, LatePrint
from stakan.core.domain.units import DAY, MINUTE, SECOND, Side
from stakan.core.market.candles import GRACE_NS, KEPT, CandleBuilder, Column, Origin

START = 1_764_806_400 * SECOND

prints = st.lists(
    st.builds(
        a_print,
        ts=st.integers(0, 60_000).map(lambda ms: START + ms * 1_000_000),
        price=st.integers(900, 1_100),
        size=st.integers(1, 50),
        side=st.sampled_from(Side),
    ),
    min_size=1,
    max_size=60,
)
in_order = prints.map(lambda events: sorted(events, key=lambda event: event.ts_event))


def a_builder(interval=SECOND):
    return CandleBuilder.start(an_instrument(), interval)


def built(events, interval=SECOND, until=None):
    builder = a_builder(interval)
    facts = [fact for event in events for fact in builder.update(event)]
    if until is not None:
        facts += builder.advance(until + GRACE_NS)
    return builder, facts


def a_candle(open_ts, close=1_000, volume=7, interval=SECOND, is_closed=True, **changes):
    candle = Candle(
        instrument="bybit:linear:BTCUSDT",
        ts_event=open_ts + interval,
        ts_recv=open_ts + interval,
        interval_ns=interval,
        open_ts=open_ts,
        open=close,
        high=close + 1,
        low=close - 1,
        close=close,
        volume=volume,
        turnover=Decimal("0.0001") * close * volume,
        is_closed=is_closed,
    )
    return msgspec.structs.replace(candle, **changes)


def rows(builder):
    return builder.table[:, : builder.count].T.tolist()


def oracle(events, interval, until):
    """Group by interval; an empty group repeats the last close."""
    first = min(e.ts_event for e in events) // interval * interval
    close, found = 0, []
    for open_ts in range(first, until - interval + 1, interval):
        inside = sorted(
            (e for e in events if open_ts <= e.ts_event < open_ts + interval), key=lambda event: event.ts_event
        )
        prices = [e.price for e in inside] or [close]
        close = prices[-1]
        volume = sum(e.size for e in inside)
        turnover = sum(e.size * e.price for e in inside)
        found.append([open_ts, prices[0], max(prices), min(prices), close, volume, turnover, len(inside)])
    return found


@given(in_order, st.sampled_from([1, 2, 5, 60]))
def test_candles_are_the_prints_of_their_interval(events, seconds):
    until = START + 120 * SECOND
    builder, facts = built(events, seconds * SECOND, until)
    expected = oracle(events, seconds * SECOND, until)
    assert [row[:-1] for row in rows(builder)] == expected
    assert [(f.open_ts, f.close, f.volume) for f in facts] == [(row[0], row[4], row[5]) for row in expected]
    assert {type(fact) for fact in facts} == {CandleClosed}


@given(in_order)
def test_five_small_candles_make_one_large_one(events):
    """Small candles in which nothing traded only repeat a close, so they have no say in open, high and low."""
    until = START + 60 * SECOND
    small, _ = built([a_print(ts=START), *events], SECOND, until)
    large, _ = built([a_print(ts=START), *events], 5 * SECOND, until)
    for bar, parts in zip(rows(large), np.array(rows(small)).reshape(-1, 5, len(Column)), strict=True):
        assert bar[Column.CLOSE] == parts[-1, Column.CLOSE]
        for column in (Column.VOLUME, Column.TURNOVER, Column.TRADE_COUNT):
            assert bar[column] == parts[:, column].sum()
        traded = parts[parts[:, Column.TRADE_COUNT] > 0]
        if len(traded):
            highest, lowest = traded[:, Column.HIGH].max(), traded[:, Column.LOW].min()
            assert bar[Column.OPEN : Column.CLOSE] == [traded[0, Column.OPEN], highest, lowest]


@given(prints, prints)
def test_a_closed_candle_depends_on_nothing_that_came_after_its_close(events, others):
    builder, facts = built(events)
    closed = [fact for fact in facts if isinstance(fact, CandleClosed)]
    before = rows(builder)
    for event in others:
        builder.update(event)
    after = rows(builder)
    assert after[: len(before)] == before
    assert len(closed) == len(before)


@given(prints)
def test_no_volume_is_lost_or_made_up(events):
    builder, facts = built(events)
    assert sum(e.size for e in events) == builder.closed(Column.VOLUME).sum() + builder.volume + builder.late_volume
    assert builder.late == sum(isinstance(fact, LatePrint) for fact in facts)


@given(prints)
def test_closed_candles_are_evenly_spaced_and_end_where_the_open_one_starts(events):
    builder, _ = built(events)
    starts = [*builder.closed(Column.OPEN_TS).tolist(), builder.open_ts]
    assert set(np.diff(starts).tolist()) <= {SECOND}


@given(prints, prints)
def test_a_builder_survives_the_trip_through_bytes_and_goes_on_alike(events, others):
    builder, _ = built(events)
    twin = restored(builder)
    for event in others:
        assert twin.update(event) == builder.update(event)
    assert bytes_of(twin) == bytes_of(builder)


@given(st.permutations([0, 1, 2, 3]))
def test_inside_a_candle_open_and_close_go_by_exchange_time(order):
    events = [a_print(ts=START + i, price=1_000 + i) for i in order]
    candle = built(events)[0].open_candle()
    assert (candle.open, candle.high, candle.low, candle.close) == (1_000, 1_003, 1_000, 1_003)
    assert not candle.is_closed


def test_a_late_print_is_reported_and_kept_out():
    builder, facts = built([a_print(ts=START), a_print(ts=START + SECOND, price=7), a_print(ts=START + 5, size=9)])
    assert facts[-1] == LatePrint(instrument=builder.instrument, ts_event=START + 5)
    assert (builder.late, builder.late_volume, builder.last_closed().volume) == (1, 9, 1)


def test_a_clock_closes_after_a_grace_that_prints_do_not_need():
    builder, _ = built([a_print(ts=START)])
    assert builder.advance(START + SECOND + GRACE_NS - 1) == ()
    assert [fact.open_ts for fact in builder.advance(START + SECOND + GRACE_NS)] == [START]
    builder, facts = built([a_print(ts=START), a_print(ts=START + SECOND)])
    assert [fact.open_ts for fact in facts] == [START]


def test_an_interval_without_prints_stands_at_the_previous_close():
    builder, _ = built([a_print(ts=START, price=5), a_print(ts=START + 2 * SECOND, price=9)])
    assert rows(builder)[1] == [START + SECOND, 5, 5, 5, 5, 0, 0, 0, Origin.EMPTY]


steps = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 180), st.integers(0, 5 * 3_600)),
        st.integers(1, 9),
        st.integers(1, 9),
        st.integers(0, 19).map(lambda drawn: drawn == 0),
    ),
    min_size=1,
    max_size=80,
)
"""Seconds since the print before, price, size, whether the feed is interrupted afterwards: candles of a minute, of which
a day has more than are kept."""


@given(st.integers(0, 2 * 24 * 3_600), steps, st.booleans(), st.integers(0, 79))
def test_a_day_is_all_that_was_traded_since_midnight_also_what_is_not_kept_any_more(
    first, steps, include_open, restarted
):
    builder, events, now = a_builder(MINUTE), [], START // DAY * DAY + first * SECOND
    lacking, was_down = set(), True
    for number, (pause, price, size, is_interrupted) in enumerate(steps):
        now += pause * SECOND
        minute = now // MINUTE
        if was_down:
            lacking.update(range(events[-1].ts_event // MINUTE if events else minute, minute + 1))
        events.append(a_print(ts=now, price=price, size=size))
        builder.update(events[-1])
        if was_down := is_interrupted:
            builder.interrupt()
            lacking.add(minute)
        if number == restarted:
            builder = restored(builder)
        if not include_open and builder.count == 0:
            continue
        end = builder.open_ts + (MINUTE if include_open else 0)
        midnight = (end - 1) // DAY * DAY
        of_day = [event for event in events if midnight <= event.ts_event < end]
        turnover, volume = sum(one.price * one.size for one in of_day), sum(one.size for one in of_day)
        minutes = range(midnight // MINUTE, end // MINUTE)
        reaches_back = events[0].ts_event // MINUTE <= minutes.start
        is_whole = reaches_back and 20 * len(lacking & set(minutes)) <= len(minutes)
        assert builder.day(include_open=include_open) == (turnover, volume, is_whole)


def test_an_outage_of_hours_leaves_no_whole_day_and_a_reconnection_does():
    midnight = START // DAY * DAY
    builder, _ = built([a_print(ts=midnight + minute * MINUTE) for minute in range(-5, 240)], MINUTE)
    builder.interrupt()
    builder.update(a_print(ts=midnight + 241 * MINUTE))
    assert builder.day().is_whole
    builder.interrupt()
    builder.update(a_print(ts=midnight + 541 * MINUTE))
    assert not builder.day().is_whole


def test_a_day_goes_by_the_exchange_s_word_where_it_mends_what_is_kept():
    builder, _ = built([a_print(ts=START, size=5), a_print(ts=START + SECOND, size=3), a_print(ts=START + 2 * SECOND)])
    assert builder.day().volume == 8
    builder.accept(a_candle(START, volume=7))
    assert builder.day().volume == 10
    builder.accept(a_candle(START - SECOND, volume=20))
    assert builder.day() == (10_000, 10, True), "yesterday's"


def test_after_a_long_pause_only_what_is_kept_is_made():
    builder, facts = built([a_print(ts=START, price=5), a_print(ts=START + DAY, price=9)])
    assert len(facts) == 1 + KEPT
    assert builder.count == KEPT
    assert builder.closed(Column.OPEN_TS)[-1] == START + DAY - SECOND
    assert set(builder.closed(Column.CLOSE).tolist()) == {5}


def test_the_newest_two_hundred_are_kept():
    builder, _ = built([a_print(ts=START + i * SECOND, price=1_000 + i) for i in range(KEPT + 51)])
    assert builder.closed(Column.CLOSE).tolist() == list(range(1_050, 1_050 + KEPT))
    assert builder.newest(3)[Column.CLOSE].tolist() == [1_247, 1_248, 1_249]
    assert builder.newest(KEPT).shape == (len(Column), KEPT)
    with_open = builder.newest(KEPT, include_open=True)
    assert with_open[Column.CLOSE].tolist() == list(range(1_051, 1_051 + KEPT))
    assert with_open[Column.OPEN_TS, -1] == builder.open_ts
    assert builder.newest(1, include_open=True)[Column.CLOSE].tolist() == [1_250]


def test_before_anything_is_known_there_is_no_open_candle_to_include():
    builder = a_builder()
    assert not builder.has_begun
    assert builder.newest(KEPT, include_open=True).shape == (len(Column), 0)


def test_candles_that_lack_prints_are_marked():
    builder, _ = built([a_print(ts=START + i * SECOND) for i in range(3)])
    builder.interrupt()
    builder.advance(START + 5 * SECOND)
    for second in (5, 6, 7):
        builder.update(a_print(ts=START + second * SECOND))
    marks = [Origin(origin).name for origin in builder.closed(Column.ORIGIN)]
    assert marks == ["PARTIAL", "PRINTS", "PARTIAL", "PARTIAL", "PARTIAL", "PARTIAL", "PRINTS"]


# --- the exchange's own candles -------------------------------------------------------------------------------------


def test_the_exchanges_candle_replaces_ours():
    builder, _ = built([a_print(ts=START + i * SECOND) for i in range(3)])
    assert builder.accept(a_candle(START, close=77, volume=3)) == ()
    assert rows(builder)[0] == [START, 77, 78, 76, 77, 3, 231, 0, Origin.EXCHANGE]
    assert rows(builder)[1][Column.CLOSE] == 1_000


def test_empty_candles_follow_a_replaced_close():
    builder, _ = built([a_print(ts=START), a_print(ts=START + 3 * SECOND)])
    builder.accept(a_candle(START, close=77))
    assert builder.closed(Column.CLOSE).tolist() == [77, 77, 77]


def test_the_exchanges_candle_closes_the_open_one_and_later_prints_of_it_are_late():
    builder, _ = built([a_print(ts=START)])
    facts = builder.accept(a_candle(START, close=77))
    assert [(fact.open_ts, fact.close) for fact in facts] == [(START, 77)]
    assert isinstance(builder.update(a_print(ts=START + 1))[0], LatePrint)
    assert builder.open_candle().open == 77


@given(st.permutations(range(6)))
def test_history_fills_in_whatever_order_it_comes(order):
    candles = [a_candle(START + i * SECOND, close=1_000 + i) for i in range(6)]
    builder = a_builder()
    for i in order:
        builder.accept(candles[i])
    assert builder.closed(Column.CLOSE).tolist() == list(range(1_000, 1_006))
    assert set(builder.closed(Column.ORIGIN).tolist()) == {Origin.EXCHANGE}
    assert builder.last_closed().close == 1_005


def test_history_before_the_first_print_is_put_in_front():
    builder, _ = built([a_print(ts=START + 5 * SECOND), a_print(ts=START + 6 * SECOND)])
    builder.accept(a_candle(START + 2 * SECOND, close=77))
    assert builder.closed(Column.CLOSE).tolist() == [77, 77, 77, 1_000]
    assert builder.accept(a_candle(START - 500 * SECOND)) == ()
    assert builder.count == 4


def test_an_open_candle_of_the_exchange_is_ignored():
    builder, _ = built([a_print(ts=START)])
    before = bytes_of(builder)
    assert builder.accept(a_candle(START, is_closed=False)) == ()
    assert bytes_of(builder) == before


@pytest.mark.parametrize("wrong", [a_candle(START, interval=MINUTE), a_candle(START + 1)])
def test_a_candle_that_does_not_fit_is_refused(wrong):
    with pytest.raises(DataError, match="does not fit"):
        a_builder().accept(wrong)


@pytest.mark.parametrize("interval", [0, SECOND // 2, 7 * SECOND, 2 * DAY])
def test_intervals_must_divide_the_day(interval):
    with pytest.raises(DataError, match="must divide a day"):
        a_builder(interval)


def test_turnover_is_exact():
    builder, _ = built([a_print(ts=START, price=917_783, size=14), a_print(ts=START + 1, price=917_784, size=3)])
    assert builder.open_candle().turnover == Decimal("91778.3") * Decimal("0.014") + Decimal("91778.4") * Decimal(
        "0.003"
    )


@pytest.mark.recorded
def test_bybits_trades_make_bybits_candles(recorded):
    """All 46 full five-minute bars of the recording: high, close and volume. Opens differ: Bybit's is the last close."""
    trades = pyarrow.parquet.read_table(
        recorded / "bybit-btcusdt-2025-12" / "trades_BTCUSDT_2025-12-04_part-001.parquet",
        columns=["ts", "price", "qty", "is_buyer_maker"],
    )
    ts, price, size, is_sell = (column.to_numpy() for column in trades.columns)
    columns = (ts * 1_000_000, np.rint(price * 10).astype(np.int64), np.rint(size * 1_000).astype(np.int64), is_sell)
    builder = a_builder(5 * MINUTE)
    for i, (at, ticks, lots, sell) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        builder.update(a_print(at, ticks, lots, Side.SELL if sell else Side.BUY, i))
    builder.advance(builder.open_ts + 5 * MINUTE + GRACE_NS)
    table = pyarrow.feather.read_table(recorded / "bybit-candles" / "bybit_futures_BTC_USDT_USDT-5m-futures.feather")
    theirs = _by_start(table)
    full = rows(builder)[1:]
    assert len(full) == 46
    for row in full:
        bar = theirs[row[Column.OPEN_TS]]
        assert (row[Column.HIGH] / 10, row[Column.CLOSE] / 10) == (bar["high"], bar["close"])
        assert row[Column.VOLUME] == round(bar["volume"] * 1_000)
        assert row[Column.ORIGIN] == Origin.PRINTS
    assert builder.late == 0


def _by_start(table):
    starts = table.column("date").cast("int64").to_pylist()
    values = table.select(["high", "close", "volume"]).to_pylist()
    return dict(zip(starts, values, strict=True))
