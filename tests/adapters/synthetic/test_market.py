"""Laws of the generated market: repeatable, consistent, in order, and independent where it should be."""

from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.synthetic.markets import BTC, ETH, SOL, a_config, a_symbol, batches, busy, bytes_of

from stakan.adapters.synthetic.config import NOTHING_PLANTED, FeedLatency, demo_config, demo_instruments
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.adapters.synthetic.paths import PricePath
from stakan.core.domain.batch import Kind
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import BookDelta, BookSnapshot, Ticker, TradePrint
from stakan.core.domain.units import HOUR, MINUTE, SECOND, Side
from stakan.core.market.book import Book, BookState


def test_same_seed_gives_the_same_bytes_and_another_seed_others():
    assert bytes_of(a_config()) == bytes_of(a_config())
    assert bytes_of(a_config()) != bytes_of(a_config(seed=12))


@settings(max_examples=4)
@given(st.integers(min_value=300_000_000, max_value=25 * SECOND))
def test_window_length_changes_nothing(window_ns):
    config = a_config(episodes=busy())
    assert bytes_of(config) == bytes_of(msgspec.structs.replace(config, window_ns=window_ns))


@settings(max_examples=3)
@given(st.integers(min_value=2_345_678_901, max_value=40 * SECOND))
def test_a_shorter_market_is_the_beginning_of_a_longer_one(duration_ns):
    short = a_config(duration_ns=duration_ns, episodes=busy())
    long = msgspec.structs.replace(short, duration_ns=60 * SECOND)
    assert bytes_of(short) == bytes_of(long, until=short.start_ts + duration_ns)


def test_a_symbol_is_the_same_whatever_other_symbols_there_are():
    alone = bytes_of(a_config(symbols=(ETH,), episodes=busy()))
    assert alone == bytes_of(a_config(symbols=(BTC, ETH, SOL), episodes=busy()), which=1)
    assert alone == bytes_of(a_config(symbols=(ETH, SOL), episodes=busy()))


def test_runs_of_one_market_do_not_disturb_each_other():
    market = SyntheticMarket(a_config())
    first, second = market.windows(), market.windows()
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.batches[0].levels, other.batches[0].levels)


@pytest.mark.parametrize("rate", [0.0, 15.0, 50.0])
def test_every_book_replays_without_gap_crossing_or_unknown_delete(rate):
    symbols = tuple(msgspec.structs.replace(symbol, messages_per_second=rate) for symbol in (BTC, SOL))
    config = a_config(symbols=symbols, depth=50, episodes=busy(), duration_ns=60 * SECOND)
    books = {symbol.instrument.id: Book(symbol.instrument.id) for symbol in symbols}
    for window in SyntheticMarket(config).windows():
        for event in window.events():
            if not isinstance(event, BookSnapshot | BookDelta):
                continue
            book = books[event.instrument]
            assert (event.levels[:, 1] >= 0).all()
            assert book.apply(event) is None
            assert tuple(book.counts) == (50, 50)
    for book in books.values():
        assert book.state is BookState.LIVE
        assert (book.gaps, book.crossings, book.unknown_deletes, book.stale) == (0, 0, 0, 0)


def test_the_first_book_message_is_a_snapshot_and_sequences_are_contiguous():
    for which in range(2):
        rows = list(batches(SyntheticMarket(a_config()).windows(), which))
        kind = np.concatenate([batch.kind for batch in rows])
        sequence = np.concatenate([batch.sequence for batch in rows])
        previous = np.concatenate([batch.previous_sequence for batch in rows])
        book = kind <= Kind.DELTA
        assert kind[0] == Kind.SNAPSHOT
        assert (kind == Kind.SNAPSHOT).sum() == 1
        assert sequence[book].tolist() == list(range(1, book.sum() + 1))
        assert (previous[book] == sequence[book] - 1).all()
        prints = (kind == Kind.BUY_PRINT) | (kind == Kind.SELL_PRINT)
        assert sequence[prints].tolist() == list(range(1, prints.sum() + 1))


def test_receive_times_never_go_back_and_no_latency_is_below_the_floor():
    config = a_config(latency=FeedLatency(floor_ns=3_000_000, median_ns=9_000_000, spread=1.0), episodes=busy())
    last = last_arrival = 0
    for window in SyntheticMarket(config).windows():
        for batch in window.batches:
            assert (np.diff(batch.ts_recv) >= 0).all()
            assert (np.diff(batch.ts_exchange) >= 0).all()
            assert (batch.ts_recv - batch.ts_event >= 3_000_000).all()
        arrivals = []
        for which, row in zip(window.order_batch, window.order_row, strict=True):
            batch = window.batches[which]
            assert batch.ts_recv[row] >= last
            last = batch.ts_recv[row]
            arrivals.append(int(batch.arrival[row]))
        assert arrivals == list(range(last_arrival, last_arrival + len(arrivals)))
        last_arrival += len(arrivals)


@pytest.mark.parametrize("symbol", [BTC, SOL], ids=["fine tick", "coarse tick"])
def test_every_print_trades_against_what_stood_best_at_that_moment(symbol):
    """With a message after every change. Orders that flee a market order leave no message of their own, and an iceberg
    that is taken and filled up to the same size leaves none at all, so there are none here."""
    rates = busy(spoofing=0.0, layering=0.0, quote_stuffing=0.0, iceberg=0.0)
    symbol = msgspec.structs.replace(symbol, messages_per_second=0.0)
    book = Book(symbol.instrument.id)
    eaten: dict[int, int] = {}
    prints = 0
    for window in SyntheticMarket(a_config(symbols=(symbol,), episodes=rates, duration_ns=45 * SECOND)).windows():
        for event in window.events():
            if isinstance(event, BookSnapshot | BookDelta):
                book.apply(event)
                eaten.clear()
            elif isinstance(event, TradePrint):
                left = ((p, s - eaten.get(p, 0)) for p, s in book.depth(event.side.opposite).tolist())
                price, size = next((p, s) for p, s in left if s > 0)
                assert event.price == price
                assert 0 < event.size <= size
                eaten[price] = eaten.get(price, 0) + event.size
                prints += 1
    assert prints > 50


def test_traded_volume_leaves_the_book():
    """The best ask after a message that follows buys alone is smaller or further away."""
    symbol = msgspec.structs.replace(BTC, messages_per_second=0.0)
    config = a_config(symbols=(symbol,), episodes=NOTHING_PLANTED)
    book = Book(symbol.instrument.id)
    bought: tuple[int, int] | None = None
    seen = 0
    for window in SyntheticMarket(config).windows():
        for event in window.events():
            if isinstance(event, TradePrint) and event.side is Side.BUY:
                before = bought[1] if bought and bought[0] == event.price else book.size_at(Side.SELL, event.price)
                bought = event.price, before - event.size
            elif isinstance(event, BookSnapshot | BookDelta):
                book.apply(event)
                if bought:
                    assert book.size_at(Side.SELL, bought[0]) == bought[1]
                    seen += 1
                bought = None
            elif not isinstance(event, Ticker):
                bought = None
    assert seen > 20


def test_rates_are_as_configured():
    symbol = a_symbol(messages_per_second=20.0, takers_per_second=8.0, volatility_bp=0.1)
    config = a_config(symbols=(symbol,), episodes=NOTHING_PLANTED, duration_ns=2 * MINUTE)
    kind = np.concatenate([batch.kind for batch in batches(SyntheticMarket(config).windows(), 0)])
    assert (kind == Kind.OTHER).sum() == 120
    assert (kind == Kind.DELTA).sum() / 120 == pytest.approx(20.0, rel=0.05)
    trades = ((kind == Kind.BUY_PRINT) | (kind == Kind.SELL_PRINT)).sum()
    assert 0.5 < trades / 120 / 8.0 < 2.0


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
def test_efficient_prices_are_correlated_as_configured(correlation):
    returns = []
    for symbol in (BTC, ETH):
        path = PricePath(3, symbol.instrument.id, symbol.start_ticks, 1e-5, correlation)
        returns.append(np.diff([np.log(path.next_slice()[-1]) for _ in range(4_000)]))
    assert np.corrcoef(returns)[0, 1] == pytest.approx(correlation, abs=0.12)


def test_tickers_tell_mark_index_and_the_coming_funding():
    start = 20 * 365 * 24 * HOUR + 8 * HOUR - 5 * SECOND
    market = SyntheticMarket(a_config(symbols=(SOL,), start_ts=start, duration_ns=12 * SECOND))
    tickers = [e for w in market.windows() for e in w.events() if isinstance(e, Ticker)]
    assert len({ticker.next_funding_ts for ticker in tickers}) == 2
    for ticker in tickers:
        assert ticker.next_funding_ts > ticker.ts_event
        assert abs(ticker.mark - ticker.index) < Decimal("0.5")
        assert abs(ticker.funding_rate) <= Decimal("0.0075")


def test_all_is_labelled_synthetic():
    assert len(demo_instruments()) == 3
    assert all(name.startswith("synthetic:linear:") for name in demo_instruments())
    rules = msgspec.structs.replace(BTC.instrument, id="bybit:linear:BTCUSDT")
    with pytest.raises(ConfigError, match="venue 'synthetic'"):
        a_config(symbols=(a_symbol(instrument=rules),))


def test_a_configuration_that_cannot_work_says_which_key():
    with pytest.raises(ConfigError, match="start_price"):
        a_config(symbols=(a_symbol(start_price=Decimal(10)),))
    with pytest.raises(ConfigError, match="correlation"):
        a_config(correlation=1.0)
    with pytest.raises(ConfigError, match="symbols"):
        a_config(symbols=(BTC, BTC))
    with pytest.raises(ConfigError, match="duration_ns"):
        demo_config(duration_ns=0)


def test_margin_tiers_are_continuous():
    for rules in demo_instruments().values():
        for low, high in zip(rules.margin_tiers, rules.margin_tiers[1:], strict=False):
            at = low.notional_limit
            assert at * low.maintenance_rate - low.deduction == at * high.maintenance_rate - high.deduction
