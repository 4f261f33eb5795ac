"""What detectors found and what traders say of it; touches of levels that ended."""

from alembic import op
from sqlalchemy import text

revision = "0002"
down_revision = "0001"

_MONEY = {"sqlite": "TEXT", "postgresql": "NUMERIC"}


def upgrade() -> None:
    """Three tables."""
    connection = op.get_bind()
    for statement in _TABLES.format(money=_MONEY[connection.dialect.name]).split(";"):
        if statement.strip():
            connection.execute(text(statement))


def downgrade() -> None:
    """None is left; labels are lost."""
    connection = op.get_bind()
    for name in ("finding_labels", "findings", "level_tests"):
        connection.exec_driver_sql(f"DROP TABLE {name}")


_TABLES = """
CREATE TABLE findings (
    id VARCHAR NOT NULL, run VARCHAR NOT NULL, number BIGINT NOT NULL, ordinal INTEGER NOT NULL, ts BIGINT NOT NULL,
    trace_id VARCHAR NOT NULL, instrument VARCHAR NOT NULL, detector VARCHAR NOT NULL, pattern VARCHAR NOT NULL,
    stage VARCHAR NOT NULL, episode BIGINT NOT NULL, side VARCHAR, low_ticks BIGINT, high_ticks BIGINT, low {money},
    high {money}, size_lots BIGINT NOT NULL, size {money} NOT NULL, count BIGINT NOT NULL, began_ts BIGINT NOT NULL,
    ts_event BIGINT NOT NULL, confidence FLOAT NOT NULL, evidence JSON NOT NULL, circumstances JSON,
    is_settled BOOLEAN NOT NULL, move_1s_bps FLOAT, move_10s_bps FLOAT, move_60s_bps FLOAT,
    CONSTRAINT pk_findings PRIMARY KEY (id),
    CONSTRAINT ck_findings_side CHECK (side IN ('buy', 'sell')),
    CONSTRAINT ck_findings_pattern CHECK (pattern IN ('spoofing', 'layering', 'quote_stuffing', 'wash_trading')),
    CONSTRAINT ck_findings_stage CHECK (stage IN ('suspected', 'confirmed'))
);
CREATE INDEX ix_findings_instrument ON findings (instrument, ts);
CREATE INDEX ix_findings_pattern ON findings (pattern, ts);
CREATE INDEX ix_findings_trace_id ON findings (trace_id);
CREATE INDEX ix_findings_ts ON findings (ts);

CREATE TABLE finding_labels (
    finding VARCHAR NOT NULL, label VARCHAR NOT NULL, version INTEGER NOT NULL, changed_by VARCHAR NOT NULL,
    changed_ts BIGINT NOT NULL,
    CONSTRAINT pk_finding_labels PRIMARY KEY (finding),
    CONSTRAINT ck_finding_labels_label CHECK (label IN ('real', 'false'))
);

CREATE TABLE level_tests (
    run VARCHAR NOT NULL, number BIGINT NOT NULL, ordinal INTEGER NOT NULL, ts BIGINT NOT NULL,
    trace_id VARCHAR NOT NULL, instrument VARCHAR NOT NULL, side VARCHAR NOT NULL, price_ticks FLOAT NOT NULL,
    is_held BOOLEAN NOT NULL, strength FLOAT NOT NULL, touches INTEGER NOT NULL, holds INTEGER NOT NULL,
    breaks INTEGER NOT NULL, began_ts BIGINT NOT NULL, touched_ts BIGINT NOT NULL, ts_event BIGINT NOT NULL,
    CONSTRAINT pk_level_tests PRIMARY KEY (run, number, ordinal),
    CONSTRAINT ck_level_tests_side CHECK (side IN ('buy', 'sell'))
);
CREATE INDEX ix_level_tests_instrument ON level_tests (instrument, ts);
CREATE INDEX ix_level_tests_trace_id ON level_tests (trace_id);
CREATE INDEX ix_level_tests_ts ON level_tests (ts)
"""
