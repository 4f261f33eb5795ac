"""Laws of every strategy; a new file under `core/strategies` is found by itself."""

import msgspec
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


def a_market(draw):
    """A lively market around one price: trends, densities that erode, one-sided books."""
    events, ts, sequence, mid = [a_snapshot(ts=SECOND, depth=40, size=200)], SECOND, 1, 640_000
    drift = draw(st.sampled_from((-6, 0, 6)))
    big = draw(st.sampled_from((4_000, 9_000)))
    for number in range(40):
        ts += draw(st.integers(100, 900)) * MS
        sequence += 1
        mid += drift + draw(st.integers(-2, 2))
        side = draw(st.sampled_from(Side))
        events.append(a_print(mid + side, draw(st.integers(1, 300)), side, ts, number))
        ts += MS
        snapshot = a_snapshot(mid=mid, ts=ts, sequence=sequence, depth=40, size=200)
        levels = snapshot.levels.copy()
        levels[:40, 1] *= draw(st.sampled_from((1, 1, 6)))
        levels[5, 1] = big
        levels[44, 1] = big * draw(st.sampled_from((1, 1)))
        events.append(msgspec.structs.replace(snapshot, levels=levels))
    return events


markets = st.composite(a_market)()


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
@given(market=markets)
def test_signals_are_sane(name, market):
    for signal in signals(load(PACKAGE, Strategy, name, {}), market):
        assert 0 <= signal.strength <= 1
        assert signal.instrument == BTC
        assert (signal.entry - signal.stop_loss) * signal.side > 0
        assert signal.take_profit is None or (signal.take_profit - signal.entry) * signal.side > 0
        assert signal.reasons


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=15)
@given(market=markets)
def test_swapping_bids_and_asks_swaps_its_sides(name, market):
    spec = load(PACKAGE, Strategy, name, {})
    plain = signals(spec, market)
    upside_down = signals(spec, [mirrored(event) for event in market])
    assert [(s.ts_event, s.side) for s in upside_down] == [(s.ts_event, s.side.opposite) for s in plain]
    for a, b in zip(plain, upside_down, strict=True):
        assert b.strength == pytest.approx(a.strength)
        assert b.entry == MIRROR - a.entry


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=10)
@given(market=markets, cut=st.integers(1, 80))
def test_it_does_not_look_ahead(name, market, cut):
    spec = load(PACKAGE, Strategy, name, {})
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

    @settings(max_examples=60, derandomize=True, database=None)
    @given(market=markets)
    def look(market):
        for name in ALL:
            if name not in found and signals(load(PACKAGE, Strategy, name, {}), market):
                found.add(name)

    look()
    assert found == set(ALL)


def test_a_file_must_define_exactly_one_public_spec():
    import types

    with pytest.raises(ConfigError, match="must define one public Strategy"):
        build(types.ModuleType("empty"), Strategy, "empty", {})


def test_an_unknown_strategy_is_refused_with_the_known_names():
    with pytest.raises(ConfigError, match="imbalance"):
        load(PACKAGE, Strategy, "no_such_strategy", {})


def test_deltas_and_snapshots_have_mirrors():
    event = a_delta(bids=[(639_999, 1)], asks=[(640_001, 2)])
    assert mirrored(mirrored(event)).levels.tolist() == event.levels.tolist()
