"""Every metric of a running bot: its name, what it says, and how it is read. `docs/metrics.md` is made from this."""

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from stakan.apps.live.histogram import Histogram
from stakan.apps.live.invariants import ABOUT
from stakan.apps.live.latency import STAGES
from stakan.apps.metrics.counting import Capability, Metrics
from stakan.core.domain.findings import Pattern
from stakan.core.domain.ids import split_instrument_id
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import SECOND
from stakan.core.engine.state import InstrumentState
from stakan.core.market.health import book_health

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
Labels = tuple[str, ...]
Values = Iterable[tuple[Labels, Any]]
_BREAKER_STATES = ("closed", "open", "half-open")
_log = logging.getLogger(__name__)


class Family(msgspec.Struct, frozen=True):
    """One metric, with all its labels' values."""

    group: str
    name: str
    kind: str
    about: str
    read: Callable[[Metrics], Values]
    labels: Labels = ()


class BotCollector(Collector):
    """All families of one bot; one that cannot be read is left out, and said once."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._unreadable: set[str] = set()

    def collect(self) -> Iterable[Metric]:
        """What is now."""
        for family in FAMILIES:
            try:
                yield made(family, family.read(self._metrics))
            except Exception as error:  # noqa: BLE001 - of one family: the others are worth having
                if family.name not in self._unreadable:
                    self._unreadable.add(family.name)
                    _log.warning("metric %s cannot be read", family.name, exc_info=error)


def made(family: Family, values: Values) -> Metric:
    """A family as Prometheus' library has it."""
    if family.kind == HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.about, labels=family.labels)
        for labels, value in values:
            assert isinstance(value, Histogram)
            histogram.add_metric(labels, value.buckets, value.sum_s)
        return histogram
    kind = CounterMetricFamily if family.kind == COUNTER else GaugeMetricFamily
    metric: CounterMetricFamily | GaugeMetricFamily = kind(family.name, family.about, labels=family.labels)
    for labels, value in values:
        metric.add_metric(labels, float(value))
    return metric


def page() -> str:
    """All families as Markdown."""
    lines = []
    for group, families in groupby(FAMILIES, key=lambda family: family.group):
        lines += [f"## {group}", "", "| metric | kind | labels | says |", "| --- | --- | --- | --- |"]
        for family in families:
            labels = ", ".join(f"`{label}`" for label in family.labels)
            lines.append(f"| `{family.name}` | {family.kind} | {labels} | {family.about} |")
        lines.append("")
    return "\n".join(lines)


# --- reading --------------------------------------------------------------------------------------------------------


def _one(value: Any) -> Values:
    return (((), value),)


def _by_name(values: Iterable[tuple[str, Any]]) -> Values:
    return (((name,), value) for name, value in values)


def _by_type(counts: dict[type, int]) -> Values:
    return _by_name((kind.__name__, count) for kind, count in counts.items())


def _by_symbol(metrics: Metrics, read: Callable[[InstrumentState], float]) -> Values:
    return (
        ((split_instrument_id(key)[2],), read(state)) for key, state in list(metrics.engine.state.instruments.items())
    )


def _episodes(metrics: Metrics, pattern: Pattern) -> Values:
    return (((symbol, side), count) for (of, symbol, side), count in metrics.findings.items() if of is pattern)


def _health(metrics: Metrics) -> Values:
    now = metrics.sources.now()
    return _by_symbol(metrics, lambda state: book_health(state.market.book, now).score)


def _book_age(metrics: Metrics) -> Values:
    now = metrics.sources.now()
    return (
        (labels, max(0, now - ts) / SECOND)
        for labels, ts in _by_symbol(metrics, lambda state: state.market.book.ts_recv)
        if ts
    )


def _breakers(metrics: Metrics) -> Iterator[tuple[Labels, Capability]]:
    for connection, breakers in metrics.sources.breakers().items():
        for breaker in breakers:
            yield (connection, breaker.name), breaker


def _breaker_states(metrics: Metrics) -> Values:
    for labels, breaker in _breakers(metrics):
        for state in _BREAKER_STATES:
            yield (*labels, state), int(breaker.state == state)


def _trading(metrics: Metrics) -> Values:
    now = metrics.engine.state.trading
    return _by_name((state.value, int(now is state)) for state in TradingState)


def _bare(metrics: Metrics) -> int:
    live = metrics.engine.state.portfolio.positions.live.values()
    return sum(1 for position in live if position.size and position.stop_loss is None)


def _since(metrics: Metrics, ts: int) -> Values:
    return _one(max(0, metrics.sources.now() - ts) / SECOND) if ts else ()


def _reconciled(metrics: Metrics) -> Values:
    return _since(metrics, metrics.reconciled_ts or metrics.sources.account_read_ts())


def _feature_latencies(metrics: Metrics) -> Values:
    features = metrics.sources.features
    if features is not None:
        for (channel, key), histogram in features.latencies.items():
            if histogram.count:
                yield (channel.value, split_instrument_id(key)[2]), histogram


def _hit_rate(metrics: Metrics) -> Values:
    features = metrics.sources.features
    return () if features is None or features.hit_rate is None else _one(features.hit_rate)


def _dropped_spans(metrics: Metrics) -> Values:
    dropped = metrics.sources.dropped_spans
    return () if dropped is None else _one(dropped())


def _journal_bytes(metrics: Metrics) -> Values:
    folder = metrics.sources.journal
    if folder is None:
        return ()
    return _one(sum(file.stat().st_size for file in folder.iterdir()) if folder.is_dir() else 0)


def _degraded(metrics: Metrics) -> Values:
    away: dict[str, str] = getattr(metrics.engine.state, "impaired", {})
    return _by_name((part, 1) for part in away)


class _Projected(msgspec.Struct):
    """What the process that writes SQL says of itself in the state folder, as far as it is shown."""

    health: str = ""
    lag_steps: int = 0
    lag_seconds: float = 0.0
    updated_ts: int = 0


def _projected(metrics: Metrics, read: Callable[[_Projected], Values]) -> Values:
    """Nothing where there is no projector, or what it says cannot be read."""
    path = metrics.sources.projector
    try:
        return () if path is None else read(msgspec.json.decode(path.read_bytes(), type=_Projected))
    except (OSError, msgspec.MsgspecError):
        return ()


def _about(metrics: Metrics) -> Iterator[tuple[Labels, int]]:
    about = metrics.sources.about
    yield tuple(about.get(name, "") for name in ("version", "mode", "run")), 1


_STEPS, _QUEUES, _TIME = "Steps", "Queues and logs", "How long things take"
_MARKET, _EXCHANGE, _MONEY, _SAFETY = "Market data", "The exchange", "Orders, positions, money", "Safety"

FAMILIES = (
    Family(_STEPS, "stakan_info", GAUGE, "1; says who this is", _about, ("version", "mode", "run")),
    Family(_STEPS, "stakan_steps_total", COUNTER, "Of the engine", lambda m: _one(m.engine.state.number)),
    Family(_STEPS, "stakan_events_total", COUNTER, "Into the engine", lambda m: _by_type(m.events), ("kind",)),
    Family(_STEPS, "stakan_facts_total", COUNTER, "What happened in steps", lambda m: _by_type(m.facts), ("kind",)),
    Family(_STEPS, "stakan_commands_total", COUNTER, "What steps asked for", lambda m: _by_type(m.commands), ("kind",)),
    Family(
        _QUEUES,
        "stakan_queue_depth",
        GAUGE,
        "What waits. engine: events on their way to it; timers: those that are set; journal: bytes in memory that are "
        "not on the disk; requests: for their place within the rate limits; narration: steps to be told of; logs: "
        "lines; consoles: bytes that they have not read; features: vectors on their way to Redis; spans: of orders, on their "
        "way to a collector of traces",
        lambda m: _by_name((name, read()) for name, read in m.sources.queues.items()),
        ("queue",),
    ),
    Family(
        _QUEUES,
        "stakan_log_lines_dropped_total",
        COUNTER,
        "Log lines that are in no file or were not shown: a disk or a terminal was too slow, or could not be written",
        lambda m: _one(m.sources.dropped_lines()),
    ),
    Family(
        _QUEUES,
        "stakan_feature_vectors_dropped_total",
        COUNTER,
        "Feature vectors that are not in Redis: it was away, or too slow",
        lambda m: _one(m.sources.dropped_vectors()),
    ),
    Family(
        _QUEUES,
        "stakan_spans_dropped_total",
        COUNTER,
        "Spans of orders that the collector of traces did not take: it was away, too slow or did not want them; absent "
        "without one",
        _dropped_spans,
    ),
    Family(
        _QUEUES,
        "stakan_projector_lag_steps",
        GAUGE,
        "Steps in the journal and not in the database; absent without a projector, as all of these",
        lambda m: _projected(m, lambda status: _one(status.lag_steps)),
    ),
    Family(
        _QUEUES,
        "stakan_projector_lag_seconds",
        GAUGE,
        "Age of the newest step in the database, where later ones are not there yet",
        lambda m: _projected(m, lambda status: _one(status.lag_seconds)),
    ),
    Family(
        _QUEUES,
        "stakan_projector_age_seconds",
        GAUGE,
        "Since the projector last said how it is",
        lambda m: _projected(m, lambda status: _since(m, status.updated_ts)),
    ),
    Family(
        _QUEUES,
        "stakan_projector_health",
        GAUGE,
        "1 for how the projector is: following, behind, database_away, failed, stopped",
        lambda m: _projected(m, lambda status: _by_name([(status.health, 1)])),
        ("state",),
    ),
    Family(
        _TIME,
        "stakan_stage_latency_seconds",
        HISTOGRAM,
        "feed: exchange to us; decide: frame to order written; submit: decision to order written, journal synced; "
        "acknowledge: decision to the exchange's first word; fill: decision to the first execution",
        lambda m: _by_name((stage, m.latencies.totals[stage]) for stage in STAGES),
        ("stage",),
    ),
    Family(
        _TIME,
        "stakan_event_loop_lag_seconds",
        HISTOGRAM,
        "How late the event loop made a call of every quarter of a second",
        lambda m: _one(m.loop_lag),
    ),
    Family(
        _TIME,
        "stakan_event_loop_stuck_total",
        COUNTER,
        "How often the event loop did not turn for trade.stuck_after; the run folder has the stacks",
        lambda m: _one(m.sources.stuck()),
    ),
    Family(
        _TIME,
        "stakan_journal_sync_seconds",
        HISTOGRAM,
        "Until the journal was on the disk, before orders left",
        lambda m: _one(m.latencies.syncs),
    ),
    Family(
        _TIME,
        "feature_extraction_latency_seconds",
        HISTOGRAM,
        "One channel of a whole feature vector (orderbook, candle, indicator), computed between steps",
        _feature_latencies,
        ("feature_type", "symbol"),
    ),
    Family(
        _TIME,
        "feature_cache_hit_rate",
        GAUGE,
        "Share of those who asked for a feature vector that were answered from the store; absent before the first",
        _hit_rate,
    ),
    Family(_TIME, "stakan_journal_bytes", GAUGE, "Of this run's journal on the disk", _journal_bytes),
    Family(
        _MARKET,
        "stakan_findings_total",
        COUNTER,
        "Episodes shaped like a manipulation, by the side of the book that pretends",
        lambda m: (((pattern.value, *rest), count) for (pattern, *rest), count in m.findings.items()),
        ("pattern", "symbol", "side"),
    ),
    Family(
        _MARKET,
        "spoofing_events_total",
        COUNTER,
        "Those of the pattern spoofing",
        lambda m: _episodes(m, Pattern.SPOOFING),
        ("symbol", "side"),
    ),
    Family(
        _MARKET,
        "layering_events_total",
        COUNTER,
        "Those of the pattern layering",
        lambda m: _episodes(m, Pattern.LAYERING),
        ("symbol", "side"),
    ),
    Family(_MARKET, "stakan_book_health", GAUGE, "0 (not traded on) to 1", _health, ("symbol",)),
    Family(_MARKET, "stakan_book_age_seconds", GAUGE, "Since the newest message of a book", _book_age, ("symbol",)),
    Family(
        _MARKET,
        "stakan_book_gaps_total",
        COUNTER,
        "Sequence gaps",
        lambda m: _by_symbol(m, lambda state: state.market.book.gaps),
        ("symbol",),
    ),
    Family(
        _MARKET,
        "stakan_book_resyncs_total",
        COUNTER,
        "Books begun anew",
        lambda m: _by_symbol(m, lambda state: m.sources.resyncs(state.rules.id)),
        ("symbol",),
    ),
    Family(
        _EXCHANGE,
        "stakan_connection_up",
        GAUGE,
        "1 while it is there: public_1 …, private (subscribed), trade (logged in), shared_budget (Redis, where rate limits are shared), feature_store (Redis, where it keeps feature vectors)",
        lambda m: _by_name((name, int(is_up)) for name, is_up in m.sources.connections().items()),
        ("connection",),
    ),
    Family(
        _EXCHANGE,
        "stakan_breaker_state",
        GAUGE,
        "1 for the state that a circuit breaker is in; connections are market (of every mode) and account",
        _breaker_states,
        ("connection", "capability", "state"),
    ),
    Family(
        _EXCHANGE,
        "stakan_breaker_failures_total",
        COUNTER,
        "Failures that a breaker has seen",
        lambda m: ((labels, one.failed) for labels, one in _breakers(m)),
        ("connection", "capability"),
    ),
    Family(
        _EXCHANGE,
        "stakan_breaker_opened_total",
        COUNTER,
        "How often a breaker opened",
        lambda m: ((labels, one.opened) for labels, one in _breakers(m)),
        ("connection", "capability"),
    ),
    Family(
        _EXCHANGE,
        "stakan_rate_limit_tokens",
        GAUGE,
        "Requests of a group that may be made now; connects of sockets are one",
        lambda m: _by_name((group, one.left) for group, one in m.sources.budgets().items()),
        ("group",),
    ),
    Family(
        _EXCHANGE,
        "stakan_rate_limit_wait_seconds",
        GAUGE,
        "How long the next request of a group would wait",
        lambda m: _by_name((group, one.wait_ns / SECOND) for group, one in m.sources.budgets().items()),
        ("group",),
    ),
    Family(_MONEY, "stakan_trading_state", GAUGE, "1 for the state that is in force", _trading, ("state",)),
    Family(
        _MONEY,
        "stakan_positions",
        GAUGE,
        "Not closed, those of entries on their way included",
        lambda m: _one(len(m.engine.state.portfolio.positions.live)),
    ),
    Family(_MONEY, "stakan_positions_without_stop", GAUGE, "Filled, and no stop confirmed", lambda m: _one(_bare(m))),
    Family(_MONEY, "stakan_open_orders", GAUGE, "Alive", lambda m: _one(len(m.engine.state.portfolio.orders.live))),
    Family(
        _MONEY,
        "stakan_orders_ended_total",
        COUNTER,
        "Orders by how they ended: filled, cancelled, rejected, failed",
        lambda m: _by_name(m.ended.items()),
        ("status",),
    ),
    Family(
        _MONEY,
        "stakan_refusals_total",
        COUNTER,
        "Signals and intents that became no order, by reason",
        lambda m: _by_name(m.refusals.items()),
        ("reason",),
    ),
    Family(
        _MONEY,
        "stakan_equity",
        GAUGE,
        "Positions at the last mark, settlement currency",
        lambda m: _one(m.engine.state.portfolio.ledger.equity),
    ),
    Family(
        _MONEY,
        "stakan_balance",
        GAUGE,
        "Without open positions",
        lambda m: _one(m.engine.state.portfolio.ledger.balance),
    ),
    Family(
        _MONEY,
        "stakan_day_pnl",
        GAUGE,
        "Change of equity since the UTC day began",
        lambda m: _one(m.engine.state.portfolio.ledger.day_pnl),
    ),
    Family(
        _MONEY,
        "stakan_drawdown",
        GAUGE,
        "Peak equity less equity",
        lambda m: _one(m.engine.state.portfolio.ledger.drawdown),
    ),
    Family(_MONEY, "stakan_exposure", GAUGE, "Notional at the last mark of equity", lambda m: _one(m.exposure)),
    Family(
        _SAFETY,
        "stakan_invariant_breaches_total",
        COUNTER,
        "Invariants of execution.md that did not hold: "
        + "; ".join(f"{number} {about}" for number, about in ABOUT.items()),
        lambda m: _by_name((str(number), count) for number, count in m.breaches.items()),
        ("number",),
    ),
    Family(
        _SAFETY,
        "stakan_reconciliation_differences_total",
        COUNTER,
        "What the exchange said and what we believed differed, by subject",
        lambda m: _by_name(m.differences.items()),
        ("subject",),
    ),
    Family(
        _SAFETY,
        "stakan_reconciliation_age_seconds",
        GAUGE,
        "Since our books were last compared with the exchange's; absent before the first time",
        _reconciled,
    ),
    Family(_SAFETY, "stakan_degraded", GAUGE, "1 for each part that is away: nothing opens", _degraded, ("part",)),
    Family(
        _SAFETY,
        "stakan_problems",
        GAUGE,
        "What the console lists as wrong now",
        lambda m: _one(sum(1 for _ in m.sources.problems())),
    ),
)
