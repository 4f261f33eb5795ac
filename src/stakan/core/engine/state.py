"""Everything an engine remembers, as plain data, and its way to bytes and back."""

import hashlib
from decimal import Decimal
from typing import NamedTuple

import msgspec

from stakan.core.detectors._aftermath import Aftermath
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import decode_array, encode_array
from stakan.core.domain.findings import Finding
from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Signal, TradingState
from stakan.core.domain.units import Ticks
from stakan.core.engine.config import EngineConfig
from stakan.core.engine.idempotency import ResultCache
from stakan.core.features.pipeline import FeaturePipeline
from stakan.core.features.stream import MarketStream
from stakan.core.market.picture import MarketPicture
from stakan.core.portfolio.portfolio import Portfolio
from stakan.core.portfolio.reconcile import Difference

SNAPSHOT_VERSION = 9


class Plan(msgspec.Struct):
    """The intent that owns an instrument, and how far it has got."""

    intent: IntentId
    signal: Signal | None
    """None for a position that nobody asked for."""
    entry_order: ClientOrderId
    closing: Reason | None = None
    exits: int = 0
    """Exit orders sent so far; numbers the next one."""
    wanted_stop: Ticks | None = None
    """The stop that was asked for last, so that one wish is one command."""
    is_stop_refused: bool = False
    """Whether the exchange refused the stop that was asked for last: where it lies, or for something else."""


class InstrumentState(MarketStream):
    """One instrument's market, features and plan."""

    findings: list[Finding] = msgspec.field(default_factory=list)
    """The newest of the detectors, oldest first."""
    aftermath: Aftermath = msgspec.field(default_factory=Aftermath)
    """What waits for what price does after it was found."""
    plan: Plan | None = None
    next_decision: int = 0
    """Exchange time."""
    cool_until: int = 0
    """Receive time."""
    ask_snapshot_at: int = 0
    """Receive time before which no snapshot is asked for again."""
    last_mark: Decimal | None = None
    """The newest mark that was known: equity and limits go on with it when the feed is gone."""
    touched: int = 0
    """Receive time at which its position, its protection or the balance by it last changed."""
    new_rules: Instrument | None = None
    """Rules with another grid, waiting until nothing of ours is expressed in the old one."""


class Entered(msgspec.Struct, frozen=True):
    """An intent that the last step approved, and the exchange time of the features that it was approved with."""

    intent: IntentId
    instrument: InstrumentId
    ts_event: int


class Suspect(msgspec.Struct, frozen=True):
    """A difference that one reading of the account has shown."""

    difference: Difference
    since: int
    """Receive time of the first reading that showed it."""


class EngineState(msgspec.Struct):
    """The whole memory of an engine."""

    instruments: dict[InstrumentId, InstrumentState]
    portfolio: Portfolio
    number: int = 0
    now: int = 0
    trading: TradingState = TradingState.ACTIVE
    """What follows from those below."""
    halted_for: Reason | None = None
    paused: bool = False
    stopping: bool = False
    """The run is about to end."""
    unread: str | None = None
    """Why it is not known for certain what the account holds; None while it is."""
    impaired: dict[str, str] = msgspec.field(default_factory=dict)
    """Parts that are away, and why."""
    suspected: dict[str, Suspect] = msgspec.field(default_factory=dict)
    """Differences that the last reading of the account showed, by their subject."""
    agreed_ts: int = 0
    """Receive time of the last reading that agreed with our books."""
    is_mended: bool = False
    """Whether a position was repaired since: then a balance that differs is a result that was never told."""
    halted_day: int = 0
    """Days since 1970 on which it was halted."""
    requests: ResultCache = msgspec.field(default_factory=ResultCache)
    """What operators asked for in the last hour."""
    timers: dict[str, int] = msgspec.field(default_factory=dict)
    """Those asked for and not fired yet: key and receive time."""
    intents: int = 0
    entered: Entered | None = None
    """By the last step; its features are noted by the next one."""
    next_equity_mark: int = 0


class _Version(msgspec.Struct):
    version: int


class _Snapshot(_Version):
    identity: str
    state: EngineState
    memories: dict[InstrumentId, tuple[list[msgspec.Raw], ...]]


class Memory(NamedTuple):
    """What each configured plugin remembers of one instrument, in the order of the configuration."""

    strategies: list[msgspec.Struct]
    detectors: list[msgspec.Struct]
    feature_sets: list[msgspec.Struct]


Memories = dict[InstrumentId, Memory]
"""Kept beside `EngineState` because only the configuration knows their types."""

_ENCODER = msgspec.msgpack.Encoder(enc_hook=encode_array)
_DECODER = msgspec.msgpack.Decoder(_Snapshot, dec_hook=decode_array)


def fresh_state(config: EngineConfig, instruments: list[Instrument]) -> EngineState:
    """The state of an engine that has seen nothing."""
    return EngineState(
        instruments={
            rules.id: InstrumentState(
                rules=rules,
                market=fresh_market(config, rules),
                features=FeaturePipeline.start(rules, config.features),
            )
            for rules in instruments
        },
        portfolio=Portfolio.opened(instruments, config.starting_balance),
    )


def fresh_market(config: EngineConfig, rules: Instrument) -> MarketPicture:
    """The picture of a market that has shown nothing yet."""
    return MarketPicture.start(
        rules,
        config.densities_of(rules.id),
        config.candle_interval_ns,
        follow_densities=config.follows_densities,
    )


def fresh_memories(config: EngineConfig, instruments: list[Instrument]) -> Memories:
    """What plugins remember at the start."""
    return {rules.id: fresh_memory(config, rules) for rules in instruments}


def fresh_memory(config: EngineConfig, rules: Instrument) -> Memory:
    """What plugins remember of one instrument at the start."""
    return Memory(
        [spec.start() for _, spec in config.strategies],
        [spec.start(rules) for _, spec in config.detectors],
        [spec.start(rules) for _, spec in config.feature_sets],
    )


def to_bytes(state: EngineState, memories: Memories, config: EngineConfig) -> bytes:
    """A snapshot: msgpack with a version and the identity of the configuration that it was made with."""
    raw = {key: tuple(_raw(own) for own in memory) for key, memory in memories.items()}
    return _ENCODER.encode(_Snapshot(SNAPSHOT_VERSION, identity(config), state, raw))


def from_bytes(data: bytes, config: EngineConfig, instruments: set[InstrumentId]) -> tuple[EngineState, Memories]:
    """State and memories of a snapshot.

    Raises DataError where version, configuration, instruments or shape are not this engine's.
    """
    try:
        # Before the rest, which may have any shape in another release.
        version = msgspec.msgpack.decode(data, type=_Version).version
        if version != SNAPSHOT_VERSION:
            raise DataError(f"snapshot version {version}, this release reads {SNAPSHOT_VERSION}")
        snapshot = _DECODER.decode(data)
        if snapshot.identity != identity(config):
            raise DataError("the snapshot was made with another configuration: start with the one it was made with")
        if snapshot.state.instruments.keys() != instruments:
            held = ", ".join(sorted(snapshot.state.instruments))
            raise DataError(f"the snapshot holds {held}; this engine trades {', '.join(sorted(instruments))}")
        memories: Memories = {
            key: Memory(*map(_typed, raw, fresh_memory(config, snapshot.state.instruments[key].rules)))
            for key, raw in snapshot.memories.items()
        }
    except msgspec.MsgspecError as error:
        raise DataError(f"the snapshot cannot be read: {error}") from error
    return snapshot.state, memories


def _raw(memory: list[msgspec.Struct]) -> list[msgspec.Raw]:
    return [msgspec.Raw(_ENCODER.encode(one)) for one in memory]


def _typed(raw: list[msgspec.Raw], fresh: list[msgspec.Struct]) -> list[msgspec.Struct]:
    """Memories of the types that the configured plugins begin with."""
    return [
        msgspec.msgpack.decode(one, type=type(kind), dec_hook=decode_array)
        for one, kind in zip(raw, fresh, strict=True)
    ]


def identity(config: EngineConfig) -> str:
    """Names a configuration: 32 hexadecimal digits over its values and the types of its plugins."""
    kinds = [f"{type(spec).__module__}.{type(spec).__qualname__}" for _, spec in config.plugins]
    return hashlib.blake2b(_ENCODER.encode((config, kinds)), digest_size=16).hexdigest()
