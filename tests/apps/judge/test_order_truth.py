"""Order-level truth against orders made by hand (decision 25)."""

import numpy as np
import pytest
from tests.apps.judge.builders import RULES

from stakan.adapters.importers.lobster import LobsterDay, OrderEvent
from stakan.apps.judge.order_truth import spoof_shaped
from stakan.core.domain.units import SECOND, Side

SUBMITTED, DELETED, EXECUTED, HIDDEN = (
    OrderEvent.SUBMITTED,
    OrderEvent.DELETED,
    OrderEvent.EXECUTED,
    OrderEvent.HIDDEN_EXECUTED,
)
SMALL = [(0.001 * k, SUBMITTED, 1_000 + k, 10, 9_990, side) for k in range(20) for side in (1, -1)]
LARGE = (1.0, SUBMITTED, 7, 100, 9_995, 1)
GONE = (2.5, DELETED, 7, 100, 9_995, 1)
TRADE = (2.0, EXECUTED, 1_001, 5, 10_001, -1)


def a_day(*messages):
    rows = sorted([*SMALL, *messages], key=lambda row: row[0])
    table = np.array(rows, float)
    kind, order_id, lots, price, side = (table[:, k].astype(np.int64) for k in range(1, 6))
    levels = np.tile([1_000_100, 10, 1_000_000, 10], (len(rows), 1)).astype(np.int64)
    return LobsterDay(RULES, np.rint(table[:, 0] * SECOND).astype(np.int64), kind, order_id, lots, price, side, levels)


def test_a_large_order_deleted_whole_while_the_other_side_trades_is_spoof_shaped():
    (found,) = spoof_shaped(a_day(LARGE, GONE, TRADE))
    assert (found.side, found.low, found.high) == (Side.BUY, 9_995, 9_995)
    assert (found.began, found.ended) == (SECOND, 2.5 * SECOND)


@pytest.mark.parametrize("trade", [(3.5, EXECUTED, 1_001, 5, 10_001, -1), (2.0, HIDDEN, 0, 5, 10_001, -1)])
def test_the_second_after_and_hidden_executions_count(trade):
    assert len(spoof_shaped(a_day(LARGE, GONE, trade))) == 1


@pytest.mark.parametrize(
    "messages",
    [
        (LARGE, GONE),
        (LARGE, GONE, (2.0, EXECUTED, 1_000, 5, 9_990, 1)),
        (LARGE, GONE, (3.6, EXECUTED, 1_001, 5, 10_001, -1)),
        (LARGE, (3.1, *GONE[1:]), TRADE),
        (LARGE, GONE, TRADE, (1.5, EXECUTED, 7, 1, 9_995, 1)),
        ((1.0, SUBMITTED, 7, 100, 9_989, 1), (2.5, DELETED, 7, 100, 9_989, 1), TRADE),
        ((1.0, SUBMITTED, 7, 9, 9_995, 1), (2.5, DELETED, 7, 9, 9_995, 1), TRADE),
    ],
    ids=["no trade", "own side", "too late a trade", "too long", "executed", "too far", "too small"],
)
def test_nothing_else_is(messages):
    assert spoof_shaped(a_day(*messages)) == []
