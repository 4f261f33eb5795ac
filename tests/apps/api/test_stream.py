"""Streams: a snapshot, then what changed; newer rather than complete for those who are slow."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from tests.apps.api.conftest import World
from tests.apps.console.fake_bot import RunningBot

from stakan.apps.api.book_frames import HEAD


@pytest.fixture
def socket(world: World, bot: RunningBot) -> Iterator[Any]:
    with world.client.websocket_connect("/ws", headers=world.bearer("viewer")) as opened:
        yield opened


def messages(socket: Any, topic: str) -> Iterator[dict[str, Any]]:
    for _ in range(500):
        message = socket.receive_json()
        if message["topic"] == topic:
            yield message


def test_a_subscription_begins_with_a_snapshot_and_goes_on_with_what_is_new(socket: Any, bot: RunningBot) -> None:
    socket.send_json({"subscribe": ["equity"]})
    told = messages(socket, "equity")
    first = next(told)
    assert first["kind"] == "snapshot"
    seen = [point["ts"] for point in first["data"]]
    for _ in range(2):
        delta = next(told)
        assert delta["kind"] == "delta"
        seen += [point["ts"] for point in delta["data"]]
    assert seen == sorted(set(seen))
    everything = [point.ts // 1000 / 1000 for point in bot.bot.backlog.equity]
    assert set(seen) <= set(everything)
    assert len(seen) == everything.index(seen[-1]) - everything.index(seen[0]) + 1


def test_candles_change_in_place(socket: Any, bot: RunningBot) -> None:
    socket.send_json({"subscribe": ["candles:BTCUSDT"]})
    told = messages(socket, "candles:BTCUSDT")
    known = {bar["ts"]: bar for bar in next(told)["data"]}
    for _ in range(3):
        delta = next(told)
        assert delta["kind"] == "delta"
        assert 1 <= len(delta["data"]) <= 2
        known |= {bar["ts"]: bar for bar in delta["data"]}
    assert all(Decimal(bar["low"]) <= Decimal(bar["close"]) <= Decimal(bar["high"]) for bar in known.values())


def test_whole_states_come_as_snapshots(socket: Any) -> None:
    socket.send_json({"subscribe": ["status", "pairs", "books", "positions", "orders"]})
    wanted = {"status", "pairs", "books", "positions", "orders"}
    for _ in range(100):
        message = socket.receive_json()
        if message["topic"] in wanted:
            assert message["kind"] == "snapshot"
            wanted.discard(message["topic"])
        if not wanted:
            return
    pytest.fail(f"nothing of {wanted}")


def test_heartbeats_come_unasked_and_unsubscribing_ends_a_topic(socket: Any) -> None:
    assert next(messages(socket, "heartbeat"))["link"] == "live"
    socket.send_json({"subscribe": ["status"]})
    next(messages(socket, "status"))
    socket.send_json({"unsubscribe": ["status"]})
    beats = 0
    after = 0
    while beats < 3:
        topic = socket.receive_json()["topic"]
        beats += topic == "heartbeat"
        after += topic == "status" and beats > 1
    assert after == 0


@pytest.mark.parametrize("text", ["no json", '{"subscribe": "status"}', '{"subscribe": ["no such"]}', '{"x": 1}', "[]"])
def test_nonsense_is_answered_and_the_stream_goes_on(socket: Any, text: str) -> None:
    socket.send_text(text)
    assert next(messages(socket, "error"))["detail"]
    assert next(messages(socket, "heartbeat"))


def test_a_bot_that_was_started_anew_begins_with_snapshots(world: World) -> None:
    with world.client.websocket_connect("/ws", headers=world.bearer()) as socket:
        socket.send_json({"subscribe": ["equity"]})
        told = messages(socket, "equity")
        with RunningBot(world.folder, start=1):
            first = next(one for one in told if one["data"])
        with RunningBot(world.folder, start=2):
            again = next(one for one in told if one["epoch"] > first["epoch"])
    assert again["kind"] == "snapshot"


def lists(frame: bytes) -> tuple[tuple[Any, ...], list[Any]]:
    """Head and records of a frame, read as `book_frames` describes them."""
    head = HEAD.unpack_from(frame)
    numbers = np.frombuffer(frame, "<f4", offset=HEAD.size)
    found, at = [], 0
    for count, width in zip(head[2:9], (2, 2, 4, 4, 4, 4, 4), strict=True):
        found.append(numbers[at : at + count * width].reshape(count, width))
        at += count * width
    assert at == len(numbers)
    return head, found


def test_a_frame_holds_the_book_to_the_tick(world: World, bot: RunningBot) -> None:
    with world.client.websocket_connect("/ws/book/btcusdt", headers=world.bearer("viewer")) as socket:
        pair = json.loads(socket.receive_text())
        assert (pair["symbol"], pair["tick_size"], pair["price_digits"]) == ("BTCUSDT", "0.1", 1)
        frames = [socket.receive_bytes() for _ in range(12)]
    times = []
    for frame in frames:
        assert HEAD.size == 48
        head, (bids, asks, *_) = lists(frame)
        times.append(head[9])
        assert head[1] & 1
        assert bids[0, 0] == 0
        assert asks[0, 0] > 0
        assert (np.diff(bids[:, 0]) < 0).all()
        assert (np.diff(asks[:, 0]) > 0).all()
    assert times == sorted(times)
    newest = world.link.model.frames[pair["id"]]
    assert frames[-1] in newest.newest(newest.count)
