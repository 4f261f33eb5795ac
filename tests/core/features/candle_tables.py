"""Tables of closed candles for the tests of candle and indicator kernels: made up, and recorded."""

import numpy as np
import pyarrow.feather
from hypothesis import strategies as st

CANDLES = {
    "BTC 1m": ("binance-candles", "binance_futures_BTC_USDT_USDT-1m-futures.feather", 0.1),
    "BTC 5m": ("bybit-candles", "bybit_futures_BTC_USDT_USDT-5m-futures.feather", 0.1),
    "ETH 5m": ("bybit-candles", "bybit_futures_ETH_USDT_USDT-5m-futures.feather", 0.01),
    "SOL 15m": ("bybit-candles", "bybit_futures_SOL_USDT_USDT-15m-futures.feather", 0.001),
}
"""Recorded candles of traded prices: folder, file, tick size."""

UNIT = 60
"""Made-up prices are multiples of this: thirds of sums of three and means of 20 stay whole, as nothing else keeps an
indicator that divides one small difference by another from showing its library's rounding."""


def one_candle(highest=1_500):
    """Open, high, low, close, volume, turnover in whole numbers; some are flat, some without trade."""
    return st.builds(_candle, st.lists(st.integers(1, highest), min_size=4, max_size=4), st.integers(0, 5), volumes)


volumes = st.one_of(st.integers(1, 10**6), st.just(0))

impossible_candle = st.tuples(
    *[st.sampled_from((0.0, 1e-9, 1e-6, 1.0, 1e5, 1e9))] * 4, *[st.sampled_from((0.0, 1e-9, 1.0, 1e12))] * 2
)
"""Prices of nothing, jumps over eighteen decades, highs under lows, turnover without volume."""


def _candle(prices, shape, volume):
    low, one, other, high = sorted(prices)
    if shape == 0:
        low = one = other = high = prices[0]
    opened, closed = (one, other) if prices[0] % 2 else (other, one)
    if shape == 1:
        opened, closed = low, high
    return (*(UNIT * price for price in (opened, high, low, closed)), volume, UNIT * volume * (low + high) / 2)


def tables(min_size=0, max_size=200):
    """Independent candles, tables of a few values only (many ties), and still markets."""
    return st.one_of(
        _rows(one_candle(), min_size, max_size),
        _rows(one_candle(highest=4), min_size, max_size),
        st.integers(1, 5).flatmap(lambda step: _walks(step, min_size, max_size)),
    )


def _rows(candle, min_size, max_size):
    # A drawn pattern is repeated: two hundred separate draws are slow, and shrink badly.
    return st.builds(
        _shuffled,
        st.lists(candle, min_size=1, max_size=40),
        st.integers(min_size, max_size),
        st.integers(0, 2**32 - 1),
    )


def _shuffled(rows, size, seed):
    picked = np.random.default_rng(seed).integers(0, len(rows), size)
    return np.array(rows, np.float64).reshape(-1, 6)[picked]


def _walks(step, min_size, max_size):
    return st.builds(
        lambda size, seed: a_walk(size, seed, step),
        st.integers(min_size, max_size),
        st.integers(0, 2**32 - 1),
    )


def a_walk(size, seed=0, step=3):
    """Candles of a random walk: each opens near the previous close."""
    generator = np.random.default_rng(seed)
    close = UNIT * np.maximum(10, 1_000 + np.cumsum(generator.integers(-step, step + 1, size)))
    opened = close + UNIT * generator.integers(-step, step + 1, size)
    high = np.maximum(opened, close) + UNIT * generator.integers(0, step, size)
    low = np.minimum(opened, close) - UNIT * generator.integers(0, step, size)
    volume = generator.integers(0, 1_000, size)
    return np.column_stack((opened, high, low, close, volume, volume * (high + low) / 2)).astype(np.float64)


def recorded_table(recorded, name):
    """Start times in nanoseconds, shape (n,), and the whole table, shape (n, 6), in ticks as the engine keeps them.

    Turnover, which the files lack, is volume at the typical price.
    """
    folder, file, tick = CANDLES[name]
    read = pyarrow.feather.read_table(recorded / folder / file)
    opened, high, low, close = (
        np.rint(read.column(column).to_numpy() / tick) for column in ("open", "high", "low", "close")
    )
    volume = read.column("volume").to_numpy()
    table = np.column_stack((opened, high, low, close, volume, volume * (high + low + close) / 3))
    return read.column("date").cast("int64").to_numpy() * _to_nanoseconds(read), table


def in_quote_currency(table, name):
    """The same candles as the file has them, in decimals that binary numbers round."""
    prices = np.round(table[:, :4] * CANDLES[name][2], 3)
    return np.column_stack((prices, table[:, 4], table[:, 5] * CANDLES[name][2]))


def _to_nanoseconds(read):
    return {"ms": 1_000_000, "us": 1_000, "ns": 1}[read.schema.field("date").type.unit]


def least_trend(table):
    """What a sum of volume x return is exact to where it cancels out: 1e-12 of what was added up, and of its returns."""
    growth = table[1:, 3] / table[:-1, 3] + 1
    return 1e-12 * float((table[1:, 4] * growth).sum())


def windows(size, count, length=200):
    """`count` slices of up to `length` rows, spread over a table of `size` rows; the first are short ones."""
    ends = np.linspace(1, size, count).astype(int)
    return [slice(max(0, end - length), end) for end in (*range(1, length + 1, 7), *ends)]
