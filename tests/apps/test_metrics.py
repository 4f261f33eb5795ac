"""Metrics: what is exposed is what is so, every family is documented, and looking costs a step next to nothing."""

import asyncio
import json
import re
import socket
from decimal import Decimal
from pathlib import Path

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.core.domain.test_trace import a_run
from tests.core.engine.builders import (
    BTC,
    ETH,
    MS,
    SECOND,
    Eager,
    FakeExchange,
    a_delta,
    a_snapshot,
    an_engine,
    an_instrument,
    live,
)

from stakan.apps.live.features import Features
from stakan.apps.live.histogram import BOUNDS, Histogram
from stakan.apps.live.latency import FILL, Latencies
from stakan.apps.metrics import Metrics, MetricsServer, Sources
from stakan.apps.metrics.counting import MOST_SUBJECTS, OTHERS
from stakan.apps.metrics.families import COUNTER, FAMILIES, HISTOGRAM, BotCollector, page
from stakan.apps.sections import MetricsSection
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import BookDelta, Halt, OrderFilled
from stakan.core.domain.facts import Discrepancy, FillBooked, FindingMade, OrderTransitioned
from stakan.core.domain.findings import Finding, Pattern, Stage
from stakan.core.domain.step import Step
from stakan.core.domain.units import Side
from stakan.core.features.catalogue import CHANNELS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "metrics.md"
DEPLOYED = (ROOT / "deploy/prometheus/alerts.yml", ROOT / "deploy/grafana/execution-and-safety.json")
NOW = 100 * SECOND
OF_DASHBOARDS = {
    "feature_extraction_latency_seconds",
    "feature_cache_hit_rate",
    "spoofing_events_total",
    "layering_events_total",
}
"""Names without our prefix that people's dashboards rely on."""


class Breaker:
    def __init__(self, name, state, failed=0, opened=0):
        self.name, self.state, self.failed, self.opened = name, state, failed, opened


class Budget:
    def __init__(self, left, wait_ns):
        self.left, self.wait_ns = left, wait_ns


def some_metrics(engine=None, **sources):
    return Metrics(engine or an_engine(), Latencies(), Sources(now=lambda: NOW, **sources))


def samples(metrics):
    """{(name, labels): value} of what Prometheus would read."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(BotCollector(metrics))
    text = generate_latest(registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(found, name, **labels):
    return found[name, tuple(sorted(labels.items()))]


def watched(length=60, horizon_s=1.0):
    """A run of an engine with its metrics."""
    engine = an_engine(Eager(horizon_s=horizon_s))
    metrics = some_metrics(engine)
    events = [a_snapshot(ts=SECOND)]
    events += [a_delta([(639_990, 5 + i)], [], SECOND + i * 100 * MS, i + 1) for i in range(1, length)]
    steps = live(engine, events, FakeExchange(lambda _: [(20 * MS, 0.5), (40 * MS, 0.5)]))
    for event, step in steps:
        metrics.observe(event, step)
    return metrics, steps


def test_what_is_counted_is_what_happened():
    metrics, steps = watched()
    found = samples(metrics)
    assert of(found, "stakan_steps_total") == len(steps)
    for kind, events in ((BookDelta, steps), (OrderFilled, steps)):
        expected = sum(type(event) is kind for event, _ in events)
        assert expected > 0
        assert of(found, "stakan_events_total", kind=kind.__name__) == expected
    fills = sum(isinstance(fact, FillBooked) for _, step in steps for fact in step.facts)
    orders = sum(isinstance(one, SubmitOrder) for _, step in steps for one in step.commands)
    assert of(found, "stakan_facts_total", kind="FillBooked") == fills > 0
    assert of(found, "stakan_commands_total", kind="SubmitOrder") == orders > 0
    ended = [
        fact.after
        for _, step in steps
        for fact in step.facts
        if isinstance(fact, OrderTransitioned) and fact.after.is_terminal
    ]
    assert of(found, "stakan_orders_ended_total", status="filled") == ended.count("filled") > 0
    assert sum(value for (name, _), value in found.items() if name == "stakan_refusals_total") > 0


def test_an_episode_is_counted_once_by_pattern_symbol_and_side():
    metrics = some_metrics()
    about = {"instrument": BTC, "detector": "walls", "began": SECOND, "ts_event": SECOND, "confidence": 0.5}
    suspected = Finding(pattern=Pattern.SPOOFING, stage=Stage.SUSPECTED, episode=1, side=Side.BUY, **about)
    confirmed = msgspec.structs.replace(suspected, stage=Stage.CONFIRMED)
    others = [msgspec.structs.replace(suspected, episode=2, pattern=Pattern.WASH_TRADING, side=None)]
    others.append(msgspec.structs.replace(suspected, episode=3, pattern=Pattern.LAYERING, side=Side.SELL))
    metrics.count(Step(1, 1, tuple(FindingMade(finding=one) for one in (suspected, confirmed, *others))))
    found = samples(metrics)
    assert of(found, "stakan_findings_total", pattern="spoofing", symbol="BTCUSDT", side="buy") == 1
    assert of(found, "stakan_findings_total", pattern="wash_trading", symbol="BTCUSDT", side="none") == 1
    assert of(found, "spoofing_events_total", symbol="BTCUSDT", side="buy") == 1
    assert of(found, "layering_events_total", symbol="BTCUSDT", side="sell") == 1


def test_money_positions_and_state_are_the_engines():
    metrics, _ = watched(length=30, horizon_s=None)
    found, state = samples(metrics), metrics.engine.state
    ledger = state.portfolio.ledger
    assert of(found, "stakan_equity") == float(ledger.equity)
    assert of(found, "stakan_balance") == float(ledger.balance) != 10_000
    assert of(found, "stakan_positions") == len(state.portfolio.positions.live) == 1
    assert of(found, "stakan_exposure") > 0
    assert of(found, "stakan_positions_without_stop") == 0
    assert of(found, "stakan_trading_state", state="active") == 1
    metrics.engine.step(Halt(ts_event=NOW, ts_recv=NOW, actor="ann", request_id="1", why="test"))
    found = samples(metrics)
    assert (
        of(found, "stakan_trading_state", state="halted"),
        of(found, "stakan_trading_state", state="active"),
    ) == (1, 0)


def test_books_are_shown_by_symbol():
    engine = an_engine(instruments=[an_instrument(BTC), an_instrument(ETH)])
    engine.step(a_snapshot(ts=NOW - SECOND))
    engine.step(a_delta([(639_990, 5)], [], NOW - SECOND, 9))
    found = samples(some_metrics(engine, resyncs=lambda key: 3 if key == ETH else 0))
    assert of(found, "stakan_book_gaps_total", symbol="BTCUSDT") == 1
    assert of(found, "stakan_book_age_seconds", symbol="BTCUSDT") == 1
    assert of(found, "stakan_book_health", symbol="BTCUSDT") == 0
    assert of(found, "stakan_book_resyncs_total", symbol="ETHUSDT") == 3
    assert ("stakan_book_age_seconds", (("symbol", "ETHUSDT"),)) not in found


def test_the_exchange_is_shown_as_its_parts_say():
    breakers = {"account": [Breaker("orders", "open", 7, 2)], "market": [Breaker("orders", "closed")]}
    found = samples(
        some_metrics(
            connections=lambda: {"public_1": True, "private": False},
            breakers=lambda: breakers,
            budgets=lambda: {"order/create": Budget(3, 250 * MS)},
        )
    )
    assert of(found, "stakan_connection_up", connection="public_1") == 1
    assert of(found, "stakan_connection_up", connection="private") == 0
    for connection, now in (("account", "open"), ("market", "closed")):
        labels = {"connection": connection, "capability": "orders"}
        states = {state: of(found, "stakan_breaker_state", **labels, state=state) for state in STATES}
        assert states == dict.fromkeys(STATES, 0) | {now: 1}
    labels = {"connection": "account", "capability": "orders"}
    assert of(found, "stakan_breaker_failures_total", **labels) == 7
    assert of(found, "stakan_breaker_opened_total", **labels) == 2
    assert of(found, "stakan_rate_limit_tokens", group="order/create") == 3
    assert of(found, "stakan_rate_limit_wait_seconds", group="order/create") == 0.25


STATES = ("closed", "open", "half-open")


def differs(subject):
    return Discrepancy(instrument=BTC, subject=subject, expected="a", found="b")


def test_differences_are_counted_by_subject_without_the_names_in_them():
    metrics = some_metrics()
    subjects = (
        "finished order (s-2fzyd6t3x7enxyi5xqjztgxd54)",
        "finished order (s-ojjcqjbtbvnnhqev3l77fw7nim)",
        f"status of {BTC}#3",
        f"position {BTC}",
        "order 7f2c-1",
        "balance",
    )
    metrics.observe(a_snapshot(), Step(1, 1, tuple(differs(subject) for subject in subjects)))
    assert metrics.differences == {"finished order": 2, "status": 1, "position": 1, "order": 1, "balance": 1}
    assert of(samples(metrics), "stakan_reconciliation_differences_total", subject="finished order") == 2


@given(st.lists(st.text(st.characters(categories=("Ll",)), min_size=1, max_size=8), max_size=200))
def test_however_differences_are_named_their_metric_stays_small(names):
    metrics = some_metrics()
    metrics.observe(a_snapshot(), Step(1, 1, tuple(differs(name) for name in names)))
    assert len(metrics.differences) <= MOST_SUBJECTS + 1
    assert sum(metrics.differences.values()) == len(names)
    assert len(metrics.differences) <= MOST_SUBJECTS or OTHERS in metrics.differences


def test_breaches_are_there_before_the_first_one():
    metrics = some_metrics()
    found = samples(metrics)
    assert all(of(found, "stakan_invariant_breaches_total", number=str(number)) == 0 for number in range(1, 9))
    metrics.breach(1)
    metrics.breach(5)
    found = samples(metrics)
    assert of(found, "stakan_invariant_breaches_total", number="1") == 1
    assert of(found, "stakan_invariant_breaches_total", number="5") == 1


class AccountCompared(msgspec.Struct, frozen=True):
    """As recovery tells it."""

    differences: int = 0


def test_the_age_of_the_last_comparison_is_of_the_facts_or_of_the_adapter():
    name = "stakan_reconciliation_age_seconds"
    assert not any(key == name for key, _ in samples(some_metrics()))
    assert of(samples(some_metrics(account_read_ts=lambda: NOW - 5 * SECOND)), name) == 5
    metrics = some_metrics(account_read_ts=lambda: NOW - 5 * SECOND)
    metrics.observe(a_snapshot(), Step(1, NOW - 2 * SECOND, (AccountCompared(),)))
    assert of(samples(metrics), name) == 2


def test_the_projector_is_shown_as_it_says_and_not_at_all_where_it_says_nothing(tmp_path):
    file = tmp_path / "projector.json"
    metrics = some_metrics(projector=file)
    assert not any("projector" in name for name, _ in samples(metrics))
    file.write_text('{"health": "beh')
    assert not any("projector" in name for name, _ in samples(metrics))
    file.write_text(
        f'{{"health": "behind", "lag_steps": 7, "lag_seconds": 1.5, "updated_ts": {NOW - SECOND}, "pid": 1}}'
    )
    found = samples(metrics)
    assert of(found, "stakan_projector_lag_steps") == 7
    assert of(found, "stakan_projector_lag_seconds") == 1.5
    assert of(found, "stakan_projector_age_seconds") == 1
    assert of(found, "stakan_projector_health", state="behind") == 1


def test_queues_logs_and_the_journal_are_shown(tmp_path):
    (tmp_path / "000001.journal").write_bytes(b"x" * 100)
    (tmp_path / "000002.journal").write_bytes(b"x" * 11)
    found = samples(
        some_metrics(
            queues={"engine": lambda: 2}, dropped_lines=lambda: 4, journal=tmp_path, problems=lambda: ["a", "b"]
        )
    )
    assert of(found, "stakan_queue_depth", queue="engine") == 2
    assert of(found, "stakan_log_lines_dropped_total") == 4
    assert of(found, "stakan_journal_bytes") == 111
    assert of(found, "stakan_problems") == 2


# --- durations ------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-1000, 20 * SECOND), max_size=100))
def test_a_histogram_counts_each_duration_under_all_bounds_that_hold_it(taken):
    histogram = Histogram()
    for one in taken:
        histogram.add(one)
    for bound, (text, count) in zip(BOUNDS, histogram.buckets, strict=False):
        assert float(text) * SECOND == pytest.approx(bound)
        assert count == sum(one <= bound for one in taken)
    assert histogram.buckets[-1] == ("+Inf", len(taken))
    assert histogram.count == len(taken)
    assert histogram.sum_s == pytest.approx(sum(taken) / SECOND)


def test_stage_latencies_are_histograms():
    metrics = some_metrics()
    for taken in (3 * MS, 30 * MS):
        metrics.latencies.add(FILL, NOW, taken)
    found = samples(metrics)
    name = "stakan_stage_latency_seconds"
    assert of(found, f"{name}_count", stage="fill") == 2
    assert of(found, f"{name}_bucket", stage="fill", le="0.005") == 1
    assert of(found, f"{name}_sum", stage="fill") == pytest.approx(0.033)
    assert of(found, f"{name}_count", stage="submit") == 0


# --- exposition -----------------------------------------------------------------------------------------------------


def test_the_page_of_all_metrics_is_that_of_the_code():
    """`python -m stakan.apps.metrics` writes what belongs behind its first paragraphs."""
    assert DOCS.read_text().endswith(page())


@pytest.mark.parametrize("file", DEPLOYED, ids=lambda file: file.name)
def test_alerts_and_dashboards_ask_for_metrics_that_there_are(file):
    text = file.read_text()
    if file.suffix == ".json":
        text = " ".join(target["expr"] for panel in json.loads(text)["panels"] for target in panel["targets"])
    asked = set(re.findall(r"\bstakan_[a-z_]+", text))
    there = {family.name for family in FAMILIES if family.kind != HISTOGRAM}
    there |= {f"{family.name}_bucket" for family in FAMILIES if family.kind == HISTOGRAM}
    assert len(asked) > 10
    assert asked <= there


def test_names_are_those_that_prometheus_wants():
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert re.fullmatch(r"stakan_[a-z_]+", family.name) or family.name in OF_DASHBOARDS
        assert family.name.endswith("_total") == (family.kind == COUNTER)
        if family.kind == HISTOGRAM:
            assert family.name.endswith("_seconds")


def test_a_family_that_cannot_be_read_costs_only_itself_and_is_said_once(caplog):
    def broken():
        raise RuntimeError("the venue is gone")

    metrics = some_metrics(connections=broken)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(BotCollector(metrics))
    for _ in range(3):
        text = generate_latest(registry).decode()
    assert "stakan_connection_up" not in text
    assert "stakan_problems 0.0" in text
    assert [record.getMessage() for record in caplog.records] == ["metric stakan_connection_up cannot be read"]


def test_it_is_served_on_loopback_while_the_loop_turns():
    async def scrape():
        server = MetricsServer(MetricsSection(), some_metrics())
        await server.listen(0)
        turns = 0
        done = asyncio.Event()

        async def turning():
            nonlocal turns
            while not done.is_set():
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(turning())
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{server.port}"
            async with session.get(f"{url}/metrics") as reply:
                found = (reply.status, reply.headers["Content-Type"], await reply.text())
            async with session.get(f"{url}/else") as reply:
                other = reply.status
        done.set()
        await task
        await server.stop()
        return found, other, turns

    (status, kind, text), other, turns = asyncio.run(scrape())
    assert (status, other) == (200, 404)
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert turns > len(FAMILIES)
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"stakan_equity", "process_cpu_seconds", "python_gc_collections"} <= names


def test_a_port_that_is_taken_is_a_problem_and_no_failure():
    async def start():
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            server = MetricsServer(MetricsSection(port=taken.getsockname()[1]), some_metrics())
            await server.start()
            await server.stop()
            return server

    server = asyncio.run(start())
    assert "cannot be served" in server.problem
    assert server.port == 0


def test_port_0_serves_nothing():
    async def start():
        server = MetricsServer(MetricsSection(port=0), some_metrics())
        await server.start()
        return server.port, server.problem

    assert asyncio.run(start()) == (0, "")


def test_features_are_counted_by_channel_and_symbol():
    engine = an_engine()
    features = Features(engine, lambda: NOW)
    metrics = some_metrics(engine, features=features, dropped_vectors=lambda: 3)
    assert not [name for name, _ in samples(metrics) if name.startswith("feature_")]
    engine.step(a_snapshot())
    for _ in range(5):
        features.latest(BTC)
    found = samples(metrics)
    assert of(found, "feature_cache_hit_rate") == 0.8
    assert of(found, "stakan_feature_vectors_dropped_total") == 3
    for channel in CHANNELS:
        labels = {"feature_type": channel.value, "symbol": "BTCUSDT"}
        assert of(found, "feature_extraction_latency_seconds_count", **labels) == 1
        assert 0 < of(found, "feature_extraction_latency_seconds_sum", **labels) < 60


def test_amounts_of_any_size_are_numbers():
    metrics = some_metrics()
    metrics.engine.state.portfolio.ledger.balance = Decimal("123456789012345678901234567890.123456789")
    assert of(samples(metrics), "stakan_balance") == pytest.approx(1.2345678901234568e29)


def test_metrics_of_a_whole_run_can_be_read_at_any_step():
    steps = a_run()
    metrics = some_metrics()
    for number, (event, step) in enumerate(steps):
        metrics.observe(event, step)
        if number % 20 == 0:
            samples(metrics)
