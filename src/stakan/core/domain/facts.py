"""What happened inside a step, as values: the journal, projections, logs and the console are made from these."""

from decimal import Decimal

import msgspec

from stakan.core.domain.events import FillOrigin
from stakan.core.domain.findings import Circumstances, Finding, Stage
from stakan.core.domain.ids import ClientOrderId, ExecutionId, InstrumentId, IntentId, PositionId
from stakan.core.domain.orders import OrderStatus, PositionStatus
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import ExitSignal, Intent, Signal, TradingState
from stakan.core.domain.units import Lots, Nanos, Side, Ticks


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Root of all facts."""


# --- market ---------------------------------------------------------------------------------------------------------


class BookGap(Fact, frozen=True, kw_only=True, tag=True):
    """A message is missing: the book is invalid until the next snapshot."""

    instrument: InstrumentId
    expected: int
    """Sequence of the book."""
    got: int
    """`previous_sequence` of the message that does not follow it."""


class BookCrossed(Fact, frozen=True, kw_only=True, tag=True):
    """Best bid at or above best ask after a whole message: the book is invalid until the next snapshot."""

    instrument: InstrumentId
    bid: Ticks
    ask: Ticks


class BookCorrupt(Fact, frozen=True, kw_only=True, tag=True):
    """An impossible level (negative size, price at or below zero)."""

    instrument: InstrumentId
    why: str


class BookRecovered(Fact, frozen=True, kw_only=True, tag=True):
    """A snapshot made an invalid book valid again."""

    instrument: InstrumentId
    sequence: int


class LatePrint(Fact, frozen=True, kw_only=True, tag=True):
    """A trade print came after its candle had closed; it is in the tape and not in the candle."""

    instrument: InstrumentId
    ts_event: Nanos


class CandleClosed(Fact, frozen=True, kw_only=True, tag=True):
    """A candle is final."""

    instrument: InstrumentId
    open_ts: Nanos
    interval_ns: Nanos
    close: Ticks
    volume: Lots


class LevelTested(Fact, frozen=True, kw_only=True, tag=True):
    """Price touched a level of support or resistance and has left it again."""

    instrument: InstrumentId
    side: Side
    """BUY for support, which price came to from above."""
    price: float
    """Ticks, not always whole."""
    held: bool
    """Whether price went back to where it came from; else it broke the level."""
    strength: float
    """After that."""
    touches: int
    holds: int
    breaks: int
    """All that are known of the level, this one included."""
    began_ts: Nanos
    touched_ts: Nanos
    ts_event: Nanos


# --- decision and risk ----------------------------------------------------------------------------------------------


class FindingMade(Fact, frozen=True, kw_only=True, tag=True):
    """A detector found something."""

    finding: Finding
    circumstances: Circumstances | None = None


class FindingSettled(Fact, frozen=True, kw_only=True, tag=True):
    """What price did after a finding; the finding is named by its detector, episode, stage and time."""

    instrument: InstrumentId
    detector: str
    episode: int
    stage: Stage
    ts_event: Nanos
    """Exchange time of the finding."""
    moves_bps: tuple[float | None, ...]
    """Of mid since, after each time of `AFTER_NS`; None where the book could not be used then."""


class SignalProposed(Fact, frozen=True, kw_only=True, tag=True):
    """A strategy has an opinion."""

    signal: Signal


class SignalRefused(Fact, frozen=True, kw_only=True, tag=True):
    """The decision did not make an intent of a signal."""

    instrument: InstrumentId
    strategy: str
    side: Side
    reason: Reason
    detail: str


class IntentApproved(Fact, frozen=True, kw_only=True, tag=True):
    """Risk let an intent pass; `EntryFeatures` in the next step says what it saw."""

    intent: Intent


class EntryFeatures(Fact, frozen=True, kw_only=True, tag=True):
    """The whole feature vector as it was when an intent was approved, one step before: its order did not wait for it."""

    intent: IntentId
    instrument: InstrumentId
    features: dict[str, float]


class IntentRefused(Fact, frozen=True, kw_only=True, tag=True):
    """Risk said no, with the rule and its numbers."""

    intent: Intent
    rule: str
    reason: Reason
    detail: str


class ExitDecided(Fact, frozen=True, kw_only=True, tag=True):
    """A position is to be closed or its stop moved."""

    instrument: InstrumentId
    reason: Reason
    exit: ExitSignal | None = None


class TradingStateChanged(Fact, frozen=True, kw_only=True, tag=True):
    """Active, reducing or halted, and why."""

    state: TradingState
    reason: Reason
    detail: str


# --- orders, positions, money ---------------------------------------------------------------------------------------


class OrderTransitioned(Fact, frozen=True, kw_only=True, tag=True):
    """An order changed its state."""

    client_order_id: ClientOrderId
    instrument: InstrumentId
    before: OrderStatus | None
    """None: it was submitted. The same as `after`: new terms in force, a trigger, or one more partial fill."""
    after: OrderStatus
    cause: str
    filled: Lots
    """Filled so far."""


class OrderUpdateIgnored(Fact, frozen=True, kw_only=True, tag=True):
    """A late, duplicate or impossible message about an order: kept, and without effect on its state."""

    client_order_id: ClientOrderId
    instrument: InstrumentId
    status: OrderStatus | None
    """None: we do not know the order."""
    cause: str


class Discrepancy(Fact, frozen=True, kw_only=True, tag=True):
    """What the exchange says and what we believed differ; the exchange's word was booked."""

    instrument: InstrumentId
    subject: str
    expected: str
    found: str


class Repaired(Fact, frozen=True, kw_only=True, tag=True):
    """What two readings of the account in a row showed was mended."""

    instrument: InstrumentId
    subject: str
    action: str


class BalanceCorrected(Fact, frozen=True, kw_only=True, tag=True):
    """The ledger's balance was set to the exchange's."""

    before: Decimal
    after: Decimal
    is_transfer: bool
    """Money moved in or out; else it counts as result."""


class AccountCompared(Fact, frozen=True, kw_only=True, tag=True):
    """A reading of the account was compared with our books."""

    differences: int
    repaired: int
    is_agreed: bool
    """Whether nothing differs and nothing moved while it was read."""


class PartChanged(Fact, frozen=True, kw_only=True, tag=True):
    """A part that trading relies on went away (`why`) or came back (None)."""

    part: str
    why: str | None


class RequestRepeated(Fact, frozen=True, kw_only=True, tag=True):
    """An operator's request came again with the id of one that was carried out: it was not carried out twice."""

    operation: str
    request_id: str
    first: int
    """Step that carried it out."""


class ProtectionRefused(Fact, frozen=True, kw_only=True, tag=True):
    """The exchange refused a stop or target that we asked for; what stood before still stands."""

    instrument: InstrumentId
    why: str


class FillBooked(Fact, frozen=True, kw_only=True, tag=True):
    """One execution entered position and ledger.

    An execution that closes one position and opens the next makes two of these: size and fee are split between them,
    and (execution, position) is unique.
    """

    execution_id: ExecutionId
    client_order_id: ClientOrderId
    instrument: InstrumentId
    position: PositionId
    """Empty where spot was sold beyond what we hold."""
    side: Side
    price: Ticks
    size: Lots
    fee: Decimal
    realised_pnl: Decimal
    """Of the part that closed something, before fees; settlement currency."""
    is_maker: bool
    origin: FillOrigin
    ts_event: Nanos
    mid_ticks: float
    """Mid of the book as we saw it when the fill arrived; 0 without a book."""


class FundingBooked(Fact, frozen=True, kw_only=True, tag=True):
    """A funding payment entered the ledger; `amount` is what was paid."""

    execution_id: ExecutionId
    instrument: InstrumentId
    amount: Decimal


class PositionTransitioned(Fact, frozen=True, kw_only=True, tag=True):
    """A position changed its state."""

    position: PositionId
    instrument: InstrumentId
    intent: IntentId
    strategy: str
    before: PositionStatus | None
    """None: it came into being."""
    after: PositionStatus
    side: Side
    size: Lots
    cause: str


class PositionClosed(Fact, frozen=True, kw_only=True, tag=True):
    """The whole story of a closed position, for the trade table."""

    position: PositionId
    instrument: InstrumentId
    intent: IntentId
    strategy: str
    side: Side
    size: Lots
    """Largest size it had."""
    entry_price: Decimal
    exit_price: Decimal
    opened_ts: Nanos
    closed_ts: Nanos
    gross_pnl: Decimal
    fees: Decimal
    funding: Decimal
    entry_reasons: tuple[str, ...]
    exit_reason: str


class EquityMarked(Fact, frozen=True, kw_only=True, tag=True):
    """Equity at the end of a sampling interval, positions at mark."""

    balance: Decimal
    unrealised_pnl: Decimal
    exposure: Decimal


AnyFact = (
    BookGap
    | BookCrossed
    | BookCorrupt
    | BookRecovered
    | LatePrint
    | CandleClosed
    | LevelTested
    | FindingMade
    | FindingSettled
    | SignalProposed
    | SignalRefused
    | IntentApproved
    | EntryFeatures
    | IntentRefused
    | ExitDecided
    | TradingStateChanged
    | OrderTransitioned
    | OrderUpdateIgnored
    | Discrepancy
    | Repaired
    | BalanceCorrected
    | AccountCompared
    | PartChanged
    | RequestRepeated
    | ProtectionRefused
    | FillBooked
    | FundingBooked
    | PositionTransitioned
    | PositionClosed
    | EquityMarked
)
