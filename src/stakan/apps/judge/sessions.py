"""The recorded sessions that detectors are judged on, decoded once and kept."""

import os
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from stakan import __version__
from stakan.adapters.importers.recording import open_recording
from stakan.adapters.instruments import recorded
from stakan.apps.judge.background import Background, SessionEvent, scan
from stakan.apps.judge.schedule import Stretch
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import AnyMarketEvent, BookDelta, BookSnapshot, TradePrint, decode_array, encode_array
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import SECOND, Side

WARM_UP_NS = 60 * SECOND
"""From a session's begin: nothing is planted and no alarm counts while baselines form."""


_FORM = 1
"""Of the cache; raised when what is kept changes."""


class Session(NamedTuple):
    """One recording of one instrument."""

    name: str
    files: tuple[str, ...]
    instrument: InstrumentId
    calibration: float
    """Share of its time that thresholds may be chosen on; the rest is the test part."""
    is_liquid: bool
    """Minutes of a busy market, in which episodes are planted; else a long quiet one, for rates of false alerts."""


SESSIONS = (
    Session(
        "btc-2023",
        ("binance-l2/usdm_btcusdt_20230404.dat.gz", "binance-l2/usdm_btcusdt_20230405.dat.gz"),
        InstrumentId("binance:linear:BTCUSDT"),
        calibration=1.0,
        is_liquid=True,
    ),
    Session(
        "btc-2024",
        ("binance-l2/usdm_btcusdt_20240718.gz", "binance-l2/usdm_btcusdt_20240719.gz"),
        InstrumentId("binance:linear:BTCUSDT"),
        calibration=0.5,
        is_liquid=True,
    ),
    Session(
        "eth-2024",
        ("binance-l2/usdm_ethusdt_20240718.gz", "binance-l2/usdm_ethusdt_20240719.gz"),
        InstrumentId("binance:linear:ETHUSDT"),
        calibration=0.5,
        is_liquid=True,
    ),
    Session(
        "nexo-2024",
        ("binance-l2-thin/nexousdt_20240723.dat.gz", "binance-l2-thin/nexousdt_20240724.dat.gz"),
        InstrumentId("binance:spot:NEXOUSDT"),
        calibration=0.5,
        is_liquid=False,
    ),
)


class Parts(NamedTuple):
    """A session's stretch for choosing thresholds and the one for reporting; None where it has no such part."""

    calibration: Stretch
    test: Stretch | None


def parts(session: Session, ground: Background) -> Parts:
    """Both parts, the warm-up left out."""
    start, stop = ground.began + WARM_UP_NS, ground.ended
    border = ground.began + round(session.calibration * (ground.ended - ground.began))
    return Parts(Stretch(start, min(border, stop)), Stretch(border, stop) if session.calibration < 1 else None)


def cache_folder() -> Path:
    """Where decoded sessions are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stakan" / "judge"


def load(session: Session, data: Path, cache: Path | None) -> Background:
    """A session ready for planning, from the cache where its files are those that were decoded.

    Raises ConfigError where the files are not there, DataError where they are not sound.
    """
    files = [data / name for name in session.files]
    absent = [path for path in files if not path.is_file()]
    if absent:
        raise ConfigError(f"{absent[0]}: no such recording; --data names the folder of recorded market data")
    instruments = recorded()
    rules = instruments[session.instrument]
    kept = cache / f"{session.name}-{_digest(files)}.msgpack" if cache else None
    if kept is not None and kept.is_file():
        return _thaw(kept.read_bytes(), rules)
    events = open_recording(files, instruments).events()
    ground = scan(rules, _of_interest(events, session.instrument))
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_suffix(f".{os.getpid()}")
        beside.write_bytes(_freeze(ground))
        beside.replace(kept)
    return ground


class _Kept(msgspec.Struct, array_like=True):
    """A background as it is written."""

    events: tuple[SessionEvent, ...]
    table: list[bytes]
    print_lots: int
    prints: int


def _of_interest(events: Iterable[AnyMarketEvent], instrument: InstrumentId) -> Iterator[SessionEvent]:
    for event in events:
        if isinstance(event, BookSnapshot | BookDelta | TradePrint) and event.instrument == instrument:
            yield event


def _columns(ground: Background) -> list[npt.NDArray[np.int64]]:
    buy, sell = Side.BUY, Side.SELL
    touch, reference = ground.touch, ground.reference
    columns = [ground.ts, touch[buy], touch[sell], reference[buy], reference[sell]]
    return [*columns, ground.print_low, ground.print_high, ground.level_updates]


def _freeze(ground: Background) -> bytes:
    table = [column.astype(np.int64).tobytes() for column in _columns(ground)]
    return msgspec.msgpack.encode(_Kept(ground.events, table, ground.print_lots, ground.prints), enc_hook=encode_array)


def _thaw(data: bytes, rules: Instrument) -> Background:
    kept = msgspec.msgpack.decode(data, type=_Kept, dec_hook=decode_array)
    ts, bid, ask, bid_size, ask_size, low, high, updates = (np.frombuffer(column, np.int64) for column in kept.table)
    return Background(
        instrument=rules,
        events=kept.events,
        ts=ts,
        touch={Side.BUY: bid, Side.SELL: ask},
        reference={Side.BUY: bid_size, Side.SELL: ask_size},
        print_low=low,
        print_high=high,
        level_updates=updates,
        print_lots=kept.print_lots,
        prints=kept.prints,
    )


def _digest(files: Sequence[Path]) -> str:
    """Names what was decoded by what release: size and time of the files are enough for a cache."""
    seen = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return blake2b(f"{__version__} {_FORM} {seen}".encode(), digest_size=8).hexdigest()
