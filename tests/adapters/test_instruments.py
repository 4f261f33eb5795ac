"""Instruments files are read strictly, and short names mean one instrument or none."""

from decimal import Decimal
from itertools import pairwise

import pytest

from stakan.adapters.instruments import load, recorded, resolve
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.instrument import Category
from stakan.core.domain.units import HOUR

SPOT = """
[instruments."bybit:spot:BTCUSDT"]
base = "BTC"
quote = "USDT"
settle = "USDT"
tick_size = 0.10
lot_size = "0.000001"
min_size = 0.000048
min_notional = 5
maker_fee = 0.001
taker_fee = 0.001
"""
TIERS = """
max_leverage = 100
margin_tiers = [{ notional_limit = 1000, maintenance_rate = 0.005, deduction = 0, max_leverage = 100 }]
"""


def a_file(folder, text):
    path = folder / "instruments.toml"
    path.write_text(text)
    return path


def test_a_file_is_read_exactly(tmp_path):
    (instrument,) = load(a_file(tmp_path, SPOT)).values()
    assert instrument.category is Category.SPOT
    assert (str(instrument.tick_size), str(instrument.lot_size)) == ("0.10", "0.000001")
    assert instrument.min_size == 48
    assert instrument.min_notional == Decimal(5)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (SPOT + "tick = 1", "unknown field `tick`"),
        (SPOT.replace("tick_size = 0.10\n", ""), "missing required field `tick_size`"),
        (SPOT.replace("0.10", '"cheap"'), r"tick_size"),
        (SPOT.replace("0.10", "0"), "tick_size must be a positive number"),
        (SPOT.replace("0.000048", "0.0000485"), "not a multiple of the lot size"),
        (SPOT + 'assumed = ["colour"]', "`assumed` names no such field: colour"),
        (SPOT + TIERS, "spot has no margin"),
        (SPOT.replace(":spot:", ":linear:"), "a linear contract needs `margin_tiers`"),
        (SPOT.replace(":spot:", ":options:"), "category should be one of linear, spot, got 'options'"),
        (SPOT.replace(":spot:", ""), "should be venue:category:symbol"),
        ("", "missing required field `instruments`"),
        ("[instruments]", "no .* table in it"),
        ("what = = 1", "instruments.toml"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(tmp_path, text, complaint):
    with pytest.raises(ConfigError, match=complaint) as refused:
        load(a_file(tmp_path, text))
    assert "instruments.toml" in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot read"):
        load(tmp_path / "nowhere.toml")


def test_recorded_instruments_have_continuous_margin():
    instruments = recorded()
    assert len(instruments) == 10
    for instrument in instruments.values():
        tiers = instrument.margin_tiers
        for low, high in pairwise(tiers):
            at_limit = [low.notional_limit * tier.maintenance_rate - tier.deduction for tier in (low, high)]
            assert at_limit[0] == at_limit[1], instrument.id
        assert bool(tiers) == instrument.is_linear
    assert instruments["bybit:linear:BTCUSDT"].funding_interval_ns == 8 * HOUR


def test_a_short_name_means_one_instrument_or_is_refused():
    known = recorded()
    assert resolve("bybit:linear:BTCUSDT", known) == "bybit:linear:BTCUSDT"
    assert resolve("SOLUSDT", known) == "bybit:linear:SOLUSDT"
    assert resolve("binance:BTCUSDT", known) == "binance:linear:BTCUSDT"
    assert resolve("spot:BTCUSDT", known) == "bybit:spot:BTCUSDT"
    with pytest.raises(ConfigError, match="ambiguous: say one of binance:linear:BTCUSDT, bybit:linear:BTCUSDT"):
        resolve("BTCUSDT", known)
    with pytest.raises(ConfigError, match="no instrument 'PEPEUSDT'; known: binance:linear:BTCUSDT"):
        resolve("PEPEUSDT", known)
