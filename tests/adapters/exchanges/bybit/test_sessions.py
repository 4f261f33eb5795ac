"""Logins of the private stream and the trade socket: refused, unanswered, done."""

import msgspec
import pytest
from tests.adapters.exchanges.bybit.fakes import Bench

from stakan.adapters.exchanges.bybit.rest import Keys
from stakan.adapters.exchanges.bybit.sessions import PrivateSession, TradeSession


class Wire:
    """A connection that notes what is written and why it was given up."""

    def __init__(self):
        self.sent, self.left = [], []

    def send(self, message):
        self.sent.append(msgspec.json.decode(message))
        return True

    def reconnect(self, why):
        self.left.append(why)


def opened(kind):
    bench = Bench(by_socket=False, is_streaming=False)
    session = kind(bench.venue, Keys("key", "secret"), bench.venue.server_clock, bench.halts.append)
    session.connection = Wire()
    session.on_open()
    return bench, session


@pytest.mark.parametrize("name", ["ret_msg", "retMsg"])
def test_a_refused_login_says_why(name):
    _, session = opened(PrivateSession)
    session.on_frame(msgspec.json.encode({"success": False, name: "Your api key has expired.", "op": "auth"}), 1)
    assert session.connection.left == ["login was refused: Your api key has expired."]


@pytest.mark.parametrize("kind", [PrivateSession, TradeSession])
def test_a_login_that_is_never_answered_is_tried_on_another_connection(kind):
    _, session = opened(kind)
    for _ in range(2):
        assert not session.connection.left
        session.on_frame(b'{"op":"pong"}', 1)
    assert len(session.connection.left) == 1
    session.on_open()
    session.on_frame(b'{"op":"pong"}', 1)
    assert len(session.connection.left) == 1


def test_pongs_of_a_stream_that_is_up_say_nothing():
    bench, session = opened(PrivateSession)
    session.on_frame(b'{"op":"auth","success":true,"ret_msg":""}', 1)
    session.on_frame(b'{"op":"subscribe","success":false,"ret_msg":"error:already subscribed"}', 1)
    assert bench.venue.is_streaming
    for _ in range(3):
        session.on_frame(b'{"op":"pong"}', 1)
    assert not session.connection.left
