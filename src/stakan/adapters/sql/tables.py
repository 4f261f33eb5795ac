"""The tables. What a journal says is projected into most of them; an operator owns three, and the audit log is for ever.

Times are nanoseconds since 1970 UTC. `run, number, ordinal` is the place of a row in the journal: the run, the step in
it, and which of the step's rows it is.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from stakan.adapters.sql.columns import Json, Money, one_of
from stakan.core.domain.events import FillOrigin
from stakan.core.domain.findings import Label, Pattern, Stage
from stakan.core.domain.orders import OrderStatus, OrderType, PositionStatus, Purpose, TimeInForce
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import DAY

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

SIDES = ("buy", "sell")
VERDICTS = ("proposed", "passed_over", "refused", "approved", "exit")
"""A strategy's opinion; the decision's no; risk's no; risk's yes; the wish to get out or to move a stop."""


def _place() -> list[Column[Any]]:
    """Where in the journal a row comes from."""
    return [
        Column("run", String, nullable=False),
        Column("number", BigInteger, nullable=False),
        Column("ordinal", Integer, nullable=False),
        Column("ts", BigInteger, nullable=False),
    ]


_IN_ORDER = ("run", "number", "ordinal")


def _trace() -> Column[str]:
    return Column("trace_id", String, nullable=False, index=True)


def _series(name: str, *columns: Column[Any], key: tuple[str, ...] = ("ts", *_IN_ORDER), **checks: Any) -> Table:
    """A table that grows with time: partitioned by month on PostgreSQL, so its time is part of its key."""
    parts: list[Any] = [*columns, PrimaryKeyConstraint(*key), *checks.values()]
    return Table(name, metadata, *_place(), *parts, postgresql_partition_by="RANGE (ts)")


# --- what there was ---------------------------------------------------------------------------------------------------

runs = Table(
    "runs",
    metadata,
    Column("name", String, primary_key=True),
    Column("mode", String, nullable=False),
    Column("account", String, nullable=False),
    Column("run_epoch", String, nullable=False),
    Column("stakan", String, nullable=False),
    Column("config_hash", String, nullable=False),
    Column("config", Text, nullable=False),
    Column("feature_set", String, nullable=False),
    Column("is_synthetic", Boolean, nullable=False),
    Column("carries_on", Boolean, nullable=False),
    Column("first_number", BigInteger),
    Column("first_ts", BigInteger),
    Column("last_number", BigInteger),
    Column("is_complete", Boolean, nullable=False),
)

instruments = Table(
    "instruments",
    metadata,
    Column("id", String, primary_key=True),
    Column("category", String, nullable=False),
    Column("base", String, nullable=False),
    Column("quote", String, nullable=False),
    Column("settle", String, nullable=False),
    Column("tick_size", Money, nullable=False),
    Column("lot_size", Money, nullable=False),
    Column("rules", Json, nullable=False),
)

orders = Table(
    "orders",
    metadata,
    Column("client_order_id", String, primary_key=True),
    Column("run", ForeignKey(runs.c.name), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("instrument", ForeignKey(instruments.c.id), nullable=False),
    Column("intent", String, nullable=False),
    _trace(),
    Column("venue_order_id", String, nullable=False),
    Column("strategy", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("side", String, nullable=False),
    Column("type", String, nullable=False),
    Column("time_in_force", String, nullable=False),
    Column("reduce_only", Boolean, nullable=False),
    Column("price_ticks", BigInteger),
    Column("price", Money),
    Column("size_lots", BigInteger, nullable=False),
    Column("size", Money, nullable=False),
    Column("stop_loss", Money),
    Column("take_profit", Money),
    Column("reason", Text, nullable=False),
    Column("status", String, nullable=False),
    Column("cause", Text, nullable=False),
    Column("filled_lots", BigInteger, nullable=False),
    Column("filled", Money, nullable=False),
    Column("outcome_unknown", Boolean, nullable=False),
    Column("is_live", Boolean, nullable=False),
    Column("submitted_ts", BigInteger, nullable=False, index=True),
    Column("answered_ts", BigInteger),
    Column("first_fill_ts", BigInteger),
    Column("finished_ts", BigInteger),
    one_of("purpose", Purpose),
    one_of("side", SIDES),
    one_of("type", OrderType),
    one_of("time_in_force", TimeInForce),
    one_of("status", OrderStatus),
    Index("ix_orders_live", "submitted_ts", sqlite_where=text("is_live"), postgresql_where=text("is_live")),
    Index("ix_orders_venue_order_id", "venue_order_id"),
)

order_transitions = Table(
    "order_transitions",
    metadata,
    *_place(),
    _trace(),
    Column("client_order_id", ForeignKey(orders.c.client_order_id), nullable=False, index=True),
    Column("before_status", String),
    Column("after_status", String, nullable=False),
    Column("cause", Text, nullable=False),
    Column("filled_lots", BigInteger, nullable=False),
    PrimaryKeyConstraint(*_IN_ORDER),
    one_of("before_status", OrderStatus),
    one_of("after_status", OrderStatus),
)

positions = Table(
    "positions",
    metadata,
    Column("run", ForeignKey(runs.c.name), nullable=False),
    Column("id", String, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("instrument", ForeignKey(instruments.c.id), nullable=False),
    Column("intent", String, nullable=False),
    _trace(),
    Column("strategy", String, nullable=False),
    Column("side", String, nullable=False),
    Column("status", String, nullable=False),
    Column("is_live", Boolean, nullable=False),
    Column("size_lots", BigInteger, nullable=False),
    Column("max_size_lots", BigInteger, nullable=False),
    Column("max_size", Money, nullable=False),
    Column("entry_price", Money),
    Column("exit_price", Money),
    Column("realised_pnl", Money, nullable=False),
    Column("fees", Money, nullable=False),
    Column("funding", Money, nullable=False),
    Column("net_pnl", Money, nullable=False),
    Column("stop_loss", Money),
    Column("take_profit", Money),
    Column("entry_reason", Text, nullable=False),
    Column("exit_reason", Text),
    Column("created_ts", BigInteger, nullable=False),
    Column("opened_ts", BigInteger),
    Column("closed_ts", BigInteger, index=True),
    Column("at_entry", Json),
    Column("at_exit", Json),
    PrimaryKeyConstraint("run", "id"),
    one_of("side", SIDES),
    one_of("status", PositionStatus),
    Index("ix_positions_live", "instrument", sqlite_where=text("is_live"), postgresql_where=text("is_live")),
    Index("ix_positions_exit_reason", "exit_reason"),
    Index("ix_positions_strategy", "strategy", "closed_ts"),
)

_OF_POSITION = ("position_run", "position")

position_transitions = Table(
    "position_transitions",
    metadata,
    *_place(),
    _trace(),
    Column("position_run", String, nullable=False),
    Column("position", String, nullable=False),
    Column("before_status", String),
    Column("after_status", String, nullable=False),
    Column("side", String, nullable=False),
    Column("size_lots", BigInteger, nullable=False),
    Column("cause", Text, nullable=False),
    PrimaryKeyConstraint(*_IN_ORDER),
    ForeignKeyConstraint(_OF_POSITION, ("positions.run", "positions.id")),
    one_of("before_status", PositionStatus),
    one_of("after_status", PositionStatus),
    one_of("side", SIDES),
    Index("ix_position_transitions_position", *_OF_POSITION),
)

fills = Table(
    "fills",
    metadata,
    *_place(),
    _trace(),
    Column("execution_id", String, nullable=False),
    Column("instrument", ForeignKey(instruments.c.id), nullable=False),
    Column("client_order_id", String, index=True),
    Column("position_run", String),
    Column("position", String, nullable=False),
    Column("side", String, nullable=False),
    Column("price_ticks", BigInteger, nullable=False),
    Column("price", Money, nullable=False),
    Column("size_lots", BigInteger, nullable=False),
    Column("size", Money, nullable=False),
    Column("notional", Money, nullable=False),
    Column("fee", Money, nullable=False),
    Column("realised_pnl", Money, nullable=False),
    Column("is_maker", Boolean, nullable=False),
    Column("origin", String, nullable=False),
    Column("ts_event", BigInteger, nullable=False),
    Column("mid_ticks", Float, nullable=False),
    PrimaryKeyConstraint(*_IN_ORDER),
    ForeignKeyConstraint(_OF_POSITION, ("positions.run", "positions.id")),
    one_of("side", SIDES),
    one_of("origin", FillOrigin),
    Index("ix_fills_ts", "ts"),
    Index("ix_fills_execution_id", "instrument", "execution_id"),
    Index("ix_fills_position", *_OF_POSITION),
)

funding_payments = Table(
    "funding_payments",
    metadata,
    *_place(),
    _trace(),
    Column("execution_id", String, nullable=False),
    Column("instrument", ForeignKey(instruments.c.id), nullable=False),
    Column("position_run", String),
    Column("position", String),
    Column("amount", Money, nullable=False),
    Column("rate", Money),
    Column("mark", Money),
    Column("position_lots", BigInteger),
    PrimaryKeyConstraint(*_IN_ORDER),
    ForeignKeyConstraint(_OF_POSITION, ("positions.run", "positions.id")),
    Index("ix_funding_payments_ts", "ts"),
)

operator_requests = Table(
    "operator_requests",
    metadata,
    *_place(),
    Column("request_id", String, nullable=False, index=True),
    Column("actor", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("request", Json, nullable=False),
    Column("outcome", Json, nullable=False),
    PrimaryKeyConstraint(*_IN_ORDER),
    Index("ix_operator_requests_ts", "ts"),
)

system_events = Table(
    "system_events",
    metadata,
    *_place(),
    _trace(),
    Column("kind", String, nullable=False),
    Column("instrument", String),
    Column("detail", Json, nullable=False),
    PrimaryKeyConstraint(*_IN_ORDER),
    Index("ix_system_events_ts", "ts"),
    Index("ix_system_events_kind", "kind", "ts"),
)

risk_state = Table(
    "risk_state",
    metadata,
    Column("account", String, primary_key=True),
    Column("run", String, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("trading", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("trading_since_ts", BigInteger, nullable=False),
    Column("balance", Money, nullable=False),
    Column("equity", Money, nullable=False),
    Column("exposure", Money, nullable=False),
    Column("peak_equity", Money, nullable=False),
    Column("day", Integer, nullable=False),
    Column("day_start_equity", Money, nullable=False),
    one_of("trading", TradingState),
)
"""As of the last equity mark; the journal, not this table, is what a bot restores it from."""

# --- series -----------------------------------------------------------------------------------------------------------

decisions = _series(
    "decisions",
    _trace(),
    Column("instrument", String, nullable=False),
    Column("strategy", String, nullable=False),
    Column("verdict", String, nullable=False),
    Column("side", String),
    Column("intent", String),
    Column("strength", Float),
    Column("size_lots", BigInteger),
    Column("rule", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("signal", Json),
    Column("features", Json),
    side=one_of("side", SIDES),
    verdict=one_of("verdict", VERDICTS),
)
equity_marks = _series(
    "equity_marks",
    Column("balance", Money, nullable=False),
    Column("unrealised_pnl", Money, nullable=False),
    Column("equity", Money, nullable=False),
    Column("exposure", Money, nullable=False),
)
market_stats = _series(
    "market_stats",
    Column("instrument", String, nullable=False),
    Column("open_ts", BigInteger, nullable=False),
    Column("interval_ns", BigInteger, nullable=False),
    Column("close", Money, nullable=False),
    Column("volume", Money, nullable=False),
)
market_snapshots = _series(
    "market_snapshots",
    Column("instrument", String, nullable=False),
    Column("bid", Money),
    Column("bid_size", Money),
    Column("ask", Money),
    Column("ask_size", Money),
    Column("mark", Money),
    Column("index_price", Money),
    Column("last", Money),
    Column("funding_rate", Money),
    Column("open_interest", Money),
    Column("prints", Integer, nullable=False),
    Column("volume", Money, nullable=False),
    key=("ts", "run", "instrument"),
)
densities = _series(
    "densities",
    Column("instrument", String, nullable=False),
    Column("strategy", String, nullable=False),
    Column("side", String, nullable=False),
    Column("price_ticks", BigInteger, nullable=False),
    Column("price", Money, nullable=False),
    Column("strength", Float, nullable=False),
    side=one_of("side", SIDES),
)
for _table in (decisions, market_stats, market_snapshots, densities):
    Index(f"ix_{_table.name}_instrument", _table.c.instrument, _table.c.ts)

SERIES = (decisions, equity_marks, market_stats, market_snapshots, densities)
RETENTION_NS: Mapping[str, int] = MappingProxyType(
    {"market_snapshots": 30 * DAY, "densities": 60 * DAY, "market_stats": 90 * DAY}
)
"""How long the series are kept that are not kept for good."""
COMPRESS_AFTER_NS = 7 * DAY

findings = Table(
    "findings",
    metadata,
    Column("id", String, primary_key=True),
    *_place(),
    _trace(),
    Column("instrument", String, nullable=False),
    Column("detector", String, nullable=False),
    Column("pattern", String, nullable=False),
    Column("stage", String, nullable=False),
    Column("episode", BigInteger, nullable=False),
    Column("side", String),
    Column("low_ticks", BigInteger),
    Column("high_ticks", BigInteger),
    Column("low", Money),
    Column("high", Money),
    Column("size_lots", BigInteger, nullable=False),
    Column("size", Money, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("began_ts", BigInteger, nullable=False),
    Column("ts_event", BigInteger, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("evidence", Json, nullable=False),
    Column("circumstances", Json),
    Column("is_settled", Boolean, nullable=False),
    Column("move_1s_bps", Float),
    Column("move_10s_bps", Float),
    Column("move_60s_bps", Float),
    one_of("side", SIDES),
    one_of("pattern", tuple(Pattern)),
    one_of("stage", tuple(Stage)),
    Index("ix_findings_instrument", "instrument", "ts"),
    Index("ix_findings_pattern", "pattern", "ts"),
    Index("ix_findings_ts", "ts"),
)
"""What detectors found; `id` is the row's place in the journal, `run#number.ordinal`."""
level_tests = Table(
    "level_tests",
    metadata,
    *_place(),
    _trace(),
    Column("instrument", String, nullable=False),
    Column("side", String, nullable=False),
    Column("price_ticks", Float, nullable=False),
    Column("is_held", Boolean, nullable=False),
    Column("strength", Float, nullable=False),
    Column("touches", Integer, nullable=False),
    Column("holds", Integer, nullable=False),
    Column("breaks", Integer, nullable=False),
    Column("began_ts", BigInteger, nullable=False),
    Column("touched_ts", BigInteger, nullable=False),
    Column("ts_event", BigInteger, nullable=False),
    PrimaryKeyConstraint(*_IN_ORDER),
    one_of("side", SIDES),
    Index("ix_level_tests_instrument", "instrument", "ts"),
    Index("ix_level_tests_ts", "ts"),
)
"""Touches of levels of support (side buy) and resistance that ended."""

# --- what is for ever, and what an operator owns ----------------------------------------------------------------------

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("run", String),
    Column("number", BigInteger),
    Column("ordinal", Integer),
    Column("ts", BigInteger, nullable=False, index=True),
    _trace(),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("entity_kind", String, nullable=False),
    Column("entity", String, nullable=False),
    Column("old", Text),
    Column("new", Text),
    Column("reason", Text, nullable=False),
    Column("context", Text, nullable=False),
    Column("success", Boolean, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint(*_IN_ORDER),
    Index("ix_audit_log_entity", "entity_kind", "entity"),
    Index("ix_audit_log_failures", "ts", sqlite_where=text("NOT success"), postgresql_where=text("NOT success")),
)
audit_head = Table(
    "audit_head",
    metadata,
    Column("single", SmallInteger, primary_key=True, autoincrement=False),
    Column("id", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("run", String, nullable=False),
    Column("number", BigInteger, nullable=False),
    CheckConstraint("single = 1", name="single"),
)
"""The end of the chain, and how far of the journal it tells; locked by whoever appends."""

instrument_parameters = Table(
    "instrument_parameters",
    metadata,
    Column("instrument", String, primary_key=True),
    Column("parameters", Json, nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_by", String, nullable=False),
    Column("changed_ts", BigInteger, nullable=False),
)
trade_notes = Table(
    "trade_notes",
    metadata,
    Column("run", String, nullable=False),
    Column("position", String, nullable=False),
    Column("note", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_by", String, nullable=False),
    Column("changed_ts", BigInteger, nullable=False),
    PrimaryKeyConstraint("run", "position"),
)
finding_labels = Table(
    "finding_labels",
    metadata,
    Column("finding", String, primary_key=True),
    Column("label", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_by", String, nullable=False),
    Column("changed_ts", BigInteger, nullable=False),
    one_of("label", tuple(Label)),
)
"""What a trader says of a finding: it outlives the row, which may be built again from the journal."""

# --- the projector's own ----------------------------------------------------------------------------------------------

projection = Table(
    "projection",
    metadata,
    Column("single", SmallInteger, primary_key=True, autoincrement=False),
    Column("source", String, nullable=False),
    Column("run", String, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("state", LargeBinary, nullable=False),
    CheckConstraint("single = 1", name="single"),
)
"""How far the rows tell of which journals, and what the fold remembers there."""
pruned = Table(
    "pruned",
    metadata,
    Column("table_name", String, primary_key=True),
    Column("before_ts", BigInteger, nullable=False),
)
"""Up to when rows were taken away for their age."""

PROJECTED = tuple(
    table
    for table in metadata.sorted_tables
    if table not in (audit_log, audit_head, instrument_parameters, trade_notes, finding_labels, projection, pruned)
)
"""Tables whose rows follow from the journal alone; parents before children."""
OF_MARKET = (market_snapshots,)
"""Those that follow from market events, which a journal keeps for a day only: never built again, never compared."""
