"""The record schema of the journal: what is written so that every step can be computed again and compared."""

import msgspec

from stakan.core.domain.events import (
    AnyEvent,
    BestQuote,
    BookDelta,
    BookSnapshot,
    Candle,
    Ticker,
    TradePrint,
    decode_array,
    encode_array,
)
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.step import Step

JOURNAL_VERSION = 2

AnyMarketData = BookSnapshot | BookDelta | TradePrint | BestQuote | Candle | Ticker
"""What is kept for a while only. Changes of rules and interruptions of a feed are few, and tell how to read fills."""
MARKET_DATA = (BookSnapshot, BookDelta, TradePrint, BestQuote, Candle, Ticker)


class Header(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag=1):
    """First record of every segment: what the engine was made from."""

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
    venue_account: str = ""
    """Environment and number of the account at the exchange; empty where there is none."""
    carried_from: str = ""
    """Name of the run whose state it began with; empty where it began with nothing."""
    first_number: int = 1
    """Of its first step: numbers go on where the earlier run's ended."""


class Market(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Market data with its place in the total order; kept for a shorter time."""

    number: int
    event: AnyMarketData


class Inbox(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Any other event, with its place in the total order."""

    number: int
    event: AnyEvent


class Outcome(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """A step that had facts or commands; the others are known to have had none."""

    step: Step


class End(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The run ended in an orderly way after `number` steps."""

    number: int


Record = Header | Market | Inbox | Outcome | End

ENCODER = msgspec.msgpack.Encoder(enc_hook=encode_array)
DECODER = msgspec.msgpack.Decoder(list[Record], dec_hook=decode_array)
"""Of all records of a block at once."""
ONE = msgspec.msgpack.Decoder(Record, dec_hook=decode_array)
RAW = msgspec.msgpack.Decoder(list[msgspec.Raw])
MARKET_TAG = 2
"""Second byte of a `Market` record, and of no other: what follows the length of its array."""


def number_of(record: Record) -> int:
    """The step that a record belongs to; of a header, the one before the first."""
    match record:
        case Header():
            return record.first_number - 1
        case Outcome():
            return record.step.number
        case _:
            return record.number
