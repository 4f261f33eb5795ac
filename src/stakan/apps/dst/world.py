"""The whole world of one plan: exchange, network, machine, disk and the bot's lives, one heap of time for all."""

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from stakan.adapters.exchanges.bybit.limits import BAN
from stakan.adapters.exchanges.bybit.rest import Keys
from stakan.apps.config import Settings
from stakan.apps.dst.disk import SimulatedDisk
from stakan.apps.dst.exchange import KEY, SECRET, Books, Host
from stakan.apps.dst.happen import RELEASED_AFTER_NS, happen
from stakan.apps.dst.invariants import Auditor, Breach, Limits
from stakan.apps.dst.journal import PlainJournal, WatchedJournal
from stakan.apps.dst.network import Network
from stakan.apps.dst.plan import Kill, KillAtDisk, Plan
from stakan.apps.dst.process import Process, Setup
from stakan.apps.dst.settings import MAX_NOTIONAL, MAX_SHARE, settings_of
from stakan.apps.dst.time import Heap, Killed, Machine
from stakan.apps.exchange.faults import Trouble
from stakan.apps.live.loop import RunJournal
from stakan.apps.rehearse import differences
from stakan.apps.results import Fingerprint
from stakan.core.domain.errors import VenueError
from stakan.core.domain.events import AnyEvent, AnyOperatorRequest, PauseEntries, ReleaseHalt
from stakan.core.domain.facts import CandleClosed, EquityMarked, SignalProposed, TradingStateChanged
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.step import Step
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import SECOND

CALM_NS = 22 * SECOND
"""Fair weather before the comparison: more than an order that is nowhere needs to be proven so (decision 3)."""
SETTLE_NS = 3 * SECOND
"""Of it, the market still moves: what is on its way arrives."""
RESTART_NS = SECOND
"""Until a process that could not begin is started again."""
STORY = 120
_FOLDER = Path("/run")
_DULL = (EquityMarked, CandleClosed, SignalProposed)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a plan."""

    plan: Plan
    breach: Breach | None
    simulated_s: float
    calls: int
    """Of the heap."""
    steps: int
    """Of engines."""
    frames: int
    """That the exchange sent, answers over HTTP included."""
    orders: int
    traded: int
    """Instruments in which an order arrived."""
    executions: int
    faults: dict[str, int]
    lives: int
    kills: int
    fingerprint: str
    """Of all steps, all frames and their times."""
    story: tuple[str, ...]
    """The last that happened."""

    @property
    def fault_count(self) -> int:
        """Faults that came about."""
        return sum(self.faults.values())


class Breached(Exception):
    """An invariant does not hold: no use in going on."""


class World:
    """Runs one plan, once."""

    def __init__(self, plan: Plan, settings: Settings | None = None) -> None:
        """`settings` are those of `settings_of(plan)` where none are given."""
        self.plan = plan
        self.counts: Counter[str] = Counter()
        """Faults that happened outside of the exchange."""
        self.heap = Heap(plan.start_ns)
        self.host = Host(self.heap, plan.seed, self._frame)
        self.network = Network(self.heap, self.host, plan.seed, self.counts)
        self.machine = Machine(self.heap)
        self.disk = SimulatedDisk(plan.seed, self.machine.stall)
        settings = settings or settings_of(plan)
        self.auditor = Auditor(
            self.host,
            Limits(leverage=settings.account.leverage, max_notional=MAX_NOTIONAL, max_equity_share=MAX_SHARE),
            lambda: self.heap.now,
            self._is_reachable,
            self.heap.now,
        )
        self.process: Process | None = None
        self.is_ending = False
        self._doom: Kill | KillAtDisk | None = None
        self.lives = self.kills = self.steps = self.frames = 0
        self._setup = Setup(
            settings=settings,
            symbols=tuple(self.host.trading.market.instruments),
            keys=Keys(KEY, SECRET),
            seed=plan.seed,
        )
        self._steps = Fingerprint()
        self._told = hashlib.blake2b(digest_size=16)
        self._story: deque[tuple[int, object]] = deque(maxlen=STORY)
        self.heap.after = self._after

    # --- running ----------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Live through the plan, then through calm, and compare the books."""
        heap, start = self.heap, self.plan.start_ns
        try:
            self.begin()
            for fault in self.plan.faults:
                heap.at(self.moment(fault.at_s), partial(happen, self, fault))
            heap.run(start + int(self.plan.seconds * SECOND))
            self._calm()
            heap.run(heap.now + SETTLE_NS)
            self.host.local.is_held = True
            heap.run(heap.now + CALM_NS - SETTLE_NS)
            if self.host.faults[Trouble.HTTP_403]:
                # A bot that was locked out by address asks nothing over HTTP for ten minutes.
                heap.run(heap.now + BAN)
            self._compare()
        except Breached:
            pass
        return self._outcome()

    def begin(self) -> None:
        """Start the bot's process."""
        self.lives += 1
        self.auditor.records.begin(self.lives)
        self.host.forget_asked()
        self.process = Process(self._setup, self.lives, self.heap, self.machine, self.network, self)
        self.note("the bot starts")
        self.process.start()

    @property
    def symbols(self) -> tuple[str, ...]:
        """What is traded."""
        return self._setup.symbols

    def moment(self, seconds: float) -> int:
        """True time so many seconds after the start."""
        return self.plan.start_ns + int(seconds * SECOND)

    def until(self, seconds: float, end: Callable[[], None]) -> None:
        """Something that lasts ends so many seconds after the start."""
        self.heap.at(self.moment(seconds), end)

    def ask(self, request: AnyOperatorRequest) -> None:
        """An operator asks a running bot for something, over its machine's own socket: a call of the process."""
        process = self.process
        if process is not None and process.is_running:
            self.heap.later(0, lambda: process.accept(request), process.time)

    def doom(self, kill: Kill | KillAtDisk) -> None:
        """The process is killed soon."""
        process = self.process
        if process is None or process.is_over or self._doom is not None:
            return
        self._doom = kill
        if isinstance(kill, Kill):
            process.time.doomed_in = kill.calls
        else:
            self.disk.kill_at = self.disk.operations + kill.operations

    def note(self, what: object) -> None:
        """Part of the story."""
        self._story.append((self.heap.now, what))

    def _calm(self) -> None:
        """Fair weather, the clock is right, and the bot opens nothing more."""
        self.is_ending = True
        self.host.local.chaos.set(None)
        self.host.local.chaos.unscript()
        self.network.calm()
        self.machine.right()
        self.disk.calm()
        self._doom = None
        self.note("fair weather, entries are paused")
        self.pause()

    def pause(self) -> None:
        """The first half of a graceful stop."""
        self.ask(PauseEntries(ts_event=0, ts_recv=0, actor="simulation", request_id="end"))

    def _compare(self) -> None:
        process = self.process
        if process is None or process.engine is None or not process.is_running:
            self.auditor.found(5, "the bot is not running after fair weather")
        else:
            books = Books(self.host.account, lambda: self.heap.now)
            for difference in differences(process.engine.state.portfolio, books):
                self.auditor.found(5, difference)
            self.auditor.all_booked()
        self._after()

    def _after(self) -> None:
        self.auditor.look()
        if self.auditor.breach is not None:
            raise Breached

    def _is_reachable(self) -> bool:
        process, now = self.process, self.heap.now
        if process is None or not process.is_running or self.machine.awake_at > now:
            return False
        return self.network.is_well and not self.host.local.chaos.is_dark(now)

    def _outcome(self) -> Outcome:
        fingerprint = hashlib.blake2b(self._steps.hexdigest().encode() + self._told.digest(), digest_size=16)
        return Outcome(
            plan=self.plan,
            breach=self.auditor.breach,
            simulated_s=round((self.heap.now - self.plan.start_ns) / SECOND, 3),
            calls=self.heap.calls,
            steps=self.steps,
            frames=self.frames,
            orders=self.auditor.orders,
            traded=len(self.auditor.traded),
            executions=self.auditor.executions,
            faults=dict(sorted((self.counts + self.host.faults).items())),
            lives=self.lives,
            kills=self.kills,
            fingerprint=fingerprint.hexdigest(),
            story=() if self.auditor.breach is None else tuple(self._tell(at, what) for at, what in self._story),
        )

    def _tell(self, at: int, what: object) -> str:
        text = what if isinstance(what, str) else repr(what)
        return f"{(at - self.plan.start_ns) / SECOND:10.6f}  {text}"

    # --- told by the exchange ---------------------------------------------------------------------------------------

    def _frame(self, frame: bytes) -> None:
        self.frames += 1
        self._told.update(self.heap.now.to_bytes(8, "little"))
        self._told.update(frame)

    # --- the process's surroundings ---------------------------------------------------------------------------------

    def journal(self, settings: Settings, instruments: Mapping[InstrumentId, Instrument]) -> RunJournal:  # noqa: ARG002
        """See `process.Surroundings`."""
        return WatchedJournal(PlainJournal(self.disk, self._folder), self)

    @property
    def _folder(self) -> Path:
        """Of the journal of this life."""
        return _FOLDER / f"{self.lives}"

    def appended(self, step: Step) -> None:
        """See `journal.Durable`."""

    def synced(self) -> None:
        """See `journal.Durable`."""
        if self.disk.is_synced(self._folder):
            self.auditor.records.synced()

    def observe(self, event: AnyEvent, step: Step) -> None:
        """See `process.Surroundings`."""
        self.steps += 1
        self._steps.update(step)
        process = self.process
        assert process is not None
        assert process.engine is not None
        self.auditor.observe(process.engine, step)
        if step.facts or step.commands:
            told = [what for what in (*step.facts, *step.commands) if not isinstance(what, _DULL)]
            if told:
                self._story.append((self.heap.now, _Told(type(event).__name__, tuple(told))))
            for fact in step.facts:
                if type(fact) is TradingStateChanged and fact.state is TradingState.HALTED:
                    self.heap.later(RELEASED_AFTER_NS, self._release)

    def _release(self) -> None:
        """A run that stays halted shows nothing more."""
        if not self.is_ending:
            self.ask(ReleaseHalt(ts_event=0, ts_recv=0, actor="operator", request_id=f"release {self.heap.now}"))

    def began(self, process: Process) -> None:
        """See `process.Surroundings`."""
        self.note(f"life {process.number} trades")
        if self.is_ending:
            self.pause()

    def ended(self, process: Process, error: BaseException | None) -> None:
        """See `process.Surroundings`."""
        self.note(f"life {process.number} is over: {type(error).__name__}: {error}")
        self.auditor.records.lost()
        if isinstance(error, Killed):
            self._killed()
            return
        if process.has_begun or not isinstance(error, VenueError):
            self.auditor.found(0, f"the bot failed: {type(error).__name__}: {error}")
            return
        self.heap.later(RESTART_NS, self.begin)

    def _killed(self) -> None:
        kill, self._doom = self._doom, None
        assert kill is not None
        self.kills += 1
        self.counts[str(type(kill).__struct_config__.tag)] += 1
        if kill.power:
            self.disk.lose_power()
        self.heap.later(int(kill.down_s * SECOND), self.begin)

    def noted(self, text: str) -> None:
        """See `process.Surroundings`."""
        self.note(text)


class _Told(msgspec.Struct, frozen=True):
    """A step, for the story."""

    event: str
    what: tuple[Any, ...]

    def __repr__(self) -> str:
        return f"{self.event}: " + "; ".join(_short(one) for one in self.what)


def _short(what: Any) -> str:
    fields = ", ".join(
        f"{name}={getattr(what, name)}" for name in what.__struct_fields__ if getattr(what, name) not in (None, "", ())
    )
    return f"{type(what).__name__}({fields})"
