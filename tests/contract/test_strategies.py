"""Laws of every strategy; a new file under `core/strategies` is found by itself."""

import types
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import BookDelta, BookSnapshot, encode_array
from stakan.core.domain.facts import SignalProposed
from stakan.core.domain.units import Side
from stakan.core.plugins import NoState, Strategy, build, load, names, spec_of
from tests.core.engine.builders import BTC, MS, SECOND, a_delta, a_print, a_snapshot, an_engine, live

PACKAGE = "stakan.core.strategies"
ALL = names(PACKAGE)
ENCODER = msgspec.msgpack.Encoder(enc_hook=encode_array)
MIRROR = 2 * 640_000


def a_book(mid, heavy, walls):
    """Forty levels a side, one side `heavy` times as large, and walls at fixed prices."""
    bids = {mid - 1 - i: 200 * max(1, heavy) for i in range(40)}
    asks = {mid + 1 + i: 200 * max(1, -heavy) for i in range(40)}
    for price, size in walls.items():
        (bids if price < mid else asks)[price] = size
    return bids, asks


def changes(before, after):
    """Rows of a delta from one side of a book to another."""
    gone = [(price, 0) for price in before if price not in after]
    return gone + [(price, size) for price, size in after.items() if before.get(price) != size]


class Script(NamedTuple):
    """What a drawn market does; small, so that a failing one can be read."""

    drift: int
    eaten: int
    moves: list[tuple[int, int, int]]
    """Per half second: extra move of mid, heavier side of the book, size of the print."""


scripts = st.builds(
    Script,
    drift=st.sampled_from((-6, 0, 6)),
    eaten=st.sampled_from((0, 200)),
    moves=st.lists(
        st.tuples(st.integers(-2, 2), st.sampled_from((0, 0, 8, -8)), st.integers(1, 50)), min_size=45, max_size=45
    ),
)


def a_market(script):
    """A lively market: a trend or none, walls that hold or are eaten, one-sided books."""
    side = Side.BUY if script.drift >= 0 else Side.SELL
    behind, ahead = 640_000 - side * 100, 640_000 + side * 400
    walls = {behind: 9_000, ahead: 9_000}
    mid = 640_000
    book = a_book(mid, 0, walls)
    rows = np.array([*book[0].items(), *book[1].items()])
    events = [msgspec.structs.replace(a_snapshot(ts=SECOND), levels=rows, bid_count=len(book[0]))]
    for number, (extra, heavy, size) in enumerate(script.moves, 1):
        ts = SECOND + number * 500 * MS
        mid += script.drift + extra
        if script.eaten and number <= 20:
            # The wall that the trend runs into is eaten by the trend's own side before price gets there.
            walls[ahead] -= script.eaten
            events.append(a_print(ahead, script.eaten, side, ts, 1_000 + number))
        events.append(a_print(mid + side, size, side, ts, number))
        after = a_book(mid, heavy, walls)
        events.append(a_delta(changes(book[0], after[0]), changes(book[1], after[1]), ts + MS, number + 1))
        book = after
    return events


def mirrored(event):
    """The same market upside down: prices reflected, bids and asks swapped."""
    if isinstance(event, (BookDelta, BookSnapshot)):
        levels = event.levels.copy()
        levels[:, 0] = MIRROR - levels[:, 0]
        count = event.bid_count
        swapped = levels[list(range(count, len(levels))) + list(range(count))]
        return msgspec.structs.replace(event, levels=swapped, bid_count=len(levels) - count)
    return msgspec.structs.replace(event, price=MIRROR - event.price, side=event.side.opposite)


def signals(spec, market):
    # No risk rules pass nothing on: opinions only, never orders.
    engine = an_engine(spec, min_strength=2.0, decision_interval_ns=500 * MS)
    steps = live(engine, market)
    return [fact.signal for _, step in steps for fact in step.facts if isinstance(fact, SignalProposed)]


@pytest.mark.parametrize("name", ALL)
def test_it_has_usable_defaults_and_says_its_idea(name):
    spec = load(PACKAGE, Strategy, name, {})
    module = __import__(f"{PACKAGE}.{name}", fromlist=["x"])
    assert "Idea:" in module.__doc__
    assert spec_of(module, Strategy).__doc__
    assert msgspec.json.decode(msgspec.json.encode(spec), type=type(spec)) == spec


@pytest.mark.parametrize("name", ALL)
def test_a_misspelt_or_mistyped_parameter_is_refused_by_name(name):
    with pytest.raises(ConfigError, match="no_such_parameter"):
        load(PACKAGE, Strategy, name, {"no_such_parameter": 1})
    parameter = type(load(PACKAGE, Strategy, name, {})).__struct_fields__[0]
    with pytest.raises(ConfigError, match=parameter):
        load(PACKAGE, Strategy, name, {parameter: "not a number"})


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=15)
@given(script=scripts)
def test_signals_are_sane(name, script):
    for signal in signals(load(PACKAGE, Strategy, name, {}), a_market(script)):
        assert 0 <= signal.strength <= 1
        assert signal.instrument == BTC
        assert (signal.entry - signal.stop_loss) * signal.side > 0
        assert signal.take_profit is None or (signal.take_profit - signal.entry) * signal.side > 0
        assert signal.reasons


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=15)
@given(script=scripts)
def test_swapping_bids_and_asks_swaps_its_sides(name, script):
    spec = load(PACKAGE, Strategy, name, {})
    market = a_market(script)
    plain = signals(spec, market)
    upside_down = signals(spec, [mirrored(event) for event in market])
    there, here = {s.ts_event: s for s in upside_down}, {s.ts_event: s for s in plain}
    # Distances in basis points are shares of a price that the mirror moves by 0.1 %: thresholds may fall either way.
    assert len(there.keys() ^ here.keys()) <= 2
    for ts in there.keys() & here.keys():
        assert there[ts].side is here[ts].side.opposite
        assert there[ts].strength == pytest.approx(here[ts].strength)
        assert there[ts].entry == MIRROR - here[ts].entry


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=10)
@given(script=scripts, cut=st.integers(1, 80))
def test_it_does_not_look_ahead(name, script, cut):
    spec = load(PACKAGE, Strategy, name, {})
    market = a_market(script)
    whole = signals(spec, market)
    head = signals(spec, market[:cut])
    assert [ENCODER.encode(s) for s in head] == [ENCODER.encode(s) for s in whole][: len(head)]


@pytest.mark.parametrize("name", ALL)
def test_two_starts_share_nothing(name):
    spec = load(PACKAGE, Strategy, name, {})
    first, second = spec.start(), spec.start()
    assert isinstance(first, msgspec.Struct)
    assert first is not second or isinstance(first, NoState)


def test_the_markets_of_this_suite_make_every_strategy_speak():
    found = set()

    @settings(max_examples=40, derandomize=True, database=None)
    @given(script=scripts)
    def look(script):
        for name in ALL:
            if name not in found and signals(load(PACKAGE, Strategy, name, {}), a_market(script)):
                found.add(name)

    look()
    assert found == set(ALL)


def test_a_file_must_define_exactly_one_public_spec():
    with pytest.raises(ConfigError, match="must define one public Strategy"):
        build(types.ModuleType("empty"), Strategy, "empty", {})


def test_an_unknown_strategy_is_refused_with_the_known_names():
    with pytest.raises(ConfigError, match="imbalance"):
        load(PACKAGE, Strategy, "no_such_strategy", {})


def test_deltas_and_snapshots_have_mirrors():
    event = a_delta(bids=[(639_999, 1)], asks=[(640_001, 2)])
    assert mirrored(mirrored(event)).levels.tolist() == event.levels.tolist()
