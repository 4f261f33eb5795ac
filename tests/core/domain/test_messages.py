"""Every event, command and fact survives its trip through bytes; a new kind is covered by itself."""

import enum

import msgspec
import numpy as np
import pytest
from tests.core.domain.samples import LEVELS, members, sample

from stakan.core.domain import commands, events, facts, orders
from stakan.core.domain.commands import AnyCommand, Command
from stakan.core.domain.events import AnyEvent, Event, decode_array, encode_array
from stakan.core.domain.facts import AnyFact, Fact
from stakan.core.domain.reasons import Reason
from stakan.core.domain.step import Step

encode = msgspec.msgpack.Encoder(enc_hook=encode_array).encode
FAMILIES = ((AnyEvent, Event, events), (AnyCommand, Command, commands), (AnyFact, Fact, facts))
KINDS = [(union, kind) for union, _, _ in FAMILIES for kind in members(union)]


def decode(data, kind):
    return msgspec.msgpack.decode(data, type=kind, dec_hook=decode_array)


@pytest.mark.parametrize("fill", [False, True], ids=["defaults", "all fields"])
@pytest.mark.parametrize(("family", "kind"), KINDS, ids=[kind.__name__ for _, kind in KINDS])
def test_it_comes_back_from_bytes_as_it_was(family, kind, fill):
    message = sample(kind, fill)
    back = decode(encode(message), family)
    assert type(back) is kind
    for name in kind.__struct_fields__:
        before, after = getattr(message, name), getattr(back, name)
        if isinstance(before, np.ndarray):
            assert np.array_equal(after, before)
            assert after.dtype == before.dtype
        else:
            assert type(after) is type(before)
            assert encode(after) == encode(before)
    assert encode(back) == encode(message)


@pytest.mark.parametrize(("union", "root", "module"), FAMILIES, ids=["events", "commands", "facts"])
def test_every_kind_belongs_to_its_family(union, root, module):
    kinds = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, root)]
    bases = {base for kind in kinds for base in kind.__mro__[1:]}
    assert set(members(union)) == {kind for kind in kinds if kind not in bases and kind.__module__ == module.__name__}


@pytest.mark.parametrize(("family", "kind"), KINDS, ids=[kind.__name__ for _, kind in KINDS])
def test_it_is_frozen(family, kind):
    message = sample(kind, fill=True)
    with pytest.raises(AttributeError):
        setattr(message, kind.__struct_fields__[0], None)


def test_a_step_of_everything_comes_back():
    all_facts = tuple(sample(kind, fill=True) for kind in members(AnyFact))
    all_commands = tuple(sample(kind, fill=True) for kind in members(AnyCommand))
    step = Step(3, 4, all_facts, all_commands)
    assert decode(encode(step), Step) == step


def test_restored_levels_may_be_written_and_share_no_memory():
    event = sample(events.BookDelta, fill=True)
    back = decode(encode(event), AnyEvent)
    back.levels[0, 0] = 1
    assert event.levels[0, 0] == LEVELS[0, 0]


def test_arrays_that_are_slices_are_written_as_they_read():
    rows = np.arange(24, dtype=np.int64).reshape(6, 4)[::2, 1:3]
    back = decode_array(np.ndarray, encode_array(rows))
    assert np.array_equal(back, rows)


def test_numpy_numbers_are_written_as_plain_ones():
    assert encode(np.int64(5)) == encode(5)
    assert encode(np.float64(0.5)) == encode(0.5)


def test_what_has_no_form_in_bytes_is_refused():
    with pytest.raises(NotImplementedError, match="cannot encode object"):
        encode(object())
    with pytest.raises(NotImplementedError, match="cannot decode"):
        decode_array(complex, [1, 2])


@pytest.mark.parametrize(
    "words", [Reason, *(v for v in vars(orders).values() if isinstance(v, type) and issubclass(v, enum.StrEnum))]
)
def test_words_of_closed_sets_are_their_names_in_small_letters(words):
    for word in words:
        assert word.value == word.name.lower()


def test_terminal_orders_are_those_that_only_late_fills_can_change():
    terminal = {status for status in orders.OrderStatus if status.is_terminal}
    assert {status.value for status in terminal} == {"filled", "cancelled", "rejected", "failed"}
