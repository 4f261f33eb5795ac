"""The console's end of the socket: knows what it knows and how old it is."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.apps.api.conftest import run
from tests.apps.console.fake_bot import FakeBot

from stakan.apps.api.link import LATE_AFTER, Link, LinkState
from stakan.apps.api.model import ReadModel, Ring
from stakan.apps.projection import Backlog, EquityPoint, Frames, Update, framed
from stakan.core.domain.errors import DataError, VenueUnavailable
from stakan.core.domain.events import PauseEntries
from stakan.core.domain.units import Nanos


class Clock:
    def __init__(self) -> None:
        self.now = 10**18

    def __call__(self) -> int:
        return self.now


async def until(is_so: Callable[[], object]) -> None:
    """Wait for what the other end of a real socket does."""
    while not is_so():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def test_a_link_is_down_live_late_and_live_again(tmp_path: Path) -> None:
    async def story() -> None:
        clock = Clock()
        link = Link(tmp_path, ReadModel(), clock)
        running = asyncio.create_task(link.run())
        await asyncio.sleep(0.05)
        assert (link.state(), link.age_ns()) == (LinkState.DOWN, None)
        with pytest.raises(VenueUnavailable):
            await link.ask(PauseEntries(ts_event=0, ts_recv=0, actor="a", request_id="r"))
        bot = FakeBot(tmp_path)
        await bot.start()
        await until(lambda: link.is_connected and bot._writers)
        assert link.state() is LinkState.DOWN, "a greeting is no picture"
        bot.send(bot.update(1))
        await until(lambda: link.state() is LinkState.LIVE)
        clock.now += LATE_AFTER + 1
        assert link.state() is LinkState.LATE
        assert link.age_ns() == LATE_AFTER + 1
        bot.send(bot.update(2))
        await until(lambda: link.state() is LinkState.LIVE)
        await bot.stop()
        await until(lambda: link.state() is LinkState.DOWN)
        assert link.model.ts == 2, "the last picture stays, with its age"
        again = FakeBot(tmp_path, start=5)
        await again.start()
        await until(lambda: again._writers)
        again.send(again.update(3))
        await until(lambda: link.state() is LinkState.LIVE)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await again.stop()

    run(story())


@pytest.mark.parametrize(
    "damage", [b"\xff\xff\xff\xff", framed(b"\xc1"), framed(msgspec.msgpack.encode({"type": "x"}))]
)
def test_damage_ends_the_connection_not_the_link(tmp_path: Path, damage: bytes) -> None:
    async def story() -> None:
        link = Link(tmp_path, ReadModel(), Clock())
        bot = FakeBot(tmp_path)
        await bot.start()
        running = asyncio.create_task(link.run())
        await until(lambda: bot._writers)
        next(iter(bot._writers)).write(damage)
        await until(lambda: not link.is_connected)
        assert link.problem
        await until(lambda: link.is_connected)
        bot.send(bot.update(1))
        await until(lambda: link.state() is LinkState.LIVE)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await bot.stop()

    run(story())


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(1, 9), max_size=60))
def test_frames_come_out_as_they_went_in_however_they_are_cut(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(framed(payload) for payload in payloads)
    frames, found = Frames(), []
    for cut in [*cuts, len(stream) or 1]:
        found += list(frames.feed(stream[:cut]))
        stream = stream[cut:]
    found += list(frames.feed(stream))
    assert found == payloads


def test_a_length_that_cannot_be_is_refused() -> None:
    with pytest.raises(DataError):
        list(Frames().feed(b"\xff\xff\xff\x7f"))


@given(st.integers(1, 20), st.lists(st.integers(0, 7), max_size=20), st.integers(0, 200))
def test_a_ring_gives_each_reader_what_it_has_not_seen(size: int, batches: list[int], place: int) -> None:
    ring: Ring[int] = Ring(size)
    everything: list[int] = []
    for batch in batches:
        fresh = list(range(len(everything), len(everything) + batch))
        ring.extend(fresh)
        everything += fresh
    kept = everything[-size:] if everything else []
    assert ring.count == len(everything)
    assert ring.newest(size) == kept
    if place <= len(everything):
        assert ring.since(place) == [item for item in everything[place:] if item in kept]
        assert ring.is_gone(place) is (len(everything) - place > len(kept))


def test_a_model_is_bounded_and_a_backlog_told_again_adds_nothing(tmp_path: Path) -> None:
    bot = FakeBot(tmp_path)
    bot.pass_time(60)
    model = ReadModel()
    for _ in range(2):
        model.greet(bot.hello)
        model.recall(bot.backlog)
    assert model.equity.newest(10_000) == list(bot.backlog.equity)
    assert sum(model.signals.values()) == len(bot.backlog.decisions)
    for index in range(1_500):
        model.apply(bot.update(10**18 + index * 10**8))
    frames = model.frames[bot.markets[0].rules.id]
    assert len(frames.newest(10**6)) == 1_200
    assert len(model.candles(bot.markets[0].rules.id)) <= 1_000


def test_another_bot_brings_another_picture(tmp_path: Path) -> None:
    model = ReadModel()
    for start in (1, 2):
        bot = FakeBot(tmp_path, start=start)
        model.greet(bot.hello)
        model.recall(Backlog(equity=(point(start),)))
        model.apply(bot.update(start))
    assert model.epoch == 2
    assert [one.ts for one in model.equity.newest(10) if one.equity == Decimal(7)] == [2]


def point(ts: int) -> EquityPoint:
    return EquityPoint(ts=Nanos(ts), equity=Decimal(7), unrealised_pnl=Decimal(0), exposure=Decimal(0))


def test_an_empty_book_makes_an_empty_frame(tmp_path: Path) -> None:
    bot = FakeBot(tmp_path)
    for market in bot.markets:
        market.is_usable = False
    model = ReadModel()
    model.greet(bot.hello)
    update: Update = bot.update(10**18)
    model.apply(update)
    frame = model.frames[bot.markets[0].rules.id].newest(1)[0]
    assert frame[1] == 0
    assert not np.frombuffer(frame, "<u2", 2, 2).any()
