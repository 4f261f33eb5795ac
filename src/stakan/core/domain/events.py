"""Everything that can enter the engine: one closed family of frozen events.

Every event has the venue's time (`ts_event`) and the time we saw it (`ts_recv`), in nanoseconds UTC. `ts_recv`
orders the inbox and never goes back; `ts_event` rules windows, candles and features.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.ids import ClientOrderId, ExecutionId, InstrumentId, VenueOrderId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Lots, Nanos, Side, Ticks

Levels = npt.NDArray[np.int64]
"""Book levels, shape (n, 2): price in ticks, absolute size in lots (0 deletes)."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Root of all events."""

    ts_event: int
    ts_recv: int


class MarketEvent(Event, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Something public about one instrument."""

    instrument: InstrumentId


# --- market ---------------------------------------------------------------------------------------------------------


class BookEvent(MarketEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Levels of a book: the first `bid_count` rows are bids, the rest asks.

    `sequence` is the venue's id of the state after this message and `previous_sequence` the id it must follow;
    venues' own rules (Bybit `u`, Binance `U/u/pu`) are reduced to this pair by the decoders.
    """

    sequence: int
    previous_sequence: int
    levels: Levels
    bid_count: int


class BookSnapshot(BookEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Replaces the whole book; `previous_sequence` has no meaning."""


class BookDelta(BookEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Replaces the named levels by their new absolute sizes; 0 deletes."""


class TradePrint(MarketEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Somebody's public trade; `side` is the aggressor's."""

    price: Ticks
    size: Lots
    side: Side
    trade_id: int
    """The venue's id as a 64-bit number (see `ids.trade_id_number`)."""
    is_rpi: bool = False
    """Against Retail Price Improvement liquidity, which the visible book does not show."""


class BestQuote(MarketEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Best bid and ask from a faster stream than the book's."""

    sequence: int
    bid_price: Ticks
    bid_size: Lots
    ask_price: Ticks
    ask_size: Lots


class Candle(MarketEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """One bar; prices in ticks, volume in lots. `ts_event` is its end (exclusive), `open_ts` its start."""

    interval_ns: Nanos
    open_ts: Nanos
    open: Ticks
    high: Ticks
    low: Ticks
    close: Ticks
    volume: Lots
    turnover: Decimal
    """Quote currency."""
    trade_count: int = 0
    is_closed: bool = True


class Ticker(MarketEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Mark, index, funding and open interest; None where the message did not carry the field."""

    mark: Decimal | None = None
    index: Decimal | None = None
    last: Decimal | None = None
    funding_rate: Decimal | None = None
    next_funding_ts: Nanos | None = None
    open_interest: Decimal | None = None


class InstrumentChanged(MarketEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """New rules for an instrument while running."""

    rules: Instrument


class FeedDown(MarketEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """The market feed of this instrument is interrupted: its book cannot be trusted until the next snapshot."""

    why: str


# --- our orders, as the exchange tells them ------------------------------------------------------------------------


class FillOrigin(StrEnum):
    """Which order a fill belongs to; all but ORDER and REPAIR are made by the exchange."""

    ORDER = "order"
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    LIQUIDATION = "liquidation"
    ADL = "adl"
    REPAIR = "repair"
    """None: made by reconciliation, where the exchange holds something else than we booked."""


class OrderEvent(Event, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Something about one order of ours."""

    instrument: InstrumentId
    client_order_id: ClientOrderId
    venue_order_id: VenueOrderId = VenueOrderId("")


class OrderAccepted(OrderEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Resting, or untriggered for a conditional order."""


class OrderTriggered(OrderEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """A conditional order has met its trigger."""


class OrderAmended(OrderEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """New price and total size are in force."""

    price: Ticks
    size: Lots


class OrderCancelled(OrderEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Gone with whatever it had filled: by us, by its time in force, by the exchange."""

    why: str = ""


class OrderRejected(OrderEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """The exchange said no."""

    why: str


class OrderFailed(OrderEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Proven never accepted by the exchange."""

    why: str


class OutcomeLost(OrderEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Sent, no answer: in flight until the exchange says otherwise."""


class CancelRejected(OrderEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """A cancel or an amend was refused; the order is what it was."""

    why: str
    is_amendment: bool = False
    """Which of the two; where only one of them waits for its answer, it is that one."""


class OrderFilled(OrderEvent, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """One execution of ours. Booked once by `execution_id`, in whatever state the order is."""

    execution_id: ExecutionId
    side: Side
    price: Ticks
    size: Lots
    fee: Decimal
    """Settlement currency; negative is a rebate."""
    is_maker: bool
    origin: FillOrigin = FillOrigin.ORDER


# --- our account ----------------------------------------------------------------------------------------------------


class FundingCharged(Event, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Funding of an open position: `amount` is what was paid (negative: received), settlement currency."""

    instrument: InstrumentId
    execution_id: ExecutionId
    position: Lots
    rate: Decimal
    mark: Decimal
    amount: Decimal


class ProtectionChanged(Event, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """The exchange's stop and take-profit for the position of an instrument; None where there is none."""

    instrument: InstrumentId
    stop_loss: Ticks | None
    take_profit: Ticks | None
    why: str = ""


class ProtectionRejected(Event, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """A stop or take-profit was refused; what stood before still stands."""

    instrument: InstrumentId
    why: str


class HeldPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A position as the exchange tells it when asked."""

    instrument: InstrumentId
    lots: Lots
    """Signed; never 0."""
    entry: Decimal | None
    """Average price, quote currency."""
    stop_loss: Ticks | None
    take_profit: Ticks | None


class OpenOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is open at the exchange when asked; the legs of a position's protection are not among them."""

    instrument: InstrumentId
    client_order_id: ClientOrderId
    """Empty for one that was placed by hand."""
    venue_order_id: VenueOrderId
    side: Side
    remaining: Lots
    reduce_only: bool


class AccountUnread(Event, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """What the account holds is not known for certain, after a start or a gap: nothing opens until a reading agrees."""

    why: str
    is_start: bool = False
    """A run begins: entries of the one before are cancelled, since what they rested on was not watched."""


class AccountRead(Event, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """All that the account holds, as the exchange told it when asked; `ts_event` is its time of being asked."""

    asked_ts: int
    """Our time at which the reading began: what changed since may or may not be in it."""
    positions: tuple[HeldPosition, ...]
    orders: tuple[OpenOrder, ...]
    balance: Decimal | None
    """Wallet balance of the settlement currency; None where it was not told."""
    is_streaming: bool = True
    """Whether the private stream was there: without it the next fill is not seen in time, however much agrees."""


# --- our own parts --------------------------------------------------------------------------------------------------


class Impaired(Event, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """A part that trading relies on is away: nothing opens until it is restored; stops stay."""

    part: str
    why: str


class Restored(Event, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """A part is there again."""

    part: str


# --- time and the operator ------------------------------------------------------------------------------------------


class TimerFired(Event, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """A timer that the engine asked for; `key` says which."""

    key: str


class OperatorRequest(Event, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Something a person asks for, through API, CLI, console or chat."""

    actor: str
    request_id: str


class PauseEntries(OperatorRequest, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Open nothing new; watch and close what is open."""


class ResumeEntries(OperatorRequest, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """End a pause (not a halt)."""


class Flatten(OperatorRequest, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Cancel entries and close positions; of one instrument, or of all where it is None."""

    instrument: InstrumentId | None = None


class Halt(OperatorRequest, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """Flatten all and open nothing until released."""

    why: str


class StopTrading(OperatorRequest, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """The first half of a graceful stop: cancel entries, open nothing more in this run; positions keep their stops."""


class ReleaseHalt(OperatorRequest, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """An operator's acknowledgement ends a halt."""


class MoveStop(OperatorRequest, frozen=True, kw_only=True, tag=True, eq=False, gc=False):
    """A new stop for an open position."""

    instrument: InstrumentId
    stop_loss: Ticks


AnyMarketEvent = BookSnapshot | BookDelta | TradePrint | BestQuote | Candle | Ticker | InstrumentChanged | FeedDown
AnyOrderEvent = (
    OrderAccepted
    | OrderTriggered
    | OrderAmended
    | OrderCancelled
    | OrderRejected
    | OrderFailed
    | OutcomeLost
    | CancelRejected
    | OrderFilled
)
AnyAccountEvent = FundingCharged | ProtectionChanged | ProtectionRejected
AnyOperatorRequest = PauseEntries | ResumeEntries | Flatten | Halt | ReleaseHalt | MoveStop | StopTrading
AnyPartEvent = Impaired | Restored
VenueEvent = AnyOrderEvent | AnyAccountEvent
VenueNews = VenueEvent | AccountUnread | AccountRead
"""What a real exchange's adapter tells: of orders and positions one by one, and of the account as a whole."""
AnyEvent = AnyMarketEvent | VenueNews | AnyPartEvent | TimerFired | AnyOperatorRequest


def encode_array(value: Any) -> Any:
    """Msgspec `enc_hook`: levels as their bytes, any other numpy array as dtype, shape and bytes."""
    if isinstance(value, np.ndarray):
        if value.dtype is _LEVEL and value.ndim == 2 and value.shape[1] == 2:
            return value.tobytes()
        return [value.dtype.str, list(value.shape), np.ascontiguousarray(value).tobytes()]
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"cannot encode {type(value).__name__}")


def decode_array(wanted: type, value: Any) -> Any:
    """Msgspec `dec_hook`: what `encode_array` wrote, as a writable array; raises ValueError where it is none."""
    if getattr(wanted, "__origin__", None) is not np.ndarray and wanted is not np.ndarray:
        raise NotImplementedError(f"cannot decode {wanted}")
    if isinstance(value, bytes):
        rows, rest = divmod(len(value), 2 * _LEVEL.itemsize)
        if rest:
            raise ValueError(f"{len(value)} bytes are no whole rows of levels")
        # Kernels want writable arrays; this is half the time of a copy of what `frombuffer` gives.
        return np.ndarray((rows, 2), _LEVEL, bytearray(value))
    dtype, shape, data = value
    return np.frombuffer(data, dtype=np.dtype(dtype)).reshape(shape).copy()


_LEVEL = np.dtype("<i8")
