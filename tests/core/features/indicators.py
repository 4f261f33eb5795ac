"""How tests read the indicator channel, by name, and compare it with TA-Lib."""

import numpy as np
import pytest

from stakan.core.features import _indicator_kernels as kernels

NAMES = tuple(kernels.NEUTRAL)
MINUTE = 60 * 10**9
DAY = 24 * 60 * MINUTE
NEEDED = 50


def read(table, open_ts=None):
    """Values and warmth by name; the candles are all that there are of their day."""
    out, warm = np.full(len(NAMES), np.nan), np.ones(len(NAMES), np.bool_)
    kernels.read(table, *day_of(minutes(len(table)) if open_ts is None else open_ts, table), out, warm)
    return dict(zip(NAMES, out.tolist(), strict=True)), dict(zip(NAMES, warm.tolist(), strict=True))


def day_of(open_ts, table):
    """Turnover and volume of the last candle's UTC day, and whether the candles reach back to its start."""
    if len(table) == 0:
        return 0.0, 0.0, False
    midnight = open_ts[-1] // DAY * DAY
    today = table[open_ts >= midnight]
    return today[:, 5].sum(), today[:, 4].sum(), bool(open_ts[0] <= midnight)


def minutes(count, first=20_000 * DAY):
    """Start times of one-minute candles, the first at midnight."""
    return first + MINUTE * np.arange(count, dtype=np.int64)


def columns(table):
    """Open, high, low, close, volume, turnover, each contiguous."""
    return tuple(np.ascontiguousarray(column) for column in table.T)


def compare_with(expected, neutral, table, absolute=1e-9):
    """Hold the indicators that `neutral` names against the values expected of them, to 1e-9 relative."""
    values, warm = read(table)
    for name, otherwise in neutral.items():
        assert warm[name] == (len(table) >= NEEDED), name
        assert not np.isnan(expected[name]) or not warm[name], name
        assert values[name] == pytest.approx(expected[name] if warm[name] else otherwise, rel=1e-9, abs=absolute), name
