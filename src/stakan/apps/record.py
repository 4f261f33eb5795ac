"""Records a live market: Parquet always, raw frames on request.

Frames are stamped and decoded on the event loop and written by a thread, so that a slow disk does not spoil receive
times. Parts are finished at fixed moments (every ten minutes by default, so every hour begins one): a recorder that is
killed loses no more than that, and what is there is readable.
"""

import asyncio
import contextlib
import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import msgspec
import numpy as np
import pyarrow as pa

from stakan.adapters.exchanges.bybit.endpoints import Environment
from stakan.adapters.exchanges.bybit.feed import FeedLimits, PublicFeed
from stakan.adapters.exchanges.bybit.market_client import MarketClient
from stakan.adapters.exchanges.bybit.rest import Keys
from stakan.adapters.exchanges.bybit.topics import Topics
from stakan.adapters.parquet.schema import Source
from stakan.adapters.parquet.writer import MarketWriter, Publish
from stakan.apps.durations import duration_ns
from stakan.apps.settings import Settings
from stakan.apps.universe import Universe
from stakan.core.domain.errors import DataError, StakanError, StorageError, VenueError
from stakan.core.domain.events import AnyMarketEvent
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Category
from stakan.core.domain.units import MINUTE, SECOND, Nanos

_MOST_WAITING = 1_000_000
"""Events; a disk that is this far behind will not catch up."""
_STATUS_S = 1.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded and where."""

    environment: Environment
    data: Path
    raw: Path | None = None
    """Folder of raw frames."""
    part_ns: Nanos = Nanos(10 * MINUTE)
    length_ns: Nanos | None = None
    """None: until stopped."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How a recording goes."""

    instruments: tuple[InstrumentId, ...]
    events: dict[str, int]
    """Counts by type of event."""
    waiting: int
    """Events that are not written yet."""
    gaps: int
    resyncs: int
    interruptions: int
    checks: int
    """Comparisons of a book with a REST snapshot that said something."""
    differences: int
    """Those that failed."""
    unclear_checks: int
    usable: int
    """Instruments with a live book."""
    lag_ns: int
    """The largest of all books."""
    refused: dict[str, str]
    """Topics that the exchange does not give, and why."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded."""

    recording: str
    status: Status
    raw_files: tuple[str, ...]


class RawFrames:
    """Frames as zstd-compressed JSON lines that `stakan import --format bybit-capture` reads; one file per part.

    Every file opens all connections anew, so that each can be imported alone.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder = folder
        self._environment = plan.environment
        self._stream: pa.NativeFile | None = None
        self._known: set[str] = set()
        self.files: list[str] = []

    def add(self, connection: str, frame: bytes, ts: int) -> None:
        """Write a frame; raises OSError."""
        stream = self._stream
        if stream is None:
            stream = self._open(ts)
        if connection not in self._known:
            self._known.add(connection)
            # The name of a connection ends with its category and number.
            address = self._environment.public_socket(Category(connection.split(".")[-2]))
            self._write(stream, {"t": "connect", "conn": connection, "ts": _seconds(ts), "addr": address})
        text = frame.decode(errors="replace")
        self._write(stream, {"t": "recv", "conn": connection, "ts": _seconds(ts), "data": text})

    def rotate(self) -> None:
        """Finish the file."""
        stream, self._stream = self._stream, None
        self._known.clear()
        if stream is not None:
            stream.close()

    def _open(self, ts: int) -> pa.NativeFile:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self._environment.venue}-{ts // SECOND}.jsonl.zst"
        number = 1
        while path.exists():
            number += 1
            path = self._folder / f"{self._environment.venue}-{ts // SECOND}-{number}.jsonl.zst"
        stream = self._stream = pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), "zstd")
        self.files.append(path.name)
        header = {"t": "header", "exchange": "bybit", "venue": self._environment.venue, "ts": _seconds(ts)}
        self._write(stream, header)
        return stream

    def _write(self, stream: pa.NativeFile, line: Mapping[str, object]) -> None:
        stream.write(msgspec.json.encode(line) + b"\n")


class WriterThread:
    """Writes what is put, in order; use as a context. An error stops it, calls `failed` and is raised at the end."""

    def __init__(self, writer: MarketWriter, raw: RawFrames | None, part_ns: int, failed: Callable[[], object]) -> None:
        self._writer = writer
        self._raw = raw
        self._part = part_ns
        self._failed = failed
        self._queue: queue.SimpleQueue[AnyMarketEvent | tuple[str, bytes, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="stakan-writer", daemon=True)
        self._part_number = 0
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if self.error is not None:
            raise self.error

    @property
    def keeps_frames(self) -> bool:
        """Whether raw frames are wanted."""
        return self._raw is not None

    @property
    def waiting(self) -> int:
        """How much is not written yet."""
        return self._queue.qsize()

    def put(self, event: AnyMarketEvent) -> None:
        """Write an event soon; raises StorageError where the disk is hopelessly behind."""
        if self._queue.qsize() > _MOST_WAITING:
            raise StorageError("the disk is too slow: a million events wait to be written")
        self._queue.put(event)

    def put_frame(self, connection: str, frame: bytes, ts: int) -> None:
        """Write a raw frame soon."""
        self._queue.put((connection, frame, ts))

    def _run(self) -> None:
        try:
            while (item := self._queue.get()) is not None:
                if isinstance(item, tuple):
                    self._rotate(item[2])
                    assert self._raw is not None, "only a recorder of raw frames puts them"
                    self._raw.add(*item)
                else:
                    self._rotate(item.ts_recv)
                    self._writer.add(item)
            if self._raw is not None:
                self._raw.rotate()
        except OSError as error:
            self.error = StorageError(f"cannot write raw frames: {error.strerror or error}")
        except Exception as error:  # noqa: BLE001 - raised where the recording ends
            self.error = error
        if self.error is not None:
            self._failed()

    def _rotate(self, ts: int) -> None:
        number = ts // self._part
        if number > self._part_number:
            if self._part_number:
                self._writer.flush()
                if self._raw is not None:
                    self._raw.rotate()
            self._part_number = number


async def record(
    settings: Settings,
    plan: Plan,
    *,
    keys: Keys | None,
    clock: Callable[[], int],
    chance: np.random.Generator,
    stop: asyncio.Event,
    show: Callable[[Status], None],
) -> Result:
    """Record until `stop` is set or the time is over.

    `show` is given the state once a second. Raises VenueError where the exchange cannot be reached at the start,
    StorageError where writing fails, DataError where nothing came.
    """
    async with MarketClient(plan.environment, clock=clock, chance=chance, keys=keys) as client:
        universe = Universe(settings, client)
        await universe.load()
        wanted = await universe.choose()
        rules = {name: universe.listed[name] for name in universe.listed}
        rules |= {instrument.id: instrument for instrument in await universe.rules(wanted)}
        source = Source(description=f"live: {plan.environment.public_socket(Category.LINEAR)}", format="live")
        writer = MarketWriter(plan.data, source, rules, publish_when=Publish.AS_WRITTEN)
        raw = None if plan.raw is None else RawFrames(plan.raw, plan)
        loop = asyncio.get_running_loop()
        try:
            with WriterThread(writer, raw, plan.part_ns, lambda: loop.call_soon_threadsafe(stop.set)) as thread:
                recorder = _Recorder(client, settings, universe, thread)
                recorder.feed.follow(rules[name] for name in wanted)
                await recorder.run(plan.length_ns, stop, show)
                status = recorder.status(clock())
                recorder.end()
        except StorageError:
            writer.abandon()
            raise
        except BaseException:
            # The disk works: what came before a bug of ours is worth keeping.
            with contextlib.suppress(StakanError):
                writer.flush()
            writer.abandon()
            raise
        try:
            recording = writer.close()
        except DataError as error:
            raise DataError(f"nothing was received from {plan.environment.name}") from error
        return Result(recording=recording.id, status=status, raw_files=tuple(raw.files) if raw else ())


class _Recorder:
    """A feed into a thread, and what is known of both."""

    def __init__(self, client: MarketClient, settings: Settings, universe: Universe, thread: WriterThread) -> None:
        self._client = client
        self._universe = universe
        self._thread = thread
        self._settings = settings
        self._counts: Counter[str] = Counter()
        self._is_ended = False
        self.feed: PublicFeed = client.feed(
            topics_of(settings),
            self._deliver,
            limits=FeedLimits(check_every_ns=Nanos(duration_ns(settings.venue.check_interval))),
            raw=thread.put_frame if thread.keeps_frames else None,
        )

    def _deliver(self, event: AnyMarketEvent) -> None:
        if not self._is_ended:
            self._counts[type(event).__name__] += 1
            self._thread.put(event)

    def end(self) -> None:
        """Whatever still comes is not recorded: an end on purpose is no interruption of the market."""
        self._is_ended = True

    async def run(self, length_ns: int | None, stop: asyncio.Event, show: Callable[[Status], None]) -> None:
        """Until stopped, or the time is over; raises what ended a socket."""
        jobs = [asyncio.create_task(job) for job in (self._client.until_failed(), self._show(show), self._refresh())]
        stopped = asyncio.create_task(stop.wait())
        try:
            timeout = None if length_ns is None else length_ns / SECOND
            await asyncio.wait([*jobs, stopped], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for job in jobs:
                if job.done():
                    job.result()
        finally:
            for task in (*jobs, stopped):
                task.cancel()
            await asyncio.gather(*jobs, stopped, return_exceptions=True)

    def status(self, now: int) -> Status:
        """How it goes."""
        feed = self.feed
        names = feed.instruments
        counters = [feed.counters(name) for name in names]
        health = [feed.health(name, now) for name in names]
        return Status(
            instruments=names,
            events=dict(sorted(self._counts.items())),
            waiting=self._thread.waiting,
            gaps=sum(counter.gaps for counter in counters),
            resyncs=sum(counter.resyncs for counter in counters),
            interruptions=sum(counter.interruptions for counter in counters),
            checks=sum(counter.checks for counter in counters),
            differences=sum(counter.differences for counter in counters),
            unclear_checks=sum(counter.unclear_checks for counter in counters),
            usable=sum(state.score > 0 for state in health),
            lag_ns=max((state.lag_ns for state in health), default=0),
            refused=feed.refused,
        )

    async def _show(self, show: Callable[[Status], None]) -> None:
        while True:
            await asyncio.sleep(_STATUS_S)
            show(self.status(self._client.clock()))

    async def _refresh(self) -> None:
        """Follow the ranking, where there is one."""
        every_s = duration_ns(self._settings.universe.refresh) / SECOND
        while True:
            await asyncio.sleep(every_s)
            if not self._universe.is_ranked:
                continue
            with contextlib.suppress(VenueError, DataError):
                # Without an answer, or with one that leaves nothing, the old universe stays until the next time.
                wanted = await self._universe.choose(self.feed.instruments)
                rules = await self._universe.rules([name for name in wanted if name not in self.feed.instruments])
                self.feed.forget([name for name in self.feed.instruments if name not in wanted])
                self.feed.follow(rules)


def topics_of(settings: Settings) -> Topics:
    """What the configuration wants to be subscribed to."""
    venue = settings.venue
    return Topics(depth=venue.depth, depths=dict(venue.depths), best_quotes=venue.best_quotes)


def _seconds(ts: int) -> msgspec.Raw:
    """Nanoseconds as an exact number of seconds."""
    return msgspec.Raw(f"{ts // SECOND}.{ts % SECOND:09d}".encode())
