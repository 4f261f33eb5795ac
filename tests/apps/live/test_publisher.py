"""The bot's socket: everything is told once, slow and hostile readers cost the bot nothing, requests enter once."""

import asyncio
import contextlib
import socket
import stat

import msgspec
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.apps.live.builders import PaperRun, TestTime, some_settings

from stakan.adapters.synthetic.config import demo_config
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.apps.live.latency import DECIDE, Latencies
from stakan.apps.live.publisher import BEHIND, MAX_ASK, Publisher, Requests
from stakan.apps.live.read_model import DECISIONS_KEPT, EQUITY_KEPT, EquityRing, ReadModel
from stakan.apps.projection import (
    Answer,
    Ask,
    Backlog,
    EquityPoint,
    Frames,
    FromBot,
    Hello,
    Update,
    framed,
)
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import PauseEntries
from stakan.core.domain.units import SECOND, Nanos

LIMIT_S = 20
encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(FromBot).decode


def in_time(coroutine):
    async def guarded():
        async with asyncio.timeout(LIMIT_S):
            return await coroutine

    # On the loop that a bot runs on.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(guarded())


def a_request(name="1"):
    return PauseEntries(ts_event=0, ts_recv=0, actor="ann", request_id=name)


class Shown:
    """A paper run in virtual time with its read model."""

    def __init__(self, folder, seconds=40):
        market = SyntheticMarket(demo_config(duration_ns=Nanos(seconds * SECOND)))
        self.time = TestTime(market.config.start_ts)
        self.run = PaperRun(folder, some_settings(), market.instruments, self.time)
        self.latencies = Latencies()
        self.model = ReadModel(self.run.loop.engine, self.latencies)
        observe = self.run.loop._observe

        def both(event, step):
            observe(event, step)
            self.latencies.observe(event, step)
            self.model.observe(event, step)

        self.run.loop._observe = both
        self.events = (event for window in market.windows() for event in window.events())
        self.hello = Hello(
            version="1",
            mode="paper",
            market="a test",
            is_synthetic=True,
            account="main",
            started_ts=Nanos(1),
            instruments=tuple(market.instruments.values()),
            strategies=("imbalance",),
            candle_interval_ns=SECOND,
        )

    def live(self, seconds):
        end = self.time.now() + seconds * SECOND
        for event in self.events:
            self.run.receive(event, event.ts_recv)
            if event.ts_recv >= end:
                return

    @property
    def state(self):
        return self.run.loop.engine.state


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    shown = Shown(tmp_path_factory.mktemp("shown") / "run")
    shown.live(30)
    yield shown
    shown.run.loop.close()


@pytest.fixture
def shown(tmp_path):
    shown = Shown(tmp_path / "run")
    yield shown
    shown.run.loop.close()


# --- the picture ----------------------------------------------------------------------------------------------------


def test_the_picture_is_the_engines(lived):
    backlog, update = lived.model.backlog(), lived.model.update(lived.time.now())
    portfolio = lived.state.portfolio
    assert {order.client_order_id for order in update.orders} == set(portfolio.orders.live)
    assert {one.position for one in update.positions} == {p.id for p in portfolio.positions.live.values()}
    assert update.status.balance == portfolio.ledger.balance
    assert update.status.steps == lived.state.number
    assert len(update.books) == 3
    for book in update.books:
        market = lived.state.instruments[book.instrument].market
        bids = msgspec.json.decode(b"[]") if not book.bids else memoryview(book.bids).cast("q").tolist()
        assert bids[0] == market.book.best_bid
        assert bids[1] == market.book.best_bid_size
        assert memoryview(book.asks).cast("q").tolist()[0] == market.book.best_ask
    assert len(backlog.fills) == portfolio_fills(lived) > 0
    assert backlog.trades
    assert {line.kind for line in backlog.decisions} >= {"signal", "order"}
    closed = [candle for candle in backlog.candles if candle.instrument == update.books[0].instrument]
    assert len(closed) == lived.state.instruments[update.books[0].instrument].market.candles.count
    assert {one.stage for one in update.status.latencies} >= {"feed", "acknowledge", "fill"}
    assert decode(encode(update)) == update
    assert decode(encode(backlog)) == backlog


def portfolio_fills(shown):
    return len([f for _, step in shown.run.steps for f in step.facts if type(f).__name__ == "FillBooked"])


def test_backlog_and_updates_tell_every_fill_trade_and_decision_once(shown):
    shown.live(8)
    shown.model.is_watched = True
    told = {"fills": list(shown.model.backlog().fills), "prints": []}
    candles = {}
    for _ in range(100):
        shown.live(0.2)
        update = shown.model.update(shown.time.now())
        told["fills"] += update.fills
        told["prints"] += [one for book in update.books for one in book.prints]
        for candle in update.candles:
            candles[candle.instrument, candle.open_ts] = candle
    assert len(told["fills"]) == len(set(told["fills"])) == portfolio_fills(shown)
    assert told["prints"]
    for key, state in shown.state.instruments.items():
        newest = state.market.candles.last_closed()
        assert candles[key, newest.open_ts].close == newest.close
        assert candles[key, newest.open_ts].is_closed


def test_while_nobody_looks_prints_are_not_kept(shown):
    shown.live(5)
    assert not any(counts.prints for counts in shown.model._counts.values())


def test_everything_that_is_kept_is_bounded():
    ring = EquityRing()
    for number in range(3 * EQUITY_KEPT):
        ring.add(EquityPoint(ts=number * SECOND, equity=number, unrealised_pnl=0, exposure=0))
    assert EQUITY_KEPT / 4 < len(ring.points) <= EQUITY_KEPT
    assert ring.points[-1].ts == (3 * EQUITY_KEPT - 1) * SECOND
    assert [one.ts for one in ring.points] == sorted(one.ts for one in ring.points)
    assert DECISIONS_KEPT == 500


def test_latencies_are_percentiles_of_the_last_minutes():
    latencies = Latencies()
    for number in range(100):
        latencies.add(DECIDE, number * SECOND, (number + 1) * 1_000_000)
    (one,) = latencies.summary(99 * SECOND)
    assert (one.stage, one.count, one.worst) == ("decide", 100, 100.0)
    assert one.p50 == pytest.approx(50.5)
    assert latencies.summary(3_600 * SECOND) == ()


# --- the socket -----------------------------------------------------------------------------------------------------


class Reader:
    """One end of a console."""

    def __init__(self, path):
        self.path = path
        self.frames = Frames()
        self.messages = []

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_unix_connection(self.path)
        return self

    async def __aexit__(self, *_):
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def until(self, *kinds):
        """Read until a message of one of these kinds came; it."""
        while True:
            for message in self.messages:
                if isinstance(message, kinds):
                    self.messages.remove(message)
                    return message
            data = await self.reader.read(1 << 16)
            if not data:
                raise EOFError
            self.messages += [decode(payload) for payload in self.frames.feed(data)]

    def ask(self, request):
        self.writer.write(framed(encode(Ask(request=request))))


@contextlib.asynccontextmanager
async def published(folder, shown, accept=lambda _request: ""):
    publisher = Publisher(folder, shown.hello, shown.model, accept, shown.time.now)
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop()


def test_a_reader_gets_greeting_backlog_and_then_updates(tmp_path, lived):
    async def look():
        async with published(tmp_path, lived) as publisher, Reader(publisher.path) as reader:
            assert await reader.until(Hello) == lived.hello
            assert (await reader.until(Backlog)).fills
            one, two = await reader.until(Update), await reader.until(Update)
            assert two.ts > one.ts
            assert stat.S_IMODE(publisher.path.stat().st_mode) == 0o600
        assert not publisher.path.exists()

    in_time(look())


def test_a_request_enters_once_and_is_answered_every_time(tmp_path, lived):
    entered = []

    def accept(request):
        entered.append(request.request_id)
        return "no" if request.request_id == "bad" else ""

    async def ask():
        async with published(tmp_path, lived, accept) as publisher:
            async with Reader(publisher.path) as reader:
                for name in ("a", "bad", "a"):
                    reader.ask(a_request(name))
                answers = [await reader.until(Answer) for _ in range(3)]
            async with Reader(publisher.path) as other:
                other.ask(a_request("a"))
                answers.append(await other.until(Answer))
        return answers

    answers = in_time(ask())
    assert entered == ["a", "bad"]
    assert [(one.request_id, one.is_accepted, one.why) for one in answers] == [
        ("a", True, ""),
        ("bad", False, "no"),
        ("a", True, ""),
        ("a", True, ""),
    ]


def test_a_request_without_a_name_is_refused():
    assert not Requests(lambda _request: "").take(Ask(request=a_request(""))).is_accepted


def test_a_reader_that_does_not_read_misses_updates_and_nothing_piles_up(tmp_path, lived):
    async def look():
        async with published(tmp_path, lived) as publisher, Reader(publisher.path) as quick:
            slow = socket.socket(socket.AF_UNIX)
            slow.connect(str(publisher.path))
            await quick.until(Update)
            update = publisher._framed(lived.model.update(lived.time.now()))
            backlog = publisher._framed(lived.model.backlog())
            for _ in range(2 * BEHIND // len(update) + 100):
                publisher._publish()
                await asyncio.sleep(0)
            behind = max(publisher._readers, key=lambda one: one.unread)
            assert behind.is_behind
            assert behind.unread < BEHIND + len(update) + len(backlog)
            await quick.until(Update)
            slow.close()

    in_time(look())


garbage = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=200).map(framed),
    st.just((MAX_ASK + 1).to_bytes(4, "little")),
    st.builds(lambda data: framed(data[:-1]), st.just(encode(Ask(request=a_request())))),
)


@settings(max_examples=25)
@given(st.lists(garbage, min_size=1, max_size=4))
def test_whatever_is_sent_the_publisher_lives_on(tmp_path_factory, lived, pieces):
    folder = tmp_path_factory.mktemp("s")

    async def attack():
        async with published(folder, lived, lambda _request: "not from you") as publisher:
            async with Reader(publisher.path) as bad:
                for piece in pieces:
                    bad.writer.write(piece)
                with contextlib.suppress(OSError):
                    await bad.writer.drain()
            async with Reader(publisher.path) as good:
                await good.until(Update)

    in_time(attack())


def test_a_reader_that_breaks_off_is_forgotten(tmp_path, lived):
    async def look():
        async with published(tmp_path, lived) as publisher:
            async with Reader(publisher.path) as reader:
                await reader.until(Hello)
                assert lived.model.is_watched
                reader.writer.transport.abort()
            async with Reader(publisher.path) as other:
                await other.until(Update)
                assert len(publisher._readers) == 1

    in_time(look())


def test_a_dead_bots_socket_file_is_taken_over(tmp_path, lived):
    async def look():
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(tmp_path / "bot.sock"))
        left.close()
        async with published(tmp_path, lived) as publisher, Reader(publisher.path) as reader:
            await reader.until(Hello)

    in_time(look())


def test_a_path_that_no_socket_can_have_is_a_configuration_error(tmp_path, lived):
    folder = tmp_path / ("x" * 120)
    folder.mkdir()

    async def look():
        with pytest.raises(ConfigError, match="too long"):
            await Publisher(folder, lived.hello, lived.model, lambda _request: "", lived.time.now).start()

    in_time(look())
