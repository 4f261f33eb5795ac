"""Market events as columns: what goes in comes out, in order of arrival."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.domain.samples import members, sample
from tests.core.engine.builders import BTC, ETH, a_print, a_snapshot

from stakan.core.domain.batch import BatchBuilder, Kind, columns, window
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AnyMarketEvent, encode_array
from stakan.core.domain.units import Side

encode = msgspec.msgpack.Encoder(enc_hook=encode_array).encode
KINDS = members(AnyMarketEvent)


def a_market(steps, key=BTC):
    """Events of any kind, each so much later than the one before, some with exchange times out of order."""
    events, now = [], 0
    for kind, later, behind, bids, asks in steps:
        now += later
        event = sample(kind, fill=False)
        changes = {"instrument": key, "ts_recv": now, "ts_event": max(0, now - behind)}
        if hasattr(event, "levels"):
            levels = np.array([[100 - i, i] for i in range(bids)] + [[101 + i, i] for i in range(asks)], np.int64)
            changes |= {"levels": levels.reshape(-1, 2), "bid_count": bids, "sequence": now + 1}
        if hasattr(event, "trade_id"):
            changes |= {"side": Side.BUY if bids % 2 else Side.SELL, "is_rpi": asks % 2 == 1, "trade_id": now}
        events.append(msgspec.structs.replace(event, **changes))
    return events


small = st.integers(0, 3)
markets = st.lists(st.tuples(st.sampled_from(KINDS), small, small, small, small), max_size=30).map(a_market)


def packed(events, builder=None, first=0):
    builder = BatchBuilder(BTC) if builder is None else builder
    for arrival, event in enumerate(events, first):
        builder.add(event, arrival)
    return builder.build()


def texts(events):
    return [encode(event) for event in events]


@given(markets, st.data())
def test_events_come_out_as_they_went_in(events, data):
    batch = packed(events)
    assert len(batch) == len(events)
    assert texts(batch.events()) == texts(events)
    first = data.draw(st.integers(0, len(events)))
    last = data.draw(st.integers(first, len(events)))
    assert texts(batch.events(first, last)) == texts(events[first:last])
    assert texts(batch.event(row) for row in range(len(batch))) == texts(events)


@given(markets, st.integers(0, 30))
def test_exchange_time_is_the_running_maximum_also_across_builds(events, cut):
    builder = BatchBuilder(BTC)
    head = packed(events[:cut], builder)
    assert len(builder) == 0
    tail = packed(events[cut:], builder, first=cut)
    assert texts([*head.events(), *tail.events()]) == texts(events)
    lived = [*head.ts_exchange.tolist(), *tail.ts_exchange.tolist()]
    assert lived == [max(event.ts_event for event in events[: i + 1]) for i in range(len(events))]


@pytest.mark.parametrize("is_built", [False, True], ids=["in one batch", "after a batch was built"])
def test_receive_time_never_goes_back(is_built):
    builder = BatchBuilder(BTC)
    builder.add(a_print(ts=5), 0)
    if is_built:
        builder.build()
    with pytest.raises(DataError, match="receive time goes back from 5 to 4 at 1"):
        builder.add(a_print(ts=4), 1)
    builder.add(a_print(ts=5), 1)


def test_a_refused_event_leaves_no_trace():
    builder = BatchBuilder(BTC)
    builder.add(a_print(ts=5), 0)
    with pytest.raises(DataError, match=f"event of {ETH} in a batch of {BTC}"):
        builder.add(a_print(ts=6, key=ETH), 1)
    assert texts(builder.build().events()) == texts([a_print(ts=5)])


def test_levels_that_were_not_counted_are_refused():
    zeros = np.zeros(1, np.int64)
    values = dict.fromkeys(("ts_event", "ts_recv", "arrival", "sequence", "previous_sequence", "bid_count"), zeros)
    for count in (0, 3):
        with pytest.raises(DataError, match=f"{count} levels counted, 2 given"):
            columns(
                BTC,
                **values,
                kind=np.array([Kind.DELTA], np.uint8),
                level_count=np.array([count]),
                levels=np.ones((2, 2), np.int64),
            )


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=40), st.integers(1, 3))
def test_a_window_has_all_events_by_receive_time_then_arrival(arrivals, count):
    keys = [f"test:linear:{number}" for number in range(count)]
    builders = [BatchBuilder(key) for key in keys]
    now, expected = 0, []
    for arrival, (later, which) in enumerate(arrivals):
        now += later
        event = a_print(ts=now, number=arrival, key=keys[which % count])
        builders[which % count].add(event, arrival)
        expected.append(event)
    market = window(tuple(builder.build() for builder in builders))
    assert len(market) == len(expected)
    assert texts(market.events()) == texts(expected)
    rows = zip(market.order_batch.tolist(), market.order_row.tolist(), strict=True)
    assert texts(market.batches[batch].event(row) for batch, row in rows) == texts(expected)


def test_nothing_is_a_batch_and_a_window_too():
    assert list(BatchBuilder(BTC).build().events()) == []
    assert list(window(()).events()) == []
    assert list(window((BatchBuilder(BTC).build(),)).events()) == []


def test_a_book_message_s_levels_are_not_copied():
    batch = packed([a_snapshot()])
    assert np.shares_memory(batch.event(0).levels, batch.levels)
