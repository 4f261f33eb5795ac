"""Builders of small synthetic markets, and ways to look at them."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

import numpy as np

from stakan.adapters.synthetic.config import EpisodeRates, SyntheticConfig, SyntheticSymbol, demo_symbols, perpetual
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.core.domain.batch import MarketBatch, MarketWindow
from stakan.core.domain.units import SECOND, Nanos

BTC, ETH, SOL = demo_symbols()
COLUMNS = (
    ["kind", "ts_event", "ts_recv", "ts_exchange", "sequence", "previous_sequence", "level_start", "bid_count", "levels"]
)  # fmt: skip


def a_symbol(**changes) -> SyntheticSymbol:
    values = {"instrument": perpetual("TST", "0.1", "0.001", 1_000_000), "start_price": Decimal(20_000)}
    return SyntheticSymbol(**{**values, **changes})


def a_config(**changes) -> SyntheticConfig:
    values = {"symbols": (BTC, ETH), "seed": 11, "duration_ns": Nanos(20 * SECOND)}
    return SyntheticConfig(**{**values, **changes})


def busy(**changes) -> EpisodeRates:
    """Many episodes, so that short markets have them."""
    values = dict.fromkeys(("spoofing", "layering", "large_genuine", "requote", "iceberg", "density"), 6.0)
    return EpisodeRates(**{**values, "quote_stuffing": 3.0, "wash_trades": 6.0, **changes})


def batches(windows: Iterable[MarketWindow], which: int) -> Iterator[MarketBatch]:
    return (window.batches[which] for window in windows)


def bytes_of(config: SyntheticConfig, which: int = 0, until: int | None = None) -> bytes:
    """All columns of one symbol but the arrival ordinal, of what is received before `until`; windows do not show."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}
    others = []
    for batch in batches(SyntheticMarket(config).windows(), which):
        count = len(batch) if until is None else int(np.searchsorted(batch.ts_recv, until))
        for name in COLUMNS:
            column = getattr(batch, name)
            match name:
                case "levels":
                    part = column[: batch.level_start[count]]
                case "level_start":
                    part = np.diff(column)[:count]
                case "sequence":
                    part = np.where(batch.kind == 5, -1, column)[:count]
                case _:
                    part = column[:count]
            parts[name].append(part)
        others.extend(repr(other) for other in batch.others if until is None or other.ts_recv < until)
    joined = b"".join(np.concatenate(parts[name]).tobytes() for name in COLUMNS)
    return joined + "\n".join(others).encode()
