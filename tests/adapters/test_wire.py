"""Decimals on the wire become ticks and lots exactly, or are refused by name."""

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stakan.adapters.wire import LevelReader, grid_of, scale_of
from stakan.core.domain.errors import DataError
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Category, Instrument

UNITS = ["0.10", "0.01", "0.5", "0.25", "1", "5", "10", "0.000001", "0.00001"]


def an_instrument(tick="0.10", lot="0.001"):
    return Instrument(
        id=InstrumentId("bybit:linear:BTCUSDT"),
        category=Category.LINEAR,
        base="BTC",
        quote="USDT",
        settle="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
    )


def a_reader(tick="0.10", lot="0.001"):
    return LevelReader(grid_of(an_instrument(tick, lot)))


def a_message(bids=(), asks=(), **more):
    return json.dumps({"data": {"b": list(bids), "a": list(asks), "u": 7, **more}}).encode()


def text_of(number: Decimal, zeros: int) -> str:
    text = format(number, "f")
    if "." in text:
        return text + "0" * zeros
    return text + ("." + "0" * zeros if zeros else "")


spaces = st.text(alphabet=" \t\r\n", max_size=2)


@st.composite
def spaced(draw, value):
    """JSON text of a value with white space wherever JSON allows it."""
    gap = draw(spaces)
    if isinstance(value, list):
        parts = [draw(spaced(item)) for item in value]
        return gap + "[" + gap + (gap + "," + gap).join(parts) + gap + "]" + gap
    if isinstance(value, dict):
        parts = [f"{gap}{json.dumps(key)}{gap}:{gap}{draw(spaced(item))}" for key, item in value.items()]
        return gap + "{" + ",".join(parts) + gap + "}" + gap
    return gap + json.dumps(value) + gap


@given(
    unit=st.sampled_from(UNITS),
    counts=st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**9)), max_size=20),
    bids=st.integers(0, 20),
    zeros=st.integers(0, 12),
)
def test_levels_come_back_as_the_ticks_and_lots_they_were_written_from(unit, counts, bids, zeros):
    scale = Decimal(unit)
    rows = [[text_of(scale * price, zeros), text_of(scale * size, zeros)] for price, size in counts]
    levels, bid_count, update_id = a_reader(unit, unit).read(a_message(rows[:bids], rows[bids:]))
    assert levels.tolist() == [list(pair) for pair in counts]
    assert (bid_count, update_id) == (min(bids, len(counts)), 7)


@given(
    text=st.from_regex(r"\A[0-9]{0,12}(\.[0-9]{0,10})?\Z"),
    unit=st.sampled_from(UNITS),
)
@settings(max_examples=300)
def test_kernel_and_python_agree_with_decimal_on_every_number(text, unit):
    scale = scale_of(Decimal(unit))
    try:
        exact = Decimal(text) / Decimal(unit)
        expected = int(exact) if exact == int(exact) else None
    except ArithmeticError:
        expected = None
    try:
        plain = scale.count(text)
    except DataError:
        plain = None
    try:
        levels, _, _ = a_reader(unit, unit).read(a_message([[unit, text]]))
        by_kernel = int(levels[0, 1])
    except DataError:
        by_kernel = None
    assert plain == expected
    assert by_kernel == expected


@given(data=st.data())
@settings(max_examples=60)
def test_white_space_and_the_order_of_keys_change_nothing(data):
    book = {"b": [["1.0", "2"], ["0.9", "0"]], "a": [["1.1", "3.5"]], "u": 12, "s": 'x]"b":[', "z": [{"a": []}, 1.5e3]}
    keys = data.draw(st.permutations(list(book)))
    frame = {"topic": "orderbook", "data": {key: book[key] for key in keys}, "ts": 1, "ok": None}
    outer = data.draw(st.permutations(list(frame)))
    text = data.draw(spaced({key: frame[key] for key in outer}))
    levels, bid_count, update_id = a_reader().read(text.encode())
    assert levels.tolist() == [[10, 2000], [9, 0], [11, 3500]]
    assert (bid_count, update_id) == (2, 12)


@pytest.mark.parametrize(
    ("bids", "asks", "complaint"),
    [
        ([["64000.05", "1"]], [], "price '64000.05' of level 0 of the bids is not a multiple of 0.1"),
        (
            [["1", "1"]],
            [["1", "1"], ["2", "0.0005"]],
            "size '0.0005' of level 1 of the asks is not a multiple of 0.001",
        ),
        ([["-1", "1"]], [], "price '-1' of level 0 of the bids is negative"),
        ([], [["1", "-0.5"]], "size '-0.5' of level 0 of the asks is negative"),
        ([["NaN", "1"]], [], "price 'NaN' of level 0 of the bids is not a plain decimal number"),
        ([["1", ""]], [], "size '' of level 0 of the bids is not a plain decimal number"),
        ([["1e3", "1"]], [], "is not a plain decimal number"),
        ([["1.2.3", "1"]], [], "is not a plain decimal number"),
        ([["0.0", "1"]], [], "price '0.0' of level 0 of the bids is not above zero"),
        ([["1", "99999999999999999999"]], [], "has more digits than 63 bits hold"),
        ([["1", "1", "1"]], [], "bids and asks should each be one list of"),
        ([["1"]], [], "bids and asks should each be one list of"),
        ([[1.5, 2]], [], "bids and asks should each be one list of"),
        ([["1", "1"], 5], [], "bids and asks should each be one list of"),
    ],
)
def test_a_level_that_is_not_exact_is_refused_by_side_number_and_place(bids, asks, complaint):
    with pytest.raises(DataError) as refused:
        a_reader().read(a_message(bids, asks))
    assert complaint in str(refused.value)
    assert "bybit:linear:BTCUSDT" in str(refused.value)


@pytest.mark.parametrize("text", ["{}", '{"b":[]}', '{"data":{"a":[]}}', '{"b":[],"b":[],"a":[]}', "[]", ""])
def test_a_message_without_both_sides_is_refused(text):
    with pytest.raises(DataError, match="bids and asks should each be one list"):
        a_reader().read(text.encode())


@given(cut=st.integers(0, 200), junk=st.binary(max_size=8))
def test_torn_text_is_refused_or_read_but_never_read_past_its_end(cut, junk):
    message = a_message([["64000.1", "1"]] * 3, [["64000.2", "2"]] * 3)
    try:
        levels, _, _ = a_reader().read(message[:cut] + junk)
    except DataError:
        return
    assert set(map(tuple, levels.tolist())) <= {(640001, 1000), (640002, 2000)} or junk


def test_more_levels_than_the_scratch_table_holds_are_read_too():
    rows = [[str(price), "1"] for price in range(1, 3001)]
    levels, bid_count, _ = a_reader().read(a_message(rows, rows))
    assert bid_count == 3000
    assert np.array_equal(levels[:3000, 0], np.arange(10, 30010, 10))


def test_levels_of_one_message_do_not_change_with_the_next():
    reader = a_reader()
    first, _, _ = reader.read(a_message([["1", "1"]]))
    reader.read(a_message([["2", "2"]]))
    assert first.tolist() == [[10, 1000]]


def test_a_grid_names_instrument_and_number():
    grid = grid_of(an_instrument())
    assert (grid.ticks("64000.10"), grid.lots("0")) == (640001, 0)
    for read, text in ((grid.ticks, "0"), (grid.ticks, "1.05"), (grid.lots, "-1"), (grid.lots, "9" * 2000)):
        with pytest.raises(DataError, match="bybit:linear:BTCUSDT"):
            read(text)
