"""Spans on their way to a collector: what arrives, and what a collector that is away, slow or wrong cannot do."""

import logging
import socket
import time

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from tests.adapters.tracing.collector import a_collector, table

from stakan.adapters.tracing.otlp import OtlpSpans
from stakan.adapters.tracing.spans import Span, otel_span_id, otel_trace_id

SECRET = "Bearer s3cret-of-the-collector"


def a_span(number=0, **more):
    given = {"trace": "epoch-1", "name": "order", "key": (f"s-{number}",), "start": 10, "end": 30}
    return Span(**given | more)


def spans_to(url, **more):
    given = {"service": "bot", "version": "1", "headers": {"authorization": SECRET}}
    return OtlpSpans(url, **given | more)


@pytest.fixture
def collector():
    with a_collector() as found:
        yield found


@pytest.fixture
def nobody():
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return f"http://127.0.0.1:{port}/v1/traces"


def test_ids_are_derived_and_of_the_width_of_opentelemetrys():
    assert otel_trace_id("epoch-1") == otel_trace_id("epoch-1") != otel_trace_id("epoch-2")
    assert otel_span_id("epoch-1", ("a", "b")) != otel_span_id("epoch-1", ("ab",))
    assert 2**64 < otel_trace_id("epoch-1") < 2**128
    assert 0 < otel_span_id("epoch-1", ("a",)) < 2**64


def test_a_span_arrives_as_it_was_told(collector):
    spans = spans_to(collector.url)
    spans.put(a_span(attributes={"side": "BUY", "step": 7, "is_maker": True, "reasons": ("a", "b")}))
    spans.put(a_span(key=("s-0", "fill"), name="fill", parent=("s-0",), start=15, end=20, error="refused"))
    spans.close()
    root, child = collector.spans
    assert (root.name, root.start_time_unix_nano, root.end_time_unix_nano) == ("order", 10, 30)
    assert table(root.attributes) == {"side": "BUY", "step": 7, "is_maker": True, "reasons": ("a", "b")}
    assert int.from_bytes(root.trace_id, "big") == otel_trace_id("epoch-1")
    assert int.from_bytes(root.span_id, "big") == otel_span_id("epoch-1", ("s-0",))
    assert root.parent_span_id == b""
    assert (child.trace_id, child.parent_span_id) == (root.trace_id, root.span_id)
    assert (child.status.code, child.status.message) == (Status.STATUS_CODE_ERROR, "refused")
    assert collector.resources == [{"service.name": "bot", "service.version": "1"}]
    assert collector.headers[0]["authorization"] == SECRET
    assert (spans.waiting, spans.dropped) == (0, 0)


def test_an_end_sends_what_waits_in_as_many_requests_as_it_takes(collector):
    spans = spans_to(collector.url)
    for number in range(1_500):
        spans.put(a_span(number))
    spans.close()
    assert len({span.span_id for span in collector.spans}) == 1_500


@pytest.mark.parametrize("status", [302, 400, 404, 500, 503])
def test_what_a_collector_does_not_take_is_counted_and_said_once(collector, caplog, status):
    collector.status, collector.told = status, {"Location": "/login", "Retry-After": "3600"}
    spans = spans_to(collector.url)
    for number in range(2):
        spans.put(a_span(number))
        until(lambda number=number: spans.dropped == number + 1)
    said = [record.getMessage() for record in caplog.records]
    assert [line for line in said if "does not take spans" in line] == said
    assert len(said) == 1
    assert f"HTTP {status}" in said[0]
    spans.close()
    assert caplog.records[-1].getMessage() == f"2 spans of orders did not reach {collector.url}"


def test_a_collector_that_is_away_is_not_waited_for(nobody, caplog):
    spans = spans_to(nobody, patience_s=0.2)
    began = time.perf_counter()
    spans.put(a_span())
    assert time.perf_counter() - began < 1
    until(lambda: spans.dropped == 1)
    spans.close()
    assert "no answer" in caplog.text
    assert SECRET not in caplog.text


def test_there_is_room_for_so_many_and_the_rest_is_counted(collector):
    collector.waits.clear()
    spans = spans_to(collector.url, most_waiting=10)
    for number in range(10):
        spans.put(a_span(number))
    collector.until(lambda found: found.headers)
    began = time.perf_counter()
    for number in range(10, 1_000):
        spans.put(a_span(number))
    assert time.perf_counter() - began < 5
    assert spans.waiting == 10
    assert spans.dropped >= 1_000 - 20
    collector.waits.set()
    spans.close()
    assert len(collector.spans) == 1_000 - spans.dropped


def test_an_end_does_not_wait_for_a_collector_that_hangs(collector, caplog):
    collector.waits.clear()
    spans = spans_to(collector.url)
    for number in range(3):
        spans.put(a_span(number))
    collector.until(lambda found: found.headers)
    began = time.perf_counter()
    spans.close(within_s=0.3)
    assert 0.2 < time.perf_counter() - began < 5
    assert caplog.records[-1].getMessage().startswith("3 spans of orders did not reach")


def test_an_answer_without_end_is_not_read(collector):
    collector.body = b"nonsense" * 1_000_000
    spans = spans_to(collector.url)
    spans.put(a_span())
    spans.close()
    assert spans.dropped == 0
    assert len(collector.spans) == 1


def test_headers_show_nowhere(collector, caplog):
    caplog.set_level(logging.DEBUG)
    collector.status = 500
    spans = spans_to(collector.url)
    spans.put(a_span())
    until(lambda: spans.dropped == 1)
    shown = repr(spans) + str(spans)
    spans.close()
    assert collector.headers[0]["authorization"] == SECRET
    assert "s3cret" not in shown + caplog.text


def until(done, within_s=20):
    end = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)
