"""The fold: one event in, one step out; state changes here and nowhere else."""

from collections.abc import Callable, Iterable
from typing import Any

from stakan.core.domain.commands import RequestSnapshot, SetTimer
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import (
    AccountRead,
    AccountUnread,
    AnyEvent,
    BestQuote,
    BookDelta,
    BookSnapshot,
    CancelRejected,
    Candle,
    FeedDown,
    Flatten,
    FundingCharged,
    Halt,
    Impaired,
    InstrumentChanged,
    MarketEvent,
    MoveStop,
    OperatorRequest,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderFailed,
    OrderFilled,
    OrderRejected,
    OrderTriggered,
    OutcomeLost,
    PauseEntries,
    ProtectionChanged,
    ProtectionRejected,
    ReleaseHalt,
    Restored,
    ResumeEntries,
    StopTrading,
    Ticker,
    TimerFired,
    TradePrint,
)
from stakan.core.domain.facts import PartChanged, RequestRepeated
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.reasons import Reason
from stakan.core.domain.step import Step
from stakan.core.domain.units import SECOND, Nanos
from stakan.core.engine import account, entries, exits, lifecycle, observers, recovery
from stakan.core.engine.carry import carried
from stakan.core.engine.config import EngineConfig
from stakan.core.engine.state import EngineState, InstrumentState, fresh_memories, fresh_state, from_bytes, to_bytes
from stakan.core.engine.turn import Turn
from stakan.core.features.further import Further
from stakan.core.market.book import BookState
from stakan.core.plugins import View

LIVE = BookState.LIVE
SNAPSHOT_RETRY_NS = Nanos(5 * SECOND)
"""Pause between two requests for the same book."""

_ORDER_EVENTS = (
    OrderAccepted,
    OrderTriggered,
    OrderAmended,
    OrderCancelled,
    OrderRejected,
    OrderFailed,
    OutcomeLost,
    CancelRejected,
    OrderFilled,
    FundingCharged,
    ProtectionChanged,
    ProtectionRejected,
)


class Engine:
    """Trades any number of instruments of one account. Pure: equal events give equal steps."""

    def __init__(self, config: EngineConfig, instruments: Iterable[Instrument]) -> None:
        self.config = config
        # Asked with every message: most engines have none.
        self._has_observers = bool(config.feature_sets or config.detectors)
        rules = list(instruments)
        self._turn = Turn(config, fresh_state(config, rules), fresh_memories(config, rules))
        self._handlers: dict[type, Callable[[Any], None]] = {
            BookDelta: self._on_book,
            BookSnapshot: self._on_book,
            TradePrint: self._on_print,
            BestQuote: self._on_quote,
            Ticker: self._on_ticker,
            Candle: self._on_candle,
            FeedDown: self._on_feed_down,
            InstrumentChanged: self._on_rules,
            TimerFired: self._on_timer,
            PauseEntries: self._once(self._on_pause),
            ResumeEntries: self._once(self._on_resume),
            Flatten: self._once(self._on_flatten),
            Halt: self._once(self._on_halt),
            ReleaseHalt: self._once(self._on_release),
            MoveStop: self._once(self._on_move_stop),
            StopTrading: self._once(self._on_stop),
            AccountUnread: self._on_account_unread,
            AccountRead: self._on_account_read,
            Impaired: self._on_impaired,
            Restored: self._on_restored,
            **dict.fromkeys(_ORDER_EVENTS, self._on_venue),
        }

    @property
    def state(self) -> EngineState:
        """What it remembers; to be read, never changed from outside."""
        return self._turn.state

    def step(self, event: AnyEvent) -> Step:
        """Fold one event.

        Raises DataError where the event is of an instrument that this engine does not trade, or where its receive
        time goes back: both mean that whoever feeds the engine is broken.
        """
        turn = self._turn
        state = turn.state
        ts_recv = event.ts_recv
        if ts_recv < state.now:
            raise DataError(f"receive time goes back from {state.now} to {ts_recv} ({type(event).__name__})")
        state.number += 1
        state.now = ts_recv
        if state.entered is not None:
            entries.record(turn, state.entered)
        self._handlers[type(event)](event)
        return turn.end()

    def snapshot(self) -> bytes:
        """Everything it remembers, as bytes."""
        return to_bytes(self._turn.state, self._turn.memories, self.config)

    def restore(self, data: bytes) -> None:
        """Take over a snapshot; raises DataError where it is not one of this engine's."""
        known = set(self._turn.state.instruments)
        self._turn = Turn(self.config, *from_bytes(data, self.config, known))

    def carry(self, earlier: "Engine") -> None:
        """Go on where another engine ended, which is of no use afterwards; see `carry.carried` and its DataError."""
        rules = [one.rules for one in self._turn.state.instruments.values()]
        ended = earlier._turn  # noqa: SLF001 - the same class
        self._turn = Turn(self.config, *carried(self.config, rules, earlier.config, ended.state, ended.memories))

    @property
    def pending_timers(self) -> tuple[SetTimer, ...]:
        """Timers asked for and not fired yet: to be set again by whoever restores a snapshot."""
        return tuple(SetTimer(key=key, at=Nanos(at)) for key, at in self._turn.state.timers.items())

    def further(self, instrument: InstrumentId) -> Further:
        """The configured feature sets of an instrument as of its newest event: to be read."""
        market = self._turn.state.instruments[instrument].market
        return Further(self._turn.feature_sets(instrument), market, market.ts_event)

    # --- market -----------------------------------------------------------------------------------------------------

    def _on_book(self, event: BookDelta | BookSnapshot) -> None:
        state = self._instrument(event)
        if state.new_rules is not None:
            return
        problem = state.apply_book(event)
        if state.market.tested:
            self._turn.note_all(state.market.tested)
        if problem is not None:
            self._turn.note(problem)
            observers.restart(self._turn, state)
        book = state.market.book
        if book.state is not LIVE:
            self._ask_for_snapshot(state)
        elif self._has_observers and book.is_fresh and book.is_two_sided:
            observers.see_book(self._turn, state, event)
        self._after_market(state, event)

    def _ask_for_snapshot(self, state: InstrumentState) -> None:
        """We are blind: ask for the book, again every so often, and do not let entries rest."""
        self._turn.cancel_entries(state.rules.id)
        if self._turn.now >= state.ask_snapshot_at:
            state.ask_snapshot_at = self._turn.now + SNAPSHOT_RETRY_NS
            self._turn.ask(RequestSnapshot(instrument=state.rules.id))

    def _on_print(self, event: TradePrint) -> None:
        state = self._instrument(event)
        if state.new_rules is not None:
            return
        known = state.market.prints
        facts = state.market.apply_print(event)
        if facts:
            self._turn.note_all(facts)
        if self._has_observers and state.market.prints != known:
            observers.see_print(self._turn, state, event)
        self._after_market(state, event)

    def _on_quote(self, event: BestQuote) -> None:
        state = self._instrument(event)
        state.market.quote = event
        self._after_market(state, event)

    def _on_ticker(self, event: Ticker) -> None:
        state = self._instrument(event)
        state.market.apply_ticker(event)
        self._after_market(state, event)

    def _on_candle(self, event: Candle) -> None:
        state = self._instrument(event)
        self._turn.note_all(state.market.apply_candle(event))
        self._after_market(state, event)

    def _on_feed_down(self, event: FeedDown) -> None:
        state = self._instrument(event)
        state.interrupt()
        observers.restart(self._turn, state)
        self._turn.cancel_entries(event.instrument)

    def _on_rules(self, event: InstrumentChanged) -> None:
        lifecycle.change_rules(self._turn, self._instrument(event), event.rules)

    def _after_market(self, state: InstrumentState, event: MarketEvent) -> None:
        """Time has passed: close candles, decide on the grid or on a trigger, mark equity."""
        market = state.market
        if market.ts_event >= market.next_candle_end:
            self._turn.note_all(market.advance(market.ts_event))
        if market.ts_event >= state.aftermath.next_due:
            self._turn.note_all(state.aftermath.settle(market))
        if market.ts_event >= state.next_decision or market.has_trigger:
            self._decide(state)
        if event.ts_recv >= self._turn.state.next_equity_mark:
            account.mark_equity(self._turn)

    def _decide(self, state: InstrumentState) -> None:
        market = state.market
        interval = self.config.decision_interval_ns
        now = market.ts_event
        if interval:
            state.next_decision = (now // interval + 1) * interval
        triggered = market.take_trigger()
        book = market.book
        if not book.is_usable or self._turn.now - book.ts_recv > self.config.max_feed_age_ns:
            return
        features = state.features.read(market, now)
        further = self.further(state.rules.id)
        view = View(state.rules, market, features, further, state.features.trend, state.findings, now)  # type: ignore[arg-type]  # Nanos
        if state.plan is not None:
            self._tend(state, view)
        if state.plan is None or not triggered:
            entries.consider(self._turn, state, view)

    def _tend(self, state: InstrumentState, view: View) -> None:
        """Look after what is under way: a resting entry whose idea has fallen, a position."""
        fallen = exits.watch_entry(self._turn, state)
        if fallen is not None and state.plan is not None and state.plan.signal is not None:
            entries.refuse(self._turn, state.plan.signal, fallen)
        exits.manage(self._turn, state, view)

    # --- orders and account -----------------------------------------------------------------------------------------

    def _on_venue(self, event: OrderFilled) -> None:
        lifecycle.apply(self._turn, self._instrument(event), event)

    def _on_timer(self, event: TimerFired) -> None:
        lifecycle.timer_fired(self._turn, event.key)

    def _on_account_unread(self, event: AccountUnread) -> None:
        recovery.unread(self._turn, event)

    def _on_account_read(self, event: AccountRead) -> None:
        recovery.compare(self._turn, event)

    # --- our own parts ----------------------------------------------------------------------------------------------

    def _on_impaired(self, event: Impaired) -> None:
        self._turn.state.impaired[event.part] = event.why
        self._turn.note(PartChanged(part=event.part, why=event.why))
        self._turn.settle_trading(Reason.IMPAIRED, f"{event.part}: {event.why}")
        self._cancel_all_entries()

    def _on_restored(self, event: Restored) -> None:
        if self._turn.state.impaired.pop(event.part, None) is not None:
            self._turn.note(PartChanged(part=event.part, why=None))
            self._turn.settle_trading(Reason.IMPAIRED, f"{event.part} is back")

    # --- operator ---------------------------------------------------------------------------------------------------

    def _once(self, carry_out: Callable[[Any], None]) -> Callable[[Any], None]:
        """A request that comes again with the same id has been carried out already."""

        def handle(event: OperatorRequest) -> None:
            state, operation = self._turn.state, type(event).__name__
            first = state.requests.find(operation, event.request_id, state.now)
            if first is None:
                carry_out(event)
                state.requests.keep(operation, event.request_id, state.now, number=state.number)
            else:
                fact = RequestRepeated(operation=operation, request_id=event.request_id, first=first.number)
                self._turn.note(fact)

        return handle

    def _on_pause(self, event: PauseEntries) -> None:
        self._turn.state.paused = True
        self._turn.settle_trading(Reason.OPERATOR, f"paused by {event.actor}")
        self._cancel_all_entries()

    def _on_stop(self, event: StopTrading) -> None:
        self._turn.state.stopping = True
        self._turn.settle_trading(Reason.STOPPING, event.actor)
        self._cancel_all_entries()

    def _cancel_all_entries(self) -> None:
        for key in self._turn.state.instruments:
            self._turn.cancel_entries(key)

    def _on_resume(self, event: ResumeEntries) -> None:
        self._turn.state.paused = False
        self._turn.settle_trading(Reason.OPERATOR, f"resumed by {event.actor}")

    def _on_flatten(self, event: Flatten) -> None:
        exits.flatten(self._turn, Reason.OPERATOR, event.instrument)

    def _on_halt(self, event: Halt) -> None:
        exits.halt(self._turn, Reason.OPERATOR, f"{event.actor}: {event.why}")

    def _on_release(self, event: ReleaseHalt) -> None:
        state = self._turn.state
        if state.halted_for is Reason.DAILY_LOSS:
            # Acknowledged: the limit counts anew from here, else it would halt again at the next mark.
            state.portfolio.ledger.acknowledge_loss()
        state.halted_for = None
        self._turn.settle_trading(Reason.OPERATOR, f"released by {event.actor}")

    def _on_move_stop(self, event: MoveStop) -> None:
        state = self._instrument(event)
        position = self._turn.state.portfolio.position(event.instrument)
        if position is not None and position.size > 0:
            exits.move_stop(self._turn, state, position, event.stop_loss)

    def _instrument(self, event: Any) -> InstrumentState:
        try:
            return self._turn.state.instruments[event.instrument]
        except KeyError:
            raise DataError(f"{type(event).__name__} of {event.instrument}, which this engine does not trade") from None
