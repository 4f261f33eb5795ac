"""The board as clients see it: what its topics tell is what the source did."""

from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from tests.apps.exchange.shown import BTC, START, Client, Events, Exchange, generated, top
from tests.core.market.builders import a_delta, a_print, a_snapshot, an_instrument

from stakan.adapters import instruments
from stakan.apps.exchange.board import Intervals
from stakan.apps.exchange.depth import INTERVALS_NS
from stakan.apps.exchange.refusal import Refused
from stakan.apps.sources import from_files
from stakan.core.domain.events import BestQuote, BookDelta, BookSnapshot, FeedDown, Ticker, TradePrint
from stakan.core.domain.facts import BookGap
from stakan.core.domain.units import HOUR, MILLISECOND, MINUTE, SECOND, Side
from stakan.core.market.book import Book

DEPTHS = [f"orderbook.{depth}.BTCUSDT" for depth in INTERVALS_NS]
DEEP = DEPTHS[1:]
EVERY_TOPIC = [*DEPTHS, "publicTrade.BTCUSDT", "tickers.BTCUSDT", "kline.1.BTCUSDT", "priceLimit.BTCUSDT"]


def exchange(**options):
    source = generated(**options.pop("market", {}))
    return Exchange(source, source.instruments, **options)


def handmade(events, **options):
    return Exchange(Events(events, per_window=2_000), {BTC: an_instrument()}, **options)


def contents(frames):
    return [msgspec.json.decode(frame) for frame in frames]


# --- books ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("intervals", Intervals)
def test_decoded_frames_make_the_sources_book_of_every_depth(intervals):
    """With the source's own intervals after every single frame, since the source is followed row by row."""
    made = exchange(intervals=intervals)
    client = Client(made.rules)
    book = made.board.symbols["BTCUSDT"].book
    checked = 0

    def check(topic, frame):
        nonlocal checked
        client.take(topic, frame)
        if topic in DEEP:
            assert top(client.books[topic], None) == top(book, int(topic.split(".")[1]))
            checked += 1

    made.after_emit = check
    made.open(*DEPTHS)
    made.run(10)
    assert checked > 200
    assert not client.problems
    assert not any(one.unknown_deletes or one.gaps or one.stale for one in client.books.values())


def test_every_change_of_the_source_is_a_frame_of_its_own():
    made = exchange()
    made.open("orderbook.200.BTCUSDT")
    made.run(5)
    theirs = [
        event for frame in made.frames["orderbook.200.BTCUSDT"] for event in Client(made.rules).take(DEPTHS[2], frame)
    ]
    source = made.events(BookSnapshot | BookDelta)
    assert [event.ts_event for event in theirs] == [event.ts_event for event in source]
    assert [sorted(map(tuple, one.levels.tolist())) for one in theirs] == [
        sorted(map(tuple, one.levels.tolist())) for one in source
    ]


@pytest.mark.parametrize(("topic", "interval"), list(zip(DEPTHS, INTERVALS_NS.values(), strict=True)))
def test_documented_intervals_are_kept(topic, interval):
    made = exchange(intervals=Intervals.DOCUMENTED)
    made.open(topic)
    made.run(5, step=MILLISECOND)
    times = [content["ts"] for content in contents(made.frames[topic])]
    assert len(times) > 20
    assert min(b - a for a, b in pairwise(times)) >= interval // MILLISECOND


def test_update_ids_count_on_whoever_listens():
    made = exchange()
    topic = "orderbook.50.BTCUSDT"
    made.run(1)
    made.open(topic)
    made.run(1)
    first = [content["data"]["u"] for content in contents(made.frames[topic])]
    assert first == list(range(first[0], first[0] + len(first)))
    made.board.close(topic)
    silent = len(made.frames[topic])
    made.run(1)
    assert len(made.frames[topic]) == silent
    made.open(topic)
    again = msgspec.json.decode(made.frames[topic][silent])
    assert (again["type"], again["data"]["u"]) == ("snapshot", first[-1] + 1)


def test_a_second_subscriber_joins_the_same_stream():
    made = exchange()
    topic = "orderbook.50.BTCUSDT"
    made.run(1)
    made.open(topic)
    made.run(1)
    late = Client(made.rules)
    (snapshot,) = made.board.open(topic)
    late.take(topic, snapshot)
    made.after_emit = late.take
    made.run(2)
    assert not late.problems
    assert top(late.books[topic], None) == top(made.board.symbols["BTCUSDT"].book, 50)
    made.board.close(topic)
    before = len(made.frames[topic])
    made.run(1)
    assert len(made.frames[topic]) > before


def test_level_one_is_sent_again_after_three_seconds_of_silence_with_the_same_id():
    made = handmade([a_snapshot([(999, 5)], [(1_001, 5)], ts=START)])
    made.open("orderbook.1.BTCUSDT")
    made.run(10)
    frames = contents(made.frames["orderbook.1.BTCUSDT"])
    assert [frame["data"]["u"] for frame in frames] == [1, 1, 1, 1]
    assert [frame["ts"] - START // MILLISECOND for frame in frames] == [0, 3_000, 6_000, 9_000]
    made.board.close("orderbook.1.BTCUSDT")
    made.run(10)
    assert len(made.frames["orderbook.1.BTCUSDT"]) == 4


def test_a_seam_is_a_restart():
    made = exchange(loop=True, market={"seconds": 6})
    client = Client(made.rules)
    made.open(*DEEP)
    made.after_emit = client.take
    made.run(24)
    seams = len(made.events(FeedDown))
    assert seams >= 2
    for topic in DEEP:
        ids = [content["data"]["u"] for content in contents(made.frames[topic])]
        restarts = [row for row, u in enumerate(ids) if u == 1]
        assert len(restarts) == seams + 1
        assert all(b == a + 1 for a, b in pairwise(ids) if b != 1)
        assert all(contents(made.frames[topic])[row]["type"] == "snapshot" for row in restarts)
    assert not client.problems
    assert top(client.books[DEEP[0]], None) == top(made.board.symbols["BTCUSDT"].book, 50)


def test_during_an_interruption_nothing_is_shown_and_then_a_restart():
    down = FeedDown(instrument=BTC, ts_event=START + SECOND, ts_recv=START + SECOND, why="test")
    made = handmade(
        [
            a_snapshot([(999, 5)], [(1_001, 5)], ts=START),
            down,
            a_snapshot([(990, 5)], [(1_010, 5)], sequence=9, ts=START + 5 * SECOND),
        ]
    )
    made.run(2)
    assert made.board.open("orderbook.50.BTCUSDT") == []
    assert made.board.open("orderbook.1.BTCUSDT") == []
    made.run(2)
    assert not made.frames
    made.run(2)
    for topic in ("orderbook.50.BTCUSDT", "orderbook.1.BTCUSDT"):
        (frame,) = contents(made.frames[topic])
        assert (frame["type"], frame["data"]["u"]) == ("snapshot", 1)


def test_a_push_that_waits_for_its_interval_is_not_made_from_an_interrupted_book():
    down = FeedDown(instrument=BTC, ts_event=START + 6 * MILLISECOND, ts_recv=START + 6 * MILLISECOND, why="test")
    made = handmade(
        [
            a_snapshot([(999, 5)], [(1_001, 5)], ts=START),
            a_delta([(999, 6)], ts=START + 5 * MILLISECOND),
            down,
            a_snapshot([(990, 5)], [(1_010, 5)], sequence=9, ts=START + SECOND),
        ],
        intervals=Intervals.DOCUMENTED,
    )
    made.open("orderbook.200.BTCUSDT")
    made.run(0.9, step=MILLISECOND)
    assert len(made.frames["orderbook.200.BTCUSDT"]) == 1
    made.run(0.2, step=MILLISECOND)
    assert [one["data"]["u"] for one in contents(made.frames["orderbook.200.BTCUSDT"])] == [1, 1]


@pytest.mark.parametrize("fault", ["skip", "restart", "cross", "repeat", "go_back"])
def test_faults_touch_one_topic_that_is_open(fault):
    made = exchange()
    topic, other = "orderbook.50.BTCUSDT", "orderbook.200.BTCUSDT"
    assert getattr(made.board, fault)(topic) is False
    made.open(topic, other)
    made.run(1)
    counts = len(made.frames[topic]), len(made.frames[other])
    assert getattr(made.board, fault)(topic) is True
    assert len(made.frames[topic]) - counts[0] == (fault != "skip")
    assert len(made.frames[other]) == counts[1]
    for nonsense in ("nonsense", "publicTrade.BTCUSDT", "orderbook.50.XXXUSDT"):
        assert getattr(made.board, fault)(nonsense) is False
    clients = {name: Client(made.rules) for name in (topic, other)}
    made.run(1)
    for name, client in clients.items():
        for frame in made.frames[name]:
            client.take(name, frame)
    assert not clients[other].problems
    problems = {"skip": 1, "cross": 1}.get(fault, 0)
    assert len(clients[topic].problems) == problems
    if fault == "skip":
        assert isinstance(clients[topic].problems[0], BookGap)


# --- prints and the rest ----------------------------------------------------------------------------------------------


def test_decoded_prints_are_the_sources():
    made = exchange()
    topic = "publicTrade.BTCUSDT"
    made.open(topic)
    made.run(15)
    client = Client(made.rules)
    theirs = [event for frame in made.frames[topic] for event in client.take(topic, frame)]
    ours = made.events(TradePrint)
    assert len(ours) > 30
    names = ("ts_event", "price", "size", "side", "trade_id", "is_rpi")
    assert [[getattr(one, name) for name in names] for one in theirs] == [
        [getattr(one, name) for name in names] for one in ours
    ]
    assert len({one.trade_id for one in theirs}) == len(theirs)
    assert all(len(content["data"]) <= 1_024 for content in contents(made.frames[topic]))


def test_prints_keep_their_place_among_book_changes():
    """What a client records must hold the order that decided about fills."""
    made = exchange()
    order = []
    client = Client(made.rules)

    def note(topic, frame):
        kinds = {TradePrint: "print"}
        order.extend(kinds.get(type(event), "book") for event in client.take(topic, frame))

    made.after_emit = note
    made.open("orderbook.200.BTCUSDT", "publicTrade.BTCUSDT")
    made.run(10)
    source = made.events(BookSnapshot | BookDelta | TradePrint)
    assert order == ["print" if isinstance(event, TradePrint) else "book" for event in source]


def test_a_thousand_prints_of_one_instant_are_split_and_marked():
    prints = [a_print(ts=START, price=1_000, size=1, is_rpi=row % 2 == 1) for row in range(1_500)]
    made = handmade(prints)
    made.open("publicTrade.BTCUSDT")
    made.run(0.1)
    frames = contents(made.frames["publicTrade.BTCUSDT"])
    assert [len(frame["data"]) for frame in frames] == [1_024, 476]
    assert [row["RPI"] for row in frames[0]["data"][:2]] == [False, True]


def test_tick_directions():
    made = handmade([a_print(ts=START, price=price) for price in (5, 5, 6, 6, 6, 4, 4, 5)])
    made.open("publicTrade.BTCUSDT")
    made.run(0.1)
    (frame,) = contents(made.frames["publicTrade.BTCUSDT"])
    assert [row["L"] for row in frame["data"][1:]] == [
        *("ZeroPlusTick", "PlusTick", "ZeroPlusTick", "ZeroPlusTick"),
        *("MinusTick", "ZeroMinusTick", "PlusTick"),
    ]


def test_all_frames_are_compact_and_carry_their_topic():
    made = exchange()
    made.open(*EVERY_TOPIC)
    made.run(5)
    for topic in EVERY_TOPIC:
        assert made.frames[topic], topic
        for frame in made.frames[topic]:
            content = msgspec.json.decode(frame)
            assert msgspec.json.encode(content) == frame
            assert content["topic"] == topic


def test_merged_tickers_are_what_is_published():
    made = exchange()
    topic = "tickers.BTCUSDT"
    made.run(1)
    made.open(topic)
    made.run(10)
    merged = {}
    for number, content in enumerate(contents(made.frames[topic])):
        assert content["type"] == ("delta" if number else "snapshot")
        new = {name: text for name, text in content["data"].items() if name != "symbol"}
        assert new
        assert all(merged.get(name) != text for name, text in new.items())
        merged |= content["data"]
    assert merged == made.board.symbols["BTCUSDT"].ticker.fields
    times = [content["ts"] for content in contents(made.frames[topic])]
    assert min(b - a for a, b in pairwise(times[1:])) >= 100


def test_accounts_are_told_the_tickers_that_clients_decode():
    made = exchange()
    topic = "tickers.BTCUSDT"
    made.open(topic)
    made.run(10)
    told = made.board.take_tickers()
    assert made.board.take_tickers() == []
    names = ("mark", "index", "last", "funding_rate", "next_funding_ts", "open_interest")
    known, seen = dict.fromkeys(names), {}
    client = Client(made.rules)
    for frame in made.frames[topic]:
        for event in client.take(topic, frame):
            known |= {name: getattr(event, name) for name in names if getattr(event, name) is not None}
            seen[event.ts_event] = dict(known)
    assert len(told) > 5
    for event in told[1:]:
        assert seen[event.ts_event] == {name: getattr(event, name) for name in names}


def test_a_liquidation_is_told_within_half_a_second():
    made = exchange()
    topic = "allLiquidation.BTCUSDT"
    made.run(1)
    made.board.liquidated("BTCUSDT", "Buy", 1, 2, made.now)
    made.open(topic)
    made.board.liquidated("BTCUSDT", "Buy", 250, 632_114, made.now)
    made.board.liquidated("BTCUSDT", "Sell", 1, 632_115, made.now)
    at = made.now // MILLISECOND
    made.run(1)
    (frame,) = contents(made.frames[topic])
    assert frame["ts"] <= at + 500
    assert frame["data"][0] == {"T": at, "s": "BTCUSDT", "S": "Buy", "v": "0.250", "p": "63211.4"}
    assert len(frame["data"]) == 2


def test_klines_open_at_the_last_close_and_are_confirmed_once():
    prices = [1_000, 1_010, 990, 1_005]
    prints = [a_print(ts=START + row * 20 * SECOND, price=price, size=2) for row, price in enumerate(prices)]
    made = handmade([*prints, a_print(ts=START + 400 * SECOND, price=1_100)])
    topic = "kline.1.BTCUSDT"
    made.open(topic)
    made.run(500, step=SECOND)
    rows = [content["data"][0] for content in contents(made.frames[topic])]
    confirmed = [row for row in rows if row["confirm"]]
    assert [row["start"] for row in confirmed] == [
        START // MINUTE * MINUTE // MILLISECOND + 60_000 * number for number in range(len(confirmed))
    ]
    assert all(b["open"] == a["close"] for a, b in pairwise(confirmed))
    assert Decimal(confirmed[0]["volume"]) + Decimal(confirmed[1]["volume"]) == Decimal("0.008")
    assert (confirmed[3]["volume"], confirmed[3]["high"]) == ("0.000", confirmed[3]["low"])
    assert all(row["end"] == row["start"] + 59_999 for row in rows)
    assert all(row["start"] <= row["timestamp"] <= row["end"] for row in rows)
    client = Client(made.rules)
    assert all(client.take(topic, frame) for frame in made.frames[topic])


def test_funding_is_settled_at_its_time_with_the_rate_that_was_published():
    made = exchange(market={"seconds": 2})
    board = made.board.symbols["BTCUSDT"]
    due = board.prices.next_funding
    assert due % (8 * HOUR) == 0
    made.run(2)
    rate = board.ticker.fields["fundingRate"]
    made.board.tick(due - MILLISECOND)
    assert not board.prices.settlements
    made.board.tick(due)
    assert list(board.prices.settlements) == [(due, Decimal(rate))]
    assert board.ticker.fields["nextFundingTime"] == str((due + 8 * HOUR) // MILLISECOND)
    assert made.board.take_tickers()[-1].next_funding_ts == due + 8 * HOUR


def test_next_due_misses_nothing():
    """Driven from one due time to the next the board says what it says when it is asked every millisecond."""

    def run(step):
        made = exchange(intervals=Intervals.DOCUMENTED, market={"seconds": 3})
        made.open(*EVERY_TOPIC)
        while made.now < START + 3 * SECOND:
            source = made.source.next_due()
            due = min(made.board.next_due(), START + 3 * SECOND if source is None else source)
            made.run((max(due, made.now + MILLISECOND) - made.now) / SECOND if step is None else 0.001, step=10**12)
        return made.frames

    assert run(None) == run(MILLISECOND)


@pytest.mark.parametrize(
    "topic",
    ["foo.BTCUSDT", "orderbook.500.BTCUSDT", "orderbook.50.XXXUSDT", "kline.2.BTCUSDT", "tickers", "", "tickers.", "."],
)
def test_unknown_topics_are_refused_in_the_protocols_words(topic):
    board = exchange().board
    for ask in (board.check, board.open):
        with pytest.raises(Refused) as caught:
            ask(topic)
        assert caught.value.message == f"error:handler not found,topic:{topic}"


def test_a_topic_that_is_not_open_cannot_be_closed():
    with pytest.raises(KeyError):
        exchange().board.close("tickers.BTCUSDT")


def test_two_symbols_do_not_mix():
    made = exchange(market={"count": 2})
    client = Client(made.rules)
    topics = ["orderbook.50.BTCUSDT", "orderbook.50.ETHUSDT"]
    made.open(*topics)
    made.after_emit = client.take
    made.run(3)
    for topic in topics:
        source = Book(client.books[topic].instrument)
        for batch in made.applied:
            if batch.instrument == source.instrument:
                for event in batch.events():
                    if isinstance(event, BookSnapshot | BookDelta):
                        source.apply(event)
        assert top(client.books[topic], None) == top(source, 50)


def test_the_touch_of_level_one_is_that_of_the_book():
    made = exchange()
    quotes = []
    client = Client(made.rules)
    book = made.board.symbols["BTCUSDT"].book

    def look(topic, frame):
        for event in client.take(topic, frame):
            assert isinstance(event, BestQuote)
            quotes.append(event)
            assert (event.bid_price, event.ask_price) == (book.best_bid, book.best_ask)
            assert (event.bid_size, event.ask_size) == (book.best_bid_size, book.best_ask_size)

    made.after_emit = look
    made.open("orderbook.1.BTCUSDT")
    made.run(3)
    assert len(quotes) > 5
    assert len({(one.bid_price, one.bid_size, one.ask_price, one.ask_size) for one in quotes[:2]}) == 2


def test_ticker_events_of_the_source_and_a_side_do_not_leak():
    """The source's funding times are of its own days: the exchange's are multiples of the interval."""
    told = Ticker(instrument=BTC, ts_event=START, ts_recv=START, mark=Decimal(100), next_funding_ts=1)
    made = handmade([told, a_print(ts=START, price=1_000, side=Side.SELL), a_delta(ts=START + SECOND)])
    made.run(1)
    (event, *_) = made.board.take_tickers()
    assert event.mark == 100
    assert event.next_funding_ts % (8 * HOUR) == 0
    assert event.next_funding_ts > START


# --- recorded markets -------------------------------------------------------------------------------------------------


@pytest.mark.recorded
@pytest.mark.parametrize(
    "file", ["bybit-v5-capture/BYBIT.jsonl.zst", "binance-l2/usdm_btcusdt_20240718.gz", "bybit-xrp-ob500"]
)
def test_a_recorded_session_is_shown_as_it_was(recorded, file):
    path = recorded / file
    files = sorted(one for one in path.iterdir() if "ob500" in one.name) if path.is_dir() else [path]
    source = from_files(files, instruments.recorded())
    made = Exchange(source.history, source.instruments)
    topics = [f"orderbook.200.{symbol}" for symbol in made.rules]
    client = Client(made.rules)
    checked = 0

    def check(topic, frame):
        nonlocal checked
        client.take(topic, frame)
        if topic in topics:
            ours = top(made.board.symbols[topic.split(".")[2]].book, 200)
            assert top(client.books[topic], None) == ours
            checked += 1

    made.after_emit = check
    made.open(*topics, *(f"publicTrade.{symbol}" for symbol in made.rules))
    made.run(15, step=100 * MILLISECOND)
    assert checked > 30
    assert not client.problems
