"""The whole world of one plan: exchange, network, machine, disk and the bot's lives, one heap of time for all."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from stakan.adapters.exchanges.bybit.limits import BAN
from stakan.adapters.exchanges.bybit.rest import Keys
from stakan.adapters.journal.records import Header
from stakan.apps.driver import Observer
from stakan.apps.dst import audit_log, journal, rows
from stakan.apps.dst.disk import SimulatedDisk
from stakan.apps.dst.exchange import KEY, SECRET, Books, Host
from stakan.apps.dst.happen import RELEASED_AFTER_NS, happen
from stakan.apps.dst.invariants import Auditor, Limits
from stakan.apps.dst.network import Network
from stakan.apps.dst.outcome import Outcome, Story
from stakan.apps.dst.plan import Kill, KillAtDisk, Plan
from stakan.apps.dst.process import NotFit, Process, Setup, run_name
from stakan.apps.dst.settings import MAX_NOTIONAL, MAX_SHARE, settings_of
from stakan.apps.dst.time import Heap, Killed, Machine
from stakan.apps.exchange.faults import Trouble
from stakan.apps.live import invariants
from stakan.apps.live.durable import BallastedJournal
from stakan.apps.live.past import Past
from stakan.apps.rehearse import differences
from stakan.apps.results import Fingerprint
from stakan.apps.settings import Settings
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.errors import DiskFull, VenueError
from stakan.core.domain.events import AnyEvent, AnyOperatorRequest, Halt, PauseEntries, ReleaseHalt, ResumeEntries
from stakan.core.domain.facts import TradingStateChanged
from stakan.core.domain.step import Step
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import SECOND

SETTLE_NS = 3 * SECOND
"""Fair weather in which the market still moves."""
CALM_NS = 15 * SECOND
"""Fair weather before the first comparison."""
PATIENCE_NS = 100 * SECOND
"""Until books must agree: sockets that failed for long wait half a minute before they try again, and an order that is
nowhere needs 15 seconds from then on to be proven so (decision 3)."""
_AGAIN_NS = 5 * SECOND
RESTART_NS = SECOND
"""Until a process that could not begin, or had no room, is started again."""
_STATE = Path("/state")


def locked_out_ns(faults: Mapping[str, int]) -> int:
    """How long a bot that met these faults may have asked nothing over HTTP, nanoseconds: its address was locked out."""
    return BAN if faults.get(Trouble.HTTP_403) else 0


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
        self.process: Process | None = None
        self.is_ending = False
        self.lives = self.kills = self.steps = self.frames = 0
        settings = settings or settings_of(plan)
        self.auditor = Auditor(
            self.host,
            Limits(leverage=settings.account.leverage, max_notional=MAX_NOTIONAL, max_equity_share=MAX_SHARE),
            lambda: self.heap.now,
            self._is_reachable,
            plan.start_ns,
        )
        self._setup = Setup(
            settings=settings,
            symbols=tuple(self.host.trading.market.instruments),
            keys=Keys(KEY, SECRET),
            seed=plan.seed,
            state=_STATE,
        )
        self._doom: Kill | KillAtDisk | None = None
        self._lost_power = False
        self._steps = Fingerprint()
        self._told = hashlib.blake2b(digest_size=16)
        self._story = Story(plan.start_ns)
        self.heap.after = self._after

    # --- running ----------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Live through the plan, then through calm, and compare the books."""
        heap = self.heap
        try:
            self.begin()
            for fault in self.plan.faults:
                heap.at(self.moment(fault.at_s), partial(happen, self, fault))
            heap.run(self.moment(self.plan.seconds))
            self._calm()
            heap.run(heap.now + SETTLE_NS)
            self.host.local.is_held = True
            heap.run(heap.now + CALM_NS - SETTLE_NS)
            self._agree(PATIENCE_NS + locked_out_ns(self.host.faults))
            self._stop()
            self.begin()
            self._agree(PATIENCE_NS)
            self._stop()
            self._read_rows()
        except Breached:
            pass
        return self._outcome()

    def begin(self) -> None:
        """Start the bot's process."""
        self.lives += 1
        self.process = Process(self._setup, self.lives, self.heap, self.machine, self.network, self.disk, self)
        self.note(f"life {self.lives} begins")
        self.process.start()

    def doom(self, kill: Kill | KillAtDisk) -> None:
        """The process is killed soon; without effect where there is none, or it is doomed already."""
        process = self.process
        if process is None or process.is_over or self._doom is not None:
            return
        self._doom = kill
        if not kill.after:
            self._count_down(kill, process)

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
            self.heap.later(0, lambda: self._asked(process, request), process.time)

    def note(self, what: object) -> None:
        """Part of the story."""
        self._story.note(self.heap.now, what)

    def _asked(self, process: Process, request: AnyOperatorRequest) -> None:
        why = process.accept(request)
        if not why and isinstance(request, Halt | PauseEntries):
            assert process.bot is not None
            self.auditor.records.acknowledged = process.bot.engine.state.number

    def _calm(self) -> None:
        """Fair weather, the clock is right, and the bot opens nothing more."""
        self.is_ending = True
        self._doom = None
        self.host.local.chaos.set(None)
        self.host.local.chaos.unscript()
        self.network.calm()
        self.machine.right()
        self.disk.calm()
        if self.process is not None:
            self.process.time.doomed_in = None
        self.note("fair weather, entries are paused")
        self._pause()

    def _pause(self) -> None:
        name = f"end {self.heap.now}"
        self.ask(PauseEntries(ts_event=0, ts_recv=0, actor="simulation", request_id=name))

    def _differences(self) -> list[str]:
        """Between the bot's books and the exchange's; or why there is nothing to compare."""
        process = self.process
        if process is None or process.bot is None or not process.is_running:
            return ["the bot is not running after fair weather"]
        state = process.bot.engine.state
        if state.unread is not None:
            return [f"the bot does not know yet what its account holds: {state.unread}"]
        return list(differences(state.portfolio, Books(self.host.account, lambda: self.heap.now)))

    def _agree(self, patience: int) -> None:
        """Wait until books and exchange agree, and judge."""
        until = self.heap.now + patience
        while self._differences() and self.heap.now < until:
            self.heap.run(self.heap.now + _AGAIN_NS)
        self._compare()

    def _compare(self) -> None:
        for difference in self._differences():
            self.auditor.found(5, difference)
        self.auditor.all_booked()
        self._after()

    def _stop(self) -> None:
        """The bot ends in order; what it has written must be the whole of it."""
        process = self.process
        assert process is not None
        assert process.bot is not None
        process.time.make(process.stop)
        self.auditor.records.handed_over = process.bot.engine.state.number
        self.note(f"life {process.number} ends in order")
        self._after()

    def _read_rows(self) -> None:
        """All that happened is in what the journals are projected to."""
        trading, records = self.host.trading, self.auditor.records
        batch = rows.projected(self.disk, self.runs())
        told = [
            entry
            for life, step in records.steps()
            for entry in audit_log.expected(run_name(life), step.number, step.facts)
        ]
        for problem in audit_log.problems(batch.audit, told):
            self.auditor.found(6, problem)
        theirs = [order for order in (*trading.orders.closed, *trading.orders.live.values()) if order.link_id]
        for problem in rows.orders_without_record(batch, theirs, records.mended):
            self.auditor.found(6, problem)
        executions, rules = [kept.row for kept in trading.executions.rows], trading.market.instruments
        for problem in rows.executions_without_record(batch, executions, rules, records.mended):
            self.auditor.found(8, problem)
        for problem in rows.positions_that_differ(batch, executions, rules):
            self.auditor.found(8, problem)
        self._after()

    def _after(self) -> None:
        self.auditor.look()
        if self.auditor.breach is not None:
            raise Breached

    def _is_reachable(self) -> bool:
        process, now = self.process, self.heap.now
        if process is None or not process.is_up or self.machine.awake_at > now:
            return False
        return self.network.is_well and not self.host.local.chaos.is_dark(now)

    def _outcome(self) -> Outcome:
        fingerprint = hashlib.blake2b(self._steps.hexdigest().encode() + self._told.digest(), digest_size=16)
        auditor = self.auditor
        return Outcome(
            plan=self.plan,
            breach=auditor.breach,
            simulated_s=round((self.heap.now - self.plan.start_ns) / SECOND, 3),
            calls=self.heap.calls,
            steps=self.steps,
            frames=self.frames,
            orders=auditor.orders,
            traded=len(auditor.traded),
            executions=auditor.executions,
            faults=dict(sorted((self.counts + self.host.faults).items())),
            mended=dict(sorted(auditor.records.counts.items())),
            lives=self.lives,
            kills=self.kills,
            fingerprint=fingerprint.hexdigest(),
            story=() if auditor.breach is None else self._story.lines(),
        )

    # --- told by the exchange ---------------------------------------------------------------------------------------

    def _frame(self, frame: bytes) -> None:
        self.frames += 1
        self._told.update(self.heap.now.to_bytes(8, "little"))
        self._told.update(frame)

    # --- told by the journal ----------------------------------------------------------------------------------------

    def handed_over(self, number: int) -> None:
        """See `journal.Listener`."""
        self.auditor.records.handed_over = number

    def synced(self, number: int) -> None:
        """See `journal.Listener`; believed where the disk says so too."""
        process = self.process
        if process is not None and self.disk.is_synced(process.run / journal.FOLDER):
            self.auditor.records.synced = number

    # --- the process's surroundings ---------------------------------------------------------------------------------

    def runs(self) -> Sequence[Path]:
        """See `process.Surroundings`."""
        folder = _STATE / "runs"
        return [folder / name for name in self.disk.names(folder)]

    def recalled(self, process: Process, past: Past | None) -> None:
        """See `process.Surroundings`."""
        number = past.engine.state.number if past is not None else 0
        self.note(f"life {process.number} goes on after step {number}" if past is not None else "there is no past")
        self.auditor.records.begin(process.number, number, lost_power=self._lost_power)
        self.host.forget_asked()

    def open_journal(
        self, process: Process, folder: Path, header: Header, carried: tuple[int, bytes] | None
    ) -> BallastedJournal:
        """See `process.Surroundings`."""
        return journal.open_journal(self.disk, folder, header, carried, process.time.timers, self)

    def observer(self, process: Process) -> Observer:
        """See `process.Surroundings`."""
        assert process.bot is not None
        engine = process.bot.engine

        def observe(event: AnyEvent, step: Step) -> None:
            self.steps += 1
            self._steps.update(step)
            self.auditor.observe(engine, event, step)
            if step.facts or step.commands:
                self._story.step(self.heap.now, event, step)
                self._react(process, step)

        return observe

    def broken(self, breach: invariants.Breach) -> None:
        """See `process.Surroundings`; about stops the exchange's books alone are believed.

        The bot cannot know that its machine stood still, nor for a while that somebody has closed a position by hand.
        """
        if breach.number == invariants.STOP:
            self.note(f"the bot misses a stop: {breach.detail}")
            return
        self.auditor.found(breach.number, f"as the bot sees it: {breach.instrument or ''} {breach.detail}")

    def began(self, process: Process) -> None:
        """See `process.Surroundings`."""
        self.note(f"life {process.number} trades")
        if self.is_ending:
            self._pause()

    def ended(self, process: Process, error: BaseException) -> None:
        """See `process.Surroundings`."""
        self.note(f"life {process.number} is over: {type(error).__name__}: {error}")
        self._lost_power = False
        if isinstance(error, Killed):
            self._killed()
            return
        could_not_begin = isinstance(error, VenueError | NotFit) and not process.has_begun
        if could_not_begin or isinstance(error, DiskFull):
            # Whatever the disk could not take is lost with the process: only what was synced is sure.
            self._lost_power = True
            self.heap.later(RESTART_NS, self.begin)
        else:
            self.auditor.found(0, f"the bot failed: {type(error).__name__}: {error}")

    def noted(self, text: str) -> None:
        """See `process.Surroundings`."""
        self.note(text)

    def _react(self, process: Process, step: Step) -> None:
        """What the world does about what the bot decides."""
        for fact in step.facts:
            if type(fact) is TradingStateChanged and fact.state is TradingState.HALTED:
                self.heap.later(RELEASED_AFTER_NS, self.let_go_on)
                self._count_from(process, "halt")
        if any(type(command) is SubmitOrder for command in step.commands):
            self._count_from(process, "order")

    def _count_from(self, process: Process, what: str) -> None:
        """A kill that waits for this counts from now on."""
        kill = self._doom
        if kill is not None and kill.after == what:
            self._count_down(kill, process)

    def _count_down(self, kill: Kill | KillAtDisk, process: Process) -> None:
        """From now on, unless it counts already."""
        if isinstance(kill, KillAtDisk):
            if self.disk.kill_at is None:
                self.disk.kill_at = self.disk.operations + kill.operations
        elif process.time.doomed_in is None:
            process.time.doomed_in = kill.calls

    def let_go_on(self) -> None:
        """Release and resume, again where nobody runs to hear it: a run that stays halted or paused shows nothing."""
        if self.is_ending:
            return
        process = self.process
        bot = process.bot if process is not None and process.is_running else None
        if bot is not None:
            name = f"go on {self.heap.now}"
            if bot.engine.state.halted_for is not None:
                self.ask(ReleaseHalt(ts_event=0, ts_recv=0, actor="operator", request_id=name))
            if bot.engine.state.paused:
                self.ask(ResumeEntries(ts_event=0, ts_recv=0, actor="operator", request_id=f"{name}, entries"))
            if bot.engine.state.halted_for is None and not bot.engine.state.paused:
                return
        self.heap.later(_AGAIN_NS, self.let_go_on)

    def _killed(self) -> None:
        kill, self._doom = self._doom, None
        self.disk.kill_at = None
        assert kill is not None
        self.kills += 1
        name = str(type(kill).__struct_config__.tag)
        self.counts[name if self.auditor.records.is_all_durable else f"{name}, an order waiting"] += 1
        if kill.power:
            self._lost_power = True
            self.disk.lose_power()
        self.heap.later(int(kill.down_s * SECOND), self.begin)
