"""Laws of a book topic: whoever follows its frames has the best levels of the source's book, and nothing twice."""

from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.apps.exchange.shown import BTC, Client, top
from tests.core.market.builders import a_delta, a_snapshot, an_instrument

from stakan.apps.exchange import _frame_kernels as kernels
from stakan.apps.exchange.depth import INTERVALS_NS, DepthTopic
from stakan.apps.exchange.numbers import format_of, formats_of, plain
from stakan.core.domain.facts import BookCrossed, BookGap, BookRecovered
from stakan.core.domain.units import MILLISECOND
from stakan.core.market.book import Book

BIDS, ASKS = range(990, 1_000), range(1_001, 1_011)
sizes = st.integers(0, 9)
bid_rows = st.dictionaries(st.sampled_from(BIDS), sizes, max_size=8).map(lambda rows: list(rows.items()))
ask_rows = st.dictionaries(st.sampled_from(ASKS), sizes, max_size=8).map(lambda rows: list(rows.items()))
messages = st.lists(st.tuples(bid_rows, ask_rows), max_size=25)
granules = st.sampled_from(["0.1", "0.10", "0.5", "0.0001", "0.00005", "1", "10", "0.25", "5"])


class Followed:
    """A source's book, a topic of it, and a client of the topic."""

    def __init__(self, depth=3, tick="0.1", lot="0.001"):
        rules = an_instrument(tick, lot)
        self.book = Book(BTC)
        self.topic = DepthTopic(depth, "BTCUSDT", formats_of(rules).scales)
        self.client = Client({"BTCUSDT": rules})
        self.sequence = 0
        self.frames = []

    def change(self, bids, asks):
        self.sequence += 1
        make = a_snapshot if self.sequence == 1 else a_delta
        self.book.apply(make(bids, asks, sequence=self.sequence, ts=self.sequence * MILLISECOND))
        return self.push()

    def push(self):
        return self.send(self.topic.push(self.book, self.sequence, self.sequence * MILLISECOND))

    def send(self, frame):
        if frame is None:
            return ()
        self.frames.append(frame)
        return self.client.take(self.topic.name, frame)

    @property
    def theirs(self):
        return top(self.client.books[self.topic.name], None)

    @property
    def ours(self):
        return top(self.book, self.topic.depth)


@given(messages, st.sampled_from([2, 3, 5, 50]), granules, granules)
def test_a_client_has_the_best_levels_after_every_frame(changes, depth, tick, lot):
    followed = Followed(depth, tick, lot)
    followed.change([(999, 5)], [(1_001, 5)])
    for bids, asks in changes:
        before = followed.theirs
        events = followed.change(bids, asks)
        assert followed.theirs == followed.ours
        if not events:
            assert before == followed.ours
        else:
            known = {tuple(row) for side in before for row in side}
            assert len(events[0].levels)
            assert all(tuple(row) not in known for row in events[0].levels.tolist())
    book = followed.client.books[followed.topic.name]
    assert not followed.client.problems
    assert book.unknown_deletes == book.gaps == book.stale == 0
    assert book.sequence == followed.topic.u == len(followed.frames)


@given(messages)
def test_frames_are_compact_and_name_their_time_and_sequence(changes):
    followed = Followed()
    for bids, asks in [([(999, 5)], [(1_001, 5)]), *changes]:
        followed.change(bids, asks)
    last = 0
    for number, frame in enumerate(followed.frames):
        content = msgspec.json.decode(frame)
        assert msgspec.json.encode(content) == frame
        assert content["type"] == ("delta" if number else "snapshot")
        assert content["data"]["seq"] > last
        assert content["ts"] >= content["cts"] > 0
        last = content["data"]["seq"]


def test_a_delete_says_0_whatever_the_lot():
    followed = Followed(lot="0.001")
    followed.change([(999, 5), (998, 4)], [(1_001, 5)])
    followed.change([(999, 0)], [])
    assert msgspec.json.decode(followed.frames[-1])["data"]["b"] == [["99.9", "0"]]


@given(messages)
def test_level_one_is_always_the_whole_touch(changes):
    followed = Followed(depth=1)
    for bids, asks in [([(999, 5)], [(1_001, 5)]), *changes]:
        for quote in followed.change(bids, asks):
            bids_now, asks_now = followed.ours
            assert [[quote.bid_price, quote.bid_size]] == (bids_now or [[0, 0]])
            assert [[quote.ask_price, quote.ask_size]] == (asks_now or [[0, 0]])
    assert all(msgspec.json.decode(frame)["type"] == "snapshot" for frame in followed.frames)
    assert [msgspec.json.decode(frame)["data"]["u"] for frame in followed.frames] == list(
        range(1, len(followed.frames) + 1)
    )


@given(messages, messages)
def test_who_comes_later_sees_what_the_others_have_seen(before, after):
    followed = Followed()
    for bids, asks in [([(999, 5)], [(1_001, 5)]), *before]:
        followed.change(bids, asks)
    late = Client({"BTCUSDT": an_instrument()})
    late.take(followed.topic.name, followed.topic.snapshot(1))
    for bids, asks in after:
        count = len(followed.frames)
        followed.change(bids, asks)
        for frame in followed.frames[count:]:
            late.take(followed.topic.name, frame)
    assert top(late.books[followed.topic.name], None) == followed.theirs
    assert not late.problems


def test_whoever_asks_while_nobody_listens_gets_the_book_of_now_and_a_number_of_its_own():
    followed = Followed()
    followed.change([(999, 5)], [(1_001, 5)])
    followed.book.apply(a_delta([(998, 1)], sequence=2))
    followed.topic.refresh(followed.book, 2)
    assert followed.topic.u == 2
    followed.topic.refresh(followed.book, 2)
    assert followed.topic.u == 2
    assert followed.topic.levels()[0].tolist() == [[999, 5], [998, 1]]


@given(st.integers(0, 2**62), st.integers(0, 12))
def test_kernels_write_numbers_as_decimals_do(value, decimals):
    out = np.zeros(64, np.uint8)
    size = kernels.put_number(out, 3, value, decimals)
    assert out[3:size].tobytes().decode() == plain(Decimal(value).scaleb(-decimals))


@given(granules, st.integers(0, 10**9))
def test_texts_are_exact_and_as_long_as_the_granule(granule, count):
    text = format_of(Decimal(granule)).text(count)
    assert Decimal(text) == Decimal(granule) * count
    assert Decimal(text).as_tuple().exponent == min(0, Decimal(granule).as_tuple().exponent)


@settings(max_examples=5)
@given(st.integers(0, 2**32))
def test_a_thousand_levels_a_side_that_all_change_fit(seed):
    chance = np.random.default_rng(seed)
    followed = Followed(max(INTERVALS_NS), "0.00000001", "0.00000001")

    def half(first, step):
        return [(first + step * i, int(lots)) for i, lots in enumerate(chance.integers(1, 2**40, 1_000))]

    base = 10**12
    followed.change(half(base, -2), half(base + 1, 2))
    gone = [(price, 0) for price, _ in half(base, -2)], [(price, 0) for price, _ in half(base + 1, 2)]
    followed.change(gone[0] + half(base - 1, -2), gone[1] + half(base + 2, 2))
    assert followed.theirs == followed.ours
    assert len(followed.theirs[0]) == len(followed.theirs[1]) == 1_000


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def followed():
    made = Followed()
    made.change([(999, 5), (998, 4)], [(1_001, 5), (1_002, 6)])
    made.change([(999, 6)], [])
    return made


def test_a_skipped_message_is_a_gap(followed):
    followed.topic.skip()
    followed.change([(999, 7)], [])
    (problem,) = followed.client.problems
    assert isinstance(problem, BookGap)
    assert problem.got == problem.expected + 1


def test_a_crossed_frame_is_mended_by_the_next_one(followed):
    followed.send(followed.topic.cross(5 * MILLISECOND))
    (problem,) = followed.client.problems
    assert isinstance(problem, BookCrossed)
    assert problem.bid > problem.ask
    assert followed.push()[0].levels.tolist() == [[1_002, 0]]
    followed.send(followed.topic.snapshot(6 * MILLISECOND))
    assert isinstance(followed.client.problems[-1], BookRecovered)
    assert followed.theirs == followed.ours


def test_a_full_window_is_crossed_within_its_depth(followed):
    followed.change([(997, 1), (996, 1)], [(1_003, 1), (1_004, 1)])
    followed.send(followed.topic.cross(5 * MILLISECOND))
    assert len(followed.topic.levels()[0]) == followed.topic.depth
    followed.push()
    followed.send(followed.topic.snapshot(6 * MILLISECOND))
    assert followed.theirs == followed.ours


def test_a_crossed_touch_is_a_snapshot_with_a_number_of_its_own():
    followed = Followed(depth=1)
    followed.change([(999, 5)], [(1_001, 5)])
    (quote,) = followed.send(followed.topic.cross(5 * MILLISECOND))
    assert quote.bid_price > quote.ask_price
    assert quote.sequence == 2
    (mended,) = followed.push()
    assert (mended.bid_price, mended.sequence) == (999, 3)


def test_a_book_with_an_empty_side_cannot_be_crossed():
    followed = Followed()
    followed.change([(999, 5)], [])
    assert followed.topic.cross(1) is None
    assert followed.topic.u == 1


@pytest.mark.parametrize("which", [0, 1])
def test_an_old_frame_again_is_stale(followed, which):
    followed.change([(999, 8)], [])
    followed.send(followed.topic.recent[which])
    assert followed.client.books[followed.topic.name].stale == 1
    assert followed.theirs == followed.ours


def test_a_restart_is_a_snapshot_numbered_one_and_counts_on_from_there(followed):
    followed.topic.restart()
    assert followed.topic.is_restarting
    followed.push()
    content = msgspec.json.decode(followed.frames[-1])
    assert (content["type"], content["data"]["u"]) == ("snapshot", 1)
    followed.change([(999, 9)], [])
    assert msgspec.json.decode(followed.frames[-1])["data"]["u"] == 2
    assert not followed.client.problems
    assert followed.theirs == followed.ours
