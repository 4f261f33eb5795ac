"""Where traces of orders go, as it is configured."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from stakan import __version__
from stakan.adapters.tracing.spans import SpanSink
from stakan.apps.logs import Logs
from stakan.apps.secrets import collector_headers
from stakan.apps.sections import TracingSection
from stakan.core.domain.errors import ConfigError


@asynccontextmanager
async def spans_to_collector(section: TracingSection, logs: Logs | None = None) -> AsyncIterator[SpanSink | None]:
    """A place for spans while the block runs, None where none is configured; its end waits two seconds at most.

    Raises ConfigError where the extra is not installed, or headers cannot be read.
    """
    if not section.endpoint:
        yield None
        return
    require_tracing()
    # Nothing of it is imported where no traces are wanted.
    from stakan.adapters.tracing.otlp import OtlpSpans  # noqa: PLC0415

    headers = collector_headers(section.headers_from)
    if logs is not None:
        # The whole, and what stands behind a scheme such as Bearer.
        logs.hide(*headers.values(), *(value.partition(" ")[2] for value in headers.values()))
    spans = OtlpSpans(section.endpoint, service=section.service, version=__version__, headers=headers)
    try:
        yield spans
    finally:
        await asyncio.to_thread(spans.close)


def require_tracing() -> None:
    """Raises ConfigError where the extra `tracing` is not installed."""
    try:
        import_module("stakan.adapters.tracing.otlp")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "tracing.endpoint is set: install what it needs with `pip install 'stakan[tracing]'`"
        ) from error
