"""Order-book features against definitions written out by hand, and the laws that all of them keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.core.domain.events import BookDelta, BookSnapshot
from stakan.core.domain.ids import InstrumentId
from stakan.core.features.catalogue import ORDER_BOOK, Feature
from stakan.core.features.order_book import OrderBookFeatures
from stakan.core.market.book import Book

TICK, LOT = 0.5, 0.01
COUNT = ORDER_BOOK.stop
SECOND = 1_000_000_000


def sides(draw_bids, draw_asks, mid=1000):
    """Levels of a message: bids below the middle, asks above."""
    bids = [[mid - 1 - offset, size] for offset, size in draw_bids.items()]
    asks = [[mid + 1 + offset, size] for offset, size in draw_asks.items()]
    return np.array(bids + asks, dtype=np.int64).reshape(-1, 2), len(bids)


offsets = st.dictionaries(st.integers(0, 60), st.integers(1, 500), min_size=1, max_size=30)
changes = st.dictionaries(st.integers(0, 60), st.integers(0, 500), max_size=6)


@st.composite
def histories(draw):
    """A snapshot and some deltas that always leave both sides populated, with their exchange times."""
    messages = [(0, *sides(draw(offsets), draw(offsets)))]
    ts = 0
    for _ in range(draw(st.integers(0, 12))):
        ts += draw(st.integers(0, 4 * SECOND))
        keep = {70: 5}
        messages.append((ts, *sides({**draw(changes), **keep}, {**draw(changes), **keep})))
    return messages


def play(messages, mirror=False):
    """Book and features after the messages; with `mirror`, prices are negated around 2000 so that sides swap."""
    book = Book(InstrumentId("t:linear:X"))
    state = OrderBookFeatures()
    for number, (ts, levels, bid_count) in enumerate(messages):
        shown, bids = levels, bid_count
        if mirror:
            shown = levels.copy()
            shown[:, 0] = 2000 - shown[:, 0]
            shown, bids = np.concatenate([shown[bid_count:], shown[:bid_count]]), len(levels) - bid_count
        kind = BookDelta if number else BookSnapshot
        event = kind(
            instrument=book.instrument,
            ts_event=ts + SECOND,
            ts_recv=ts + SECOND,
            sequence=number + 1,
            previous_sequence=number,
            levels=shown,
            bid_count=bids,
        )
        assert book.apply(event) is None
        state.observe(book)
    out, warm = np.full(COUNT, np.nan), np.zeros(COUNT, np.bool_)
    state.read(book, (TICK, LOT), book.ts_event, out, warm)
    return book, out, warm


def total(rows, levels):
    return sum(size for _, size in rows[:levels])


def value(rows, levels):
    return sum(price * size for price, size in rows[:levels])


def decayed(rows):
    return sum(size * np.exp(-rank / 5) for rank, (_, size) in enumerate(rows[:20]))


def reference(messages):
    """The same features from their definitions, with dictionaries and lists."""
    bids, asks, touches, deltas5, times = {}, {}, [], [], []
    for ts, levels, bid_count in messages:
        for side, rows in ((bids, levels[:bid_count]), (asks, levels[bid_count:])):
            for price, size in rows.tolist():
                side.pop(price, None)
                if size:
                    side[price] = size
        b, a = sorted(bids.items(), reverse=True), sorted(asks.items())
        times.append(ts)
        touches.append((*b[0], *a[0]))
        deltas5.append(sum(q for _, q in b[:5]) - sum(q for _, q in a[:5]))
    now = times[-1]
    inside = [i for i in range(len(times)) if times[i] > now - 10 * SECOND]
    ofi, moved = 0, 0
    for i in inside:
        if i:
            (pb, qb, pa, qa), (pb0, qb0, pa0, qa0) = touches[i], touches[i - 1]
            ofi += (pb >= pb0) * qb - (pb <= pb0) * qb0 - (pa <= pa0) * qa + (pa >= pa0) * qa0
            moved += touches[i] != touches[i - 1]
    before = deltas5[inside[0] - 1] if inside[0] else deltas5[0]
    b, a = sorted(bids.items(), reverse=True), sorted(asks.items())
    (pb, qb), (pa, qa) = b[0], a[0]
    mid = (pb + pa) / 2
    b5, a5, b10, a10, bt, at = (total(s, n) for n in (5, 10, 50) for s in (b, a))
    return np.array(
        [
            (pa - pb) * TICK,
            (pa - pb) / mid,
            mid * TICK,
            (pb * qa + pa * qb) / (qa + qb) * TICK,
            value(b, 5) / b5 * TICK,
            value(a, 5) / a5 * TICK,
            b5 * LOT,
            a5 * LOT,
            b10 * LOT,
            a10 * LOT,
            bt * LOT,
            at * LOT,
            min(100, max(0.01, (bt + 1) / (at + 1))),
            (b5 - a5) / (b5 + a5),
            (b10 - a10) / (b10 + a10),
            (bt - at) / (bt + at),
            (b5 * pa - a5 * pb) / (b5 + a5) / mid,
            (b5 - a5 - before) * LOT,
            ofi * LOT,
            (decayed(b) - decayed(a)) / (decayed(b) + decayed(a)),
            len(inside) / 10,
            moved / 10,
        ]
    )


@given(histories())
def test_features_equal_their_definitions(messages):
    _, out, _ = play(messages)
    np.testing.assert_allclose(out, reference(messages), rtol=1e-9, atol=1e-9)


@given(histories())
def test_features_are_finite(messages):
    _, out, _ = play(messages)
    assert np.isfinite(out).all()


FLIPPED = [
    Feature.IMBALANCE_5,
    Feature.IMBALANCE_10,
    Feature.IMBALANCE_TOTAL,
    Feature.DEPTH_IMBALANCE_RATIO,
    Feature.ORDER_FLOW_IMBALANCE,
    Feature.VOLUME_DELTA_5,
]
SWAPPED = [
    (Feature.DEPTH_BID_5, Feature.DEPTH_ASK_5),
    (Feature.DEPTH_BID_10, Feature.DEPTH_ASK_10),
    (Feature.TOTAL_BID_VOLUME, Feature.TOTAL_ASK_VOLUME),
]


@given(histories())
def test_swapping_bids_and_asks_negates_signed_features_and_swaps_the_rest(messages):
    _, plain, _ = play(messages)
    _, mirrored, _ = play(messages, mirror=True)
    np.testing.assert_allclose(mirrored[FLIPPED], -plain[FLIPPED], rtol=1e-9, atol=1e-9)
    for bid, ask in SWAPPED:
        assert mirrored[bid] == pytest.approx(plain[ask])
        assert mirrored[ask] == pytest.approx(plain[bid])


@given(histories(), st.integers(0, 40))
def test_a_value_depends_only_on_what_came_before(messages, cut):
    prefix = messages[: max(1, cut % (len(messages) + 1))]
    _, once, _ = play(prefix)
    _, again, _ = play(prefix)
    np.testing.assert_array_equal(once, again)


def test_the_ring_grows_under_a_burst_and_nothing_is_lost():
    messages = [(0, *sides({0: 1, 70: 5}, {0: 1, 70: 5}))]
    messages += [(i * 1_000_000, *sides({0: 1 + i % 7}, {0: 1 + i % 5})) for i in range(1, 3000)]
    _, out, _ = play(messages)
    np.testing.assert_allclose(out, reference(messages), rtol=1e-9, atol=1e-9)
    assert out[Feature.UPDATE_FREQUENCY] == 300.0


def test_windowed_features_are_young_for_ten_seconds():
    young = [(0, *sides({0: 1}, {0: 1})), (9 * SECOND, *sides({0: 2}, {0: 1}))]
    old = [*young, (10 * SECOND, *sides({0: 3}, {0: 1}))]
    assert not play(young)[2][Feature.ORDER_FLOW_IMBALANCE]
    assert play(old)[2][Feature.ORDER_FLOW_IMBALANCE]


def test_ten_level_features_are_marked_when_the_book_is_shallow():
    shallow = [(0, *sides(dict.fromkeys(range(9), 1), dict.fromkeys(range(10), 1)))]
    deep = [(0, *sides(dict.fromkeys(range(10), 1), dict.fromkeys(range(10), 1)))]
    assert not play(shallow)[2][Feature.IMBALANCE_10]
    assert play(deep)[2][Feature.IMBALANCE_10]
