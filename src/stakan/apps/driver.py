"""Virtual time: feeds an engine with a recorded market and a simulated exchange, every event in its place."""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count

from stakan.core.domain.batch import MarketWindow
from stakan.core.domain.commands import (
    AmendOrder,
    AnyCommand,
    CancelOrder,
    RequestSnapshot,
    SetProtection,
    SetTimer,
    SubmitOrder,
)
from stakan.core.domain.events import AnyEvent, Flatten, TimerFired, VenueEvent
from stakan.core.domain.step import Step
from stakan.core.domain.units import MILLISECOND, SECOND
from stakan.core.engine import Engine
from stakan.core.ports import MarketHistory, Simulator

Observer = Callable[[AnyEvent, Step], None]
"""Sees every event with the step it made, in order; must not change anything."""

FEED_AHEAD_NS = 5 * SECOND
"""Receive time that the exchange's market is ahead of ours: more than any message is on its way to us."""
SETTLE_NS = 30 * SECOND
"""How long after the last market event closing orders may still travel and fill."""
SETTLE_STEP_NS = 100 * MILLISECOND


class VirtualTime:
    """One run of an engine over a market history.

    The next thing to happen is always the earliest of: an instant at which the exchange tells us something, an event
    on its way to us, a timer, a market event. Ties: exchange first, then what is on its way, then the market.
    """

    def __init__(self, engine: Engine, simulator: Simulator, observe: Observer) -> None:
        self._engine = engine
        self._simulator = simulator
        self._observe = observe
        self._coming: list[tuple[int, int, AnyEvent]] = []
        self._ordinals = count()
        self._timers: dict[str, int] = {}
        self.snapshot_requests = 0
        """How often the engine asked for a snapshot, which a recording can only give when it holds one."""

    def run(self, history: MarketHistory) -> Iterator[tuple[int, int]]:
        """Live through a history; yields (receive time, events) after each window, for progress.

        At the end everything is closed at the last known book.
        """
        last = 0
        for window in self._fed_ahead(history.windows()):
            for event in window.events():
                self._live_until(event.ts_recv)
                self._step(event)
            if len(window):
                last = self._engine.state.now
            yield last, len(window)
        self._settle(last)

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
        self._step(Flatten(ts_event=last, ts_recv=last, actor="end of data", request_id="end"))
        now = last
        while self._engine.state.portfolio.busy_instruments() and now < last + SETTLE_NS:
            now += SETTLE_STEP_NS
            self._live_until(now)

    def _live_until(self, now: int) -> None:
        """Deliver everything that reaches the bot up to `now`."""
        coming = self._coming
        while True:
            due = coming[0][0] if coming else now
            told = self._simulator.advance(min(due, now))
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
            self._step(event)

    def _step(self, event: AnyEvent) -> None:
        step = self._engine.step(event)
        self._observe(event, step)
        for command in step.commands:
            self._carry_out(command, step.ts)

    def _carry_out(self, command: AnyCommand, now: int) -> None:
        match command:
            case SubmitOrder() | CancelOrder() | AmendOrder() | SetProtection():
                self._simulator.submit(command, now)
            case SetTimer():
                at = max(now, command.at)
                timer = TimerFired(ts_event=at, ts_recv=at, key=command.key)
                self._timers[command.key] = self._expect(timer)
            case RequestSnapshot():
                self.snapshot_requests += 1

    def _expect(self, event: VenueEvent | TimerFired) -> int:
        ordinal = next(self._ordinals)
        heapq.heappush(self._coming, (event.ts_recv, ordinal, event))
        return ordinal


def _end(window: MarketWindow) -> int:
    """Receive time of the last event; 0 where there is none."""
    return max((int(batch.ts_recv[-1]) for batch in window.batches if len(batch)), default=0)
