"""Many instruments at once: each as if it were alone, and bad input refused or neutral."""

from decimal import Decimal
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.market.builders import NAME, a_delta, a_print, a_snapshot, an_instrument

from stakan.core.domain.errors import DataError
from stakan.core.domain.events import BestQuote, Candle, FeedDown, InstrumentChanged, Ticker
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import MILLISECOND, SECOND, Side
from stakan.core.features.batch import vectors
from stakan.core.features.catalogue import CANDLE, Feature
from stakan.core.features.definitions import NEUTRAL
from stakan.core.features.params import FeatureParams
from stakan.core.features.stream import MultiSymbolFeaturePipeline

START = 20_000 * 24 * 3_600 * SECOND
OTHER = InstrumentId("bybit:linear:ETHUSDT")
RULES = {
    NAME: an_instrument("0.1", "0.001"),
    OTHER: msgspec.structs.replace(an_instrument("0.01", "0.1"), id=OTHER),
}
WITH_HISTORY = slice(CANDLE.start, None)
"""Features that are neutral until they are warm; some of the book say of a thin one what it gives."""


class Happening(NamedTuple):
    """Something in one market, `passed` after the one before; `late` makes its exchange time go back."""

    what: str
    passed: int
    late: int
    number: int
    name: InstrumentId


WHATS = (
    *("print", "print", "snapshot", "delta", "delta"),
    *("repeated print", "crossed", "one-sided", "gap", "down", "candle", "odd candle", "other", "past"),
)
happenings = st.lists(
    st.builds(
        Happening,
        st.sampled_from(WHATS),
        st.one_of(st.just(0), st.integers(0, 2 * SECOND), st.just(90 * SECOND)),
        st.sampled_from((0, 0, 0, MILLISECOND, 3 * SECOND)),
        st.integers(0, 40),
        st.sampled_from(tuple(RULES)),
    ),
    max_size=60,
)


def a_pipeline(names=tuple(RULES), *, include_open=False):
    rules = [RULES[name] for name in names]
    return MultiSymbolFeaturePipeline(rules, candle_interval_ns=SECOND, params=FeatureParams(include_open=include_open))


def whole_book(ts, number):
    levels = [(1_000 - i, 1 + (i * number) % 7) for i in range(1, 55)]
    return a_snapshot(levels, [(2_000 - price, size) for price, size in levels], sequence=number + 1, ts=ts)


def a_candle(ts, number, start):
    return Candle(
        instrument=NAME,
        ts_event=ts,
        ts_recv=ts,
        interval_ns=SECOND,
        open_ts=start,
        open=1_000,
        high=1_009,
        low=990,
        close=1_000 + number % 9,
        volume=number,
        turnover=Decimal(number),
        is_closed=True,
    )


def event_of(happening, now, sequence):
    """The event, given the exchange time and the sequence of the book; `sequence` of the next one."""
    number, ts = happening.number, now - happening.late
    match happening.what:
        case "print":
            side = Side.BUY if number % 2 else Side.SELL
            event = a_print(ts=ts, price=980 + number, size=1 + number, side=side, trade_id=now + number)
        case "repeated print":
            event = a_print(ts=ts, price=980 + number, trade_id=1)
        case "snapshot":
            event, sequence = whole_book(ts, sequence), sequence + 1
        case "delta":
            event = a_delta([(999, number)], [(1_001 + number, 3)], sequence=sequence + 1, previous=sequence, ts=ts)
            sequence += 1
        case "crossed":
            event, sequence = a_delta([(1_060, 3)], sequence=sequence + 1, previous=sequence, ts=ts), sequence + 1
        case "one-sided":
            event, sequence = a_snapshot([(999, 3)], [], sequence=sequence + 1, ts=ts), sequence + 1
        case "gap":
            event, sequence = a_delta([(999, 3)], sequence=sequence + 9, previous=sequence + 7, ts=ts), sequence + 9
        case "down":
            event = FeedDown(instrument=NAME, ts_event=ts, ts_recv=now, why="test")
        case "candle":
            event = a_candle(ts, number, ts // SECOND * SECOND - number % 5 * SECOND)
        case "odd candle":
            event = a_candle(ts, number, ts // SECOND * SECOND + 1)
        case _:
            event = Ticker(instrument=NAME, ts_event=ts, ts_recv=now, mark=Decimal(100))
    recv = now - 5 * SECOND if happening.what == "past" else now
    return msgspec.structs.replace(event, instrument=happening.name, ts_recv=recv), sequence


def events_of(told):
    """What happens, each market with a book and its own sequence; a minute of prints comes first."""
    now, sequences = START, dict.fromkeys(RULES, 1)
    for name in RULES:
        yield msgspec.structs.replace(whole_book(now, 0), instrument=name)
    for second in range(60):
        now += SECOND
        for name in RULES:
            yield msgspec.structs.replace(a_print(ts=now, price=990 + second % 17, trade_id=second), instrument=name)
    for one in told:
        now += one.passed
        event, sequences[one.name] = event_of(one, now, sequences[one.name])
        yield event


def played(pipeline, events):
    """Copies of what each instrument reads after each event of its own, or why it reads nothing."""
    found = {name: [] for name in RULES}
    for event in events:
        try:
            pipeline.take(event)
            vector = pipeline.read(event.instrument)
        except DataError as error:
            found[event.instrument].append(str(error))
        else:
            found[event.instrument].append((vector.values.tolist(), vector.warm.tolist(), vector.ts_event))
    return found


@settings(max_examples=30)
@given(happenings, st.booleans())
def test_each_instrument_reads_what_it_reads_alone(told, include_open):
    events = [event for event in events_of(told) if event.ts_recv >= START]
    events.sort(key=lambda event: event.ts_recv)
    together = played(a_pipeline(include_open=include_open), events)
    for name in RULES:
        own = [event for event in events if event.instrument == name]
        assert played(a_pipeline([name], include_open=include_open), own)[name] == together[name]


@settings(max_examples=50)
@given(happenings, st.booleans())
def test_bad_input_is_refused_or_neutral_and_never_a_number_that_is_none(told, include_open):
    """Crossed, one-sided and interrupted books, gaps, repeated and late prints, odd candles, time that goes back."""
    pipeline = a_pipeline(include_open=include_open)
    refusals = set()
    for event in events_of(told):
        try:
            pipeline.take(event)
            vector = pipeline.read(event.instrument)
        except DataError as error:
            refusals.add(str(error))
            continue
        book = pipeline.market(event.instrument).book
        assert 0 < book.best_bid < book.best_ask
        assert np.isfinite(vector.values).all()
        assert np.isfinite(vector.to_array()).all()
        cold = ~vector.warm[WITH_HISTORY]
        assert (vector.values[WITH_HISTORY][cold] == NEUTRAL[WITH_HISTORY][cold]).all()
    assert all(str(NAME) in one or str(OTHER) in one or "receive time goes back" in one for one in refusals)


def test_what_cannot_be_taken_is_refused_and_changes_nothing():
    pipeline = a_pipeline()
    pipeline.take(whole_book(START, 0))
    before = pipeline.read(NAME).values.tolist()
    with pytest.raises(DataError, match="receive time goes back"):
        pipeline.take(whole_book(START - 1, 5))
    with pytest.raises(DataError, match="bybit:linear:SOLUSDT is not followed"):
        pipeline.take(msgspec.structs.replace(whole_book(START, 5), instrument="bybit:linear:SOLUSDT"))
    with pytest.raises(DataError, match="bybit:linear:SOLUSDT is not followed"):
        pipeline.read(InstrumentId("bybit:linear:SOLUSDT"))
    with pytest.raises(DataError, match="bybit:linear:ETHUSDT: no features, the book is empty"):
        pipeline.read(OTHER)
    assert pipeline.read(NAME).values.tolist() == before


def test_a_print_that_comes_twice_counts_once():
    events = list(events_of([]))
    once, twice = a_pipeline(), a_pipeline()
    for event in events:
        once.take(event)
        twice.take(event)
        twice.take(event)
    assert once.read(NAME).values.tolist() == twice.read(NAME).values.tolist()


def test_fewer_than_fifty_candles_leave_indicators_cold():
    pipeline = a_pipeline()
    seen = []
    for event in events_of([]):
        pipeline.take(event)
        if event.instrument == NAME:
            vector = pipeline.read(NAME)
            seen.append(
                (pipeline.market(NAME).candles.count, vector.is_warm(Feature.RSI_14), vector.of(Feature.RSI_14))
            )
    assert {count for count, warm, _ in seen if not warm} == set(range(50))
    assert {count for count, warm, _ in seen if warm} == set(range(50, 60))
    assert {value for _, warm, value in seen if not warm} == {50.0}


def test_quotes_and_tickers_pass_by():
    pipeline = a_pipeline()
    pipeline.take(whole_book(START, 0))
    before = pipeline.read(NAME).values.tolist()
    pipeline.take(Ticker(instrument=NAME, ts_event=START + SECOND, ts_recv=START + SECOND, mark=Decimal(1)))
    quote = BestQuote(
        instrument=NAME,
        ts_event=START + SECOND,
        ts_recv=START + SECOND,
        bid_price=1,
        bid_size=1,
        ask_price=2,
        ask_size=1,
        sequence=9,
    )
    pipeline.take(quote)
    vector = pipeline.read(NAME)
    assert vector.values.tolist() == before
    assert vector.ts_event == START


def test_another_grid_begins_anew():
    pipeline = a_pipeline()
    for event in events_of([]):
        pipeline.take(event)
    now = START + 61 * SECOND
    same, finer = an_instrument("0.1", "0.001"), an_instrument("0.05", "0.001")
    pipeline.take(InstrumentChanged(instrument=NAME, ts_event=now, ts_recv=now, rules=same))
    assert pipeline.read(NAME).is_warm(Feature.RSI_14)
    pipeline.take(InstrumentChanged(instrument=NAME, ts_event=now, ts_recv=now, rules=finer))
    with pytest.raises(DataError, match="the book is empty"):
        pipeline.read(NAME)
    pipeline.take(whole_book(now, 70))
    vector = pipeline.read(NAME)
    assert vector.of(Feature.MID_PRICE) == 50.0
    assert not vector.is_warm(Feature.CLOSE)


@settings(max_examples=20)
@given(happenings, st.booleans())
def test_the_batch_reads_what_the_stream_reads(told, include_open):
    events = sorted(events_of(told), key=lambda event: event.ts_recv)
    params = FeatureParams(include_open=include_open)
    events = [event for event in events if not (type(event) is Candle and event.open_ts % SECOND)]
    found = vectors(events, RULES[OTHER], interval_ns=SECOND, candle_interval_ns=SECOND, params=params)
    pipeline = a_pipeline(include_open=include_open)
    seen = {}
    for event in events:
        pipeline.take(event)
        if event.instrument == OTHER and pipeline.market(OTHER).book.is_usable:
            vector = pipeline.read(OTHER)
            seen.setdefault(vector.ts_event, []).append((vector.values.tolist(), vector.warm.tolist()))
    for ts, values, warm in zip(found.ts_event.tolist(), found.values.tolist(), found.warm.tolist(), strict=True):
        assert (values, warm) in seen[ts]
