"""One instrument's market as a whole: what wakes it, what it is worth, what an interruption takes."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.market.builders import NAME, a_delta, a_print, a_snapshot, an_instrument, bytes_of, restored

from stakan.core.domain.events import Candle, Ticker
from stakan.core.domain.facts import BookGap, BookRecovered, CandleClosed
from stakan.core.domain.units import MINUTE, SECOND
from stakan.core.market.densities import DensityParams
from stakan.core.market.picture import MarketPicture, TickerState

AGE = 10 * SECOND
WALL = 1_000
FIELDS = ("mark", "index", "last", "funding_rate", "next_funding_ts", "open_interest")


def a_market(bids=((999, 5),), asks=((1_001, 5),)):
    """A market with a book; thresholds that make a level of 1,000 lots a density."""
    params = DensityParams(min_notional=1.0, relative=2.0, share=0.1)
    market = MarketPicture.start(an_instrument(), params, SECOND)
    assert market.apply_book(a_snapshot(bids=bids, asks=asks)) is None
    return market


def a_wall():
    """Five levels a side, one of them a wall."""
    bids = [(999 - i, WALL if i == 2 else 5) for i in range(5)]
    market = a_market(bids=bids, asks=[(1_001 + i, 5) for i in range(5)])
    market.take_trigger()
    return market


def a_ticker(ts=1, **fields):
    return Ticker(instrument=NAME, ts_event=ts, ts_recv=ts, **fields)


tickers = st.lists(
    st.dictionaries(st.sampled_from(FIELDS), st.one_of(st.none(), st.integers(1, 9).map(Decimal))), max_size=8
)


# --- ticker and mark --------------------------------------------------------------------------------------------------


@given(tickers)
def test_each_ticker_field_has_its_newest_told_value(messages):
    state = TickerState()
    for message in messages:
        state.merge(a_ticker(**message))
    for field in FIELDS:
        told = [message[field] for message in messages if message.get(field) is not None]
        assert getattr(state, field) == (told[-1] if told else None)


def test_the_mark_is_told_or_the_mid_or_nothing():
    market = MarketPicture.start(an_instrument(), DensityParams(), SECOND)
    assert market.mark(1, AGE) is None
    market.apply_book(a_snapshot(bids=[(999, 5)], asks=[(1_002, 5)]))
    assert market.mark(1, AGE) == Decimal("100.05")
    market.apply_ticker(a_ticker(index=Decimal(7)))
    assert market.mark(1, AGE) == Decimal("100.05")
    market.apply_ticker(a_ticker(mark=Decimal("100.123")))
    assert market.mark(1, AGE) == Decimal("100.123")


def test_an_old_mark_gives_way_to_the_mid():
    market = a_market()
    market.apply_ticker(a_ticker(ts=SECOND, mark=Decimal("100.123")))
    assert market.mark(SECOND + AGE, AGE) == Decimal("100.123")
    assert market.mark(SECOND + AGE + 1, AGE) == Decimal("100.0")


def test_a_ticker_that_leaves_the_mark_out_says_that_it_still_holds():
    market = a_market()
    market.apply_ticker(a_ticker(ts=SECOND, mark=Decimal("100.123")))
    market.apply_ticker(a_ticker(ts=SECOND + AGE, index=Decimal(7)))
    assert market.mark(SECOND + 2 * AGE, AGE) == Decimal("100.123")


def test_after_an_interruption_there_is_no_mark_until_the_market_is_back():
    market = a_market()
    market.apply_ticker(a_ticker(mark=Decimal("100.123")))
    market.interrupt()
    assert market.mark(1, AGE) is None
    market.apply_book(a_snapshot(bids=[(999, 5)], asks=[(1_001, 5)], sequence=9))
    assert market.mark(1, AGE) == Decimal("100.0")


# --- what wakes it ----------------------------------------------------------------------------------------------------


def test_a_trigger_is_taken_once():
    market = a_wall()
    market.apply_book(a_delta(bids=[(997, 0)]))
    assert market.take_trigger()
    assert not market.take_trigger()


@pytest.mark.parametrize(("left", "wakes"), [(950, False), (800, True), (0, True)])
def test_an_eroded_density_wakes(left, wakes):
    market = a_wall()
    market.apply_book(a_delta(bids=[(997, left)]))
    assert market.take_trigger() is wakes


def test_a_density_that_appears_does_not_wake():
    market = a_wall()
    market.apply_book(a_delta(asks=[(1_003, WALL)]))
    assert market.densities.at(1_003) is not None
    assert not market.take_trigger()


def test_ordinary_messages_do_not_wake():
    market = a_wall()
    market.apply_book(a_delta(bids=[(999, 6)]))
    market.apply_print(a_print(size=3))
    market.apply_ticker(a_ticker(mark=Decimal(100)))
    assert not market.take_trigger()


def test_a_print_larger_than_nearly_all_wakes_once_enough_were_seen():
    market = a_market()
    for number in range(255):
        market.apply_print(a_print(ts=2, size=10, trade_id=number))
    market.apply_print(a_print(ts=2, size=500, trade_id=255))
    assert not market.take_trigger()
    market.apply_print(a_print(ts=2, size=9, trade_id=256))
    assert not market.take_trigger()
    market.apply_print(a_print(ts=2, size=500, trade_id=257))
    assert market.take_trigger()


def test_a_large_print_against_rpi_liquidity_wakes_nobody():
    market = a_market()
    for number in range(256):
        market.apply_print(a_print(ts=2, size=10, trade_id=number))
    market.apply_print(a_print(ts=2, size=500, trade_id=256, is_rpi=True))
    assert not market.take_trigger()
    market.apply_print(a_print(ts=2, size=500, trade_id=257))
    assert market.take_trigger()


def test_a_print_that_was_seen_before_changes_nothing():
    market = a_market()
    market.apply_print(a_print(ts=SECOND, trade_id=1))
    before = market.candles.open_candle()
    assert market.apply_print(a_print(ts=SECOND, trade_id=1)) == ()
    assert market.candles.open_candle().volume == before.volume
    assert market.prints == 1


# --- time -------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 50)), max_size=20))
def test_its_time_is_the_newest_exchange_time_of_book_and_prints(moments):
    market = a_market()
    newest = 1
    for number, (is_print, ts) in enumerate(moments, 2):
        if is_print:
            market.apply_print(a_print(ts=ts, trade_id=number))
        else:
            market.apply_book(a_delta(bids=[(999, number)], ts=ts, sequence=number, previous=0))
        newest = max(newest, ts)
        assert market.ts_event == newest


def test_a_ticker_s_clock_moves_nothing():
    market = a_market()
    market.apply_ticker(a_ticker(ts=5 * MINUTE, mark=Decimal(100)))
    assert market.ts_event == 1


def test_the_next_candle_s_end_is_planned_with_its_grace():
    market = a_market()
    assert not market.advance(10 * SECOND)
    market.apply_print(a_print(ts=SECOND, trade_id=1))
    assert not market.advance(market.next_candle_end - 1)
    (closed,) = market.advance(market.next_candle_end)
    assert isinstance(closed, CandleClosed)
    assert market.next_candle_end > 2 * SECOND + SECOND


def test_a_candle_of_another_interval_is_not_ours():
    market = a_market()
    candle = Candle(
        instrument=NAME, ts_event=MINUTE, ts_recv=MINUTE, interval_ns=MINUTE, open_ts=0,
        open=1, high=1, low=1, close=1, volume=1, turnover=Decimal("0.1"),
    )  # fmt: skip
    assert market.apply_candle(candle) == ()
    assert market.candles.count == 0


# --- interruption -----------------------------------------------------------------------------------------------------


def test_an_interruption_waits_for_a_snapshot():
    market = a_market()
    market.interrupt()
    assert not market.book.is_usable
    market.apply_book(a_delta(bids=[(999, 6)]))
    assert not market.book.is_usable
    assert isinstance(market.apply_book(a_snapshot(bids=[(998, 5)], asks=[(1_001, 5)], sequence=9)), BookRecovered)
    assert market.book.is_usable


def test_a_gap_is_told_and_the_book_not_used():
    market = a_market()
    assert isinstance(market.apply_book(a_delta(bids=[(999, 6)], sequence=9, previous=8)), BookGap)
    assert not market.book.is_usable
    assert market.mark(1, AGE) is None


def test_a_picture_survives_its_trip_through_bytes():
    market = a_wall()
    for number in range(5):
        market.apply_print(a_print(ts=number * SECOND + 1, trade_id=number))
    market.apply_ticker(a_ticker(mark=Decimal("100.1")))
    again = restored(market)
    assert bytes_of(again) == bytes_of(market)
    for picture in (market, again):
        picture.apply_book(a_delta(bids=[(997, 100)]))
        picture.apply_print(a_print(ts=9 * SECOND, trade_id=99))
    assert bytes_of(again) == bytes_of(market)
