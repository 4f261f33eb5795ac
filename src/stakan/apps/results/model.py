"""What a run leaves behind: one frozen tree that is written as JSON and read by the report.

Money and prices are Decimals (strings in JSON), times nanoseconds UTC, shares fractions of one. A number that would
mean nothing is None, and a note beside it says why.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

SCHEMA_VERSION = 1


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Root of all parts of a result."""


class Sample(StrEnum):
    """Whether parameters were chosen on the same data."""

    IN_SAMPLE = "in_sample"
    OUT_OF_SAMPLE = "out_of_sample"
    UNSTATED = "unstated"


class Labelled(Record, frozen=True, kw_only=True):
    """A name and what is to be said about it (versions, assumptions)."""

    name: str
    value: str


class DataIdentity(Record, frozen=True, kw_only=True):
    """What the run was made on."""

    source: str
    """Path or name as the user gave it."""
    instruments: tuple[str, ...]
    first_ts: int
    last_ts: int
    digest: str = ""
    """Hash of the data where one is known."""
    is_synthetic: bool = False
    receive_times_assumed: bool = False
    mark_is_mid: bool = False
    sample: Sample = Sample.UNSTATED


class RunIdentity(Record, frozen=True, kw_only=True):
    """What was run."""

    id: str
    program: str = "backtest"
    created_at: str = ""
    """ISO 8601, UTC."""
    config_hash: str
    config_text: str
    versions: tuple[Labelled, ...] = ()
    assumptions: tuple[Labelled, ...] = ()
    """Costs and models of the simulated exchange: fees, latency, queue, funding, assumed rules."""


class Speed(Record, frozen=True, kw_only=True):
    """How fast the run was."""

    wall_seconds: float
    events: int

    @property
    def events_per_second(self) -> float:
        """Events folded per second of wall time."""
        return self.events / self.wall_seconds if self.wall_seconds > 0 else 0.0


class TradeRow(Record, frozen=True, kw_only=True):
    """One closed position. `net` = `gross` - `fees` - `funding`."""

    number: int
    position: str
    instrument: str
    strategy: str
    side: str
    """long or short."""
    size: Decimal
    entry_price: Decimal
    exit_price: Decimal
    opened_ts: int
    closed_ts: int
    gross: Decimal
    fees: Decimal
    funding: Decimal
    net: Decimal
    slippage: Decimal
    """Spread and slippage: what its fills paid away from the mid; inside `gross`."""
    strength: float | None
    entry_reasons: tuple[str, ...]
    exit_reason: str
    features: dict[str, float]
    """At entry, as risk saw them."""

    @property
    def duration_ns(self) -> int:
        """How long the position lived."""
        return self.closed_ts - self.opened_ts


class FillRow(Record, frozen=True, kw_only=True):
    """One execution, with the mid around it. Basis points are of the fill's price; positive is good for us in markouts."""

    ts: int
    """When we saw it."""
    ts_event: int
    instrument: str
    position: str
    client_order_id: str
    side: str
    """buy or sell."""
    price: Decimal
    size: Decimal
    notional: Decimal
    fee: Decimal
    is_maker: bool
    origin: str
    mid: Decimal | None
    """None without a valid book."""
    arrival_mid: Decimal | None
    """Mid when its order was sent; None for orders that the exchange made."""
    markouts_bps: tuple[float | None, ...]
    """One per horizon: how far the mid moved in our favour from the fill's price."""


class OrderRow(Record, frozen=True, kw_only=True):
    """One order that was sent, and what became of it."""

    client_order_id: str
    ts: int
    instrument: str
    purpose: str
    side: str
    type: str
    time_in_force: str
    price: Decimal | None
    size: Decimal
    status: str
    filled: Decimal
    cause: str


class SignalRow(Record, frozen=True, kw_only=True):
    """One opinion of a strategy."""

    ts: int
    instrument: str
    strategy: str
    side: str
    strength: float
    entry: Decimal
    stop_loss: Decimal
    reasons: tuple[str, ...]


class FindingRow(Record, frozen=True, kw_only=True):
    """What a detector found at one moment."""

    ts: int
    """When we saw it."""
    ts_event: int
    began_ts: int
    instrument: str
    detector: str
    pattern: str
    stage: str
    episode: int
    side: str
    """Of the book: buy or sell; empty where it is of neither."""
    low: Decimal | None
    high: Decimal | None
    size: Decimal
    count: int
    confidence: float
    evidence: dict[str, float]


class Watch(Record, frozen=True, kw_only=True):
    """What detectors found in all, and what that did to signals; each a count."""

    findings: int = 0
    findings_kept: int = 0
    signals_weakened: int = 0
    signals_vetoed: int = 0


class EquityCurve(Record, frozen=True, kw_only=True):
    """Parallel columns, thinned for drawing; `drawdown` keeps the worst of each interval, as a fraction below zero."""

    ts: tuple[int, ...]
    equity: tuple[float, ...]
    exposure: tuple[float, ...]
    drawdown: tuple[float, ...]


class PriceSeries(Record, frozen=True, kw_only=True):
    """Mid of one instrument in quote currency, thinned for drawing."""

    instrument: str
    interval_ns: int
    ts: tuple[int, ...]
    mid: tuple[float, ...]


class Refusal(Record, frozen=True, kw_only=True):
    """How often something was not done, by who said no and why."""

    stage: str
    """decision, or the risk rule."""
    reason: str
    count: int
    example: str


class Health(Record, frozen=True, kw_only=True):
    """What the market data of one instrument did to us."""

    instrument: str
    gaps: int
    crossings: int
    corrupt: int
    recoveries: int
    late_prints: int
    feed_downs: int


class StateRow(Record, frozen=True, kw_only=True):
    """A change of the trading state."""

    ts: int
    state: str
    reason: str
    detail: str


class Funnel(Record, frozen=True, kw_only=True):
    """From opinion to closed position; each a count."""

    signals: int
    signals_kept: int
    signals_refused: int
    intents_approved: int
    intents_refused: int
    orders: int
    orders_rejected: int
    fills: int
    positions_closed: int
    positions_open: int
    discrepancies: int
    updates_ignored: int


class Measure(Record, frozen=True, kw_only=True):
    """A statistic with its interval; `value` is None where it would mean nothing, and `note` says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


class Drawdown(Record, frozen=True, kw_only=True):
    """Deepest fall of equity from its peak, over every mark (not only the drawn ones)."""

    fraction: float
    amount: Decimal
    longest_ns: int
    """Longest time below a peak, up to the end of the run."""


class Luck(Record, frozen=True, kw_only=True):
    """How likely the mean trade is chance."""

    method: str
    mean: float | None
    low: float | None
    high: float | None
    """95 % interval of the mean net trade."""
    probability_no_edge: float | None
    """Share of resamples with a mean at or below zero."""
    probabilistic_sharpe: float | None
    """Probability that the true Sharpe ratio per trade is above zero."""
    note: str = ""


class Costs(Record, frozen=True, kw_only=True):
    """`at_mid` - `slippage` - `fees` - `funding` = `net`, over all fills, marks of open positions included in `at_mid`."""

    at_mid: Decimal
    slippage: Decimal
    fees: Decimal
    funding: Decimal
    net: Decimal
    fills_without_mid: int


class GroupRow(Record, frozen=True, kw_only=True):
    """Trades of one strategy, instrument, side, hour or exit reason."""

    name: str
    trades: int
    net: Decimal
    fees: Decimal
    mean: float
    win_rate: Measure
    profit_factor: float | None
    median_duration_ns: int


class Breakdown(Record, frozen=True, kw_only=True):
    """One way of splitting the trades."""

    by: str
    groups: tuple[GroupRow, ...]


class FillGroup(Record, frozen=True, kw_only=True):
    """Quality of makers, takers, or all; averages weighted by notional, in basis points."""

    name: str
    fills: int
    notional: Decimal
    fee_bps: float | None
    spread_bps: float | None
    """Paid away from the mid at the fill; negative: earned."""
    shortfall_bps: float | None
    """Paid away from the mid when the order was sent."""
    markouts_bps: tuple[float | None, ...]
    """Mean move of the mid in our favour from the fill's price, per horizon."""


class FillQuality(Record, frozen=True, kw_only=True):
    """How well orders were filled."""

    horizons_ns: tuple[int, ...]
    maker_share: float | None
    """Of notional."""
    groups: tuple[FillGroup, ...]


class Statistics(Record, frozen=True, kw_only=True):
    """The numbers of the headline; sources are in `statistics.py`."""

    initial_equity: Decimal
    final_equity: Decimal
    net: Decimal
    total_return: float | None
    drawdown: Drawdown
    sharpe: Measure
    sortino: Measure
    profit_factor: Measure
    win_rate: Measure
    expectancy: float | None
    """Mean net of a closed position."""
    average_win: float | None
    average_loss: float | None
    exposure_time: float | None
    """Share of the run with a position open."""
    turnover: Decimal
    """Notional of all fills."""
    luck: Luck
    costs: Costs


class RunResult(Record, frozen=True, kw_only=True):
    """Everything about one run."""

    schema: int = SCHEMA_VERSION
    run: RunIdentity
    data: DataIdentity
    fingerprint: str
    speed: Speed
    currency: str
    statistics: Statistics
    breakdowns: tuple[Breakdown, ...]
    fill_quality: FillQuality
    funnel: Funnel
    refusals: tuple[Refusal, ...]
    health: tuple[Health, ...]
    states: tuple[StateRow, ...]
    equity: EquityCurve
    prices: tuple[PriceSeries, ...]
    trades: tuple[TradeRow, ...]
    fills: tuple[FillRow, ...]
    orders: tuple[OrderRow, ...]
    signals: tuple[SignalRow, ...]
    watch: Watch = Watch()
    findings: tuple[FindingRow, ...] = ()
