"""Candle features and indicators as their definitions or TA-Lib have them: slow, and without a kernel of ours.

Tables have shape (n, 6): open, high, low, close, volume, turnover, oldest candle first.
"""

import math
import statistics
from fractions import Fraction
from itertools import pairwise

import numpy as np
import talib
from tests.core.features.candle_tables import least_trend
from tests.core.features.indicators import NEEDED, columns

from stakan.core.features._momentum_indicators import NEUTRAL as MOMENTUM
from stakan.core.market.candles import KEPT


def share(part, whole):
    return part / whole if whole else 0.0


def of_candle(table):
    """The candle channel as a textbook has it, in plain Python; only what is warm."""
    rows = table.tolist()
    o, h, low, c, volume, _ = rows[-1]
    lower, body, upper = (share(part, h - low) for part in (min(o, c) - low, abs(c - o), h - max(o, c)))
    values = {
        "open": o,
        "high": h,
        "low": low,
        "close": c,
        "volume": volume,
        "typical_price": (h + low + c) / 3,
        "high_low_range": (h - low) / c,
        "close_open_diff": (c - o) / o,
        "upper_shadow": upper,
        "lower_shadow": lower,
        "body_size": body,
        "doji_strength": 1 - body if h > low else 0,
        "hammer_strength": min(max(lower - 2 * body, 0), 1) * (1 - upper),
    }
    if len(rows) > 1:
        values |= _of_two(rows[-2], rows[-1])
    if len(rows) >= 20:
        values |= _of_twenty(rows[-20:])
    if len(rows) >= 21:
        closes, volumes = [row[3] for row in rows[-21:]], [row[4] for row in rows[-20:]]
        returns = [b / a - 1 for a, b in pairwise(closes)]
        values["realized_volatility"] = statistics.stdev([math.log(1 + r) for r in returns])
        values["price_volume_trend"] = math.fsum(v * r for v, r in zip(volumes, returns, strict=True))
    return values


def _of_two(before, last):
    typical_before, typical_price = sum(before[1:4]) / 3, sum(last[1:4]) / 3
    after_none = math.inf if last[4] else 0
    rate = last[4] / before[4] - 1 if before[4] else after_none
    flow = typical_price * last[4]
    falls, rises = typical_price < typical_before, typical_price > typical_before
    return {
        "returns": last[3] / before[3] - 1,
        "log_returns": math.log(last[3] / before[3]),
        "volume_change_rate": min(max(rate, -10), 10),
        "money_flow": flow if rises else -flow if falls else 0,
        "gap_size": (last[0] - before[3]) / before[3],
        "engulfing_strength": engulfing(before, last),
    }


def engulfing(before, last):
    size, previous = last[3] - last[0], before[3] - before[0]
    covered = min(last[0], last[3]) <= min(before[0], before[3]) and max(last[0], last[3]) >= max(before[0], before[3])
    if not covered or size * previous >= 0 or size == -previous:
        return 0
    return math.copysign(min(1, abs(size / previous) / 2), size)


def _of_twenty(rows):
    ranges = [math.log(h / low) ** 2 for _, h, low, _, _, _ in rows]
    bodies = [math.log(c / o) ** 2 for o, _, _, c, _, _ in rows]
    volume = sum(row[4] for row in rows)
    garman_klass = [0.5 * r - (2 * math.log(2) - 1) * b for r, b in zip(ranges, bodies, strict=True)]
    return {
        "parkinson_volatility": math.sqrt(statistics.fmean(ranges) / (4 * math.log(2))),
        "garman_klass_volatility": math.sqrt(statistics.fmean(garman_klass)),
        "volume_ma_ratio": rows[-1][4] / (volume / 20) if volume else 1,
        "volume_weighted_price": sum(row[5] for row in rows) / volume if volume else rows[-1][3],
    }


def of_trend(table):
    """TA-Lib's last values; NaN where it has none yet."""
    _, high, low, close, _, _ = columns(table)
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    last = {
        "sma_10": talib.SMA(close, 10),
        "sma_20": talib.SMA(close, 20),
        "sma_50": talib.SMA(close, 50),
        "ema_10": talib.EMA(close, 10),
        "ema_20": talib.EMA(close, 20),
        "ema_50": talib.EMA(close, 50),
        "macd": macd,
        "macd_signal": signal,
        "macd_histogram": histogram,
        "adx": talib.ADX(high, low, close, 14),
        "plus_di": talib.PLUS_DI(high, low, close, 14),
        "minus_di": talib.MINUS_DI(high, low, close, 14),
    }
    return {name: float(values[-1]) for name, values in last.items()}


def of_momentum(table):
    """TA-Lib's last values; it answers 0 where it would divide by nothing, we the neutral value."""
    _, high, low, close, volume, _ = columns(table)
    k, d = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
    last = {
        "rsi_14": talib.RSI(close, 14),
        "rsi_28": talib.RSI(close, 28),
        "stochastic_k": k,
        "stochastic_d": d,
        "williams_r": talib.WILLR(high, low, close, 14),
        "cci": talib.CCI(high, low, close, 20),
        "momentum_10": talib.MOM(close, 10),
        "roc": talib.ROC(close, 10),
        "mfi": talib.MFI(high, low, close, volume, 14),
    }
    last = {name: float(values[-1]) for name, values in last.items()} | still(table)
    if len(table) >= NEEDED and any(np.ptp(table[len(table) - b - 14 : len(table) - b, 1:3]) == 0 for b in range(5)):
        last |= slow_stochastic(table)
    return last


def still(table):
    """What stands still within its window."""
    _, high, low, close, volume, _ = columns(table)
    price = (high + low + close) / 3
    flat = {name for name in ("rsi_14", "rsi_28") if np.ptp(close) == 0}
    flows = volume[-14:] * (np.diff(price[-15:]) != 0) if len(table) > 14 else volume
    if not flows.any():
        flat.add("mfi")
    if np.ptp(price[-20:]) == 0:
        flat.add("cci")
    if high[-14:].max() == low[-14:].min():
        flat.add("williams_r")
    return {name: MOMENTUM[name] for name in flat}


def place(table):
    low, high = table[-14:, 2].min(), table[-14:, 1].max()
    return 100 * (table[-1, 3] - low) / (high - low) if high > low else 50


def slow_stochastic(table):
    """From its definition, for windows of which some stand still."""
    places = [place(table[: len(table) - back]) for back in range(5)]
    smoothed = [sum(places[back : back + 3]) / 3 for back in range(3)]
    return {"stochastic_k": smoothed[0], "stochastic_d": sum(smoothed) / 3}


def of_volatility(table):
    """TA-Lib's last values; Keltner's channel, which it lacks, of its mean and its range."""
    _, high, low, close, _, _ = columns(table)
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2, talib.MA_Type.SMA)
    mean, reach = talib.EMA(close, 20), 2 * talib.ATR(high, low, close, 10)
    last = {
        "bollinger_upper": upper,
        "bollinger_middle": middle,
        "bollinger_lower": lower,
        "atr_14": talib.ATR(high, low, close, 14),
        "keltner_upper": mean + reach,
        "keltner_lower": mean - reach,
    }
    return {name: float(values[-1]) for name, values in last.items()} | exact(close[-20:].tolist())


def exact(closes):
    """Width and place without rounding before the root: TA-Lib's sums of squares are too coarse to take them from."""
    prices = [Fraction(close) for close in closes]
    mean = sum(prices) / len(prices)
    deviation = math.sqrt(sum((price - mean) ** 2 for price in prices) / len(prices))
    place = 0.5 + float(prices[-1] - mean) / (4 * deviation) if deviation else 0.5
    return {"bollinger_width": 4 * deviation / float(mean), "bollinger_pct": place}


def of_volume(open_ts, table):
    """TA-Lib's last values, and the definitions of what it lacks in plain Python."""
    _, high, low, close, volume, _ = columns(table)
    rows = table.tolist()
    return {
        "obv": float(talib.OBV(close, volume)[-1]),
        "vwap": vwap(open_ts, table),
        "ad_line": float(talib.AD(high, low, close, volume)[-1]),
        "cmf": cmf(rows[-20:]),
        "vpt": math.fsum(now[4] * (now[3] / before[3] - 1) for before, now in pairwise(rows)),
        "nvi": nvi(rows),
    }


def vwap(open_ts, table):
    """As `datetime` cuts days: the date of each candle's start."""
    days = open_ts.astype("datetime64[ns]").astype("datetime64[D]")
    today = table[days == days[-1]].tolist()
    volume = sum(row[4] for row in today)
    return sum(row[5] for row in today) / volume if volume else today[-1][3]


def cmf(rows):
    """Chaikin's: the sum of ((c - l) - (h - c)) / (h - l) x volume by the sum of volume."""
    flow = [((c - low) - (h - c)) / (h - low) * v for _, h, low, c, v, _ in rows if h > low]
    volume = sum(row[4] for row in rows)
    return math.fsum(flow) / volume if volume else 0.0


def nvi(rows):
    """Without rounding: 1,000 times the growth of every candle that was traded less than the one before, bounded."""
    index = Fraction(1_000)
    for before, now in pairwise(rows):
        if now[4] < before[4]:
            index = min(Fraction(10**12), index * Fraction(now[3]) / Fraction(before[3]))
    return float(index)


def least_channel(table):
    """What CCI is exact to where the market hardly moves: 1e-14 of the price by 1.5 % of its mean deviation."""
    price = table[-20:, 1:4].sum(axis=1) / 3
    deviation = float(np.abs(price - price.mean()).mean())
    return 1e-9 + 1e-14 * price[-1] / (0.015 * deviation) if deviation else 1e-9


def of_candles(open_ts, table):
    """Both channels of enough candles by name: the value, and the difference that rounding may make; only what is warm.

    Candles are all that there were: of the day for VWAP, which is left out where they do not reach back to midnight, the
    last 200 for all else.
    """
    day, (starts, table) = (open_ts, table), (open_ts[-KEPT:], table[-KEPT:])
    trend, traded = least_trend(table), 1e-14 * table[:, 4].sum()
    price = 1e-12 * table[:, 1].max()
    indicators = {}
    if len(table) >= NEEDED:
        indicators = {**of_trend(table), **of_momentum(table), **of_volatility(table), **of_volume(starts, table)}
        indicators["vwap"] = vwap(*day)
        days = open_ts.astype("datetime64[ns]").astype("datetime64[D]")
        if days[0] == days[-1] and open_ts[0] > days[-1].astype("datetime64[ns]").astype(np.int64):
            del indicators["vwap"]
    least = {
        **dict.fromkeys(("macd", "macd_signal", "macd_histogram"), price),
        **dict.fromkeys(("obv", "ad_line"), traded),
        **dict.fromkeys(("vpt", "price_volume_trend"), trend),
        "cci": least_channel(table),
    }
    return {name: (value, least.get(name, 1e-9)) for name, value in (of_candle(table) | indicators).items()}
