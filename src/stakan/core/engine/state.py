"""Everything an engine remembers, as plain data, and its way to bytes and back."""

import msgspec

from stakan.core.domain.errors import DataError
from stakan.core.domain.events import decode_array, encode_array
from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Signal, TradingState
from stakan.core.domain.units import Ticks
from stakan.core.engine.config import EngineConfig
from stakan.core.features.pipeline import FeaturePipeline
from stakan.core.market.picture import MarketPicture
from stakan.core.portfolio.portfolio import Portfolio

SNAPSHOT_VERSION = 1


class Plan(msgspec.Struct):
    """The intent that owns an instrument, and how far it has got."""

    intent: IntentId
    signal: Signal
    entry_order: ClientOrderId
    closing: Reason | None = None
    exits: int = 0
    """Exit orders sent so far; numbers the next one."""
    wanted_stop: Ticks | None = None
    """The stop that was asked for last, so that one wish is one command."""


class InstrumentState(msgspec.Struct):
    """One instrument's market, features, strategies and plan."""

    rules: Instrument
    market: MarketPicture
    features: FeaturePipeline
    strategies: list[msgspec.Struct]
    """One state per configured strategy, in the order of the configuration."""
    plan: Plan | None = None
    next_decision: int = 0
    """Exchange time."""
    cool_until: int = 0
    """Receive time."""
    new_rules: Instrument | None = None
    """Rules with another grid, waiting until nothing of ours is expressed in the old one."""


class EngineState(msgspec.Struct):
    """The whole memory of an engine."""

    instruments: dict[InstrumentId, InstrumentState]
    portfolio: Portfolio
    number: int = 0
    now: int = 0
    trading: TradingState = TradingState.ACTIVE
    halted_for: Reason | None = None
    intents: int = 0
    next_equity_mark: int = 0


class _Snapshot(msgspec.Struct):
    version: int
    strategies: list[str]
    state: msgspec.Raw
    strategy_states: list[list[msgspec.Raw]]


class _Stored(msgspec.Struct):
    """`InstrumentState` without its strategies, whose types only the configuration knows."""

    rules: Instrument
    market: MarketPicture
    features: FeaturePipeline
    plan: Plan | None
    next_decision: int
    cool_until: int
    new_rules: Instrument | None


class _StoredState(msgspec.Struct):
    instruments: dict[InstrumentId, _Stored]
    portfolio: Portfolio
    number: int
    now: int
    trading: TradingState
    halted_for: Reason | None
    intents: int
    next_equity_mark: int


_ENCODER = msgspec.msgpack.Encoder(enc_hook=encode_array)


def fresh_state(config: EngineConfig, instruments: list[Instrument]) -> EngineState:
    """The memory of an engine that has seen nothing."""
    return EngineState(
        instruments={
            rules.id: InstrumentState(
                rules=rules,
                market=MarketPicture.start(rules, config.densities, config.candle_interval_ns),
                features=FeaturePipeline.start(rules),
                strategies=[spec.start() for _, spec in config.strategies],
            )
            for rules in instruments
        },
        portfolio=Portfolio.start(instruments, config.starting_balance),
    )


def to_bytes(state: EngineState, config: EngineConfig) -> bytes:
    """A snapshot of the state: msgpack with a version and the names of the strategies whose states it holds."""
    stored = _StoredState(
        instruments={key: _stored(value) for key, value in state.instruments.items()},
        **{name: getattr(state, name) for name in _StoredState.__struct_fields__ if name != "instruments"},
    )
    strategy_states = [
        [msgspec.Raw(_ENCODER.encode(memory)) for memory in value.strategies] for value in state.instruments.values()
    ]
    names = [name for name, _ in config.strategies]
    return _ENCODER.encode(
        _Snapshot(SNAPSHOT_VERSION, names, msgspec.Raw(_ENCODER.encode(stored)), strategy_states),
    )


def from_bytes(data: bytes, config: EngineConfig) -> EngineState:
    """The state of a snapshot; raises DataError where version, strategies or shape are not what this engine has."""
    try:
        snapshot = msgspec.msgpack.decode(data, type=_Snapshot)
        if snapshot.version != SNAPSHOT_VERSION:
            raise DataError(f"snapshot version {snapshot.version}, this release reads {SNAPSHOT_VERSION}")
        names = [name for name, _ in config.strategies]
        if snapshot.strategies != names:
            raise DataError(f"snapshot holds strategies {snapshot.strategies}, the configuration has {names}")
        stored = msgspec.msgpack.decode(snapshot.state, type=_StoredState, dec_hook=decode_array)
        kinds = [type(spec.start()) for _, spec in config.strategies]
        memories = [
            [
                msgspec.msgpack.decode(raw, type=kind, dec_hook=decode_array)
                for raw, kind in zip(raws, kinds, strict=True)
            ]
            for raws in snapshot.strategy_states
        ]
    except msgspec.MsgspecError as error:
        raise DataError(f"the snapshot cannot be read: {error}") from error
    return EngineState(
        instruments={
            key: InstrumentState(strategies=memory, **_fields(value))
            for (key, value), memory in zip(stored.instruments.items(), memories, strict=True)
        },
        **{name: value for name, value in _fields(stored).items() if name != "instruments"},
    )


def _stored(state: InstrumentState) -> _Stored:
    return _Stored(**{name: getattr(state, name) for name in _Stored.__struct_fields__})


def _fields(value: _Stored | _StoredState) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__struct_fields__}
