"""Turns what a recorder has seen into the frozen result."""

from decimal import Decimal

import numpy as np

from stakan.apps.results import statistics
from stakan.apps.results.execution import ExecutionRecord, slippage
from stakan.apps.results.groups import breakdowns, fill_quality
from stakan.apps.results.model import (
    Costs,
    DataIdentity,
    EquityCurve,
    FillRow,
    Funnel,
    Health,
    PriceSeries,
    Refusal,
    RunIdentity,
    RunResult,
    Speed,
    Statistics,
    TradeRow,
    Watch,
)
from stakan.apps.results.recorder import RunRecorder
from stakan.core.domain import facts as f
from stakan.core.domain.orders import OrderStatus
from stakan.core.domain.reasons import Reason


def assemble(
    seen: RunRecorder,
    run: RunIdentity,
    data: DataIdentity,
    fingerprint: str,
    wall_seconds: float,
    currency: str = "USDT",
) -> RunResult:
    """The result of what a recorder has seen so far; the recorder can go on afterwards."""
    trades = tuple(seen.executions.trades)
    fills = seen.executions.fills(seen.end_ts)
    curve = seen.equity.curve()
    return RunResult(
        run=run,
        data=data,
        fingerprint=fingerprint,
        speed=Speed(wall_seconds=wall_seconds, events=seen.events),
        currency=currency,
        statistics=_statistics(seen, trades, fills, curve),
        breakdowns=breakdowns(trades),
        fill_quality=fill_quality(fills),
        funnel=_funnel(seen, len(trades), len(fills)),
        refusals=_refusals(seen),
        health=_health(seen),
        states=tuple(seen.states),
        equity=curve,
        prices=_prices(seen),
        trades=trades,
        fills=fills,
        orders=seen.executions.orders(),
        signals=tuple(seen.signals),
        watch=_watch(seen),
        findings=tuple(seen.findings),
    )


def _statistics(
    seen: RunRecorder, trades: tuple[TradeRow, ...], fills: tuple[FillRow, ...], curve: EquityCurve
) -> Statistics:
    nets = [t.net for t in trades]
    net = seen.equity.last - seen.initial
    sharpe, sortino = statistics.annualised(np.array(curve.ts, np.int64), np.array(curve.equity))
    return Statistics(
        initial_equity=seen.initial,
        final_equity=seen.equity.last,
        net=net,
        total_return=float(net / seen.initial) if seen.initial > 0 else None,
        drawdown=seen.equity.drawdown(seen.end_ts),
        sharpe=sharpe,
        sortino=sortino,
        profit_factor=statistics.profit_factor(nets),
        win_rate=statistics.wilson_interval(sum(n > 0 for n in nets), len(nets)),
        expectancy=statistics.mean_or_none(nets),
        average_win=statistics.mean_or_none([n for n in nets if n > 0]),
        average_loss=statistics.mean_or_none([n for n in nets if n < 0]),
        exposure_time=_exposure_time(seen, trades),
        turnover=sum((fill.notional for fill in fills), Decimal(0)),
        luck=statistics.luck(nets),
        costs=_costs(seen, seen.executions, net),
    )


def _exposure_time(seen: RunRecorder, trades: tuple[TradeRow, ...]) -> float | None:
    span = seen.end_ts - seen.start_ts
    spans = [(t.opened_ts, t.closed_ts) for t in trades]
    spans += [(since, seen.end_ts) for since in seen.open_since.values()]
    return min(1.0, statistics.covered(spans) / span) if span > 0 else None


def _costs(seen: RunRecorder, executions: ExecutionRecord, net: Decimal) -> Costs:
    facts = executions.facts()
    paid = sum((slippage(seen.instruments[fill.instrument], fill) for fill in facts), Decimal(0))
    fees = sum((fill.fee for fill in facts), Decimal(0))
    return Costs(
        at_mid=net + paid + fees + executions.funding,
        slippage=paid,
        fees=fees,
        funding=executions.funding,
        net=net,
        fills_without_mid=sum(fill.mid_ticks <= 0 for fill in facts),
    )


def _funnel(seen: RunRecorder, closed: int, fills: int) -> Funnel:
    orders = seen.executions.orders()
    refused = (OrderStatus.REJECTED, OrderStatus.FAILED)
    return Funnel(
        signals=seen.signal_count,
        signals_kept=len(seen.signals),
        signals_refused=seen.counts[f.SignalRefused],
        intents_approved=seen.counts[f.IntentApproved],
        intents_refused=seen.counts[f.IntentRefused],
        orders=len(orders),
        orders_rejected=sum(order.status in refused for order in orders),
        fills=fills,
        positions_closed=closed,
        positions_open=len(seen.open_since),
        discrepancies=seen.counts[f.Discrepancy],
        updates_ignored=seen.counts[f.OrderUpdateIgnored],
    )


def _refusals(seen: RunRecorder) -> tuple[Refusal, ...]:
    rows = sorted(seen.refusals.items(), key=lambda item: (-item[1], item[0]))
    return tuple(
        Refusal(stage=key.stage, reason=key.reason, count=count, example=seen.refusal_examples[key])
        for key, count in rows
    )


def _watch(seen: RunRecorder) -> Watch:
    return Watch(
        findings=seen.counts[f.FindingMade],
        findings_kept=len(seen.findings),
        signals_weakened=seen.weakened,
        signals_vetoed=sum(count for key, count in seen.refusals.items() if key.reason is Reason.MANIPULATION),
    )


def _health(seen: RunRecorder) -> tuple[Health, ...]:
    names = ("gaps", "crossings", "corrupt", "recoveries", "late_prints", "feed_downs")
    return tuple(
        Health(instrument=instrument, **{name: seen.health[instrument, name] for name in names})
        for instrument in seen.instruments
    )


def _prices(seen: RunRecorder) -> tuple[PriceSeries, ...]:
    return tuple(
        PriceSeries(
            instrument=instrument,
            interval_ns=series.interval_ns,
            ts=tuple(series.ts),
            mid=tuple(mid * float(seen.instruments[instrument].tick_size) for mid in series.mid),
        )
        for instrument, series in seen.mids.items()
    )
