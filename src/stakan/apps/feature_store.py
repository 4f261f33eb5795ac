"""The feature store that is configured."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from stakan.adapters.feature_store import MemoryFeatureStore
from stakan.adapters.redis.features import RedisFeatureStore
from stakan.apps.secrets import redis_password
from stakan.apps.settings import Settings

_PATIENCE_S = 0.5


@asynccontextmanager
async def feature_store(
    settings: Settings, now: Callable[[], int], say: Callable[[str], None]
) -> AsyncIterator[MemoryFeatureStore | RedisFeatureStore]:
    """A store while the block runs; never waits for Redis but at its end, half a second at most."""
    if settings.feature_store.kind == "memory":
        yield MemoryFeatureStore(now)
        return
    client = Redis.from_url(
        settings.redis.url,
        password=redis_password(),
        socket_timeout=_PATIENCE_S,
        socket_connect_timeout=_PATIENCE_S,
    )
    store = RedisFeatureStore(client, now=now, say=say)
    task = asyncio.create_task(store.run())
    try:
        yield store
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.aclose()
