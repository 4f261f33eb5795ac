"""`http://HOST:PORT/metrics` of a running bot: answered family by family, between which the trading loop turns."""

import asyncio
import logging
from collections.abc import Iterable

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from stakan.apps.metrics.counting import Metrics
from stakan.apps.metrics.families import BotCollector
from stakan.apps.sections import MetricsSection

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_log = logging.getLogger(__name__)


class MetricsServer:
    """Serves one registry with the metrics of a bot, its process and its garbage collector."""

    def __init__(self, section: MetricsSection, metrics: Metrics) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(BotCollector(metrics))
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.problem = ""
        """Why nothing is served although it should be; empty where all is well."""
        self.port = 0
        """Where it listens; 0 while it does not."""
        self._section = section
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen, unless the configuration says otherwise; where the port is taken the bot goes on without."""
        if not self._section.port:
            return
        await self.listen(self._section.port)

    async def listen(self, port: int) -> None:
        """Listen there; port 0 takes a free one. Where that is not possible, `problem` says why."""
        app = web.Application()
        app.router.add_get("/metrics", self._answer)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._section.host, port).start()
        except OSError as error:
            await runner.cleanup()
            place = f"{self._section.host}:{port}"
            self.problem = f"metrics cannot be served at {place}: {error.strerror or error}; set metrics.port"
            _log.warning(self.problem)
            return
        self._runner, self.port = runner, int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Listen no more."""
        runner, self._runner, self.port = self._runner, None, 0
        if runner is not None:
            await runner.cleanup()

    async def _answer(self, _request: web.Request) -> web.Response:
        parts = []
        for family in self.registry.collect():
            parts.append(generate_latest(_Alone(family)))
            await asyncio.sleep(0)
        return web.Response(body=b"".join(parts), headers={"Content-Type": CONTENT_TYPE})


class _Alone(Collector):
    """One family as a registry of its own."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        """The family."""
        return (self._family,)
