"""What detectors cost: each, and all together, per message of a busy recorded session."""

import time
from itertools import islice
from typing import NamedTuple

import numpy as np

from bench._rows import Measured, Options, Row, interleaved
from stakan.adapters import instruments
from stakan.adapters.importers.recording import open_recording
from stakan.core.domain.events import BookDelta, BookSnapshot, TradePrint
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import MINUTE
from stakan.core.market.densities import DensityParams
from stakan.core.market.picture import MarketPicture
from stakan.core.plugins import Detector, load, names

PACKAGE = "stakan.core.detectors"
BTC = InstrumentId("binance:linear:BTCUSDT")
_FILES = ("binance-l2/usdm_btcusdt_20230404.dat.gz", "binance-l2/usdm_btcusdt_20230405.dat.gz")
_EVENTS = 29_045
_BAR_US = 50.0
_DATA = "Binance BTCUSDT perpetual 2023-04-04/05, every message (514 s)"

Event = BookDelta | BookSnapshot | TradePrint


class Costs(NamedTuple):
    """Microseconds, by name of the detector."""

    books: dict[str, np.ndarray]
    prints: dict[str, np.ndarray]


def run(options: Options) -> list[Row]:
    """Rows `detectors.*`."""
    events = recorded(options)
    watched = names(PACKAGE)
    taken: list[Costs] = []

    def sample() -> float:
        taken.append(costs(events, watched))
        return _p99(sum(taken[-1].books.values()))

    (together,) = interleaved(options.repetitions, sample)
    # The first round was not measured.
    rounds = taken[1:]
    rows = [
        _row("cost", "all detectors together", "book message", [sum(one.books.values()) for one in rounds], _BAR_US)
    ]
    assert rows[0].ours == together
    rows += [_row(name, f"detector {name}", "book message", [one.books[name] for one in rounds]) for name in watched]
    prints = [sum(one.prints.values()) for one in rounds]
    return [*rows, _row("print", "all detectors together", "print", prints)]


def recorded(options: Options) -> list[Event]:
    """The session's book messages and prints, or its first part."""
    assert options.data is not None
    recording = open_recording([options.data / name for name in _FILES], instruments.recorded())
    wanted = (one for one in recording.events() if isinstance(one, BookDelta | BookSnapshot | TradePrint))
    return list(islice(wanted, options.count(_EVENTS)))


def costs(events: list[Event], watched: list[str]) -> Costs:
    """What each detector takes for every message of a session."""
    rules = instruments.recorded()[BTC]
    market = MarketPicture.start(rules, DensityParams(), MINUTE, follow_densities=False)
    detectors = [load(PACKAGE, Detector, name, {}) for name in watched]
    states = [detector.start(rules) for detector in detectors]
    on_book, on_print = [one.on_book for one in detectors], [one.on_print for one in detectors]
    books: list[list[int]] = [[] for _ in watched]
    prints: list[list[int]] = [[] for _ in watched]
    for event in events:
        if isinstance(event, TradePrint):
            market.apply_print(event)
            taken, ask = prints, on_print
        else:
            market.apply_book(event)
            taken, ask = books, on_book
        for k, answer in enumerate(ask):
            began = time.perf_counter_ns()
            answer(market, event, states[k])
            taken[k].append(time.perf_counter_ns() - began)
    return Costs(
        *({name: np.array(one) / 1_000 for name, one in zip(watched, of, strict=True)} for of in (books, prints))
    )


def _row(name: str, what: str, event: str, rounds: list[np.ndarray], bar: float | None = None) -> Row:
    median = np.median([np.median(one) for one in rounds])
    return Row(
        name=f"detectors.{name}",
        what=f"{what}: 99th percentile per {event}",
        unit="us",
        event=f"one {event}",
        data=_DATA,
        ours=Measured(tuple(_p99(one) for one in rounds)),
        bar=bar,
        lower=True,
        note=f"{name}: median {median:.1f} us",
    )


def _p99(microseconds: np.ndarray) -> float:
    return float(np.quantile(microseconds, 0.99))
