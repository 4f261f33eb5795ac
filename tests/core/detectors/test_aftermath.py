"""The market around findings, and what price does afterwards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.market.builders import NAME, a_print, a_snapshot, an_instrument, bytes_of, restored

from stakan.core.detectors._aftermath import AFTER_NS, WAITING, Aftermath, circumstances
from stakan.core.domain.findings import Finding, Pattern, Stage
from stakan.core.domain.units import DAY, SECOND
from stakan.core.features.trend import Trend
from stakan.core.market.densities import DensityParams
from stakan.core.market.picture import MarketPicture

START = 20_000 * DAY + 3_600 * SECOND


class Watched:
    """A market whose mid is told; findings are made in it."""

    def __init__(self):
        self.market = MarketPicture.start(an_instrument(), DensityParams(), SECOND)
        self.aftermath = Aftermath(instrument=NAME)
        self.sequence = self.episodes = 0
        self.ts = START
        self.mids = []

    def mid(self, price, after_ms=0):
        self.ts += after_ms * SECOND // 1_000
        self.sequence += 1
        bids, asks = [(price - 1, 5)], [(price + 1, 5)]
        self.market.apply_book(a_snapshot(bids, asks, sequence=self.sequence, ts=self.ts))
        self.mids.append((self.ts, price))
        return self.aftermath.settle(self.market)

    def find(self):
        self.episodes += 1
        finding = Finding(
            instrument=NAME, detector="d", pattern=Pattern.SPOOFING, stage=Stage.CONFIRMED, episode=self.episodes,
            began=self.ts, ts_event=self.ts, confidence=0.5,
        )  # fmt: skip
        return self.aftermath.note(finding, self.market.book.mid)


happenings = st.lists(
    st.tuples(st.integers(9_900, 10_100), st.sampled_from((100, 900, 5_000)), st.booleans()), max_size=60
)


@given(happenings)
def test_moves_are_those_of_the_first_mid_at_or_after_each_time(story):
    watched = Watched()
    watched.mid(10_000)
    made, settled = {}, {}
    for price, after_ms, finds in story:
        for fact in watched.mid(price, after_ms):
            settled[fact.episode] = fact
        if finds:
            watched.find()
            made[watched.episodes] = (watched.ts, price)
    for episode, (ts, price) in made.items():
        later = [next((mid for at, mid in watched.mids if at >= ts + wait), None) for wait in AFTER_NS]
        if None in later:
            assert episode not in settled
            continue
        moves = [pytest.approx((mid / price - 1) * 10_000) for mid in later]
        assert (settled[episode].ts_event, list(settled[episode].moves_bps)) == (ts, moves)


@given(happenings, happenings)
def test_what_waits_survives_the_trip_through_bytes(before, after):
    watched, twin = Watched(), Watched()
    for one in (watched, twin):
        one.mid(10_000)
        for price, after_ms, finds in before:
            one.mid(price, after_ms)
            if finds:
                one.find()
    twin.aftermath = restored(twin.aftermath)
    for price, after_ms, _ in after:
        assert watched.mid(price, after_ms) == twin.mid(price, after_ms)
    assert bytes_of(watched.aftermath) == bytes_of(twin.aftermath)


def test_where_the_book_could_not_be_used_nothing_is_said():
    watched = Watched()
    watched.mid(10_000)
    watched.find()
    watched.mid(10_010, 1_000)
    watched.market.interrupt()
    watched.market.apply_print(a_print(START + 11 * SECOND, 10_020))
    assert watched.aftermath.settle(watched.market) == []
    (fact,) = watched.mid(10_030, 60_000)
    assert fact.moves_bps == (pytest.approx(10.0), None, pytest.approx(30.0))


def test_too_many_that_wait_make_the_oldest_say_what_is_known():
    watched = Watched()
    watched.mid(10_000)
    watched.find()
    watched.mid(10_010, 1_000)
    assert [watched.find() for _ in range(WAITING - 1)] == [None] * (WAITING - 1)
    fact = watched.find()
    assert (fact.episode, fact.moves_bps) == (1, (pytest.approx(10.0), None, None))
    assert len(watched.aftermath.waiting) == WAITING


def test_circumstances_are_those_of_the_market():
    market = MarketPicture.start(an_instrument(), DensityParams(), SECOND)
    nothing = circumstances(market, Trend.NONE)
    assert (nothing.mid, nothing.spread_bps, nothing.depth, nothing.imbalance, nothing.volatility_bps) == (
        0,
        0,
        0,
        0,
        0,
    )
    bids, asks = [(9_999 - i, 30) for i in range(12)], [(10_001, 30), (10_002, 30)]
    market.apply_book(a_snapshot(bids, asks, ts=START))
    for second, price in enumerate((10_000, 10_010, 10_000, 10_010, 10_000)):
        market.apply_print(a_print(START + second * SECOND, price, trade_id=second))
    found = circumstances(market, Trend.DOWN)
    held = sum(price * 30 for price, _ in bids[:10]), sum(price * 30 for price, _ in asks)
    assert (found.mid, found.spread_bps, found.trend) == (10_000.0, pytest.approx(2.0), -1)
    assert found.depth == pytest.approx(sum(held) * 0.1 * 0.001)
    assert found.imbalance == pytest.approx((held[0] - held[1]) / sum(held))
    assert found.volatility_bps == pytest.approx(11.54, abs=0.05)
    assert found.second_of_day == 3_604
