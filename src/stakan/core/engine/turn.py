"""The working surface of one step: the state, the event's time, and what has happened and been asked for so far."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TypeVar

import msgspec

from stakan.core.detectors._patterns import Patterns
from stakan.core.domain.commands import AnyCommand, CancelOrder, SetTimer, SubmitOrder
from stakan.core.domain.facts import AnyFact, TradingStateChanged
from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId, client_order_id
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import NewOrder, Purpose
from stakan.core.domain.reasons import Reason
from stakan.core.domain.step import Step
from stakan.core.domain.trading import Intent, TradingState
from stakan.core.domain.units import Nanos
from stakan.core.engine.config import EngineConfig
from stakan.core.engine.state import EngineState, Memories, fresh_memory
from stakan.core.features.further import FeatureSet
from stakan.core.plugins import Detector, Strategy

S = TypeVar("S", bound=msgspec.Struct)


class Turn:
    """One engine's turn at an event; reused from step to step, empty between them."""

    __slots__ = (
        "_detectors",
        "_feature_sets",
        "_strategies",
        "commands",
        "config",
        "facts",
        "memories",
        "patterns",
        "state",
    )

    def __init__(self, config: EngineConfig, state: EngineState, memories: Memories) -> None:
        self.config = config
        self.state = state
        self.memories = memories
        self._strategies = {key: _with_memory(config.strategies, own.strategies) for key, own in memories.items()}
        self._detectors = {key: _with_memory(config.detectors, own.detectors) for key, own in memories.items()}
        self._feature_sets = {key: _with_memory(config.feature_sets, own.feature_sets) for key, own in memories.items()}
        self.patterns = Patterns(config.patterns)
        self.facts: list[AnyFact] = []
        self.commands: list[AnyCommand] = []

    @property
    def now(self) -> int:
        """Receive time of the event."""
        return self.state.now

    def end(self) -> Step:
        """The step, and an empty surface for the next one."""
        state = self.state
        if not self.facts and not self.commands:
            return Step(state.number, state.now)  # type: ignore[arg-type]  # Nanos, unwrapped for speed
        step = Step(state.number, state.now, tuple(self.facts), tuple(self.commands))  # type: ignore[arg-type]
        self.facts = []
        self.commands = []
        return step

    def note(self, fact: AnyFact) -> None:
        """Something happened."""
        self.facts.append(fact)

    def note_all(self, facts: Iterable[AnyFact]) -> None:
        """Several things happened, in this order."""
        self.facts.extend(facts)

    def ask(self, command: AnyCommand) -> None:
        """Something should be done."""
        self.commands.append(command)

    # --- what several chapters of the engine need -------------------------------------------------------------------

    def submit(self, order: NewOrder, intent: Intent | None = None, why: str = "") -> None:
        """Book an order as pending and send it; entries name their intent, exits their reason."""
        self.note_all(self.state.portfolio.submit(order, Nanos(self.now), intent, why))
        self.ask(SubmitOrder(order=order))

    def cancel_entries(self, instrument: InstrumentId) -> bool:
        """Cancel live entries of one instrument; stops and exits stay. Says whether there was one to cancel."""
        orders = self.state.portfolio.orders
        found = False
        for order in orders.of(instrument, Purpose.ENTRY):
            if not order.cancel_requested:
                found = True
                orders.ask_cancel(order.id)
                self.ask(CancelOrder(instrument=instrument, client_order_id=order.id))
        return found

    def wake_at(self, key: str, at: int) -> None:
        """Ask for a timer; a later one with the same key replaces it."""
        self.state.timers[key] = at
        self.ask(SetTimer(key=key, at=at))  # type: ignore[arg-type]  # Nanos

    def order_id(self, intent: IntentId, leg: int, attempt: int) -> ClientOrderId:
        """The id of an attempt at a leg of an intent."""
        return client_order_id(self.config.account, self.config.run_epoch, intent, leg, attempt)

    def strategies(self, instrument: InstrumentId) -> Iterable[tuple[str, Strategy, msgspec.Struct]]:
        """Name, spec and memory of every strategy for an instrument."""
        return self._strategies[instrument]

    def detectors(self, instrument: InstrumentId) -> Iterable[tuple[str, Detector, msgspec.Struct]]:
        """Name, spec and memory of every detector for an instrument."""
        return self._detectors[instrument]

    def feature_sets(self, instrument: InstrumentId) -> Sequence[tuple[str, FeatureSet, msgspec.Struct]]:
        """Name, spec and memory of every further feature set for an instrument."""
        return self._feature_sets[instrument]

    def observe_anew(self, rules: Instrument) -> None:
        """Detectors and feature sets begin anew in an instrument: what they knew is in units that no longer exist."""
        fresh = fresh_memory(self.config, rules)
        memory = fresh._replace(strategies=self.memories[rules.id].strategies)
        self.memories[rules.id] = memory
        self._detectors[rules.id] = _with_memory(self.config.detectors, memory.detectors)
        self._feature_sets[rules.id] = _with_memory(self.config.feature_sets, memory.feature_sets)

    def marks(self, of: Iterable[InstrumentId]) -> dict[InstrumentId, Decimal]:
        """Mark price, or mid where none is told, of those instruments that have one now."""
        found = {}
        for key in of:
            value = self.state.instruments[key]
            mark = value.market.mark(self.now, self.config.max_feed_age_ns)
            if mark is not None:
                found[key] = value.last_mark = mark
        return found

    def settle_trading(self, reason: Reason, detail: str) -> None:
        """Work out from halt, pause and what is away what may be done, and say so where it changed."""
        state = self.state
        is_closed = state.paused or state.stopping or state.unread is not None or bool(state.impaired)
        trading = TradingState.REDUCING if is_closed else TradingState.ACTIVE
        if state.halted_for is not None:
            trading = TradingState.HALTED
        if trading is not state.trading:
            state.trading = trading
            self.note(TradingStateChanged(state=trading, reason=reason, detail=detail))


def _with_memory(named: Sequence[tuple[str, S]], memory: list[msgspec.Struct]) -> list[tuple[str, S, msgspec.Struct]]:
    return [(name, spec, own) for (name, spec), own in zip(named, memory, strict=True)]
