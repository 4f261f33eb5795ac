"""What outlives a run: the state of an engine that has ended, as the beginning of the next one (ADR 0013)."""

from collections.abc import Sequence

import msgspec

from stakan.core.domain.errors import DataError
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.trading import TradingState
from stakan.core.engine.config import EngineConfig
from stakan.core.engine.lifecycle import OF_MISSING_STOPS
from stakan.core.engine.state import (
    EngineState,
    InstrumentState,
    Memories,
    Memory,
    Plan,
    fresh_memories,
    fresh_state,
)
from stakan.core.portfolio.portfolio import Portfolio
from stakan.core.portfolio.position import Position

Named = Sequence[tuple[str, msgspec.Struct]]


def carried(
    config: EngineConfig, instruments: list[Instrument], earlier: EngineConfig, state: EngineState, memories: Memories
) -> tuple[EngineState, Memories]:
    """State and memories of an engine that goes on where another one ended; takes `state` and `memories` apart.

    Orders, positions, money, halts, pauses, cool-downs, plans, timers (see `_goes_on`) and counters are carried as they
    are; what is seen of a market, and what strategies remember of it, where the configuration sees it in the same way.
    Books are not trusted until their next snapshot. Raises DataError where something of ours is in an instrument that is
    not among `instruments`, or in one whose grid is another one now.
    """
    rules = {one.id: one for one in instruments}
    _check(state.portfolio, rules)
    begun, remembered = fresh_state(config, instruments), fresh_memories(config, instruments)
    for key, new in begun.instruments.items():
        old = state.instruments.get(key)
        if old is None:
            continue
        new.plan, new.cool_until, new.touched = old.plan, old.cool_until, old.touched
        new.last_mark = old.last_mark
        _forget_wish(new.plan, state.portfolio.position(key))
        if _is_seen_alike(config, earlier, old, new):
            _take_market(new, old)
            remembered[key] = _remembered(config, earlier, remembered[key], memories[key])
    portfolio = state.portfolio
    for order in portfolio.orders.live.values():
        # Whether it reached the exchange is not known, and nobody is left who would tell that it did not.
        order.cancel_requested = False
    portfolio.instruments = {}
    for one in instruments:
        portfolio.set_rules(one)
    begun.portfolio = portfolio
    begun.number, begun.now, begun.intents = state.number, state.now, state.intents
    begun.halted_for, begun.halted_day, begun.paused = state.halted_for, state.halted_day, state.paused
    begun.trading = _trading(begun)
    begun.requests, begun.agreed_ts, begun.is_mended = state.requests, state.agreed_ts, state.is_mended
    begun.timers = {key: at for key, at in state.timers.items() if _goes_on(key, rules)}
    begun.next_equity_mark = state.next_equity_mark
    return begun, remembered


def _check(portfolio: Portfolio, rules: dict[InstrumentId, Instrument]) -> None:
    for key in portfolio.busy_instruments():
        old, new = portfolio.instruments[key], rules.get(key)
        if new is None:
            raise DataError(f"{key} holds a position or an order of the run before: trade it until it is closed")
        if (new.tick_size, new.lot_size) != (old.tick_size, old.lot_size):
            raise DataError(
                f"{key} holds a position or an order in ticks of {old.tick_size} and lots of {old.lot_size}, which are "
                f"{new.tick_size} and {new.lot_size} now: carry on with the old rules and let the engine be told"
            )


def _goes_on(timer: str, rules: dict[InstrumentId, Instrument]) -> bool:
    """Timers of the run before go on once books and account agree, which may take long.

    Those that look after a missing stop must not wait for that: they are set anew as soon as it is told that there is
    none, which one that is set already would prevent.
    """
    purpose, instrument, _ = timer.split(" ")
    return InstrumentId(instrument) in rules and purpose not in OF_MISSING_STOPS


def _forget_wish(plan: Plan | None, position: Position | None) -> None:
    """A stop that was asked for and is not in force may never have arrived: it may be wished for again."""
    if plan is not None and position is not None and plan.wanted_stop != position.stop_loss:
        plan.wanted_stop = None


def _is_seen_alike(config: EngineConfig, earlier: EngineConfig, old: InstrumentState, new: InstrumentState) -> bool:
    key = new.rules.id
    return (
        old.new_rules is None
        and (old.rules.tick_size, old.rules.lot_size) == (new.rules.tick_size, new.rules.lot_size)
        and config.candle_interval_ns == earlier.candle_interval_ns
        and config.densities_of(key) == earlier.densities_of(key)
        and config.follows_densities == earlier.follows_densities
        and config.features == earlier.features
    )


def _take_market(new: InstrumentState, old: InstrumentState) -> None:
    new.market, new.features, new.next_decision = old.market, old.features, old.next_decision
    new.findings, new.aftermath = old.findings, old.aftermath
    new.interrupt()


def _remembered(config: EngineConfig, earlier: EngineConfig, new: Memory, old: Memory) -> Memory:
    """What a plugin remembers is its own as long as its name and its parameters are the same."""
    memory = Memory(
        _kept(config.strategies, new.strategies, earlier.strategies, old.strategies),
        _kept(config.detectors, new.detectors, earlier.detectors, old.detectors),
        _kept(config.feature_sets, new.feature_sets, earlier.feature_sets, old.feature_sets),
    )
    for (_, further), own in zip(config.feature_sets, memory.feature_sets, strict=True):
        further.restart(own)
    for (_, spec), own in zip(config.detectors, memory.detectors, strict=True):
        spec.restart(own)
    return memory


def _kept(
    named: Named, new: list[msgspec.Struct], named_earlier: Named, old: list[msgspec.Struct]
) -> list[msgspec.Struct]:
    known = {(name, type(spec), spec): own for (name, spec), own in zip(named_earlier, old, strict=True)}
    return [known.get((name, type(spec), spec), fresh) for (name, spec), fresh in zip(named, new, strict=True)]


def _trading(state: EngineState) -> TradingState:
    if state.halted_for is not None:
        return TradingState.HALTED
    return TradingState.REDUCING if state.paused else TradingState.ACTIVE
