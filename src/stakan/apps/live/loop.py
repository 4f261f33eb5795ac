"""The live loop: the order of events of virtual time, driven by a wall clock (ADR 0009)."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import msgspec

from stakan.apps.driver import EventOrder, Observer
from stakan.apps.live.clock import LiveTime, Timer
from stakan.core.domain.commands import (
    AmendOrder,
    CancelOrder,
    RefreshCommand,
    SetProtection,
    SubmitOrder,
    VenueCommand,
)
from stakan.core.domain.errors import StorageError
from stakan.core.domain.events import AnyEvent, AnyMarketEvent, MarketEvent, OperatorRequest, VenueEvent
from stakan.core.domain.step import Step
from stakan.core.domain.units import MINUTE
from stakan.core.engine import Engine

SNAPSHOT_NS = MINUTE
"""How often the engine's whole state is written."""
SNAPSHOT_STEPS = 50_000
"""A snapshot is due after so many steps too: a start computes again what came after it, about a second of work."""
_LEAVES = (SubmitOrder, CancelOrder, AmendOrder, SetProtection)


class RunJournal(Protocol):
    """Where a run is written down."""

    def event(self, number: int, event: AnyEvent) -> None:
        """What is about to enter the engine as step `number`."""
        ...

    def append(self, step: Step) -> None:
        """What came of it."""
        ...

    def snapshot(self, number: int, state: bytes) -> None:
        """The engine's state after step `number`."""
        ...

    def sync(self) -> None:
        """Return when every event and step so far is on the disk."""
        ...

    def flush(self) -> None:
        """Hand all of it to the operating system; soon it is on the disk too."""
        ...

    def close(self) -> None:
        """An orderly end."""
        ...

    def abandon(self) -> None:
        """No orderly end: what is written stays."""
        ...


class LiveCounterparty(Protocol):
    """What takes orders in real time: an exchange, a simulated one, or nobody."""

    def see(self, event: AnyMarketEvent) -> None:
        """The market, right before the bot sees it."""
        ...

    def advance(self, now: int) -> list[VenueEvent]:
        """As `Simulator.advance`; empty where answers come by `LiveLoop.deliver`."""
        ...

    def submit(self, command: VenueCommand, now: int) -> None:
        """Take a command that was decided at `now`."""
        ...

    def release(self) -> None:
        """What was submitted is on the disk: it may leave."""
        ...

    def release_stops(self) -> None:
        """What was submitted will never be on the disk: only stops of positions leave."""
        ...

    @property
    def next_due(self) -> int:
        """When something happens here by itself; NEVER where nothing does."""
        ...


class LiveLoop:
    """One engine in real time.

    Adapters and operator hand over events by `deliver`; everything that is due before one enters before it, with its
    own due time. Receive times are made strictly increasing, so that the journal of the run has one possible order.
    Commands leave when the callback that made them has written and synced all its steps; what an operator asked for is
    synced too when `deliver` returns. `witness` sees each step before anything of it leaves, `observe` does as soon as
    its commands have left, at the latest before the next step: engine and step belong together for both.

    An exception ends the loop: the journal stays as it is, as evidence, nothing more enters or leaves, and `failed` is
    called with it.
    """

    def __init__(  # noqa: PLR0913 - its ports, and who is told
        self,
        engine: Engine,
        counterparty: LiveCounterparty,
        journal: RunJournal,
        time: LiveTime,
        *,
        flush_ns: int,
        refresh: Callable[[RefreshCommand], None],
        observe: Observer,
        witness: Observer = lambda _event, _step: None,
        decided: Callable[[int], None] = lambda _ns: None,
        failed: Callable[[Exception], None] = lambda _error: None,
    ) -> None:
        """`flush_ns` is how often the journal goes to the disk where no order waits for it."""
        self.engine = engine
        self.failure: Exception | None = None
        self.synced: Callable[[int], None] = lambda _ns: None
        """Told how long the journal took to be on the disk, each time that orders waited for it."""
        self._counterparty = counterparty
        self._journal = journal
        self._time = time
        self._refresh = refresh
        self._observe = observe
        self._witness = witness
        self._unobserved: tuple[AnyEvent, Step] | None = None
        self._decided = decided
        self._failed = failed
        self._order = EventOrder(counterparty, self._fold, self._wants)
        self._waiting: deque[AnyEvent] = deque()
        self._wanted: list[RefreshCommand] = []
        self._timer: Timer | None = None
        self._timer_at = 0
        self._reached = engine.state.now
        self._seen_ts = 0
        self._is_answer_to_market = False
        self._must_sync = False
        self._is_turning = False
        self._is_over = False
        self._lag_ns = 0
        now = time.now()
        self._flush_ns = flush_ns
        self._next_flush = now + flush_ns
        self._snapshot_by(now)

    @property
    def is_over(self) -> bool:
        """Whether nothing enters any more."""
        return self._is_over

    @property
    def waiting(self) -> int:
        """Events that are known of and have not entered: delivered, answers under way."""
        return len(self._waiting) + self._order.waiting

    def take_lag(self) -> int:
        """How late, in nanoseconds, something entered at worst since the last call."""
        lag, self._lag_ns = self._lag_ns, 0
        return lag

    def begin(self) -> None:
        """Let the timers of the run before this one go on, those first that came due meanwhile."""
        self._guarded(lambda: self._order.carry(self.engine.pending_timers, self.engine.state.now))

    def deliver(self, event: AnyEvent) -> None:
        """Let an event enter; from within a callback of this loop, right after what is entering now.

        Its receive time is raised where something later has entered already.
        """
        self._waiting.append(event)
        if not self._is_turning:
            self._turn()

    def close(self) -> None:
        """End the run in an orderly way; raises StorageError where the journal cannot be finished."""
        if self._is_over:
            return
        # What is due by the time of the last event belongs to the run.
        self._guarded(self._finish)
        if not self._is_over:
            self._end()
            try:
                # What the next run begins with: nothing has to be computed again after an orderly end.
                self._journal.snapshot(self.engine.state.number, self.engine.snapshot())
                self._journal.close()
            except StorageError:
                self._journal.abandon()
                raise

    def abandon(self) -> None:
        """Let go of a run that ends in no order; without effect where it has ended."""
        if not self._is_over:
            self._end()
            self._journal.abandon()

    # --- turning ----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Let all that waits enter, then let commands leave; what they cause at once enters too."""
        if self._is_over:
            self._waiting.clear()
            return
        self._is_turning = True
        try:
            while self._waiting:
                self._enter(self._waiting.popleft())
                if not self._waiting:
                    self._leave()
            self._plan()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run ends in one way
            self._fail(error)
        finally:
            self._is_turning = False

    def _enter(self, event: AnyEvent) -> None:
        self._seen_ts = event.ts_recv
        self._is_answer_to_market = isinstance(event, MarketEvent)
        if event.ts_recv <= self._reached:
            event = msgspec.structs.replace(event, ts_recv=self._reached + 1)
        if self._is_answer_to_market:
            self._counterparty.see(event)  # type: ignore[arg-type]  # the closed family of market events
        self._order.live_until(event.ts_recv)
        self._reached = event.ts_recv
        self._order.step(event)

    def _fold(self, event: AnyEvent) -> Step:
        engine, journal = self.engine, self._journal
        self._catch_up()
        journal.event(engine.state.number + 1, event)
        step = engine.step(event)
        journal.append(step)
        leaves = step.commands and any(isinstance(command, _LEAVES) for command in step.commands)
        # What a person was told of must outlive the process as an order does.
        if leaves or isinstance(event, OperatorRequest):
            self._must_sync = True
        self._witness(event, step)
        self._unobserved = event, step
        if not leaves:
            self._catch_up()
        return step

    def _catch_up(self) -> None:
        """Let the newest step be observed, where it has not been."""
        if self._unobserved is not None:
            (event, step), self._unobserved = self._unobserved, None
            self._observe(event, step)

    def _leave(self) -> None:
        """What the callback has decided goes out, after it is on the disk."""
        now = self._time.now()
        self._lag_ns = max(self._lag_ns, now - self._seen_ts)
        if self._must_sync:
            self._must_sync = False
            self._sync()
            self.synced(self._time.now() - now)
            self._counterparty.release()
            if self._is_answer_to_market:
                self._decided(self._time.now() - self._seen_ts)
        self._catch_up()
        wanted, self._wanted = self._wanted, []
        for command in wanted:
            self._refresh(command)

    def _sync(self) -> None:
        try:
            self._journal.sync()
        except StorageError:
            # The run ends here. A stop has no number that could be used twice: it need not wait for any disk.
            self._counterparty.release_stops()
            raise

    def _wants(self, command: RefreshCommand) -> None:
        self._wanted.append(command)

    # --- time -------------------------------------------------------------------------------------------------------

    def _plan(self) -> None:
        """Wake up when the next thing is due; an earlier call that is planned already may come for nothing."""
        due = min(self._order.next_due, self._counterparty.next_due, self._next_flush)
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._time.call_at(due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._guarded(self._live_on)

    def _live_on(self) -> None:
        now = self._time.now()
        self._seen_ts = min(now, self._timer_at)
        self._is_answer_to_market = False
        self._order.live_until(now)
        self._reached = max(self._reached, now)
        self._keep()
        self._leave()

    def _finish(self) -> None:
        self._order.live_until(self._reached)
        self._leave()

    def _keep(self) -> None:
        """Housekeeping of the journal, between steps."""
        if self._reached >= self._next_flush:
            self._next_flush = self._reached + self._flush_ns
            self._journal.flush()
        if self._reached >= self._snapshot_at or self.engine.state.number >= self._snapshot_number:
            self._snapshot_by(self._reached)
            self._journal.snapshot(self.engine.state.number, self.engine.snapshot())

    def _snapshot_by(self, now: int) -> None:
        self._snapshot_at = now + SNAPSHOT_NS
        self._snapshot_number = self.engine.state.number + SNAPSHOT_STEPS

    def _guarded(self, call: Callable[[], None]) -> None:
        if self._is_over:
            return
        self._is_turning = True
        try:
            call()
        except Exception as error:  # noqa: BLE001 - as in _turn
            self._fail(error)
        finally:
            self._is_turning = False
        # What was delivered meanwhile, and the next call.
        self._turn()

    def _fail(self, error: Exception) -> None:
        self.failure = error
        with suppress(Exception):
            self._catch_up()
        self._end()
        self._journal.abandon()
        self._failed(error)

    def _end(self) -> None:
        self._is_over = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
