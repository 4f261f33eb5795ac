"""Laws of the market in exchange time: every row once, in order, at its millisecond, whatever the windows and steps."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.apps.exchange.shown import BTC, START, Events, generated
from tests.core.market.builders import a_delta, a_print, a_snapshot, an_instrument

from stakan.adapters.synthetic.config import demo_symbols
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.apps.exchange import feeds
from stakan.apps.exchange.clock import ExchangeClock
from stakan.apps.exchange.listing import list_all
from stakan.apps.exchange.market import AHEAD_NS, LiveMarket, Markets, for_accounts
from stakan.apps.sources import from_generator
from stakan.core.domain.batch import Kind
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import BestQuote, BookDelta, BookSnapshot, Candle, FeedDown, Ticker, TradePrint
from stakan.core.domain.units import MILLISECOND, SECOND, Nanos


def live(source, instruments=None, **options):
    return LiveMarket(source, list_all(instruments or source.instruments), START, **options)


def taken(market, seconds, step):
    """Every event with its batch's times, by instrument."""
    found = {}
    now = START
    while now < START + seconds * SECOND:
        now = min(now + step, START + seconds * SECOND)
        for batch in market.take(now):
            assert int(batch.ts_exchange[-1]) <= now
            assert np.array_equal(batch.ts_exchange, batch.ts_event)
            assert np.array_equal(batch.ts_exchange, batch.ts_recv)
            found.setdefault(batch.instrument, []).extend(batch.events())
    return found


def text_of(events):
    return [repr(event) for event in events]


def source_rows(source, kinds=BookSnapshot | BookDelta | TradePrint | Ticker):
    return [event for window in source.windows() for event in window.events() if isinstance(event, kinds)]


def content(event):
    """What must be the same in the source and here."""
    if isinstance(event, BookSnapshot | BookDelta):
        return type(event).__name__, event.sequence, event.bid_count, event.levels.tolist()
    if isinstance(event, TradePrint):
        return event.price, event.size, event.side, event.is_rpi
    return event.mark, event.index, event.last


def test_every_row_comes_once_in_its_order():
    source = generated(2, seconds=12)
    found = taken(live(source), 30, 7 * MILLISECOND)
    for name, events in found.items():
        symbol = name.split(":")[2]
        mine = [event for event in source_rows(source) if event.instrument.endswith(symbol)]
        assert [content(event) for event in events] == [content(event) for event in mine]
    assert len(found) == 2


def test_times_are_the_sources_moved_and_floored():
    source = generated(seconds=12)
    (events,) = taken(live(source), 30, SECOND).values()
    running = 0
    for mine, theirs in zip(events, source_rows(source), strict=True):
        running = max(running, theirs.ts_event)
        moved = START + running - source.config.start_ts
        assert mine.ts_event == moved // MILLISECOND * MILLISECOND


@settings(max_examples=8)
@given(st.integers(1, 4_000), st.integers(100, 9_000))
def test_steps_and_windows_change_nothing(step_ms, window_ms):
    plain = taken(live(generated(2, seconds=8)), 20, 50 * MILLISECOND)
    other = taken(live(generated(2, seconds=8, window_ns=Nanos(window_ms * MILLISECOND))), 20, step_ms * MILLISECOND)
    assert {key: text_of(value) for key, value in plain.items()} == {
        key: text_of(value) for key, value in other.items()
    }


@pytest.mark.parametrize("speed", [0.5, 3.0, 100.0])
def test_speed_stretches_time(speed):
    source = generated(seconds=6)
    (plain,) = taken(live(source), 20, SECOND).values()
    (fast,) = taken(live(source, speed=speed), 20, SECOND).values()
    assert len(fast) == len(plain)
    for one, other in zip(plain, fast, strict=True):
        assert abs((other.ts_event - START) - (one.ts_event - START) / speed) <= 2 * MILLISECOND
    with pytest.raises(ConfigError, match="speed"):
        live(source, speed=0)


def test_next_due_is_when_something_comes():
    market = live(generated(seconds=5))
    times = []
    while (due := market.next_due()) is not None:
        assert market.take(due - MILLISECOND) == []
        batches = market.take(due)
        assert {int(ts) for batch in batches for ts in batch.ts_exchange} == {due}
        times.append(due)
    assert all(b > a for a, b in pairwise(times))
    assert times[0] == START


def test_a_loop_begins_again_behind_a_seam():
    source = generated(seconds=6)
    (events,) = taken(live(source, loop=True), 25, 10 * MILLISECOND).values()
    seams = [row for row, event in enumerate(events) if isinstance(event, FeedDown)]
    assert len(seams) >= 2
    laps = [events[: seams[0]], *(events[a + 1 : b] for a, b in pairwise(seams))]
    assert all([content(event) for event in lap] == [content(event) for event in laps[0]] for lap in laps)
    assert all(isinstance(lap[0], BookSnapshot) for lap in laps)
    ids = [event.trade_id for event in events if isinstance(event, TradePrint)]
    assert len(set(ids)) == len(ids)
    assert all(a.ts_event <= b.ts_event for a, b in pairwise(events))
    assert live(source, loop=False).laps == 0


def test_without_a_loop_it_ends():
    market = live(generated(seconds=3))
    market.take(START + 60 * SECOND)
    assert market.next_due() is None
    assert market.take(START + 120 * SECOND) == []


def test_a_loop_over_nothing_that_is_listed_ends_too():
    events = [a_print(ts=SECOND)]
    assert live(Events(events), {BTC: an_instrument()}, loop=True).take(START)
    market = LiveMarket(Events(events), {}, START, loop=True)
    assert market.take(START + 10 * SECOND) == []
    assert LiveMarket(Events([]), list_all({BTC: an_instrument()}), START, loop=True).next_due() is None


def test_reading_ahead_is_bounded():
    """A day of market is not read to see its first second."""
    read = []

    class Counted:
        def windows(self):
            for window in generated(seconds=1_000, window_ns=Nanos(SECOND)).windows():
                read.append(window)
                yield window

    market = LiveMarket(Counted(), list_all(generated().instruments), START)
    market.take(START + SECOND)
    assert len(read) <= (AHEAD_NS + SECOND) // SECOND + 3


def test_an_endless_generator_goes_on_as_the_same_market():
    short = generated(seconds=2)
    endless = type(short)(short.config, is_endless=True)
    long = type(short)(msgspec.structs.replace(short.config, duration_ns=Nanos(30 * SECOND)))
    (events,) = taken(live(endless), 20, SECOND).values()
    (expected,) = taken(live(long), 20, SECOND).values()
    assert text_of(events) == text_of(expected)
    with pytest.raises(ConfigError, match="endless"):
        endless.truth()


def test_quotes_and_candles_of_the_source_are_not_passed_on():
    at = {"instrument": BTC, "ts_event": SECOND, "ts_recv": SECOND}
    quote = BestQuote(**at, sequence=1, bid_price=1, bid_size=1, ask_price=2, ask_size=1)
    prices = {"open": 1, "high": 1, "low": 1, "close": 1, "volume": 1, "turnover": 1}
    candle = Candle(**at, interval_ns=SECOND, open_ts=0, **prices)
    events = [
        a_snapshot([(9, 1)], [(11, 1)], ts=SECOND),
        quote,
        candle,
        a_delta([(9, 2)], ts=SECOND),
        a_print(ts=SECOND),
    ]
    (batch,) = live(Events(events), {BTC: an_instrument()}).take(START)
    assert batch.kind.tolist() == [Kind.SNAPSHOT, Kind.DELTA, Kind.BUY_PRINT]
    assert [len(event.levels) for event in list(batch.events())[:2]] == [2, 1]


def test_accounts_get_books_prints_and_interruptions():
    market = live(generated(seconds=3), loop=True)
    seen = []
    for batch in market.take(START + 8 * SECOND):
        mine = for_accounts(batch)
        wanted = [event for event in batch.events() if not isinstance(event, Ticker)]
        assert text_of(mine.events()) == text_of(wanted)
        seen += wanted
    assert any(isinstance(event, FeedDown) for event in seen)


# --- the clock --------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10**12), min_size=1), st.integers(-(10**9), 10**9))
def test_the_clock_tells_whole_milliseconds_and_never_goes_back(walls, skew):
    walls = [wall + 10**12 for wall in walls]
    clock = ExchangeClock(iter(walls).__next__, skew)
    told = [clock.now() for _ in walls]
    assert all(now % MILLISECOND == 0 for now in told)
    assert told == sorted(told)
    assert told[0] == (walls[0] + skew) // MILLISECOND * MILLISECOND
    assert all(now >= (wall + skew) // MILLISECOND * MILLISECOND for now, wall in zip(told, walls, strict=True))


# --- feeds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [5 * MILLISECOND, SECOND])
def test_symbols_that_are_generated_apart_are_the_market_of_all(step):
    config = generated(3, seconds=8).config
    market = feeds.generated(config, START)
    apart = taken(market.feed, 8, step)
    together = taken(live(SyntheticMarket(config, is_endless=True)), 8, SECOND)
    assert {key: text_of(value) for key, value in apart.items()} == {
        key: text_of(value) for key, value in together.items()
    }
    assert list(market.listed) == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]


def test_reading_in_advance_takes_one_market_at_a_time():
    """No call has to generate all symbols at once: after the first, each finds them read."""
    reads = []

    class Watched(LiveMarket):
        def read_on(self):
            reads.append(self)
            super().read_on()

        def _read_window(self):
            reads.append(None)
            super()._read_window()

    sources = [generated(window_ns=SECOND, symbols=(symbol,)) for symbol in demo_symbols()]
    markets = Markets([Watched(one, list_all(one.instruments), START) for one in sources])
    assert markets.next_due() == START
    markets.take(START)
    for step in range(1, 1_000):
        reads.clear()
        markets.take(START + step * 10 * MILLISECOND)
        assert len(reads) <= 2
    assert START + 9_990 * MILLISECOND < markets.next_due() < START + 12 * SECOND


def test_a_recording_is_shown_at_a_speed_in_a_loop():
    source = from_generator(generated(2, seconds=5).config)
    market = feeds.recorded(source, START, speed=2.0, loop=True)
    found = taken(market.feed, 9, 100 * MILLISECOND)
    assert set(found) == {rules.id for rules in market.listed.values()}
    assert all(sum(isinstance(event, FeedDown) for event in events) == 2 for events in found.values())
