"""Logged-in sockets of an account: how the trade socket and the private stream begin, and where their frames go.

State machines without I/O: a `Socket` tells them of connections and frames, and they write with what it offers.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from stakan.adapters.exchanges.bybit import auth
from stakan.adapters.exchanges.bybit.errors import Kind, Reaction, rule_of
from stakan.adapters.exchanges.bybit.messages import PrivateFrame, TradeFrame, read
from stakan.adapters.exchanges.bybit.private import TOPICS
from stakan.adapters.exchanges.bybit.rest import Keys, ServerClock
from stakan.adapters.exchanges.bybit.venue import BybitVenue
from stakan.core.domain.errors import DataError

_VALID_FOR_MS = 10_000
_LOGGED_IN = (0, 20001)
_MOST_PONGS = 2
"""The first comes with the connection, the second after 20 seconds: long enough for a login."""


class Connection(Protocol):
    """What a session needs of its socket."""

    def send(self, message: bytes) -> bool:
        """False where nothing was written."""
        ...

    def reconnect(self, why: str) -> None:
        """Give the connection up and make another one."""
        ...


class _Session:
    """What both logins share: the connection, and giving it up where no answer comes."""

    def __init__(self, venue: BybitVenue, keys: Keys, server_clock: ServerClock, halt: Callable[[str], None]) -> None:
        self.connection: Connection | None = None
        """To be set before the socket runs."""
        self._venue = venue
        self._keys = keys
        self._server_clock = server_clock
        self._halt = halt
        self._pongs = 0

    def on_open(self) -> None:
        """Log in."""
        self._pongs = 0
        _log_in(self.connection, self._keys, self._server_clock)

    def _waited(self, what: str) -> None:
        """A pong came and an answer to `what` did not: the second time is the last."""
        self._pongs += 1
        if self._pongs == _MOST_PONGS:
            self._reconnect(f"no answer to {what}")

    def _reconnect(self, why: str) -> None:
        if self.connection is not None:
            self.connection.reconnect(why)


class TradeSession(_Session):
    """The socket that orders go by."""

    def on_frame(self, data: bytes, _ts_recv: int) -> None:
        """Answers go to the venue. What cannot be read ends the connection: an answer may have been lost in it."""
        try:
            frame = read(TradeFrame, self._keys.masked_bytes(data), "trade socket")
        except DataError as error:
            self._reconnect(str(error))
            return
        if frame.op == "auth":
            self._logged_in(frame)
        elif frame.op == "pong" and self._venue.trade is None:
            self._waited("the login")
        elif frame.op.startswith("order."):
            self._venue.on_trade_answer(frame)
            if frame.ret_code and self._venue.trade is None:
                self._reconnect(f"{frame.ret_code} {frame.ret_msg}")

    def on_close(self, why: str) -> None:
        """What waits for an answer is unknown from here on."""
        self._venue.on_trade_down(self._keys.masked(why))

    def _logged_in(self, frame: TradeFrame) -> None:
        if frame.ret_code in _LOGGED_IN:
            if self.connection is not None:
                self._venue.on_trade_up(self.connection)
            return
        _refused("trade socket", frame.ret_code, frame.ret_msg, self._halt)
        self._reconnect(f"login was refused: {frame.ret_msg}")


class PrivateSession(_Session):
    """The stream of orders, executions, positions and wallet."""

    _is_up = False

    def on_frame(self, data: bytes, ts_recv: int) -> None:
        """Data goes to the venue; a frame that cannot be read ends the connection, and the account is read anew."""
        try:
            frame = read(PrivateFrame, self._keys.masked_bytes(data), "private stream")
        except DataError as error:
            self._reconnect(str(error))
            return
        if frame.topic:
            self._venue.on_private_frame(frame, ts_recv)
        elif frame.op == "auth":
            self._logged_in(frame)
        elif frame.op == "pong" and not self._is_up:
            self._waited("login or subscription")
        elif frame.op == "subscribe":
            self._subscribed(frame)

    def on_close(self, why: str) -> None:
        """Polling takes over."""
        self._is_up = False
        self._venue.on_private_down(self._keys.masked(why))

    def _logged_in(self, frame: PrivateFrame) -> None:
        if frame.success is False or frame.ret_code not in _LOGGED_IN:
            _refused("private stream", frame.ret_code, frame.ret_msg, self._halt)
            self._reconnect(f"login was refused: {frame.ret_msg}")
        elif self.connection is not None:
            self.connection.send(msgspec.json.encode({"req_id": "topics", "op": "subscribe", "args": TOPICS}))

    def _subscribed(self, frame: PrivateFrame) -> None:
        if frame.success is False and "already subscribed" not in frame.ret_msg:
            self._reconnect(f"subscription was refused: {frame.ret_msg}")
        elif not self._is_up:
            self._is_up = True
            self._venue.on_private_up()


def _log_in(connection: Connection | None, keys: Keys, server_clock: ServerClock) -> None:
    if connection is not None:
        expires = server_clock.millis() + _VALID_FOR_MS
        message = {"req_id": "login", "op": "auth", "args": [keys.key, expires, auth.sign_login(keys.secret, expires)]}
        connection.send(msgspec.json.encode(message))


def _refused(what: str, code: int, text: str, halt: Callable[[str], None]) -> None:
    """A code that no second attempt mends stops trading; without a code the text alone is no proof."""
    if code and rule_of(code, text).reaction_to(Kind.SET) is Reaction.FATAL:
        halt(f"{what}: login was refused: {code} {text}")
