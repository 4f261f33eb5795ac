"""`/metrics` in Prometheus' text format, made from the read model when it is asked for."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stakan.apps.api.link import Link
from stakan.apps.api.shown import symbol_of
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import SECOND


class BotCollector(Collector):
    """One bot's metrics. Seconds and quote currency; `symbol` is the symbol alone."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def collect(self) -> Iterable[Metric]:
        """What is known now; nothing but the link's own state before a bot was seen."""
        age = self._link.age_ns()
        yield GaugeMetricFamily("stakan_bot_up", "1 while the bot sends updates", int(self._link.state() == "live"))
        if age is not None:
            yield GaugeMetricFamily("stakan_bot_update_age_seconds", "Since its newest update", age / SECOND)
        yield from self._account()
        yield from self._books()
        yield from self._stages()
        signals = CounterMetricFamily(
            "strategy_signals",
            "Decisions by strategy and kind since the console saw the bot",
            labels=("strategy_name", "signal_type", "ml_validated"),
        )
        for (strategy, kind), count in self._link.model.signals.items():
            signals.add_metric((strategy, kind, "none"), count)
        yield signals

    def _account(self) -> Iterator[Metric]:
        model = self._link.model
        now = model.status
        if now is None:
            return
        yield GaugeMetricFamily("stakan_equity", "Positions at mark", float(now.equity))
        yield GaugeMetricFamily("stakan_balance", "Without open positions", float(now.balance))
        yield GaugeMetricFamily("stakan_exposure", "Notional at mark", float(now.exposure))
        yield GaugeMetricFamily("stakan_positions", "Not closed", len(model.positions))
        open_orders = sum(not order.status.is_terminal for order in model.orders)
        yield GaugeMetricFamily("stakan_open_orders", "Alive", open_orders)
        states = GaugeMetricFamily("stakan_trading_state", "1 for the state that is in force", labels=("state",))
        for state in TradingState:
            states.add_metric((state,), int(now.trading is state))
        yield states
        yield GaugeMetricFamily("stakan_entries_paused", "1 while an operator's pause lasts", int(now.paused))
        yield GaugeMetricFamily("stakan_exchange_connected", "1 while its streams are up", int(now.is_connected))
        yield GaugeMetricFamily("stakan_loop_lag_seconds", "Worst since the update before", now.lag_ms / 1000)
        yield GaugeMetricFamily("stakan_events_per_second", "Into the engine", now.events_per_second)
        yield CounterMetricFamily("stakan_steps", "Of the engine", now.steps)

    def _books(self) -> Iterator[Metric]:
        labels = ("symbol",)
        health = GaugeMetricFamily("stakan_book_health", "0 to 1", labels=labels)
        latency = GaugeMetricFamily("stakan_feed_latency_seconds", "Receive minus exchange time", labels=labels)
        gaps = CounterMetricFamily("stakan_book_gaps", "Sequence gaps", labels=labels)
        resyncs = CounterMetricFamily("stakan_book_resyncs", "Books begun anew", labels=labels)
        messages = CounterMetricFamily("stakan_market_messages", "Public messages", labels=labels)
        for name, book in self._link.model.books.items():
            symbol = (symbol_of(name),)
            health.add_metric(symbol, book.health)
            latency.add_metric(symbol, book.latency_ms / 1000)
            gaps.add_metric(symbol, book.gaps)
            resyncs.add_metric(symbol, book.resyncs)
            messages.add_metric(symbol, book.messages)
        yield from (health, latency, gaps, resyncs, messages)

    def _stages(self) -> Iterator[Metric]:
        now = self._link.model.status
        stages = GaugeMetricFamily("order_stage_latency_seconds", "Over the last minutes", labels=("stage", "quantile"))
        for stage in now.latencies if now else ():
            for quantile, value in (("0.5", stage.p50), ("0.99", stage.p99), ("1", stage.worst)):
                stages.add_metric((stage.stage, quantile), value / 1000)
        yield stages


def exposition(link: Link) -> bytes:
    """All metrics of one bot as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(BotCollector(link))
    return generate_latest(registry)
