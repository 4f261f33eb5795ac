"""Freqtrade's feather files."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import feather

from stakan.adapters.importers import freqtrade
from stakan.adapters.instruments import recorded
from stakan.core.domain.errors import DataError
from stakan.core.domain.units import HOUR, MINUTE

START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
START_NS = 1_735_689_600 * 10**9


def a_file(folder, name, dates=(0, 300), **changed):
    numbers = {"open": [100.0, 101.5], "high": [102.0, 103.0], "low": [99.0, 101.0], "close": [101.5, 102.0]}
    date = pa.array([START + dt.timedelta(seconds=after) for after in dates], pa.timestamp("ns", tz="UTC"))
    table = pa.table({"date": date, **numbers, "volume": [1.5, 0.001], **changed})
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    feather.write_feather(table, path)
    return path


def read(*files):
    return list(freqtrade.events(files, recorded()))


@pytest.mark.parametrize(
    ("name", "instrument"),
    [
        ("bybit_futures_BTC_USDT_USDT-5m-futures.feather", "bybit:linear:BTCUSDT"),
        ("bybit/futures/BTC_USDT_USDT-5m-futures.feather", "bybit:linear:BTCUSDT"),
        ("bybit/BTC_USDT-5m.feather", "bybit:spot:BTCUSDT"),
        ("binance_futures_ETH_USDT_USDT-5m-futures.feather", "binance:linear:ETHUSDT"),
    ],
)
def test_the_name_says_what_the_candles_are(tmp_path, name, instrument):
    first, second = read(a_file(tmp_path, name))
    assert (first.instrument, first.interval_ns, first.open_ts) == (instrument, 5 * MINUTE, START_NS)
    assert (first.ts_event, second.ts_recv) == (START_NS + 5 * MINUTE, START_NS + 10 * MINUTE)
    assert first.turnover > 0


def test_candles_are_ticks_and_lots(tmp_path):
    first, second = read(a_file(tmp_path, "bybit_futures_BTC_USDT_USDT-5m-futures.feather"))
    assert (first.open, first.high, first.low, first.close, first.volume) == (1000, 1020, 990, 1015, 1500)
    assert second.volume == 1


def test_a_funding_row_is_the_settlement(tmp_path):
    rates = {"open": [-1.442e-05, 0.0001], "close": [0.0, 0.0]}
    path = a_file(tmp_path, "bybit_futures_BTC_USDT_USDT-1h-funding_rate.feather", (0, 28800), **rates)
    first, second = read(path)
    assert (first.funding_rate, second.funding_rate) == (Decimal("-0.00001442"), Decimal("0.0001"))
    assert first.ts_event == first.next_funding_ts == START_NS
    assert second.next_funding_ts == START_NS + 8 * HOUR


def test_marks_are_tickers_and_only_a_hole_needs_the_close(tmp_path):
    name = "bybit_futures_BTC_USDT_USDT-1h-mark.feather"
    events = read(a_file(tmp_path, name, (0, 3600), volume=pa.nulls(2, pa.float64())))
    assert [str(event.mark) for event in events] == ["100.0", "101.5", "102.0"]
    assert [event.ts_event - START_NS for event in events] == [0, HOUR, 2 * HOUR]
    events = read(a_file(tmp_path, name, (0, 7200)))
    assert [str(event.mark) for event in events] == ["100.0", "101.5", "101.5", "102.0"]


def test_files_are_merged_by_time(tmp_path):
    candles = a_file(tmp_path, "bybit_futures_BTC_USDT_USDT-5m-futures.feather")
    funding = a_file(tmp_path, "bybit_futures_BTC_USDT_USDT-1h-funding_rate.feather", (0, 450))
    events = read(candles, funding)
    assert [type(event).__name__ for event in events] == ["Ticker", "Candle", "Ticker", "Candle"]


@pytest.mark.parametrize(
    ("name", "changed", "complaint"),
    [
        ("BTCUSDT.feather", {}, "the name should be like"),
        ("bybit_futures_PEPE_USDT_USDT-5m-futures.feather", {}, "bybit:linear:PEPEUSDT is not among"),
        (
            "bybit_futures_BTC_USDT_USDT-5m-futures.feather",
            {"open": [100.05, 101.5]},
            "row 0: open 100.05 is not a mul",
        ),
        (
            "bybit_futures_BTC_USDT_USDT-5m-futures.feather",
            {"close": [101.5, None]},
            "row 1: close nan is not a number",
        ),
        ("bybit_futures_BTC_USDT_USDT-5m-futures.feather", {"dates": (9000, 0)}, "time goes back"),
        ("bybit_futures_BTC_USDT_USDT-1h-mark.feather", {"dates": (0, 0)}, "row 1: date is not after"),
        ("bybit_futures_BTC_USDT_USDT-1h-mark.feather", {"open": [-1.0, 1.0]}, "is not above zero"),
        ("bybit_futures_BTC_USDT_USDT-1h-funding_rate.feather", {"open": [None, 1.0]}, "row 0: funding rate is not a"),
    ],
)
def test_what_cannot_be_is_refused_by_file_and_row(tmp_path, name, changed, complaint):
    with pytest.raises(DataError, match=complaint) as refused:
        read(a_file(tmp_path, name, **changed))
    assert name in str(refused.value)


def test_a_torn_or_wrong_feather_is_named(tmp_path):
    path = a_file(tmp_path, "bybit_futures_BTC_USDT_USDT-5m-futures.feather")
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(DataError, match="cannot be read as feather, fetch it again"):
        read(path)
    feather.write_feather(pa.table({"date": [1]}), path)
    with pytest.raises(DataError, match="column open, high, low, close, volume is missing; the file has date"):
        read(path)
