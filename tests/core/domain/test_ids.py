"""Ids: derived, never random; whole or refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.core.domain.errors import DataError
from stakan.core.domain.ids import (
    MAX_CLIENT_ORDER_ID,
    client_order_id,
    instrument_id,
    split_instrument_id,
    trade_id_number,
)

INT64 = 2**63
parts = st.text(min_size=1).filter(lambda text: ":" not in text)
# The unit separator joins what is hashed; no account, epoch or intent holds one.
names = st.text(st.characters(exclude_characters="\x1f", exclude_categories=["Cs"]), max_size=20)
keys = st.tuples(names, names, names, st.integers(0, 5), st.integers(0, 100))


@given(keys)
def test_a_client_order_id_is_short_plain_and_stable(key):
    made = client_order_id(*key)
    assert made == client_order_id(*key)
    assert len(made) <= MAX_CLIENT_ORDER_ID
    assert re.fullmatch(r"[A-Za-z0-9_-]+", made)


@given(keys, keys)
def test_other_attempts_have_other_ids(key, other):
    assert (client_order_id(*key) == client_order_id(*other)) == (key == other)


def test_a_client_order_id_never_changes_between_releases():
    assert client_order_id("main", "backtest", "backtest-1", 0, 0) == "s-uuanlvwuwlf2cnwgjg5i5z3ppu"


@given(parts, parts, parts)
def test_an_instrument_id_splits_into_what_it_was_made_of(venue, category, symbol):
    assert split_instrument_id(instrument_id(venue, category, symbol)) == (venue, category, symbol)


@pytest.mark.parametrize("wrong", [("", "linear", "X"), ("bybit", "", "X"), ("bybit", "linear", ""), ("a:b", "c", "d")])
def test_an_instrument_id_needs_three_parts_without_colons(wrong):
    with pytest.raises(DataError, match="without colons"):
        instrument_id(*wrong)


@pytest.mark.parametrize("wrong", ["", "BTCUSDT", "bybit:BTCUSDT", "bybit::BTCUSDT", "a:b:c:d", "::"])
def test_another_shape_is_no_instrument_id(wrong):
    with pytest.raises(DataError, match="venue:category:symbol"):
        split_instrument_id(wrong)


@given(st.integers(0, 10**18 - 1))
def test_a_number_is_its_own_trade_id(number):
    assert trade_id_number(str(number)) == number


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_trade_id_becomes_one_64_bit_number(text):
    number = trade_id_number(text)
    assert number == trade_id_number(text)
    assert -INT64 <= number < INT64


@pytest.mark.parametrize("text", ["²", "٣", "1²"])
def test_digits_of_other_scripts_are_hashed_like_any_text(text):
    assert abs(trade_id_number(text)) > 10**9
