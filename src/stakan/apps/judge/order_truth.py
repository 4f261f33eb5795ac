"""Truth without planting: the orders of a LOBSTER day that were spoof-shaped, and what detectors see of them in level 2."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from stakan.adapters.importers.lobster import LobsterDay, OrderEvent, events, read_day
from stakan.apps.judge.background import Ints
from stakan.apps.judge.contenders import Contender
from stakan.apps.judge.episodes import Episode, Family
from stakan.apps.judge.intervals import Estimate, Share, bootstrapped, share
from stakan.apps.judge.schedule import Stretch
from stakan.apps.judge.scoring import Scene, tally, windows
from stakan.apps.judge.watching import watch
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.findings import Pattern
from stakan.core.domain.units import SECOND, Nanos, Side, Ticks

DAY = "lobster/GOOG_2012-06-21_10.zip"

PERCENTILE = 90.0
"""Of the sizes of all orders submitted on its side that day (decision 25, as are the others)."""
MOST_LIFE_NS = 2 * SECOND
MOST_TICKS = 10
AFTER_NS = SECOND
"""An execution on the opposite side counts until so long after the deletion."""


class OrderScore(msgspec.Struct, frozen=True, kw_only=True):
    """How a contender did against order-level truth."""

    detector: str
    threshold: float
    orders: int
    """Spoof-shaped orders of the day."""
    recall: Share
    """Of the orders."""
    precision: Share
    """Of the alarms: those that are about at least one such order."""
    auc_pr: Estimate
    """Of windows of one second."""
    anomaly_share: float
    """Share of windows that such an order touches: what chance would give."""


class _Order(NamedTuple):
    row: int
    distance: int


def spoof_shaped(day: LobsterDay) -> list[Episode]:
    """Large orders near the touch that were deleted whole within two seconds, while the other side traded."""
    large = {side: _percentile(day, side) for side in (Side.BUY, Side.SELL)}
    executions = {side: _execution_times(day, side) for side in (Side.BUY, Side.SELL)}
    standing: dict[int, _Order] = {}
    found = []
    for row, (kind, order_id) in enumerate(zip(day.kind.tolist(), day.order_id.tolist(), strict=True)):
        if kind == OrderEvent.SUBMITTED:
            standing[order_id] = _Order(row, _ticks_from_touch(day, row))
        elif kind == OrderEvent.EXECUTED:
            standing.pop(order_id, None)
        elif kind == OrderEvent.DELETED and (order := standing.pop(order_id, None)) is not None:
            side = Side(int(day.side[row]))
            began, ended = int(day.ts[order.row]), int(day.ts[row])
            is_large = day.lots[order.row] >= large[side]
            if not is_large or ended - began > MOST_LIFE_NS or order.distance > MOST_TICKS:
                continue
            first, last = np.searchsorted(executions[side.opposite], (began, ended + AFTER_NS + 1))
            if last > first:
                found.append(_episode(day, order.row, side, ended))
    return found


def score_orders(data: Path, contenders: list[Contender], thresholds: dict[str, float], seed: int) -> list[OrderScore]:
    """Show the day to those contenders that look for spoofing.

    `thresholds` are confidences by name: alarms are counted of a contender that is run `at` its own, the curve is of all
    that it says; one without a threshold counts with all too. Raises ConfigError where the day is not there.
    """
    path = data / DAY
    if not path.is_file():
        raise ConfigError(f"{path}: no such recording; leave it out with --no-lobster")
    day = read_day(path)
    judged = [contender for contender in contenders if contender.pattern is Pattern.SPOOFING]
    truth = tuple(sorted(spoof_shaped(day), key=lambda order: order.began))
    stretch = Stretch(int(day.ts[0]), int(day.ts[-1]) + 1)

    def scenes(shown: list[Contender]) -> dict[str, Scene]:
        alarms = watch(day.instrument, events(day), {one.name: one.detector for one in shown}).alarms
        return {name: Scene(stretch, truth, said) for name, said in alarms.items()}

    all_said = scenes(judged)
    as_run = scenes([one.at(thresholds[one.name]) for one in judged if one.name in thresholds])
    return [
        _score(name, thresholds.get(name, 0.0), as_run.get(name, scene), scene, seed)
        for name, scene in all_said.items()
    ]


def _score(name: str, threshold: float, as_run: Scene, all_said: Scene, seed: int) -> OrderScore:
    counts = tally([as_run], Pattern.SPOOFING, threshold)
    blocks = windows(all_said, Family.SPOOFING)
    return OrderScore(
        detector=name,
        threshold=threshold,
        orders=counts.episodes,
        recall=share(counts.hits, counts.episodes),
        precision=share(counts.true_alarms, counts.true_alarms + counts.false_alarms),
        auc_pr=bootstrapped(blocks, seed),
        anomaly_share=float(np.mean([label for block in blocks for label in block[0]])),
    )


def _percentile(day: LobsterDay, side: Side) -> float:
    submitted = (day.kind == OrderEvent.SUBMITTED) & (day.side == side)
    return float(np.percentile(day.lots[submitted], PERCENTILE)) if submitted.any() else np.inf


def _execution_times(day: LobsterDay, side: Side) -> Ints:
    """When resting orders of a side were executed, hidden ones among them."""
    executed = np.isin(day.kind, (OrderEvent.EXECUTED, OrderEvent.HIDDEN_EXECUTED)) & (day.side == side)
    times: Ints = day.ts[executed]
    return times


def _ticks_from_touch(day: LobsterDay, row: int) -> int:
    """How far behind its side's touch an order stood once it was in."""
    best = day.levels[row, 2] if day.side[row] == Side.BUY else day.levels[row, 0]
    return int(abs(best // 100 - day.price[row]))


def _episode(day: LobsterDay, row: int, side: Side, ended: int) -> Episode:
    price = Ticks(int(day.price[row]))
    return Episode(
        family=Family.SPOOFING,
        tier=0,
        side=side,
        low=price,
        high=price,
        began=Nanos(int(day.ts[row])),
        cancelled=Nanos(ended),
        ended=Nanos(ended),
        parameters={"lots": float(day.lots[row])},
    )
