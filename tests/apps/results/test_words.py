"""How things are called in reports."""

from stakan.apps.report.words import short


def test_symbols_are_enough_where_they_mean_one_instrument():
    assert short(["bybit:linear:BTCUSDT", "bybit:linear:ETHUSDT"]) == ["BTCUSDT", "ETHUSDT"]


def test_spot_and_perpetual_of_one_symbol_are_told_apart():
    assert short(["bybit:linear:BTCUSDT", "bybit:spot:BTCUSDT"]) == ["BTCUSDT linear", "BTCUSDT spot"]


def test_one_symbol_at_two_venues_is_named_in_full():
    ids = ["binance:linear:BTCUSDT", "bybit:linear:BTCUSDT"]
    assert short(ids) == ids
