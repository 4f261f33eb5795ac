"""Reference prices against the formulas of the specification, computed anew with other means."""

from decimal import Decimal

import msgspec
import pytest
from tests.apps.exchange.shown import BTC, START
from tests.core.market.builders import a_snapshot, an_instrument

from stakan.apps.exchange.prices import Prices, funding_cap, price_band
from stakan.core.domain.events import Ticker
from stakan.core.domain.instrument import MarginTier
from stakan.core.domain.units import HOUR, MINUTE, SECOND
from stakan.core.market.book import Book


def a_book(bid=99_999, ask=100_001, size=10**6):
    book = Book(BTC)
    book.apply(a_snapshot([(bid, size)], [(ask, size)]))
    return book


def a_ticker(**fields):
    texts = {name: Decimal(value) for name, value in fields.items()}
    return Ticker(instrument=BTC, ts_event=START, ts_recv=START, **texts)


def sampled(seconds, book, last=0):
    prices = Prices(an_instrument(), START)
    for second in range(seconds):
        prices.sample(START + second * SECOND, book, last)
    return prices


def test_in_a_still_market_all_prices_are_the_mid():
    prices = sampled(10, a_book())
    assert prices.mark == prices.index == Decimal(10_000)
    assert prices.premium == 0


def test_mark_is_the_median_of_three():
    """The index is told, so that the three prices are known: funding basis, moving average, last."""
    prices = Prices(an_instrument(), START)
    prices.tell(a_ticker(index="10000", funding_rate="0.0008"))
    book = a_book(100_199, 100_201)
    prices.sample(START, book, 100_100)
    hours = Decimal(prices.next_funding - START) / HOUR
    first = 10_000 * (1 + Decimal("0.0001") * hours / 8)
    assert first < 10_010
    assert prices.mark == Decimal(10_010)
    prices.sample(START + SECOND, book, 200_000)
    assert prices.mark == Decimal(10_020)


def test_mark_and_index_of_the_source_are_taken_over():
    prices = sampled(3, a_book())
    prices.tell(a_ticker(mark="9998.5", index="9999.25", funding_rate="-0.0002", open_interest="12.5"))
    prices.sample(START + 9 * SECOND, a_book(), 100_000)
    assert (prices.mark, prices.index) == (Decimal("9998.5"), Decimal("9999.25"))
    assert (prices.rate, prices.open_interest) == (Decimal("-0.0002"), Decimal("12.5"))
    assert prices.premium == Decimal("-0.000075")


@pytest.mark.parametrize(
    ("mark", "index", "band"),
    [
        ("10000", "10000", (101_000, 99_000)),
        ("10000", "10150", (101_500, 99_000)),
        ("10000", "9000", (101_000, 98_000)),
    ],
)
def test_the_band_is_the_near_ratio_moved_by_the_index_up_to_the_far_one(mark, index, band):
    assert price_band(an_instrument(), Decimal(mark), Decimal(index)) == band


def test_the_band_ends_where_prices_end():
    rules = msgspec.structs.replace(an_instrument(), min_price=99_500, max_price=100_500)
    assert price_band(rules, Decimal(10_000), Decimal(10_000)) == (100_500, 99_500)


def test_a_market_at_its_index_pays_the_interest_rate():
    prices = sampled(10 * 60, a_book())
    assert prices.rate == Decimal("0.0001")


def test_a_premium_makes_longs_pay_up_to_the_cap():
    rules = msgspec.structs.replace(
        an_instrument(),
        margin_tiers=(MarginTier(Decimal(1_000), Decimal("0.005"), Decimal(0), Decimal(100)),),
    )
    assert funding_cap(rules) == Decimal("0.00375")
    prices = Prices(rules, START)
    prices.tell(a_ticker(index="10000"))
    for minute in range(10):
        prices.sample(START + minute * MINUTE, a_book(100_199, 100_201), 0)
    # Every sample is 0.00199 of premium; the clamp takes 0.0005 of the way to the interest rate.
    assert float(prices.rate) == pytest.approx(0.00199 - 0.0005, abs=1e-8)
    for minute in range(10, 200):
        prices.sample(START + minute * MINUTE, a_book(109_999, 110_001), 0)
    assert prices.rate == Decimal("0.00375")


def test_later_samples_weigh_more():
    prices = Prices(an_instrument(), START)
    prices.tell(a_ticker(index="10000"))
    premiums = []
    for minute, bid in enumerate((100_020, 100_040, 100_090)):
        prices.sample(START + minute * MINUTE, a_book(bid, bid + 2), 0)
        premiums.append((bid - 100_000) / 100_000)
    average = sum(weight * premium for weight, premium in enumerate(premiums, start=1)) / 6
    expected = average + min(max(0.0001 - average, -0.0005), 0.0005)
    assert float(prices.rate) == pytest.approx(expected, abs=1e-8)


def test_settling_keeps_the_rate_and_moves_on():
    prices = Prices(an_instrument(), START)
    first = prices.next_funding
    prices.settle(Decimal("0.0003"))
    prices.settle(Decimal("0.0004"))
    assert list(prices.settlements) == [(first + 8 * HOUR, Decimal("0.0004")), (first, Decimal("0.0003"))]
    assert prices.next_funding == first + 16 * HOUR
