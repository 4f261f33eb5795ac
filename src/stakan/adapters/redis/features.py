"""The feature store that other processes read: a vector is a hash of its three channels, which lives for a minute.

```
features:{instrument}:{timestamp_ms}   orderbook, candle, indicator: little-endian float32; warm: bits, first feature
                                       first; ts_event, computed_at: ns UTC; version, schema
features:{instrument}:latest           timestamp_ms of the newest
```

Writing goes on behind, in a task: who offers never waits. What does not fit into the queue or cannot be written is
dropped, the oldest first, and counted. While Redis is away each process has what it computed itself.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from redis.asyncio import Redis
from redis.exceptions import RedisError

from stakan.adapters.feature_store import LIFE_NS, MemoryFeatureStore
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import MILLISECOND, SECOND
from stakan.core.features.catalogue import CHANNELS, FEATURE_COUNT, FEATURE_SET, SCHEMA_HASH
from stakan.core.features.kept import KeptVector

_QUEUE = 1_000
_AT_ONCE = 100
"""Vectors of one round trip."""
_PAUSE_NS = SECOND
"""After a failure Redis is left alone for this long."""
_LIFE_MS = LIFE_NS // MILLISECOND
_VALUES = "<f4"
_AWAY = (RedisError, OSError, TimeoutError)


class RedisFeatureStore:
    """As `ports.FeatureStore`; `run` it as a task. `now` gives nanoseconds UTC, `say` is told when Redis comes and goes."""

    def __init__(
        self, redis: Redis, *, now: Callable[[], int], say: Callable[[str], None], prefix: str = "features:"
    ) -> None:
        self.is_connected: bool | None = None
        """None before the first answer."""
        self.dropped = 0
        """Vectors that were offered and are not in Redis."""
        self.memory = MemoryFeatureStore(now)
        self._redis = redis
        self._now = now
        self._say = say
        self._prefix = prefix
        self._queue: deque[KeptVector] = deque(maxlen=_QUEUE)
        self._news = asyncio.Event()
        self._alone_until = 0

    @property
    def waiting(self) -> int:
        """Vectors that are not written yet."""
        return len(self._queue)

    def offer(self, vector: KeptVector) -> None:
        """Keep it here, and write it soon."""
        if self.memory.keep(vector):
            self.dropped += len(self._queue) == _QUEUE
            self._queue.append(vector)
            self._news.set()

    def newest(self, instrument: InstrumentId) -> KeptVector | None:
        """The newest of this process."""
        return self.memory.newest(instrument)

    async def latest(self, instrument: InstrumentId) -> KeptVector | None:
        """The newest of this process, else of another."""
        own = self.memory.newest(instrument)
        if own is not None:
            return own
        ts_ms = await self._ask(lambda: self._redis.get(self._key(instrument, "latest")))
        return await self.at(instrument, int(ts_ms)) if ts_ms else None

    async def at(self, instrument: InstrumentId, ts_ms: int) -> KeptVector | None:
        """The one of a millisecond, of this process, else of another."""
        own = await self.memory.at(instrument, ts_ms)
        if own is not None:
            return own
        found = await self._ask(lambda: self._redis.hgetall(self._key(instrument, ts_ms)))
        return _decoded(instrument, found) if found else None

    async def run(self) -> None:
        """Write what is offered until it is cancelled."""
        task = asyncio.current_task()
        assert task is not None, "it is a task of its own"
        # redis-py swallows a cancellation that meets it while it connects or reads.
        while not task.cancelling():
            await self._news.wait()
            self._news.clear()
            while self._queue and not task.cancelling():
                await asyncio.sleep(max(0, self._alone_until - self._now()) / SECOND)
                await self.write()

    async def write(self) -> None:
        """One round trip with what waits, the oldest first."""
        batch = [self._queue.popleft() for _ in range(min(_AT_ONCE, len(self._queue)))]
        pipeline = self._redis.pipeline(transaction=False)
        for vector in batch:
            ts_ms = vector.ts_event // MILLISECOND
            key = self._key(vector.instrument, ts_ms)
            pipeline.hset(key, mapping=_encoded(vector))
            pipeline.pexpire(key, _LIFE_MS)
            pipeline.set(self._key(vector.instrument, "latest"), ts_ms, px=_LIFE_MS)
        try:
            await pipeline.execute()
        except _AWAY as error:
            self.dropped += len(batch)
            self._went(error)
            return
        self._came()

    async def _ask(self, question: Callable[[], Any]) -> Any:
        """Redis' answer; None where it is away, and at once where it was a moment ago."""
        if self._now() < self._alone_until:
            return None
        try:
            answer = await question()
        except _AWAY as error:
            self._went(error)
            return None
        self._came()
        return answer

    def _came(self) -> None:
        if self.is_connected is not True:
            self._say("feature vectors are shared by Redis")
        self.is_connected = True

    def _went(self, error: Exception) -> None:
        if self.is_connected is not False:
            self._say(f"Redis does not answer ({error}): feature vectors stay in this process")
        self.is_connected = False
        self._alone_until = self._now() + _PAUSE_NS

    def _key(self, instrument: InstrumentId, what: int | str) -> str:
        return f"{self._prefix}{instrument}:{what}"


def _encoded(vector: KeptVector) -> dict[Any, Any]:
    return {
        **{channel.value: values.astype(_VALUES).tobytes() for channel, values in vector.channels().items()},
        "warm": np.packbits(vector.warm, bitorder="little").tobytes(),
        "ts_event": vector.ts_event,
        "computed_at": vector.computed_ts,
        "version": vector.version,
        "schema": vector.schema_hash,
    }


def _decoded(instrument: InstrumentId, found: Mapping[bytes, bytes]) -> KeptVector | None:
    """None for a vector of other features, and for what somebody else wrote there."""
    if found.get(b"version") != FEATURE_SET.encode() or found.get(b"schema") != SCHEMA_HASH.encode():
        return None
    try:
        values = np.concatenate([np.frombuffer(found[channel.value.encode()], _VALUES) for channel in CHANNELS])
        warm = np.unpackbits(np.frombuffer(found[b"warm"], np.uint8), count=FEATURE_COUNT, bitorder="little")
        times = int(found[b"ts_event"]), int(found[b"computed_at"])
    except (KeyError, ValueError):
        return None
    if values.shape != (FEATURE_COUNT,):
        return None
    return KeptVector(
        instrument=instrument,
        ts_event=times[0],
        computed_ts=times[1],
        values=values.astype(np.float32),
        warm=warm.astype(np.bool_),
    )
