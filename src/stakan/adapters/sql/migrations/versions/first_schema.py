"""The first schema: all tables, and the triggers that keep the audit log append-only.

Frozen: what changes later is a revision of its own. The text is for both engines; what differs is filled in.
"""

from alembic import op
from sqlalchemy import text

from stakan.adapters.sql import partitions
from stakan.adapters.sql.columns import POSTGRESQL

revision = "0001"
down_revision = None

_DIFFERS = {
    "sqlite": {"money": "TEXT", "bytes": "BLOB", "by_month": ""},
    "postgresql": {"money": "NUMERIC", "bytes": "BYTEA", "by_month": "PARTITION BY RANGE (ts)"},
}
_SHARED = {
    "place": "run VARCHAR NOT NULL, number BIGINT NOT NULL, ordinal INTEGER NOT NULL, ts BIGINT NOT NULL",
    "side": "('buy', 'sell')",
    "order_status": "('pending', 'placed', 'partially_filled', 'filled', 'cancelled', 'rejected', 'failed')",
    "position_status": "('opening', 'open', 'closing', 'closed')",
}
_SERIES = ("decisions", "equity_marks", "market_stats", "market_snapshots", "densities")


def upgrade() -> None:
    """Everything."""
    connection = op.get_bind()
    differs = dict(_DIFFERS[connection.dialect.name])
    with_timescale = partitions.has_timescaledb(connection)
    if with_timescale:
        differs["by_month"] = ""
    for statement in _TABLES.format(**_SHARED, **differs).split(";"):
        if statement.strip():
            connection.execute(text(statement))
    connection.execute(text("INSERT INTO audit_head VALUES (1, 0, :genesis, '', 0)"), {"genesis": "0" * 64})
    for statement in _APPEND_ONLY[connection.dialect.name]:
        connection.exec_driver_sql(statement)
    if with_timescale:
        for name in _SERIES:
            partitions.make_hypertable(connection, name)


def downgrade() -> None:
    """Nothing is left, the audit log neither."""
    connection = op.get_bind()
    for name in _NAMES:
        connection.exec_driver_sql(f"DROP TABLE {name}")
    if connection.dialect.name == POSTGRESQL:
        connection.exec_driver_sql("DROP FUNCTION stakan_refuse()")
        connection.exec_driver_sql("DROP FUNCTION IF EXISTS stakan_now()")  # of hypertables


_APPEND_ONLY = {
    "sqlite": (
        """CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
           BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END""",
        """CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
           BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END""",
        # INSERT OR REPLACE deletes what is in its way without asking the trigger above.
        """CREATE TRIGGER audit_log_no_replace BEFORE INSERT ON audit_log
           WHEN EXISTS (SELECT 1 FROM audit_log AS old WHERE old.id = NEW.id
                        OR (old.run = NEW.run AND old.number = NEW.number AND old.ordinal = NEW.ordinal))
           BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END""",
    ),
    "postgresql": (
        """CREATE FUNCTION stakan_refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$""",
        """CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
           FOR EACH STATEMENT EXECUTE FUNCTION stakan_refuse()""",
    ),
}

_NAMES = (
    "position_transitions",
    "order_transitions",
    "funding_payments",
    "fills",
    "positions",
    "orders",
    "trade_notes",
    "system_events",
    "runs",
    "risk_state",
    "pruned",
    "projection",
    "operator_requests",
    "market_stats",
    "market_snapshots",
    "instruments",
    "instrument_parameters",
    "equity_marks",
    "densities",
    "decisions",
    "audit_log",
    "audit_head",
)
"""Children before parents."""

_TABLES = """
CREATE TABLE audit_head (
    single SMALLINT NOT NULL, id BIGINT NOT NULL, hash VARCHAR(64) NOT NULL, run VARCHAR NOT NULL,
    number BIGINT NOT NULL,
    CONSTRAINT pk_audit_head PRIMARY KEY (single),
    CONSTRAINT ck_audit_head_single CHECK (single = 1)
);

CREATE TABLE audit_log (
    id BIGINT NOT NULL, run VARCHAR, number BIGINT, ordinal INTEGER, ts BIGINT NOT NULL, trace_id VARCHAR NOT NULL,
    actor VARCHAR NOT NULL, action VARCHAR NOT NULL, entity_kind VARCHAR NOT NULL, entity VARCHAR NOT NULL,
    "old" TEXT, "new" TEXT, reason TEXT NOT NULL, context TEXT NOT NULL, success BOOLEAN NOT NULL,
    previous_hash VARCHAR(64) NOT NULL, hash VARCHAR(64) NOT NULL,
    CONSTRAINT pk_audit_log PRIMARY KEY (id),
    CONSTRAINT uq_audit_log_run_number_ordinal UNIQUE (run, number, ordinal)
);
CREATE INDEX ix_audit_log_entity ON audit_log (entity_kind, entity);
CREATE INDEX ix_audit_log_failures ON audit_log (ts) WHERE NOT success;
CREATE INDEX ix_audit_log_trace_id ON audit_log (trace_id);
CREATE INDEX ix_audit_log_ts ON audit_log (ts);

CREATE TABLE decisions (
    {place}, trace_id VARCHAR NOT NULL, instrument VARCHAR NOT NULL, strategy VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL, side VARCHAR, intent VARCHAR, strength FLOAT, size_lots BIGINT, rule VARCHAR NOT NULL,
    reason VARCHAR NOT NULL, detail TEXT NOT NULL, signal JSON, features JSON,
    CONSTRAINT pk_decisions PRIMARY KEY (ts, run, number, ordinal),
    CONSTRAINT ck_decisions_side CHECK (side IN {side}),
    CONSTRAINT ck_decisions_verdict CHECK (verdict IN ('proposed', 'passed_over', 'refused', 'approved', 'exit'))
) {by_month};
CREATE INDEX ix_decisions_instrument ON decisions (instrument, ts);
CREATE INDEX ix_decisions_trace_id ON decisions (trace_id);

CREATE TABLE densities (
    {place}, instrument VARCHAR NOT NULL, strategy VARCHAR NOT NULL, side VARCHAR NOT NULL,
    price_ticks BIGINT NOT NULL, price {money} NOT NULL, strength FLOAT NOT NULL,
    CONSTRAINT pk_densities PRIMARY KEY (ts, run, number, ordinal),
    CONSTRAINT ck_densities_side CHECK (side IN {side})
) {by_month};
CREATE INDEX ix_densities_instrument ON densities (instrument, ts);

CREATE TABLE equity_marks (
    {place}, balance {money} NOT NULL, unrealised_pnl {money} NOT NULL, equity {money} NOT NULL,
    exposure {money} NOT NULL,
    CONSTRAINT pk_equity_marks PRIMARY KEY (ts, run, number, ordinal)
) {by_month};

CREATE TABLE instrument_parameters (
    instrument VARCHAR NOT NULL, parameters JSON NOT NULL, version INTEGER NOT NULL, changed_by VARCHAR NOT NULL,
    changed_ts BIGINT NOT NULL,
    CONSTRAINT pk_instrument_parameters PRIMARY KEY (instrument)
);

CREATE TABLE instruments (
    id VARCHAR NOT NULL, category VARCHAR NOT NULL, base VARCHAR NOT NULL, quote VARCHAR NOT NULL,
    settle VARCHAR NOT NULL, tick_size {money} NOT NULL, lot_size {money} NOT NULL, rules JSON NOT NULL,
    CONSTRAINT pk_instruments PRIMARY KEY (id)
);

CREATE TABLE market_snapshots (
    {place}, instrument VARCHAR NOT NULL, bid {money}, bid_size {money}, ask {money}, ask_size {money}, mark {money},
    index_price {money}, last {money}, funding_rate {money}, open_interest {money}, prints INTEGER NOT NULL,
    volume {money} NOT NULL,
    CONSTRAINT pk_market_snapshots PRIMARY KEY (ts, run, instrument)
) {by_month};
CREATE INDEX ix_market_snapshots_instrument ON market_snapshots (instrument, ts);

CREATE TABLE market_stats (
    {place}, instrument VARCHAR NOT NULL, open_ts BIGINT NOT NULL, interval_ns BIGINT NOT NULL,
    close {money} NOT NULL, volume {money} NOT NULL,
    CONSTRAINT pk_market_stats PRIMARY KEY (ts, run, number, ordinal)
) {by_month};
CREATE INDEX ix_market_stats_instrument ON market_stats (instrument, ts);

CREATE TABLE operator_requests (
    {place}, request_id VARCHAR NOT NULL, actor VARCHAR NOT NULL, kind VARCHAR NOT NULL, request JSON NOT NULL,
    outcome JSON NOT NULL,
    CONSTRAINT pk_operator_requests PRIMARY KEY (run, number, ordinal)
);
CREATE INDEX ix_operator_requests_request_id ON operator_requests (request_id);
CREATE INDEX ix_operator_requests_ts ON operator_requests (ts);

CREATE TABLE projection (
    single SMALLINT NOT NULL, source VARCHAR NOT NULL, run VARCHAR NOT NULL, number BIGINT NOT NULL,
    ts BIGINT NOT NULL, state {bytes} NOT NULL,
    CONSTRAINT pk_projection PRIMARY KEY (single),
    CONSTRAINT ck_projection_single CHECK (single = 1)
);

CREATE TABLE pruned (
    table_name VARCHAR NOT NULL, before_ts BIGINT NOT NULL,
    CONSTRAINT pk_pruned PRIMARY KEY (table_name)
);

CREATE TABLE risk_state (
    account VARCHAR NOT NULL, run VARCHAR NOT NULL, number BIGINT NOT NULL, ts BIGINT NOT NULL,
    trading VARCHAR NOT NULL, reason VARCHAR NOT NULL, detail TEXT NOT NULL, trading_since_ts BIGINT NOT NULL,
    balance {money} NOT NULL, equity {money} NOT NULL, exposure {money} NOT NULL, peak_equity {money} NOT NULL,
    day INTEGER NOT NULL, day_start_equity {money} NOT NULL,
    CONSTRAINT pk_risk_state PRIMARY KEY (account),
    CONSTRAINT ck_risk_state_trading CHECK (trading IN ('active', 'reducing', 'halted'))
);

CREATE TABLE runs (
    name VARCHAR NOT NULL, mode VARCHAR NOT NULL, account VARCHAR NOT NULL, run_epoch VARCHAR NOT NULL,
    stakan VARCHAR NOT NULL, config_hash VARCHAR NOT NULL, config TEXT NOT NULL, feature_set VARCHAR NOT NULL,
    is_synthetic BOOLEAN NOT NULL, carries_on BOOLEAN NOT NULL, first_number BIGINT, first_ts BIGINT,
    last_number BIGINT, is_complete BOOLEAN NOT NULL,
    CONSTRAINT pk_runs PRIMARY KEY (name)
);

CREATE TABLE system_events (
    {place}, trace_id VARCHAR NOT NULL, kind VARCHAR NOT NULL, instrument VARCHAR, detail JSON NOT NULL,
    CONSTRAINT pk_system_events PRIMARY KEY (run, number, ordinal)
);
CREATE INDEX ix_system_events_kind ON system_events (kind, ts);
CREATE INDEX ix_system_events_trace_id ON system_events (trace_id);
CREATE INDEX ix_system_events_ts ON system_events (ts);

CREATE TABLE trade_notes (
    run VARCHAR NOT NULL, position VARCHAR NOT NULL, note TEXT NOT NULL, version INTEGER NOT NULL,
    changed_by VARCHAR NOT NULL, changed_ts BIGINT NOT NULL,
    CONSTRAINT pk_trade_notes PRIMARY KEY (run, position)
);

CREATE TABLE orders (
    client_order_id VARCHAR NOT NULL, run VARCHAR NOT NULL, number BIGINT NOT NULL, instrument VARCHAR NOT NULL,
    intent VARCHAR NOT NULL, trace_id VARCHAR NOT NULL, venue_order_id VARCHAR NOT NULL, strategy VARCHAR NOT NULL,
    purpose VARCHAR NOT NULL, side VARCHAR NOT NULL, type VARCHAR NOT NULL, time_in_force VARCHAR NOT NULL,
    reduce_only BOOLEAN NOT NULL, price_ticks BIGINT, price {money}, size_lots BIGINT NOT NULL,
    size {money} NOT NULL, stop_loss {money}, take_profit {money}, reason TEXT NOT NULL, status VARCHAR NOT NULL,
    cause TEXT NOT NULL, filled_lots BIGINT NOT NULL, filled {money} NOT NULL, outcome_unknown BOOLEAN NOT NULL,
    is_live BOOLEAN NOT NULL, submitted_ts BIGINT NOT NULL, answered_ts BIGINT, first_fill_ts BIGINT,
    finished_ts BIGINT,
    CONSTRAINT pk_orders PRIMARY KEY (client_order_id),
    CONSTRAINT ck_orders_purpose CHECK (purpose IN ('entry', 'exit')),
    CONSTRAINT ck_orders_side CHECK (side IN {side}),
    CONSTRAINT ck_orders_type CHECK (type IN ('limit', 'market')),
    CONSTRAINT ck_orders_time_in_force CHECK (time_in_force IN ('gtc', 'ioc', 'fok', 'post_only')),
    CONSTRAINT ck_orders_status CHECK (status IN {order_status}),
    CONSTRAINT fk_orders_run FOREIGN KEY(run) REFERENCES runs (name),
    CONSTRAINT fk_orders_instrument FOREIGN KEY(instrument) REFERENCES instruments (id)
);
CREATE INDEX ix_orders_live ON orders (submitted_ts) WHERE is_live;
CREATE INDEX ix_orders_submitted_ts ON orders (submitted_ts);
CREATE INDEX ix_orders_trace_id ON orders (trace_id);
CREATE INDEX ix_orders_venue_order_id ON orders (venue_order_id);

CREATE TABLE positions (
    run VARCHAR NOT NULL, id VARCHAR NOT NULL, number BIGINT NOT NULL, instrument VARCHAR NOT NULL,
    intent VARCHAR NOT NULL, trace_id VARCHAR NOT NULL, strategy VARCHAR NOT NULL, side VARCHAR NOT NULL,
    status VARCHAR NOT NULL, is_live BOOLEAN NOT NULL, size_lots BIGINT NOT NULL, max_size_lots BIGINT NOT NULL,
    max_size {money} NOT NULL, entry_price {money}, exit_price {money}, realised_pnl {money} NOT NULL,
    fees {money} NOT NULL, funding {money} NOT NULL, net_pnl {money} NOT NULL, stop_loss {money},
    take_profit {money}, entry_reason TEXT NOT NULL, exit_reason TEXT, created_ts BIGINT NOT NULL, opened_ts BIGINT,
    closed_ts BIGINT, at_entry JSON, at_exit JSON,
    CONSTRAINT pk_positions PRIMARY KEY (run, id),
    CONSTRAINT ck_positions_side CHECK (side IN {side}),
    CONSTRAINT ck_positions_status CHECK (status IN {position_status}),
    CONSTRAINT fk_positions_run FOREIGN KEY(run) REFERENCES runs (name),
    CONSTRAINT fk_positions_instrument FOREIGN KEY(instrument) REFERENCES instruments (id)
);
CREATE INDEX ix_positions_closed_ts ON positions (closed_ts);
CREATE INDEX ix_positions_exit_reason ON positions (exit_reason);
CREATE INDEX ix_positions_live ON positions (instrument) WHERE is_live;
CREATE INDEX ix_positions_strategy ON positions (strategy, closed_ts);
CREATE INDEX ix_positions_trace_id ON positions (trace_id);

CREATE TABLE fills (
    {place}, trace_id VARCHAR NOT NULL, execution_id VARCHAR NOT NULL, instrument VARCHAR NOT NULL,
    client_order_id VARCHAR, position_run VARCHAR, position VARCHAR NOT NULL, side VARCHAR NOT NULL,
    price_ticks BIGINT NOT NULL, price {money} NOT NULL, size_lots BIGINT NOT NULL, size {money} NOT NULL,
    notional {money} NOT NULL, fee {money} NOT NULL, realised_pnl {money} NOT NULL, is_maker BOOLEAN NOT NULL,
    origin VARCHAR NOT NULL, ts_event BIGINT NOT NULL, mid_ticks FLOAT NOT NULL,
    CONSTRAINT pk_fills PRIMARY KEY (run, number, ordinal),
    CONSTRAINT fk_fills_position_run_position FOREIGN KEY(position_run, position) REFERENCES positions (run, id),
    CONSTRAINT ck_fills_side CHECK (side IN {side}),
    CONSTRAINT ck_fills_origin CHECK (origin IN ('order', 'stop_loss', 'take_profit', 'liquidation', 'adl', 'repair')),
    CONSTRAINT fk_fills_instrument FOREIGN KEY(instrument) REFERENCES instruments (id)
);
CREATE INDEX ix_fills_client_order_id ON fills (client_order_id);
CREATE INDEX ix_fills_execution_id ON fills (instrument, execution_id);
CREATE INDEX ix_fills_position ON fills (position_run, position);
CREATE INDEX ix_fills_trace_id ON fills (trace_id);
CREATE INDEX ix_fills_ts ON fills (ts);

CREATE TABLE funding_payments (
    {place}, trace_id VARCHAR NOT NULL, execution_id VARCHAR NOT NULL, instrument VARCHAR NOT NULL,
    position_run VARCHAR, position VARCHAR, amount {money} NOT NULL, rate {money}, mark {money},
    position_lots BIGINT,
    CONSTRAINT pk_funding_payments PRIMARY KEY (run, number, ordinal),
    CONSTRAINT fk_funding_payments_position_run_position
        FOREIGN KEY(position_run, position) REFERENCES positions (run, id),
    CONSTRAINT fk_funding_payments_instrument FOREIGN KEY(instrument) REFERENCES instruments (id)
);
CREATE INDEX ix_funding_payments_trace_id ON funding_payments (trace_id);
CREATE INDEX ix_funding_payments_ts ON funding_payments (ts);

CREATE TABLE order_transitions (
    {place}, trace_id VARCHAR NOT NULL, client_order_id VARCHAR NOT NULL, before_status VARCHAR,
    after_status VARCHAR NOT NULL, cause TEXT NOT NULL, filled_lots BIGINT NOT NULL,
    CONSTRAINT pk_order_transitions PRIMARY KEY (run, number, ordinal),
    CONSTRAINT ck_order_transitions_before_status CHECK (before_status IN {order_status}),
    CONSTRAINT ck_order_transitions_after_status CHECK (after_status IN {order_status}),
    CONSTRAINT fk_order_transitions_client_order_id FOREIGN KEY(client_order_id) REFERENCES orders (client_order_id)
);
CREATE INDEX ix_order_transitions_client_order_id ON order_transitions (client_order_id);
CREATE INDEX ix_order_transitions_trace_id ON order_transitions (trace_id);

CREATE TABLE position_transitions (
    {place}, trace_id VARCHAR NOT NULL, position_run VARCHAR NOT NULL, position VARCHAR NOT NULL,
    before_status VARCHAR, after_status VARCHAR NOT NULL, side VARCHAR NOT NULL, size_lots BIGINT NOT NULL,
    cause TEXT NOT NULL,
    CONSTRAINT pk_position_transitions PRIMARY KEY (run, number, ordinal),
    CONSTRAINT fk_position_transitions_position_run_position
        FOREIGN KEY(position_run, position) REFERENCES positions (run, id),
    CONSTRAINT ck_position_transitions_before_status CHECK (before_status IN {position_status}),
    CONSTRAINT ck_position_transitions_after_status CHECK (after_status IN {position_status}),
    CONSTRAINT ck_position_transitions_side CHECK (side IN {side})
);
CREATE INDEX ix_position_transitions_position ON position_transitions (position_run, position);
CREATE INDEX ix_position_transitions_trace_id ON position_transitions (trace_id);
"""
