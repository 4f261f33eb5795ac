"""Two or more runs beside each other: are they the same experiment, and where do the numbers differ."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import numpy as np

from stakan.apps.report.page import Section, escape, render_page, table
from stakan.apps.report.payload import EQUITY_POINTS, extremes, milliseconds
from stakan.apps.report.tiles import headline
from stakan.apps.report.words import duration, money, percent
from stakan.apps.results.model import RunResult


class RunNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared of one run."""

    id: str
    source: str
    is_synthetic: bool
    config_hash: str
    fingerprint: str
    net: Decimal
    net_difference: Decimal
    """Against the first run."""
    total_return: float | None
    drawdown: float
    positions: int
    win_rate: float | None
    profit_factor: float | None
    sharpe: float | None
    fees: Decimal
    events_per_second: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Runs in the order in which they were named."""

    same_data: bool
    same_config: bool
    same_fingerprint: bool
    runs: tuple[RunNumbers, ...]


class _Curve(msgspec.Struct, frozen=True):
    name: str
    ts: list[float]
    change: list[float]


class _Overlay(msgspec.Struct, frozen=True):
    runs: list[_Curve]


def compare(results: Sequence[RunResult]) -> Comparison:
    """The comparison of at least one run."""
    # Not the times: a run goes on after its last market event while it has something to close.
    data = {(r.data.digest or r.data.source, frozenset(r.data.instruments)) for r in results}
    return Comparison(
        same_data=len(data) == 1,
        same_config=len({r.run.config_hash for r in results}) == 1,
        same_fingerprint=len({r.fingerprint for r in results}) == 1,
        runs=tuple(_numbers(r, results[0]) for r in results),
    )


def verdicts(comparison: Comparison) -> tuple[str, ...]:
    """What may be concluded, in sentences."""
    if comparison.same_fingerprint:
        first = "Fingerprints are equal: every step of these runs is the same, to the byte."
    elif comparison.same_data and comparison.same_config:
        first = "Same data and configuration but different fingerprints: the code or its versions differ."
    else:
        first = "Fingerprints differ."
    data = (
        "Same data." if comparison.same_data else "Different data: differences of the numbers are not the strategy's."
    )
    config = "Same configuration." if comparison.same_config else "Different configurations."
    synthetic = any(run.is_synthetic for run in comparison.runs)
    extra = ("SYNTHETIC DATA among them: it says nothing about a real market.",) if synthetic else ()
    choice = "Choosing the best of several runs makes its result look better than it is. No profit is promised."
    return (first, data, config, *extra, choice)


def render_comparison(results: Sequence[RunResult]) -> str:
    """One self-contained HTML file."""
    comparison = compare(results)
    sentences = "".join(f"<li>{escape(line)}</li>" for line in verdicts(comparison))
    parts = [
        Section("honesty", "Worth", "What may be compared", f"<ul>{sentences}</ul>"),
        Section("equity", "Equity", "Equity", '<div id="overlay" class="chart tall"></div>'),
        Section("numbers", "Numbers", "Numbers", _headlines(results, comparison)),
        Section("identity", "Identity", "Identity", _identities(results)),
    ]
    title = f"Comparison of {len(results)} runs"
    top = f'<header class="top"><h1>{title}</h1><p class="sub">Differences are against the first run.</p></header>'
    return render_page(title, top, parts, _Overlay([_curve(r) for r in results]), "compare.js")


def _numbers(result: RunResult, first: RunResult) -> RunNumbers:
    s = result.statistics
    return RunNumbers(
        id=result.run.id,
        source=result.data.source,
        is_synthetic=result.data.is_synthetic,
        config_hash=result.run.config_hash,
        fingerprint=result.fingerprint,
        net=s.net,
        net_difference=s.net - first.statistics.net,
        total_return=s.total_return,
        drawdown=s.drawdown.fraction,
        positions=result.funnel.positions_closed,
        win_rate=s.win_rate.value,
        profit_factor=s.profit_factor.value,
        sharpe=s.sharpe.value,
        fees=s.costs.fees,
        events_per_second=result.speed.events_per_second,
    )


def _headlines(results: Sequence[RunResult], comparison: Comparison) -> str:
    columns = [headline(r) for r in results]
    rows = [(tiles[0].name, *(escape(t.value) for t in tiles)) for tiles in zip(*columns, strict=True)]
    differences = [money(run.net_difference, signed=True) for run in comparison.runs]
    rows.insert(1, ("Net against the first", *differences))
    splits = [r.statistics.costs for r in results]
    rows.append(("Spread and slippage", *(money(c.slippage) for c in splits)))
    rows.append(("Funding", *(money(c.funding) for c in splits)))
    rows.append(("Maker share", *(percent(r.fill_quality.maker_share, 1) for r in results)))
    return table(("", *(escape(r.run.id) for r in results)), rows)


def _identities(results: Sequence[RunResult]) -> str:
    rows = (
        ("Data", [r.data.source for r in results]),
        ("Synthetic", ["yes" if r.data.is_synthetic else "no" for r in results]),
        ("Span", [duration(r.data.last_ts - r.data.first_ts) for r in results]),
        ("Sample", [r.data.sample.replace("_", " ") for r in results]),
        ("Configuration", [r.run.config_hash[:16] for r in results]),
        ("Fingerprint", [r.fingerprint[:16] for r in results]),
    )
    return table(
        ("", *(escape(r.run.id) for r in results)), [(name, *(escape(v) for v in values)) for name, values in rows]
    )


def _curve(result: RunResult) -> _Curve:
    equity = np.array(result.equity.equity)
    keep = extremes(equity, EQUITY_POINTS).tolist()
    start = float(result.statistics.initial_equity) or 1.0
    return _Curve(
        name=result.run.id,
        ts=milliseconds([result.equity.ts[i] for i in keep]),
        change=[100 * (float(equity[i]) / start - 1) for i in keep],
    )
