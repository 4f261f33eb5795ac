"""The whole exchange without its sockets: market, board, accounts, requests, connections and faults, driven by `pump`.

It knows no wall clock and no event loop: whoever composes it gives it a clock and timers, so a simulation can run it in
virtual time.
"""

import random
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

import msgspec

from stakan.apps.exchange import state
from stakan.apps.exchange.accounts import AccountConfig, Accounts
from stakan.apps.exchange.board import Board, BoardConfig, Intervals
from stakan.apps.exchange.clock import ExchangeClock
from stakan.apps.exchange.faults import Chaos, Profile, Stream
from stakan.apps.exchange.feeds import Market
from stakan.apps.exchange.gate import Gate
from stakan.apps.exchange.gateway import Gateway, Request, Response
from stakan.apps.exchange.market import for_accounts
from stakan.apps.exchange.published import BoardView
from stakan.apps.exchange.quota import CONNECTION_WINDOW_MS, NEW_CONNECTIONS, OPEN_CONNECTIONS, RollingQuota
from stakan.apps.exchange.replies import Push
from stakan.apps.exchange.requests import MarketRequests
from stakan.apps.exchange.rows import PositionRow
from stakan.apps.exchange.streams import (
    Connection,
    Exchange,
    PrivateConnection,
    PublicConnection,
    StatusConnection,
    TradeConnection,
    idle_of,
)
from stakan.apps.exchange.uncertain import Uncertain
from stakan.core.domain.units import MILLISECOND, SECOND, Nanos

IDLE_CHECK_NS = SECOND
PATHS: dict[str, type[Connection]] = {
    "/v5/public/linear": PublicConnection,
    "/v5/private": PrivateConnection,
    "/v5/trade": TradeConnection,
    "/v5/public/misc/status": StatusConnection,
}

C = TypeVar("C", bound=Connection)


class LocalConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the exchange behaves."""

    accounts: tuple[AccountConfig, ...] = (AccountConfig(),)
    intervals: Intervals = Intervals.DOCUMENTED
    reply_delay_ns: Nanos = Nanos(2 * MILLISECOND)
    """Least time until an answer; clients that register their callbacks after sending need a millisecond or two."""
    reply_spread_ns: Nanos = Nanos(0)
    """Mean of what comes on top, exponentially distributed."""
    push_delay_ns: Nanos = Nanos(0)
    """How long private streams take to tell what happened."""
    rate_factor: float = 1.0
    """Of the documented limits per account; 0 switches them off."""
    limits_loopback: bool = False
    """Whether the limit per address holds for this machine too."""
    uncertain: Uncertain = Uncertain()
    seed: int = 0


class Exposed(msgspec.Struct, frozen=True):
    """A stretch in which a position had no stop, by account and symbol; nanoseconds of an undisturbed clock."""

    uid: int
    symbol: str
    since: int
    until: int


class LocalExchange:
    """Drives everything: call `pump` often, hand in requests and connections."""

    def __init__(
        self,
        config: LocalConfig,
        open_market: Callable[[int], Market],
        now_ns: Callable[[], int],
        later: Callable[[int, Callable[[], None]], object],
        profile: Profile | None = None,
    ) -> None:
        """`open_market` starts the market at an exchange time, `later(ns, do)` is a timer."""
        self.config = config
        self.chaos = Chaos(profile, config.seed)
        self._now_ns = now_ns
        self._clock = ExchangeClock(now_ns)
        self._spread = random.Random(config.seed)  # noqa: S311 - a delay, not a secret
        market = open_market(self._clock.now())
        self._feed = market.feed
        self.board = Board(market.listed, self._emit, self._clock.now(), BoardConfig(intervals=config.intervals))
        self._view = BoardView(self.board)
        self.accounts = Accounts(config.accounts, self._view, config.uncertain)
        gate = Gate(self.accounts)
        self.gateway = Gateway(
            gate,
            MarketRequests(self.board),
            self.chaos,
            self.pump,
            self._flush,
            rate_factor=config.rate_factor,
            limits_loopback=config.limits_loopback,
            unauthorised_status=config.uncertain.unauthorised_status,
        )
        self.exchange = Exchange(
            now=self._clock.now,
            steady=now_ns,
            later=later,
            board=self.board,
            gateway=self.gateway,
            chaos=self.chaos,
            reply_delay=self.reply_delay,
            push_delay=config.push_delay_ns,
        )
        self._newcomers = RollingQuota(NEW_CONNECTIONS, CONNECTION_WINDOW_MS)
        self.is_held = False
        """Whether the market stands still: nothing is shown and no price moves, while requests are carried out."""
        self.exposed: list[Exposed] = []
        self._naked: dict[tuple[int, str], int] = {}
        self._connections = 0
        self._next_idle_check = 0
        self.pushed: Counter[str] = Counter()

    # --- driving ----------------------------------------------------------------------------------------------------

    def pump(self) -> int:
        """Live up to the present; returns the exchange's time."""
        self._weather()
        now = self._clock.now()
        if not self.is_held:
            self._show(now)
        self.accounts.advance(now)
        self._flush()
        return now

    def _show(self, now: int) -> None:
        """The market up to now, for the public and for the accounts."""
        for batch in self._feed.take(now):
            self.board.apply(batch)
            self.accounts.feed(for_accounts(batch))
        self.board.tick(now)
        tickers = self.board.take_tickers()
        for ticker in tickers:
            self._view.note(ticker)
        self.accounts.feed_tickers(tickers)

    def wait(self) -> int:
        """Nanoseconds until the market or the board has something to do."""
        if self.is_held:
            return IDLE_CHECK_NS
        due = self.board.next_due()
        row = self._feed.next_due()
        return max(0, (due if row is None else min(due, row)) - self._clock.now())

    # --- requests and connections -----------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """A REST request; nothing is answered in a blackout."""
        if self.chaos.is_dark(self._now_ns()):
            return Response(is_lost=True)
        return self.gateway.handle(request)

    def connect(
        self, path: str, query: dict[str, str], send: Callable[[bytes], None], cut: Callable[[], None], address: str
    ) -> Connection | None:
        """A socket opens; None where nobody answers. Raises KeyError for a path that is none of `PATHS`."""
        kind = PATHS[path]
        now = self._now_ns()
        if self.chaos.is_dark(now):
            return None
        if self.gateway.limits(address) and not self._has_room(address, now // MILLISECOND):
            return None
        self._connections += 1
        idle = idle_of(query.get("max_active_time", ""))
        return kind(self.exchange, self._connections, send, cut, address, idle)

    def _has_room(self, address: str, now_ms: int) -> bool:
        """Whether an address may have another connection."""
        there = sum(one.address == address for one in self.exchange.open.values())
        return there < OPEN_CONNECTIONS and self._newcomers.allows(address, now_ms)

    def reply_delay(self) -> int:
        """Draws how long an answer takes, nanoseconds."""
        spread = self.config.reply_spread_ns
        extra = int(self._spread.expovariate(1 / spread)) if spread else 0
        return self.config.reply_delay_ns + extra

    def cut(self, stream: Stream | None = None) -> int:
        """Cut all connections of a kind, or all; returns how many."""
        found = [one for one in list(self.exchange.open.values()) if stream in {None, one.stream}]
        for connection in found:
            connection.cut()
        return len(found)

    def save(self) -> bytes:
        """All accounts, to `restore` in another life."""
        return state.encode(self.accounts)

    def restore(self, data: bytes) -> None:
        """Give accounts that nobody has asked yet what `save` kept, in the market of the present.

        Raises DataError for other bytes, and for accounts and symbols that are not there.
        """
        self.pump()
        state.restore(self.accounts, data)
        self._flush()

    def audit(self) -> list[Exposed]:
        """Stretches in which a position had no stop, those that go on until now included."""
        now = self._now_ns()
        return [*self.exposed, *(Exposed(uid, symbol, since, now) for (uid, symbol), since in self._naked.items())]

    # --- inside -----------------------------------------------------------------------------------------------------

    def _emit(self, topic: str, frame: bytes) -> None:
        self.exchange.emit(topic, frame)

    def _flush(self) -> None:
        for account in self.accounts:
            pushes = account.drain()
            if pushes:
                self._look(account.uid, pushes)
                self.exchange.push(account.uid, pushes)

    def _look(self, uid: int, pushes: list[Push]) -> None:
        """Note when positions are without a stop."""
        for push in pushes:
            self.pushed[push.topic] += len(push.rows)
            if push.topic != "position":
                continue
            for row in push.rows:
                self._look_at(uid, row)

    def _look_at(self, uid: int, row: PositionRow) -> None:
        key, at = (uid, row.symbol), self._now_ns()
        is_naked = bool(Decimal(row.size)) and not (row.stop_loss and Decimal(row.stop_loss))
        if is_naked:
            self._naked.setdefault(key, at)
        elif key in self._naked:
            since = self._naked.pop(key)
            if at > since:
                self.exposed.append(Exposed(uid, row.symbol, since, at))

    def _weather(self) -> None:
        now = self._now_ns()
        due = self.chaos.due(now)
        self._clock.skew_ns = self.chaos.skew(now)
        if due.black:
            self.cut()
        for _ in range(due.cut):
            found = list(self.exchange.open.values())
            if found:
                found[self.chaos.choose(len(found))].cut()
        if due.restart or due.cross:
            self._disturb_books(due.restart, due.cross)
        if now >= self._next_idle_check:
            self._next_idle_check = now + IDLE_CHECK_NS
            for connection in list(self.exchange.open.values()):
                if now - connection.active > connection.idle_ns:
                    connection.cut()

    def _disturb_books(self, restarts: int, crossings: int) -> None:
        books = [topic for topic in self.exchange.topics if topic.startswith("orderbook.") and ".1." not in topic]
        for count, fault in ((restarts, self.board.restart), (crossings, self.board.cross)):
            for _ in range(count if books else 0):
                fault(books[self.chaos.choose(len(books))])
