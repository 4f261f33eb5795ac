"""For information: what the parts of the engine path cost."""

import tempfile
from decimal import Decimal
from pathlib import Path

from bench import frames
from bench._rows import Options, Row, interleaved, rate
from bench.book import BYBIT_BTC, heavy_frames
from bench.engine_path import ReadTouch
from stakan.adapters.exchanges.bybit.decode import BybitDecoder
from stakan.adapters.journal.records import Header
from stakan.adapters.journal.writing import FileJournal, JournalLimits
from stakan.core.domain.events import BookDelta, Candle
from stakan.core.domain.instrument import Category
from stakan.core.domain.units import SECOND
from stakan.core.engine import Engine, EngineConfig
from stakan.core.features.catalogue import FEATURE_SET
from stakan.core.market.book import Book
from stakan.core.market.candles import KEPT, CandleBuilder
from stakan.core.market.densities import DensityParams, DensityTracker
from stakan.core.market.levels import LevelTracker


def run(options: Options) -> list[Row]:
    """Rows `parts.*`."""
    return [_decode(options, 1), _decode(options, 60), *_levels(options), *_state(options), *_journal(options)]


def _decode(options: Options, levels: int) -> Row:
    messages = heavy_frames(options, levels)[1:]
    decode = BybitDecoder({BYBIT_BTC.id: BYBIT_BTC}, Category.LINEAR).decode

    def work() -> None:
        for frame in messages:
            decode(frame, 1)

    (ours,) = interleaved(options.repetitions, lambda: rate(len(messages), work))
    return Row(
        name=f"parts.decode_{levels}",
        what=f"raw Bybit frame of {levels} level{'s' * (levels > 1)} → event, in ticks and lots",
        unit="messages/s",
        event=f"one message of {levels} level{'s' * (levels > 1)}",
        data=frames.DATA,
        ours=ours,
    )


def _events(options: Options) -> list[BookDelta]:
    decode = BybitDecoder({BYBIT_BTC.id: BYBIT_BTC}, Category.LINEAR).decode
    messages = heavy_frames(options, 20)
    return [event for ts, frame in enumerate(messages, start=1) for event in decode(frame, ts * 1_000_000)]


def _zigzag(count: int) -> list[Candle]:
    """Candles of a second whose price goes up and down, a little farther each time."""
    bar = {"instrument": BYBIT_BTC.id, "interval_ns": SECOND, "volume": 10, "turnover": Decimal(0), "trade_count": 1}
    found = []
    for number in range(count):
        ts = (number + 1_000) * SECOND
        price = 640_000 + number + (-1) ** (number // 5) * (number % 5) * 300
        prices = {"open": price, "high": price + 100, "low": price - 100, "close": price}
        found.append(Candle(ts_event=ts, ts_recv=ts, open_ts=ts, is_closed=True, **bar, **prices))  # type: ignore[arg-type]
    return found


def _levels(options: Options) -> list[Row]:
    """What support and resistance cost per book message that changes nothing, and per closed candle."""
    candles = CandleBuilder.start(BYBIT_BTC, SECOND)
    densities = DensityTracker.start(BYBIT_BTC, DensityParams(), is_followed=False)
    tracker = LevelTracker.start()
    for candle in _zigzag(KEPT):
        candles.accept(candle)
        tracker.on_candles(candles, densities)
    book = Book(BYBIT_BTC.id)
    for event in _events(options):
        book.apply(event)
    tracker.on_book(book)
    times = options.count(200_000)
    closings = options.count(5_000)
    (messages,) = interleaved(
        options.repetitions, lambda: rate(times, lambda: [tracker.on_book(book) for _ in range(times)])
    )
    (closed,) = interleaved(
        options.repetitions,
        lambda: rate(closings, lambda: [tracker.on_candles(candles, densities) for _ in range(closings)]),
    )
    known = f"{tracker.tracked} levels"
    return [
        Row(
            name="parts.levels",
            what=f"{known} beside a book message that comes to none of them",
            unit="messages/s",
            event="one book message",
            data=frames.DATA,
            ours=messages,
        ),
        Row(
            name="parts.levels_candle",
            what=f"{known} after a candle has closed: 200 candles looked through",
            unit="candles/s",
            event="one closed candle",
            data="zigzag of 200 candles",
            ours=closed,
        ),
    ]


def _state(options: Options) -> list[Row]:
    config = EngineConfig(strategies=(("read_touch", ReadTouch()),))
    engine = Engine(config, [BYBIT_BTC])
    for event in _events(options):
        engine.step(event)
    data = engine.snapshot()
    times = options.count(2_000)
    (saves,) = interleaved(options.repetitions, lambda: rate(times, lambda: [engine.snapshot() for _ in range(times)]))
    (loads,) = interleaved(
        options.repetitions, lambda: rate(times, lambda: [engine.restore(data) for _ in range(times)])
    )
    what = f"engine state of one instrument ({len(data) / 1024:.0f} KiB)"
    one = {"unit": "snapshots/s", "event": "one snapshot", "data": frames.DATA}
    return [
        Row(name="parts.snapshot", what=f"{what} to bytes", ours=saves, **one),
        Row(name="parts.restore", what=f"{what} from bytes", ours=loads, **one),
    ]


def _journal(options: Options) -> list[Row]:
    events = _events(options)
    header = Header(
        stakan="bench",
        account="main",
        run_epoch="0",
        config_hash="",
        config="",
        instruments=(BYBIT_BTC,),
        feature_set=FEATURE_SET,
    )
    limits = JournalLimits(ballast_bytes=0)
    written: list[int] = []

    def sample() -> float:
        with tempfile.TemporaryDirectory() as folder, FileJournal(Path(folder), header, limits=limits) as journal:

            def work() -> None:
                for number, event in enumerate(events, start=1):
                    journal.event(number, event)
                journal.flush()

            measured = rate(len(events), work)
            written.append(sum(file.stat().st_size for file in Path(folder).iterdir()))
        return measured

    (ours,) = interleaved(options.repetitions, sample)
    return [
        Row(
            name="parts.journal",
            what=f"market event → journal file, compressed ({written[-1] / len(events):.0f} B each on disk)",
            unit="events/s",
            event="one book message of 20 levels",
            data=frames.DATA,
            ours=ours,
        )
    ]
