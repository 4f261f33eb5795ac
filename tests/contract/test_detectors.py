"""Laws of every detector; a new file under `core/detectors` is found by itself."""

import math
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import BookDelta, TradePrint
from stakan.core.domain.findings import Pattern
from stakan.core.domain.units import SECOND, Side
from stakan.core.plugins import Detector, load, names, spec_of
from tests.core.detectors.markets import MID, MS, RULES, START, Shape, Watcher, a_market
from tests.core.market.builders import a_delta, a_snapshot, bytes_of

PACKAGE = "stakan.core.detectors"
ALL = names(PACKAGE)
SEEDS = (0, 1, 2)
"""Of markets in which, together, every detector speaks."""
MOST_BYTES = 64 * 1024
"""That the state of one instrument may take."""


@cache
def market(seed, mid=MID, lots=100):
    return tuple(a_market(seed, mid=mid, lots=lots))


def a_detector(name, **parameters):
    return load(PACKAGE, Detector, name, parameters)


def findings(name, events):
    watcher = Watcher(a_detector(name))
    for event in events:
        watcher.see(event)
    return watcher.findings


@cache
def of_market(name, seed):
    return tuple(findings(name, market(seed)))


PLAIN = Shape()


def told(found, shape=PLAIN):
    """Findings as values that can be compared, in no order and without numbers of episodes, seen back from a shape."""
    rows = []
    for one in found:
        side, low, high = one.side, one.low, one.high
        if shape.mirror:
            side = side and side.opposite
            low, high = (None, None) if low is None else (shape.mirror - high, shape.mirror - low)
        times = [ts - shape.later for ts in (one.began, one.ts_event)]
        lots = one.size // shape.times
        rows.append((one.stage, side or 0, low or 0, high or 0, lots, one.count, *times, round(one.confidence, 9)))
    return sorted(rows)


@pytest.mark.parametrize("name", ALL)
def test_it_has_usable_defaults_and_says_its_idea(name):
    spec = a_detector(name)
    module = __import__(f"{PACKAGE}.{name}", fromlist=["x"])
    assert "Idea:" in module.__doc__
    assert spec_of(module, Detector).__doc__
    assert msgspec.json.decode(msgspec.json.encode(spec), type=type(spec)) == spec
    assert name in set(Pattern)


@pytest.mark.parametrize("name", ALL)
def test_a_misspelt_or_mistyped_parameter_is_refused_by_name(name):
    with pytest.raises(ConfigError, match="no_such_parameter"):
        a_detector(name, no_such_parameter=1)
    with pytest.raises(ConfigError, match="min_confidence"):
        a_detector(name, min_confidence="not a number")


def test_the_markets_of_this_suite_make_every_detector_speak():
    assert {name for name in ALL if any(of_market(name, seed) for seed in SEEDS)} == set(ALL)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("seed", SEEDS)
def test_findings_are_sane(name, seed):
    watcher = Watcher(a_detector(name))
    numbers = []
    for event in market(seed):
        for one in watcher.see(event):
            assert one.instrument == event.instrument
            assert one.pattern == name
            assert one.began <= one.ts_event == event.ts_event
            assert watcher.detector.min_confidence <= one.confidence <= 1
            assert (one.low is None) == (one.high is None)
            assert one.low is None or 0 < one.low <= one.high
            assert one.size >= 0
            assert one.count >= 1
            assert all(math.isfinite(value) and isinstance(value, float) for value in one.evidence.values())
            numbers.append(one.episode)
    assert set(numbers) == set(range(1, max(numbers, default=0) + 1))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "shape",
    [
        Shape(mirror=2 * MID),
        Shape(mirror=2 * MID + 7),
        Shape(later=12_345_678_901),
        Shape(later=-999 * SECOND),
        Shape(times=2),
        Shape(times=1_000_003),
        Shape(2 * MID, SECOND, 10),
    ],
    ids=str,
)
def test_sides_the_hour_and_the_unit_of_size_do_not_matter(name, seed, shape):
    plain = of_market(name, seed)
    moved = findings(name, [shape.of(event) for event in market(seed)])
    assert told(moved, shape) == told(plain)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=10)
@given(seed=st.sampled_from(SEEDS), cut=st.integers(1, 1_900))
def test_it_does_not_look_ahead_and_goes_on_from_its_state_as_bytes(name, seed, cut):
    whole = list(of_market(name, seed))
    watcher = Watcher(a_detector(name))
    for event in market(seed)[:cut]:
        watcher.see(event)
    assert watcher.findings == whole[: len(watcher.findings)]
    rest = watcher.restored()
    for event in market(seed)[cut:]:
        rest.see(event)
    assert watcher.findings + rest.findings == whole


@pytest.mark.parametrize("name", ALL)
def test_two_starts_share_nothing(name):
    spec = a_detector(name)
    one, other = Watcher(spec), Watcher(spec)
    for first, second in zip(market(0), market(1), strict=False):
        one.see(first)
        other.see(second)
    count = min(len(market(0)), len(market(1)))
    assert one.findings == findings(name, market(0)[:count])
    assert other.findings == findings(name, market(1)[:count])


@pytest.mark.parametrize("name", ALL)
def test_its_memory_is_bounded(name):
    watcher = Watcher(a_detector(name))
    shifted = (Shape(later=k * 25 * SECOND) for k in range(6))
    events = [shape.of(event) for shape in shifted for event in market(0)]
    for event in events:
        # Ids and sequences start anew with each snapshot, as after a reconnection.
        watcher.see(event)
        if isinstance(event, TradePrint):
            continue
        assert len(bytes_of(watcher.state)) <= MOST_BYTES


@pytest.mark.parametrize("name", ALL)
def test_a_market_in_which_nothing_happens_says_nothing(name):
    watcher = Watcher(a_detector(name, min_confidence=0.01))
    rows = [(MID - k, 100) for k in range(1, 30)], [(MID + k, 100) for k in range(1, 30)]
    watcher.see(a_snapshot(*rows, sequence=1, ts=START))
    for k in range(2, 600):
        level = k % 29
        watcher.see(a_delta([rows[0][level]], [rows[1][level]], k, ts=START + k * 20 * MS))
    assert watcher.findings == []


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("mid", "lots"), [(40, 100), (9_000_000_000, 100), (MID, 10_000_000_000), (MID, 1)])
def test_prices_and_sizes_may_be_tiny_or_huge(name, mid, lots):
    for one in findings(name, market(1, mid, lots)):
        assert 0 <= one.confidence <= 1
        assert one.low is None or one.low > 0


hostile = st.lists(
    st.tuples(
        st.sampled_from(("delta", "delta", "delta", "snapshot", "gap", "print", "restart", "empty")),
        st.integers(0, 60),
        st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3_000)), max_size=6),
        st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3_000)), max_size=6),
    ),
    max_size=120,
)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=40)
@given(script=hostile)
def test_no_order_of_messages_breaks_it(name, script):
    """Levels named twice, equal times, one side, crossed and empty books, gaps, snapshots, interruptions."""
    watcher = Watcher(a_detector(name, min_confidence=0.0))
    ts, sequence = START, 1
    for what, wait, bids, asks in script:
        ts += wait * MS
        low = [(MID - 1 - k, lots) for k, lots in bids]
        high = [(MID + 1 + k - (k == 12) * 20, lots) for k, lots in asks]
        if what == "snapshot":
            watcher.see(a_snapshot(low, high, sequence, ts=ts))
        elif what == "restart":
            watcher.market.book.invalidate()
            watcher.detector.restart(watcher.state)
        elif what == "print":
            for k, (price, lots) in enumerate(low + high):
                side = Side.SELL if price < MID else Side.BUY
                watcher.see(TradePrint(**_print(ts, price, max(1, lots), side, sequence * 100 + k)))
        else:
            sequence += 1 + (what == "gap")
            rows = ([], []) if what == "empty" else (low, high)
            watcher.see(a_delta(*rows, sequence, ts=ts))
    for one in watcher.findings:
        assert 0 <= one.confidence <= 1
        assert one.began <= one.ts_event


def _print(ts, price, lots, side, number):
    return {
        "instrument": RULES.id,
        "ts_event": ts,
        "ts_recv": ts,
        "price": price,
        "size": lots,
        "side": side,
        "trade_id": number,
    }


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=10)
@given(seed=st.sampled_from(SEEDS), cut=st.integers(200, 1_800))
def test_what_was_under_way_at_an_interruption_is_not_known(name, seed, cut):
    watcher = Watcher(a_detector(name))
    for event in market(seed)[:cut]:
        watcher.see(event)
    before = len(watcher.findings)
    watcher.market.interrupt()
    watcher.detector.restart(watcher.state)
    book = watcher.market.book
    rows = [book.depth(side).tolist() for side in Side]
    last = market(seed)[cut - 1].ts_event
    watcher.see(a_snapshot(*rows, sequence=book.sequence, ts=last))
    for event in market(seed)[cut:]:
        watcher.see(event)
    assert all(one.began >= last for one in watcher.findings[before:])


def test_the_suite_s_mirror_is_one():
    shape = Shape(mirror=2 * MID)
    for event in market(0)[:50]:
        back = shape.of(shape.of(event))
        if isinstance(event, BookDelta):
            assert np.array_equal(back.levels, event.levels)
            assert back.bid_count == event.bid_count
