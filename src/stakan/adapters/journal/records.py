"""The record schema of the journal: what is written so that every step can be computed again and compared."""

import msgspec

from stakan.core.domain.events import AnyEvent, AnyMarketEvent, decode_array, encode_array
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.step import Step

JOURNAL_VERSION = 1


class Header(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """First record of every journal: what the engine was made from."""

    version: int = JOURNAL_VERSION
    stakan: str
    """Version of the program."""
    account: str
    run_epoch: str
    config_hash: str
    config: str
    """The whole configuration as TOML text, without secrets."""
    instruments: tuple[Instrument, ...]
    feature_set: str
    mode: str = "backtest"
    """backtest, paper, shadow, testnet, live."""
    is_synthetic: bool = False
    """Whether its market was generated."""


class Inbox(msgspec.Struct, frozen=True, tag=True):
    """An event that is not market data, with its place in the total order."""

    number: int
    event: AnyEvent


class Market(msgspec.Struct, frozen=True, tag=True):
    """A market event with its place in the total order; kept apart and for a shorter time."""

    number: int
    event: AnyMarketEvent


class Outcome(msgspec.Struct, frozen=True, tag=True):
    """A step that had facts or commands; the others are known to have had none."""

    step: Step


class StateSnapshot(msgspec.Struct, frozen=True, tag=True):
    """The engine's state after step `number`: bounds the replay."""

    number: int
    state: bytes
    """Compressed (zstd)."""
    size: int
    """Bytes of the state itself."""


class End(msgspec.Struct, frozen=True, tag=True):
    """The run ended in an orderly way after `number` steps."""

    number: int


Record = Header | Inbox | Market | Outcome | StateSnapshot | End

ENCODER = msgspec.msgpack.Encoder(enc_hook=encode_array)
DECODER = msgspec.msgpack.Decoder(Record, dec_hook=decode_array)
