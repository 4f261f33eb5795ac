"""Spans to a collector, as OTLP over HTTP: in a thread of OpenTelemetry's SDK, at its own pace.

Importing this needs the extra `tracing`.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from stakan.adapters.tracing.spans import Span, otel_span_id, otel_trace_id

MOST_WAITING = 4_096
"""Spans; about a thousand orders."""
_AT_ONCE = 512
_EVERY_MS = 1_000
_PATIENCE_S = 5.0
"""Of one batch, its retries included."""
_WITHIN_S = 2.0
"""How long the end waits for the last spans."""
_REDIRECT = 300
_LIBRARY = "opentelemetry"
_log = logging.getLogger(__name__)


class OtlpSpans:
    """A `SpanSink` before a collector that may be away, slow or wrong.

    The first span that is lost is said; all are counted. No proxy and no password file of the machine is used.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        service: str,
        version: str,
        headers: Mapping[str, str],
        most_waiting: int = MOST_WAITING,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        """`headers` may hold secrets: they are sent and shown nowhere."""
        self._endpoint = endpoint
        self._most_waiting = most_waiting
        self._resource = Resource({"service.name": service, "service.version": version})
        self._scope = InstrumentationScope("stakan", version)
        self._offered = self._refused = 0
        self._muted = _Muted()
        self._exporter = _Counted(endpoint, headers, patience_s, self._lost)
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=most_waiting,
            schedule_delay_millis=_EVERY_MS,
            max_export_batch_size=min(_AT_ONCE, most_waiting),
        )
        self._has_said = False

    @property
    def waiting(self) -> int:
        """Spans that are in no request yet."""
        return self._offered - self._exporter.taken

    @property
    def dropped(self) -> int:
        """Spans that the collector did not take, or that there was no room for."""
        return self._refused + self._exporter.lost

    def put(self, span: Span) -> None:
        """Take a span, unless too many wait."""
        if self.waiting >= self._most_waiting:
            self._refused += 1
            return
        self._offered += 1
        self._processor.on_end(self._readable(span))

    def close(self, within_s: float = _WITHIN_S) -> None:
        """Send what waits; what has not left by then is lost."""
        # The SDK's own end waits for half a minute, and does not take another limit.
        ending = threading.Thread(target=self._processor.shutdown, name="spans-end", daemon=True)
        ending.start()
        ending.join(within_s)
        if ending.is_alive():
            self._exporter.shutdown()
        else:
            self._muted.restore()
        lost = self._refused + self._offered - self._exporter.delivered
        if lost:
            _log.warning("%s spans of orders did not reach %s", lost, self._endpoint)

    def _lost(self, why: str) -> None:
        if not self._has_said:
            self._has_said = True
            _log.warning("%s does not take spans of orders: %s; those that are lost are counted", self._endpoint, why)

    def _readable(self, span: Span) -> ReadableSpan:
        # Made directly: a tracer of the SDK would draw ids by chance and have one root in a trace.
        parent = None if span.parent is None else _context(span, span.parent)
        return ReadableSpan(
            span.name,
            context=_context(span, span.key),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=span.start,
            end_time=span.end,
            instrumentation_scope=self._scope,
        )


def _context(span: Span, key: tuple[str, ...]) -> SpanContext:
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(otel_trace_id(span.trace), otel_span_id(span.trace, key), is_remote=False, trace_flags=sampled)


class _Counted(SpanExporter):
    """The SDK's exporter, counted, and without trust in what answers."""

    def __init__(
        self, endpoint: str, headers: Mapping[str, str], patience_s: float, tell: Callable[[str], None]
    ) -> None:
        self.taken = 0
        """Spans of all requests so far."""
        self.delivered = 0
        self.lost = 0
        self._tell = tell
        self._status = 0
        session = requests.Session()
        session.trust_env = False
        # What it answers beyond the status is never read: it may have no end.
        session.stream = True
        session.hooks["response"].append(self._answered)
        self._exporter = OTLPSpanExporter(
            endpoint=endpoint,
            headers=dict(headers),
            timeout=patience_s,
            compression=Compression.Gzip,
            session=session,
        )

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, in the SDK's thread."""
        self.taken += len(spans)
        self._status = 0
        result = self._exporter.export(spans)
        # To the SDK a redirection is a success.
        if result is not SpanExportResult.SUCCESS or self._status >= _REDIRECT:
            self.lost += len(spans)
            self._tell(f"HTTP {self._status}" if self._status else "no answer")
            return SpanExportResult.FAILURE
        self.delivered += len(spans)
        return result

    def shutdown(self) -> None:
        """Break off what is under way."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK's

    def _answered(self, response: Any, *_arguments: Any, **_options: Any) -> None:
        self._status = response.status_code
        response.close()


class _Muted:
    """The SDK says every failure several times, and headers that it cannot read: none of that is for our logs."""

    def __init__(self) -> None:
        self._logger = logging.getLogger(_LIBRARY)
        self._nothing = logging.NullHandler()
        self._logger.addHandler(self._nothing)
        self._before, self._logger.propagate = self._logger.propagate, False

    def restore(self) -> None:
        """Let it speak again."""
        self._logger.removeHandler(self._nothing)
        self._logger.propagate = self._before
