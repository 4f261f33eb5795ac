"""What every feature store promises, asked of the one in the process and of the one in Redis."""

import asyncio
import time
from contextlib import asynccontextmanager

import numpy as np
import pytest
import redis
import redis.asyncio
from tests.adapters.redis.conftest import URL, prefix  # noqa: F401 - a fixture: skips where there is no Redis

from stakan.adapters.feature_store import KEPT, LIFE_NS, MemoryFeatureStore
from stakan.adapters.redis.features import RedisFeatureStore
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import MILLISECOND, SECOND
from stakan.core.features.catalogue import CHANNELS, FEATURE_COUNT, FEATURE_SET, SCHEMA_HASH
from stakan.core.features.kept import KeptVector

BTC, ETH = InstrumentId("bybit:linear:BTCUSDT"), InstrumentId("bybit:linear:ETHUSDT")
START_MS = 1_700_000_000_000


def a_vector(number=0, instrument=BTC, computed_ts=None):
    chance = np.random.default_rng(number)
    return KeptVector(
        instrument=instrument,
        ts_event=(START_MS + number) * MILLISECOND + 123,
        computed_ts=time.time_ns() if computed_ts is None else computed_ts,
        values=chance.standard_normal(FEATURE_COUNT).astype(np.float32),
        warm=chance.random(FEATURE_COUNT) < 0.5,
    )


def same(one, other):
    names = ("instrument", "ts_event", "computed_ts", "version", "schema_hash")
    assert all(getattr(one, name) == getattr(other, name) for name in names)
    assert one.values.dtype == other.values.dtype == np.float32
    assert one.warm.dtype == other.warm.dtype == np.bool_
    return (one.values == other.values).all() and (one.warm == other.warm).all()


class World:
    """Stores of one kind, with a clock that a test moves."""

    def __init__(self, kind, name):
        self.kind, self.name, self.moved, self.said = kind, name, 0, []
        self.is_shared = kind == "redis"

    def now(self):
        return time.time_ns() + self.moved

    @asynccontextmanager
    async def store(self, url=URL):
        if self.kind == "memory":
            yield MemoryFeatureStore(self.now)
            return
        client = redis.asyncio.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)
        store = RedisFeatureStore(client, now=self.now, say=self.said.append, prefix=self.name)
        task = asyncio.create_task(store.run())
        try:
            yield store
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await client.aclose()


@pytest.fixture(params=["memory", "redis"])
def world(request):
    name = request.getfixturevalue("prefix") if request.param == "redis" else ""
    return World(request.param, name)


@pytest.fixture
def shared(prefix):  # noqa: F811
    return World("redis", prefix)


def run(scenario):
    async def guarded():
        async with asyncio.timeout(20):
            return await scenario()

    return asyncio.run(guarded())


async def written(store):
    """Wait until all that was offered is where others find it."""
    await until(lambda: not getattr(store, "waiting", 0) and getattr(store, "is_connected", True) is not None)
    await asyncio.sleep(0.02)


async def until(is_so):
    for _ in range(1_000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come about")


def ms(vector):
    return vector.ts_event // MILLISECOND


# --- both -------------------------------------------------------------------------------------------------------------


def test_what_is_offered_is_found_whole_at_once_and_later(world):
    async def scenario():
        async with world.store() as store:
            vector = a_vector()
            store.offer(vector)
            assert same(store.newest(BTC), vector)
            await written(store)
            assert same(await store.latest(BTC), vector)
            assert same(await store.at(BTC, ms(vector)), vector)

    run(scenario)


def test_nothing_is_found_of_what_nobody_offered(world):
    async def scenario():
        async with world.store() as store:
            assert store.newest(BTC) is await store.latest(BTC) is await store.at(BTC, START_MS) is None
            store.offer(a_vector())
            assert store.newest(ETH) is await store.latest(ETH) is None
            assert await store.at(BTC, START_MS + 1) is None

    run(scenario)


def test_the_newest_is_the_one_of_the_latest_exchange_time(world):
    async def scenario():
        async with world.store() as store:
            for number in (1, 3, 2, 3):
                store.offer(a_vector(number))
            await written(store)
            assert same(await store.latest(BTC), vector := store.newest(BTC))
            assert vector.ts_event == a_vector(3).ts_event
            assert await store.at(BTC, ms(a_vector(2))) is None
            assert (await store.at(BTC, ms(a_vector(1)))).ts_event == a_vector(1).ts_event

    run(scenario)


def test_a_vector_is_given_out_for_a_minute(world):
    async def scenario():
        async with world.store() as store:
            vector = a_vector(computed_ts=world.now())
            store.offer(vector)
            await written(store)
            world.moved += LIFE_NS - SECOND
            assert store.newest(BTC) is vector
            if world.is_shared:
                # Its life in Redis is by the server's clock, which no test moves.
                with redis.Redis.from_url(URL) as client:
                    for key in client.scan_iter(f"{world.name}*"):
                        assert 55_000 < client.pttl(key) <= LIFE_NS // MILLISECOND
                        client.delete(key)
            world.moved += 2 * SECOND
            assert store.newest(BTC) is await store.latest(BTC) is await store.at(BTC, ms(vector)) is None

    run(scenario)


def test_the_last_hundred_of_each_instrument_stay(world):
    async def scenario():
        async with world.store() as store:
            memory = store.memory if world.is_shared else store
            for number in range(KEPT + 20):
                store.offer(a_vector(number))
            store.offer(a_vector(5, ETH))
            kept = memory.recent(BTC)
            assert [ms(vector) - START_MS for vector in kept] == list(range(20, KEPT + 20))
            assert len(memory.recent(ETH)) == 1

    run(scenario)


# --- Redis ------------------------------------------------------------------------------------------------------------


def test_another_process_finds_what_one_has_written(shared):
    async def scenario():
        async with shared.store() as one, shared.store() as other:
            vectors = [a_vector(number) for number in range(150)]
            for vector in vectors:
                one.offer(vector)
            await written(one)
            assert other.newest(BTC) is None
            assert same(await other.latest(BTC), vectors[-1])
            for vector in vectors[::10]:
                assert same(await other.at(BTC, ms(vector)), vector)
            assert one.dropped == 0

    run(scenario)


def test_the_keys_are_those_of_the_contract(shared):
    async def scenario():
        async with shared.store() as store:
            store.offer(a_vector())
            await written(store)

    run(scenario)
    with redis.Redis.from_url(URL) as client:
        assert client.get(f"{shared.name}{BTC}:latest") == str(START_MS).encode()
        found = client.hgetall(f"{shared.name}{BTC}:{START_MS}")
    assert found[b"version"] == FEATURE_SET.encode()
    values = a_vector().values
    for channel, stretch in CHANNELS.items():
        assert (np.frombuffer(found[channel.value.encode()], "<f4") == values[stretch]).all()
    assert {b"computed_at", b"warm", b"schema", b"ts_event"} <= set(found)


@pytest.mark.parametrize(
    ("field", "value"),
    [("version", "stakan-1-1"), ("schema", "x"), ("orderbook", b"123"), ("candle", b"1234"), ("ts_event", "now")],
)
def test_what_is_of_other_features_or_damaged_is_not_found(shared, field, value):
    async def scenario():
        async with shared.store() as store, shared.store() as other:
            store.offer(a_vector())
            await written(store)
            assert await other.latest(BTC) is not None
            with redis.Redis.from_url(URL) as client:
                client.hset(f"{shared.name}{BTC}:{START_MS}", field, value)
            assert await other.latest(BTC) is None

    assert FEATURE_SET != "stakan-1-1"
    assert SCHEMA_HASH != "x"
    run(scenario)


def test_without_redis_a_process_has_its_own_and_says_so_once(shared):
    async def scenario():
        async with shared.store("redis://127.0.0.1:9/0") as store:
            for number in range(5):
                store.offer(a_vector(number))
                await asyncio.sleep(0)
            await until(lambda: store.dropped)
            assert store.is_connected is False
            assert same(await store.latest(BTC), store.newest(BTC))
            # Nobody waits for what is known to be away.
            began = store._alone_until
            assert await store.latest(ETH) is None
            assert store._alone_until == began
            assert len(shared.said) == 1
            assert "does not answer" in shared.said[0]

    run(scenario)


def test_a_queue_that_is_full_loses_its_oldest_and_counts_them(shared):
    async def scenario():
        client = redis.asyncio.Redis.from_url(URL)
        store = RedisFeatureStore(client, now=shared.now, say=shared.said.append, prefix=shared.name)
        for number in range(1_200):
            store.offer(a_vector(number, computed_ts=0))
        assert (store.waiting, store.dropped) == (1_000, 200)
        await store.write()
        assert store.waiting == 900
        assert await client.exists(f"{shared.name}{BTC}:{START_MS + 199}") == 0
        assert await client.exists(f"{shared.name}{BTC}:{START_MS + 200}") == 1
        await client.aclose()

    run(scenario)


def test_redis_that_comes_back_gets_what_is_new(shared):
    async def scenario():
        async with shared.store() as store, shared.store() as other:
            real, store._redis = store._redis, redis.asyncio.Redis.from_url("redis://127.0.0.1:9/0")
            store.offer(a_vector(1))
            await until(lambda: store.dropped)
            away, store._redis = store._redis, real
            shared.moved += SECOND
            store.offer(a_vector(2))
            await until(lambda: store.is_connected)
            await away.aclose()
            assert (await other.latest(BTC)).ts_event == a_vector(2).ts_event
            assert [text.split()[0] for text in shared.said[:2]] == ["Redis", "feature"]

    run(scenario)
