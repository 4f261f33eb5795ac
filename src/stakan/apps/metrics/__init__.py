"""Prometheus metrics of a running bot: counted while it runs, read when somebody asks, served on loopback."""

from stakan.apps.live.histogram import Histogram
from stakan.apps.metrics.counting import Capability, Metrics, Sources
from stakan.apps.metrics.serving import MetricsServer

__all__ = ["Capability", "Histogram", "Metrics", "MetricsServer", "Sources"]
