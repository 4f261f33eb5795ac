"""Spans as values, with ids that are derived: the same trace has the same id in every run that is computed again."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from stakan.core.domain.trace import TraceId
from stakan.core.domain.units import Nanos

_TRACE_BYTES, _SPAN_BYTES = 16, 8
Attribute = str | bool | int | float | Sequence[str]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time in a trace of ours."""

    trace: TraceId
    name: str
    key: tuple[str, ...]
    """Unique within its trace."""
    parent: tuple[str, ...] | None = None
    """Key of the span that it is a part of; None for a root."""
    start: Nanos
    end: Nanos
    attributes: Mapping[str, Attribute] = {}
    error: str = ""
    """Why it did not end well; empty where it did."""


class SpanSink(Protocol):
    """Where spans go. Never waits, never raises: what it cannot take is dropped and counted."""

    @property
    def waiting(self) -> int:
        """Spans that are not on their way yet."""
        ...

    @property
    def dropped(self) -> int:
        """Spans that nobody took."""
        ...

    def put(self, span: Span) -> None:
        """Take a span."""
        ...


def otel_trace_id(trace: TraceId) -> int:
    """The 128 bits that OpenTelemetry knows a trace of ours by."""
    return _number(trace, _TRACE_BYTES)


def otel_span_id(trace: TraceId, key: tuple[str, ...]) -> int:
    """The 64 bits of a span of it."""
    return _number("\x1f".join((trace, *key)), _SPAN_BYTES)


def _number(text: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest(), "big")
