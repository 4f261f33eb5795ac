"""What the scripts of the page get: columns thinned to what a screen can show, times in milliseconds."""

import itertools
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.apps.report.words import plain
from stakan.apps.results.model import FindingRow, RunResult, TradeRow
from stakan.core.domain.units import MILLISECOND, SECOND

EQUITY_POINTS = 4_000
PRICE_POINTS = 40_000
"""Of all price charts together."""
MAX_PRICE_CHARTS = 24
MOST_FINDINGS = 4_000
"""That are drawn: the newest."""


class Equity(msgspec.Struct, frozen=True):
    """Curves over time; `initial` is the dotted line."""

    ts: list[float]
    equity: list[float]
    exposure: list[float]
    drawdown: list[float]
    initial: float


class Price(msgspec.Struct, frozen=True):
    """Mid of one instrument."""

    instrument: str
    ts: list[float]
    mid: list[float]


class Trade(msgspec.Struct, frozen=True):
    """One row of the trade table."""

    number: int
    instrument: str
    strategy: str
    side: str
    size: str
    entry: str
    exit: str
    entry_shown: str
    exit_shown: str
    opened: float
    closed: float
    seconds: float
    gross: str
    slippage: str
    fees: str
    funding: str
    net: str
    strength: float | None
    reasons: tuple[str, ...]
    exit_reason: str
    features: dict[str, float]


class Mark(msgspec.Struct, frozen=True):
    """A finding on the price chart; `price` is the middle of its prices, None where it is of no price."""

    instrument: str
    ts: float
    price: float | None
    pattern: str
    text: str


class CostBars(msgspec.Struct, frozen=True):
    """The bars from the result at mid down to the net result."""

    at_mid: float
    slippage: float
    fees: float
    funding: float
    net: float


class Markout(msgspec.Struct, frozen=True):
    """One line of the markout chart, from the moment of the fill."""

    name: str
    seconds: list[float]
    bps: list[float | None]


class Payload(msgspec.Struct, frozen=True):
    """All of it."""

    currency: str
    equity: Equity
    prices: list[Price]
    trades: list[Trade]
    findings: list[Mark]
    costs: CostBars
    markouts: list[Markout]


def payload(result: RunResult) -> Payload:
    """Data of a run's page; prices of instruments that traded come first."""
    costs = result.statistics.costs
    return Payload(
        currency=result.currency,
        equity=_equity(result),
        prices=_prices(result),
        trades=[_trade(t) for t in result.trades],
        findings=[_mark(found) for found in result.findings[-MOST_FINDINGS:]],
        costs=CostBars(
            float(costs.at_mid), float(costs.slippage), float(costs.fees), float(costs.funding), float(costs.net)
        ),
        markouts=_markouts(result),
    )


def extremes(values: npt.NDArray[np.float64], limit: int) -> npt.NDArray[np.int64]:
    """Index of first, last, and the lowest and highest value of each of limit / 2 stretches, ascending."""
    count = len(values)
    if count <= limit:
        return np.arange(count)
    edges = np.linspace(0, count, max(limit // 2, 1) + 1).astype(np.int64)
    picked = [0, count - 1]
    for start, end in itertools.pairwise(edges):
        picked += [int(start + np.argmin(values[start:end])), int(start + np.argmax(values[start:end]))]
    return np.unique(np.array(picked, np.int64))


def milliseconds(ts: Sequence[int]) -> list[float]:
    """Times for the charts."""
    return [at / MILLISECOND for at in ts]


def _equity(result: RunResult) -> Equity:
    curve = result.equity
    both = [extremes(np.array(column), EQUITY_POINTS) for column in (curve.equity, curve.drawdown)]
    keep = np.unique(np.concatenate(both)).tolist()
    return Equity(
        ts=milliseconds([curve.ts[i] for i in keep]),
        equity=[curve.equity[i] for i in keep],
        exposure=[curve.exposure[i] for i in keep],
        drawdown=[curve.drawdown[i] for i in keep],
        initial=float(result.statistics.initial_equity),
    )


def _prices(result: RunResult) -> list[Price]:
    traded = {t.instrument for t in result.trades}
    series = sorted((p for p in result.prices if p.ts), key=lambda p: (p.instrument not in traded, p.instrument))
    series = series[:MAX_PRICE_CHARTS]
    prices = []
    for one in series:
        keep = extremes(np.array(one.mid), PRICE_POINTS // len(series)).tolist()
        prices.append(
            Price(one.instrument, milliseconds([one.ts[i] for i in keep]), [float(f"{one.mid[i]:.10g}") for i in keep])
        )
    return prices


def _trade(trade: TradeRow) -> Trade:
    return Trade(
        number=trade.number,
        instrument=trade.instrument,
        strategy=trade.strategy,
        side=trade.side,
        size=f"{trade.size.normalize():f}",
        entry=str(trade.entry_price),
        exit=str(trade.exit_price),
        entry_shown=shown_price(trade.entry_price),
        exit_shown=shown_price(trade.exit_price),
        opened=trade.opened_ts / MILLISECOND,
        closed=trade.closed_ts / MILLISECOND,
        seconds=trade.duration_ns / SECOND,
        gross=shown_price(trade.gross),
        slippage=shown_price(trade.slippage),
        fees=shown_price(trade.fees),
        funding=shown_price(trade.funding),
        net=shown_price(trade.net),
        strength=trade.strength,
        reasons=trade.entry_reasons,
        exit_reason=plain(trade.exit_reason),
        features=trade.features,
    )


def _mark(found: FindingRow) -> Mark:
    price = None if found.low is None or found.high is None else float(found.low + found.high) / 2
    side = f" of {found.side}s" if found.side else ""
    evidence = "<br>".join(f"{plain(name)} {value:.4g}" for name, value in found.evidence.items())
    text = f"{plain(found.pattern)}{side}, {found.stage}, confidence {found.confidence:.2f}<br>{evidence}"
    return Mark(found.instrument, found.ts_event / MILLISECOND, price, plain(found.pattern), text)


def shown_price(value: Decimal) -> str:
    """At most ten significant digits, without an exponent: an average price can be a long fraction."""
    return f"{Decimal(f'{value:.10g}'):f}"


def _markouts(result: RunResult) -> list[Markout]:
    seconds = [0.0, *(h / SECOND for h in result.fill_quality.horizons_ns)]
    return [
        Markout(g.name, seconds, [None if g.spread_bps is None else -g.spread_bps, *g.markouts_bps])
        for g in result.fill_quality.groups
    ]
