"""The 110 features as people write them: dictionaries for the book, NumPy and pandas for windows, TA-Lib for indicators.

Straightforward and vectorised, not slowed down: sums over arrays, `rolling` where it fits, TA-Lib's own functions.
"""

from collections import deque
from typing import Any

import numpy as np
import pandas as pd
import talib

S = 1_000_000_000
LEVELS = 50


class PlainFeatures:
    """One instrument; prices in ticks and sizes in lots come in, features in quote currency and base units go out."""

    def __init__(self, tick: float, lot: float, clusters: tuple[float, float], notional: float) -> None:
        self.tick, self.lot = tick, lot
        self.multiple, self.min_volume = clusters
        self.notional = notional
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.states: deque[tuple[float, ...]] = deque()
        self.lives: deque[tuple[int, float]] = deque()
        self.born: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.prints: deque[tuple[int, float, float, int]] = deque()

    # --- per message ------------------------------------------------------------------------------------------------

    def on_book(self, ts: int, levels: Any, bid_count: int) -> None:
        """Rows (ticks, lots), bids first."""
        for row, (price, size) in enumerate(levels.tolist()):
            side = self.bids if row < bid_count else self.asks
            if size:
                side[price] = size
            else:
                side.pop(price, None)
        bids, asks = sorted(self.bids, reverse=True)[:20], sorted(self.asks)[:20]
        for born, there in zip(self.born, (bids, asks), strict=True):
            for gone in born.keys() - set(there):
                since = born.pop(gone)
                if since:
                    self.lives.append((ts, (ts - since) / S))
            for price in there:
                # How old the levels of the first book are is not known.
                born.setdefault(price, ts if self.states else 0)
        b5, a5 = sum(self.bids[p] for p in bids[:5]), sum(self.asks[p] for p in asks[:5])
        depth = sum(self.bids[p] for p in bids[:10]) + sum(self.asks[p] for p in asks[:10])
        touch = (bids[0], self.bids[bids[0]], asks[0], self.asks[asks[0]])
        self.states.append((ts, *touch, b5 - a5, depth))
        # One state from before the window has to stay.
        while len(self.states) > 1 and self.states[1][0] <= ts - 61 * S:
            self.states.popleft()
        while self.lives and self.lives[0][0] <= ts - 60 * S:
            self.lives.popleft()

    def on_print(self, ts: int, price: int, size: int, side: int) -> None:
        """A trade; `side` is 1 for aggressive buys."""
        self.prints.append((ts, price, size, side))
        # Whole seconds reach back further than sixty of them.
        while len(self.prints) > 1_000 and self.prints[0][0] <= ts - 62 * S:
            self.prints.popleft()

    # --- per vector -------------------------------------------------------------------------------------------------

    def book_vector(self, now: int) -> dict[str, float]:
        """The 50 features of the book and of the prints against it."""
        bids = np.array(sorted(self.bids.items(), reverse=True)[:LEVELS], dtype=float)
        asks = np.array(sorted(self.asks.items())[:LEVELS], dtype=float)
        for rows in (bids, asks):
            rows[:, 0] *= self.tick
            rows[:, 1] *= self.lot
        return {**self._shape(bids, asks), **self._levels(bids, asks), **self._windows(now), **self._trades(now)}

    def _shape(self, bids: Any, asks: Any) -> dict[str, float]:
        (pb, qb), (pa, qa) = bids[0], asks[0]
        mid = (pb + pa) / 2
        out = {
            "bid_ask_spread_abs": pa - pb,
            "bid_ask_spread_rel": (pa - pb) / mid,
            "mid_price": mid,
            "micro_price": (pb * qa + pa * qb) / (qa + qb),
        }
        for n in (5, 10, LEVELS):
            b, a = bids[:n, 1].sum(), asks[:n, 1].sum()
            out[f"imbalance_{n}" if n < LEVELS else "imbalance_total"] = (b - a) / (b + a)
            for side, rows, total in (("bid", bids, b), ("ask", asks, a)):
                out[f"depth_{side}_{n}" if n < LEVELS else f"total_{side}_volume"] = total
                if n < LEVELS:
                    out[f"vwap_{side}_{n}"] = (rows[:n, 0] * rows[:n, 1]).sum() / total
        b5, a5 = out["depth_bid_5"], out["depth_ask_5"]
        out["price_pressure"] = (b5 * pa - a5 * pb) / (b5 + a5) / mid
        ratio = (out["total_bid_volume"] + self.lot) / (out["total_ask_volume"] + self.lot)
        out["book_depth_ratio"] = float(np.clip(ratio, 0.01, 100))
        weights = np.exp(-np.arange(20) / 5)
        b, a = (weights[: len(rows)] * rows[:20, 1] for rows in (bids, asks))
        out["depth_imbalance_ratio"] = (b.sum() - a.sum()) / (b.sum() + a.sum())
        values = []
        for side, rows in (("bid", bids), ("ask", asks)):
            near = rows[np.abs(rows[:, 0] - mid) <= mid * 0.005, 1]
            out[f"{side}_intensity"] = len(near) / near.mean() if len(near) else 0.0
            values.append((rows[:5, 0] * rows[:5, 1]).sum())
            out[f"liquidity_{side}_5"] = values[-1]
        out["liquidity_asymmetry"] = float(
            np.clip((values[0] + self.lot * mid) / (values[1] + self.lot * mid), 0.01, 100)
        )
        out["effective_spread"] = (self._swept(asks) - self._swept(bids)) / mid
        return out

    def _swept(self, rows: Any) -> float:
        paid = np.minimum((rows[:, 0] * rows[:, 1]).cumsum(), self.notional)
        steps = np.diff(paid, prepend=0.0)
        return float(steps.sum() / (steps / rows[:, 0]).sum())

    def _levels(self, bids: Any, asks: Any) -> dict[str, float]:
        mid = (bids[0, 0] + asks[0, 0]) / 2
        out = {}
        for side, level, rows in (("bid", "support", bids), ("ask", "resistance", asks)):
            lots = np.rint(rows[:, 1] / self.lot)
            large = lots >= self.multiple * np.median(lots)
            starts = np.flatnonzero(large & ~np.r_[False, large[:-1]])
            ends = np.flatnonzero(large & ~np.r_[large[1:], False]) + 1
            found = []
            for start, end in zip(starts, ends, strict=True):
                run = rows[start:end]
                notional, volume = (run[:, 0] * run[:, 1]).sum(), run[:, 1].sum()
                if notional >= self.min_volume:
                    found.append((volume, notional / volume))
            volume, price = max(found, default=(0.0, mid))
            nearest = found[0][1] if found else rows[-1, 0]
            out |= {
                f"largest_{side}_cluster_price": price,
                f"largest_{side}_cluster_volume": volume,
                f"num_{side}_clusters": float(len(found)),
                f"{level}_level_1": nearest,
                f"distance_to_{level}": abs(nearest - mid) / mid,
            }
        return out

    def _windows(self, now: int) -> dict[str, float]:
        states = np.array(self.states, dtype=float)
        ts, pb, qb, pa, qa, delta, depth = states.T
        inside = np.flatnonzero(ts > now - 10 * S)
        ofi = np.zeros(len(ts))
        ofi[1:] = (
            (pb[1:] >= pb[:-1]) * qb[1:]
            - (pb[1:] <= pb[:-1]) * qb[:-1]
            - (pa[1:] <= pa[:-1]) * qa[1:]
            + (pa[1:] >= pa[:-1]) * qa[:-1]
        )
        moved = np.zeros(len(ts), bool)
        moved[1:] = (states[1:, 1:5] != states[:-1, 1:5]).any(axis=1)
        before = delta[max(0, inside[0] - 1)] if len(inside) else delta[-1]
        frame = pd.Series(depth).pct_change()[ts > now - 60 * S]
        starts, ends = np.maximum(ts, now - 60 * S), np.r_[ts[1:], now]
        weights = np.maximum(ends - starts, 0)
        spread = (pa - pb) / ((pa + pb) / 2)
        mean = (weights * spread).sum() / (60 * S)
        lives = np.array([life for at, life in self.lives if at > now - 60 * S])
        return {
            "volume_delta_5": (delta[-1] - before) * self.lot,
            "order_flow_imbalance": ofi[inside].sum() * self.lot,
            "update_frequency": len(inside) / 10,
            "quote_intensity": moved[inside].sum() / 10,
            "orderbook_volatility": float(frame.std()),
            "spread_volatility": float(np.sqrt((weights * (spread - mean) ** 2).sum() / (60 * S))),
            "level_ttl_avg": float(lives.mean()) if len(lives) else 0.0,
            "level_ttl_std": float(lives.std(ddof=1)) if len(lives) > 1 else 0.0,
        }

    def _trades(self, now: int) -> dict[str, float]:
        frame = pd.DataFrame(self.prints, columns=["ts", "price", "size", "side"])
        minute = frame[frame.ts > now - 60 * S]
        buys, sells = (minute.loc[minute.side == side, "size"].sum() for side in (1, -1))
        paid = minute.price * minute["size"]
        large = minute["size"] >= np.percentile(frame["size"].to_numpy()[-1000:], 95)
        steps = np.diff(minute.price.to_numpy(dtype=float))
        covariance = np.cov(steps[1:], steps[:-1])[0, 1] if len(steps) > 2 else 0.0
        return {
            "buy_sell_ratio": float(np.clip((buys + 1) / (sells + 1), 0.01, 100)),
            "smart_money_index": float((paid * minute.side)[large].sum() / paid.sum()) if len(minute) else 0.0,
            "roll_spread": 2 * float(np.sqrt(max(-covariance, 0.0))) * self.tick,
            "trade_arrival_rate": float((minute.ts > now - 10 * S).sum() / 10),
            **self._impact(now, frame),
        }

    def _impact(self, now: int, frame: pd.DataFrame) -> dict[str, float]:
        states = np.array([(state[0], state[1] + state[3]) for state in self.states], dtype=float)
        edges = now // S * S - S * np.arange(60, -1, -1)
        mids = states[np.maximum(np.searchsorted(states[:, 0], edges, side="left") - 1, 0), 1] / 2
        rows = frame[(frame.ts >= edges[0]) & (frame.ts < edges[-1])]
        second = ((rows.ts - edges[0]) // S).to_numpy()
        volume = np.bincount(second, weights=rows["size"] * rows.side, minlength=60) * self.lot
        notional = np.bincount(second, weights=rows["size"] * rows.price, minlength=60) * self.tick * self.lot
        changes = np.diff(mids) * self.tick
        slope = np.polyfit(volume, changes, 1)[0] if len(set(volume)) > 1 else 0.0
        traded = notional > 0
        ratios = np.abs(mids[1:] / mids[:-1] - 1)[traded] / notional[traded]
        return {"kyle_lambda": float(slope), "amihud_illiquidity": float(ratios.mean()) if len(ratios) else 0.0}

    # --- per candle -------------------------------------------------------------------------------------------------

    def candle_vector(self, table: pd.DataFrame, turnover_of_day: tuple[float, float]) -> dict[str, float]:
        """The 60 features of closed candles: columns open, high, low, close, volume, turnover; oldest first."""
        o, h, low, c, v, turnover = (table[name] for name in ("open", "high", "low", "close", "volume", "turnover"))
        typical = (h + low + c) / 3
        span, body = h - low, (c - o).abs()
        logs = np.log(c / c.shift())
        upper, lower, share = (h - np.maximum(o, c)) / span, (np.minimum(o, c) - low) / span, body / span
        last = -1
        sizes = (c - o).to_numpy()
        covers = min(o.iloc[-1], c.iloc[-1]) <= min(o.iloc[-2], c.iloc[-2]) and max(o.iloc[-1], c.iloc[-1]) >= max(
            o.iloc[-2], c.iloc[-2]
        )
        engulfs = sizes[-1] * sizes[-2] < 0 and abs(sizes[-1]) > abs(sizes[-2]) and covers
        frame = pd.DataFrame(
            {
                "open": o,
                "high": h,
                "low": low,
                "close": c,
                "volume": v,
                "typical_price": typical,
                "returns": c.pct_change(),
                "log_returns": logs,
                "high_low_range": span / c,
                "close_open_diff": (c - o) / o,
                "upper_shadow": upper.fillna(0),
                "lower_shadow": lower.fillna(0),
                "body_size": share.fillna(0),
                "realized_volatility": logs.rolling(20).std(),
                "parkinson_volatility": np.sqrt((np.log(h / low) ** 2).rolling(20).mean() / (4 * np.log(2))),
                "garman_klass_volatility": np.sqrt(
                    (0.5 * np.log(h / low) ** 2 - (2 * np.log(2) - 1) * np.log(c / o) ** 2)
                    .rolling(20)
                    .mean()
                    .clip(lower=0)
                ),
                "volume_ma_ratio": v / v.rolling(20).mean(),
                "volume_change_rate": v.pct_change().clip(-10, 10).fillna(0),
                "price_volume_trend": (v * c.pct_change()).rolling(20).sum(),
                "volume_weighted_price": turnover.rolling(20).sum() / v.rolling(20).sum(),
                "money_flow": typical * v * np.sign(typical.diff()),
                "doji_strength": (1 - share).fillna(0),
                "hammer_strength": ((lower - 2 * share).clip(0, 1) * (1 - upper)).fillna(0),
                "gap_size": (o - c.shift()) / c.shift(),
            }
        ).iloc[last]
        strength = float(np.sign(sizes[-1]) * min(1.0, abs(sizes[-1]) / (2 * abs(sizes[-2])))) if engulfs else 0.0
        return {**frame.to_dict(), "engulfing_strength": strength, **self._indicators(table, turnover_of_day)}

    def _indicators(self, table: pd.DataFrame, turnover_of_day: tuple[float, float]) -> dict[str, float]:
        h, low, c, v = (table[name].to_numpy() for name in ("high", "low", "close", "volume"))
        out: dict[str, Any] = {f"sma_{n}": talib.SMA(c, n) for n in (10, 20, 50)}
        out |= {f"ema_{n}": talib.EMA(c, n) for n in (10, 20, 50)}
        out["macd"], out["macd_signal"], out["macd_histogram"] = talib.MACD(c, 12, 26, 9)
        out |= {"adx": talib.ADX(h, low, c, 14), "plus_di": talib.PLUS_DI(h, low, c, 14)}
        out |= {"minus_di": talib.MINUS_DI(h, low, c, 14), "rsi_14": talib.RSI(c, 14), "rsi_28": talib.RSI(c, 28)}
        out["stochastic_k"], out["stochastic_d"] = talib.STOCH(h, low, c, 14, 3, 0, 3, 0)
        out |= {"williams_r": talib.WILLR(h, low, c, 14), "cci": talib.CCI(h, low, c, 20)}
        out |= {"momentum_10": talib.MOM(c, 10), "roc": talib.ROC(c, 10), "mfi": talib.MFI(h, low, c, v, 14)}
        upper, middle, lower = talib.BBANDS(c, 20, 2, 2)
        out |= {"bollinger_upper": upper, "bollinger_middle": middle, "bollinger_lower": lower}
        with np.errstate(divide="ignore", invalid="ignore"):
            out |= {"bollinger_width": (upper - lower) / middle, "bollinger_pct": (c - lower) / (upper - lower)}
            flow = np.nan_to_num(((c - low) - (h - c)) / (h - low)) * v
        reach = 2 * talib.ATR(h, low, c, 10)
        out |= {"atr_14": talib.ATR(h, low, c, 14), "obv": talib.OBV(c, v), "ad_line": talib.AD(h, low, c, v)}
        out |= {"keltner_upper": out["ema_20"] + reach, "keltner_lower": out["ema_20"] - reach}
        change = np.diff(c) / c[:-1]
        values = {name: float(series[-1]) for name, series in out.items()}
        values["cmf"] = float(flow[-20:].sum() / v[-20:].sum()) if v[-20:].sum() else 0.0
        values["vpt"] = float((v[1:] * change).sum())
        values["nvi"] = float(1_000 * np.prod(1 + np.where(v[1:] < v[:-1], change, 0.0)))
        values["vwap"] = turnover_of_day[0] / turnover_of_day[1] if turnover_of_day[1] else float(c[-1])
        return values
