"""The 110 features: a vector from live state, what a message costs, a hundred symbols, and recorded data in bulk.

The rival in the same run is the straightforward way (`peers/plain_features.py`): dictionaries, NumPy, pandas, TA-Lib. Its
numbers must be ours, else a row has failed. What the best peer's engine takes for book features is in `engine_path`.
"""

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import get_context
from typing import Any

import msgspec
import psutil

from bench._rows import Measured, Options, Row, interleaved
from bench._store import SESSIONS
from stakan.adapters import instruments
from stakan.adapters.importers.recording import open_recording
from stakan.core.domain.events import BookDelta, BookSnapshot, MarketEvent, TradePrint
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MILLISECOND, SECOND
from stakan.core.features.batch import vectors
from stakan.core.features.params import FeatureParams
from stakan.core.features.stream import MultiSymbolFeaturePipeline
from stakan.core.features.vector import FeatureVector
from stakan.core.market.candles import Column
from stakan.core.market.picture import MarketPicture

_DATA = "Binance BTCUSDT perpetual 2024-07-18/19, every message (480 s)"
_CADENCE = 500 * MILLISECOND
_STRETCHES = 7
_SYMBOLS = 100
_FED = 60 * SECOND
"""Of the market that each of a hundred symbols lives through: all windows are full."""
_ROUNDS = 20
_MEGABYTE = 1_000_000
_TABLE = ("open", "high", "low", "close", "volume", "turnover")
_PARAMS = FeatureParams()
_OF_LEVELS = frozenset(("support_level_1", "resistance_level_1", "distance_to_support", "distance_to_resistance"))


class Both(msgspec.Struct):
    """Microseconds of ours and of the plain way, one by one."""

    ours: list[float] = []
    plain: list[float] = []

    def measured(self) -> tuple[Measured, Measured]:
        """Medians of some consecutive stretches."""
        return tuple(
            Measured(tuple(statistics.median(part) for part in _parts(side))) for side in (self.ours, self.plain)
        )  # type: ignore[return-value]


def run(options: Options) -> list[Row]:
    """Rows `features.*`."""
    if options.data is None:
        return [_skipped(name) for name in ("vector", "observe", "batch", "hundred", "memory")]
    events, rules = session(options)
    return [*side_by_side(events, rules), _batch(options, events, rules), *_hundred(events, rules)]


def _skipped(name: str) -> Row:
    return Row(name=f"features.{name}", what="", unit="", event="", data="", skipped="STAKAN_DATA is not set")


def session(options: Options) -> tuple[list[MarketEvent], Instrument]:
    """Book messages and prints of the recording's first part, and the rules of its instrument."""
    known = instruments.recorded()
    assert options.data is not None
    recording = open_recording(sorted(options.data.glob(SESSIONS["btc"])), known)
    kinds = (BookDelta, BookSnapshot, TradePrint)
    events: list[Any] = [event for event in recording.events() if type(event) in kinds]
    last = events[0].ts_recv + int((events[-1].ts_recv - events[0].ts_recv) * options.scale)
    return [event for event in events if event.ts_recv <= last], known[events[0].instrument]


def _parts(values: list[float]) -> Iterator[list[float]]:
    size = max(1, len(values) // _STRETCHES)
    for k in range(_STRETCHES):
        yield values[k * size : (k + 1) * size] or values


# --- one symbol -----------------------------------------------------------------------------------------------------------


def side_by_side(events: list[MarketEvent], rules: Instrument) -> list[Row]:
    """Rows of one symbol, with the plain way beside ours; failed where the two see a feature differently."""
    from bench.peers.plain_features import PlainFeatures  # noqa: PLC0415 - pandas and TA-Lib, of the tests only

    tick, lot = float(rules.tick_size), float(rules.lot_size)
    clusters = (_PARAMS.cluster_multiple, _PARAMS.min_cluster_volume)
    plain = PlainFeatures(tick, lot, clusters, _PARAMS.reference_notional)
    messages, readings = Both([], []), Both([], [])
    differing: set[str] = set()
    # One after the other: what the plain way touches between two of our messages would leave us no cache.
    for ours, _, _, is_due in _lived(events, rules, messages.ours):
        if is_due:
            _timed(readings.ours, partial(_ours, ours, rules.id))
    candles = -1
    for ours, market, event, is_due in _lived(events, rules, []):
        if type(event) is TradePrint:
            if not event.is_rpi:
                plain.on_print(event.ts_event, event.price, event.size, int(event.side))
        else:
            _timed(messages.plain, partial(plain.on_book, event.ts_event, event.levels, event.bid_count))
        if is_due:
            closed, candles = market.candles.revision != candles, market.candles.revision
            told = _timed(readings.plain, partial(_plain, plain, market, rules, market.ts_event, closed=closed))
            differing |= _differing(_ours(ours, rules.id), told)
    vector_row, rival_row = readings.measured()
    message_row, rival_message = messages.measured()
    failed = f"differs from the plain way: {', '.join(sorted(differing)[:5])}" if differing else ""
    common = {"data": _DATA, "peer_name": "dictionaries, NumPy, pandas, TA-Lib", "lower": True, "unit": "us"}
    return [
        Row(
            name="features.vector",
            what="all 110 features from live state, every 500 ms, candles of 1 s (closed before every second reading)",
            event="one vector; a sample is the median of a seventh of the session",
            ours=vector_row,
            peer=rival_row,
            bar=150.0,
            failed=failed,
            note=f"{len(readings.ours)} vectors",
            **common,
        ),
        Row(
            name="features.observe",
            what="book message into book and feature state, no vector",
            event="one message of the recording; a sample is the median of a seventh of the session",
            ours=message_row,
            peer=rival_message,
            bar=10.0,
            **common,
        ),
    ]


def _lived(
    events: list[Any], rules: Instrument, taken: list[float]
) -> Iterator[tuple[MultiSymbolFeaturePipeline, MarketPicture, Any, bool]]:
    """Ours after each event, and whether a vector is due: windows of a minute and fifty candles are full before."""
    ours = MultiSymbolFeaturePipeline([rules], candle_interval_ns=SECOND, params=_PARAMS)
    market, due, first = ours.market(rules.id), 0, events[0].ts_event + 70 * SECOND
    gc.disable()
    try:
        for event in events:
            if type(event) is TradePrint:
                ours.take(event)
            else:
                _timed(taken, partial(ours.take, event))
            now = market.ts_event
            is_due = now >= max(due, first) and market.book.is_usable
            if is_due:
                due = (now // _CADENCE + 1) * _CADENCE
            yield ours, market, event, is_due
    finally:
        gc.enable()


def _timed(into: list[float], work: Callable[[], Any]) -> Any:
    started = time.perf_counter_ns()
    result = work()
    into.append((time.perf_counter_ns() - started) / 1_000)
    return result


def _ours(pipeline: MultiSymbolFeaturePipeline, key: InstrumentId) -> FeatureVector:
    vector = pipeline.read(key)
    vector.values  # noqa: B018 - computes all of them
    return vector


def _plain(plain: Any, market: MarketPicture, rules: Instrument, now: int, *, closed: bool) -> dict[str, float]:
    """Candle features are kept until a candle closes, as ours are."""
    if closed:
        plain.of_candles = _of_candles(plain, market, rules)
    return {**plain.book_vector(now), **plain.of_candles}


def _of_candles(plain: Any, market: MarketPicture, rules: Instrument) -> dict[str, float]:
    import pandas as pd  # noqa: PLC0415 - of the tests only

    candles = market.candles
    scales = {"volume": float(rules.lot_size), "turnover": float(rules.tick_size * rules.lot_size)}
    table = {name: candles.closed(Column[name.upper()]) * scales.get(name, float(rules.tick_size)) for name in _TABLE}
    # Candles are given to both ways, and so is what was traded in the day's that are not kept any more.
    day = candles.day()
    return plain.candle_vector(pd.DataFrame(table), (day.turnover * scales["turnover"], day.volume * scales["volume"]))


def _differing(vector: FeatureVector, told: dict[str, float]) -> set[str]:
    """Names of warm features that the plain way does not see alike; it follows no levels of support and resistance."""
    pairs = zip(vector.as_dict().items(), vector.warm.tolist(), strict=True)
    scale = abs(told["mid_price"]) * 1e-7
    return {
        name
        for (name, value), warm in pairs
        if warm
        and name not in _OF_LEVELS
        and not math.isclose(value, told[name], rel_tol=1e-6, abs_tol=1e-9 * max(scale, 1.0))
    }


# --- in bulk --------------------------------------------------------------------------------------------------------------


def _batch(options: Options, events: list[MarketEvent], rules: Instrument) -> Row:
    span = (events[-1].ts_event - events[0].ts_event) / SECOND

    def sample() -> float:
        started = time.process_time_ns()
        vectors(events, rules, candle_interval_ns=SECOND)
        return span * 1e9 / (time.process_time_ns() - started)

    (ours,) = interleaved(min(options.repetitions, 3), sample)
    return Row(
        name="features.batch",
        what="recorded session in memory → all 110 features on a 100 ms grid, one core",
        unit="x real time",
        event="a second of market in processor time",
        data=_DATA,
        ours=ours,
        bar=200.0,
    )


def _hundred(events: list[MarketEvent], rules: Instrument) -> list[Row]:
    symbols, pipeline = _many(rules)
    began = events[0].ts_recv
    rounds: list[list[MarketEvent]] = [[] for _ in range(_ROUNDS)]
    for event in events:
        if event.ts_recv < began + _FED:
            _tell_all(pipeline, symbols, event)
        elif event.ts_recv < began + _FED + _ROUNDS * _CADENCE:
            rounds[(event.ts_recv - began - _FED) // _CADENCE].append(event)
    shares = []
    for news in rounds:
        for event in news:
            _tell_all(pipeline, symbols, event)
        started = time.process_time_ns()
        for symbol in symbols:
            _ours(pipeline, symbol.id)
        shares.append(100 * (time.process_time_ns() - started) / _CADENCE)
    data = f"{_DATA}, its first {(_FED + _ROUNDS * _CADENCE) // SECOND} s {_SYMBOLS} times"
    with get_context("spawn").Pool(1) as pool:
        memory = pool.apply(_memory, (events, rules))
    return [
        Row(
            name="features.hundred",
            what=f"all 110 features of {_SYMBOLS} symbols every 500 ms, one after the other, candles of 1 s",
            unit="% of a core",
            event="one round of readings",
            data=data,
            ours=Measured(tuple(shares)),
            bar=10.0,
            lower=True,
        ),
        Row(
            name="features.memory",
            what=f"markets and features of {_SYMBOLS} symbols after {_FED // SECOND} s of a busy market: resident memory of "
            "a fresh process, what it had before taken away",
            unit="MB",
            event="one run",
            data=data,
            ours=Measured((memory,)),
            bar=400.0,
            lower=True,
        ),
    ]


def _many(rules: Instrument) -> tuple[list[Instrument], MultiSymbolFeaturePipeline]:
    key = rules.id.rpartition(":")[0]
    symbols = [msgspec.structs.replace(rules, id=InstrumentId(f"{key}:S{n}")) for n in range(_SYMBOLS)]
    return symbols, MultiSymbolFeaturePipeline(symbols, candle_interval_ns=SECOND, params=_PARAMS)


def _tell_all(pipeline: MultiSymbolFeaturePipeline, symbols: list[Instrument], event: MarketEvent) -> None:
    for symbol in symbols:
        pipeline.take(msgspec.structs.replace(event, instrument=symbol.id))


def _memory(events: list[MarketEvent], rules: Instrument) -> float:
    """Megabytes that a hundred symbols take, kernels and events not counted."""
    one = MultiSymbolFeaturePipeline([rules], candle_interval_ns=SECOND, params=_PARAMS)
    stretch = [event for event in events if event.ts_recv < events[0].ts_recv + _FED]
    for event in stretch:
        one.take(event)
    _ours(one, rules.id)
    gc.collect()
    before = psutil.Process().memory_info().rss
    symbols, pipeline = _many(rules)
    for event in stretch:
        _tell_all(pipeline, symbols, event)
    for symbol in symbols:
        _ours(pipeline, symbol.id)
    gc.collect()
    return (psutil.Process().memory_info().rss - before) / _MEGABYTE
