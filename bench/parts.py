"""For information: what the parts of the engine path cost."""

import tempfile
from pathlib import Path

from bench import frames
from bench._rows import Options, Row, interleaved, rate
from bench.book import BYBIT_BTC, heavy_frames
from bench.engine_path import ReadTouch
from stakan.adapters.exchanges.bybit.decode import BybitDecoder
from stakan.adapters.journal.records import Header
from stakan.adapters.journal.writing import FileJournal, JournalLimits
from stakan.core.domain.events import BookDelta
from stakan.core.domain.instrument import Category
from stakan.core.engine import Engine, EngineConfig
from stakan.core.features.catalogue import FEATURE_SET


def run(options: Options) -> list[Row]:
    """Rows `parts.*`."""
    return [_decode(options, 1), _decode(options, 60), *_state(options), *_journal(options)]


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
