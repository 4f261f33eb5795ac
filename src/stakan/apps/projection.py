"""What a running bot shows of itself, and what may be asked of it: the contract between bot and console (ADR 0010).

The bot sends `Hello` and `Backlog` to whoever connects to `SOCKET_FILE` in its state folder, then an `Update` ten times
a second. The other side sends `Ask`; each is answered by an `Answer`. Every message is msgpack behind its length
(4 bytes, little-endian). Prices are ticks, sizes lots, times nanoseconds UTC; `Hello.instruments` converts them.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AnyOperatorRequest
from stakan.core.domain.ids import ClientOrderId, InstrumentId, PositionId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import OrderStatus, OrderType, PositionStatus, Purpose
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import Lots, Nanos, Side, Ticks

SOCKET_FILE = "bot.sock"
UPDATES_PER_SECOND = 10
BOOK_LEVELS = 50
"""Levels per side that are shown."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Root of all that is shown."""


# --- market ---------------------------------------------------------------------------------------------------------


class DensityView(Record, frozen=True, kw_only=True):
    """A large resting order that is followed."""

    side: Side
    price: Ticks
    size: Lots
    since: Nanos


class PrintView(Record, frozen=True, kw_only=True):
    """A public trade."""

    ts: Nanos
    price: Ticks
    size: Lots
    side: Side


class BookView(Record, frozen=True, kw_only=True):
    """One instrument's market at the time of an update."""

    instrument: InstrumentId
    ts: Nanos
    """Receive time of the newest message; 0 before the first."""
    is_usable: bool
    bids: bytes
    """Int64 pairs (price, size), best first, at most BOOK_LEVELS; empty where the book is not usable."""
    asks: bytes
    health: float
    """0 to 1."""
    health_reasons: tuple[str, ...] = ()
    mark: Decimal | None = None
    funding_rate: Decimal | None = None
    densities: tuple[DensityView, ...] = ()
    prints: tuple[PrintView, ...] = ()
    """Since the update before, at most 200."""
    gaps: int = 0
    resyncs: int = 0
    messages: int = 0
    """Market messages so far."""
    latency_ms: float = 0.0
    """Receive minus exchange time of the newest message."""


class CandleView(Record, frozen=True, kw_only=True):
    """One candle; sent again when it changes."""

    instrument: InstrumentId
    open_ts: Nanos
    open: Ticks
    high: Ticks
    low: Ticks
    close: Ticks
    volume: Lots
    is_closed: bool


class FeaturesView(Record, frozen=True, kw_only=True):
    """A whole feature vector of one instrument."""

    instrument: InstrumentId
    ts: Nanos
    """Exchange time."""
    computed_ts: Nanos
    version: str
    values: bytes
    """Little-endian float32 in the order of the feature set."""
    warm: bytes
    """Bits, the first feature first."""


# --- orders, positions, money ---------------------------------------------------------------------------------------


class OrderView(Record, frozen=True, kw_only=True):
    """An order that lives, or that ended a moment ago."""

    client_order_id: ClientOrderId
    instrument: InstrumentId
    strategy: str
    purpose: Purpose
    side: Side
    type: OrderType
    price: Ticks | None
    size: Lots
    filled: Lots
    status: OrderStatus
    ts: Nanos
    """Of its newest change."""
    cause: str = ""


class PositionView(Record, frozen=True, kw_only=True):
    """A position that is not closed."""

    position: PositionId
    instrument: InstrumentId
    strategy: str
    status: PositionStatus
    side: Side
    size: Lots
    entry_price: Decimal
    mark: Decimal | None
    unrealised_pnl: Decimal
    stop_loss: Ticks | None
    take_profit: Ticks | None
    opened_ts: Nanos
    reasons: tuple[str, ...] = ()


class FillView(Record, frozen=True, kw_only=True):
    """One execution of ours."""

    ts: Nanos
    instrument: InstrumentId
    client_order_id: ClientOrderId
    strategy: str
    side: Side
    price: Ticks
    size: Lots
    fee: Decimal
    realised_pnl: Decimal
    is_maker: bool
    origin: str


class TradeView(Record, frozen=True, kw_only=True):
    """A closed position: its whole story."""

    position: PositionId
    instrument: InstrumentId
    strategy: str
    side: Side
    size: Lots
    entry_price: Decimal
    exit_price: Decimal
    opened_ts: Nanos
    closed_ts: Nanos
    gross_pnl: Decimal
    fees: Decimal
    funding: Decimal
    entry_reasons: tuple[str, ...]
    exit_reason: str


class EquityPoint(Record, frozen=True, kw_only=True):
    """Equity at one moment, positions at mark."""

    ts: Nanos
    equity: Decimal
    unrealised_pnl: Decimal
    exposure: Decimal


# --- decisions and state --------------------------------------------------------------------------------------------


class DecisionView(Record, frozen=True, kw_only=True):
    """One line of the decision feed: a finding, a signal and what became of it, an exit, a change of state, a discrepancy."""

    number: int
    """Of the step."""
    ts: Nanos
    kind: str
    """finding, signal, refused, approved, exit, state, order, discrepancy, book."""
    instrument: InstrumentId | None
    strategy: str = ""
    side: Side | None = None
    reason: str = ""
    """Code from the one enumeration, empty where there is none."""
    detail: str = ""


class Latency(Record, frozen=True, kw_only=True):
    """Milliseconds of one stage over the last minutes."""

    stage: str
    """feed, decide (frame to order written), submit (decision to order written), acknowledge, fill."""
    count: int
    p50: float
    p99: float
    worst: float


class StatusView(Record, frozen=True, kw_only=True):
    """How the bot is."""

    ts: Nanos
    trading: TradingState
    halted_for: str = ""
    paused: bool = False
    is_connected: bool = True
    """Whether public feed and, where there is one, private stream are up."""
    problems: tuple[str, ...] = ()
    """For people, newest last: what is wrong now."""
    balance: Decimal = Decimal(0)
    equity: Decimal = Decimal(0)
    exposure: Decimal = Decimal(0)
    steps: int = 0
    events_per_second: float = 0.0
    lag_ms: float = 0.0
    """How late the loop ran at worst since the last update."""
    latencies: tuple[Latency, ...] = ()


# --- messages -------------------------------------------------------------------------------------------------------


class Hello(Record, frozen=True, kw_only=True, tag="hello"):
    """Who the bot is; fixed while it runs."""

    version: str
    mode: str
    """paper, shadow, testnet, live."""
    market: str
    """For people: where the market comes from."""
    is_synthetic: bool
    account: str
    started_ts: Nanos
    instruments: tuple[Instrument, ...]
    strategies: tuple[str, ...]
    candle_interval_ns: Nanos
    run_folder: str = ""


class Backlog(Record, frozen=True, kw_only=True, tag="backlog"):
    """What happened before: bounded, oldest first."""

    candles: tuple[CandleView, ...] = ()
    equity: tuple[EquityPoint, ...] = ()
    decisions: tuple[DecisionView, ...] = ()
    fills: tuple[FillView, ...] = ()
    trades: tuple[TradeView, ...] = ()


class Update(Record, frozen=True, kw_only=True, tag="update"):
    """What is now, and what happened since the update before."""

    ts: Nanos
    status: StatusView
    books: tuple[BookView, ...] = ()
    orders: tuple[OrderView, ...] = ()
    """All that live, and those that ended since the update before."""
    positions: tuple[PositionView, ...] = ()
    """All that are not closed."""
    candles: tuple[CandleView, ...] = ()
    equity: tuple[EquityPoint, ...] = ()
    decisions: tuple[DecisionView, ...] = ()
    fills: tuple[FillView, ...] = ()
    trades: tuple[TradeView, ...] = ()
    features: tuple[FeaturesView, ...] = ()
    """Of instruments that have a newer vector than in the update before."""


class Ask(Record, frozen=True, kw_only=True, tag="ask"):
    """An operator's request; its `request_id` makes it idempotent."""

    request: AnyOperatorRequest


class Answer(Record, frozen=True, kw_only=True, tag="answer"):
    """Whether a request entered the engine."""

    request_id: str
    is_accepted: bool
    why: str = ""


FromBot = Hello | Backlog | Update | Answer


# --- frames ---------------------------------------------------------------------------------------------------------

MAX_FRAME = 32 * 1024 * 1024
"""Bytes; nothing that is shown is as large, so a longer one is damage."""
_HEAD = 4


def framed(payload: bytes) -> bytes:
    """A message as it goes over the socket: its length, then itself."""
    return len(payload).to_bytes(_HEAD, "little") + payload


class Frames:
    """Cuts what a socket delivers into messages."""

    def __init__(self, longest: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._longest = longest

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are complete with these bytes; raises DataError for a length that cannot be."""
        self._buffer += data
        while len(self._buffer) >= _HEAD:
            size = int.from_bytes(self._buffer[:_HEAD], "little")
            if size > self._longest:
                raise DataError(f"a frame of {size} bytes is longer than any message")
            if len(self._buffer) < _HEAD + size:
                return
            payload = bytes(self._buffer[_HEAD : _HEAD + size])
            del self._buffer[: _HEAD + size]
            yield payload
