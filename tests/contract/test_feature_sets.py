"""Laws of every further feature set; a new file under `core/features/sets` is found by itself."""

import math
import re
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import TradePrint
from stakan.core.features.further import FeatureSet
from stakan.core.plugins import load, names
from tests.core.engine.builders import SECOND
from tests.core.features.set_markets import (
    LOT,
    START,
    TICK,
    Board,
    Watched,
    busy,
    happenings,
    numbers,
    played,
    scaled,
)
from tests.core.market.builders import bytes_of

PACKAGE = "stakan.core.features.sets"
ALL = names(PACKAGE)
EVERY_SET = pytest.mark.parametrize("name", ALL)
FACTORS = {
    "quote currency": 2.0,
    "base units": 4.0,
    "share": 1.0,
    "ratio": 1.0,
    "s": 1.0,
    "1/s": 1.0,
    "count": 1.0,
    "sign": 1.0,
}
"""What becomes of a unit where a tick is worth twice and a lot four times as much; a new unit is added here."""


def spec_of(name, **parameters):
    return load(PACKAGE, FeatureSet, name, parameters)


def watched(name, **changes):
    return Watched(name, spec_of(name), **changes)


def watches(spec):
    """Whether it remembers messages: what it knew is then of no use after an interruption."""
    return type(spec).on_book is not FeatureSet.on_book or type(spec).on_print is not FeatureSet.on_print


# --- what it says of itself -------------------------------------------------------------------------------------------


@EVERY_SET
def test_it_has_usable_defaults_and_says_what_it_is(name):
    spec = spec_of(name)
    assert type(spec).__doc__
    assert re.fullmatch(r"[a-z0-9-]+-[0-9]+", spec.version)
    assert msgspec.json.decode(msgspec.json.encode(spec), type=type(spec)) == spec


@EVERY_SET
def test_its_features_have_names_and_whole_definitions(name):
    definitions = spec_of(name).definitions
    assert definitions
    for own, definition in definitions.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", own)
        assert definition.formula, own
        assert definition.window, own
        assert definition.source, own
        assert definition.unit in FACTORS, own
        assert math.isfinite(definition.neutral), own


def test_versions_are_of_one_set_each():
    assert len({spec_of(name).version for name in ALL}) == len(ALL)


@EVERY_SET
def test_a_misspelt_or_mistyped_parameter_is_refused_by_name(name):
    with pytest.raises(ConfigError, match="no_such_parameter"):
        spec_of(name, no_such_parameter=1)
    for parameter in type(spec_of(name)).__struct_fields__:
        with pytest.raises(ConfigError, match=parameter):
            spec_of(name, **{parameter: "not a number"})


# --- what it says of markets ------------------------------------------------------------------------------------------


@EVERY_SET
@settings(max_examples=30)
@given(history=happenings)
def test_it_is_finite_on_anything_and_neutral_where_it_is_not_warm(name, history):
    one = watched(name)
    neutral = [definition.neutral for definition in spec_of(name).definitions.values()]
    for event in played(history):
        one.tell(event)
        values, warm = numbers(one.read())
        assert all(map(math.isfinite, values))
        assert [value for value, known in zip(values, warm, strict=True) if not known] == [
            value for value, known in zip(neutral, warm, strict=True) if not known
        ]


@EVERY_SET
def test_it_is_not_warm_before_anything_happened(name):
    assert not watched(name).read(START).warm.any()


@EVERY_SET
def test_the_market_of_this_suite_warms_every_feature_and_moves_it(name):
    one = watched(name)
    warm, moved = set(), set()
    for number, event in enumerate(busy(seconds=1_000)):
        one.tell(event)
        if number % 20 == 0:
            vector = one.read()
            neutral = {key: definition.neutral for key, definition in vector.spec.definitions.items()}
            warm |= {key for key in neutral if vector.is_warm(key)}
            moved |= {key for key, value in vector.as_dict().items() if value != neutral[key]}
    assert warm == moved == set(spec_of(name).definitions)


@EVERY_SET
@settings(max_examples=6)
@given(history=happenings, seed=st.integers(0, 99))
def test_what_it_reads_comes_from_nothing_later_and_reading_changes_nothing(name, history, seed):
    events = [*busy(seed, 20), *later(played(history), 40)]
    read = watched(name)
    for number, event in enumerate(events, 1):
        now = numbers(read.tell(event).read())
        if number % 50 == 0 or number == len(events):
            assert numbers(watched(name).tell(*events[:number]).read()) == now


def later(events, seconds):
    """The same events some seconds after."""
    for event in events:
        moved = {"ts_event": event.ts_event + seconds * SECOND, "ts_recv": event.ts_recv + seconds * SECOND}
        if type(event) is TradePrint:
            moved["trade_id"] = event.trade_id + 10**6
        yield msgspec.structs.replace(event, **moved)


@EVERY_SET
@settings(max_examples=6)
@given(seed=st.integers(0, 99), cut=st.integers(1, 400))
def test_a_restored_state_goes_on_with_the_same_numbers(name, seed, cut):
    events = list(busy(seed, 90))
    one, other = watched(name), watched(name)
    one.tell(*events[:cut])
    other.engine.restore(one.engine.snapshot())
    assert numbers(other.read()) == numbers(one.read())
    for event in events[cut:]:
        assert numbers(other.tell(event).read()) == numbers(one.tell(event).read())
    assert bytes_of(other.memory) == bytes_of(one.memory)


@pytest.mark.parametrize("name", [name for name in ALL if watches(spec_of(name))])
def test_after_an_interruption_nothing_that_it_watched_is_known(name):
    events = list(busy(3, 300))
    one = watched(name).tell(*events)
    assert one.read().warm.any()
    board = Board(ts=events[-1].ts_recv + SECOND)
    one.tell(board.down())
    assert not one.read().warm.any()


@EVERY_SET
def test_two_of_it_share_nothing(name):
    first, second = list(busy(1, 60)), list(busy(2, 60))
    one, other = watched(name), watched(name)
    for i in range(max(len(first), len(second))):
        one.tell(*first[i : i + 1])
        other.tell(*second[i : i + 1])
    assert numbers(one.read()) == numbers(watched(name).tell(*first).read())
    assert numbers(other.read()) == numbers(watched(name).tell(*second).read())


@EVERY_SET
def test_its_memory_does_not_grow_with_the_length_of_a_market(name):
    one = watched(name)
    sizes = []
    for number, event in enumerate(busy(5, 1_200)):
        one.tell(event)
        if number % 100 == 0:
            one.read()
            sizes.append(len(bytes_of(one.memory)))
    # A few digits more, as numbers grow; the first half is long enough for every ring to find its size.
    assert max(sizes[len(sizes) // 2 :]) <= 1.1 * max(sizes[: len(sizes) // 2])
    assert max(sizes) < 300_000


@EVERY_SET
@settings(max_examples=6)
@given(history=happenings, seed=st.integers(0, 99))
def test_on_another_grid_prices_and_sizes_scale_and_nothing_else_moves(name, history, seed):
    events = [*busy(seed, 70), *later(played(history), 90)]
    plain = watched(name)
    other = watched(name, tick=2 * TICK, lot=4 * LOT)
    for number, event in enumerate(events):
        plain.tell(event)
        other.tell(scaled(event))
        if number % 50 == 0 or number == len(events) - 1:
            here, there = plain.read(), other.read()
            assert here.warm.tolist() == there.warm.tolist()
            for key, definition in here.spec.definitions.items():
                expected = here.of(key) * FACTORS[definition.unit] if here.is_warm(key) else definition.neutral
                assert there.of(key) == pytest.approx(expected, rel=1e-9, abs=1e-12), key


def test_units_of_the_suite_are_exact_doubles_of_each_other():
    assert float(2 * TICK) == 2 * float(TICK)
    assert float(4 * LOT) == 4 * float(Decimal("0.001"))
