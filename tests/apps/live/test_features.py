"""Vectors for those who look: what the engine would read, kept in a store, and nothing of the engine changes."""

import asyncio
import logging

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.engine.builders import (
    BTC,
    ETH,
    MS,
    SECOND,
    Eager,
    FakeExchange,
    a_delta,
    a_print,
    a_snapshot,
    an_engine,
    an_instrument,
    live,
)

from stakan.adapters.synthetic.config import demo_config
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.apps.config import load_settings
from stakan.apps.feature_store import feature_store
from stakan.apps.live.features import Features
from stakan.apps.live.latency import Latencies
from stakan.apps.live.read_model import ReadModel, Surroundings
from stakan.apps.wiring import engine_config
from stakan.core.domain.errors import ConfigError
from stakan.core.engine import Engine
from stakan.core.features.catalogue import CHANNELS


class Clock:
    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now


def a_market(length=200):
    """A book that moves, with prints."""
    yield a_snapshot(ts=0)
    for number in range(length):
        ts = (number + 1) * 50 * MS
        yield a_delta([(639_999 - number % 7, 500 + number)], ts=ts, sequence=number + 2)
        if number % 3 == 0:
            yield a_print(640_000 + number % 5, ts=ts, number=number)


def some_features(engine=None, **changes):
    clock = Clock()
    return Features(engine or an_engine(instruments=[an_instrument(), an_instrument(ETH)]), clock, **changes), clock


@settings(max_examples=25)
@given(st.sets(st.integers(0, 260)))
def test_looking_changes_nothing(looked):
    """Engines that are and are not looked at take the same steps and have the same state, to the byte."""
    seen, alone = (an_engine(Eager(horizon_s=1.0)) for _ in range(2))
    features, _ = some_features(seen)

    def looking():
        for number, event in enumerate(a_market()):
            if number in looked:
                features.compute(BTC)
            yield event

    steps = live(seen, looking(), FakeExchange())
    assert [step for _, step in steps] == [step for _, step in live(alone, a_market(), FakeExchange())]
    assert seen.snapshot() == alone.snapshot()


def test_a_vector_is_what_the_engine_itself_would_read():
    market = SyntheticMarket(demo_config(duration_ns=20 * SECOND))
    configured = engine_config(load_settings(None, ["engine.candle_interval=1s"], {}), "e", market.instruments)
    engine = Engine(configured, market.instruments.values())
    features, compared = Features(engine, lambda: 7), 0
    for window in market.windows():
        for number, event in enumerate(window.events()):
            engine.step(event)
            if number % 37 == 0:
                kept = features.compute(event.instrument)
                if kept is None:
                    continue
                state = engine.state.instruments[event.instrument]
                own = state.features.read(state.market, state.market.ts_event)
                assert (kept.values == own.to_array()).all()
                assert (kept.warm == own.warm).all()
                assert (kept.ts_event, kept.computed_ts) == (state.market.ts_event, 7)
                compared += 1
    assert compared > 20
    # A state that was taken over is another one.
    engine.restore(engine.snapshot())
    key = next(iter(market.instruments))
    state = engine.state.instruments[key]
    own = state.features.read(state.market, state.market.ts_event).to_array()
    assert (features.compute(key).values == own).all()


def test_who_asks_gets_what_is_kept_and_else_what_is_computed_now():
    features, clock = some_features(interval_ns=SECOND)
    engine = features._engine
    assert features.latest(BTC) is None
    assert features.hit_rate is None
    engine.step(a_snapshot(ts=SECOND))
    first = features.latest(BTC)
    assert (features.hits, features.misses) == (0, 1)
    # Nothing has happened since, however long ago that was.
    clock.now = 30 * SECOND
    assert features.latest(BTC) is first
    engine.step(a_delta([(639_000, 5)], ts=2 * SECOND))
    second = features.latest(BTC)
    assert second.ts_event == 2 * SECOND
    engine.step(a_delta([(639_000, 6)], ts=3 * SECOND, sequence=3))
    clock.now += SECOND
    assert features.latest(BTC) is second
    assert features.hit_rate == 0.5
    # A book with a gap gives no vector, and nobody is told an old one.
    engine.step(a_delta([(639_000, 7)], ts=4 * SECOND, sequence=9))
    assert features.latest(BTC) is None
    assert features.hit_rate == 0.5


def test_each_instrument_has_its_turn():
    async def scenario():
        features, clock = some_features(interval_ns=20 * MS)
        for number, key in enumerate((BTC, ETH)):
            features._engine.step(a_snapshot(key=key, ts=number + 1))
        features.begin()
        for number in range(200):
            clock.now += MS
            features._engine.step(a_delta([(639_000, 5 + number)], ts=(number + 1) * MS, sequence=number + 2))
            await asyncio.sleep(0.002)
            if len(features.store.recent(BTC)) > 3:
                break
        features.end()
        kept = [len(features.store.recent(key)) for key in (BTC, ETH)]
        await asyncio.sleep(0.05)
        assert [len(features.store.recent(key)) for key in (BTC, ETH)] == kept
        # Nothing came of ETH after its snapshot: one vector says it all.
        assert kept[0] > 3
        assert kept[1] == 1
        for channel in CHANNELS:
            assert features.latencies[channel, BTC].count >= kept[0]

    asyncio.run(scenario())


def test_what_an_entry_was_decided_on_is_kept():
    engine = an_engine(Eager())
    features, _ = some_features(engine)
    moments = []
    for event in a_market(3):
        step = engine.step(event)
        before = len(features.store.recent(BTC))
        features.observe(event, step)
        if len(features.store.recent(BTC)) > before:
            moments.append(event.ts_event)
    assert moments == [0]


def test_a_bug_in_looking_is_said_once_and_stays_there(caplog):
    features, _ = some_features()
    features._engine.step(a_snapshot())

    class Broken:
        def newest(self, _):
            return None

        def offer(self, _):
            raise ZeroDivisionError("a bug")

    features.store = Broken()
    with caplog.at_level(logging.ERROR):
        features._safely(BTC)
        features._safely(BTC)
    assert len([record for record in caplog.records if "features cannot be computed" in record.getMessage()]) == 1


def test_an_update_tells_a_vector_once():
    engine = an_engine()
    features, clock = some_features(engine)
    model = ReadModel(engine, Latencies(), Surroundings(features=features.latest))
    assert model.update(1).features == ()
    engine.step(a_snapshot(ts=SECOND))
    (view,) = model.update(2).features
    kept = features.store.newest(BTC)
    assert (view.instrument, view.ts, view.version) == (BTC, SECOND, kept.version)
    assert (np.frombuffer(view.values, "<f4") == kept.values).all()
    assert (np.unpackbits(np.frombuffer(view.warm, np.uint8), count=110, bitorder="little") == kept.warm).all()
    assert model.update(3).features == ()
    # A reader that comes later is told what there is.
    model.backlog()
    assert model.update(4).features == (view,)
    clock.now = 10 * SECOND
    engine.step(a_delta([(639_000, 5)], ts=2 * SECOND))
    assert model.update(5).features[0].ts == 2 * SECOND


# --- configuration ----------------------------------------------------------------------------------------------------


def test_redis_needs_an_address():
    with pytest.raises(ConfigError, match=r"feature_store.kind is redis: set redis.url"):
        load_settings(None, ["feature_store.kind=redis"], {})


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_the_store_that_is_configured_is_there_and_goes(kind):
    settings_ = load_settings(None, [f"feature_store.kind={kind}", "redis.url=redis://127.0.0.1:9/0"], {})

    async def scenario():
        async with asyncio.timeout(10), feature_store(settings_, lambda: 0, said.append) as store:
            features, _ = some_features()
            features.store = store
            features._engine.step(a_snapshot())
            kept = features.latest(BTC)
            await asyncio.sleep(0.05)
            assert store.newest(BTC) is kept

    said = []
    asyncio.run(scenario())
    assert bool(said) == (kind == "redis")


def test_views_survive_their_way_over_the_socket():
    engine = an_engine()
    features, _ = some_features(engine)
    engine.step(a_snapshot(ts=SECOND))
    model = ReadModel(engine, Latencies(), Surroundings(features=features.latest))
    update = model.update(2)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(update), type=type(update)).features == update.features
