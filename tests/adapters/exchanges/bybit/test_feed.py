"""The feed's state machine: faults of every kind, then the next snapshot, and the book is the exchange's again."""

import itertools
import json
from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.adapters.exchanges.bybit.feed import FeedLimits, Outside, PublicFeed
from stakan.adapters.exchanges.bybit.health import FeedReason
from stakan.adapters.exchanges.bybit.topics import Topics
from stakan.core.domain.events import BestQuote, BookDelta, BookSnapshot, FeedDown, TradePrint
from stakan.core.domain.ids import instrument_id
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import MILLISECOND, SECOND, Side
from stakan.core.market.book import Book, BookState

START = 1_790_000_000 * SECOND


def rules(symbol: str = "BTCUSDT", category: Category = Category.LINEAR) -> Instrument:
    return Instrument(
        id=instrument_id("bybit", category, symbol),
        category=category,
        base=symbol.removesuffix("USDT"),
        quote="USDT",
        settle="USDT",
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.001"),
    )


BTC = rules()


class Surroundings:
    """Time, timers, REST and links that do as the test says; everything delivered is kept."""

    def __init__(self, *, topics: Topics | None = None, limits: FeedLimits | None = None, instruments=(BTC,)) -> None:
        self.now = START
        self.timers: list[tuple[int, int, Callable[[], None]]] = []
        self.asked: list[tuple[str, dict, Callable]] = []
        self.delivered: list = []
        self.links: list[FakeLink] = []
        self.on_deliver: Callable = lambda _event: None
        self.feed = PublicFeed(
            topics or Topics(depth=50, best_quotes=False, tickers=False),
            self.connect,
            Outside(deliver=self.deliver, ask=self.ask, timers=self.after, clock=self.clock),
            limits=limits or FeedLimits(check_every_ns=0),
        )
        self.feed.follow(instruments)

    def deliver(self, event) -> None:
        self.delivered.append(event)
        self.on_deliver(event)

    def connect(self, category, handler) -> "FakeLink":
        self.links.append(FakeLink(self, category, handler))
        return self.links[-1]

    def ask(self, path, parameters, done) -> None:
        self.asked.append((path, dict(parameters), done))

    def clock(self) -> int:
        self.now += 1
        return self.now

    def after(self, ns, call):
        entry = (self.now + ns, len(self.timers), call)
        self.timers.append(entry)
        return lambda: self.timers.remove(entry) if entry in self.timers else None

    def pass_time(self, ns: int) -> None:
        until = self.now + ns
        while due := [entry for entry in self.timers if entry[0] <= until]:
            entry = min(due)
            self.timers.remove(entry)
            self.now = max(self.now, entry[0])
            entry[2]()
        self.now = max(self.now, until)

    @property
    def link(self) -> "FakeLink":
        return self.links[0]

    def of(self, kind) -> list:
        return [event for event in self.delivered if type(event) is kind]


class FakeLink:
    def __init__(self, world: Surroundings, category, handler) -> None:
        self.world, self.category, self.handler = world, category, handler
        self.is_open = False
        self.sent: list[dict] = []
        self.reconnects: list[str] = []

    def send(self, message: bytes) -> bool:
        if self.is_open:
            self.sent.append(json.loads(message))
        return self.is_open

    def reconnect(self, why: str) -> None:
        self.reconnects.append(why)
        self.close(why)

    def open(self) -> None:
        self.is_open = True
        self.handler.on_open()

    def close(self, why: str) -> None:
        self.is_open = False
        self.handler.on_close(why)

    def push(self, frame: dict | bytes) -> None:
        data = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
        self.handler.on_frame(data, self.world.clock())

    def acknowledge(self) -> None:
        """Answer everything that was asked and not answered yet."""
        sent, self.sent = self.sent, []
        for message in sent:
            self.push({"success": True, "ret_msg": "", "req_id": message["req_id"], "op": message["op"]})

    def asked(self, operation: str) -> list[str]:
        return [topic for message in self.sent if message["op"] == operation for topic in message["args"]]


def opened(**kwargs) -> Surroundings:
    world = Surroundings(**kwargs)
    for link in world.links:
        link.open()
        link.acknowledge()
    return world


def book_frame(kind: str, update_id: int, bids, asks, *, symbol="BTCUSDT", depth=50, seq=None, ts=None) -> dict:
    def text(levels):
        return [[str(Decimal(price) / 10), str(Decimal(size) / 1000)] for price, size in levels]

    moment = (ts or START) // MILLISECOND
    return {
        "topic": f"orderbook.{depth}.{symbol}",
        "type": kind,
        "ts": moment,
        "data": {"s": symbol, "b": text(bids), "a": text(asks), "u": update_id, "seq": seq or update_id},
        "cts": moment,
    }


def snapshot(update_id=10, bids=((1000, 5), (999, 7)), asks=((1001, 4), (1002, 6)), **kwargs) -> dict:
    return book_frame("snapshot", update_id, bids, asks, **kwargs)


def delta(update_id, bids=(), asks=(), **kwargs) -> dict:
    return book_frame("delta", update_id, bids, asks, **kwargs)


def trade_frame(*ids: str, symbol="BTCUSDT", moment=START) -> dict:
    rows = [{"T": moment // MILLISECOND, "s": symbol, "S": "Buy", "v": "0.010", "p": "100.1", "i": i} for i in ids]
    return {"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": moment // MILLISECOND, "data": rows}


def levels_of(book: Book) -> tuple[dict, dict]:
    return dict(book.depth(Side.BUY).tolist()), dict(book.depth(Side.SELL).tolist())


# --- ordinary life ----------------------------------------------------------------------------------------------------


def test_subscribes_to_everything_when_it_opens():
    world = Surroundings(
        topics=Topics(depth=200, depths={"ETHUSDT": 50}, candles=("1",)), instruments=(BTC, rules("ETHUSDT"))
    )
    world.link.open()
    assert sorted(world.link.asked("subscribe")) == sorted(
        [
            *(
                "publicTrade.BTCUSDT",
                "tickers.BTCUSDT",
                "orderbook.1.BTCUSDT",
                "kline.1.BTCUSDT",
                "orderbook.200.BTCUSDT",
            ),
            *(
                "publicTrade.ETHUSDT",
                "tickers.ETHUSDT",
                "orderbook.1.ETHUSDT",
                "kline.1.ETHUSDT",
                "orderbook.50.ETHUSDT",
            ),
        ]
    )
    assert all(len(message["args"]) <= 10 for message in world.link.sent)


def test_snapshot_then_deltas_are_delivered():
    world = opened()
    world.link.push(delta(9))
    assert world.delivered == []
    world.link.push(snapshot(10))
    world.link.push(delta(11, bids=[(1000, 0)]))
    assert [type(event) for event in world.delivered] == [BookSnapshot, BookDelta]
    assert world.feed.counters(BTC.id).held_back == 1
    assert levels_of(world.feed.book(BTC.id)) == ({999: 7}, {1001: 4, 1002: 6})
    assert world.feed.health(BTC.id, world.now).reasons == ("shallow",)


def test_lateness_is_judged_by_changes_and_the_clock_of_the_exchange():
    world = opened(limits=FeedLimits(check_every_ns=0))
    many = [(1000 - i, 1) for i in range(10)], [(1001 + i, 1) for i in range(10)]
    world.link.push(snapshot(10, *many, ts=START - 60 * SECOND))
    assert world.feed.health(BTC.id, world.now).score == 1.0
    world.link.push(delta(11, bids=[(1000, 2)], ts=START - 2 * SECOND))
    late = world.feed.health(BTC.id, world.now)
    assert late.reasons == (FeedReason.LATE,)
    assert 0 < late.score < 0.5
    world.link.push(delta(12, bids=[(1000, 2)], ts=START - 5 * SECOND))
    assert world.feed.health(BTC.id, world.now).score == 0.0
    world.link.push(delta(13, bids=[(1000, 2)], ts=START))
    assert world.feed.health(BTC.id, world.now).score == 1.0


def test_a_connection_that_stays_late_is_made_anew_once_a_minute():
    world = opened()
    update_id = 10
    for _ in range(70):
        if not world.link.is_open:
            world.link.open()
            world.link.acknowledge()
        if world.feed.book(BTC.id).state is not BookState.LIVE:
            world.link.push(snapshot(update_id, ts=world.now))
        update_id += 1
        world.link.push(delta(update_id, bids=[(1000, 2)], ts=world.now - 4 * SECOND))
        world.pass_time(SECOND)
    assert world.link.reconnects == ["late by 4.0 s", "late by 4.0 s"]


def test_what_is_old_is_dropped():
    world = opened()
    world.link.push(snapshot(10))
    for update_id in (9, 10):
        world.link.push(delta(update_id, bids=[(1000, 1)]))
    assert len(world.delivered) == 1
    assert world.feed.counters(BTC.id).stale == 2
    assert world.link.sent == []


def test_a_restart_of_the_service_replaces_the_book_even_as_a_delta():
    world = opened()
    world.link.push(snapshot(500))
    world.link.push(delta(1, bids=[(990, 1)], asks=[(991, 1)]))
    world.link.push(delta(2, bids=[(989, 1)]))
    assert levels_of(world.feed.book(BTC.id)) == ({990: 1, 989: 1}, {991: 1})
    assert world.feed.counters(BTC.id).restarts == 1
    assert world.feed.counters(BTC.id).gaps == 0


# --- what breaks a book -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "breaking",
    [delta(12), delta(11, bids=[(1003, 1)]), delta(11, bids=[(0, 1)])],
    ids=["gap", "crossed", "no price"],
)
def test_one_resync_per_break_until_it_is_answered(breaking):
    world = opened()
    world.link.push(snapshot(10))
    world.link.push(breaking)
    for update_id in range(13, 20):
        world.link.push(delta(update_id))
    world.feed.resync(BTC.id)
    assert world.link.asked("unsubscribe") == ["orderbook.50.BTCUSDT"]
    assert world.link.asked("subscribe") == ["orderbook.50.BTCUSDT"]
    assert world.feed.health(BTC.id, world.now).reasons == (FeedReason.UNSYNCED,)
    world.link.acknowledge()
    world.link.push(snapshot(30))
    assert world.feed.book(BTC.id).state is BookState.LIVE
    assert world.feed.counters(BTC.id).resyncs == 1
    assert FeedReason.RESYNCED_RECENTLY in world.feed.health(BTC.id, world.now).reasons


def test_who_keeps_the_book_sees_that_it_is_broken_and_may_ask_at_the_same_time():
    world = opened()
    theirs = Book(BTC.id)

    def engine(event) -> None:
        if theirs.apply(event) is not None and theirs.state is BookState.INVALID:
            world.feed.resync(BTC.id)

    world.on_deliver = engine
    world.link.push(snapshot(10))
    world.link.push(delta(12))
    assert theirs.state is BookState.INVALID
    assert len(world.link.sent) == 2
    assert world.feed.counters(BTC.id).resyncs == 1


def test_a_message_that_cannot_be_read_interrupts_and_resyncs():
    world = opened()
    world.link.push(snapshot(10))
    frame = delta(11)
    frame["data"]["b"] = [["100.05", "1"]]
    world.link.push(frame)
    assert [type(event) for event in world.delivered] == [BookSnapshot, FeedDown]
    assert world.link.asked("subscribe") == ["orderbook.50.BTCUSDT"]


def test_the_third_resync_of_a_minute_makes_the_connection_anew():
    world = opened()
    for round_number in range(3):
        world.link.acknowledge()
        world.link.push(snapshot(10))
        world.link.push(delta(12))
        assert world.link.reconnects == [], round_number
    assert not world.of(FeedDown)
    world.pass_time(0)
    assert len(world.link.reconnects) == 1
    assert len(world.of(FeedDown)) == 1


def test_no_snapshot_for_five_seconds_makes_the_connection_anew():
    world = opened()
    world.link.push(snapshot(10))
    world.link.push(delta(12))
    world.link.acknowledge()
    world.pass_time(4 * SECOND)
    assert world.link.reconnects == []
    world.pass_time(2 * SECOND)
    assert world.link.reconnects == ["orderbook.50.BTCUSDT: no snapshot"]


def test_an_unanswered_request_makes_the_connection_anew():
    world = Surroundings()
    world.link.open()
    world.link.push(snapshot(10))
    world.pass_time(6 * SECOND)
    assert world.link.reconnects == ["no answer to subscribe publicTrade.BTCUSDT"]


def test_a_silent_connection_is_made_anew_whatever_its_pongs_say():
    world = opened()
    world.link.push(snapshot(10))
    for _ in range(35):
        world.pass_time(SECOND)
        if world.link.is_open:
            world.link.push({"success": True, "ret_msg": "pong", "op": "ping"})
    assert world.link.reconnects == ["no data"]


def test_a_silent_book_is_resynced_when_other_topics_speak():
    world = opened()
    world.link.push(snapshot(10))
    for number in range(11):
        world.pass_time(SECOND)
        world.link.push(trade_frame(f"t{number}"))
    world.pass_time(SECOND)
    assert world.link.asked("subscribe") == ["orderbook.50.BTCUSDT"]


def test_the_end_of_the_connection_is_told_at_once_to_everybody():
    eth = rules("ETHUSDT")
    world = opened(instruments=(BTC, eth))
    world.link.push(snapshot(10))
    world.link.close("connection lost")
    assert {event.instrument for event in world.of(FeedDown)} == {BTC.id, eth.id}
    assert world.feed.book(BTC.id).state is BookState.INVALID
    assert world.feed.health(BTC.id, world.now).reasons == (FeedReason.DISCONNECTED,)
    world.feed.resync(BTC.id)
    world.link.open()
    assert len(world.link.asked("subscribe")) == 4
    world.link.push(snapshot(3))
    assert world.feed.book(BTC.id).state is BookState.LIVE


def test_deleting_what_is_not_there_again_and_again_is_a_wrong_book():
    world = opened()
    world.link.push(snapshot(10))
    for update_id in range(11, 22):
        world.link.push(delta(update_id, bids=[(995, 0)]))
    world.pass_time(SECOND)
    assert world.feed.counters(BTC.id).unknown_deletes == 11
    assert world.link.asked("subscribe") == ["orderbook.50.BTCUSDT"]


def test_garbage_is_counted_and_much_of_it_makes_the_connection_anew():
    world = opened()
    world.link.push(snapshot(10))
    for _ in range(9):
        world.link.push(b"\x00nonsense")
    world.pass_time(0)
    assert world.link.reconnects == []
    world.link.push(b"{")
    world.pass_time(0)
    assert len(world.link.reconnects) == 1
    assert world.feed.connections[0].garbage == 10


# --- answers ------------------------------------------------------------------------------------------------------------


def test_already_subscribed_is_fine():
    world = Surroundings()
    world.link.open()
    for message in world.link.sent:
        world.link.push(
            {
                "success": False,
                "ret_msg": "error:already subscribed,topic:x",
                "req_id": message["req_id"],
                "op": "subscribe",
            }
        )
    assert world.feed.refused == {}


def test_one_bad_topic_does_not_take_the_others_with_it():
    gone = rules("GONEUSDT")
    world = Surroundings(instruments=(BTC, gone))
    world.link.open()
    for _ in range(2):
        sent, world.link.sent = world.link.sent, []
        for message in sent:
            bad = [topic for topic in message["args"] if "GONE" in topic]
            text = f"error:handler not found,topic:{bad[0]}" if bad else ""
            world.link.push({"success": not bad, "ret_msg": text, "req_id": message["req_id"], "op": "subscribe"})
    assert set(world.feed.refused) == {"publicTrade.GONEUSDT", "orderbook.50.GONEUSDT"}
    assert world.feed.health(gone.id, world.now).reasons == (FeedReason.REFUSED,)
    world.link.push(snapshot(10))
    world.pass_time(20 * SECOND)
    assert world.link.reconnects == []


# --- several connections ------------------------------------------------------------------------------------------------


def test_instruments_are_spread_over_connections_by_category_and_number():
    many = [rules(f"S{number}USDT") for number in range(7)]
    spot = rules("BTCUSDT", Category.SPOT)
    world = opened(instruments=[*many, spot], limits=FeedLimits(check_every_ns=0, instruments_per_connection=3))
    assert [link.category for link in world.links] == [Category.LINEAR] * 3 + [Category.SPOT]
    assert [len(connection) for connection in world.feed.connections] == [3, 3, 1, 1]
    world.feed.follow([rules("NEWUSDT")])
    assert len(world.links) == 4
    assert world.links[2].asked("subscribe") == ["publicTrade.NEWUSDT", "orderbook.50.NEWUSDT"]


def test_the_characters_of_a_connection_are_bounded():
    many = [rules(f"{'X' * 40}{number}USDT") for number in range(400)]
    world = opened(instruments=many, limits=FeedLimits(check_every_ns=0, instruments_per_connection=1000))
    assert len(world.links) > 1
    for connection in world.feed.connections:
        topics = [topic for stream in connection._streams.values() for topic in stream.topics]
        assert len(json.dumps(topics, separators=(",", ":"))) <= 21_000


def test_what_is_forgotten_is_passed_over():
    world = opened()
    world.link.push(snapshot(10))
    world.feed.forget([BTC.id])
    assert sorted(world.link.asked("unsubscribe")) == ["orderbook.50.BTCUSDT", "publicTrade.BTCUSDT"]
    world.link.push(delta(11))
    world.feed.resync(BTC.id)
    assert len(world.delivered) == 1
    assert world.feed.instruments == ()


# --- prints and quotes --------------------------------------------------------------------------------------------------


def recent(*rows: tuple[str, int]) -> msgspec.Raw:
    made = [
        {"execId": i, "symbol": "BTCUSDT", "price": "100.1", "size": "0.01", "side": "Sell", "time": str(ms)}
        for i, ms in rows
    ]
    return msgspec.Raw(json.dumps({"category": "linear", "list": made}).encode())


def test_prints_of_an_interruption_come_from_rest_once_each_and_in_order():
    world = opened()
    at = START // MILLISECOND
    world.link.push(snapshot(10))
    world.link.push(trade_frame("a", "b"))
    world.link.close("lost")
    world.link.open()
    world.link.acknowledge()
    world.link.push(snapshot(20))
    world.link.push(trade_frame("e", moment=START + 9 * MILLISECOND))
    ((path, parameters, done),) = world.asked
    assert (path, parameters) == (
        "/v5/market/recent-trade",
        {"category": "linear", "symbol": "BTCUSDT", "limit": "1000"},
    )
    world.delivered.clear()
    done(recent(("e", at + 9), ("d", at + 5), ("c2", at + 4), ("c1", at + 4), ("b", at), ("z", at - 60_000)))
    prints = world.of(TradePrint)
    assert [event.ts_event // MILLISECOND - at for event in prints] == [4, 4, 5]
    assert all(before.ts_recv < after.ts_recv for before, after in itertools.pairwise(prints))
    assert world.feed.counters(BTC.id).filled_prints == 3
    world.link.push(trade_frame("d"))
    assert len(world.of(TradePrint)) == 3


def test_no_answer_about_prints_is_survived():
    world = opened()
    world.link.push(snapshot(10))
    world.link.push(trade_frame("a"))
    world.link.close("lost")
    world.link.open()
    world.link.push(snapshot(20))
    world.asked[0][2](None)
    world.asked[0][2](msgspec.Raw(b'{"list":[{"execId":1}]}'))
    assert world.feed.counters(BTC.id).filled_prints == 0


def test_a_repeated_quote_is_no_news():
    world = opened(topics=Topics(depth=50, best_quotes=True, tickers=False))
    quote = book_frame("snapshot", 77, [(1000, 5)], [(1001, 4)], depth=1)
    world.link.push(quote)
    world.link.push(quote)
    assert len(world.of(BestQuote)) == 1


# --- the comparison with REST -------------------------------------------------------------------------------------------


def rest_book(bids, asks, seq) -> msgspec.Raw:
    frame = book_frame("snapshot", 999_999, bids, asks)["data"]
    return msgspec.Raw(json.dumps({**frame, "seq": seq, "ts": 1, "cts": 1}).encode())


MANY_BIDS = [(1000 - i, 5 + i) for i in range(50)]
MANY_ASKS = [(1001 + i, 5 + i) for i in range(50)]


def checked() -> Surroundings:
    world = opened(limits=FeedLimits(check_every_ns=10 * SECOND, dead_after_ns=1000 * SECOND))
    world.link.push(snapshot(10, MANY_BIDS, MANY_ASKS, seq=100))
    world.pass_time(11 * SECOND)
    assert len(world.asked) == 1
    return world


def test_an_equal_book_passes():
    world = checked()
    world.asked[0][2](rest_book(MANY_BIDS, MANY_ASKS, 100))
    world.pass_time(SECOND)
    assert (world.feed.counters(BTC.id).checks, world.feed.counters(BTC.id).differences) == (1, 0)


def test_what_moved_between_two_messages_is_no_difference():
    world = checked()
    world.link.push(delta(11, bids=[(1000, 0), (990, 1), (949, 9)], asks=[(1001, 99)], seq=120))
    theirs = [(price, size) for price, size in MANY_BIDS if price != 1000]
    world.asked[0][2](rest_book([*theirs, (949, 9)], MANY_ASKS, 110))
    world.pass_time(SECOND)
    assert (world.feed.counters(BTC.id).checks, world.feed.counters(BTC.id).differences) == (1, 0)


def test_what_moved_twice_between_two_messages_says_nothing():
    world = checked()
    moved = [(price, 99) for price, _ in MANY_BIDS[:20]]
    world.link.push(delta(11, bids=moved, seq=120))
    theirs = [(price, 50 if price > 980 else size) for price, size in MANY_BIDS]
    world.asked[0][2](rest_book(theirs, MANY_ASKS, 110))
    world.pass_time(SECOND)
    assert (world.feed.counters(BTC.id).checks, world.feed.counters(BTC.id).differences) == (1, 0)


def test_two_failed_comparisons_in_a_row_resync():
    world = checked()
    wrong = [(price, size + 1) for price, size in MANY_BIDS]
    world.asked[0][2](rest_book(wrong, MANY_ASKS, 100))
    world.pass_time(SECOND)
    assert FeedReason.DIFFERS in world.feed.health(BTC.id, world.now).reasons
    assert world.link.sent == []
    world.pass_time(SECOND)
    world.asked[1][2](rest_book(wrong, MANY_ASKS, 100))
    world.pass_time(SECOND)
    assert world.feed.counters(BTC.id).differences == 2
    assert world.link.asked("subscribe") == ["orderbook.50.BTCUSDT"]


@pytest.mark.parametrize("answer", [None, msgspec.Raw(b"{}"), msgspec.Raw(b'{"b":[["x","1"]],"a":[],"seq":5}')])
def test_a_comparison_without_an_answer_is_unclear(answer):
    world = checked()
    world.asked[0][2](answer)
    world.pass_time(6 * SECOND)
    assert world.feed.counters(BTC.id).unclear_checks == 1
    assert world.link.sent == []


# --- any mix of faults ----------------------------------------------------------------------------------------------------


class Exchange:
    """A true book, its messages, and every state it ever had."""

    def __init__(self, chance) -> None:
        self.chance = chance
        self.update_id = 10
        self.bids = {1000 - i: 5 for i in range(5)}
        self.asks = {1001 + i: 5 for i in range(5)}
        self.states: dict[int, tuple[dict, dict]] = {}
        self._keep()

    def _keep(self) -> None:
        self.states[self.update_id] = dict(self.bids), dict(self.asks)

    def snapshot(self) -> dict:
        return snapshot(self.update_id, self.bids.items(), self.asks.items())

    def move(self) -> dict:
        """One change of one level, as a delta."""
        side, first = self.chance.choice(((self.bids, 990), (self.asks, 1001)))
        price = first + self.chance.randrange(10)
        size = 0 if price in side and len(side) > 1 and self.chance.random() < 0.5 else self.chance.randrange(1, 9)
        side[price] = size
        if size == 0:
            del side[price]
        self.update_id += 1
        self._keep()
        changes = [(price, size)]
        return delta(self.update_id, changes, ()) if side is self.bids else delta(self.update_id, (), changes)

    def restart(self) -> dict:
        self.update_id = 1
        self.states = {}
        self._keep()
        return self.snapshot()


FAULTS = st.sampled_from(("ok", "ok", "ok", "drop", "twice", "late", "snapshot", "restart", "answer"))


@given(st.lists(FAULTS, max_size=80), st.randoms(use_true_random=False))
def test_any_mix_of_faults(faults, chance):
    world = opened(limits=FeedLimits(check_every_ns=0, resyncs=1000))
    exchange = Exchange(chance)
    theirs = Book(BTC.id)
    world.on_deliver = theirs.apply
    held = None

    def push(frame: dict) -> None:
        was_live = theirs.state is BookState.LIVE
        asked = len(world.link.sent)
        world.link.push(frame)
        if theirs.state is BookState.LIVE:
            # Whoever trades on it trades on a state that the exchange had.
            assert levels_of(theirs) == exchange.states[theirs.sequence]
        broke = was_live and theirs.state is not BookState.LIVE
        assert len(world.link.sent) - asked == 2 * broke, "one resync for a break, none for anything else"

    push(exchange.snapshot())
    for fault in faults:
        match fault:
            case "snapshot":
                push(exchange.snapshot())
            case "restart":
                held = None
                push(exchange.restart())
            case "answer":
                if world.link.sent:
                    world.link.acknowledge()
                    push(exchange.snapshot())
            case _:
                frame = exchange.move()
                if fault == "late" and held is None:
                    held = frame
                    continue
                if fault != "drop":
                    push(frame)
                if fault == "twice":
                    push(frame)
                if held is not None:
                    push(held)
                    held = None
    world.link.sent.clear()
    push(exchange.snapshot())
    assert levels_of(world.feed.book(BTC.id)) == levels_of(theirs) == (exchange.bids, exchange.asks)
    push(exchange.move())
    assert levels_of(theirs) == (exchange.bids, exchange.asks)
