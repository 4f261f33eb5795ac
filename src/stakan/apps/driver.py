"""The order of events, and virtual time: an engine on a recorded market and a simulated exchange."""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Protocol

import msgspec

from stakan.core.domain.batch import MarketWindow
from stakan.core.domain.commands import (
    AmendOrder,
    AnyCommand,
    CancelOrder,
    ReadAccount,
    RefreshCommand,
    RequestSnapshot,
    SetProtection,
    SetTimer,
    SubmitOrder,
    VenueCommand,
)
from stakan.core.domain.events import AnyEvent, AnyOperatorRequest, Flatten, TimerFired, VenueEvent
from stakan.core.domain.step import Step
from stakan.core.domain.units import MILLISECOND, SECOND
from stakan.core.engine import Engine
from stakan.core.ports import MarketHistory, Simulator

Observer = Callable[[AnyEvent, Step], None]
"""Sees every event with the step it made, in order; must not change anything."""

NEVER = 2**63 - 1
FEED_AHEAD_NS = 5 * SECOND
"""Receive time that the exchange's market is ahead of ours: more than any message is on its way to us."""
SETTLE_NS = 30 * SECOND
"""How long after the last market event closing orders may still travel and fill."""
SETTLE_STEP_NS = 100 * MILLISECOND


class Counterparty(Protocol):
    """What takes orders: see `Simulator` for the meaning of both methods."""

    def advance(self, now: int) -> list[VenueEvent]:
        """Live on to `now`, or to the first instant that tells us something."""
        ...

    def submit(self, command: VenueCommand, now: int) -> None:
        """Take a command that was decided at `now`."""
        ...


class EventOrder:
    """The one order in which events enter the engine, in virtual time and at a wall clock alike.

    The next thing to happen is always the earliest of: an instant at which the exchange tells us something, an event
    on its way to us, a timer, an event from outside (market, operator). Ties: exchange first, then what is on its
    way, then what comes from outside. `fold` steps the engine; `refresh` is told what it wants to be read anew.
    """

    def __init__(
        self,
        counterparty: Counterparty,
        fold: Callable[[AnyEvent], Step],
        refresh: Callable[[RefreshCommand], None],
    ) -> None:
        self._counterparty = counterparty
        self._fold = fold
        self._refresh = refresh
        self._coming: list[tuple[int, int, AnyEvent]] = []
        self._ordinals = count()
        self._timers: dict[str, int] = {}

    @property
    def next_due(self) -> int:
        """When the next event that is known of by now is due; NEVER where there is none."""
        return self._coming[0][0] if self._coming else NEVER

    def carry(self, timers: Iterable[SetTimer], now: int) -> None:
        """Set timers that a restored engine waits for; those that are due by `now` fire then."""
        for timer in timers:
            self._carry_out(timer, now)

    @property
    def waiting(self) -> int:
        """How many events are on their way; timers are not, they wait for their time."""
        return sum(1 for _, _, event in self._coming if not isinstance(event, TimerFired))

    def live_until(self, now: int) -> None:
        """Let everything enter that reaches the bot up to `now`."""
        coming = self._coming
        while True:
            due = coming[0][0] if coming else now
            told = self._counterparty.advance(min(due, now))
            if told:
                for news in told:
                    self._expect(news)
                continue
            if not coming or due > now:
                return
            _, ordinal, event = heapq.heappop(coming)
            if isinstance(event, TimerFired):
                if self._timers.get(event.key) != ordinal:
                    continue
                del self._timers[event.key]
            self.step(event)

    def step(self, event: AnyEvent) -> None:
        """Let an event enter now, and carry out what the engine makes of it."""
        step = self._fold(event)
        for command in step.commands:
            self._carry_out(command, step.ts)

    def _carry_out(self, command: AnyCommand, now: int) -> None:
        match command:
            case SubmitOrder() | CancelOrder() | AmendOrder() | SetProtection():
                self._counterparty.submit(command, now)
            case SetTimer():
                at = max(now, command.at)
                timer = TimerFired(ts_event=at, ts_recv=at, key=command.key)
                self._timers[command.key] = self._expect(timer)
            case RequestSnapshot() | ReadAccount():
                self._refresh(command)

    def _expect(self, event: VenueEvent | TimerFired) -> int:
        ordinal = next(self._ordinals)
        heapq.heappush(self._coming, (event.ts_recv, ordinal, event))
        return ordinal


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked for during a run that is computed again, and when it ended."""

    requests: tuple[AnyOperatorRequest, ...]
    end_ts: int
    """Receive time of its last event that was not market data, or of its last event."""


class VirtualTime:
    """One run of an engine over a market history, every event in its place (see `EventOrder`)."""

    def __init__(self, engine: Engine, simulator: Simulator, observe: Observer) -> None:
        self._engine = engine
        self._simulator = simulator
        self._observe = observe
        self._order = EventOrder(simulator, self._fold, self._count_request)
        self._order.carry(engine.pending_timers, engine.state.now)
        self.snapshot_requests = 0
        """How often the engine asked for a snapshot, which a recording can only give when it holds one."""

    def run(self, history: MarketHistory, script: Script | None = None) -> Iterator[tuple[int, int]]:
        """Live through a history; yields (receive time, events) after each window, for progress.

        At the end everything is closed at the last known book; with a script it ends as that run did.
        """
        requests = deque(script.requests if script is not None else ())
        last = 0
        for window in self._fed_ahead(history.windows()):
            for event in window.events():
                while requests and requests[0].ts_recv < event.ts_recv:
                    self._enter(requests.popleft())
                self._enter(event)
            if len(window):
                last = self._engine.state.now
            yield last, len(window)
        if script is None:
            self._settle(last)
            return
        for request in requests:
            self._enter(request)
        self._order.live_until(max(self._engine.state.now, script.end_ts))

    def _enter(self, event: AnyEvent) -> None:
        self._order.live_until(event.ts_recv)
        self._order.step(event)

    def _fed_ahead(self, windows: Iterator[MarketWindow]) -> Iterator[MarketWindow]:
        """Windows whose exchange knows what comes after them.

        The exchange lives through a row before we receive it, so at a window's end it already needs rows that we see
        in the next ones; without them, what an order meets would depend on where windows are cut.
        """
        waiting: deque[MarketWindow] = deque()
        for window in windows:
            self._simulator.feed(window)
            waiting.append(window)
            while _end(waiting[0]) + FEED_AHEAD_NS < _end(window):
                yield waiting.popleft()
        yield from waiting

    def _settle(self, last: int) -> None:
        self._order.step(Flatten(ts_event=last, ts_recv=last, actor="end of data", request_id="end"))
        now = last
        while self._engine.state.portfolio.busy_instruments() and now < last + SETTLE_NS:
            now += SETTLE_STEP_NS
            self._order.live_until(now)

    def _fold(self, event: AnyEvent) -> Step:
        step = self._engine.step(event)
        self._observe(event, step)
        return step

    def _count_request(self, _command: RefreshCommand) -> None:
        self.snapshot_requests += 1


def _end(window: MarketWindow) -> int:
    """Receive time of the last event; 0 where there is none."""
    return max((int(batch.ts_recv[-1]) for batch in window.batches if len(batch)), default=0)
