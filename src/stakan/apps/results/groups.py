"""Trades split by strategy, instrument, side, hour and exit reason; fills split by maker and taker."""

import statistics
from collections.abc import Callable, Iterable
from decimal import Decimal

import numpy as np

from stakan.apps.results.model import Breakdown, FillGroup, FillQuality, FillRow, GroupRow, TradeRow
from stakan.apps.results.statistics import mean_or_none, profit_factor, wilson_interval
from stakan.core.domain.units import DAY, HOUR, SECOND

HORIZONS = (1 * SECOND, 5 * SECOND, 30 * SECOND)
"""After which the mid is looked at again."""


def _hour(trade: TradeRow) -> str:
    return f"{trade.opened_ts % DAY // HOUR:02d}:00"


_SPLITS: tuple[tuple[str, Callable[[TradeRow], str]], ...] = (
    ("strategy", lambda t: t.strategy),
    ("instrument", lambda t: t.instrument),
    ("side", lambda t: t.side),
    ("exit reason", lambda t: t.exit_reason),
    ("hour of entry (UTC)", _hour),
)


def breakdowns(trades: tuple[TradeRow, ...]) -> tuple[Breakdown, ...]:
    """All splits; groups in order of their names."""
    return tuple(Breakdown(by=by, groups=_groups(trades, key)) for by, key in _SPLITS)


def _groups(trades: tuple[TradeRow, ...], key: Callable[[TradeRow], str]) -> tuple[GroupRow, ...]:
    split: dict[str, list[TradeRow]] = {}
    for trade in trades:
        split.setdefault(key(trade), []).append(trade)
    return tuple(_group(name, split[name]) for name in sorted(split))


def _group(name: str, trades: list[TradeRow]) -> GroupRow:
    nets = [t.net for t in trades]
    return GroupRow(
        name=name,
        trades=len(trades),
        net=sum(nets, Decimal(0)),
        fees=sum((t.fees for t in trades), Decimal(0)),
        mean=mean_or_none(nets) or 0.0,
        win_rate=wilson_interval(sum(n > 0 for n in nets), len(nets)),
        profit_factor=profit_factor(nets).value,
        median_duration_ns=int(statistics.median(t.duration_ns for t in trades)),
    )


def fill_quality(fills: tuple[FillRow, ...]) -> FillQuality:
    """Costs against the mid before, at and after the fill.

    Spread: side x (price - mid at fill) / mid. Shortfall: the same against the mid when the order was sent (Perold
    1988, Journal of Portfolio Management 14). Markout: side x (later mid - price) / price. Notional weighted.
    """
    makers = [f for f in fills if f.is_maker]
    whole = sum((f.notional for f in fills), Decimal(0))
    made = sum((f.notional for f in makers), Decimal(0))
    parts = (("all", list(fills)), ("maker", makers), ("taker", [f for f in fills if not f.is_maker]))
    return FillQuality(
        horizons_ns=HORIZONS,
        maker_share=float(made / whole) if whole else None,
        groups=tuple(_fill_group(name, part) for name, part in parts if part),
    )


def _fill_group(name: str, fills: list[FillRow]) -> FillGroup:
    weights = [float(f.notional) for f in fills]
    fees = [float(f.fee / f.notional) * 1e4 for f in fills]
    return FillGroup(
        name=name,
        fills=len(fills),
        notional=sum((f.notional for f in fills), Decimal(0)),
        fee_bps=_weighted(fees, weights),
        spread_bps=_weighted([away_bps(f, f.mid) for f in fills], weights),
        shortfall_bps=_weighted([away_bps(f, f.arrival_mid) for f in fills], weights),
        markouts_bps=tuple(_weighted([f.markouts_bps[k] for f in fills], weights) for k in range(len(HORIZONS))),
    )


def away_bps(fill: FillRow, mid: Decimal | None) -> float | None:
    """What a fill paid away from a mid, in basis points of the mid; negative is earned."""
    if mid is None:
        return None
    sign = 1 if fill.side == "buy" else -1
    return float(sign * (fill.price - mid) / mid) * 1e4


def _weighted(values: Iterable[float | None], weights: list[float]) -> float | None:
    known = [(v, w) for v, w in zip(values, weights, strict=True) if v is not None]
    if not known:
        return None
    return float(np.average([v for v, _ in known], weights=[w for _, w in known]))
