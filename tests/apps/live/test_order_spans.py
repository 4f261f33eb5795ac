"""Orders of a running bot as traces: what a collector receives, held against the journal of the run."""

import asyncio
import logging
from collections import defaultdict
from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from prometheus_client import generate_latest
from tests.adapters.tracing.collector import a_collector, table
from tests.apps.live.sockets import a_run
from tests.apps.live.test_invariants import an_entry
from tests.apps.live.test_session import a_session
from tests.core.engine.builders import SECOND, a_snapshot

from stakan.adapters.journal.reading import read_recorded
from stakan.adapters.tracing.spans import Span, otel_trace_id
from stakan.apps.live.counterparties import SHADOW
from stakan.apps.live.mode import Mode
from stakan.apps.logs import LogPlan, Logs, get_logger
from stakan.apps.recorded_run import JOURNAL_FOLDER
from stakan.apps.sections import TracingSection
from stakan.apps.tracing import spans_to_collector
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import FillOrigin, OrderEvent
from stakan.core.domain.facts import FillBooked, OrderTransitioned
from stakan.core.domain.orders import OrderStatus
from stakan.core.domain.step import Step

pytestmark = [pytest.mark.usefixtures("keys", "compiled")]


class Traced:
    """A run, what a collector received of it, and what its journal says."""

    def __init__(self, mode, folder, *more):
        with a_collector() as collector:
            settings = (f'tracing.endpoint="{collector.url}"', 'tracing.service="a bot"', *more)
            self.ended, self.said = asyncio.run(a_run(mode, folder, 6, *settings))
        self.collector = collector
        self.run = self.ended.folder.name
        recorded = read_recorded(self.ended.folder / JOURNAL_FOLDER)
        self.recorded = [(event, step or Step(number, event.ts_recv)) for number, event, step in recorded]
        self.of_order = defaultdict(list)
        for span in collector.spans:
            self.of_order[table(span.attributes)["stakan.order"]].append(span)

    @property
    def sent(self):
        """Step, event and order of everything that was sent."""
        return [
            (step, event, command.order)
            for event, step in self.recorded
            for command in step.commands
            if isinstance(command, SubmitOrder)
        ]

    def root(self, order):
        (found,) = [span for span in self.of_order[order] if span.name == "order"]
        return found

    def children(self, order, name):
        return [span for span in self.of_order[order] if span.name == name]


@pytest.fixture(scope="module", params=[Mode.PAPER, Mode.TESTNET])
def traced(request, compiled, tmp_path_factory):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("BYBIT_API_KEY", "stakan-key")
        environment.setenv("BYBIT_API_SECRET", "stakan-secret")
        run = Traced(request.param, tmp_path_factory.mktemp("traced"))
    assert len(run.sent) >= 4, "a run in which nothing is sent shows nothing"
    return run


def test_every_order_is_a_root_in_the_trace_that_logs_and_audit_name(traced):
    assert set(traced.of_order) == {order.client_order_id for _, _, order in traced.sent}
    for step, event, order in traced.sent:
        root = traced.root(order.client_order_id)
        about = table(root.attributes)
        assert about["stakan.trace"] == order.intent
        assert int.from_bytes(root.trace_id, "big") == otel_trace_id(order.intent)
        assert root.parent_span_id == b""
        assert root.start_time_unix_nano == step.ts
        assert (about["stakan.run"], about["stakan.step"]) == (traced.run, step.number)
        assert about["stakan.event"] == type(event).__name__
        assert about["stakan.instrument"] == order.instrument
        assert about["stakan.side"] == order.side.name
        assert about["stakan.purpose"] == order.purpose
        assert about["stakan.strategy"] == "eager"
        assert about["stakan.reasons"]


def test_every_child_is_a_part_of_its_order(traced):
    spans = traced.collector.spans
    assert len({(span.trace_id, span.span_id) for span in spans}) == len(spans)
    for order, of_order in traced.of_order.items():
        root = traced.root(order)
        for span in of_order:
            assert span.trace_id == root.trace_id
            assert span is root or span.parent_span_id == root.span_id
            assert span.end_time_unix_nano >= span.start_time_unix_nano >= root.start_time_unix_nano


def test_stages_begin_and_end_when_the_journal_says(traced):
    spoken, fills, ends = {}, defaultdict(list), {}
    for event, step in traced.recorded:
        if isinstance(event, OrderEvent):
            spoken.setdefault(event.client_order_id, step.ts)
        for fact in step.facts:
            if isinstance(fact, FillBooked):
                fills[fact.client_order_id].append((fact.execution_id, step.ts))
            if isinstance(fact, OrderTransitioned) and fact.after.is_terminal and fact.before is not fact.after:
                ends[fact.client_order_id] = (fact.after.value, step.ts)
    assert any(fills[order.client_order_id] for _, _, order in traced.sent)
    for step, _, order in traced.sent:
        name = order.client_order_id
        (engine,), (submit,) = traced.children(name, "engine"), traced.children(name, "submit")
        assert engine.start_time_unix_nano == step.ts
        assert engine.end_time_unix_nano == submit.start_time_unix_nano
        (acknowledge,) = traced.children(name, "acknowledge")
        assert (acknowledge.start_time_unix_nano, acknowledge.end_time_unix_nano) == (step.ts, spoken[name])
        told = [
            (table(span.attributes)["stakan.execution"], span.end_time_unix_nano)
            for span in traced.children(name, "fill")
        ]
        assert told == fills[name]
        root = traced.root(name)
        assert (table(root.attributes)["stakan.status"], root.end_time_unix_nano) == ends[name]


def test_the_collector_is_told_whose_traces_they_are(traced):
    assert {one["service.name"] for one in traced.collector.resources} == {"a bot"}


def test_a_shadow_order_fails_with_its_reason(tmp_path):
    run = Traced(Mode.SHADOW, tmp_path)
    assert run.sent
    for _, _, order in run.sent:
        root = run.root(order.client_order_id)
        assert root.status.code == Status.STATUS_CODE_ERROR
        assert SHADOW in root.status.message


def test_a_bot_trades_on_while_its_collector_is_away_or_hangs(tmp_path, caplog):
    ended, _ = asyncio.run(a_run(Mode.PAPER, tmp_path / "away", 4, 'tracing.endpoint="http://127.0.0.1:9/v1/traces"'))
    assert ended.result.funnel.fills
    assert "does not take spans of orders: no answer" in caplog.text
    with a_collector() as collector:
        collector.waits.clear()
        ended, _ = asyncio.run(a_run(Mode.PAPER, tmp_path / "hangs", 4, f'tracing.endpoint="{collector.url}"'))
    assert ended.result.funnel.fills
    assert f"did not reach {collector.url}" in caplog.text


def test_headers_are_sent_and_shown_nowhere(tmp_path, monkeypatch, caplog):
    secret = "s3cret of the collector"
    monkeypatch.setenv("COLLECTOR", f"authorization=Bearer%20{secret.replace(' ', '%20')}")
    plan = LogPlan(program="bot", folder=tmp_path / "logs", level=logging.DEBUG, terminal_level=logging.CRITICAL)
    with a_collector() as collector, Logs(plan) as logs:
        section = TracingSection(endpoint=collector.url, headers_from="COLLECTOR")

        async def tell():
            async with spans_to_collector(section, logs) as spans:
                spans.put(Span(trace="e-1", name="order", key=("s-1",), start=1, end=2))
                get_logger("stakan.test").warning(f"somebody says {secret}", spans=repr(spans), section=repr(section))

        asyncio.run(tell())
    assert collector.headers[0]["authorization"] == f"Bearer {secret}"
    (file,) = (tmp_path / "logs").glob("bot_2*.log")
    assert "somebody says" in file.read_text()
    assert "s3cret" not in file.read_text()


# --- without a whole run --------------------------------------------------------------------------------------------


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self):
        self.spans = []
        self.waiting = 3
        self.dropped = 5

    def put(self, span):
        self.spans.append(span)


@asynccontextmanager
async def an_order(folder):
    """A bot that has sent one, and how it goes on: (observation, spans, order, tell)."""
    async with a_session(folder, "paper") as session:
        sink, order = Kept(), an_entry(key=next(iter(session.bot.plan.instruments)))
        session.observation.tell_of_orders(sink)

        def tell(event, step):
            session.observation.witness(event, step)
            session.bot._observe(event, step)
            session.observation._narrate()

        tell(a_snapshot(key=order.instrument, ts=SECOND), Step(1, SECOND, (), (SubmitOrder(order=order),)))
        yield session.observation, sink.spans, order, tell


def test_an_order_that_rests_at_the_end_is_told_of(tmp_path):
    async def end():
        async with an_order(tmp_path) as (observation, spans, order, _):
            before = [span.name for span in spans]
            await observation.__aexit__(None, None, None)
            return before, spans[-1], order

    before, root, order = asyncio.run(end())
    assert "order" not in before
    assert (root.name, root.start, root.parent) == ("order", SECOND, None)
    assert root.attributes["stakan.status"] == "open"
    assert root.attributes["stakan.order"] == order.client_order_id


def test_a_fill_that_comes_after_the_end_is_still_a_part_of_its_order(tmp_path):
    async def fill():
        async with an_order(tmp_path) as (observation, spans, order, tell):
            name, key = order.client_order_id, order.instrument
            gone = OrderTransitioned(
                client_order_id=name,
                instrument=key,
                before=OrderStatus.PLACED,
                after=OrderStatus.CANCELLED,
                cause="cancelled",
                filled=0,
            )
            booked = FillBooked(
                execution_id="e-1",
                client_order_id=name,
                instrument=key,
                position="p-1",
                side=order.side,
                price=100,
                size=2,
                fee=Decimal(0),
                realised_pnl=Decimal(0),
                is_maker=True,
                origin=FillOrigin.ORDER,
                ts_event=3 * SECOND,
                mid_ticks=0.0,
            )
            tell(a_snapshot(key=key, ts=2 * SECOND), Step(2, 2 * SECOND, (gone,)))
            tell(a_snapshot(key=key, ts=3 * SECOND), Step(3, 3 * SECOND, (booked, gone)))
            await observation.__aexit__(None, None, None)
            return spans

    spans = asyncio.run(fill())
    (root,) = [span for span in spans if span.name == "order"]
    (fill,) = [span for span in spans if span.name == "fill"]
    assert (root.end, root.attributes["stakan.cause"], root.error) == (2 * SECOND, "cancelled", "")
    assert (fill.start, fill.end, fill.parent) == (SECOND, 3 * SECOND, root.key)
    assert fill.attributes["stakan.execution"] == "e-1"


def test_what_waits_and_what_was_dropped_are_metrics(tmp_path):
    async def shown():
        async with an_order(tmp_path) as (observation, *_):
            return generate_latest(observation.server.registry).decode()

    text = asyncio.run(shown())
    assert 'stakan_queue_depth{queue="spans"} 3.0' in text
    assert "stakan_spans_dropped_total 5.0" in text


def test_a_bug_in_telling_of_orders_is_said_once_and_ends_nothing(tmp_path, caplog):
    async def tell():
        async with a_session(tmp_path, "paper") as session:
            session.observation.tell_of_orders(None)
            key = next(iter(session.bot.plan.instruments))
            for number in (1, 2):
                order = SubmitOrder(order=msgspec.structs.replace(an_entry(key=key), client_order_id=f"s-{number}"))
                step = Step(number, SECOND, (), (order,))
                session.observation.witness(a_snapshot(key=key, ts=SECOND), step)
                session.bot._observe(a_snapshot(key=key, ts=SECOND), step)
                session.observation._narrate()
            return session.bot.loop.failure

    assert asyncio.run(tell()) is None
    assert caplog.text.count("it trades on") == 1
