"""What the projection remembers between moments: little, plain, and kept in the database beside the rows."""

import zlib
from decimal import Decimal
from typing import Any

import msgspec

from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId, PositionId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.trace import Owners, Traces
from stakan.core.portfolio.money import ZERO

STATE_VERSION = 2
OWNERS_KEPT = 500
"""Orders, and positions, whose intent is known at least (and at most twice as many), for what comes late."""


class OrderRow(msgspec.Struct, kw_only=True):
    """A row of `orders`."""

    client_order_id: ClientOrderId
    run: str
    number: int
    instrument: InstrumentId
    intent: IntentId
    trace_id: str
    venue_order_id: str = ""
    strategy: str
    purpose: str
    side: str
    type: str
    time_in_force: str
    reduce_only: bool
    price_ticks: int | None
    price: Decimal | None
    size_lots: int
    size: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    reason: str
    status: str
    cause: str
    filled_lots: int = 0
    filled: Decimal = ZERO
    outcome_unknown: bool = False
    is_live: bool = True
    submitted_ts: int
    answered_ts: int | None = None
    first_fill_ts: int | None = None
    finished_ts: int | None = None


class PositionRow(msgspec.Struct, kw_only=True):
    """A row of `positions`, without the pictures at entry and exit."""

    run: str
    id: PositionId
    number: int
    instrument: InstrumentId
    intent: IntentId
    trace_id: str
    strategy: str
    side: str
    status: str
    is_live: bool = True
    size_lots: int
    max_size_lots: int
    max_size: Decimal
    entry_price: Decimal | None = None
    exit_price: Decimal | None = None
    realised_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    net_pnl: Decimal = ZERO
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    entry_reason: str
    exit_reason: str | None = None
    created_ts: int
    opened_ts: int | None = None
    closed_ts: int | None = None


class PositionMemory(msgspec.Struct, kw_only=True):
    """A live position: its row, and the sums behind its averages."""

    row: PositionRow
    entered_lots: int = 0
    entry_value: Decimal = ZERO
    exited_lots: int = 0
    exit_value: Decimal = ZERO
    protection_ts: int = -1
    leaving: str = ""
    """Why it is being closed; empty while it is not."""
    wish: Any = None
    """The strategy's ExitSignal, where it was one."""


class Sample(msgspec.Struct, kw_only=True):
    """One instrument's market as last told, and what was printed within the minute."""

    minute: int
    bid: Decimal | None = None
    bid_size: Decimal | None = None
    ask: Decimal | None = None
    ask_size: Decimal | None = None
    mark: Decimal | None = None
    index_price: Decimal | None = None
    last: Decimal | None = None
    funding_rate: Decimal | None = None
    open_interest: Decimal | None = None
    prints: int = 0
    volume: Decimal = ZERO


class AccountMemory(msgspec.Struct, kw_only=True):
    """What the risk row is made of."""

    name: str = ""
    trading: str = "active"
    reason: str = ""
    detail: str = ""
    since_ts: int = 0
    is_paused: bool = False
    """By an operator: that outlives the run."""
    equity: Decimal | None = None
    """At the last mark; None before the first."""
    peak_equity: Decimal = ZERO
    day: int = -1
    day_start_equity: Decimal = ZERO
    marked_minute: int = -1
    """The last minute that has a row in `equity_marks`."""


class ProjectionState(msgspec.Struct, kw_only=True):
    """How far the fold has come, and what it needs to go on."""

    version: int = STATE_VERSION
    run: str = ""
    number: int = 0
    """The last step of the run that is projected."""
    ts: int = 0
    """`ts_recv` of the last moment."""
    is_complete: bool = False
    """Whether the run's orderly end is projected."""
    rules: dict[InstrumentId, Instrument] = msgspec.field(default_factory=dict)
    new_rules: dict[InstrumentId, Instrument] = msgspec.field(default_factory=dict)
    """Rules on another grid: they hold once nothing of ours is expressed in the old one."""
    known_instruments: set[InstrumentId] = msgspec.field(default_factory=set)
    known_accounts: set[str] = msgspec.field(default_factory=set)
    orders: dict[ClientOrderId, OrderRow] = msgspec.field(default_factory=dict)
    """Live ones."""
    positions: dict[PositionId, PositionMemory] = msgspec.field(default_factory=dict)
    """Live ones."""
    traces: Traces = msgspec.field(default_factory=lambda: fresh_traces(""))
    account: AccountMemory = msgspec.field(default_factory=AccountMemory)
    samples: dict[InstrumentId, Sample] = msgspec.field(default_factory=dict)
    entered: tuple[IntentId, tuple[Any, ...]] | None = None
    """The intent approved last, and the key of its row, while its features have not followed."""
    leaned_on: dict[str, int] = msgspec.field(default_factory=dict)
    """Price of the density that a strategy leaned on last, by instrument and strategy."""

    findings: dict[str, str] = msgspec.field(default_factory=dict)
    """Rows of findings that wait for what price does afterwards, by what names them."""

    def position_in(self, instrument: InstrumentId) -> PositionMemory | None:
        """The live position of an instrument."""
        return next((memory for memory in self.positions.values() if memory.row.instrument == instrument), None)

    def order_named(self, client: ClientOrderId, venue: str) -> OrderRow | None:
        """A live order by our name or, where a message does not carry it, by the exchange's."""
        if client:
            return self.orders.get(client)
        return next((row for row in self.orders.values() if venue and row.venue_order_id == venue), None)


def fresh_traces(run: str) -> Traces:
    """Those of a run that begins with nothing."""
    return Traces(run=run, orders=Owners(kept=OWNERS_KEPT), positions=Owners(kept=OWNERS_KEPT))


def to_bytes(state: ProjectionState) -> bytes:
    """The state as it is kept."""
    return zlib.compress(msgspec.msgpack.encode(state), level=1)


def from_bytes(data: bytes) -> ProjectionState | None:
    """The state again; None where another release kept it: the journal has to be folded anew."""
    try:
        state = msgspec.msgpack.decode(zlib.decompress(data), type=ProjectionState)
    except (msgspec.MsgspecError, zlib.error):
        return None
    return state if state.version == STATE_VERSION else None
