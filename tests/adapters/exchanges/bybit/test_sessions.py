"""Logins of the private stream and the trade socket: refused, unanswered, done."""

import msgspec
import pytest
from tests.adapters.exchanges.bybit.fakes import Bench, order

from stakan.adapters.exchanges.bybit.rest import Keys
from stakan.adapters.exchanges.bybit.sessions import PrivateSession, TradeSession
from stakan.core.domain.commands import SubmitOrder


class Wire:
    """A connection that notes what is written and why it was given up."""

    def __init__(self):
        self.sent, self.left = [], []

    def send(self, message):
        self.sent.append(msgspec.json.decode(message))
        return True

    def reconnect(self, why):
        self.left.append(why)


KEYS = Keys("aB3dE6gH9jK2mN5pQ8", "s3cret" * 6)


def opened(kind):
    bench = Bench(by_socket=False, is_streaming=False)
    session = kind(bench.venue, KEYS, bench.venue.server_clock, bench.halts.append)
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


@pytest.mark.parametrize("kind", [PrivateSession, TradeSession])
@pytest.mark.parametrize("code", [10004, 20003, 10001])
def test_a_refused_login_that_quotes_the_key_does_not_show_it(kind, code):
    bench, session = opened(kind)
    why = f"error sign! origin_string[{KEYS.key}] {KEYS.secret}"
    session.on_frame(msgspec.json.encode({"success": False, "retCode": code, "retMsg": why, "op": "auth"}), 1)
    shown = str((session.connection.left, bench.halts, bench.notes, bench.told))
    assert "origin_string[***] ***" in shown
    assert not any(secret in shown for secret in (KEYS.key, KEYS.secret))


@pytest.mark.parametrize("code", [10004, 10001, 110007, 10016])
def test_an_order_that_is_refused_with_the_key_quoted_does_not_show_it(code):
    """Not in what is told to the engine and its journal, not in a halt, not in the log."""
    bench, session = opened(TradeSession)
    bench.venue.on_trade_up(bench.socket)
    why = f"error sign! origin_string[{KEYS.key}] {KEYS.secret}"
    bench.exchange.carry = lambda path, body: "silence"
    bench.send(SubmitOrder(order=order()))
    (frame,) = bench.socket.frames
    answer = {"reqId": frame["reqId"], "op": "order.create", "retCode": code, "retMsg": why, "data": {"why": why}}
    session.on_frame(msgspec.json.encode(answer), 1)
    session.on_frame(msgspec.json.encode(answer), 1)
    session.on_frame(b'{"op":"order.create","retCode":"' + why.encode(), 1)
    shown = str((session.connection.left, bench.halts, bench.notes, bench.told))
    assert "origin_string[***] ***" in shown
    assert not any(secret in shown for secret in (KEYS.key, KEYS.secret))


@pytest.mark.parametrize("kind", [PrivateSession, TradeSession])
def test_a_connection_that_ends_with_the_key_quoted_does_not_show_it(kind):
    bench, session = opened(kind)
    if kind is TradeSession:
        bench.venue.on_trade_up(bench.socket)
        bench.send(SubmitOrder(order=order()))
    session.on_close(f"closed by the exchange: 1008 {KEYS.key}")
    assert any("1008 ***" in note for note in bench.notes)
    assert not any(KEYS.key in note for note in bench.notes)
